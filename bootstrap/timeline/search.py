"""Goes to what somebody looks for, forwards and backwards, in one program's time.

Forwards the CPU stops where it is reached. Backwards the way from each checkpoint to the next is
run again, from the last one on, and the last time before the place is where to go. Functions return
whether they found it; where not, they leave the timeline where it was. They raise as its methods
do.
"""

import contextlib
import ctypes
from collections.abc import Callable, Iterator, Sequence

from bootstrap.instruments.counter import NEVER, Access
from bootstrap.timeline import disassembly
from bootstrap.timeline.timeline import PastEnd, Timeline
from bootstrap.timeline.watch import watching

TRAIL = 1 << 16
"""Instructions that are read together when stepping over or out; then eight times as many."""
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


def first_access(
    at: Timeline, start: int, end: int, kinds: int, row: int, begin: int, limit: int | None = None
) -> Access | None:
    """The first access there by an instruction of the program from `begin` on, before `limit`;
    goes nowhere."""
    watcher = at.watcher()
    watcher.seek(row, begin)
    with watching(watcher, start, end, kinds, stops=True) as watch:
        try:
            while watch.first is None and (limit is None or watcher.executed < limit):
                watcher.go_on(None, limit)
                watch.look()
        except PastEnd:
            pass
        return watch.first


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


def _kinds(at: Timeline) -> Callable[[int], str]:
    memory, abi = at.process.memory, at.process.abi.name
    known: dict[int, str] = {}

    def kind_of(address: int) -> str:
        found = known.get(address)
        if found is None:
            code = memory.read_upto(address, disassembly.LONGEST)
            found = known[address] = disassembly.kind(abi, code)[0]
        return found

    return kind_of


def step_over(at: Timeline) -> bool:
    """One instruction on; a call with all that it does is one. False at the program's end."""
    row, began = at.row, at.executed
    is_call = _kinds(at)(at.pc) == disassembly.CALL
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
    depth, size = 0, TRAIL
    while True:
        start = at.executed
        try:
            trail = _trail(at, row, start, start + size)
        except PastEnd as end:
            at.seek(row, start)
            trail = _trail(at, row, start, end.total - 1)
            size = 0
        kinds = _kinds(at)
        index = disassembly.leaves(kinds, trail, depth)
        if index is not None:
            at.seek(row, start + index)
            return True
        if not size:
            return _back_to(at, row, began, False)
        depth += sum(_DEPTH[kinds(address)] for address in trail)
        size = min(size * 8, 1 << 22)


def step_back_over(at: Timeline) -> bool:
    """One instruction back; one that returned takes its whole call back. False at the start."""
    row, began = at.row, at.executed
    if not began:
        return False
    at.back()
    if _kinds(at)(at.pc) != disassembly.RETURN:
        return True
    return _enter(at, row, began - 1) or _back_to(at, row, began - 1, True)


def step_back_out(at: Timeline) -> bool:
    """Back to the call of the present function: its instruction comes next."""
    row, began = at.row, at.executed
    return _enter(at, row, began) or _back_to(at, row, began, False)


def _enter(at: Timeline, row: int, end: int) -> bool:
    """Back to the call that led to where we were at `end`."""
    depth, size = 0, TRAIL
    searched = 0
    while end > 0 and searched < MOST:
        start = max(0, end - size)
        at.seek(row, start)
        trail = _trail(at, row, start, end)
        kinds = _kinds(at)
        index = disassembly.entered(kinds, trail, depth)
        if index is not None:
            at.seek(row, start + index)
            return True
        depth -= sum(_DEPTH[kinds(address)] for address in trail)
        end, searched, size = start, searched + len(trail), min(size * 8, 1 << 22)
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
