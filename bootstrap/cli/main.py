"""The command line: parse, call one command, tell what went wrong in a line and a status."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

import bootstrap
from bootstrap.cli import (
    attest,
    ddc,
    diff,
    doctor,
    fetch,
    gdb,
    handoff,
    oci,
    quorum,
    releases,
    run,
    seeds,
    step,
    trace,
    verify,
)
from bootstrap.errors import BootstrapError

INTERRUPTED = 130

_EPILOG = """\
exit status:
  0  verified, or done
  1  a product differs from its known-good value, or is missing
  2  usage or bad input
  3  the guest failed: a fault, an unknown system call, a limit
  130  interrupted

examples:
  bootstrap verify                          rebuild stage0 for x86 and check every product
  bootstrap verify --arch amd64 --json -    the same for AMD64, report as JSON
  bootstrap verify --arch all --jobs 2      every architecture, two at a time, one report
  bootstrap verify --source ~/stage0-posix  a checkout of yours
  bootstrap fetch stage0-posix --from ~/stage0-posix-1.9.1.tar.gz
  bootstrap ddc                             three unrelated paths to one compiler
  bootstrap run --strace -- ./hex0 in.hex0 out
  bootstrap trace record -o x86.trace       verify, and record all that happens
  bootstrap step                            step through hex0, forwards and backwards
  bootstrap gdb --launch -- ./hex0 in.hex0 out
  bootstrap diff good.trace bad.trace       where two runs part first, and what followed
  bootstrap seeds identify FILE             is this a known seed, and whose?
  bootstrap doctor                          what is there, and what is missing
"""


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
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
        seeds,
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
    args = parser().parse_args(argv)
    # What came behind a -- cannot be told from what came before it otherwise.
    args.given = list(sys.argv[1:] if argv is None else argv)
    try:
        status = args.run(args)
        sys.stdout.flush()
        return int(status)
    except BootstrapError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("bootstrap: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; say nothing more into the broken pipe.
        _give_up_stdout()
        return 1
    except OSError as error:
        # Commands tell what happens to their files; what is left is their output.
        _give_up_stdout()
        print(f"bootstrap: standard output: cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    except MemoryError:
        print("bootstrap: the host has no memory left; try a lower --limit memory", file=sys.stderr)
        return 2


def _open_missing_streams() -> None:
    """Open what the shell closed on nothing, so that no file of ours gets descriptor 0, 1 or 2."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            fd = os.open(os.devnull, os.O_RDONLY if mode == "r" else os.O_WRONLY)
            setattr(sys, name, os.fdopen(fd, mode, encoding="utf-8", closefd=False))


def _give_up_stdout() -> None:
    """Lead what is still buffered to nowhere: Python would try to write it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
