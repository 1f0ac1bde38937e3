"""Units run ahead of their turn, by workers, and taken where all that they observed is so.

The run itself goes in order, as ever: `DrivenMachine` runs the build driver. What it is going to
start, and with which files, is said by a plan, from an earlier run. A plan is a hint and no more:
nothing in it comes into a result. Workers (isolated interpreters, plain data) run units on the
files that the plan leads to expect; whether these are the files that are there when the unit's turn
comes is what the machine checks. A wrong plan, and a worker that dies, hangs or talks nonsense,
cost time.
"""

from __future__ import annotations

import json
import posixpath
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from bootstrap import host, signals
from bootstrap.core.errors import BootstrapError
from bootstrap.core.release import Tree, as_bytes, as_text, read_file
from bootstrap.documents import MAX_DOCUMENT, BadValue, Size, encode, from_json, typed
from bootstrap.instruments import default_engine
from bootstrap.known.steps import data_dir
from bootstrap.linux.events import Event, Tick
from bootstrap.linux.limits import RunLimits
from bootstrap.runs import pool
from bootstrap.runs.units import (
    Blobs,
    Descriptor,
    DrivenMachine,
    GivenLower,
    NameState,
    UnitResult,
    UnitStart,
    is_whole,
    run_unit,
)
from bootstrap.sources.cache import put

if TYPE_CHECKING:
    from bootstrap.report import MemoUse
    from bootstrap.runs.memo import Memo

PLAN_SCHEMA = "bootstrap-plan/1"
LIMITS = {"memory_total": 512 << 20, "files_total": 256 << 20, "seconds": 600}
"""Of what is run ahead, which may never be asked for: who needs more is run in its turn."""
PATIENCE = 600.0
"""Seconds for which a unit's turn waits for the worker that is at it."""
_LOOK = 0.2
"""Seconds between two looks at signals and at the workers' signs of life."""
_DEATHS = 3
"""After so many ends in a row, a worker is not started again."""

Content = tuple[NameState, bytes]


# -- plans -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """A unit that is expected: where it begins, and which files it looks at and changes."""

    path: str
    argv: tuple[str, ...]
    environment: Size
    """Number of its environment in the plan's list."""
    cwd: str
    pid: Size
    umask: Size
    fds: tuple[tuple[int, Descriptor], ...]
    reads: tuple[str, ...]
    running: tuple[str, ...]
    """Those of them that some process runs."""
    writes: tuple[str, ...]
    milliseconds: Size
    """CPU time that it took, to begin with what others wait for."""


def _is_plan(schema: str) -> None:
    if schema != PLAN_SCHEMA:
        raise BadValue(f"is {schema!r}; known: {PLAN_SCHEMA}")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is expected to start, in this order. A hint: nothing of it is believed."""

    schema: Annotated[str, _is_plan]
    environments: tuple[tuple[str, ...], ...]
    units: tuple[PlannedUnit, ...]

    def start(self, number: int) -> UnitStart:
        """Raises IndexError for an environment that is not there."""
        unit = self.units[number]
        envp = tuple(map(as_bytes, self.environments[unit.environment]))
        argv = tuple(map(as_bytes, unit.argv))
        cwd = as_bytes(unit.cwd)
        return UnitStart(as_bytes(unit.path), argv, envp, cwd, unit.pid, unit.umask, unit.fds)


def plan_from(results: Sequence[UnitResult]) -> RunPlan:
    """The plan of a run that had these units, in their order."""
    environments: dict[tuple[str, ...], int] = {}
    units = []
    for result in results:
        start = result.start
        environment = tuple(map(as_text, start.envp))
        files = [seen for seen in result.observations if seen.state.kind == "file"]
        units.append(PlannedUnit(
            as_text(start.path), tuple(map(as_text, start.argv)),
            environments.setdefault(environment, len(environments)), as_text(start.cwd),
            start.pid, start.umask, start.fds,
            tuple(as_text(seen.path) for seen in files),
            tuple(as_text(seen.path) for seen in files if seen.state.running),
            tuple(as_text(seen.path) for seen in result.finals), result.milliseconds,
        ))  # fmt: skip
    return RunPlan(PLAN_SCHEMA, tuple(environments), tuple(units))


def plan_name(steps: str, entry: str) -> str:
    """Of the file that holds a step file's plan: `stage0-posix-1.9.1-x86.hex0-seed.plan`."""
    return f"{steps.rpartition('/')[2].removesuffix('.toml')}.{entry}.plan"


