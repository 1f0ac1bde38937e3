"""Guest programs from machine code for all five architectures, and ways to run them.

No compiler is needed. A program is the same list of calls on each architecture; only the bytes
differ. Instructions: Intel SDM volume 2; Arm ARM, C6; RISC-V Instruction Set Manual, volume I.
"""

from __future__ import annotations

import functools
import io
import os
import resource
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from bootstrap.core.abi import AT_FDCWD, SIGCHLD
from bootstrap.core.arches import AARCH64, AMD64, ARCHES, RISCV32, RISCV64, X86, Arch
from bootstrap.core.errors import Limits
from bootstrap.core.files import Directory, Inode, RegularFile, Stream
from bootstrap.core.machine import Machine, RunResult
from bootstrap.core.paths import FileSystem, plain_parts
from bootstrap.core.syscalls import ROWS

CODE, DATA = 0x40_0000, 0x80_0000
"""Where the two segments go; both fit in 31 bits, so every address is a 32-bit immediate."""
PAGE = 4096
R, W, X = 4, 2, 1
PT_LOAD, PT_INTERP, PT_GNU_STACK = 1, 3, 0x6474E551
EHDR = {4: struct.Struct("<16sHHIIIIIHHHHHH"), 8: struct.Struct("<16sHHIQQQIHHHHHH")}
PHDR = {4: struct.Struct("<IIIIIIII"), 8: struct.Struct("<IIQQQQQQ")}
EACH_ARCH = pytest.mark.parametrize("arch", ARCHES, ids=[arch.name for arch in ARCHES])
ON_X86 = pytest.mark.parametrize("arch", [X86, AMD64], ids=[X86.name, AMD64.name])


def number_of(arch: Arch, name: str) -> int | None:
    """The number of a call of the core, where the architecture has it."""
    for row in ROWS:
        for key in arch.call_tables:
            if row.name == name and key in row.numbers:
                return row.numbers[key]
    return None


@dataclass(frozen=True)
class Cell:
    """A word in guest memory, given as an argument by its content."""

    guest_addr: int


@dataclass(frozen=True)
class Load:
    """A program header and the bytes of its part of the file."""

    vaddr: int
    data: bytes
    flags: int
    memory_size: int | None = None
    kind: int = PT_LOAD


def elf(
    arch: Arch, entry: int, segments: list[Load], kind: int = 2, machine: int | None = None
) -> bytes:
    """An ELF file: header, program headers, then each segment at a page's start."""
    ehdr, phdr = EHDR[arch.word], PHDR[arch.word]
    ident = b"\x7fELF" + bytes((arch.elf_class, 1, 1)) + bytes(9)
    machine = arch.elf_machines[0] if machine is None else machine
    head = ehdr.pack(ident, kind, machine, 1, entry, ehdr.size, 0, 0, ehdr.size, phdr.size,
                     len(segments), 0, 0, 0)  # fmt: skip
    image = bytearray(head + bytes(phdr.size * len(segments)))
    for index, segment in enumerate(segments):
        image += bytes(-len(image) % PAGE)
        offset, size = len(image), len(segment.data)
        image += segment.data
        memory = size if segment.memory_size is None else segment.memory_size
        place = (offset, segment.vaddr, segment.vaddr, size, memory)
        row = (segment.kind, *place, segment.flags, PAGE)
        if arch.word == 8:
            row = (segment.kind, segment.flags, *place, PAGE)
        phdr.pack_into(image, ehdr.size + index * phdr.size, *row)
    return bytes(image)


def tiny(size: int) -> bytes:
    """A program header from byte 4 on, within the ELF header; what is cut off is zero."""
    base = 0x10000
    text = b"\x7fELF" + struct.pack("<IIIHHIII", 1, 0, base, 2, 3, base + 32, base + 32, 4)
    text += bytes.fromhex("b32a 31c0 40 cd80 909090") + struct.pack("<HH", 32, 1)  # exit(42)
    return text.ljust(64, b"\0")[:size]


# Instructions. A register is an index into a system call's registers: 0 is the number's, 1 to 6
# are the arguments'; RESULT is where the result comes.

RESULT = 7
_Jump = Callable[[int], bytes]
"""A jump by so many bytes from its own start; "" before a condition means always."""


