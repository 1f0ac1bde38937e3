"""Shows how far a run is: one live line on a terminal, one plain line per artifact elsewhere.

Driven by the kernel's events and by `tick`, about five times a second; it reads no clock but the
one it was given, and starts no thread.
"""

import os
import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TextIO

from bootstrap import signals
from bootstrap.core.abi import O_ACCMODE, O_RDONLY
from bootstrap.linux.events import BaseObserver, ExecEvent
from bootstrap.linux.inode import Inode
from bootstrap.report.page import speaks_unicode, visible
from bootstrap.trace.model import guest_text, normal_path, tree_path

DEFAULT_WIDTH = 80
# Below this share (or this many seconds) an estimate of the rest would be a guess.
SHARE_TO_ESTIMATE = 0.02
SECONDS_TO_ESTIMATE = 2.0
# An artifact in the making never counts for more than this part of its weight.
MOST_OF_A_STEP = 0.95
_BAR = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is going to make, as far as the catalogue knows."""

    products: tuple[str, ...]
    """Tree paths (`x86/bin/M1`)."""
    weights: Mapping[str, float]
    """Share of the work per product (any unit, at least 0); empty: all alike. Products without an
    entry count nothing, unless no product has one."""
    phases: Mapping[str, str]
    """Product -> name of the phase that makes it (`phase 5: M2-Planet`); may be empty."""


@dataclass(frozen=True, slots=True)
class Style:
    """How to write: decided once from the stream and the environment (`style_for`)."""

    terminal: bool
    colour: bool
    unicode: bool
    width: Callable[[], int]
    """Columns of the terminal, asked anew for every line: windows change."""


def style_for(stream: TextIO, environ: Mapping[str, str]) -> Style:
    """A terminal that can move its cursor gets the live line; NO_COLOR (no-color.org) is obeyed."""
    terminal = stream.isatty() and environ.get("TERM", "") != "dumb"

    def width() -> int:
        try:
            return os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH
        except (OSError, ValueError):
            return DEFAULT_WIDTH

    return Style(
        terminal=terminal,
        colour=terminal and not environ.get("NO_COLOR"),
        unicode=speaks_unicode(stream.encoding),
        width=width,
    )


class Progress(BaseObserver):
    """Progress of one run on `stream`. Call `close` at the end: it clears the live line.

    `clock` gives seconds, monotonic. With `quiet` nothing is ever written. A stream that breaks
    (closed, full) silences the progress; it never ends the run.
    """

    def __init__(
        self,
        stream: TextIO,
        plan: Plan,
        *,
        clock: Callable[[], float],
        style: Style,
        quiet: bool = False,
    ) -> None:
        self._stream = stream
        self._plan = plan
        self._style = style
        self._clock = clock
        self._silent = quiet
        self._started = clock()
        self._weights = _weights(plan)
        self._total = sum(self._weights.values())
        self._finished: set[str] = set()
        self._finished_weight = 0.0
        self._finished_at = self._started
        self._building = ""
        self._building_since = self._started
        self._program = ""
        self._writing: dict[int, dict[str, None]] = {}
        self._shown = ""
        self._best_share = 0.0

    # -- events ---------------------------------------------------------------------------------

    def on_exec(self, event: ExecEvent) -> None:
        """A new program; its output is often named in its arguments long before it is opened."""
        self._end_of_program(event.pid)
        self._program = posixpath.basename(tree_path(normal_path(event.path)))
        for argument in event.argv[1:]:
            path = tree_path(
                posixpath.normpath(posixpath.join(normal_path(event.cwd), guest_text(argument)))
            )
            if path in self._weights and path not in self._finished:
                self._begin(path)
                break

    def on_open(self, pid: int, guest_path: bytes, inode: Inode, flags: int, fd: int) -> None:
        """A file opened for writing is being made."""
        if flags & O_ACCMODE == O_RDONLY:
            return
        path = tree_path(normal_path(guest_path))
        if path in self._weights:
            self._writing.setdefault(pid, {})[path] = None
            if path not in self._finished:
                self._begin(path)

    def on_exit(self, pid: int, status: int, syscalls: int) -> None:
        """What a program wrote is finished when it ends."""
        self._end_of_program(pid)

    def on_tick(self) -> None:
        """The same as `tick`."""
        self.tick()

    # -- for the caller -------------------------------------------------------------------------

    def tick(self) -> None:
        """Renew the live line; does nothing where lines cannot be renewed."""
        if self._style.terminal:
            self._show(self._line())

    def close(self) -> None:
        """Leave the terminal as it was found: no live line, cursor at the start of a line."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = ""
        self._silent = True

    def share(self) -> float:
        """Share of the work done, 0 to 1; never falls; 1 when all that has a weight is made."""
        if self._total <= 0:
            return 0.0
        done = self._finished_weight
        if self._building and self._finished_weight > 0:
            pace = self._finished_weight / max(self._finished_at - self._started, 1e-9)
            weight = self._weights[self._building]
            guess = (self._clock() - self._building_since) * pace
            done += min(guess, MOST_OF_A_STEP * weight)
        self._best_share = max(self._best_share, min(done / self._total, 1.0))
        return self._best_share

    @property
    def building(self) -> str:
        """Tree path of what is being made; empty between two products."""
        return self._building

    def seconds_left(self) -> float | None:
        """An estimate from the pace so far; None while there is nothing to estimate from."""
        elapsed = self._clock() - self._started
        share = self.share()
        if share < SHARE_TO_ESTIMATE or elapsed < SECONDS_TO_ESTIMATE:
            return None
        return elapsed * (1 - share) / share

    # -- bookkeeping ----------------------------------------------------------------------------

    def _begin(self, path: str) -> None:
        if path != self._building:
            self._building = path
            self._building_since = self._clock()

    def _end_of_program(self, pid: int) -> None:
        for path in self._writing.pop(pid, {}):
            if path in self._finished:
                continue
            self._finished.add(path)
            self._finished_weight += self._weights[path]
            self._finished_at = self._clock()
            if self._building == path:
                self._building = ""
            if not self._style.terminal:
                phase = self._plan.phases.get(path)
                where = f" ({visible(phase)})" if phase else ""
                self._write(self._plain(f"{self.share():4.0%} {visible(path)}{where}") + "\n")

    # -- drawing --------------------------------------------------------------------------------

    def _line(self) -> str:
        """The live line: the most telling parts first, as many as there is room for."""
        room = max(self._style.width() - 1, 10)
        share = self.share()
        left = self.seconds_left()
        percent = f"{share:4.0%}"
        building = visible(self._building)
        phase = visible(self._plan.phases.get(self._building, ""))
        by = f"by {visible(self._program)}" if self._program else ""
        rest = f"{minutes(left)} left" if left is not None else ""
        bar = bar_of(share, self._style)
        # From the fullest to the barest; the first that fits is taken.
        choices = (
            (percent, bar, phase, building, by, rest),
            (percent, phase, building, by, rest),
            (percent, building, by, rest),
            (percent, building, rest),
            (percent, posixpath.basename(building), rest),
            (percent, rest),
        )
        for parts in choices:
            line = self._plain("  ".join(p for p in parts if p))
            if len(line) <= room:
                return self._coloured(line, percent)
        return self._plain(percent)[:room]

    def _coloured(self, line: str, percent: str) -> str:
        if not self._style.colour:
            return line
        return f"\x1b[1m{percent}\x1b[0m{line[len(percent) :]}"

    def _plain(self, text: str) -> str:
        if self._style.unicode:
            return text
        return text.encode("ascii", "backslashreplace").decode("ascii")

    def _show(self, line: str) -> None:
        if line != self._shown:
            self._write(f"\r{line}\x1b[K")
            self._shown = line

    def _write(self, text: str) -> None:
        if self._silent:
            return
        try:
            with signals.let_in():
                self._stream.write(text)
                self._stream.flush()
        except (OSError, ValueError):
            self._silent = True


def bar_of(share: float, style: Style) -> str:
    """A bar of a fixed width."""
    full = int(share * _BAR)
    done, rest = ("━", "─") if style.unicode else ("#", ".")
    return done * full + rest * (_BAR - full)


def _weights(plan: Plan) -> dict[str, float]:
    known = {p: max(plan.weights.get(p, 0.0), 0.0) for p in map(tree_path, plan.products)}
    if sum(known.values()) <= 0:
        return dict.fromkeys(known, 1.0)
    return known


def minutes(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
