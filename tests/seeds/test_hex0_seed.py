"""The seed and its annotated source are each other: phase 0."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path

import pytest

from bootstrap.languages.hex0 import assemble
from tests.seeds import host

SHA256 = "f74dcf9cef2aee9eb7723eca755849d474fccd89662947021d1aa08429d23c13"
INSTRUCTION = re.compile(r"^((?:[0-9A-F]{2} )+) *# ([0-9a-f]{8})  (\S[^.]*?)(?:  |$)")


@pytest.fixture
def seed(checkout: Path) -> bytes:
    return (checkout / "seeds" / "x86" / "hex0-seed").read_bytes()


@pytest.fixture
def source(checkout: Path) -> bytes:
    return (checkout / "seeds" / "x86" / "hex0.hex0").read_bytes()


def test_it_is_the_published_seed(seed: bytes) -> None:
    assert len(seed) == 181
    assert hashlib.sha256(seed).hexdigest() == SHA256


def test_it_may_be_executed(checkout: Path) -> None:
    assert (checkout / "seeds" / "x86" / "hex0-seed").stat().st_mode & 0o111


def test_the_model_turns_the_source_into_the_seed(seed: bytes, source: bytes) -> None:
    assembly = assemble(source, "hex0.hex0")
    assert assembly.output == seed
    assert assembly.oddities == ()


@pytest.mark.skipif(host.why_not() is not None, reason=str(host.why_not()))
def test_the_host_turns_the_source_into_the_seed(seed: bytes, source: bytes) -> None:
    assert host.run(source) == seed


def test_every_byte_is_explained(source: bytes) -> None:
    assembly = assemble(source, "hex0.hex0")
    assert [i for i, origin in enumerate(assembly.map) if not origin.comment] == []


def test_the_offsets_and_addresses_in_the_comments_are_right(source: bytes) -> None:
    entry = 0x4C
    assembly = assemble(source, "hex0.hex0")
    line = 0
    for offset, origin in enumerate(assembly.map):
        if origin.line == line:
            continue
        line = origin.line
        said = int(origin.comment.split()[0], 16)
        assert said == (offset if offset < entry else 0x08048000 + offset), f"line {line}"


def test_the_instructions_are_what_capstone_reads(seed: bytes, source: bytes) -> None:
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    read = {
        i.address: (bytes(i.bytes), f"{i.mnemonic} {i.op_str}".strip())
        for i in disassembler.disasm(seed[0x4C:], 0x0804804C)
    }
    written = {}
    for line in source.decode().splitlines():
        if match := INSTRUCTION.match(line):
            written[int(match[2], 16)] = (bytes.fromhex(match[1]), match[3])
    assert list(written) == list(read)
    for address, (code, mnemonic) in read.items():
        assert written[address][0] == code
        assert _plain(written[address][1]) == _plain(mnemonic)


def _plain(instruction: str) -> str:
    """One spelling of an instruction: no sizes, the short names of jumps, numbers in hex."""
    instruction = re.sub(r"(?:byte|dword) ptr ", "", instruction)
    instruction = re.sub(r"\bxchg eax, edi\b", "xchg edi, eax", instruction)
    instruction = re.sub(r"\b0x([0-9a-f]+)\b", lambda m: f"{int(m[1], 16):x}", instruction)
    return re.sub(r"\b0+(?=[1-9a-f][0-9a-f]{5})", "", instruction)


def test_the_program_header_overlaps_the_elf_header(seed: bytes) -> None:
    phoff, ehsize, phentsize, phnum = (
        *struct.unpack_from("<I", seed, 0x1C),
        *struct.unpack_from("<HHH", seed, 0x28),
    )
    assert (phoff, ehsize, phentsize, phnum) == (0x2C, 0x34, 0x20, 1)
    assert struct.unpack_from("<8I", seed, phoff) == (
        1,
        0,
        0x08048000,
        0x08048000,
        181,
        181,
        1,
        1,
    )
    assert phoff + phentsize == 0x4C
