"""Holds a walked seed against the language: from related states, the same output and end.

What is found is written as a certificate for `check` (docs/proof.md has the format).
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from bootstrap.core.arches import Arch
from bootstrap.prove.check import FORMAT, START, Class, step
from bootstrap.prove.values import place_text
from bootstrap.prove.walk import END, INPUTS, Automaton, Transition

Dialect = tuple[bool, bool]
"""Whether G is a digit of value 16, and whether a carriage return ends a comment."""
DIALECTS: tuple[Dialect, ...] = ((False, False), (True, False), (False, True), (True, True))
WORDS = ("G and g count as a digit of value 16", "a carriage return ends a comment")

S = TypeVar("S", bound=Hashable)
T = TypeVar("T", bound=Hashable)
Moves = Callable[[S, int], tuple[bytes, S | None, str]]
"""What is written, the next state, or how it ends."""


@dataclass(frozen=True)
class Counterexample:
    """An input for which two programs do not the same, and what each writes, or how it ends."""

    word: bytes
    at_end: bool
    """Whether it shows at the end of the file only."""
    one: str
    other: str


@dataclass(frozen=True)
class Relation:
    """The dialect that a seed is, and the class of each state; or the shortest difference."""

    dialect: Dialect
    classes: tuple[Class, ...]
    difference: Counterexample | None


def moves(found: Automaton) -> Moves[int]:
    """Of a walked seed."""

    def move(state: int, item: int) -> tuple[bytes, int | None, str]:
        taken = found.steps[state].get(item)
        return (b"", None, "no byte is asked for") if taken is None else (
            taken.written, taken.target, taken.ended)  # fmt: skip

    return move


def language(dialect: Dialect) -> Moves[Class]:
    """Of hex0 itself."""

    def move(now: Class, item: int) -> tuple[bytes, Class | None, str]:
        if item == END:
            return b"", None, "exit 0"
        to, written = step(now, item, *dialect)
        return written, to, ""

    return move


def compare(
    one: Moves[S], first: S, other: Moves[T], second: T
) -> tuple[Counterexample | None, dict[S, T]]:
    """The shortest input that shows two programs to differ, and which states correspond."""
    related: dict[S, T] = {first: second}
    seen = {(first, second)}
    waiting: deque[tuple[S, T, bytes]] = deque([(first, second, b"")])
    while waiting:
        a, b, word = waiting.popleft()
        for item in INPUTS:
            (wrote, to, end), (due, there, ends) = one(a, item), other(b, item)
            longer = word + (bytes((item,)) if item != END else b"")
            if (wrote, end) != (due, ends):
                texts = [out.hex() + (f" {how}" if how else "") or "nothing"
                         for out, how in ((wrote, end), (due, ends))]  # fmt: skip
                return Counterexample(longer, item == END, *texts), related
            if to is not None and there is not None and (to, there) not in seen:
                seen.add((to, there))
                related.setdefault(to, there)
                waiting.append((to, there, longer))
    return None, related


def relate(found: Automaton) -> Relation:
    """Which dialect a seed is; where it is none, the shortest difference from the nearest one."""
    rows: list[Relation] = []
    for dialect in DIALECTS:
        difference, related = compare(moves(found), 0, language(dialect), START)
        if difference is None:
            return Relation(dialect, tuple(related[n] for n in range(len(found.states))), None)
        rows.append(Relation(dialect, (), difference))
    return max(rows, key=lambda row: len(row.difference.word) if row.difference else 0)


def witness(which: int) -> Counterexample:
    """The shortest input that shows a peculiarity of `WORDS`."""
    dialect = (which == 0, which == 1)
    difference, _ = compare(language(dialect), START, language(DIALECTS[0]), START)
    assert difference is not None
    return difference


def certificate(found: Automaton, relation: Relation, seed: bytes, abi: Arch) -> str:
    """One state a line. ``found`` has only bytes and the end as inputs, and always ends well."""
    full = abi.word_mask
    head = {
        "format": FORMAT,
        "arch": abi.upstream,
        "sha256": hashlib.sha256(seed).hexdigest(),
        "language": dict(zip(("G", "CR"), relation.dialect, strict=True)),
        "zero": sorted(found.zero),
    }
    rows = []
    for number, (state, (comment, held)) in enumerate(
        zip(found.states, relation.classes, strict=True)
    ):
        row = {
            "at": hex(state.at),
            "comment": comment,
            "held": held,
            "buffer": state.arguments[1].text(full),
            "values": {
                # What has 32 of 64 bits is most often zero-extended: the checker finds out.
                place_text(place): value._replace(known=full).text(full)
                for place, value, has in state.values
                if value.known in (has, full) and (value.base or has in (full, 0xFFFFFFFF))
            },
            "next": list(_ranges(found.steps[number])),
        }
        rows.append(json.dumps(row))
    lines = ",\n".join(rows)
    return f'{json.dumps(head)[:-1]}, "states": [\n{lines}\n]}}\n'


def _ranges(steps: dict[int, Transition]) -> Iterator[list[int]]:
    """[first byte, last byte, target] for bytes that lead to the same state."""
    first = 0
    for byte in range(1, 257):
        if byte == 256 or steps[byte].target != steps[first].target:
            yield [first, byte - 1, steps[first].target or 0]
            first = byte
