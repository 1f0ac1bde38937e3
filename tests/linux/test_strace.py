"""Lines as strace 6.1 printed them for the same calls, pids and addresses apart."""

from __future__ import annotations

import pytest

from bootstrap.core.abi import Errno
from bootstrap.core.arches import AARCH64, AMD64, RISCV32, RISCV64, X86, Arch
from bootstrap.core.cpu import Fault
from bootstrap.core.process import Exec
from bootstrap.linux import strace, strace_values
from bootstrap.linux.call_tables import CALLS
from bootstrap.linux.events import CallBegan, CallEnded, Executed, Exited
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.process import LinuxProcess
from bootstrap.linux.structs import (
    STAT64_I386,
    STAT_GENERIC,
    STAT_X86_64,
    STATX,
    WORD_32,
    WORD_64,
    StatFields,
    pack_dirent64,
    pack_utsname,
)
from tests.linux.guest_process import BAD, BUFFER, make

TEXT = BUFFER
OTHER = BUFFER + 0x800
EDGE = BUFFER + 0x1000


@pytest.fixture
def process() -> LinuxProcess:
    return make(AMD64)


def printed(process: LinuxProcess, name: str, args: list[int], result: int | None) -> str:
    arch, number = process.arch, NUMBERS[process.arch.name][name]
    call = CALLS[arch.name][number]
    values = call.arguments([number, *(arg & arch.word_mask for arg in args)])
    known = strace.before(call.row, values, process.memory)
    text = strace.call_text(call.row, values, known, result, process.memory)
    return strace.line(text, strace.result_text(arch, call.row, values, result))


PLAIN: list[tuple[str, list[int], int | None, str]] = [
    ("close", [3], 0, "close(3)                                = 0"),
    ("close", [-1], -9, "close(-1)                               = -1 EBADF (Bad file descriptor)"),
    ("exit", [4660], None, "exit(4660)                              = ?"),
    ("fork", [], 2, "fork()                                  = 2"),
    ("brk", [0], 0x8DE0000, "brk(NULL)                               = 0x8de0000"),
    ("brk", [0x8DE1000], 0x8DE1000, "brk(0x8de1000)                          = 0x8de1000"),
    ("lseek", [3, -2, 2], 11, "lseek(3, -2, SEEK_END)                  = 11"),
    ("lseek", [3, 0, 9], 9, "lseek(3, 0, 0x9 /* SEEK_??? */)         = 9"),
    ("umask", [0], 0o22, "umask(000)                              = 022"),
    ("umask", [0o7022], 0o77, "umask(07022)                            = 077"),
    ("fchmod", [3, 0o4711], 0, "fchmod(3, 04711)                        = 0"),
    ("dup3", [4, 20, 0o2000000], 20, "dup3(4, 20, O_CLOEXEC)                  = 20"),
    ("dup3", [4, 21, 0], 21, "dup3(4, 21, 0)                          = 21"),
    ("fcntl", [3, 1, 0], 1, "fcntl(3, F_GETFD)                       = 0x1 (flags FD_CLOEXEC)"),
    ("fcntl", [3, 1, 0], 0, "fcntl(3, F_GETFD)                       = 0"),
    ("fcntl", [3, 2, 3], 0, "fcntl(3, F_SETFD, FD_CLOEXEC|0x2)       = 0"),
    ("fcntl", [3, 0, -1], 5, "fcntl(3, F_DUPFD, -1)                   = 5"),
    ("fcntl", [3, 4, 0o2000], 0, "fcntl(3, F_SETFL, O_RDONLY|O_APPEND)    = 0"),
    ("fcntl", [3, 1030, 10], 12, "fcntl(3, F_DUPFD_CLOEXEC, 10)           = 12"),
    ("ioctl", [4, 0x5451, 0], 0, "ioctl(4, FIOCLEX)                       = 0"),
    ("setuid", [-1], -22, "setuid(-1)                              = -1 EINVAL (Invalid argument)"),
    ("mprotect", [0x1000, 4096, 0], 0, "mprotect(0x1000, 4096, PROT_NONE)       = 0"),
    ("munmap", [0x1000, 4096], 0, "munmap(0x1000, 4096)                    = 0"),
    ("clone", [17, 0, 0, 0, 0], 7, "clone(child_stack=NULL, flags=SIGCHLD)  = 7"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args", "result", "line"), PLAIN)
def test_numbers_and_flags(
    process: LinuxProcess, name: str, args: list[int], result: int | None, line: str
) -> None:
    assert printed(process, name, args, result) == line


def test_a_long_call_pushes_the_result_out(process: LinuxProcess) -> None:
    args = [0, 12288, 3, 0x22, -1, 0]
    assert printed(process, "mmap", args, 0x7F7C6C39A000) == (
        "mmap(NULL, 12288, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f7c6c39a000"
    )


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (0, '"f", O_RDONLY'),
        (0o1101, '"f", O_WRONLY|O_CREAT|O_TRUNC, 0644'),
        (0o400000, '"f", O_RDONLY|O_NOFOLLOW'),
        (0o10000000000, '"f", O_RDONLY|0x40000000'),
    ],
)
def test_open(process: LinuxProcess, flags: int, text: str) -> None:
    process.memory.write(TEXT, b"f\0")
    line = printed(process, "open", [TEXT, flags, 0o644], 3)
    assert line == f"open({text})".ljust(39) + " = 3"


