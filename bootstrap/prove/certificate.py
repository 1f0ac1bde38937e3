"""Writes what was walked as a certificate for `check` (docs/proof.md has the format)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from bootstrap.core.arches import Arch
from bootstrap.prove.check.proof import FORMAT
from bootstrap.prove.relation import Relation
from bootstrap.prove.values import place_text
from bootstrap.prove.walk import Automaton, Transition


def ranges(steps: dict[int, Transition]) -> Iterator[list[int]]:
    """[first byte, last byte, target] for bytes that lead to the same state."""
    first = 0
    for byte in range(1, 257):
        if byte == 256 or steps[byte].target != steps[first].target:
            yield [first, byte - 1, steps[first].target or 0]
            first = byte


def to_json(found: Automaton, relation: Relation, seed: bytes, abi: Arch) -> str:
    """One state a line. ``found`` has only bytes and the end as inputs, and always ends well."""
    head = {
        "format": FORMAT,
        "arch": abi.upstream,
        "sha256": hashlib.sha256(seed).hexdigest(),
        "language": dict(zip(("G", "CR"), relation.dialect, strict=True)),
        "zero": sorted(found.zero),
    }
    rows = []
    whole = (abi.word_mask, 0xFFFFFFFF)
    for state, steps, (comment, held) in zip(
        found.states, found.steps, relation.classes, strict=True
    ):
        values = {
            # What has 32 of 64 bits is most often zero-extended: the checker finds out.
            place_text(place): value._replace(known=abi.word_mask).text(abi.word_mask)
            for place, value, has in state.values
            if value.known in (has, abi.word_mask) and (value.base or has in whole)
        }
        rows.append(
            {
                "at": hex(state.at),
                "comment": comment,
                "held": held,
                "buffer": state.arguments[1].text(abi.word_mask),
                "values": values,
                "next": list(ranges(steps)),
            }
        )
    lines = ",\n".join(json.dumps(row) for row in rows)
    return f'{json.dumps(head)[:-1]}, "states": [\n{lines}\n]}}\n'
