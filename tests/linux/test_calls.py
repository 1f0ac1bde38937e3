"""Handlers alone: what the guest programs cannot show, because a real kernel would do it."""

from __future__ import annotations

from typing import Any

import pytest

from bootstrap.core.abi import O_CREAT, O_PATH, O_RDWR, O_TMPFILE, O_WRONLY, Errno, LinuxError
from bootstrap.core.arches import AMD64, X86
from bootstrap.core.errors import GuestFailed
from bootstrap.core.events import Changed, Event, Opened
from bootstrap.core.process import Exec, Exit, Fork
from bootstrap.linux import structs
from bootstrap.linux.calls import CALLS
from bootstrap.linux.events import Renamed
from bootstrap.linux.filesystem import opened_path, path_from_top, seen_path
from bootstrap.linux.flags import MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_PRIVATE, MAP_SHARED
from bootstrap.linux.limits import Limits
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.process import LinuxProcess
from tests.linux.guest_process import ABIS, BAD, BUFFER, END, make, put


def call(process: LinuxProcess, name: str, *args: int) -> Any:
    """What a handler returns, its arguments given as registers; -errno for a LinuxError."""
    number = NUMBERS[process.arch.name][name]
    bound = CALLS[process.arch.name][number]
    registers = [number, *(arg & process.arch.word_mask for arg in args), *[0] * (6 - len(args))]
    try:
        return bound.handler(process, *bound.arguments(registers))
    except LinuxError as error:
        return -error.errno


@pytest.fixture(params=list(ABIS))
def process(request: pytest.FixtureRequest) -> LinuxProcess:
    return make(ABIS[request.param])


def opened(process: LinuxProcess, path: bytes, flags: int = 0) -> int:
    fd = call(process, "open", put(process, path), flags, 0o644)
    assert isinstance(fd, int)
    assert fd >= 0
    return fd


def test_a_stream_gives_no_more_than_there_is_room_for(process: LinuxProcess) -> None:
    assert call(process, "read", 0, END - 2, 6) == 2
    assert process.memory.read(END - 2, 2) == b"ty"
    assert call(process, "read", 0, BAD, 6) == -Errno.EFAULT
    assert call(process, "read", 0, BUFFER, 6) == 2
    assert process.memory.read(BUFFER, 2) == b"in"
    assert call(process, "read", 0, BUFFER, 6) == 0


def test_a_huge_read_moves_only_what_the_file_has(process: LinuxProcess) -> None:
    fd = opened(process, b"/f")
    assert call(process, "read", fd, BUFFER, 0x7FFFFFFF) == 13
    assert call(process, "write", fd, BUFFER, 1) == -Errno.EBADF


def test_reading_into_a_short_buffer_leaves_the_rest_in_the_file(process: LinuxProcess) -> None:
    fd = opened(process, b"/f")
    assert call(process, "read", fd, END - 5, 13) == 5
    assert call(process, "read", fd, BUFFER, 13) == 8
    assert process.memory.read(BUFFER, 8) == b", world\n"


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("clone", (0x11 | 0x100, 0), "clone with flags 0x111"),
        ("wait4", (-7, 0, 0, 0), "process group 7"),
        ("wait4", (-1, 0, 0, BUFFER), "rusage"),
        ("setuid", (1000,), "1000"),
        ("setgid", (1000,), "1000"),
        ("fcntl", (0, 5, BUFFER), "fcntl command 5"),
        ("fcntl", (0, 4, 0o20000), "O_ASYNC"),
        ("ioctl", (0, 0x5421, BUFFER), "0x5421"),
        ("ioctl", (0, 0x1234, BUFFER), "0x1234"),
        ("mprotect", (BUFFER, 4096, 0x01000001), "PROT_GROWSDOWN"),
        ("mknod", (BUFFER, 0o010644, 0), "0o10644"),
        ("open", (BUFFER, O_PATH, 0), "O_PATH"),
        ("linkat", (-100, BUFFER, -100, BUFFER, 0x1000), "AT_EMPTY_PATH"),
    ],
)
def test_what_is_not_supported_stops_the_run(
    process: LinuxProcess, name: str, args: tuple[int, ...], said: str
) -> None:
    put(process, b"/new")
    with pytest.raises(GuestFailed, match=said):
        call(process, name, *args)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (MAP_SHARED | MAP_ANONYMOUS, "shared"),
        (MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, "0x100"),
    ],
)
def test_mappings_that_are_not_supported_stop_the_run(flags: int, said: str) -> None:
    with pytest.raises(GuestFailed, match=said):
        call(make(AMD64), "mmap", 0, 4096, 3, flags, -1, 0)
    with pytest.raises(GuestFailed, match=said):
        call(make(X86), "mmap2", 0, 4096, 3, flags, -1, 0)


def test_a_file_cannot_be_mapped(process: LinuxProcess) -> None:
    fd = opened(process, b"/f")
    name = "mmap2" if process.arch is X86 else "mmap"
    assert call(process, name, 0, 4096, 1, MAP_PRIVATE, fd, 0) == -Errno.ENODEV


def test_a_file_without_a_name_cannot_be_made(process: LinuxProcess) -> None:
    assert call(process, "open", put(process, b"/"), O_TMPFILE | O_RDWR, 0) == -Errno.EOPNOTSUPP


