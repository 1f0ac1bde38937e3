"""A line that is being typed: editing as in a shell, history, completion. No terminal.

The screen gives it every key in order, so that what is typed ahead or pasted is not lost.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from bootstrap.debug.command_table import Names, complete


@dataclass
class LineEditor:
    """A line, and those before it."""

    names: Names = field(default_factory=Names)
    open: bool = False
    text: str = ""
    at: int = 0
    """Where the cursor is."""
    history: list[str] = field(default_factory=list)
    offered: list[str] | None = None
    """What the last Tab found; None: there was none."""
    _back: int = 0
    _kept: str = ""

    def start(self, text: str) -> None:
        """Begin a line."""
        self.open, self.offered = True, None
        self._put(text)
        self._back = len(self.history)

    def _put(self, text: str) -> None:
        self.text, self.at = text, len(text)

    def insert(self, text: str) -> None:
        """Typed or pasted: the first line of it."""
        text = "".join(letter for letter in text.split("\n")[0] if letter.isprintable())
        self.text = self.text[: self.at] + text + self.text[self.at :]
        self.at += len(text)

    def press(self, key: str, character: str) -> str | None:
        """A key. The line, where it is entered; the empty one where it is left."""
        self.offered = None
        if key in ("escape", "ctrl+c", "ctrl+g") or (key == "backspace" and not self.text):
            self.open = False
            return ""
        if key in ("enter", "ctrl+j"):  # ctrl+j: typed before the screen was there
            self.open = False
            line = self.text.strip()
            if line and self.history[-1:] != [line]:
                self.history.append(line)
            return line
        if key == "tab":
            self._complete()
        elif key in ("up", "ctrl+p", "down", "ctrl+n"):
            self._recall(-1 if key in ("up", "ctrl+p") else 1)
        elif key in _EDITS:
            self._edit(_EDITS[key])
        elif character and character.isprintable():
            self.insert(character)
        return None

    def _complete(self) -> None:
        head, tail = self.text[: self.at], self.text[self.at :]
        found = complete(head, self.names)
        if len(found) == 1:
            head = found[0] + ("" if found[0].endswith((":", "=")) else " ")
        elif found:
            head = os.path.commonprefix(found)  # noqa: RUF071 (of texts, no paths)
        self.offered = found
        self.text, self.at = head + tail, len(head)

    def _recall(self, by: int) -> None:
        if self._back == len(self.history):
            self._kept = self.text
        self._back = max(0, min(len(self.history), self._back + by))
        self._put(self.history[self._back] if self._back < len(self.history) else self._kept)

    def _edit(self, what: str) -> None:
        before, after = self.text[: self.at], self.text[self.at :]
        if what == "left":
            self.at = max(0, self.at - 1)
        elif what == "right":
            self.at = min(len(self.text), self.at + 1)
        elif what == "begin":
            self.at = 0
        elif what == "end":
            self.at = len(self.text)
        elif what == "rub":
            self.text, self.at = before[:-1] + after, max(0, self.at - 1)
        elif what == "delete":
            self.text = before + after[1:]
        elif what == "kill":
            self.text = before
        elif what == "clear":
            self.text, self.at = after, 0
        elif what == "word":
            kept = before.rstrip()
            kept = kept[: kept.rfind(" ") + 1]
            self.text, self.at = kept + after, len(kept)


_EDITS = {
    "left": "left", "ctrl+b": "left", "right": "right", "ctrl+f": "right",
    "home": "begin", "ctrl+a": "begin", "end": "end", "ctrl+e": "end",
    "backspace": "rub", "ctrl+h": "rub", "delete": "delete", "ctrl+d": "delete",
    "ctrl+k": "kill", "ctrl+u": "clear", "ctrl+w": "word",
}  # fmt: skip
