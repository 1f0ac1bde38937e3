"""The screen of `bootstrap step`: keys become commands, views become panes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from bootstrap.debugger.commands import Result, help_lines
from bootstrap.debugger.linking import Links
from bootstrap.debugger.tui import drawing, keys, moving, widgets
from bootstrap.debugger.tui.arrangement import (
    LEAST,
    PANES,
    TITLES,
    arrange,
    links_height,
    time_height,
)
from bootstrap.debugger.tui.bytesdrawn import Cursor, Row, per_row
from bootstrap.debugger.tui.line import LineEditor
from bootstrap.debugger.tui.worker import Failed, Linked, Rested, Shown, Worker, Working
from bootstrap.debugger.view import View, Wish
from bootstrap.debugger.words import parse
from bootstrap.errors import BadInput

MOST_OFFERED = 12
"""Completions that are shown."""
SLOW = 0.04
"""Seconds after which it is shown that a key works."""


class Main(Screen[None], inherit_bindings=False):
    """The one screen; every key comes to the app."""

    AUTO_FOCUS = ""


class StepApp(App[int], inherit_bindings=False):
    """See above. `save` writes a script (destination, text)."""

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
        self._number = ""
        self._pending = ""
        self._pulled: float | None = None
        self._asked = 0
        self._links_wanted = True
        self._busy = ""
        """What works for so long that it is shown."""
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
        """Draw all of it again."""
        for part in self.query(widgets.Cells):
            part.refresh()

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
            memory_byte=self.cursor.memory or None,
        )  # fmt: skip

    def do(self, line: str) -> None:
        """A command: of the screen at once, else by the session."""
        try:
            command = parse(line)
            if command is None:
                return
            if command.name == "quit":
                self.exit(0)
            elif command.name == "help":
                self._answer("help", list(help_lines(command.text("command"))))
            elif command.name == "zoom":
                self._zoomed = not self._zoomed
                self._arrange()
                self._look()
            elif command.name == "theme":
                light = self.theme == "textual-light"
                self.theme = "textual-dark" if light else "textual-light"
            elif command.name == "pane":
                self._focus(command.text("pane"))
            else:
                self._ask(line)
        except BadInput as error:
            self.tell(f"! {error}", "error")

    def _ask(self, line: str) -> None:
        wish = replace(self.wish(), code_at=None)  # where it comes to, code follows pc
        self.still.clear()
        self._links_wanted = True
        if not self._worker.do(line, wish):
            self.tell("! too many keys wait; Esc forgets them", "error")
            return
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

    def _told(self, result: Result) -> None:
        self._asked += 1
        self._busy = ""
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
        self.push_screen(widgets.Told(title, lines))

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
        self._busy = ""
        if message.over:
            self.failure = message.error
            self.exit(2)
        self.tell(f"! {message.text}", "error")

    def on_rested(self, message: Rested) -> None:
        """Nothing more to do, unless something was asked for meanwhile."""
        if message.requests == self._worker.requests:
            self.still.set()
            if self._busy:
                self._busy = ""
                self.tell("")

    # -- keys ------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Every key that the command line or a box does not take."""
        if len(self.screen_stack) > 1:
            return
        event.stop()
        character = event.character or ""
        if self.line.open:
            self._type(event.key, character)
            return
        if self._pending:
            pending, self._pending = self._pending, ""
            self._with_letter(pending, event.key, character)
            return
        if character.isdigit() and (character != "0" or self._number):
            self._number = (self._number + character)[:9]
            self.query_one("#status").refresh()
            return
        name = character if character in keys.KEYS else event.key
        name = keys.SAME.get(name, name)
        times, self._number = int(self._number or 1), ""
        key = keys.KEYS.get(name)
        if key is not None:
            self._press(key, times)
        else:
            self.tell(f"! {event.key} is no key; ? shows them", "error")

    def _press(self, key: keys.Key, times: int) -> None:
        if key.does.startswith("!"):
            getattr(self, f"key_does_{key.does[1:]}")(times)
            return
        if self.view is None:
            return
        if key.does.endswith(" "):
            self._prompt(key.does)
            return
        if "{byte}" in key.does:
            # Stay with this byte, also where another was accessed last.
            self.cursor.memory = moving.byte(self.cursor, self.view)
        line = key.does.format(
            here=f"{moving.address(self.cursor, self.view):#x}",
            byte=f"{moving.byte(self.cursor, self.view):#x}",
        )
        if times > 1 and key.does in _COUNTED:
            self.do(f"{line} {times}")
            return
        for _ in range(min(times, 30)):
            self.do(line)

    def _with_letter(self, pending: str, key: str, character: str) -> None:
        if key in ("escape", "ctrl+c"):
            self.tell("")
        elif pending == "'" and character == "'":
            self.do("jump")
        elif character.isalnum():
            self.do(f"{'mark' if pending == 'm' else 'jump'} {character}")
        else:
            self.tell(f"! {pending} wants a letter", "error")

    def _focus(self, name: str) -> None:
        self.cursor.focus = name
        self._arrange()
        self._look()
        self._link()

    def on_paste(self, event: events.Paste) -> None:
        """Into the command line."""
        if self.line.open:
            self.line.insert(event.text)
            self.query_one("#status").refresh()

    def _prompt(self, text: str) -> None:
        self.line.start(text)
        self.query_one("#status").refresh()

    def _type(self, key: str, character: str) -> None:
        line = self.line.press(key, character)
        if self.line.offered is not None:
            words = [found.rpartition(" ")[2] for found in self.line.offered[:MOST_OFFERED]]
            more = len(self.line.offered) - len(words)
            text = "  ".join(words) + (f"  and {more} more" if more > 0 else "")
            if len(self.line.offered) != 1:
                self.cursor.links = Links((("data", text or "nothing goes on like this"),))
                self.query_one("#links").refresh()
        self.query_one("#status").refresh()
        if line:
            self.do(line)

    def on_clicked(self, message: widgets.Clicked) -> None:
        """A click in a pane: it has the focus; in what has rows, the cursor is there."""
        self._focus(message.pane)

    def on_dragged(self, message: widgets.Dragged) -> None:
        """The time line was pulled: where it is let go the program goes."""
        self._pulled = None if message.done else message.share
        self.query_one("#time").refresh()
        if message.done:
            self.do(f"go {100 * message.share:.4f}%")

    # -- what keys do on the screen --------------------------------------------------------------

    def _by_percent(self, by: int) -> None:
        view = self.view
        if view is None:
            return
        if view.total is None:
            self.do("print total")
            self.tell("the instructions of this program are counted first; once more, then")
            return
        share = 100 * view.executed / max(1, view.total - 1) + by
        self.do(f"go {max(0.0, min(100.0, share)):.4f}%")

    def key_does_later(self, times: int) -> None:
        """Of the time line."""
        self._by_percent(times)

    def key_does_earlier(self, times: int) -> None:
        """Of the time line."""
        self._by_percent(-times)

    def _pane_by(self, by: int) -> None:
        self._focus(PANES[(PANES.index(self.cursor.focus) + by) % len(PANES)])

    def key_does_next_pane(self, times: int) -> None:
        """In their order; also those that are folded away."""
        self._pane_by(times)

    def key_does_previous_pane(self, times: int) -> None:
        """The other way."""
        self._pane_by(-times)

    def _vertically(self, by: int) -> None:
        if self.view is not None:
            width = self._panes[self.cursor.focus].size.width
            moving.vertically(self.cursor, self.view, by, width)
            self._after_cursor()

    def _horizontally(self, by: int) -> None:
        if self.view is None:
            return
        if not moving.horizontally(self.cursor, self.view, by):
            pane = self._panes[self.cursor.focus]
            pane.shift = max(0, pane.shift + 8 * by)
        self._after_cursor()

    def _after_cursor(self) -> None:
        self.redraw()
        if self.cursor.focus in ("code", "memory"):
            self._look()
        self._link()

    def key_does_up(self, times: int) -> None:
        """The cursor."""
        self._vertically(-times)

    def key_does_down(self, times: int) -> None:
        """The cursor."""
        self._vertically(times)

    def key_does_left(self, times: int) -> None:
        """The cursor, or the pane."""
        self._horizontally(-times)

    def key_does_right(self, times: int) -> None:
        """The cursor, or the pane."""
        self._horizontally(times)

    def key_does_page_up(self, times: int) -> None:
        """The cursor."""
        self._vertically(-times * max(1, self._panes[self.cursor.focus].size.height - 2))

    def key_does_page_down(self, times: int) -> None:
        """The cursor."""
        self._vertically(times * max(1, self._panes[self.cursor.focus].size.height - 2))

    def key_does_follow(self, _times: int) -> None:
        """Go to what the cursor is on."""
        view, cursor = self.view, self.cursor
        if view is None:
            return
        if cursor.focus == "tree":
            begin = next((b.begin for b in view.tree if b.row == (cursor.tree or view.row)), "")
            self.do(f"go {begin}")
        elif cursor.focus == "calls" and view.calls and cursor.calls:
            ordinal = view.calls[-cursor.calls][0]
            self.do("back-call" if cursor.calls == 1 else f"show calls {ordinal}")
        elif cursor.focus in ("code", "regs", "stack", "calls"):
            self.do(f"next execution {moving.address(cursor, view):#x}")
        elif cursor.focus == "memory":
            self.do(f"previous write {moving.byte(cursor, view):#x}")
        elif cursor.links.moment:
            self.do(f"go {cursor.links.moment}")
        else:
            self.tell("! when that was is unknown", "error")

    def key_does_mark(self, _times: int) -> None:
        """A letter comes next."""
        self._pending = "m"
        self.tell("mark this place with a letter:")

    def key_does_jump(self, _times: int) -> None:
        """A letter comes next."""
        self._pending = "'"
        self.tell("jump to the mark with the letter (' for back):")

    def key_does_break(self, _times: int) -> None:
        """On or off."""
        if self.view is not None:
            addr = moving.address(self.cursor, self.view)
            self.do(f"{'delete' if addr in self.view.breaks else 'break'} {addr:#x}")

    def key_does_watch(self, _times: int) -> None:
        """On or off."""
        if self.view is None:
            return
        addr = moving.byte(self.cursor, self.view)
        for number, start, size in self.view.watched:
            if start <= addr < start + size:
                self.do(f"delete watch {number}")
                return
        self.do(f"watch {addr:#x}")

    def key_does_find(self, _times: int) -> None:
        """A text."""
        self._prompt("find memory " if self.cursor.focus in ("memory", "stack") else "find source ")

    def key_does_why(self, _times: int) -> None:
        """The whole way of a byte."""
        if self.view is None:
            return
        if self.cursor.focus in ("input", "output", "source") and self.cursor.links.file:
            path, offset = self.cursor.links.file
            self.do(f'why "{path}:{offset:#x}"')
        else:
            self.do(f"why {moving.address(self.cursor, self.view):#x}")

    def key_does_count(self, _times: int) -> None:
        """All instructions of the program."""
        self.still.clear()
        self._worker.count()
        self._busy = "counting"
        self.tell("counting ... (Esc stops)")

    def key_does_prompt(self, _times: int) -> None:
        """The command line."""
        self._prompt("")

    def key_does_help(self, _times: int) -> None:
        """All keys."""
        self._answer("keys", list(keys.help_lines()))

    def key_does_interrupt(self, _times: int) -> None:
        """Stop what is working."""
        if self.still.is_set():
            self.tell("nothing is working; q quits")
        else:
            self._worker.interrupt()

    def key_does_escape(self, times: int) -> None:
        """The same, and the cursor back."""
        self.key_does_interrupt(times)
        if self.view is not None:
            moving.reset(self.cursor)
            self.cursor.memory = 0
            for pane in self._panes.values():
                pane.shift = 0
            self.tell("")
            self.redraw()
            self._link()


_COUNTED = frozenset(("step", "back", "over", "back-over", "output", "back-output"))


__all__ = ["Main", "StepApp"]
