"""The Unicorn engine: one UnicornCpu per process image."""

from dataclasses import dataclass, replace

import unicorn

from bootstrap.core.arches import Arch
from bootstrap.core.errors import BadInput
from bootstrap.instruments import Cpu, Engine, OnTrap, Travel, exit_checks
from bootstrap.instruments import fastpath as native
from bootstrap.instruments.callbuffer import CallLog
from bootstrap.instruments.unicorn_cpu import UnicornCpu
from bootstrap.linux.memory import AddressSpace
from bootstrap.linux.process import FdTable

PINNED = "2.1.4"
"""The version whose TLB behaviour the tests vouch for; pyproject.toml pins the same."""


@dataclass(frozen=True)
class UnicornEngine:
    """Makes Unicorn CPUs, all on the same hot path."""

    hot: native.HotPath | None
    reason: str
    travel: Travel | None = None

    @classmethod
    def load(cls) -> "UnicornEngine":
        """Raises BadInput for another Unicorn than the pinned one, or an unusable hot path."""
        if unicorn.__version__ != PINNED:
            raise BadInput(
                f"Unicorn {unicorn.__version__} is installed; this version works with {PINNED} "
                f"only: pip install unicorn=={PINNED}"
            )
        hot, reason = native.load()
        return cls(hot, reason)

    def cpu(
        self,
        abi: Arch,
        memory: AddressSpace,
        fds: FdTable,
        on_trap: OnTrap,
        instruction_limit: int,
        log: CallLog | None = None,
    ) -> Cpu:
        """A CPU for one process image."""
        return UnicornCpu(abi, memory, fds, on_trap, self.hot, instruction_limit, log, self.travel)

    def in_python(self) -> Engine:
        """The same engine with every system call serviced in Python."""
        return replace(self, hot=None, reason="every system call is observed")

    def travelling(self, travel: Travel) -> Engine:
        """The same engine with CPUs that count instructions and stop at any of them."""
        return replace(self, travel=travel)

    def describe(self) -> dict[str, str]:
        """name, version, hot_path, hot_path_reason, exit_checks."""
        return {
            "name": "unicorn",
            "version": unicorn.__version__,
            "hot_path": "python" if self.hot is None else "native",
            "hot_path_reason": self.reason,
            "exit_checks": exit_checks.describe(),
        }
