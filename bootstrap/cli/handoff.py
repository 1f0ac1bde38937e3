"""`bootstrap handoff`: what live-bootstrap or StageX would do next, its files, and its run."""

from __future__ import annotations

import argparse
import functools
import hashlib
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import STDOUT, for_people, print_page, show_page, write_json
from bootstrap.cli.progress import progress_of
from bootstrap.cli.verify import default_entry
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.graph import Form
from bootstrap.handoff import stage0 as known
from bootstrap.handoff.containers.container import ContainerLimits
from bootstrap.handoff.containers.running import choose
from bootstrap.handoff.distfiles import Audit, AuditedFile, Distfile, audit, look
from bootstrap.handoff.fetching import FetchProgress, Mirror, fetch, mirror_at
from bootstrap.handoff.plan import ARCHITECTURES, HandoffPlan, read_distfiles, read_plan
from bootstrap.handoff.plan_text import (
    counted,
    plan_document,
    plan_graph,
    plan_text,
    run_document,
    run_text,
    sources_document,
    sources_text,
    stagex_document,
    stagex_graph,
    stagex_text,
)
from bootstrap.handoff.run import require_sense, run
from bootstrap.handoff.stage0 import Stage0
from bootstrap.handoff.stagex import read_stagex
from bootstrap.handoff.work import FinishedStep, HandoffTask, Order, WorkFolder
from bootstrap.instruments import default_engine
from bootstrap.runs import rebuild
from bootstrap.runs.rebuild import Rebuilt
from bootstrap.signals import scratch_folder
from bootstrap.sources import Cache, Resolved, checkout_at
from bootstrap.sources.checkouts import LIVE_BOOTSTRAP, STAGEX_TREE, CheckedOut, identify_checkout


def run_sources(args: argparse.Namespace) -> int:
    """Hash, fetch what is missing, and report.  Raises BootstrapError; returns the exit status."""
    if args.jobs < 1:
        raise BadInput(f"--jobs {args.jobs}: give a number from 1")
    mirrors = [mirror_at(text) for text in args.mirror]
    with checkout_at(args.live_bootstrap, LIVE_BOOTSTRAP, Cache(), say) as at:
        if args.needed:
            plan = read_plan(at.folder)
            files = tuple(file for file in plan.distfiles if file.name in plan.needed)
        else:
            files = read_distfiles(at.folder)
        which = identify_checkout(LIVE_BOOTSTRAP, at)
    folder = Path(args.distfiles)
    if args.audit or folder.exists():
        found = _audit(files, args.distfiles)
    else:
        found = Audit(tuple(AuditedFile(file, "missing") for file in files), ())
    if not args.audit:
        found = _fetched(found, folder, mirrors, args)
    page = functools.partial(sources_text, found, which, verbose=False)
    show_page(page, args.json, lambda: sources_document(files, found, which))
    return ExitStatus.DONE if found.whole else ExitStatus.DIFFERS


def _fetched(
    found: Audit, folder: Path, mirrors: Sequence[Mirror], args: argparse.Namespace
) -> Audit:
    """The audit as it is after fetching what is missing (and, with --replace, what is wrong)."""
    wanted = [
        row.file
        for row in found.rows
        if row.state == "missing" or (args.replace and row.state == "wrong")
    ]
    if not wanted:
        return found
    with LiveLine() as line:
        outcomes = fetch(wanted, folder, mirrors, args.jobs, _in_flight(line, len(wanted)))
    by_name = {outcome.file.name: outcome for outcome in outcomes}
    rows = []
    for row in found.rows:
        outcome = by_name.get(row.file.name)
        if outcome is None:
            rows.append(row)
        elif outcome.url is None:
            rows.append(replace(row, detail="; ".join(filter(None, (row.detail, outcome.detail)))))
        else:
            rows.append(look(row.file, folder))
    return Audit(tuple(rows), found.others)


