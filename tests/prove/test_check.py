"""The checker by itself: what it accepts, and that it accepts nothing else."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.core import arches
from bootstrap.core.abi import LinuxError
from bootstrap.core.elf import BadImage
from bootstrap.core.errors import GuestFailed
from bootstrap.instruments import default_engine
from bootstrap.languages import hex0
from bootstrap.linux.limits import RunLimits
from bootstrap.prove import check
from bootstrap.prove.check import MAX_FILE, START, decide, step
from bootstrap.prove.proving import prove
from bootstrap.prove.relation import DIALECTS
from bootstrap.sources import SourceTree
from tests.prove.material import CERTIFICATES, OTHERS, X86, certificate, document, program, seed
from tests.prove.test_second_opinions import taking_every_step
from tests.seeds import tools


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-m", "bootstrap.prove.check", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def of_another(seed: bytes, arch: str = "x86") -> bytes:
    """The certificate as if it were of that seed."""
    return json.dumps(document(arch) | {"sha256": hashlib.sha256(seed).hexdigest()}).encode()


def test_the_seed_that_is_carried_is_proven(checkout: Path) -> None:
    done = run(CERTIFICATES / "x86.json", checkout / "seeds" / "x86" / "hex0-seed")
    assert (done.returncode, done.stderr) == (0, "")
    digest = hashlib.sha256(X86).hexdigest()
    assert done.stdout.startswith(f"proven for all inputs: the 181 bytes {digest} are hex0 for x86")
    assert "G is a digit of value 16: 36 states, 9252 transitions" in done.stdout


@pytest.mark.upstream
@pytest.mark.parametrize("arch", OTHERS)
def test_upstreams_seeds_are_proven(arch: str, release: SourceTree) -> None:
    status, line = decide(certificate(arch), seed(release, arch))
    assert status == 0, line
    assert ("G is a digit" in line) == (arch == "AMD64")
    assert ("carriage return ends" in line) == arch.startswith("riscv")
    assert ("rbx is 0 at the start" in line) == (arch == "AMD64")


def test_it_imports_the_standard_library_and_itself_only() -> None:
    code = (
        # Debian's interpreter comes with a sitecustomize.
        "import sys; before = set(sys.modules); import bootstrap.prove.check; "
        "print(*sorted(n for n in set(sys.modules) - before if not n.startswith('_') "
        "and n.partition('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    names = done.stdout.split()
    assert [n for n in names if not n.startswith("bootstrap.prove.check")] == [
        "bootstrap", "bootstrap.prove"]  # fmt: skip
    assert not {"unicorn", "capstone", "bootstrap.languages"} & set(names)


# What a flipped bit leaves as it was: (offset, bit).
EQUIVALENT = {
    # Of the headers, what Linux does not read: the end of e_ident, e_version, e_shoff, e_flags,
    # e_ehsize, p_paddr, and all of p_flags but X; p_align it reads where addresses may be chosen.
    *itertools.product((*range(6, 16), *range(0x14, 0x18), *range(0x20, 0x2A)), range(8)),
    *itertools.product((*range(0x38, 0x3C), *range(0x45, 0x4C)), range(8)),
    *((0x44, bit) for bit in range(1, 8)),
    # argc and argv[0] are popped into another register, which is written before it is read.
    *((0x4C, bit) for bit in (0, 1)),
    *((0x4D, bit) for bit in (0, 1, 2)),
    # Of a mode, open(2) takes 12 bits.
    *((0x60, bit) for bit in (4, 5, 6, 7)),
    # shl takes its count modulo 32.
    *((0xA2, bit) for bit in (5, 6, 7)),
    # After a first digit, `jl` leads to a test for ';' and on: what stands in al passes all tests.
    (0xAA, 5),
}


@pytest.mark.exhaustive
def test_of_all_flips_of_a_bit_it_accepts_those_that_change_nothing() -> None:
    assert {
        (at, bit) for at in range(len(X86)) for bit in range(8) if flipped_is_proven(at, bit)
    } == EQUIVALENT


FLIPPED = {"proven the same": 300, "not started": 119, "killed": 512, "does otherwise": 397,
           "alike": 120}  # fmt: skip
"""Of what runs alike and is not proven: docs/proof.md."""


@pytest.mark.exhaustive
def test_what_each_flip_of_a_bit_does() -> None:
    """The table of docs/proof.md: all that is accepted runs alike, and what is not is seen."""
    source, due = taking_every_step("x86")
    counts: Counter[str] = Counter()
    for at, bit in itertools.product(range(len(X86)), range(8)):
        other = bytearray(X86)
        other[at] ^= 1 << bit
        seen = what_it_does(bytes(other), source, due)
        if (at, bit) in EQUIVALENT:
            assert seen == "alike", (hex(at), bit)
            seen = "proven the same"
        counts[seen] += 1
    assert counts == FLIPPED


def what_it_does(seed: bytes, source: bytes, due: bytes) -> str:
    """With a short input first: most differ at once."""
    short = b"# c\n41 4a;x\n5G gF 0a\nfF zZ 7 # 4\n9 \r\n;#1\n00 12 34 56 78 9A BC DE"
    rounds = (short, hex0.assemble(short, "").output, 100_000), (source, due, 20_000_000)
    for text, wanted, most in rounds:
        try:
            ended = tools.emulated(
                default_engine(), seed, ["in", "out"], {"in": text},
                limits=RunLimits(instructions=most),
            )  # fmt: skip
        except (BadImage, LinuxError):
            return "not started"
        except GuestFailed:
            return "does otherwise"
        if (ended.status, ended.files) != (0, {"in": text, "out": wanted}):
            return "killed" if ended.status < 0 else "does otherwise"
    return "alike"


@pytest.mark.parametrize(
    "at, bit", [(0x4C, 0), (0x9D, 0), (0x8D, 3), (0xB0, 1), (0x60, 0), (0x2A, 3)]
)
def test_a_seed_with_a_bit_flipped(at: int, bit: int) -> None:
    assert flipped_is_proven(at, bit) == ((at, bit) in EQUIVALENT)


def flipped_is_proven(at: int, bit: int) -> bool:
    other = bytearray(X86)
    other[at] ^= 1 << bit
    return decide(of_another(bytes(other)), bytes(other))[0] == 0


EDITS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a target": lambda d: d["states"][0]["next"][0].__setitem__(2, 1),
    "a class": lambda d: d["states"][1].update(comment=False),
    "a digit that waits": lambda d: d["states"][2].update(held=7),
    "the language": lambda d: d.update(language={"G": False, "CR": False}),
    "another language": lambda d: d.update(language={"G": True, "CR": True}),
    "a place": lambda d: d["states"][0].update(at="0x8048080"),
    "the buffer": lambda d: d["states"][0].update(buffer="sp+20"),
    "a value that is less than is needed": lambda d: d["states"][0]["values"].pop("esi"),
    "a value that is not so": lambda d: d["states"][0]["values"].update(esi="0x1"),
    "a value that nobody gave": lambda d: d["states"][0]["values"].update(eax="0x4"),
    "a descriptor": lambda d: d["states"][0]["values"].update(edi="in"),
    "the start": lambda d: d["states"].insert(0, d["states"][1]),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_certificate_proves_nothing(edit: str) -> None:
    edited = document("x86")
    EDITS[edit](edited)
    status, line = decide(json.dumps(edited).encode(), X86)
    assert status == 1 and line.startswith("NOT proven: ") and "\n" not in line


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"hex0 is proven",
    "cut off": certificate("x86")[:-5],
    "no text": b"\xff\xfe",
    "another document": b"{}",
    "a list": b"[]",
    "a key twice": certificate("x86").replace(b'"arch": "x86"', b'"arch": "x86", "arch": "x86"', 1),
    "deep nesting": b"[" * 200_000,
    "huge": b" " * (MAX_FILE + 1),
    "a huge number": b'{"format": ' + b"9" * 10_000 + b"}",
    "another architecture": certificate("x86").replace(b'"x86"', b'"knight"', 1),
    "no states": json.dumps(document("x86") | {"states": []}).encode(),
    "values of another kind": json.dumps(document("x86") | {"states": [{"at": 7}]}).encode(),
    "a register that has no name": json.dumps(document("x86") | {"zero": ["eax\nproven"]}).encode(),
    "a register that is none": json.dumps(document("x86") | {"zero": ["nothing"]}).encode(),
    "a register that Linux does not clear": json.dumps(
        document("riscv64") | {"sha256": hashlib.sha256(X86).hexdigest(), "zero": ["s0"]}
    ).encode(),
    "a stack pointer that is 0": json.dumps(document("x86") | {"zero": ["esp"]}).encode(),
    "a byte that leads to two states": re.sub(
        rb"\[0, \d+, 0\]", b"[0, 99999999999, 0]", certificate("x86"), count=1
    ),
    "a state that is not there": re.sub(
        rb"\[0, \d+, 0\]", b"[0, 9, 99]", certificate("x86"), count=1
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_no_certificate_is_bad_input(broken: str) -> None:
    status, line = decide(BROKEN[broken], X86)
    assert status == 2 and line.startswith("no certificate of this kind: ") and "\n" not in line


def test_a_certificate_of_another_seed_is_named() -> None:
    assert decide(certificate("x86"), X86 + b"\0") == (
        1, "NOT proven: the certificate is of another seed")  # fmt: skip


def test_an_instruction_that_it_does_not_know_is_refused() -> None:
    other = bytearray(X86)
    other[0x4C] = 0xF4  # hlt
    status, line = decide(of_another(bytes(other)), bytes(other))
    assert (status, line) == (
        1, "NOT proven: the checker does not know the instruction f4 at 0x804804c")  # fmt: skip


def test_a_seed_that_writes_before_it_reads_is_refused() -> None:
    """push 'A'; mov ecx, esp; mov ebx, edi; push 4; pop eax; int 0x80; pop eax: once, at first."""
    more, at = bytes.fromhex("6a41 89e1 89fb 6a04 58 cd80 58"), X86.index(b"\x31\xed\x89\xd6")
    seed = program(X86[0x4C:at] + more + X86[at:], X86[0x44])
    certificate = json.loads(of_another(seed))
    for row in certificate["states"]:
        row["at"] = hex(int(row["at"], 16) + len(more))
    due = "it writes before it reads"
    assert decide(json.dumps(certificate).encode(), seed) == (1, f"NOT proven: {due}")
    assert prove(seed, arches.X86, 300).refused == due


def test_a_seed_that_changes_its_code_on_the_way_to_its_end_is_refused() -> None:
    """In place of its end: call more; more: mov [there], cl; push there: 1; pop eax; exit(0)."""
    code = X86[0x4C:]
    more = 0x804804C + len(code)
    call = b"\xe8" + (more - 0x8048080).to_bytes(4, "little")
    store = b"\x88\x0d" + (more + 7).to_bytes(4, "little")
    ends = store + bytes.fromhex("6a01 58 31db cd80")
    seed = program(code[:0x2F] + call + code[0x34:] + ends)
    due = f"NOT proven: the seed changes its own byte at {more + 7:#x}"
    assert decide(of_another(seed), seed) == (1, due)


@pytest.mark.parametrize("long", ["states", "path"])
def test_a_proof_has_a_bound_of_work(long: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate that is right, with one state again and again; and a loop without a read."""
    monkeypatch.setattr(check, "MAX_WORK", 270_000)  # the certificate takes 258,241
    assert decide(certificate("x86"), X86)[0] == 0
    more, seed = document("x86"), X86
    if long == "states":
        more["states"] += [more["states"][0]] * 10
    else:
        seed = X86[:0x4C] + b"\xeb\xfe" + X86[0x4E:]  # jmp to itself
    text = json.dumps(more | {"sha256": hashlib.sha256(seed).hexdigest()}).encode()
    due = "NOT proven: 2000 instructions without a read, or 270000 in all"
    assert decide(text, seed) == (1, due)