def test_control_objects(process: LinuxProcess) -> None:
    assert call(process, "exit", 0x1FF) == Exit(0xFF)
    assert call(process, "exit_group", -1) == Exit(0xFF)
    assert call(process, "fork") == call(process, "vfork") == Fork()
    assert call(process, "clone", 17, 0x5000) == Fork(0x5000)
    path, first, vector = BUFFER, BUFFER + 64, BUFFER + 128
    put(process, b"/f", path)
    put(process, b"one", first)
    word = process.arch.word
    process.memory.write(vector, first.to_bytes(word, "little") * 2 + bytes(word))
    assert call(process, "execve", path, vector, 0) == Exec(b"/f", (b"one", b"one"), ())
    assert call(process, "execve", path, 0, vector) == Exec(b"/f", (b"",), (b"one", b"one"))
    assert call(process, "execve", path, BAD, 0) == -Errno.EFAULT


def test_too_many_arguments_are_too_big(process: LinuxProcess) -> None:
    process.memory.map(0x200000, 0x200000 + (16 << 20), 1 | 2 | 32)
    text, vector, word = BUFFER, 0x200000, process.arch.word
    put(process, b"x" * 4000)
    process.memory.poke(vector, text.to_bytes(word, "little") * 600)
    assert call(process, "execve", text, vector, 0) == -Errno.E2BIG


def test_waiting_takes_children_in_the_order_in_which_they_ended(process: LinuxProcess) -> None:
    process.zombies = {5: 0x300, 4: 11}
    assert call(process, "wait4", 9, 0, 0, 0) == -Errno.ECHILD
    assert call(process, "wait4", -1, BUFFER, 0, 0) == 5
    assert process.memory.read(BUFFER, 4) == b"\0\3\0\0"
    assert call(process, "wait4", 4, BUFFER, 1, 0) == 4
    assert call(process, "wait4", -1, BUFFER, 0, 0) == -Errno.ECHILD


def test_descriptors_run_out_before_the_path_is_looked_at() -> None:
    process = make(limits=Limits(open_files=4))
    opened(process, b"/f")
    assert call(process, "open", put(process, b"/new"), O_CREAT | O_WRONLY, 0) == -Errno.EMFILE
    assert call(process, "access", put(process, b"/new"), 0) == -Errno.ENOENT
    assert call(process, "dup", 0) == -Errno.EMFILE
    assert process.fds.get(0).refs == 1


def whole(event: Event) -> tuple[object, ...]:
    """What an event says, its paths from the top."""
    if isinstance(event, Opened):
        path = opened_path(event.base, event.path, event.file.inode)
        return "open", path, event.flags & 3, event.fd
    if isinstance(event, Renamed):
        old = path_from_top(event.old_base, event.old)
        return "rename", old, path_from_top(event.new_base, event.new)
    assert isinstance(event, Changed)
    assert event.place is not None
    return event.what, seen_path(event.place.directory) + b"/" + event.place.name


def test_listeners_can_know_whole_paths(process: LinuxProcess) -> None:
    seen = []
    process.emit = lambda kind, **fields: seen.append(whole(kind(0, 1, **fields)))
    assert call(process, "chdir", put(process, b"d")) == 0
    opened(process, b"../link")
    opened(process, b"new", O_CREAT | O_WRONLY)
    opened(process, b".")
    put(process, b"newer", BUFFER + 64)
    assert call(process, "rename", put(process, b"new"), BUFFER + 64) == 0
    assert call(process, "unlink", put(process, b"./newer")) == 0
    assert call(process, "unlink", put(process, b"absent")) == -Errno.ENOENT
    assert call(process, "chroot", put(process, b".")) == 0
    opened(process, b"/inner")
    assert seen == [
        ("open", b"/d/inner", 0, 3),
        ("name", b"/d/new"),
        ("open", b"/d/new", 1, 4),
        ("open", b"/d", 0, 5),
        ("rename", b"/d/new", b"/d/newer"),
        ("unname", b"/d/new"),
        ("name", b"/d/newer"),
        ("unname", b"/d/newer"),
        ("open", b"/d/inner", 0, 6),
    ]


def test_names_do_not_depend_on_the_host() -> None:
    for abi, machine in ((X86, b"i686"), (AMD64, b"x86_64")):
        process = make(abi)
        assert call(process, "uname", BUFFER) == 0
        raw = process.memory.read(BUFFER, 6 * structs.UTS_FIELD)
        fields = [raw[at : at + 65].rstrip(b"\0") for at in range(0, len(raw), 65)]
        assert fields == [b"Linux", b"bootstrap", b"6.1.0", b"#1 SMP", machine, b"(none)"]


def test_a_file_too_large_for_the_old_structure() -> None:
    fields = structs.StatFields(1, 2, 0o100644, 1, 0, 1 << 31)
    with pytest.raises(OverflowError):
        structs.STAT_I386.pack(fields)
    assert len(structs.STAT64_I386.pack(fields)) == structs.STAT64_I386.length
    assert len(structs.STAT_X86_64.pack(fields)) == structs.STAT_X86_64.length
