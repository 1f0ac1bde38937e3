"""The table for people: on a terminal, and as a page for HTML or Markdown."""

from __future__ import annotations

from bootstrap.confirm.table import Cell, Confirmation, Result, Voice
from bootstrap.report.html import HtmlCell, HtmlPage, HtmlTable, Tone
from bootstrap.report.page import Page, visible
from bootstrap.report.ways import ITS_OWN

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


def _title(found: Confirmation) -> str:
    return f"Who says so: {found.release} for {found.arch}"


def _facts(found: Confirmation) -> tuple[tuple[str, str], ...]:
    judged_by = f"{found.judged_by.file}, sha256 {found.judged_by.sha256}"
    return ("entry", found.entry), ("tree", found.tree), ("judged by", judged_by)


def _what(voice: Voice) -> str:
    """What became of an opinion, and by what it would be made."""
    how = voice.opinion.how if voice.opinion is not None else ""
    if voice.opinion is not None and (made := voice.opinion.made) is not None:
        when = f"{made.at[:10]} {made.at[11:16]} UTC by {made.by} on {made.host}"
        return f"{'made' if voice.state == 'made' else 'kept, made'} {when}: {how}"
    return "; ".join(filter(None, (how, voice.why, voice.command))) or voice.state


def _cell(voice: Voice) -> Cell:
    if voice.result is not None:
        return voice.result
    return "not applicable" if voice.state == "not applicable" else "not run"


def to_text(
    found: Confirmation, *, colour: bool = False, width: int | None = None, unicode: bool = True
) -> str:
    """The page, ending in a newline; it fits 40 columns. `width` None is a pipe: hashes in full."""
    page = Page(colour, width, unicode)
    page.heading(visible(_title(found)))
    for name, text in _facts(found):
        page.labelled(name, visible(text))
    page.heading("Opinions, in the order of the columns below")
    for number, voice in enumerate(found.opinions, 1):
        way, mark = voice.way, page.sign(*_MARKS[_cell(voice)])
        chain = "" if way.chain == ITS_OWN else f", chain: {way.chain}"
        shares = f"CPU {way.cpu}, kernel {way.kernel}{chain}"
        shares = f"published by {way.publisher}" if way.publisher else shares
        shares = visible(f"{way.name}: {shares}")
        page.wrapped(f"{number:>2} {mark} {shares}", indent=2, hanging=5)
        page.wrapped(visible(_what(voice)), indent=7, hanging=2)
    if found.artifacts:
        page.heading("Artifacts, the weakest first: how many independent opinions, and whose")
    for row in found.weakest_first:
        cells = "".join(page.sign(*_MARKS[cell]) for cell in row.opinions.values())
        path, room = visible(row.path), page.width or 200
        taken = 7 + len(row.opinions) + len(path)
        digest = f"  {row.sha256}" if row.sha256 and taken + 66 <= room else ""
        between = "  " if taken <= room else f"\n{'':7}"
        page.line(f"{row.independent:>4} {cells}{between}{path}{digest}")
        for name, other in row.differing.items():
            page.line(f"       {visible(name)}: {other or 'not there'}")
    page.blank()
    # Without colours, whose codes would count as width.
    marks = ", ".join(f"{mark[not unicode]} {cell}" for cell, mark in _MARKS.items())
    page.wrapped(f"{marks}. {visible(f'{found.rule} {found.shared}')}", indent=0)
    page.blank()
    for finding in found.findings[1:]:
        page.wrapped(f"also: {visible(finding)}", indent=0, hanging=6)
    page.last_word(*_WORDS[found.result][:2], found.claim)
    return page.text()


def to_page(found: Confirmation) -> HtmlPage:
    """For `report.html`, as HTML or as Markdown."""
    word, _, tone = _WORDS[found.result]
    opinions = [
        [
            *map(HtmlCell, (v.way.name, v.way.title, v.way.cpu, v.way.kernel, v.way.chain)),
            HtmlCell(v.way.publisher or "made here"),
            HtmlCell(f"{_MARKS[_cell(v)][0]} {_cell(v)}", _TONES[_cell(v)]),
            HtmlCell(_what(v)),
        ]
        for v in found.opinions
    ]
    artifacts = [
        [
            HtmlCell(row.path, code=True),
            HtmlCell(str(row.independent)),
            *(
                HtmlCell(_MARKS[cell][0], _TONES[cell], f"{name}: {cell}")
                for name, cell in row.opinions.items()
            ),
            HtmlCell((row.sha256 or "")[:12], title=row.sha256 or "", code=True),
        ]
        for row in found.weakest_first
    ]
    heads = "opinion", "what", "CPU code", "kernel", "chain", "published by", "says", "how"
    columns = ("artifact", "independent", *(v.way.name for v in found.opinions), "sha256")
    legend = ", ".join(f"{mark} {cell}" for cell, (mark, _, _) in _MARKS.items())
    return HtmlPage(
        _title(found), word, tone, found.claim, _facts(found), found.findings,
        (HtmlTable("Opinions", heads, opinions),
         HtmlTable("Artifacts, the weakest first", columns, artifacts, legend)),
        (found.rule, found.shared),
    )  # fmt: skip
