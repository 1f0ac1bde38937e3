"""Handlers alone: what the guest programs cannot show, because a real kernel would do it."""

from __future__ import annotations

from typing import Any

import pytest

from bootstrap.core.abi import O_CREAT, O_WRONLY, Errno, LinuxError
from bootstrap.core.arches import AMD64, X86
from bootstrap.core.errors import GuestFailed
from bootstrap.core.process import Exit, Fork
from bootstrap.linux import structs
from bootstrap.linux.call_tables import CALLS
from bootstrap.linux.events import CORE_EVENTS, Changed, Event, Opened, Renamed
from bootstrap.linux.filesystem import opened_path, path_from_top, seen_path
from bootstrap.linux.flags import MAP_ANONYMOUS, MAP_GROWSDOWN, MAP_PRIVATE, MAP_SHARED
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.process import LinuxProcess
from tests.linux.guest_process import ABIS, BUFFER, make, put


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


@pytest.mark.parametrize(
    ("name", "args", "said"),
    [
        ("setuid", (1000,), "1000"),
        ("setgid", (1000,), "1000"),
        ("fcntl", (0, 5, BUFFER), "fcntl command 5"),
        ("fcntl", (0, 4, 0o20000), "O_ASYNC"),
        ("ioctl", (0, 0x5421, BUFFER), "0x5421"),
        ("ioctl", (0, 0x1234, BUFFER), "0x1234"),
        ("mprotect", (BUFFER, 4096, 0x01000001), "PROT_GROWSDOWN"),
        ("mknod", (BUFFER, 0o010644, 0), "0o10644"),
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


def test_control_objects(process: LinuxProcess) -> None:
    assert call(process, "exit_group", -1) == Exit(0xFF)
    assert call(process, "vfork") == Fork()


def test_descriptors_run_out() -> None:
    process = make(limits=RunLimits(open_files=4))
    opened(process, b"/f")
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
    process.emit = lambda event, **details: seen.append(
        whole(CORE_EVENTS.get(event, event)(0, 1, **details))
    )
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
