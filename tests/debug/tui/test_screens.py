"""Snapshots of the main screens, as text. After a change that is meant, look at what it draws:

python -m tests.debug.tui.test_screens
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.debug.tui.screen import Screen, on_screen
from tests.trace.recorded import record_embedded

FOLDER = Path(__file__).parent / "screens"
SCREENS: dict[str, tuple[tuple[int, int], list[str]]] = {
    "begin-80x24": ((80, 24), []),
    "output-80x24": ((80, 24), ["o", "o"]),
    "memory-80x24": ((80, 24), ["o", "o", ":pane memory"]),
    "output-160x50": ((160, 50), ["o", "o", "o"]),
    "child-120x40": ((120, 40), [":go 3@0", "d", ":pane tree"]),
    "hex2-120x40": ((120, 40), [":go 6@0", ":break n", "c"]),
    "why-100x30": ((100, 30), [":why hex0:0x54"]),
}


def draw(trace: Path, name: str) -> str:
    """One screen."""
    size, keys = SCREENS[name]
    found: list[str] = []

    async def look(screen: Screen) -> None:
        await screen.do(keys)
        found.append(screen.text())

    on_screen(trace, look, size)
    return found[0] + "\n"


@pytest.mark.parametrize("name", SCREENS)
def test_screens_are_as_they_were_seen(embedded_trace: Path, name: str) -> None:
    assert draw(embedded_trace, name) == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def main() -> None:
    """Draw all of them again."""
    with tempfile.TemporaryDirectory() as place:
        trace = Path(place) / "embedded.trace"
        record_embedded(trace, "native")
        for name in SCREENS:
            (FOLDER / f"{name}.txt").write_text(draw(trace, name), encoding="utf-8")


if __name__ == "__main__":
    main()
