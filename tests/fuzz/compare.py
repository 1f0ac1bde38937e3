"""One program on this machine's kernel and emulated: where they part, and the fewest calls."""

from __future__ import annotations

import ctypes
import functools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap.core.abi import Errno
from bootstrap.core.errors import GuestFailed
from bootstrap.linux.memory import MMAP_BASE
from tests.fuzz.guest import BY_NAME, FILES, Step, build, told
from tests.fuzz.programs import BEGIN
from tests.instruments.runs import emulate
from tests.linux.differential import emulated_tree, native_tree

NATIVE = ("i386", "x86_64")
ERRORS = {error.value: error.name for error in Errno}
_ADDR_NO_RANDOMIZE = 0x0040000
_STACK = 8 << 20
_ZONE = 16 << 20
"""How far below mmap_base a mapping lies that had no place of its own: where it is, is told from
the first of them on, for Linux has the vdso there."""


@dataclass(frozen=True)
class Outcome:
    """What came of a program."""

    ending: str
    """How it ended, in words; empty where it came to its own end."""
    results: tuple[int, ...] = ()
    output: bytes = b""
    tree: tuple[tuple[str, str], ...] = ()


def _outcome(
    abi: str, steps: Sequence[Step], status: int, output: bytes, tree: dict[str, str]
) -> Outcome:
    if status:
        return Outcome(f"status {status}")
    try:
        results, rest = told(abi, steps, output)
    except ValueError as error:
        return Outcome(str(error))
    base = MMAP_BASE[abi]
    first = None
    for index, (name, *_) in enumerate(steps):
        at = results[index] & BY_NAME[abi].word_mask
        if name in ("mmap", "mmap2") and base - _ZONE <= at < base:
            first = at if first is None else first
            results[index] = at - first
    return Outcome("", tuple(results), rest, tuple(sorted(tree.items())))


def emulated(abi: str, steps: Sequence[Step], hot_path: str) -> Outcome:
    """What comes of it here."""
    try:
        run = emulate(build(abi, steps), hot_path, files={b"/" + n: t for n, t in FILES.items()})
    except GuestFailed as error:
        return Outcome(f"the run was ended: {error}")
    return _outcome(abi, steps, run.status, run.output, emulated_tree(run.fs))


def natively(abi: str, steps: Sequence[Step]) -> Outcome:
    """What comes of it on the host, as root of a folder in memory that it cannot leave.

    It starts no process and names no other; all it can change is in that folder.
    """
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as root:
        os.chmod(root, 0o755)
        _lay_out(Path(root), build(abi, steps))
        libc = ctypes.CDLL(None)

        def enter() -> None:
            os.chroot(root)
            os.chdir("/")
            libc.personality(_ADDR_NO_RANDOMIZE)
            _limit()

        done = subprocess.run(
            ["/guest"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={},
            preexec_fn=enter, timeout=60, check=False,
        )  # fmt: skip
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return _outcome(abi, steps, status, done.stdout, native_tree(Path(root)))


def qemu_of(abi: str) -> str | None:
    """qemu-user for an ABI, if it is there."""
    return shutil.which(f"qemu-{abi}-static") or shutil.which(f"qemu-{abi}")


def by_qemu(abi: str, steps: Sequence[Step]) -> Outcome:
    """What comes of it under qemu-user, in a folder in memory; for programs of plain paths only."""
    program = qemu_of(abi)
    assert program is not None
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as root:
        _lay_out(Path(root), build(abi, steps))
        done = subprocess.run(
            [program, "./guest"], cwd=root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, preexec_fn=_limit, timeout=60, check=False,
        )  # fmt: skip
        return _outcome(abi, steps, done.returncode, done.stdout, native_tree(Path(root)))


def _limit() -> None:
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (10, 10))
    resource.setrlimit(resource.RLIMIT_STACK, (_STACK, _STACK))


