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
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from bootstrap import host, signals
from bootstrap.core.errors import BootstrapError
from bootstrap.core.release import Tree, as_bytes, read_file
from bootstrap.documents import MAX_DOCUMENT, BadValue, Size, encode, from_json, one_of, typed
from bootstrap.instruments import default_engine
from bootstrap.known.steps import data_dir
from bootstrap.linux.events import Tick
from bootstrap.linux.limits import RunLimits
from bootstrap.runs import pool
from bootstrap.runs.units import (
    Blobs,
    Content,
    DrivenMachine,
    Found,
    NameState,
    UnitFiles,
    UnitResult,
    UnitStart,
    is_whole,
    run_in_turn,
    run_unit,
)
from bootstrap.sources.cache import cache_root, put

if TYPE_CHECKING:
    from bootstrap.report import MemoUse
    from bootstrap.runs.memo import Memo

PLAN_SCHEMA = "bootstrap-plan/2"
PATIENCE = 600.0
"""Seconds for which a unit's turn waits for the worker that is at it."""
_LOOK = 0.2
"""Seconds between two looks at signals and at the workers' signs of life."""
_SHORT = 2000
"""Milliseconds of CPU that are not worth the start of workers that nobody has asked for."""
_DEATHS = 3
"""After so many ends in a row, a worker is not started again."""


# -- plans -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlannedUnit:
    """A unit that is expected: where it begins, and which files it looks at and changes."""

    start: UnitStart
    reads: tuple[bytes, ...]
    running: tuple[bytes, ...]
    """Those of them that some process runs."""
    writes: tuple[bytes, ...]
    milliseconds: Size
    """CPU time that it took, to begin with what others wait for."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run is expected to start, in this order. A hint: nothing of it is believed."""

    schema: Annotated[str, one_of(PLAN_SCHEMA)]
    units: tuple[PlannedUnit, ...]

    @property
    def milliseconds(self) -> int:
        """CPU time of all units."""
        return sum(unit.milliseconds for unit in self.units)


def plan_from(results: Sequence[UnitResult]) -> RunPlan:
    """The plan of a run that had these units, in their order."""
    units = []
    for result in results:
        files = [seen for seen in result.observations if seen.state.kind == "file"]
        units.append(PlannedUnit(
            result.start, tuple(seen.path for seen in files),
            tuple(seen.path for seen in files if seen.state.running),
            tuple(seen.path for seen in result.finals), result.milliseconds,
        ))  # fmt: skip
    return RunPlan(PLAN_SCHEMA, tuple(units))


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


def save_plan(plan: RunPlan, place: Path) -> None:
    """Leave it for the next run, where the folder can be written to."""
    text = json.dumps(encode(plan), separators=(",", ":"))
    with suppress(OSError), signals.held:
        place.parent.mkdir(parents=True, exist_ok=True)
        put(place, text.encode("ascii"))


# -- workers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _UnitTask:
    """What a worker is given, with the contents of the files."""

    start: UnitStart
    limits: RunLimits
    files: tuple[tuple[bytes, NameState], ...]
    folders: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class _UnitDone:
    """What it gives back, with contents, each under its own SHA-256; or why there is no result."""

    result: UnitResult | None
    why: str = ""


def worker() -> None:
    """Run units, in a worker."""
    pool.serve(_work)


def _work(given: object, blobs: list[bytes], _: pool.Notify) -> tuple[object, list[bytes]]:
    task = typed(_UnitTask, given)
    files = {path: (state, d) for (path, state), d in zip(task.files, blobs, strict=True)}
    try:
        found = run_unit(UnitFiles(files, task.folders), default_engine(), task.limits, task.start)
    except ValueError as error:  # no file can have such a path
        found = str(error)
    if isinstance(found, str):
        return _UnitDone(None, found), []
    return _UnitDone(found[0]), [*found[1].values()]


def new_worker() -> pool.WorkerProcess:
    """Start one. Raises BadInput."""
    return pool.WorkerProcess(lambda: host.start("bootstrap.runs.ahead", "worker"))


