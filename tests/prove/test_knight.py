"""The hex0 seed of stage0's knight, walked as the others are; it has no certificate."""

from __future__ import annotations

import pytest

from bootstrap.machines.knight import TAPE1, TAPE2, Knight, KnightLimits
from bootstrap.prove.check import START, Class, step
from bootstrap.prove.relation import DIALECTS, compare, language
from bootstrap.prove.walk import END, INPUTS
from bootstrap.sources import SourceTree

FGETC = bytes.fromhex("42100100")
Taken = tuple[bytes, int | None, str]


def walk(rom: bytes) -> list[dict[int, Taken]]:
    """Of each state at a read of tape 1, with each input: what is written, and where it leads.

    A state is all registers but r0, into which FGETC reads, and all memory.
    """
    knight = Knight(rom, limits=KnightLimits(memory=16 << 10))
    tape, output = knight.tapes[TAPE1], knight.tapes[TAPE2]

    def to_read() -> str:
        for _ in range(1000):
            if knight.halted:
                return "exit 0"  # as `language` has it
            if knight.memory[knight.ip : knight.ip + 4] == FGETC:
                assert knight.r[1] == TAPE1 and None not in (tape.at, output.at)
                return ""
            knight.step()
        raise AssertionError("1000 instructions without a read")

    def state() -> tuple[int, tuple[int, ...], bytes]:
        return knight.ip, tuple(knight.r[1:]), bytes(knight.memory)

    assert not to_read() and not output.data
    numbers, steps = {state(): 0}, list[dict[int, Taken]]()
    for now in (order := list(numbers)):
        row: dict[int, Taken] = {}
        for item in INPUTS:
            knight.ip, knight.r[1:], knight.memory[:] = now
            knight.halted, tape.at, output.at = False, 0, 0
            tape.data[:] = b"" if item == END else bytes((item,))
            output.data.clear()
            knight.step()
            ended = to_read()
            if not ended and state() not in numbers:
                assert len(numbers) < 300, "its states do not close"
                numbers[state()] = len(numbers)
                order.append(state())
            row[item] = bytes(output.data), None if ended else numbers[state()], ended
        steps.append(row)
    return steps


def due(now: Class, item: int) -> tuple[bytes, Class | None, str]:
    """Plain hex0, but that a comment that the end cuts off is read for ever."""
    if item != END:
        to, written = step(now, item, False, False)
        return written, to, ""
    return (b"", now, "") if now[0] else (b"", None, "exit 0")


@pytest.mark.upstream
def test_the_knights_seed_is_hex0_but_for_the_end_of_a_comment(release: SourceTree) -> None:
    rom = release.files["bootstrap-seeds/NATIVE/knight/hex0-seed"].data
    steps = walk(rom)
    different, related = compare(lambda state, item: steps[state][item], 0, due, START)
    assert different is None and (len(steps), len(set(related.values()))) == (64, 34)
    plain, _ = compare(lambda state, item: steps[state][item], 0, language(DIALECTS[0]), START)
    assert plain is not None and (plain.word, plain.at_end) == (b"#", True)


@pytest.mark.upstream
def test_a_rom_that_is_another_is_seen(release: SourceTree) -> None:
    rom = release.files["bootstrap-seeds/NATIVE/knight/hex0-seed"].data
    steps = walk(rom.replace(bytes.fromhex("e000a0000046"), bytes.fromhex("e000a0000047")))  # 'G'
    different, _ = compare(lambda state, item: steps[state][item], 0, due, START)
    assert different is not None and different.word == b"0G"