def test_one_file_as_input_and_output_is_emptied() -> None:
    """What docs/proof.md leaves out."""
    ended = tools.emulated(default_engine(), X86, ["in", "in"], {"in": b"41 42"})
    assert (ended.status, ended.files) == (0, {"in": b""})


def moved(by: int) -> bytes:
    """The x86 seed at another address."""
    seed = bytearray(X86)
    for at in (0x18, 0x34):
        seed[at : at + 4] = struct.pack("<I", struct.unpack_from("<I", X86, at)[0] + by)
    return bytes(seed)


PLACED = "the seed's segment is not where every Linux puts one"


@pytest.mark.parametrize(
    "seed, by, why",
    [
        (moved(0x1000), 0x1000, ""),
        (moved(0xFFFFF000 - 0x8048000), 0xFFFFF000 - 0x8048000, PLACED),
        (moved(-0x8048000), -0x8048000, PLACED),
        (X86[:0x3C] + b"\0\0\0\xff" * 2 + X86[0x44:], 0, PLACED),
        (X86[:0x1C] + struct.pack("<I", len(X86)) + X86[0x20:] + X86[0x2C:0x49], 0, "is cut off"),
        # mov ecx, esp; xor eax, eax; mov al, 200; add ecx, eax; mov [ecx], al
        (program(bytes.fromhex("89e1 31c0 b0c8 01c1 8801") + X86[0x4C:]), 10, "above its argum"),
    ],
)
def test_what_linux_may_not_start_or_start_otherwise_is_refused(
    seed: bytes, by: int, why: str
) -> None:
    """The certificate fits, but for what Linux makes of the headers, and of a store over argv."""
    certificate = json.loads(of_another(seed))
    for row in certificate["states"]:
        row["at"] = hex(int(row["at"], 16) + by)
    status, line = decide(json.dumps(certificate).encode(), seed)
    assert (status, why in line) == (1 if why else 0, True), line