class Workers:
    """So many processes, which run units of one bootstrap or of several (`runs`), those of the
    first ones first. A context: they are started when it is entered, and none outlives it."""

    def __init__(self, jobs: int, employ: Callable[[], pool.WorkerProcess] = new_worker) -> None:
        self.jobs = jobs
        self.runs: list[Ahead] = []
        self.changed = threading.Condition()
        """Held where anybody looks at a unit's state, and notified of what others wait for."""
        self.over = False
        self.all: list[pool.WorkerProcess] = []
        self._new = employ
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        """Raises BadInput where no worker can be started."""
        try:
            for _ in range(self.jobs):
                self.all.append(self._new())
                thread = threading.Thread(target=self._employ, args=(self.all[-1],), daemon=True)
                self._threads.append(thread)
                thread.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with signals.held:
            with self.changed:
                self.over = True
                for one in self.all:
                    one.kill()
                self.changed.notify_all()
            for thread in self._threads:
                thread.join()

    def _employ(self, one: pool.WorkerProcess) -> None:
        """In a thread: have a worker do whatever can be done, and another one when it has ended."""
        deaths = 0
        while True:
            while (found := self._next(one)) is not None:
                run, unit = found
                try:
                    result = run.result_of(one.do(run.task(unit)))
                except Exception:  # whatever it is: it is no result, and the worker of no more use
                    run.ended(unit, None)
                    deaths += 1
                    break
                run.ended(unit, result)
                deaths = 0
            one.close()
            with self.changed:
                self.all.remove(one)
                self.changed.notify_all()
                if self.over or deaths == _DEATHS:
                    return
                try:
                    one = self._new()
                except BootstrapError:
                    return
                self.all.append(one)

    def _next(self, one: pool.WorkerProcess) -> tuple[Ahead, _Unit] | None:
        """The most urgent unit of the first run that has one whose files are all known, once there
        is one; None: it is over."""
        with self.changed:
            while not self.over:
                for run in self.runs:
                    if ready := run.ready():
                        unit = max(ready, key=lambda unit: (unit.urgency, -unit.number))
                        unit.state, unit.worker = "running", one
                        return run, unit
                self.changed.wait()
        return None


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
    result: Found | None = None
    worker: pool.WorkerProcess | None = None


