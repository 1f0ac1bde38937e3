"""A report as one HTML page, or as Markdown: nothing is loaded, foreign text stays text.

Jinja2 escapes every value (autoescape); before that `visible` shows what would hide or turn text
round (control characters, bidirectional controls). The Content-Security-Policy allows the one style
sheet in the page, by its hash, and nothing else. Light and dark as the reader has it, and print.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bootstrap.report.page import visible

Tone = Literal["", "good", "bad", "warn", "faint"]


@dataclass(frozen=True)
class HtmlCell:
    """A cell. `title` is shown by most browsers when it is pointed to; `code`: a hash or a path."""

    text: str
    tone: Tone = ""
    title: str = ""
    code: bool = False


@dataclass(frozen=True)
class HtmlTable:
    """A table with its heading, and a note below that."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[HtmlCell]]
    note: str = ""


@dataclass(frozen=True)
class HtmlPage:
    """What a page says: the verdict first, then facts, findings, tables and notes."""

    title: str
    word: str
    """The verdict, in a word or two."""
    tone: Tone
    claim: str
    facts: Sequence[tuple[str, str]] = ()
    findings: Sequence[str] = ()
    tables: Sequence[HtmlTable] = ()
    notes: Sequence[str] = field(default=())
    pictures: Sequence[tuple[str, str]] = ()
    """A heading and an SVG of ours: the one thing that is not escaped."""
    texts: Sequence[tuple[str, str]] = ()
    """A heading and lines as on a terminal."""


_STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --line: #ccc; --faint: #6a6a6a;
  --good: #176b2c; --bad: #b3151f; --warn: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #15171a; --line: #444;
  --faint: #9a9a9a; --good: #6fd08a; --bad: #ff8b8b; --warn: #e9bd5b } }
body { color: var(--ink); background: var(--paper); font: 16px/1.45 system-ui, sans-serif;
  margin: 2rem auto; max-width: 75rem; padding: 0 1rem }
h1, h2, p, li, dt { overflow-wrap: anywhere }
h1 { font-size: 1.5rem } h2 { font-size: 1.2rem; margin-top: 2rem }
.verdict { border-left: .4rem solid; padding: .4rem .8rem; font-size: 1.1rem }
.good { color: var(--good) } .bad { color: var(--bad) } .warn { color: var(--warn) }
.faint { color: var(--faint) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .6rem .2rem 0; text-align: left;
  vertical-align: top }
dl { display: grid; grid-template-columns: minmax(0, max-content) minmax(50%, 1fr);
  gap: .1rem 1rem }
dd { margin: 0; overflow-wrap: anywhere } dt { color: var(--faint) }
code { font: .85rem ui-monospace, monospace; overflow-wrap: anywhere }
@media print { body { margin: 0; max-width: none; font-size: 10pt } .scroll { overflow: visible }
  tr { break-inside: avoid } :root { --ink: #000; --paper: #fff; --line: #999; --faint: #444;
  --good: #000; --bad: #000; --warn: #000 } }
"""
_TEMPLATE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.word }}: {{ page.title }}</title>
<style>{{ style }}</style>
</head>
<body>
<h1>{{ page.title }}</h1>
<p class="verdict {{ page.tone }}"><strong>{{ page.word }}</strong>: {{ page.claim }}</p>
{% if page.facts %}<dl>
{% for name, text in page.facts %}<dt>{{ name }}</dt><dd>{{ text }}</dd>
{% endfor %}</dl>
{% endif %}{% if page.findings %}<h2>Findings</h2>
<ul>
{% for finding in page.findings %}<li>{{ finding }}</li>
{% endfor %}</ul>
{% endif %}{% for heading, svg in pictures %}<h2>{{ heading }}</h2>
<div class="scroll" tabindex="0" role="region" aria-label="{{ heading }}">{{ svg }}</div>
{% endfor %}{% for heading, lines in texts %}<h2>{{ heading }}</h2>
<pre class="scroll" tabindex="0" role="region" aria-label="{{ heading }}">
{%- for line in lines %}{{ line }}
{% endfor %}</pre>
{% endfor %}{% for table in page.tables %}<h2>{{ table.heading }}</h2>
{% if table.note %}<p>{{ table.note }}</p>
{% endif %}<div class="scroll" tabindex="0" role="region" aria-label="{{ table.heading }}"><table>
<thead><tr>{% for name in table.columns %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}<tr>{% for cell in row -%}
<td{% if cell.tone %} class="{{ cell.tone }}"{% endif %}
{%- if cell.title %} title="{{ cell.title }}"{% endif %}>
{%- if cell.code %}<code>{{ cell.text }}</code>{% else %}{{ cell.text }}{% endif %}</td>
{%- endfor %}</tr>
{% endfor %}</tbody></table></div>
{% endfor %}{% for note in page.notes %}<p class="faint">{{ note }}</p>
{% endfor %}</body>
</html>
"""


def to_html(page: HtmlPage) -> str:
    """The whole document, which ends in a newline; the same for the same page."""
    # Imported late: who asks for no HTML loads no template engine.
    import jinja2
    from markupsafe import Markup

    def shown(value: object) -> object:
        plain = isinstance(value, str) and not isinstance(value, Markup)
        return visible(str(value)) if plain else value

    environment = jinja2.Environment(
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    # Both are ours; a quote in the policy would not need an escape in double quotes.
    return environment.from_string(_TEMPLATE).render(
        page=page,
        style=Markup(_STYLE),
        policy=Markup(policy),
        pictures=[(heading, Markup(svg)) for heading, svg in page.pictures],
        texts=[(heading, text.splitlines()) for heading, text in page.texts],
    )


def to_markdown(page: HtmlPage) -> str:
    """The same for a pull request or a job's summary: no text in it is markup, link or mention."""

    def plain(text: str) -> str:
        text = visible(text).replace("&", "&amp;").replace("<", "&lt;")
        return re.sub(r"([\\`*_\[\]#!|~@$])", lambda found: f"&#{ord(found[1])};", text)

    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    lines = [f"### {plain(page.title)}", "", f"**{plain(page.word)}**: {plain(page.claim)}", ""]
    lines += [f"- {plain(finding)}" for finding in page.findings]
    for table in page.tables:
        lines += ["", f"<details><summary>{plain(table.heading)}</summary>", ""]
        lines += [row([plain(name) for name in table.columns]), row(["---"] * len(table.columns))]
        lines += [row([plain(cell.text) for cell in cells]) for cells in table.rows]
        lines += ["", plain(table.note), "</details>"]
    return "\n".join([*lines, "", *map(plain, page.notes), ""])
