"""``bootstrap seeds``: what is known of seeds, what a file is, and what each byte of it means."""

from __future__ import annotations

import argparse

from bootstrap.cli import identify
from bootstrap.cli.seeds_known import run_list
from bootstrap.cli.seeds_read import run_check, run_show


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its own commands; imports nothing heavy."""
    parser = subparsers.add_parser(
        "seeds",
        help="list the known seeds; identify, take apart and check a file",
        description="What is known of every seed that bootstrap-seeds ever published, and what a"
        " file is, byte by byte.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_list(commands)
    identify.add_parser(commands)
    _add_show(commands)
    _add_check(commands)


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "list", help="the known seeds", description="The known seeds, one row for each place."
    )
    parser.add_argument("--arch", help="only this architecture, by any usual name, or knight")
    parser.add_argument("--kind", help="only this kind (hex0-seed, kaem-optional-seed, ...), or"
                        " this family (POSIX, NATIVE, UEFI)")  # fmt: skip
    parser.add_argument("--release", metavar="R", help="only what this release of stage0-posix has")
    _add_json(parser)
    parser.set_defaults(run=run_list)


def _add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "show",
        help="the anatomy of a file: what each byte of it is",
        description="The anatomy of a seed, in file order: each header field with its meaning,"
        " each instruction, strings, padding, and what nothing uses. Every byte is in exactly one"
        " part; where several readings lie over one another, all are shown.",
    )
    parser.add_argument("file", metavar="FILE", help="a file, or - for stdin")
    parser.add_argument("--lines", type=int, default=20_000, metavar="N",
                        help="print at most N lines (default 20000; 0: all)")  # fmt: skip
    _add_json(parser)
    parser.set_defaults(run=run_show)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "check",
        help="hold a seed against its hex0 source",
        description="Assemble the source by the pure model and by a hex0 seed that runs in the"
        " emulator, and compare both with the file, byte by byte. A hex0 seed assembles its own"
        " source; for another seed the 181-byte x86 seed does, or the one that --by names.",
        epilog="Exit status: 0 all three agree, 1 they differ, 2 bad input, 3 the seed that was"
        " run failed.",
    )
    parser.add_argument("file", metavar="FILE", help="the seed, or - for stdin")
    parser.add_argument("--source", required=True, metavar="HEX0", help="its hex0 source")
    parser.add_argument("--by", metavar="SEED", help="the hex0 seed to run on the source")
    _add_json(parser)
    parser.set_defaults(run=run_check)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write it as JSON ('-': standard output)")
