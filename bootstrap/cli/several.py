"""`bootstrap verify` for several architectures: one run each, at most --jobs at once, one report.

Each run has a process of its own (runs.pool), which is given the files that the guest sees
and the commands, and gives back what happened and what was made. It knows nothing of what should
come of it: the products are hashed and judged here. Only this process writes: the report, the
products, the terminal.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap import host
from bootstrap.cli.live import LiveLine
from bootstrap.cli.progress import Combined, Note, Plan, WorkerProgress, plan_of
from bootstrap.core.errors import BadInput, printable
from bootstrap.core.release import EntryPoint, SourceFile, Tree
from bootstrap.core.verdict import Outcome
from bootstrap.documents import Fault, typed
from bootstrap.instruments import default_engine, describe
from bootstrap.linux.limits import Limits
from bootstrap.report import Failure, Product, Report, ReportSet, report_set
from bootstrap.runs import pool
from bootstrap.runs.deciding import proposal, settled
from bootstrap.runs.modelled import opinions
from bootstrap.runs.rebuild import (
    Observed,
    Rebuilt,
    judged,
    observe,
    outcome,
    unfinished,
    visible,
)
from bootstrap.sources import Cache, Resolved

if TYPE_CHECKING:
    from bootstrap.host import Process

ALL = "all"


@dataclass(frozen=True)
class Task:
    """One run. The contents of the products are kept only if they are asked for: megabytes."""

    resolved: Resolved
    entry: str
    limits: Limits
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
    limits: Limits
    plan: Plan


@dataclass(frozen=True)
class _Done:
    """What it gives back, with the contents of the products."""

    observed: Observed
    products: tuple[tuple[str, int], ...]
    """Tree path, permission bits."""


def is_several(arch: str) -> bool:
    """Whether an `--arch` asks for a report of several runs: `all`, or a list."""
    return arch.strip().lower() == ALL or "," in arch


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError and KeyboardInterrupt; returns the reports' exit status."""
    from bootstrap.cli import output
    from bootstrap.cli.output import STDOUT, write_text
    from bootstrap.cli.verify import (
        check_output_folder,
        check_report_places,
        default_entry,
        print_view,
        recheck,
    )
    from bootstrap.report import to_json_text, to_junit, to_text

    limits = Limits().with_options(args.limit)
    describe()  # says now, and once, if there is no engine
    check_output_folder(args.output)
    check_report_places(args.json, args.junit, folder=args.output)
    each = resolve_each(args.source, args.release, args.arch, Cache(), args.entry)
    if not args.quiet:
        notes = [*each[0].tree.notes]
        notes += [f"{r.step.arch}: {line}" for r in each for line in r.materials.lines()]
        for note in notes:
            print(f"note: {printable(note)}", file=sys.stderr)
    keep = args.output is not None
    tasks = [Task(r, args.entry or default_entry(r), limits, keep) for r in each]
    progress = _progress(each, args.quiet)
    try:
        reports, rebuilt = rebuild_each(tasks, args.jobs, progress)
    finally:
        progress.close()
    if args.recheck:
        again = [
            recheck(one.report, one, resolved, args.quiet) if one is not None else report
            for report, one, resolved in zip(reports.reports, rebuilt, each, strict=True)
        ]
        reports = report_set(again, reports.totals.wall_seconds)
    to_stderr = STDOUT in (args.json, args.junit)
    quiet_line = reports.claim if args.quiet and reports.exit_code == 0 else None
    output.each(
        lambda: print_view(
            lambda **how: to_text(reports, **how), args.verbose, to_stderr, quiet_line
        ),
        args.output and (lambda: write_all(Path(args.output), rebuilt, each)),
        args.json and (lambda: write_text(args.json, to_json_text(reports))),
        args.junit and (lambda: write_text(args.junit, to_junit(reports))),
    )
    return reports.exit_code


def resolve_each(
    source: str | None, release: str | None, arch: str, cache: Cache, entry: str | None
) -> list[Resolved]:
    """One source tree, held against each architecture that `arch` names (`all`, or a list).

    Raises BadInput: an architecture that is not known, not in the release, or named twice; and
    as `bootstrap.sources.resolve` does.
    """
    from bootstrap.known import RELEASES, architectures, default_release, steps_of
    from bootstrap.sources import against, resolve

    arches = _named(arch)
    newest = default_release() if release is None else release
    first = arches[0] if arches else steps_of(RELEASES, newest)[0].arch
    found = resolve(source, release, first, cache, entry)
    if not arches:
        arches = list(architectures(found.step.name, found.step.release))
    return [found if a == found.step.arch else against(found, a, entry) for a in arches]


def _named(arch: str) -> list[str]:
    """The architectures of a list; none for `all`."""
    from bootstrap.known import arch_name

    if arch.strip().lower() == ALL:
        return []
    names = [name.strip() for name in arch.split(",")]
    for name in names:
        if not name or name.lower() == ALL:
            raise BadInput(f"--arch {arch}: give either all, or names with commas between them")
    arches = [arch_name(name) for name in names]
    for name in arches:
        if arches.count(name) > 1:
            raise BadInput(f"--arch {arch}: names {name} twice")
    return arches


