"""What belongs together: a byte of a source, the byte that it became, the instruction, the moment.

`data` says where a byte came from or went to, `control` which instruction did it and when, and
`unknown` what nobody knows. Only what a language model makes byte for byte, or the record has, is
said.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from bootstrap.core.errors import BadInput
from bootstrap.debug.places import neighbour, on_line
from bootstrap.debug.session import Session
from bootstrap.timeline.source_maps import SourceMap, line_at, line_starts
from bootstrap.trace.calls import NotFollowed, transfers
from bootstrap.trace.columns import shown
from bootstrap.trace.coordinates import just_after
from bootstrap.trace.store import OpenRow, ProgramRow
from bootstrap.trace.views import is_at, was_read

DATA, CONTROL, UNKNOWN = "data", "control", "unknown"
MOST_LINES = 3
"""Outputs of one line that are shown."""


@dataclass(frozen=True)
class Links:
    """What belongs to a thing. Whatever is not known is None or empty."""

    lines: tuple[tuple[str, str], ...] = ()
    """(DATA, CONTROL or UNKNOWN, text)."""
    sources: tuple[tuple[str, int, int], ...] = ()
    """File, line, column: in the text that it was made of at last, and so on to the first."""
    guest_addr: int | None = None
    """Where it is an instruction, of the program that runs here."""
    size: int = 1
    """Bytes there."""
    file: tuple[str, int] | None = None
    """A byte of a file that was written: path, offset."""
    moment: str = ""
    """A coordinate to go to."""

    def line_in(self, file: str) -> int | None:
        """Its line in one of the sources."""
        return next((line for name, line, _ in self.sources if name == file), None)


def _unknown(text: str, guest_addr: int | None = None) -> Links:
    return Links(((UNKNOWN, text),), (), guest_addr)


def of_source(session: Session, file: str, line: int) -> Links:
    """What a line of the source became. Raises BadInput."""
    lines: list[tuple[str, str]] = []
    written: tuple[str, int] | None = None
    moment = ""
    found, stopped = session.where(file, line)
    for one in found[:MOST_LINES]:
        begin, _ = one.spans[0]
        count = "1 byte" if one.size == 1 else f"{one.size:,} bytes"
        text = f"{file}:{line} became {count} of {one.path} from {begin:#x}"
        lines.append((DATA, f"{text} ({one.model}, {one.program.label})"))
        call = _written(session, one.path, begin)
        if call is not None and written is None:
            written = one.path, begin
            moment = call[1]
            lines.append((CONTROL, call[0]))
    if len(found) > MOST_LINES:
        lines.append(
            (DATA, f"and bytes of {len(found) - MOST_LINES} more files: `where` lists them")
        )
    for stop in stopped[:1]:
        what = f"what {stop.program.label} made of {stop.path.lstrip('/')}"
        lines.append((UNKNOWN, f"{what}: {stop.why}"))
    if not found and not stopped:
        lines.append((DATA, f"{file}:{line} became no byte of any file"))
    image = session.image
    offsets = on_line(session.trace, image, file, line, session.program.image)
    guest_addr, size = None, 1
    if offsets:
        guest_addr = _stands(session, offsets[0], lines)
        places = map(session.written, range(offsets[0], min(offsets[0] + 16, len(image.content))))
        size = max(1, sum(1 for found in places if found is not None and found[0].line == line))
    return Links(tuple(lines), ((file, line, 0),), guest_addr, size, written, moment)


def of_address(session: Session, guest_addr: int) -> Links:
    """Where an instruction of the program here comes from."""
    image = session.image
    offset = image.offset(guest_addr)
    if offset is None:
        text = f"{guest_addr:#x} is not in the image of {session.program.label}: made in memory"
        return _unknown(text, guest_addr)
    if image.same is None or image.made is None:
        text = f"byte {offset:#x} of {image.name.lstrip('/')}: {image.unknown}"
        return _unknown(text, guest_addr)
    path = shown(image.same.path).lstrip("/")
    running = image.name.lstrip("/")
    # A seed was there before the run: what is said is of a file with the same bytes.
    called = path if path == running else f"{path} (the same bytes as {running})"
    return replace(_of_written(session, image.same, path, offset, called), guest_addr=guest_addr)


def of_output(session: Session, path: str, offset: int) -> Links:
    """Where a byte of a file comes from, that a program of the run wrote. Raises BadInput."""
    name = path.lstrip("/")
    found = session.images.why.writing(name, offset)
    if found is None:
        return _unknown(f"{name} + {offset:#x}: no program wrote it")
    return _of_written(session, found[0], name, offset)


def of_input(session: Session, path: str, offset: int) -> Links:
    """What became of a byte of a file that the program here reads. Raises BadInput."""
    name = path.lstrip("/")
    reading = _reading(session, name)
    if reading is None or reading.version is None:
        return _unknown(f"{name}: this process did not open it for reading")
    content = session.trace.content(reading.version)
    if offset >= len(content):
        return _unknown(f"{name} ends before {offset:#x}")
    line, column, _ = line_at(content, offset)
    lines: list[tuple[str, str]] = []
    read = _read_at(session, reading, offset)
    if read is None:
        lines.append((UNKNOWN, f"{name} + {offset:#x}: nobody knows when it was read"))
    else:
        lines.append((CONTROL, f"{name} + {offset:#x} (line {line}) is read at {read}"))
    written: tuple[str, int] | None = None
    for writer in session.images.why.written_by(reading):
        target = shown(writer.path).lstrip("/")
        made = session.images.why.made(writer)
        if not isinstance(made, SourceMap):
            lines.append((UNKNOWN, f"what became of it in {target}: {made}"))
            continue
        byte = _became(made, name, content, line, column)
        if byte is None:
            lines.append((DATA, f"it became no byte of {target}"))
        else:
            written = target, byte
            call = _written(session, target, byte)
            when = "" if call is None else f", {call[0]}"
            lines.append((DATA, f"it became byte {byte:#x} of {target}{when}"))
    return Links(tuple(lines), ((name, line, column),), None, 1, written, read or "")


def _became(made: SourceMap, name: str, content: bytes, line: int, column: int) -> int | None:
    """The first byte of the output that the byte there went into."""
    start = line_starts(content)[line - 1] + column - 1
    for offset in range(len(made.output)):
        place = made.place(offset)
        if place is None or place.file.lstrip("/") != name or place.line != line:
            continue
        begin = line_starts(content)[place.line - 1] + place.column - 1
        # Of two digits the second is after the first, with nothing but the like between them.
        digits = b"0123456789abcdefABCDEF"
        if begin <= start < begin + 2 and not content[begin:start].strip(digits):
            return offset
    return None


def _of_written(
    session: Session, writer: OpenRow, name: str, offset: int, name_as: str = ""
) -> Links:
    chain = session.images.why.chain(writer, offset)
    link = chain[0]
    lines: list[tuple[str, str]] = []
    sources = tuple(
        (one.place.file.lstrip("/"), one.place.line, one.place.column)
        for one in chain if one.place is not None
    )  # fmt: skip
    if link.place is not None:
        file = link.place.file.lstrip("/")
        text = chain[1].text.strip()[:60] if len(chain) > 1 else ""
        lines.append(
            (DATA, f"{name_as or name} + {offset:#x} (byte {link.byte:02x}) comes from {file}:"
                   f"{link.place.line}:{link.place.column}  {text}")
        )  # fmt: skip
        last = chain[-1]
        if len(chain) > 2 and last.text:
            lines.append((DATA, f"and that from {last.path}:{last.line}  {last.text.strip()[:60]}"))
        if last.defined is not None:
            where, number, text = last.defined
            lines.append((DATA, f"in a function that by its name is {where}:{number}  {text[:60]}"))
    if link.ends and link.place is None:
        lines.append((UNKNOWN, f"what {name} + {offset:#x} comes from: {link.ends}"))
    call = _written(session, name, offset, writer)
    if call is None:
        lines.append((UNKNOWN, f"{name} + {offset:#x}: nobody knows when it was written"))
    else:
        lines.append((CONTROL, call[0]))
    guest_addr = None
    if session.image.same is not None and session.image.same.last_version == writer.last_version:
        guest_addr = _stands(session, offset, lines)
    moment = "" if call is None else call[1]
    return Links(tuple(lines), sources, guest_addr, 1, (name, offset), moment)


def _written(
    session: Session, path: str, offset: int, writer: OpenRow | None = None
) -> tuple[str, str] | None:
    """Which call wrote a byte: for people, and as a coordinate."""
    why = session.images.why
    if writer is None:
        found = why.writing(path.lstrip("/"), offset)
        if found is None:
            return None
        writer, call = found
    else:
        call = why.write_call(writer, offset)
    if call is None:
        return None
    program = session.trace.program(writer.process)
    place = str(just_after(session.trace, program, call.ordinal))
    return f"written by {program.label} in its system call {call.ordinal:,} ({place})", place


def _stands(session: Session, offset: int, lines: list[tuple[str, str]]) -> int | None:
    """Add what a byte of the program's image is in its memory; its address if it is run."""
    guest_addr = session.image.address(offset)
    if guest_addr is None:
        return None
    text = f"it stands at {guest_addr:#x} here"
    if offset < session.image.headers_end:
        lines.append((CONTROL, f"{text}, in the ELF header: it is not run"))
        return None
    code = session.disassemble(guest_addr, 1)
    lines.append((CONTROL, f"{text}, as an instruction {code[0].text}" if code else text))
    return guest_addr


def _reading(session: Session, name: str) -> OpenRow | None:
    """Where the process here opened that file for reading, the last time up to now."""
    program: ProgramRow | None = session.program
    while program is not None:
        mine = [
            row for row in session.images.why.opens
            if row.process == program.id and was_read(row) and is_at(row, name)
            and row.event <= max(session.at.event, program.first_event)
        ]  # fmt: skip
        if mine:
            return mine[-1]
        program = neighbour(session.trace, program, -1)
    return None


def _read_at(session: Session, row: OpenRow, offset: int) -> str | None:
    """Just after the first read(2) that brought a byte of a file, as a coordinate."""
    with suppress(NotFollowed):
        for one in transfers(session.trace, row, "read"):
            if one.offset <= offset < one.offset + one.size:
                program = session.trace.program(row.process)
                return str(just_after(session.trace, program, one.ordinal))
    return None


def of(session: Session, what: str, name: str, number: int) -> Links:
    """By kind: source (file, line), code ("", address), input and output (path, offset)."""
    try:
        if what == "source":
            return of_source(session, name, number)
        if what == "code":
            return of_address(session, number)
        if what == "input":
            return of_input(session, name, number)
        return of_output(session, name, number)
    except BadInput as error:
        return _unknown(str(error))
