"""Goes to what somebody looks for, forwards and backwards, in one program's time.

Forwards the CPU stops where it is reached. Backwards the way from each checkpoint to the next is
run again, from the last one on, and the last time before the place is where to go. Functions return
whether they found it; where not, they leave the timeline where it was. They raise as its methods
do.
"""

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Sequence

from bootstrap.instruments.counter import NEVER, READS, WRITES, Access
from bootstrap.timeline import disassembly
from bootstrap.timeline.timeline import PastEnd, Timeline

TRAIL = 1 << 16
"""Instructions that are read together when stepping over or out; then eight times as many."""
MOST_TRAIL = 1 << 22
MOST = 1 << 26
"""Instructions that are searched back at most for a call."""


def _back_to(at: Timeline, row: int, executed: int, found: bool) -> bool:
    at.seek(row, executed)
    return found


# Breakpoints.


def run_to(at: Timeline, addresses: Sequence[int]) -> bool:
    """On to the next time that an instruction at one of the addresses is about to run."""
    row, began = at.row, at.executed
    try:
        return run_within(at, addresses, began, None)
    except PastEnd:
        return _back_to(at, row, began, False)


def run_within(
    at: Timeline, addresses: Sequence[int], began: int | None, limit: int | None
) -> bool:
    """The same, but no further than `limit`, where it then is; at `began` nothing counts.

    Raises PastEnd where the program ends before.
    """
    with _stopping(at, addresses):
        while limit is None or at.executed < limit:
            if at.go_on(began, limit):
                return True
    return False


def run_back_to(at: Timeline, addresses: Sequence[int], since: int = 0) -> bool:
    """Back to the last time before that such an instruction was about to run.

    `since`: no further back than that place.
    """
    row, began = at.row, at.executed
    reached: list[int] = []

    def look() -> None:
        last = at.stepping.last_met
        if last is not None:
            reached.append(last)

    with _stopping(at, addresses, look):
        for start, end in _windows(at, row, began, since):
            at.seek_from(row, start)
            _walk(at, end, look)
            if reached:
                break
    return _back_to(at, row, max(reached, default=began), bool(reached))


@contextlib.contextmanager
def _stopping(
    at: Timeline, addresses: Sequence[int], passing: Callable[[], None] | None = None
) -> Iterator[None]:
    """With breakpoints; with `passing`, which looks, they are only noted."""
    look = passing or (lambda: None)
    try:
        with at.armed(
            lambda: at.stepping.set_breakpoints(addresses, passing=passing is not None),
            lambda _: look(),
        ):
            yield
    finally:
        if at.machine is not None:
            at.stepping.set_breakpoints(())


def _walk(at: Timeline, end: int, look: Callable[[], None]) -> None:
    """On to `end`, with a look there: where a CPU stops on the way, `on_stop` looks."""
    while at.executed < end:
        at.go_on(None, end)
    look()


def _windows(at: Timeline, row: int, began: int, since: int) -> Iterator[tuple[int, int]]:
    """From checkpoint to checkpoint, backwards from a place: (from, to) in instructions."""
    end = began
    while end > since:
        start = max(since, at.checkpoints.before(row, end))
        yield start, end
        end = start


# Watchpoints: accesses from `start` up to `end`, by READS, WRITES or both. A second timeline runs.


class MemoryWatch:
    """Notes accesses from `start` up to `end`, of READS, WRITES or both, by instructions and by
    system calls for the program: see `watching`."""

    def __init__(self, timeline: Timeline, start: int, end: int, kinds: int, stops: bool) -> None:
        self._at = timeline
        self._start, self._end, self._kinds = start, end, kinds
        self._stops = stops
        self.by_calls: list[Access] = []
        self._by_instructions: list[Access] = []

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
            self._by_instructions.append(last)

    @property
    def noted(self) -> list[Access]:
        """All of them."""
        return [*self.by_calls, *self._by_instructions]

    @property
    def last(self) -> Access | None:
        """The last one noted."""
        return max(self.noted, key=lambda access: access.executed, default=None)


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


def first_access(
    at: Timeline, start: int, end: int, kinds: int, row: int, begin: int, limit: int | None = None
) -> Access | None:
    """The first access there by an instruction of the program from `begin` on, before `limit`;
    goes nowhere."""
    watcher = at.watcher()
    watcher.seek(row, begin)
    with watching(watcher, start, end, kinds, stops=True) as watch:
        try:
            while not watch.noted and (limit is None or watcher.executed < limit):
                watcher.go_on(None, limit)
                watch.look()
        except PastEnd:
            pass
        return min(watch.noted, key=lambda access: access.executed, default=None)


