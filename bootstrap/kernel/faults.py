"""A fault in words: signal, address, instruction, registers."""

import capstone

from bootstrap.kernel.events import Fault

_NAMES = {4: "SIGILL", 5: "SIGTRAP", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
_MODES = {
    "eip": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "rip": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
}
_PER_LINE = 4


def signal_name(number: int) -> str:
    """SIGSEGV for 11, and so on; `signal N` for one that no fault gives."""
    return _NAMES.get(number, f"signal {number}")


def instruction(fault: Fault) -> str:
    """The faulting instruction: its bytes and, where they are one, its assembly text."""
    if not fault.code:
        return f"{fault.pc:#x}: nothing can be read there"
    for name, _ in fault.registers:
        if name in _MODES:
            decoder = capstone.Cs(*_MODES[name])
            for found in decoder.disasm(fault.code, fault.pc, 1):
                text = f"{found.mnemonic} {found.op_str}".strip()
                return f"{fault.pc:#x}: {bytes(found.bytes).hex(' ')}  {text}"
    return f"{fault.pc:#x}: {fault.code.hex(' ')}  (no instruction)"


def describe(fault: Fault) -> tuple[str, ...]:
    """The fault as lines: what happened, where, and the registers."""
    width = max((len(name) for name, _ in fault.registers), default=0)
    digits = 16 if any(value >> 32 or name == "rip" for name, value in fault.registers) else 8
    cells = [f"{name:>{width}} {value:0{digits}x}" for name, value in fault.registers]
    rows = ["  ".join(cells[i : i + _PER_LINE]) for i in range(0, len(cells), _PER_LINE)]
    return (
        f"{signal_name(fault.signal)}: {fault.reason}",
        f"instruction {instruction(fault)}",
        *rows,
    )
