"""`bootstrap verify`: rebuild a release from its seed and compare every product."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput, ExitStatus, printable

if TYPE_CHECKING:
    from bootstrap.report import Report
    from bootstrap.runs.rebuild import Rebuilt
    from bootstrap.sources import Resolved

ENTRIES = ("kaem-optional-seed", "hex0-seed")
ONE_LINE = (ExitStatus.DONE, ExitStatus.LESS_THAN_ASKED)
"""The claim says it all; --quiet prints nothing else."""


def add_limits(parser: argparse.ArgumentParser) -> None:
    """The option --limit, which `verify` and `run` share."""
    parser.add_argument(
        "--limit",
        action="append",
        default=[],
        metavar="NAME=N",
        help="change a limit: memory, memory_total, file, files_total, inodes, open_files, "
        "processes, nesting, instructions, seconds (K, M, G are powers of 1024)",
    )


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options; imports nothing heavy."""
    parser = subparsers.add_parser(
        "verify",
        help="rebuild a release from its seed and compare every product with its known-good hash",
        description="Rebuild a release of stage0-posix from its seed in the emulator, and compare "
        "every product with its known-good hash. The source is, in this order: --source, the "
        "release in the cache, the release from its published address. The report says which.",
    )
    add_options(parser)
    add_fallback(parser)
    parser.set_defaults(run=run)