class _X86:
    trap = bytes.fromhex("cd80")
    _immediate = ("b8", "bb", "b9", "ba", "be", "bf", "bd", "b8")
    _memory = ("8b05", "8b1d", "8b0d", "8b15", "8b35", "8b3d", "8b2d", "8b05")
    _conditions: Mapping[str, str] = {
        "": "e9",
        "call": "e8",
        "flag not zero": "0f85",
        "zero": "0f84",
        "not zero": "0f85",
        "negative": "0f88",
    }
    _test = "85c0"
    _store = "a3"
    _size = 4

    def set(self, register: int, value: int) -> bytes:
        mask = (1 << (8 * self._size)) - 1
        return bytes.fromhex(self._immediate[register]) + (value & mask).to_bytes(
            self._size, "little"
        )

    def load(self, register: int, guest_addr: int) -> bytes:
        return bytes.fromhex(self._memory[register]) + struct.pack("<I", guest_addr)

    def store(self, guest_addr: int) -> bytes:
        return bytes.fromhex(self._store) + guest_addr.to_bytes(self._size, "little")

    def jump(self, condition: str, distance: int) -> bytes:
        test = self._test if condition in ("zero", "not zero", "negative") else ""
        before = bytes.fromhex(test + self._conditions[condition])
        return before + struct.pack("<i", distance - len(before) - 4)


class _Amd64(_X86):
    trap = bytes.fromhex("0f05")
    _immediate = ("48b8", "48bf", "48be", "48ba", "49ba", "49b8", "49b9", "48b8")
    _memory = ("488b0425", "488b3c25", "488b3425", "488b1425", "4c8b1425", "4c8b0425",
               "4c8b0c25", "488b0425")  # fmt: skip
    _test = "4885c0"
    _store = "48a3"
    _size = 8


def _words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *(value & 0xFFFFFFFF for value in values))


class _AArch64:
    trap = _words(0xD4000001)
    _number = (8, 0, 1, 2, 3, 4, 5, 0)

    def set(self, register: int, value: int) -> bytes:
        return self._set(self._number[register], value)

    @staticmethod
    def _set(x: int, value: int) -> bytes:
        parts = [value >> 16 * k & 0xFFFF for k in range(4)]
        first, *rest = (0xF2800000 | k << 21 | part << 5 | x for k, part in enumerate(parts))
        return _words(first & ~0x20000000, *rest)  # movz, movk, movk, movk

    def load(self, register: int, guest_addr: int) -> bytes:
        return self._set(9, guest_addr) + _words(0xF9400000 | 9 << 5 | self._number[register])

    def store(self, guest_addr: int) -> bytes:
        return self._set(9, guest_addr) + _words(0xF9000000 | 9 << 5)

    def jump(self, condition: str, distance: int) -> bytes:
        steps = distance // 4
        if condition == "negative":
            return _words(0xB7F80000 | (steps & 0x3FFF) << 5)  # tbnz x0, #63
        if condition:
            return _words({"zero": 0xB4000000, "not zero": 0xB5000000}[condition]
                          | (steps & 0x7FFFF) << 5)  # fmt: skip
        return _words(0x14000000 | steps & 0x3FFFFFF)


class _RiscV:
    trap = _words(0x73)
    _number = (17, 10, 11, 12, 13, 14, 15, 10)

    def __init__(self, word: int) -> None:
        self._width, self._add = (3, 0x1B) if word == 8 else (2, 0x13)

    def set(self, register: int, value: int) -> bytes:
        return self._set(self._number[register], value)

    def _set(self, x: int, value: int) -> bytes:
        low = value & 0xFFF
        high = value + 0x800 >> 12 & 0xFFFFF
        return _words(high << 12 | x << 7 | 0x37, low << 20 | x << 15 | x << 7 | self._add)

    def load(self, register: int, guest_addr: int) -> bytes:
        x = self._number[register]
        return self._set(5, guest_addr) + _words(5 << 15 | self._width << 12 | x << 7 | 0x03)

    def store(self, guest_addr: int) -> bytes:
        return self._set(5, guest_addr) + _words(10 << 20 | 5 << 15 | self._width << 12 | 0x23)

    def jump(self, condition: str, distance: int) -> bytes:
        if condition:
            kind = {"zero": 0, "not zero": 1, "negative": 4}[condition]
            d = distance
            return _words((d >> 12 & 1) << 31 | (d >> 5 & 0x3F) << 25 | 10 << 15 | kind << 12
                          | (d >> 1 & 0xF) << 8 | (d >> 11 & 1) << 7 | 0x63)  # fmt: skip
        d = distance
        return _words((d >> 20 & 1) << 31 | (d >> 1 & 0x3FF) << 21 | (d >> 11 & 1) << 20
                      | (d >> 12 & 0xFF) << 12 | 0x6F)  # fmt: skip


_CODERS: Mapping[str, _X86 | _AArch64 | _RiscV] = {
    X86.name: _X86(),
    AMD64.name: _Amd64(),
    AARCH64.name: _AArch64(),
    RISCV64.name: _RiscV(8),
    RISCV32.name: _RiscV(4),
}


