"""The stream of events: all of them, in order, and none where nobody listens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import pytest

from bootstrap.core import events
from bootstrap.core.abi import O_CLOEXEC, O_CREAT, O_TRUNC, O_WRONLY
from bootstrap.core.arches import X86, Arch
from bootstrap.core.cpu import Cpu, OnTrap
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import RegularFile
from bootstrap.core.machine import Machine, plain_cpu
from bootstrap.core.process import Process
from tests.core.guest import EACH_ARCH, ON_X86, Program, run


def story(arch: Arch) -> Program:
    """Opens, makes, empties and removes files, forks, and executes another program that faults."""
    guest = Program(arch)
    name = guest.text(b"new")
    guest.at("open", guest.text(b"old"), O_WRONLY | O_TRUNC, 0)
    guest.at("open", name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600).at("chmod", name, 0o755)
    guest.fork().jump("child", "zero").wait().call("close", 3).at("unlink", name).exit(5)
    guest.label("child").call("execve", guest.text(b"./other"), guest.words(name, 0), 0).exit(1)
    return guest


def told(happened: Sequence[events.Event]) -> list[str]:
    """Each event as a line: its name, process and time, and what is short of its fields."""
    lines = []
    for event in happened:
        short = [
            f"{field.name}={value!r}"
            for field in fields(event)[2:]
            if isinstance(value := getattr(event, field.name), int | bytes | str) and value != b""
        ]
        lines.append(" ".join([type(event).__name__, f"{event.pid}@{event.time}", *short]))
    return lines


@ON_X86
def test_everything_in_order(arch: Arch) -> None:
    happened: list[events.Event] = []
    other = Program(arch).raw("f4").exit(0)
    files = {b"/old": b"content", b"/other": other.elf()}
    ran = run(story(arch), files, listeners=[happened.append])
    implied = arch.implied_open_flags
    assert told(happened) == [
        "RunStarted 1@0 cwd=b'/'",
        f"Executed 1@0 ppid=0 arch={arch.name!r}",
        "Resumed 1@0 came_back=False",
        "Changed 1@0 what='truncate'",
        f"Opened 1@0 path=b'old' flags={O_WRONLY | O_TRUNC | implied} fd=3",
        "Changed 1@1 what='name'",
        f"Opened 1@1 path=b'new' flags={O_WRONLY | O_CREAT | O_CLOEXEC | implied} fd=4",
        "Changed 1@2 what='mode'",
        "Forked 1@4 child=2",
        f"Executed 2@5 ppid=1 arch={arch.name!r}",
        "Resumed 2@5 came_back=False",
        "Exited 2@5 status=11 calls=1",
        "Resumed 1@5 came_back=True",
        "Closed 1@6",
        "Changed 1@7 what='unname'",
        "Closed 1@9",
        "Closed 1@9",
        "Closed 1@9",
        "Closed 1@9",
        "Exited 1@9 status=1280 calls=8",
    ]
    assert ran.machine.ended_calls == 9
    executed = [event for event in happened if isinstance(event, events.Executed)]
    assert [event.program.path for event in executed] == [b"/guest", b"./other"]
    assert [event.arch for event in executed] == [arch.name] * 2
    assert [event.image.origin for event in executed] == [b"/guest", b"/other"]
    assert executed[1].program.argv == (b"new",)
    emptied = next(event for event in happened if isinstance(event, events.Changed))
    assert isinstance(emptied.inode, RegularFile)
    assert emptied.inode.origin == b"/old"
    places = [event.place for event in happened if isinstance(event, events.Changed)]
    root = ran.machine.files.root
    assert [place and place[:2] for place in places] == [
        None, (root, b"new"), None, (root, b"new"),
    ]  # fmt: skip
    faults = [event.fault for event in happened if isinstance(event, events.Exited)]
    assert [fault and fault.signal for fault in faults] == [11, None]


@EACH_ARCH
def test_all_listeners_hear_the_same(arch: Arch) -> None:
    first: list[events.Event] = []
    second: list[events.Event] = []
    guest = Program(arch).fork().jump("child", "zero").wait().label("child").exit(0)
    run(guest, listeners=[first.append, second.append])
    assert first == second
    assert [event.time for event in first] == sorted(event.time for event in first)


def test_without_listeners_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an event was made")

    for kind in vars(events).values():
        if isinstance(kind, type) and issubclass(kind, events.Event):
            monkeypatch.setattr(kind, "__init__", refuse)
    ran = run(story(X86), {b"/old": b"", b"/other": Program(X86).exit(0).elf()})
    assert ran.status == 5
    with pytest.raises(AssertionError, match="an event was made"):
        run(Program(X86).exit(0), listeners=[lambda event: None])


def test_what_a_listener_raises_ends_the_run() -> None:
    def listen(event: events.Event) -> None:
        if isinstance(event, events.Opened):
            raise GuestFailed("heard enough")

    guest = Program(X86)
    guest.at("open", guest.text(b"/guest"), 0, 0).call("write", 1, CELL, 1).exit(0)
    with pytest.raises(GuestFailed, match=r"heard enough \[/guest, pid 1, system call 1, in open"):
        run(guest, listeners=[listen])


CELL = 0x400000


@dataclass(frozen=True, slots=True)
class Later(events.Event):
    """An event that the core does not know."""

    word: str


def test_rooms_above_may_have_events_of_their_own() -> None:
    happened: list[events.Event] = []
    machine = Machine(run(Program(X86).exit(0)).files, listeners=[happened.append])
    machine.emit(7, Later, word="tick")
    assert happened == [Later(0, 7, "tick")]


@ON_X86
def test_who_makes_the_cpus_sees_each_call_and_its_result(arch: Arch) -> None:
    """The way of strace and of recorders: no event for thirty million calls."""
    calls: list[tuple[int, int, int | None]] = []

    class Watched(Cpu):
        asked: tuple[int, int] | None = None

        def set_result(self, result: int) -> None:
            if self.asked is not None:
                calls.append((*self.asked, result))
                self.asked = None
            super().set_result(result)

    def new_cpu(process: Process, on_trap: OnTrap) -> Cpu:
        def trap(registers: Sequence[int]) -> int | None:
            machine.asked = (process.pid, registers[0])
            return on_trap(registers)

        machine = Watched(process.arch, process.memory, trap)
        return machine

    guest = Program(arch)
    guest.call("brk", 0).fork().jump("child", "zero").wait().call("close", 9)
    guest.call("execve", guest.text(b"/none"), 0, 0).label("child").exit(0)
    ran = run(guest, new_cpu=new_cpu)
    results = [result for pid, _, result in calls if pid == 1]
    assert results == [0x801000, 2, 2, -9, -2]
    assert ran.machine.ended_calls == 7  # two exits have no result
    assert run(guest, new_cpu=plain_cpu).machine.ended_calls == 7
