"""What two traces differ in, as JSON-able values. `a` and `b` are the two sides everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from bootstrap.diff.aligning import Pair
from bootstrap.diff.calls import Call
from bootstrap.diff.comparing import Changed
from bootstrap.diff.files import Left, Version
from bootstrap.diff.machine import Found, Instruction
from bootstrap.diff.model import Both
from bootstrap.diff.tell import spot_value
from bootstrap.diff.traces import TraceDiff
from bootstrap.timeline.origins import OriginStep
from bootstrap.trace.reader import ProgramRow, Trace
from bootstrap.trace.text import shown

Json = dict[str, Any]
T = TypeVar("T")


def sides(both: Both[T], made: Callable[[T], Any]) -> Json:
    """Both, by name."""
    return {
        "a": None if both.a is None else made(both.a),
        "b": None if both.b is None else made(both.b),
    }


def trace_value(found: TraceDiff) -> Json:
    """All of it."""
    first, flow = found.first, found.flow
    return {
        "traces": sides(found.traces, _trace),
        "header": [{"name": name, **sides(both, str)} for name, both in found.header],
        "first": None if first is None else {
            "event": first.event,
            "what": first.what,
            "process": sides(first.programs, _program),
            "file": None if first.file is None else changed_value(first.file),
        },
        "call": None if found.call is None else {
            "process": sides(found.call.programs, _program),
            **sides(found.call.calls, _call),
            "instruction": _found(found.before_call, found.call.programs),
        },
        "instruction": _found(found.instruction, found.instruction_in),
        "no_instruction": [
            {"process": sides(pair, _program), "why": why} for pair, why in found.looked
        ] + ([{"process": None, "why": found.no_instruction}] if found.no_instruction else []),
        "given": [changed_value(one) for one in found.given],
        "followed": [_left(left, offset) for left, offset in found.left],
        "printed": [{"stream": stream, **spot_value(spot)} for stream, spot in found.printed],
        "ends": [
            {"process": sides(pair, _program), **sides(how, str)} for pair, how in found.ends
        ],
        "only": {
            side: [_program(p) for pair in flow.lonely if (p := getattr(pair, side)) is not None]
            for side in ("a", "b")
        },
        "totals": {
            "programs_of_both": flow.alike + len(flow.differing),
            "programs_that_differ": len(flow.differing),
            "contents_that_differ": len(found.left),
            "contents_that_are_the_same": flow.same,
            "paths_at_the_end": found.at_end[1],
            "paths_at_the_end_that_differ": found.at_end[0],
        },
    }  # fmt: skip


def _trace(trace: Trace) -> Json:
    return {
        "digest": trace.digest,
        "programs": len(trace.programs),
        "system_calls": trace.events,
    }


def _program(program: ProgramRow) -> Json:
    return {
        "run": program.run,
        "pid": program.pid,
        "exec": program.ordinal,
        "path": shown(program.path),
        "argv": [raw.decode("utf-8", "backslashreplace") for raw in program.argv],
        "environment": [raw.decode("utf-8", "backslashreplace") for raw in program.environment],
        "cwd": shown(program.cwd),
    }


def _version(version: Version) -> Json:
    return {"sha256": version.sha256, "size": version.size}


def _link(link: OriginStep) -> Json:
    defined = None
    if link.defined is not None:
        file, line, text = link.defined
        defined = {"file": file, "line": line, "text": text}
    return {
        "path": link.path, "offset": link.offset, "line": link.line or None,
        "column": link.column or None, "text": link.text or None, "function": defined,
    }  # fmt: skip


def changed_value(one: Changed) -> Json:
    """A file that differs."""
    return {
        "path": one.path,
        **sides(one.versions, _version),
        "first_difference": None if one.spot is None else spot_value(one.spot),
        "from": sides(one.source, _link),
    }


def _call(call: Call) -> Json:
    return {
        "call": call.ordinal, "event": call.event, "text": call.text, "missing": call.missing
    }  # fmt: skip


def _instruction(one: Instruction) -> Json:
    return {
        "coordinate": one.coordinate, "pid": one.pid, "program": one.program, "pc": one.pc,
        "bytes": one.code.hex(), "instruction": one.text, "label": one.label or None,
        "source": one.place or None, "line": one.line or None,
        "no_source_line": one.unknown or None,
        "from": None if one.origin is None else _link(one.origin),
    }  # fmt: skip


def _found(one: Found | None, pair: Pair | None) -> Json | None:
    if one is None or pair is None:
        return None
    read = None
    if one.read is not None:
        address, cells = one.read
        read = {"address": address, **sides(cells, bytes.hex)}
    return {
        "process": sides(pair, _program),
        **sides(one.instructions, _instruction),
        "registers": {register.name: sides(register.values, int) for register in one.registers},
        "reads": read,
        "before_the_first": one.starts,
        "ends": one.ends or None,
    }


def _left(left: Left, offset: int | None) -> Json:
    return {
        "path": left.path,
        **sides(left.versions, _version),
        "offset": offset,
        "process": sides(left.writers, _program),
        "because": list(left.because),
        "only": left.only or None,
    }
