"""What is known of a program's image: which byte of the file is at an address, and what it is of.

Labels and source lines come from the language models (source_maps.py): only where one of them makes
the image, byte for byte, of what the program that wrote it had read. An image that was there before
the run (a seed) is known too when a program wrote the same bytes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from bootstrap.core.abi import LinuxError
from bootstrap.core.arches import page_down, page_up
from bootstrap.core.elf import ElfFile, Segment, parse
from bootstrap.core.errors import BadInput
from bootstrap.documents import key
from bootstrap.linux.inode import file_of
from bootstrap.timeline.disassembly import Decoded, Decoder
from bootstrap.timeline.origins import FUNCTION, ByteOrigins
from bootstrap.timeline.source_maps import SourceMap, SourcePlace
from bootstrap.trace.columns import shown
from bootstrap.trace.store import OpenRow, Trace

_PT_LOAD, _PF_W = 1, 2
_COPIES = ("catm",)
"""Models that only copy: what they say of an image is where the same bytes were before."""
_LABELLED = frozenset(("hex1", "hex2"))
"""Models whose source has labels."""


Label = tuple[str, int]
"""The last label before a byte of a file, and how far after it the byte is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownInstruction:
    """An instruction with what is known of it, as text that is empty where nothing is."""

    executed: int | None
    """Instructions before it, of one that ran; None of one that only stands there."""
    address: int | None
    """None where this byte of the file is not loaded."""
    code: bytes = key("bytes")
    instruction: str
    label: str
    """`name` or `name+0x12`."""
    source: str
    """As SourcePlace.text."""
    line: str
    """That line of the source."""
    offset: int = key(None)
    """In the file; -1 for code that was made in memory."""


