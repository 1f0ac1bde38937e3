"""Which instruction put a byte where a system call then took it from: the last step of `why`.

The program is run up to shortly before the call without counting, which is several times as fast,
and from there with every store watched; further back where it stored the byte earlier.
"""

from dataclasses import dataclass

from bootstrap.documents import key
from bootstrap.instruments import Engine
from bootstrap.instruments.counter import WRITES
from bootstrap.timeline.checkpoints import checkpoints_of
from bootstrap.timeline.disassembly import LONGEST
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.origins import OriginStep
from bootstrap.timeline.search import watching
from bootstrap.timeline.timeline import Counting, Timeline
from bootstrap.trace.compare import RecordedRun
from bootstrap.trace.coordinates import just_after
from bootstrap.trace.store import Trace

BACK = (2, 200, 20_000)
"""Calls before the one in question from which stores are watched; then from the first on."""


@dataclass(frozen=True, slots=True)
class MemoryStore:
    """An instruction that stored a byte, or a system call that did."""

    row: int
    calls: int
    """System calls that the program had made before it."""
    after: int
    """Instructions between the last of them, or the program's start, and this one."""
    pc: int
    code: bytes
    """Bytes from there on, as they were: the instruction, and perhaps more."""
    by_call: bool
    """It is a system call, which stored for the program: a read."""


def store_before(
    trace: Trace, engine: Engine, row: int, call: int, guest_addr: int
) -> MemoryStore | None:
    """The last store to the byte at that address before the program's call of that ordinal.

    None: the program never stored there; the byte is of its image. Raises BadInput, Diverged.
    """
    record, checkpoints = RecordedRun(trace), checkpoints_of(trace)
    plain = Timeline(
        trace, engine, record=record, counting=Counting.NOTHING, checkpoints=checkpoints
    )
    watcher = Timeline(trace, engine, watching=True, record=record)
    try:
        for back in (*BACK, call):
            first = max(0, call - 1 - back)
            plain.close()
            plain.seek_call(row, first)
            found = _last_store(plain, watcher, row, first, call, guest_addr)
            if found is not None or not first:
                return found
        return None
    finally:
        plain.close()
        watcher.close()


def _last_store(
    plain: Timeline, watcher: Timeline, row: int, first: int, call: int, guest_addr: int
) -> MemoryStore | None:
    began = [(plain.executed, first)]  # 0 where `plain` does not count
    with watching(watcher, guest_addr, guest_addr + 1, WRITES) as watch:
        watcher.resume(plain.checkpoint())
        for ordinal in range(first + 1, call + 1):
            watcher.seek_call(row, ordinal)
            began.append((watcher.executed, ordinal))
        watch.look()
        last = watch.last
        if last is None:
            return None
        since, calls = max(pair for pair in began if pair[0] <= last.executed)
        code = watcher.process.memory.read_upto(last.pc, LONGEST)
        by_call = last in watch.by_calls
        return MemoryStore(row, calls, last.executed - since, last.pc, code, by_call)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreReport:
    """A store, for people and machines."""

    coordinate: str
    guest_addr: int = key("address")
    instruction: str
    label: str
    source: str
    """File and line, where they are known."""
    by_call: bool = key("by_system_call")


def store_report(
    trace: Trace, engine: Engine, images: ProgramImages, link: OriginStep
) -> StoreReport | None:
    """What stored the byte of a link before its write call; None: it was there from the start.

    Raises as store_before does, and ValueError for a link without a call.
    """
    if link.program is None or link.call is None:
        raise ValueError("no program wrote it")
    program, call = link.program, link.call
    ordinal = call.ordinal - program.first_call
    found = store_before(trace, engine, program.id, ordinal, call.guest_addr)
    if found is None:
        return None
    place = just_after(trace, program, program.first_call + found.calls, found.after)
    image = images.image(program.image)
    offset = image.offset(found.pc)
    written = None if offset is None else image.place(offset)
    return StoreReport(
        coordinate=str(place),
        guest_addr=found.pc,
        instruction=image.decoder.one(found.code, found.pc).text,
        label="" if offset is None else image.shown_label(offset),
        source="" if written is None else written.where,
        by_call=found.by_call,
    )


def line(report: StoreReport | None) -> str:
    """For people."""
    if report is None:
        return "by no instruction: it was in memory when the program began"
    what = "the system call of " if report.by_call else ""
    label = f" <{report.label}>" if report.label else ""
    source = f", {report.source}" if report.source else ""
    place = f"at {report.guest_addr:#x}{label}{source}; {report.coordinate}"
    return f"by {what}{report.instruction}, {place}"
