"""Walks through a trace, drawn by hypothesis, and where each move should arrive.

They are compared with a program run straight on from its start, and with all that it did on the
way: nothing of that seeks, keeps states, counts by blocks or searches.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from bootstrap.core.arches import PAGE
from bootstrap.core.files import Directory
from bootstrap.core.memory import DIRTY, EXEC, KEPT, MAPPED, READ, WRITE
from bootstrap.instruments.counter import READS, WRITES, Access
from bootstrap.linux.inode import LazyFile
from bootstrap.timeline import disassembly, search
from bootstrap.timeline.checkpoints import Checkpoints
from bootstrap.timeline.timeline import PastEnd, Timeline
from bootstrap.trace.compare import RecordedRun
from bootstrap.trace.store import Trace
from tests.instruments.runs import engine_for

SETTINGS = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
_RIGHTS = bytes(
    flags & (READ | WRITE | EXEC | DIRTY | MAPPED) | (DIRTY if flags & KEPT else 0)
    for flags in range(256)
)
"""Whether a page was ever fetched from is the engine's business."""
_WRITTEN = re.compile(b"[" + re.escape(bytes(f for f in range(256) if f & (DIRTY | KEPT))) + b"]+")


# A program at a place, with all that it can see.


def state(at: Timeline) -> dict[str, object]:
    """Where a timeline is; digests of the memory and of the files by path."""
    process, fds = at.process, at.process.fds
    memory, tree = hashlib.sha256(), hashlib.sha256()
    for extent in process.memory.extents:
        memory.update(b"%d-%d" % (extent.start, extent.end))
        memory.update(extent.pages.translate(_RIGHTS))
        for run in _WRITTEN.finditer(extent.pages):
            memory.update(b"%d" % run.start())
            memory.update(extent.host[run.start() * PAGE : run.end() * PAGE])
    _add(tree, at.live.files.root, b"")
    return {
        "place": (at.row, at.executed, at.calls, at.event, at.pc),
        "registers": at.registers(),
        "memory": memory.hexdigest(),
        "brk": (process.memory.start_brk, process.memory.brk_now, process.memory.mapped),
        "files": [
            (fd, getattr(f.inode, "ino", -1), f.offset, f.flags, f.refs, fd in fds.cloexec)
            for fd, f in sorted(fds.files.items())
        ],
        "folders": (process.base.cwd.ino, process.base.root.ino),
        "tree": tree.hexdigest(),
    }


def _add(tree: hashlib._Hash, folder: Directory, where: bytes) -> None:
    """What the guest looked at: to look further would give inodes their numbers too early."""
    for name, inode in sorted(folder._children.items()):
        path = where + b"/" + name
        tree.update(b"%s %d %o " % (path, inode.ino, inode.mode))
        if isinstance(inode, Directory):
            _add(tree, inode, path)
        elif isinstance(inode, LazyFile) and (inode.is_changed or inode.origin != path):
            tree.update(inode.contents())


# All that a program did, instruction by instruction.


def _first(found: Iterable[int], otherwise: int | None = None) -> int | None:
    return next(iter(found), otherwise)


@dataclass(repr=False)
class Way:
    """What it did, and what searches should find: the place, or None."""

    abi: str
    pcs: list[int] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    """Whether it is a call, a return or another."""
    accesses: list[list[Access]] = field(default_factory=list)
    """Of each instruction; a system call's are its too."""
    calls: list[tuple[int, int, int]] = field(default_factory=list)
    """Which instruction is one, its number, its first argument."""

    def __len__(self) -> int:
        return len(self.pcs)

    @property
    def depths(self) -> list[int]:
        """Calls less returns before each instruction."""
        found = [0]
        for kind in self.kinds:
            found.append(found[-1] + {disassembly.CALL: 1, disassembly.RETURN: -1}.get(kind, 0))
        return found

    def first(self, began: int, addresses: Sequence[int]) -> int | None:
        return _first(i for i in range(began + 1, len(self)) if self.pcs[i] in addresses)

    def last(self, began: int, addresses: Sequence[int]) -> int | None:
        return _first(i for i in range(began - 1, -1, -1) if self.pcs[i] in addresses)

    def touching(self, index: int, start: int, end: int, kinds: int) -> list[Access]:
        """What an instruction does there."""
        return [
            a
            for a in self.accesses[index]
            if kinds & (WRITES if a.writes else READS)
            and a.guest_addr < end
            and start < a.guest_addr + a.size
        ]

    def first_access(self, began: int, *watched: int) -> int | None:
        # After the last instruction there is no place to be.
        return _first(i for i in range(began, len(self) - 1) if self.touching(i, *watched))

    def last_access(self, began: int, *watched: int) -> int | None:
        return _first(i for i in range(began - 1, -1, -1) if self.touching(i, *watched))

    def over(self, began: int) -> int | None:
        depths = self.depths
        if self.kinds[began] != disassembly.CALL:
            return began + 1 if began + 1 < len(self) else None
        return _first(i for i in range(began + 1, len(self)) if depths[i] <= depths[began])

    def out(self, began: int) -> int | None:
        depths = self.depths
        return _first(i for i in range(began + 1, len(self)) if depths[i] < depths[began])

    def back_over(self, began: int) -> int | None:
        depths = self.depths
        if not began:
            return None
        if self.kinds[began - 1] != disassembly.RETURN:
            return began - 1
        inside = (i for i in range(began - 2, -1, -1) if depths[i] <= depths[began])
        return _first(inside, began - 1)

    def back_out(self, began: int) -> int | None:
        depths = self.depths
        return _first(i for i in range(began - 1, -1, -1) if depths[i] < depths[began])


