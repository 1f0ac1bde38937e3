"""The stream of events: to all listeners alike, and none where nobody listens."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bootstrap.core.arches import X86
from bootstrap.core.errors import GuestFailed
from bootstrap.instruments import default_engine
from bootstrap.linux import events
from bootstrap.linux.events import CORE_EVENTS, Event, Listener
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import MemoryLower
from bootstrap.linux.machine import LinuxMachine
from tests.core.guest import Program


def heard(guest: Program, *listeners: Listener) -> LinuxMachine:
    files = OverlayFileSystem(MemoryLower({}))
    files.add_file(b"/guest", guest.elf(), 0o755)
    machine = LinuxMachine(files, default_engine(), listeners=listeners)
    machine.run(b"/guest", [b"guest"])
    return machine


def test_all_listeners_hear_the_same() -> None:
    first: list[Event] = []
    second: list[Event] = []
    guest = Program(X86).fork().jump("child", "zero").wait().label("child").exit(0)
    heard(guest, first.append, second.append)
    assert first == second
    assert [event.time for event in first] == sorted(event.time for event in first)
    names = [type(event).__name__ for event in first if type(event).__name__ in CORE_EVENTS]
    assert names == ["RunStarted", "Executed", "Resumed", "Forked", "Exited", "Resumed", "Exited"]


def test_without_listeners_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an event was made")

    for kind in vars(events).values():
        if isinstance(kind, type) and issubclass(kind, Event):
            monkeypatch.setattr(kind, "__init__", refuse)
    heard(Program(X86).exit(0))
    with pytest.raises(AssertionError, match="an event was made"):
        heard(Program(X86).exit(0), lambda event: None)


def test_what_a_listener_raises_ends_the_run() -> None:
    def listen(event: Event) -> None:
        if isinstance(event, events.Opened):
            raise GuestFailed("heard enough")

    guest = Program(X86)
    guest.at("open", guest.text(b"/guest"), 0, 0).exit(0)
    with pytest.raises(GuestFailed, match=r"heard enough \[/guest, pid 1, system call 1, in open"):
        heard(guest, listen)


@dataclass(frozen=True, slots=True)
class Later(Event):
    """An event that this room does not know."""

    word: str


def test_rooms_above_may_have_events_of_their_own() -> None:
    happened: list[Event] = []
    machine = heard(Program(X86).exit(0), happened.append)
    machine.emit(7, Later, word="tick")
    assert happened[-1] == Later(1, 7, "tick")