def run_plan(args: argparse.Namespace) -> int:
    """Read and print.  Raises BootstrapError; returns the exit status."""
    if args.graph and args.json == STDOUT:
        raise BadInput("--graph and --json - both write to standard output; give --json a file")
    if args.stagex is not None:
        return _run_stagex(args)
    with checkout_at(args.live_bootstrap, LIVE_BOOTSTRAP, Cache(), say) as at:
        plan = read_plan(at.folder, args.arch, args.set, at.commit)
    found = _audit(plan.distfiles, args.distfiles) if args.distfiles is not None else None
    graph = functools.partial(plan_graph, plan)
    page = functools.partial(plan_text, plan, found, verbose=args.verbose)
    _show_plan(args, graph, page, plan_document(plan, found))
    good = found is None or all(
        row.state == "present" for row in found.rows if row.file.name in plan.needed
    )
    return ExitStatus.DONE if good else ExitStatus.DIFFERS


def _run_stagex(args: argparse.Namespace) -> int:
    if args.distfiles is not None or args.set or args.arch != "x86":
        raise BadInput("--distfiles, --set and --arch are for --live-bootstrap, not for --stagex")
    with checkout_at(args.stagex or None, STAGEX_TREE, Cache(), say) as at:
        plan = read_stagex(*at)
    graph = functools.partial(stagex_graph, plan)
    page = functools.partial(stagex_text, plan, verbose=args.verbose)
    _show_plan(args, graph, page, stagex_document(plan))
    return ExitStatus.DONE


def _show_plan(
    args: argparse.Namespace, graph: Callable[[Form], str], page: Callable[..., str], value: object
) -> None:
    if args.graph:
        sys.stdout.write(graph(args.graph))
    else:
        print_page(page, for_people(args.json))
    write_json(args.json, value)


def _audit(files: tuple[Distfile, ...], folder: str) -> Audit:
    numbers = itertools.count(1)
    with LiveLine() as line:
        return audit(
            files,
            Path(folder),
            lambda row: line.show(
                f"{next(numbers)} of {len(files)} files checked, {row.file.name}"
            ),
        )


def _in_flight(line: LiveLine, total: int) -> Callable[[FetchProgress], None]:
    """What shows files that are on their way, or came."""
    done = 0

    def show(flight: FetchProgress) -> None:
        nonlocal done
        for outcome in flight.done[done:]:
            done += 1
            if not line.style.terminal:
                what = "not to be had" if outcome.url is None else "came"
                line.line(f"{done} of {total}: {outcome.file.name} {what}")
        coming = ", ".join(
            f"{name} {have / 1e6:.1f}" + (f" of {size / 1e6:.1f} MB" if size else " MB")
            for name, (have, size) in list(flight.coming.items())
        )
        line.show(f"{done} of {total} files; {coming}")

    return show


def say(text: str) -> None:
    """A line for people, beside the result."""
    print(printable(text), file=sys.stderr, flush=True)


def run_run(args: argparse.Namespace) -> int:
    """Do it and report.  Raises BootstrapError; returns the exit status."""
    if not sys.platform.startswith("linux"):
        raise BadInput(
            "handoff run: containers for these steps need Linux; plan and sources do not"
        )
    if args.products is not None and args.from_ != "stage0":
        raise BadInput("--products goes with --from stage0")
    notify = None if args.quiet else say
    with checkout_at(args.live_bootstrap, LIVE_BOOTSTRAP, Cache(), notify) as at:
        return _run(args, at)


