"""`verify --machine`: what comes of a release on a machine without Linux: no verdict."""

from __future__ import annotations

import argparse
import hashlib
import io
import time
from collections.abc import Iterable, Iterator, Mapping

from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import check_places, document, each, for_people, say, write_json
from bootstrap.cli.pc import builder_hex0_and_release, log_of
from bootstrap.core.errors import BadInput, ExitStatus, GuestFailed
from bootstrap.core.release import KnownValue, Release, Tree, from_answers
from bootstrap.core.verdict import ComparedFile, compare
from bootstrap.linux.limits import with_options
from bootstrap.machines import stage0
from bootstrap.machines.builder_hex0 import MOST_PRINTED, MachineOpinion, build
from bootstrap.machines.call_log import name
from bootstrap.machines.knight import KnightLimits
from bootstrap.machines.pc import PcLimits
from bootstrap.machines.uefi import STATUS_NAMES, Uefi, UefiLimits, UefiVolume
from bootstrap.sources import Cache
from bootstrap.sources.checkouts import (
    STAGE0,
    Identity,
    checkout_at,
    identify_checkout,
    read_used,
)
from bootstrap.sources.tree import open_source
from bootstrap.words import count

SCHEMA = "bootstrap-opinion/1"
_NOT_HERE = ("junit", "html", "output", "recheck", "fallback", "fetched", "memo",
             "fail_fast", "changed_since")  # fmt: skip
"""Options of verify that say something of a run on our own kernel."""
_UEFI_SEED = "bootstrap-seeds/UEFI/amd64/kaem-optional-seed.efi"
_UEFI_BOOT = "EFI/BOOT/BOOTX64.efi"
_UEFI_ANSWERS = "amd64.answers"
_UEFI_SCRIPT = "kaem.amd64"
"""What the seed runs where it is given no other."""


