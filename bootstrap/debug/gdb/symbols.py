"""The annotated sources of a program as gdb reads them: files in a folder, and a symbol file.

What a line became is what the language models know, followed to the last text that is known
(debug/source_paths.py). The sources are those of the trace; no file of the host is read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.debug.gdb.dwarf import Stretch, SymbolTable, symbol_file
from bootstrap.debug.source_paths import SourcePaths
from bootstrap.debug.views import joined
from bootstrap.timeline.images import ProgramImage, ProgramImages
from bootstrap.trace.store import Trace

SYMBOLS = "symbols.elf"
SCRIPT = "symbols.gdb"
SOURCES = "sources"

Found = tuple[str, int, int]
"""A place in a source: path, version, line."""


def stretches(image: ProgramImage, paths: SourcePaths) -> Iterator[tuple[int, int, Found]]:
    """The bytes of an image that are of one line each: first address, address after, where."""
    for start, end in loaded(image):
        begin = start
        for found, those in groupby(range(start, end), lambda at: _source(image, paths, at)):
            size = len(list(those))
            if found is not None:
                yield begin, begin + size, found
            begin += size


def _source(image: ProgramImage, paths: SourcePaths, guest_addr: int) -> Found | None:
    offset = image.offset(guest_addr)
    if image.same is None or offset is None:
        return None
    written = paths.source(image.same, offset)
    return None if written is None else (written.place.file, written.version, written.place.line)


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
        found = list(stretches(image, SourcePaths(trace, images)))
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