def find_plan(name: str, learned: Path) -> RunPlan | None:
    """The plan that is shipped, or one that an earlier run has left in the folder `learned`; None
    where there is none that can be read: then there is none to lose either."""
    for place in (Path(str(data_dir("steps") / name)), learned / name):
        with suppress(OSError, BootstrapError):
            return from_json(RunPlan, read_file(place, MAX_DOCUMENT), name)
    return None


def save_plan(plan: RunPlan, learned: Path, name: str) -> None:
    """Leave it for the next run, where the folder can be written to."""
    text = json.dumps(encode(plan), separators=(",", ":"))
    with suppress(OSError), signals.held:
        learned.mkdir(parents=True, exist_ok=True)
        put(learned / name, text.encode("ascii"))


# -- a worker --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _UnitTask:
    """What a worker is given, with the contents of the files."""

    start: UnitStart
    limits: RunLimits
    files: tuple[tuple[bytes, NameState], ...]
    folders: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _UnitDone:
    """What it gives back, with contents, each under its own SHA-256."""

    result: UnitResult | None
    why: str = ""
    """There is no result."""


def worker() -> None:
    """Run units, in a worker."""
    pool.serve(_work)


def _work(given: object, blobs: list[bytes], _: pool.Notify) -> tuple[object, list[bytes]]:
    task = typed(_UnitTask, given)
    files = {path: (state, d) for (path, state), d in zip(task.files, blobs, strict=True)}
    lower = GivenLower(files, task.folders)
    found = run_unit(lower, default_engine(), task.limits, task.start)
    if isinstance(found, str):
        return _UnitDone(None, found), []
    return _UnitDone(found[0]), [*found[1].values()]


def new_worker() -> pool.StandingWorker:
    """Start one. Raises BadInput."""
    return pool.StandingWorker(lambda: host.start("bootstrap.runs.ahead", "worker"))


# -- running ahead ---------------------------------------------------------------------------------


@dataclass
class AheadCounts:
    """What became of the units of a run."""

    taken: int = 0
    """Results of workers that were taken."""
    refused: int = 0
    """Results that were not: something observed was not so."""
    failed: int = 0
    """Units that gave no result, or whose worker ended."""
    units: int = 0
    """Of all: the others were run in their turn."""


@dataclass(slots=True, eq=False)
class _Unit:
    """A planned unit, and how far it is."""

    number: int
    start: UnitStart
    inputs: Mapping[bytes, _Unit | None]
    """For each file that it reads the unit that makes it; None: the source tree."""
    running: frozenset[bytes]
    writes: tuple[bytes, ...]
    urgency: int = 0
    """Milliseconds from its start to the end of all that waits for it."""
    state: Literal["waiting", "running", "done", "over"] = "waiting"
    outputs: Mapping[bytes, Content | None] | None = None
    """What is under the names that it changes, once that is known."""
    result: tuple[UnitResult, Blobs] | None = None
    worker: pool.StandingWorker | None = None


