"""What a session is asked in words, and the lines that come of it: `show`, `find`, `why`; and its
values by name: addresses, registers, and what `print` and `expect` know."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator

from bootstrap.core.errors import BadInput
from bootstrap.debug import places
from bootstrap.debug.command_language import (
    CommandCheck,
    Focus,
    MemorySpan,
    number_of,
    span_of,
)
from bootstrap.debug.session import Session
from bootstrap.debug.stops import StopReason
from bootstrap.debug.views import CodeLine, in_memory, in_sources
from bootstrap.timeline.origins import OriginStep
from bootstrap.timeline.render import area_lines, dump, file_lines
from bootstrap.trace import coordinates
from bootstrap.trace.columns import WORD
from bootstrap.trace.views import command, ended

MOST_SHOWN = 12
"""Found places, system calls and the like that one result shows."""
SHORTEST = 4
"""Printable bytes that make a string."""
_STRING = re.compile(rb"[\t\x20-\x7e]{%d,}" % SHORTEST)


# Lines.


def code_line(line: CodeLine) -> str:
    """An instruction with what is known of it."""
    arrow = f"-> {line.target_label}" if line.target_label else ""
    label = f"<{line.label}>" if line.label else ""
    place = f"{line.place}  {line.source}" if line.place else ""
    parts = "  ".join(part for part in (label, arrow, place) if part)
    mark = ">" if line.here else " "
    return f"{mark} {line.guest_addr:8x}  {line.code.hex(' '):24} {line.text:34} {parts}".rstrip()


def next_line(session: Session) -> Iterator[str]:
    """The instruction that comes next."""
    for line in session.disassemble(None, 1):
        yield code_line(line)
    if not session.disassemble(None, 1):
        yield f"> {session.pc:8x}  nothing can be read there"


def here(session: Session) -> Iterator[str]:
    """Where the session is."""
    program = session.program
    yield f"{session.here}: {program.label}, {command(program)}"
    yield (
        f"  {session.executed:,} instructions, {session.calls:,} of {program.calls:,} system calls "
        f"of the program; event {session.at.event:,} of {session.trace.events:,}"
    )
    if session.unknown:
        yield f"  no source lines: {session.unknown}"
    yield from next_line(session)


def registers(session: Session) -> Iterator[str]:
    """Four in a line; `*` marks what the last move changed."""
    changed, word = session.changed(), WORD[session.program.abi]
    cells = [
        f"{'*' if name in changed else ' '}{name:>6} {value:0{2 * word}x}"
        for name, value in session.registers()
    ]
    for at in range(0, len(cells), 4):
        yield "  ".join(cells[at : at + 4])
    if session.flags():
        yield f"  {session.flags()}"


def breaks(session: Session) -> Iterator[str]:
    """What stops."""
    for one in session.breakpoints:
        yield f"breakpoint {one.number}: {one}"
    for watched in session.watchpoints:
        yield f"watchpoint {watched.number}: {watched}"
    if not len(session.breakpoints) and not len(session.watchpoints):
        yield "no breakpoints and no watchpoints"


def marks(session: Session) -> Iterator[str]:
    """The marks."""
    for name, place in session.marks.items():
        yield f"mark {name}: {place}"
    if not session.marks:
        yield "no marks"


def _memory(session: Session, of: str) -> Iterator[str]:
    span = span_of(of or "pc", 64)
    start = address(session, span)
    data = session.read(start, span.size)
    if not data:
        raise BadInput(f"{of}: nothing can be read at {start:#x} here")
    yield from dump(start, data)
    if len(data) < span.size:
        yield f"    the rest, from {start + len(data):#x}, cannot be read"


def _count(of: str, otherwise: int) -> int:
    number = number_of(of) if of else otherwise
    if not number or number > 1 << 16:
        raise BadInput(f"{of}: is no number of lines (1 to 65,536)")
    return number


def _stack(session: Session, of: str) -> Iterator[str]:
    width = 2 * WORD[session.program.abi]
    for guest_addr, value in session.stack(_count(of, MOST_SHOWN)):
        label = session.label(value)
        yield f"    {guest_addr:0{width}x}  {value:0{width}x}  {label}".rstrip()


def _file(session: Session, of: str) -> Iterator[str]:
    if not of:
        raise BadInput("show file: which? A descriptor (3) or a path (hex0)")
    fd = number_of(of)
    content = session.file(of if fd is None else fd)
    yield f"{of}: {len(content):,} bytes, sha256 {hashlib.sha256(content).hexdigest()}"
    yield from dump(0, content[:512])
    if len(content) > 512:
        yield f"    and {len(content) - 512:,} bytes more"


def _calls(session: Session, of: str) -> Iterator[str]:
    last = session.calls
    first = max(1, last - _count(of, MOST_SHOWN) + 1)
    if first > 1:
        yield f"    {first - 1:,} before"
    for ordinal in range(first, last + 1):
        yield f"    {ordinal:6,}  {session.call(ordinal)}"
    following = session.call(last + 1)
    yield f"  > {last + 1:6,}  {following}" if following else "  > none follows"


def _tree(session: Session, _of: str) -> Iterator[str]:
    for program, level in places.family(session.trace):
        mark = ">" if program.id == session.row else " "
        forked = " (forked)" if program.ordinal == 0 else ""
        indent = "  " * level
        yield f"{mark} {indent}{program.pid} {command(program)[:120]}{forked}  [{ended(program)}]"


def _source(session: Session, generated: bool) -> Iterator[str]:
    view = session.source(generated=generated)
    if view is None:
        yield f"no source line is known here: {session.unknown or 'pc is not in the image'}"
        return
    for number, text in view.nearby:
        mark = ">" if number == view.line else " "
        yield f"{mark} {view.file}:{number}  {text}"


def _disassembly(session: Session, of: str) -> Iterator[str]:
    start, count = session.pc, 10
    if of:
        span = span_of(of, 10)
        start, count = address(session, span), span.size
    yield from map(code_line, session.disassemble(start, count))


def _produced(session: Session, _of: str) -> Iterator[str]:
    made = session.produced()
    if made is None:
        yield "the instruction before this place wrote no file"
        return
    data = session.file(made.path)[made.offset : made.offset + made.size]
    yield f"{made.path} + {made.offset:#x}: {data.hex(' ')}"


SHOWN: tuple[tuple[str, Callable[[Session, str], Iterator[str]]], ...] = (
    ("here place program", lambda session, _: here(session)),
    ("regs reg registers r", lambda session, _: registers(session)),
    ("flags", lambda s, _: iter((s.flags() or "this architecture has no flags",))),
    ("mem memory x", _memory),
    ("stack", _stack),
    ("maps proc", lambda s, _: area_lines(s.maps(), WORD[s.program.abi])),
    ("files fds", lambda s, _: file_lines(s.open_files())),
    ("file", _file),
    ("calls syscalls strace", _calls),
    ("tree processes inferiors", _tree),
    ("source list line", lambda session, _: _source(session, generated=False)),
    ("generated", lambda session, _: _source(session, generated=True)),
    ("disassembly code disas disassemble", _disassembly),
    ("produced output", _produced),
    ("marks", lambda session, _: marks(session)),
    ("breaks breakpoints watchpoints b", lambda session, _: breaks(session)),
)
"""What `show` shows: its names, the first its own, and the lines."""
_SHOW = {names.split()[0]: lines for names, lines in SHOWN}


def show(session: Session, what: str, of: str) -> Iterator[str]:
    """What is there. Raises BadInput."""
    return _SHOW[what](session, of)


# Finding.


def find(session: Session, where: str, text: str) -> list[Focus]:
    """Where a text or bytes (0x...) are: in the sources, the memory, the strings in it."""
    if where == "source":
        return [Focus(None, file, line) for file, line, _ in in_sources(session.sources(), text)]
    if where == "strings":
        return list(map(Focus, _strings(session, text)))
    is_bytes = re.fullmatch(r"0[xX](?:[0-9a-fA-F]{2})+", text)
    wanted = bytes.fromhex(text[2:]) if is_bytes else text.encode()
    return list(map(Focus, in_memory(session.at.process.memory, wanted)))


def _strings(session: Session, text: str) -> Iterable[int]:
    """The starts of the strings in memory with that text in them."""
    starts: dict[int, None] = {}
    for found in in_memory(session.at.process.memory, text.encode()):
        before = session.read(max(0, found - 256), min(256, found))
        run = re.search(rb"[\t\x20-\x7e]*\Z", before)
        start = found - (len(run.group()) if run else 0)
        if _STRING.match(session.read(start, 256)):
            starts[start] = None
    return starts


def place_line(session: Session, place: Focus) -> str:
    """A found place, with what stands there."""
    guest_addr = place.guest_addr
    if guest_addr is None:
        lines = session.sources().get(place.file, ())
        text = lines[place.line - 1] if 0 < place.line <= len(lines) else ""
        return f"{place.file}:{place.line}  {text}".rstrip()
    data = session.read(guest_addr, 24)
    text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in data)
    label = session.label(guest_addr)
    return f"{guest_addr:#x}  {text}  {f'<{label}>' if label else ''}".rstrip()


def chain(session: Session, text: str) -> list[OriginStep]:
    """Where a byte comes from: of a file (FILE:OFFSET), or an address of this program's image."""
    file, colon, digits = text.rpartition(":")
    if colon:
        offset = number_of(digits)
        if not file or offset is None:
            raise BadInput(f"{text}: name a byte of a file, like hex0:0x54, or an address")
        return session.why(file, offset)
    guest_addr = address_in(session, text)
    image = session.image
    offset = image.offset(guest_addr)
    if offset is None:
        raise BadInput(
            f"{text}: is not in the image of {session.program.label}; `origin {text}` goes to who "
            "made the byte that is in memory there"
        )
    if image.same is None:
        raise BadInput(f"{text}: unknown: {image.unknown}")
    return session.images.why.chain(image.same, offset)


