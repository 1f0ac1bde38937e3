"""Progress of several runs at once: one live line on a terminal, a line per artifact elsewhere.

Each run's worker tells how far it is (`Telling`); what it tells is shown here (`Combined`).
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TextIO

from bootstrap.cli.progress import (
    SECONDS_TO_ESTIMATE,
    SHARE_TO_ESTIMATE,
    Plan,
    Progress,
    Style,
    bar_of,
    minutes,
)
from bootstrap.report.page import visible

_PLAIN = Style(terminal=False, colour=False, unicode=True, width=lambda: 0)


@dataclass(frozen=True, slots=True)
class Note:
    """What a worker tells: its share done (0 to 1), what it is building, and lines to show."""

    share: float
    building: str
    lines: tuple[str, ...] = ()


class Telling(Progress):
    """In the worker: progress that draws nothing, and tells."""

    def __init__(
        self, plan: Plan, tell: Callable[[Note], None], *, clock: Callable[[], float]
    ) -> None:
        self._lines = io.StringIO()
        self._tell = tell
        self._told: Note | None = None
        super().__init__(self._lines, plan, clock=clock, style=_PLAIN)

    def tick(self) -> None:
        """Tell what is new."""
        lines = tuple(self._lines.getvalue().splitlines())
        self._lines.seek(0)
        self._lines.truncate()
        note = Note(round(self.share(), 3), self.building, lines)
        if note != self._told:
            self._tell(note)
            self._told = note

    def on_exit(self, pid: int, status: int, syscalls: int) -> None:
        """A line about what is finished does not wait for the next tick."""
        super().on_exit(pid, status, syscalls)
        if self._lines.tell():
            self.tick()


class Combined:
    """Progress of all runs on `stream`, each known by its name. Call `close` at the end.

    A stream that breaks silences the progress; it never ends the runs.
    """

    def __init__(
        self,
        stream: TextIO,
        names: Sequence[str],
        *,
        clock: Callable[[], float],
        style: Style,
        quiet: bool = False,
    ) -> None:
        self._stream = stream
        self._names = names
        self._style = style
        self._clock = clock
        self._silent = quiet
        self._started = clock()
        self._shares = dict.fromkeys(names, 0.0)
        self._running: dict[str, Note] = {}
        self._ended: dict[str, str] = {}
        self._shown = ""

    def begin(self, name: str) -> None:
        """The run was started."""
        self._running[name] = Note(0.0, "")
        self._draw()

    def note(self, name: str, note: Note) -> None:
        """The run told this."""
        self._running[name] = note
        self._shares[name] = max(self._shares[name], note.share)
        if not self._style.terminal:
            for line in note.lines:
                self._line(name, line)
        self._draw()

    def end(self, name: str, outcome: str) -> None:
        """The run ended; `outcome` is one word."""
        self._running.pop(name, None)
        self._shares[name] = 1.0
        self._ended[name] = outcome
        if not self._style.terminal:
            self._line(name, outcome)
        self._draw()

    def close(self) -> None:
        """Leave the terminal as it was found: no live line, cursor at the start of a line."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = ""
        self._silent = True

    def share(self) -> float:
        """Share of all work done, 0 to 1; every run counts alike."""
        return sum(self._shares.values()) / len(self._shares)

    def _line(self, name: str, text: str) -> None:
        width = max(map(len, self._names))
        self._write(self._speakable(f"{name:<{width}}  {text}") + "\n")

    def _draw(self) -> None:
        if not self._style.terminal:
            return
        line = self._live()
        if line != self._shown:
            self._write(f"\r{line}\x1b[K")
            self._shown = line

    def _live(self) -> str:
        """The most telling parts first, as many as there is room for."""
        room = max(self._style.width() - 1, 10)
        share, elapsed = self.share(), self._clock() - self._started
        percent = f"{share:4.0%}"
        rest = ""
        if share >= SHARE_TO_ESTIMATE and elapsed >= SECONDS_TO_ESTIMATE:
            rest = f"{minutes(elapsed * (1 - share) / share)} left"
        runs = [f"{name} {note.share:.0%}" for name, note in self._running.items()]
        building = [
            f"{run} {visible(note.building.rpartition('/')[2])}".rstrip()
            for run, note in zip(runs, self._running.values(), strict=True)
        ]
        ended = [f"{name} {outcome}" for name, outcome in self._ended.items()]
        bar = bar_of(share, self._style)
        choices = (
            (percent, bar, *ended, *building, rest),
            (percent, bar, *ended, *runs, rest),
            (percent, *ended, *runs, rest),
            (percent, *runs, rest),
            (percent, rest),
        )
        for parts in choices:
            line = self._speakable("  ".join(part for part in parts if part))
            if len(line) <= room:
                return f"\x1b[1m{percent}\x1b[0m{line[4:]}" if self._style.colour else line
        return percent[:room]

    def _speakable(self, text: str) -> str:
        if self._style.unicode:
            return text
        return text.encode("ascii", "backslashreplace").decode("ascii")

    def _write(self, text: str) -> None:
        if self._silent:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self._silent = True
