"""The cursors of the panes: where they are, how they move, and what they are on."""

from __future__ import annotations

from dataclasses import dataclass, field

from bootstrap.debug.linking import Links
from bootstrap.debug.screen_state import FileView, ScreenState


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

    def reset(self) -> None:
        """After a move of the program: what is shown follows it again, but for a byte of memory."""
        self.source = self.code = self.calls = self.tree = 0
        self.input = -1
        self.output = -1

    def address(self, view: ScreenState) -> int:
        """The instruction at the cursor, else the one that comes next."""
        if self.focus == "code" and self.code:
            return self.code
        if self.focus == "source" and self.source and self.links.guest_addr is not None:
            return self.links.guest_addr
        return view.pc

    def byte(self, view: ScreenState) -> int:
        """The byte of memory at the cursor, else that accessed last, else of the stack."""
        if self.memory:
            return self.memory
        accessed = view.wrote or view.read
        return accessed[0] if accessed is not None else view.sp

    def file_at(self, view: ScreenState) -> tuple[FileView | None, int]:
        """The file of the pane in focus, and the offset of the cursor in it."""
        if self.focus == "input":
            found, at = view.input, self.input
        else:
            found, at = view.output, self.output
        if found is None:
            return None, 0
        if at < 0:
            at = found.written[0] if found.written else found.offset
        return found, at

    def target(self, view: ScreenState) -> tuple[str, str, int] | None:
        """What the cursor is on, as linking.of wants it; None: on nothing."""
        if self.focus == "source" and self.source and view.source is not None:
            return "source", view.source.file, self.source
        if self.focus in ("input", "output"):
            found, at = self.file_at(view)
            return None if found is None or not found.size else (self.focus, found.path, at)
        if self.focus == "memory" and self.memory:
            return "code", "", self.memory
        if view.produced is not None and self.focus != "code":
            return "output", view.produced.path, view.produced.offset
        return "code", "", self.address(view)

    def vertically(self, view: ScreenState, by: int, width: int) -> None:
        """So many rows down, or up."""
        focus = self.focus
        if focus == "source" and view.source is not None:
            at = (self.source or view.source.line) + by
            self.source = max(1, min(len(view.source.lines), at))
        elif focus == "code" and view.code:
            at = self.code or view.pc
            index = next((i for i, line in enumerate(view.code) if line.guest_addr >= at), 0)
            self.code = view.code[max(0, min(len(view.code) - 1, index + by))].guest_addr
        elif focus == "memory":
            self.memory = max(0, self.byte(view) + by * per_row(width))
        elif focus in ("input", "output"):
            found, at = self.file_at(view)
            if found is not None:
                self._put(found, _line_by(found, at, by, width))
        elif focus == "calls":
            self.calls = max(0, min(len(view.calls), self.calls - by))
        elif focus == "tree":
            rows = [one.row for one in view.tree]
            index = rows.index(self.tree or view.row)
            self.tree = rows[max(0, min(len(rows) - 1, index + by))]

    def horizontally(self, view: ScreenState, by: int) -> bool:
        """A byte to the side; False where the pane has no bytes: then it scrolls."""
        if self.focus == "memory":
            self.memory = max(0, self.byte(view) + by)
            return True
        if self.focus in ("input", "output"):
            found, at = self.file_at(view)
            if found is not None:
                self._put(found, at + by)
            return True
        return False

    def _put(self, found: FileView, at: int) -> None:
        at = max(found.first, min(found.first + max(0, len(found.content) - 1), at))
        if self.focus == "input":
            self.input = at
        else:
            self.output = at


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


def per_row(width: int) -> int:
    """Bytes in a row of a dump."""
    return 16 if width >= 16 * 4 + 11 else 8 if width >= 8 * 4 + 11 else 4


def is_text(content: bytes) -> bool:
    """Whether a file is shown as lines."""
    return not content or not (
        set(content[:4096]) - set(range(0x20, 0x7F)) - {9, 10, 13} - set(range(0x80, 0x100))
    )
