"""Values of a session by name: addresses, registers, and what `print` and `expect` know."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from bootstrap.core.errors import BadInput
from bootstrap.debug.session import Session
from bootstrap.debug.stops import Stop
from bootstrap.debug.words import Address, Check, Word, address_of, number_of, span_of
from bootstrap.trace import coordinates
from bootstrap.trace.recorder import WORD
from bootstrap.trace.views import command, ended


def address(session: Session, wanted: Address) -> int:
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
    return address(session, address_of(Word(text, 1)))


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
    coordinates.go(session.at, place)
    there = session.row, session.executed
    session.at.seek(*before)
    return there == before


# Single values: print and expect.


def _bytes(session: Session, of: str) -> str:
    span = span_of(of or "pc", 1)
    start = address(session, span.address)
    data = session.read(start, span.size)
    if len(data) < span.size:
        raise BadInput(f"{of}: {span.size} bytes cannot be read at {start:#x} here")
    return data.hex()


def _digest(session: Session, of: str) -> str:
    if not of:
        raise BadInput("sha256: of which file? sha256 hex0")
    return hashlib.sha256(session.file(of)).hexdigest()


def _size(session: Session, of: str) -> str:
    if not of:
        raise BadInput("size: of which file? size hex0")
    return str(len(session.file(of)))


def _instruction(session: Session, of: str) -> str:
    start = address_in(session, of) if of else session.pc
    lines = session.disassemble(start, 1)
    return lines[0].text if lines else ""


def _source_place(session: Session, of: str, generated: bool = False) -> str:
    view = session.source(address_in(session, of) if of else None, 0, generated)
    return "" if view is None else f"{view.file}:{view.line}"


def _line_text(session: Session, of: str) -> str:
    view = session.source(address_in(session, of) if of else None, 0)
    return "" if view is None else view.text


def _written(session: Session, _of: str) -> str:
    made = session.produced()
    return "" if made is None else f"{made.path.lstrip('/')}+{made.offset:#x}"


SUBJECTS: dict[str, Callable[[Session, str], str]] = {
    "pc": lambda s, _: f"{s.pc:#x}",
    "label": lambda s, of: s.label(address_in(s, of) if of else s.pc),
    "source": _source_place,
    "generated": lambda s, of: _source_place(s, of, generated=True),
    "line": _line_text,
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
    "sha256": _digest,
    "size": _size,
    "failure": lambda s, _: s.failure,
    "trace": lambda s, _: s.trace.digest,
}
"""What `print` and `expect` know by name, besides registers and `stop`."""


def value(session: Session, subject: str, of: str, last: Stop | None) -> str:
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


def told(session: Session, subject: str, of: str, last: Stop | None) -> Iterator[str]:
    """One value, for people."""
    found = value(session, subject, of, last)
    yield f"{subject}{f' {of}' if of else ''} = {found or '(nothing: unknown, or not there)'}"


def holds(session: Session, check: Check, last: Stop | None) -> tuple[bool, str]:
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
