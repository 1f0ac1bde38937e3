"""Every annotated source of seeds/x86 says what its bytes are; the check itself notices lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.languages import hex0, hex1, hex2
from bootstrap.languages.assembly import Assembly
from bootstrap.languages.source import SourceText
from tests.seeds.annotated import complaints, plain

SOURCES = Path(__file__).resolve().parents[2] / "seeds" / "x86"

PROGRAMS = (
    ("hex0.hex0",),
    ("hex1.hex0",),
    ("kaem.hex0",),
    ("hex2.hex1",),
    ("catm.hex2",),
    ("elf.hex2", "M0.hex2"),
)
"""The sources of each program, in the order in which they are joined."""

THERE = [names for names in PROGRAMS if all((SOURCES / name).exists() for name in names)]


def assemble(sources: dict[str, bytes]) -> Assembly:
    """The joined sources, assembled by the model of their language."""
    (language,) = {Path(name).suffix for name in sources}
    if language == ".hex2":
        return hex2.assemble([SourceText(name, text) for name, text in sources.items()])
    ((name, text),) = sources.items()
    if language == ".hex1":
        return hex1.assemble(text, name)
    assert language == ".hex0"
    return hex0.assemble(text, name)


@pytest.mark.parametrize("names", THERE, ids="+".join)
def test_the_annotations_are_right(names: tuple[str, ...]) -> None:
    sources = {name: (SOURCES / name).read_bytes() for name in names}
    assert complaints(sources, assemble(sources)) == []


def test_no_source_is_left_out() -> None:
    there = {f.name for f in SOURCES.iterdir() if f.suffix in (".hex0", ".hex1", ".hex2")}
    assert there == {name for names in THERE for name in names}


RIGHT = b"""\
#     table = 08050000   bss
7F 45         # 00  EI_MAG  the beginning
58            # 08048002  pop eax  why
31 C9         # 08048003  xor ecx, ecx  why
3C 3A         # 08048005  cmp al, ':'  why
8B 86 04 00 05 08  # 08048007  mov eax, [esi + table + 4]  why
74 F0         # 0804800d  jz 08047fff  why
00            # 0804800f  data  a zero
AC            # 08048010  lodsb  why
"""


@pytest.mark.parametrize(
    ("what", "instead", "complaint"),
    [
        (b"pop eax", b"pop ecx", "x:3: says 'pop ecx', but it is 'pop eax'"),
        (b"08048003", b"08048004", "x:4: says 08048004, but the byte is at offset 3"),
        (b"jz 08047fff", b"jz 08047ffe", "x:7: says 'jz 08047ffe', but it is 'je 0x8047fff'"),
        (b"58  ", b"58 58", "x:3: not one instruction"),
        (b"8B 86", b"3B 86", "x:6: says 'mov eax"),
        (b"31 C9", b"0F 0B", "x:4: says 'xor ecx, ecx', but it is 'ud2'"),
        (b"31 C9", b"31", "x:4: not one instruction: []"),
        (b"xor ecx, ecx  why", b"xor ecx, ecx", "x:4: does not say why"),
        (b"# 08048003", b"", "x:4: not an annotation"),
        (b"# 00", b"# 01", "x:2: says 01, but the byte is at offset 0"),
        (b"':'", b"';'", "x:5: says"),
        (b"table + 4", b"table + 5", "x:6: says"),
    ],
)
def test_a_wrong_annotation_is_noticed(what: bytes, instead: bytes, complaint: str) -> None:
    assert complaints({"x": RIGHT}, hex0.assemble(RIGHT, "x")) == []
    assert RIGHT.count(what) == 1
    wrong = {"x": RIGHT.replace(what, instead)}
    assert complaints(wrong, hex0.assemble(wrong["x"], "x"))[0].startswith(complaint)


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("call get", "call 0x8048100"),
        ("mov byte [edi], 10", "mov byte ptr [edi], 0xa"),
        ("push -4", "push 0xfffffffc"),
        ("xchg edi, eax", "xchg eax, edi"),
        ("rep movsd", "rep movsd dword ptr es:[edi], dword ptr [esi]"),
        ("mov [get + 0xff], al", "mov byte ptr [0x80481ff], al"),
        ("mov eax, [ebp - 4]", "mov eax, dword ptr [ebp - 4]"),
        ("mov eax, [get + esi*4]", "mov eax, dword ptr [esi*4 + 0x8048100]"),
    ],
)
def test_spellings_of_one_instruction(written: str, same: str) -> None:
    assert plain(written, {"get": 0x08048100}) == plain(same, {})
