"""What walks are compared with: a program run straight on from its begin, and all that it did.

Nothing here seeks, keeps states, counts by blocks or searches.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from bootstrap.core.files import Directory
from bootstrap.core.memory import DIRTY, EXEC, KEPT, MAPPED, READ, WRITE
from bootstrap.instruments import Engine
from bootstrap.instruments.counter import READS, WRITES, Access
from bootstrap.linux.inode import LazyFile
from bootstrap.timeline import disassembly
from bootstrap.timeline.checkpoints import Checkpoints
from bootstrap.timeline.timeline import PastEnd, Timeline
from bootstrap.trace.compare import RecordedRun
from bootstrap.trace.store import Trace

PAGE = 4096
_RIGHTS = bytes(
    flags & (READ | WRITE | EXEC | DIRTY | MAPPED) | (DIRTY if flags & KEPT else 0)
    for flags in range(256)
)
"""Whether a page was ever fetched from is the engine's business."""
_WRITTEN = re.compile(b"[" + re.escape(bytes(f for f in range(256) if f & (DIRTY | KEPT))) + b"]+")


@dataclass(frozen=True)
class State:
    """A program at a place, with all that it can see."""

    row: int
    executed: int
    calls: int
    event: int
    pc: int
    registers: tuple[tuple[str, int], ...]
    memory: str
    """A digest of the mappings, their rights, and all pages that were written."""
    brk: tuple[int, int, int]
    files: tuple[tuple[int, int, int, int, int, bool], ...]
    """fd, inode, offset, flags, references, close-on-exec."""
    folders: tuple[int, int]
    tree: str
    """A digest of the files by path, with the content of those that were changed."""


def state(at: Timeline) -> State:
    """Where a traveller is."""
    process = at.process
    memory = hashlib.sha256()
    for extent in process.memory.extents:
        memory.update(b"%d-%d" % (extent.start, extent.end))
        memory.update(extent.pages.translate(_RIGHTS))
        for run in _WRITTEN.finditer(extent.pages):
            memory.update(b"%d" % run.start())
            memory.update(extent.host[run.start() * PAGE : run.end() * PAGE])
    tree = hashlib.sha256()
    _add(tree, at.live.fs.root, b"")
    fds = process.fds
    return State(
        at.row,
        at.executed,
        at.calls,
        at.event,
        at.pc,
        at.registers(),
        memory.hexdigest(),
        (process.memory.start_brk, process.memory.brk_now, process.memory.mapped),
        tuple(
            (
                fd,
                getattr(file.inode, "ino", -1),
                file.offset,
                file.flags,
                file.refs,
                fd in fds.cloexec,
            )
            for fd, file in fds.items()
        ),
        (process.at.cwd.ino, process.at.root.ino),
        tree.hexdigest(),
    )


def _add(tree: hashlib._Hash, folder: Directory, where: bytes) -> None:
    """What the guest looked at: to look further would give inodes their numbers too early."""
    for name, inode in sorted(folder._children.items()):
        path = where + b"/" + name
        tree.update(b"%s %d %o " % (path, inode.ino, inode.mode))
        if isinstance(inode, Directory):
            _add(tree, inode, path)
        elif isinstance(inode, LazyFile) and (inode.is_changed or inode.origin != path):
            tree.update(inode.contents())


@dataclass(repr=False)
class Oracle:
    """States of the programs of a trace; each is asked for once."""

    trace: Trace
    engine: Engine
    known: dict[tuple[int, int], State] = field(default_factory=dict)
    _record: RecordedRun | None = None

    def at(self, row: int, executed: int) -> State:
        """The state there, by running to it from where the program begins."""
        if (row, executed) not in self.known:
            self._record = self._record or RecordedRun(self.trace)
            one = Timeline(self.trace, self.engine, record=self._record, checkpoints=Checkpoints())
            try:
                one.seek_from(row, 0)
                while one.executed < executed:
                    one.go_on(None, executed)
                self.known[row, executed] = state(one)
            finally:
                one.close()
        return self.known[row, executed]


@dataclass(repr=False)
class Way:
    """All that a program did, instruction by instruction."""

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

    # What searches should find: the place, or None.

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

    def first_access(self, began: int, start: int, end: int, kinds: int) -> int | None:
        # After the last instruction there is no place to be.
        order = range(began, len(self) - 1)
        return _first(i for i in order if self.touching(i, start, end, kinds))

    def last_access(self, began: int, start: int, end: int, kinds: int) -> int | None:
        order = range(began - 1, -1, -1)
        return _first(i for i in order if self.touching(i, start, end, kinds))

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


def _first(found: object, otherwise: int | None = None) -> int | None:
    return next(found, otherwise)  # type: ignore[call-overload, no-any-return]


_CALL = {
    "i386": (b"\xcd\x80", "eax", "ebx"),
    "x86_64": (b"\x0f\x05", "rax", "rdi"),
    "aarch64": (b"\x01\x00\x00\xd4", "x8", "x0"),
    "riscv64": (b"\x73\x00\x00\x00", "a7", "a0"),
    "riscv32": (b"\x73\x00\x00\x00", "a7", "a0"),
}


def way(trace: Trace, engine: Engine, row: int) -> Way:
    """Step through a program, in Python, and listen to everything."""
    one = Timeline(trace, engine.in_python(), watching=True, checkpoints=Checkpoints())
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


__all__ = ["Oracle", "State", "Way", "state", "way"]
