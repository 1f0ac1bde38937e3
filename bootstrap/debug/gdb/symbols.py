"""The annotated sources of a program as gdb reads them: files in a folder, and a symbol file.

What a line became is what the language models know, followed to the last text that is known
(timeline/origins.py). The sources are those of the trace; no file of the host is read.

The symbol file is an ELF file without code, as `objcopy --only-keep-debug` leaves one: sections
that say where the program is loaded, a symbol table (System V gABI, chapter 4), and DWARF 4: a
compilation unit for each source, with its addresses (section 2.17.3) and its line number program
(section 6.2), and a frame description that ends every backtrace at its first frame (section 6.4):
these programs have no frames that could be followed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.debug.views import joined
from bootstrap.timeline.images import ProgramImage, ProgramImages
from bootstrap.timeline.origins import ByteOrigins
from bootstrap.trace.store import Trace

_EM_386, _EM_X86_64, _EM_AARCH64, _EM_RISCV = 3, 62, 183, 243
_ET_EXEC = 2
_PROGBITS, _SYMTAB, _STRTAB, _NOBITS = 1, 2, 3, 8
_ALLOC_EXEC = 0x6
_GLOBAL_NOTYPE = 0x10

_COMPILE_UNIT = 0x11
_NAME, _STMT_LIST, _LOW_PC, _LANGUAGE, _COMP_DIR, _RANGES = 0x03, 0x10, 0x11, 0x13, 0x1B, 0x55
_ADDR, _STRING, _DATA2, _SEC_OFFSET = 0x01, 0x08, 0x05, 0x17
_LANG_ASSEMBLER = 0x8001
"""DW_LANG_Mips_Assembler, which all take for assembly: gdb then skips no prologue."""

_COPY, _ADVANCE_PC, _ADVANCE_LINE = 1, 2, 3
_END_SEQUENCE, _SET_ADDRESS = 1, 2
_OPERANDS = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))
"""How many operands each standard opcode has, from 1 on."""

_DEF_CFA, _UNDEFINED = 0x0C, 0x07
_STACK_AND_RETURN = {
    _EM_386: (4, 8),  # esp, eip
    _EM_X86_64: (7, 16),  # rsp, rip
    _EM_AARCH64: (31, 30),  # sp, x30
    _EM_RISCV: (2, 1),  # sp, ra
}
"""By machine, DWARF's numbers of the stack pointer and of the return address."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes that one line of a source became."""

    start: int
    """Guest address of the first."""
    end: int
    """Guest address after the last."""
    file: int
    """Which of the sources, from 0."""
    line: int


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """What a symbol file says."""

    header: bytes
    """The program's ELF header: class, machine and flags are as there."""
    entry: int
    loaded: Sequence[tuple[int, int]]
    """Where the program is: (first guest address, that after the last), in order."""
    stretches: Sequence[Stretch]
    """In order of their addresses; they do not overlap. At least one."""
    labels: Sequence[tuple[str, int]]
    """(name, guest address)"""
    sources: Sequence[str]
    """Names of the sources, below `folder`."""
    folder: str


def symbol_file(symbols: SymbolTable) -> bytes:
    """The bytes of the ELF file. Little-endian, as all that is served here is."""
    return _Elf(symbols).build()


def unsigned(value: int) -> bytes:
    """ULEB128 (section 7.6)."""
    raw = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        raw.append(low | (0x80 if value else 0))
        if not value:
            return bytes(raw)


def signed(value: int) -> bytes:
    """SLEB128."""
    raw = bytearray()
    while True:
        low, value = value & 0x7F, value >> 7
        done = value == (-1 if low & 0x40 else 0)
        raw.append(low | (0 if done else 0x80))
        if done:
            return bytes(raw)


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape") + b"\0"


def _end(last: Stretch | None) -> bytes:
    """The end of a sequence of lines, if there was one."""
    if last is None:
        return b""
    return bytes((_ADVANCE_PC,)) + unsigned(last.end - last.start) + bytes((0, 1, _END_SEQUENCE))


