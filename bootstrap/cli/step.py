"""`bootstrap step`: the terminal debugger over a recorded run, and its scripts.

What is stepped through, also by `bootstrap gdb`: a trace, or a run that is recorded for it first.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bootstrap.cli.output import STDOUT, say, write_json, write_text
from bootstrap.cli.progress import progress_of
from bootstrap.cli.run import standard_streams
from bootstrap.cli.verify import default_entry
from bootstrap.core.errors import BadInput, BootstrapError, printable
from bootstrap.debug.command_language import DebugCommand
from bootstrap.debug.command_table import Interpreter, parse
from bootstrap.debug.opening import record_program, record_sources, temporary
from bootstrap.debug.session import Session
from bootstrap.instruments import default_engine
from bootstrap.known import all_steps
from bootstrap.linux.limits import RunLimits
from bootstrap.sources import Cache, Resolved, check_materials, embedded_source, resolve

SCHEMA = "bootstrap-step/1"
MAX_SCRIPT = 1 << 24


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError, KeyboardInterrupt."""
    if args.json is not None and args.script is None:
        raise BadInput("--json goes with --script")
    if args.script is not None:
        lines = _read(args.script)
        with trace_of(args) as name:
            return _script(args, name, lines)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("standard input and output are not a terminal; use --script FILE")
    with trace_of(args) as name:
        # A script needs no screen.
        from bootstrap.debug.tui.app import run_app

        return run_app(name, write_text)


def _read(name: str) -> list[tuple[int, str, DebugCommand]]:
    """The commands of a script, with line number and text. Raises BadInput naming the line."""
    try:
        raw = sys.stdin.buffer.read(MAX_SCRIPT) if name == "-" else Path(name).read_bytes()
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"{name}: cannot be read: {cause}") from None
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadInput(f"{name}: is not UTF-8 text") from None
    found = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            command = parse(line.rstrip("\r"))
        except BadInput as error:
            raise BadInput(f"{name}:{number}: {error}") from None
        if command is not None:
            if command.verb.screen:
                raise BadInput(f"{name}:{number}: {command.name}: only in a terminal")
            found.append((number, line.strip(), command))
    return found


def _script(args: argparse.Namespace, name: str, lines: list[tuple[int, str, DebugCommand]]) -> int:
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


def after_dashes(args: argparse.Namespace) -> tuple[str | None, list[str]]:
    """The trace, and the program with its arguments; at most one of the two. Raises BadInput."""
    given: Sequence[str] = args.given
    words: list[str] = args.words
    count = len(given) - given.index("--") - 1 if "--" in given else 0
    before, program = words[: len(words) - count], words[len(words) - count :]
    if "--" in given and not program:
        raise BadInput("no program after --: name one, as in -- ./hex0 in.hex0 out")
    if len(before) > 1:
        raise BadInput(f"{' '.join(before)}: only one trace; a program to run goes after --")
    if before and program:
        raise BadInput(f"{before[0]} and a program after --: give one or the other")
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

    with temporary() as name:
        if program:
            _record_program(args, name, program)
        else:
            _record_sources(args, name)
        yield name


def _record_program(args: argparse.Namespace, name: str, program: list[str]) -> None:
    limits = RunLimits().with_options(args.limit)
    record_program(
        name, program, default_engine(), args.root or ".", args.cwd or "/", args.env, limits,
        standard_streams(),
    )  # fmt: skip


def _record_sources(args: argparse.Namespace, name: str) -> None:
    limits = RunLimits().with_options(args.limit)
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
    if args.source or args.release:
        return resolve(args.source, args.release, args.arch, Cache(), args.entry)
    arch = args.arch.lower()
    for step in all_steps():
        if step.name == "embedded" and step.arch.lower() == arch:
            if args.entry and args.entry not in step.entries:
                raise BadInput(f"--entry {args.entry}: the embedded sources have no such entry")
            tree = embedded_source(step)
            return Resolved(tree, step, check_materials(tree, step))
    raise BadInput(f"--arch {args.arch}: there are no embedded sources for it; --source TREE")
