"""The keys of the screen: each becomes a command, or does something with the screen alone.

In a command `{here}` is the instruction at the cursor (else pc), `{byte}` the byte of memory at the
cursor (else what was accessed last).
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from textual import events
from textual.widgets import Input

from bootstrap.debug.command_table import COUNTED, Names, complete
from bootstrap.debug.linking import Links
from bootstrap.debug.tui.arrangement import PANES

if TYPE_CHECKING:
    from bootstrap.debug.tui.app import StepApp


class CommandLine(Input, can_focus=False):
    """A line, edited by Textual's input, and those before it, with completion.

    The screen gives it every key in order, so that what is typed ahead or pasted is not lost; it
    has no focus, and the screen's last row shows what is in it.
    """

    def __init__(self) -> None:
        super().__init__(id="line")
        self.names = Names()
        self.open = False
        self.history: list[str] = []
        self.offered: list[str] | None = None
        """What the last Tab found; None: there was none."""
        self._back, self._kept = 0, ""

    def start(self, text: str) -> None:
        """Begin a line."""
        self.open, self.offered = True, None
        self._put(text)
        self._back = len(self.history)

    def _put(self, text: str) -> None:
        self.value = text
        self.action_end()

    def type_in(self, text: str) -> None:
        """Typed or pasted: the first line of it."""
        self.insert_text_at_cursor("".join(c for c in text.split("\n")[0] if c.isprintable()))

    def press(self, key: str, character: str) -> str | None:
        """A key. The line, where it is entered; the empty one where it is left."""
        self.offered = None
        if key in ("escape", "ctrl+c", "ctrl+g") or (key == "backspace" and not self.value):
            self.open = False
            return ""
        if key in ("enter", "ctrl+j"):  # ctrl+j: typed before the screen was there
            self.open = False
            line = self.value.strip()
            if line and self.history[-1:] != [line]:
                self.history.append(line)
            return line
        if key == "tab":
            self._complete()
        elif key in ("up", "ctrl+p", "down", "ctrl+n"):
            self._recall(-1 if key in ("up", "ctrl+p") else 1)
        elif key in _EDITS:
            _EDITS[key](self)
        elif character and character.isprintable():
            self.type_in(character)
        return None

    def _complete(self) -> None:
        self.offered = found = complete(self.value[: self.cursor_position], self.names)
        if len(found) == 1:
            head = found[0] + ("" if found[0].endswith((":", "=")) else " ")
        else:
            head = os.path.commonprefix(found)  # noqa: RUF071 (of texts, no paths)
        if found:
            self.replace(head, 0, self.cursor_position)

    def _recall(self, by: int) -> None:
        if self._back == len(self.history):
            self._kept = self.value
        self._back = max(0, min(len(self.history), self._back + by))
        self._put(self.history[self._back] if self._back < len(self.history) else self._kept)

    def delete_word(self) -> None:
        """What is before the cursor, to the last blank: as a shell does it."""
        kept = self.value[: self.cursor_position].rstrip()
        self.delete(kept.rfind(" ") + 1, self.cursor_position)


_EDITS: dict[str, Callable[[CommandLine], None]] = {
    **dict.fromkeys(("left", "ctrl+b"), CommandLine.action_cursor_left),
    **dict.fromkeys(("right", "ctrl+f"), CommandLine.action_cursor_right),
    **dict.fromkeys(("home", "ctrl+a"), CommandLine.action_home),
    **dict.fromkeys(("end", "ctrl+e"), CommandLine.action_end),
    **dict.fromkeys(("backspace", "ctrl+h"), CommandLine.action_delete_left),
    **dict.fromkeys(("delete", "ctrl+d"), CommandLine.action_delete_right),
    "ctrl+k": CommandLine.action_delete_right_all,
    "ctrl+u": CommandLine.action_delete_left_all,
    "ctrl+w": CommandLine.delete_word,
}


MOST_OFFERED = 12
"""Completions that are shown."""
MOST_TIMES = 1000
"""A number before a key that has to be done once after the other."""
Action = Callable[["StepApp", int], None]
"""With the number that was typed before the key, 1 where there was none."""


@dataclass(frozen=True, slots=True)
class ScreenKey:
    """A key. `does`: a command; with a trailing blank, what the command line begins with; or an
    action of the screen alone."""

    key: str
    does: str | Action
    help: str
    reverse: str = ""
    when: str = "view"
    """What has to be there when it is done: the view of all before it; its `links` too; nothing
    (`now`); not even the trace (`always`)."""


# -- what keys do on the screen -------------------------------------------------------------------


def _by_percent(sign: int, app: StepApp, times: int) -> None:
    """Along the time line."""
    view = app.view
    if view is None:
        return
    if view.total is None:
        app.do("print total")
        app.say("the instructions of this program are counted first; once more, then")
        return
    share = 100 * view.executed / max(1, view.total - 1) + sign * times
    app.do(f"go {max(0.0, min(100.0, share)):.4f}%")


def _pane_by(sign: int, app: StepApp, times: int) -> None:
    """To another pane, in their order; also those that are folded away."""
    app.focus_on(PANES[(PANES.index(app.cursor.focus) + sign * times) % len(PANES)])


def _vertically(sign: int, app: StepApp, times: int, page: bool = False) -> None:
    """The cursor, by rows or pages."""
    if app.view is not None:
        size = app.focused.size
        rows = max(1, size.height - 2) if page else 1
        app.cursor.vertically(app.view, sign * times * rows, size.width)
        app.after_cursor()


def _horizontally(sign: int, app: StepApp, times: int) -> None:
    """The cursor, or the pane."""
    if app.view is None:
        return
    if not app.cursor.horizontally(app.view, sign * times):
        app.focused.shift = max(0, app.focused.shift + 8 * sign * times)
    app.after_cursor()


def _follow(app: StepApp, _times: int) -> None:
    """Go to what the cursor is on."""
    view, cursor = app.view, app.cursor
    if view is None:
        return
    if cursor.focus == "tree":
        first = next((b.begin for b in view.tree if b.row == (cursor.tree or view.row)), "")
        app.do(f"go {first}")
    elif cursor.focus == "calls" and view.calls and cursor.calls:
        ordinal = view.calls[-cursor.calls][0]
        app.do("back-call" if cursor.calls == 1 else f"show calls {ordinal}")
    elif cursor.focus in ("code", "regs", "stack", "calls"):
        app.do(f"next execution {cursor.address(view):#x}")
    elif cursor.focus == "memory":
        app.do(f"previous write {cursor.byte(view):#x}")
    elif cursor.links.moment:
        app.do(f"go {cursor.links.moment}")
    else:
        app.say("! when that was is unknown", "error")


def _letter(pending: str, text: str, app: StepApp, _times: int) -> None:
    """A letter comes next."""
    app.typed.pending = pending
    app.say(text)


def _break(app: StepApp, _times: int) -> None:
    """On or off."""
    if app.view is not None:
        addr = app.cursor.address(app.view)
        app.do(f"{'delete' if addr in app.view.breaks else 'break'} {addr:#x}")


def _watch(app: StepApp, _times: int) -> None:
    """On or off."""
    if app.view is None:
        return
    addr = app.cursor.byte(app.view)
    for number, start, size in app.view.watched:
        if start <= addr < start + size:
            app.do(f"delete watch {number}")
            return
    app.do(f"watch {addr:#x}")


def _find(app: StepApp, _times: int) -> None:
    in_memory = app.cursor.focus in ("memory", "stack")
    app.typed.prompt("find memory " if in_memory else "find source ")


def _why(app: StepApp, _times: int) -> None:
    """Where a byte comes from, all of it."""
    cursor = app.cursor
    if app.view is None:
        return
    if cursor.focus in ("input", "output", "source") and cursor.links.file:
        path, offset = cursor.links.file
        app.do(f'why "{path}:{offset:#x}"')
    else:
        app.do(f"why {cursor.address(app.view):#x}")


def _escape(app: StepApp, times: int) -> None:
    """Stop what is working, and the cursor back."""
    works = not app.still.is_set()
    app.interrupt(times)
    if app.view is not None:
        app.cursor.reset()
        app.cursor.memory = 0
        for pane in app.panes.values():
            pane.shift = 0
        if not works:
            app.say("")
        app.redraw()
        app.link()


# -- the table ------------------------------------------------------------------------------------

GROUPS: tuple[tuple[str, tuple[ScreenKey, ...]], ...] = (
    ("forwards, and with the capital letter backwards", (
        ScreenKey("s", "step", "step: one instruction", "S"),
        ScreenKey("S", "back", "one instruction back", "s"),
        ScreenKey("n", "over", "over: a call is one step", "N"),
        ScreenKey("N", "back-over", "back over", "n"),
        ScreenKey("f", "out", "finish: out of the function", "F"),
        ScreenKey("F", "back-out", "back to its call", "f"),
        ScreenKey("y", "call", "to just after the next system call", "Y"),
        ScreenKey("Y", "back-call", "to before the last system call", "y"),
        ScreenKey("o", "output", "to the next output byte", "O"),
        ScreenKey("O", "back-output", "to the output byte before", "o"),
        ScreenKey("c", "cont", "continue to a breakpoint, watchpoint, or the end", "C"),
        ScreenKey("C", "reverse", "the same backwards, or to the start", "c"),
        ScreenKey("x", "next execution {here}", "to the next execution of this instruction", "X"),
        ScreenKey("X", "previous execution {here}", "to the one before", "x"),
        ScreenKey("r", "next read {byte}", "to the next read of this byte", "R"),
        ScreenKey("R", "previous read {byte}", "to the last read of it", "r"),
        ScreenKey("w", "next write {byte}", "to the next write of this byte", "W"),
        ScreenKey("W", "previous write {byte}", "to the last write of it, in any process", "w"),
        ScreenKey("d", "child", "down into the child", "D"),
        ScreenKey("D", "parent", "out to the parent", "d"),
        ScreenKey(".", "next found", "the next place that was found", ","),
        ScreenKey(",", "previous found", "the one before", "."),
        ScreenKey("]", partial(_by_percent, 1), "one per cent of the program on", "["),
        ScreenKey("[", partial(_by_percent, -1), "one per cent back", "]"),
    )),
    ("places", (
        ScreenKey("g", "go ",
                  "go to PID@N, PID#K, eN, 50%, 0xADDR, a label, FILE:LINE, FILE:OFFSET"),
        ScreenKey("home", "begin", "to the program's start", "end"),
        ScreenKey("end", "end", "to its end", "home"),
        ScreenKey("a", "origin {byte}", "to who made the byte that is there now"),
        ScreenKey("enter", _follow, "go to what the cursor is on: when it was written, read, run",
            when="links"),
        ScreenKey("m", partial(_letter, "m", "mark this place with a letter:"),
            "m and a letter: mark this place", "'", when="now"),
        ScreenKey("'", partial(_letter, "'", "jump to the mark with the letter (' for back):"),
            "' and a letter: to the mark; '' back from the last jump", "m", when="now"),
        ScreenKey("u", "undo", "undo the last move"),
        ScreenKey("b", _break, "breakpoint at the cursor, on or off", when="links"),
        ScreenKey("v", _watch, "watchpoint at the byte at the cursor, on or off"),
        ScreenKey("/", _find, "find a text: in the source, or in memory from the memory pane",
            when="now"),
    )),
    ("the screen", (
        ScreenKey("tab", partial(_pane_by, 1), "the next pane", "shift+tab"),
        ScreenKey("shift+tab", partial(_pane_by, -1), "the pane before", "tab"),
        ScreenKey("up", partial(_vertically, -1), "the cursor up (also k)", "down"),
        ScreenKey("down", partial(_vertically, 1), "down (j)", "up"),
        ScreenKey("left", partial(_horizontally, -1), "left (h)", "right"),
        ScreenKey("right", partial(_horizontally, 1), "right (l)", "left"),
        ScreenKey("pageup", partial(_vertically, -1, page=True), "a page up", "pagedown"),
        ScreenKey("pagedown", partial(_vertically, 1, page=True), "a page down", "pageup"),
        ScreenKey("G", "generated", "the generated source, and the one that a person wrote again"),
        ScreenKey("z", "zoom", "this pane alone, and all again"),
        ScreenKey("t", "theme", "dark, light"),
        ScreenKey("p", _why, "why: where the byte at the cursor comes from, file by file",
                  when="links"),
        ScreenKey("K", lambda app, _: app.count(),
            "count how often each instruction ran (long programs)"),
        ScreenKey("i", "show here", "information about this place"),
        ScreenKey(":", lambda app, _: app.typed.prompt(""),
            "the command line; Tab completes, up and down go through history", when="now"),
        ScreenKey("?", lambda app, _: app.show("keys", list(help_lines())), "this", when="now"),
        ScreenKey("escape", _escape, "stop what is working; cursor back to the present place",
            when="always"),
        ScreenKey("ctrl+c", lambda app, times: app.interrupt(times), "stop what is working",
            when="always"),
        ScreenKey("q", "quit", "quit", when="always"),
    )),
)  # fmt: skip
SAME = {"k": "up", "j": "down", "h": "left", "l": "right", "space": "s", "backspace": "S",
        "question_mark": "?", "colon": ":", "slash": "/", "full_stop": ".", "comma": ",",
        "left_square_bracket": "[", "right_square_bracket": "]", "apostrophe": "'",
        "quit": "q", "ctrl+j": "enter"}  # fmt: skip
"""Other keys for the same."""

KEYS = {key.key: key for _, keys in GROUPS for key in keys}


def help_lines() -> Iterator[str]:
    """All of them, for people."""
    for title, keys in GROUPS:
        yield title
        for key in keys:
            yield f"  {key.key:10} {key.help}"
        yield ""
    yield "10s: a number before a key does it so many times."
    yield "> comes next, * changed or written, ~ read, @ breakpoint, | cursor, = belongs to it."


# -- what is typed --------------------------------------------------------------------------------


class Typed:
    """Keys in their order: each is taken when all before it is done."""

    def __init__(self, app: StepApp) -> None:
        self._app = app
        self.waiting: deque[events.Key | events.Paste] = deque()
        self.line = CommandLine()
        self.number = ""
        self.pending = ""
        """The key that a letter has to follow."""

    def add(self, event: events.Key | events.Paste) -> None:
        """A key, or what was pasted."""
        if isinstance(event, events.Key) and event.key in ("escape", "ctrl+c") and self.waiting:
            forgotten = len(self.waiting)
            self.waiting.clear()
            self.number = self.pending = ""
            self._app.interrupt(1)
            self._app.say(f"stopping ...; {forgotten} keys that waited are forgotten")
            return
        self.waiting.append(event)
        self.pump()

    def pump(self) -> None:
        """Take the keys that wait, as far as that goes."""
        app = self._app
        while self.waiting and len(app.screen_stack) == 1 and self._can_take(self.waiting[0]):
            event = self.waiting.popleft()
            if isinstance(event, events.Key):
                self._take(event)
            elif self.line.open:
                self.line.type_in(event.text)
            else:
                app.say("! what is pasted goes into the command line: press : first", "error")
        app.refresh_part()

    def _key(self, event: events.Key) -> ScreenKey | None:
        name = event.character if event.character in KEYS else event.key
        return KEYS.get(SAME.get(name, name))

    def _can_take(self, event: events.Key | events.Paste) -> bool:
        """Whether all is there that a key goes by."""
        app = self._app
        key = self._key(event) if isinstance(event, events.Key) else None
        if app.view is None:
            return key is not None and key.when == "always"
        if key is None or self.line.open or self.pending or key.when == "now":
            return True
        if key.does == "quit":
            return app.current
        if key.when == "always":
            return True
        if key.when == "links":
            return app.still.is_set()
        if isinstance(key.does, str) and "{" not in key.does:
            return True
        return app.still.is_set() or (app.current and app.view.settled)

    def _take(self, event: events.Key) -> None:
        character = event.character or ""
        if self.line.open:
            self._type(event.key, character)
            return
        if self.pending:
            pending, self.pending = self.pending, ""
            self._with_letter(pending, event.key, character)
            return
        if character.isdigit() and (character != "0" or self.number):
            self.number += character
            return
        number, self.number = self.number, ""
        key = self._key(event)
        if key is None:
            self._app.say(f"! {event.key} is no key; ? shows them", "error")
        elif len(number) > 9:
            self._app.say(f"! {number}: a number of at most 9 digits", "error")
        else:
            self._press(key, int(number or 1))

    def _press(self, key: ScreenKey, times: int) -> None:
        app, does = self._app, key.does
        if not isinstance(does, str):
            does(app, times)
        elif does.endswith(" "):
            self.prompt(does)
        elif app.view is None or does in COUNTED or times == 1:
            app.do(self._command(does) + (f" {times}" if times > 1 else ""))
        elif times > MOST_TIMES:
            app.say(f"! {times} times: {key.key} at most {MOST_TIMES} times", "error")
        else:
            for _ in range(times):
                app.do(self._command(does))

    def _command(self, does: str) -> str:
        view, cursor = self._app.view, self._app.cursor
        if view is None or "{" not in does:
            return does
        byte = cursor.byte(view)
        if "{byte}" in does:
            cursor.memory = byte  # stay with it, also where another was accessed last
        return does.format(here=f"{cursor.address(view):#x}", byte=f"{byte:#x}")

    def _with_letter(self, pending: str, key: str, character: str) -> None:
        if key in ("escape", "ctrl+c"):
            self._app.say("")
        elif pending == "'" and character == "'":
            self._app.do("jump")
        elif character.isalnum():
            self._app.do(f"{'mark' if pending == 'm' else 'jump'} {character}")
        else:
            self._app.say(f"! {pending} wants a letter", "error")

    def prompt(self, text: str) -> None:
        """Open the command line."""
        self.line.start(text)
        self._app.refresh_part()

    def _type(self, key: str, character: str) -> None:
        line, offered = self.line.press(key, character), self.line.offered
        if offered is not None and len(offered) != 1:
            words = [found.rpartition(" ")[2] for found in offered[:MOST_OFFERED]]
            more = len(offered) - len(words)
            text = "  ".join(words) + (f"  and {more} more" if more > 0 else "")
            self._app.cursor.links = Links((("data", text or "nothing goes on like this"),))
            self._app.refresh_part("links")
        self._app.refresh_part()
        if line:
            self._app.do(line)
