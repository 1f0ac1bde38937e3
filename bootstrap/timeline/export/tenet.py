"""A window of one program's time as a text trace for Tenet, the trace explorer.

The first line is all registers before the first instruction of the window. Then a line for each
instruction, with what is so after it: the registers that changed, always the program counter, and
every byte of memory that it read (`mr`) or wrote (`mw`). What a system call reads and writes in the
program's memory stands on the line of its instruction. The last instruction of a program, which
exits or executes another, has no line: there is nothing after it.

Source of the format: tracers/README.md of Tenet; its trace/arch folder for the registers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby

from bootstrap.core.errors import BadInput
from bootstrap.instruments import Engine
from bootstrap.timeline.timeline import PastEnd, Timeline

MOST = 100_000
"""Instructions of a window, unless somebody asks for more; some 5 MB of text."""
REGISTERS = {
    "i386": ("eax", "ebx", "ecx", "edx", "ebp", "esp", "esi", "edi", "eip"),
    "x86_64": (
        "rax", "rbx", "rcx", "rdx", "rbp", "rsp", "rsi", "rdi",
        "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rip",
    ),
}  # fmt: skip
"""By Abi.name, the ones that Tenet knows; the program counter is the last."""


class _Ear:
    """What the present instruction reads and writes."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.reads: dict[int, int] = {}
        """Each byte by address, as it was when it was first read."""
        self.writes: set[int] = set()

    def listen(self) -> None:
        """To the CPU and the process that are there now."""
        self._timeline.stepping.hear = self.hear
        self._timeline.process.memory.watcher = self.hear

    def hear(self, guest_addr: int, size: int, writes: bool) -> None:
        """An instruction, or a system call, is about to read or write there."""
        if writes:
            self.writes.update(range(guest_addr, guest_addr + size))
            return
        found = self._timeline.process.memory.read_upto(guest_addr, size)
        for index, byte in enumerate(found):
            if guest_addr + index not in self.writes:
                self.reads.setdefault(guest_addr + index, byte)

    def entries(self) -> list[str]:
        """The entries of the instruction that has run; then there are none."""
        memory = self._timeline.process.memory
        written: dict[int, int] = {}
        for start, end in _runs(self.writes):
            written.update(
                zip(range(start, end), memory.read_upto(start, end - start), strict=True)
            )
        found = [*_entries("mr", self.reads), *_entries("mw", written)]
        self.reads, self.writes = {}, set()
        return found


def _runs(addresses: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Stretches of addresses without a gap: first, and after the last."""
    for _, run in groupby(enumerate(sorted(addresses)), key=lambda pair: pair[1] - pair[0]):
        found = [address for _, address in run]
        yield found[0], found[-1] + 1


def _entries(name: str, found: dict[int, int]) -> Iterator[str]:
    for start, end in _runs(found):
        yield f"{name}={start:#x}:{bytes(found[a] for a in range(start, end)).hex()}"


def window(timeline: Timeline, row: int, start: int, end: int | None, most: int) -> int:
    """The end of a window of instructions: `end`, or the last that a line can show.

    Raises BadInput: the window is empty, too long, or not in the program (PastEnd).
    """
    program = timeline.trace.program(row)
    if program.abi not in REGISTERS:
        raise BadInput(
            f"{program.label} is of {program.abi}: Tenet reads traces of x86 and AMD64 only"
        )
    # Not by the program's total: it may be far away.
    wanted = start + most + 1 if end is None else end
    if wanted <= start:
        raise BadInput(f"{program.label}: the window from {start:,} to {wanted:,} is empty")
    try:
        if wanted - start <= most or end is None:
            timeline.seek(row, wanted)
    except PastEnd as past:
        if start >= past.total or (end is not None and end > past.total):
            raise
        wanted = past.total - 1
        if wanted == start:
            raise BadInput(
                f"{program.label}: its last instruction, {start:,}, has no line: there is nothing "
                "after it; begin earlier"
            ) from None
    if wanted - start > most:
        raise BadInput(
            f"the window is longer than {most:,} instructions: take a smaller --count, or allow "
            "more with --most"
        )
    return wanted


def tenet(timeline: Timeline, engine: Engine, row: int, start: int, end: int) -> Iterator[bytes]:
    """The lines of a window that `window` agreed to.

    Loads and stores are heard where Python counts, which is slow: the timeline, which need not,
    goes to the start.
    """
    timeline.seek(row, start)
    place = timeline.checkpoint()
    # Who follows the way of one, and may end it, follows the other's.
    listener = timeline.another(watching=True, engine=engine.in_python())
    try:
        listener.resume(place)
        yield from _lines(listener, end)
    finally:
        listener.close()


def _lines(at: Timeline, end: int) -> Iterator[bytes]:
    names = REGISTERS[at.program.abi]
    ear = _Ear(at)
    at.on_restore = ear.listen
    ear.listen()
    before: dict[str, int] = {}
    while True:
        now = dict(at.registers())
        entries = [f"{n}={now[n]:#x}" for n in names[:-1] if before.get(n) != now[n]]
        entries.append(f"{names[-1]}={at.pc:#x}")
        yield (",".join([*entries, *ear.entries()]) + "\n").encode()
        if at.executed >= end:
            return
        before = now
        here = at.executed
        while at.executed == here:
            at.go_on(None, here + 1)
