"""Handlers alone: errors and their order, and what a guest program cannot show.

What they do for a real program is compared with the host's kernel in test_native.py.
"""

from __future__ import annotations

import struct

import pytest

from bootstrap.core import abi, syscalls
from bootstrap.core.abi import Errno
from bootstrap.core.arches import AARCH64, AMD64, ARCHES, RISCV32, X86, Arch
from bootstrap.core.errors import GuestFailed, Limits
from bootstrap.core.files import Directory, OpenFile, RegularFile, Stream
from bootstrap.core.memory import MAPPED, READ, WRITE
from bootstrap.core.process import Exec, Exit, Fork, Process
from tests.core.calls import BAD, BUFFER, END, call, make, put
from tests.core.guest import EACH_ARCH, ON_X86, file_at

CWD = abi.AT_FDCWD


@pytest.fixture(params=ARCHES, ids=[arch.name for arch in ARCHES])
def process(request: pytest.FixtureRequest) -> Process:
    return make(request.param)


def opened(process: Process, path: bytes, flags: int = 0, mode: int = 0o644) -> int:
    flags = process.arch.open_flags(flags)
    fd = call(process, "openat", CWD, put(process, path), flags, mode)
    assert isinstance(fd, int)
    return fd


def content(process: Process, path: bytes) -> bytes:
    file = file_at(process.files, path)
    assert file is not None
    return file.contents()


# read, write, lseek


def test_reading_and_writing(process: Process) -> None:
    fd = opened(process, b"/f", abi.O_RDWR)
    assert call(process, "read", fd, BUFFER, 5) == 5
    assert process.memory.read(BUFFER, 5) == b"hello"
    process.memory.write(BUFFER, b"; W")
    assert call(process, "write", fd, BUFFER, 3) == 3
    assert call(process, "write", fd, BUFFER, 0) == 0
    assert content(process, b"/f") == b"hello; World\n"
    assert call(process, "read", fd, BUFFER, 100) == 5
    assert call(process, "read", fd, BUFFER, 1) == 0


def test_what_is_open_for_the_other_is_ebadf(process: Process) -> None:
    reading, writing = opened(process, b"/f"), opened(process, b"/f", abi.O_WRONLY)
    for fd, name in ((writing, "read"), (reading, "write"), (99, "read"), (-1, "write")):
        assert call(process, name, fd, BUFFER, 1) == -Errno.EBADF
        assert call(process, name, fd, BAD, 1) == -Errno.EBADF  # the descriptor comes first
        assert call(process, name, fd, BUFFER, 0) == -Errno.EBADF


def test_reading_into_a_short_buffer_leaves_the_rest_in_the_file(process: Process) -> None:
    fd = opened(process, b"/f")
    assert call(process, "read", fd, END - 5, 13) == 5
    assert call(process, "read", fd, BAD, 13) == -Errno.EFAULT
    assert call(process, "read", fd, BUFFER, 13) == 8
    assert process.memory.read(BUFFER, 8) == b", world\n"
    assert call(process, "read", fd, BAD, 13) == 0  # at the end there is nothing to store


def test_writing_from_a_short_buffer_writes_what_is_there(process: Process) -> None:
    fd = opened(process, b"/new", abi.O_WRONLY | abi.O_CREAT)
    process.memory.write(END - 3, b"end")
    assert call(process, "write", fd, END - 3, 10) == 3
    assert call(process, "write", fd, BAD, 10) == -Errno.EFAULT
    assert content(process, b"/new") == b"end"


def test_a_stream_gives_no_more_than_there_is_room_for(process: Process) -> None:
    assert call(process, "read", 0, END - 2, 6) == 2
    assert process.memory.read(END - 2, 2) == b"ty"
    assert call(process, "read", 0, BAD, 6) == -Errno.EFAULT
    assert call(process, "read", 0, BUFFER, 6) == 2
    assert process.memory.read(BUFFER, 2) == b"in"
    assert call(process, "read", 0, BUFFER, 6) == 0
    assert call(process, "read", 0, BUFFER, 0) == 0


