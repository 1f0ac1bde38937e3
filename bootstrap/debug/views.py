"""What a session shows of the place where it is: code with arrows, source lines, what was found."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bootstrap.core.abi import LinuxError
from bootstrap.core.arches import PAGE
from bootstrap.core.errors import BadInput
from bootstrap.core.files import Directory, RegularFile
from bootstrap.core.memory import BEYOND, READ
from bootstrap.linux.hostfolder import LowerEntry
from bootstrap.linux.inode import LazyDirectory
from bootstrap.linux.memory import VirtualMemory
from bootstrap.linux.process import LinuxProcess
from bootstrap.timeline import disassembly
from bootstrap.timeline.images import ProgramImage
from bootstrap.timeline.source_maps import SourcePlace
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.columns import shown
from bootstrap.trace.compare import Diverged, TraceLower

NEARBY = 8
"""Lines of the source that are shown before and after the present one."""
MOST_FOUND = 10_000
"""Places that a search gives at most."""


@dataclass(frozen=True, slots=True)
class CodeLine:
    """A disassembled instruction, with all that is known of it."""

    guest_addr: int
    code: bytes
    text: str
    label: str
    """`name` or `name+0x12`; empty where none is known."""
    place: str
    """FILE:LINE; empty where none is known."""
    source: str
    """That line."""
    comment: str
    target: int | None
    """Where it jumps or calls to, if its bytes say."""
    target_label: str
    here: bool
    """Whether it comes next."""


@dataclass(frozen=True, slots=True)
class SourceView:
    """Where an instruction stands in a source."""

    file: str
    line: int
    column: int
    lines: tuple[str, ...]
    """All of the file."""

    @property
    def text(self) -> str:
        """The line."""
        return self.lines[self.line - 1].strip()

    @property
    def nearby(self) -> tuple[tuple[int, str], ...]:
        """Lines around it, and it: (number, text)."""
        first = max(0, self.line - 1 - NEARBY)
        return tuple(enumerate(self.lines[first : self.line + NEARBY], first + 1))


def known_offset(
    image: ProgramImage, memory: VirtualMemory, guest_addr: int, size: int
) -> int | None:
    """The byte of the image that is at an address now; None where other bytes stand there."""
    offset = image.offset(guest_addr)
    if offset is None:
        return None
    now = memory.read_upto(guest_addr, size)
    return offset if now and image.content[offset : offset + len(now)] == now else None


Written = Callable[[int], tuple[SourcePlace, Sequence[str]] | None]
"""Of a byte of an image: where it stands in its source, and all lines of that."""


def disassemble(
    at: Timeline, image: ProgramImage, written: Written, guest_addr: int, count: int
) -> Iterator[CodeLine]:
    """`count` instructions from an address on; fewer where the memory ends."""
    memory, abi = at.process.memory, at.program.abi
    code = memory.read_upto(guest_addr, 15 * max(0, count))
    for one in image.decoder.several(code, guest_addr, count):
        offset = known_offset(image, memory, one.guest_addr, len(one.code))
        place, lines = (None if offset is None else written(offset)) or (None, ())
        flow = disassembly.flow(abi, one.code, one.guest_addr)
        target = None if flow is None else flow.target
        leads = None if target is None else image.offset(target)
        yield CodeLine(
            one.guest_addr,
            one.code,
            one.text,
            "" if offset is None else image.shown_label(offset),
            "" if place is None else place.where,
            "" if place is None else lines[place.line - 1].strip(),
            "" if place is None else place.comment,
            target,
            "" if leads is None else image.shown_label(leads),
            one.guest_addr == at.pc,
        )


def in_memory(memory: VirtualMemory, wanted: bytes) -> list[int]:
    """Every address at which these bytes can be read now."""
    if not wanted:
        raise BadInput("nothing to find: name a text or bytes")
    found: list[int] = []
    for start, end in _readable(memory):
        data = memory.read_upto(start, end - start)
        for match in re.finditer(b"(?=" + re.escape(wanted) + b")", data):
            found.append(start + match.start())
            if len(found) >= MOST_FOUND:
                return found
    return found


def _readable(memory: VirtualMemory) -> list[tuple[int, int]]:
    """Stretches of pages that can be read: (from, to)."""
    return joined(
        (extent.start + at, extent.start + at + PAGE)
        for extent in memory.extents
        for at, flags in zip(range(0, extent.end - extent.start, PAGE), extent.pages, strict=True)
        if flags & (READ | BEYOND) == READ
    )


def joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans (first, after the last), in order, as few as they are."""
    found: list[tuple[int, int]] = []
    for start, end in spans:
        if found and found[-1][1] == start:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    return found


def in_sources(sources: Mapping[str, Sequence[str]], wanted: str) -> list[tuple[str, int, str]]:
    """Every line of sources (by file) with that text in it: (file, line, text)."""
    if not wanted:
        raise BadInput("nothing to find: name a text")
    found = [
        (file, number, text)
        for file, lines in sources.items()
        for number, text in enumerate(lines, 1)
        if wanted in text
    ]
    return found[:MOST_FOUND]


def content_of(at: Timeline, name: int | str) -> bytes:
    """A file as the guest sees it now, by descriptor or path. Raises BadInput.

    Looks up nothing in the guest's own tree: that would change the numbers of its files.
    """
    process = at.process
    if isinstance(name, int):
        try:
            inode = process.fds.get(name).inode
        except LinuxError:
            raise BadInput(f"descriptor {name} is not open here") from None
        if not isinstance(inode, RegularFile):
            raise BadInput(f"descriptor {name} is of no regular file")
        return inode.contents()
    return _by_path(at, process, name)


def _by_path(at: Timeline, process: LinuxProcess, name: str) -> bytes:
    cwd = process.files.getcwd(process.base)
    path = posixpath.normpath(posixpath.join(cwd, name.encode("utf-8", "surrogateescape")))
    parts = [part for part in path.split(b"/") if part]
    where: Directory = process.files.root
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        assert isinstance(where, LazyDirectory)
        if where.lower_path is not None:
            return _untouched(at, name, path)
        child = where.peek(part)
        if isinstance(child, LowerEntry):
            return _untouched(at, name, path)
        if last and isinstance(child, RegularFile):
            return child.contents()
        if last or not isinstance(child, Directory):
            break
        where = child
    raise BadInput(f"{name}: is no regular file here" if parts else f"{name}: is a folder")


def _untouched(at: Timeline, name: str, path: bytes) -> bytes:
    try:
        return TraceLower(at.trace, lambda: None).load(path)
    except Diverged:
        raise BadInput(
            f"{shown(name)}: the run never looked into it, so the trace does not have it"
        ) from None