def rebuild_each(
    tasks: Sequence[Task], jobs: int, progress: Combined
) -> tuple[ReportSet, list[Rebuilt | None]]:
    """All reports, and what was rebuilt; None for a run whose process died, which is an error.

    Raises as `bootstrap.runs.pool.run_each` does, and GuestFailed for a result that is none.
    """
    started = time.monotonic()
    runs = _Runs(tasks, progress)
    keep = any(task.keep_products for task in tasks)
    pool.run_each(_start, [_given(task) for task in tasks], jobs, runs, keep)
    reports = [runs.reports[number] for number in range(len(tasks))]
    seconds = round(time.monotonic() - started, 3)
    return report_set(reports, seconds), [runs.rebuilt.get(n) for n in range(len(tasks))]


def _start() -> Process:
    return host.start("bootstrap.cli.several", "worker")


def _given(task: Task) -> pool.WorkTask:
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
    progress = WorkerProgress(job.plan, notify, clock=time.monotonic)
    observed, products = observe(
        view, job.entry, job.kept, default_engine(), job.limits, [progress]
    )
    names = tuple((path, mode) for path, (_, mode) in products.items())
    return _Done(observed, names), [content for content, _ in products.values()]


class _Runs:
    """Hands on what the workers report to the progress, by name, and judges what they give back."""

    def __init__(self, tasks: Sequence[Task], progress: Combined) -> None:
        self._tasks = tasks
        self._progress = progress
        self._modelled = [opinions(task.resolved.step, task.resolved.tree) for task in tasks]
        self._views = [visible(task.resolved, task.entry)[0] for task in tasks]
        self._started: dict[int, float] = {}
        self.reports: dict[int, Report] = {}
        self.rebuilt: dict[int, Rebuilt] = {}

    def on_start(self, number: int) -> None:
        self._started[number] = time.monotonic()
        self._progress.begin(self._tasks[number].resolved.step.arch)

    def on_note(self, number: int, note: object) -> None:
        self._progress.note(self._tasks[number].resolved.step.arch, typed(Note, note))

    def on_end(self, number: int, result: pool.WorkResult | pool.Died) -> None:
        """Raises Fault for a result that cannot be one."""
        task = self._tasks[number]
        made: list[tuple[str, int, pool.Blob]] = []
        if isinstance(result, pool.Died):
            seconds = round(time.monotonic() - self._started[number], 3)
            message = f"the process that emulated it {result}; nothing that it made is known"
            observed = unfinished(Failure(message), seconds)
        else:
            done = typed(_Done, result.value)
            if not len(result.blobs) == len(done.products) == len(dict(done.products)):
                raise Fault(f"has {len(done.products)} names for {len(result.blobs)} files")
            observed = done.observed
            made = [(*name, blob) for name, blob in zip(done.products, result.blobs, strict=True)]
        found = {path: Product(path, blob.size, blob.sha256) for path, _, blob in made}
        modelled = self._modelled[number]
        report = judged(task.resolved, task.entry, modelled, observed, found)
        given, heard = self._views[number], False

        def run(view: Tree, _entry: EntryPoint) -> Outcome:
            nonlocal heard
            if view.digest != given.digest:
                raise Fault(f"ran in the tree {given.digest}, not {view.digest}")
            heard = True
            return outcome(view, observed, found)

        findings = proposal(task.resolved.tree, task.resolved.step, task.entry, run)
        report = settled(report, findings, heard)
        self.reports[number] = report
        if not isinstance(result, pool.Died):
            kept = {
                path: (blob.data, mode & 0o777) for path, mode, blob in made if task.keep_products
            }
            self.rebuilt[number] = Rebuilt(report, kept, observed.log, findings)
        self._progress.end(task.resolved.step.arch, report.result)


def write_all(folder: Path, rebuilt: Sequence[Rebuilt | None], each: Sequence[Resolved]) -> None:
    """Lay all products out below one folder. Raises BadInput when two runs claim one path."""
    from bootstrap.cli.output import write_files
    from bootstrap.cli.verify import product_files

    owners: dict[str, str] = {}
    for one, resolved in zip(rebuilt, each, strict=True):
        for path in () if one is None else one.products:
            arch = resolved.step.arch
            if owners.setdefault(path, arch) != arch:
                raise BadInput(
                    f"--output {folder}: {path} was made for {owners[path]} and for {arch}; "
                    "nothing was written; verify one architecture at a time"
                )
    pairs = zip(rebuilt, each, strict=True)
    files = (product_files(one, resolved) for one, resolved in pairs if one is not None)
    write_files(folder, itertools.chain.from_iterable(files))


def _progress(each: Sequence[Resolved], quiet: bool) -> Combined:
    names = [resolved.step.arch for resolved in each]
    return Combined(LiveLine(quiet), names)
