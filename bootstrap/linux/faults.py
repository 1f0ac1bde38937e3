"""A fault in words: signal, address, instruction, registers."""

import capstone

from bootstrap.core import cpu
from bootstrap.linux.events import Faulted

_NAMES = {4: "SIGILL", 5: "SIGTRAP", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
MODES = {
    "i386": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
    "riscv32": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV32 | capstone.CS_MODE_RISCVC),
}
"""By Abi.name."""
_PER_LINE = 4


def signal_name(number: int) -> str:
    """SIGSEGV for 11, and so on; `signal N` for one that no fault gives."""
    return _NAMES.get(number, f"signal {number}")


def instruction(fault: Faulted) -> str:
    """The faulting instruction: its bytes and, where they are one, its assembly text."""
    if not fault.code:
        return f"{fault.pc:#x}: nothing can be read there"
    if fault.abi in MODES:
        for found in capstone.Cs(*MODES[fault.abi]).disasm(fault.code, fault.pc, 1):
            text = f"{found.mnemonic} {found.op_str}".strip()
            return f"{fault.pc:#x}: {bytes(found.bytes).hex(' ')}  {text}"
    return f"{fault.pc:#x}: {fault.code.hex(' ')}  (no instruction)"


def describe(fault: cpu.Fault) -> tuple[str, ...]:
    """The fault as lines: what happened, where, and the registers, as far as they are known."""
    if not isinstance(fault, Faulted):
        fault = Faulted(fault.signal, fault.reason, fault.pc)
    width = max((len(name) for name, _ in fault.registers), default=0)
    digits = 8 if fault.abi in ("i386", "riscv32") else 16
    cells = [f"{name:>{width}} {value:0{digits}x}" for name, value in fault.registers]
    rows = ["  ".join(cells[i : i + _PER_LINE]) for i in range(0, len(cells), _PER_LINE)]
    return (
        f"{signal_name(fault.signal)}: {fault.reason}",
        f"instruction {instruction(fault)}",
        *rows,
    )
