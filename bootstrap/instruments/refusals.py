"""Hooks for instructions that Linux refuses to programs and that Unicorn's user mode does not."""

import ctypes
from collections.abc import Callable
from typing import Protocol

from unicorn import UC_HOOK_EDGE_GENERATED, UC_HOOK_INSN
from unicorn import x86_const as x86
from unicorn.unicorn_py3.unicorn import uc_tb

from bootstrap.instruments.exceptions import SIGILL, SIGSEGV
from bootstrap.instruments.forbidden import reads_counter

_SYSCALL = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_IN = ctypes.CFUNCTYPE(
    ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_void_p
)
_OUT = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p
)
_EDGE = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(uc_tb), ctypes.POINTER(uc_tb), ctypes.c_void_p
)

End = Callable[[int, str], None]
"""Ends the process: signal and reason."""
ReadCode = Callable[[int, int], bytes]
"""Readable bytes: guest address and size."""


class AddHook(Protocol):
    """Adds one Unicorn hook: kind, callback, user data, and what else uc_hook_add takes."""

    def __call__(
        self, kind: int, callback: object, user_data: int | None = None, *more: int
    ) -> None: ...


def install(abi_name: str, add_hook: AddHook, end: End, read_code: ReadCode) -> None:
    """Add the hooks that this ABI needs."""

    def port_in(_uc: int, _port: int, _size: int, _user: int) -> int:
        end(SIGSEGV, "port input in user mode")
        return 0

    def port_out(_uc: int, _port: int, _size: int, _value: int, _user: int) -> None:
        end(SIGSEGV, "port output in user mode")

    def syscall(_uc: int, _user: int) -> None:
        end(SIGILL, "the `syscall` instruction in a 32-bit program")

    def sysenter(_uc: int, _user: int) -> None:
        end(SIGILL, "the `sysenter` instruction outside the vDSO")

    def translated(
        _uc: int, tb: "ctypes._Pointer[uc_tb]", _before: "ctypes._Pointer[uc_tb]", _user: int
    ) -> None:
        if reads_counter(read_code(tb.contents.pc, tb.contents.size)):
            end(SIGILL, "reads a cycle or instruction counter: the guest has no clock")

    if abi_name in ("i386", "x86_64"):
        add_hook(UC_HOOK_INSN, _IN(port_in), None, x86.UC_X86_INS_IN)
        add_hook(UC_HOOK_INSN, _OUT(port_out), None, x86.UC_X86_INS_OUT)
    if abi_name == "i386":
        # Some CPUs have `syscall` in 32-bit code too; Linux's vDSO hides it from programs.
        add_hook(UC_HOOK_INSN, _SYSCALL(syscall), None, x86.UC_X86_INS_SYSCALL)
        add_hook(UC_HOOK_INSN, _SYSCALL(sysenter), None, x86.UC_X86_INS_SYSENTER)
    if abi_name in ("riscv64", "riscv32"):
        add_hook(UC_HOOK_EDGE_GENERATED, _EDGE(translated))
