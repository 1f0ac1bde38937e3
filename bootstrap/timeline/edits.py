"""What somebody wrote into a program while it stood still: memory and registers, at places in its
time. A trace of a run that was written into has them in its `meta`; a timeline does them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

from bootstrap.documents import Size, at_least, encode, typed_json
from bootstrap.linux.machine import LinuxTask
from bootstrap.trace.store import EDITS

if TYPE_CHECKING:
    from bootstrap.linux.memory import VirtualMemory

Count = Annotated[int, at_least(1)]


@dataclass(frozen=True, slots=True)
class Edit:
    """At one place: before the instruction that comes next there."""

    row: Count
    """The program."""
    executed: Size
    """Instructions before it."""
    event: Size
    """System calls of all the run before it."""
    memory: tuple[tuple[Size, bytes], ...] = ()
    """(address, bytes), in order."""
    registers: Mapping[str, bytes] = field(default_factory=dict)
    """Little-endian, by the names that Cpu.save() gives them."""

    @property
    def when(self) -> tuple[int, int, int]:
        """Its place in the time of the whole run."""
        return self.event, self.row, self.executed

    def do(self, task: LinuxTask) -> None:
        """Write it into the process that stands there. To do it twice changes nothing more."""
        for guest_addr, data in self.memory:
            put(task.process.memory, guest_addr, data)
        if self.registers:
            task.cpu.restore({**task.cpu.save(), **self.registers})
            if task.cpu.stepping is not None:
                task.cpu.stepping.elsewhere()

    def with_memory(self, guest_addr: int, data: bytes) -> Edit:
        """The same, and these bytes."""
        return replace(self, memory=(*self.memory, (guest_addr, data)))

    def with_register(self, name: str, value: bytes) -> Edit:
        """The same, and this register."""
        return replace(self, registers={**self.registers, name: value})


def put(memory: VirtualMemory, guest_addr: int, data: bytes) -> None:
    """Store bytes as a debugger does, whatever the protection; nobody hears of it."""
    hears, memory.watcher = memory.watcher, None
    try:
        memory.poke(guest_addr, data)
    finally:
        memory.watcher = hears


class Edits:
    """All of a run, in the order of its time."""

    def __init__(self, edits: Iterable[Edit] = ()) -> None:
        self.all = tuple(sorted(edits, key=lambda edit: edit.when))

    def __bool__(self) -> bool:
        return bool(self.all)

    def at(self, row: int, executed: int) -> Edit | None:
        """The one at a place."""
        return next((e for e in self.all if (e.row, e.executed) == (row, executed)), None)

    def after(self, row: int, executed: int) -> int | None:
        """Where the next one in a program is."""
        return min((e.executed for e in self.all if e.row == row and e.executed > executed),
                   default=None)  # fmt: skip

    def until(self, when: tuple[int, int, int]) -> Edits:
        """Those before a place in time."""
        return Edits(edit for edit in self.all if edit.when < when)

    @property
    def text(self) -> str:
        """For `meta`."""
        return json.dumps(encode(self.all))


def edits_of(meta: Mapping[str, str]) -> Edits:
    """Those of a recorded run. Raises ValueError."""
    return Edits(typed_json(tuple[Edit, ...], meta.get(EDITS, "[]")))