class Ahead:
    """Runs the units of a plan ahead of their turn, up to `jobs` at once: a UnitSource.

    A context: workers are started when it is entered, and none outlives it.
    """

    def __init__(
        self,
        plan: RunPlan | None,
        view: Tree,
        limits: RunLimits,
        jobs: int,
        memo: Memo | None = None,
        employ: Callable[[], pool.StandingWorker] = new_worker,
        patience: float = PATIENCE,
        most: Mapping[str, int] = LIMITS,
    ) -> None:
        """Without a plan every unit is run in its turn, and `log` makes one; so is, with a memo,
        what is in neither. `most` are the limits of what is run ahead."""
        self.counts = AheadCounts()
        self.log: list[UnitResult] = []
        """What was taken."""
        self.memo = memo
        self._from: Literal["worker", "memo", "here"] = "here"
        self._in_turn = plan is None or memo is not None
        plan = plan or RunPlan(PLAN_SCHEMA, (), ())
        self._source = {
            b"/" + as_bytes(path): (
                NameState("file", 0o755 if file.executable else 0o644),
                file.data,
            )
            for path, file in view.files.items()
        }
        self._begun = False
        """The first driver has started: what it found that is in no tree is in `_source` too."""
        self._folders = tuple(b"/" + as_bytes(path) for path in view.folders)
        few = {name: min(getattr(limits, name) or value, value) for name, value in most.items()}
        self._limits = replace(limits, **few)
        self._own_limits = limits
        self._units = _units(plan)
        for unit in self._units:
            if memo is not None and memo.has(unit.start, limits):
                unit.state = "over"
        self._by_start: dict[tuple[object, ...], list[_Unit]] = {}
        for unit in reversed(self._units):
            self._by_start.setdefault(_name(unit.start), []).append(unit)
        self._new, self._patience = employ, patience
        self._changed = threading.Condition()
        self._over = False
        self.jobs = jobs if self._units else 1
        """So many units are run at once."""
        self._workers: list[pool.StandingWorker] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Raises BadInput where no worker can be started."""
        try:
            for _ in range(self.jobs if self._units else 0):
                self._workers.append(self._new())
                thread = threading.Thread(target=self._employ, args=(self._workers[-1],))
                thread.daemon = True
                self._threads.append(thread)
                thread.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with signals.held:
            with self._changed:
                self._over = True
                for one in self._workers:
                    one.kill()
                self._changed.notify_all()
            for thread in self._threads:
                thread.join()

    # In the workers' threads.

    def _employ(self, one: pool.StandingWorker) -> None:
        """Have a worker do whatever can be done, and another one when it has ended."""
        deaths = 0
        while True:
            while (unit := self._next(one)) is not None:
                try:
                    found = self._answer(one.do(self._task(unit)))
                except Exception:  # whatever it is: it is no result, and the worker of no more use
                    self._ended(unit, None)
                    deaths += 1
                    break
                self._ended(unit, found)
                deaths = 0
            one.close()
            with self._changed:
                self._workers.remove(one)
                self._changed.notify_all()
                if self._over or unit is None or deaths == _DEATHS:
                    return
                try:
                    one = self._new()
                except BootstrapError:
                    return
                self._workers.append(one)

    def _next(self, one: pool.StandingWorker) -> _Unit | None:
        """The most urgent unit whose files are all known; None: there is nothing left to do."""
        with self._changed:
            while not self._over:
                waiting = [unit for unit in self._units if unit.state == "waiting"]
                if not waiting:
                    return None
                ready = [unit for unit in waiting if self._is_ready(unit)]
                if ready:
                    unit = max(ready, key=lambda unit: (unit.urgency, -unit.number))
                    unit.state, unit.worker = "running", one
                    return unit
                self._changed.wait()
        return None

    def _is_ready(self, unit: _Unit) -> bool:
        """Whether the contents of all its files are known."""
        return all(
            (self._begun or path in self._source) if maker is None else maker.outputs is not None
            for path, maker in unit.inputs.items()
        )

    def _begin(self, machine: DrivenMachine) -> None:
        """What the tree has not and no unit makes was made before."""
        self._begun = True
        makerless = [p for u in self._units for p, maker in u.inputs.items() if maker is None]
        for path, found in _present(machine, [p for p in makerless if p not in self._source]):
            if found is not None:
                self._source[path] = found

    def _task(self, unit: _Unit) -> pool.WorkTask:
        files: list[tuple[bytes, NameState]] = []
        contents = []
        for path, maker in unit.inputs.items():
            outputs = self._source if maker is None else maker.outputs
            found = None if outputs is None else outputs.get(path)
            if found is not None:
                files.append((path, replace(found[0], running=path in unit.running)))
                contents.append(found[1])
        above = {posixpath.dirname(path) for path in (*unit.inputs, *unit.writes)}
        folders = (*self._folders, *sorted(above | {unit.start.cwd}))
        given = _UnitTask(unit.start, self._limits, tuple(files), folders)
        return pool.WorkTask("a unit", given, contents)

    @staticmethod
    def _answer(said: pool.WorkResult) -> tuple[UnitResult, Blobs] | None:
        """What a worker gave back, as far as it can be a result. Raises BadValue."""
        done = typed(_UnitDone, said.value)
        if done.result is None:
            return None
        blobs = {blob.sha256: blob.data for blob in said.blobs}
        if not is_whole(done.result, blobs):
            raise BadValue("is no unit")
        return done.result, blobs

    def _ended(self, unit: _Unit, found: tuple[UnitResult, Blobs] | None) -> None:
        with self._changed:
            unit.worker, unit.result = None, found
            self.counts.failed += found is None and not self._over
            if unit.state == "running":
                unit.state = "over" if found is None else "done"
                if found is not None:
                    unit.outputs = _outputs(*found)
            self._changed.notify_all()

    # In the run.

    def results(
        self, start: UnitStart, machine: DrivenMachine
    ) -> Iterator[tuple[UnitResult, Blobs]]:
        """See UnitSource. Raises KeyboardInterrupt."""
        self.counts.units += 1
        if self.memo is not None:
            yield from self._believed(self.memo, start, machine)
        yield from self._planned(start, machine)
        if self._in_turn and not isinstance(own := run_in_turn(start, machine), str):
            self._from = "here"
            yield own

    def _believed(
        self, memo: Memo, start: UnitStart, machine: DrivenMachine
    ) -> Iterator[tuple[UnitResult, Blobs]]:
        """What the memo has; some of it is run again first."""
        for result, blobs in memo.results(start, machine.limits):
            if memo.is_checked() and machine.holds(start, result):
                own = run_in_turn(start, machine)
                if isinstance(own, str) or replace(own[0], milliseconds=0) != replace(
                    result, milliseconds=0
                ):
                    memo.count(differing=1)
                    continue
                memo.count(checked=1)
            self._from = "memo"
            yield result, blobs

    def _planned(
        self, start: UnitStart, machine: DrivenMachine
    ) -> Iterator[tuple[UnitResult, Blobs]]:
        """What a worker has made of it. Raises KeyboardInterrupt."""
        same = self._by_start.get(_name(start))
        with self._changed:
            if not self._begun:
                self._begin(machine)
                self._changed.notify_all()
        if not same:
            return
        unit = same.pop()
        with self._changed:
            for earlier in self._units[: unit.number]:
                if earlier.outputs is None:
                    earlier.outputs = dict(_present(machine, earlier.writes))
            if unit.state == "waiting":
                unit.state = "over"
            self._changed.notify_all()
        self._wait_for(unit, machine)
        found, unit.result = unit.result, None
        if found is not None:
            self._from = "worker"
            yield found
            self.counts.refused += 1
            with self._changed:
                unit.outputs = None  # of which nothing is so

    def taken(self, result: UnitResult, blobs: Blobs) -> None:
        """See UnitSource."""
        self.counts.taken += self._from == "worker"
        self.log.append(result)
        if self.memo is not None:
            if self._from == "memo":
                self.memo.count(believed=1)
            else:
                self.memo.add(result, blobs, self._own_limits)

    def memo_use(self) -> MemoUse | None:
        """What the memo gave, if there is one."""
        if self.memo is None:
            return None
        use = self.memo.use
        return replace(use, ran=self.counts.units - use.believed)

    def _wait_for(self, unit: _Unit, machine: DrivenMachine) -> None:
        """Until the worker at it has ended, or is given up."""
        patience = time.monotonic() + self._patience
        with self._changed:
            while unit.state == "running":
                self._changed.wait(_LOOK)
                if machine.interrupted:
                    signals.check()
                    raise KeyboardInterrupt
                machine.emit(unit.start.pid, Tick)
                one, now = unit.worker, time.monotonic()
                if one is not None and (
                    now > patience or now > one.heard + pool.SILENCE * pool.BEAT
                ):
                    one.kill()
                    unit.state = "over"


def run_in_turn(start: UnitStart, machine: DrivenMachine) -> tuple[UnitResult, Blobs] | str:
    """A unit's result on the files that are there now, or why there is none. Raises
    KeyboardInterrupt."""

    def listen(event: Event) -> None:
        if isinstance(event, Tick):
            machine.emit(start.pid, Tick)

    return run_unit(machine.present, machine.engine, machine.limits, start, [listen])


def _name(start: UnitStart) -> tuple[object, ...]:
    return start.path, start.argv, start.envp, start.cwd


def _units(plan: RunPlan) -> list[_Unit]:
    """The units of a plan, with what waits for what; those that cannot be are left out."""
    makers: dict[bytes, _Unit] = {}
    units: list[_Unit] = []
    for number, planned in enumerate(plan.units):
        with suppress(IndexError, UnicodeError):
            reads = [as_bytes(path) for path in planned.reads]
            writes = tuple(map(as_bytes, planned.writes))
            if not all(path.startswith(b"/") for path in (*reads, *writes)):
                continue
            inputs = {path: makers.get(path) for path in reads}
            running = frozenset(map(as_bytes, planned.running))
            unit = _Unit(len(units), plan.start(number), inputs, running, writes,
                         planned.milliseconds)  # fmt: skip
            units.append(unit)
            makers.update(dict.fromkeys(writes, unit))
    for unit in reversed(units):  # what waits for a unit comes after it
        for maker in filter(None, unit.inputs.values()):
            own = plan.units[maker.number].milliseconds
            maker.urgency = max(maker.urgency, own + unit.urgency)
    return units


def _outputs(result: UnitResult, blobs: Blobs) -> dict[bytes, Content | None]:
    return {
        seen.path: (seen.state, blobs[seen.state.sha256]) if seen.state.kind == "file" else None
        for seen in result.finals
    }


def _present(
    machine: DrivenMachine, paths: Sequence[bytes]
) -> Iterator[tuple[bytes, Content | None]]:
    """What is there now."""
    for path in paths:
        state = machine.present.state(path)
        is_file = state is not None and state.kind == "file"
        yield path, (state, machine.present.load(path)) if is_file and state else None
