"""`bootstrap trace`: record a run, check the record, and read what is in it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from bootstrap import trace
from bootstrap.cli import output, verify
from bootstrap.cli.output import STDOUT, check_output_folder, document, say, show
from bootstrap.cli.run import exit_status, report_probes, standard_streams
from bootstrap.cli.trace_timeline import ReplayLine, instructions
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.debug.opening import record_program
from bootstrap.instruments import default_engine
from bootstrap.linux.limits import RunLimits
from bootstrap.timeline import line_outputs, origins
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.line_outputs import outputs_of_line
from bootstrap.timeline.origins import ByteOrigins
from bootstrap.timeline.render import why_json
from bootstrap.timeline.stores import line, store_report
from bootstrap.trace import views
from bootstrap.trace.calls import CallFilter
from bootstrap.trace.compare import check
from bootstrap.trace.log import log


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
    for name, usual in (("arch", "x86"), ("jobs", 1)):
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
        programs = f"{len(opened.programs)} programs, {opened.events:,} system calls"
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
            output.write_pieces(args.json, _log_json(head, log(opened, wanted)))
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
        text = line_outputs.lines(path, int(number), found, stopped)
        show(text, args.json, line_outputs.as_json(path, int(number), found, stopped))
    return 0
