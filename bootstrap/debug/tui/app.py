"""The screen of `bootstrap step`: its parts, what they draw, and the session that they show. What
keys do stands in keys.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from bootstrap.core.errors import BadInput
from bootstrap.debug.command_language import CommandResult, DebugCommand
from bootstrap.debug.command_table import help_lines, parse
from bootstrap.debug.linking import Links
from bootstrap.debug.screen_state import ScreenRequest, ScreenState
from bootstrap.debug.tui import arrangement, drawing, widgets
from bootstrap.debug.tui.arrangement import LEAST, PANES, TITLES
from bootstrap.debug.tui.cursor import Cursor, per_row
from bootstrap.debug.tui.drawing import Row
from bootstrap.debug.tui.keys import Typed
from bootstrap.debug.tui.worker import Failed, Linked, Rested, Shown, Worker, Working

SLOW = 0.04
"""Seconds after which it is shown that a key works."""


class Main(Screen[None], inherit_bindings=False):
    """The one screen; every key comes to the app."""

    BINDINGS: ClassVar[list[BindingType]] = []


class StepApp(App[int], inherit_bindings=False):
    """See above. `save` writes a script (destination, text)."""

    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, trace: str, save: Callable[[str, str], None]) -> None:
        super().__init__()
        self.title = "bootstrap step"
        self.view: ScreenState | None = None
        self.cursor = Cursor()
        self.typed: Typed = Typed(self)
        self.message = ("opening the trace ...", "")
        """What the last row says, and its style."""
        self.failure: BaseException | None = None
        self.still = asyncio.Event()
        """Set while the session has nothing to do."""
        self.worker = Worker(trace, save, self.post_message)
        self.panes: dict[str, widgets.Pane] = {}
        self._zoomed = False
        self._pulled: float | None = None
        self._asked = 0
        self._seen = 0
        """How many commands have had their view, or their failure, here."""
        self._links_wanted = True
        self._busy = ""
        """What works for so long that it is shown."""
        self._stopping = False
        """Whether it was asked to stop."""

    # -- the parts -------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """Ours."""
        return Main()

    def compose(self) -> ComposeResult:
        """All parts; `_arrange` says where each is."""
        yield widgets.Cells(self._head, "head")
        for name in PANES:
            self.panes[name] = widgets.Pane(partial(self._pane, name), name, self.focus_on)
            yield self.panes[name]
        yield widgets.TimeLine(self._time, "time", self._dragged)
        yield widgets.Cells(self._links, "links")
        yield widgets.Cells(self._status, "status")
        yield self.typed.line

    def on_mount(self) -> None:
        """Begin."""
        self._arrange()
        self.worker.start()

    def on_resize(self, _event: events.Resize) -> None:
        """More or less room."""
        # App.size is set after this.
        self.call_next(self._arrange)
        self.call_next(self.look)

    def on_unmount(self) -> None:
        """The session is closed before the terminal is given back."""
        self.worker.end()

    @property
    def focused(self) -> widgets.Pane:
        """The pane in focus."""
        return self.panes[self.cursor.focus]

    def _arrange(self) -> None:
        places = arrangement.parts(*self.size, self.cursor.focus, self._zoomed)
        for part in self.query(widgets.Cells):
            place = places.get(part.id or "")
            part.display = place is not None
            if place is not None:
                part.styles.offset = place.x, place.y
                part.styles.width, part.styles.height = place.width, place.height
        self.redraw()

    def redraw(self) -> None:
        """Draw again what is otherwise."""
        for part in self.query(widgets.Cells):
            part.redraw()

    def refresh_part(self, name: str = "status") -> None:
        """Draw one of the parts again."""
        self.query_one(f"#{name}").refresh()

    # -- drawing ---------------------------------------------------------------------------------

    def _pane(self, name: str, width: int, height: int) -> list[Row]:
        sign, style = (">>", "focused") if name == self.cursor.focus else ("--", "title")
        view, text, rows = self.view, TITLES[name], []
        if view is not None:
            text = drawing.title(name, view, self.cursor, text)
            rows = drawing.pane(name, view, self.cursor, width, height - 1)
        return [[(f"{sign} {text} ".ljust(width, "-")[:width], style)], *rows]

    def _head(self, width: int, _height: int) -> list[Row]:
        return [] if self.view is None else [drawing.head(self.view, width)]

    def _time(self, width: int, height: int) -> list[Row]:
        view = self.view
        return [] if view is None else drawing.time_rows(view, width, height, self._pulled)

    def _links(self, width: int, height: int) -> list[Row]:
        return drawing.links(self.cursor.links, width, height)

    def _status(self, width: int, _height: int) -> list[Row]:
        if self.size.width < LEAST[0] or self.size.height < LEAST[1]:
            return [[(f"at least {LEAST[0]} columns, {LEAST[1]} rows", "error")]]
        line, typed = self.typed.line, self.typed.number or self.typed.pending
        if line.open:
            first = max(0, line.cursor_position - width + 3)
            text, at = line.value[first:], line.cursor_position - first
            cursor = (text[at : at + 1] or " ", "cursor")
            return [[(":", "key"), (text[:at], ""), cursor, (text[at + 1 :], "")]]
        hints = "? help  : command  q quit "
        before = f" {typed}" if typed else ""
        if self.typed.waiting:
            before += f" {len(self.typed.waiting)} waiting"
        room = width - len(hints) - len(before) - 2
        text, style = self.message
        if len(text) > room:
            text = text[: max(0, room - 3)] + "..."
        gap = " " * max(1, room - len(text) + 1)
        return [[(" ", ""), (text, style), (before, "key"), (gap, ""), (hints, "dim")]]

    def say(self, text: str, style: str = "") -> None:
        """A line in the status row."""
        self.message = text, style
        self.refresh_part()

    def show(self, title: str, lines: list[str]) -> None:
        """Several lines, in a box."""
        self.push_screen(widgets.TextDialog(title, lines), lambda _: self.typed.pump())

    # -- keys and the mouse ----------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Every key that a box does not take."""
        if len(self.screen_stack) == 1:
            event.stop()
            self.typed.add(event)

    def on_paste(self, event: events.Paste) -> None:
        """Into the command line."""
        self.typed.add(event)

    def _dragged(self, share: float, done: bool) -> None:
        """The time line was pulled: where it is let go the program goes."""
        self._pulled = None if done else share
        self.query_one("#time").refresh()
        if done:
            self.do(f"go {100 * share:.4f}%")

    def focus_on(self, name: str) -> None:
        """Give a pane the focus."""
        self.cursor.focus = name
        self._arrange()
        self.look()
        self.link()

    def after_cursor(self) -> None:
        """The cursor was moved."""
        self.redraw()
        if self.cursor.focus in ("code", "memory"):
            self.look()
        self.link()

    # -- asking the session ----------------------------------------------------------------------

    def request(self) -> ScreenRequest:
        """What the panes have room for."""

        def rows(name: str) -> int:
            pane = self.panes.get(name)
            return max(4, pane.size.height - 1) if pane is not None and pane.display else 8

        memory = self.panes["memory"]
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
        return ScreenRequest(
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
                self.show("help", list(help_lines(command.text("command"))))
            elif command.name == "zoom":
                self._zoomed = not self._zoomed
                self._arrange()
                self.look()
            elif command.name == "theme":
                light = self.theme == "textual-light"
                self.theme = "textual-dark" if light else "textual-light"
            elif command.name == "generated":
                self.cursor.generated = not self.cursor.generated
                self.cursor.source = 0
                self.look()
            elif command.name == "pane":
                self.focus_on(command.text("pane"))
            else:
                self._ask(command, line)
        except BadInput as error:
            self.say(f"! {error}", "error")

    @property
    def current(self) -> bool:
        """Whether what is shown is what all commands led to: none runs, waits or is on its way."""
        return self._seen == self.worker.commands

    def _leave(self) -> None:
        """The end, when all that was typed before is done."""
        if self.current:
            self.exit(0)
        else:
            self.typed.waiting.appendleft(events.Key("q", "q"))

    def _ask(self, command: DebugCommand, line: str) -> None:
        request = replace(self.request(), code_at=None)  # where it comes to, code follows pc
        self.still.clear()
        self._links_wanted = True
        self.worker.do(command, request)
        self._asked += 1
        asked = self._asked
        self.set_timer(SLOW, lambda: self._working(asked, line))

    def _working(self, asked: int, line: str) -> None:
        if asked == self._asked and not self.still.is_set():
            self._busy = line
            self.say(f"{line} ... (Esc stops)")

    def look(self, link: bool = True) -> None:
        """A new view of the same place."""
        if self.view is not None:
            self._links_wanted = link
            self.still.clear()
            self.worker.look(self.request())

    def link(self) -> None:
        """What belongs to the cursor."""
        target = None if self.view is None else self.cursor.target(self.view)
        if target is not None:
            self.still.clear()
            self.worker.link(*target)

    def count(self) -> None:
        """All instructions of the program."""
        self.still.clear()
        self.worker.count()
        self._busy = "counting"
        self.say("counting ... (Esc stops)")

    def interrupt(self, _times: int) -> None:
        """Stop what is working."""
        if self.still.is_set():
            self.say("nothing is working; q quits")
        else:
            self.worker.interrupt()
            self._asked += 1  # whoever wanted to say that it works need not any more
            self._busy, self._stopping = "", True
            self.say("stopping ...")

    # -- what comes of it ------------------------------------------------------------------------

    def on_working(self, message: Working) -> None:
        """How far a long move is."""
        if self._busy:
            program = f"program {message.row}: {message.executed:,} instructions"
            self.say(f"{self._busy} ... {program} (Esc stops)")

    def on_shown(self, message: Shown) -> None:
        """A new view."""
        old, self.view = self.view, message.view
        self._seen = max(self._seen, message.commands)
        if message.names is not None:
            self.typed.line.names = message.names
        if old is None:
            text = "? shows the keys; s steps, S steps back, o goes to the next output byte"
            self.message = text, ""
        moved = old is None or old.here != message.view.here
        if moved or (message.result is not None and message.result.stop is not None):
            self.cursor.reset()
            self.cursor.links = Links()
        elif message.result is not None and (self.cursor.code or self.cursor.by_hand):
            self.look()
        if message.result is not None:
            self._show_result(message.result)
        self.redraw()
        if message.view.settled and self._links_wanted:
            self.link()
        self.typed.pump()

    def _done(self) -> None:
        self._asked += 1
        self._busy, self._stopping = "", False

    def _show_result(self, result: CommandResult) -> None:
        self._done()
        focus, source = result.focus, None if self.view is None else self.view.source
        if focus is not None and focus.guest_addr is not None:
            self.cursor.memory = focus.guest_addr
            self.focus_on("memory")
        elif focus is not None and source is not None and focus.file == source.file:
            self.cursor.source = focus.line
            self.focus_on("source")
        if focus is not None or result.stop is not None or len(result.lines) == 1:
            self.say(result.lines[0])
        elif result.lines:
            self.show("result", list(result.lines))
            self.say("")

    def on_linked(self, message: Linked) -> None:
        """What belongs to the cursor."""
        self.cursor.links = message.links
        if self.cursor.by_hand and self.view is not None:
            addr = message.links.guest_addr
            wanted = self.view.pc if addr is None else addr
            if all(line.guest_addr != wanted for line in self.view.code):
                self.look(link=False)
        self.redraw()

    def on_failed(self, message: Failed) -> None:
        """It could not be done."""
        self._done()
        self._seen = max(self._seen, message.commands)
        if message.over:
            self.failure = message.error
            self.exit(2)
        self.say(f"! {message.text}", "error")
        self.typed.pump()

    def on_rested(self, message: Rested) -> None:
        """Nothing more to do, unless something was asked for meanwhile."""
        if message.requests == self.worker.requests:
            self.still.set()
            self._seen = self.worker.commands  # those that were forgotten too
            if self._busy or self._stopping:
                self._busy, self._stopping = "", False
                self.say("")
            self.typed.pump()


def run_app(trace: str, save: Callable[[str, str], None]) -> int:
    """Show a trace until somebody quits; the exit status.

    `save` writes a script (destination, text). Raises BootstrapError where the trace is bad, and
    whatever broke the session.
    """

    def to_file(dest: str, text: str) -> None:
        if dest == "-":
            raise BadInput("save -: the screen is there; name a file")
        save(dest, text)

    app = StepApp(trace, to_file)
    status = app.run()
    if app.failure is not None:
        raise app.failure
    return status or app.return_code or 0
