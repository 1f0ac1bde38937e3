"""The model of mescc-tools' hex2: what it has beyond hex2, and every kind of error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.languages import Kind, LanguageError, SourceText, hex2
from bootstrap.languages.assembly import Architecture
from bootstrap.languages.hex2_linker import assemble
from tests.languages.faults import fault

SETTINGS = settings(max_examples=100, deadline=None, derandomize=True)
X86, AMD64, AARCH64 = Architecture.X86, Architecture.AMD64, Architecture.AARCH64
RISCV = Architecture.RISCV64
BASE = 0x600000


def one(source: bytes, architecture: Architecture = X86) -> bytes:
    return assemble([SourceText("x", source)], architecture, BASE).output


@pytest.mark.parametrize(
    ("architecture", "source", "output"),
    [
        (X86, b":a 00 !a %a>b :b &a", "00 fe faffffff 00006000"),
        (AMD64, b"00 < 00", "0000"),
        (AARCH64, b"00 < 00 < 00000000 <", "00000000 00000000 00000000"),
        (RISCV, b"0000 < 00", "00000000 00"),
        # An instruction at 4, to the one at 12: 2 instructions ahead; and back to 0.
        (
            AARCH64,
            b":a 00000000 ^~b 94 ^~a 94 :b",
            "00000000 02000094 feffff94",
        ),
        # The distance from 8 after the instruction.
        (AARCH64, b"!a 000000 :a", "fc 000000"),
        (AARCH64, b"%a :a", "f8ffffff"),
        (AARCH64, b"%a>a :a", "00000000"),
        # jal ra, 8; beq back to 0; the bits of several flips; fields.
        (RISCV, b".80000000 $a 6F000000 00000000 :a", "ef008000 00000000"),
        (RISCV, b":a 00000000 @a 63000000", "00000000 e30e00fe"),
        (RISCV, b"00000000 %a &a :a", "00000000 04000000 0c006000"),
        # auipc a0 and addi: the distance from the auipc, for both.
        (RISCV, b".00050000 ~a 17000000 .00050500 !a 13000000 :a", "17050000 13058500"),
    ],
)
def test_the_language(architecture: Architecture, source: bytes, output: str) -> None:
    assert one(source, architecture) == bytes.fromhex(output)


def test_the_last_definition_of_a_label_counts() -> None:
    assembly = assemble([SourceText("a", b"!x :x 00"), SourceText("b", b"!x\n:x")], X86, BASE)
    assert assembly.output == b"\x02\0\0"
    (oddity,) = assembly.oddities
    assert (oddity.file, oddity.position.line, oddity.position.column) == ("b", 2, 1)
    assert oddity.reason.endswith("the first is at a:1:4; the last counts")


def test_each_source_is_a_file_of_its_own() -> None:
    sources = [
        SourceText("a", b"00 # no newline"),
        SourceText("b", b"11 :x"),
        SourceText("c", b"y !x"),
    ]
    assert fault(lambda: assemble(sources, X86, BASE)) == (Kind.BAD_CHARACTER, 1, 1)
    assembly = assemble([*sources[:2], SourceText("c", b"!x")], X86, BASE)
    assert assembly.output == b"\0\x11\xff"
    assert [o.file for o in assembly.map] == ["a", "b", "c"]
    halves = [SourceText("a", b"4"), SourceText("b", b"1")]
    assert fault(lambda: assemble(halves, X86, BASE)) == (Kind.ODD_DIGITS, 1, 1)


def test_the_map_of_a_word_says_which_reference_changed_it() -> None:
    source = b":a .80000000 $a # call\n6F000000 # jump\n"
    assembly = assemble([SourceText("x", source)], RISCV, BASE)
    seen = [(o.label, o.line, o.columns, o.comment) for o in assembly.map]
    assert seen == [("$a", 2, (n, n + 1), "jump") for n in (1, 3, 5, 7)]


@pytest.mark.parametrize(
    ("architecture", "source", "kind", "line", "column"),
    [
        (X86, b"41\nx", Kind.BAD_CHARACTER, 2, 1),
        (X86, b".00000000 00000000", Kind.BAD_CHARACTER, 1, 1),
        (X86, b"^~a :a", Kind.BAD_CHARACTER, 1, 1),
        (AARCH64, b"^&a :a", Kind.BAD_CHARACTER, 1, 1),
        (AARCH64, b"^~a>b", Kind.BAD_CHARACTER, 1, 4),
        (AARCH64, b"^ ~a", Kind.BAD_CHARACTER, 1, 1),
        (RISCV, b".0000000 0", Kind.BAD_CHARACTER, 1, 1),
        (RISCV, b"!a>b", Kind.BAD_CHARACTER, 1, 3),
        (RISCV, b".00000000 :a", Kind.BAD_CHARACTER, 1, 11),
        (RISCV, b"$a 000000 %a", Kind.BAD_CHARACTER, 1, 11),
        (RISCV, b"$a 000000 $a", Kind.BAD_CHARACTER, 1, 11),
        (RISCV, b"$a 000000", Kind.BAD_CHARACTER, 1, 10),
        (RISCV, b"$a 0 <", Kind.ODD_DIGITS, 1, 4),
        (X86, b"4 :a", Kind.ODD_DIGITS, 1, 1),
        (X86, b"!a", Kind.UNDEFINED, 1, 1),
        (RISCV, b"$a 00000000", Kind.UNDEFINED, 1, 1),
        (X86, b":", Kind.UNFINISHED, 1, 2),
        (X86, b":a $a", Kind.OUT_OF_RANGE, 1, 4),
        (AARCH64, b"^~a 94 00 :a", Kind.OUT_OF_RANGE, 1, 2),
        (RISCV, b"$a 6F000000 00 :a", Kind.OUT_OF_RANGE, 1, 1),
        (RISCV, b"@a 63000000" + b"00" * 0x0FFC + b":a", Kind.OUT_OF_RANGE, 1, 1),
        (RISCV, b":a\n" + b"00000000" * 0x401 + b"\n@a 63000000", Kind.OUT_OF_RANGE, 3, 1),
    ],
)
def test_errors(
    architecture: Architecture, source: bytes, kind: Kind, line: int, column: int
) -> None:
    assert fault(lambda: one(source, architecture)) == (kind, line, column)


PARTS = st.sampled_from(
    [b"4", b"41", b"0", b":a ", b":b\n", b"!a ", b"%a>b ", b"&b ", b"# x\n", b" ", b"\xff"]
)


@SETTINGS
@given(st.lists(PARTS), st.sampled_from([X86, AMD64]))
def test_for_x86_it_is_hex2(parts: list[bytes], architecture: Architecture) -> None:
    source = [SourceText("x", b"".join(parts))]
    try:
        expected = hex2.assemble(source, BASE)
    except LanguageError as error:
        if error.kind is not Kind.DUPLICATE:
            same = fault(lambda: assemble(source, architecture, BASE))
            assert same == (error.kind, error.position.line, error.position.column)
    else:
        assert assemble(source, architecture, BASE) == expected


@SETTINGS
@given(st.integers(-(2**10), 2**10 - 1), st.sampled_from("@$"))
def test_a_branch_on_risc_v_goes_where_it_should(steps: int, sign: str) -> None:
    """Decoded as the RISC-V manual has it: B-type and J-type immediates."""
    filling = b"00000000" * abs(steps)
    branch = f"{sign}a 00000000 ".encode()
    # The branch itself is one step of those that lie between.
    if steps > 0:
        output = one(branch + filling[8:] + b":a", RISCV)
        word = int.from_bytes(output[:4], "little")
    else:
        output = one(b":a " + filling + b" " + branch, RISCV)
        word = int.from_bytes(output[-4:], "little")
    if sign == "@":
        found = (word >> 8 & 15) << 1 | (word >> 25 & 63) << 5 | (word >> 7 & 1) << 11
        assert found - (word >> 31 << 12) == 4 * steps
    else:
        found = (word >> 21 & 1023) << 1 | (word >> 20 & 1) << 11 | (word >> 12 & 255) << 12
        assert found - (word >> 31 << 20) == 4 * steps
