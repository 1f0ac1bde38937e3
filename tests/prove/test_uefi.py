"""The hex0 seed for UEFI, walked on our firmware as the others are; it has no certificate."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import pytest
from unicorn import x86_const

from bootstrap.core.errors import GuestFailed
from bootstrap.machines.uefi import _HEAP, _TRAPS, SUCCESS, Uefi, UefiVolume, _UefiFile
from bootstrap.prove.check import START, Class, step
from bootstrap.prove.relation import compare
from bootstrap.prove.walk import END
from bootstrap.sources import SourceTree

# Not rax, into which the call gives its result.
REGISTERS = [
    getattr(x86_const, f"UC_X86_REG_{name}")
    for name in "RCX RDX RBX RSP RBP RSI RDI R8 R9 R10 R11 R12 R13 R14 R15".split()
]
State = tuple[tuple[int, ...], bytes, bytes]
"""Registers, the stack, and the image with all that was allocated."""


class _EndedTwice(Exception):
    """It reads once more at the end of the file."""


class _Walked(Uefi):
    """Gives the bytes that ``choose`` chooses, and notes where each leads, with what is written."""

    def __init__(self, choose: Callable[[int], int], numbers: dict[State, int]) -> None:
        super().__init__(UefiVolume.of({"in": b""}, frozenset()), lambda _text: None)
        self._choose, self._numbers = choose, numbers
        self._before: tuple[int, int] | None = None
        self.wrote = b""
        self.steps: dict[tuple[int, int], tuple[bytes, int]] = {}

    def _read(self, file: _UefiFile, size_at: int, buffer: int, *_: int) -> int:
        assert self._quad(size_at) == 1 and file.path == "in"
        registers = tuple(map(self.uc.reg_read, REGISTERS))
        rsp, top = registers[3], _TRAPS + self.limits.memory
        stack, heap = (
            self._read_memory(rsp, top - rsp),
            self._read_memory(_HEAP, self._next - _HEAP),
        )
        state = self._numbers.setdefault((registers, stack, heap), len(self._numbers))
        assert len(self._numbers) < 300, "its states do not close"
        if self._before is not None:
            taken = self.wrote, state
            assert self.steps.setdefault(self._before, taken) == taken  # a state is all there is
            if self._before[1] == END:
                raise _EndedTwice
        self.wrote = b""
        byte = self._choose(state)
        self._before = state, byte
        self._write(size_at, (byte != END).to_bytes(8, "little"))
        self._write(buffer, b"" if byte == END else bytes((byte,)))
        return SUCCESS

    def _write_file(self, file: _UefiFile, size_at: int, buffer: int, *_: int) -> int:
        assert file.path == "out"
        self.wrote += self._read_memory(buffer, self._quad(size_at))
        return SUCCESS


def started(seed: bytes, machine: _Walked) -> str:
    """How it ends."""
    try:
        return f"exit {machine.run(machine.load(seed, 'hex0', 'hex0 in out'))}"
    except _EndedTwice:
        return ""
    except GuestFailed as error:
        assert "beyond the memory" in str(error)
        return "a fault"


def walk(seed: bytes) -> dict[tuple[int, int], tuple[bytes, int | None, str]]:
    """All steps: one run takes each byte in each state, and one for each state ends there."""
    numbers: dict[State, int] = {}
    tried: dict[int, int] = {}
    machine: _Walked

    def way(state: int, found: Callable[[int], bool]) -> list[int]:
        """Bytes that lead to such a state, or nothing."""
        waiting, seen = deque([(state, list[int]())]), {state}
        while waiting:
            at, word = waiting.popleft()
            if found(at):
                return word
            for byte in range(256):
                _, to = machine.steps.get((at, byte), (b"", at))
                if to not in seen:
                    seen.add(to)
                    waiting.append((to, [*word, byte]))
        return [END]

    def explore(state: int) -> int:
        if tried.get(state, 0) < 256:
            tried[state] = tried.get(state, 0) + 1
            return tried[state] - 1
        return way(state, lambda at: tried.get(at, 0) < 256)[0]

    def run(items: list[int]) -> tuple[_Walked, str]:
        left = iter(items)
        other = _Walked(lambda _state: next(left), numbers)
        return other, started(seed, other)

    machine = _Walked(explore, numbers)
    started(seed, machine)
    while missing := [
        (state, byte)
        for state in range(len(numbers))
        for byte in range(256)
        if (state, byte) not in machine.steps
    ]:  # of states that nothing leads back to
        for state, byte in missing:
            machine.steps |= run([*way(0, state.__eq__), byte, END])[0].steps
    steps: dict[tuple[int, int], tuple[bytes, int | None, str]] = {
        key: (*taken, "") for key, taken in machine.steps.items() if key[1] != END
    }
    for state in range(len(numbers)):
        last, ended = run([*way(0, state.__eq__), END])
        steps[state, END] = last.wrote, None if ended else state, ended
    return steps


def due(now: Class, item: int, g: bool = False) -> tuple[bytes, Class | None, str]:
    """Plain hex0, but that it pops the wrong words at the end of the file in a comment."""
    if item == END:
        return b"", None, "a fault" if now[0] else "exit 0"
    to, written = step(now, item, g, False)
    return written, to, ""


@pytest.mark.upstream
@pytest.mark.exhaustive
def test_the_seed_for_uefi_is_hex0_but_for_the_end_of_a_comment(release: SourceTree) -> None:
    seed = release.files["bootstrap-seeds/UEFI/amd64/hex0-seed.efi"].data
    steps = walk(seed)
    different, related = compare(lambda state, item: steps[state, item], 0, due, START)
    assert (different, len({s for s, _ in steps}), len(set(related.values()))) == (None, 100, 34)
    other, _ = compare(lambda state, item: steps[state, item], 0, partial(due, g=True), START)
    assert other is not None and other.word == b"0G"