class Ahead:
    """Runs the units of a plan ahead of their turn, by workers, for a DrivenMachine."""

    def __init__(
        self,
        plan: RunPlan | None,
        view: Tree,
        limits: RunLimits,
        workers: Workers,
        memo: Memo | None = None,
        learned: Path | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Without a plan every unit is run in its turn, and `log` makes one, which is left at
        `learned`; so is, with a memo, what is in neither."""
        self.counts = AheadCounts()
        self._plan, self._learned = plan, learned
        self.log: list[UnitResult] = []
        """What was taken."""
        self.memo = memo
        self._in_turn = plan is None or memo is not None
        self._source: dict[bytes, Content] = {
            b"/" + as_bytes(path): (
                NameState("file", 0o755 if file.executable else 0o644),
                file.data,
            )
            for path, file in view.files.items()
        }
        self._begun = False
        """The first driver has started: what it found that is in no tree is in `_source` too."""
        self._folders = tuple(b"/" + as_bytes(path) for path in view.folders)
        self._limits = limits
        self._units = _units(plan) if plan is not None else []
        for unit in self._units:
            if memo is not None and memo.has(unit.start, limits):
                unit.state = "over"
        self._by_start: dict[tuple[object, ...], list[_Unit]] = {}
        for unit in reversed(self._units):
            self._by_start.setdefault(_name(unit.start), []).append(unit)
        self._patience = patience
        self.jobs = workers.jobs if self._units else 1
        """So many units are run at once."""
        self._workers = workers
        self._changed = workers.changed
        with self._changed:
            workers.runs.append(self)
            self._changed.notify_all()

    # For the workers' threads.

    def ready(self) -> list[_Unit]:
        """The units that can be begun: the contents of all their files are known."""
        return [unit for unit in self._units if unit.state == "waiting" and self._is_ready(unit)]

    def _is_ready(self, unit: _Unit) -> bool:
        return all(
            (self._begun or path in self._source) if maker is None else maker.outputs is not None
            for path, maker in unit.inputs.items()
        )

    def task(self, unit: _Unit) -> pool.WorkTask:
        """What a worker is given."""
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
    def result_of(said: pool.WorkResult) -> Found | None:
        """What a worker gave back, as far as it can be a result. Raises BadValue."""
        done = typed(_UnitDone, said.value)
        if done.result is None:
            return None
        blobs = {blob.sha256: blob.data for blob in said.blobs}
        if not is_whole(done.result, blobs):
            raise BadValue("is no unit")
        return done.result, blobs

    def ended(self, unit: _Unit, found: Found | None) -> None:
        """This came of a unit."""
        with self._changed:
            unit.worker, unit.result = None, found
            self.counts.failed += found is None and not self._workers.over
            if unit.state == "running":
                unit.state = "over" if found is None else "done"
                if found is not None:
                    unit.outputs = _outputs(*found)
            self._changed.notify_all()

    # For the run.

    def __call__(self, start: UnitStart, machine: DrivenMachine) -> Found | None:
        """The result of a unit, where there is one that holds. Raises KeyboardInterrupt."""
        self.counts.units += 1
        for source, (result, blobs) in self._results(start, machine):
            if machine.holds(start, result):
                self.counts.taken += source == "worker"
                self.log.append(result)
                if self.memo is not None and source == "memo":
                    self.memo.count(believed=1)
                elif self.memo is not None:
                    self.memo.add(result, blobs, self._limits)
                return result, blobs
        return None

    def _results(self, start: UnitStart, machine: DrivenMachine) -> Iterator[tuple[str, Found]]:
        """Those that there are, the quickest first, and where they come from."""
        if self.memo is not None:
            for found in self._believed(self.memo, start, machine):
                yield "memo", found
        for found in self._planned(start, machine):
            yield "worker", found
        if self._in_turn and not isinstance(own := run_in_turn(start, machine), str):
            yield "here", own

    def _believed(self, memo: Memo, start: UnitStart, machine: DrivenMachine) -> Iterator[Found]:
        """What the memo has; some of it is run again first."""
        for result, blobs in memo.results(start, machine.limits):
            if memo.is_checked() and machine.holds(start, result):
                own = run_in_turn(start, machine)
                is_same = not isinstance(own, str) and replace(own[0], milliseconds=0) == replace(
                    result, milliseconds=0
                )
                memo.count(**{"checked" if is_same else "differing": 1})
                if not is_same:
                    continue
            yield result, blobs

    def begin(self, machine: DrivenMachine) -> None:
        """The driver runs: what the tree has not and no unit makes was made before."""
        with self._changed:
            if not self._begun:
                self._begun = True
                makerless = {p for u in self._units for p, maker in u.inputs.items() if not maker}
                found = _present(machine, sorted(makerless - self._source.keys()))
                self._source.update((path, one) for path, one in found if one is not None)
                self._changed.notify_all()

    def _planned(self, start: UnitStart, machine: DrivenMachine) -> Iterator[Found]:
        """What a worker has made of it. Raises KeyboardInterrupt."""
        same = self._by_start.get(_name(start))
        self.begin(machine)
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
            yield found
            self.counts.refused += 1
            with self._changed:
                unit.outputs = None  # of which nothing is so

    def finish(self, status: int | None) -> None:
        """The run has ended so. The next one is to have a plan, and no plan that is of no use."""
        counts = self.counts
        if self._learned is None:
            return
        if self._plan is None and status == 0:
            save_plan(plan_from(self.log), self._learned)
        elif self._plan is not None and counts.refused + counts.failed > counts.units // 2:
            with suppress(OSError):
                self._learned.unlink(missing_ok=True)

    def memo_use(self) -> MemoUse | None:
        """What the memo gave, if there is one."""
        if self.memo is None:
            return None
        use = self.memo.use
        return replace(use, ran=self.counts.units - use.believed)

    def _wait_for(self, unit: _Unit, machine: DrivenMachine) -> None:
        """Until the worker at it has ended, or is given up."""
        heard = time.monotonic()
        patience = heard + self._patience
        with self._changed:
            while unit.state == "running":
                self._changed.wait(_LOOK)
                if machine.interrupted:
                    signals.check()
                    raise KeyboardInterrupt
                machine.emit(unit.start.pid, Tick)
                one, now = unit.worker, time.monotonic()
                if one is not None and one.heard:
                    one.heard, heard = False, now
                if one is not None and (now > patience or now > heard + pool.SILENCE * pool.BEAT):
                    one.kill()
                    unit.state = "over"


@contextmanager
def run_ahead(
    wanted: Sequence[tuple[str, Tree, RunLimits]],
    jobs: int,
    memo: Memo | None = None,
    learn: bool = False,
) -> Iterator[list[Ahead | None]]:
    """For each bootstrap, by the name of its plan and the tree that it is given, what has its units
    run ahead: by `jobs` processes for all of them. None: it is run in order, having no plan, or one
    that says that it is short, or because its instructions are counted. `learn`: then it leaves a
    plan. Raises BadInput where no process can be started."""
    folder = cache_root() / "plans"
    places: list[Path | None] = []
    plans: list[RunPlan | None] = []
    for name, _, limits in wanted:
        may = jobs > 1 and not limits.instructions
        plan = find_plan(name, folder) if may else None
        if plan is not None and not learn and plan.milliseconds <= _SHORT:
            plan = None
        plans.append(plan)
        places.append(folder / name if plan is not None or (may and learn) else None)
    with Workers(jobs if any(plan is not None and plan.units for plan in plans) else 0) as workers:
        yield [
            Ahead(plan, view, limits, workers, memo, place) if memo or place else None
            for plan, place, (_, view, limits) in zip(plans, places, wanted, strict=True)
        ]


def _name(start: UnitStart) -> tuple[object, ...]:
    return start.path, start.argv, start.envp, start.cwd


def _units(plan: RunPlan) -> list[_Unit]:
    """The units of a plan, with what waits for what."""
    makers: dict[bytes, _Unit] = {}
    units: list[_Unit] = []
    for one in plan.units:
        inputs = {path: makers.get(path) for path in one.reads}
        unit = _Unit(len(units), one.start, inputs, frozenset(one.running), one.writes,
                     one.milliseconds)  # fmt: skip
        units.append(unit)
        makers.update(dict.fromkeys(one.writes, unit))
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
    return ((path, machine.present.content(path)) for path in paths)
