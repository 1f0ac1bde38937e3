"""The thread after the screen: does things in order, can be interrupted, and ends."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.message import Message

from bootstrap.debug.command_table import parse
from bootstrap.debug.screen_state import ScreenReader, ScreenRequest, ScreenState
from bootstrap.debug.tui.worker import (
    Failed,
    Linked,
    Rested,
    Shown,
    Worker,
    Working,
)

LONGEST = 120


class Asked:
    """A worker, and what it sends."""

    def __init__(self, trace: Path) -> None:
        self.output: queue.Queue[Message] = queue.Queue()
        self.stop_at_first = False
        self.worker = Worker(str(trace), lambda _dest, _text: None, self.receive)

    def receive(self, message: Message) -> None:
        """As the screen does; interrupts a long way as soon as one is reported."""
        if isinstance(message, Working) and self.stop_at_first:
            self.stop_at_first = False
            self.worker.interrupt()
        self.output.put(message)

    def do(self, line: str) -> None:
        """A command, as the screen gives it."""
        command = parse(line)
        assert command is not None
        self.worker.do(command, ScreenRequest())

    def until_rested(self) -> list[Message]:
        """All that it sends until there is nothing to do."""
        found: list[Message] = []
        while True:
            message = self.output.get(timeout=LONGEST)
            if isinstance(message, Rested) and message.requests == self.worker.requests:
                return found
            found.append(message)


@pytest.fixture
def asked(embedded_trace: Path) -> Iterator[Asked]:
    found = Asked(embedded_trace)
    found.worker.start()
    found.until_rested()
    yield found
    found.worker.end()
    assert not found.worker.is_alive()


def test_commands_are_done_in_order_and_the_view_settles(asked: Asked) -> None:
    for line in ("step 3", "back"):
        asked.do(line)
    shown = [message for message in asked.until_rested() if isinstance(message, Shown)]
    assert [one.view.here for one in shown if one.result] == ["1@3", "1@2"]
    last = shown[-1].view
    assert last.settled and last.here == "1@2"
    assert last.read == (0xFFFFDF04, 4) and last.wrote is None
    assert last.ran is not None and last.ran[0x804804C] == 1 and last.total == 201821


def test_a_long_way_is_interrupted_and_it_is_still_where_it_was(asked: Asked) -> None:
    asked.do("step 5")
    asked.until_rested()
    asked.stop_at_first = True
    asked.do("go 1@100910")
    output = asked.until_rested()
    assert [m.text for m in output if isinstance(m, Failed)] == ["interrupted: still where it was"]
    asked.do("print at")
    shown = [m for m in asked.until_rested() if isinstance(m, Shown) and m.result is not None]
    assert shown[0].result is not None and shown[0].result.lines == ("at = 1@5",)


def test_who_stops_it_too_late_sees_where_it_is(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = ScreenReader.view

    def late(viewer: ScreenReader, wish: ScreenRequest) -> ScreenState:
        asked.worker.interrupt()
        viewer.session.progress(1, 0)
        return view(viewer, wish)

    monkeypatch.setattr(ScreenReader, "view", late)
    asked.do("step 5")
    output = asked.until_rested()
    assert not [m for m in output if isinstance(m, Failed)]
    assert [m.view.here for m in output if isinstance(m, Shown)][-1] == "1@5"


def test_what_comes_again_and_again_is_one_move(asked: Asked) -> None:
    with asked.worker._condition:  # while it is busy
        for line in [*["step"] * 90, "back 5", "back", *["call"] * 3, "step"]:
            asked.do(line)
        assert [(n, str(c)) for n, c in asked.worker._commands] == [
            (90, "step 90"), (92, "back 6"), (93, "call"), (94, "call"), (95, "call"), (96, "step"),
        ]  # fmt: skip
    shown = [m for m in asked.until_rested() if isinstance(m, Shown) and m.result is not None]
    assert [m.view.here for m in shown] == ["1@90", "1@84", "1@94", "1@107", "1@120", "1@121"]
    assert [m.commands for m in shown] == [90, 92, 93, 94, 95, 96] and asked.worker.commands == 96


def test_what_waits_is_forgotten(asked: Asked) -> None:
    with asked.worker._condition:
        for line in ("call", "output"):
            asked.do(line)
        asked.worker.interrupt()
        assert not asked.worker._commands
    asked.do("print at")
    shown = [m for m in asked.until_rested() if isinstance(m, Shown) and m.result is not None]
    assert shown[-1].view.here == "1@0"


def test_what_cannot_be_done_is_said(asked: Asked) -> None:
    asked.do("go nowhere")
    failed = [m for m in asked.until_rested() if isinstance(m, Failed)]
    assert len(failed) == 1 and not failed[0].over and "is no place" in failed[0].text


def test_links_and_counts(asked: Asked) -> None:
    asked.worker.link("code", "", 0x804804C)
    linked = [m for m in asked.until_rested() if isinstance(m, Linked)]
    assert linked[-1].links.sources == (("hex0.hex0", 139, 1),)
    asked.worker.count()
    asked.worker.look(ScreenRequest(code=12))
    shown = [m for m in asked.until_rested() if isinstance(m, Shown)]
    assert shown[-1].view.ran and len(shown[-1].view.code) == 12


def test_no_trace_is_said_as_the_end(tmp_path: Path) -> None:
    bad = tmp_path / "bad.trace"
    bad.write_bytes(b"x")
    asked = Asked(bad)
    asked.worker.start()
    message = asked.output.get(timeout=LONGEST)
    assert isinstance(message, Failed) and message.over and "is no trace" in message.text
    asked.worker.end()
