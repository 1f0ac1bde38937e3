"""The machines that M1 and hex2 of mescc-tools can assemble for, as far as we do."""

from __future__ import annotations

import enum


class Architecture(enum.Enum):
    """A machine, by the name that ``--architecture`` has for it.  All are little-endian."""

    X86 = "x86"
    AMD64 = "amd64"
    AARCH64 = "aarch64"
    RISCV32 = "riscv32"
    RISCV64 = "riscv64"

    @property
    def in_words(self) -> bool:
        """Whether fields are put together into words of 32 bits, as RISC-V needs it."""
        return self in (Architecture.RISCV32, Architecture.RISCV64)