def test_paths_and_pointers_that_are_not_there(process: LinuxProcess) -> None:
    process.memory.write(TEXT, b"f\0")
    assert printed(process, "open", [0, 0, 0], -Errno.EFAULT).startswith("open(NULL, O_RDONLY) ")
    assert printed(process, "open", [BAD, 0, 0], -Errno.EFAULT).startswith("open(0x10, O_RDONLY) ")
    line = printed(process, "openat", [-100, TEXT, 0, 0], 3)
    assert line.startswith('openat(AT_FDCWD, "f", O_RDONLY) ')
    assert printed(process, "access", [TEXT, 0], 0).startswith('access("f", F_OK) ')
    assert printed(process, "access", [TEXT, 6], 0).startswith('access("f", R_OK|W_OK) ')
    assert printed(process, "access", [TEXT, 8], -22).startswith('access("f", 0x8 /* ?_OK */) ')
    assert printed(process, "mknod", [TEXT, 0o100640, 0], 0).startswith('mknod("f", S_IFREG|0640) ')


def test_buffers(process: LinuxProcess) -> None:
    process.memory.write(TEXT, b"hello, world\n" + b"x" * 40)
    assert printed(process, "read", [3, TEXT, 64], 13).startswith(r'read(3, "hello, world\n", 64) ')
    assert printed(process, "read", [3, TEXT, 64], 0).startswith('read(3, "", 64) ')
    assert printed(process, "read", [9, TEXT, 64], -9).startswith(f"read(9, {TEXT:#x}, 64) ")
    assert printed(process, "write", [1, TEXT, 40], 40) == (
        'write(1, "hello, world\\nxxxxxxxxxxxxxxxxxxx"..., 40) = 40'
    )
    assert printed(process, "write", [1, BAD, 4], -14).startswith("write(1, 0x10, 4) ")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", '""'),
        (b'a"b\\c', r'"a\"b\\c"'),
        (b"\t\n\v\f\r", r'"\t\n\v\f\r"'),
        (b"\0\x01\x7f\xff", r'"\0\1\177\377"'),
        (b"\x001\x0029", r'"\0001\00029"'),
        (b"\x00a", r'"\0a"'),
        (b"y" * 33, '"' + "y" * 32 + '"...'),
    ],
)
def test_quoting(data: bytes, text: str) -> None:
    assert strace_values.quote(data) == text


@pytest.mark.parametrize("abi", [X86, AMD64])
def test_vectors_and_argument_arrays(abi: Arch) -> None:
    process = make(abi)
    memory, word = process.memory, abi.word
    memory.write(TEXT, b"me\0an argument\0")
    words = [TEXT, TEXT + 3, 0]
    memory.write(OTHER, b"".join(value.to_bytes(word, "little") for value in words))
    memory.write(EDGE, b"f\0")
    assert printed(process, "execve", [EDGE, OTHER, OTHER], -2) == (
        f'execve("f", ["me", "an argument"], {OTHER:#x} /* 2 vars */) = '
        "-1 ENOENT (No such file or directory)"
    )
    assert printed(process, "execve", [EDGE, 0, BAD], -14).startswith('execve("f", NULL, 0x10) ')
    vector = [TEXT, 2, BAD, 3]
    memory.write(OTHER, b"".join(value.to_bytes(word, "little") for value in vector))
    assert printed(process, "writev", [4, OTHER, 2], 2) == (
        'writev(4, [{iov_base="me", iov_len=2}, {iov_base=0x10, iov_len=3}], 2) = 2'
    )
    assert printed(process, "readv", [4, OTHER, 1], 1).startswith(
        'readv(4, [{iov_base="m", iov_len=2}], 1) '
    )
    assert printed(process, "readv", [4, OTHER, 2], -14).startswith(
        f"readv(4, [{{iov_base={TEXT:#x}, iov_len=2}}, {{iov_base=0x10, iov_len=3}}], 2) = -1 E"
    )