def test_counts_and_addresses_are_checked_before_the_first_byte(process: Process) -> None:
    arch = process.arch
    fd = opened(process, b"/f", abi.O_RDWR)
    process.fds.get(fd).seek(100, abi.SEEK_SET)
    beyond = arch.access_end - 4 if arch.access_end <= arch.word_mask else None
    for name in ("read", "write"):
        if beyond is not None:
            assert call(process, name, fd, beyond, 8) == -Errno.EFAULT
        if arch.access_end < 1 << 32:  # a kernel of 32 bits takes it for negative
            assert call(process, name, fd, BUFFER, 1 << 31) == -Errno.EINVAL
        process.fds.get(fd).offset = abi.MAX_OFFSET - 3
        assert call(process, name, fd, BUFFER, 4) == -Errno.EINVAL
        process.fds.get(fd).offset = 100
    assert call(process, "read", fd, BUFFER, 0x7FFFFFFF) == 0


def test_large_reads_and_writes_go_in_pieces(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(syscalls, "PIECE", 1000)
    asked: list[int] = []
    start, size = 0x200000, 10 * 1000 + 5
    process.memory.map(start, start + 0x4000, READ | WRITE | MAPPED)
    process.memory.write(start, bytes(range(256)) * 40)
    fd = opened(process, b"/new", abi.O_RDWR | abi.O_CREAT)
    assert call(process, "write", fd, start, size) == size
    assert content(process, b"/new") == process.memory.read(start, size)
    process.memory.write(start, bytes(size))
    process.fds.get(fd).seek(0, abi.SEEK_SET)
    assert call(process, "read", fd, start, size + 77) == size
    assert content(process, b"/new") == process.memory.read(start, size)

    def read(count: int) -> bytes:
        asked.append(count)
        return b"x" * (count if len(asked) < 3 else 5)

    def write(data: bytes) -> int:
        asked.append(len(data))
        return len(data) if len(asked) < 3 else 5

    process.fds.close(0)
    process.fds.put(0, OpenFile(Stream(read, write), abi.O_RDWR))
    for name in ("read", "write"):  # what a stream does not give, or take, whole ends the call
        asked.clear()
        assert call(process, name, 0, start, size) == 2005
        assert asked == [1000, 1000, 1000]


def test_a_limit_is_found_before_the_first_byte(process: Process) -> None:
    process = make(process.arch, Limits(file=5000))
    fd = opened(process, b"/new", abi.O_WRONLY | abi.O_CREAT)
    assert call(process, "write", fd, BUFFER, 5000) == 5000
    with pytest.raises(GuestFailed, match="--limit file="):
        call(process, "write", fd, BUFFER, 1)


def test_seeking(process: Process) -> None:
    fd = opened(process, b"/f")
    if process.arch.word == 8 or process.arch is X86:
        assert call(process, "lseek", fd, -3, abi.SEEK_END) == 10
        assert call(process, "lseek", fd, -11, abi.SEEK_CUR) == -Errno.EINVAL
        assert call(process, "lseek", fd, 0, 5) == -Errno.EINVAL
        assert call(process, "lseek", 0, 0, 0) == -Errno.ESPIPE
        assert call(process, "lseek", 99, 0, 5) == -Errno.EBADF
    if process.arch.word == 4:
        high, low = 0xFFFFFFFF, 0xFFFFFFFD  # -3
        assert call(process, "_llseek", fd, high, low, BUFFER, abi.SEEK_END) == 0
        assert process.memory.read(BUFFER, 8) == (10).to_bytes(8, "little")
        assert call(process, "_llseek", fd, 1, 2, BUFFER, abi.SEEK_SET) == 0
        assert process.memory.read(BUFFER, 8) == (1 << 32 | 2).to_bytes(8, "little")
        assert call(process, "_llseek", fd, 0, 0, BAD, abi.SEEK_SET) == -Errno.EFAULT
        assert call(process, "_llseek", fd, 0, 0, BUFFER, 5) == -Errno.EINVAL


def test_a_32_bit_process_sees_the_low_half_of_an_offset() -> None:
    process = make(X86)
    fd = opened(process, b"/f", abi.O_LARGEFILE)
    call(process, "_llseek", fd, 1, 2, BUFFER, abi.SEEK_SET)
    assert call(process, "lseek", fd, 0, abi.SEEK_CUR) == 2


# Paths


def test_opening(process: Process) -> None:
    assert opened(process, b"/absent") == -Errno.ENOENT
    assert opened(process, b"") == -Errno.ENOENT
    assert opened(process, b"/f/x") == -Errno.ENOTDIR
    assert opened(process, b"/d", abi.O_WRONLY) == -Errno.EISDIR
    assert opened(process, b"/f", abi.O_DIRECTORY) == -Errno.ENOTDIR
    assert opened(process, b"/f", abi.O_CREAT | abi.O_EXCL) == -Errno.EEXIST
    assert opened(process, b"/f", abi.O_CREAT | abi.O_DIRECTORY) == -Errno.EINVAL
    assert opened(process, b"/new", abi.O_CREAT, 0o7777) == 3
    made = file_at(process.files, b"/new")
    assert made is not None and made.mode == abi.S_IFREG | 0o7755  # the umask is 022
    assert opened(process, b"/f", abi.O_TRUNC | abi.O_WRONLY) == 4
    assert content(process, b"/f") == b""
    assert call(process, "openat", CWD, BAD, 0, 0) == -Errno.EFAULT
    assert call(process, "openat", CWD, put(process, b"n" * 4095), 0, 0) == -Errno.ENAMETOOLONG
    process.memory.poke(BUFFER, b"/" * 5000)
    assert call(process, "openat", CWD, BUFFER, 0, 0) == -Errno.ENAMETOOLONG


def test_opening_from_a_directory(process: Process) -> None:
    fd = opened(process, b"/d", abi.O_DIRECTORY)
    assert call(process, "openat", fd, put(process, b"inner"), 0, 0) == 4
    assert call(process, "openat", fd, put(process, b"/f"), 0, 0) == 5
    assert call(process, "openat", 99, put(process, b"/f"), 0, 0) == 6  # not asked for
    assert call(process, "openat", 99, put(process, b"f"), 0, 0) == -Errno.EBADF
    assert call(process, "openat", 4, put(process, b"f"), 0, 0) == -Errno.ENOTDIR


def test_open_flags_that_the_architecture_implies(process: Process) -> None:
    fd = opened(process, b"/f", 0)
    assert process.fds.get(fd).flags == (0 if process.arch is X86 else abi.O_LARGEFILE)
    fd = opened(process, b"/f", abi.O_SYNC | abi.O_CLOEXEC | 1 << 30)
    implied = process.arch.implied_open_flags
    assert process.fds.get(fd).flags == abi.O_SYNC | abi.O_DSYNC | implied
    assert process.fds.cloexec == {fd}


def test_a_file_without_a_name_cannot_be_made(process: Process) -> None:
    assert opened(process, b"/", abi.O_TMPFILE | abi.O_RDWR) == -Errno.EOPNOTSUPP
    assert opened(process, b"/", abi.O_TMPFILE) == -Errno.EINVAL


@EACH_ARCH
def test_descriptors_run_out_before_the_path_is_looked_at(arch: Arch) -> None:
    process = make(arch, Limits(open_files=4))
    assert opened(process, b"/f") == 3
    assert opened(process, b"/new", abi.O_CREAT | abi.O_WRONLY) == -Errno.EMFILE
    assert file_at(process.files, b"/new") is None
    assert opened(process, b"") == -Errno.ENOENT  # but after the path is copied


def test_access(process: Process) -> None:
    def access(path: bytes, mode: int) -> object:
        return call(process, "faccessat", CWD, put(process, path), mode)

    assert [access(b"/f", mode) for mode in (0, 2, 4, 6)] == [0] * 4  # the guest is root
    assert access(b"/f", 1) == -Errno.EACCES
    assert access(b"/d/inner", 7) == access(b"/d", 7) == 0
    assert access(b"/absent", 0) == -Errno.ENOENT
    assert access(b"/f", 8) == -Errno.EINVAL
    assert call(process, "faccessat", CWD, BAD, 8) == -Errno.EINVAL  # the mode comes first


def test_the_current_directory(process: Process) -> None:
    assert call(process, "chdir", put(process, b"d")) == 0
    assert opened(process, b"inner") == 3
    assert call(process, "chdir", put(process, b"inner")) == -Errno.ENOTDIR
    assert call(process, "chdir", put(process, b"absent")) == -Errno.ENOENT
    assert call(process, "chdir", put(process, b"../..")) == 0
    assert process.base.cwd is process.files.root


def test_chmod(process: Process) -> None:
    assert call(process, "fchmodat", CWD, put(process, b"/f"), 0o107755) == 0
    file = file_at(process.files, b"/f")
    assert file is not None and file.mode == abi.S_IFREG | 0o7755
    assert call(process, "fchmodat", CWD, put(process, b"/d"), 0) == 0
    directory = process.files.root.lookup(b"d")
    assert isinstance(directory, Directory) and directory.mode == abi.S_IFDIR
    assert call(process, "fchmodat", CWD, put(process, b"/absent"), 0) == -Errno.ENOENT


def test_unlinking(process: Process) -> None:
    def unlink(path: bytes, flags: int = 0) -> object:
        return call(process, "unlinkat", CWD, put(process, path), flags)

    assert unlink(b"/f") == 0
    assert unlink(b"/f") == -Errno.ENOENT
    assert unlink(b"/d") == unlink(b".") == unlink(b"/") == -Errno.EISDIR
    assert unlink(b"/d/inner/") == -Errno.ENOTDIR
    assert unlink(b"/d/inner", 1) == -Errno.EINVAL
    with pytest.raises(GuestFailed, match="AT_REMOVEDIR"):
        unlink(b"/d", abi.AT_REMOVEDIR)


@ON_X86
def test_the_old_calls_are_those_at_the_current_directory(arch: Arch) -> None:
    process = make(arch)
    assert call(process, "open", put(process, b"f"), 0, 0) == 3
    assert call(process, "access", put(process, b"f"), 1) == -Errno.EACCES
    assert call(process, "chmod", put(process, b"f"), 0o755) == 0
    assert call(process, "access", put(process, b"f"), 1) == 0
    assert call(process, "unlink", put(process, b"f")) == 0
    assert call(process, "unlink", put(process, b"f")) == -Errno.ENOENT


def test_open_with_o_path_stops_the_run(process: Process) -> None:
    with pytest.raises(GuestFailed, match="O_PATH"):
        opened(process, b"/f", abi.O_PATH)


# Processes


def test_what_the_machine_carries_out(process: Process) -> None:
    assert call(process, "exit", 0x1FF) == Exit(0xFF)
    assert call(process, "clone", abi.SIGCHLD, 0x5000) == Fork(0x5000)
    with pytest.raises(GuestFailed, match="clone with flags 0x111"):
        call(process, "clone", abi.SIGCHLD | 0x100, 0)
    path, first, vector = BUFFER, BUFFER + 64, BUFFER + 128
    put(process, b"/f", path)
    put(process, b"one", first)
    word = process.arch.word
    process.memory.write(vector, first.to_bytes(word, "little") * 2 + bytes(word))
    assert call(process, "execve", path, vector, 0) == Exec(b"/f", (b"one", b"one"), ())
    assert call(process, "execve", path, 0, vector) == Exec(b"/f", (b"",), (b"one", b"one"))
    assert call(process, "execve", path, BAD, 0) == -Errno.EFAULT
    process.memory.write(vector + word, BAD.to_bytes(word, "little"))
    assert call(process, "execve", path, vector, 0) == -Errno.EFAULT


def test_too_many_arguments_are_too_big(process: Process) -> None:
    text, vector, word = BUFFER, 0x200000, process.arch.word
    process.memory.map(vector, vector + (1 << 20), READ | WRITE | MAPPED)
    put(process, b"x" * 4000)
    fit = syscalls.ARGUMENT_BYTES // (4001 + word)
    process.memory.poke(vector, text.to_bytes(word, "little") * fit)
    assert len(call(process, "execve", text, vector, 0).argv) == fit
    assert len(call(process, "execve", text, 0, vector).envp) == fit
    assert call(process, "execve", text, vector, vector) == -Errno.E2BIG  # together
    process.memory.poke(vector, text.to_bytes(word, "little") * (fit + 1))
    assert call(process, "execve", text, vector, 0) == -Errno.E2BIG
    # One string alone: 128 KiB with its NUL.
    process.memory.poke(vector + 4096, b"y" * (syscalls.STRING_BYTES - 1) + b"\0y")
    process.memory.poke(vector, (vector + 4096).to_bytes(word, "little") + bytes(word))
    assert len(call(process, "execve", text, vector, 0).argv[0]) == syscalls.STRING_BYTES - 1
    process.memory.poke(vector + 4095 + syscalls.STRING_BYTES, b"y")
    assert call(process, "execve", text, vector, 0) == -Errno.E2BIG


@pytest.mark.parametrize("arch", [X86, AMD64, AARCH64], ids=["i386", "x86_64", "aarch64"])
def test_waiting(arch: Arch) -> None:
    process = make(arch)
    process.zombies = {5: 0x300, 4: 11}
    assert call(process, "wait4", 9, 0, 0, 0) == -Errno.ECHILD
    assert call(process, "wait4", -1, BUFFER, 0, 0) == 5
    assert process.memory.read(BUFFER, 4) == b"\0\3\0\0"
    assert call(process, "wait4", 4, BUFFER, abi.WNOHANG, 0) == 4
    assert call(process, "wait4", 0, BUFFER, 0, 0) == -Errno.ECHILD
    assert call(process, "wait4", -1, 0, 1 << 20, 0) == -Errno.EINVAL
    assert call(process, "wait4", -(1 << 31), 0, 0, 0) == -Errno.ESRCH
    assert call(process, "wait4", -1, 0, abi.WCLONE, 0) == -Errno.ECHILD
    process.zombies = {6: 0}
    assert call(process, "wait4", -1, BAD, 0, 0) == -Errno.EFAULT
    assert process.zombies == {}  # it is reaped all the same
    process.zombies = {7: 0}
    assert call(process, "wait4", -1, 0, 0, BAD) == -Errno.EFAULT
    assert process.zombies == {}
    for options, said in (((-7, 0, 0, 0), "process group 7"), ((-1, 0, 0, BUFFER), "rusage")):
        with pytest.raises(GuestFailed, match=said):
            call(process, "wait4", *options)


def test_waitpid_is_wait4_without_rusage() -> None:
    process = make(X86)
    process.zombies = {5: 0x300}
    assert call(process, "waitpid", -1, BUFFER, 0) == 5


def test_waitid(process: Process) -> None:
    form = struct.Struct("<6i" if process.arch.word == 4 else "<3i4x3i")

    def stored() -> tuple[int, ...]:
        return form.unpack(process.memory.read(BUFFER, form.size))

    process.zombies = {5: 0x300, 4: abi.SIGSEGV}
    assert call(process, "waitid", abi.P_ALL, 0, BUFFER, abi.WEXITED | abi.WNOWAIT, 0) == 0
    assert stored() == (abi.SIGCHLD, 0, abi.CLD_EXITED, 5, 0, 3)
    assert call(process, "waitid", abi.P_ALL, 0, BUFFER, abi.WEXITED, 0) == 0
    assert call(process, "waitid", abi.P_PID, 4, BUFFER, abi.WEXITED, 0) == 0
    assert stored() == (abi.SIGCHLD, 0, abi.CLD_KILLED, 4, 0, abi.SIGSEGV)
    assert call(process, "waitid", abi.P_PID, 4, BUFFER, abi.WEXITED, 0) == -Errno.ECHILD
    assert stored() == (0,) * 6
    refused = [(0, 0, 0), (0, 0, 1 << 20), (9, 0, 4), (1, 0, 4), (1, -1, 4), (2, -1, 4), (3, -1, 4)]
    for idtype, wanted, options in refused:
        assert call(process, "waitid", idtype, wanted, 0, options, 0) == -Errno.EINVAL
    assert call(process, "waitid", abi.P_PIDFD, 0, 0, abi.WEXITED, 0) == -Errno.EBADF
    process.zombies = {8: 0}
    assert call(process, "waitid", abi.P_ALL, 0, 0, abi.WCONTINUED, 0) == -Errno.ECHILD
    assert call(process, "waitid", abi.P_ALL, 0, 0, abi.WEXITED | abi.WCLONE, 0) == -Errno.ECHILD
    with pytest.raises(GuestFailed, match="process group 3"):
        call(process, "waitid", abi.P_PGID, 3, 0, abi.WEXITED, 0)
    with pytest.raises(GuestFailed, match="rusage"):
        call(process, "waitid", abi.P_ALL, 0, 0, abi.WEXITED, BUFFER)
    assert call(process, "waitid", abi.P_ALL, 0, BAD, abi.WEXITED, 0) == -Errno.EFAULT
    assert process.zombies == {}


def test_the_heap(process: Process) -> None:
    start = process.memory.start_brk
    assert call(process, "brk", 0) == start
    assert call(process, "brk", start + 5000) == start + 5000
    process.memory.write(start, b"x" * 8192)
    assert call(process, "brk", start + 1) == start + 1
    assert process.memory.read_upto(start, 8192) == b"x" * 4096


def test_numbers_that_arm64_never_had() -> None:
    process = make(AARCH64)
    for number in (1026, 1027, 1030):
        assert call(process, f"syscall_{number:#x}") == -Errno.ENOSYS
    assert call(make(RISCV32), "brk", 0) == process.memory.start_brk


def test_a_closed_descriptor_is_free_again(process: Process) -> None:
    fd = opened(process, b"/f")
    file = process.fds.get(fd)
    assert call(process, "close", fd) == 0
    assert call(process, "close", fd) == -Errno.EBADF
    assert (file.refs, opened(process, b"/f")) == (0, fd)
    assert isinstance(file.inode, RegularFile)
