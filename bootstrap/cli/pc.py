"""`bootstrap pc`: boot a disk image on a bare PC; and `verify --machine builder-hex0`."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from bootstrap import signals
from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import (
    check_places,
    document,
    each,
    for_people,
    say,
    write_json,
    write_pieces,
)
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.core.release import Release, Tree
from bootstrap.linux.limits import with_options
from bootstrap.machines.builder_hex0 import Opinion, Stages, build, read_stages, release_image
from bootstrap.machines.call_log import Call, CallLog, line, name
from bootstrap.machines.disk import Disk
from bootstrap.machines.pc import Interrupt, Pc, PcLimits
from bootstrap.runs.deciding import core_tree, release_of
from bootstrap.sources import Cache, resolve
from bootstrap.sources.checkouts import BUILDER_HEX0, checkout_at

MAKE = "image"
"""In place of an image: make one."""
SCHEMA = "bootstrap-opinion/1"


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns the exit status."""

    if args.image == MAKE:
        if args.output is None:
            raise BadInput("pc image: name the image to be written with -o; or boot ./image")
        check_places(args.output)
        stages, tree, release = _what(args)
        entry = release.entry(None)
        write_pieces(args.output, [release_image(stages, tree, release, entry)])
        return ExitStatus.DONE
    if args.output or args.source or args.release or args.builder_hex0:
        raise BadInput("-o, --source, --release and --builder-hex0 go with: pc image")
    limits = with_options(PcLimits(), args.limit)
    check_places(args.disk_out, args.log)
    with contextlib.closing(Disk(Path(args.image), limits.disk)) as disk, _log(args.log) as log:
        taken: Callable[[Interrupt], object] | None = None
        pc: Pc
        if log is not None:
            watch = log
            taken = lambda interrupt: watch(pc, interrupt)  # noqa: E731
        show = (lambda _byte: None) if args.quiet else _Console()
        pc = Pc(disk, show, _key if args.console else lambda _wait: None, limits, taken)
        with contextlib.closing(pc):
            how = pc.run()
        if args.disk_out is not None:
            write_pieces(args.disk_out, disk.pieces())
    print(f"bootstrap: the machine {'rebooted' if how == 'reboot' else how}", file=sys.stderr)
    return ExitStatus.DONE


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
def _log(dest: str | None) -> Iterator[Callable[[Pc, Interrupt], object] | None]:
    """What each system call is given to; the file is written when all is over, however it ended."""
    if dest is None:
        yield None
        return

    with tempfile.TemporaryFile() as file:

        def ended(pc: Pc, call: Call, result: int | None) -> None:
            file.write(printable(line(pc, call, result)).encode() + b"\n")

        try:
            yield CallLog(ended).taken
        finally:
            file.seek(0)
            write_pieces(dest, _pieces(file))


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(1 << 20):
        yield piece


def _what(args: argparse.Namespace) -> tuple[Stages, Tree, Release]:
    """builder-hex0, a tree and its release, as the options name them. Raises BadInput."""

    with checkout_at(args.builder_hex0, BUILDER_HEX0, Cache()) as at:
        stages = read_stages(at.folder)
    resolved = resolve(args.source, args.release, "x86", Cache())
    release = release_of(resolved.step)
    if release is None or resolved.step.release is None:
        raise BadInput(
            "the machine builder-hex0 builds a release of stage0-posix that is known: name one "
            "with --source or --release"
        )
    return stages, core_tree(resolved.tree), release


def verify(args: argparse.Namespace) -> int:
    """`verify --machine builder-hex0`. Raises BootstrapError; returns the exit status."""

    limits = with_options(PcLimits(), args.limit)
    check_places(args.json, args.log)
    stages, tree, release = _what(args)
    started, text = time.monotonic(), bytearray()
    with LiveLine(args.quiet) as live, _log(args.log) as log:

        def show(byte: int) -> None:
            if byte != 10:
                text.append(byte)
                return
            seconds = f"builder-hex0: {time.monotonic() - started:.0f} s, "
            live.show(seconds + text.decode("utf-8", "replace").strip())
            text.clear()

        opinion = build(stages, tree, release, limits, show, log)
    fields = _fields(opinion, release, tree)
    each(
        lambda: say(_lines(opinion, release, tree, args.quiet),
                    for_people(args.json)),
        args.json and (lambda: write_json(args.json, document(schema=SCHEMA, **fields))),
    )  # fmt: skip
    return ExitStatus.DONE if opinion.agrees else ExitStatus.DIFFERS


def _fields(opinion: Opinion, release: Release, tree: Tree) -> dict[str, object]:
    """The opinion as JSON."""
    return {
        "result": "agree" if opinion.agrees else "differ",
        "opinion": "builder-hex0's kernel",
        "release": release.title,
        "arch": release.arch,
        "tree": tree.digest,
        "judged_by": {"file": release.file, "sha256": release.sha256},
        "stages": opinion.stages,
        "image_sha256": opinion.image_sha256 or None,
        "stopped": opinion.stopped,
        "artifacts": [
            {"path": file.path, "sha256": file.sha256, "matches": file.matches}
            for file in opinion.artifacts
        ],
        "seeds": opinion.seeds,
        "materials": opinion.materials,
        "guest_sha256sum_ok": opinion.guest_ok,
        "system_calls": {str(number): count for number, count in sorted(opinion.calls.items())},
        "console": opinion.console,
    }


def _lines(opinion: Opinion, release: Release, tree: Tree, quiet: bool) -> Iterator[str]:
    """The opinion for people."""

    good = sum(file.matches for file in opinion.artifacts)
    what = f"{release.title} for {release.arch} on a PC without Linux"
    last = (
        f"AGREES: builder-hex0's kernel made all {good} artifacts of {what} as they are known. "
        "An opinion of its own, no verdict."
        if opinion.agrees
        else f"DIFFERS: {good} of {len(opinion.artifacts)} artifacts of {what} are as known."
    )
    if quiet and opinion.agrees:
        yield last
        return
    yield f"{what}, as {release.file} says"
    yield f"  tree       {tree.digest}"
    yield "  kernel     builder-hex0's own serves the system calls, no line of ours"
    yield f"  stage1     {opinion.stages['stage1']} (the boot sector)"
    yield f"  stage2     {opinion.stages['stage2']} (its source)"
    yield f"  kernel is  {opinion.stages['kernel']} (what stage1 makes of it)"
    for path, there in opinion.materials.items():
        yield f"  ✗ {path} is not the release's: {there or 'not there'}"
    for path, made in opinion.seeds.items():
        yield f"  {'✓' if made else '✗'} {path}, which its hex0 makes from source"
    for file in opinion.artifacts:
        if not file.matches:
            known = ", ".join(sorted({value.sha256 for value in file.known}))
            yield f"  ✗ {file.path}"
            yield f"      got      {file.sha256 or 'no such file'}"
            yield f"      expected {known}"
    counts = ", ".join(f"{name(number)} {count:,}" for number, count in
                       sorted(opinion.calls.items(), key=lambda item: -item[1]))  # fmt: skip
    yield f"  calls      {sum(opinion.calls.values()):,}: {counts}"
    yield f"  console    {len(opinion.console):,} characters; its own sha256sum says OK " + (
        f"{opinion.guest_ok} times"
    )
    yield f"  stopped    {opinion.stopped}"
    yield last
