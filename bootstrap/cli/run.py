"""`bootstrap run`: run one guest program in a folder, as qemu-user would, but contained."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from bootstrap import signals
from bootstrap.cli.output import check_guest_places, check_output_folder, write_end
from bootstrap.cli.output_tree import write_tree
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.errors import BadInput, printable
from bootstrap.core.files import Stream
from bootstrap.core.machine import RunResult
from bootstrap.instruments import default_engine
from bootstrap.linux import faults
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import FolderLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from bootstrap.linux.strace import Strace


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns the guest's exit status as a shell would have it."""
    limits = RunLimits().with_options(args.limit)
    if not Path(args.root).is_dir():
        raise BadInput(f"--root {args.root}: is not a folder")
    check_output_folder(args.output)
    check_guest_places(args.json)
    fs = OverlayFileSystem(FolderLower(args.root), limits)
    listeners = [Strace(_print_call)] if args.strace else []
    machine = LinuxMachine(
        fs, default_engine(), limits, listeners, probing=True, each_call=args.strace
    )
    argv = [os.fsencode(argument) for argument in (args.program, *args.argument)]
    envp = [os.fsencode(variable) for variable in args.env]
    cwd = os.fsencode(args.cwd)
    try:
        ended = machine.run(argv[0], argv, envp, cwd, standard_streams())
    except LinuxError as error:
        raise BadInput(f"{args.program}: cannot be executed in {args.root}: {error}") from None
    finally:
        report_probes(machine.probes or {})
        unwritten = [] if args.output is None else write_tree(Path(args.output), fs)
        for line in unwritten:
            print(f"bootstrap: {printable(line)}", file=sys.stderr)
    status = exit_status(ended)
    how = f"signal {ended.status & 0x7F}" if ended.status & 0x7F else f"exit {status}"
    write_end(args.json, "run", args.program, how, status=status, **dict(machine.probes or {}))
    if unwritten and not status:
        raise BadInput(
            f"--output {args.output}: the names above could not be written, all others are there; "
            "remove what is in their way, or name another folder"
        )
    return status


def _print_call(line: str) -> None:
    with signals.let_in():
        print(printable(line), file=sys.stderr)


def standard_streams() -> tuple[Stream, Stream, Stream]:
    """Our own three, for the guest."""
    return (
        Stream(_from_stdin),
        Stream(None, lambda data: _pass_on(sys.stdout, data)),
        Stream(None, lambda data: _pass_on(sys.stderr, data)),
    )


def report_probes(probes: Mapping[str, int]) -> None:
    """Say which calls failed as they would not on Linux, and how often, if any did."""
    if probes:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(probes.items()))
        print(f"bootstrap: failed with ENOSYS, as in an older kernel: {counts}", file=sys.stderr)


def exit_status(ended: RunResult) -> int:
    """The guest's exit status as a shell would have it; what ended it is said, if a fault did."""
    if ended.status & 0x7F:
        assert ended.fault is not None
        for line in faults.describe(ended.fault):
            print(f"bootstrap: {printable(line)}", file=sys.stderr)
        return 128 + (ended.status & 0x7F)
    return ended.status >> 8


def _from_stdin(count: int) -> bytes:
    """What read(2) of standard input gives. Ctrl-C ends it, though nothing may ever come.

    Raises LinuxError with the host's errno, KeyboardInterrupt.
    """
    try:
        with signals.let_in():
            return os.read(0, count)
    except OSError as error:
        raise _for_guest(error) from None


def _pass_on(stream: TextIO, data: bytes) -> int:
    """What write(2) to one of our own streams gives. A signal ends it, though nobody may ever read.

    Raises LinuxError, BrokenPipeError, KeyboardInterrupt.
    """
    try:
        with signals.let_in():
            return os.write(stream.fileno(), data)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _for_guest(error) from None


def _for_guest(error: OSError) -> LinuxError:

    # By name: other systems number their errors in other ways.
    name = errno.errorcode.get(error.errno or 0, "EIO")
    return LinuxError(Errno.__members__.get(name, Errno.EIO))