def add_fallback(parser: argparse.ArgumentParser) -> None:
    """The option --fallback, which `verify` and `trace record` share."""
    parser.add_argument(
        "--fallback",
        choices=("embedded",),
        help="where the release can be had from neither cache nor network, take what this program "
        "carries (x86, hex0 to M0); the report says so, and the exit status is 4 at best",
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `verify`, which `trace record` has too."""
    parser.add_argument("--source", metavar="PATH", help="a checkout, or a .tar.gz of a release")
    parser.add_argument(
        "--release",
        metavar="R",
        help="the release (default: the newest known); embedded is what this "
        "program carries (x86); stagex-stage0 is StageX's stage0, with --source a StageX checkout",
    )
    parser.add_argument(
        "--fetched",
        metavar="DIR",
        help="with stagex-stage0: the folder with the source archives that StageX names",
    )
    parser.add_argument(
        "--arch",
        default="x86",
        help="x86, AMD64, AArch64, riscv64 or riscv32, in any case and by usual aliases (default "
        "x86); several with commas between them, or all: one report for all of them",
    )
    parser.add_argument(
        "--jobs",
        type=_jobs,
        default=1,
        metavar="N",
        help="with several architectures: run up to N at once, each in its own process (default 1)",
    )
    parser.add_argument(
        "--entry",
        choices=ENTRIES,
        help="the way in: kaem-optional-seed (the default, upstream's usual one), or hex0-seed, "
        "which trusts nothing but the hex0 seed",
    )
    parser.add_argument("--output", metavar="DIR", help="write every product below this new folder")
    parser.add_argument("--json", metavar="FILE", help="write the report as JSON ('-': stdout)")
    parser.add_argument("--junit", metavar="FILE", help="write the report as JUnit XML")
    parser.add_argument(
        "--recheck",
        action="store_true",
        help="afterwards, run it again by the core alone, in an interpreter of its own, and compare"
        " verdict, digests and every artifact: several times the time",
    )
    parser.add_argument(
        "--quiet", action="store_true", help="no progress, and one line if all is well"
    )
    parser.add_argument(
        "--verbose", action="store_true", help="list the intermediate artifacts too"
    )
    add_limits(parser)


def run(args: argparse.Namespace, record_to: str | None = None) -> int:
    """Do it. Raises BootstrapError; returns the exit status of the report.

    With `record_to`, the run is recorded into that file.
    """
    from bootstrap.cli import several
    from bootstrap.cli.output import STDOUT, each, write_text
    from bootstrap.cli.progress import progress_of
    from bootstrap.instruments import default_engine
    from bootstrap.known import STAGEX
    from bootstrap.linux.limits import Limits
    from bootstrap.report import to_json_text, to_junit, to_text
    from bootstrap.runs.rebuild import rebuild, record_rebuild
    from bootstrap.sources import Cache, resolve, resolve_stagex

    if args.json == STDOUT and args.junit == STDOUT:
        raise BadInput("--json - and --junit - cannot both have standard output")
    stagex = args.release == STAGEX
    if args.fetched is not None and not stagex:
        raise BadInput(f"--fetched goes with --release {STAGEX} only")
    fallback = getattr(args, "fallback", None) is not None
    if fallback and (stagex or args.source or several.is_several(args.arch)):
        raise BadInput(
            "--fallback goes with one architecture of a release, and without --source: it stands in"
            " for what is in neither cache nor network"
        )
    if several.is_several(args.arch):
        if stagex:
            raise BadInput(f"{STAGEX} is for x86 only")
        if record_to is not None:
            raise BadInput(f"--arch {args.arch}: a trace is of one architecture; name one")
        return several.run(args)
    limits = Limits().with_options(args.limit)
    engine = default_engine()
    check_output_folder(args.output)
    check_report_places(args.json, args.junit, folder=args.output)
    if stagex:
        resolved = resolve_stagex(args.source, args.fetched, args.arch, args.entry)
    else:
        resolved = resolve(
            args.source, args.release, args.arch, Cache(), args.entry, fallback=fallback
        )
    entry = args.entry or default_entry(resolved)
    if not args.quiet or resolved.in_place_of is not None:
        for note in (*resolved.tree.notes, *resolved.materials.lines()):
            print(f"note: {printable(note)}", file=sys.stderr)
    with progress_of(resolved.step, args.quiet) as progress:
        if record_to is None:
            rebuilt = rebuild(resolved, entry, engine, limits, [progress])
        else:
            rebuilt = record_rebuild(record_to, resolved, entry, engine, limits, [progress])
    report = rebuilt.report
    if args.recheck:
        report = recheck(report, rebuilt, resolved, args.quiet)
    to_stderr = STDOUT in (args.json, args.junit)
    quiet_line = report.claim if args.quiet and report.exit_code in ONE_LINE else None
    verbose = args.verbose or bool(resolved.image)
    each(
        lambda: print_view(lambda **how: to_text(report, **how), verbose, to_stderr, quiet_line),
        lambda: rebuilt.require_recorded(),
        args.output and (lambda: write_products(Path(args.output), rebuilt, resolved)),
        args.json and (lambda: write_text(args.json, to_json_text(report))),
        args.junit and (lambda: write_text(args.junit, to_junit(report))),
    )
    return report.exit_code


def _jobs(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


_jobs.__name__ = "number"  # what argparse calls it when it is none


def recheck(report: Report, rebuilt: Rebuilt, resolved: Resolved, quiet: bool) -> Report:
    """The report with what the core alone finds, which takes several times the first run's time.

    Raises BadInput, KeyboardInterrupt.
    """
    from bootstrap.cli.live import LiveLine
    from bootstrap.runs.deciding import core_tree
    from bootstrap.runs.recheck import rechecked

    started = time.monotonic()
    what = f"recheck of {resolved.step.arch} by the core alone"
    with LiveLine(quiet) as line:
        if not line.live and not quiet:
            line.line(f"{what}: it takes several times as long as the run with the fast path")
        return rechecked(
            report,
            rebuilt.findings,
            core_tree(resolved.tree),
            resolved.step,
            lambda: line.show(f"{what}: {time.monotonic() - started:.0f} s"),
        )


def default_entry(resolved: Resolved) -> str:
    """The first usual entry that the step file has."""
    return next(
        (e for e in ENTRIES if e in resolved.step.entries), next(iter(resolved.step.entries))
    )


def print_view(
    view: Callable[..., str], verbose: bool, to_stderr: bool, instead: str | None = None
) -> None:
    """Print a report as suits the stream: `view` has the options of `bootstrap.report.to_text`.

    `instead` is a line to print in the report's place.
    """
    from bootstrap.report import speaks_unicode

    out = sys.stderr if to_stderr else sys.stdout
    if instead is not None:
        print(instead, file=out, flush=True)
        return
    terminal = out.isatty()
    width = os.get_terminal_size(out.fileno()).columns if terminal else None
    out.write(
        view(
            colour=terminal and not os.environ.get("NO_COLOR"),
            width=width,
            unicode=speaks_unicode(out.encoding),
            verbose=verbose,
        )
    )
    out.flush()


def check_report_places(*names: str | None, folder: str | None = None) -> None:
    """Raise BadInput, before any work is done, where a report could not be written after it.

    `folder` is where other things are written.
    """
    from bootstrap.cli.output import check_apart, check_place

    for name in names:
        if name is not None:
            check_place(name)
    check_apart(folder, *names)


def check_output_folder(name: str | None) -> None:
    """Raise BadInput, before any work is done, unless `name` is a new or an empty folder."""
    from bootstrap.cli.output import check_folder

    if name is None:
        return
    folder = Path(name)
    try:
        if folder.is_dir() and any(folder.iterdir()):
            raise BadInput(f"--output {name}: is not empty; name a new or an empty folder")
        if folder.exists() and not folder.is_dir():
            raise BadInput(f"--output {name}: is a file; name a new or an empty folder")
        check_folder(folder)
    except OSError as error:
        raise BadInput(f"--output {name}: cannot be used: {error.strerror}") from error


def write_products(folder: Path, rebuilt: Rebuilt, resolved: Resolved) -> None:
    """Lay the products out below `folder` under their tree paths, with upstream's answers file.

    What goes into an image is there a second time, under its path in the image.
    """
    from bootstrap.cli.output import write_files

    write_files(folder, product_files(rebuilt, resolved))


def product_files(rebuilt: Rebuilt, resolved: Resolved) -> Iterator[tuple[str, bytes, int]]:
    """What `write_products` writes: path, content, mode."""
    answers = resolved.step.answers_from
    if answers in resolved.tree.files:
        yield answers, resolved.tree.files[answers].data, 0o644
    for path, (content, mode) in rebuilt.products.items():
        yield path, content, mode
        if path in resolved.image:
            yield resolved.image[path], content, mode
