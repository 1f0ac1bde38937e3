"""What one row of a system call table holds.

A row couples a call's name, its typed arguments, the handler, how strace prints it, how far it is
supported and a note where that is not fully. After gVisor's table
(pkg/sentry/syscalls/linux/linux64.go) and blink's (blink/syscall.c).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

from bootstrap.core.arches import AARCH64


class Support(Enum):
    """How far a call does what Linux does."""

    FULL = "full"
    """As Linux, for everything a guest of this kernel can ask."""
    PARTIAL = "partial"
    """As Linux for the cases the note gives; any other case stops the run or fails as noted."""
    PROBED = "probed"
    """C libraries ask for it and can do without: it fails with ENOSYS, as in an older kernel, and
    is counted; it stops a run that somebody judges."""
    REFUSED = "refused"
    """Known by name only: calling it stops the run."""


class Width(Enum):
    """How a register becomes an argument: what C's conversion to the parameter's type does."""

    RAW = "register, unsigned"
    U32 = "low 32 bits, unsigned"
    S32 = "low 32 bits, signed"
    S64 = "64 bits, signed"
    ARM = "low 32 bits, unsigned; arm's open flags become the generic ones"


class Kind(Enum):
    """The type of an argument: its width, and what it means to whoever prints it."""

    FD = "fd", Width.S32
    DIRFD = "dirfd", Width.S32
    INT = "int", Width.S32
    UINT = "uint", Width.U32
    UID = "uid", Width.S32
    MODE = "mode", Width.U32
    FILE_MODE = "file_mode", Width.U32
    """File type and permissions."""
    LONG = "long", Width.RAW
    SIZE = "size", Width.RAW
    PTR = "ptr", Width.RAW
    OFF32 = "off32", Width.S32
    """A signed 32-bit file offset."""
    OFF64 = "off64", Width.S64
    """A signed 64-bit file offset in one register."""
    MAP_OFFSET = "map_offset", Width.RAW
    """A file offset in bytes, of mmap."""
    PAGE_OFFSET = "page_offset", Width.U32
    """A file offset in pages."""
    OFF_LOW = "off_low", Width.U32
    """Low half of an offset in two registers; the next argument is OFF_HIGH."""
    OFF_HIGH = "off_high", Width.U32
    SEEK_HIGH = "seek_high", Width.U32
    """High half of an offset in two registers; the next argument is SEEK_LOW."""
    SEEK_LOW = "seek_low", Width.U32
    PATH = "path", Width.RAW
    """Address of a NUL-terminated guest path."""
    STRING_OUT = "string_out", Width.RAW
    """Address where the call stores a string; its length comes from the result."""
    BUFFER_IN = "buffer_in", Width.RAW
    """Address of bytes the call reads; the next argument is their number."""
    BUFFER_OUT = "buffer_out", Width.RAW
    """Address where the call stores as many bytes as it returns."""
    IOV_IN = "iov_in", Width.RAW
    """Address of an array of struct iovec that the call reads; the next argument is its length."""
    IOV_OUT = "iov_out", Width.RAW
    """The same, of buffers that the call fills."""
    STRINGS = "strings", Width.RAW
    """Address of argv, a NULL-terminated array of string addresses."""
    ENVIRONMENT = "environment", Width.RAW
    STATUS_OUT = "status_out", Width.RAW
    """Address where a wait call stores an int wait status."""
    STAT_I386_OUT = "stat_i386_out", Width.RAW
    STAT64_I386_OUT = "stat64_i386_out", Width.RAW
    STAT_X86_64_OUT = "stat_x86_64_out", Width.RAW
    """Address where the call stores that ABI's struct stat."""
    STAT_GENERIC_OUT = "stat_generic_out", Width.RAW
    STATX_OUT = "statx_out", Width.RAW
    SIGINFO_OUT = "siginfo_out", Width.RAW
    """Address where waitid tells how a child ended."""
    UTSNAME_OUT = "utsname_out", Width.RAW
    OFFSET_OUT = "offset_out", Width.RAW
    """Address where _llseek stores a 64-bit offset."""
    DIRENTS64_OUT = "dirents64_out", Width.RAW
    """Address where getdents64 stores records; DIRENTS_OUT is getdents."""
    DIRENTS_OUT = "dirents_out", Width.RAW
    OPEN_FLAGS = "open_flags", Width.U32
    OPEN_FLAGS_ARM = "open_flags_arm", Width.ARM
    AT_FLAGS = "at_flags", Width.U32
    STATX_FLAGS = "statx_flags", Width.U32
    STATX_MASK = "statx_mask", Width.U32
    RENAME_FLAGS = "rename_flags", Width.U32
    WAIT_ID_TYPE = "wait_id_type", Width.S32
    DUP_FLAGS = "dup_flags", Width.U32
    UNLINKAT_FLAGS = "unlinkat_flags", Width.U32
    ACCESS_MODE = "access_mode", Width.S32
    WHENCE = "whence", Width.U32
    WAIT_OPTIONS = "wait_options", Width.S32
    CLONE_FLAGS = "clone_flags", Width.RAW
    PROT = "prot", Width.U32
    MAP_FLAGS = "map_flags", Width.U32
    MMAP_ARGUMENTS = "mmap_arguments", Width.RAW
    """Address of the six arguments of mmap."""
    FCNTL_CMD = "fcntl_cmd", Width.U32
    FCNTL_ARG = "fcntl_arg", Width.RAW
    FCNTL_ARG_ARM = "fcntl_arg_arm", Width.RAW
    IOCTL_CMD = "ioctl_cmd", Width.U32

    def __init__(self, label: str, width: Width) -> None:
        self.label = label
        self.width = width


