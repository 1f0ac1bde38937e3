"""Compares what the paths made: with each other, and with what is known good."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bootstrap.ddc.build_paths import Along
from bootstrap.ddc.build_plan import WANTED, BuildStep
from bootstrap.known import StepFile

Status = Literal["agree", "differ", "text differs", "missing", "not the known-good value"]
Result = Literal["agree", "differ", "incomplete"]

_ELF = b"\x7fELF"


@dataclass(frozen=True)
class PathRow:
    """One artifact: what each path made of it (None: nothing), and what is known of it."""

    path: str
    kind: Literal["program", "text"]
    size: int | None
    sha256: Mapping[str, str | None]
    """BuildPath name -> SHA-256."""
    expected: str | None
    expected_from: str | None
    status: Status
    becomes: tuple[str, ...]
    """For a text: the programs that are assembled from it, which speak for it when it differs."""
    why: Mapping[str, str]
    """BuildPath name -> why there is none."""


@dataclass(frozen=True)
class BuildComparison:
    """All artifacts in build order, and what they come to."""

    rows: tuple[PathRow, ...]
    result: Result
    reasons: tuple[str, ...]
    """Why the result is not ``agree``."""
    remarks: tuple[str, ...]
    """What must be said besides: texts that differ while what they assemble to agrees."""


def compare(
    steps: Sequence[BuildStep], found: Sequence[Along], known: StepFile, notes: Sequence[str] = ()
) -> BuildComparison:
    """Judge every artifact of the plan; ``notes`` are remarks about the source.

    ``agree`` needs at least two paths; every program made by all of them, with one content, which
    is the known-good one where one is known; and a known-good value for each of WANTED.  A text
    may differ between paths, since its language allows several encodings of one thing, if every
    program that is assembled from it agrees.
    """
    values = {value.path: value for value in known.expected()}
    rows = []
    for step in steps:
        made = [one.made.get(step.output) for one in found]
        there = [content for content in made if content is not None]
        kind: Literal["program", "text"] = "program"
        if there and not all(content.startswith(_ELF) for content in there):
            kind = "text"
        value = values.get(step.output)
        digests = {
            one.path.name: None if content is None else hashlib.sha256(content).hexdigest()
            for one, content in zip(found, made, strict=True)
        }
        expected = value.sha256 if value else None
        rows.append(
            PathRow(
                step.output,
                kind,
                len(there[0]) if there and len(set(there)) == 1 else None,
                digests,
                expected,
                value.from_ if value else None,
                _status(kind, list(digests.values()), expected),
                _becomes(step.output, steps) if kind == "text" else (),
                {
                    one.path.name: one.failed[step.output]
                    for one in found
                    if step.output in one.failed
                },
            )
        )
    return _judged(rows, found, notes)


def _status(kind: str, digests: Sequence[str | None], expected: str | None) -> Status:
    if None in digests or not digests:
        return "missing"
    if len(set(digests)) > 1:
        return "text differs" if kind == "text" else "differ"
    if expected is not None and expected not in digests:
        return "not the known-good value"
    return "agree"


def _becomes(text: str, steps: Sequence[BuildStep]) -> tuple[str, ...]:
    """The first files on the way from ``text`` that are no input of an assembling step."""
    found: dict[str, None] = {}
    for step in steps:
        if text in step.inputs and step.output != text:
            if step.language == "hex2":
                found[step.output] = None
            else:
                found.update(dict.fromkeys(_becomes(step.output, steps)))
    return tuple(found)


def _judged(
    rows: Sequence[PathRow], found: Sequence[Along], notes: Sequence[str]
) -> BuildComparison:
    reasons: list[str] = []
    remarks = list(notes)
    by_path = {row.path: row for row in rows}
    if len(found) < 2:
        reasons.append("there is only one path; two at least can agree")
    for row in rows:
        if row.status == "differ":
            reasons.append(f"{row.path} differs between the paths")
        elif row.status == "not the known-good value":
            reasons.append(f"{row.path}: the paths agree, but not with {row.expected_from}")
        elif row.status == "missing":
            reasons_given = "; ".join(f"{name}: {why}" for name, why in row.why.items())
            reasons.append(f"{row.path} was not made on every path ({reasons_given})")
        elif row.status == "text differs":
            bad = [name for name in row.becomes if by_path[name].status != "agree"]
            if bad or not row.becomes:
                reasons.append(f"{row.path} differs as a text, and so may what is made from it")
            else:
                remarks.append(
                    f"{row.path} differs as a text between the paths; what it assembles to, "
                    f"{', '.join(row.becomes)}, is one and the same"
                )
    last = {path.rpartition("/")[2]: row for path, row in by_path.items()}
    for name in WANTED:
        if name not in last or last[name].expected is None:
            path = last[name].path if name in last else name
            reasons.append(f"{path}: there is nothing to compare, or no known-good value")
    result: Result = "agree"
    if reasons:
        bad_rows = any(
            row.status in ("differ", "text differs", "not the known-good value") for row in rows
        )
        result = "differ" if bad_rows else "incomplete"
    return BuildComparison(tuple(rows), result, tuple(reasons), tuple(remarks))
