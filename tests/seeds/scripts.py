"""Runs kaem with a script, small programs for it to start and an environment, each way there is."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from bootstrap.core.files import Stream
from bootstrap.instruments import Engine, default_engine
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, MemoryLower
from bootstrap.linux.machine import Machine
from tests.seeds import host, tools


def elf(code: str) -> bytes:
    """An i386 program of this code, in hexadecimal."""
    text = bytes.fromhex(code)
    size = 84 + len(text)
    base = 0x08048000
    header = struct.pack("<8I", 1, 0, base, base, size, size, 5, 0x1000)
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    sizes = 52, 32, 1, 0, 0, 0
    return ident + struct.pack("<HHIIIII6H", 2, 3, 1, base + 84, 52, 0, 0, *sizes) + header + text


SHOW = elf(
    "31F6"  # xor esi, esi       0: the arguments; -1: the environment
    "58"  # pop eax              argc
    "59"  # next: pop ecx        the next string, or the 0 after the last
    "85C9"  # test ecx, ecx
    "7414"  # je last
    "31D2"  # xor edx, edx
    "42"  # count: inc edx
    "807C11FF00"  # cmp byte [ecx + edx - 1], 0
    "75F8"  # jne count
    "6A01 5B"  # ebx = 1
    "6A04 58"  # eax = 4
    "CD80"  # write(1, string, its length with the NUL)
    "EBE7"  # jmp next
    "F7D6"  # last: not esi
    "85F6"  # test esi, esi
    "75E1"  # jne next           the environment follows the arguments
    "31DB"  # xor ebx, ebx
    "6A01 58"  # eax = 1
    "CD80"  # exit(0)
)
"""A program that writes its arguments and its environment, a NUL after each string."""


def ending(status: int) -> bytes:
    """A program that ends with this status."""
    return elf(f"6A{status:02X} 5B 6A01 58 CD80")


PROGRAMS = {
    "show": SHOW,
    "good": ending(0),
    "one": ending(1),
    "seven": ending(7),
    # ud2: SIGILL ends it.
    "killed": elf("0F0B"),
    # No program at all.
    "text": b"hello\n",
    "empty": b"",
}


@dataclass(frozen=True)
class Case:
    """What kaem is run with: its own arguments, and files besides PROGRAMS.

    There is also a folder named ``folder`` and the file ``unexecutable``, which is a program that
    nobody may execute.
    """

    arguments: Sequence[str]
    files: Mapping[str, bytes]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """The exit status (a signal's number, negated) and what was written to standard output."""

    status: int
    stdout: bytes


Runner = Callable[[bytes, Case], Ended]


def emulated(engine: Engine, kaem: bytes, case: Case) -> Ended:
    """A run in the emulator."""
    lower: dict[bytes, LowerFile | LowerFolder] = {
        b"/there/" + name.encode(): LowerFile(0o755, data)
        for name, data in {**PROGRAMS, "kaem": kaem}.items()
    }
    for name, data in {**case.files, "unexecutable": ending(0)}.items():
        lower[b"/there/" + name.encode()] = LowerFile(0o644, data)
    lower[b"/there/folder"] = LowerFolder()
    written = bytearray()

    def write(data: bytes) -> int:
        written.extend(data)
        return len(data)

    silent, stdout = Stream(), Stream(write=write)
    ended = Machine(OverlayFileSystem(MemoryLower(lower)), engine).run(
        b"/there/kaem",
        [b"./kaem", *(a.encode() for a in case.arguments)],
        [f"{name}={value}".encode() for name, value in case.environment.items()],
        cwd=b"/there",
        streams=(silent, stdout, silent),
    )
    return Ended(os.waitstatus_to_exitcode(ended.status), bytes(written))


def on_the_host(kaem: bytes, case: Case) -> Ended:
    """A run on the host's kernel."""
    with tempfile.TemporaryDirectory() as folder:
        there = Path(folder)
        programs = {**PROGRAMS, "kaem": kaem}
        for name, data in {**programs, **case.files, "unexecutable": ending(0)}.items():
            (there / name).write_bytes(data)
            (there / name).chmod(0o755 if name in programs else 0o644)
        (there / "folder").mkdir()
        done = subprocess.run(
            ["./kaem", *case.arguments],
            cwd=there,
            env=case.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=tools.SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout)


def _on(engine: Engine) -> Runner:
    def run(kaem: bytes, case: Case) -> Ended:
        return emulated(engine, kaem, case)

    return run


_WHY_NOT = host.why_not()

ON_THE_HOST = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))

EACH = pytest.mark.parametrize(
    "run",
    [
        pytest.param(on_the_host, id="on the host", marks=ON_THE_HOST),
        pytest.param(_on(default_engine()), id="emulated"),
        pytest.param(_on(default_engine().in_python()), id="emulated, Python hot path"),
    ],
)
"""Parametrises a test's ``run`` with a Runner."""
