"""Units run ahead of their turn, by workers, and taken where all that they observed is so.

The run itself goes in order, as ever: `DrivenMachine` runs the build driver. What it is going to
start, and with which files, is said by a plan, from an earlier run. A plan is a hint and no more:
nothing in it comes into a result. Workers (isolated interpreters, plain data) run units on the
files that the plan leads to expect; whether these are the files that are there when the unit's turn
comes is what the machine checks. Of several bootstraps, one without a plan is run in order by one
worker, which gives the units of it as they end. A wrong plan, and a worker that dies, hangs or
talks nonsense, cost time.
"""

from __future__ import annotations

import functools
import json
import posixpath
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from bootstrap import host, signals
from bootstrap.core.errors import BootstrapError
from bootstrap.core.release import EntryPoint, Tree, as_bytes, read_file
from bootstrap.documents import MAX_DOCUMENT, Size, encode, from_json, one_of, typed
from bootstrap.instruments import default_engine
from bootstrap.known.steps import data_dir
from bootstrap.linux.events import Listener, Tick
from bootstrap.linux.limits import RunLimits
from bootstrap.runs import pool
from bootstrap.runs.units import (
    Content,
    DrivenMachine,
    ExpectedFile,
    UnitResult,
    UnitStart,
    laid_out,
    run_all,
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
"""Seconds between two looks at signals."""
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


def planned(result: UnitResult) -> PlannedUnit:
    """What to expect of a unit that has done this once."""
    files = [seen for seen in result.observations if seen.state.kind == "file"]
    return PlannedUnit(
        result.start,
        tuple(seen.path for seen in files),
        tuple(seen.path for seen in files if seen.state.running),
        tuple(seen.path for seen, _ in result.changes),
        result.milliseconds,
    )


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
    """What a worker is given. It sends a UnitResult, or many."""

    program: UnitStart | EntryPoint
    """A unit, or a whole bootstrap."""
    limits: RunLimits
    files: tuple[ExpectedFile, ...]
    folders: tuple[bytes, ...]


def worker() -> None:
    """Run units, in a worker."""
    pool.serve(_work)


def _work(given: object, give: pool.Notify) -> None:
    _run(typed(_UnitTask, given), give)


def _run(
    task: _UnitTask, give: Callable[[UnitResult], None], listeners: Sequence[Listener] = ()
) -> None:
    engine = default_engine()
    with suppress(ValueError):  # no file can have such a path
        lower = laid_out(task.files, task.folders)
        if isinstance(task.program, EntryPoint):
            run_all(lower, engine, task.limits, task.program, give)
            return
        found = run_unit(lower, engine, task.limits, task.program, listeners)
        if not isinstance(found, str):
            give(found)


def new_worker() -> pool.WorkerProcess:
    """Start one. Raises BadInput."""
    return pool.WorkerProcess(lambda: host.start("bootstrap.runs.ahead", "worker"))


class Workers:
    """The processes that run units of one bootstrap or of several (`runs`), those of the first ones
    first: one less than `jobs`, for the process that drives the bootstraps runs units too. Each is
    started when there is something for it to do. A context: none outlives it."""

    def __init__(self, jobs: int, employ: Callable[[], pool.WorkerProcess] = new_worker) -> None:
        self.jobs = jobs
        self.runs: list[Ahead] = []
        self.changed = threading.Condition()
        """Held where anybody looks at a unit's state, and notified of what others wait for."""
        self.over = False
        self.all: list[pool.WorkerProcess] = []
        self._new = employ
        self.threads = [threading.Thread(target=self._employ, daemon=True) for _ in range(jobs - 1)]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with signals.held:
            with self.changed:
                self.over = True
                for one in self.all:
                    one.kill()
                self.changed.notify_all()
            for thread in self.threads:
                thread.join()

    def _employ(self) -> None:
        """In a thread: have a worker do whatever can be done, and another one when it has ended."""
        deaths = 0
        while deaths < _DEATHS and not self.over:
            one = None
            try:
                while (found := self.next_unit()) is not None:
                    run, unit = found
                    try:
                        with self.changed:
                            if one is None and not self.over:
                                one = self._new()
                                self.all.append(one)
                            unit.worker = one
                        if one is not None:
                            task = pool.WorkTask("a unit", run.task(unit))
                            one.do(task, functools.partial(run.said, unit))
                            deaths = 0
                    finally:
                        run.ended(unit)
            except Exception:  # whatever it is: it is no result, and the worker of no more use
                deaths += 1
            if one is not None:
                with self.changed:
                    self.all.remove(one)
                one.close()

    def next_unit(self, wait: bool = True) -> tuple[Ahead, _Unit] | None:
        """The most urgent unit of the first run that has one that can be begun; None: it is over.
        Without `wait`: what there is now, and is no whole bootstrap."""
        with self.changed:
            while not self.over:
                for run in self.runs:
                    if ready := run.ready(whole=wait):
                        unit = max(ready, key=lambda unit: (unit.urgency, -unit.number))
                        unit.state = "running"
                        return run, unit
                if not wait:
                    break
                self.changed.wait()
        return None


# -- running ahead ---------------------------------------------------------------------------------


@dataclass
class AheadCounts:
    """What became of the units of a run."""

    units: int = 0
    """Of all: the others were run in their turn."""
    made: int = 0
    """Results that there were."""
    taken: int = 0
    """Those of them that were taken: all that was observed was so."""
    failed: int = 0
    """Planned units that gave no result, or whose worker ended."""


@dataclass(slots=True, eq=False)
class _Unit:
    """A planned unit, and how far it is; or a whole bootstrap, which has many results."""

    number: int
    program: UnitStart | EntryPoint
    inputs: Mapping[bytes, _Unit | None]
    """For each file that it reads the unit that makes it; None: the source tree."""
    running: frozenset[bytes] = frozenset()
    writes: tuple[bytes, ...] = ()
    urgency: int = 0
    """Milliseconds from its start to the end of all that waits for it."""
    state: Literal["waiting", "running", "over"] = "waiting"
    outputs: Mapping[bytes, Content | None] | None = None
    """What is under the names that it changes, once that is known."""
    results: dict[UnitStart, UnitResult] = field(default_factory=dict)
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
        entry: EntryPoint | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Without a plan a worker runs the whole `entry`, where that is given. Else every unit is
        run in its turn, and `log` makes a plan, which is left at `learned`; so is, with a memo,
        what is in neither."""
        self.counts = AheadCounts()
        self._plan, self._learned = plan, learned
        self.log: list[PlannedUnit] = []
        """What was taken."""
        self.memo = memo
        self._in_turn = memo is not None or (plan is None and entry is None)
        self._source: dict[bytes, Content] = {
            b"/" + as_bytes(path): (0o755 if file.executable else 0o644, file.data)
            for path, file in view.files.items()
        }
        self._begun = False
        """The first driver has started: what it found that is in no tree is in `_source` too."""
        self._folders = tuple(b"/" + as_bytes(path) for path in view.folders)
        self._limits = limits
        self._units = _units(plan) if plan is not None else []
        self._by_start: dict[tuple[object, ...], list[_Unit]] = {}
        for unit in reversed(self._units):
            assert isinstance(unit.program, UnitStart)
            self._by_start.setdefault(_name(unit.program), []).append(unit)
            if memo is not None and memo.has(unit.program, limits):
                unit.state = "over"
        self._whole: _Unit | None = None
        if plan is None and entry is not None:
            self._whole = _Unit(0, entry, dict.fromkeys(self._source))
            self._units = [self._whole]
        self._patience = patience
        self._workers = workers
        self._changed = workers.changed
        with self._changed:
            workers.runs.append(self)
            self._changed.notify_all()

    @property
    def jobs(self) -> int:
        """So many processes were at it."""
        return self._workers.jobs if self.counts.taken else 1

    @property
    def is_elsewhere(self) -> bool:
        """Whether a worker runs all of it."""
        return self._whole is not None and self._whole.state != "waiting"

    # For the workers' threads.

    def ready(self, whole: bool = True) -> list[_Unit]:
        """The units that can be begun: the contents of all their files are known."""
        units = self._units if whole or self._whole is None else []
        return [unit for unit in units if unit.state == "waiting" and self._is_ready(unit)]

    def _is_ready(self, unit: _Unit) -> bool:
        return all(
            (self._begun or path in self._source) if maker is None else maker.outputs is not None
            for path, maker in unit.inputs.items()
        )

    def task(self, unit: _Unit) -> _UnitTask:
        """The unit on the files that it is expected to find."""
        files = []
        for path, maker in unit.inputs.items():
            outputs = self._source if maker is None else maker.outputs
            found = None if outputs is None else outputs.get(path)
            if found is not None:
                files.append(ExpectedFile(path, *found, path in unit.running))
        above = {posixpath.dirname(path) for path in (*unit.inputs, *unit.writes)}
        if isinstance(unit.program, UnitStart):
            above.add(unit.program.cwd)
        folders = (*self._folders, *sorted(above))
        return _UnitTask(unit.program, self._limits, tuple(files), folders)

    def said(self, unit: _Unit, value: object) -> None:
        """A worker says that this came of a unit. Raises BadValue."""
        self._made_of(unit, typed(UnitResult, value))

    def _made_of(self, unit: _Unit, result: UnitResult) -> None:
        with self._changed:
            self.counts.made += 1
            unit.results[result.start] = result
            if unit is not self._whole:
                unit.outputs = result.outputs()
            self._changed.notify_all()

    def ended(self, unit: _Unit) -> None:
        """No more results come of a unit."""
        with self._changed:
            unit.state, unit.worker = "over", None
            self.counts.failed += not unit.results and not self._workers.over
            self._changed.notify_all()

    # For the run.

    def __call__(self, start: UnitStart, machine: DrivenMachine) -> UnitResult | None:
        """The result of a unit, where there is one that holds. Raises KeyboardInterrupt."""
        self.counts.units += 1
        for source, result in self._results(start, machine):
            if machine.holds(start, result):
                self.counts.taken += source == "worker"
                self.log.append(planned(result))
                if self.memo is not None and source == "memo":
                    self.memo.count(believed=1)
                elif self.memo is not None:
                    self.memo.add(result, self._limits)
                return result
        return None

    def _results(
        self, start: UnitStart, machine: DrivenMachine
    ) -> Iterator[tuple[str, UnitResult]]:
        """Those that there are, the quickest first, and where they come from."""
        if self.memo is not None:
            for result in self._believed(self.memo, start, machine):
                yield "memo", result
        for result in self._made(start, machine):
            yield "worker", result
        if self._in_turn and not isinstance(own := machine.run_apart(start), str):
            yield "here", own

    def _believed(
        self, memo: Memo, start: UnitStart, machine: DrivenMachine
    ) -> Iterator[UnitResult]:
        """What the memo has; some of it is run again first."""
        for result in memo.results(start, machine.limits):
            if memo.is_checked() and machine.holds(start, result):
                own = machine.run_apart(start)
                is_same = not isinstance(own, str) and replace(own, milliseconds=0) == replace(
                    result, milliseconds=0
                )
                memo.count(**{"checked" if is_same else "differing": 1})
                if not is_same:
                    continue
            yield result

    def begin(self, machine: DrivenMachine) -> None:
        """The driver runs: what the tree has not and no unit makes was made before."""
        with self._changed:
            if not self._begun:
                self._begun = True
                makerless = {p for u in self._units for p, maker in u.inputs.items() if not maker}
                for path in sorted(makerless - self._source.keys()):
                    if (content := machine.present.content(path)) is not None:
                        self._source[path] = content
                self._changed.notify_all()

    def _made(self, start: UnitStart, machine: DrivenMachine) -> Iterator[UnitResult]:
        """What a worker has made of it. Raises KeyboardInterrupt."""
        self.begin(machine)
        same = self._by_start.get(_name(start))
        unit = same.pop() if same else self._whole
        if unit is None:
            return
        with self._changed:
            for earlier in self._units[: unit.number]:
                if earlier.outputs is None:
                    earlier.outputs = {
                        path: machine.present.content(path) for path in earlier.writes
                    }
            if unit.state == "waiting":
                unit.state = "over"
            self._changed.notify_all()
        self._wait_for(unit, start, machine)
        if (result := unit.results.pop(start, None)) is not None:
            yield result
        with self._changed:
            unit.outputs = None  # of which nothing is so

    def _wait_for(self, unit: _Unit, start: UnitStart, machine: DrivenMachine) -> None:
        """Until it has a result, has ended, or is given up. Meanwhile others are run here."""
        patience = time.monotonic() + self._patience
        while unit.state == "running" and start not in unit.results:
            if (found := self._workers.next_unit(wait=False)) is not None:
                run, other = found
                run._run_here(other, machine)
                continue
            with self._changed:
                self._changed.wait(_LOOK)
                if machine.interrupted:
                    signals.check()
                    raise KeyboardInterrupt
                machine.emit(start.pid, Tick)
                if time.monotonic() > patience:
                    unit.state = "over"
                    if unit.worker is not None:
                        unit.worker.kill()

    def _run_here(self, unit: _Unit, machine: DrivenMachine) -> None:
        """Run a unit as a worker would, in this process."""
        try:
            _run(self.task(unit), functools.partial(self._made_of, unit), [machine.ticked])
        finally:
            self.ended(unit)

    def finish(self, status: int | None) -> None:
        """The run has ended so. The next one is to have a plan, and no plan that is of no use."""
        with self._changed:  # what it holds is of no more use
            self._workers.runs.remove(self)
            self._units, self._source = [], {}
        counts = self.counts
        lost = counts.made - counts.taken + counts.failed
        if self._learned is None:
            return
        if self._plan is None and status == 0:
            save_plan(RunPlan(PLAN_SCHEMA, tuple(self.log)), self._learned)
        elif self._plan is not None and lost > counts.units // 2:
            with suppress(OSError):
                self._learned.unlink(missing_ok=True)

    def memo_use(self) -> MemoUse | None:
        """What the memo gave, if there is one."""
        if self.memo is None:
            return None
        use = self.memo.use
        return replace(use, ran=self.counts.units - use.believed)


@contextmanager
def run_ahead(
    wanted: Sequence[tuple[str, Tree, EntryPoint, RunLimits]],
    jobs: int,
    memo: Memo | None = None,
    learn: bool = False,
) -> Iterator[list[Ahead | None]]:
    """For each bootstrap, by the name of its plan, its tree and its entry, what has its units run
    ahead: by `jobs` processes for all of them, this one among them. None: it is run in order; the
    only one has no plan, or one that says that it is short; or its instructions are counted.
    `learn`: then it leaves a plan."""
    folder = cache_root() / "plans"
    found = []
    for name, _, entry, limits in wanted:
        may = jobs > 1 and not limits.instructions
        plan = find_plan(name, folder) if may else None
        if plan and not learn and sum(unit.milliseconds for unit in plan.units) <= _SHORT:
            plan = None
        place = folder / name if plan is not None or (may and learn) else None
        found.append((plan, place, entry if may and plan is None and len(wanted) > 1 else None))
    useful = sum(len(plan.units) if plan else whole is not None for plan, _, whole in found)
    with Workers(min(jobs, 1 + useful)) as workers:
        yield [
            Ahead(plan, view, limits, workers, memo, place, whole)
            if memo or place or whole
            else None
            for (plan, place, whole), (_, view, _, limits) in zip(found, wanted, strict=True)
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