@pytest.mark.parametrize(
    "entry, code, why",
    [
        (0, "f81f8fe0 f81f8fe0", "not know the instruction f81f8fe0"),  # str x0, [sp, #-8]!
        (2, "d503201f d503201f", "an instruction is not aligned, at 0x40007a"),
        # ldr w30, there; ret; there: .word 0x400082
        (0, "1800005e d65f03c0 00400082", "an instruction is not aligned, at 0x400082"),
    ],
)
def test_what_linux_on_aarch64_does_not_run_is_refused(entry: int, code: str, why: str) -> None:
    words = b"".join(bytes.fromhex(word)[::-1] for word in code.split())
    base, size = 0x400000, 120 + len(words)
    fields = b"\x7fELF", 2, 1, 1, 0, 0, 2, 183, 1, base + 120 + entry, 64, 0, 0, 64, 56, 1, 0, 0, 0
    head = struct.pack("<4s5B7x2HI3QI6H", *fields)
    row = struct.pack("<2I6Q", 1, 7, 0, base, base, size, size, 1)
    seed = head + row + words
    text = json.dumps(document("AArch64") | {"sha256": hashlib.sha256(seed).hexdigest()})
    assert why in decide(text.encode(), seed)[1]


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"#!/bin/sh\n", program(b""), program(b"\x90", 4), X86[:100]]
)
def test_what_is_no_seed_is_refused(data: bytes) -> None:
    assert decide(of_another(data), data)[0] == 1


