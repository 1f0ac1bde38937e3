"""The screen of `bootstrap step`: its parts, and the session that they show."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from bootstrap.core.errors import BadInput
from bootstrap.debug.command_language import Command, Result
from bootstrap.debug.command_table import help_lines, parse
from bootstrap.debug.linking import Links
from bootstrap.debug.tui import drawing, moving, widgets
from bootstrap.debug.tui.arrangement import (
    LEAST,
    PANES,
    TITLES,
    arrange,
    links_height,
    time_height,
)
from bootstrap.debug.tui.bytesdrawn import Cursor, Row, per_row
from bootstrap.debug.tui.line import LineEditor
from bootstrap.debug.tui.worker import Failed, Linked, Rested, Shown, Worker, Working
from bootstrap.debug.view import View, Wish

SLOW = 0.04
"""Seconds after which it is shown that a key works."""


class Main(Screen[None], inherit_bindings=False):
    """The one screen; every key comes to the app."""

    AUTO_FOCUS = ""


class Shell(App[int], inherit_bindings=False):
    """The parts, what they draw, and the session behind them; keys are StepApp's (app.py).

    `save` writes a script (destination, text).
    """

    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, trace: str, save: Callable[[str, str], None]) -> None:
        super().__init__()
        self.title = "bootstrap step"
        self.view: View | None = None
        self.cursor = Cursor()
        self.line = LineEditor()
        self.message: list[tuple[str, str]] = [("opening the trace ...", "")]
        self.failure: BaseException | None = None
        self.still = asyncio.Event()
        """Set while the session has nothing to do."""
        self._zoomed = False
        self._keys: deque[events.Key | events.Paste] = deque()
        """What was typed and is to be taken when all before it is done."""
        self._number = ""
        self._pending = ""
        self._pulled: float | None = None
        self._asked = 0
        self._links_wanted = True
        self._busy = ""
        """What works for so long that it is shown."""
        self._stopping = False
        """Whether it was asked to stop."""
        self._moved_by_hand = False
        self._worker = Worker(trace, save, self.post_message)
        self._panes: dict[str, widgets.Pane] = {}

    # -- the parts -------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """Ours."""
        return Main()

    def compose(self) -> ComposeResult:
        """All parts; `_arrange` says where each is."""
        yield widgets.Cells(self._head, "head")
        for name in PANES:
            self._panes[name] = widgets.Pane(self._pane(name), name)
            yield self._panes[name]
        yield widgets.TimeLine(self._time, "time")
        yield widgets.Cells(self._links, "links")
        yield widgets.Cells(self._status, "status")

    def on_mount(self) -> None:
        """Begin."""
        self._arrange()
        self._worker.start()

    def on_resize(self, _event: events.Resize) -> None:
        """More or less room."""
        # App.size is set after this.
        self.call_next(self._arrange)
        self.call_next(self._look)

    def on_unmount(self) -> None:
        """The session is closed before the terminal is given back."""
        self._worker.end()

    def _arrange(self) -> None:
        width, height = self.size
        places = arrange(width, height, self.cursor.focus, self._zoomed)
        rest = links_height(height)
        times = time_height(height)
        rows = {
            "head": (0, 1), "time": (height - 1 - rest - times, times),
            "links": (height - 1 - rest, rest), "status": (height - 1, 1),
        }  # fmt: skip
        too_small = width < LEAST[0] or height < LEAST[1]
        for name, pane in self._panes.items():
            pane.display = name in places and not too_small
            if name in places:
                x, y, wide, high = places[name]
                pane.styles.offset = (x, y)
                pane.styles.width, pane.styles.height = wide, high
        for name, (y, high) in rows.items():
            part = self.query_one(f"#{name}")
            part.styles.offset = (0, y)
            part.styles.width, part.styles.height = width, high
            part.display = not too_small or name == "status"
        if too_small:
            self.query_one("#status").styles.offset = (0, 0)
        self.redraw()

    def redraw(self) -> None:
        """Draw again what is otherwise."""
        for part in self.query(widgets.Cells):
            part.redraw()

    # -- drawing ---------------------------------------------------------------------------------

    def _pane(self, name: str) -> Callable[[int, int], list[Row]]:
        def draw(width: int, height: int) -> list[Row]:
            focused = name == self.cursor.focus
            style = "focused" if focused else "title"
            text = TITLES[name]
            if self.view is not None:
                text = drawing.title(name, self.view, self.cursor, text)
            line = f"{'>>' if focused else '--'} {text} "
            rows: list[Row] = [[(line.ljust(width, "-")[:width], style)]]
            if self.view is not None:
                rows += drawing.pane(name, self.view, self.cursor, width, height - 1)
            return rows

        return draw

    def _head(self, width: int, _height: int) -> list[Row]:
        return [] if self.view is None else [drawing.head(self.view, width)]

    def _time(self, width: int, height: int) -> list[Row]:
        return (
            [] if self.view is None else widgets.time_rows(self.view, width, height, self._pulled)
        )

    def _links(self, width: int, height: int) -> list[Row]:
        return drawing.links(self.cursor.links, width, height)

    def _status(self, width: int, _height: int) -> list[Row]:
        if self.size.width < LEAST[0] or self.size.height < LEAST[1]:
            return [[(f"at least {LEAST[0]} columns, {LEAST[1]} rows", "error")]]
        if self.line.open:
            first = max(0, self.line.at - width + 3)
            text, at = self.line.text[first:], self.line.at - first
            rest = text[at + 1 :]
            return [
                [(":", "key"), (text[:at], ""), (text[at : at + 1] or " ", "cursor"), (rest, "")]
            ]
        hints = "? help  : command  q quit "
        before = f" {self._number or self._pending}" if self._number or self._pending else ""
        if self._keys:
            before += f" {len(self._keys)} waiting"
        row = [*self.message]
        room = width - len(hints) - len(before) - 2
        text = "".join(part for part, _ in row)
        if len(text) > room:
            row = [(text[: max(0, room - 3)] + "...", row[0][1] if row else "")]
            text = row[0][0]
        gap = " " * max(1, room - len(text) + 1)
        return [[(" ", ""), *row, (before, "key"), (gap, ""), (hints, "dim")]]

    def tell(self, text: str, style: str = "") -> None:
        """A line in the status row."""
        self.message = [(text, style)]
        self.query_one("#status").refresh()

    # -- the session -----------------------------------------------------------------------------

    def wish(self) -> Wish:
        """What the panes have room for."""

        def rows(name: str) -> int:
            pane = self._panes.get(name)
            return max(4, pane.size.height - 1) if pane is not None and pane.display else 8

        memory = self._panes["memory"]
        each = per_row(memory.size.width) if memory.display else 16
        at = None
        if self.cursor.memory and self.view is not None:
            at = self.view.memory_at
            size = rows("memory") * each
            if not at <= self.cursor.memory < at + size:
                at = max(0, self.cursor.memory - size // 2) // each * each
        code_at = self.cursor.code if self.cursor.focus == "code" and self.cursor.code else None
        if self.cursor.by_hand:
            code_at = self.cursor.links.guest_addr
        return Wish(
            code=max(12, rows("code")), memory=rows("memory") * each, stack=rows("stack"),
            calls=max(20, rows("calls")), code_at=code_at, memory_at=at,
            memory_byte=self.cursor.memory or None, generated=self.cursor.generated,
        )  # fmt: skip

    def do(self, line: str) -> None:
        """A command: of the screen at once, else by the session."""
        try:
            command = parse(line)
            if command is None:
                return
            if command.name == "quit":
                self._leave()
            elif command.name == "help":
                self._answer("help", list(help_lines(command.text("command"))))
            elif command.name == "zoom":
                self._zoomed = not self._zoomed
                self._arrange()
                self._look()
            elif command.name == "theme":
                light = self.theme == "textual-light"
                self.theme = "textual-dark" if light else "textual-light"
            elif command.name == "generated":
                self.cursor.generated = not self.cursor.generated
                self.cursor.source = 0
                self._look()
            elif command.name == "pane":
                self._focus(command.text("pane"))
            else:
                self._ask(command, line)
        except BadInput as error:
            self.tell(f"! {error}", "error")

    def _leave(self) -> None:
        """The end, when all that was typed before is done; StepApp's, as the next."""
        raise NotImplementedError

    def pump(self) -> None:
        """Take the keys that wait, as far as that goes."""
        raise NotImplementedError

    def _ask(self, command: Command, line: str) -> None:
        wish = replace(self.wish(), code_at=None)  # where it comes to, code follows pc
        self.still.clear()
        self._links_wanted = True
        self._worker.do(command, wish)
        self._asked += 1
        asked = self._asked
        self.set_timer(SLOW, lambda: self._working(asked, line))

    def _working(self, asked: int, line: str) -> None:
        if asked == self._asked and not self.still.is_set():
            self._busy = line
            self.tell(f"{line} ... (Esc stops)")

    def _look(self, link: bool = True) -> None:
        if self.view is not None:
            self._links_wanted = link
            self.still.clear()
            self._worker.look(self.wish())

    def _link(self) -> None:
        if self.view is None:
            return
        target = moving.target(self.cursor, self.view)
        if target is not None:
            self.still.clear()
            self._worker.link(*target)

    def on_working(self, message: Working) -> None:
        """A long way."""
        if self._busy:
            program = f"program {message.row}: {message.executed:,} instructions"
            self.tell(f"{self._busy} ... {program} (Esc stops)")

    def on_shown(self, message: Shown) -> None:
        """A new view."""
        first = self.view is None
        old = self.view
        self.view = message.view
        if message.names is not None:
            self.line.names = message.names
        if first:
            self.message = [("? shows the keys; s steps, S steps back, o goes to the next output "
                             "byte", "")]  # fmt: skip
        moved = first or (old is not None and old.here != message.view.here)
        if moved or (message.result is not None and message.result.stop is not None):
            moving.reset(self.cursor)
            self.cursor.links = Links()
        elif message.result is not None and (self.cursor.code or self.cursor.by_hand):
            self._look()
        if message.result is not None:
            self._told(message.result)
        self.redraw()
        if message.view.settled and self._links_wanted:
            self._link()
        self.pump()

    def _told(self, result: Result) -> None:
        self._asked += 1
        self._busy, self._stopping = "", False
        if result.focus is not None:
            if result.focus.guest_addr is not None:
                self.cursor.memory = result.focus.guest_addr
                self._focus("memory")
            elif self.view is not None and result.focus.file == self.view.source.file:
                self.cursor.source = result.focus.line
                self._focus("source")
            self.tell(result.lines[0])
        elif result.stop is not None:
            self.tell(result.lines[0])
        elif len(result.lines) > 1:
            self._answer("answer", list(result.lines))
            self.tell("")
        elif result.lines:
            self.tell(result.lines[0])

    def _answer(self, title: str, lines: list[str]) -> None:
        self.push_screen(widgets.Told(title, lines), lambda _: self.pump())

    def on_linked(self, message: Linked) -> None:
        """What belongs to the cursor."""
        self.cursor.links = message.links
        if self.cursor.by_hand and self.view is not None:
            addr = message.links.guest_addr
            wanted = self.view.pc if addr is None else addr
            if all(line.guest_addr != wanted for line in self.view.code):
                self._look(link=False)
        self.redraw()

    def on_failed(self, message: Failed) -> None:
        """It could not be done."""
        self._asked += 1
        self._busy, self._stopping = "", False
        if message.over:
            self.failure = message.error
            self.exit(2)
        self.tell(f"! {message.text}", "error")
        self.pump()

    def on_rested(self, message: Rested) -> None:
        """Nothing more to do, unless something was asked for meanwhile."""
        if message.requests == self._worker.requests:
            self.still.set()
            if self._busy or self._stopping:
                self._busy, self._stopping = "", False
                self.tell("")
            self.pump()

    def _focus(self, name: str) -> None:
        self.cursor.focus = name
        self._arrange()
        self._look()
        self._link()
