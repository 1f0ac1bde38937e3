"""The parts of the screen: rows of cells with a look for each style, the time line, the prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from bootstrap.debug.tui.bytesdrawn import Row
from bootstrap.debug.view import View

STYLES = (
    "here", "cursor", "linked", "changed", "read", "written", "comment", "label", "dim", "break",
    "never", "unknown", "data", "control", "title", "focused", "error", "key",
)  # fmt: skip
MOST_SHOWN = 12
"""Completions that are shown."""


class Cells(Widget):
    """Rows that are drawn when they are needed, for the room that there is."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"cells--{name}" for name in STYLES}
    can_focus = False

    def __init__(self, draw: Callable[[int, int], list[Row]], id: str) -> None:
        super().__init__(id=id)
        self._draw = draw
        self.shift = 0
        """Columns that are scrolled out on the left, but for titles."""
        self._shown: tuple[list[Row], int] | None = None

    def redraw(self) -> None:
        """Draw it again, if anything is otherwise: drawing is what takes the time of a key."""
        if not (self.display and self.size) or (self.rows(), self.shift) != self._shown:
            self.refresh()

    def rows(self) -> list[Row]:
        """What is there now."""
        return self._draw(self.size.width, self.size.height)

    def render(self) -> Text:
        """The rows, each cut to the width."""
        width, found = self.size.width, Text(no_wrap=True, end="")
        rows = self.rows()
        self._shown = rows, self.shift
        for number, row in enumerate(rows[: self.size.height]):
            if number:
                found.append("\n")
            left, skip = width, self.shift if number else 0
            for text, style in row:
                skipped = text[:skip]
                text, skip = text[skip:], skip - len(skipped)
                if left <= 0:
                    break
                look = self.get_component_rich_style(f"cells--{style}") if style else None
                found.append(_visible(text[:left]), look)
                left -= len(text)
        return found


def _visible(text: str) -> str:
    """Nothing that would move the terminal's cursor."""
    return "".join(letter if letter.isprintable() else "." for letter in text)


class Clicked(Message):
    """A cell of a pane was clicked."""

    def __init__(self, pane: str, x: int, y: int) -> None:
        super().__init__()
        self.pane, self.x, self.y = pane, x, y


class Pane(Cells):
    """A pane; its first row is its title."""

    def on_click(self, event: events.Click) -> None:
        """To the screen."""
        self.post_message(Clicked(self.id or "", event.x, event.y))


class Dragged(Message):
    """Somebody pulls the time line to a share of it, 0 to 1; `done`: and let go."""

    def __init__(self, share: float, done: bool) -> None:
        super().__init__()
        self.share, self.done = share, done


class TimeLine(Cells):
    """The time of the program; can be dragged."""

    held = False

    def _share(self, x: int) -> float:
        left, width = bar_place(self.size.width)
        return max(0.0, min(1.0, (x - left) / max(1, width - 1)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Take hold."""
        self.held = True
        self.capture_mouse()
        self.post_message(Dragged(self._share(event.x), False))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Pull."""
        if self.held:
            self.post_message(Dragged(self._share(event.x), False))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Let go."""
        if self.held:
            self.held = False
            self.release_mouse()
            self.post_message(Dragged(self._share(event.x), True))


def bar_place(width: int) -> tuple[int, int]:
    """Where the bar of the time line is: first column, columns."""
    return 14, max(4, width - (46 if width > 110 else 34))


def time_rows(view: View, width: int, height: int, pulled: float | None) -> list[Row]:
    """The bar, with marks on it; below it, where there is room, the other scales."""
    left, room = bar_place(width)
    total = view.total
    if total is not None:
        share = view.executed / max(1, total - 1)
        end = f"{total - 1:,}" + (" instructions" if width > 110 else "")
    else:
        share = view.calls_made / max(1, view.calls_total)
        end = "the calls"
    share = share if pulled is None else pulled
    at = round(share * (room - 1))
    bar = ["="] * at + ["-"] * (room - at)
    if total is not None:
        for name, executed in view.marked:
            bar[round(executed / max(1, total - 1) * (room - 1))] = name[0]
    bar[at] = "O"
    now = f"{view.executed:,}" if pulled is None else f"to {share:.1%}"
    rows: list[Row] = [
        [(f"{now:>{left - 2}} ", "here"), ("[", "dim"), ("".join(bar[:at]), "control"),
         (bar[at], "here"), ("".join(bar[at + 1 :]), "dim"), ("] ", "dim"),
         (f"{share:6.1%} of {end}", "")]
    ]  # fmt: skip
    rows.append(
        [(f"{'':{left}}call {view.calls_made:,} of {view.calls_total:,}; event {view.event:,} of "
          f"{view.events:,} of the run; drag, or [ and ], or g 50%", "dim")]
    )  # fmt: skip
    return rows[:height]


class Told(ModalScreen[None]):
    """An answer of several lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark,ctrl+c", "dismiss_it", show=False, priority=True),
        Binding("j,down", "scroll(1)", show=False, priority=True),
        Binding("k,up", "scroll(-1)", show=False, priority=True),
        Binding("space,pagedown", "page(1)", show=False, priority=True),
        Binding("pageup", "page(-1)", show=False, priority=True),
    ]

    def __init__(self, title: str, lines: list[str]) -> None:
        super().__init__()
        self._title, self.lines = title, lines

    def compose(self) -> ComposeResult:
        """A box that scrolls."""
        text = Text("\n".join(_visible(line) for line in self.lines), no_wrap=False)
        with VerticalScroll(id="told") as box:
            box.border_title = self._title
            box.border_subtitle = "Esc closes, j and k scroll"
            yield Static(text, id="told-text", markup=False)

    def action_dismiss_it(self) -> None:
        """Close."""
        self.dismiss(None)

    def action_scroll(self, way: int) -> None:
        """A line."""
        self.query_one(VerticalScroll).scroll_relative(y=way, animate=False)

    def action_page(self, way: int) -> None:
        """A page."""
        box = self.query_one(VerticalScroll)
        box.scroll_relative(y=way * max(1, box.size.height - 1), animate=False)
