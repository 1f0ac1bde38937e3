"""The same steps on other CPUs: one source that takes every step of a certificate."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from bootstrap.prove.check import step
from tests.prove.material import OTHERS, X86, document, seed

QEMU = {"x86": "i386", "AMD64": "x86_64", "AArch64": "aarch64"}


def transitions(arch: str) -> list[dict[int, int]]:
    """Of each state of the certificate: byte to next state."""
    return [
        {byte: to for first, last, to in row["next"] for byte in range(first, last + 1)}
        for row in document(arch)["states"]
    ]


def taking_every_step(arch: str, bytes_taken: Iterable[int] = range(256)) -> tuple[bytes, bytes]:
    """A source, and what the certificate says that it gives."""
    language, states = document(arch)["language"], transitions(arch)
    dialect = language["G"], language["CR"]
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
        for byte in bytes_taken:
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
    called = f"qemu-{QEMU.get(arch, arch)}"
    qemu = shutil.which(f"{called}-static") or shutil.which(called)
    if by == "qemu" and qemu is None:
        pytest.skip(f"no {called} on this host (Debian: apt-get install qemu-user-static)")
    if by == "host" and (arch not in ("x86", "AMD64") or platform.machine() != "x86_64"
                         or platform.system() != "Linux"):  # fmt: skip
        pytest.skip("the host is of another kind than the seed")
    program = X86 if arch == "x86" else seed(request.getfixturevalue("release"), arch)
    source, due = taking_every_step(arch)
    assert given([qemu] if by == "qemu" and qemu else [], program, source, tmp_path) == due


_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_TRACEME, _SINGLESTEP, _GETREGS = 0, 9, 12
_REGISTERS = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss "
    "fs_base gs_base ds es fs gs"
).split()
"""sys/user.h: struct user_regs_struct of x86_64, of a program for x86 too."""


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="the host is of another kind than the seed",
)
@pytest.mark.parametrize(
    "arch, taken",
    [
        ("x86", b"\0\n#;9:Gg\xff"),
        ("AMD64", b"\n#9G\xff"),
        *(pytest.param(a, range(256), marks=pytest.mark.exhaustive) for a in ("x86", "AMD64")),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_the_hosts_cpu_is_in_the_states_of_the_certificate(
    arch: str, taken: Iterable[int], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """In single steps: at each read, what has a value has it."""
    program = X86 if arch == "x86" else seed(request.getfixturevalue("release"), arch)
    source, due = taking_every_step(arch, taken)
    (tmp_path / "in").write_bytes(source)
    (tmp_path / "seed").write_bytes(program)
    (tmp_path / "seed").chmod(0o700)
    rows, word = document(arch)["states"], 4 if arch == "x86" else 8
    places, moves = {int(row["at"], 16) for row in rows}, transitions(arch)
    registers = (ctypes.c_ulonglong * len(_REGISTERS))()
    child = subprocess.Popen(
        ["./seed", "in", "out"], cwd=tmp_path, env={},
        preexec_fn=lambda: _libc.ptrace(_TRACEME, 0, None, None),
    )  # fmt: skip
    state, read, first = 0, 0, 0
    with Path(f"/proc/{child.pid}/mem").open("rb", 0) as memory:
        while os.WIFSTOPPED(status := os.waitpid(child.pid, 0)[1]):
            _libc.ptrace(_GETREGS, child.pid, None, registers)
            now = dict(zip(_REGISTERS, registers, strict=True))
            first = first or now["rsp"]
            symbols = {"sp": first, "in": 3, "out": 4, "-out": 2**32 - 4}

            def number(value: str, symbols: dict[str, int] = symbols) -> int:
                name, _, plus = value.partition("+")
                return symbols[name] + int(plus or 0) if name in symbols else int(value, 16)

            if now["rip"] in places:
                row = rows[state]
                assert int(row["at"], 16) == now["rip"]
                for place, value in row["values"].items():
                    if place[0] == "[":
                        memory.seek(number(place.strip("[]")))
                        held = int.from_bytes(memory.read(word), "little")
                    else:
                        held = now["r" + place[1:]]
                    assert held == number(value), (state, place)
                if read < len(source):
                    state = moves[state][source[read]]
                read += 1
            _libc.ptrace(_SINGLESTEP, child.pid, None, None)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert (child.returncode, read) == (0, len(source) + 1)
    assert (tmp_path / "out").read_bytes() == due


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
