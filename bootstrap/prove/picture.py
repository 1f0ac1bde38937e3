"""The automaton as a picture: 34 classes, drawn as (in a comment or not) x (which digit waits)."""

from __future__ import annotations

from collections.abc import Iterable
from xml.sax.saxutils import escape

from bootstrap.prove.check.language import Class
from bootstrap.prove.relation import Relation
from bootstrap.prove.values import runs
from bootstrap.prove.walk import Automaton

_ROW, _TOP = 46, 90
_X = {(False, False): 190, (False, True): 520, (True, False): 190, (True, True): 850}
"""By (comment?, a digit waits?)."""
_STYLE = """
text { font: 13px sans-serif; fill: #222 } .head { font-size: 16px; font-weight: bold }
.small { font-size: 11px; fill: #444 } circle { fill: #fff; stroke: #333; stroke-width: 1.5 }
.comment { fill: #e8e8e8 } path { fill: none; stroke: #888; stroke-width: 1.2 }
.write { stroke: #b03020 } .quiet { stroke: #3060a0 }"""


def bytes_text(values: Iterable[int]) -> str:
    """`0-9 A-F`, `0x00-0x22`: a set of bytes, in runs."""
    return " ".join(
        _name(first) if first == last else f"{_name(first)}-{_name(last)}"
        for first, last in runs(values)
    )


def _name(byte: int) -> str:
    return chr(byte) if 0x20 < byte < 0x7F else {10: "LF", 13: "CR"}.get(byte, f"{byte:02x}")


def by_class(found: Automaton, relation: Relation) -> dict[Class, dict[Class, dict[int, bytes]]]:
    """From class to class: which bytes lead there, and what each writes."""
    rows: dict[Class, dict[Class, dict[int, bytes]]] = {}
    for number, steps in enumerate(found.steps):
        for byte in range(256):
            to = steps[byte].target
            if to is not None:
                row = rows.setdefault(relation.classes[number], {})
                row.setdefault(relation.classes[to], {})[byte] = steps[byte].written
    return rows


def _at(place: Class) -> tuple[int, int]:
    comment, held = place
    middle = _TOP + 8 * _ROW
    y = middle + (130 if comment else 0) if held is None else _TOP + held * _ROW
    return _X[comment, held is not None], y


def to_svg(found: Automaton, relation: Relation, title: str) -> str:
    """Of a seed that is hex0."""
    rows = by_class(found, relation)
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1060 880" width="1060" height="880">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" style="fill:#555;stroke:none"/></marker></defs>',
        '<rect width="1060" height="880" fill="#fff"/>',
        f'<text x="20" y="30" class="head">{escape(title)}</text>',
        '<text x="20" y="52" class="small">Blue: a byte is read, none is written. '
        "Red: a second digit is read, and a byte is written. Every other byte leaves a class as it "
        "is; at the end of the file each class ends.</text>",
        f'<text x="{_X[False, True] - 40}" y="72">a digit waits</text>'
        f'<text x="{_X[True, True] - 60}" y="72">the same, in a comment</text>',
    ]
    for place, row in rows.items():
        for to, writes in row.items():
            if to != place:
                lines += _arrow(place, to, writes)
    for place in rows:
        x, y = _at(place)
        kind = ' class="comment"' if place[0] else ""
        name = "-" if place[1] is None else f"{place[1]:X}"
        lines.append(f'<circle cx="{x}" cy="{y}" r="15"{kind}/>')
        lines.append(f'<text x="{x}" y="{y + 5}" text-anchor="middle">{name}</text>')
    x, y = _at((False, None))
    lines.append(f'<path d="M{x - 75} {y}L{x - 16} {y}" marker-end="url(#a)"/>')
    lines.append(f'<text x="{x - 170}" y="{y + 4}">start: no digit</text>')
    x, y = _at((True, None))
    lines.append(f'<text x="{x - 170}" y="{y + 4}">in a comment</text>')
    return "\n".join([*lines, "</svg>", ""])


def _arrow(place: Class, to: Class, writes: dict[int, bytes]) -> list[str]:
    """A line from circle to circle, and its label beside the class that it is about."""
    (x, y), (u, v) = _at(place), _at(to)
    kind = "write" if any(writes.values()) else "quiet"
    label = bytes_text(writes)
    if x == u:  # between no digit and its comment
        side = 6 if v > y else -6
        place_of = (x + (14 if v > y else -14), (y + v) // 2, "start" if v > y else "end")
        line = f"M{x + side} {y + (16 if v > y else -16)}L{x + side} {v + (-16 if v > y else 16)}"
    elif place[0] != to[0]:  # to a comment, and back
        right = u > x
        bend = -5 if right else 5
        line = f"M{x + (15 if right else -15)} {y + bend}L{u + (-16 if right else 16)} {y + bend}"
        place_of = ((x + u) // 2 + 60, y - 8 if right else y + 18, "middle")
    elif u > x:  # a first digit
        line = f"M{x + 15} {y - 4}C{x + 160} {y - 4} {u - 170} {v - 5} {u - 16} {v - 5}"
        place_of = (u - 24, v - 9, "end")
    else:  # a second digit
        line = f"M{x - 15} {y + 5}C{x - 160} {y + 5} {u + 170} {v + 4} {u + 16} {v + 4}"
        place_of = (x + 22, y + 19, "start")
        label = f"digit: writes {place[1]:X}0 + it"
    lines = [f'<path class="{kind}" d="{line}" marker-end="url(#a)"/>']
    a, b, anchor = place_of
    lines.append(
        f'<text class="small" x="{a}" y="{b}" text-anchor="{anchor}">{escape(label)}</text>'
    )
    return lines
