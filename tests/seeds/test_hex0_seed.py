"""The seed and its annotated source are each other: phase 0."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path

import capstone
import pytest
from elftools.elf.elffile import ELFFile

from bootstrap.languages.hex0 import assemble
from tests.seeds import runners

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


@runners.EACH
def test_the_seed_turns_the_source_into_itself(
    seed: runners.Runner, source: bytes, checkout: Path
) -> None:
    assert seed(source) == (checkout / "seeds" / "x86" / "hex0-seed").read_bytes()


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


def test_the_headers_are_what_the_source_says(seed: bytes) -> None:
    # pyelftools: a reader that is not ours.
    elf = ELFFile(io.BytesIO(seed))
    header = elf.header
    assert (header["e_type"], header["e_machine"]) == ("ET_EXEC", "EM_386")
    assert (header["e_entry"], header["e_phoff"], header["e_phnum"]) == (0x0804804C, 0x2C, 1)
    assert (header["e_ehsize"], header["e_phentsize"]) == (0x34, 0x20)
    assert (header["e_shoff"], header["e_shnum"], header["e_shentsize"]) == (0, 0, 0)
    (segment,) = elf.iter_segments()
    assert (segment["p_type"], segment["p_offset"]) == ("PT_LOAD", 0)
    assert (segment["p_vaddr"], segment["p_paddr"]) == (0x08048000, 0x08048000)
    assert (segment["p_filesz"], segment["p_memsz"]) == (181, 181)
    assert (segment["p_flags"], segment["p_align"]) == (1, 1)
