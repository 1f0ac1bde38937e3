"""`bootstrap prove`: what a hex0 seed, or hex1, does for every input."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import STDOUT, each, write_json, write_text
from bootstrap.cli.seeds import read_file
from bootstrap.core.abi import LinuxError
from bootstrap.core.arches import Arch
from bootstrap.core.elf import BadImage
from bootstrap.core.errors import BadInput, ExitStatus, GuestFailed, printable
from bootstrap.prove import proving, report
from bootstrap.prove.proving import Proof
from bootstrap.runs.seed_check import abi_of

_LARGEST = 64 << 10
"""Bytes; the largest hex0 seed has 526."""


def run(args: argparse.Namespace) -> int:
    """Do it: 0 proven (with --against: the same), 1 not proven or different. Raises BadInput."""
    if args.states < 1:
        raise BadInput(f"--states {args.states}: must be 1 or more")
    if args.language == "hex1":
        return _hex1(args)
    proof = _proof(args.seed, args)
    name = printable(args.seed)
    lines = list(report.to_text(proof, name))
    facts = report.document(proof, name)
    status: int = ExitStatus.DIFFERS if proof.refused else ExitStatus.DONE
    if args.against is not None:
        other = _proof(args.against, args)
        status, line = report.against(proof, other)
        lines += [*report.to_text(other, printable(args.against)), line]
        facts["against"] = {**report.document(other, printable(args.against)), "result": line}
    writes = []
    if args.json != STDOUT:
        writes.append(lambda: print(*lines, sep="\n"))
    writes.append(lambda: write_json(args.json, facts))
    if not proof.refused:
        if args.output:
            writes.append(lambda: write_text(args.output, proof.certificate))
        if args.svg:
            writes.append(lambda: write_text(args.svg, report.picture(proof)))
    each(*writes)
    return status


def _program(name: str, args: argparse.Namespace) -> tuple[bytes, Arch]:
    data, shown = read_file(name, _LARGEST, "no hex0 seed has that many"), printable(name)
    abi = abi_of(data)
    if abi is None:
        raise BadInput(f"{shown}: no Linux program of an architecture that is emulated here")
    if args.arch is not None and args.arch.lower() != abi.upstream.lower():
        raise BadInput(f"{shown}: a program for {abi.upstream}, not for {printable(args.arch)}")
    return data, abi


@contextmanager
def _started(name: str) -> Iterator[None]:
    try:
        yield
    except (LinuxError, BadImage, GuestFailed) as error:
        raise BadInput(f"{printable(name)}: Linux does not start it: {error}") from None


def _proof(name: str, args: argparse.Namespace) -> Proof:
    data, abi = _program(name, args)
    with _started(name), LiveLine() as line:
        return proving.prove(data, abi, args.states, line.show)


def _hex1(args: argparse.Namespace) -> int:
    """Upstream's hex1, which has no certificate, picture or document."""
    if args.output or args.svg or args.json or args.against:
        raise BadInput("--language hex1 takes no --output, --svg, --json or --against")
    data, abi = _program(args.seed, args)
    try:
        from bootstrap.prove import hex1
    except ImportError:
        raise BadInput("--language hex1 needs z3: pip install z3-solver") from None
    if abi.name not in hex1.LAYOUTS:
        raise BadInput(f"{printable(args.seed)}: --language hex1 is for x86 and AMD64 only")
    with _started(args.seed), LiveLine() as line:
        found = hex1.prove(data, abi, hex1.LAYOUTS[abi.name], line.show)
    print(report.title(data, abi, printable(args.seed)), *hex1.to_text(abi, found), sep="\n")
    return ExitStatus.DIFFERS if found.refused else ExitStatus.DONE
