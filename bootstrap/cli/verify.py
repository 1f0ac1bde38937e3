"""`bootstrap verify`: rebuild a release from its seed and compare every product.

Several architectures share --jobs processes, and one report has them all. Only this process writes:
the report, the products, the terminal.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.cli.commands import ENTRIES
from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import (
    STDOUT,
    check_output_folder,
    check_places,
    each,
    for_people,
    print_page,
    write_files,
    write_text,
)
from bootstrap.cli.progress import ShownProgress, progress_of
from bootstrap.cli.several import VerifyTask, planned, rebuild_each
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.core.release import from_answers
from bootstrap.instruments import Engine, default_engine
from bootstrap.known import (
    EMBEDDED,
    RELEASES,
    STAGEX,
    arch_name,
    architectures,
    default_release,
    steps_of,
)
from bootstrap.linux.limits import RunLimits, as_number
from bootstrap.report import Report, ReportSet, report_set, to_json_text, to_junit, to_text
from bootstrap.runs.ahead import find_plan, plan_name, run_ahead
from bootstrap.runs.deciding import core_tree
from bootstrap.runs.rebuild import Rebuilt, rebuild, record_rebuild
from bootstrap.runs.recheck import rechecked
from bootstrap.signals import scratch_folder
from bootstrap.sources import Cache, Resolved, against, cache_root, resolve, resolve_stagex
from bootstrap.sources.git import find_commit
from bootstrap.sources.tree import folder_of, read_commit

if TYPE_CHECKING:
    from bootstrap.runs.memo import Memo
    from bootstrap.runs.since import TreeChange

ALL = "all"
_IN_ORDER = (
    "nothing that was run ahead was used: there was no plan of this bootstrap yet (a run that "
    "succeeds leaves one for the next), or none that fits, or it was over too soon (docs/speed.md)"
)
ONE_LINE = (ExitStatus.DONE, ExitStatus.LESS_THAN_ASKED)
"""The claim says it all; --quiet prints nothing else."""


def run(args: argparse.Namespace, record_to: str | None = None) -> int:
    """Do it. Raises BootstrapError, KeyboardInterrupt; returns the exit status of the report.

    With `record_to`, the run is recorded into that file.
    """
    if getattr(args, "machine", None) is not None:
        from bootstrap.cli import machines

        return machines.verify(args)
    _check_options(args, record_to)
    limits = RunLimits().with_options(args.limit)
    if limits.instructions and getattr(args, "memo", None) is not None:
        raise BadInput("--memo goes with no limit of instructions: counting them runs everything")
    engine = default_engine()
    check_output_folder(args.output)
    check_places(args.json, args.junit, args.html, folder=args.output)
    found = resolve_each(args)
    _say_notes(args, found)
    entries = [args.entry or default_entry(one) for one in found]
    report: Report | ReportSet
    done: list[Rebuilt]
    if is_several(args.arch):
        keep = args.output is not None
        tasks = [VerifyTask(*one, limits, keep) for one in zip(found, entries, strict=True)]
        with LiveLine(args.quiet) as line:
            shown = ShownProgress(line, [one.step.arch for one in found])
            report, done = rebuild_each(tasks, jobs_of(args), shown)
    else:
        change, base = None, None
        if getattr(args, "changed_since", None) is not None:
            change = _change(args, found[0], entries[0])
            if not change.then.materials.whole:
                if not args.quiet:
                    print(
                        f"note: {args.changed_since} is not a release, so it is run first",
                        file=sys.stderr,
                    )
                plain = argparse.Namespace(**{**vars(args), "fail_fast": False})
                base = _rebuilt(plain, change.then, entries[0], engine, limits).report
        one = _rebuilt(args, found[0], entries[0], engine, limits, record_to)
        if change is not None:
            one = replace(one, report=change.compared(one.report, base))
        report, done = one.report, [one]
    if args.recheck:
        report = recheck(report, done, found, args.quiet)
    out = for_people(args.json, args.junit, args.html)
    page = functools.partial(to_text, report, verbose=args.verbose or bool(found[0].image))
    view = functools.partial(print_page, page, out)
    if args.quiet and report.exit_code in ONE_LINE:
        view = functools.partial(print, printable(report.claim), file=out, flush=True)
    each(
        view,
        *(one.require_recorded for one in done),
        args.output and (lambda: write_products(Path(args.output), done, found)),
        args.json and (lambda: write_text(args.json, to_json_text(report))),
        args.junit and (lambda: write_text(args.junit, to_junit(report))),
        args.html and (lambda: write_text(args.html, _html(report))),
    )
    return report.exit_code


def _rebuilt(
    args: argparse.Namespace,
    resolved: Resolved,
    entry: str,
    engine: Engine,
    limits: RunLimits,
    record_to: str | None = None,
) -> Rebuilt:
    """One run, with its progress and the memo that is asked for."""
    jobs = 1 if record_to is not None else jobs_of(args)
    wanted = [planned(VerifyTask(resolved, entry, limits))]
    with (
        opened_memo(args) as memo,
        run_ahead(wanted, jobs, memo, learn=args.jobs is not None) as (units,),
        progress_of(resolved.step, args.quiet) as progress,
    ):
        how = (resolved, entry, engine, limits, [progress])
        if record_to is not None:
            return record_rebuild(record_to, *how)
        one = rebuild(*how, units=units, fail_fast=getattr(args, "fail_fast", False))
    if (args.jobs or 1) > 1 and one.report.jobs == 1 and not args.quiet:
        print(f"note: --jobs {args.jobs}: {_IN_ORDER}", file=sys.stderr)
    return one


def jobs_of(args: argparse.Namespace) -> int:
    """How many processes are to work at once: as asked for, or as many as there are cores."""
    if args.jobs is not None:
        return int(args.jobs)
    has = getattr(os, "sched_getaffinity", None)  # those that this process may use
    return len(has(0)) if has is not None else os.cpu_count() or 1


def _change(args: argparse.Namespace, now: Resolved, entry: str) -> TreeChange:
    """What differs from the commit that is asked for, said before the run. Raises BadInput."""
    from bootstrap.runs.since import tree_change

    rev, source = args.changed_since, args.source
    # DIR or DIR@REV; of an archive nothing is left, which must not be the working folder.
    folder = Path(source if Path(source).is_dir() else source.rpartition("@")[0] or source)
    commit = find_commit(folder, rev)
    tree = read_commit(folder, commit).but(release=now.tree.release)
    then = against(replace(now, tree=tree), now.step.arch, args.entry)
    plan = find_plan(plan_name(now.step.file, entry), cache_root() / "plans")
    if plan is None:
        first = shlex.join(("--source", f"{folder}@{rev}", "--arch", now.step.arch))
        raise BadInput(
            f"--changed-since {rev}: there is no graph of this bootstrap from an earlier run; "
            f"bootstrap verify {first} --entry {entry} --jobs 2 leaves it"
        )
    change = tree_change(now.tree, then, rev, commit, plan)
    if not args.quiet:
        print(f"note: since {printable(change.text)}", file=sys.stderr)
    return change


@contextlib.contextmanager
def opened_memo(args: argparse.Namespace) -> Iterator[Memo | None]:
    """The memo that is asked for. Raises BadInput."""
    if getattr(args, "memo", None) is None:
        yield None
        return
    # Imported late: a verify without it loads no database.
    from bootstrap.runs import memo

    most = memo.SIZE if args.memo_size is None else _memo_size(args)
    check = None if args.memo_check == ALL else int(args.memo_check or "0")
    found = memo.Memo(Path(args.memo), most, check, args.memo_owner)
    try:
        yield found
    finally:
        found.close()


def _memo_size(args: argparse.Namespace) -> int:
    return as_number(args.memo_size, f"--memo-size {args.memo_size}")


def _html(report: Report | ReportSet) -> str:
    # Imported late: who asks for no page does without it.
    from bootstrap.report.html import to_html
    from bootstrap.report.report_html import report_page

    return to_html(report_page(report))


def is_several(arch: str) -> bool:
    """Whether an `--arch` asks for a report of several runs: `all`, or a list."""
    return arch.strip().lower() == ALL or "," in arch


def _check_options(args: argparse.Namespace, record_to: str | None) -> None:
    several, stagex = is_several(args.arch), args.release == STAGEX
    fallback = getattr(args, "fallback", None) is not None
    outputs = [name for name in ("json", "junit", "html") if getattr(args, name) == STDOUT]
    if len(outputs) > 1:
        names = " and ".join(f"--{name} -" for name in outputs)
        raise BadInput(f"{names} cannot both have standard output")
    if args.fetched is not None and not stagex:
        raise BadInput(f"--fetched goes with --release {STAGEX} only")
    if fallback and (stagex or args.source or several):
        raise BadInput(
            "--fallback goes with one architecture of a release, and without --source: it stands in"
            " for what is in neither cache nor network"
        )
    check = getattr(args, "memo_check", None) or "0"
    if check != ALL and not (check.isdecimal() and len(check) <= 18):
        raise BadInput(f"--memo-check {check}: give a number, or all")
    for name in ("memo_check", "memo_size", "memo_owner"):
        if getattr(args, name, None) is not None and args.memo is None:
            raise BadInput(f"--{name.replace('_', '-')} goes with --memo FILE")
    if getattr(args, "memo_size", None) is not None:
        _memo_size(args)
    memo = getattr(args, "memo", None)
    others = {Path(name).resolve() for name in (args.json, args.junit, args.html) if name}
    if memo is not None and (not memo or Path(memo).resolve() in others):
        raise BadInput(f"--memo {shlex.quote(memo)}: name a file of its own")
    for name in ("memo", "fail_fast", "changed_since"):
        if getattr(args, name, None) and (several or record_to is not None):
            option = name.replace("_", "-")
            raise BadInput(f"--{option} goes with one architecture, and with no trace to record")
    if getattr(args, "changed_since", None) is not None and (stagex or not args.source):
        raise BadInput(f"--changed-since goes with --source DIR, a git checkout of {RELEASES}")
    if several and stagex:
        raise BadInput(f"{STAGEX} is for x86 only")
    if several and record_to is not None:
        raise BadInput(f"--arch {args.arch}: a trace is of one architecture; name one")


def resolve_each(args: argparse.Namespace) -> list[Resolved]:
    """One source tree, held against each architecture that --arch names (`all`, or a list).

    Raises BadInput: an architecture that is not known, not in the release, or named twice; and
    as `bootstrap.sources.resolve` does.
    """
    cache, source, release, entry = Cache(), args.source, args.release, args.entry
    if release == STAGEX:
        if source is None:
            return [resolve_stagex(source, args.fetched, args.arch, entry)]
        with folder_of(source) as folder:
            return [resolve_stagex(str(folder), args.fetched, args.arch, entry)]
    if not is_several(args.arch):
        fallback = getattr(args, "fallback", None) is not None
        return [resolve(source, release, args.arch, cache, entry, fallback=fallback)]
    arches = _named(args.arch)
    newest = default_release() if release is None else release
    named = (EMBEDDED, None) if newest == EMBEDDED else (RELEASES, newest)
    first = arches[0] if arches else steps_of(*named)[0].arch
    found = resolve(source, release, first, cache, entry)
    if not arches:
        arches = list(architectures(found.step.name, found.step.release))
    return [found if a == found.step.arch else against(found, a, entry) for a in arches]


def _named(arch: str) -> list[str]:
    """The architectures of a list; none for `all`."""
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


def _say_notes(args: argparse.Namespace, found: Sequence[Resolved]) -> None:
    """What is peculiar to the tree; --quiet does not hide that it stands in for a release."""
    if args.quiet and found[0].in_place_of is None:
        return
    notes = [*found[0].tree.notes]
    for one in found:
        head = f"{one.step.arch}: " if is_several(args.arch) else ""
        notes += [f"{head}{line}" for line in one.materials.lines()]
    for note in notes:
        print(f"note: {printable(note)}", file=sys.stderr)


def recheck(
    report: Report | ReportSet,
    done: Sequence[Rebuilt],
    found: Sequence[Resolved],
    quiet: bool,
) -> Report | ReportSet:
    """The report with what the core alone finds, which takes several times the first run's time.

    Raises KeyboardInterrupt.
    """
    reports = [report] if isinstance(report, Report) else [*report.reports]
    for number, (one, resolved) in enumerate(zip(done, found, strict=True)):
        started = time.monotonic()
        what = f"recheck of {resolved.step.arch} by the core alone"
        with LiveLine(quiet) as line:
            if not line.live and not quiet:
                line.line(f"{what}: it takes several times as long as the run with the fast path")
            reports[number] = rechecked(
                one.report,
                one.findings,
                core_tree(resolved.tree),
                resolved.step,
                lambda: line.show(f"{what}: {time.monotonic() - started:.0f} s"),  # noqa: B023
            )
    if isinstance(report, Report):
        return reports[0]
    return report_set(reports, report.totals.wall_seconds)


def default_entry(resolved: Resolved) -> str:
    """The first usual entry that the step file has."""
    return next(
        (e for e in ENTRIES if e in resolved.step.entries), next(iter(resolved.step.entries))
    )


def write_products(folder: Path, done: Sequence[Rebuilt], found: Sequence[Resolved]) -> None:
    """Lay the products of all runs out below `folder` under their tree paths, with upstream's
    answers files, where the trees have these. What goes into an image is there a second time, under
    its path in the image.

    Raises BadInput, also when two runs claim one path.
    """
    owners: dict[str, str] = {}
    runs = [*zip(done, found, strict=True)]
    for one, resolved in runs:
        for path in one.products:
            arch = resolved.step.arch
            if owners.setdefault(path, arch) != arch:
                raise BadInput(
                    f"--output {folder}: {path} was made for {owners[path]} and for {arch}; "
                    "nothing was written; verify one architecture at a time"
                )
    write_files(folder, itertools.chain.from_iterable(_files(*pair) for pair in runs))


def _files(rebuilt: Rebuilt, resolved: Resolved) -> Iterator[tuple[str, bytes, int]]:
    """Path, content, mode."""
    answers = resolved.step.answers_from
    if answers in resolved.tree.files:
        data = resolved.tree.files[answers].data
        if _are_the_answers(data, resolved):
            yield answers, data, 0o644
        else:
            text = f"note: {answers} of the tree is not the release's, and is not written"
            print(text, file=sys.stderr)
    for path, (content, mode) in rebuilt.products.items():
        yield path, content, mode
        if path in resolved.image:
            yield resolved.image[path], content, mode


def _are_the_answers(data: bytes, resolved: Resolved) -> bool:
    """Not every release reads its answers file, which then is no material."""
    try:
        known = from_answers(data, resolved.step.answers_from, resolved.step.arch).known
    except BadInput:
        return False
    return {value.path: value.sha256 for value in known} == resolved.step.answers


def verified_here(
    args: argparse.Namespace,
    report_to: str | None,
    other: str | None,
    undone: str,
    then: Callable[[Path, Path], int],
) -> int:
    """`bootstrap verify` itself into a scratch folder; `then` goes on with report and products.

    Returns the exit status of either. The report is copied to `report_to`; `other` is where the
    command's own output goes. Where it is not verified, `undone` is said. Raises BootstrapError.
    """
    if is_several(args.arch):
        raise BadInput(f"--arch {args.arch}: this is for one architecture; name one")
    if args.release == STAGEX:
        raise BadInput(
            f"{STAGEX}: StageX publishes no hashes of its files, so nothing of it can be verified"
        )
    if [args.junit, args.html, report_to, other].count(STDOUT) > 1:
        raise BadInput("only one output can have standard output")
    with scratch_folder("bootstrap-verify-") as folder:
        report, products = folder / "report.json", folder / "products"
        given = argparse.Namespace(**{**vars(args), "json": str(report), "output": str(products)})
        with contextlib.redirect_stdout(for_people(report_to, other)):
            status = run(given)
        if report_to is not None and report.exists():
            write_text(report_to, report.read_text("utf-8"))
        if status == 0:
            return then(report, products)
    print(f"bootstrap: not verified; {undone}", file=sys.stderr)
    return status


_VERIFY_ONLY = (
    "source", "release", "fetched", "entry", "junit", "html", "limit", "verbose", "recheck",
)  # fmt: skip


def no_verify(args: argparse.Namespace, *more: str) -> None:
    """Raise BadInput for an option that decides nothing when a report is taken as it is."""
    for name in (*_VERIFY_ONLY, *more):
        if getattr(args, name):
            raise BadInput(f"--{name.replace('_', '-')} goes with a verify, not with --report")
    if (args.arch, args.jobs) != ("x86", None):
        raise BadInput("--arch and --jobs go with a verify, not with --report, which has its own")
