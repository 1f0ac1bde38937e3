"""Draws docs/pictures/machines.svg, on what each machine's bootstrap stands:

python -m tests.machines.layers docs/pictures/machines.svg
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.sax.saxutils import escape

COLOURS = {"upstream": "#d7ecd9", "ours": "#d9e5f7", "engine": "#f6e3c5", "nobody": "#f4f4f4"}
DARK = {"upstream": "#26472c", "ours": "#243b5e", "engine": "#5a431b", "nobody": "#2b2e36"}
KEY = {
    "upstream": "upstream's", "ours": "this project's", "engine": "Unicorn", "nobody": "not there"
}  # fmt: skip
LAYERS = ("programs", "system calls", "devices", "instructions", "comparison")
"""What is in a row, from the top."""
COLUMNS = {
    "verify": (
        ("upstream", "hex0 to M2-Planet,|mescc-tools"), ("ours", "an emulated Linux|(core, linux)"),
        ("nobody", "none"), ("engine", "Unicorn,|user mode"),
        ("ours", "core.verdict.decide,|the release's values"),
    ),
    "--machine builder-hex0": (
        ("upstream", "hex0 to M2-Planet,|mescc-tools"),
        ("upstream", "builder-hex0's kernel,|built by its boot sector"),
        ("ours", "BIOS calls, disk, memory,|interrupt gates"),
        ("engine", "Unicorn, real and|protected mode"),
        ("ours", "core.verdict.compare,|the release's values"),
    ),
    "--machine uefi": (
        ("upstream", "hex0-seed.efi,|kaem-optional-seed.efi"), ("nobody", "none"),
        ("ours", "UEFI boot services,|files, console"), ("engine", "Unicorn,|64 bits"),
        ("nobody", "no values are known"),
    ),
    "--machine knight": (
        ("upstream", "hex0-seed to cc_x86,|lisp, forth"), ("nobody", "none"),
        ("ours", "two tapes"), ("ours", "an interpreter|in Python"),
        ("ours", "stage0's own list|(test/SHA256SUMS)"),
    ),
}  # fmt: skip
LEFT, TOP, WIDE, HIGH, GAP = 110, 46, 190, 52, 8


def rules(text: str, back: str, boxes: dict[str, str]) -> str:
    """The style sheet of one colour scheme."""
    fills = {"text": text, "back": back, **boxes}
    return " ".join(f".{name} {{ fill: {c} }}" for name, c in fills.items())


def box(x: int, y: int, width: int, kind: str, text: str) -> str:
    lines = text.split("|")
    first = y + HIGH // 2 + 5 - 8 * (len(lines) - 1)
    start = f'<text x="{x + width // 2}" text-anchor="middle"'
    words = "".join(
        f'{start} y="{first + 16 * i}">{escape(line)}</text>' for i, line in enumerate(lines)
    )
    shape = f'<rect x="{x}" y="{y}" width="{width}" height="{HIGH}" rx="4" stroke="#888"'
    return f'{shape} class="{kind}"/>{words}'


def picture() -> str:
    """The SVG."""
    step = HIGH + GAP
    width = LEFT + len(COLUMNS) * (WIDE + GAP) + GAP
    height = TOP + len(LAYERS) * step + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13" class="text">',
        f"<style>{rules('#222', '#fff', COLOURS)}"
        f"@media (prefers-color-scheme: dark) {{ {rules('#ddd', '#14161b', DARK)} }}</style>",
        f'<rect width="{width}" height="{height}" class="back"/>',
    ]
    for row, name in enumerate(LAYERS):
        parts.append(f'<text x="{GAP}" y="{TOP + row * step + HIGH // 2 + 5}">{name}</text>')
    for column, (title, boxes) in enumerate(COLUMNS.items()):
        x = LEFT + column * (WIDE + GAP)
        parts.append(f'<text x="{x + WIDE // 2}" y="{TOP - 16}" text-anchor="middle" '
                     f'font-family="monospace" font-weight="bold">{title}</text>')  # fmt: skip
        parts += (box(x, TOP + row * step, WIDE, *one) for row, one in enumerate(boxes))
    for number, (kind, text) in enumerate(KEY.items()):
        x, y = LEFT + number * 130, height - 24
        parts.append(f'<rect x="{x}" y="{y}" width="16" height="14" class="{kind}" '
                     f'stroke="#888"/><text x="{x + 22}" y="{y + 12}">{text}</text>')  # fmt: skip
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(picture(), "utf-8")
