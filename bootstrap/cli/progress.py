"""How far runs are: one live line on a terminal, one plain line per artifact elsewhere.

`RunProgress` is the model of a run, driven by the kernel's events and by `tick`, about five times a
second; it reads no clock but the one it was given, and starts no thread. What is new it sends in a
`Note`, also from one process to another, and `ShownProgress` shows what one or several runs sent.
"""

import contextlib
import functools
import posixpath
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bootstrap.cli.live import LiveLine
from bootstrap.core.abi import O_ACCMODE, O_RDONLY
from bootstrap.core.errors import printable
from bootstrap.known import StepFile
from bootstrap.linux.events import Event, Executed, Exited, Opened, Tick
from bootstrap.linux.filesystem import absolute, opened_path, seen_path
from bootstrap.trace.lineage import guest_text, normal_path, tree_path

# Below this share (or this many seconds) an estimate of the rest would be a guess.
SHARE_TO_ESTIMATE = 0.02
SECONDS_TO_ESTIMATE = 2.0
# An artifact in the making never counts for more than this part of its weight.
MOST_OF_A_STEP = 0.95
_BAR = 16


_PHASES: tuple[tuple[str, tuple[str, ...], float], ...] = (
    ("phase 0: hex0", ("hex0",), 0.1),
    ("phase 0b: kaem-minimal", ("kaem-0",), 0.1),
    ("phase 1: hex1", ("hex1",), 0.1),
    ("phase 2: hex2", ("hex2-0",), 0.1),
    ("phase 2b: catm", ("artifact/catm",), 0.1),
    ("phase 3: M0", ("M0",), 0.2),
    ("phase 4: cc", ("cc_",), 0.3),
    ("phase 5: M2-Planet", ("M2-0", "artifact/M2"), 2.8),
    ("phase 6: blood-elf", ("blood-elf-0",), 2.0),
    ("phase 7: M1", ("M1-macro-0", "M1-0"), 3.0),
    ("phase 8: hex2", ("hex2_linker-0", "hex2_linker-1", "hex2-1"), 6.5),
    ("phase 9: M1", ("M1-macro-1", "bin/M1"), 9.5),
    ("phase 10: hex2", ("hex2_linker-2", "bin/hex2"), 6.5),
    ("phase 11: kaem", ("kaem.", "kaem-footer", "bin/kaem"), 7.0),
    ("phase 12: M2-Mesoplanet", ("M2-Mesoplanet",), 12.0),
    ("phase 13: blood-elf", ("blood-elf-1", "bin/blood-elf"), 5.5),
    ("phase 14: get_machine", ("get_machine",), 3.6),
    ("phase 15: M2-Planet", ("M2-1", "M2-Planet"), 27.0),
    ("phase 16: sha256sum", ("sha256sum",), 6.5),
    ("phase 17: match", ("match",), 3.0),
    ("phase 18: mkdir", ("mkdir",), 4.0),
    ("phase 19: untar", ("untar",), 5.5),
    ("phase 20: ungz", ("ungz",), 6.0),
    ("phase 21: unbz2", ("unbz2",), 6.5),
    ("phase 22: unxz", ("unxz",), 9.0),
    ("phase 23: catm, cp, chmod, rm, replace, wrap", (
        "bin/catm", "bin/cp", "bin/chmod", "bin/rm", "bin/replace", "bin/wrap"), 24.0),
)  # fmt: skip
"""The phases of stage0-posix by the product that ends them, and how much work each is: the names
are those of upstream's kaem scripts, the shares were measured on the x86 bootstrap of 1.9.1 and
hold well enough elsewhere, as they only move a progress bar."""


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


