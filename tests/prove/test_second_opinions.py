"""The same steps on other CPUs: one source that takes every step of a certificate."""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrap.prove.check import step
from tests.prove.material import OTHERS, X86, document, seed

QEMU = {"x86": "i386", "AMD64": "x86_64", "AArch64": "aarch64"}


def taking_every_step(arch: str) -> tuple[bytes, bytes]:
    """A source, and what the certificate says that it gives."""
    proof = document(arch)
    dialect = proof["language"]["G"], proof["language"]["CR"]
    states = [
        {byte: to for first, last, to in row["next"] for byte in range(first, last + 1)}
        for row in proof["states"]
    ]
    words: dict[int, bytes] = {0: b""}  # to each state
    while more := {
        to: word + bytes((byte,))
        for at, word in words.items()
        for byte, to in states[at].items()
        if to not in words
    }:
        words |= more
    assert len(words) == len(states)
    source = b""
    for word in words.values():
        for byte in range(256):
            # A comment is ended, and a digit follows one that waits: back to where all words begin.
            piece = word + bytes((byte,)) + b"\n"
            now: tuple[bool, int | None] = (False, None)
            for one in piece:
                now, _ = step(now, one, *dialect)
            source += piece + (b"" if now[1] is None else b"0")
    now, output = (False, None), b""
    for one in source:
        now, written = step(now, one, *dialect)
        output += written
    return source, output


def given(command: list[str], program: bytes, source: bytes, folder: Path) -> bytes:
    (folder / "seed").write_bytes(program)
    (folder / "seed").chmod(0o700)
    (folder / "in").write_bytes(source)
    done = subprocess.run(
        [*command, "./seed", "in", "out"], cwd=folder, env={}, timeout=120, check=False
    )
    assert done.returncode == 0
    return (folder / "out").read_bytes()


@pytest.mark.parametrize("by", ["host", "qemu"])
@pytest.mark.parametrize("arch", ["x86", *OTHERS])
def test_another_cpu_takes_every_step_alike(
    arch: str, by: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    qemu = shutil.which(f"qemu-{QEMU.get(arch, arch)}")
    if by == "qemu" and qemu is None:
        pytest.skip(f"qemu-user for {arch} is not installed")
    if by == "host" and (arch not in ("x86", "AMD64") or platform.machine() != "x86_64"
                         or platform.system() != "Linux"):  # fmt: skip
        pytest.skip("the host is of another kind than the seed")
    program = X86 if arch == "x86" else seed(request.getfixturevalue("release"), arch)
    source, due = taking_every_step(arch)
    assert given([qemu] if by == "qemu" and qemu else [], program, source, tmp_path) == due


@pytest.mark.upstream
@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="the host is of another kind than the seed",
)
def test_amd64_without_an_output_writes_to_the_descriptor_of_the_errno(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    (tmp_path / "seed").write_bytes(seed(request.getfixturevalue("release"), "AMD64"))
    (tmp_path / "seed").chmod(0o700)
    (tmp_path / "in").write_bytes(b"41 42\n")
    done = subprocess.run(
        ["./seed", "in", "missing/out"], cwd=tmp_path, env={}, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"\x04\x14")  # ENOENT is 2
