"""Draws bytes: of memory and of files, the latter as lines where they are text."""

from __future__ import annotations

from dataclasses import dataclass, field

from bootstrap.debug.linking import Links
from bootstrap.debug.view import FileView, View

Row = list[tuple[str, str]]
"""(text, style)."""


@dataclass
class Cursor:
    """Where the cursors are; what belongs to the one in focus."""

    focus: str = "source"
    source: int = 0
    """Line, from 1."""
    code: int = 0
    """Address."""
    memory: int = 0
    input: int = -1
    """Offset; -1: where the program is."""
    output: int = -1
    calls: int = 0
    """Rows above the last one."""
    tree: int = 0
    """Row of the trace."""
    generated: bool = False
    """Whether the source shown is that which the image was made of at last."""
    links: Links = field(default_factory=Links)

    @property
    def by_hand(self) -> bool:
        """Whether it was moved since the program moved: then the other panes follow it."""
        moved = {"source": self.source > 0, "input": self.input >= 0, "output": self.output >= 0}
        return moved.get(self.focus, False)


def scroll(count: int, height: int, at: int) -> int:
    """The first of `count` rows to show in `height`, so that `at` is well inside."""
    return max(0, min(at - height // 2, count - height))


def per_row(width: int) -> int:
    """Bytes in a row of a dump."""
    return 16 if width >= 16 * 4 + 11 else 8 if width >= 8 * 4 + 11 else 4


def dump(
    name: str, data: bytes, at: int, each: int, cursor: int | None,
    read: tuple[int, int] | None, wrote: tuple[int, int] | None, linked: int | None,
    focused: bool = True,
) -> Row:  # fmt: skip
    row: Row = [(f" {name} ", "dim")]
    text: Row = []
    for index, byte in enumerate(data):
        addr = at + index
        mark, style = " ", ""
        if linked == addr:
            mark, style = "=", "linked"
        if inside(read, addr):
            mark, style = "~", "read"
        if inside(wrote, addr):
            mark, style = "*", "written"
        if cursor == addr and (focused or mark == " "):
            mark, style = "|", "cursor"
        row.append((f"{mark}{byte:02x}", style))
        text.append((chr(byte) if 0x20 <= byte < 0x7F else ".", style or "dim"))
    row.append(("   " * (each - len(data)) + " ", ""))
    return row + text


def inside(span: tuple[int, int] | None, addr: int) -> bool:
    return span is not None and span[0] <= addr < span[0] + span[1]


def is_text(content: bytes) -> bool:
    """Whether a file is shown as lines."""
    return not content or not (
        set(content[:4096]) - set(range(0x20, 0x7F)) - {9, 10, 13} - set(range(0x80, 0x100))
    )


def file(view: View, cursor: Cursor, width: int, height: int, which: str) -> list[Row]:
    """A file as the guest sees it: text as lines, all else as bytes."""
    found = view.input if which == "input" else view.output
    if found is None:
        what = "read" if which == "input" else "written"
        return [[(f" no file is open to be {what} here", "unknown")]]
    mine = (cursor.input if which == "input" else cursor.output) if cursor.focus == which else None
    mine = None if mine is None or mine < 0 else mine
    linked = _linked(found, cursor, which)
    if is_text(found.content):
        return _text_file(found, mine, linked, width, height)
    each = per_row(width)
    centre = mine if mine is not None else found.written[0] if found.written else found.offset
    total = -(-len(found.content) // each)
    first = scroll(total, height, (centre - found.first) // each)
    rows: list[Row] = []
    for index in range(first, min(first + height, total)):
        begin = index * each
        rows.append(
            dump(f"{found.first + begin:06x}", found.content[begin : begin + each],
                  found.first + begin, each, mine, None, found.written, linked)
        )  # fmt: skip
    return rows or [[(" empty so far", "dim")]]


def _linked(found: FileView, cursor: Cursor, which: str) -> int | None:
    name, links = found.path.lstrip("/"), cursor.links
    if cursor.focus != which and links.file is not None and links.file[0] == name:
        return links.file[1]
    here = next((one for one in links.sources if one[0] == name), None)
    if cursor.focus != which and here is not None:
        return offset_at(found, here[1], max(1, here[2]))
    return None


def offset_at(found: FileView, line: int, column: int) -> int | None:
    """Where a line and a column are in a file that is shown from its begin."""
    if found.first:
        return None
    lines = found.content.split(b"\n")
    if not 0 < line <= len(lines):
        return None
    return sum(len(one) + 1 for one in lines[: line - 1]) + column - 1


def _text_file(
    found: FileView, mine: int | None, linked: int | None, width: int, height: int
) -> list[Row]:
    lines = found.content.split(b"\n")
    starts = [found.first]
    for line in lines[:-1]:
        starts.append(starts[-1] + len(line) + 1)
    centre = mine if mine is not None else found.written[0] if found.written else found.offset
    at = max((i for i, start in enumerate(starts) if start <= centre), default=0)
    first = scroll(len(lines), height, at)
    rows: list[Row] = []
    for index in range(first, min(first + height, len(lines))):
        start, raw = starts[index], lines[index]
        end = start + len(raw)
        here = start <= found.offset <= end
        mark = (">" if here else " ") + ("|" if mine is not None and start <= mine <= end else " ")
        row: Row = [(mark, "here" if here else "dim"), (f"{index + 1:5} ", "dim")]
        spots = {found.offset: ("here", "^"), linked: ("linked", "="), mine: ("cursor", "|")}
        for offset in range(start, end + 1):
            text = raw[offset - start : offset - start + 1].decode("latin-1") or " "
            text = text if text.isprintable() else "."
            style, sign = spots.get(offset, ("", ""))
            if inside(found.written, offset):
                style, sign = "written", "*"
            # Where nothing but a look would tell, a sign stands before the byte.
            row.append(
                (sign + text if sign else text, style or ("dim" if offset < found.offset else ""))
            )
        rows.append(_joined(row))
    return rows


def _joined(row: Row) -> Row:
    """Neighbours of one style together."""
    found: Row = []
    for text, style in row:
        if found and found[-1][1] == style:
            found[-1] = (found[-1][0] + text, style)
        else:
            found.append((text, style))
    return found
