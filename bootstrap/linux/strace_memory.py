"""How strace prints what is in guest memory: paths, buffers, arrays, structures.

What a call reads has a printer in BEFORE, what it stores one in AFTER; both key it by the row's
word. Formats are strace 6.1's (src/print_struct_stat.c, src/wait.c, src/io.c, src/execve.c,
src/dirent.c).
"""

from collections.abc import Callable, Sequence
from struct import Struct

from bootstrap.core.abi import CLD_EXITED, S_IFCHR, S_IFMT, Errno, LinuxError
from bootstrap.linux import flags as abi
from bootstrap.linux.memory import VirtualMemory
from bootstrap.linux.strace_values import (
    SIGNALS,
    STRING_MAX,
    address,
    choice_text,
    count_text,
    file_mode,
    flag_text,
    map_flags,
    open_flags,
    plain,
    quote,
)
from bootstrap.linux.structs import (
    STAT64_I386,
    STAT_OF,
    STATX,
    UTS_FIELD,
    WORDS_OF,
    StatLayout,
    Word,
)

STRINGS_MAX = 32
"""Elements of an array that are shown."""

# What a call reads: printer(memory, args, index), before the call.


def _path(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    try:
        return quote(memory.read_cstring(args[index], 4096), 4096)
    except LinuxError as error:
        if error.errno is Errno.ENAMETOOLONG:
            return quote(memory.read(args[index], 4095), 4095) + "..."
        return address(args[index])


def buffer(memory: VirtualMemory, guest_addr: int, size: int) -> str:
    """`size` bytes at `guest_addr`, or the address where they cannot be read."""
    needed = min(size, STRING_MAX + 1)
    try:
        return quote(memory.read(guest_addr, needed)) if guest_addr else "NULL"
    except LinuxError:
        return address(guest_addr)


def _buffer_in(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    return buffer(memory, args[index], args[index + 1])


def _word(memory: VirtualMemory) -> Word:
    return WORDS_OF[memory.arch.word]


def _strings(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    word, at = _word(memory), args[index]
    if not at:
        return "NULL"
    texts: list[str] = []
    try:
        while len(texts) < STRINGS_MAX:
            (string,) = word.pointer.unpack(memory.read(at, word.size))
            if not string:
                return f"[{', '.join(texts)}]"
            texts.append(_cstring(memory, string))
            at += word.size
    except LinuxError:
        if not texts:
            return address(args[index])
        return f"[{', '.join(texts)}, ... /* {address(at)} */]"
    return f"[{', '.join(texts)}, ...]"


def _cstring(memory: VirtualMemory, guest_addr: int) -> str:
    data = memory.read_upto(guest_addr, STRING_MAX + 1)
    end = data.find(0)
    if end < 0 and len(data) <= STRING_MAX:
        return address(guest_addr)
    return quote(data[:end] if end >= 0 else data)


def _environment(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    word, at = _word(memory), args[index]
    if not at:
        return "NULL"
    count = 0
    try:
        while any(memory.read(at, word.size)):
            count += 1
            at += word.size
    except LinuxError:
        return address(args[index])
    return f"{args[index]:#x} {count_text(count, 'var', 'vars')}"


def _iov_in(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    return iovec(memory, args[index], args[index + 1], None)


def iovec(memory: VirtualMemory, at: int, count: int, filled: int | None) -> str:
    """An array of struct iovec: the bytes behind it, at most `filled` in all if that is given."""
    word = _word(memory)
    wanted = min(count, STRINGS_MAX + 1) * word.iovec.size
    raw = memory.read_upto(at, wanted)
    whole = len(raw) // word.iovec.size * word.iovec.size
    if not whole and wanted:
        return address(at)
    texts: list[str] = []
    for base, length in list(word.iovec.iter_unpack(raw[:whole]))[:STRINGS_MAX]:
        shown = length
        if filled is not None and filled >= 0:
            shown = min(length, filled)
            filled -= shown
        if filled is not None and filled < 0:
            text = address(base)
        else:
            text = '""' if not shown else buffer(memory, base, shown)
        texts.append(f"{{iov_base={text}, iov_len={length}}}")
    if whole < wanted:
        texts.append(f"... /* {address(at + whole)} */")
    elif count > STRINGS_MAX:
        texts.append("...")
    return f"[{', '.join(texts)}]"


def _offset(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    return str(((args[index + 1] << 32 | args[index]) ^ 1 << 63) - (1 << 63))


def _seek_offset(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    return str(((args[index - 1] << 32 | args[index]) ^ 1 << 63) - (1 << 63))


def _fcntl_argument(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    command, value = args[index - 1], args[index]
    if command == abi.F_SETFL:
        return open_flags(memory.arch.open_flags(value & 0xFFFFFFFF))
    if command == abi.F_SETFD:
        return flag_text(value & 0xFFFFFFFF, ((abi.FD_CLOEXEC, "FD_CLOEXEC"),), "FD_???")
    return str(((value & 0xFFFFFFFF) ^ 1 << 31) - (1 << 31))


_OLD_MMAP = Struct("<IIIIiI")


def _old_mmap(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    try:
        values = _OLD_MMAP.unpack(memory.read(args[index], _OLD_MMAP.size))
    except LinuxError:
        return address(args[index])
    hint, length, prot, flags, fd, offset = values
    texts = (
        address(hint),
        str(length),
        plain("prot", prot),
        map_flags(flags),
        str(fd),
        f"{offset:#x}" if offset else "0",
    )
    return ", ".join(texts)


Before = Callable[[VirtualMemory, Sequence[int], int], str]

BEFORE: dict[str, Before] = {
    "path": _path,
    "buffer_in": _buffer_in,
    "strings": _strings,
    "environment": _environment,
    "iov_in": _iov_in,
    "off_low": _offset,
    "seek_low": _seek_offset,
    "fcntl_arg": _fcntl_argument,
    "mmap_arguments": _old_mmap,
}

# What a call would have stored, had it not failed: printer(memory, args, index).


def _iov_addresses(memory: VirtualMemory, args: Sequence[int], index: int) -> str:
    return iovec(memory, args[index], args[index + 1], -1)


FAILED: dict[str, Before] = {"iov_out": _iov_addresses}
"""The rest are printed as addresses."""

# What a call stores: printer(memory, args, index, result), after a call that succeeded.


def _buffer_out(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    return buffer(memory, args[index], result) if result else '""'


def _string_out(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    data = memory.read(args[index], result)
    return quote(data.removesuffix(b"\0"), 4096)


def _iov_out(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    return iovec(memory, args[index], args[index + 1], result)


def _status(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    if not args[index] or not result:
        return address(args[index])
    status = int.from_bytes(memory.read(args[index], 4), "little")
    signal = status & 0x7F
    if signal:
        name = SIGNALS.get(signal, str(signal))
        return f"[{{WIFSIGNALED(s) && WTERMSIG(s) == {name}}}]"
    return f"[{{WIFEXITED(s) && WEXITSTATUS(s) == {status >> 8 & 0xFF}}}]"


def _stat(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    return _stat_text(memory, args[index], STAT_OF[memory.arch.name])


def _stat64(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    return _stat_text(memory, args[index], STAT64_I386)


def _stat_text(memory: VirtualMemory, at: int, layout: StatLayout) -> str:
    mode, size = layout.mode_and_size(memory.read(at, layout.length))
    if mode & S_IFMT in (S_IFCHR, abi.S_IFBLK):
        return f"{{st_mode={file_mode(mode)}, st_rdev=makedev(0, 0), ...}}"
    return f"{{st_mode={file_mode(mode)}, st_size={size}, ...}}"


def _statx(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    mode, size = STATX.mode_and_size(memory.read(args[index], STATX.length))
    return (
        f"{{stx_mask=STATX_BASIC_STATS, stx_attributes=0, stx_mode={file_mode(mode)}, "
        f"stx_size={size}, ...}}"
    )


def _siginfo(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    if not args[index]:
        return "NULL"
    layout = _word(memory).siginfo
    signal, _, code, pid, uid, status = layout.unpack(memory.read(args[index], layout.size))
    if not signal:
        return "{}"
    how = choice_text(code, abi.CHILD_CODES, "CLD_???")
    value = status if code == CLD_EXITED else SIGNALS.get(status, status)
    return (
        f"{{si_signo=SIGCHLD, si_code={how}, si_pid={pid}, si_uid={uid}, si_status={value}, "
        "si_utime=0, si_stime=0}"
    )


def _utsname(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    raw = memory.read(args[index], 2 * UTS_FIELD)
    system, node = (raw[at : at + UTS_FIELD].split(b"\0")[0] for at in (0, UTS_FIELD))
    return f"{{sysname={quote(system, 65)}, nodename={quote(node, 65)}, ...}}"


def _offset_out(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    return f"[{int.from_bytes(memory.read(args[index], 8), 'little')}]"


def _entries(length_at: int) -> "After":
    def printer(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
        raw = memory.read(args[index], result)
        at = count = 0
        while at < result:
            at += int.from_bytes(raw[at + length_at : at + length_at + 2], "little")
            count += 1
        return f"{args[index]:#x} {count_text(count, 'entry', 'entries')}"

    return printer


def _dirents(memory: VirtualMemory, args: Sequence[int], index: int, result: int) -> str:
    return _entries(2 * memory.arch.word)(memory, args, index, result)


After = Callable[[VirtualMemory, Sequence[int], int, int], str]

AFTER: dict[str, After] = {
    "buffer_out": _buffer_out,
    "string_out": _string_out,
    "iov_out": _iov_out,
    "status_out": _status,
    "stat_out": _stat,
    "stat64_i386_out": _stat64,
    "statx_out": _statx,
    "siginfo_out": _siginfo,
    "utsname_out": _utsname,
    "offset_out": _offset_out,
    "dirents_out": _dirents,
    "dirents64_out": _entries(16),
}