_CALL = {
    "i386": (b"\xcd\x80", "eax", "ebx"),
    "x86_64": (b"\x0f\x05", "rax", "rdi"),
    "aarch64": (b"\x01\x00\x00\xd4", "x8", "x0"),
    "riscv64": (b"\x73\x00\x00\x00", "a7", "a0"),
    "riscv32": (b"\x73\x00\x00\x00", "a7", "a0"),
}


class World:
    """A trace, with what is true of it; each question is asked once."""

    def __init__(self, opened: Trace) -> None:
        self.trace = opened
        self._record = RecordedRun(opened)
        self._states: dict[tuple[int, int], dict[str, object]] = {}
        self._ways: dict[int, Way] = {}

    def row(self, pid: int, ordinal: int) -> int:
        return next(p.id for p in self.trace.programs if (p.pid, p.ordinal) == (pid, ordinal))

    def state(self, row: int, executed: int) -> dict[str, object]:
        """The state there, by running to it from where the program begins."""
        if (row, executed) not in self._states:
            one = Timeline(self.trace, engine_for("native"), record=self._record)
            try:
                one.seek_from(row, 0)
                while one.executed < executed:
                    one.go_on(None, executed)
                self._states[row, executed] = state(one)
            finally:
                one.close()
        return self._states[row, executed]

    def way(self, row: int) -> Way:
        if row not in self._ways:
            self._ways[row] = _way(self.trace, row)
        return self._ways[row]


def _way(trace: Trace, row: int) -> Way:
    """Step through a program, in Python, and listen to everything."""
    engine = engine_for("native").in_python()
    one = Timeline(trace, engine, watching=True, checkpoints=Checkpoints())
    found = Way(trace.program(row).abi)
    trap, number, first = _CALL[found.abi]
    one.seek_from(row, 0)
    here: list[Access] = []

    def hear(guest_addr: int, size: int, writes: bool) -> None:
        here.append(Access(len(found) - 1, found.pcs[-1], guest_addr, size, writes))

    def listen() -> None:
        one.stepping.hear = hear
        one.process.memory.watcher = hear

    one.on_restore = listen
    listen()
    try:
        while True:
            code = one.process.memory.read_upto(one.pc, disassembly.LONGEST)
            found.pcs.append(one.pc)
            found.kinds.append(disassembly.kind(found.abi, code))
            here = []
            found.accesses.append(here)
            if code.startswith(trap):
                registers = dict(one.registers())
                found.calls.append((len(found) - 1, registers[number], registers[first]))
            before = one.executed
            while one.executed == before:
                one.go_on(None, before + 1)
            assert one.executed == before + 1 == len(found)
    except PastEnd as end:
        assert end.total == len(found)
        return found
    finally:
        one.close()


# Moves. Each is drawn as its name with three numbers from 0 to 1, whatever they are used for.

Move = Callable[[Timeline, Way, int, float, float, float], int | None]
"""Goes, and gives where it should have got: None for nowhere."""


def pick(share: float, most: int) -> int:
    return min(int(share * (most + 1)), most)


def seek(x: Timeline, way: Way, _at: int, a: float, _b: float, _c: float) -> int:
    to = pick(a, len(way) - 1)
    x.seek(x.row, to)
    return to


def seek_past(x: Timeline, way: Way, _at: int, a: float, _b: float, _c: float) -> None:
    row, back = x.row, x.executed
    with pytest.raises(PastEnd) as end:
        x.seek(row, len(way) + pick(a, 9))
    assert end.value.total == len(way)
    x.seek(row, back)


