"""`bootstrap trace record`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bootstrap.errors import BadInput


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns verify's exit status, or the guest's."""
    if args.program:
        return _program(args)
    if args.env or args.root != "." or args.cwd != "/":
        raise BadInput("--root, --cwd and --env go with -- PROGRAM only")
    from bootstrap.cli import verify

    return verify.run(args, record_to=args.trace)


_VERIFY_ONLY = ("source", "release", "fetched", "entry", "output", "json", "junit", "verbose")


def _program(args: argparse.Namespace) -> int:
    from bootstrap.abi.errno import LinuxError
    from bootstrap.cli.run import exit_status, standard_streams
    from bootstrap.engine import default_engine
    from bootstrap.errors import GuestFailed
    from bootstrap.kernel.limits import Limits
    from bootstrap.kernel.machine import Machine
    from bootstrap.trace.header import header
    from bootstrap.trace.recorder import Recorder
    from bootstrap.trace.writer import recording
    from bootstrap.vfs import FileSystem, FolderLower, FsLimits

    for name in _VERIFY_ONLY:
        if getattr(args, name):
            raise BadInput(f"--{name} goes with a bootstrap only, not with -- PROGRAM")
    if not Path(args.root).is_dir():
        raise BadInput(f"--root {args.root}: is not a folder")
    limits, engine = Limits().with_options(args.limit), default_engine()
    argv = [os.fsencode(argument) for argument in args.program]
    envp = [os.fsencode(variable) for variable in args.env]
    with recording(args.trace) as writer:
        recorder = Recorder(writer)
        fs = FileSystem(
            FolderLower(args.root), FsLimits(limits.file, limits.files_total, limits.inodes)
        )
        streams = recorder.attach(fs, standard_streams())
        machine = Machine(fs, engine, limits, [recorder])
        failure: GuestFailed | None = None
        status = 3
        try:
            ended = machine.run(argv[0], argv, envp, os.fsencode(args.cwd), streams)
            status = exit_status(ended)
        except LinuxError as error:
            raise BadInput(
                f"{args.program[0]}: cannot be executed in {args.root}: {error}"
            ) from None
        except GuestFailed as error:
            failure = error
        recorder.finish()
        digest = writer.finish(
            {
                **header("run", engine, limits, (0, 1, 2)),
                "arch": "",
                "failure": str(failure) if failure is not None else "",
            }
        )
    if not args.quiet:
        print(f"bootstrap: recorded in {args.trace}: trace digest {digest}", file=sys.stderr)
    if failure is not None:
        raise failure
    return status


__all__ = ["run"]