class _Elf:
    def __init__(self, symbols: SymbolTable) -> None:
        self._symbols = symbols
        self._wide = symbols.header[4] == 2
        self._word = "<Q" if self._wide else "<I"
        (self._machine,) = struct.unpack_from("<H", symbols.header, 18)

    def _address(self, value: int) -> bytes:
        return struct.pack(self._word, value)

    # -- DWARF -----------------------------------------------------------------------------------

    def _abbreviations(self) -> bytes:
        forms = (
            (_NAME, _STRING), (_COMP_DIR, _STRING), (_LANGUAGE, _DATA2), (_LOW_PC, _ADDR),
            (_RANGES, _SEC_OFFSET), (_STMT_LIST, _SEC_OFFSET),
        )  # fmt: skip
        raw = unsigned(1) + unsigned(_COMPILE_UNIT) + b"\0"
        for name, form in forms:
            raw += unsigned(name) + unsigned(form)
        return raw + b"\0\0" + b"\0"

    def _units(self) -> tuple[bytes, bytes, bytes]:
        """.debug_info, .debug_ranges and .debug_line."""
        symbols = self._symbols
        units, ranges, lines = bytearray(), bytearray(), bytearray()
        mine: list[list[Stretch]] = [[] for _ in symbols.sources]
        for one in symbols.stretches:
            mine[one.file].append(one)
        for name, its in zip(symbols.sources, mine, strict=True):
            body = struct.pack("<HIB", 4, 0, 8 if self._wide else 4) + unsigned(1)
            body += _text(name) + _text(symbols.folder) + struct.pack("<H", _LANG_ASSEMBLER)
            body += self._address(0) + struct.pack("<II", len(ranges), len(lines))
            units += struct.pack("<I", len(body)) + body
            for start, end in joined((one.start, one.end) for one in its):
                ranges += self._address(start) + self._address(end)
            ranges += self._address(0) * 2
            lines += self._lines(name, its)
        return bytes(units), bytes(ranges), bytes(lines)

    def _lines(self, name: str, stretches: Sequence[Stretch]) -> bytes:
        # Minimum instruction length, operations per instruction, is_stmt, line base and range,
        # which only special opcodes use; the first opcode of those.
        head = struct.pack("<BBBbBB", 1, 1, 1, -5, 14, 13) + _OPERANDS
        head += b"\0"  # no folder but that of the unit
        head += _text(name) + b"\0\0\0" + b"\0"
        body = struct.pack("<HI", 4, len(head)) + head + self._line_program(stretches)
        return struct.pack("<I", len(body)) + body

    def _line_program(self, stretches: Sequence[Stretch]) -> bytes:
        raw = bytearray()
        before: Stretch | None = None
        for one in stretches:
            line = 1
            if before is not None and before.end == one.start:
                raw += bytes((_ADVANCE_PC,)) + unsigned(one.start - before.start)
                line = before.line
            else:
                raw += _end(before)
                address = self._address(one.start)
                raw += b"\0" + unsigned(1 + len(address)) + bytes((_SET_ADDRESS,)) + address
            raw += bytes((_ADVANCE_LINE,)) + signed(one.line - line) + bytes((_COPY,))
            before = one
        return bytes(raw + _end(before))

    def _frames(self) -> bytes:
        stack, back = _STACK_AND_RETURN[self._machine]
        size = 8 if self._wide else 4

        def entry(body: bytes) -> bytes:
            body += b"\0" * (-(len(body) + 4) % size)  # DW_CFA_nop
            return struct.pack("<I", len(body)) + body

        # CIE: version, augmentation, address and segment size, alignment of code and of data.
        raw = struct.pack("<IB", 0xFFFFFFFF, 4) + b"\0" + bytes((size, 0))
        raw += unsigned(1) + signed(-size) + unsigned(back)
        raw += bytes((_DEF_CFA, *unsigned(stack), 0, _UNDEFINED, *unsigned(back)))
        found = entry(raw)
        for start, end in self._symbols.loaded:
            found += entry(struct.pack("<I", 0) + self._address(start) + self._address(end - start))
        return found

    # -- ELF -------------------------------------------------------------------------------------

    def _table(self) -> tuple[bytes, bytes]:
        """.symtab and .strtab."""
        names = bytearray(b"\0")
        rows = [b"\0" * (24 if self._wide else 16)]
        loaded = self._symbols.loaded
        for name, guest_addr in self._symbols.labels:
            section = next(
                n for n, (start, end) in enumerate(loaded, 1) if start <= guest_addr < end
            )
            at = len(names)
            names += _text(name)
            if self._wide:
                row = struct.pack("<IBBHQQ", at, _GLOBAL_NOTYPE, 0, section, guest_addr, 0)
            else:
                row = struct.pack("<IIIBBH", at, guest_addr, 0, _GLOBAL_NOTYPE, 0, section)
            rows.append(row)
        return b"".join(rows), bytes(names)

    def build(self) -> bytes:
        symbols = self._symbols
        table, names = self._table()
        units, ranges, lines = self._units()
        loaded = len(symbols.loaded)
        parts: list[tuple[str, int, bytes]] = [
            (".debug_abbrev", _PROGBITS, self._abbreviations()),
            (".debug_info", _PROGBITS, units),
            (".debug_ranges", _PROGBITS, ranges),
            (".debug_line", _PROGBITS, lines),
            (".debug_frame", _PROGBITS, self._frames()),
            (".symtab", _SYMTAB, table),
            (".strtab", _STRTAB, names),
        ]
        texts = [".text" if n == 0 else f".text.{n}" for n in range(loaded)]
        all_names = ["", *texts, *(name for name, _, _ in parts), ".shstrtab"]
        strings = b"".join(_text(name) for name in all_names)
        where = [sum(len(name) + 1 for name in all_names[:n]) for n in range(len(all_names))]
        head = 64 if self._wide else 52
        content = bytearray()
        headers = [(0,) * 10]
        for index, (start, end) in enumerate(symbols.loaded):
            headers.append(
                (where[1 + index], _NOBITS, _ALLOC_EXEC, start, head, end - start, 0, 0, 1, 0)
            )
        strtab = loaded + len(parts)
        for index, (_, kind, raw) in enumerate((*parts, (".shstrtab", _STRTAB, strings))):
            content += b"\0" * (-len(content) % 8)
            # A symbol table links to its names, and says that no symbol is local but the first.
            link, info, size = (
                (strtab, 1, 24 if self._wide else 16) if kind == _SYMTAB else (0,) * 3
            )
            headers.append((where[1 + loaded + index], kind, 0, 0, head + len(content), len(raw),
                            link, info, 8 if kind == _SYMTAB else 1, size))  # fmt: skip
            content += raw
        content += b"\0" * (-len(content) % 8)
        form = "<IIQQQQIIQQ" if self._wide else "<10I"
        rows = b"".join(struct.pack(form, *header) for header in headers)
        return self._header(head + len(content), len(headers)) + bytes(content) + rows

    def _header(self, sections_at: int, sections: int) -> bytes:
        symbols, wide = self._symbols, self._wide
        (flags,) = struct.unpack_from("<I", symbols.header, 48 if wide else 36)
        return symbols.header[:7].ljust(16, b"\0") + struct.pack(
            "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH",
            _ET_EXEC, self._machine, 1, symbols.entry, 0, sections_at, flags, 64 if wide else 52,
            0, 0, 64 if wide else 40, sections, sections - 1,
        )  # fmt: skip


