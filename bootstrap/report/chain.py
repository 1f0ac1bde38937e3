"""Which program made which, from the seed on, as a drawing: an SVG that works in light and dark.

Drawn of a report, so of what a run did: an artifact stands below the program that wrote it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from bootstrap.report.model import Report
from bootstrap.report.page import visible

_ROW, _INDENT, _WIDTH = 26, 34, 640
"""In SVG's units, about a pixel each."""


@dataclass(frozen=True)
class ChainLink:
    """A program that made something; `maker` is the place in the list of the one that made it."""

    name: str
    size: int | None
    maker: int | None
    made: int
    """How many files it made."""


def chain(report: Report) -> tuple[ChainLink, ...]:
    """The programs of a report that made something, each after its maker, in build order."""
    makers: dict[str, str | None] = {}
    made: dict[str, int] = {}
    sizes: dict[str, int | None] = {}
    for artifact in report.artifacts:
        sizes[artifact.path] = artifact.size
        if artifact.producer is not None and artifact.producer.program != artifact.path:
            makers[artifact.path] = artifact.producer.program
            made[artifact.producer.program] = made.get(artifact.producer.program, 0) + 1
    below: dict[str | None, list[str]] = {}
    for name in made:
        below.setdefault(makers.get(name), []).append(name)
    rows: list[ChainLink] = []
    # First a seed, or another file that nothing in the report made. A guest may make a chain of
    # thousands.
    left: list[tuple[str, int | None]] = [(name, None) for name in reversed(below.get(None, ()))]
    while left:
        name, maker = left.pop()
        left += [(path, len(rows)) for path in reversed(below.get(name, ()))]
        rows.append(ChainLink(name, sizes.get(name), maker, made[name]))
    return tuple(rows)


def chain_svg(links: Sequence[ChainLink], title: str, alone: bool = False) -> str:
    """The drawing; `alone` is for a file of its own, which brings its colours along."""
    height = _ROW * len(links) + 10
    svg = ET.Element(
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "viewBox": f"0 0 {_WIDTH} {height}", "role": "img",
         "width": str(_WIDTH), "height": str(height), "fill": "currentColor",
         "font-family": "ui-monospace, monospace", "font-size": "13"},
    )  # fmt: skip
    ET.SubElement(svg, "title").text = visible(title)
    if alone:
        ET.SubElement(svg, "style").text = (
            "svg { color: #1b1b1b; background: #fff }"
            "@media (prefers-color-scheme: dark) { svg { color: #e6e6e6; background: #15171a } }"
        )
    depths: list[int] = []
    for row, link in enumerate(links):
        depths.append(0 if link.maker is None else depths[link.maker] + 1)
        x, y = 8 + _INDENT * depths[row], _ROW * row + 18
        if link.maker is not None:
            up = 8 + _INDENT * depths[link.maker] + 8
            path = f"M{up} {_ROW * link.maker + 24} V{y - 4} H{x - 4}"
            lines = {"d": path, "fill": "none", "stroke": "currentColor", "stroke-opacity": ".45"}
            ET.SubElement(svg, "path", lines)
        text = ET.SubElement(svg, "text", {"x": str(x), "y": str(y)})
        name = ET.SubElement(text, "tspan", {"font-weight": "bold"})
        name.text = visible(link.name)
        size = "" if link.size is None else f"{link.size:,} bytes, "
        files = "1 file" if link.made == 1 else f"{link.made} files"
        name.tail = f"  {size}made {files}"
    return ET.tostring(svg, "unicode")
