"""What is attached to the core's CPU from outside: counters, saved registers, the C fast path.

Importing this module does not load unicorn.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.core.cpu import OnTrap
    from bootstrap.instruments.callbuffer import CallBuffer
    from bootstrap.instruments.counter import Travel
    from bootstrap.instruments.fastpath import FastPath
    from bootstrap.instruments.instrumented import InstrumentedCpu
    from bootstrap.linux.process import LinuxProcess


@dataclass(frozen=True)
class Engine:
    """Makes the CPUs of a run, all with the same instruments."""

    hot: "FastPath | None"
    reason: str
    travel: "Travel | None" = None

    def cpu(
        self,
        process: "LinuxProcess",
        on_trap: "OnTrap",
        instruction_limit: int = 0,
        log: "CallBuffer | None" = None,
    ) -> "InstrumentedCpu":
        """A CPU for one process image. `log` gets the calls that never come to `on_trap`."""
        from bootstrap.instruments.fastpath import FastCpu
        from bootstrap.instruments.instrumented import InstrumentedCpu

        image = process.arch, process.memory, on_trap, instruction_limit, self.travel
        if self.hot is None:
            return InstrumentedCpu(*image)
        return FastCpu(self.hot, process.fds.files, log, *image)

    def in_python(self) -> "Engine":
        """The same engine with every system call serviced in Python."""
        return replace(self, hot=None, reason="every system call is observed")

    def travelling(self, travel: "Travel") -> "Engine":
        """The same engine with CPUs that count instructions and stop at any of them."""
        return replace(self, travel=travel)

    def describe(self) -> dict[str, str]:
        """name, version, hot_path (native or python), hot_path_reason, exit_checks."""
        import unicorn

        from bootstrap.instruments import exit_checks

        return {
            "name": "unicorn",
            "version": unicorn.__version__,
            "hot_path": "python" if self.hot is None else "native",
            "hot_path_reason": self.reason,
            "exit_checks": exit_checks.describe(),
        }


def default_engine() -> Engine:
    """Unicorn, with the native hot path where there is one (BOOTSTRAP_HOT_PATH chooses).

    Raises BadInput for another Unicorn than the pinned one, or an unusable hot path.
    """
    from bootstrap.core.cpu import require_pinned
    from bootstrap.instruments import fastpath

    require_pinned()
    return Engine(*fastpath.load())


def loaded_library() -> Path:
    """The file of Unicorn that is loaded, which LIBUNICORN_PATH may have chosen."""
    from unicorn.unicorn_py3.unicorn import uclib

    return Path(uclib._name)
