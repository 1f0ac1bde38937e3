"""System calls on a bare PC as lines: each `int 80h`, with its arguments and its result.

In strace's notation, as `bootstrap run --strace` prints it. What a call returns is seen at the
instruction after the `int`: a hook there, with the same stack pointer. Numbers and names are
i386 Linux's (arch/x86/entry/syscalls/syscall_32.tbl), which builder-hex0 takes over; its kernel
answers every number that it does not know with 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

from unicorn import unicorn_const as uc

from bootstrap.core.abi import O_CREAT
from bootstrap.linux.strace_values import address, octal, open_flags, quote
from bootstrap.machines.pc import Interrupt, Pc

_CALLS = {
    1: ("exit", "d"), 2: ("fork", ""), 3: ("read", "dbd"), 4: ("write", "dbd"),
    5: ("open", "sfo"), 6: ("close", "d"), 7: ("waitpid", "dxd"), 10: ("unlink", "s"),
    11: ("execve", "sax"), 12: ("chdir", "s"), 15: ("chmod", "so"), 19: ("lseek", "ddd"),
    33: ("access", "sd"), 39: ("mkdir", "so"), 45: ("brk", "x"), 114: ("wait4", "dxdx"),
    122: ("uname", "x"), 183: ("getcwd", "xd"),
}  # fmt: skip
"""Name and arguments: numbers (d, x, o), open's flags (f), a path (s), bytes whose count comes next
(b), an argument vector (a)."""
EXIT, FORK, READ, WRITE, OPEN, EXECVE, LSEEK, BRK = 1, 2, 3, 4, 5, 11, 19, 45
USER = 0x08000000
"""Programs are loaded above it; the kernel's own shell makes its calls from below."""
_COLUMN = 39


@dataclass
class PcCall:
    """A call that has begun."""

    number: int
    arguments: tuple[int, ...]
    pid: int
    esp: int
    before: str
    """Its arguments, as far as they can be printed before it is done."""


class CallLog:
    """Gives each call to `ended` when it is over, with its result: None for one that does not
    return. Processes are numbered as they are forked: 0 is the kernel's shell, 1 the first program.
    """

    def __init__(self, ended: Callable[[Pc, PcCall, int | None], object]) -> None:
        self._ended = ended
        self._pids = [0]
        self._last = 1
        self._pending: dict[int, list[PcCall]] = {}
        """Calls by the address that they return to; the innermost last."""
        self._hooked: set[int] = set()

    def taken(self, pc: Pc, interrupt: Interrupt) -> None:
        """For `Pc(on_interrupt=...)`: a call begins."""
        eax, ebx, ecx, edx, esi, edi, _ = interrupt.registers
        number, arguments = eax & 0xFF, (ebx, ecx, edx, esi, edi)
        if interrupt.vector != 0x80:
            return
        user = interrupt.back >= USER
        if user and self._pids == [0]:
            self._pids.append(1)
        call = PcCall(number, arguments, self._pids[-1], interrupt.esp, "")
        call.before = _text(pc, call)
        if number in (EXIT, EXECVE):
            self._ended(pc, call, None)
            if number == EXIT and user:
                self._pids.pop()
            return
        if interrupt.back not in self._hooked:
            self._hooked.add(interrupt.back)
            back = interrupt.back
            pc.uc.hook_add(uc.UC_HOOK_CODE, lambda *_: self._back(pc, back), None, back, back)
            pc.uc.ctl_remove_cache(back, back + 1)
        self._pending.setdefault(interrupt.back, []).append(call)

    def _back(self, pc: Pc, address: int) -> None:
        """The guest is where a call returns to: a fork does so twice."""
        calls = self._pending.get(address)
        if not calls or calls[-1].esp != pc.register("esp"):
            return
        call, result = calls[-1], pc.register("eax")
        if call.number != FORK or result:
            calls.pop()
        else:
            self._last += 1
            self._pids.append(self._last)
        signed = result - (1 << 32) if result >> 31 else result
        self._ended(pc, call, signed)


def name(number: int) -> str:
    """Of a system call."""
    return _CALLS[number][0] if number in _CALLS else f"call {number}"


def string(pc: Pc, at: int) -> bytes:
    end = pc.ram.find(b"\0", at, at + 4096)
    return pc.ram[at : end if end >= 0 else at + 4096]


def argv(pc: Pc, vector: int) -> list[bytes]:
    """The words of an argument vector, at most 4,096."""
    words = []
    for i in range(4096):
        at = int.from_bytes(pc.ram[vector + 4 * i : vector + 4 * i + 4], "little")
        if not at:
            break
        words.append(string(pc, at))
    return words


def path(pc: Pc, call: PcCall) -> str:
    """The path that is a call's first argument."""
    return string(pc, call.arguments[0]).decode("utf-8", "surrogateescape")


def _text(pc: Pc, call: PcCall) -> str:
    name, kinds = _CALLS.get(call.number, (f"syscall_{call.number}", "xxx"))
    texts = []
    for i, (kind, value) in enumerate(zip(kinds, call.arguments, strict=False)):
        if kind == "s":
            texts.append(quote(string(pc, value)))
        elif kind == "b" and call.number == WRITE:
            texts.append(quote(pc.ram[value : value + min(call.arguments[i + 1], 33)]))
        elif kind == "a":
            texts.append(f"[{', '.join(quote(word) for word in argv(pc, value))}]")
        elif kind in "xb":
            texts.append(address(value))
        elif kind == "f":
            texts.append(open_flags(value))
        elif kind == "o":
            if call.number != OPEN or call.arguments[1] & O_CREAT:
                texts.append(octal(value))
        else:
            texts.append(str(value - (1 << 32) if value >> 31 else value))
    return f"{name}({', '.join(texts)})"


def line(pc: Pc, call: PcCall, result: int | None) -> str:
    """One line; of a read, with what was read."""
    text = call.before
    if call.number == READ and result is not None and result > 0:
        fd, buffer, count = call.arguments[:3]
        text = f"read({fd}, {quote(pc.ram[buffer : buffer + min(result, 33)])}, {count})"
    shown = "?" if result is None else str(result)
    return f"[pid {call.pid:5}] {text}".ljust(_COLUMN) + f" = {shown}"