class ProgramImage:
    """One image, by the version of the file."""

    def __init__(
        self, name: str, content: bytes, made: SourceMap | None, unknown: str, same: OpenRow | None,
        sources: dict[str, bytes],
    ) -> None:  # fmt: skip
        self.name = name
        self.content = content
        self.made = made
        self.unknown = unknown
        """Why there are no source lines; empty where there are."""
        self.same = same
        """Who wrote these bytes, for an image with source lines."""
        try:
            self.elf: ElfFile = parse(file_of(content))
        except LinuxError:
            raise BadInput(f"{name}: is no program that this kernel can run") from None
        self.decoder = Decoder(self.elf.arch.name)
        self._loads = [s for s in self.elf.segments if s.kind == _PT_LOAD and s.file_size]
        self._sources = sources
        self._lines: dict[str, tuple[list[int], list[str], list[int], list[str]]] = {}
        self._starts = {key: array("q", [-1]) * len(content) for key in (False, True)}
        """Of each byte of the file, where the stretch with its label, or (True) with that of its C
        function, begins; -1 where nobody has looked yet."""

    def offset(self, guest_addr: int) -> int | None:
        """The byte of the file that is loaded at an address, or None."""
        for segment in self._loads:
            if segment.vaddr <= guest_addr < segment.vaddr + segment.file_size:
                return self._in_file(segment, guest_addr)
        for segment in self._loads:
            # Linux maps whole pages of the file; what lies after a segment that is zeroed is not.
            end = page_up(segment.vaddr + segment.file_size)
            if segment.flags & _PF_W and segment.memory_size > segment.file_size:
                end = segment.vaddr + segment.file_size
            if page_down(segment.vaddr) <= guest_addr < end:
                return self._in_file(segment, guest_addr)
        return None

    def _in_file(self, segment: Segment, guest_addr: int) -> int | None:
        offset = segment.offset + guest_addr - segment.vaddr
        return offset if 0 <= offset < len(self.content) else None

    def address(self, offset: int) -> int | None:
        """Where a byte of the file is loaded, or None."""
        for segment in self._loads:
            if segment.offset <= offset < segment.offset + segment.file_size:
                return segment.vaddr + offset - segment.offset
        return None

    @property
    def window(self) -> tuple[int, int]:
        """First address and number of addresses at which the file's bytes are."""
        starts = [page_down(s.vaddr) for s in self._loads]
        ends = [page_up(s.vaddr + s.file_size) for s in self._loads]
        return (min(starts), max(ends) - min(starts)) if starts else (0, 0)

    @property
    def memory_end(self) -> int:
        """Where the program's own memory ends, what is zeroed at its start included."""
        loads = (s for s in self.elf.segments if s.kind == _PT_LOAD)
        return max((page_up(s.vaddr + s.memory_size) for s in loads), default=0)

    @property
    def headers_end(self) -> int:
        """Where the ELF header and the program headers end, which nobody has to run."""
        size = 52 if self.elf.arch.elf_class == 1 else 64
        entry = 32 if self.elf.arch.elf_class == 1 else 56
        if self.elf.phdr_offset <= size:
            size = max(size, self.elf.phdr_offset + entry * len(self.elf.segments))
        return size

    def place(self, offset: int) -> SourcePlace | None:
        """Where the byte stands in the source, if that is known."""
        return None if self.made is None else self.made.place(offset)

    def source_text(self, place: SourcePlace) -> str:
        """The line of the source."""
        lines = self._sources.get(place.file, b"").split(b"\n")
        raw = lines[place.line - 1] if place.line <= len(lines) else b""
        return raw.decode("utf-8", "backslashreplace").strip().expandtabs()

    @property
    def sources(self) -> tuple[str, ...]:
        """The files that the source lines are of, as the maker of the image read them."""
        return () if self.made is None else tuple(self._sources)

    def source_lines(self, file: str) -> list[str]:
        """All lines of a source."""
        raw = self._sources.get(file, b"").split(b"\n")
        return [line.decode("utf-8", "backslashreplace") for line in raw]

    def labelled(self, name: str) -> list[int]:
        """The offsets at which the bytes after a label begin; `name` may be that of a function."""
        wanted = ((name, 0), (FUNCTION + name, 0))
        labels = map(self.label, range(len(self.content)))
        return [at for at, found in enumerate(labels) if found in wanted]

    def on_line(self, file: str, line: int) -> list[int]:
        """The offsets at which the bytes of a source line begin, each stretch of them once."""
        key = file.lstrip("/"), line
        found: list[int] = []
        before = False
        for offset in range(len(self.content) if self.made is not None else 0):
            place = self.place(offset)
            now = place is not None and (place.file.lstrip("/"), place.line) == key
            if now and not before:
                found.append(offset)
            before = now
        return found

    def label(self, offset: int, functions: bool = False) -> Label | None:
        """The last label; with `functions`, of a C function where there is one before."""
        last = min(offset, len(self.content) - 1)
        if last < 0 or self.made is None or self.made.model not in _LABELLED:
            return None
        name, starts, start = self._name(last, functions), self._starts[functions], last
        if starts[last] < 0:
            while start and starts[start] < 0 and self._name(start - 1, functions) == name:
                start -= 1
            start = start if starts[start] < 0 else starts[start]
            starts[start : last + 1] = array("q", [start]) * (last + 1 - start)
        return (name, offset - starts[last]) if name else None

    def shown_label(self, offset: int) -> str:
        """The label for people: `name+0x12`; empty where none is known."""
        name, after = self.label(offset) or ("", 0)
        return f"{name}+{after:#x}" if after else name

    def shown(self, one: Decoded, executed: int | None = None) -> ShownInstruction:
        """An instruction that stands in memory."""
        offset = self.offset(one.guest_addr)
        if offset is None or self.content[offset : offset + len(one.code)] != one.code:
            offset = -1
        return self._shown(one, executed, one.guest_addr, offset)

    def listing(self, start: int, end: int) -> Iterator[ShownInstruction]:
        """The instructions of a stretch of the file."""
        while start < end:
            address = self.address(start)
            one = self.decoder.one(self.content[start:end], address or 0)
            yield self._shown(one, None, address, start)
            start += len(one.code)

    def _shown(
        self, one: Decoded, executed: int | None, address: int | None, offset: int
    ) -> ShownInstruction:
        place = None if offset < 0 else self.place(offset)
        return ShownInstruction(
            executed=executed,
            address=address,
            code=one.code,
            instruction=one.text,
            label="" if offset < 0 else self.shown_label(offset),
            source="" if place is None else place.text,
            line="" if place is None else self.source_text(place),
            offset=offset,
        )

    def _name(self, offset: int, functions: bool) -> str:
        """The label of a byte; empty where none is known."""
        place = self.place(offset)
        return "" if place is None else self._label_at(place, functions)

    def _label_at(self, place: SourcePlace, functions: bool) -> str:
        if place.file not in self._lines:
            self._lines[place.file] = _labels(self._sources.get(place.file, b""))
        lines, names, function_lines, function_names = self._lines[place.file]
        if functions:
            index = bisect_right(function_lines, place.line) - 1
            if index >= 0:
                return function_names[index]
        index = bisect_right(lines, place.line) - 1
        return names[index] if index >= 0 else ""


