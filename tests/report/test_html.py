"""The page: foreign text stays text, nothing is loaded, the one style sheet is allowed by hash."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

from bootstrap.report.chain import chain
from bootstrap.report.html import HtmlCell, HtmlPage, HtmlTable, to_html, to_markdown
from tests.report.scenario import Scenario

EVIL = '<script>alert(1)</script>" onload="x\u202e\x1b[2J\u2066&amp;'


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> _Reader:
    reader = _Reader()
    reader.feed(text)
    return reader


def model(text: str) -> HtmlPage:
    table = HtmlTable(text, (text,), [[HtmlCell(text, "bad", text, True), HtmlCell(text)]], text)
    return HtmlPage(text, text, "bad", text, ((text, text),), (text,), (table,), (text,))


def page(text: str) -> str:
    return to_html(model(text))


def test_foreign_text_is_shown_and_does_nothing() -> None:
    evil, plain = read(page(EVIL)), read(page("plain"))
    assert [tag for tag, _ in evil.tags] == [tag for tag, _ in plain.tags]
    assert [sorted(attrs) for _, attrs in evil.tags] == [sorted(attrs) for _, attrs in plain.tags]
    assert "<script>alert(1)</script>" in "".join(evil.text)
    for hidden in "\x1b\u202e\u2066":
        assert hidden not in page(EVIL)
    assert r"\u202e" in "".join(evil.text)


def test_nothing_is_loaded_and_the_style_is_allowed_by_its_hash() -> None:
    text = page("x")
    tags = read(text).tags
    assert not {tag for tag, _ in tags} & {"script", "img", "link", "iframe", "form", "a", "object"}
    [policy] = [a["content"] for t, a in tags if a.get("http-equiv") == "Content-Security-Policy"]
    found = re.search("<style>(.*)</style>", text, re.DOTALL)
    assert found is not None and policy is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'")
    assert not re.search(r"url\(|@import|style=", text)
    for words in ("prefers-color-scheme: dark", "@media print"):
        assert words in text
    assert text == page("x")


def test_markdown_has_no_markup_of_others() -> None:
    text = to_markdown(model(EVIL + "a|b [x](y) *c* `d` @someone\n# no heading"))
    assert not re.search("[\u202e\u2066\x1b`*@]|<script|\\[x", text.replace("**", ""))
    assert not [line for line in text.splitlines() if line.startswith("# ")]
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {2, 3}, "a bar of others' makes no column"


def test_a_chain_of_any_length_is_drawn() -> None:
    """The guest chooses it."""
    length = 3000
    report = Scenario().report()
    (first, *_) = (one for one in report.artifacts if one.producer is not None)
    assert first.producer is not None
    artifacts = [
        replace(first, path=f"p{at + 1}", producer=replace(first.producer, program=f"p{at}"))
        for at in range(length)
    ]
    links = chain(replace(report, artifacts=tuple(artifacts)))
    assert [one.name for one in links] == [f"p{at}" for at in range(length)]
    assert [one.maker for one in links] == [None, *range(length - 1)]