def test_files_that_cannot_be_read_and_usage() -> None:
    assert run("missing", "missing").returncode == 2
    assert (
        run("missing", "missing").stderr == "'missing': cannot be read: No such file or directory\n"
    )
    assert run().returncode == 2
    assert run().stderr.startswith("usage: ")


@given(st.binary() | st.text("0123456789abcdefgG#;\r\n hH").map(str.encode))
def test_its_hex0_is_the_models(source: bytes) -> None:
    now, output = START, b""
    for byte in source:
        now, written = step(now, byte, True, False)
        output += written
    assert output == hex0.assemble(source, "").output


@pytest.mark.parametrize("g, cr", DIALECTS)
def test_each_step_of_each_of_its_hex0s_is_the_models(g: bool, cr: bool) -> None:
    """The model is that of the x86 seed; what another dialect reads otherwise is replaced."""
    table = bytes.maketrans(b"" if g else b"Gg", b"" if g else b"  ")
    table = table.translate(bytes.maketrans(b"\r", b"\n")) if cr else table

    def written(source: bytes) -> bytes:
        now, output = START, b""
        for byte in source:
            now, more = step(now, byte, g, cr)
            output += more
        return output

    for comment, held, byte in itertools.product(
        (b"", b"#"), (None, *b"0123456789ABCDEF"), range(256)
    ):
        source = (bytes((held,)) if held else b"") + comment + bytes((byte,)) + b"12\n34"
        assert written(source) == hex0.assemble(source.translate(table), "").output, source


@given(st.data())
def test_no_edit_makes_it_fail_otherwise(data: st.DataObject) -> None:
    text = bytearray(certificate("x86"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, 2000))
        text[at] = data.draw(st.integers(0, 255))
    status, line = decide(bytes(text), X86)
    assert status in (0, 1, 2) and "\n" not in line
    assert (status == 0) == line.startswith("proven")