def verify(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError, KeyboardInterrupt; returns the exit status."""
    machines = {"builder-hex0": _builder_hex0, "knight": _knight, "uefi": _uefi}
    refused = [name for name in _NOT_HERE if getattr(args, name)]
    if args.entry not in (None, "kaem-optional-seed"):
        refused.append("entry hex0-seed")
    if args.arch.lower() not in ("x86", "i386"):
        refused.append("arch")
    if args.machine != "builder-hex0":
        refused += [name for name in ("log", "effects", "builder_hex0") if getattr(args, name)]
    if refused:
        option = f"--{refused[0].replace('_', '-')}"
        raise BadInput(f"{option} does not go with --machine {args.machine}")
    check_places(args.json, args.log, args.effects)
    status, fields, lines = machines[args.machine](args)
    shown = lines[-1:] if args.quiet and status == ExitStatus.DONE else lines
    each(
        lambda: say(shown, for_people(args.json)),
        args.json and (lambda: write_json(args.json, document(schema=SCHEMA, **fields))),
    )
    return status


_Found = tuple[ExitStatus, Mapping[str, object], list[str]]
"""The fields of the document, and the lines for people, a claim at their end."""


def _status(agrees: bool, is_known: bool) -> ExitStatus:
    """`is_known`: whether what ran is known here; otherwise it could have brought what it made."""
    if not agrees:
        return ExitStatus.DIFFERS
    return ExitStatus.DONE if is_known else ExitStatus.LESS_THAN_ASKED


def _checkout_lines(identity: Identity) -> Iterator[str]:
    yield f"  checkout   {identity.text}"
    if not identity.is_known:
        yield "  ! its files are not known here: it may bring along what it makes (exit status 4)"


def _artifact_lines(artifacts: Iterable[ComparedFile], all_of_them: bool = False) -> Iterator[str]:
    for file in artifacts:
        if all_of_them or not file.matches:
            known = ", ".join(sorted({value.sha256 for value in file.known}))
            yield from _row(file.path, file.matches, file.sha256 or "no such file", known)


def _row(name: str, matches: bool, got: str, expected: str | None) -> Iterator[str]:
    yield f"  {'✓' if matches else '✗'} {name}"
    if not matches:
        yield f"      got      {got}"
        yield f"      expected {expected}"


# builder-hex0.


def _builder_hex0(args: argparse.Namespace) -> _Found:
    limits = with_options(PcLimits(), args.limit)
    identity, stages, tree, release = builder_hex0_and_release(args)
    started, text = time.monotonic(), bytearray()
    with LiveLine(args.quiet) as live, log_of(args.log, args.effects) as log:

        def show(byte: int) -> None:
            if byte != 10:
                text.append(byte)
                return
            seconds = f"builder-hex0: {time.monotonic() - started:.0f} s, "
            live.show(seconds + text.decode("utf-8", "replace").strip())
            text.clear()

        opinion = build(stages, tree, release, limits, show, log)
    status = _status(opinion.agrees, identity.is_known)
    fields = {**_fields(opinion, release, tree), "commit": identity.commit}
    return status, fields, [*_lines(opinion, identity, release, tree)]


def _fields(opinion: MachineOpinion, release: Release, tree: Tree) -> dict[str, object]:
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


def _lines(
    opinion: MachineOpinion, identity: Identity, release: Release, tree: Tree
) -> Iterator[str]:
    """The opinion for people."""

    good = sum(file.matches for file in opinion.artifacts)
    what = f"{release.title} for {release.arch} on a PC without Linux"
    last = (
        f"AGREES: builder-hex0's kernel made all {good} artifacts of {what} as they are known. "
        "An opinion of its own, no verdict."
        if opinion.agrees
        else f"DIFFERS: {good} of {len(opinion.artifacts)} artifacts of {what} are as known."
    )
    yield f"{what}, as {release.file} says"
    yield f"  tree       {tree.digest}"
    yield "  kernel     builder-hex0's own serves the system calls, no line of ours"
    yield from _checkout_lines(identity)
    yield f"  stage1     {opinion.stages['stage1']} (the boot sector)"
    yield f"  stage2     {opinion.stages['stage2']} (its source)"
    yield f"  kernel is  {opinion.stages['kernel']} (what stage1 makes of it)"
    for path, there in opinion.materials.items():
        yield f"  ✗ {path} is not the release's: {there or 'not there'}"
    for path, made in opinion.seeds.items():
        yield f"  {'✓' if made else '✗'} {path}, which its hex0 makes from source"
    yield from _artifact_lines(opinion.artifacts)
    counts = ", ".join(f"{name(number)} {count:,}" for number, count in
                       sorted(opinion.calls.items(), key=lambda item: -item[1]))  # fmt: skip
    yield f"  calls      {sum(opinion.calls.values()):,}: {counts}"
    yield f"  console    {len(opinion.console):,} characters; its own sha256sum says OK " + (
        f"{opinion.guest_ok} times"
    )
    yield f"  stopped    {opinion.stopped}"
    yield last


# The knight.


def knight_roms(
    given: str | None, option: str, limits: KnightLimits, live: LiveLine, last: str | None = None
) -> tuple[Identity, list[stage0.Rom]]:
    """The ROMs of a checkout of stage0, up to `last`. Raises BadInput, GuestFailed."""
    with checkout_at(given, STAGE0, Cache(), option=option) as at:
        identity = identify_checkout(STAGE0, at)
        files = {path: file.data for path, file in read_used(STAGE0, at.folder).files.items()}
        seed = stage0.seed_of(at.folder, files)
    roms = stage0.build(files, seed, limits, lambda rom: live.show(f"knight: makes {rom}"), last)
    return identity, list(roms)


def _knight(args: argparse.Namespace) -> _Found:
    limits = with_options(KnightLimits(), args.limit)
    with LiveLine(args.quiet) as live:
        identity, roms = knight_roms(args.source, "--source", limits, live)
    known = [rom for rom in roms if rom.expected is not None]
    good = [rom for rom in known if rom.matches]
    agrees = bool(good) and len(good) == len(known)
    instructions = sum(rom.instructions for rom in roms)
    lines = [
        "stage0 on the knight, as its test/SHA256SUMS says",
        *_checkout_lines(identity),
        f"  seed       {stage0.SEED_SHA256}, 250 bytes",
        *(line for rom in known for line in _row(rom.name, rom.matches, rom.sha256, rom.expected)),
        f"  executed   {instructions:,} instructions",
    ]
    if any(rom.name == "cc_x86" and not rom.matches for rom in known):
        lines.append("  cc_x86     the value is that of stage2/cc_x86.s of commit 59d044b; the")
        lines.append("             source was changed on 2025-05-06 (254b5ae) and later, the value")
        lines.append("             was not")
    verdict = "AGREES" if agrees else "DIFFERS"
    lines.append(
        f"{verdict}: the knight made {len(good)} of {len(known)} ROMs of stage0 as they are known, "
        "on no system at all. An opinion of its own, no verdict."
    )
    fields = {
        "result": "agree" if agrees else "differ",
        "opinion": "the knight",
        "release": "stage0",
        "commit": identity.commit,
        "tree": identity.digest,
        "seed": stage0.SEED_SHA256,
        "artifacts": [
            {"path": rom.name, "sha256": rom.sha256, "matches": rom.matches} for rom in known
        ],
        "instructions": instructions,
    }
    status = _status(agrees, identity.is_known)
    return status, fields, lines


# UEFI.


def _uefi(args: argparse.Namespace) -> _Found:
    limits = with_options(UefiLimits(), args.limit)
    if args.source is None:
        raise BadInput("--machine uefi: name a stage0-uefi tree with --source")
    tree = open_source(args.source)
    for path in (_UEFI_SEED, _UEFI_SCRIPT):
        if path not in tree.files:
            raise BadInput(f"{args.source}: is no stage0-uefi tree: there is no {path}")
    files = {path: file.data for path, file in tree.files.items()}
    answers: tuple[KnownValue, ...] = ()
    if _UEFI_ANSWERS in files:
        answers = from_answers(files[_UEFI_ANSWERS], _UEFI_ANSWERS, "amd64").known
    # As its Makefile lays out a disk: the firmware starts this path by itself, without arguments.
    files[_UEFI_BOOT] = files.pop(_UEFI_SEED)
    volume = UefiVolume.of(files, tree.folders | {"EFI", "EFI/BOOT"})
    printed = io.StringIO()
    stopped, failed = "", False
    with LiveLine(args.quiet) as live:

        def show(text: str) -> None:
            printed.write(text)
            if printed.tell() > MOST_PRINTED:
                raise GuestFailed(f"limit: it printed more than {MOST_PRINTED} characters")
            live.show(f"uefi: {text.strip()}")

        machine = Uefi(volume, show, limits)
        try:
            status = machine.run(machine.load(files[_UEFI_BOOT], _UEFI_BOOT, ""))
            if status:
                stopped = f"the seed ended with {STATUS_NAMES.get(status, hex(status))}"
        except GuestFailed as error:
            stopped, failed = str(error), True
    made = {path: hashlib.sha256(volume.files[path]).hexdigest() for path in sorted(volume.changed)}
    # A file that is in the tree, and that the run did not write, shows nothing.
    compared = compare(made, [one for one in answers if one.path in made or one.path not in files])
    matches = {file.path: file.matches for file in compared}
    good = sum(matches.values())
    differs = stopped or good < len(compared)
    verdict = "DIFFERS" if differs else "AGREES" if compared else "DONE"
    lines = [
        "stage0-uefi on UEFI firmware of ours",
        f"  tree       {tree.digest}",
        *(f"  made       {path}" for path in made if path not in matches),
        *_artifact_lines(compared, all_of_them=True),
        f"  last       {(printed.getvalue().strip().splitlines() or ['nothing'])[-1]}",
        f"  stopped    {stopped or 'at the end of its script'}",
        f"{verdict}: {count(len(made), 'file')} made; {good} of {len(compared)} are as the tree's "
        f"own {_UEFI_ANSWERS} has them. Nothing is known here of its sources. An opinion, no "
        "verdict.",
    ]
    fields = {
        "result": "differ" if differs else "agree" if compared else "not-compared",
        "opinion": "UEFI firmware of ours",
        "release": "stage0-uefi",
        "tree": tree.digest,
        "stopped": stopped or None,
        "artifacts": [
            {"path": path, "sha256": made.get(path), "matches": matches.get(path)}
            for path in sorted({*made, *matches})
        ],
        "console": printed.getvalue(),
    }
    if failed:
        return ExitStatus.GUEST_FAILED, fields, lines
    return ExitStatus.DIFFERS if differs else ExitStatus.LESS_THAN_ASKED, fields, lines