def test_structures(process: LinuxProcess) -> None:
    memory = process.memory
    memory.write(TEXT, b"f\0")
    memory.write(OTHER, STAT_X86_64.pack(StatFields(1, 2, 0o100751, 1, 0, 9)))
    assert printed(process, "stat", [TEXT, OTHER], 0) == (
        'stat("f", {st_mode=S_IFREG|0751, st_size=9, ...}) = 0'
    )
    assert printed(process, "stat", [TEXT, OTHER], -2).startswith(f'stat("f", {OTHER:#x}) ')
    memory.write(OTHER, (3 << 8).to_bytes(4, "little"))
    assert printed(process, "wait4", [-1, OTHER, 0, 0], 7) == (
        "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 7"
    )
    memory.write(OTHER, (11).to_bytes(4, "little"))
    assert printed(process, "wait4", [-1, OTHER, 1, 0], 7) == (
        "wait4(-1, [{WIFSIGNALED(s) && WTERMSIG(s) == SIGSEGV}], WNOHANG, NULL) = 7"
    )
    assert printed(process, "wait4", [-1, OTHER, 0, 0], -10).startswith(
        f"wait4(-1, {OTHER:#x}, 0, NULL) "
    )
    memory.write(OTHER, pack_utsname((b"Linux", b"vm", b"", b"", b"", b"")))
    assert printed(process, "uname", [OTHER], 0).startswith(
        'uname({sysname="Linux", nodename="vm", ...}) '
    )
    records = pack_dirent64(1, 1, b".", 4) + pack_dirent64(1, 2, b"..", 4)
    memory.write(OTHER, records)
    assert printed(process, "getdents64", [3, OTHER, 4096], len(records)).startswith(
        f"getdents64(3, {OTHER:#x} /* 2 entries */, 4096) "
    )
    memory.write(OTHER, b"/a/b\0")
    assert printed(process, "getcwd", [OTHER, 4096], 5).startswith('getcwd("/a/b", 4096) ')
    assert printed(process, "readlink", [TEXT, OTHER, 99], 4).startswith(
        'readlink("f", "/a/b", 99) '
    )


def test_offsets_in_two_registers() -> None:
    process = make(X86)
    memory = process.memory
    memory.write(TEXT, b"456")
    memory.write(OTHER, (4294967303).to_bytes(8, "little"))
    assert printed(process, "pread64", [3, TEXT, 3, 4, 0], 3).startswith('pread64(3, "456", 3, 4) ')
    assert printed(process, "_llseek", [3, 1, 7, OTHER, 0], 0) == (
        "_llseek(3, 4294967303, [4294967303], SEEK_SET) = 0"
    )
    assert printed(process, "ftruncate64", [3, 9, 0], 0).startswith("ftruncate64(3, 9) ")
    memory.write(OTHER, STAT64_I386.pack(StatFields(1, 2, 0o040711, 2, 0, 4096)))
    assert printed(process, "fstat64", [3, OTHER], 0).startswith(
        "fstat64(3, {st_mode=S_IFDIR|0711, st_size=4096, ...}) "
    )


def test_the_listener_prints_calls_faults_and_ends(process: LinuxProcess) -> None:
    lines: list[str] = []
    listener, memory = strace.Strace(lines.append), process.memory
    memory.write(TEXT, b"before\0")
    call = CALLS["x86_64"][NUMBERS["x86_64"]["execve"]]
    image = process.files.resolve(process.base, b"/f")
    assert isinstance(image, LazyFile)
    first, second = Exec(b"/f", (b"f", b"x y"), (b"A=1",)), Exec(b"/f", (b"f",), ())
    listener(Executed(0, 1, 0, process.base, first, image, "x86_64"))
    listener(CallBegan(0, 2, call, [TEXT, 0, 0], memory))
    memory.write(TEXT, b"after\0")
    listener(CallEnded(0, 2, call, [TEXT, 0, 0], memory, 0))
    listener(Exited(0, 2, 11, 5, Fault(11, "why", 0, 16)))
    listener(Exited(0, 1, 42 << 8, 5, None))
    listener(Executed(0, 2, 1, process.base, second, image, "x86_64"))
    assert lines == [
        '[pid     1] execve("/f", ["f", "x y"], [/* 1 var */]) = 0',
        '[pid     2] execve("before", NULL, NULL) = 0',
        "[pid     2] --- SIGSEGV {si_signo=SIGSEGV, si_addr=0x10} ---",
        "[pid     2] +++ killed by SIGSEGV +++",
        "[pid     1] +++ exited with 42 +++",
    ]


