"""The parts of the screen: rows of cells with a look for each style, the time line, the prompt."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
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


class Pane(Cells):
    """A pane; its first row is its title. `clicked` gets its name."""

    def __init__(
        self, draw: Callable[[int, int], list[Row]], id: str, clicked: Callable[[str], None]
    ) -> None:
        super().__init__(draw, id)
        self._clicked = clicked

    def on_click(self, _event: events.Click) -> None:
        self._clicked(self.id or "")


class TimeLine(Cells):
    """The time of the program; can be dragged. `dragged` gets the share of it that somebody pulls
    it to, 0 to 1, and whether it was let go there."""

    def __init__(
        self, draw: Callable[[int, int], list[Row]], id: str, dragged: Callable[[float, bool], None]
    ) -> None:
        super().__init__(draw, id)
        self._dragged, self._held = dragged, False

    def _pull(self, x: int, done: bool) -> None:
        left, width = bar_place(self.size.width)
        self._dragged(max(0.0, min(1.0, (x - left) / max(1, width - 1))), done)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._held = True
        self.capture_mouse()
        self._pull(event.x, False)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._held:
            self._pull(event.x, False)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        if self._held:
            self._held = False
            self.release_mouse()
            self._pull(event.x, True)


class _Box(VerticalScroll):
    """Scrolls by Textual's own keys, and by these."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", show=False),
        Binding("k", "scroll_up", show=False),
        Binding("space", "page_down", show=False),
    ]


class TextDialog(ModalScreen[None]):
    """Several lines."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,q,question_mark,ctrl+c", "dismiss(None)", show=False, priority=True)
    ]

    def __init__(self, title: str, lines: list[str]) -> None:
        super().__init__()
        self._title, self.lines = title, lines

    def compose(self) -> ComposeResult:
        """A box that scrolls."""
        text = Text("\n".join(_visible(line) for line in self.lines), no_wrap=False)
        with _Box(id="dialog") as box:
            box.border_title = self._title
            box.border_subtitle = "Esc closes, j and k scroll"
            yield Static(text, id="dialog-text", markup=False)
