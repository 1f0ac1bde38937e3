"""What two traces differ in, as text and as JSON."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any

from bootstrap import trace as traces
from bootstrap.diff.call_pairs import RenderedCall
from bootstrap.diff.comparison import Both, Comparison, Replaying, short, write_some
from bootstrap.diff.files import Left, Version, path_of, title
from bootstrap.diff.lockstep import DiffInstruction, InstructionDiff
from bootstrap.diff.traces import ChangedFile, TraceDiff, diff
from bootstrap.documents import encode
from bootstrap.instruments import default_engine
from bootstrap.report.page import Page, visible
from bootstrap.trace.columns import shown
from bootstrap.trace.store import ProgramRow, Trace
from bootstrap.trace.views import SHORT, command
from bootstrap.words import count, some

_STREAMS = {0: "standard input", 1: "standard output", 2: "standard error"}


def trace_text(found: TraceDiff, page: Page, every: bool) -> None:
    """All of it but the last word."""
    for side, trace in found.traces.sides:
        _head(page, side, trace)
    if found.equal:
        return
    for name, both in found.header:
        if name in ("source", "source_digest", "result", "arch"):
            continue
        page.wrapped(f"{name.replace('_', ' ')}: {both.a or 'none'} / {both.b or 'none'}", 3, 3)
    _first(page, found, every)
    _call(page, found)
    _instruction(page, found)
    _followed(page, found, every)


def _head(page: Page, side: str, trace: Trace) -> None:
    meta = trace.meta
    parts = [meta.get("source", ""), meta.get("arch", ""), meta.get("result", "")]
    if not any(parts):
        parts = [command(p) for p in trace.programs if p.parent is None][:1]
    page.wrapped(f"{side}  {visible(', '.join(p for p in parts if p))}", 0, 3)
    page.line(f"   trace digest {trace.digest}")
    calls = f"{trace.events:,} system call{'' if trace.events == 1 else 's'}"
    page.line(f"   {count(len(trace.programs), 'program')}, {calls}")


def _sides(page: Page, both: Both[str | None], indent: int = 2) -> None:
    """One line where both are the same, else one for each."""
    if both.same and both.a is not None:
        page.wrapped(f"A B  {visible(both.a)}", indent, 5)
        return
    for side, text in both.sides:
        page.wrapped(f"{side}    {visible(text if text is not None else '(none)')}", indent, 5)


def _first(page: Page, found: TraceDiff, every: bool) -> None:
    first = found.first
    if first is None:
        page.heading("The runs do the same, but something else came out")
        return
    page.heading(f"The runs part at event {first.event:,}: {visible(first.what)}")
    if first.programs != Both(None, None):
        _sides(page, first.programs.where_there(title))
    if (programs := first.programs.whole()) is not None:
        for name in ("argv", "environment"):
            words = Both(_words(programs.a, name), _words(programs.b, name))
            if not words.same:
                page.line(f"  {name}")
                _sides(page, words, 4)
    if first.file is not None:
        _changed(page, first.file)
    others = [one for one in found.given if _key(one) != _key(first.file)]
    if others:
        page.heading("Other files that differ and were there before the run, in order of first use")
        write_some(page, others, every, partial(_changed, page))
    if found.names:
        page.heading("Names that differ in folders of the source tree that both looked into")
        texts = [
            f"{path}: {both.a or 'not there'} / {both.b or 'not there'}"
            for path, both in found.names
        ]
        write_some(page, texts, every, lambda text: page.wrapped(visible(text), 2, 4))


def _key(one: ChangedFile | None) -> tuple[str | None, ...]:
    """What makes two of them the same."""
    versions = () if one is None else (one.a, one.b)
    return (one.path if one else None, *(None if v is None else v.sha256 for v in versions))


def _words(program: ProgramRow, name: str) -> str:
    cells = program.argv if name == "argv" else program.environment
    return " ".join(raw.decode("utf-8", "backslashreplace") for raw in cells)


def _changed(page: Page, one: ChangedFile) -> None:
    first = one.first_difference
    page.wrapped(f"file  {visible(one.path)}" + (f": {first}" if first is not None else ""), 2, 6)
    for side, version, at, origin in (
        ("A", one.a, None if first is None else first.a, one.from_.a),
        ("B", one.b, None if first is None else first.b, one.from_.b),
    ):
        if version is None:
            page.line(f"    {side}  (none)")
            continue
        page.line(f"    {side}  {version.size:,} bytes, sha256 {version.sha256}")
        if at is not None:
            page.wrapped(f"       {visible(str(at))}", 0, 9)
        if origin is not None:
            page.wrapped(f"       from {visible(str(origin))}", 0, 9)


def _call(page: Page, found: TraceDiff) -> None:
    if found.call is None:
        same = found.traces.a.events
        if found.flow.lonely:
            page.heading("No system call differs of the programs that both ran")
        else:
            page.heading(f"No system call differs: all {same:,} are the same, with their results")
        return
    calls = found.call.calls
    page.heading("The first system call that differs")
    _sides(page, found.call.programs.map(title))
    for (side, call), (_, program) in zip(calls.sides, found.call.programs.sides, strict=True):
        page.wrapped(f"{side}    {_call_text(program, call)}", 2, 7)


def _call_text(program: ProgramRow, call: RenderedCall) -> str:
    event = "" if call.missing else f", event {call.event:,}"
    return f"{program.pid}#{call.call}{event}: {visible(call.text)}"


def _instruction(page: Page, found: TraceDiff) -> None:
    one = found.instruction
    if one is None:
        page.heading(f"No instruction is shown: {found.no_instruction or 'none was found'}")
    else:
        heading = "The first instruction after which a register differs"
        if one.before_the_first:
            heading = "The registers differ before the first instruction"
        elif one.ends:
            heading = "The first instruction that does something else"
        page.heading(heading)
        assert found.instruction_in is not None
        _sides(page, found.instruction_in.map(title))
        _found(page, one)
    for pair, why in found.searched:
        page.wrapped(f"{pair.a.label} ({_name(pair.a)}): {visible(why)}", 2, 4)
    if found.before_call is not None and found.call is not None:
        page.heading("The first in the program of that system call")
        _sides(page, found.call.programs.map(title))
        _found(page, found.before_call)


def _name(program: ProgramRow) -> str:
    return visible(command(program).split(" ")[0].rpartition("/")[2])


def _found(page: Page, one: InstructionDiff) -> None:
    both = [("A B", one.a)] if one.a == one.b else [("A  ", one.a), ("B  ", one.b)]
    for side, step in both:
        _step(page, side, step)
    if one.reads is not None:
        values = [cell.hex(" ") if cell else "nothing" for cell in (one.reads.a, one.reads.b)]
        page.line(f"  it reads    {one.reads.address:#x}: {values[0]} / {values[1]}")
    when = "there" if one.before_the_first else "after it"
    for name, register in one.registers.items():
        a, b = (f"{v:#x}" if v is not None else "none" for _, v in register.sides)
        page.line(f"  {when}  {name:>8}: {a} / {b}")
    if one.ends:
        ends = "both end" if one.ends == "both" else f"{one.ends.upper()} ends"
        page.line(f"  {ends} in it")


def _step(page: Page, side: str, step: DiffInstruction) -> None:
    label = f"  <{step.label}>" if step.label else ""
    raw = step.bytes.hex(" ")
    page.line(
        f"  {side}  {step.coordinate}  {step.pc:x}  {raw}  {step.instruction}{visible(label)}"
    )
    if step.source:
        page.wrapped(f"       {visible(step.source)}  {visible(short(step.line or ''))}", 0, 9)
    else:
        page.wrapped(f"       no source line: {visible(step.no_source_line or '')}", 0, 9)
    if step.from_ is not None:
        page.wrapped(f"       from {visible(str(step.from_))}", 0, 9)


# What followed.


def _followed(page: Page, found: TraceDiff, every: bool) -> None:
    flow, given = found.flow, sum(bool(because) for _, because in found.flow.differing)
    both = flow.alike + len(flow.differing)
    page.heading("What followed")
    page.wrapped(
        f"Programs that both ran: {both:,}, of which {given:,} had an input that differs. Files "
        f"that programs left: {len(found.left):,} differ, {flow.same:,} are the same."
    )
    write_some(page, found.left, every, lambda row: _left(page, *row))
    if found.first_left is not None:
        page.line("  the first of them")
        _changed(page, found.first_left)
    other, paths = found.at_end
    page.wrapped(f"Paths that programs wrote: {other:,} of {paths:,} differ at the end.")
    for stream, first in found.printed:
        page.wrapped(f"{_STREAMS.get(stream, f'stream {stream}')}: {first}")
        _sides(page, Both(str(first.a), str(first.b)), 4)
    ends = [f"{title(pair.a)[:100]}: {how.a} / {how.b}" for pair, how in found.ends]
    write_some(page, ends, every, page.wrapped)
    for side in "ab":
        alone = [p for pair in flow.lonely if (p := getattr(pair, side)) is not None]
        if alone:
            page.line(f"  {count(len(alone), 'program')} in {side.upper()} only")
            texts = [visible(title(program)) for program in alone]
            write_some(page, texts, every, lambda text: page.wrapped(text, 4, 2), 4)


def _left(page: Page, left: Left, offset: int | None) -> None:
    sizes = left.versions.map(_size)
    size = sizes.a if sizes.same else f"{sizes.a} / {sizes.b}"
    writer = left.writers.either()
    hashes = " / ".join("none" if v is None else v.sha256[:SHORT] for _, v in left.versions.sides)
    where = "" if offset is None else f", from {offset:#x}"
    page.wrapped(f"{visible(path_of(left.versions))}  {size}{where}  {hashes}", 2, 4)
    if left.only:
        because = f"only {left.only.upper()} runs it"
    elif left.because:
        because = f"because of {some(visible(one) for one in left.because)}"
    else:
        because = "though no file, argument or input of it differs"
    page.wrapped(f"{writer.label} ({_name(writer)}), {because}", 6, 2)


def _size(version: Version | None) -> str:
    return "none" if version is None else f"{version.size:,} bytes"


def claim(found: TraceDiff) -> str:
    """One sentence."""
    if found.equal:
        a = found.traces.a
        return (
            f"the same happened in both: {len(a.programs):,} programs, {a.events:,} system calls, "
            f"trace digest {a.digest}"
        )
    first = found.first
    if first is None:
        return "the runs do the same, but something else came out"
    program = first.programs.a or first.programs.b
    who = "" if program is None else f", in {program.label}"
    left = count(len(found.left), "file")
    verb = "differs" if len(found.left) == 1 else "differ"
    return (
        f"the runs part at event {first.event:,}{who}: {first.what}; {left} left by programs {verb}"
    )


# For machines: docs/diff.md.


def trace_document(found: TraceDiff) -> dict[str, Any]:
    """All of it; `a` and `b` are the two sides everywhere."""
    first, call, flow = found.first, found.call, found.flow
    document: dict[str, Any] = encode({
        "traces": found.traces.map(_trace),
        "header": [{"name": name, **encode(both)} for name, both in found.header],
        "first": None if first is None else {
            "event": first.event,
            "what": first.what,
            "process": first.programs.where_there(_program),
            "file": first.file,
        },
        "call": None if call is None else {
            "process": call.programs.map(_program),
            **encode(call.calls),
            "instruction": _instruction_of(found.before_call, call.programs),
        },
        "instruction": _instruction_of(found.instruction, found.instruction_in),
        "no_instruction": [
            {"process": pair.map(_program), "why": why} for pair, why in found.searched
        ] + ([{"process": None, "why": found.no_instruction}] if found.no_instruction else []),
        "given": found.given,
        "names": [{"path": path, **encode(both)} for path, both in found.names],
        "followed": [
            {
                "path": left.path,
                **encode(left.versions),
                "offset": offset,
                "process": left.writers.where_there(_program),
                "because": left.because,
                "only": left.only or None,
            }
            for left, offset in found.left
        ],
        "printed": [{"stream": stream, **encode(first)} for stream, first in found.printed],
        "ends": [{"process": pair.map(_program), **encode(how)} for pair, how in found.ends],
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
    })  # fmt: skip
    return document


def _trace(trace: Trace) -> dict[str, Any]:
    return {
        "digest": trace.digest, "programs": len(trace.programs), "system_calls": trace.events
    }  # fmt: skip


def _program(program: ProgramRow) -> dict[str, Any]:
    return {
        "run": program.run,
        "pid": program.pid,
        "exec": program.ordinal,
        "path": shown(program.path),
        "argv": [raw.decode("utf-8", "backslashreplace") for raw in program.argv],
        "environment": [raw.decode("utf-8", "backslashreplace") for raw in program.environment],
        "cwd": shown(program.cwd),
    }


def _instruction_of(
    one: InstructionDiff | None, pair: Both[ProgramRow] | None
) -> dict[str, Any] | None:
    if one is None or pair is None:
        return None
    return {"process": pair.map(_program), **encode(one)}


@contextlib.contextmanager
def compare_traces(a: str, b: str, replay: bool, replaying: Replaying) -> Iterator[Comparison]:
    """Compare two files; without `replay` nothing is run again. Raises BadInput."""
    engine = default_engine() if replay else None
    with traces.open(a) as one, traces.open(b) as other:
        found = diff(one, other, engine, replaying)
        yield Comparison(
            "trace", found.equal, claim(found),
            lambda page, every: trace_text(found, page, every), trace_document(found),
        )  # fmt: skip
