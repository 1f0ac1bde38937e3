"""Moves the cursors of the panes, and tells what a cursor is on."""

from __future__ import annotations

from bootstrap.debug.tui.bytesdrawn import Cursor, is_text, per_row
from bootstrap.debug.view import FileView, View


def reset(cursor: Cursor) -> None:
    """After a move of the program: what is shown follows it again, but for a byte of memory."""
    cursor.source = cursor.code = cursor.calls = cursor.tree = 0
    cursor.input = -1
    cursor.output = -1


def address(cursor: Cursor, view: View) -> int:
    """The instruction at the cursor, else the one that comes next."""
    if cursor.focus == "code" and cursor.code:
        return cursor.code
    if cursor.focus == "source" and cursor.source and cursor.links.guest_addr is not None:
        return cursor.links.guest_addr
    return view.pc


def byte(cursor: Cursor, view: View) -> int:
    """The byte of memory at the cursor, else the one that was accessed last, else of the stack."""
    if cursor.memory:
        return cursor.memory
    accessed = view.wrote or view.read
    return accessed[0] if accessed is not None else view.sp


def file_at(cursor: Cursor, view: View) -> tuple[FileView | None, int]:
    """The file of the pane in focus, and the offset of the cursor in it."""
    if cursor.focus == "input":
        found, at = view.input, cursor.input
    else:
        found, at = view.output, cursor.output
    if found is None:
        return None, 0
    if at < 0:
        at = found.written[0] if found.written else found.offset
    return found, at


def target(cursor: Cursor, view: View) -> tuple[str, str, int] | None:
    """What the cursor is on, as linking.of wants it; None: on nothing."""
    if cursor.focus == "source" and cursor.source and view.source.file:
        return "source", view.source.file, cursor.source
    if cursor.focus in ("input", "output"):
        found, at = file_at(cursor, view)
        return None if found is None or not found.size else (cursor.focus, found.path, at)
    if cursor.focus == "memory" and cursor.memory:
        return "code", "", cursor.memory
    if view.produced is not None and cursor.focus != "code":
        return "output", view.produced.path, view.produced.offset
    return "code", "", address(cursor, view)


def vertically(cursor: Cursor, view: View, by: int, width: int) -> None:
    """So many rows down, or up."""
    focus = cursor.focus
    if focus == "source" and view.source.lines:
        at = (cursor.source or view.source.line) + by
        cursor.source = max(1, min(len(view.source.lines), at))
    elif focus == "code" and view.code:
        at = cursor.code or view.pc
        index = next((i for i, line in enumerate(view.code) if line.guest_addr >= at), 0)
        cursor.code = view.code[max(0, min(len(view.code) - 1, index + by))].guest_addr
    elif focus == "memory":
        cursor.memory = max(0, byte(cursor, view) + by * per_row(width))
    elif focus in ("input", "output"):
        found, at = file_at(cursor, view)
        if found is not None:
            _put(cursor, found, _line_by(found, at, by, width))
    elif focus == "calls":
        cursor.calls = max(0, min(len(view.calls), cursor.calls - by))
    elif focus == "tree":
        rows = [one.row for one in view.tree]
        index = rows.index(cursor.tree or view.row)
        cursor.tree = rows[max(0, min(len(rows) - 1, index + by))]


def horizontally(cursor: Cursor, view: View, by: int) -> bool:
    """A byte to the side; False where the pane has no bytes: then it scrolls."""
    if cursor.focus == "memory":
        cursor.memory = max(0, byte(cursor, view) + by)
        return True
    if cursor.focus in ("input", "output"):
        found, at = file_at(cursor, view)
        if found is not None:
            _put(cursor, found, at + by)
        return True
    return False


def _put(cursor: Cursor, found: FileView, at: int) -> None:
    at = max(found.first, min(found.first + max(0, len(found.content) - 1), at))
    if cursor.focus == "input":
        cursor.input = at
    else:
        cursor.output = at


def _line_by(found: FileView, at: int, by: int, width: int) -> int:
    if not is_text(found.content):
        return at + by * per_row(width)
    content, offset = found.content, at - found.first
    for _ in range(abs(by)):
        begin = content.rfind(b"\n", 0, offset) + 1
        if by > 0:
            end = content.find(b"\n", offset)
            if end < 0:
                break
            following = content.find(b"\n", end + 1)
            last = len(content) if following < 0 else following
            offset = min(end + 1 + offset - begin, last)
        else:
            if begin == 0:
                break
            before = content.rfind(b"\n", 0, begin - 1) + 1
            offset = min(before + offset - begin, begin - 1)
    return found.first + offset
