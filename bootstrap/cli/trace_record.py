"""`bootstrap trace record`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bootstrap.core.errors import BadInput, printable


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns verify's exit status, or the guest's."""
    if args.program:
        return _program(args)
    if args.env or args.root != "." or args.cwd != "/":
        raise BadInput("--root, --cwd and --env go with -- PROGRAM only")
    from bootstrap.cli import verify

    for name, option in ((args.json, "--json"), (args.junit, "--junit")):
        if name is not None and Path(name).resolve() == Path(args.trace).resolve():
            raise BadInput(f"{option} {name}: is where the trace goes; name another file")
    return verify.run(args, record_to=args.trace)


_VERIFY_ONLY = (
    "source", "release", "fetched", "fallback", "entry", "output", "json", "junit", "verbose",
)  # fmt: skip


def _program(args: argparse.Namespace) -> int:
    from bootstrap.cli.run import exit_status, standard_streams, tell_probes
    from bootstrap.debug.opening import record_program
    from bootstrap.instruments import default_engine
    from bootstrap.linux.limits import Limits

    for name in _VERIFY_ONLY:
        if getattr(args, name):
            raise BadInput(f"--{name} goes with a bootstrap only, not with -- PROGRAM")
    # The image tells its architecture, and there is one.
    for name, usual in (("arch", "x86"), ("jobs", 1)):
        if getattr(args, name) != usual:
            raise BadInput(f"--{name} goes with a bootstrap only, not with -- PROGRAM")
    done = record_program(
        args.trace, args.program, default_engine(), args.root, args.cwd, args.env,
        Limits().with_options(args.limit), standard_streams(),
    )  # fmt: skip
    tell_probes(done.probes)
    status = 3 if done.ended is None else exit_status(done.ended)
    if not args.quiet:
        told = f"bootstrap: recorded in {args.trace}: trace digest {done.digest}"
        print(printable(told), file=sys.stderr)
    if done.failure is not None:
        raise done.failure
    return status
