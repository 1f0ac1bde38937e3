"""Several runs at once, each in a process of its own, for `bootstrap verify`.

A process (runs.pool) is given the files that the guest sees and the commands, and gives back what
happened and what was made. It knows nothing of what should come of it: the products are hashed and
judged here.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bootstrap import host
from bootstrap.cli.progress import Note, Plan, RunProgress, ShownProgress, plan_of
from bootstrap.core.errors import BadInput
from bootstrap.core.release import EntryPoint, SourceFile, Tree
from bootstrap.documents import BadValue, typed
from bootstrap.instruments import default_engine
from bootstrap.linux.limits import RunLimits
from bootstrap.report import Failure, Product, Report, ReportSet, Totals, report_set
from bootstrap.runs import pool
from bootstrap.runs.ahead import Ahead, plan_name, run_ahead
from bootstrap.runs.modelled import opinions
from bootstrap.runs.rebuild import Observed, Rebuilt, observe, rebuild, visible, weighed
from bootstrap.sources import Resolved


@dataclass(frozen=True)
class VerifyTask:
    """One run. The contents of the products are kept only if they are asked for: megabytes."""

    resolved: Resolved
    entry: str
    limits: RunLimits
    keep_products: bool = False


@dataclass(frozen=True)
class _Job:
    """What a worker is given, with the contents of the files; as plain values in between."""

    files: tuple[tuple[str, bool], ...]
    """Path, and whether it is executable."""
    symlinks: Mapping[str, str]
    folders: frozenset[str]
    digest: str
    """The tree's, to be found again by the worker."""
    entry: EntryPoint
    kept: tuple[str, ...]
    """As `bootstrap.runs.rebuild.visible` has it."""
    limits: RunLimits
    plan: Plan


@dataclass(frozen=True)
class _Done:
    """What it gives back, with the contents of the products."""

    observed: Observed
    products: tuple[tuple[str, int], ...]
    """Tree path, permission bits."""


def rebuild_each(
    tasks: Sequence[VerifyTask], jobs: int, progress: ShownProgress
) -> tuple[ReportSet, list[Rebuilt | None]]:
    """All reports, and what was rebuilt; None for a run whose process died, which is an error.

    Those that have a plan are driven here, one after the other: `jobs` processes run the programs
    of all of them ahead. Then the others, so many at once, in a process each.

    Raises as `bootstrap.runs.pool.run_each` does, and GuestFailed for a result that is none.
    """
    started = time.monotonic()
    found: dict[int, tuple[Report, Rebuilt | None]] = {}
    with run_ahead([planned(task) for task in tasks], jobs) as ahead:
        for number, (task, units) in enumerate(zip(tasks, ahead, strict=True)):
            if units is not None:
                one = _driven(task, units, progress)
                found[number] = one.report, one
    rest = [number for number in range(len(tasks)) if number not in found]
    runs = _Runs([tasks[number] for number in rest], progress)
    keep = any(task.keep_products for task in tasks)
    pool.run_each(_start, [_given(tasks[number]) for number in rest], jobs, runs, keep)
    for at, number in enumerate(rest):
        found[number] = runs.reports[at], runs.rebuilt.get(at)
    seconds = round(time.monotonic() - started, 3)
    each = [found[number] for number in range(len(tasks))]
    return report_set([report for report, _ in each], seconds), [one for _, one in each]


def planned(task: VerifyTask) -> tuple[str, Tree, RunLimits]:
    """As `run_ahead` has it."""
    name = plan_name(task.resolved.step.file, task.entry)
    return name, visible(task.resolved, task.entry)[0], task.limits


def _driven(task: VerifyTask, units: Ahead, progress: ShownProgress) -> Rebuilt:
    arch = task.resolved.step.arch
    progress.begin(arch)
    shown = RunProgress(plan_of(task.resolved.step), functools.partial(progress.note, arch))
    how = task.resolved, task.entry, default_engine(), task.limits, [shown]
    one = rebuild(*how, units=units)
    progress.end(arch, one.report.result)
    return one if task.keep_products else replace(one, products={})