def _lay_out(root: Path, image: bytes) -> None:
    for name, text in {b"guest": image, **FILES}.items():
        file = root / os.fsdecode(name)
        file.write_bytes(text)
        file.chmod(0o755)


_CHANGED: tuple[tuple[Step, int, str], ...] = (
    (("open", b"guest", 1, 0), -Errno.ETXTBSY, "a running program can be written to (6.11)"),
    (("open", b"empty", 1, 0), 0, "it opens nothing"),
    (("readv", 0, 16, 1), -Errno.EBADF, "readv looks at the vector first (before 6.8)"),
)
"""What Linux has not always answered: calls that are made first, and what else was said when."""


@functools.cache
def why_not_natively(abi: str) -> str | None:
    """Why this host's kernel cannot be asked; None where it can."""
    if sys.platform != "linux" or abi not in NATIVE:
        return f"{sys.platform} runs no {abi} programs"
    if os.geteuid() != 0:
        return "a program is run in a root directory of its own, and this user is not root"
    probes = [*BEGIN, *(probe for probe, *_ in _CHANGED)]
    try:
        outcome = natively(abi, probes)
    except (OSError, subprocess.SubprocessError) as error:
        return f"this host does not run {abi} programs: {error}"
    for (_, wanted, what), result in zip(_CHANGED, outcome.results[len(BEGIN) :], strict=False):
        if result != wanted:
            return f"the Linux of this host is of another time: {what}"
    return outcome.ending or None


def without_failed_writes(abi: str, steps: Sequence[Step], outcome: Outcome) -> Outcome:
    """What comes of it natively when the writes that fail with EFAULT are left out.

    Of a write that fails so beyond the end of a file, tmpfs makes the file longer all the same
    (mm/shmem.c, shmem_write_end); of no other file system is that known, and not here.
    """
    left = list(steps)
    failed: set[int] = set()
    while True:
        again = [
            index
            for index, (step, result) in enumerate(zip(left, outcome.results, strict=False))
            if step[0] in ("write", "pwrite64", "writev") and result == -Errno.EFAULT
        ]
        if not again:
            results = [-Errno.EFAULT if at in failed else r for at, r in enumerate(outcome.results)]
            return replace(outcome, results=tuple(results))
        failed.update(again)
        for at in again:
            left[at] = ("getuid",)
        outcome = natively(abi, left)


def difference(abi: str, steps: Sequence[Step], ways: Sequence[Callable[..., Outcome]]) -> str:
    """Where the first of `ways` and another part, in words; empty where none do."""
    wanted = ways[0](abi, steps)
    for way in ways[1:]:
        got = way(abi, steps)
        if got != wanted and ways[0] is natively:
            wanted = without_failed_writes(abi, steps, wanted)
        if got == wanted:
            continue
        if got.ending or wanted.ending:
            return f"ends: {wanted.ending or 'by itself'} | {got.ending or 'by itself'}"
        for step, one, other in zip(steps, wanted.results, got.results, strict=False):
            if one != other:
                return f"{step[0]}: {worded(one)} | {worded(other)}"
        if got.tree != wanted.tree:
            lines = sorted({*wanted.tree} ^ {*got.tree})
            return f"files: {lines[0]}"
        return "memory or a file's mode"
    return ""


def worded(result: int) -> str:
    """An error's name, or what kind of success it is."""
    return ERRORS.get(-result, f"{result:#x}")


def fewest(steps: Sequence[Step], differs: Callable[[Sequence[Step]], bool]) -> list[Step]:
    """As few of the steps as still differ: halves are left out, then quarters, down to single ones
    (A. Zeller, R. Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002)."""
    left = list(steps)
    size = len(left) // 2
    while size:
        at = 0
        while at < len(left):
            rest = left[:at] + left[at + size :]
            if differs(rest):
                left = rest
            else:
                at += size
        size //= 2
    return left


def emulations() -> list[Callable[..., Outcome]]:
    """Both hot paths."""
    return [functools.partial(emulated, hot_path=path) for path in ("native", "python")]
