"""Makes the pictures of docs/step.md from the real program:

python -m tests.debug.tui.pictures docs/pictures
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path

from tests.debug.tui.screen import Screen, on_screen
from tests.trace.recorded import record_embedded

PICTURES: dict[str, tuple[tuple[int, int], list[str]]] = {
    # name: (columns, rows), keys; `:` begins a line of the command line
    "step-begin": ((80, 24), []),
    "step-output": ((120, 40), ["o", "o", "o"]),
    "step-links": ((120, 40), [":go hex0:0x54", ":pane output"]),
    "step-wide": ((200, 50), [":go hex0:0x54", ":theme"]),
    "step-light": ((120, 40), [":theme", ":go 6@5000"]),
}


def picture(trace: Path, folder: Path, name: str) -> None:
    """One picture."""
    size, keys = PICTURES[name]

    async def take(screen: Screen) -> None:
        await screen.do(keys)
        svg = screen.app.export_screenshot(simplify=True)
        # Nothing from the network: the viewer's own font.
        svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
        svg = svg.replace("Fira Code, monospace", "DejaVu Sans Mono, Menlo, Consolas, monospace")
        lines = [line.rstrip() for line in svg.splitlines() if line.strip()]
        (folder / f"{name}.svg").write_text("\n".join(lines) + "\n", encoding="utf-8")

    on_screen(trace, take, size)


def main(folder: Path) -> None:
    """All of them."""
    with tempfile.TemporaryDirectory() as place:
        trace = Path(place) / "embedded.trace"
        record_embedded(trace, "native")
        for name in PICTURES:
            picture(trace, folder, name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
