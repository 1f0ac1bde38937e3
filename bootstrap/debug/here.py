"""The place where a session is, and all that it shows of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from bootstrap.core.errors import BadInput
from bootstrap.debug import looking
from bootstrap.debug.looking import NEARBY, Line, SourceView
from bootstrap.debug.ways import Ways
from bootstrap.instruments import Engine
from bootstrap.timeline.images import Image, Images
from bootstrap.timeline.line_outputs import Found, Stopped, where
from bootstrap.timeline.origins import Link
from bootstrap.timeline.search import Explorer
from bootstrap.timeline.source_maps import Place
from bootstrap.timeline.state import (
    Area,
    File,
    areas,
    flags_of,
    open_file,
    open_paths,
    stack_words,
    told_call,
)
from bootstrap.timeline.travel import Traveller
from bootstrap.trace.coordinates import Instruction
from bootstrap.trace.coordinates import here as coordinate_here
from bootstrap.trace.reader import ProgramRow, Trace
from bootstrap.trace.syscalls import calls, outputs

Progress = Callable[[int, int], None]
"""Hears of long ways: program row, instructions. May raise to end them."""


class Produced(NamedTuple):
    """Bytes that a write call has just put into a file."""

    path: str
    offset: int
    size: int


class Here:
    """One place of a trace. Session goes to others."""

    def __init__(self, trace: Trace, engine: Engine, progress: Progress) -> None:
        self.progress = progress
        self._muted = False
        self._engine = engine
        self._look_at(trace)

    def _look_at(self, trace: Trace) -> None:
        self._trace = trace
        self._explorer = Explorer(trace, self._engine, self._tell)
        self._images = Images(trace)
        self._ways: Ways | None = None

    def settle(self) -> None:
        """What was written into a live program has its consequences; see Session."""

    @property
    def trace(self) -> Trace:
        """The recording; another one after something was written."""
        self.settle()
        return self._trace

    @property
    def explorer(self) -> Explorer:
        """What finds places in it."""
        self.settle()
        return self._explorer

    @property
    def images(self) -> Images:
        """What is known of its programs."""
        self.settle()
        return self._images

    def _tell(self, row: int, executed: int) -> None:
        if not self._muted:
            self.progress(row, executed)

    @contextlib.contextmanager
    def _steady(self) -> Iterator[None]:
        """Whatever is raised inside, we are where we were."""
        self.settle()
        place = self.row, self.executed
        try:
            yield
        except BaseException:
            self._muted = True
            try:
                self.at.seek(*place)
            finally:
                self._muted = False
            raise

    # -- where we are ----------------------------------------------------------------------------

    @property
    def at(self) -> Traveller:
        """The traveller: the machine as it is here."""
        return self._explorer.at

    @property
    def row(self) -> int:
        """The program that we are in, by its number in the trace."""
        return self.at.row

    @property
    def program(self) -> ProgramRow:
        """The program that we are in."""
        return self.at.program

    @property
    def pid(self) -> int:
        """Its process."""
        return self.program.pid

    @property
    def executed(self) -> int:
        """Instructions that it has executed."""
        return self.at.executed

    @property
    def calls(self) -> int:
        """System calls that it has made."""
        return self.at.calls

    @property
    def pc(self) -> int:
        """Address of the instruction that comes next."""
        return self.at.pc

    @property
    def here(self) -> Instruction:
        """The coordinate of this place."""
        return coordinate_here(self.at)

    @property
    def image(self) -> Image:
        """What is known of the program's image."""
        return self._images.image(self.program.image)

    @property
    def failure(self) -> str:
        """Why the recorded run failed; empty where it did not."""
        return self._trace.meta.get("failure", "")

    @property
    def total(self) -> int:
        """Instructions of this program. Goes to its end and back, once: may take long."""
        return self.total_of(self.row)

    def total_of(self, row: int) -> int:
        """The same of any program."""
        self.settle()
        if row not in self.at.points.totals:
            with self._steady():
                here = self.row, self.executed
                self.at.total(row)
                self.at.seek(*here)
        return self.at.points.totals[row]

    def registers(self) -> tuple[tuple[str, int], ...]:
        """The general registers, by name, in the customary order."""
        return self.at.registers()

    def flags(self) -> str:
        """The flags that are set, by name; empty where the architecture has none."""
        return flags_of(self.registers())

    def read(self, guest_addr: int, size: int) -> bytes:
        """The readable bytes from an address on: `size`, or fewer before the first bad page."""
        return self.at.process.memory.read_upto(guest_addr, size)

    def maps(self) -> tuple[Area, ...]:
        """Mapped memory, in order."""
        return tuple(areas(self.at, self.image))

    def stack(self, count: int = 12) -> tuple[tuple[int, int], ...]:
        """So many words from the stack pointer on: (address, value)."""
        return tuple(stack_words(self.at, count))

    def open_files(self) -> tuple[File, ...]:
        """Descriptors: fd, path, offset, size, access."""
        return tuple(open_file(fd, file) for fd, file in self.at.process.fds.items())

    def file(self, name: int | str) -> bytes:
        """A file's content as the guest sees it now, by descriptor or path. Raises BadInput."""
        return looking.content_of(self.at, name)

    def call(self, ordinal: int) -> str:
        """The program's system call of that number, from 1, as strace writes it; empty: none."""
        self.settle()
        return told_call(self.at, ordinal, open_paths(self.at))

    # -- code and sources ------------------------------------------------------------------------

    def disassemble(self, guest_addr: int | None = None, count: int = 10) -> tuple[Line, ...]:
        """Instructions from an address (pc) on, with labels, source lines and jump targets."""
        start = self.pc if guest_addr is None else guest_addr
        return tuple(looking.disassemble(self.at, self.image, self.written, start, count))

    def source(
        self, guest_addr: int | None = None, nearby: int = NEARBY, generated: bool = False
    ) -> SourceView | None:
        """Where the code at an address (pc) stands in the source that a person wrote, or a compiler
        put out; `generated`: in the text that the image was made of at last, by M0 say. None:
        nobody knows; see `unknown`."""
        image = self.image
        addr = self.pc if guest_addr is None else guest_addr
        offset = looking.known_offset(image, self.at.process.memory, addr, 1)
        if offset is None:
            return None
        if not generated:
            found = self.written(offset)
            return None if found is None else looking.source_view(*found, nearby)
        place = image.place(offset)
        lines = () if place is None else image.source_lines(place.file)
        return None if place is None else looking.source_view(place, lines, nearby)

    def written(self, offset: int) -> tuple[Place, tuple[str, ...]] | None:
        """Where a byte of the program's image stands in the source that a person wrote, and all
        lines of that."""
        writer = self.image.same
        if writer is None:
            return None
        if self._ways is None:
            self._ways = Ways(self._trace, self._images)
        found = self._ways.source(writer, offset)
        return None if found is None else (found.place, self._ways.lines(found.version))

    def sources(self) -> dict[str, Sequence[str]]:
        """The lines of the sources of this program, by file: that of what comes next, and those
        that the image was made of at last."""
        image, here = self.image, self.source(None, 0)
        found: dict[str, Sequence[str]] = {} if here is None else {here.file: here.lines}
        for file in image.sources:
            found.setdefault(file.lstrip("/"), image.source_lines(file))
        return found

    @property
    def unknown(self) -> str:
        """Why the program has no source lines; empty where it has."""
        return self.image.unknown

    def label(self, guest_addr: int) -> str:
        """The label before an address: `name+0x12`; empty where none is known."""
        offset = self.image.offset(guest_addr)
        return "" if offset is None else self.image.shown_label(offset)

    def why(self, artifact: str, offset: int) -> list[Link]:
        """Where a byte of a file comes from. Raises BadInput."""
        return self.images.why.why(artifact, offset)

    def where(self, file: str, line: int) -> tuple[list[Found], list[Stopped]]:
        """What a line of a source became. Raises BadInput."""
        return where(self.trace, file, line)

    def find_memory(self, wanted: bytes | str) -> list[int]:
        """The addresses at which these bytes stand now."""
        raw = wanted.encode() if isinstance(wanted, str) else wanted
        return looking.in_memory(self.at.process.memory, raw)

    def find_source(self, wanted: str) -> list[tuple[str, int, str]]:
        """The lines of this program's sources with that text: (file, line, text)."""
        return looking.in_sources(self.sources(), wanted)

    def find(
        self, wanted: str | bytes, in_: str = "memory"
    ) -> list[int] | list[tuple[str, int, str]]:
        """`find_memory` or (`in_="source"`) `find_source`."""
        if in_ == "memory":
            return self.find_memory(wanted)
        if in_ == "source":
            return self.find_source(wanted if isinstance(wanted, str) else wanted.decode())
        raise BadInput(f"find looks in memory or in source, not in {in_}")

    def produced(self) -> Produced | None:
        """What the system call just before this place wrote to a file, if it did that."""
        ordinal, program = self.calls, self.program
        if not ordinal:
            return None
        call = next(calls(self.trace, program, ordinal, backwards=True))
        if call.ordinal != ordinal or call.number not in outputs(program) or call.result <= 0:
            return None
        for file in self.open_files():
            if file.fd == call.first and file.size is not None:
                return Produced(file.path, file.offset - call.result, call.result)
        return None
