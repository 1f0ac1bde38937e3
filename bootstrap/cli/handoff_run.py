"""`bootstrap handoff run`: live-bootstrap in a container, from the seed or from our stage0."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.cli.live import LiveLine
from bootstrap.core.errors import BadInput, printable

if TYPE_CHECKING:
    from bootstrap.handoff.distfiles import AuditedFile
    from bootstrap.handoff.plan import HandoffPlan
    from bootstrap.handoff.stage0 import Stage0
    from bootstrap.handoff.work import FinishedStep, HandoffTask, Order
    from bootstrap.runs.rebuild import Rebuilt
    from bootstrap.sources import Resolved
    from bootstrap.sources.checkouts import CheckedOut

_MORE = (
    "Lay out live-bootstrap's root file system from a checkout, its source files and stage0, and "
    "run its steps, each in a container without network, host environment or capabilities. What "
    "each step made is hashed here, whatever upstream's scripts said, and kept: a run that was "
    "stopped, or that failed, goes on after the last finished step. Source files may be missing: "
    "the run goes as far as it can, and names the file."
)
_END = (
    "Exit status: 0 all steps asked for are finished; 1 a product is not what it should be; 2 "
    "usage or bad input, or a source file is missing; 3 a step failed; 130 interrupted; 143 ended "
    "by SIGTERM."
)

CHECKOUT = (
    "a checkout of live-bootstrap, with .git or without, or a commit (or digest) in our cache "
    "(default: the one there; bootstrap fetch live-bootstrap --from DIR puts it there)"
)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command; imports nothing heavy."""
    run = commands.add_parser(
        "run",
        help="run live-bootstrap's steps in a container, checked and resumable",
        description=_MORE,
        epilog=_END,
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
        help="seed: rebuild stage0 natively in the container, and compare; stage0: begin with the "
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
    """Do it and tell.  Raises BootstrapError; returns the exit status."""
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
    tell = None if args.quiet else say
    with checkout_at(args.live_bootstrap, LIVE_BOOTSTRAP, Cache(), tell) as at:
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
    """What to begin with, and what to compare with."""
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
            by = f"emulation now ({rebuilt.report.facts.tool.engine_name})"
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
    import tempfile

    from bootstrap.handoff.containers.container import ContainerLimits
    from bootstrap.handoff.containers.running import choose

    with tempfile.TemporaryDirectory() as folder:
        choose(args.engine, plan.arch, ContainerLimits().with_options(args.limit), Path(folder))


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
            " begin with or to compare with; bootstrap verify tells more"
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
        self.show(f"{self._files} source files looked at, {row.file.name}")
