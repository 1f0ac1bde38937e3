"""`bootstrap knight`: run, disassemble or step through a ROM of stage0's own machine."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bootstrap import signals
from bootstrap.cli.output import check_guest_places, say, write_end, write_pieces
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.core.release import read_file
from bootstrap.languages import hex0
from bootstrap.linux.limits import with_options
from bootstrap.machines.knight import TAPE2, Knight, KnightLimits, decode

_MOST = 16 << 20
_HELP = """\
s [N]       execute N instructions (1); an empty line does the same again
c           go on to a breakpoint or the end
b ADDRESS   stop there
r           registers
m ADDRESS [N]  N bytes of memory (64)
l [N]       the next N instructions (8)
q           end"""


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError; returns the exit status."""
    limits = with_options(KnightLimits(), args.limit)
    check_guest_places(args.json, args.tape2)
    rom = read_file(Path(args.rom), _MOST)
    source = _source(args.listing, rom)
    if args.disassemble:
        if args.json is not None:
            raise BadInput("--json goes with a run, not with --disassemble")
        say(_listing(rom, 0, len(rom), source))
        return ExitStatus.DONE
    tape = b"" if args.tape1 is None else read_file(Path(args.tape1), _MOST)
    knight = Knight(rom, tape, _print, _key, limits)
    if args.step:
        _step(knight, source)
    else:
        knight.run()
    sys.stdout.flush()
    if args.tape2 is not None:
        write_pieces(args.tape2, [bytes(knight.tapes[TAPE2].data)])
    print(f"bootstrap: {knight.executed:,} instructions", file=sys.stderr)
    how = "halted" if knight.halted else "was left"
    write_end(args.json, "knight", args.rom, how, instructions=knight.executed)
    return ExitStatus.DONE


def _source(listing: str | None, rom: bytes) -> Callable[[int], str]:
    """What of a hex0 listing an address comes from. Raises BadInput where it is another's."""
    if listing is None:
        return lambda _at: ""
    data = read_file(Path(listing), _MOST)
    assembly = hex0.assemble(data, listing)
    if assembly.output != rom:
        raise BadInput(
            f"{listing}: is not the hex0 source of this ROM: assembled, it is other bytes"
        )
    lines = data.decode("utf-8", "replace").split("\n")

    def found(at: int) -> str:
        if at >= len(assembly.map):
            return ""
        number = assembly.map[at].digits[0].line
        return f"{listing}:{number}  {lines[number - 1].strip()}"

    return found


def _listing(
    memory: bytes | bytearray, start: int, end: int, source: Callable[[int], str], count: int = -1
) -> Iterator[str]:
    """Instructions from an address on; a word that is none is data."""
    at = start
    while at < end and count:
        found = decode(memory, at)
        size, text = (4, "?") if found is None else (found.size, found.text)
        code = bytes(memory[at : at + size]).hex()
        yield f"{at:#06x}  {code:<12}  {text:<28}{source(at)}".rstrip()
        at, count = at + size, count - 1


def _step(knight: Knight, source: Callable[[int], str]) -> None:
    """Commands from standard input, one in a line."""
    breakpoints: set[int] = set()
    again = "s"

    def here() -> None:
        if not knight.halted:
            say(_listing(knight.memory, knight.ip, len(knight.memory), source, 1))

    here()
    while not knight.halted:
        sys.stdout.write("(knight) ")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            return
        words = line.split() or again.split()
        try:
            number = int(words[1], 0) if len(words) > 1 else None
            count = int(words[2], 0) if len(words) > 2 else 64
        except ValueError:
            say([f"{words[1]}: is no number"])
            continue
        if words[0] == "q":
            return
        if words[0] in ("s", "c"):
            again = line if line.strip() else again
            left = number or 1
            while not knight.halted and (words[0] == "c" or left):
                knight.step()
                left -= 1
                signals.check()
                if knight.ip in breakpoints:
                    break
            here()
        elif words[0] == "b" and number is not None:
            breakpoints ^= {number}
            say([f"breakpoints: {', '.join(map(hex, sorted(breakpoints))) or 'none'}"])
        elif words[0] == "r":
            row = [f"r{i}={value:08x}" for i, value in enumerate(knight.r)]
            say(
                [" ".join(row[:8]), " ".join(row[8:]), f"ip={knight.ip:#x} after {knight.executed}"]
            )
        elif words[0] == "m" and number is not None:
            data = bytes(knight.memory[number : number + count])
            say(f"{number + i:#06x}  {data[i : i + 16].hex(' ')}" for i in range(0, len(data), 16))
        elif words[0] == "l":
            say(_listing(knight.memory, knight.ip, len(knight.memory), source, number or 8))
        else:
            say(_HELP.splitlines())


def _print(byte: int) -> None:
    text = chr(byte) if byte in b"\n\t" else printable(bytes([byte]))
    sys.stdout.write("" if byte == 13 else text)


def _key() -> int:
    data = sys.stdin.buffer.read(1)
    return data[0] if data else -1