def seek_call(x: Timeline, way: Way, _at: int, a: float, _b: float, _c: float) -> int:
    after = [0, *(i + 1 for i, _, _ in way.calls if i + 1 < len(way))]
    ordinal = pick(a, len(after) - 1)
    x.seek_call(x.row, ordinal)
    assert x.calls == ordinal
    return after[ordinal]


def step(x: Timeline, way: Way, at: int, a: float, _b: float, _c: float) -> int:
    count = pick(a * a, len(way) - 1 - at)
    x.step(count)
    return at + count


def back(x: Timeline, _way: Way, at: int, a: float, _b: float, _c: float) -> int:
    count = pick(a * a, at)
    x.back(count)
    return at - count


def _searched(find: Callable[[Timeline], bool], expect: Callable[[Way, int], int | None]) -> Move:
    def move(x: Timeline, way: Way, at: int, _a: float, _b: float, _c: float) -> int | None:
        expected = expect(way, at)
        assert find(x) == (expected is not None)
        return expected

    return move


def _run(
    find: Callable[[Timeline, list[int]], bool],
    expect: Callable[[Way, int, list[int]], int | None],
) -> Move:
    def move(x: Timeline, way: Way, at: int, a: float, b: float, _c: float) -> int | None:
        pcs = sorted(set(way.pcs))
        addresses = [pcs[pick(a, len(pcs) - 1)], pcs[pick(b, len(pcs) - 1)]]
        expected = expect(way, at, addresses)
        assert find(x, addresses) == (expected is not None)
        return expected

    return move


def _watched(way: Way, a: float, b: float, c: float) -> tuple[int, int, int]:
    every = [access for some in way.accesses for access in some]
    kinds = (READS, WRITES, READS | WRITES)[pick(c, 2)]
    if not every:
        return 0x8048000, 0x8048004, kinds
    one = every[pick(a, len(every) - 1)]
    start = max(0, one.guest_addr - 2 + pick(c * 10 % 1, 4))
    return start, start + 1 + pick(b, 6), kinds


def to_access(x: Timeline, way: Way, at: int, a: float, b: float, c: float) -> int | None:
    watched = _watched(way, a, b, c)
    expected = way.first_access(at, *watched)
    found = search.first_access(x, *watched, x.row, at)
    if expected is None:
        # The program's last instruction, an execve(2), may be one: nothing is after it.
        assert found is None or found.executed == len(way) - 1
        return None
    assert found in way.touching(expected, *watched)
    x.seek(x.row, expected + 1)
    return expected + 1


def back_to_access(x: Timeline, way: Way, at: int, a: float, b: float, c: float) -> int | None:
    watched = _watched(way, a, b, c)
    expected = way.last_access(at, *watched)
    found = search.run_back_to_access(x, *watched)
    assert (found is not None) == (expected is not None)
    if found is not None and expected is not None:
        assert found in way.touching(expected, *watched)
    return expected


MOVES: dict[str, Move] = {
    "seek": seek, "seek past": seek_past, "seek call": seek_call, "step": step, "back": back,
    "step over": _searched(search.step_over, Way.over),
    "step out": _searched(search.step_out, Way.out),
    "back over": _searched(search.step_back_over, Way.back_over),
    "back out": _searched(search.step_back_out, Way.back_out),
    "run to": _run(search.run_to, Way.first),
    "run back": _run(search.run_back_to, Way.last),
    "to access": to_access, "back to access": back_to_access,
}  # fmt: skip
SHARE = st.floats(0, 1, allow_nan=False)
WALK = st.lists(
    st.tuples(st.sampled_from(sorted(MOVES)), SHARE, SHARE, SHARE), min_size=1, max_size=14
)


def timeline_of(world: World, hot_path: str) -> Timeline:
    found = Timeline(world.trace, engine_for(hot_path), spacing=2_000)
    found.watcher()._spacing = 2_000
    return found


def walk(world: World, row: int, hot_path: str, start: float, moves: Any) -> None:
    """Make the moves, and compare after each."""
    x, known = timeline_of(world, hot_path), world.way(row)
    try:
        x.seek(row, pick(start, len(known) - 1))
        for name, *shares in moves:
            before = x.executed
            expected = MOVES[name](x, known, before, *shares)
            # What was not found leaves us where we were.
            place = before if expected is None else expected
            assert (x.row, x.executed) == (row, place), name
            assert state(x) == world.state(row, place), name
    finally:
        x.close()
