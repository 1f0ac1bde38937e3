"""The comparison for people, and as JSON (docs/ddc.md, docs/ddc.schema.json)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from bootstrap.ddc.build_paths import BuildPath
from bootstrap.ddc.comparing import BuildComparison, PathRow
from bootstrap.documents import encode
from bootstrap.report.model import SourceInfo, Tool
from bootstrap.report.page import Page, visible
from bootstrap.report.text import source_lines
from bootstrap.words import count

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
