"""`bootstrap handoff`: what live-bootstrap or StageX would do next, its files, and its run."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.cli.live import LiveLine
from bootstrap.core.errors import BadInput, ExitStatus, printable

if TYPE_CHECKING:
    from bootstrap.handoff.distfiles import Audit, AuditedFile, Distfile
    from bootstrap.handoff.fetching import FetchProgress, Mirror
    from bootstrap.handoff.plan import HandoffPlan
    from bootstrap.handoff.stage0 import Stage0
    from bootstrap.handoff.work import FinishedStep, HandoffTask, Order
    from bootstrap.runs.rebuild import Rebuilt
    from bootstrap.sources import Resolved
    from bootstrap.sources.checkouts import CheckedOut

_PLAN_MORE = (
    "Read a checkout of live-bootstrap and say what it would do in a chroot without network, "
    "without running any of it: every line of its manifest, the steps in order with their pass "
    "numbers, the source files of each, what upstream checks and by which line of which file, "
    "what it does not check, and which stage0-posix it pins. Of a checkout of StageX: its stages, "
    "what each is built from, and which checks are off in it."
)
_PLAN_END = (
    "The two marks before a step stand for what goes in and what comes out: checked (✓), partly "
    "(~), not at all (?). Exit status: 0 the plan was read, and with --distfiles every file that "
    "its steps need is there; 1 a file is missing or wrong; 2 usage or bad input."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its own commands; imports nothing heavy."""
    parser = subparsers.add_parser(
        "handoff",
        help="plan the way on to live-bootstrap, get the sources it needs, and run it",
        description="The way on from stage0 to a C compiler: read what live-bootstrap would do, "
        "get, or check, the source files that it needs, and run it in a container. "
        "docs/handoff.md says more.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_plan(commands)
    _add_sources(commands)
    _add_run(commands)


def _add_plan(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    plan = commands.add_parser(
        "plan",
        help="what a checkout of live-bootstrap would do, step by step, and what it checks",
        description=_PLAN_MORE,
        epilog=_PLAN_END,
    )
    of = plan.add_mutually_exclusive_group()
    of.add_argument("--live-bootstrap", metavar="DIR", help=CHECKOUT)
    of.add_argument(
        "--stagex",
        metavar="DIR",
        nargs="?",
        const="",
        help="in its place a checkout of StageX, with its own stages (without DIR: the one in our "
        "cache)",
    )
    plan.add_argument(
        "--distfiles", metavar="DIR", help="a folder with source files: hash them all"
    )
    plan.add_argument("--arch", default="x86", choices=["x86", "amd64", "riscv64"])
    plan.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change the configuration, as in FINAL_JOBS=4; may be repeated",
    )
    plan.add_argument("--json", metavar="FILE", help="write the plan as JSON ('-': stdout)")
    plan.add_argument(
        "--graph", choices=["dot", "mermaid"], help="print the plan as a graph in place of text"
    )
    plan.add_argument(
        "--verbose", "-v", action="store_true", help="each step's files and checks too"
    )
    plan.set_defaults(run=run_plan)


def _add_sources(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    sources = commands.add_parser(
        "sources",
        help="get the source files that a checkout of live-bootstrap lists, or check a folder",
        description="Hash every source file in a folder, and get those that are missing from the "
        "mirrors given and the addresses that the checkout lists: several at once, going on where "
        "an earlier run stopped. A file gets its name only when it has the sha256 that the "
        "checkout lists; a file with its name and another sha256 is named, and left as it is.",
        epilog="Exit status: 0 every file is there with its sha256; 1 some are missing or wrong; "
        "2 usage or bad input, a folder that cannot be written; 130 interrupted, 143 ended by "
        "SIGTERM: what came is kept, and the next run goes on from there.",
    )
    sources.add_argument("--live-bootstrap", metavar="DIR", help=CHECKOUT)
    sources.add_argument(
        "--distfiles", metavar="DIR", required=True, help="the folder of source files"
    )
    sources.add_argument(
        "--audit", "--offline", action="store_true", help="only look; never use the network"
    )
    sources.add_argument(
        "--mirror",
        action="append",
        default=[],
        metavar="URL-OR-DIR",
        help="a folder, or an address (https, http, file), that has the files under their names: "
        "asked before the listed addresses; may be repeated",
    )
    sources.add_argument("--jobs", type=int, default=4, metavar="N", help="files at once (4)")
    sources.add_argument(
        "--needed",
        action="store_true",
        help="only files that the steps of `handoff plan` need, not all of the manifest",
    )
    sources.add_argument("--replace", action="store_true", help="get wrong files again too")
    sources.add_argument("--json", metavar="FILE", help="write the result as JSON ('-': stdout)")
    sources.set_defaults(run=run_sources)


def run_sources(args: argparse.Namespace) -> int:
    """Hash, fetch what is missing, and report.  Raises BootstrapError; returns the exit status."""
    from bootstrap.cli.output import STDOUT, view_and_json
    from bootstrap.cli.verify import check_report_places, print_view
    from bootstrap.handoff.fetching import mirror_at
    from bootstrap.handoff.plan import read_distfiles, read_plan
    from bootstrap.handoff.render import sources_document, sources_text
    from bootstrap.sources import Cache, checkout_at
    from bootstrap.sources.checkouts import LIVE_BOOTSTRAP, identify_checkout

    check_report_places(args.json)
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
        found = _nothing(files)
    if not args.audit:
        found = _fetched(found, folder, mirrors, args)
    to_stderr = args.json == STDOUT
    view_and_json(
        lambda: print_view(lambda **how: sources_text(found, which, **how), False, to_stderr),
        args.json,
        lambda: sources_document(files, found, which),
    )
    return ExitStatus.DONE if found.whole else ExitStatus.DIFFERS


def _nothing(files: tuple[Distfile, ...]) -> Audit:
    from bootstrap.handoff.distfiles import Audit, AuditedFile

    return Audit(tuple(AuditedFile(file, "missing") for file in files), ())


def _fetched(
    found: Audit, folder: Path, mirrors: Sequence[Mirror], args: argparse.Namespace
) -> Audit:
    """The audit as it is after fetching what is missing (and, with --replace, what is wrong)."""
    from bootstrap.handoff.distfiles import Audit, look
    from bootstrap.handoff.fetching import fetch

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
    from bootstrap.cli.output import STDOUT, write_json
    from bootstrap.cli.verify import check_report_places, print_view
    from bootstrap.handoff.plan import read_plan
    from bootstrap.handoff.render import plan_document, plan_graph, plan_text
    from bootstrap.sources import Cache, checkout_at
    from bootstrap.sources.checkouts import LIVE_BOOTSTRAP

    check_report_places(args.json)
    if args.graph and args.json == STDOUT:
        raise BadInput("--graph and --json - both write to standard output; give --json a file")
    if args.stagex is not None:
        return _run_stagex(args)
    with checkout_at(args.live_bootstrap, LIVE_BOOTSTRAP, Cache(), say) as at:
        plan = read_plan(at.folder, args.arch, args.set, at.commit)
    found = _audit(plan.distfiles, args.distfiles) if args.distfiles is not None else None
    if args.graph:
        sys.stdout.write(plan_graph(plan, args.graph))
    else:
        print_view(lambda **how: plan_text(plan, found, **how), args.verbose, args.json == STDOUT)
    write_json(args.json, plan_document(plan, found))
    good = found is None or all(
        row.state == "present" for row in found.rows if row.file.name in plan.needed
    )
    return ExitStatus.DONE if good else ExitStatus.DIFFERS


def _run_stagex(args: argparse.Namespace) -> int:
    from bootstrap.cli.output import STDOUT, write_json
    from bootstrap.cli.verify import print_view
    from bootstrap.handoff.render import stagex_document, stagex_graph, stagex_text
    from bootstrap.handoff.stagex import read_stagex
    from bootstrap.sources import Cache, checkout_at
    from bootstrap.sources.checkouts import STAGEX_TREE

    if args.distfiles is not None or args.set or args.arch != "x86":
        raise BadInput("--distfiles, --set and --arch are for --live-bootstrap, not for --stagex")
    with checkout_at(args.stagex or None, STAGEX_TREE, Cache(), say) as at:
        plan = read_stagex(*at)
    if args.graph:
        sys.stdout.write(stagex_graph(plan, args.graph))
    else:
        print_view(lambda **how: stagex_text(plan, **how), args.verbose, args.json == STDOUT)
    write_json(args.json, stagex_document(plan))
    return ExitStatus.DONE


def _audit(files: tuple[Distfile, ...], folder: str) -> Audit:
    from bootstrap.handoff.distfiles import audit

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


_RUN_MORE = (
    "Lay out live-bootstrap's root file system from a checkout, its source files and stage0, and "
    "run its steps, each in a container without network, host environment or capabilities. What "
    "each step made is hashed here, whatever upstream's scripts said, and kept: a run that was "
    "stopped, or that failed, goes on after the last finished step. Source files may be missing: "
    "the run goes as far as it can, and names the file."
)
_RUN_END = (
    "Exit status: 0 all steps asked for are finished; 1 a product is not what it should be; 2 "
    "usage or bad input, or a source file is missing; 3 a step failed; 130 interrupted; 143 ended "
    "by SIGTERM."
)

CHECKOUT = (
    "a checkout of live-bootstrap, with .git or without, or a commit (or digest) in our cache "
    "(default: the one there; bootstrap fetch live-bootstrap --from DIR puts it there)"
)


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; imports nothing heavy."""
    run = commands.add_parser(
        "run",
        help="run live-bootstrap's steps in a container, checked and resumable",
        description=_RUN_MORE,
        epilog=_RUN_END,
    )
    run.add_argument("--live-bootstrap", metavar="DIR", help=CHECKOUT)
    run.add_argument(
        "--distfiles",
        metavar="DIR",
        required=True,
        help="the folder of source files; bootstrap handoff sources fills it",
    )
    run.add_argument(
        "--work",
        metavar="DIR",
        required=True,
        help="a folder for the root file system, a copy of it, logs and what is finished",
    )
    run.add_argument(
        "--engine",
        default="auto",
        choices=["auto", "podman", "docker", "bwrap"],
        help="what runs the container; auto takes the first of these that works, and says why",
    )
    run.add_argument(
        "--from",
        dest="begin",
        default="seed",
        choices=["seed", "stage0"],
        help="seed: rebuild stage0 natively in the container, and compare; stage0: start with the "
        "binaries that emulation made",
    )
    run.add_argument(
        "--until",
        metavar="STEP",
        help="stop after this one: stage0, seed, a number of handoff plan, or a title as "
        "'tcc-0.9.26 pass 1'",
    )
    run.add_argument("--resume", action="store_true", help="go on with the run in --work")
    run.add_argument(
        "--arch",
        default="x86",
        choices=["x86", "amd64", "riscv64"],
        help="x86 is the one that upstream supports; the others get less far",
    )
    run.add_argument(
        "--stage0",
        metavar="DIR",
        help="the stage0-posix that the checkout pins (default: its own, else our cache)",
    )
    run.add_argument(
        "--stage0-release",
        metavar="R",
        help="the release of stage0-posix, where nothing in the checkout pins one",
    )
    by = run.add_mutually_exclusive_group()
    by.add_argument(
        "--emulate",
        action="store_true",
        help="rebuild stage0 in the emulator too, now, and compare every product",
    )
    by.add_argument(
        "--report",
        metavar="FILE",
        help="compare with what emulation gave, as bootstrap verify --json wrote it",
    )
    run.add_argument(
        "--products",
        metavar="DIR",
        help="with --from stage0: the products, as bootstrap verify --output wrote them "
        "(default: emulate now)",
    )
    run.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="change the configuration, as in JOBS=4; may be repeated",
    )
    run.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=N",
        help="memory, processes, open_files, file (bytes), seconds (of one step); K, M, G are "
        "powers of 1024; may be repeated",
    )
    run.add_argument("--json", metavar="FILE", help="write the result as JSON ('-': stdout)")
    run.add_argument("--quiet", action="store_true", help="no progress")
    run.add_argument("--verbose", "-v", action="store_true", help="list every finished step")
    run.set_defaults(run=run_run)


def say(text: str) -> None:
    """A line for people, beside the result."""
    print(printable(text), file=sys.stderr, flush=True)


def run_run(args: argparse.Namespace) -> int:
    """Do it and report.  Raises BootstrapError; returns the exit status."""
    if not sys.platform.startswith("linux"):
        raise BadInput(
            "handoff run: containers for these steps need Linux; plan and sources do not"
        )
    from bootstrap.cli.verify import check_report_places
    from bootstrap.sources import Cache, checkout_at
    from bootstrap.sources.checkouts import LIVE_BOOTSTRAP

    check_report_places(args.json)
    if args.products is not None and args.begin != "stage0":
        raise BadInput("--products goes with --from stage0")
    notify = None if args.quiet else say
    with checkout_at(args.live_bootstrap, LIVE_BOOTSTRAP, Cache(), notify) as at:
        return _run(args, at)


def _run(args: argparse.Namespace, at: CheckedOut) -> int:
    from bootstrap.cli.output import STDOUT, view_and_json
    from bootstrap.cli.verify import print_view
    from bootstrap.handoff.containers.container import ContainerLimits
    from bootstrap.handoff.plan import read_plan
    from bootstrap.handoff.render import run_document, run_text
    from bootstrap.handoff.run import require_sense, run
    from bootstrap.handoff.work import Order

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
    to_stderr = args.json == STDOUT
    view_and_json(
        lambda: print_view(
            lambda **how: run_text(outcome, plan, stage0, **how), args.verbose, to_stderr
        ),
        args.json,
        lambda: run_document(outcome, plan, stage0),
    )
    return outcome.exit_code


def _stage0(args: argparse.Namespace, plan: HandoffPlan, order: Order) -> Stage0:
    """What to start with, and what to compare with."""
    from bootstrap.handoff import stage0 as known
    from bootstrap.handoff.configuration import ARCHITECTURES
    from bootstrap.handoff.work import WorkFolder

    arch_dir = ARCHITECTURES[plan.arch]
    resolved = known.pinned(plan.pin, arch_dir, args.stage0, order.checkout, args.stage0_release)
    stage0 = known.of_catalogue(resolved, known.pin_words(plan.pin))
    if args.report is not None:
        stage0 = known.with_report(stage0, Path(args.report), resolved.step)
    # What was compared once, or laid out, is not made again to go on.
    goes_on = args.resume and WorkFolder(order.work).read() is not None
    if args.begin == "seed":
        if args.emulate and not goes_on:
            _try_engine(args, plan)
            rebuilt = _emulated(resolved, args.quiet)
            by = f"emulation now ({rebuilt.report.tool.engine.name})"
            rows = [(path, _sha256(data)) for path, (data, _) in rebuilt.products.items()]
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
    from bootstrap.handoff.containers.container import ContainerLimits
    from bootstrap.handoff.containers.running import choose
    from bootstrap.signals import scratch_folder

    with scratch_folder() as folder:
        choose(args.engine, plan.arch, ContainerLimits().with_options(args.limit), folder)


def _sha256(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


def _emulated(resolved: Resolved, quiet: bool) -> Rebuilt:
    """Rebuild stage0 in the emulator.  Raises BadInput unless it was verified."""
    from bootstrap.cli.progress import progress_of
    from bootstrap.cli.verify import default_entry
    from bootstrap.instruments import default_engine
    from bootstrap.runs.rebuild import rebuild

    with progress_of(resolved.step, quiet) as progress:
        rebuilt = rebuild(resolved, default_entry(resolved), default_engine(), None, [progress])
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
        from bootstrap.handoff.render import counted

        self.line(
            f"{self._at} {finished.title}: {finished.seconds:.1f} s, {counted(finished.checked)}"
        )

    def hashed(self, row: AuditedFile) -> None:
        """A source file was hashed."""
        self._files += 1
        self.show(f"{self._files} source files checked, {row.file.name}")
