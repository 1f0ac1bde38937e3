"""Which language model makes a file that a program of the bootstrap wrote, byte for byte.

A program's name only suggests a model; the model's output then has to equal the file, or nothing is
said of where its bytes come from.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bootstrap.core.abi import LinuxError
from bootstrap.core.elf import parse
from bootstrap.languages import catm, hex0, hex1, hex2, hex2_linker, m0, m1
from bootstrap.languages.assembly import Architecture, Assembly, Origin, Position
from bootstrap.languages.fault import LanguageError
from bootstrap.languages.macros import Expansion
from bootstrap.languages.source import SourceText
from bootstrap.linux.inode import file_of

_PT_LOAD = 1


@dataclass(frozen=True)
class SourcePlace:
    """Where a byte comes from: a file that the program read, and what stands there."""

    file: str
    line: int
    column: int
    label: str = ""
    macro: str = ""
    comment: str = ""

    @property
    def where(self) -> str:
        """`file:line`."""
        return f"{self.file.lstrip('/')}:{self.line}"

    @property
    def text(self) -> str:
        """`file:line  # comment`."""
        return f"{self.where}  # {self.comment}" if self.comment else self.where


@dataclass(frozen=True)
class SourceMap:
    """What a model made: its name, its output, and of each byte of it the place, if any."""

    model: str
    output: bytes
    place: Callable[[int], SourcePlace | None]


@dataclass(frozen=True)
class Target:
    """What an image is made for; the early assemblers have it built in, and are given none."""

    architecture: Architecture = Architecture.X86
    base_address: int = hex2.BASE_ADDRESS


def target_of(content: bytes) -> Target:
    """What a file is for, by its ELF headers; x86 where it is no program."""
    try:
        elf = parse(file_of(content))
    except LinuxError:
        return Target()
    first = next((s for s in elf.segments if s.kind == _PT_LOAD), None)
    if first is None:
        return Target()
    return Target(Architecture(elf.arch.upstream.lower()), first.vaddr - first.offset)


Model = Callable[[Sequence[SourceText], Sequence[str], Target], SourceMap]
"""From a program's inputs, in the order in which it opened them, its arguments, and what the file
that it wrote is for."""


def _of(origin: Origin) -> SourcePlace:
    first: Position = origin.digits[0]
    return SourcePlace(
        origin.file, first.line, first.column, origin.label, origin.macro, origin.comment
    )


def _assembled(model: str, assembly: Assembly) -> SourceMap:
    return SourceMap(model, assembly.output, lambda offset: _of(assembly.map[offset]))


def _expanded(model: str, expansion: Expansion) -> SourceMap:
    starts = [span.start for span in expansion.spans]

    def place(offset: int) -> SourcePlace | None:
        at = bisect_right(starts, offset) - 1
        if at < 0 or offset >= expansion.spans[at].end:
            return None  # a blank between two tokens
        return _of(expansion.spans[at].origin)

    return SourceMap(model, expansion.output, place)


def _first(model: str, assemble: Callable[[bytes, str], Assembly]) -> Model:
    """Of the one file that the program read."""
    return lambda sources, _argv, _target: _assembled(
        model, assemble(sources[0].text, sources[0].name)
    )


def _hex2(sources: Sequence[SourceText], _argv: Sequence[str], target: Target) -> SourceMap:
    try:
        return _assembled("hex2", hex2.assemble(sources, target.base_address))
    except LanguageError:
        # Upstream's hex2-0 lets the last of two labels count, as the full hex2 does. Those of
        # AArch64 and RISC-V have the fields of their instructions, and so has hex1 there.
        found = hex2_linker.assemble(sources, target.architecture, target.base_address)
        return _assembled("hex2", found)


def _linker(sources: Sequence[SourceText], argv: Sequence[str], _target: Target) -> SourceMap:
    base = int(_option(argv, "--base-address", "0x08048000"), 0)
    return _assembled("hex2", hex2_linker.assemble(sources, _architecture(argv), base))


def _m0(sources: Sequence[SourceText], _argv: Sequence[str], _target: Target) -> SourceMap:
    return _expanded("M0", m0.expand(sources))


def _m1(sources: Sequence[SourceText], argv: Sequence[str], _target: Target) -> SourceMap:
    return _expanded("M1", m1.expand(sources, _architecture(argv)))


def _joined(sources: Sequence[SourceText], _argv: Sequence[str], _target: Target) -> SourceMap:
    found = catm.join(sources)

    def place(offset: int) -> SourcePlace | None:
        file, position = found.place(offset)
        return SourcePlace(file, position.line, position.column)

    return SourceMap("catm", found.content, place)


def _option(argv: Sequence[str], name: str, otherwise: str) -> str:
    at = argv.index(name) + 1 if name in argv else len(argv)
    return argv[at] if at < len(argv) else otherwise


def _architecture(argv: Sequence[str]) -> Architecture:
    return Architecture(_option(argv, "--architecture", "x86"))


MODELS: dict[str, tuple[Model, ...]] = {
    "hex0": (_first("hex0", hex0.assemble),),
    "hex0-seed": (_first("hex0", hex0.assemble),),
    "hex1": (_first("hex1", hex1.assemble), _hex2),
    "hex2-0": (_hex2,),
    "hex2-1": (_linker,),
    "hex2": (_linker, _hex2),
    "catm": (_joined,),
    "cp": (_joined,),
    "M0": (_m0,),
    "M1-0": (_m1,),
    "M1": (_m1,),
}
"""Name of a program -> models to try."""


def maker(
    program: str, argv: Sequence[str], sources: Sequence[SourceText], content: bytes
) -> SourceMap | str:
    """The model that makes ``content`` of ``sources``, or why there is none."""
    models = MODELS.get(program.rpartition("/")[2], ())
    if not models:
        return f"there is no model of {program}"
    if not sources:
        return f"{program} read no file"
    why, target = "", target_of(content)
    for model in models:
        try:
            made = model(sources, argv, target)
        except (LanguageError, ValueError) as error:
            why = f"the model of {program} refuses what it read: {error}"
            continue
        if made.output == content:
            return made
        why = f"the model of {program} makes another file of what it read"
    return why


def line_starts(text: bytes) -> list[int]:
    """The offset at which each line begins; lines end with a newline.  One more: the end's."""
    starts = [0]
    for line in text.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts


def offset_of(text: bytes, line: int, column: int) -> int:
    """The offset of a position; both count from 1."""
    return line_starts(text)[line - 1] + column - 1


def line_at(text: bytes, offset: int) -> tuple[int, int, str]:
    """Line and column (from 1) of an offset, and the text of that line."""
    start = text.rfind(b"\n", 0, offset) + 1
    end = text.find(b"\n", offset)
    whole = text[start : end if end >= 0 else len(text)]
    number = text.count(b"\n", 0, start) + 1
    return number, offset - start + 1, whole.decode("utf-8", "backslashreplace").expandtabs()


def line_span(text: bytes, line: int) -> tuple[int, int] | None:
    """The offsets of a line, its newline not counted; None where there is no such line."""
    starts = line_starts(text)
    if not 1 <= line < len(starts) or starts[line - 1] == len(text):
        return None  # what follows the last newline is no line, if it is empty
    return starts[line - 1], starts[line] - 1


def label_before(text: bytes, offset: int, prefix: str = "") -> str:
    """The label of M1 or hex2, beginning with ``prefix``, that stands last before an offset."""
    sign = b":" + prefix.encode()
    end = text.find(b"\n", offset)
    lines = text[: end if end >= 0 else len(text)].split(b"\n")
    for line in reversed(lines):
        words = line.split()
        if words and words[0].startswith(sign):
            return words[0][1:].decode("latin-1")
    return ""
