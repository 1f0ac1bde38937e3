"""What somebody wrote into a program while it stood still: memory and registers, at places in its
time. A trace of a run that was written into has them in its `meta`; a timeline does them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from bootstrap.documents import Size, at_least, typed_json
from bootstrap.linux.machine import Task

if TYPE_CHECKING:
    from bootstrap.linux.memory import AddressSpace

META = "edits"
Count = Annotated[int, at_least(1)]


@dataclass(frozen=True, slots=True)
class Edit:
    """At one place: before the instruction that comes next there."""

    row: int
    """The program."""
    executed: int
    """Instructions before it."""
    event: int
    """System calls of all the run before it."""
    memory: tuple[tuple[int, bytes], ...] = ()
    """(address, bytes), in order."""
    registers: tuple[tuple[str, bytes], ...] = ()
    """(name, little-endian), as Cpu.save() names them."""

    @property
    def when(self) -> tuple[int, int, int]:
        """Its place in the time of the whole run."""
        return self.event, self.row, self.executed

    def do(self, task: Task) -> None:
        """Write it into the process that stands there. To do it twice changes nothing more."""
        for guest_addr, data in self.memory:
            put(task.process.memory, guest_addr, data)
        if self.registers:
            task.cpu.restore({**task.cpu.save(), **dict(self.registers)})
            if task.cpu.stepping is not None:
                task.cpu.stepping.elsewhere()

    def with_memory(self, guest_addr: int, data: bytes) -> Edit:
        """The same, and these bytes."""
        memory = (*self.memory, (guest_addr, data))
        return Edit(self.row, self.executed, self.event, memory, self.registers)

    def with_register(self, name: str, value: bytes) -> Edit:
        """The same, and this register."""
        registers = {**dict(self.registers), name: value}
        return Edit(self.row, self.executed, self.event, self.memory, tuple(registers.items()))


def put(memory: AddressSpace, guest_addr: int, data: bytes) -> None:
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
        return json.dumps(
            [
                {
                    "row": edit.row,
                    "executed": edit.executed,
                    "event": edit.event,
                    "memory": [[guest_addr, data.hex()] for guest_addr, data in edit.memory],
                    "registers": {name: value.hex() for name, value in edit.registers},
                }
                for edit in self.all
            ]
        )


def edits_of(meta: Mapping[str, str]) -> Edits:
    """Those of a recorded run. Raises ValueError."""
    return Edits(
        Edit(one.row, one.executed, one.event, one.memory, tuple(one.registers.items()))
        for one in typed_json(tuple[_StoredEdit, ...], meta.get(META, "[]"))
    )


@dataclass(frozen=True)
class _StoredEdit:
    """An edit as `meta` has it."""

    row: Count
    executed: Size
    event: Size
    memory: tuple[tuple[Size, bytes], ...]
    registers: Mapping[str, bytes]
