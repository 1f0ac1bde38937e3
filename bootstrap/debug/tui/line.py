"""The command line: a line is edited by Textual's input, with our history and completion.

The screen gives it every key in order, so that what is typed ahead or pasted is not lost; it has
no focus, and the screen's last row shows what is in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from textual.widgets import Input

from bootstrap.debug.command_table import Names, complete


class CommandLine(Input, can_focus=False):
    """A line, and those before it."""

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
