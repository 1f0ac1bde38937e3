"""`bootstrap run`: run one guest program in a folder, as qemu-user would, but contained."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bootstrap.cli.verify import add_limits, check_output_folder
from bootstrap.errors import BadInput


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options; imports nothing heavy."""
    parser = subparsers.add_parser(
        "run",
        help="run one guest program in a folder, and leave the folder as it is",
        description="Run one static Linux program (x86 or AMD64) under the same kernel as verify. "
        "It sees the folder --root as / and nothing else of the host; what it writes stays in "
        "memory, and is written out only to --output.",
        epilog="Exit status: that of the program; 128 and the signal's number when a signal ended "
        "it; 2 usage or bad input; 3 an unknown system call or a limit.",
    )
    parser.add_argument("--root", default=".", metavar="DIR", help="the guest's / (default: .)")
    parser.add_argument("--cwd", default="/", metavar="PATH", help="guest folder to start in")
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="the guest's environment"
    )
    parser.add_argument(
        "--output", metavar="DIR", help="write what the guest wrote below this folder"
    )
    parser.add_argument("--strace", action="store_true", help="print each system call on stderr")
    add_limits(parser)
    parser.add_argument("program", metavar="PROGRAM", help="guest path, relative to --cwd")
    parser.add_argument("argument", nargs=argparse.REMAINDER, metavar="ARG")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns the guest's exit status as a shell would tell it."""
    from bootstrap.abi.errno import LinuxError
    from bootstrap.cli.output import write_file
    from bootstrap.engine import default_engine
    from bootstrap.kernel import faults
    from bootstrap.kernel.events import Observer
    from bootstrap.kernel.limits import Limits
    from bootstrap.kernel.machine import Machine
    from bootstrap.kernel.strace import Strace
    from bootstrap.vfs import FileSystem, FolderLower, FsLimits, Stream

    limits = Limits().with_options(args.limit)
    if not Path(args.root).is_dir():
        raise BadInput(f"--root {args.root}: is not a folder")
    check_output_folder(args.output)
    fs = FileSystem(
        FolderLower(args.root), FsLimits(limits.file, limits.files_total, limits.inodes)
    )
    observers: list[Observer] = []
    machine: Machine
    if args.strace:
        observers.append(
            Strace(lambda line: print(line, file=sys.stderr), lambda pid: machine.memory_of(pid))
        )
    machine = Machine(fs, default_engine(), limits, observers)
    sys.stdout.flush()
    streams = (
        Stream(lambda count: os.read(sys.stdin.fileno(), count)),
        Stream(None, lambda data: _pass_on(sys.stdout.buffer, data)),
        Stream(None, lambda data: _pass_on(sys.stderr.buffer, data)),
    )
    argv = [os.fsencode(argument) for argument in (args.program, *args.argument)]
    envp = [os.fsencode(variable) for variable in args.env]
    cwd = os.fsencode(args.cwd)
    try:
        ended = machine.run(argv[0], argv, envp, cwd, streams)
    except LinuxError as error:
        raise BadInput(f"{args.program}: cannot be executed in {args.root}: {error}") from None
    finally:
        if args.output is not None:
            for path, file in fs.changed():
                name = path.decode("utf-8", "surrogateescape").lstrip("/")
                write_file(Path(args.output), name, file.contents(), file.mode & 0o777)
    if ended.status & 0x7F:
        assert ended.fault is not None
        for line in faults.describe(ended.fault):
            print(f"bootstrap: {line}", file=sys.stderr)
        return 128 + (ended.status & 0x7F)
    return ended.status >> 8


def _pass_on(stream: object, data: bytes) -> int:
    stream.write(data)  # type: ignore[attr-defined]
    stream.flush()  # type: ignore[attr-defined]
    return len(data)


__all__ = ["add_parser", "run"]
