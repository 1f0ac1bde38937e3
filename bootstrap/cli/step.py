"""`bootstrap step`: the terminal debugger over a recorded run, and its scripts.

What is stepped through, also by `bootstrap gdb`: a trace, or a run that is recorded for it first.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput, BootstrapError, printable

if TYPE_CHECKING:
    from bootstrap.debug.command_language import DebugCommand
    from bootstrap.sources import Resolved

SCHEMA = 1
MAX_SCRIPT = 1 << 24


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options; imports nothing heavy."""
    parser = subparsers.add_parser(
        "step",
        help="step through a run, forwards and backwards: source, code, registers, files",
        usage="%(prog)s [TRACE | --source TREE | -- PROGRAM ARG...] [--script FILE] [options]",
        description="Step through a recorded run, instruction by instruction, forwards and "
        "backwards, in a terminal: the source line that each instruction was assembled from, "
        "disassembly, registers, memory, files, system calls, processes. ? shows the keys, : takes "
        "the same as words. A program or a source tree is recorded first, once, and then stepped "
        "through. Nothing of the host is changed.",
        epilog="Exit status: 0 done; 1 something that a script expects is not so; 2 usage or bad "
        "input, also a line of a script; 130 interrupted. A walk through hex0: docs/step.md.",
    )
    add_options(parser)
    parser.add_argument(
        "--script", metavar="FILE", help="do the commands of a file ('-': standard input), print "
        "what comes of them, and stop at the first that fails; no terminal is needed",
    )  # fmt: skip
    parser.add_argument(
        "--json", metavar="FILE", help="with --script: the results as JSON ('-': standard output)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError, KeyboardInterrupt."""
    if args.json is not None and args.script is None:
        raise BadInput("--json goes with --script")
    if args.script is not None:
        lines = _read(args.script)
        with trace_of(args) as name:
            return _script(args, name, lines)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("standard input and output are no terminal; --script FILE needs none")
    with trace_of(args) as name:
        from bootstrap.cli.output import write_text
        from bootstrap.debug.tui.app import run_app

        return run_app(name, write_text)


def _read(name: str) -> list[tuple[int, str, DebugCommand]]:
    """The commands of a script, with line number and text. Raises BadInput naming the line."""
    from bootstrap.debug.command_table import parse

    try:
        raw = sys.stdin.buffer.read(MAX_SCRIPT) if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"{name}: cannot be read: {cause}") from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadInput(f"{name}: is no text in UTF-8") from None
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            command = parse(line.rstrip("\r"))
        except BadInput as error:
            raise BadInput(f"{name}:{number}: {error}") from None
        if command is not None:
            if command.verb.screen:
                raise BadInput(f"{name}:{number}: {command.name}: only where there is a screen")
            found.append((number, line.strip(), command))
    return found


def _script(args: argparse.Namespace, name: str, lines: list[tuple[int, str, DebugCommand]]) -> int:
    from bootstrap.cli.output import STDOUT, say, write_json, write_text
    from bootstrap.debug.command_table import Interpreter
    from bootstrap.debug.session import Session

    results: list[dict[str, object]] = []
    failed: BootstrapError | None = None
    with Session.open(name) as session:
        interpreter = Interpreter(session, write_text)
        for number, text, command in lines:
            entry: dict[str, object] = {"line": number, "command": text}
            try:
                result = interpreter.do(command)
            except BootstrapError as error:
                failed = _placed(args.script, number, text, error)
                results.append(
                    entry | {"answer": [], "failed": str(error), "at": str(session.here)}
                )
                break
            results.append(entry | {"answer": list(result.lines), "at": str(session.here)})
            if args.json != STDOUT:
                say((f"> {text}", *result.lines))
                sys.stdout.flush()
            if result.ends:
                break
        digest = session.trace.digest
    write_json(
        args.json,
        {"schema": SCHEMA, "trace": digest, "commands": results, "failed": failed is not None},
    )
    if failed is not None:
        raise failed
    return 0


def _placed(script: str, number: int, text: str, error: BootstrapError) -> BootstrapError:
    """The same error, with the line of the script."""
    found = BootstrapError(f"{script}:{number}: {text}: {error}")
    found.exit_code = error.exit_code
    return found


ONLY_PROGRAM = ("root", "cwd", "env")
ONLY_SOURCE = ("source", "release", "entry")