def _run(args: argparse.Namespace, at: CheckedOut) -> int:
    order = Order(
        at.folder,
        Path(args.distfiles).absolute(),
        Path(args.work).absolute(),
        args.engine,
        args.until,
        args.resume,
        ContainerLimits().with_options(args.limit),
    )
    plan = read_plan(at.folder, args.arch, args.set, at.commit)
    require_sense(order, plan)
    stage0 = _stage0(args, plan, order)
    try:
        with _RunLine(args.quiet) as line:
            outcome = run(order, plan, stage0, line)
    except KeyboardInterrupt:
        say(
            f"bootstrap: the container was ended; --work {args.work} --resume goes on after the"
            " last finished step"
        )
        raise
    said = (outcome, plan, stage0)
    page = functools.partial(run_text, *said, verbose=args.verbose)
    show_page(page, args.json, lambda: run_document(*said))
    return outcome.exit_code


def _stage0(args: argparse.Namespace, plan: HandoffPlan, order: Order) -> Stage0:
    """What to start with, and what to compare with."""
    arch_dir = ARCHITECTURES[plan.arch]
    resolved = known.pinned(plan.pin, arch_dir, args.stage0, order.checkout, args.stage0_release)
    stage0 = known.of_catalogue(resolved, known.pin_words(plan.pin))
    if args.report is not None:
        stage0 = known.with_report(stage0, Path(args.report), resolved.step)
    # What was compared once, or laid out, is not made again to go on.
    goes_on = args.resume and WorkFolder(order.work).read() is not None
    if args.from_ == "seed":
        if args.emulate and not goes_on:
            _try_engine(args, plan)
            rebuilt = _emulated(resolved, args.quiet)
            by = f"emulation now ({rebuilt.report.tool.engine.name})"
            rows = [
                (path, hashlib.sha256(data).hexdigest())
                for path, (data, _) in rebuilt.products.items()
            ]
            stage0 = known.emulated(stage0, rows, by)
        return stage0
    if goes_on:
        return known.with_products(stage0, {}, "in the work folder")
    if args.products is not None:
        products = known.read_products(Path(args.products), stage0)
        return known.with_products(stage0, products, f"those of {args.products}")
    _try_engine(args, plan)
    return known.with_products(stage0, _emulated(resolved, args.quiet).products, "emulated now")


def _try_engine(args: argparse.Namespace, plan: HandoffPlan) -> None:
    """Raise BadInput where there is none, before minutes of emulation for nothing."""
    with scratch_folder() as folder:
        choose(args.engine, plan.arch, ContainerLimits().with_options(args.limit), folder)


def _emulated(resolved: Resolved, quiet: bool) -> Rebuilt:
    """Rebuild stage0 in the emulator.  Raises BadInput unless it was verified."""
    with progress_of(resolved.step, quiet) as progress:
        entry = default_entry(resolved)
        rebuilt = rebuild.rebuild(resolved, entry, default_engine(), None, [progress])
    if rebuilt.report.result != "verified":
        raise BadInput(
            f"{resolved.step.title}: emulation gave {rebuilt.report.result}, so there is nothing to"
            " start with or to compare with; bootstrap verify says more"
        )
    return rebuilt


class _RunLine(LiveLine):
    """A line for each step that is finished, and on a terminal one that says what is going on."""

    _task, _at, _files = "", "", 0
    _drawn = 0.0

    def said(self, text: str) -> None:
        """A sentence."""
        self.line(text)

    def began(self, task: HandoffTask, number: int, total: int) -> None:
        """A step begins."""
        self._task, self._at = task.title, f"[{number} of {total}]"
        self.tick(0.0, "")

    def tick(self, seconds: float, line: str) -> None:
        """How long, and its last line."""
        now = time.monotonic()
        if now - self._drawn > 0.2 or not line:
            self._drawn = now
            self.show(f"{self._at} {self._task}, {seconds:.0f} s: {line}")

    def ended(self, finished: FinishedStep) -> None:
        """A step is finished."""
        self.line(
            f"{self._at} {finished.title}: {finished.seconds:.1f} s, {counted(finished.checked)}"
        )

    def hashed(self, row: AuditedFile) -> None:
        """A source file was hashed."""
        self._files += 1
        self.show(f"{self._files} source files checked, {row.file.name}")