# Addresses and places.


def address(session: Session, wanted: MemorySpan) -> int:
    """A number, a register, or a label of this program. Raises BadInput."""
    number = number_of(wanted.base)
    if number is None:
        number = dict(session.registers()).get(wanted.base)
    if number is None and wanted.base == "pc":
        number = session.pc
    if number is None:
        try:
            found = session.breakpoints.resolve(wanted.base, session.program.image)
        except BadInput:
            found = ()
        if not found:
            raise BadInput(f"{wanted.base}: is no register and no label of {session.program.label}")
        number = found[0]
    return (number + wanted.plus) % (1 << 8 * WORD[session.program.abi])


def address_in(session: Session, text: str) -> int:
    """The same from a text."""
    return address(session, span_of(text, size=0))


def is_at(session: Session, text: str) -> bool:
    """Whether the session is at that place: a coordinate, an address, a label or FILE:LINE."""
    try:
        place = coordinates.parse(text)
    except BadInput:
        found = session.breakpoints.resolve(text, session.program.image)
        if not found:
            raise BadInput(
                f"{text}: no coordinate, and {session.program.label} has no such address, label "
                "or line"
            ) from None
        return session.pc in found
    if isinstance(place, coordinates.AfterInstructions) and str(place) == str(session.here):
        return True
    before = session.row, session.executed
    session.at.go(place)
    there = session.row, session.executed
    session.at.seek(*before)
    return there == before


