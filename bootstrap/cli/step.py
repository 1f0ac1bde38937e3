"""`bootstrap step`: the terminal debugger over a recorded run, and its scripts."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.cli import stepping
from bootstrap.core.errors import BadInput, BootstrapError

if TYPE_CHECKING:
    from bootstrap.debug.command_language import Command

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
    stepping.add_options(parser)
    parser.add_argument(
        "--script", metavar="FILE", help="do the commands of a file ('-': standard input), print "
        "what they answer, and stop at the first that fails; no terminal is needed",
    )  # fmt: skip
    parser.add_argument(
        "--json", metavar="FILE", help="with --script: the answers as JSON ('-': standard output)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError, KeyboardInterrupt."""
    if args.json is not None and args.script is None:
        raise BadInput("--json goes with --script")
    if args.script is not None:
        lines = _read(args.script)
        with stepping.trace_of(args) as name:
            return _script(args, name, lines)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("standard input and output are no terminal; --script FILE needs none")
    with stepping.trace_of(args) as name:
        from bootstrap.cli.output import write_text
        from bootstrap.debug.tui import run_app

        return run_app(name, write_text)


def _read(name: str) -> list[tuple[int, str, Command]]:
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


def _script(args: argparse.Namespace, name: str, lines: list[tuple[int, str, Command]]) -> int:
    from bootstrap.cli.output import STDOUT, say, write_text
    from bootstrap.debug.command_table import Interpreter
    from bootstrap.debug.session import Session

    told: list[dict[str, object]] = []
    failed: BootstrapError | None = None
    with Session.open(name) as session:
        interpreter = Interpreter(session, write_text)
        for number, text, command in lines:
            entry: dict[str, object] = {"line": number, "command": text}
            try:
                result = interpreter.do(command)
            except BootstrapError as error:
                failed = _placed(args.script, number, text, error)
                told.append(entry | {"answer": [], "failed": str(error), "at": str(session.here)})
                break
            told.append(entry | {"answer": list(result.lines), "at": str(session.here)})
            if args.json != STDOUT:
                say((f"> {text}", *result.lines))
                sys.stdout.flush()
            if result.ends:
                break
        digest = session.trace.digest
    if args.json is not None:
        value = {"schema": SCHEMA, "trace": digest, "commands": told, "failed": failed is not None}
        write_text(args.json, json.dumps(value, indent=2) + "\n")
    if failed is not None:
        raise failed
    return 0


def _placed(script: str, number: int, text: str, error: BootstrapError) -> BootstrapError:
    """The same error, with the line of the script."""
    found = BootstrapError(f"{script}:{number}: {text}: {error}")
    found.exit_code = error.exit_code
    return found
