"""`bootstrap trace`: record a run, check the record, and read what is in it."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable

from bootstrap.cli import trace_export, trace_read, trace_record, trace_travel
from bootstrap.cli.verify import add_fallback, add_options


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
        ("check", trace_read.run_check, "run a trace again, and compare every call and every file",
         "Run what was recorded again, from the trace's own content: no source tree, no cache. "
         "Every system call, argument, result and file version is compared; the first that "
         "differs is told."),
        ("info", trace_read.run_info, "what a trace is of, and its digest",
         "What was recorded, by what, how much of it there is, and the trace digest, which is "
         "equal for two recordings in which the same happened."),
    ):  # fmt: skip
        _reader(commands, name, run, what, more)
    _add_tree(commands)
    _add_files(commands)
    _add_log(commands)
    _add_why(commands)
    trace_travel.add_parsers(functools.partial(_reader, commands))
    trace_export.add_parser(functools.partial(_reader, commands))


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
        trace_read.run_tree,
        "the programs, who started whom, what each read and wrote",
        "Every program that ran, below the one that started it: pid, arguments, system calls, how "
        "it ended; what it opened for reading (<) and for writing (>), with size and the first "
        "digits of the SHA-256. A file that a child writes through a descriptor it inherited is "
        "told at the one that opened it.",
    )
    parser.add_argument(
        "--instructions",
        action="store_true",
        help="tell how many instructions each executed, too: runs all of them again",
    )


def _add_why(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _reader(
        commands,
        "why",
        trace_read.run_why,
        "where a byte of a file comes from, through every file in between",
        "Who wrote a byte of a file, in which system call, which instruction had "
        "stored the byte there, and from which place of "
        "which source: through every file in between, until a file of the source tree. What a "
        "program made of its input is told by the language models, where one of them makes the "
        "whole file byte for byte; at a program that has no model (a compiler) the way ends, and "
        "the answer says so, with the label that the byte lies behind.",
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
        trace_read.run_where,
        "what a line of a source became: the bytes of every file that come from it",
        "The reverse of why: the bytes of every file that come from a line of a "
        "source, through every program that has a language model, and the programs without one at "
        "which the way ends. A macro's bytes come from the line that uses it, not from its DEFINE.",
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
    parser.set_defaults(run=trace_record.run)


def _add_files(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _reader(
        commands,
        "files",
        trace_read.run_files,
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
        trace_read.run_log,
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
