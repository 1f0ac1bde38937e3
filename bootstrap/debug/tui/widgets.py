"""The parts of the screen: rows of cells with a look for each style, the time line, the prompt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

from bootstrap.debug.tui.drawing import Row, bar_place

STYLES = (
    "here", "cursor", "linked", "changed", "read", "written", "comment", "label", "dim", "break",
    "never", "unknown", "data", "control", "title", "focused", "error", "key",
)  # fmt: skip


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


@dataclass
class Clicked(Message):
    """A pane was clicked."""

    pane: str


class Pane(Cells):
    """A pane; its first row is its title."""

    def on_click(self, _event: events.Click) -> None:
        """To the screen."""
        self.post_message(Clicked(self.id or ""))


@dataclass
class Dragged(Message):
    """Somebody pulls the time line to a share of it, 0 to 1; `done`: and let go."""

    share: float
    done: bool


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


class TextDialog(ModalScreen[None]):
    """Several lines."""

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
        with VerticalScroll(id="dialog") as box:
            box.border_title = self._title
            box.border_subtitle = "Esc closes, j and k scroll"
            yield Static(text, id="dialog-text", markup=False)

    def action_dismiss_it(self) -> None:
        """Close."""
        self.dismiss(None)

    def action_scroll(self, by: int) -> None:
        """A line."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        """A page."""
        box = self.query_one(VerticalScroll)
        box.scroll_relative(y=by * max(1, box.size.height - 1), animate=False)
