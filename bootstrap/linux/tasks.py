"""What a machine keeps of each process that runs, and how a run ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bootstrap.core.errors import GuestFailed
from bootstrap.instruments.instrumented import InstrumentedCpu
from bootstrap.linux.events import Fault, Observer
from bootstrap.linux.process import Control, Exec, Process
from bootstrap.linux.row import Row, Support
from bootstrap.linux.table import number_names

SIGSEGV = 11
NUMBER = 0xFFFFFFFF
"""x86-64 takes the call's number from eax (arch/x86/entry/common.c, do_syscall_64)."""


@dataclass(slots=True)
class Task:
    """A process and the CPU that runs its present image."""

    process: Process
    cpu: InstrumentedCpu
    rows: dict[int, Row]
    pending: Control | None = None
    args: Sequence[int] = ()
    """Number and argument registers of the present system call, for who notes calls."""
    arity: int = 0
    """How many arguments it has."""
    entered: list[tuple[Observer, Row, str]] = field(default_factory=list)
    used: float = 0.0
    """Host CPU seconds that the process took so far, for the limit only."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run's first process ended."""

    status: int
    """Wait status: exit code * 256, or a signal number (wait(2))."""
    fault: Fault | None
    """The last fault of any process, if there was one."""
    fault_pid: int | None = None


def no_image(control: Exec, reason: str, cpu: InstrumentedCpu | None = None) -> Fault:
    """The fault of a program that cannot be made; `cpu` is of the one that called execve(2)."""
    name = control.path.decode("utf-8", "backslashreplace")
    pc, registers = (cpu.pc, cpu.registers()) if cpu is not None else (0, ())
    return Fault(SIGSEGV, f"{name}: {reason}", pc, None, registers, b"", program=name)


def unknown_call(task: Task, args: Sequence[int], row: Row | None) -> GuestFailed:
    """What to raise for a system call that nobody serves."""
    number = args[0] & NUMBER
    name = row.name if row else number_names(task.process.abi.name).get(number, "unknown")
    values = ", ".join(f"{value:#x}" for value in args[1:])
    why = f": {row.note}" if row is not None and row.note else ""
    if row is not None and row.level is Support.PROBED:
        why += " (`bootstrap run` lets it fail with ENOSYS; a run that is judged does not)"
    return GuestFailed(f"system call {number} ({name}) is not supported{why}; arguments ({values})")


def placed(task: Task, args: Sequence[int], error: GuestFailed) -> GuestFailed:
    """The same error with program, pid and place."""
    row = task.rows.get(args[0] & NUMBER)
    call = f", in {row.name}" if row is not None and row.handler is not None else ""
    return GuestFailed(
        f"{error} [{task.process.program}, pid {task.process.pid}, "
        f"system call {task.process.syscalls}{call}, pc {task.cpu.pc:#x}]"
    )
