"""System calls in strace's own notation.

After strace 6.1 with its defaults: strings of up to 32 characters, "=" in column 40, structures
abbreviated. What a call reads is printed as it was before the call, what it stores as it was after.
"""

from collections.abc import Callable, Sequence

from bootstrap.core.abi import O_CREAT, O_TMPFILE, Errno, LinuxError
from bootstrap.core.arches import Arch
from bootstrap.core.syscalls import Syscall
from bootstrap.linux import strace_memory as stored
from bootstrap.linux import strace_values as values
from bootstrap.linux.events import CallBegan, CallEnded, Event, Executed, Exited
from bootstrap.linux.filesystem import absolute
from bootstrap.linux.flags import F_GETFD, F_GETFL
from bootstrap.linux.memory import VirtualMemory
from bootstrap.linux.row import parameters

RESULT_COLUMN = 39
"""Where " = result" begins, in characters from the start of the line."""


_ERRNO = {int(errno): errno for errno in Errno}


def before(row: Syscall, args: Sequence[int], memory: VirtualMemory) -> list[str | None]:
    """Per argument its text, from memory as it is before the call; None for what it stores to."""
    found: list[str | None] = []
    for index, (word, _) in enumerate(parameters(row.arguments)):
        printer = stored.BEFORE.get(word)
        if printer is not None:
            found.append(printer(memory, args, index))
        elif word in stored.AFTER:
            found.append(None)
        else:
            found.append(values.plain(word, args[index]))
    return found


def call_text(
    row: Syscall, args: Sequence[int], known: Sequence[str | None], result: int | None,
    memory: VirtualMemory,
) -> str:  # fmt: skip
    """The call with all its arguments, once it has ended with `result` (-errno when it failed);
    `known` is what `before` gave."""
    if row.name == "clone":
        flags, stack = args[:2]
        return f"clone(child_stack={values.address(stack)}, flags={values.clone_flags(flags)})"
    texts: list[str] = []
    for index, ((word, _), text) in enumerate(zip(parameters(row.arguments), known, strict=True)):
        if text is None:
            if result is None or result < 0:
                failed = stored.FAILED.get(word)
                text = failed(memory, args, index) if failed else values.address(args[index])
            else:
                text = stored.AFTER[word](memory, args, index, result)
        if left_out(row, args, index):
            continue
        texts.append(text)
    return f"{row.name}({', '.join(texts)})"


def left_out(row: Syscall, args: Sequence[int], index: int) -> bool:
    """Arguments that strace leaves out where they mean nothing."""
    words = parameters(row.arguments)
    word, name = words[index]
    if word in ("off_high", "seek_high"):
        return True
    if word == "mode" and index and words[index - 1][0] == "open_flags":
        return not args[index - 1] & (O_CREAT | O_TMPFILE & ~0o200000)
    if word == "fcntl_arg":
        return args[index - 1] in (F_GETFD, F_GETFL)
    if word == "ptr" and row.name == "ioctl" and values.FIONCLEX <= args[1] <= values.FIOCLEX:
        return True
    return name == "dev" and args[index - 1] & 0o170000 in (0, 0o100000)


def result_text(arch: Arch, row: Syscall, args: Sequence[int], result: int | None) -> str:
    """What stands after " = ": a number, an errno with its text, or ? for no return."""
    if result is None:
        return "?"
    errno = _ERRNO.get(-result)
    if errno is not None:
        return f"-1 {errno.name} ({errno.text})"
    if row.result == "hex":
        return f"{result:#x}"
    if row.result == "octal":
        return values.octal(result)
    if row.result == "fcntl":
        return values.fcntl_result(arch, args[1], result)
    return str(result)


def line(call: str, result: str, prefix: str = "") -> str:
    """One line: prefix, call, " = " in its column, result."""
    return f"{prefix}{call}".ljust(RESULT_COLUMN) + f" = {result}"


class Strace:
    """A listener that prints every system call, signal and end of a process, of a machine that
    makes an event of each call. `write` takes each line, without its newline."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._known: dict[int, list[str | None]] = {}
        self._begun = False

    def __call__(self, event: Event) -> None:
        """See Listener."""
        if isinstance(event, CallEnded):
            self._call(event)
        elif isinstance(event, CallBegan):
            self._known[event.pid] = before(event.call.row, event.args, event.memory)
        elif isinstance(event, Executed) and not self._begun:
            # Any other exec is a system call, and printed as one.
            self._begun = True
            program = event.program
            argv = ", ".join(values.quote(argument) for argument in program.argv)
            variables = values.count_text(len(program.envp), "var", "vars")
            path = values.quote(absolute(event.base, program.path), 4096)
            self._write(line(f"execve({path}, [{argv}], [{variables}])", "0", _prefix(event.pid)))
        elif isinstance(event, Exited):
            self._end(event)

    def _call(self, event: CallEnded) -> None:
        row, known, memory = event.call.row, self._known.pop(event.pid), event.memory
        try:
            call = call_text(row, event.args, known, event.result, memory)
        except LinuxError:
            call = call_text(row, event.args, known, None, memory)
        result = result_text(memory.arch, row, event.args, event.result)
        self._write(line(call, result, _prefix(event.pid)))

    def _end(self, event: Exited) -> None:
        prefix, fault, signal = _prefix(event.pid), event.fault, event.status & 0x7F
        name = values.SIGNALS.get(signal, f"signal {signal}")
        if fault is not None:
            place = f", si_addr={fault.guest_addr:#x}" if fault.guest_addr is not None else ""
            self._write(f"{prefix}--- {name} {{si_signo={name}{place}}} ---")
        if signal:
            self._write(f"{prefix}+++ killed by {name} +++")
        else:
            self._write(f"{prefix}+++ exited with {event.status >> 8} +++")


def _prefix(pid: int) -> str:
    return f"[pid {pid:5}] "
