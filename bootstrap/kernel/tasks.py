"""What a machine keeps of each process that runs, and how a run ends."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bootstrap.engine import Cpu
from bootstrap.kernel.events import Fault, Observer
from bootstrap.kernel.process import Control, Exec, Process
from bootstrap.kernel.row import Row

SIGSEGV = 11


@dataclass(slots=True)
class Task:
    """A process and the CPU that runs its present image."""

    process: Process
    cpu: Cpu
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


def no_image(control: Exec, reason: str, cpu: Cpu | None = None) -> Fault:
    """The fault of a program that cannot be made; `cpu` is of the one that called execve(2)."""
    name = control.path.decode("utf-8", "backslashreplace")
    pc, registers = (cpu.pc, cpu.registers()) if cpu is not None else (0, ())
    return Fault(SIGSEGV, f"{name}: {reason}", pc, None, registers, b"", program=name)
