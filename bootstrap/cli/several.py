"""Several architectures, one after the other, with one report of all, for `bootstrap verify`.

They share the processes that run programs ahead (bootstrap.runs.ahead).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bootstrap.cli.progress import RunProgress, ShownProgress, plan_of
from bootstrap.core.release import EntryPoint, Tree
from bootstrap.instruments import default_engine
from bootstrap.linux.limits import RunLimits
from bootstrap.report import ReportSet, report_set
from bootstrap.runs.ahead import Ahead, plan_name, run_ahead
from bootstrap.runs.rebuild import Rebuilt, rebuild, visible
from bootstrap.sources import Resolved


@dataclass(frozen=True)
class VerifyTask:
    """One run. The contents of the products are kept only if they are asked for: megabytes."""

    resolved: Resolved
    entry: str
    limits: RunLimits
    keep_products: bool = False


def rebuild_each(
    tasks: Sequence[VerifyTask], jobs: int, progress: ShownProgress
) -> tuple[ReportSet, list[Rebuilt]]:
    """All reports, and what was rebuilt, by `jobs` processes. What nobody runs yet is run before
    what a worker does, which is followed. Raises as `rebuild` does."""
    started = time.monotonic()
    found: dict[int, Rebuilt] = {}
    with run_ahead([planned(task) for task in tasks], jobs) as ahead:

        def turn(number: int) -> tuple[bool, int]:
            units = ahead[number]
            return units is not None and units.is_elsewhere, number

        while left := [number for number in range(len(tasks)) if number not in found]:
            number = min(left, key=turn)
            found[number] = _rebuilt(tasks[number], ahead[number], progress)
    seconds = round(time.monotonic() - started, 3)
    done = [found[number] for number in range(len(tasks))]
    return report_set([one.report for one in done], seconds), done


def planned(task: VerifyTask) -> tuple[str, Tree, EntryPoint, RunLimits]:
    """As `run_ahead` has it."""
    view, entry, _ = visible(task.resolved, task.entry)
    return plan_name(task.resolved.step.file, task.entry), view, entry, task.limits


def _rebuilt(task: VerifyTask, units: Ahead | None, progress: ShownProgress) -> Rebuilt:
    arch = task.resolved.step.arch
    progress.begin(arch)
    shown = RunProgress(plan_of(task.resolved.step), functools.partial(progress.note, arch))
    how = task.resolved, task.entry, default_engine(), task.limits, [shown]
    one = rebuild(*how, units=units)
    progress.end(arch, one.report.result)
    return one if task.keep_products else replace(one, products={})
