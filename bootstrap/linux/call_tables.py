"""The system call tables: the core's rows, this room's, and those that are known by name alone.

A number without a row stops the run, as does a row that is refused; that one says why. After
gVisor's table (pkg/sentry/syscalls/linux/linux64.go) and blink's (blink/syscall.c).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from bootstrap.core import syscalls as core
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.process import Process
from bootstrap.core.syscalls import BoundCall, Syscall, Tables, tables
from bootstrap.linux import (
    calls_io,
    calls_memory,
    calls_path,
    calls_process,
    calls_stat,
)
from bootstrap.linux.row import EVERYWHERE, WORDS, call

SUPPORT = ("full", "partial", "probed", "refused")
"""full and partial: see the core's Syscall. probed: C libraries ask for it and can do without: it
fails with ENOSYS, as in an older kernel, and is counted; it stops a run that somebody judges.
refused: calling it stops the run."""

_CLOCK = "The guest has no clock, so that every run is the same."
_NO_THREADS = "A process has one thread."
_RANDOM = "Every run is the same; nothing random comes from outside."
_LIMITS = "The guest's limits are not Linux's (docs/guest.md)."
_ADVICE = "Nobody takes advice on memory here."
_REMAP = "C libraries copy instead."
_SIGNALS = "The guest has no signals; a fault ends the process as its default signal would."
_MOUNTS = "The guest has one file system and no namespaces."
_TIMES = "dirfd dirfd, path pathname, ptr times, at_flags flags"


def _never(process: Process, *_: int) -> int:
    raise AssertionError("a call that is known by name alone")


def _known(support: str, name: str, arguments: str, note: str, only: str = EVERYWHERE) -> Syscall:
    return call(name, arguments, _never, note=note, support=support, only=only)


# fmt: off
_KNOWN = (
    _known("probed", "clock_gettime", "int clockid, ptr tp", _CLOCK),
    _known("probed", "clock_gettime64", "int clockid, ptr tp", _CLOCK),
    _known("probed", "set_robust_list", "ptr head, size len", _NO_THREADS),
    _known("probed", "rseq", "ptr rseq, uint rseq_len, int flags, uint sig", _NO_THREADS),
    _known("probed", "getrandom", "ptr buf, size buflen, uint flags", _RANDOM),
    _known("probed", "prlimit64", "int pid, uint resource, ptr new_limit, ptr old_limit", _LIMITS),
    _known("probed", "ugetrlimit", "uint resource, ptr rlim", _LIMITS),
    _known("probed", "madvise", "ptr addr, size length, int advice", _ADVICE),
    _known("probed", "mremap", "ptr old, size old_size, size new_size, int flags, ptr new", _REMAP),
    _known("refused", "mount", "path source, path target, path type, long flags, ptr data",
           _MOUNTS),
    _known("refused", "unshare", "clone_flags flags", _MOUNTS),
    _known("refused", "time", "ptr tloc", _CLOCK),
    _known("refused", "stime", "ptr t", _CLOCK),
    _known("refused", "gettimeofday", "ptr tv, ptr tz", _CLOCK),
    _known("refused", "nanosleep", "ptr req, ptr rem", _CLOCK),
    _known("refused", "alarm", "uint seconds", _CLOCK),
    _known("refused", "utime", "path filename, ptr times", _CLOCK),
    _known("refused", "utimensat", _TIMES, _CLOCK),
    _known("refused", "utimensat_time64", _TIMES, _CLOCK, "riscv32"),
    _known("refused", "kill", "int pid, int sig", _SIGNALS),
    _known("refused", "pause", "", _SIGNALS),
    _known("refused", "signal", "int signum, ptr handler", _SIGNALS),
    _known("refused", "sigaction", "int signum, ptr act, ptr oldact", _SIGNALS),
    _known("refused", "rt_sigaction", "int signum, ptr act, ptr oldact, size sigsetsize", _SIGNALS),
    _known("refused", "rt_sigprocmask", "int how, ptr set, ptr oldset, size sigsetsize", _SIGNALS),
)
# fmt: on
_OURS = tuple(
    row
    for module in (
        calls_io,
        calls_memory,
        calls_path,
        calls_process,
        calls_stat,
    )
    for row in module.ROWS
)  # fmt: skip
_BETTER = {"unlinkat"}
"""Calls of the core of which we do more."""
CALLS = tables((*(row for row in core.ROWS if row.name not in _BETTER), *_OURS), WORDS)
KNOWN = tables(_KNOWN, WORDS)
"""Calls that nobody serves, and why not."""


def find(arch: str, number: int) -> BoundCall | None:
    """The row of a number, whether it is served or not."""
    return CALLS[arch].get(number) or KNOWN[arch].get(number)


def probing(probes: Counter[str]) -> Tables:
    """The tables, but that calls that are probed fail with ENOSYS, and are counted by name."""

    def served(bound: BoundCall) -> BoundCall:
        def fail(process: Process, *_: int) -> int:
            probes[bound.row.name] += 1
            raise LinuxError(Errno.ENOSYS)

        return replace(bound, handler=fail)

    found: dict[str, Mapping[int, BoundCall]] = {}
    for arch, table in KNOWN.items():
        probed = {n: served(bound) for n, bound in table.items() if bound.row.support == "probed"}
        found[arch] = {**CALLS[arch], **probed}
    return found
