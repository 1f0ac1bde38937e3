"""`bootstrap pc`: boot a disk image on a bare PC."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from bootstrap import signals
from bootstrap.cli.output import (
    check_guest_places,
    check_places,
    document,
    each,
    write_end,
    write_json,
    write_pieces,
)
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.core.release import Release, Tree
from bootstrap.linux.limits import with_options
from bootstrap.machines.builder_hex0 import Stages, read_stages, release_image
from bootstrap.machines.call_log import USER, CallLog, PcCall, line
from bootstrap.machines.disk import Disk
from bootstrap.machines.pc import GateWatch, Pc, PcLimits
from bootstrap.runs.deciding import core_tree, release_of
from bootstrap.sources import Cache, resolve
from bootstrap.sources.checkouts import (
    BUILDER_HEX0,
    Identity,
    checkout_at,
    identify_checkout,
)

if TYPE_CHECKING:
    from bootstrap.debug.gdb.bare_machine import BareMachine

MAKE = "image"
"""In place of an image: make one."""


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns the exit status."""
    if args.image == MAKE:
        if args.output is None:
            raise BadInput("pc image: name the image to be written with -o; or boot ./image")
        if args.json is not None:
            raise BadInput("--json goes with a boot, not with: pc image")
        check_places(args.output)
        _, stages, tree, release = builder_hex0_and_release(args)
        entry = release.entry(None)
        write_pieces(args.output, [release_image(stages, tree, release, entry)])
        return ExitStatus.DONE
    if args.output or args.source or args.release or args.builder_hex0:
        raise BadInput("-o, --source, --release and --builder-hex0 go with: pc image")
    limits = with_options(PcLimits(), args.limit)
    check_guest_places(args.json, args.disk_out, args.log, args.effects)
    watched = log_of(args.log, args.effects)
    with contextlib.closing(Disk(Path(args.image), limits.disk)) as disk, watched as log:
        show = (lambda _byte: None) if args.quiet else _Console()
        key = _key if args.console else lambda _wait: None
        with _gdb(args.gdb) as gdb:
            pc = Pc(disk, show, key, limits, log, gdb.steps if gdb else None)
            with contextlib.closing(pc):
                how = pc.run() if gdb is None else gdb.run(pc)
        if args.disk_out is not None:
            write_pieces(args.disk_out, disk.pieces())
    how = "rebooted" if how == "reboot" else how
    print(f"bootstrap: the machine {how}", file=sys.stderr)
    write_end(args.json, "pc", args.image, how, interrupts=pc.interrupts)
    return ExitStatus.DONE


def _gdb(address: str | None) -> contextlib.AbstractContextManager[BareMachine | None]:
    if address is None:
        return contextlib.nullcontext()
    from bootstrap.debug.gdb.bare_machine import waiting

    return waiting(
        address, lambda text: print(f"bootstrap: {printable(text)}", file=sys.stderr, flush=True)
    )


class _Console:
    """Standard output: as it comes, but what would do something to a terminal is escaped there."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()

    def __call__(self, byte: int) -> None:
        with signals.let_in():
            if self._terminal:
                sys.stdout.write(chr(byte) if byte in b"\r\n\t\b" else printable(bytes([byte])))
            else:
                sys.stdout.buffer.write(bytes([byte]))
            if byte == 10:
                sys.stdout.flush()


def _key(wait: bool) -> int | None:
    """The next byte of standard input; None at its end, or where nobody waits, if there is none."""
    while True:
        ready, _, _ = select.select([sys.stdin.fileno()], [], [], 0.05 if wait else 0)
        if ready:
            return next(iter(os.read(sys.stdin.fileno(), 1)), None)
        if not wait:
            return None
        signals.check()


@contextlib.contextmanager
def log_of(dest: str | None, effects: str | None) -> Iterator[GateWatch | None]:
    """What hears of each system call; both files are written when all is over, however."""
    if dest is None and effects is None:
        yield None
        return
    from bootstrap.diff.machine_effects import SCHEMA, Watch

    watch = Watch()
    with tempfile.TemporaryFile() as file:

        def ended(pc: Pc, call: PcCall, result: int | None) -> None:
            if dest is not None:
                file.write(printable(line(pc, call, result)).encode() + b"\n")
            if effects is not None:
                watch.ended(pc, call, result)

        def effects_document() -> dict[str, object]:
            kernel = "builder-hex0's kernel"
            return document(schema=SCHEMA, kernel=kernel, programs=watch.programs())

        try:
            yield GateWatch(CallLog(ended).taken, None if dest else watch.plain(USER))
        finally:
            file.seek(0)
            each(
                dest and (lambda: write_pieces(dest, _pieces(file))),
                effects and (lambda: write_json(effects, effects_document())),
            )


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(1 << 20):
        yield piece


def builder_hex0_and_release(
    args: argparse.Namespace,
) -> tuple[Identity, Stages, Tree, Release]:
    """builder-hex0, a tree and its release, as the options name them. Raises BadInput."""
    with checkout_at(args.builder_hex0, BUILDER_HEX0, Cache()) as at:
        identity, stages = identify_checkout(BUILDER_HEX0, at), read_stages(at.folder)
    resolved = resolve(args.source, args.release, "x86", Cache())
    release = release_of(resolved.step)
    if release is None or resolved.step.release is None:
        raise BadInput(
            "the machine builder-hex0 builds a release of stage0-posix that is known: name one "
            "with --source or --release"
        )
    return identity, stages, core_tree(resolved.tree), release
