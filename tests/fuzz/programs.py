"""Random programs of system calls with shared state: descriptors, mappings, paths.

A program is chosen by a seed and its number. What is never chosen, because Linux and this kernel
differ there on purpose or hosts differ among themselves, is the table KNOWN.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from bootstrap.core import abi as a
from bootstrap.core.arches import PAGE
from bootstrap.linux import flags as f
from bootstrap.linux.numbers import NUMBERS
from tests.fuzz.guest import ARENA, ARENA_PAGES, BY_NAME, HEAP, REPORT, SCRATCH, Step, Value, step

KNOWN: dict[str, str] = {
    "no clock, no signals, no mounts": "refused on purpose (docs/syscalls.md)",
    "fork, wait, execve that succeeds": "a program is one table; tests/instruments has these",
    "getpid, uname": "always the same here",
    "stat: numbers, times, sizes of directories": "files have no times here (docs/guest.md)",
    "getdents, offsets in directories": "order and cookies are each file system's own",
    "SEEK_DATA, SEEK_HOLE": "tmpfs knows where its holes are; here a file has one, at its end",
    "mmap of a file": "ENODEV here, as on a file system without mmap",
    "mmap: shared, MAP_GROWSDOWN and others": "stop the run (docs/syscalls.md)",
    "mmap below 64 KiB": "vm.mmap_min_addr is the host's own",
    "PROT_EXEC alone": "whether it can be read depends on the CPU (pkeys(7))",
    "the stack, and what lies above mmap_base": "8 MiB at once here, and no vdso",
    "O_PATH, O_TMPFILE, O_DIRECT, O_ASYNC": "stop the run, or are the file system's own",
    "O_CREAT with O_DIRECTORY": "an error only since Linux 6.4",
    "fcntl: locks, leases, owners, pipes": "stop the run (docs/syscalls.md)",
    "gigabytes": "a limit ends the run; Linux has the memory, or has not",
}
"""What the programs leave out -> why."""

O_UNKNOWN = (0x4, 0x8, 0x10, 0x20, 0x2000_0000, 0x4000_0000, 0x8000_0000)
WALL = HEAP + 16 * PAGE
"""A mapping that the heap cannot get past, so that no break asks for gigabytes."""
LONG = b"n" * 255
PLAIN = (b"f", b"p", b"t", b"x", b"y", b"d", b"d/a", b"d/b", b"d/e", b"e", b"s", b"d/s", b"empty")
ODD = (
    b"", b".", b"..", b"/", b"/f", b"/d", b"d/", b"f/", b"s/", b"x/", b"f/x", b"none/x",
    b"d/.", b"d/..", b"./x", b"d//a", b"../f", b"d/e/../a", b"loop", b"loop/x", LONG, LONG + b"n",
    b"d/" + LONG, b"./" * 2047 + b"f", b"./" * 2048, b"/" * 4095, b"/" * 4096,
)  # fmt: skip
REPORTING: tuple[Step, ...] = (
    ("fcntl", 1, f.F_DUPFD, REPORT), ("close", 0), ("close", 1), ("close", 2),
)  # fmt: skip
"""After this no descriptor is open but the one that results go to."""
BEGIN: tuple[Step, ...] = (
    *REPORTING,
    ("mkdirat", a.AT_FDCWD, b"d", 0o755), ("mkdirat", a.AT_FDCWD, b"d/e", 0o755),
    ("symlinkat", b"d/a", a.AT_FDCWD, b"s"), ("symlinkat", b"loop", a.AT_FDCWD, b"loop"),
    ("symlinkat", b"../f", a.AT_FDCWD, b"d/s"),
)  # fmt: skip
"""The same, and some names to find."""


Weights = dict[Callable[["Program"], list[Step]], int]
"""What makes a step -> how often it is chosen, beside the others."""


class Program:
    """Chooses the steps of one program."""

    def __init__(self, abi: str, seed: str, plain: bool = False) -> None:
        """`plain`: no address is bad, no number is far and every flag is known."""
        self.abi = abi
        self.about = BY_NAME[abi]
        self.any = Random(f"{abi} {seed}")
        self.plain = plain
        self.far = not plain and self.any.random() < 0.2
        """Whether offsets may be far: then nothing is written, for it would be gigabytes."""
        self.names = NUMBERS[abi]

    # Arguments.

    def one(self, *values: Value) -> Value:
        return self.any.choice(values)

    def number(self, *values: int) -> int:
        return self.any.choice(values)

    def fd(self) -> int:
        if self.any.random() < 0.85:
            return self.any.randrange(7)
        return self.number(-1, 7, 99, 1023, 1024, 1 << 31, (1 << 31) - 1, (1 << 32) + 1, -100)

    def near(self) -> int:
        """An address in memory that the program works on, or just outside."""
        in_heap = self.any.random() < 0.2
        page = self.any.randrange(17) if in_heap else self.any.randrange(-1, ARENA_PAGES + 1)
        base = HEAP if in_heap else ARENA
        return base + page * PAGE + self.number(0, 0, 0, 1, 8, 100, PAGE - 3, PAGE - 1)

    def wild(self) -> int:
        """An address that nothing can be at."""
        end, access = self.about.task_size, self.about.access_end
        return self.number(
            0, 1, 16, PAGE - 1, 1 << 31, (1 << 31) - 4, 1 << 32, -1, -PAGE, -8, 1 << 63,
            (1 << 63) - 1, end, end + 1, end + PAGE, access, access - 1, access - 4, access + 8,
        )  # fmt: skip

    def address(self) -> int:
        if self.plain:
            return ARENA + self.any.randrange(3 * PAGE)
        return self.near() if self.any.random() < 0.8 else self.wild()

    def count(self) -> int:
        few = 0, 1, 2, 3, 8, 13, 100, PAGE - 1, PAGE
        if self.plain or self.any.random() < 0.7:
            return self.number(*few) if self.plain else self.number(*few, PAGE + 1, 3 * PAGE)
        return self.number(
            10 * PAGE, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 32) + 1, (1 << 63) - 1,
            1 << 63, -1, 0x7FFFF000, 0x7FFFF001, self.about.access_end, 1 << 62,
        )  # fmt: skip

    def offset(self) -> int:
        if self.far and self.any.random() < 0.6:
            far = (1 << 31) - 8, (1 << 31) - 1, 1 << 31, 1 << 32, (1 << 63) - 8, (1 << 63) - 1
            return self.number(*far, -(1 << 63), -(1 << 31), (1 << 62) + 5)
        return self.number(0, 0, 1, 5, 13, PAGE - 1, PAGE, PAGE + 4, 2 * PAGE, -1, -5)

    def path(self) -> Value:
        kind = self.any.random()
        if kind < 0.7 or self.plain:
            return self.one(*PLAIN)
        return self.one(*ODD) if kind < 0.92 else self.address()

    def mode(self) -> int:
        return self.number(0o644, 0o755, 0o777, 0, 0o111, 0o7777, 0o2700)

    def dirfd(self) -> int:
        return a.AT_FDCWD if self.any.random() < 0.5 else self.fd()

    def vector(self) -> tuple[Value, int]:
        pairs = [(self.address(), self.count()) for _ in range(self.any.randrange(1, 4))]
        count = len(pairs) if self.any.random() < 0.8 else self.number(0, 1024, 1025, -1, 1 << 32)
        if self.any.random() < 0.1:
            count = (1 << 32) + 1
        if count > len(pairs) and count <= 1024:
            pairs += [(ARENA, 1)] * (count - len(pairs))
        return self.one(pairs, pairs, pairs, pairs, self.address()), count

    def open_flags(self) -> int:
        chosen = self.number(0, 1, 2, 2, 2, 0 if self.plain else 3)
        kept = (
            a.O_CREAT, a.O_CREAT, a.O_CREAT, a.O_EXCL, a.O_TRUNC, a.O_APPEND, a.O_NONBLOCK,
            a.O_DIRECTORY, a.O_NOFOLLOW, a.O_CLOEXEC, a.O_NOCTTY, a.O_DSYNC, a.O_SYNC & ~a.O_DSYNC,
            a.O_LARGEFILE, a.O_NOATIME, self.any.choice(O_UNKNOWN),
        )  # fmt: skip
        for flag in self.any.sample(kept[: 6 if self.plain else None], self.any.randrange(4)):
            chosen |= flag
        return chosen & ~a.O_DIRECTORY if chosen & a.O_CREAT else chosen

    # Calls. Each gives one step or more.

    def split(self, offset: int) -> tuple[int, ...]:
        """An offset of 64 bits in the registers that it takes."""
        if self.about.word == 8:
            return (offset,)
        return offset & 0xFFFFFFFF, offset >> 32 & 0xFFFFFFFF

    def opened(self) -> list[Step]:
        kind = self.any.random()
        flags, mode = self.open_flags(), self.mode()
        named = self.plain or self.any.random() < 0.9
        path = self.path() if named else self.one(b"guest", b"./guest")
        if kind < 0.6:
            return [("open", path, flags, mode)]
        return [
            ("creat", path, mode) if kind < 0.7 else ("openat", self.dirfd(), path, flags, mode)
        ]

    def read(self) -> list[Step]:
        return [("read", self.fd(), self.address(), self.count())]

    def write(self) -> list[Step]:
        return [("write", self.fd(), self.address(), 0 if self.far else self.count())]

    def lseek(self) -> list[Step]:
        whence = self.number(0, 0, 1, 2, 5, -1, 1 << 32)
        if self.about.word == 4 and self.any.random() < 0.3:
            high, low = reversed(self.split(self.offset()))
            return [("_llseek", self.fd(), high, low, self.address(), whence)]
        return [("lseek", self.fd(), self.offset(), whence)]

    def positioned(self) -> list[Step]:
        name = self.any.choice(("pread64", "pwrite64"))
        count = 16 if self.far and name == "pwrite64" else self.count()
        offset = self.offset()
        if self.far and name == "pwrite64":
            offset = self.number((1 << 63) - 8, (1 << 63) - 1, -1)
        return [step(name, self.fd(), self.address(), count, *self.split(offset))]

    def vectored(self) -> list[Step]:
        vector, count = self.vector()
        name = "readv" if self.far or self.any.random() < 0.5 else "writev"
        return [(name, self.fd(), vector, count)]

    def truncated(self) -> list[Step]:
        length = self.number(0, 1, 13, 100, PAGE, 3 * PAGE + 7, -1, -(1 << 31), -(1 << 63))
        if self.any.random() < 0.5:
            return [("truncate", self.path() if self.any.random() < 0.8 else b"guest", length)]
        return [("ftruncate", self.fd(), length)]

    def descriptor(self) -> list[Step]:
        new = self.number(*range(8), -1, 1023, 1024, 1 << 31)
        return self.any.choice(
            [
                [("close", self.fd())], [("close", self.fd())], [("dup", self.fd())],
                [("dup2", self.fd(), new)],
                [("dup3", self.fd(), new, self.number(0, a.O_CLOEXEC, a.O_NONBLOCK, 1))],
                [("fsync", self.fd())], [("fdatasync", self.fd())],
                [("ioctl", self.fd(), self.number(0x5450, 0x5451, 0x5401), self.address())],
            ]
        )  # fmt: skip

    def fcntl(self) -> list[Step]:
        command = self.number(
            f.F_DUPFD, f.F_DUPFD_CLOEXEC, f.F_GETFD, f.F_SETFD, f.F_GETFL, f.F_GETFL, f.F_SETFL, 17,
            18, 35, 39, 1029, 2000, -1, (1 << 32) + 3, *((12, 14) if self.about.word == 8 else ()),
        )  # fmt: skip
        argument = self.number(0, 1, 2, 9, -1, 1023, 1024, 1 << 31, 1 << 32)
        if command == f.F_SETFL:
            argument = self.number(0, a.O_APPEND, a.O_NONBLOCK, a.O_NOATIME, a.O_APPEND | 3, 0x80)
        if command == 17:
            argument = self.address()
        return [("fcntl", self.fd(), command, argument)]

    def named(self) -> list[Step]:
        at, to, path, new = self.dirfd(), self.dirfd(), self.path(), self.path()
        calls: list[Step] = [
            ("mkdir", path, self.mode()), ("mkdirat", at, path, self.mode()), ("rmdir", path),
            ("unlink", path), ("unlinkat", at, path, self.number(0, 0, a.AT_REMOVEDIR, 1)),
            ("rename", path, new), ("rename", path, new), ("renameat", at, path, to, new),
            ("renameat2", at, path, to, new, self.number(0, 0, 3, 8)),
            ("link", path, new), ("link", path, new),
            ("linkat", at, path, to, new, self.number(0, 0, f.AT_SYMLINK_FOLLOW, 1)),
            ("symlink", path, new), ("symlinkat", path, at, new),
            ("readlink", path, self.address(), self.number(0, -1, 1, 100, PAGE)),
            ("readlinkat", at, path, self.address(), self.number(0, -1, 1, 100)),
            ("access", path, self.number(*range(9), -1)),
            ("faccessat", at, path, self.number(0, 1, 8)),
            ("chmod", path, self.mode()), ("fchmod", self.fd(), self.mode()),
            ("fchmodat", at, path, self.mode()), ("chdir", path), ("fchdir", self.fd()),
            ("getcwd", self.address(), self.number(0, 1, 2, 3, 100, PAGE, -1)),
            ("mknod", path, self.number(0o644, a.S_IFREG | 0o755, 0), 0),
            ("umask", self.mode()),
            ("execve", self.one(b"f", b"t", b"p", b"d", b"d/a", b"none", self.wild()), 0, 0),
            ("wait4", self.number(-1, 0, 5), 0, self.number(0, a.WNOHANG, 16), 0),
        ]  # fmt: skip
        return [self.any.choice(calls)]

    def stat(self) -> list[Step]:
        """Type, permissions and number of links, which are then written out."""
        mode_at, links_at, word = (24, 16, 8) if self.about.word == 8 else (16, 20, 4)
        name = "stat" if self.about.word == 8 else "stat64"
        where = SCRATCH if self.any.random() < 0.8 else self.wild()
        kind = self.any.choice(("", "l", "f"))
        subject = self.fd() if kind == "f" else self.path()
        shown = [(mode_at, 4), (links_at, word)]
        return [
            (kind + name, subject, where),
            *[("write", REPORT, SCRATCH + at, size) for at, size in shown],
        ]

    def brk(self) -> list[Step]:
        if self.any.random() < 0.85:
            page = self.any.randrange(-1, 18)
            return [("brk", HEAP + page * PAGE + self.number(-1, 0, 0, 1, 100))]
        return [("brk", self.number(0, 1, 1 << 31, 1 << 32, 1 << 63, -1, -PAGE, 1 << 47, WALL - 1))]

    def place(self) -> int:
        """The address of a page to map, protect or unmap: never code, table or wall."""
        base, pages = (ARENA, ARENA_PAGES) if self.any.random() < 0.7 else (HEAP + 2 * PAGE, 12)
        return base + self.any.randrange(pages) * PAGE

    def mapped(self) -> list[Step]:
        huge = self.about.task_size + PAGE, self.about.task_size - 3 * PAGE, 1 << 63, -1, -PAGE
        length = self.number(PAGE, PAGE, 2 * PAGE, 3 * PAGE - 7, 1, 0)
        chance = self.any.random()
        if chance < 0.25:
            unaligned = self.place() + self.number(0, 0, 0, 1)
            span = self.number(length, length, *((1 << 63, -1) if self.about.word == 8 else (-1,)))
            return [("munmap", unaligned, span)]
        if chance < 0.5:
            prot = self.number(0, 1, 2, 3, 5, 7, 0x40, 0x80000003, 8)
            where = self.place() if self.any.random() < 0.8 else self.wild()
            where += self.number(0, 0, 0, 0, 1)
            return [("mprotect", where, self.number(length, length, length, *huge), prot)]
        prot = self.number(0, 1, 2, 3, 5, 7)
        flags = f.MAP_ANONYMOUS | self.number(f.MAP_PRIVATE, f.MAP_PRIVATE, f.MAP_PRIVATE, 0, 3, 5)
        if self.any.random() < 0.5:
            flags |= self.number(
                f.MAP_FIXED, f.MAP_FIXED, f.MAP_FIXED_NOREPLACE, f.MAP_FIXED | f.MAP_FIXED_NOREPLACE
            )
        flags |= self.number(0, 0, f.MAP_NORESERVE, f.MAP_STACK, f.MAP_POPULATE, f.MAP_DENYWRITE)
        hint = self.place() + self.number(0, 0, 0, 0x64, 1)
        if self.any.random() < 0.2:
            hint = self.number(0, self.about.task_size, 1 << 31, -PAGE, self.about.task_size - PAGE)
        if hint == self.about.task_size - PAGE and not flags & f.MAP_FIXED:
            hint = 0
        if self.any.random() < 0.15:
            length = self.number(*huge[:1], *huge[2:])
        fd = -1
        if self.any.random() < 0.1:
            flags, fd = flags & ~f.MAP_ANONYMOUS, self.number(-1, 99)
        name = "mmap2" if self.about.word == 4 else "mmap"
        return [(name, hint, length, prot, flags, fd, self.number(0, 0, 0, PAGE))]

    # Programs.

    def begin(self) -> list[Step]:
        """Memory with pages of all rights, filled from a file; a wall above the heap."""
        name = "mmap2" if self.about.word == 4 else "mmap"
        fixed = f.MAP_PRIVATE | f.MAP_ANONYMOUS | f.MAP_FIXED
        return [
            *BEGIN,
            (name, ARENA, 12 * PAGE, 3, fixed, -1, 0),
            (name, WALL, PAGE, 0, fixed, -1, 0),
            ("openat", a.AT_FDCWD, b"p", 0, 0),
            ("read", 0, ARENA, 4 * PAGE),
            ("close", 0),
            ("mprotect", ARENA + 4 * PAGE, PAGE, 1),
            ("mprotect", ARENA + 6 * PAGE, PAGE, 0),
        ]

    def steps(self, count: int, weights: Weights | None = None) -> list[Step]:
        """So many chosen steps, after those that every program begins with."""
        weights = weights or WEIGHTS
        found: list[Step] = []
        while len(found) < count:
            (maker,) = self.any.choices(list(weights), list(weights.values()))
            steps = maker(self)
            if steps[0][0] in self.names:
                found += steps
        return [*self.begin(), *found]


HOT: dict[str, Weights] = {
    "read": {Program.read: 20, Program.lseek: 5, Program.opened: 3, Program.descriptor: 1},
    "write": {Program.write: 20, Program.lseek: 5, Program.opened: 3, Program.descriptor: 1},
    "lseek": {Program.lseek: 20, Program.write: 2, Program.opened: 3, Program.descriptor: 1},
    "brk": {Program.brk: 20, Program.mapped: 5, Program.read: 2},
}
"""The calls that the hot paths serve themselves, each with what changes their state."""
WEIGHTS: Weights = {
    Program.opened: 12, Program.read: 6, Program.write: 6, Program.lseek: 4,
    Program.positioned: 4, Program.vectored: 5, Program.truncated: 3, Program.descriptor: 8,
    Program.fcntl: 6, Program.named: 30, Program.stat: 4, Program.brk: 4, Program.mapped: 8,
}  # fmt: skip
