"""`bootstrap trace`: record a run, check the record, read what is in it, go to places in it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from bootstrap import trace, words
from bootstrap.cli import verify
from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import STDOUT, check_output_folder, document, say, show, write_pieces
from bootstrap.cli.run import exit_status, report_probes, standard_streams
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.debug.opening import record_program
from bootstrap.instruments import default_engine
from bootstrap.linux.limits import RunLimits
from bootstrap.timeline import origins, state
from bootstrap.timeline.checkpoints import beside, checkpoints_of, is_stale
from bootstrap.timeline.export.drcov import counts, drcov
from bootstrap.timeline.export.perfetto import perfetto
from bootstrap.timeline.export.tenet import MOST, tenet, window
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.indexing import build
from bootstrap.timeline.origins import ByteOrigins, outputs_of_line
from bootstrap.timeline.profile import count, coverage, hot_spots
from bootstrap.timeline.render import (
    coverage_json,
    coverage_lines,
    hot_json,
    hot_lines,
    show_json,
    show_lines,
    why_json,
)
from bootstrap.timeline.state import memory_wanted
from bootstrap.timeline.stores import line, store_report
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace import views
from bootstrap.trace.calls import CallFilter
from bootstrap.trace.compare import check
from bootstrap.trace.coordinates import have_pid, parse, programs_of
from bootstrap.trace.log import log
from bootstrap.trace.store import ProgramRow, Trace
from bootstrap.trace.views import files_graph

SCHEMA = "bootstrap-trace-coverage/1"


class ReplayLine(LiveLine):
    """The live line of what runs a trace again."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace
        self.doing = ""

    def at_instruction(self, row: int, executed: int) -> None:
        """A program has come to that instruction."""
        self.show(f"{self.doing}{self._trace.program(row).label}: {executed:,} instructions")

    def at_event(self, event: int) -> None:
        """A run of all of it has come to that system call."""
        self.show(f"{self.doing}{event:,} of {self._trace.events:,} system calls")


@contextlib.contextmanager
def travelling(name: str, indexed: bool = True) -> Iterator[tuple[Trace, Timeline, ReplayLine]]:
    """An open trace, and who travels in it.

    `indexed` False does without the index beside the trace.
    """
    with trace.open(name) as opened, ReplayLine(opened) as line:
        if indexed and is_stale(opened):
            text = f"bootstrap: {beside(opened)}: is not of this trace, and is not used; "
            say([f"{text}`bootstrap trace index` makes a new one"], sys.stderr)
        kept = checkpoints_of(opened) if indexed else None
        traveller = Timeline(opened, default_engine(), line.at_instruction, checkpoints=kept)
        try:
            yield opened, traveller, line
        finally:
            traveller.close()