# Single values: print and expect.


def _bytes(session: Session, of: str) -> str:
    span = span_of(of or "pc", 1)
    start = address(session, span)
    data = session.read(start, span.size)
    if len(data) < span.size:
        raise BadInput(f"{of}: {span.size} bytes cannot be read at {start:#x} here")
    return data.hex()


def _file_of(session: Session, of: str, what: str) -> bytes:
    if not of:
        raise BadInput(f"{what}: of which file? {what} hex0")
    return session.file(of)


def _instruction(session: Session, of: str) -> str:
    start = address_in(session, of) if of else session.pc
    return next((line.text for line in session.disassemble(start, 1)), "")


def _source_place(session: Session, of: str, generated: bool = False, text: bool = False) -> str:
    view = session.source(address_in(session, of) if of else None, generated)
    if view is None:
        return ""
    return view.text if text else f"{view.file}:{view.line}"


def _written(session: Session, _of: str) -> str:
    made = session.produced()
    return "" if made is None else f"{made.path.lstrip('/')}+{made.offset:#x}"


SUBJECTS: dict[str, Callable[[Session, str], str]] = {
    "pc": lambda s, _: f"{s.pc:#x}",
    "label": lambda s, of: s.label(address_in(s, of) if of else s.pc),
    "source": _source_place,
    "generated": lambda s, of: _source_place(s, of, generated=True),
    "line": lambda s, of: _source_place(s, of, text=True),
    "instruction": _instruction,
    "mem": _bytes,
    "flags": lambda s, _: s.flags().partition(": ")[2],
    "call": lambda s, _: s.call(s.calls) if s.calls else "",
    "next-call": lambda s, _: s.call(s.calls + 1),
    "written": _written,
    "pid": lambda s, _: str(s.pid),
    "program": lambda s, _: command(s.program),
    "ended": lambda s, _: ended(s.program),
    "executed": lambda s, _: str(s.executed),
    "calls": lambda s, _: str(s.calls),
    "event": lambda s, _: str(s.at.event),
    "total": lambda s, _: str(s.total),
    "sha256": lambda s, of: hashlib.sha256(_file_of(s, of, "sha256")).hexdigest(),
    "size": lambda s, of: str(len(_file_of(s, of, "size"))),
    "failure": lambda s, _: s.failure,
    "trace": lambda s, _: s.trace.digest,
}
"""What `print` and `expect` know by name, besides registers and `stop`."""


def value(session: Session, subject: str, of: str, last: StopReason | None) -> str:
    """One value, as text. Raises BadInput."""
    if subject == "stop":
        return "" if last is None else last.reason
    if subject == "at":
        return str(session.here)
    known = dict(session.registers()).get(subject)
    if known is not None:
        return f"{known:#x}"
    if subject not in SUBJECTS:
        raise BadInput(
            f"{subject}: is neither a register here nor one of stop, {', '.join(SUBJECTS)}"
        )
    return SUBJECTS[subject](session, of)


def printed(session: Session, subject: str, of: str, last: StopReason | None) -> Iterator[str]:
    """One value, with its name."""
    found = value(session, subject, of, last)
    yield f"{subject}{f' {of}' if of else ''} = {found or '(nothing: unknown, or not there)'}"


def holds(session: Session, check: CommandCheck, last: StopReason | None) -> tuple[bool, str]:
    """Whether a check holds, and what it is now. Raises BadInput."""
    if check.subject == "at":
        return is_at(session, check.value), str(session.here)
    now = value(session, check.subject, check.of, last)
    if check.operator == "~":
        return check.value in now, _quoted(now)
    first, second = number_of(now), number_of(check.value)
    if first is not None and second is not None and check.subject != "mem":
        same = first == second
    elif check.subject == "mem":
        same = now == "".join(check.value.lower().removeprefix("0x").split())
    else:
        same = now == check.value
    return same == (check.operator == "="), _quoted(now)


def _quoted(text: str) -> str:
    return text or '"" (nothing: unknown, or not there)'