class Result(Enum):
    """How a successful result is printed."""

    INT = "int"
    HEX = "hex"
    OCTAL = "octal"
    NONE = "none"
    """The call does not return."""
    FCNTL = "fcntl"
    """Depends on the fcntl command."""
    FCNTL_ARM = "fcntl_arm"
    """The same, with arm's open flags."""


class Arg(NamedTuple):
    """One argument: its kind and its name in the manual page."""

    kind: Kind
    name: str


def _u32(value: int) -> int:
    return value & 0xFFFFFFFF


def _arm(value: int) -> int:
    return AARCH64.open_flags(value & 0xFFFFFFFF)


def _s32(value: int) -> int:
    return ((value & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def _s64(value: int) -> int:
    return ((value & 0xFFFFFFFFFFFFFFFF) ^ 0x8000000000000000) - 0x8000000000000000


_CONVERTERS: dict[Width, tuple[int, Callable[[int], int]]] = {
    Width.U32: (0xFFFFFFFF, _u32),
    Width.S32: (0x7FFFFFFF, _s32),
    Width.S64: (0x7FFFFFFFFFFFFFFF, _s64),
    Width.ARM: (min(bit for pair in AARCH64.swapped_open_flags for bit in pair) - 1, _arm),
}
"""Up to which register value the argument is the register, and what to do with a greater one."""

Handler = Callable[..., Any]
"""handler(process, *arguments) -> int, or a control object of kernel.process; raises LinuxError.

The argument count differs from row to row, so the type cannot say more; Row checks the arity.
"""


@dataclass(frozen=True)
class Row:
    """One system call."""

    name: str
    args: tuple[Arg, ...]
    handler: Handler | None
    """None: calling it stops the run."""
    level: Support = Support.FULL
    note: str = ""
    result: Result = Result.INT
    _conversions: tuple[tuple[int, int, Callable[[int], int]], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if (self.handler is None) != (self.level in (Support.REFUSED, Support.PROBED)):
            raise ValueError(f"{self.name}: refused and without a handler are the same thing")
        if self.level is not Support.FULL and not self.note:
            raise ValueError(f"{self.name}: a row that is not fully supported says why")
        conversions = tuple(
            (index, *_CONVERTERS[arg.kind.width])
            for index, arg in enumerate(self.args)
            if arg.kind.width in _CONVERTERS
        )
        object.__setattr__(self, "_conversions", conversions)

    def arguments(self, registers: Sequence[int]) -> list[int]:
        """The handler's arguments from the argument registers (unsigned, register width)."""
        # Every call in Python comes through here: tens of millions in one bootstrap.
        values = list(registers[: len(self.args)])
        for index, highest, convert in self._conversions:
            if values[index] > highest:
                values[index] = convert(values[index])
        return values


__all__ = ["Arg", "Handler", "Kind", "Result", "Row", "Support", "Width"]
