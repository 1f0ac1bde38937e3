"""`bootstrap trace`: record a run, check the record, and read what is in it."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.cli import trace_timeline
from bootstrap.cli.verify import add_fallback, add_options
from bootstrap.core.errors import BadInput, printable

if TYPE_CHECKING:
    from bootstrap.timeline.origins import ByteOrigins, OriginStep
    from bootstrap.timeline.stores import StoreReport
    from bootstrap.trace.store import Trace


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its own commands; imports nothing heavy."""
    parser = subparsers.add_parser(
        "trace",
        help="record a run, check the record, see who read and wrote what",
        description="Record a run in one file: every system call, every version of every file, "
        "what each program was started with. Check a record by running it again, from what is in "
        "the file alone. See its processes, files and system calls. The file is an SQLite "
        "database: docs/trace.md.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_record(commands)
    for name, run, what, more in (
        ("check", run_check, "run a trace again, and compare every call and every file",
         "Run what was recorded again, from the trace's own content: no source tree, no cache. "
         "Every system call, argument, result and file version is compared; the first that "
         "differs is shown."),
        ("info", run_info, "what a trace is of, and its digest",
         "What was recorded, by what, how much of it there is, and the trace digest, which is "
         "equal for two recordings in which the same happened."),
    ):  # fmt: skip
        _reader(commands, name, run, what, more)
    _add_tree(commands)
    _add_files(commands)
    _add_log(commands)
    _add_why(commands)
    trace_timeline.add_parsers(functools.partial(_reader, commands))


def _reader(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
    more: str,
) -> argparse.ArgumentParser:
    """A command that reads a trace, which it takes first."""
    parser = commands.add_parser(name, help=what, description=more)
    parser.add_argument("trace", metavar="TRACE")
    parser.set_defaults(run=run)
    return parser


def _add_tree(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _reader(
        commands,
        "tree",
        run_tree,
        "the programs, who started whom, what each read and wrote",
        "Every program that ran, below the one that started it: pid, arguments, system calls, how "
        "it ended; what it opened for reading (<) and for writing (>), with size and the first "
        "digits of the SHA-256. A file that a child writes through a descriptor it inherited is "
        "shown at the one that opened it.",
    )
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="say how many instructions each executed, too: runs all of them again",
    )


def _add_why(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _reader(
        commands,
        "why",
        run_why,
        "where a byte of a file comes from, through every file in between",
        "Who wrote a byte of a file, in which system call, which instruction had "
        "stored the byte there, and from which place of "
        "which source: through every file in between, until a file of the source tree. What a "
        "program made of its input is known by the language models, where one of them makes the "
        "whole file byte for byte; at a program that has no model (a compiler) the path ends, and "
        "the answer says so, with the label that the byte lies after.",
    )
    parser.add_argument(
        "byte", metavar="FILE:OFFSET", help="a path in the tree, and an offset: x86/bin/M1:0x200"
    )
    parser.add_argument(
        "--stores",
        choices=("first", "all", "none"),
        default="first",
        help="find the instruction that stored the byte, by running the program again: of the "
        "file asked for (the default), of every file on the way, or not at all",
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write the answer as JSON ('-': standard output)"
    )
    reverse = _reader(
        commands,
        "where",
        run_where,
        "what a line of a source became: the bytes of every file that come from it",
        "The reverse of why: the bytes of every file that come from a line of a "
        "source, through every program that has a language model, and the programs without one, "
        "where that ends. A macro's bytes come from the line that uses it, not from its DEFINE.",
    )
    reverse.add_argument("line", metavar="SOURCE:LINE", help="such as x86/cc_x86.M1:1623")


def _add_record(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "record",
        help="run and record: a bootstrap as verify does it, or one program",
        description="Run and record. Without a PROGRAM: what `bootstrap verify` does with the same "
        "options, every check of it included. With -- PROGRAM ARG...: that program, as `bootstrap "
        "run` runs it. The trace is written as FILE.partial, and is FILE once it is whole.",
        epilog="Exit status: that of verify (0 verified, 1 mismatch, 2 usage or bad input, 3 the "
        "guest failed, 130 interrupted), or of run: the program's own. A run that fails is "
        "recorded to where it failed; one that is interrupted leaves no trace.",
    )
    parser.add_argument("-o", "--trace", required=True, metavar="FILE", help="the trace to write")
    one = parser.add_argument_group("with -- PROGRAM")
    one.add_argument("--root", default=".", metavar="DIR", help="the guest's / (default: .)")
    one.add_argument("--cwd", default="/", metavar="PATH", help="guest folder to start in")
    one.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="the guest's environment"
    )
    add_options(parser)
    add_fallback(parser)
    parser.add_argument("program", nargs="*", metavar="PROGRAM", help="after --, with arguments")
    parser.set_defaults(run=run_record)


def _add_files(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _reader(
        commands,
        "files",
        run_files,
        "every version of every file: who wrote it, who read it",
        "Every version of every file that was executed, read or written, in order of "
        "its first use: SHA-256, size, path, the program that wrote it (or that it was there "
        "before), and those that read it.",
    )
    parser.add_argument(
        "--graph",
        choices=("dot", "mermaid"),
        help="as a graph instead: files and programs, in Graphviz's or Mermaid's language",
    )


def _add_log(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _reader(
        commands,
        "log",
        run_log,
        "the system calls, as strace writes them",
        "The system calls in order, in strace's notation: [pid N] name(arguments) = "
        "result. A descriptor is followed by the path it was opened with, as by strace -y. A "
        "trace keeps arguments, not memory: what a call reads or stores there is shown by its "
        "address, but for the paths of files that were opened (the whole path, however the guest "
        "wrote it) and of programs that were executed.",
    )
    parser.add_argument("--pid", type=int, action="append", metavar="N", help="only this process")
    parser.add_argument(
        "--path",
        action="append",
        metavar="PATH",
        help="only calls on this file: its path in the guest, or the end of it from a /",
    )
    parser.add_argument(
        "--call", action="append", metavar="NAME", help="only these calls (commas between names)"
    )


def run_record(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns verify's exit status, or the guest's."""
    if args.program:
        return _program(args)
    if args.env or args.root != "." or args.cwd != "/":
        raise BadInput("--root, --cwd and --env go with -- PROGRAM only")
    from bootstrap.cli import verify

    for name, option in ((args.json, "--json"), (args.junit, "--junit")):
        if name is not None and Path(name).resolve() == Path(args.trace).resolve():
            raise BadInput(f"{option} {name}: is where the trace goes; name another file")
    return verify.run(args, record_to=args.trace)


_VERIFY_ONLY = (
    "source", "release", "fetched", "fallback", "entry", "output", "json", "junit", "verbose",
    "recheck",
)  # fmt: skip


def _program(args: argparse.Namespace) -> int:
    from bootstrap.cli.run import exit_status, report_probes, standard_streams
    from bootstrap.debug.opening import record_program
    from bootstrap.instruments import default_engine
    from bootstrap.linux.limits import Limits

    for name in _VERIFY_ONLY:
        if getattr(args, name):
            raise BadInput(f"--{name} goes with a bootstrap only, not with -- PROGRAM")
    # The image has its architecture, and there is one.
    for name, usual in (("arch", "x86"), ("jobs", 1)):
        if getattr(args, name) != usual:
            raise BadInput(f"--{name} goes with a bootstrap only, not with -- PROGRAM")
    done = record_program(
        args.trace, args.program, default_engine(), args.root, args.cwd, args.env,
        Limits().with_options(args.limit), standard_streams(),
    )  # fmt: skip
    report_probes(done.probes)
    status = 3 if done.ended is None else exit_status(done.ended)
    if not args.quiet:
        text = f"bootstrap: recorded in {args.trace}: trace digest {done.digest}"
        print(printable(text), file=sys.stderr)
    if done.failure is not None:
        raise done.failure
    return status


def run_check(args: argparse.Namespace) -> int:
    """0: the same happened again; 1: something else did. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.cli.trace_timeline import ReplayLine
    from bootstrap.instruments import default_engine
    from bootstrap.trace.compare import check

    with trace.open(args.trace) as opened:
        with ReplayLine(opened) as line:
            line.doing = "running it again: "
            divergence = check(opened, default_engine(), line.at_event)
        if divergence is None:
            programs = f"{len(opened.programs)} programs, {opened.events:,} system calls"
            say([f"{args.trace}: the same again: {programs}, trace digest {opened.digest}"])
            return 0
    say(divergence.lines())
    return 1


def run_info(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.trace.views import info

    with trace.open(args.trace) as opened:
        say(info(opened))
    return 0


def run_tree(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.cli.trace_timeline import instructions
    from bootstrap.trace.views import tree

    counted = instructions(args.trace) if args.instructions else None
    with trace.open(args.trace) as opened:
        say(tree(opened, counted))
    return 0


def run_files(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.trace.views import files_graph, files_text

    with trace.open(args.trace) as opened:
        graph = args.graph and files_graph(opened, args.graph)
        say(graph.splitlines() if graph else files_text(opened))
    return 0


def run_log(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.trace.log import LogFilter, log

    names = [name for names in args.call or () for name in names.split(",")]
    wanted = LogFilter(frozenset(args.pid or ()), tuple(args.path or ()), frozenset(names))
    with trace.open(args.trace) as opened:
        say(log(opened, wanted))
    return 0


def run_why(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import show
    from bootstrap.core.errors import BadInput
    from bootstrap.timeline.origins import ByteOrigins, lines
    from bootstrap.timeline.render import why_json
    from bootstrap.timeline.stores import line

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
        find = _stores(opened, why)
        stores = {
            link: find(link)
            for number, link in enumerate(links)
            if link.call is not None and args.stores != "none"
            and (number == 0 or args.stores == "all")
        }  # fmt: skip
        show(
            lines(links, lambda link: line(stores[link]) if link in stores else ""),
            args.json,
            {"schema": 1, "links": [why_json(link, stores) for link in links]},
        )
    return 0


def _stores(opened: Trace, why: ByteOrigins) -> Callable[[OriginStep], StoreReport | None]:
    from bootstrap.instruments import default_engine
    from bootstrap.timeline.images import ProgramImages
    from bootstrap.timeline.stores import store_report

    images = ProgramImages(opened, why)
    return lambda link: store_report(opened, default_engine(), images, link)


def run_where(args: argparse.Namespace) -> int:
    """Print it. Raises BootstrapError."""
    from bootstrap import trace
    from bootstrap.cli.output import say
    from bootstrap.core.errors import BadInput
    from bootstrap.timeline.line_outputs import lines, outputs_of_line

    path, _colon, number = args.line.rpartition(":")
    if not path or not number.isdecimal() or int(number) < 1:
        raise BadInput(f"{args.line}: name a source and a line of it, like x86/cc_x86.M1:1623")
    with trace.open(args.trace) as opened:
        found, stopped = outputs_of_line(opened, path, int(number))
        say(lines(path, int(number), found, stopped))
    return 0
