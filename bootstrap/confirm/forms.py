"""The table for people: on a terminal, as Markdown for a pull request, as one HTML page."""

from __future__ import annotations

import re

from bootstrap.confirm.table import ArtifactRow, Cell, Column, Confirmation, Result
from bootstrap.confirm.ways import ITS_OWN
from bootstrap.report.html import HtmlCell, HtmlPage, HtmlTable, Tone, to_page
from bootstrap.report.page import Page, visible
from bootstrap.words import count

_MARKS: dict[Cell, tuple[str, str, str]] = {
    "agree": ("✓", "y", "32"),
    "differ": ("✗", "X", "1;31"),
    "not applicable": ("·", ".", "2"),
    "not run": ("?", "?", "33"),
}
_TONES: dict[Cell, Tone] = {
    "agree": "good", "differ": "bad", "not applicable": "faint", "not run": "warn",
}  # fmt: skip
_WORDS: dict[Result, tuple[str, str, Tone]] = {
    "confirmed": ("CONFIRMED", "1;32", "good"),
    "differs": ("DIFFERS", "1;31", "bad"),
    "too few": ("TOO FEW", "1;33", "warn"),
}
_SHORT = 12


def _title(found: Confirmation) -> str:
    return f"Who says so: {found.release} for {found.arch}"


def _what(column: Column) -> str:
    """What became of an opinion, and by what it would be made."""
    made = column.made
    if made is not None:
        when = f"{made.at[:10]} {made.at[11:16]} UTC by {made.by} on {made.host}"
        return f"{'made' if column.state == 'made' else 'kept, made'} {when}: {column.how}"
    return "; ".join(filter(None, (column.how, column.why, column.command))) or column.state


def _cell(column: Column) -> Cell:
    if column.result is not None:
        return column.result
    return "not applicable" if column.state == "not applicable" else "not run"


def _shares(column: Column) -> str:
    """What makes it another opinion."""
    if column.publisher:
        return f"published by {column.publisher}"
    chain = "" if column.chain == ITS_OWN else f", chain: {column.chain}"
    return f"CPU {column.cpu}, kernel {column.kernel}{chain}"


def to_text(
    found: Confirmation, *, colour: bool = False, width: int | None = None, unicode: bool = True
) -> str:
    """The page, ending in a newline; it fits 40 columns. `width` None is a pipe: hashes in full."""
    page = Page(colour, width, unicode)
    page.heading(f"{_title(found)}, entry {found.entry}")
    page.labelled("tree", found.tree)
    page.labelled("judged by", f"{found.judged_by.file}, sha256 {found.judged_by.sha256}")
    page.heading("Opinions, in the order of the columns below")
    for number, column in enumerate(found.opinions, 1):
        mark = page.sign(*_MARKS[_cell(column)])
        page.wrapped(f"{number:>2} {mark} {column.name}: {_shares(column)}", indent=2, hanging=5)
        page.wrapped(visible(_what(column)), indent=7, hanging=2)
    if found.artifacts:
        page.heading("Artifacts, the weakest first: how many independent opinions, and whose")
    for row in found.weakest_first:
        _row(page, row)
    page.blank()
    page.wrapped(f"Marks: {page.sign(*_MARKS['agree'])} agrees, {page.sign(*_MARKS['differ'])} "
                 f"differs, {page.sign(*_MARKS['not applicable'])} says nothing of it, "
                 f"{page.sign(*_MARKS['not run'])} not run.", indent=0)  # fmt: skip
    page.wrapped(f"{found.rule} {found.shared}", indent=0)
    page.blank()
    for finding in found.findings[1:]:
        page.wrapped(f"also: {visible(finding)}", indent=0, hanging=6)
    word, code, _ = _WORDS[found.result]
    page.last_word(word, code, found.claim)
    return page.text()


