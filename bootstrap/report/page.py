"""The page that a report for people is written on: marks, colours, line ends, encodings.

Never by colour alone: each status has its own mark. Guest-made names are shown with control
characters escaped, so that a hostile file name cannot drive the terminal.
"""

import textwrap
from dataclasses import dataclass

from bootstrap.core.errors import printable
from bootstrap.report.model import LESSER, DecidedBy, Goodness, Result, Status

_MARKS: dict[Status | Goodness, tuple[str, str, str]] = {
    # status: (mark, mark where the encoding has only ASCII, colour)
    "match": ("✓", "ok", "32"),
    "mismatch": ("✗", "XX", "31"),
    "missing": ("−", "--", "31"),
    "unknown": ("?", "??", "33"),
    "good": ("✓", "ok", "32"),
    "bad": ("✗", "XX", "31"),
}
VERDICTS: dict[Result, tuple[str, str]] = {
    "verified": ("VERIFIED", "1;32"),
    "mismatch": ("MISMATCH", "1;31"),
    "incomplete": ("INCOMPLETE", "1;33"),
    "error": ("GUEST FAILED", "1;31"),
    **dict.fromkeys(LESSER, ("LESS THAN ASKED", "1;33")),
}
DECIDED: dict[DecidedBy, str] = {
    "core": " by the core alone",
    "core with the fast path": " with the fast path",
}
_ASCII = str.maketrans({"…": "...", "–": "-", "−": "-", "→": "->"})


def speaks_unicode(encoding: str | None) -> bool:
    """Whether a stream with this encoding can show the marks."""
    try:
        "✓✗−…".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


visible = printable
"""For names and texts that others made: it belongs around each of them on a page."""


@dataclass(slots=True)
class Page:
    """Lines of text. `width` is in columns, at least 40; None is a pipe or a file."""

    colour: bool
    width: int | None
    unicode: bool
    lines: list[str]

    def __init__(self, colour: bool, width: int | None, unicode: bool) -> None:
        self.colour, self.unicode = colour, unicode
        self.width = max(width, 40) if width else None
        self.lines = []

    def line(self, text: str = "") -> None:
        self.lines.append(text.rstrip())

    def blank(self) -> None:
        if self.lines and self.lines[-1]:
            self.lines.append("")

    def heading(self, text: str) -> None:
        self.blank()
        start = len(self.lines)
        self.wrapped(text, indent=0, hanging=2)
        self.lines[start:] = [self.paint(line, "1") for line in self.lines[start:]]

    def wrapped(self, text: str, indent: int = 2, hanging: int = 0) -> None:
        """Running text, broken at spaces only: names and hashes stay whole."""
        self.lines += textwrap.wrap(
            text,
            self.width or 100,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hanging),
            break_long_words=False,
            break_on_hyphens=False,
        )

    def verdict(self, result: Result, claim: str, decided_by: DecidedBy | None = None) -> None:
        """The last word: what the result is, and the sentence that says what it means."""
        word, code = VERDICTS[result]
        how = "" if result != "verified" or decided_by is None else DECIDED[decided_by]
        self.last_word(word + how, code, claim)

    def last_word(self, word: str, code: str, claim: str) -> None:
        """`verdict`, for what is judged in other words; `code` is the word's colour."""
        start = len(self.lines)
        self.wrapped(f"{word}: {visible(claim)}", indent=0, hanging=2)
        self.lines[start] = self.lines[start].replace(word, self.paint(word, code), 1)

    def labelled(self, label: str, text: str) -> None:
        self.wrapped(f"{label:<11}{text}", indent=2, hanging=11)

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def mark(self, status: Status | Goodness) -> str:
        return self.sign(*_MARKS[status])

    def sign(self, symbol: str, plain: str, code: str) -> str:
        """A mark, or what stands for it where the encoding has only ASCII, in a colour."""
        return self.paint(symbol if self.unicode else plain, code)

    @property
    def mark_width(self) -> int:
        return 1 if self.unicode else 2

    def text(self) -> str:
        """All lines, the last one ended too, in characters that the encoding has."""
        text = "\n".join(self.lines) + "\n"
        if not self.unicode:
            text = text.translate(_ASCII).encode("ascii", "backslashreplace").decode("ascii")
        return text
