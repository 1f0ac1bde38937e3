"""`bootstrap uefi`: run a UEFI program on firmware of ours."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bootstrap import signals
from bootstrap.cli.output import check_guest_places, check_output_folder, write_end, write_files
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.core.release import read_folder
from bootstrap.linux.limits import with_options
from bootstrap.machines.uefi import STATUS_NAMES, SUCCESS, Uefi, UefiLimits, UefiVolume


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns the exit status."""
    limits = with_options(UefiLimits(), args.limit)
    root = Path(args.root)
    if not root.is_dir():
        raise BadInput(f"--root {args.root}: is not a folder")
    check_output_folder(args.output)
    check_guest_places(args.json)
    tree = read_folder(root)
    volume = UefiVolume.of({path: file.data for path, file in tree.files.items()}, tree.folders)
    wanted = args.program.replace("\\", "/").removeprefix("./").lstrip("/")
    program = volume.find(wanted)
    if program is None or program not in volume.files:
        raise BadInput(f"{args.program}: there is no such file in --root {args.root}")
    machine = Uefi(volume, _print, limits)
    options = " ".join((args.program, *args.argument))
    try:
        status = machine.run(machine.load(bytes(volume.files[program]), args.program, options))
    finally:
        sys.stdout.flush()
        if args.output is not None:
            changed = [(path, bytes(volume.files[path]), 0o644) for path in sorted(volume.changed)]
            write_files(Path(args.output), changed)
    name = STATUS_NAMES.get(status, "an error of its own")
    how = "success" if status == SUCCESS else name
    write_end(args.json, "uefi", args.program, how, status=status, files=len(volume.changed))
    if status == SUCCESS:
        return ExitStatus.DONE
    print(f"bootstrap: {printable(args.program)} ended with {status:#x}: {name}", file=sys.stderr)
    return ExitStatus.DIFFERS


def _print(text: str) -> None:
    with signals.let_in():
        lines = text.replace("\r", "").split("\n")
        sys.stdout.write("\n".join(printable(line) for line in lines))
