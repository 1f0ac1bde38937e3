"""The parts of the screen that need no terminal: arrangement, arrows, the command line, drawing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from bootstrap.debug.command_table import VERBS, Names, complete, parse
from bootstrap.debug.screen_state import FileView
from bootstrap.debug.tui.arrangement import PANES, arrange, body_height
from bootstrap.debug.tui.cursor import Cursor, is_text, per_row
from bootstrap.debug.tui.drawing import LANES, arrows, dump, offset_at, scroll
from bootstrap.debug.tui.keys import KEYS, SAME, CommandLine

SIZES = st.tuples(st.integers(40, 300), st.integers(10, 120))


@given(SIZES, st.sampled_from(PANES), st.booleans())
def test_panes_fit_do_not_overlap_and_the_one_in_focus_is_there(
    size: tuple[int, int], focus: str, zoomed: bool
) -> None:
    width, height = size
    found = arrange(width, height, focus, zoomed)
    assert focus in found
    cells: set[tuple[int, int]] = set()
    for name, (x, y, wide, high) in found.items():
        assert wide > 0 and high > 0, name
        assert x >= 0 and y >= 1 and x + wide <= width and y + high <= 1 + body_height(height)
        mine = {(column, row) for column in (x, x + wide - 1) for row in range(y, y + high)}
        assert not mine & cells
        cells |= mine


def test_panes_fold_away_and_come_with_the_room() -> None:
    small, large = arrange(80, 24, "source"), arrange(160, 50, "source")
    assert set(small) == {"source", "code", "regs", "output"} and set(large) == set(PANES)
    assert "tree" in arrange(80, 24, "tree") and "regs" in arrange(80, 24, "tree")
    assert set(arrange(80, 24, "calls", zoomed=True)) == {"calls"}


def test_arrows_lead_from_jumps_to_their_targets() -> None:
    found = arrows([(0, 8), (2, None), (4, 2), (6, 99), (8, None), (10, -5)], 0)
    assert found[0].endswith("+-" + "-" * (LANES - found[0].index("+") - 1)) or "+" in found[0]
    assert found[4].endswith(">") and found[1].endswith(">")
    assert found[3].endswith("v") and found[5].endswith("^")
    assert all(len(row) == LANES + 1 for row in found)


@given(st.lists(st.one_of(st.none(), st.integers(-4, 40)), max_size=20))
def test_arrows_of_any_code(targets: list[int | None]) -> None:
    found = arrows([(2 * i, target) for i, target in enumerate(targets)], 0)
    assert len(found) == len(targets)
    for row, target in zip(found, targets, strict=True):
        assert len(row) == LANES + 1
        assert target is None or row.strip()


@given(st.integers(0, 500), st.integers(1, 60), st.integers(0, 499))
def test_where_the_cursor_is_is_in_sight(count: int, height: int, at: int) -> None:
    first = scroll(count, height, at)
    assert first >= 0
    if at < count:
        assert first <= at < first + height


def test_bytes_are_marked_by_signs() -> None:
    row = dump("00", bytes(range(8)), 0, 8, 6, (1, 1), (2, 2), 4)
    text = "".join(part for part, _ in row)
    assert text.startswith(" 00  00~01*02*03=04 05|06 07")
    assert per_row(200) == 16 and per_row(43) == 8 and per_row(20) == 4


def test_what_is_text() -> None:
    assert is_text(b"a\tb\n\xc3\xa9") and is_text(b"") and not is_text(b"\x7fELF\1\0")


def test_places_in_a_text() -> None:
    found = FileView(3, "/f", 0, 6, 0, b"ab\ncd\n")
    assert offset_at(found, 2, 2) == 4 and offset_at(found, 9, 1) is None
    assert offset_at(FileView(3, "/f", 0, 99, 32, b"ab"), 1, 1) is None


def test_a_cursor_leads_only_once_it_was_moved() -> None:
    assert not Cursor().by_hand and Cursor(source=3).by_hand
    assert not Cursor("output").by_hand and Cursor("output", output=0).by_hand


# Keys.


def test_keys_do_what_there_is() -> None:
    for key in KEYS.values():
        if isinstance(key.does, str):
            line = key.does.format(here="0x10", byte="0x10")
            assert parse(line + ("x" if line.endswith(" ") else "")) is not None
    assert set(SAME.values()) <= set(KEYS)


# The command line.

NAMES = Names(("eax", "esp"), ("loop", "next"), ("hex0", "hex0.hex0"), ("hex0.hex0",), ("k",),
              ("read", "write"))  # fmt: skip


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("und", ["undo"]),
        ("reverse-s", ["reverse-step", "reverse-stepi"]),
        ("show re", ["show regs"]),
        ("info reg", ["info regs"]),
        ("print es", ["print esp"]),
        ("go hex0.", ["go hex0.hex0:"]),
        ("go l", ["go loop"]),
        ("break n", ["break next"]),
        ("call r", ["call read"]),
        ("call path=hex0.", ["call path=hex0.hex0"]),
        ("jump ", ["jump k"]),
        ("next w", ["next write"]),
        ("next write es", ["next write esp"]),
        ("expect fla", ["expect flags"]),
        ("help und", ["help undo"]),
        ("zzz", []),
        ("zzz x", []),
    ],
)
def test_what_a_line_could_go_on_as(line: str, found: list[str]) -> None:
    assert complete(line, NAMES) == found


def test_what_is_offered_begins_the_same() -> None:
    assert set(complete("", NAMES)) >= {"step", "back"}
    for choices in (param.choices for verb in VERBS for param in verb.params):
        assert all(own in choices for own in choices.values())


def edited(does: Callable[[CommandLine], None]) -> None:
    """Edit a line, which takes an app that runs."""
    line = CommandLine()
    line.names = NAMES

    class Lines(App[None]):
        def compose(self) -> ComposeResult:
            yield line

    async def live() -> None:
        async with Lines().run_test():
            does(line)

    asyncio.run(live())


def keys(line: CommandLine, *names: str) -> str | None:
    """What the last one gave."""
    reply = None
    for name in names:
        reply = line.press(name, name if len(name) == 1 else "")
    return reply


def test_a_line_is_edited_recalled_completed_and_left() -> None:
    def edit(line: CommandLine) -> None:
        line.start("")
        assert keys(line, *"stpe", "left", "left", "backspace", *"te", "end", "backspace") is None
        assert line.value == "step" or keys(line, "ctrl+u", *"step") is None
        keys(line, "home", "delete", "right", "ctrl+k")
        assert line.value == "t"
        keys(line, "ctrl+a", "ctrl+k", *"go 1@0", "ctrl+w")
        assert line.value == "go "
        keys(line, *"5@1")
        assert keys(line, "enter") == "go 5@1" and not line.open
        line.history.clear()
        for text in ("step", "back", "back"):
            line.start(text)
            assert line.press("enter", "") == text
        assert line.history == ["step", "back"]
        line.start("half")
        keys(line, "up", "up", "up")
        assert line.value == "step"
        keys(line, "down", "down", "down")
        assert line.value == "half"
        line.start("und")
        keys(line, "tab")
        assert line.value == "undo " and line.offered == ["undo"]
        assert keys(line, "escape") == "" and not line.open
        line.start("")
        assert keys(line, "backspace") == "" and not line.open
        line.start("")
        line.type_in("go \x1b1@0\nquit")  # pasted
        assert line.value == "go 1@0"

    edited(edit)


EDITS = ("left", "right", "home", "end", "backspace", "delete", "up", "down", "tab", "ctrl+w",
         "ctrl+k", "ctrl+u", "a", " ", "s")  # fmt: skip


@settings(deadline=None, max_examples=20)
@given(st.lists(st.lists(st.sampled_from(EDITS), max_size=40), max_size=10))
def test_any_keys_leave_a_line_with_a_cursor_in_it(pressed: list[list[str]]) -> None:
    def edit(line: CommandLine) -> None:
        for names in pressed:
            line.history = ["step", "go 1@0"]
            line.start("x")
            for name in names:
                if line.open:
                    keys(line, name)
                assert 0 <= line.cursor_position <= len(line.value)

    edited(edit)
