"""Compares what the paths made: with each other, and with what is known good; for people, and as
JSON (docs/ddc.md, docs/ddc.schema.json)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bootstrap.ddc.build_paths import Along, BuildPath
from bootstrap.documents import encode
from bootstrap.known import StepFile
from bootstrap.report.model import SourceInfo, Tool
from bootstrap.report.page import Page, visible
from bootstrap.report.text import source_lines
from bootstrap.runs.build_plan import WANTED, BuildStep
from bootstrap.words import count

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


# -- as text --------------------------------------------------------------------------------------


SCHEMA = "bootstrap-ddc/1"

PROVES = (
    "What this shows: the programs above do not depend on which of the assemblers made them. "
    "Something hidden in upstream's hex1, hex2-0, catm or M0, which those programs would pass on "
    "to what they assemble, would have to be hidden in our tools too, which were written apart "
    "from them, and in the Python functions, which run none of the two. What it does not show: "
    "that the sources are harmless, since all paths read the same ones; that hex0, which two of "
    "the paths start from, or the compiler cc_x86, whose source is one for all, does what it "
    "should; or that the machine did as it should, since every guest ran on one model of a CPU "
    "(Unicorn) and one kernel, both of this program, on one host. (The Python functions are no "
    "guest: up to cc_x86 their path needs neither the seed nor the CPU model.)"
)
"""In one paragraph: what agreement means, and what it does not mean."""
_ON_THE_KNIGHT = (
    " Along the path knight no program for x86 is run at all: M2-Planet is compiled by another "
    "cc_x86, written in the knight's assembly language and built by stage0's ROMs from a seed of "
    "250 bytes, on an interpreter that shares neither Unicorn nor a kernel with the rest. What the "
    "x86 cc_x86 adds to M2-Planet, that one would have to add too; but the same people wrote "
    "both, to one end."
)

_MARKS: Mapping[str, tuple[str, str, str]] = {
    "agree": ("✓", "ok", "32"),
    "differ": ("✗", "XX", "31"),
    "not the known-good value": ("✗", "XX", "31"),
    "text differs": ("~", "~~", "33"),
    "missing": ("−", "--", "31"),
}
_VERDICTS = {
    "agree": ("AGREE", "1;32"),
    "differ": ("DIFFER", "1;31"),
    "incomplete": ("INCOMPLETE", "1;33"),
}
_SHORT = 12


def proves(paths: Sequence[BuildPath]) -> str:
    """PROVES, and what the knight adds to it where it was one of the paths."""
    return PROVES + (_ON_THE_KNIGHT if any(path.name == "knight" for path in paths) else "")


def claim(comparison: BuildComparison, paths: Sequence[BuildPath]) -> str:
    """One sentence that says what was found; never more than was compared."""
    programs = [row for row in comparison.rows if row.kind == "program"]
    texts = [row for row in comparison.rows if row.kind == "text"]
    if comparison.result != "agree":
        good = sum(row.status == "agree" for row in comparison.rows)
        return (
            f"{good} of {count(len(comparison.rows), 'artifact')} agree along "
            f"{count(len(paths), 'path')}; {comparison.reasons[0]}."
        )
    same = sum(row.status == "agree" for row in texts)
    known = sum(row.expected is not None for row in comparison.rows)
    return (
        f"{count(len(programs), 'program')} and {same} of {count(len(texts), 'text')} are the same "
        f"along {count(len(paths), 'path')}, bit for bit; {known} of them have a known-good value "
        "and are equal to it."
    )


def to_text(
    comparison: BuildComparison,
    paths: Sequence[BuildPath],
    source: SourceInfo,
    tool: Tool,
    *,
    colour: bool = False,
    width: int | None = None,
    unicode: bool = True,
) -> str:
    """The comparison, ending in a newline; ``width`` None is a pipe: every hash in full."""
    page = Page(colour, width, unicode)
    page.heading(f"Diverse double-compiling of stage0-posix {source.release or ''} for x86")
    source_lines(page, source, tool)
    for path in paths:
        page.labelled(path.name, path.title)
    page.heading("Artifacts, in build order")
    name_width = max(len(visible(row.path)) for row in comparison.rows)
    for row in comparison.rows:
        _row(page, row, name_width, len(paths))
    for remark in comparison.remarks:
        page.wrapped(f"note: {remark}", indent=2, hanging=6)
    page.blank()
    page.wrapped(proves(paths), indent=0)
    page.blank()
    for reason in comparison.reasons[1:]:
        page.wrapped(f"also: {visible(reason)}", indent=0, hanging=6)
    page.last_word(*_VERDICTS[comparison.result], claim(comparison, paths))
    return page.text()


def _row(page: Page, row: PathRow, name_width: int, paths: int) -> None:
    mark = page.sign(*_MARKS[row.status])
    full = page.width is None or page.width >= name_width + 64 + 40
    size = "" if row.size is None else f"{row.size:,}"
    digests = set(row.sha256.values())
    line = f"  {mark} {visible(row.path):<{name_width}}  {size:>9}"
    if row.status == "agree":
        digest = next(iter(digests)) or ""
        shown = digest if full else f"{digest[:_SHORT]}…"
        known = f"= {row.expected_from}" if row.expected else "no known-good value"
        page.line(f"{line}  {shown}  {paths} alike, {known}")
        return
    page.line(f"{line}  {row.status}")
    for name, made in row.sha256.items():
        page.line(f"      {name:<10} {made or row.why.get(name, 'missing')}")
    if row.expected is not None:
        page.line(f"      {'known good':<10} {row.expected}  {row.expected_from}")


def to_json_text(
    comparison: BuildComparison, paths: Sequence[BuildPath], source: SourceInfo, tool: Tool
) -> str:
    """The comparison as JSON of the schema in docs/ddc.schema.json, ending in a newline."""
    value = {
        "schema": SCHEMA,
        "tool": {
            "name": tool.name,
            "version": tool.version,
            "engine": tool.engine.name,
            "engine_version": tool.engine.version,
            "hot_path": tool.hot_path,
        },
        "source": {
            "kind": source.kind,
            "release": source.release,
            "sha256": source.sha256,
            "tree_digest": source.tree_digest,
        },
        "arch": "x86",
        "paths": [{"name": path.name, "title": path.title, **path.facts} for path in paths],
        "result": comparison.result,
        "claim": claim(comparison, paths),
        "reasons": list(comparison.reasons),
        "remarks": list(comparison.remarks),
        "proves": proves(paths),
        "artifacts": encode(comparison.rows),
    }
    return json.dumps(value, indent=2, ensure_ascii=True) + "\n"