def _start() -> host.Process:
    return host.start("bootstrap.cli.several", "worker")


def _given(task: VerifyTask) -> pool.WorkTask:
    """Just what `bootstrap.runs.rebuild.rebuild` would run, in plain values and bytes."""
    view, entry, kept = visible(task.resolved, task.entry)
    job = _Job(
        tuple((path, file.executable) for path, file in view.files.items()),
        view.symlinks,
        view.folders,
        view.digest,
        entry,
        kept,
        task.limits,
        plan_of(task.resolved.step),
    )
    blobs = [file.data for file in view.files.values()]
    return pool.WorkTask(task.resolved.step.arch, job, blobs)


def worker() -> None:
    """One run, in its worker."""
    pool.serve(_work)


def _work(given: object, blobs: list[bytes], notify: pool.Notify) -> tuple[object, list[bytes]]:
    job = typed(_Job, given)
    files = {
        path: SourceFile(data, executable)
        for (path, executable), data in zip(job.files, blobs, strict=True)
    }
    view = Tree("", files, job.symlinks, job.folders)
    if view.digest != job.digest:
        raise BadInput(f"a process was given the tree {view.digest}, not {job.digest}")
    progress = RunProgress(job.plan, notify)
    observed, products = observe(
        view, job.entry, job.kept, default_engine(), job.limits, [progress]
    )
    names = tuple((path, mode) for path, (_, mode) in products.items())
    return _Done(observed, names), [content for content, _ in products.values()]


class _Runs:
    """Hands on what the workers report to the progress, by name, and judges what they give back."""

    def __init__(self, tasks: Sequence[VerifyTask], progress: ShownProgress) -> None:
        self._tasks = tasks
        self._progress = progress
        self._modelled = [opinions(task.resolved.step, task.resolved.tree) for task in tasks]
        self._given = [visible(task.resolved, task.entry)[:2] for task in tasks]
        self._started: dict[int, float] = {}
        self.reports: dict[int, Report] = {}
        self.rebuilt: dict[int, Rebuilt] = {}

    def on_start(self, number: int) -> None:
        self._started[number] = time.monotonic()
        self._progress.begin(self._tasks[number].resolved.step.arch)

    def on_note(self, number: int, note: object) -> None:
        self._progress.note(self._tasks[number].resolved.step.arch, typed(Note, note))

    def on_end(self, number: int, result: pool.WorkResult | pool.Died) -> None:
        """Raises BadValue for a result that cannot be one."""
        task = self._tasks[number]
        made: list[tuple[str, int, pool.Blob]] = []
        if isinstance(result, pool.Died):
            seconds = round(time.monotonic() - self._started[number], 3)
            failure = Failure(
                f"the process that emulated it {result}; nothing that it made is known"
            )
            totals = Totals(0, 0, seconds)
            observed = Observed(
                default_engine().describe(), totals, (), False, (), failure, (), b""
            )
        else:
            done = typed(_Done, result.value)
            if not len(result.blobs) == len(done.products) == len(dict(done.products)):
                raise BadValue(f"has {len(done.products)} names for {len(result.blobs)} files")
            observed = done.observed
            made = [(*name, blob) for name, blob in zip(done.products, result.blobs, strict=True)]
        found = {path: Product(path, blob.size, blob.sha256) for path, _, blob in made}
        given = self._given[number]

        def run(view: Tree, _entry: EntryPoint) -> tuple[Observed, dict[str, Product]]:
            if view.digest != given[0].digest:
                raise BadValue(f"ran in the tree {given[0].digest}, not {view.digest}")
            return observed, found

        rebuilt = weighed(task.resolved, task.entry, self._modelled[number], given, run)
        self.reports[number] = report = rebuilt.report
        if not isinstance(result, pool.Died):
            kept = made if task.keep_products else []
            products = {path: (blob.data, mode & 0o777) for path, mode, blob in kept}
            self.rebuilt[number] = replace(rebuilt, products=products)
        self._progress.end(task.resolved.step.arch, report.result)