SYMBOLS = "symbols.elf"
SCRIPT = "symbols.gdb"
SOURCES = "sources"

Found = tuple[str, int, int]
"""A place in a source: path, version, line."""


def stretches(image: ProgramImage, why: ByteOrigins) -> Iterator[tuple[int, int, Found]]:
    """The bytes of an image that are of one line each: first address, address after, where."""
    for start, end in loaded(image):
        begin = start
        for found, those in groupby(range(start, end), lambda at: _source(image, why, at)):
            size = len(list(those))
            if found is not None:
                yield begin, begin + size, found
            begin += size


def _source(image: ProgramImage, why: ByteOrigins, guest_addr: int) -> Found | None:
    offset = image.offset(guest_addr)
    if image.same is None or offset is None:
        return None
    written = why.source(image.same, offset)
    return None if written is None else (written[0].file, written[1], written[0].line)


def loaded(image: ProgramImage) -> list[tuple[int, int]]:
    """Where the bytes of the file are in memory: (first, after the last), in order."""
    starts = (image.address(offset) for offset in range(len(image.content)))
    return joined((at, at + 1) for at in sorted({at for at in starts if at is not None}))


def labels(image: ProgramImage) -> list[tuple[str, int]]:
    """The labels that the models know, with their addresses."""
    known = ((image.label(at), image.address(at)) for at in range(len(image.content)))
    return [(name[0], at) for name, at in known if name and not name[1] and at is not None]