def test_arm_prints_its_own_open_flags_by_name() -> None:
    process = make(AARCH64)
    process.memory.write(TEXT, b"f\0")
    flags = 0o100000 | 0o40000
    assert printed(process, "openat", [-100, TEXT, flags, 0], 3).startswith(
        'openat(AT_FDCWD, "f", O_RDONLY|O_NOFOLLOW|O_DIRECTORY) '
    )
    assert printed(process, "openat", [-100, TEXT, 0o101, 0o644], 3).startswith(
        'openat(AT_FDCWD, "f", O_WRONLY|O_CREAT, 0644) '
    )
    assert printed(process, "fcntl", [3, 3, 0], 0o400002).endswith(
        "= 0x20002 (flags O_RDWR|O_LARGEFILE)"
    )
    assert printed(process, "fcntl", [3, 4, 0o402000], 0).startswith(
        "fcntl(3, F_SETFL, O_RDONLY|O_APPEND|O_LARGEFILE) "
    )
    assert printed(make(RISCV64), "fcntl", [3, 3, 0], 0o100002).endswith(
        "= 0x8002 (flags O_RDWR|O_LARGEFILE)"
    )


@pytest.mark.parametrize("abi", [AARCH64, RISCV32])
def test_how_a_child_ended(abi: Arch) -> None:
    process = make(abi)
    word = WORD_64 if abi.word == 8 else WORD_32
    told = "si_uid=0, si_status={}, si_utime=0, si_stime=0}}, WEXITED, NULL) "
    process.memory.write(OTHER, word.siginfo.pack(17, 0, 1, 7, 0, 3))
    assert printed(process, "waitid", [1, 7, OTHER, 4, 0], 0).startswith(
        "waitid(P_PID, 7, {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=7, " + told.format(3)
    )
    process.memory.write(OTHER, word.siginfo.pack(17, 0, 2, 7, 0, 11))
    assert printed(process, "waitid", [0, 0, OTHER, 4, 0], 0).startswith(
        "waitid(P_ALL, 0, {si_signo=SIGCHLD, si_code=CLD_KILLED, si_pid=7, "
        + told.format("SIGSEGV")
    )
    assert printed(process, "waitid", [0, 0, OTHER, 4, 0], -10).startswith(
        f"waitid(P_ALL, 0, {OTHER:#x}, WEXITED, NULL) "
    )
    assert printed(process, "waitid", [0, 0, 0, 4, 0], 0).startswith(
        "waitid(P_ALL, 0, NULL, WEXITED, NULL) "
    )


def test_generic_structures() -> None:
    fields = StatFields(1, 2, 0o100751, 1, 0, 9)
    process = make(RISCV32)
    process.memory.write(TEXT, b"f\0")
    process.memory.write(OTHER, STATX.pack(fields))
    assert printed(process, "statx", [-100, TEXT, 0, 0xFFF, OTHER], 0).startswith(
        'statx(AT_FDCWD, "f", AT_STATX_SYNC_AS_STAT, STATX_ALL, {stx_mask=STATX_BASIC_STATS, '
        "stx_attributes=0, stx_mode=S_IFREG|0751, stx_size=9, ...}) "
    )
    assert printed(process, "statx", [-100, TEXT, 0x2100, 1, OTHER], -2).startswith(
        'statx(AT_FDCWD, "f", AT_SYMLINK_NOFOLLOW|AT_STATX_FORCE_SYNC, STATX_TYPE, '
    )
    assert printed(process, "renameat2", [-100, TEXT, -100, TEXT, 1], 0).startswith(
        'renameat2(AT_FDCWD, "f", AT_FDCWD, "f", RENAME_NOREPLACE) '
    )
    process = make(RISCV64)
    process.memory.write(OTHER, STAT_GENERIC.pack(fields))
    assert printed(process, "fstat", [3, OTHER], 0).startswith(
        "fstat(3, {st_mode=S_IFREG|0751, st_size=9, ...}) "
    )
