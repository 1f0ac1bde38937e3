"""How far runs are: one live line on a terminal, one plain line per artifact elsewhere.

Driven by the kernel's events and by `tick`, about five times a second; it reads no clock but the
one it was given, and starts no thread. `RunProgress` is the model of one run. `Progress` shows it;
where several run at once, each worker sends it in `Note`s (`WorkerProgress`), and `Combined` shows
what they sent.
"""

import contextlib
import posixpath
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bootstrap.cli.live import LiveLine
from bootstrap.core.abi import O_ACCMODE, O_RDONLY
from bootstrap.core.errors import printable
from bootstrap.core.files import Inode
from bootstrap.known import StepFile
from bootstrap.linux.events import BaseObserver, ExecEvent
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


class RunProgress(BaseObserver):
    """The model of one run: what is finished, what is in the making, how much that is of all.

    `clock` gives seconds, monotonic.
    """

    def __init__(self, plan: Plan, clock: Callable[[], float]) -> None:
        self.plan = plan
        self.program = ""
        """The name of the program that was started last."""
        self.building = ""
        """Tree path of what is being made; empty between two products."""
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
        """Show what is new; called about five times a second."""

    def finished(self, path: str) -> None:
        """A product was finished: called once for each."""

    def on_exec(self, event: ExecEvent) -> None:
        """A new program; its output is often named in its arguments long before it is opened."""
        self._end_of_program(event.pid)
        self.program = posixpath.basename(tree_path(normal_path(event.path)))
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

    def share(self) -> float:
        """Share of the work done, 0 to 1; never falls; 1 when all that has a weight is made."""
        if self._total <= 0:
            return 0.0
        done = self._finished_weight
        if self.building and self._finished_weight > 0:
            pace = self._finished_weight / max(self._finished_at - self._started, 1e-9)
            weight = self._weights[self.building]
            guess = (self._clock() - self._building_since) * pace
            done += min(guess, MOST_OF_A_STEP * weight)
        self._best_share = max(self._best_share, min(done / self._total, 1.0))
        return self._best_share

    def seconds_left(self) -> float | None:
        """An estimate from the pace so far; None while there is nothing to estimate from."""
        return _seconds_left(self.share(), self._clock() - self._started)

    def finished_line(self, path: str) -> str:
        """The line that says that a product is finished."""
        phase = self.plan.phases.get(path)
        return f"{self.share():4.0%} {printable(path)}" + (
            f" ({printable(phase)})" if phase else ""
        )

    def _begin(self, path: str) -> None:
        if path != self.building:
            self.building = path
            self._building_since = self._clock()

    def _end_of_program(self, pid: int) -> None:
        for path in self._writing.pop(pid, {}):
            if path in self._finished:
                continue
            self._finished.add(path)
            self._finished_weight += self._weights[path]
            self._finished_at = self._clock()
            if self.building == path:
                self.building = ""
            self.finished(path)


class Progress(RunProgress):
    """Progress of one run, shown in the live line."""

    def __init__(
        self, line: LiveLine, plan: Plan, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(plan, clock)
        self._line = line

    def tick(self) -> None:
        """Renew the live line; does nothing where lines cannot be renewed."""
        if not self._line.live:
            return
        share = self.share()
        left = self.seconds_left()
        percent = f"{share:4.0%}"
        building = self.building
        phase = self.plan.phases.get(building, "")
        by = f"by {self.program}" if self.program else ""
        rest = f"{_minutes(left)} left" if left is not None else ""
        # From the fullest to the barest.
        _show(
            self._line,
            (percent, _bar(share, self._line), phase, building, by, rest),
            (percent, phase, building, by, rest),
            (percent, building, by, rest),
            (percent, building, rest),
            (percent, posixpath.basename(building), rest),
            (percent, rest),
            (percent,),
        )

    def finished(self, path: str) -> None:
        """A line, where there is no live one."""
        if not self._line.style.terminal:
            self._line.line(self.finished_line(path))


@contextlib.contextmanager
def progress_of(step: StepFile, quiet: bool, only_live: bool = False) -> Iterator[Progress]:
    """Progress of a run of a step file, on standard error, for the block.

    `only_live`: no line per artifact where there is no live one.
    """
    with LiveLine(quiet) as line:
        if only_live and not line.live:
            line.close()
        yield Progress(line, plan_of(step))


@dataclass(frozen=True, slots=True)
class Note:
    """What a worker sends: its share done (0 to 1), what it is building, and lines to show."""

    share: float
    building: str
    lines: tuple[str, ...] = ()


class WorkerProgress(RunProgress):
    """In a worker: progress that is not shown, but sent."""

    def __init__(
        self, plan: Plan, send: Callable[[Note], None], *, clock: Callable[[], float]
    ) -> None:
        super().__init__(plan, clock)
        self._send = send
        self._sent: Note | None = None
        self._lines: list[str] = []

    def tick(self) -> None:
        """Send what is new."""
        note = Note(round(self.share(), 3), self.building, tuple(self._lines))
        self._lines.clear()
        if note != self._sent:
            self._send(note)
            self._sent = note

    def finished(self, path: str) -> None:
        """A line for the next note."""
        self._lines.append(self.finished_line(path))

    def on_exit(self, pid: int, status: int, syscalls: int) -> None:
        """A line about what is finished does not wait for the next tick."""
        super().on_exit(pid, status, syscalls)
        if self._lines:
            self.tick()


class Combined:
    """Progress of all runs, each known by its name, in the live line. Call `close` at the end."""

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
        self._running[name] = Note(0.0, "")
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

    def close(self) -> None:
        """No live line, and nothing is written any more."""
        self._line.close()

    def share(self) -> float:
        """Share of all work done, 0 to 1; every run counts alike."""
        return sum(self._shares.values()) / len(self._shares)

    def _draw(self, name: str = "", *lines: str) -> None:
        """The live line, or else lines about the run of that name."""
        if not self._line.style.terminal:
            for line in lines:
                self._line.line(f"{name:<{max(map(len, self._names))}}  {line}")
        if not self._line.live:
            return
        share = self.share()
        percent = f"{share:4.0%}"
        left = _seconds_left(share, self._clock() - self._started)
        rest = f"{_minutes(left)} left" if left is not None else ""
        runs = [f"{name} {note.share:.0%}" for name, note in self._running.items()]
        building = [
            f"{run} {note.building.rpartition('/')[2]}".rstrip()
            for run, note in zip(runs, self._running.values(), strict=True)
        ]
        ended = [f"{name} {outcome}" for name, outcome in self._ended.items()]
        bar = _bar(share, self._line)
        _show(
            self._line,
            (percent, bar, *ended, *building, rest),
            (percent, bar, *ended, *runs, rest),
            (percent, *ended, *runs, rest),
            (percent, *runs, rest),
            (percent, rest),
            (percent,),
        )


def _show(line: LiveLine, *choices: tuple[str, ...]) -> None:
    """The first of the choices that there is room for; the share, which is first, in bold."""
    line.show(*("  ".join(part for part in parts if part) for parts in choices), bold=4)


def _seconds_left(share: float, elapsed: float) -> float | None:
    if share < SHARE_TO_ESTIMATE or elapsed < SECONDS_TO_ESTIMATE:
        return None
    return elapsed * (1 - share) / share


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
