"""Upstream's hex1: each step proven with z3, and what is proven held against the model."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.cli.main import main
from bootstrap.core.arches import ARCHES
from bootstrap.core.errors import BootstrapError
from bootstrap.languages import hex0
from bootstrap.languages.hex1 import assemble
from bootstrap.prove import hex1
from bootstrap.sources import SourceTree
from tests.prove.material import X86


def upstreams(release: SourceTree, arch: str) -> bytes:
    """As hex0 makes it."""
    return hex0.assemble(release.files[f"{arch}/hex1_{arch}.hex0"].data, "hex1").output


def refused(program: bytes, arch: str, fc_ends: bool) -> str:
    (abi,) = (abi for abi in ARCHES if abi.upstream == arch)
    return hex1.prove(program, abi, hex1.LAYOUTS[abi.name]._replace(fc_ends=fc_ends)).refused


def run(source: bytes, fc_ends: bool) -> bytes | None:
    """What `hex1.step` makes of a source; None where it does not end, or nothing is said."""
    now, output = hex1.Hex1State(), b""
    for _ in range(2):
        for byte in (*source, None):
            if not hex1.covered(now, byte):
                return None
            second, cells = now.second, defaultdict(int, now.cells)
            now, written = hex1.step(now, byte, fc_ends, cells.__getitem__)
            output += b"".join((n % (1 << 8 * k)).to_bytes(k, "little") for n, k in written)
            if now.ended or now.second != second:
                break
    return output if now.ended else None


@pytest.mark.upstream
@pytest.mark.parametrize("arch", ["x86", pytest.param("AMD64", marks=pytest.mark.exhaustive)])
def test_upstreams_hex1_is_hex1_for_every_input(
    arch: str, release: SourceTree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "hex1").write_bytes(upstreams(release, arch))
    assert main(["prove", "--language", "hex1", str(tmp_path / "hex1")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "16 states at read(2), 4,096 steps" in lines[1]
    assert lines[-1] == "PROVEN for all other inputs: it is hex1"
    assert any("the byte fc" in line for line in lines) == (arch == "AMD64")


@pytest.mark.upstream
@pytest.mark.parametrize(
    "arch, old, new, why",
    [
        ("x86", "83c704", "83c703", "it holds something else than hex1 does, after byte"),
        ("x86", "29f8", "01f8", "it writes something else than hex1 does, after byte"),
        ("x86", "c1e604", "c1e603", "it writes something else than hex1 does, after byte"),
        ("x86", "05b1820408", "05b0820408", "it holds something else than hex1 does, after byte"),
        ("x86", "b813000000", "b814000000", "getpid at 0x80480ad is not as hex1 needs it"),
        ("x86", "b813000000", "b813ff0000", "a system call that Linux does not have"),
        ("x86", "cd80", "cd81", "the instruction int 0x81 is not known here"),
        ("x86", "a3a9820408", "a3aa820408", "read at 0x804824b is not as hex1 needs it"),
        ("x86", "83f8fc", "83f9fc", "the branch hangs on what has no value"),
        ("x86", "f7d5", "0fa2", "the instruction cpuid is not known here"),
        ("x86", "f7d5", "88e0", "the instruction mov al, ah is not known here"),
        ("x86", "5b5bb9", "58508b", "an address hangs on what has no value"),
        # mov [there], al; xor ebx, ebx; push there: 1; pop eax; int 0x80: as it ends.
        ("x86", "bb00000000b801000000cd80", "a23282040831db6a0158cd80", "it changes its own code"),
        # push 0; pop ecx; mov dword [esp], 0x8048001: another name in place of argv[2].
        ("x86", "5bb900000000ba00000000", "5b6a0059c7042401800408", "it does not open its two arg"),
        ("x86", "a3ad820408", "a3bd820408", "its table is not empty at the start"),
        # exit(0) before the first pass; write again and again.
        (
            "x86",
            "bdffffffffbe00000000",
            "31db6a0158cd80909090",
            "it writes or ends before it reads",
        ),
        ("x86", "b804000000cd80c3", "6a0458cd80ebf9c3", "it writes more than hex1 does, at"),
        # shl r13, 64 moves nothing; mov [rsp+n], eax: far below, and over the text of argv.
        ("AMD64", "49c7c500000000", "49c1e5404989c8", "shl r13, 0x40 is not known here"),
        ("AMD64", "49c7c600000000", "898424000000ff", "it uses the stack -16777184 bytes"),
        ("AMD64", "49c7c600000000", "898424c8000000", "it stores above its arguments"),
        ("AMD64", "4983c501", "458d6d01", "it holds something else than hex1 does, after byte 48"),
        ("AMD64", "4c8928", "4c8929", "it holds something else than hex1 does, after byte 1 in l"),
        ("AMD64", "3cfc", "3cfb", "it writes something else than hex1 does, after byte None"),
    ],
)
def test_what_is_another_program_is_not_proven(
    arch: str, old: str, new: str, why: str, release: SourceTree
) -> None:
    program = upstreams(release, arch)
    assert bytes.fromhex(old) in program
    changed = program.replace(bytes.fromhex(old), bytes.fromhex(new))
    assert why in refused(changed, arch, arch == "AMD64")


@pytest.mark.upstream
def test_a_program_of_which_linux_makes_other_memory_is_not_proven(release: SourceTree) -> None:
    """Bytes after the segment fill the table of labels; a segment that is none, or lies askew."""
    program = upstreams(release, "x86")
    for at, new, why in (
        (len(program), b"\1" * 64, "its memory is not its file"),
        (0x34, b"\5", "is no program of one segment"),
        (0x3C, b"\4", "its segment is not aligned"),
        (0x3C, bytes(4), "segment is not where every Linux puts one"),
    ):
        assert why in refused(program[:at] + new + program[at + len(new) :], "x86", False)


@pytest.mark.upstream
def test_what_is_peculiar_is_not_left_out(release: SourceTree) -> None:
    assert "after byte 252" in refused(upstreams(release, "AMD64"), "AMD64", False)


@given(st.lists(st.sampled_from([*b"09afAF:%:%ab \t\n;#\r", b"#x\n"]), max_size=40))
def test_its_hex1_is_the_models(pieces: list[int | bytes]) -> None:
    """Where the model takes the source; a carriage return ends no comment of the model."""
    source = b"".join(one if isinstance(one, bytes) else bytes((one,)) for one in pieces) + b"\n"
    source = source.replace(b"\r", b"\n")
    try:
        due = assemble(source, "x").output
    except BootstrapError:
        return
    assert run(source, False) == run(source, True) == due


def test_what_it_is_asked_for_in_vain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seed").write_bytes(X86)
    assert main(["prove", "--language", "hex1", str(tmp_path / "seed")]) == 1
    assert "NOT PROVEN: its memory is not its file" in capsys.readouterr().out
    for options in (["--svg", "x"], ["--arch", "riscv64"]):
        assert main(["prove", "--language", "hex1", str(tmp_path / "seed"), *options]) == 2
        assert capsys.readouterr().err.count("\n") == 1