def below(path: str) -> str:
    """A guest path as the name of a file below a folder, and never outside of it."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return "/".join("".join(c if c >= " " else "_" for c in part) for part in parts) or "_"


class SymbolFiles:
    """Writes them into a folder, when they are asked for; each image once."""

    def __init__(self, folder: Path) -> None:
        """`folder`: made if it is not there. Raises BadInput for one with something in it."""
        try:
            folder.mkdir(exist_ok=True)
            if any(folder.iterdir()):
                raise BadInput(f"{folder}: is not empty; name a folder that is, or a new one")
        except OSError as error:
            raise BadInput(f"{folder}: {error.strerror}; name a folder to write into") from None
        self._folder = folder.resolve()
        self._known: dict[str, Path] = {}
        """By the image's SHA-256: what was known of it stays true, whatever else is written."""

    def of(self, trace: Trace, images: ProgramImages, version: int) -> Path | str:
        """The symbol file of an image, or why there is none."""
        sha256 = images.why.hashes[version][0]
        if sha256 not in self._known:
            image = images.image(version)
            if image.same is None:
                return f"{image.name.lstrip('/')}: {image.unknown}"
            try:
                self._known[sha256] = self._write(trace, images, image, sha256)
            except OSError as error:
                return f"{error.filename}: cannot be written: {error.strerror}"
        return self._known[sha256]

    def _write(self, trace: Trace, images: ProgramImages, image: ProgramImage, sha256: str) -> Path:
        folder = self._folder / f"{below(image.name).rpartition('/')[2]}-{sha256[:12]}"
        found = list(stretches(image, images.why))
        sources: dict[tuple[str, int], int] = {}
        for _, _, (path, version, _) in found:
            sources.setdefault((path, version), len(sources))
        names: list[str] = []
        for path, version in sources:
            name = below(path)
            # Two versions of one file in one program; or A and a, which some hosts take for one.
            while name.casefold() in map(str.casefold, names):
                name += "'"
            names.append(name)
            # Before the symbols: gdb warns of a source that is newer than they are.
            target = folder / SOURCES / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(trace.content(version))
        rows = [Stretch(start, end, sources[path, version], line)
                for start, end, (path, version, line) in found]  # fmt: skip
        what = SymbolTable(
            image.content[:64], image.elf.entry, loaded(image), rows, labels(image), names,
            str(folder / SOURCES),
        )  # fmt: skip
        target = folder / SYMBOLS
        target.write_bytes(symbol_file(what))
        return target

    def write_script(self, first: Path | str) -> None:
        """What gdb has to read when it is connected: `source DIR/symbols.gdb`.

        `first`: as `of` returned for the program where it will be.
        """
        begin = f"symbol-file {_quoted(first)}\nframe\n" if isinstance(first, Path) else ""
        text = f"{begin}python\nOURS = {str(self._folder) + os.sep!a}\n{_PYTHON}end\n"
        (self._folder / SCRIPT).write_bytes(text.encode("utf-8", "surrogateescape"))


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


_PYTHON = r'''
class Symbols(gdb.Command):
    """Take the symbols and the annotated sources of the program where gdb is."""

    def __init__(self):
        super().__init__("bsymbols", gdb.COMMAND_FILES)

    def invoke(self, argument, from_tty):
        process = gdb.selected_inferior()
        if not process.pid:
            return
        text = gdb.execute(f"monitor symbols {process.pid}", False, True).rstrip("\n")
        now = gdb.current_progspace().filename or ""
        if text.startswith(OURS):
            if now != text:
                quoted = text.replace("\\", "\\\\").replace('"', '\\"')
                gdb.execute(f'symbol-file "{quoted}"', False, True)
        else:
            if now.startswith(OURS):
                gdb.execute("symbol-file", False, True)
            if from_tty:
                print(text)


Symbols()
try:
    gdb.execute("show user hook-stop", False, True)
    # The user's own stays; ours is done later, when the stop has been shown.
    gdb.events.stop.connect(lambda event: gdb.execute("bsymbols", False, True))
except gdb.error:
    gdb.execute("define hook-stop\nbsymbols\nend", False, True)
'''
