"""What is expected where qemu-user was the second opinion, and where that is not Linux's.

qemu-user makes the guest's system calls into the host's, and gets some wrong; all that is named
here is about Debian's 7.2 (linux-user/syscall.c, mmap.c). In such a line the host's own kernel has
the word, by what it said natively to the same program of the same word size: the calls are the same
code in every architecture's kernel.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tests.linux.differential import Outcome, recorded

_POINTERS_FIRST = (
    # A pointer is refused before anything else about the call is looked at, ...
    "read(-1, BAD, 4)",
    "read(out, BAD, 4)",
    "read(dir, BAD, 4)",
    "write(77, BAD, 1)",
    "readv(-1, BAD, 9999)",
    "writev(-1, BAD, 3)",
    "access(BAD, 8)",
    "access(BAD, -1)",
    "getcwd(BAD, 1)",
    "unlinkat(99, BAD, 4)",
    'linkat(99, BAD, AT_FDCWD, "bad", 1)',
    'readlink("sym", buf, -1)',
    "readlink(BAD, buf, 0)",
    "renameat2(99, BAD, 99, BAD, 8)",
    "renameat2(99, BAD, 99, BAD, 3)",
    "renameat2(99, BAD, 99, BAD, 6)",
    "newfstatat(99, ((char *)16), raw, 1)",
    "statx((-100), ((char *)16), 0, 0x80000000, raw)",
    # ... and a buffer as a whole, however much of it would be used.
    "read(fd, BAD, 64)",
    "read(fd, end - 4, 10)",
    "up to the edge",
    "read(fd, low, 0x7fffffff)",
    "write(fd, end - 3, 9)",
    "with a hole",
    "pread64(fd, ((char *)16), 3, 1000)",
    "pread64(fd, end - 2, 9, 1)",
    "pwrite64(fd, end - 1, 2, 11)",
    "readv(fd, cut, 2)",
    "writev(out, cut, 2)",
    "lseek(fd, 0, 1)",
    "lseek(out, 0, 1)",
)
_OTHER = (
    # An empty buffer cannot be had.
    "getdents64(fd, entries, 0)",
    # Commands that it does not know come before descriptors that it does not.
    "fcntl(55, 9999, 0)",
    # All of siginfo_t is stored, not only the fields that waitid has.
    "untouched",
    # And it is stored whether the usage can be stored or not.
    "nothing told",
)
_MEMORY = (
    # A heap that shrinks keeps its pages.
    "read what was given back",
    " readable",
    " writable",
    # MAP_FIXED_NOREPLACE is a hint and no more.
    "no replace",
    # The length comes before the descriptor, and its end before 0; rights before both.
    "bad fd, length 0",
    "mprotect(p, 0, READ)",
    "mprotect(p, 0, 0x40)",
    # Of a 32-bit guest, the whole address space is mapped, and so it may be protected.
    "mprotect(0, PAGE, READ)",
    "mprotect(p + 2 * PAGE, 2 * PAGE, READ)",
)
NOT_LINUX = frozenset((*_POINTERS_FIRST, *_OTHER, *_MEMORY))
"""Lines, up to what was answered, in which the host's kernel has the word."""
NOT_LINUX_FILES = frozenset(("vout", "w", "p", "probe"))
"""Files in which such calls leave something else."""
_FLAGS_TOLD = (", 3, 0)",)
"""fcntl F_GETFL: a 64-bit C library on the host keeps O_LARGEFILE to itself."""

O_LARGEFILE = {"aarch64": 0o400000, "riscv64": 0o100000, "riscv32": 0o100000}
PEER = {"aarch64": "x86_64", "riscv64": "x86_64", "riscv32": "i386"}
"""The ABI that the host runs natively and whose word size is the same; then x86_64."""


def keyed(lines: Iterable[str]) -> dict[tuple[str, int], str]:
    """(what was done, for the how many-th time) -> what was answered."""
    seen: Counter[str] = Counter()
    found: dict[tuple[str, int], str] = {}
    for line in lines:
        what, separator, answer = line.rpartition(" = ")
        if not separator:
            what, _, answer = line.partition(": ")
        found[what, seen[what]] = answer
        seen[what] += 1
    return found


def expected(program: str, abi: str) -> Outcome:
    """What Linux would say to a guest program: qemu-user's word, corrected."""
    outcomes = recorded()[program]
    by_qemu, native = outcomes[abi], outcomes[PEER[abi]]
    theirs = {**keyed(outcomes["x86_64"].stdout), **keyed(native.stdout)}
    lines: list[str] = []
    for line, ((what, count), answer) in zip(
        by_qemu.stdout, keyed(by_qemu.stdout).items(), strict=True
    ):
        if what in NOT_LINUX:
            lines.append(line.removesuffix(answer) + theirs[what, count])
        elif what.endswith(_FLAGS_TOLD) and what.startswith("fcntl") and int(answer) >= 0:
            lines.append(f"{what} = {int(answer) | O_LARGEFILE[abi]}")
        else:
            lines.append(line)
    tree = {
        path: native.tree[path] if path in NOT_LINUX_FILES else said
        for path, said in by_qemu.tree.items()
    }
    return Outcome(by_qemu.status, lines, tree)


_RETURN = {"x86_64": 0xC3, "aarch64": 0xC0, "riscv64": 0x67, "riscv32": 0x67}


def without_instructions(outcome: Outcome, abi: str) -> Outcome:
    """What came of `pages` but for the CPU: a page's first byte when it is a return, and whether
    zeros are an invalid instruction (SIGILL) or store to nowhere (SIGSEGV)."""
    said = {f" = {_RETURN[abi]}": " = return", " = 4": " = killed", " = 11": " = killed"}
    lines: list[str] = []
    for line in outcome.stdout:
        what, _, answer = line.rpartition(" = ")
        if what.startswith(("first byte", "touched")):
            line = what + said.get(f" = {answer}", f" = {answer}")
        lines.append(line)
    return Outcome(outcome.status, lines, outcome.tree)
