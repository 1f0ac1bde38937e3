"""What is known of a program's image: which byte of the file is at an address, and what it is of.

Labels and source lines come from the language models (source_maps.py): only where one of them makes
the image, byte for byte, of what the program that wrote it had read. An image that was there before
the run (a seed) is known too when a program wrote the same bytes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from bootstrap.core.abi import LinuxError
from bootstrap.core.arches import page_down, page_up
from bootstrap.core.elf import ElfFile, Segment, parse
from bootstrap.core.errors import BadInput
from bootstrap.linux.inode import file_of
from bootstrap.timeline.disassembly import Decoder
from bootstrap.timeline.origins import FUNCTION, ByteOrigins
from bootstrap.timeline.source_maps import SourceMap, SourcePlace
from bootstrap.trace.columns import shown
from bootstrap.trace.store import OpenRow, Trace

_PT_LOAD, _PF_W = 1, 2
_COPIES = ("catm",)
"""Models that only copy: what they say of an image is where the same bytes were before."""
_LABELLED = frozenset(("hex1", "hex2"))
"""Models whose source has labels."""


FEW = 32
"""Places whose labels are looked for one by one, before all of a file are found at once."""


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
        self._asked = 0
        self._starts: tuple[list[int], list[str]] | None = None
        self._functions: tuple[list[int], list[str]] | None = None

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
        if self._starts is None:
            self._starts = self._find(functions=False)
        wanted = (name, FUNCTION + name)
        return [at for at, label in zip(*self._starts, strict=True) if label in wanted]

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

    def label(self, offset: int) -> tuple[str, int] | None:
        """The last label before a byte of the file, and how far after it the byte is."""
        if self._starts is None and self._asked < FEW:
            self._asked += 1
            return self._look_back(offset)
        if self._starts is None:
            self._starts = self._find(functions=False)
        return _last(self._starts, offset)

    def function(self, offset: int) -> tuple[str, int] | None:
        """The same for labels of C functions where there is one before, else for any label."""
        if self._functions is None:
            self._functions = self._find(functions=True)
        return _last(self._functions, offset)

    def shown_label(self, offset: int) -> str:
        """The label for people: `name+0x12`; empty where none is known."""
        found = self.label(offset)
        if found is None:
            return ""
        name, after = found
        return f"{name}+{after:#x}" if after else name

    def _find(self, functions: bool) -> tuple[list[int], list[str]]:
        """Where each stretch of bytes with the same label begins, and the label."""
        starts: list[int] = []
        names: list[str] = []
        if self.made is None or self.made.model not in _LABELLED:
            return starts, names
        before: str | None = None
        for offset in range(len(self.content)):
            name = self._name(self.made, offset, functions)
            if name != before:
                starts.append(offset)
                names.append(name)
                before = name
        return starts, names

    def _look_back(self, offset: int) -> tuple[str, int] | None:
        """What `_find` would give for one place, without finding all the others."""
        if self.made is None or self.made.model not in _LABELLED:
            return None
        start = min(offset, len(self.content) - 1)
        name = self._name(self.made, start, False) if start >= 0 else ""
        if not name:
            return None
        while start and self._name(self.made, start - 1, False) == name:
            start -= 1
        return name, offset - start

    def _name(self, made: SourceMap, offset: int, functions: bool) -> str:
        place = made.place(offset)
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


def _last(found: tuple[list[int], list[str]], offset: int) -> tuple[str, int] | None:
    starts, names = found
    index = bisect_right(starts, offset) - 1
    if index < 0 or not names[index]:
        return None
    return names[index], offset - starts[index]


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
