"""docs/step.md is followed, key by key; its script is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.cli.main import main
from bootstrap.debug.command_table import VERBS, parse
from tests.debug.tui.pictures import PICTURES
from tests.debug.tui.screen import Screen, on_screen

PAGE = Path(__file__).resolve().parents[3] / "docs" / "step.md"
_ROW = re.compile(
    r"^\| (?:`(?P<keys>[^`]+)`|\(start\)) \| (?:`(?P<there>[^`]+)`)? ?\| ?(?P<output>.*)\|$"
)
_BLOCK = re.compile(r"^```(?:sh)?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def steps() -> list[tuple[str, str, str]]:
    """(keys, where they lead, what the page says of it)."""
    found = []
    in_table = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        in_table = line.startswith("| key | place |") or (in_table and line.startswith("|"))
        match = _ROW.match(line) if in_table else None
        if match is not None:
            found.append((match["keys"] or "", match["there"] or "", match["output"]))
    return found


async def press(screen: Screen, keys: str) -> None:
    """Keys as the page writes them."""
    if keys.startswith((":", "g ")):
        await screen.press("colon" if keys[0] == ":" else "g")
        screen.app.typed.line.type_in(keys[1 if keys[0] == ":" else 2 :].removesuffix(" ⏎"))
        await screen.press("enter")
    elif keys in ("⏎", "Esc"):
        await screen.press("enter" if keys == "⏎" else "escape")
    else:
        await screen.press(*keys)


def test_the_walk_leads_where_the_page_says(embedded_trace: Path) -> None:
    walk = steps()
    saved: dict[str, str] = {}
    assert len(walk) > 30

    async def follow(screen: Screen) -> None:
        for keys, there, output in walk:
            if keys:
                await press(screen, keys)
            if there:
                assert screen.here == there, (keys, output, screen.status)
            text = screen.text()
            for wanted in re.findall(r"`([^`]+)`", output):
                pieces = [piece.strip() for piece in wanted.split("...")]
                assert all(piece in text for piece in pieces), (keys, wanted, text)

    on_screen(embedded_trace, follow, (160, 50), saved.__setitem__)
    assert "output 2\nexpect at 1@48093" in saved["walk.step"]


def test_the_script_of_the_page_holds(
    embedded_trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    scripts = [block for block in blocks if block.startswith("# the seed makes itself")]
    place = tmp_path / "walk.step"
    place.write_text(scripts[0])
    assert main(["step", str(embedded_trace), "--script", str(place)]) == 0
    out = capsys.readouterr().out
    shown = next(block for block in blocks if block.startswith("$ bootstrap step"))
    for line in shown.splitlines()[1:-1]:
        assert line in out.splitlines()


def test_commands_of_the_page_are_commands() -> None:
    blocks = _BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    block = next(block for block in blocks if block.startswith("go hex0.hex0:212"))
    for line in block.splitlines():
        assert parse(re.split(r" {2,}", line)[0]) is not None
    names = {name for verb in VERBS for name in (verb.name, *verb.aliases)}
    for name in ("stepi", "rsi", "finish", "rc", "b", "info"):
        assert name in names


def test_the_pictures_are_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert set(re.findall(r"pictures/([\w-]+)\.svg", text)) == set(PICTURES)
    for name in PICTURES:
        content = (PAGE.parent / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
        assert content.startswith("<svg") and "url(http" not in content
