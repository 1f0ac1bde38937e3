"""Runs an i386 program on this machine's own CPU, one instruction at a time, and writes down all
general registers before each:

    python -I single_step.py OUT STACK ESP PIDS PROGRAM ARG ...

STACK is a file with what lies on the stack from ESP (hexadecimal) up: it replaces what the kernel
put there, which differs from host to host (auxv). PIDS are the numbers, with commas between, that
children get one after the other, as in a PID namespace. OUT gets a row of ten little-endian words
for each instruction: eip eax ebx ecx edx esi edi ebp esp eflags; the first row of all is what the
kernel itself began with. Only the program's own process is followed.

An instruction with a REP prefix is one row: a CPU traps after each of its rounds.
Ends with the program's exit status, or 100 and more where this does not work on this host.
"""

import ctypes
import os
import resource
import signal
import struct
import sys
from typing import NoReturn

CANNOT, KILLED = 100, 101
FORK, WAITPID, WAIT4 = 2, 7, 114
USER32_CS = 0x23
# sys/ptrace.h, sys/personality.h
TRACEME, PEEKTEXT, POKEDATA, SINGLESTEP, GETREGS, SETREGS = 0, 1, 5, 9, 12, 13
SETOPTIONS, EXITKILL = 0x4200, 1 << 20
ADDR_NO_RANDOMIZE = 0x0040000
_STRING = frozenset((*range(0x6C, 0x70), *range(0xA4, 0xA8), *range(0xAA, 0xB0)))
_PREFIXES = frozenset((0x66, 0x67, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0xF2, 0xF3))

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


class Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp "
            "ss fs_base gs_base ds es fs gs"
        ).split()
    )

    def row(self) -> bytes:
        """The ten words."""
        r = self
        values = (r.rip, r.rax, r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp, r.rsp, r.eflags)
        return struct.pack("<10I", *(value & 0xFFFF_FFFF for value in values))


def fail(said: str, status: int = CANNOT) -> NoReturn:
    print(said, file=sys.stderr)
    sys.exit(status)


class Stepper:
    """A program that is stopped."""

    def __init__(self, pid: int, names: list[int]) -> None:
        self._pid, self._names = pid, names
        self._host: dict[int, int] = {}
        """By the number that the program knows, the child's on this host."""
        self.registers = Registers()

    def ptrace(self, request: int, addr: int = 0, data: object = 0) -> int:
        found: int = _libc.ptrace(request, self._pid, addr, data)
        if found < 0 and request != PEEKTEXT:
            fail(f"ptrace {request}: {os.strerror(ctypes.get_errno())}")
        return found

    def get(self) -> None:
        self.ptrace(GETREGS, 0, ctypes.addressof(self.registers))

    def set(self) -> None:
        self.ptrace(SETREGS, 0, ctypes.addressof(self.registers))

    def stopped(self) -> int:
        """The signal at the process's next stop; the end of this program with the process."""
        _, status = os.waitpid(self._pid, 0)
        if os.WIFEXITED(status):
            sys.exit(os.WEXITSTATUS(status))
        if os.WIFSIGNALED(status):
            fail(f"killed by signal {os.WTERMSIG(status)}", KILLED)
        return os.WSTOPSIG(status)

    def step(self) -> None:
        """One instruction, and the registers after it."""
        number = 0
        while number != signal.SIGTRAP:
            self.ptrace(SINGLESTEP, 0, number)
            number = self.stopped()
            # SIGCHLD says that a child has ended, and is ignored.
            if number not in (signal.SIGTRAP, signal.SIGCHLD):
                fail(f"signal {number}", KILLED)
        self.get()

    def code(self) -> bytes:
        """What comes next; zeros where nothing can be read."""
        word = self.ptrace(PEEKTEXT, self.registers.rip)
        return struct.pack("<q", word)

    def call(self) -> None:
        """A system call in which pids are those that the program knows."""
        registers = self.registers
        number, wanted = registers.rax, registers.rbx
        waits = number in (WAITPID, WAIT4)
        if waits:
            registers.rbx = self._host.get(wanted, wanted)
            self.set()
        self.step()
        if number == FORK and 0 < registers.rax < 1 << 31:
            known = self._names.pop(0)
            self._host[known] = registers.rax
            registers.rax = known
            self.set()
        elif waits:
            registers.rbx = wanted
            back = {host: known for known, host in self._host.items()}
            registers.rax = back.get(registers.rax, registers.rax)
            self.set()


def repeats(code: bytes) -> bool:
    """Whether it begins with a string instruction that has a REP prefix: Intel SDM, REP."""
    opcode = code.lstrip(bytes(_PREFIXES))
    prefixes = code[: len(code) - len(opcode)]
    return opcode[:1] != b"" and opcode[0] in _STRING and (0xF2 in prefixes or 0xF3 in prefixes)


def begin(argv: list[str]) -> NoReturn:
    """The child."""
    resource.setrlimit(
        resource.RLIMIT_STACK, (8 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1])
    )
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc.personality(ctypes.c_ulong(ADDR_NO_RANDOMIZE))
    if not _libc.ptrace(TRACEME, 0, 0, 0):
        os.execve(argv[0], argv, os.environb)
    os._exit(CANNOT)


def main(out: str, stack: str, sp: str, names: str, *argv: str) -> None:
    # Tracer and program wait for each other: on one CPU that is many times as fast.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pid = os.fork()
    if not pid:
        begin(list(argv))
    one = Stepper(pid, [int(name) for name in names.split(",") if name])
    registers = one.registers
    if one.stopped() != signal.SIGTRAP:
        fail("it was not executed")
    one.ptrace(SETOPTIONS, 0, EXITKILL)
    one.get()
    if registers.cs != USER32_CS:
        fail("not a 32-bit program")
    with open(out, "wb") as rows, open(stack, "rb") as content:
        rows.write(registers.row())
        registers.rsp = int(sp, 16)
        one.set()
        for at in range(registers.rsp, 1 << 32, 8):
            word = content.read(8)
            if not word:
                break
            one.ptrace(POKEDATA, at, int.from_bytes(word, "little"))
        while True:
            rows.write(registers.row())
            before = registers.rip
            if names and one.code().startswith(b"\xcd\x80"):
                one.call()
                continue
            one.step()
            while registers.rip == before and repeats(one.code()):
                one.step()


if __name__ == "__main__":
    main(*sys.argv[1:])