def add_options(parser: argparse.ArgumentParser, root: str = "") -> None:
    """TRACE, --source TREE, or -- PROGRAM ARG...; `root`: what else --root is for."""
    from bootstrap.cli.verify import ENTRIES, add_limits

    parser.add_argument(
        "words", nargs="*", metavar="TRACE | -- PROGRAM ARG...",
        help="a trace (`bootstrap trace record`); or, after --, a program and its arguments, "
        "recorded as `bootstrap run` runs it. Without either: the sources that this program "
        "carries, from the hex0 seed to a hello, world",
    )  # fmt: skip
    tree = parser.add_argument_group("a bootstrap, recorded first")
    tree.add_argument("--source", metavar="TREE", help="a checkout, or a .tar.gz of a release")
    tree.add_argument("--release", metavar="R", help="that release of stage0-posix")
    tree.add_argument(
        "--arch", default="x86", help="x86 (default), AMD64, AArch64, riscv64, riscv32"
    )
    tree.add_argument("--entry", choices=ENTRIES, help="the way in, as for verify")
    one = parser.add_argument_group("with -- PROGRAM")
    one.add_argument("--root", metavar="DIR", help=f"the guest's / (default: .){root}")
    one.add_argument("--cwd", metavar="PATH", help="guest folder to start in (default: /)")
    one.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="the guest's environment"
    )
    add_limits(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress while recording")


def after_dashes(args: argparse.Namespace) -> tuple[str | None, list[str]]:
    """The trace, and the program with its arguments; at most one of the two. Raises BadInput."""
    given: Sequence[str] = args.given
    words: list[str] = args.words
    count = len(given) - given.index("--") - 1 if "--" in given else 0
    before, program = words[: len(words) - count], words[len(words) - count :]
    if "--" in given and not program:
        raise BadInput("no program after --: name one, as in -- ./hex0 in.hex0 out")
    if len(before) > 1:
        raise BadInput(f"{' '.join(before)}: one trace, please; a program to run goes after --")
    if before and program:
        raise BadInput(f"{before[0]} and a program after --: either of them")
    return (before[0] if before else None), program


@contextlib.contextmanager
def trace_of(args: argparse.Namespace, writes: bool = False) -> Iterator[str]:
    """The name of the trace: the given one, or a new one that is gone afterwards.

    `writes`: a trace may have --root too, where its program can be run again.
    Raises BootstrapError, KeyboardInterrupt.
    """
    trace, program = after_dashes(args)
    again = writes and trace is not None
    for names, wanted, what in (
        (ONLY_PROGRAM[1:] if again else ONLY_PROGRAM, bool(program), "with -- PROGRAM"),
        (ONLY_SOURCE, trace is None and not program, "without a trace or a program"),
    ):
        for name in names:
            if getattr(args, name) and not wanted:
                raise BadInput(f"--{name} goes {what} only")
    if trace is not None:
        if args.limit:
            raise BadInput("--limit goes with a run to record: a trace has its limits")
        yield trace
        return
    from bootstrap.debug.opening import temporary

    with temporary() as name:
        if program:
            _record_program(args, name, program)
        else:
            _record_sources(args, name)
        yield name


def _record_program(args: argparse.Namespace, name: str, program: list[str]) -> None:
    from bootstrap.cli.run import standard_streams
    from bootstrap.debug.opening import record_program
    from bootstrap.instruments import default_engine
    from bootstrap.linux.limits import Limits

    limits = Limits().with_options(args.limit)
    record_program(
        name, program, default_engine(), args.root or ".", args.cwd or "/", args.env, limits,
        standard_streams(),
    )  # fmt: skip


def _record_sources(args: argparse.Namespace, name: str) -> None:
    from bootstrap.cli.progress import progress_of
    from bootstrap.cli.verify import default_entry
    from bootstrap.debug.opening import record_sources
    from bootstrap.instruments import default_engine
    from bootstrap.linux.limits import Limits

    limits = Limits().with_options(args.limit)
    resolved = _resolved(args)
    notes: list[str] = []
    # On a pipe nobody asked for a line per artifact: what is wanted is what comes after.
    with progress_of(resolved.step, args.quiet, only_live=True) as progress:
        record_sources(
            name, resolved, default_engine(), args.entry or default_entry(resolved), limits,
            [progress], notes.append,
        )  # fmt: skip
    if not args.quiet:
        for line in notes:
            print(f"recorded: {printable(line)}", file=sys.stderr)


def _resolved(args: argparse.Namespace) -> Resolved:
    from bootstrap.known import all_steps
    from bootstrap.sources import Cache, check_materials, embedded_source, resolve
    from bootstrap.sources import Resolved as Found

    if args.source or args.release:
        return resolve(args.source, args.release, args.arch, Cache(), args.entry)
    arch = args.arch.lower()
    for step in all_steps():
        if step.name == "embedded" and step.arch.lower() == arch:
            if args.entry and args.entry not in step.entries:
                raise BadInput(f"--entry {args.entry}: the embedded sources have no such entry")
            tree = embedded_source(step)
            return Found(tree, step, check_materials(tree, step))
    raise BadInput(f"--arch {args.arch}: there are no embedded sources for it; --source TREE")
