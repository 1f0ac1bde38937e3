"""The pages in a real browser: Debian's Chromium, driven by playwright, judged by axe-core."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.report.pages import EVIL, pages
from tests.report.test_html import read

NAMES = ("verified", "mismatch", "failed", "missing", "evil", "several", "diff", "wide")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return pages(tmp_path_factory.mktemp("pages"))


def test_a_hostile_tree_adds_no_element(made: dict[str, str]) -> None:
    assert set(made) == set(NAMES)
    for name, text in made.items():
        tags = {tag for tag, _ in read(text).tags}
        assert not tags & {"script", "img", "a", "link", "iframe", "b"}, name
        assert not any(hidden in text for hidden in "\x1b\u202e\u2066"), name
    assert EVIL[:8] in "".join(read(made["evil"]).text)
    assert "✗ mismatch" in made["mismatch"] and "To repeat it: bootstrap verify" in made["verified"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync = pytest.importorskip("playwright.sync_api", reason="no playwright: make test installs it")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def _listen(page: Any, said: list[str]) -> None:
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))


FEW = ("verified", "evil", "diff", "wide")
"""The others differ from these in their words; `pytest -m exhaustive` has them."""


@pytest.mark.parametrize(
    "name", [n if n in FEW else pytest.param(n, marks=pytest.mark.exhaustive) for n in NAMES]
)
def test_in_a_browser(name: str, made: dict[str, str], browser: Any, tmp_path: Path) -> None:
    """No error, no request, nothing wider than the window, no serious fault of accessibility."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    place = tmp_path / "page.html"
    place.write_text(made[name], encoding="utf-8")
    for width, scheme in ((360, "light"), (1600, "dark")):
        # The page forbids all scripts: axe is one, and is let in past the policy.
        context = browser.new_context(
            viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
        )
        page = context.new_page()
        page.goto(place.as_uri())
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, (width, wide)
        found = axe.Axe().run(page).response["violations"]
        serious = [one for one in found if one["impact"] in ("serious", "critical")]
        assert serious == [], [one["id"] for one in serious]
        context.close()
    # As a reader has it, with the policy; and as paper.
    page = browser.new_page()
    said: list[str] = []
    _listen(page, said)
    page.goto(place.as_uri())
    page.emulate_media(media="print")
    assert page.locator("h1").is_visible() and page.locator(".verdict").is_visible()
    assert said == [place.as_uri()]
    assert page.title() != "owned"
    page.close()


def test_a_fault_is_seen(made: dict[str, str], browser: Any, tmp_path: Path) -> None:
    """What the checks above look for is found where it is."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")
    place = tmp_path / "bad.html"
    place.write_text(
        made["verified"].replace("<h1>", '<img src="x.png"><div style="width:3000px">x</div><h1>')
    )
    page = browser.new_page(viewport={"width": 360, "height": 800}, bypass_csp=True)
    asked: list[str] = []
    _listen(page, asked)
    page.goto(place.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") > 360
    assert sum(one.endswith("x.png") for one in asked) >= 1
    found = {one["id"] for one in axe.Axe().run(page).response["violations"]}
    assert "image-alt" in found
