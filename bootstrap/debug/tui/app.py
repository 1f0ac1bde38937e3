"""The keys of the screen: each becomes a command, or moves a cursor."""

from __future__ import annotations

from textual import events

from bootstrap.debug.command_table import COUNTED
from bootstrap.debug.linking import Links
from bootstrap.debug.tui import keys, moving, widgets
from bootstrap.debug.tui.arrangement import PANES
from bootstrap.debug.tui.shell import Shell

MOST_OFFERED = 12
"""Completions that are shown."""
MOST_TIMES = 1000
"""A number before a key that has to be done once after the other."""
_AT_ONCE = frozenset(("!prompt", "!help", "!mark", "!jump", "!find"))
"""What keys do that needs no view: the rest of it comes after them."""
_STOPS = frozenset(("!escape", "!interrupt"))
_OF_LINKS = frozenset(("!follow", "!why", "!break"))
"""What is done with what belongs to the cursor."""


class StepApp(Shell, inherit_bindings=False):
    """See above."""

    # -- keys ------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Every key that a box does not take: in order, each when all before it is done."""
        if len(self.screen_stack) > 1:
            return
        event.stop()
        if event.key in ("escape", "ctrl+c") and self._keys:
            forgotten = len(self._keys)
            self._keys.clear()
            self._number = self._pending = ""
            self.key_does_interrupt(1)
            self.tell(f"stopping ...; {forgotten} keys that waited are forgotten")
            return
        self._keys.append(event)
        self.pump()

    def on_paste(self, event: events.Paste) -> None:
        """Into the command line."""
        self._keys.append(event)
        self.pump()

    def pump(self) -> None:
        """Take the keys that wait, as far as that goes."""
        while self._keys and len(self.screen_stack) == 1 and self._can_take(self._keys[0]):
            event = self._keys.popleft()
            if isinstance(event, events.Key):
                self._take(event)
            elif self.line.open:
                self.line.insert(event.text)
            else:
                self.tell("! what is pasted goes into the command line: press : first", "error")
        self.query_one("#status").refresh()

    def _key(self, event: events.Key) -> keys.Key | None:
        name = event.character if event.character in keys.KEYS else event.key
        return keys.KEYS.get(keys.SAME.get(name, name))

    def _can_take(self, event: events.Key | events.Paste) -> bool:
        """Whether all is there that a key goes by."""
        key = self._key(event) if isinstance(event, events.Key) else None
        if self.view is None:
            return key is not None and key.does in _STOPS | {"quit"}
        if key is None or self.line.open or self._pending or key.does in _AT_ONCE | _STOPS:
            return True
        if key.does in _OF_LINKS:
            return self.still.is_set()
        if key.does == "quit":
            return self._worker.idle
        if "{" not in key.does and not key.does.startswith("!"):
            return True
        return self.still.is_set() or (self._worker.idle and self.view.settled)

    def _take(self, event: events.Key) -> None:
        character = event.character or ""
        if self.line.open:
            self._type(event.key, character)
            return
        if self._pending:
            pending, self._pending = self._pending, ""
            self._with_letter(pending, event.key, character)
            return
        if character.isdigit() and (character != "0" or self._number):
            self._number += character
            return
        number, self._number = self._number, ""
        key = self._key(event)
        if key is None:
            self.tell(f"! {event.key} is no key; ? shows them", "error")
        elif len(number) > 9:
            self.tell(f"! {number}: a number of at most 9 digits", "error")
        else:
            self._press(key, int(number or 1))

    def _press(self, key: keys.Key, times: int) -> None:
        if key.does.startswith("!"):
            getattr(self, f"key_does_{key.does[1:]}")(times)
            return
        if key.does.endswith(" "):
            self._prompt(key.does)
            return
        if self.view is None or key.does in COUNTED or times == 1:
            self.do(self._line(key) + (f" {times}" if times > 1 else ""))
        elif times > MOST_TIMES:
            self.tell(f"! {times} times: {key.key} at most {MOST_TIMES} times", "error")
        else:
            for _ in range(times):
                self.do(self._line(key))

    def _line(self, key: keys.Key) -> str:
        if self.view is None or "{" not in key.does:
            return key.does
        byte = moving.byte(self.cursor, self.view)
        if "{byte}" in key.does:
            self.cursor.memory = byte  # stay with it, also where another was accessed last
        return key.does.format(
            here=f"{moving.address(self.cursor, self.view):#x}", byte=f"{byte:#x}"
        )

    def _leave(self) -> None:
        """The end, when all that was typed before is done."""
        if self._worker.idle:
            self.exit(0)
        else:
            self._keys.appendleft(events.Key("q", "q"))

    def _with_letter(self, pending: str, key: str, character: str) -> None:
        if key in ("escape", "ctrl+c"):
            self.tell("")
        elif pending == "'" and character == "'":
            self.do("jump")
        elif character.isalnum():
            self.do(f"{'mark' if pending == 'm' else 'jump'} {character}")
        else:
            self.tell(f"! {pending} wants a letter", "error")

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
            self._asked += 1  # whoever wanted to say that it works need not any more
            self._busy, self._stopping = "", True
            self.tell("stopping ...")

    def key_does_escape(self, times: int) -> None:
        """The same, and the cursor back."""
        works = not self.still.is_set()
        self.key_does_interrupt(times)
        if self.view is not None:
            moving.reset(self.cursor)
            self.cursor.memory = 0
            for pane in self._panes.values():
                pane.shift = 0
            if not works:
                self.tell("")
            self.redraw()
            self._link()
