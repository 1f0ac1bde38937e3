"""Checks an annotated source of seeds/x86 (hex0, hex1, hex2) against the bytes it assembles to.

The annotation format
---------------------

Every line that puts out bytes carries a comment of one of these three forms; fields are separated
by two or more blanks::

    CODE  # OFFSET   FIELD         meaning       header: the offset in the file, 2 to 4 hex digits
    CODE  # ADDRESS  INSTRUCTION   why           code: the address, 8 hex digits
    CODE  # ADDRESS  data          meaning       anything that is not executed

- OFFSET and ADDRESS are those of the line's first byte, in lower-case hex without 0x.
- A code line holds exactly one instruction, and it must be what capstone reads there.
- ``why`` (``meaning``) is not empty; it may go on in comment lines without code below.
- INSTRUCTION is Intel syntax, one blank between words, ``, `` between operands:
  ``mov eax, [esi + 4]``, ``jne 08048080``, ``call get_byte``, ``cmp al, ':'``.
- Numbers: decimal, ``0x`` and hex digits, 8 hex digits without 0x (an address), or a character in
  single quotes. Which of them does not matter, nor does -1 or 0xffffffff.
- Names: a label of the source stands for its address, where it is a word of letters, digits and
  ``_`` that is not also a register or a size; for other labels write the address. A place outside
  the file (bss) has a name when a comment line of the introduction says so::

      #     input = 08060000   what it is

  ``[table + 4]`` is the address plus 4. The name alone in brackets is the memory there.
- Sizes may be left out: ``mov [edi], 0`` or ``mov byte [edi], 0`` or ``byte ptr``.
- ``je/jz``, ``jne/jnz``, ``jb/jc/jnae``, ``jae/jnc/jnb`` and so on are the same; so are the two
  orders of the operands of ``xchg`` and ``test``; string instructions go without operands
  (``lodsb``, ``rep movsd``).
- A label's line either stands alone, or the label comes before the bytes of the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import capstone

from bootstrap.languages.assembly import Assembly

BASE = 0x08048000

_COMMENT = re.compile(
    r"(?P<place>[0-9a-f]{8}|[0-9a-f]{2,4})  +(?P<what>\S.*?)(?:  +(?P<why>\S.*))?"
)
_LABEL = re.compile(rb"^\s*:(\S+)")
_NAMED = re.compile(rb"^#\s+(\w+) = ([0-9a-f]{8})\b")
_STRING = re.compile(r"((?:rep|repe|repne) )?(?:lods|stos|movs|cmps|scas)[bwd]\b")
_SIZE = re.compile(r"\b(?:byte|word|dword)(?: ptr)? (?=\[|\w)")
_MEMORY = re.compile(r"\[(.*?)\]")
_TERM = re.compile(r"([+-]?) ?([\w*]+)")
_TOKEN = re.compile(r"'(.)'|0x([0-9a-f]+)\b|\b([0-9a-f]{8})\b|(?<!\w)(-?\d+)\b|([A-Za-z_]\w*)")
_SAME = {
    "jz": "je",
    "jnz": "jne",
    "jc": "jb",
    "jnae": "jb",
    "jnc": "jae",
    "jnb": "jae",
    "jna": "jbe",
    "jnbe": "ja",
    "jnge": "jl",
    "jnl": "jge",
    "jng": "jle",
    "jnle": "jg",
}


@dataclass(frozen=True)
class Line:
    """A line of a source that puts out bytes."""

    file: str
    number: int
    offset: int
    code: bytes
    comment: str

    @property
    def place(self) -> str:
        return f"{self.file}:{self.number}"


def complaints(sources: Mapping[str, bytes], assembly: Assembly) -> list[str]:
    """What is wrong with the annotations of ``sources`` (their texts by name, as assembled)."""
    lines = list(lines_of(assembly))
    names = _names(sources, lines)
    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    return [f"{line.place}: {c}" for line in lines if (c := _complaint(line, names, disassembler))]


def lines_of(assembly: Assembly) -> Iterator[Line]:
    """The lines that put out bytes, in order."""
    start = 0
    for offset in range(1, len(assembly.map) + 1):
        first = assembly.map[start]
        here = assembly.map[offset] if offset < len(assembly.map) else None
        if here is None or (here.file, here.line) != (first.file, first.line):
            code = assembly.output[start:offset]
            yield Line(first.file, first.line, start, code, first.comment)
            start = offset


def _names(sources: Mapping[str, bytes], lines: list[Line]) -> dict[str, int]:
    """Names an operand may have, and their values: labels, and places outside the file."""
    names: dict[str, int] = {}
    order = {file: i for i, file in enumerate(sources)}
    end = lines[-1].offset + len(lines[-1].code) if lines else 0
    for file, text in sources.items():
        for number, line in enumerate(text.split(b"\n"), start=1):
            if match := _NAMED.match(line):
                names[match[1].decode()] = int(match[2], 16)
            elif match := _LABEL.match(line):
                here = order[file], number
                after = (x.offset for x in lines if (order[x.file], x.number) >= here)
                names[match[1].decode(errors="replace")] = BASE + next(after, end)
    return names


def _complaint(line: Line, names: Mapping[str, int], disassembler: capstone.Cs) -> str | None:
    match = _COMMENT.fullmatch(line.comment)
    if match is None:
        return f"not an annotation: {line.comment!r}"
    place, what, why = match["place"], match["what"], match["why"]
    address = BASE + line.offset
    in_header = len(place) < 8
    if int(place, 16) != (line.offset if in_header else address):
        return f"says {place}, but the byte is at offset {line.offset:x}, address {address:08x}"
    if not why and not (in_header and what.count(" ")):
        return "does not say why"
    if in_header or what == "data":
        return None
    read = [
        (i.size, f"{i.mnemonic} {i.op_str}".strip())
        for i in disassembler.disasm(line.code, address)
    ]
    if [size for size, _ in read] != [len(line.code)]:
        return f"not one instruction: {[text for _, text in read]}"
    if plain(what, names) != plain(read[0][1], {}):
        return f"says {what!r}, but it is {read[0][1]!r}"
    return None


def plain(instruction: str, names: Mapping[str, int]) -> str:
    """One spelling of an instruction: no sizes, one name for a jump, numbers and names in decimal
    modulo 2**32, operands in one order where the order means nothing."""
    if match := _STRING.match(instruction):
        return match[0]
    mnemonic, _, operands = _SIZE.sub("", instruction).partition(" ")
    operands = _TOKEN.sub(lambda token: _number(token, names), operands)
    operands = _MEMORY.sub(_sum, operands)
    if mnemonic in ("xchg", "test"):
        operands = ", ".join(sorted(operands.split(", ")))
    return f"{_SAME.get(mnemonic, mnemonic)} {operands}".strip()


def _sum(memory: re.Match[str]) -> str:
    """A memory operand: its registers in order, then the sum of its numbers."""
    total, registers = 0, []
    for sign, term in _TERM.findall(memory[1]):
        if term.isdigit():
            total += -int(term) if sign == "-" else int(term)
        else:
            registers.append(term)
    return f"[{' + '.join([*sorted(registers), str(total % 2**32)])}]"


def _number(token: re.Match[str], names: Mapping[str, int]) -> str:
    character, number, address, decimal, word = token.groups()
    if word is not None:
        return str(names[word]) if word in names else word
    if character is not None:
        return str(ord(character))
    value = int(decimal) if decimal is not None else int(number or address, 16)
    return str(value % 2**32)
