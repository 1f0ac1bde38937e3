"""`bootstrap verify` for several architectures: one run each, at most --jobs at once, one report.

Each run has a process of its own (bootstrap.parallel) that begins with nothing but the tree and the
step file, and gives back values. Only this process writes: the report, the products, the terminal.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.errors import BadInput

if TYPE_CHECKING:
    from bootstrap.cli.combined import Combined
    from bootstrap.kernel.limits import Limits
    from bootstrap.parallel import Tell
    from bootstrap.rebuild import Rebuilt
    from bootstrap.sources import Cache, Resolved
    from bootstrap.verify import Report, ReportSet

ALL = "all"


@dataclass(frozen=True)
class Task:
    """One run. The products come back only if they are to be kept: they are megabytes."""

    resolved: Resolved
    entry: str
    limits: Limits
    keep_products: bool = False


def is_several(arch: str) -> bool:
    """Whether an `--arch` asks for a report of several runs: `all`, or a list."""
    return arch.strip().lower() == ALL or "," in arch


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError and KeyboardInterrupt; returns the reports' exit status."""
    from bootstrap.cli.output import STDOUT, write_text
    from bootstrap.cli.verify import (
        check_output_folder,
        check_report_places,
        default_entry,
        print_view,
    )
    from bootstrap.engine import describe
    from bootstrap.kernel.limits import Limits
    from bootstrap.sources import Cache
    from bootstrap.verify import set_to_json_text, set_to_junit, set_to_text

    limits = Limits().with_options(args.limit)
    describe()  # says now, and once, if there is no engine
    check_output_folder(args.output)
    check_report_places(args.json, args.junit)
    each = resolve_each(args.source, args.release, args.arch, Cache(), args.entry)
    if not args.quiet:
        notes = [*each[0].tree.notes]
        notes += [f"{r.step.arch}: {line}" for r in each for line in r.materials.lines()]
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
    keep = args.output is not None
    tasks = [Task(r, args.entry or default_entry(r), limits, keep) for r in each]
    progress = _progress(each, args.quiet)
    try:
        reports, rebuilt = rebuild_each(tasks, args.jobs, progress)
    finally:
        progress.close()
    if args.output is not None:
        write_all(Path(args.output), rebuilt, each)
    if args.json is not None:
        write_text(args.json, set_to_json_text(reports))
    if args.junit is not None:
        write_text(args.junit, set_to_junit(reports))
    to_stderr = STDOUT in (args.json, args.junit)
    quiet_line = reports.claim if args.quiet and reports.exit_code == 0 else None
    print_view(lambda **how: set_to_text(reports, **how), args.verbose, to_stderr, quiet_line)
    return reports.exit_code


def resolve_each(
    source: str | None, release: str | None, arch: str, cache: Cache, entry: str | None
) -> list[Resolved]:
    """One source tree, held against each architecture that `arch` names (`all`, or a list).

    Raises BadInput: an architecture that is not known, not in the release, or named twice; and
    as `bootstrap.sources.resolve` does.
    """
    from bootstrap.catalogue import RELEASES, architectures, default_release, steps_of
    from bootstrap.sources import against, resolve

    arches = _named(arch)
    first = arches[0] if arches else steps_of(RELEASES, release or default_release())[0].arch
    found = resolve(source, release, first, cache, entry)
    if not arches:
        arches = list(architectures(found.step.name, found.step.release))
    return [found if a == found.step.arch else against(found, a, entry) for a in arches]


def _named(arch: str) -> list[str]:
    """The architectures of a list; none for `all`."""
    from bootstrap.catalogue import arch_name

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
    """All reports, and what was rebuilt; None for a run whose process died, which is an error."""
    from bootstrap.parallel import Died, run_each
    from bootstrap.verify import ReportSet

    started = time.monotonic()
    watcher = _Watcher([task.resolved.step.arch for task in tasks], progress)
    results = run_each(work, tasks, jobs, watcher)
    reports: list[Report] = []
    rebuilt: list[Rebuilt | None] = []
    for number, (task, result) in enumerate(zip(tasks, results, strict=True)):
        if isinstance(result, Died):
            reports.append(died_report(task, result, watcher.seconds[number]))
            rebuilt.append(None)
        else:
            reports.append(result.report)
            rebuilt.append(result)
    return ReportSet(tuple(reports), round(time.monotonic() - started, 3)), rebuilt


def work(task: Task, tell: Tell) -> Rebuilt:
    """One run, in its worker."""
    from bootstrap.cli.combined import Telling
    from bootstrap.cli.phases import plan
    from bootstrap.engine import default_engine
    from bootstrap.rebuild import rebuild

    telling = Telling(plan(task.resolved.step), tell, clock=time.monotonic)
    rebuilt = rebuild(task.resolved, task.entry, default_engine(), task.limits, [telling])
    return rebuilt if task.keep_products else replace(rebuilt, products={})


class _Watcher:
    """Hands what the workers tell to the progress, by name, and takes the times."""

    def __init__(self, names: Sequence[str], progress: Combined) -> None:
        self._names = names
        self._progress = progress
        self._started: dict[int, float] = {}
        self.seconds: dict[int, float] = {}

    def on_start(self, number: int) -> None:
        self._started[number] = time.monotonic()
        self._progress.begin(self._names[number])

    def on_note(self, number: int, note: object) -> None:
        from bootstrap.cli.combined import Note

        assert isinstance(note, Note)
        self._progress.note(self._names[number], note)

    def on_end(self, number: int, result: object) -> None:
        from bootstrap.rebuild import Rebuilt

        self.seconds[number] = round(time.monotonic() - self._started[number], 3)
        outcome = result.report.result if isinstance(result, Rebuilt) else "error"
        self._progress.end(self._names[number], outcome)


def died_report(task: Task, died: object, seconds: float) -> Report:
    """The report of a run that has no result: nothing was made, so nothing is claimed."""
    from bootstrap.rebuild import unfinished
    from bootstrap.verify import Failure

    message = f"the process that emulated it {died}; nothing that it made is known"
    return unfinished(task.resolved, task.entry, Failure(message), seconds)


def write_all(folder: Path, rebuilt: Sequence[Rebuilt | None], each: Sequence[Resolved]) -> None:
    """Lay all products out below one folder. Raises BadInput when two runs claim one path."""
    from bootstrap.cli.verify import write_products

    owners: dict[str, str] = {}
    for one, resolved in zip(rebuilt, each, strict=True):
        for path in () if one is None else one.products:
            arch = resolved.step.arch
            if owners.setdefault(path, arch) != arch:
                raise BadInput(
                    f"--output {folder}: {path} was made for {owners[path]} and for {arch}; "
                    "nothing was written; verify one architecture at a time"
                )
    for one, resolved in zip(rebuilt, each, strict=True):
        if one is not None:
            write_products(folder, one, resolved)


def _progress(each: Sequence[Resolved], quiet: bool) -> Combined:
    from bootstrap.cli.combined import Combined
    from bootstrap.cli.progress import style_for

    names = [resolved.step.arch for resolved in each]
    style = style_for(sys.stderr, os.environ)
    return Combined(sys.stderr, names, clock=time.monotonic, style=style, quiet=quiet)