def plan_of(step: StepFile) -> Plan:
    """What a run of `step` makes, in which phases, with which shares of the work."""
    products = tuple(value.path for value in step.expected())
    phases: dict[str, str] = {}
    for product in products:
        name = "/".join(product.split("/")[1:])
        best = ""
        for phase, patterns, _ in _PHASES:
            for pattern in patterns:
                whole = pattern if "/" in pattern else f"artifact/{pattern}"
                for candidate in (whole, f"bin/{pattern}"):
                    if name.startswith(candidate) and len(candidate) > len(best):
                        best, phases[product] = candidate, phase
    members: dict[str, int] = {}
    for phase in phases.values():
        members[phase] = members.get(phase, 0) + 1
    shares = {phase: share for phase, _, share in _PHASES}
    weights = {product: shares[phase] / members[phase] for product, phase in phases.items()}
    return Plan(products, weights, phases)


@dataclass(frozen=True, slots=True)
class Note:
    """What a run sends: its share done (0 to 1), what it is building, and lines to show."""

    share: float
    building: str = ""
    """Tree path of what is being made; empty between two products."""
    phase: str = ""
    program: str = ""
    """The name of the program that was started last."""
    lines: tuple[str, ...] = ()


class RunProgress:
    """The model of one run: what is finished, what is in the making, how much that is of all. A
    listener.

    `send` gets what is new; `clock` gives seconds, monotonic.
    """

    def __init__(
        self, plan: Plan, send: Callable[[Note], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._plan = plan
        self._send = send
        self._sent: Note | None = None
        self._lines: list[str] = []
        self._program = ""
        self._building = ""
        self._clock = clock
        self._started = clock()
        self._weights = _weights(plan)
        self._total = sum(self._weights.values())
        self._finished: set[str] = set()
        self._finished_weight = 0.0
        self._finished_at = self._started
        self._building_since = self._started
        self._writing: dict[int, dict[str, None]] = {}
        self._best_share = 0.0

    def tick(self) -> None:
        """Send what is new; called about five times a second."""
        phase = self._plan.phases.get(self._building, "")
        share = round(self.share(), 4)
        note = Note(share, self._building, phase, self._program, tuple(self._lines))
        self._lines.clear()
        if note != self._sent:
            self._sent = note
            self._send(note)

    def __call__(self, event: Event) -> None:
        """See Listener."""
        if isinstance(event, Tick):
            self.tick()
        elif isinstance(event, Executed):
            self._executed(event)
        elif isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Exited):
            self._end_of_program(event.pid)

    def _executed(self, event: Executed) -> None:
        """A new program; its output is often named in its arguments long before it is opened."""
        self._end_of_program(event.pid)
        base, program = event.base, event.program
        self._program = posixpath.basename(tree_path(normal_path(absolute(base, program.path))))
        cwd = normal_path(seen_path(base.cwd, base.root))
        for argument in program.argv[1:]:
            path = tree_path(posixpath.normpath(posixpath.join(cwd, guest_text(argument))))
            if path in self._weights and path not in self._finished:
                self._begin(path)
                break

    def _opened(self, event: Opened) -> None:
        """A file opened for writing is being made."""
        if event.flags & O_ACCMODE == O_RDONLY:
            return
        path = tree_path(normal_path(opened_path(event.base, event.path, event.file.inode)))
        if path in self._weights:
            self._writing.setdefault(event.pid, {})[path] = None
            if path not in self._finished:
                self._begin(path)

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
            phase = self._plan.phases.get(path)
            made_in = f" ({printable(phase)})" if phase else ""
            self._lines.append(f"{self.share():4.0%} {printable(path)}{made_in}")
        if self._lines:
            # A line about what is finished does not wait for the next tick.
            self.tick()


class ShownProgress:
    """Progress of one run or of several, each known by its name, in the live line."""

    def __init__(
        self, line: LiveLine, names: Sequence[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._line = line
        self._names = names
        self._clock = clock
        self._started = clock()
        self._shares = dict.fromkeys(names, 0.0)
        self._running: dict[str, Note] = {}
        self._ended: dict[str, str] = {}

    def begin(self, name: str) -> None:
        """The run was started."""
        self._running[name] = Note(0.0)
        self._draw()

    def note(self, name: str, note: Note) -> None:
        """The run sent this."""
        self._running[name] = note
        self._shares[name] = max(self._shares[name], note.share)
        self._draw(name, *note.lines)

    def end(self, name: str, outcome: str) -> None:
        """The run ended; `outcome` is one word."""
        self._running.pop(name, None)
        self._shares[name] = 1.0
        self._ended[name] = outcome
        self._draw(name, outcome)

    def share(self) -> float:
        """Share of all work done, 0 to 1; every run counts alike."""
        return sum(self._shares.values()) / len(self._shares)

    def _draw(self, name: str = "", *lines: str) -> None:
        """The live line, or else lines about the run of that name."""
        alone = len(self._names) == 1
        if not self._line.style.terminal:
            for line in lines:
                head = "" if alone else f"{name:<{max(map(len, self._names))}}  "
                self._line.line(f"{head}{line}")
        if not self._line.live:
            return
        share, elapsed = self.share(), self._clock() - self._started
        rest = ""
        if share >= SHARE_TO_ESTIMATE and elapsed >= SECONDS_TO_ESTIMATE:
            rest = f"{_minutes(elapsed * (1 - share) / share)} left"
        bar = _bar(share, self._line)
        # From the fullest to the barest; the share, which is first, in bold.
        choices = self._of_one(bar, rest) if alone else self._of_several(bar, rest)
        parts = [(f"{share:4.0%}", *choice) for choice in (*choices, (rest,), ())]
        self._line.show(*("  ".join(filter(None, choice)) for choice in parts), bold=4)

    def _of_one(self, bar: str, rest: str) -> list[tuple[str, ...]]:
        note = next(iter(self._running.values()), Note(1.0))
        by = f"by {note.program}" if note.program else ""
        return [
            (bar, note.phase, note.building, by, rest),
            (note.phase, note.building, by, rest),
            (note.building, by, rest),
            (note.building, rest),
            (posixpath.basename(note.building), rest),
        ]

    def _of_several(self, bar: str, rest: str) -> list[tuple[str, ...]]:
        runs = [f"{name} {note.share:.0%}" for name, note in self._running.items()]
        building = [
            f"{run} {note.building.rpartition('/')[2]}".rstrip()
            for run, note in zip(runs, self._running.values(), strict=True)
        ]
        ended = [f"{name} {outcome}" for name, outcome in self._ended.items()]
        return [
            (bar, *ended, *building, rest),
            (bar, *ended, *runs, rest),
            (*ended, *runs, rest),
            (*runs, rest),
        ]


@contextlib.contextmanager
def progress_of(step: StepFile, quiet: bool, only_live: bool = False) -> Iterator[RunProgress]:
    """Progress of a run of a step file, on standard error, for the block.

    `only_live`: no line per artifact where there is no live one.
    """
    with LiveLine(quiet) as line:
        if only_live and not line.live:
            line.close()
        yield shown_alone(line, plan_of(step))


def shown_alone(
    line: LiveLine, plan: Plan, clock: Callable[[], float] = time.monotonic
) -> RunProgress:
    """Progress of one run, shown in a live line."""
    shown = ShownProgress(line, [""], clock)
    return RunProgress(plan, functools.partial(shown.note, ""), clock)


def _bar(share: float, line: LiveLine) -> str:
    """A bar of a fixed width."""
    full = int(share * _BAR)
    done, rest = ("━", "─") if line.style.unicode else ("#", ".")
    return done * full + rest * (_BAR - full)


def _weights(plan: Plan) -> dict[str, float]:
    known = {p: max(plan.weights.get(p, 0.0), 0.0) for p in map(tree_path, plan.products)}
    if sum(known.values()) <= 0:
        return dict.fromkeys(known, 1.0)
    return known


def _minutes(seconds: float) -> str:
    """`0:07`, `12:30`, `1:02:03`."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
