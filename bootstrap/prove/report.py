"""A proof for people, as JSON (docs/proof.md, docs/prove.schema.json), and as a picture."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any
from xml.sax.saxutils import escape

from bootstrap.core.arches import Arch
from bootstrap.core.elf import parse
from bootstrap.linux.inode import file_of
from bootstrap.prove.check import Class
from bootstrap.prove.proving import Proof
from bootstrap.prove.relation import (
    WORDS,
    Counterexample,
    Dialect,
    Relation,
    compare,
    moves,
    witness,
)
from bootstrap.prove.values import runs
from bootstrap.prove.walk import Automaton

SCHEMA = "bootstrap-prove/1"
_PT_LOAD = 1


def _claim(proof: Proof) -> str:
    """One sentence."""
    if proof.refused or proof.relation is None:
        return f"NOT PROVEN: {proof.refused}"
    return f"PROVEN for all inputs: it is {_language(proof.relation.dialect)}"


def _language(dialect: Dialect) -> str:
    also = [words for words, on in zip(WORDS, dialect, strict=True) if on]
    return "hex0" + (f", where {' and '.join(also)}" if also else "")


def _coverage(found: Automaton, seed: bytes) -> tuple[set[int], set[int]]:
    """Offsets in the file that execute, and that are read or written as data."""
    loads = [s for s in parse(file_of(seed)).segments if s.kind == _PT_LOAD]

    def offsets(addresses: Iterable[int]) -> set[int]:
        return {
            at - s.vaddr + s.offset
            for at in addresses
            for s in loads
            if 0 <= at - s.vaddr < min(s.file_size, len(seed) - s.offset)
        }

    code = {at + n for at, (length, _) in found.executed.items() for n in range(length)}
    return offsets(code), offsets(found.data | found.stored)


def _runs(offsets: set[int]) -> str:
    return ", ".join(f"{a:#x}" if a == b else f"{a:#x}-{b:#x}" for a, b in runs(offsets)) or "none"


def title(program: bytes, abi: Arch, name: str) -> str:
    """Which file this is about."""
    digest = hashlib.sha256(program).hexdigest()
    return f"{name}: {abi.upstream}, {len(program)} bytes, sha256 {digest}"


def to_text(proof: Proof, name: str) -> Iterator[str]:
    """Lines."""
    yield title(proof.seed, proof.abi, name)
    found, relation = proof.found, proof.relation
    count = sum(len(steps) for steps in found.steps)
    stops = ", and no further" if relation is None else ""
    yield f"  walked      {len(found.states)} states at read(2), {count:,} transitions{stops}"
    if relation is not None and relation.difference is not None:
        yield f"  differs     {_shows(relation.difference, _language(relation.dialect))}"
    elif relation is not None:
        classes = len(set(relation.classes))
        yield f"  classes     {classes}: in a comment or not, and no digit waits or one of 16"
        for which, on in enumerate(relation.dialect):
            if on:
                yield f"  peculiar    {WORDS[which]}: {_shows(witness(which), 'plain hex0')}"
        if not proof.refused:
            yield "  checked     by bootstrap.prove.check, which recomputed each transition"
    zero = ", ".join(sorted(found.zero))
    yield f"  assumes     {zero} is 0 at the start, as Linux leaves it" if zero else (
        "  assumes     nothing of any register at the start but the stack pointer")  # fmt: skip
    code, data = _coverage(found, proof.seed)
    rest = set(range(len(proof.seed))) - code - data
    yield f"  executes    {len(code)} bytes of the file: {_runs(code)}"
    yield f"  data        {len(data)} bytes: {_runs(data)}"
    kinds = "headers, dead or not reached" if relation is None else "headers or dead"
    yield f"  neither     {len(rest)} bytes, {kinds}: {_runs(rest)}"
    for call in sorted(found.calls):
        yield f"  calls       {call.at:#x} {call.name}({', '.join(call.arguments)})"
    for finding in proof.findings:
        yield f"  when        {finding.what}: {finding.then}"
    yield _claim(proof)


def _shows(difference: Counterexample, other: str) -> str:
    """An input as a reader can type it, and what comes of it."""
    end = " at its end" if difference.at_end else ""
    word = "".join(chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}" for b in difference.word)
    return f"{word or '(empty)'}{end} makes it write {difference.one}; {other}: {difference.other}"


def document(proof: Proof, name: str) -> dict[str, Any]:
    """The same as plain values."""
    found, relation = proof.found, proof.relation
    code, data = _coverage(found, proof.seed)
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "file": name,
        "arch": proof.abi.upstream,
        "size": len(proof.seed),
        "sha256": hashlib.sha256(proof.seed).hexdigest(),
        "proven": not proof.refused,
        "claim": _claim(proof),
        "walk": {
            "states": len(found.states),
            "transitions": sum(len(steps) for steps in found.steps),
            "zero_registers": sorted(found.zero),
            "executed": sorted(code),
            "data": sorted(data),
            "calls": [
                call._asdict() | {"arguments": list(call.arguments)} for call in sorted(found.calls)
            ],
        },
        "language": None,
        "environments": [finding._asdict() for finding in proof.findings],
    }
    if relation is not None:
        difference = relation.difference
        facts["language"] = {
            "classes": len(set(relation.classes)),
            "G": relation.dialect[0],
            "CR": relation.dialect[1],
            "difference": difference and {
                "input": difference.word.hex(), "at_end": difference.at_end,
                "one": difference.one, "other": difference.other,
            },
            "table": [] if difference else [
                {
                    "comment": place[0], "held": place[1], "to_comment": to[0], "to_held": to[1],
                    "bytes": _bytes(writes), "writes": len([w for w in writes.values() if w]),
                }
                for place, row in by_class(found, relation).items()
                for to, writes in row.items()
            ],
        }  # fmt: skip
    return facts


def against(one: Proof, other: Proof) -> tuple[int, str]:
    """Exit status, and how two seeds compare: by what they do, whatever hex0 is."""
    if not (one.relation and other.relation):
        return 1, "NOT COMPARED: not both are walked"
    difference, _ = compare(moves(one.found), 0, moves(other.found), 0)
    if difference is not None:
        return 1, f"DIFFERENT: {_shows(difference, 'the other')}"
    if one.refused or other.refused:
        return 1, "NOT PROVEN the same, for not both are checked; the walks show no difference"
    return 0, "PROVEN the same for all inputs"


# The picture: 34 classes, drawn as (in a comment or not) x (which digit waits).

_ROW, _TOP = 46, 90
_X = {(False, False): 190, (False, True): 520, (True, False): 190, (True, True): 850}
"""By (comment?, a digit waits?)."""
_STYLE = """
text { font: 13px sans-serif; fill: #222 } .head { font-size: 16px; font-weight: bold }
.small { font-size: 11px; fill: #444 } circle { fill: #fff; stroke: #333; stroke-width: 1.5 }
.comment { fill: #e8e8e8 } path { fill: none; stroke: #888; stroke-width: 1.2 }
.write { stroke: #b03020 } .quiet { stroke: #3060a0 }"""


def _bytes(values: Iterable[int]) -> str:
    """`0-9 A-F`, `00-22`: a set of bytes, in runs."""

    def name(byte: int) -> str:
        return chr(byte) if 0x20 < byte < 0x7F else {10: "LF", 13: "CR"}.get(byte, f"{byte:02x}")

    return " ".join(
        name(first) if first == last else f"{name(first)}-{name(last)}"
        for first, last in runs(values)
    )


def by_class(found: Automaton, relation: Relation) -> dict[Class, dict[Class, dict[int, bytes]]]:
    """From class to class: which bytes lead there, and what each writes."""
    rows: dict[Class, dict[Class, dict[int, bytes]]] = {}
    for number, steps in enumerate(found.steps):
        for byte in range(256):
            to = steps[byte].target
            if to is not None:
                row = rows.setdefault(relation.classes[number], {})
                row.setdefault(relation.classes[to], {})[byte] = steps[byte].written
    return rows


def picture(proof: Proof) -> str:
    """The automaton as SVG. Only of what is proven."""
    assert proof.relation is not None
    rows = by_class(proof.found, proof.relation)
    digest = hashlib.sha256(proof.seed).hexdigest()
    title = f"hex0-seed for {proof.abi.upstream}, {len(proof.seed)} bytes, {digest[:12]}..."
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1060 880" width="1060" height="880">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#555;stroke:none"/></marker></defs>',
        '<rect width="1060" height="880" fill="#fff"/>',
        f'<text x="20" y="30" class="head">{escape(title)}</text>',
        '<text x="20" y="52" class="small">Blue: a byte is read, none is written. '
        "Red: a second digit is read, and a byte is written. Every other byte leaves a class as it "
        "is; at the end of the file each class ends.</text>",
        f'<text x="{_X[False, True] - 40}" y="72">a digit waits</text>'
        f'<text x="{_X[True, True] - 60}" y="72">the same, in a comment</text>',
    ]
    for place, row in rows.items():
        for to, writes in row.items():
            if to != place:
                lines += _arrow(place, to, writes)
    for place in rows:
        x, y = _at(place)
        kind = ' class="comment"' if place[0] else ""
        name = "-" if place[1] is None else f"{place[1]:X}"
        lines.append(f'<circle cx="{x}" cy="{y}" r="15"{kind}/>')
        lines.append(f'<text x="{x}" y="{y + 5}" text-anchor="middle">{name}</text>')
    x, y = _at((False, None))
    lines.append(f'<path d="M{x - 75} {y}L{x - 16} {y}" marker-end="url(#a)"/>')
    lines.append(f'<text x="{x - 170}" y="{y + 4}">start: no digit</text>')
    x, y = _at((True, None))
    lines.append(f'<text x="{x - 170}" y="{y + 4}">in a comment</text>')
    return "\n".join([*lines, "</svg>", ""])


def _at(place: Class) -> tuple[int, int]:
    comment, held = place
    middle = _TOP + 8 * _ROW
    y = middle + (130 if comment else 0) if held is None else _TOP + held * _ROW
    return _X[comment, held is not None], y


def _arrow(place: Class, to: Class, writes: dict[int, bytes]) -> list[str]:
    """A line from circle to circle, and its label beside the class that it is about."""
    (x, y), (u, v) = _at(place), _at(to)
    label = _bytes(writes)
    if x == u:  # between no digit and its comment
        way = 1 if v > y else -1
        line = f"M{x + 6 * way} {y + 16 * way}L{x + 6 * way} {v - 16 * way}"
        beside = x + 14 * way, (y + v) // 2, "start" if v > y else "end"
    elif place[0] != to[0]:  # to a comment, and back
        way = 1 if u > x else -1
        line = f"M{x + 15 * way} {y - 5 * way}L{u - 16 * way} {y - 5 * way}"
        beside = (x + u) // 2 + 60, y - 8 if u > x else y + 18, "middle"
    elif u > x:  # a first digit
        line = f"M{x + 15} {y - 4}C{x + 160} {y - 4} {u - 170} {v - 5} {u - 16} {v - 5}"
        beside = u - 24, v - 9, "end"
    else:  # a second digit
        line = f"M{x - 15} {y + 5}C{x - 160} {y + 5} {u + 170} {v + 4} {u + 16} {v + 4}"
        beside = x + 22, y + 19, "start"
        label = f"digit: writes {place[1]:X}0 + it"
    kind = "write" if any(writes.values()) else "quiet"
    a, b, anchor = beside
    return [
        f'<path class="{kind}" d="{line}" marker-end="url(#a)"/>',
        f'<text class="small" x="{a}" y="{b}" text-anchor="{anchor}">{escape(label)}</text>',
    ]
