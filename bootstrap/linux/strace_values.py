"""How strace prints what needs no memory: numbers, flags, strings, addresses.

Formats are strace 6.1's (src/util.c, src/xlat.c).
"""

from collections.abc import Callable

from bootstrap.core.abi import AT_FDCWD, O_ACCMODE, S_IFMT
from bootstrap.core.arches import Arch
from bootstrap.linux import flags as abi
from bootstrap.linux.flags import Flags

STRING_MAX = 32
"""Characters of a buffer that are shown (strace -s)."""

_ESCAPES = {9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def quote(data: bytes, limit: int = STRING_MAX) -> str:
    """A C string literal as strace writes one: octal escapes, "..." after what was cut."""
    shown = data[:limit]
    parts: list[str] = []
    for index, byte in enumerate(shown):
        if byte in _ESCAPES:
            parts.append(_ESCAPES[byte])
        elif 32 <= byte < 127:
            parts.append(chr(byte))
        else:
            # Short octal would swallow a digit that follows.
            digit_follows = shown[index + 1 : index + 2].isdigit()
            parts.append(f"\\{byte:03o}" if digit_follows else f"\\{byte:o}")
    return '"' + "".join(parts) + '"' + ("..." if len(data) > limit else "")


def address(guest_addr: int) -> str:
    """A pointer."""
    return f"{guest_addr:#x}" if guest_addr else "NULL"


def octal(value: int) -> str:
    """Permission bits: at least three digits with the leading zero counted."""
    return f"0{value:o}".rjust(3, "0") if value else "000"


def flag_text(value: int, table: Flags, unknown: str, zero: str = "0") -> str:
    """Flags joined with |, what is left in hex; `unknown` is the comment where none is known."""
    if not value:
        return zero
    found: list[str] = []
    left = value
    for bits, name in table:
        if bits and left & bits == bits:
            found.append(name)
            left &= ~bits
    if not found:
        return f"{value:#x} /* {unknown} */"
    return "|".join([*found, *([f"{left:#x}"] if left else [])])


def choice_text(value: int, table: Flags, unknown: str) -> str:
    """One of several named values."""
    for known, name in table:
        if known == value:
            return name
    return f"{value:#x} /* {unknown} */"


def open_flags(value: int) -> str:
    """open(2)'s flags: the access mode first, always."""
    access = choice_text(value & O_ACCMODE, abi.OPEN_ACCESS, "O_???")
    if value & O_ACCMODE == O_ACCMODE:
        access = "O_ACCMODE"
    rest = value & ~O_ACCMODE
    if not rest:
        return access
    text = flag_text(rest, abi.OPEN_FLAGS, "")
    return f"{access}|{text.partition(' ')[0]}"


def file_mode(value: int) -> str:
    """A mode with its file type, as in st_mode."""
    kind = value & S_IFMT
    for known, name in abi.FILE_TYPES:
        if kind == known:
            return f"{name}|{octal(value & ~S_IFMT)}"
    return octal(value)


def map_flags(value: int) -> str:
    """mmap(2)'s flags: the sharing type first."""
    kind = choice_text(value & abi.MAP_TYPE, abi.MAP_TYPES, "MAP_???")
    if value & abi.MAP_TYPE == 0:
        kind = "MAP_FILE"
    rest = value & ~abi.MAP_TYPE
    if not rest:
        return kind
    return f"{kind}|{flag_text(rest, abi.MAP_FLAGS, '').partition(' ')[0]}"


def statx_flags(value: int) -> str:
    """statx(2)'s flags: how fresh the answer must be comes first, always."""
    if value & abi.AT_STATX_SYNC_TYPE:
        return flag_text(value, abi.STATX_FLAGS, "AT_???")
    rest = flag_text(value, abi.STATX_FLAGS, "AT_???", "")
    return "|".join(["AT_STATX_SYNC_AS_STAT", *([rest.partition(" ")[0]] if rest else [])])


def clone_flags(value: int) -> str:
    """clone(2)'s flags: the signal that reports the child's end comes last."""
    signal = {0: "", 17: "SIGCHLD"}.get(value & abi.CSIGNAL, str(value & abi.CSIGNAL))
    rest = value & ~abi.CSIGNAL
    texts = [flag_text(rest, abi.CLONE_FLAGS, "CLONE_???")] if rest else []
    return "|".join([*texts, *([signal] if signal else [])]) or "0"


FIONCLEX, FIOCLEX = 0x5450, 0x5451
_IOCTLS: Flags = (
    (0x5401, "TCGETS"),
    (0x5402, "TCSETS"),
    (0x5413, "TIOCGWINSZ"),
    (FIONCLEX, "FIONCLEX"),
    (FIOCLEX, "FIOCLEX"),
)


def ioctl_command(value: int) -> str:
    """An ioctl request."""
    for known, name in _IOCTLS:
        if known == value:
            return name
    return f"{value:#x}"


_PLAIN: dict[str, Callable[[int], str]] = {
    "ptr": address,
    "mode": octal,
    "file_mode": file_mode,
    "dirfd": lambda v: "AT_FDCWD" if v == AT_FDCWD else str(v),
    "open_flags": open_flags,
    "dup_flags": lambda v: flag_text(v, abi.OPEN_FLAGS, "O_???"),
    "at_flags": lambda v: flag_text(v, abi.AT_FLAGS, "AT_???"),
    "statx_flags": statx_flags,
    "statx_mask": lambda v: flag_text(v, abi.STATX_MASK, "STATX_???"),
    "rename_flags": lambda v: flag_text(v, abi.RENAME_FLAGS, "RENAME_???"),
    "wait_id_type": lambda v: choice_text(v & 0xFFFFFFFF, abi.WAIT_ID_TYPES, "P_???"),
    "unlinkat_flags": lambda v: flag_text(v, abi.UNLINKAT_FLAGS, "AT_???"),
    "access_mode": lambda v: flag_text(v & 0xFFFFFFFF, abi.ACCESS_MODES, "?_OK", "F_OK"),
    "whence": lambda v: choice_text(v, abi.SEEK_WHENCE, "SEEK_???"),
    "wait_options": lambda v: flag_text(v & 0xFFFFFFFF, abi.WAIT_OPTIONS, "W???"),
    "clone_flags": clone_flags,
    "prot": lambda v: flag_text(v, abi.PROT_FLAGS, "PROT_???", "PROT_NONE"),
    "map_flags": map_flags,
    "map_offset": lambda v: f"{v:#x}" if v else "0",
    "page_offset": lambda v: f"{v * 4096:#x}" if v else "0",
    "fcntl_cmd": lambda v: choice_text(v, abi.FCNTL_COMMANDS, "F_???"),
    "ioctl_cmd": ioctl_command,
}


def plain(word: str, value: int) -> str:
    """An argument that needs nothing but its value."""
    printer = _PLAIN.get(word)
    return str(value) if printer is None else printer(value)


def count_text(count: int, one: str, many: str) -> str:
    """The comment that stands for what is not shown."""
    return f"/* {count} {one if count == 1 else many} */"


def fcntl_result(arch: Arch, command: int, result: int) -> str:
    """What fcntl(2) returned, by its command."""
    if command == abi.F_GETFD and result:
        return f"{result:#x} (flags FD_CLOEXEC)"
    if command == abi.F_GETFL:
        return f"{result:#x} (flags {open_flags(arch.open_flags(result))})"
    return str(result)


SIGNALS = {4: "SIGILL", 5: "SIGTRAP", 7: "SIGBUS", 8: "SIGFPE", 11: "SIGSEGV"}
"""Signals by which a fault ends a process (signal(7))."""
