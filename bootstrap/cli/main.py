"""The command line: parse, call one command, say what went wrong in a line and a status."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence

import bootstrap
from bootstrap import signals
from bootstrap.cli import (
    attest,
    ddc,
    diff,
    doctor,
    fetch,
    gdb,
    handoff,
    identify,
    oci,
    prove,
    quorum,
    releases,
    run,
    seeds,
    step,
    trace,
    verify,
)
from bootstrap.core.errors import (
    EXIT_STATUS_HELP,
    BootstrapError,
    ExitStatus,
    printable,
)
from bootstrap.signals import Terminated

_EPILOG = """\
examples:
  bootstrap verify                          rebuild stage0 for x86 and check every product
  bootstrap verify --arch amd64 --json -    the same for AMD64, report as JSON
  bootstrap verify --arch all --jobs 2      every architecture, two at a time, one report
  bootstrap verify --source ~/stage0-posix  a checkout of yours
  bootstrap fetch stage0-posix --from ~/stage0-posix-1.9.1.tar.gz
  bootstrap ddc                             three unrelated paths to one compiler
  bootstrap prove seeds/x86/hex0-seed       what the seed does, for every input
  bootstrap run --strace -- ./hex0 in.hex0 out
  bootstrap trace record -o x86.trace       verify, and record all that happens
  bootstrap step                            step through hex0, forwards and backwards
  bootstrap gdb --launch -- ./hex0 in.hex0 out
  bootstrap diff good.trace bad.trace       where two runs part first, and what followed
  bootstrap identify FILE                   whose is it: a seed, source or product of a release
  bootstrap doctor                          what is there, and what is missing
"""


class _CommandParser(argparse.ArgumentParser):
    """Of every command and of its own commands: each --help ends with the one table of statuses."""

    def format_help(self) -> str:
        return f"{super().format_help()}\n{EXIT_STATUS_HELP}"


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = _CommandParser(
        prog="bootstrap",
        description="Rebuild and verify a full-source bootstrap in an emulator: from a seed of a "
        "few hundred bytes, through every program built from it, each compared with its known-good "
        "hash.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"bootstrap {bootstrap.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        verify,
        ddc,
        prove,
        seeds,
        identify,
        fetch,
        releases,
        run,
        trace,
        step,
        gdb,
        diff,
        handoff,
        oci,
        attest,
        quorum,
        doctor,
    ):
        module.add_parser(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    _open_missing_streams()
    _let_any_string_be_printed()
    try:
        with signals.polite():
            return _run(argv)
    except BootstrapError as error:
        return _failed(str(error), error.exit_code)
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


def _run(argv: Sequence[str] | None) -> int:
    args = parser().parse_args(argv)
    # What came after a -- cannot be distinguished from what came before it otherwise.
    args.given = list(sys.argv[1:] if argv is None else argv)
    status = args.run(args)
    sys.stdout.flush()
    return int(status)


def _failed(message: str, status: int) -> int:
    """Say it in one line, whatever names stand in it; returns the status."""
    with contextlib.suppress(OSError):
        print(f"bootstrap: {printable(message)}", file=sys.stderr)
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
