"""What executes instructions: Unicorn, behind a small protocol.

Nothing else in the package imports unicorn, and importing this module does not either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bootstrap.core.arches import Arch
    from bootstrap.instruments.callbuffer import CallLog
    from bootstrap.instruments.counter import Stepping
    from bootstrap.linux.events import Fault
    from bootstrap.linux.memory import AddressSpace
    from bootstrap.linux.process import FdTable

OnTrap = Callable[[Sequence[int]], int | None]
"""Receives the system call number and six arguments; returns the result, or None to stop.

Must not raise: it is called from inside the engine.
"""


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the CPU stopped: a fault, the kernel's wish (`asked`), the place that `Cpu.stepping` was
    told (`reached`), or none of these: a time slice."""

    fault: "Fault | None" = None
    asked: bool = False
    reached: bool = False


@dataclass(frozen=True, slots=True)
class Travel:
    """What a CPU is made for that somebody travels with: to count, and perhaps to watch memory.

    Watching sees every load and store, and takes about three times as long. Counting by blocks is
    four times as quick as one by one, and stops between blocks only (blocks.py).
    """

    watching: bool = False
    blocks: bool = False


class Cpu(Protocol):
    """Runs one process image."""

    executed: int
    """Instructions so far; counted only under an instruction limit."""
    over_limit: bool
    stepping: "Stepping | None"
    """Counts instructions and stops at them, on a CPU that is made for travelling."""

    @property
    def pc(self) -> int:
        """Address of the next instruction."""

    @property
    def served(self) -> int:
        """System calls that the native hot path served without `on_trap`."""

    def start_at(self, pc: int, sp: int) -> None:
        """Registers as execve(2) leaves them: all zero but these two."""

    def run(self) -> Stop:
        """Go on until a fault, a trap that must stop, or a `pause` or an `interrupt`."""

    def pause(self) -> None:
        """From another thread: end `run` after the next system call, the end of a time slice."""

    def interrupt(self) -> None:
        """From another thread: end `run` at once, and for good. The guest cannot go on after it."""

    def set_result(self, result: int) -> None:
        """Give the trap's result to the guest."""

    def set_sp(self, sp: int) -> None:
        """The stack pointer, for clone(2)."""

    def registers(self) -> tuple[tuple[str, int], ...]:
        """The general registers, by name, in the customary order."""

    def save(self) -> dict[str, bytes]:
        """All registers, by name, as little-endian bytes."""

    def restore(self, saved: dict[str, bytes]) -> None:
        """What `save` gave. Raises ValueError."""

    def copy_state_to(self, child: "Cpu") -> None:
        """Give a forked child all registers."""

    def close(self) -> None:
        """Let go of the CPU and of the memory it points to."""


class Engine(Protocol):
    """Makes CPUs."""

    def cpu(
        self,
        abi: "Arch",
        memory: "AddressSpace",
        fds: "FdTable",
        on_trap: OnTrap,
        instruction_limit: int,
        log: "CallLog | None" = None,
    ) -> Cpu:
        """A CPU for one process image. `log` gets the calls that never come to `on_trap`."""

    def in_python(self) -> "Engine":
        """The same engine with every system call serviced in Python."""

    def travelling(self, travel: Travel) -> "Engine":
        """The same engine with CPUs that count instructions and stop at any of them."""

    def describe(self) -> dict[str, str]:
        """name, version, hot_path (native or python), hot_path_reason, exit_checks."""


def default_engine() -> Engine:
    """Unicorn, with the native hot path where there is one (BOOTSTRAP_HOT_PATH chooses)."""
    from bootstrap.instruments.unicorn_engine import UnicornEngine

    return UnicornEngine.load()


def describe() -> dict[str, str]:
    """What Engine.describe tells, of the default engine."""
    return default_engine().describe()