def run_show(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError, KeyboardInterrupt."""
    place = parse(args.place)
    memory = None if args.memory is None else memory_wanted(args.memory)
    with travelling(args.trace) as (opened, traveller, _line):
        traveller.go(place)
        found = state.show(traveller, ProgramImages(opened), memory)
    show(show_lines(found), args.json, show_json(found))
    return 0


def run_index(args: argparse.Namespace) -> int:
    """Make it. Raises BootstrapError, KeyboardInterrupt."""
    with travelling(args.trace, indexed=False) as (opened, traveller, line):

        def progress(row: int, executed: int) -> None:
            line.doing = f"program {row} of {len(opened.programs)}, "
            traveller.progress(row, executed)

        name = beside(opened)
        total = build(opened, default_engine(), name, progress)
        programs = len(opened.programs)
    size = os.stat(name).st_size
    found = {
        "schema": "bootstrap-trace-indexed/1",
        "file": name, "size": size, "programs": programs, "instructions": total,
    }  # fmt: skip
    text = f"{name}: {total:,} instructions in {words.count(programs, 'program')}; {size:,} bytes"
    show([text], args.json, found)
    return 0


def run_hot(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError, KeyboardInterrupt."""
    if args.top < 1:
        raise BadInput(f"--top {args.top}: at least 1")
    with travelling(args.trace) as (opened, traveller, line):
        programs = opened.programs
        if args.pid:
            programs = [p for pid in dict.fromkeys(args.pid) for p in programs_of(opened, pid)]
        line.doing = f"counting {len(programs)} programs: "
        found = list(count(traveller, ProgramImages(opened), programs).values())
        rows = hot_spots(found)
        hashes = opened.hashes()
    lines = hot_lines(found, rows, args.top)
    show(lines, args.json, hot_json(found, rows, args.top, hashes))
    return 0


def run_coverage(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError, KeyboardInterrupt."""
    with travelling(args.trace) as (opened, traveller, line):
        images = ProgramImages(opened)
        versions = images.find(args.binary)
        programs = [p for p in opened.programs if p.image in versions]
        line.doing = f"counting {len(programs)} programs: "
        found = [coverage(one) for one in count(traveller, images, programs).values()]
        hashes = opened.hashes()
    parts = [(one, hashes[one.counted.version][0]) for one in found]
    value = {"schema": SCHEMA, "images": [coverage_json(*one) for one in parts]}
    lines = (text for one in parts for text in coverage_lines(*one, args.all))
    show(lines, args.json, value)
    return 0


def instructions(name: str) -> dict[int, int]:
    """Of every program of a trace, how many instructions it executes: runs all of them again.

    Raises BootstrapError, KeyboardInterrupt.
    """
    with travelling(name) as (opened, traveller, line):
        found = {}
        for program in opened.programs:
            line.doing = f"counting program {program.id} of {len(opened.programs)}: "
            found[program.id] = traveller.total(program.id)
        return found


def run_export(args: argparse.Namespace) -> int:
    """Write it. Raises BootstrapError, KeyboardInterrupt."""
    _check(args)
    if args.format in ("strace", "dot"):
        with trace.open(args.trace) as opened:
            write_pieces(args.output, _read(args, opened))
        return 0

    with travelling(args.trace) as (opened, traveller, line):
        programs = opened.programs if args.pid is None else have_pid(opened, args.pid)
        line.doing = f"{args.format}: "
        write_pieces(args.output, _travelled(args, traveller, programs))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Raises BadInput for options that do not go together."""
    if args.format != "tenet":
        for value, option in (
            (args.from_, "--from"), (args.count, "--count"), (args.most, "--most"),
        ):  # fmt: skip
            if value is not None:
                raise BadInput(f"{option} goes with --format tenet only")
    elif (args.from_ is None) == (args.pid is None):
        raise BadInput("--format tenet: name a program with --pid N, or a place with --from PLACE")
    if args.format in ("perfetto", "dot") and args.pid is not None:
        raise BadInput(f"--pid: {args.format} shows all processes together; leave it out")
    for value, option in ((args.count, "--count"), (args.most, "--most")):
        if value is not None and value < 1:
            raise BadInput(f"{option} {value}: at least 1")


def _read(args: argparse.Namespace, opened: Trace) -> Iterator[bytes]:
    if args.format == "dot":
        return iter(files_graph(opened, "dot").encode().splitlines(keepends=True))
    wanted = CallFilter(opened, pids=() if args.pid is None else (args.pid,))
    return (f"{line}\n".encode() for line in log(opened, wanted))


def _travelled(
    args: argparse.Namespace, traveller: Timeline, programs: list[ProgramRow]
) -> Iterator[bytes]:
    if args.format == "perfetto":
        yield from perfetto(traveller)
        return
    if args.format == "drcov":
        yield from drcov(counts(traveller, programs))
        return
    traveller.go(parse(args.from_ or f"{args.pid}@0"))
    row, start = traveller.row, traveller.executed
    wanted = None if args.count is None else start + args.count
    end = window(traveller, row, start, wanted, args.most or MOST)
    yield from tenet(traveller, default_engine(), row, start, end)


def run_record(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns verify's exit status, or the guest's."""
    if args.program:
        return _program(args)
    if args.env or args.root != "." or args.cwd != "/":
        raise BadInput("--root, --cwd and --env go with -- PROGRAM only")
    for name, option in ((args.json, "--json"), (args.junit, "--junit"), (args.html, "--html")):
        if name is not None and Path(name).resolve() == Path(args.output).resolve():
            raise BadInput(f"{option} {name}: is where the trace goes; name another file")
    check_output_folder(args.products_to, "--products-to")
    given = argparse.Namespace(**{**vars(args), "output": args.products_to})
    return verify.run(given, record_to=args.output)


_VERIFY_ONLY = (
    "source", "release", "fetched", "fallback", "entry", "products_to", "json", "junit", "html",
    "recheck",
)  # fmt: skip


def _program(args: argparse.Namespace) -> int:
    for name in _VERIFY_ONLY:
        if getattr(args, name):
            option = f"--{name.replace('_', '-')}"
            raise BadInput(f"{option} goes with a bootstrap only, not with -- PROGRAM")
    # The image has its architecture, and there is one.
    for name, usual in (("arch", "x86"), ("jobs", None)):
        if getattr(args, name) != usual:
            raise BadInput(f"--{name} goes with a bootstrap only, not with -- PROGRAM")
    done = record_program(
        args.output, args.program, default_engine(), args.root, args.cwd, args.env,
        RunLimits().with_options(args.limit), standard_streams(),
    )  # fmt: skip
    report_probes(done.probes)
    status = 3 if done.ended is None else exit_status(done.ended)
    if not args.quiet:
        text = f"bootstrap: recorded in {args.output}: trace digest {done.digest}"
        print(printable(text), file=sys.stderr)
    if done.failure is not None:
        raise done.failure
    return status


def run_check(args: argparse.Namespace) -> int:
    """0: the same happened again; 1: something else did. Raises BootstrapError."""
    with trace.open(args.trace) as opened:
        with ReplayLine(opened) as line:
            line.doing = "running it again: "
            divergence = check(opened, default_engine(), line.at_event)
        programs = f"{words.count(len(opened.programs), 'program')}, {opened.events:,} system calls"
        same = f"{args.trace}: the same again: {programs}, trace digest {opened.digest}"
        value = {
            "schema": "bootstrap-trace-check/1", "digest": opened.digest,
            "programs": len(opened.programs), "calls": opened.events, "diverged": divergence,
        }  # fmt: skip
    show([same] if divergence is None else divergence.lines(), args.json, value)
    return ExitStatus.DONE if divergence is None else ExitStatus.DIFFERS


def run_info(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    with trace.open(args.trace) as opened:
        show(views.info(opened), args.json, views.info_json(opened))
    return ExitStatus.DONE


def run_tree(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    with trace.open(args.trace) as opened:
        counts = instructions(args.trace) if args.instructions else None
        show(views.tree(opened, counts), args.json, views.tree_json(opened, counts))
    return ExitStatus.DONE


def run_files(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    with trace.open(args.trace) as opened:
        graph = args.graph and views.files_graph(opened, args.graph).splitlines()
        show(graph or views.files_text(opened), args.json, views.files_json(opened))
    return ExitStatus.DONE


def run_log(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    names = [name for names in args.call for name in names.split(",")]
    with trace.open(args.trace) as opened:
        wanted = CallFilter(opened, names, None, args.path, args.pid)
        if args.json != STDOUT:
            say(log(opened, wanted))
        if args.json is not None:
            head = document(schema="bootstrap-trace-log/1", digest=opened.digest)
            write_pieces(args.json, _log_json(head, log(opened, wanted)))
    return ExitStatus.DONE


def _log_json(head: object, lines: Iterable[str]) -> Iterator[bytes]:
    """The document in pieces: a log may have millions of calls."""
    yield json.dumps(head).encode()[:-1] + b', "calls": ['
    for number, text in enumerate(lines):
        pid, _, call = text.removeprefix("[pid").partition("] ")
        yield (b",\n" if number else b"\n") + json.dumps({"pid": int(pid), "text": call}).encode()
    yield b"\n]}\n"


def run_why(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    path, colon, number = args.byte.rpartition(":")
    try:
        offset = int(number, 0)
    except ValueError:
        offset = -1
    if not path or not colon or offset < 0:
        raise BadInput(f"{args.byte}: name a file and an offset in it, like x86/bin/M1:0x200")
    with trace.open(args.trace) as opened:
        why = ByteOrigins(opened)
        links = why.why(path, offset)
        images = ProgramImages(opened, why)
        stores = {
            link: store_report(opened, default_engine(), images, link)
            for number, link in enumerate(links)
            if link.call is not None and args.stores != "none"
            and (number == 0 or args.stores == "all")
        }  # fmt: skip
        show(
            origins.lines(links, lambda link: line(stores[link]) if link in stores else ""),
            args.json,
            {
                "schema": "bootstrap-trace-why/1",
                "links": [why_json(link, stores) for link in links],
            },
        )
    return 0


def run_where(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    path, _colon, number = args.line.rpartition(":")
    if not path or not number.isdecimal() or int(number) < 1:
        raise BadInput(f"{args.line}: name a source and a line of it, like x86/cc_x86.M1:1623")
    with trace.open(args.trace) as opened:
        found, stopped = outputs_of_line(opened, path, int(number))
        text = origins.output_lines(path, int(number), found, stopped)
        show(text, args.json, origins.outputs_json(path, int(number), found, stopped))
    return 0
