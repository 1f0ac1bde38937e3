"""A seed is walked, held against the language, certified and checked; and where something goes
wrong for it, walked as far as it goes, and stated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from bootstrap.core.arches import Arch
from bootstrap.prove import check
from bootstrap.prove.relation import (
    Dialect,
    Relation,
    certificate,
    compare,
    moves,
    relate,
)
from bootstrap.prove.walk import (
    ANY,
    END,
    FAILING,
    FAILS,
    GOOD,
    NO_OUTPUT,
    OUTPUT_IS_0,
    Automaton,
    Notify,
    NotProven,
    Opens,
    Walker,
)

_DOES_NOT_LOOK = "it does not look: as if all were well"


class Finding(NamedTuple):
    """What goes wrong, and what the seed does then."""

    what: str
    then: str


@dataclass(frozen=True)
class Proof:
    """What is known of a seed. Proven only where ``refused`` is empty."""

    seed: bytes
    abi: Arch
    found: Automaton
    """Without a relation, as far as it was walked."""
    relation: Relation | None
    certificate: str
    refused: str
    """Why nothing is proven; or empty."""
    findings: tuple[Finding, ...]


def prove(seed: bytes, abi: Arch, most: int, notify: Notify = lambda _text: None) -> Proof:
    """Walk, relate, certify, check. ``most``: states at which the walk stops.

    What is not proven is a finding, not an error. Raises what the loader raises.
    """
    try:
        found, relation, findings = _explore(partial(Walker, seed, abi, most, notify))
    except NotProven as error:
        return Proof(seed, abi, error.found or Automaton(), None, "", str(error), ())
    text, refused = "", ""
    if relation is None:
        refused = f"it reads nothing: {found.started}"
    elif relation.difference is not None:
        refused = "it is not hex0"
    else:
        text = certificate(found, relation, seed, abi)
        status, line = check.decide(text.encode(), seed)
        refused = line.removeprefix("NOT proven: ") if status else ""
        if not refused:  # the walk did not try every argc
            opened = "the second and third word above argc are opened, whatever they are"
            findings += (Finding("arguments are missing or too many", opened),)
    return Proof(seed, abi, found, relation, text, refused, findings)


def _explore(
    make: Callable[[Opens], Walker],
) -> tuple[Automaton, Relation | None, tuple[Finding, ...]]:
    """The walk where all goes well, and what is found where not. Raises NotProven."""
    opens, walker = ANY, make(ANY)
    try:
        try:
            found = walker.walk()
        except NotProven:
            walker.close()
            opens, walker = GOOD, make(GOOD)
            found = walker.walk()
        relation = relate(found) if found.states else None
        if relation is None or relation.difference is not None:
            return found, relation, ()
        failing = _stated(lambda: _reads(walker.walk(found), relation.dialect))
    finally:
        walker.close()
    rows = [
        Finding("INPUT cannot be opened", _DOES_NOT_LOOK + ", and reads fail"),
        Finding("a read fails or is interrupted", failing),
        Finding("a write fails, is short, or finds no room", _DOES_NOT_LOOK),
    ]
    if opens is ANY:
        rows.append(Finding("OUTPUT cannot be opened", _DOES_NOT_LOOK + ", and writes fail"))
    else:
        for name, other in (
            ("OUTPUT cannot be opened", NO_OUTPUT),
            ("INPUT cannot be opened, and OUTPUT becomes descriptor 0", OUTPUT_IS_0),
        ):
            rows.append(Finding(name, _stated(partial(_other, make(other), found))))
    return found, relation, tuple(rows)


def _stated(what: Callable[[], str]) -> str:
    try:
        return what()
    except NotProven as error:
        return f"not closed, so not proven: {error}"


def _reads(failing: Automaton, dialect: Dialect) -> str:
    """What a read that fails is taken for, with each byte that the buffer may hold."""
    classes: dict[int, check.Class] = {0: check.START}
    lost = False
    for number, steps in enumerate(failing.steps):  # each was reached from one before it
        for item in (*range(256), *FAILING):
            taken = steps[item]
            to, due = check.step(classes[number], item % FAILS, *dialect)
            if taken.written != due:
                lost = lost or (item >= FAILS and not taken.written)
                if item < FAILS or taken.written:
                    return "what it does then is no hex0"
            if taken.target is None or classes.setdefault(taken.target, to) != to:
                return "it goes on otherwise than after a read"
    return "it does not look: the byte that the buffer holds counts once more" + (
        ", but what it completes as a second digit is not written: Linux has no such call" * lost
    )


def _other(walker: Walker, found: Automaton) -> str:
    try:
        other = walker.walk()
    finally:
        walker.close()
    if not other.states:
        return other.started
    if not other.states[0].arguments[2].number:
        return f"it reads 0 bytes; where that gives 0, {other.steps[0][END].ended}, nothing written"
    difference, _ = compare(moves(other), 0, moves(found), 0)
    if difference is None:
        return _DOES_NOT_LOOK
    errno = any(call.name == "write" and call.arguments[0] == "-out" for call in other.calls)
    where = ", to the descriptor that has the errno as its number" if errno else ""
    return (
        f"it does otherwise, first with {difference.word.decode('latin-1')!r}: it writes "
        f"{difference.one}{where}; in a good environment {difference.other}"
    )
