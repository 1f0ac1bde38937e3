"""Watches memory in a program's time: what instructions access, and what system calls access for
the program, together.
"""

import contextlib
from collections.abc import Iterator

from bootstrap.instruments.counter import READS, WRITES, Access
from bootstrap.timeline.timeline import Timeline


class MemoryWatch:
    """Notes accesses from `start` up to `end`, of READS, WRITES or both: see `watching`."""

    def __init__(self, timeline: Timeline, start: int, end: int, kinds: int, stops: bool) -> None:
        self._at = timeline
        self._start, self._end, self._kinds = start, end, kinds
        self._stops = stops
        self.by_calls: list[Access] = []
        self.by_instructions: list[Access] = []

    def arm(self) -> None:
        """Watch the memory that is there now."""
        self._at.stepping.watch(self._start, self._end, self._kinds, self._stops)
        self._at.process.memory.watcher = self._by_call

    def _by_call(self, guest_addr: int, size: int, writes: bool) -> None:
        wanted = self._kinds & (WRITES if writes else READS)
        if wanted and guest_addr < self._end and self._start < guest_addr + size:
            state = self._at.stepping.state
            access = Access(state.executed - 1, int(state.last_pc), guest_addr, size, writes)
            self.by_calls.append(access)

    def look(self) -> None:
        """Note the last access by an instruction on the present CPU."""
        last = self._at.stepping.last_access
        if last is not None:
            self.by_instructions.append(last)

    @property
    def first(self) -> Access | None:
        """The first one noted."""
        return min(self._all, key=lambda access: access.executed, default=None)

    @property
    def last(self) -> Access | None:
        """The last one noted."""
        return max(self._all, key=lambda access: access.executed, default=None)

    @property
    def _all(self) -> list[Access]:
        return [*self.by_calls, *self.by_instructions]


@contextlib.contextmanager
def watching(
    timeline: Timeline, start: int, end: int, kinds: int, stops: bool = False
) -> Iterator[MemoryWatch]:
    """Watch while a timeline that can (`Timeline.watcher`) runs; at the end it is closed.

    Of the accesses of instructions between two stops of the CPU only the last is known, unless
    `stops`: then the CPU stops after each.
    """
    watch = MemoryWatch(timeline, start, end, kinds, stops)
    try:
        with timeline.armed(watch.arm, lambda _: watch.look()):
            yield watch
    finally:
        timeline.close()
