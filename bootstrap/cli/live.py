"""What a command says while it works: one line on a terminal that is written over.

It is a courtesy: a stream that breaks (closed, full) silences it and never ends the work, `quiet`
writes nothing, and whatever foreign text stands in it does nothing to the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TextIO

from bootstrap import signals
from bootstrap.core.errors import printable

DEFAULT_WIDTH = 80
silent = False
"""Whether no line is shown, whoever shows it: -q."""


@dataclass(frozen=True, slots=True)
class Style:
    """How to write: decided once from the stream and the environment (`style_for`)."""

    terminal: bool
    colour: bool
    unicode: bool
    width: Callable[[], int]
    """Columns of the terminal, asked anew for every line: windows change."""


def is_terminal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether it is one that can move its cursor: not TERM=dumb."""
    return stream.isatty() and environ.get("TERM", "") != "dumb"


def has_colours(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """As NO_COLOR (no-color.org) and CLICOLOR_FORCE (bixense.com/clicolors) want it."""
    forced = environ.get("CLICOLOR_FORCE", "0") not in ("", "0")
    return (is_terminal(stream, environ) or forced) and not environ.get("NO_COLOR")


def style_for(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """A terminal that can move its cursor gets the live line; COLUMNS is the width."""
    from bootstrap.report.page import speaks_unicode

    columns = environ.get("COLUMNS", "")

    def width() -> int:
        if columns.isdecimal() and 0 < int(columns) < 10_000:
            return int(columns)
        try:
            return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
        except (OSError, ValueError):
            return DEFAULT_WIDTH

    return Style(
        terminal=is_terminal(stream, environ),
        colour=has_colours(stream, environ),
        unicode=speaks_unicode(stream.encoding),
        width=width,
    )


class LiveLine:
    """The live line on `stream`, standard error if none is given; `close` clears it."""

    def __init__(
        self, quiet: bool = False, stream: TextIO | None = None, style: Style | None = None
    ) -> None:
        self._stream = stream or sys.stderr
        self.style = style or style_for(self._stream, os.environ)
        self._silent = quiet or silent
        self._shown = ""

    @property
    def live(self) -> bool:
        """Whether `show` shows anything."""
        return self.style.terminal and not self._silent

    def show(self, *texts: str, bold: int = 0) -> None:
        """Put the first of the texts that fits into the line, else the last of them, cut.

        So many characters of it are bold, where there are colours.
        """
        if not self.live:
            return
        room = max(self.style.width() - 1, 10)
        lines = [self._plain(text) for text in texts]
        line = next((line for line in lines if len(line) <= room), lines[-1][:room])
        if line != self._shown:
            drawn = line
            if bold and self.style.colour:
                drawn = f"\x1b[1m{line[:bold]}\x1b[0m{line[bold:]}"
            # Before it is written: Ctrl-C may come in the middle, and the line is cleared after it.
            self._shown = line
            self._write(f"\r{drawn}\x1b[K")

    def line(self, text: str) -> None:
        """A line that stays, on any stream."""
        self.clear()
        self._write(self._plain(text) + "\n")

    def clear(self) -> None:
        """Leave the terminal as it was found: no live line, cursor at the start of a line."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = ""

    def close(self) -> None:
        """Clear the line, and write nothing any more."""
        self.clear()
        self._silent = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _plain(self, text: str) -> str:
        text = printable(text)
        if self.style.unicode:
            return text
        return text.encode("ascii", "backslashreplace").decode("ascii")

    def _write(self, text: str) -> None:
        if self._silent:
            return
        try:
            with signals.let_in():
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):
            self._silent = True
