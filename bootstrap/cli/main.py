"""The command line: parse, call one command, say what went wrong in a line and a status."""

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence

from bootstrap import signals
from bootstrap.cli import live
from bootstrap.cli.commands import parser
from bootstrap.cli.output import check_inputs, check_places
from bootstrap.core.errors import BootstrapError, ExitStatus, printable
from bootstrap.signals import Terminated


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    _open_missing_streams()
    _let_any_string_be_printed()
    args = argparse.Namespace()
    try:
        with signals.polite():
            return _run(argv, args)
    except BootstrapError as error:
        return _failed(str(error), error.exit_code, error if _given(args, "verbose") else None)
    except Terminated as signalled:
        return _failed(f"ended by {signalled}", signalled.exit_code)
    except KeyboardInterrupt:
        return _failed("interrupted", ExitStatus.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output went away; say nothing more into the broken pipe.
        _give_up_stdout()
        return ExitStatus.CLOSED_PIPE
    except OSError as error:
        # Commands say what happens to their files; what is left is their output.
        _give_up_stdout()
        cause = error.strerror or error
        return _failed(f"standard output: cannot be written: {cause}", ExitStatus.BAD_INPUT)
    except MemoryError:
        message = "the host has no memory left; try a lower --limit memory"
        return _failed(message, ExitStatus.BAD_INPUT)


def _run(argv: Sequence[str] | None, args: argparse.Namespace) -> int:
    parser().parse_args(argv, args)
    args.quiet, args.verbose = _given(args, "quiet"), _given(args, "verbose")
    live.silent = args.quiet
    # What cannot be written must not be found out after minutes of work.
    check_places(getattr(args, "json", None))
    check_inputs(vars(args))
    # What came after a -- cannot be distinguished from what came before it otherwise.
    args.given = list(sys.argv[1:] if argv is None else argv)
    module, _, function = args.function.partition(":")
    status = getattr(importlib.import_module(f"bootstrap.cli.{module}"), function)(args)
    sys.stdout.flush()
    return int(status)


def run_help(args: argparse.Namespace) -> int:
    """`bootstrap help COMMAND...` is `bootstrap COMMAND... --help`."""
    parser().parse_args([*args.command, "--help"])
    raise AssertionError("--help ends the program")


def _given(args: argparse.Namespace, name: str) -> bool:
    """Whether -q or -v was given, before the command or after it."""
    return any(value is True for key, value in vars(args).items() if key.partition("_")[0] == name)


def _failed(message: str, status: int, where: BaseException | None = None) -> int:
    """Say it in one line, whatever names stand in it; returns the status.

    With `where`, the place of the program that raised it is said too.
    """
    with contextlib.suppress(OSError):
        print(f"bootstrap: {printable(message)}", file=sys.stderr)
        at = where.__traceback__ if where is not None else None
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        if at is not None:
            module = at.tb_frame.f_globals.get("__name__")
            print(f"bootstrap: raised in {module}, line {at.tb_lineno}", file=sys.stderr)
    return status


def _open_missing_streams() -> None:
    """Open what the shell closed on nothing, so that no file of ours gets descriptor 0, 1 or 2."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))


def _let_any_string_be_printed() -> None:
    """What a stream's encoding does not have is an escape there, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _give_up_stdout() -> None:
    """Lead what is still buffered to nowhere: Python would try to write it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
