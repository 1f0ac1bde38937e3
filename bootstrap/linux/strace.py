"""System calls in strace's own notation.

After strace 6.1 with its defaults: strings of up to 32 characters, "=" in column 40, structures
abbreviated. What a call reads is printed as it was before the call, what it stores as it was after.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bootstrap.core.abi import O_CREAT, O_TMPFILE, Errno, LinuxError
from bootstrap.linux import strace_memory as stored
from bootstrap.linux import strace_values as values
from bootstrap.linux.events import BaseObserver, ExecEvent, Fault
from bootstrap.linux.flags import F_GETFD, F_GETFL
from bootstrap.linux.memory import AddressSpace
from bootstrap.linux.row import Kind, Result, Row

RESULT_COLUMN = 39
"""Where " = result" begins, in characters from the start of the line."""


_ERRNO = {int(errno): errno for errno in Errno}


@dataclass(frozen=True)
class Entered:
    """A call that has begun: what could be printed before the handler ran."""

    row: Row
    args: list[int]
    before: list[str | None]
    """Per argument its text; None for one that the call stores to."""


def enter(row: Row, args: list[int], memory: AddressSpace) -> Entered:
    """Print the arguments that the call reads, from `memory` as it is before the call."""
    before: list[str | None] = []
    for index, arg in enumerate(row.args):
        printer = stored.BEFORE.get(arg.kind)
        if printer is not None:
            before.append(printer(memory, args, index))
        elif arg.kind in stored.AFTER:
            before.append(None)
        else:
            before.append(values.plain(arg.kind, args[index]))
    return Entered(row, args, before)


def call_text(entered: Entered, result: int | None, memory: AddressSpace) -> str:
    """The call with all its arguments, once it has ended with `result` (-errno when it failed)."""
    row, args = entered.row, entered.args
    if row.name == "clone":
        flags, stack = args[:2]
        return f"clone(child_stack={values.address(stack)}, flags={values.clone_flags(flags)})"
    texts: list[str] = []
    for index, (arg, text) in enumerate(zip(row.args, entered.before, strict=True)):
        if text is None:
            if result is None or result < 0:
                failed = stored.FAILED.get(arg.kind)
                text = failed(memory, args, index) if failed else values.address(args[index])
            else:
                text = stored.AFTER[arg.kind](memory, args, index, result)
        if left_out(row, args, index):
            continue
        texts.append(text)
    return f"{row.name}({', '.join(texts)})"


def left_out(row: Row, args: list[int], index: int) -> bool:
    """Arguments that strace leaves out where they mean nothing."""
    kind, name = row.args[index]
    if kind in (Kind.OFF_HIGH, Kind.SEEK_HIGH):
        return True
    opens = (Kind.OPEN_FLAGS, Kind.OPEN_FLAGS_ARM)
    if kind is Kind.MODE and index and row.args[index - 1].kind in opens:
        return not args[index - 1] & (O_CREAT | O_TMPFILE & ~0o200000)
    if kind in (Kind.FCNTL_ARG, Kind.FCNTL_ARG_ARM):
        return args[index - 1] in (F_GETFD, F_GETFL)
    if kind is Kind.PTR and row.name == "ioctl" and values.FIONCLEX <= args[1] <= values.FIOCLEX:
        return True
    return name == "dev" and args[index - 1] & 0o170000 in (0, 0o100000)


def result_text(row: Row, args: list[int], result: int | None) -> str:
    """What stands after " = ": a number, an errno with its text, or ? for no return."""
    if result is None:
        return "?"
    errno = _ERRNO.get(-result)
    if errno is not None:
        return f"-1 {errno.name} ({errno.text})"
    if row.result is Result.HEX:
        return f"{result:#x}"
    if row.result is Result.OCTAL:
        return values.octal(result)
    if row.result in (Result.FCNTL, Result.FCNTL_ARM):
        return values.fcntl_result(args[1], result, row.result is Result.FCNTL_ARM)
    return str(result)


def line(call: str, result: str, prefix: str = "") -> str:
    """One line: prefix, call, " = " in its column, result."""
    return f"{prefix}{call}".ljust(RESULT_COLUMN) + f" = {result}"


def format_call(row: Row, args: list[int], result: int | None, memory: AddressSpace) -> str:
    """One call as a line, for when memory is the same before and after it."""
    call = call_text(enter(row, args, memory), result, memory)
    return line(call, result_text(row, args, result))


class Strace(BaseObserver):
    """An observer that prints every system call, signal and end of a process.

    `write` takes each line, without its newline; `memory_of` gives the memory of a live process.
    """

    wants_syscalls = True

    def __init__(
        self, write: Callable[[str], None], memory_of: Callable[[int], AddressSpace]
    ) -> None:
        self._write = write
        self._memory_of = memory_of
        self._entered: dict[int, Entered] = {}
        self._begun = False

    def on_exec(self, event: ExecEvent) -> None:
        # Any other exec is a system call, and printed as one.
        if not self._begun:
            argv = ", ".join(values.quote(argument) for argument in event.argv)
            variables = values.count_text(len(event.envp), "var", "vars")
            call = f"execve({values.quote(event.path, 4096)}, [{argv}], [{variables}])"
            self._write(line(call, "0", _prefix(event.pid)))
        self._begun = True

    def on_syscall_enter(self, pid: int, row: Row, args: list[int]) -> str:
        self._entered[pid] = enter(row, args, self._memory_of(pid))
        return ""

    def on_syscall_exit(self, pid: int, row: Row, entered: str, result: int | None) -> None:
        begun = self._entered.pop(pid)
        try:
            call = call_text(begun, result, self._memory_of(pid))
        except LinuxError:
            call = call_text(begun, None, self._memory_of(pid))
        self._write(line(call, result_text(row, begun.args, result), _prefix(pid)))

    def on_fault(self, pid: int, fault: Fault) -> None:
        name = values.SIGNALS.get(fault.signal, f"signal {fault.signal}")
        place = f", si_addr={fault.guest_addr:#x}" if fault.guest_addr is not None else ""
        self._write(f"{_prefix(pid)}--- {name} {{si_signo={name}{place}}} ---")

    def on_exit(self, pid: int, status: int, syscalls: int) -> None:
        if status & 0x7F:
            name = values.SIGNALS.get(status & 0x7F, f"signal {status & 0x7F}")
            self._write(f"{_prefix(pid)}+++ killed by {name} +++")
        else:
            self._write(f"{_prefix(pid)}+++ exited with {status >> 8} +++")


def _prefix(pid: int) -> str:
    return f"[pid {pid:5}] "