@dataclass
class Program:
    """A guest program under construction."""

    arch: Arch
    code: bytearray = field(default_factory=bytearray)
    memory: bytearray = field(default_factory=bytearray)
    labels: dict[str, int] = field(default_factory=dict)
    _jumps: list[tuple[int, str, str]] = field(default_factory=list)

    @property
    def here(self) -> int:
        """Address of the next instruction."""
        return CODE + len(self.code)

    # Data.

    def data(self, content: bytes) -> int:
        """Put bytes into the data segment; their address, a multiple of 16."""
        self.memory += bytes(-len(self.memory) % 16)
        at = DATA + len(self.memory)
        self.memory += content
        return at

    def text(self, content: bytes) -> int:
        """A C string."""
        return self.data(content + b"\0")

    def space(self, size: int = 8) -> int:
        return self.data(bytes(size))

    def words(self, *values: int) -> int:
        """An array of words, for argv and envp."""
        word, mask = self.arch.word, self.arch.word_mask
        return self.data(b"".join((v & mask).to_bytes(word, "little") for v in values))

    # Code.

    def raw(self, content: bytes | str) -> Self:
        """Machine code, as bytes or in hex."""
        self.code += bytes.fromhex(content) if isinstance(content, str) else content
        return self

    def label(self, name: str) -> Self:
        assert name not in self.labels
        self.labels[name] = len(self.code)
        return self

    def jump(self, name: str, condition: str = "") -> Self:
        """Jump where the result is "zero", "not zero" or "negative"; always without a condition.

        On x86 also: "call", and "flag not zero", of what an instruction before left.
        """
        self._jumps.append((len(self.code), name, condition))
        return self.raw(_CODERS[self.arch.name].jump(condition, 0))

    def store(self, guest_addr: int) -> Self:
        """The result register into a word of memory."""
        return self.raw(_CODERS[self.arch.name].store(guest_addr))

    def load(self, guest_addr: int, register: int = RESULT) -> Self:
        """A word of memory into the result register."""
        return self.raw(_CODERS[self.arch.name].load(register, guest_addr))

    def call(self, name: str | int, *args: int | Cell) -> Self:
        """A system call by name or number; an argument is a number or a Cell."""
        coder = _CODERS[self.arch.name]
        for register, arg in enumerate(args, 1):
            if isinstance(arg, Cell):
                self.load(arg.guest_addr, register)
            else:
                self.raw(coder.set(register, arg))
        number = number_of(self.arch, name) if isinstance(name, str) else name
        assert number is not None, name
        return self.raw(coder.set(0, number)).raw(coder.trap)

    def at(self, name: str, *args: int | Cell) -> Self:
        """`open`, `access`, `chmod` or `unlink`, or the form with a directory where it is all that
        there is."""
        if number_of(self.arch, name) is not None:
            return self.call(name, *args)
        names = {"open": "openat", "access": "faccessat", "chmod": "fchmodat", "unlink": "unlinkat"}
        return self.call(names[name], AT_FDCWD, *args, *([0] * (name == "unlink")))

    def fork(self) -> Self:
        if number_of(self.arch, "fork") is not None:
            return self.call("fork")
        return self.call("clone", SIGCHLD, 0, 0, 0, 0)

    def wait(self, pid: int | Cell = -1, status: int = 0) -> Self:
        """For a child; where there is no wait4, `status` is not stored to."""
        if number_of(self.arch, "wait4") is not None:
            return self.call("wait4", pid, status, 0, 0)
        return self.call("waitid", 0, 0, 0, 4, 0)  # P_ALL, WEXITED

    def report(self) -> Self:
        """The result, a word, to descriptor 1."""
        cell = self.space()
        return self.store(cell).call("write", 1, cell, self.arch.word)

    def exit(self, code: int | Cell = 0) -> Self:
        return self.call("exit", code)

    # The file.

    def elf(self, code_flags: int = R | X, stack: int | None = R | W) -> bytes:
        """The program as an ELF file; `stack` None leaves PT_GNU_STACK out."""
        coder = _CODERS[self.arch.name]
        for at, name, condition in self._jumps:
            jump = coder.jump(condition, self.labels[name] - at)
            self.code[at : at + len(jump)] = jump
        segments = [Load(CODE, bytes(self.code), code_flags)]
        if self.memory:
            segments.append(Load(DATA, bytes(self.memory), R | W))
        if stack is not None:
            segments.append(Load(0, b"", stack, kind=PT_GNU_STACK))
        return elf(self.arch, CODE, segments)


def file_at(files: FileSystem, path: bytes) -> RegularFile | None:
    """The regular file at a plain absolute path, no link followed; None where none is."""
    here: Inode | None = files.root
    for name in plain_parts(path):
        here = here.lookup(name) if isinstance(here, Directory) else None
    return here if isinstance(here, RegularFile) else None


