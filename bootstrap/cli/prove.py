"""`bootstrap prove`: what a hex0 seed does, for every input."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput, ExitStatus, printable

if TYPE_CHECKING:
    from bootstrap.prove.proving import Proof

_LARGEST = 64 << 10
"""Bytes; the largest hex0 seed has 526."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options; imports nothing heavy."""
    parser = subparsers.add_parser(
        "prove",
        help="show what a hex0 seed does for every input, by walking all its states",
        description="Walk every state that a hex0 seed can be in when it reads a byte, with every "
        "byte and the end of the file, and hold it against the language. A certificate of that is "
        "checked by a checker that shares nothing with the walk. docs/proof.md says what is "
        "proven, under which assumptions, and what is not.",
    )
    parser.add_argument("seed", metavar="SEED", help="a program, or - for standard input")
    parser.add_argument("--arch", metavar="A", help="refuse a program for another architecture")
    parser.add_argument("-o", "--output", metavar="CERTIFICATE", help="write the certificate")
    parser.add_argument("--against", metavar="B", help="compare with this program instead of hex0")
    parser.add_argument("--svg", metavar="FILE", help="write the automaton as a picture")
    parser.add_argument("--json", metavar="FILE", help="write all findings as JSON ('-': stdout)")
    parser.add_argument(
        "--states", metavar="N", type=int, default=300, help="give up beyond N states (%(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it: 0 proven (with --against: the same), 1 not proven or different. Raises BadInput."""
    from bootstrap.cli.output import STDOUT, each, write_json, write_text
    from bootstrap.cli.verify import check_report_places
    from bootstrap.prove import report

    check_report_places(args.json)
    if args.states < 1:
        raise BadInput(f"--states {args.states}: must be 1 or more")
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


def _proof(name: str, args: argparse.Namespace) -> Proof:
    from bootstrap.cli.seed_files import read_file
    from bootstrap.core.abi import LinuxError
    from bootstrap.core.elf import BadImage
    from bootstrap.core.errors import GuestFailed
    from bootstrap.prove.proving import prove
    from bootstrap.runs.seed_check import abi_of

    data, shown = read_file(name, _LARGEST, "no hex0 seed has that many"), printable(name)
    abi = abi_of(data)
    if abi is None:
        raise BadInput(f"{shown}: no Linux program of an architecture that is emulated here")
    if args.arch is not None and args.arch.lower() != abi.upstream.lower():
        raise BadInput(f"{shown}: a program for {abi.upstream}, not for {printable(args.arch)}")
    try:
        return prove(data, abi, args.states)
    except (LinuxError, BadImage, GuestFailed) as error:
        raise BadInput(f"{shown}: Linux does not start it: {error}") from None
