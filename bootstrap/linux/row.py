"""How this room's rows of the system call table are written: the core's, with numbers by name."""

from collections.abc import Mapping
from functools import cache

from bootstrap.core import syscalls as core
from bootstrap.core.syscalls import Handler, Syscall, signed
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.process import LinuxProcess

WORDS: Mapping[str, str] = {
    **core.WORDS,
    **dict.fromkeys("uid".split(), "int"),
    **dict.fromkeys("uint file_mode page_offset off_low off_high at_flags statx_flags".split(),
                    "unsigned"),
    **dict.fromkeys("statx_mask rename_flags dup_flags prot map_flags fcntl_cmd ioctl_cmd".split(),
                    "unsigned"),
    **dict.fromkeys("long map_offset string_out iov_in iov_out utsname_out".split(), "register"),
    **dict.fromkeys("stat_out stat64_i386_out statx_out dirents64_out dirents_out".split(),
                    "register"),
    **dict.fromkeys("mmap_arguments fcntl_arg".split(), "register"),
}  # fmt: skip
"""The core's words and ours. Where calls store, strace_memory.py says what each prints."""
EVERYWHERE = " ".join(NUMBERS)


def call(
    name: str, arguments: str, handler: Handler, first: tuple[int, ...] = (), note: str = "",
    support: str = "", result: str = "int", only: str = EVERYWHERE, but: str = "",
) -> Syscall:  # fmt: skip
    """A row on all architectures that have a call of this name, `only` on these, or `but` on these.

    One with a note is partial, unless it says otherwise.
    """
    numbers = {
        arch: table[name]
        for arch, table in NUMBERS.items()
        if name in table and arch in only.split() and arch not in but.split()
    }
    support = support or ("partial" if note else "full")
    return Syscall(name, numbers, arguments, handler, first, support, note, result)


@cache
def parameters(arguments: str) -> tuple[tuple[str, str], ...]:
    """Of a row's arguments, for each its word and its name."""
    pairs = [part.split() for part in arguments.split(",") if part]
    return tuple((word, name) for word, name in pairs)


def in_two_registers(handler: Handler) -> Handler:
    """The same call, whose last argument, an offset, comes in two registers of 32 bits."""

    def joined(process: LinuxProcess, *arguments: int) -> int:
        *others, low, high = arguments
        result = handler(process, *others, signed(high << 32 | low, 64))
        assert isinstance(result, int)
        return result

    return joined