def last_access(
    at: Timeline, start: int, end: int, kinds: int, row: int, before: int, since: int = 0
) -> Access | None:
    """The last access there by an instruction of the program before a place, and not before
    `since`; goes nowhere."""
    watcher = at.watcher()
    watcher.close()
    with watching(watcher, start, end, kinds) as watch:
        for first, last in _windows(watcher, row, before, since):
            watcher.seek_from(row, first)
            _walk(watcher, last, watch.look)
            found = watch.last
            # The CPU knows the last access on the way to `first` too.
            if found is not None and found.executed >= since:
                return found
    return None


def run_back_to_access(at: Timeline, start: int, end: int, kinds: int) -> Access | None:
    """Back to before the last instruction, system calls too, that read or wrote there."""
    found = last_access(at, start, end, kinds, at.row, at.executed)
    if found is not None:
        at.seek(at.row, found.executed)
    return found


# Calls and returns.


_DEPTH = {disassembly.CALL: 1, disassembly.RETURN: -1, disassembly.OTHER: 0}
"""What an instruction adds to the calls that have not returned."""


def _depths(at: Timeline) -> Callable[[int], int]:
    """By address; as the memory is now."""
    memory, abi = at.process.memory, at.process.arch.name
    known: dict[int, int] = {}

    def depth_of(address: int) -> int:
        found = known.get(address)
        if found is None:
            code = memory.read_upto(address, disassembly.LONGEST)
            found = known[address] = _DEPTH[disassembly.kind(abi, code)]
        return found

    return depth_of


def step_over(at: Timeline) -> bool:
    """One instruction on; a call with all that it does is one. False at the program's end."""
    row, began = at.row, at.executed
    is_call = _depths(at)(at.pc) > 0
    try:
        at.step()
        return not is_call or _leave(at, row, began)
    except PastEnd:
        return _back_to(at, row, began, False)


def step_out(at: Timeline) -> bool:
    """On to where the present function has returned. False where it never does."""
    try:
        return _leave(at, at.row, at.executed)
    except PastEnd:
        return False


def _leave(at: Timeline, row: int, began: int) -> bool:
    """On to after the return that ends the present function."""
    depth, size = 0, TRAIL
    while True:
        start = at.executed
        try:
            trail = _trail(at, row, start, start + size)
        except PastEnd as end:
            at.seek(row, start)
            trail = _trail(at, row, start, end.total - 1)
            size = 0
        depth_of = _depths(at)
        for index, address in enumerate(trail, 1):
            depth += depth_of(address)
            if depth < 0:
                return _back_to(at, row, start + index, True)
        if not size:
            return _back_to(at, row, began, False)
        size = min(size * 8, MOST_TRAIL)


def step_back_over(at: Timeline) -> bool:
    """One instruction back; one that returned takes its whole call back. False at the start."""
    row, began = at.row, at.executed
    if not began:
        return False
    at.back()
    if _depths(at)(at.pc) >= 0:
        return True
    return _enter(at, row, began - 1) or _back_to(at, row, began - 1, True)


def step_back_out(at: Timeline) -> bool:
    """Back to the call of the present function: its instruction comes next."""
    row, began = at.row, at.executed
    return _enter(at, row, began) or _back_to(at, row, began, False)


def _enter(at: Timeline, row: int, end: int) -> bool:
    """Back to the call that led to where we were at `end`: the first without a return."""
    depth, size = 0, TRAIL
    searched = 0
    while end > 0 and searched < MOST:
        start = max(0, end - size)
        at.seek(row, start)
        trail = _trail(at, row, start, end)
        depth_of = _depths(at)
        for index in range(len(trail) - 1, -1, -1):
            depth += depth_of(trail[index])
            if depth > 0:
                return _back_to(at, row, start + index, True)
        end, searched, size = start, searched + len(trail), min(size * 8, MOST_TRAIL)
    return False


def _trail(at: Timeline, row: int, start: int, end: int) -> list[int]:
    """The addresses of the instructions from `start`, where we are, to `end`, where we go."""
    if end <= start:
        return []
    trail = (ctypes.c_uint64 * (end - start))()
    try:
        with at.armed(lambda: at.stepping.lend_trail(start, trail)):
            while at.executed < end:
                at.go_on(None, end)
    finally:
        if at.machine is not None:
            at.stepping.lend_trail(NEVER, (ctypes.c_uint64 * 1)())
    return list(trail)