def _row(page: Page, row: ArtifactRow) -> None:
    marks = "".join(page.sign(*_MARKS[cell]) for cell in row.opinions.values())
    path = visible(row.path)
    line = f"{row.independent:>4} {marks}  {path}"
    room = page.width or 200
    taken = 7 + len(row.opinions) + len(path)
    if taken > room:
        page.line(f"{row.independent:>4} {marks}")
        page.line(f"       {path}")
    elif row.sha256 and taken + 66 <= room:
        page.line(f"{line}  {row.sha256}")
    else:
        page.line(line)
    for name, other in row.differing.items():
        page.line(f"       {name}: {other or 'not there'}")


def _escaped(text: str) -> str:
    """Foreign text in a cell of Markdown: nothing in it is markup, a link or a mention."""
    text = visible(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]#!|~@$])", lambda found: f"&#{ord(found[1])};", text)


def to_markdown(found: Confirmation) -> str:
    """For a pull request, or a job's summary: the verdict, what differs, both tables."""
    word, _, _ = _WORDS[found.result]
    lines = [f"### {_escaped(_title(found))}", "", f"**{word}**: {_escaped(found.claim)}", ""]
    lines += [f"- {_escaped(finding)}" for finding in found.findings]
    lines += ["", "| opinion | CPU code | kernel | chain | says | when, where, how |",
              "|---|---|---|---|---|---|"]  # fmt: skip
    for one in found.opinions:
        mark = f"{_MARKS[_cell(one)][0]} {_cell(one)}"
        cells = (one.name, one.cpu, one.kernel, one.publisher or one.chain, mark, _what(one))
        lines.append(f"| {' | '.join(map(_escaped, cells))} |")
    heads = [one.name for one in found.opinions]
    lines += ["", f"<details><summary>{count(len(found.artifacts), 'artifact')}, the weakest first"
              "</summary>", "", f"| artifact | independent | {' | '.join(heads)} |",
              "|---|---|" + "---|" * len(heads)]  # fmt: skip
    for row in found.weakest_first:
        marks = (_MARKS[cell][0] for cell in row.opinions.values())
        lines.append(f"| {_escaped(row.path)} | {row.independent} | {' | '.join(marks)} |")
    return "\n".join([*lines, "", "</details>", "", found.rule, found.shared, ""])


def to_html(found: Confirmation) -> str:
    """One self-contained page."""
    word, _, tone = _WORDS[found.result]
    columns = [
        [
            HtmlCell(one.name),
            HtmlCell(one.title),
            HtmlCell(one.cpu),
            HtmlCell(one.kernel),
            HtmlCell(one.chain),
            HtmlCell(one.publisher or "made here"),
            HtmlCell(f"{_MARKS[_cell(one)][0]} {_cell(one)}", _TONES[_cell(one)]),
            HtmlCell(_what(one)),
        ]
        for one in found.opinions
    ]
    rows = [
        [
            HtmlCell(row.path, code=True),
            HtmlCell(str(row.independent)),
            *(
                HtmlCell(_MARKS[cell][0], _TONES[cell], f"{name}: {cell}")
                for name, cell in row.opinions.items()
            ),
            HtmlCell((row.sha256 or "")[:_SHORT], title=row.sha256 or "", code=True),
        ]
        for row in found.weakest_first
    ]
    legend = ", ".join(f"{mark} {cell}" for cell, (mark, _, _) in _MARKS.items())
    return to_page(HtmlPage(
        _title(found), word, tone, found.claim,
        facts=(("entry", found.entry), ("tree", found.tree),
               ("judged by", f"{found.judged_by.file}, sha256 {found.judged_by.sha256}"),
               ("tool", f"{found.tool.name} {found.tool.version}")),
        findings=found.findings,
        tables=(
            HtmlTable("Opinions", ("opinion", "what", "CPU code", "kernel", "chain", "published by",
                                   "says", "when, where, how"), columns),
            HtmlTable("Artifacts, the weakest first", ("artifact", "independent",
                      *(one.name for one in found.opinions), "sha256"), rows, legend),
        ),
        notes=(found.rule, found.shared),
    ))  # fmt: skip