# Running.


MACHINE: type[Machine] = Machine
"""What `run` runs guests on: tests/instruments runs the same guests on other CPUs."""


@dataclass
class Ran:
    """A guest that has run."""

    result: RunResult
    output: bytes
    machine: Machine
    files: FileSystem

    @property
    def status(self) -> int:
        """As a shell gives it: the exit code, or 128 and the signal."""
        return shell_status(self.result.status)

    def words(self, size: int) -> list[int]:
        """What it wrote, as signed words."""
        return signed_words(self.output, size)


def shell_status(wait_status: int) -> int:
    signal = wait_status & 0x7F
    return 128 + signal if signal else wait_status >> 8


def signed_words(raw: bytes, size: int) -> list[int]:
    return [int.from_bytes(raw[i : i + size], "little", signed=True)
            for i in range(0, len(raw), size)]  # fmt: skip


def laid_out(files: Mapping[bytes, bytes], limits: Limits | None = None) -> FileSystem:
    """A file system with these files, all executable."""
    system = FileSystem(limits)
    for path, data in files.items():
        system.add_file(path, data, 0o755)
    return system


def run(
    image: bytes | Program,
    files: Mapping[bytes, bytes] | None = None,
    argv: Sequence[bytes] = (b"./guest",),
    envp: Sequence[bytes] = (),
    stdin: bytes = b"",
    limits: Limits | None = None,
    path: bytes = b"/guest",
    new_machine: Callable[..., Machine] | None = None,
) -> Ran:
    """Run one guest as /guest. Raises what Machine.run raises."""
    image = image.elf() if isinstance(image, Program) else image
    system = laid_out({b"/guest": image, **(files or {})}, limits)
    output = io.BytesIO()
    machine = (new_machine or MACHINE)(system, limits=limits)
    read, write = io.BytesIO(stdin).read, output.write
    streams = (Stream(read), Stream(None, write), Stream(None, write))
    result = machine.run(path, argv, envp, streams=streams)
    return Ran(result, output.getvalue(), machine, system)


@dataclass(frozen=True)
class Native:
    """A guest that has run on the host's kernel."""

    status: int
    output: bytes

    def words(self, size: int) -> list[int]:
        return signed_words(self.output, size)


def _prepare() -> None:
    import ctypes

    ctypes.CDLL(None).personality(0x0040000)  # ADDR_NO_RANDOMIZE
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, resource.RLIM_INFINITY))


def native(
    image: bytes | Program,
    files: Mapping[bytes, bytes] | None = None,
    argv: Sequence[bytes] = (b"./guest",),
    envp: Mapping[bytes, bytes] | None = None,
) -> Native:
    """Run one guest on the host, in a folder of its own, without address randomisation.

    Raises OSError with execve's errno.
    """
    image = image.elf() if isinstance(image, Program) else image
    with tempfile.TemporaryDirectory() as outer:
        # One further down: what a guest does with ".." it does to a folder of ours too.
        folder = Path(outer, "root")
        for path, data in {b"guest": image, **(files or {})}.items():
            place = folder / os.fsdecode(path.lstrip(b"/"))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            place.chmod(0o755)
        done = subprocess.run(
            argv, executable="./guest", cwd=folder, env=envp or {}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, preexec_fn=_prepare, timeout=30, check=False,
        )  # fmt: skip
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return Native(status, done.stdout)


@functools.cache
def why_not_native(arch: Arch) -> str | None:
    """Why guests of this architecture cannot be run on the host; None where they can."""
    if sys.platform != "linux":
        return f"this host is {sys.platform}, not Linux"
    try:
        status = native(Program(arch).exit(7)).status
    except (OSError, subprocess.SubprocessError) as error:
        return f"this host does not run {arch.name} programs: {error}"
    return None if status == 7 else f"this host runs {arch.name} programs, but not rightly"


def need_native(arch: Arch) -> None:
    """Skip, in words, where the host cannot run guests of this architecture."""
    reason = why_not_native(arch)
    if reason is not None:
        pytest.skip(reason)


def alike(
    guest: Program, *expected: int, files: Mapping[bytes, bytes] | None = None, status: int = 0
) -> Ran:
    """The words that it writes, here and, where the host can, natively; and how it ends."""
    image = guest.elf()
    ran = run(image, files)
    assert (ran.status, ran.words(guest.arch.word)) == (status, list(expected))
    if why_not_native(guest.arch) is None:
        there = native(image, files)
        assert (there.status, there.words(guest.arch.word)) == (status, list(expected))
    return ran
