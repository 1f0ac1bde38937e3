"""A proof for people, and as JSON (docs/proof.md, docs/prove.schema.json)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from bootstrap.prove import Proof
from bootstrap.prove.picture import by_class, bytes_text, to_svg
from bootstrap.prove.relation import WORDS, Counterexample, Dialect, compare, moves, witness
from bootstrap.prove.values import runs
from bootstrap.prove.walk import Automaton

SCHEMA = "bootstrap-prove/1"


def shown(word: bytes) -> str:
    """An input as a reader can type it."""
    return "".join(chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02x}" for b in word) or "(empty)"


def claim(proof: Proof) -> str:
    """One sentence."""
    if proof.refused or proof.relation is None:
        return f"NOT PROVEN: {proof.refused}"
    return f"PROVEN for all inputs: it is {_language(proof.relation.dialect)}"


def _language(dialect: Dialect) -> str:
    also = [words for words, on in zip(WORDS, dialect, strict=True) if on]
    return "hex0" + (f", where {' and '.join(also)}" if also else "")


def _coverage(found: Automaton, size: int, base: int) -> tuple[set[int], set[int]]:
    """Offsets in the file that execute, and that are read or written as data."""
    code = {at - base + n for at, (length, _) in found.executed.items() for n in range(length)}
    inside = set(range(size))
    return code & inside, {at - base for at in found.data | found.stored} & inside


def _base(proof: Proof) -> int:
    from bootstrap.core.elf import parse
    from bootstrap.linux.inode import file_of

    return next(s.vaddr - s.offset for s in parse(file_of(proof.seed)).segments if s.file_size)


def _runs(offsets: set[int]) -> str:
    return ", ".join(f"{a:#x}" if a == b else f"{a:#x}-{b:#x}" for a, b in runs(offsets)) or "none"


def to_text(proof: Proof, name: str) -> Iterator[str]:
    """Lines."""
    digest = hashlib.sha256(proof.seed).hexdigest()
    yield f"{name}: {proof.abi.upstream}, {len(proof.seed)} bytes, sha256 {digest}"
    found, relation = proof.found, proof.relation
    if found is not None and relation is not None:
        count = sum(len(steps) for steps in found.steps)
        classes = len(set(relation.classes))
        yield f"  walked      {len(found.states)} states at read(2), {count:,} transitions"
        if relation.difference is not None:
            yield f"  differs     {_shows(relation.difference, _language(relation.dialect))}"
        else:
            yield f"  classes     {classes}: in a comment or not, and no digit waits or one of 16"
            for which, on in enumerate(relation.dialect):
                if on:
                    yield f"  peculiar    {WORDS[which]}: {_shows(witness(which), 'plain hex0')}"
            yield "  checked     by bootstrap.prove.check, which recomputed each transition"
        zero = ", ".join(sorted(found.zero))
        yield f"  assumes     {zero} is 0 at the start, as Linux leaves it" if zero else (
            "  assumes     nothing of any register at the start but the stack pointer")  # fmt: skip
        code, data = _coverage(found, len(proof.seed), _base(proof))
        rest = set(range(len(proof.seed))) - code - data
        yield f"  executes    {len(code)} bytes of the file: {_runs(code)}"
        yield f"  data        {len(data)} bytes: {_runs(data)}"
        yield f"  neither     {len(rest)} bytes, headers or dead: {_runs(rest)}"
        for call in sorted(found.calls):
            yield f"  calls       {call.at:#x} {call.name}({', '.join(call.arguments)})"
        for finding in proof.findings:
            yield f"  when        {finding.what}: {finding.then}"
    yield claim(proof)


def _shows(difference: Counterexample, other: str) -> str:
    end = " at its end" if difference.at_end else ""
    word = shown(difference.word)
    return f"{word}{end} makes it write {difference.one}; {other}: {difference.other}"


def document(proof: Proof, name: str) -> dict[str, Any]:
    """The same as plain values."""
    found, relation = proof.found, proof.relation
    facts: dict[str, Any] = {
        "schema": SCHEMA,
        "file": name,
        "arch": proof.abi.upstream,
        "size": len(proof.seed),
        "sha256": hashlib.sha256(proof.seed).hexdigest(),
        "proven": not proof.refused,
        "claim": claim(proof),
        "walk": None,
        "language": None,
        "environments": [finding._asdict() for finding in proof.findings],
    }
    if found is not None and relation is not None:
        code, data = _coverage(found, len(proof.seed), _base(proof))
        facts["walk"] = {
            "states": len(found.states),
            "transitions": sum(len(steps) for steps in found.steps),
            "zero_registers": sorted(found.zero),
            "executed": sorted(code),
            "data": sorted(data),
            "calls": [
                {"at": call.at, "name": call.name, "arguments": list(call.arguments)}
                for call in sorted(found.calls)
            ],
        }
        difference = relation.difference
        facts["language"] = {
            "classes": len(set(relation.classes)),
            "G": relation.dialect[0],
            "CR": relation.dialect[1],
            "difference": None if difference is None else _facts(difference),
            "table": [] if difference else [
                {
                    "comment": place[0], "held": place[1], "to_comment": to[0], "to_held": to[1],
                    "bytes": bytes_text(writes), "writes": len([w for w in writes.values() if w]),
                }
                for place, row in by_class(found, relation).items()
                for to, writes in row.items()
            ],
        }  # fmt: skip
    return facts


def _facts(difference: Counterexample) -> dict[str, Any]:
    return {
        "input": difference.word.hex(), "at_end": difference.at_end,
        "one": difference.one, "other": difference.other,
    }  # fmt: skip


def picture(proof: Proof) -> str:
    """The automaton as SVG. Only of what is proven."""
    assert proof.found is not None and proof.relation is not None
    digest = hashlib.sha256(proof.seed).hexdigest()
    title = f"hex0-seed for {proof.abi.upstream}, {len(proof.seed)} bytes, {digest[:12]}..."
    return to_svg(proof.found, proof.relation, title)


def against(one: Proof, other: Proof) -> tuple[int, str]:
    """Exit status, and how two seeds compare: by what they do, whatever hex0 is."""
    if one.found is None or other.found is None or not (one.found.states and other.found.states):
        return 1, "NOT COMPARED: not both are walked"
    difference, _ = compare(moves(one.found), 0, moves(other.found), 0)
    if difference is not None:
        return 1, f"DIFFERENT: {_shows(difference, 'the other')}"
    if one.refused or other.refused:
        return 1, "NOT PROVEN the same, for not both are checked; the walks show no difference"
    return 0, "PROVEN the same for all inputs"