def _labels(text: bytes) -> tuple[list[int], list[str], list[int], list[str]]:
    """The lines on which labels begin, and the labels; then those of C functions alone."""
    lines: list[int] = []
    names: list[str] = []
    for number, raw in enumerate(text.split(b"\n"), 1):
        words = raw.split(None, 1)
        if words and words[0].startswith(b":"):
            lines.append(number)
            names.append(words[0][1:].decode("latin-1"))
    functions = [(at, n) for at, n in zip(lines, names, strict=True) if n.startswith(FUNCTION)]
    return lines, names, [at for at, _ in functions], [name for _, name in functions]


class ProgramImages:
    """The images of a trace; each is made once."""

    def __init__(self, trace: Trace, why: ByteOrigins | None = None) -> None:
        self._trace = trace
        self._why = why
        self._known: dict[int, ProgramImage] = {}

    @property
    def why(self) -> ByteOrigins:
        """Where bytes come from."""
        if self._why is None:
            self._why = ByteOrigins(self._trace)
        return self._why

    def image(self, version: int) -> ProgramImage:
        """The image with that content. Raises BadInput where it is no program."""
        if version not in self._known:
            name = next(shown(p.path) for p in self._trace.programs if p.image == version)
            content = self._trace.content(version)
            made, unknown, same = self._made(version)
            sources: dict[str, bytes] = {}
            if same is not None:
                for row in self.why.opens:
                    if row.process == same.process and row.version is not None:
                        path = shown(row.path)
                        if path not in sources:
                            sources[path] = self._trace.content(row.version)
            self._known[version] = ProgramImage(name, content, made, unknown, same, sources)
        return self._known[version]

    def _made(self, version: int) -> tuple[SourceMap | None, str, OpenRow | None]:
        writers = self.why.writers_of(version)
        unknown = "it was there before the run, and no program made the same bytes"
        for writer in writers:
            made = self.why.made(writer)
            if isinstance(made, SourceMap) and made.model not in _COPIES:
                return made, "", writer
            unknown = made if isinstance(made, str) else "it is a copy of a file"
        return None, unknown, None

    def find(self, wanted: str) -> list[int]:
        """The versions that ran as programs under that path, or with that (start of a) SHA-256.

        Raises BadInput where none did.
        """
        hashes = self._trace.hashes()
        digits = wanted.lower()
        is_hash = len(digits) >= 8 and not set(digits) - set("0123456789abcdef")
        found: list[int] = []
        for program in self._trace.programs:
            path = shown(program.path).lstrip("/")
            named = path == wanted.lstrip("/").removeprefix("./")
            hashed = is_hash and hashes[program.image][0].startswith(digits)
            if (named or hashed) and program.image not in found:
                found.append(program.image)
        if not found:
            paths = sorted({shown(p.path).lstrip("/") for p in self._trace.programs})
            index = min(bisect_left(paths, wanted.lstrip("/")), len(paths) - 1)
            raise BadInput(
                f"{self._trace.name}: no program {wanted} ran; name its path in the tree or its "
                f"SHA-256, as `bootstrap trace tree` lists them: {paths[index]}, say"
            )
        return found
