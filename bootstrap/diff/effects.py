"""What the processes of two runs did that has an effect, on whatever kernels they ran.

A recorded run's side is made of its trace, another's is a document (machine_effects.py).
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path

from bootstrap.core.abi import O_ACCMODE, O_APPEND, O_RDONLY
from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.diff.comparison import MOST, Both, Comparison, recognise
from bootstrap.diff.machine_effects import (
    PATH_CALLS,
    SCHEMA,
    STREAMS,
    Effects,
    OpenedPath,
    PathCall,
    ProgramEffects,
    WrittenBytes,
    absolute,
)
from bootstrap.documents import from_json
from bootstrap.linux.call_tables import find
from bootstrap.report.page import Page
from bootstrap.trace.calls import signed
from bootstrap.trace.columns import shown
from bootstrap.trace.store import Chunk, OpenRow, ProgramRow, RecordedChange, Trace
from bootstrap.words import count

MAX_EFFECTS = 256 << 20
"""Bytes of such a document."""
_KIND = {"unlink": "unname", "chmod": "mode", "mkdir": "name"}
"""What a trace calls the change that a call makes."""
_ALONE = ("brk", "exit")
"""Calls whose number is the kernel's affair (brk), or is seen in the status."""
_ANSWERED = ("unlink", "chmod", "uname")
"""Calls that builder-hex0's kernel answers with 0, and does nothing."""


# -- a trace's side --------------------------------------------------------------------------------


@dataclass
class _TracedFile:
    """An open file of the trace, shared by those who inherit it."""

    row: OpenRow
    offset: int = 0
    end: int = 0
    again: bool = False
    """Whether something was written over: what stood there before is not known."""


@dataclass
class _TracedProgram:
    effects: ProgramEffects
    files: dict[int, _TracedFile]
    calls: Counter[str] = field(default_factory=Counter)
    pieces: dict[str, list[tuple[_TracedFile | None, int, int]]] = field(default_factory=dict)
    """By path: the file, where in it, how many bytes."""

    def wrote(self, path: str, file: _TracedFile | None, offset: int, size: int) -> None:
        """A write; one that follows the last one is the same piece."""
        pieces = self.pieces.setdefault(path, [])
        if pieces and pieces[-1][0] is file and pieces[-1][1] + pieces[-1][2] == offset:
            offset, size = pieces[-1][1], pieces[-1][2] + size
            pieces.pop()
        pieces.append((file, offset, size))


def of_trace(trace: Trace) -> Effects:
    """What the programs of a recorded run did. Raises BadInput."""
    with trace.reading():
        changed = {row.event: row for row in trace.rows("changes", RecordedChange)}
    opened = {row.event: row for row in trace.opens()}
    begun: dict[int, _TracedProgram] = {}
    for chunk in trace.chunks():
        # Whoever forked or executed it stands still at that call.
        now = begun.get(chunk.process) or _begin(trace.program(chunk.process), begun)
        _follow(trace, chunk, now, opened, changed)
    all_ = [begun.get(program.id) or _begin(program, begun) for program in trace.programs]
    content = lru_cache(8)(trace.content)
    for one in all_:
        one.effects.calls = dict(sorted(one.calls.items()))
        one.effects.written = {path: _sum(content, of) for path, of in one.pieces.items()}
    tool = {"name": "bootstrap", "version": trace.meta.get("tool", "").partition(" ")[2]}
    return Effects(SCHEMA, tool, "ours", tuple(one.effects for one in all_))


def _begin(program: ProgramRow, begun: dict[int, _TracedProgram]) -> _TracedProgram:
    status, signal = program.status, (program.status or 0) & 0x7F
    if status is not None:
        status = 128 + signal if signal else status >> 8
    argv = tuple(raw.decode("utf-8", "backslashreplace") for raw in program.argv)
    path, cwd = (absolute(shown(path), "/") for path in (program.path, program.cwd))
    # Of what was forked it has where its parent began.
    where = cwd if program.ordinal else None
    effects = ProgramEffects(program.pid, program.ordinal, path, argv, where, status=status)
    inherited = dict(begun[program.parent].files) if program.parent else {}
    begun[program.id] = _TracedProgram(effects, inherited)
    return begun[program.id]


def _follow(
    trace: Trace, chunk: Chunk, now: _TracedProgram, opened: Mapping[int, OpenRow],
    changed: Mapping[int, RecordedChange],
) -> None:  # fmt: skip
    abi, calls = trace.program(chunk.process).abi, trace.calls(chunk)
    columns = [calls.values(column) for column in range(5)]
    names = {number: _name(abi, number) for number in set(columns[0])}
    for event, (number, a0, a1, _, raw) in enumerate(zip(*columns, strict=True), chunk.first_event):
        name, result, file = names[number], signed(raw, chunk.word), now.files.get(a0)
        now.calls[name] += 1
        if name == "write" and result > 0:
            path = shown(file.row.path) if file else STREAMS.get(a0, f"descriptor {a0}")
            now.wrote(path, file, file.offset if file else 0, result)
            if file is not None:
                file.again |= file.offset < file.end or bool(file.row.flags & O_APPEND)
                file.offset += result
                file.end = max(file.end, file.offset)
        elif name == "read" and result > 0 and file is not None:
            file.offset += result
        elif name == "lseek" and result >= 0 and file is not None:
            file.offset = result
        elif event in opened:
            row = opened[event]
            now.files[row.fd] = _TracedFile(row)
            writing = row.flags & O_ACCMODE != O_RDONLY
            now.effects.opened.append(OpenedPath(shown(row.path), writing, row.fd))
        elif name == "close":
            now.files.pop(a0, None)
        elif name in ("dup", "dup2") and result >= 0 and file is not None:
            now.files[result] = file
        elif name in PATH_CALLS:
            row_ = changed.get(event)
            fits = row_ is not None and row_.kind == _KIND.get(name) and row_.path is not None
            path_ = shown(row_.path) if fits and row_ and row_.path is not None else None
            mode = a1 & 0o7777 if name in ("chmod", "mkdir") else None
            now.effects.changes.append(PathCall(name, path_, mode, result == 0))


def _name(abi: str, number: int) -> str:
    call = find(abi, number)
    return f"call {number}" if call is None else call.row.name


def _sum(
    content: Callable[[int], bytes], pieces: list[tuple[_TracedFile | None, int, int]]
) -> WrittenBytes:
    """The bytes that were written are in what the file was when it was closed."""
    size, digest, known = sum(size for _, _, size in pieces), hashlib.sha256(), True
    for file, offset, length in pieces:
        version = None if file is None or file.again else file.row.last_version
        data = b"" if version is None else content(version)[offset : offset + length]
        known = known and len(data) == length
        digest.update(data)
    return WrittenBytes(size, digest.hexdigest() if known else None)


# -- both ------------------------------------------------------------------------------------------


def read(name: str) -> Effects:
    """Of a trace or of a document. Raises BadInput: that; nothing ran in it."""
    if recognise(name) == "trace":
        with Trace(name) as trace:
            effects = of_trace(trace)
    else:
        effects = from_json(Effects, read_file(Path(name), MAX_EFFECTS), name, limit=MAX_EFFECTS)
    if not effects.programs:
        raise BadInput(f"{name}: no program ran in it, so it is equal to nothing")
    return effects


def differences(a: ProgramEffects, b: ProgramEffects, started: bool = False) -> Iterator[str]:
    """What of one program is not the same, a line each. Its arguments do not count if the run was
    `started` with them: the first program, and what it forks."""
    facts = [
        ("program", a.program, b.program), ("exit status", a.status, b.status),
    ]  # fmt: skip
    if None not in (a.cwd, b.cwd):
        facts.append(("working directory", a.cwd, b.cwd))
    if not started:
        facts.append(("arguments", " ".join(a.argv), " ".join(b.argv)))
    for what, one, other in facts:
        if one != other:
            yield f"{what}: {one} in A, {other} in B"
    files = [[(one.path, one.writing) for one in side.opened] for side in (a, b)]
    for mine, theirs in itertools.zip_longest(*files):
        if mine != theirs:
            yield f"opened: {_open(mine)} in A, {_open(theirs)} in B"
            break
    for path in sorted({*a.written, *b.written}):
        wrote = Both(a.written.get(path), b.written.get(path))
        if not _same_bytes(wrote.a, wrote.b):
            said = wrote.map(
                lambda w: f"{w.size} bytes, {(w.sha256 or '?')[:12]}" if w else "nothing"
            )
            yield f"written to {path}: {said.a} in A, {said.b} in B"
    for made, other_ in itertools.zip_longest(a.changes, b.changes):
        if made is None or other_ is None or not _same_change(made, other_):
            yield f"called: {_change(made)} in A, {_change(other_)} in B"
            break
    for name in sorted({*a.calls, *b.calls} - {*_ALONE}):
        if a.calls.get(name, 0) != b.calls.get(name, 0):
            yield f"{name}: {a.calls.get(name, 0)} times in A, {b.calls.get(name, 0)} in B"


def _open(what: tuple[str, bool] | None) -> str:
    return "nothing" if what is None else f"{what[0]} to {'write' if what[1] else 'read'}"


def _change(what: PathCall | None) -> str:
    return "nothing" if what is None else f"{what.call} of {what.path or 'a path not known'}"


def _same_bytes(a: WrittenBytes | None, b: WrittenBytes | None) -> bool:
    if a is None or b is None or a.size != b.size:
        return False
    return a.sha256 == b.sha256 or None in (a.sha256, b.sha256)


def _same_change(a: PathCall, b: PathCall) -> bool:
    paths_fit = a.path == b.path or None in (a.path, b.path)
    done_fits = a.done == b.done or a.call in (*_ANSWERED, "mkdir")
    return (a.call, a.mode) == (b.call, b.mode) and paths_fit and done_fits


def by_design(pairs: list[tuple[ProgramEffects, ProgramEffects]]) -> list[str]:
    """What may differ, and does it: a line each."""

    def calls(*names: str) -> Both[int]:
        return Both(*(sum(p[i].calls.get(n, 0) for p in pairs for n in names) for i in (0, 1)))

    opened = [both for a, b in pairs for both in zip(a.opened, b.opened, strict=False)]
    other = sum(one.fd != two.fd for one, two in opened)
    brk, forks, waits = calls("brk"), calls("fork"), calls("waitpid", "wait4")
    lines = [
        f"descriptor numbers: {other} of {count(len(opened), 'file')} opened have another",
        f"brk: {brk.a} calls in A, {brk.b} in B; its addresses are the kernel's",
        f"fork, wait: what {forks.a} and {waits.a} calls return is the kernel's",
    ]
    answered = [f"{calls(name).a} {name}" for name in _ANSWERED if calls(name).a]
    if answered:
        said = ", ".join(answered)
        lines.append(f"{said}: builder-hex0's kernel returns 0, and does nothing")
    odd = sum(
        None in (wrote.sha256, b.written[path].sha256)
        for a, b in pairs
        for path, wrote in a.written.items()
        if path in b.written
    )
    if odd:
        what = count(odd, "output", "is", "are")
        lines.append(f"{what} compared by the number of bytes written: a trace has no more")
    without = sum(None in (a.cwd, b.cwd) for a, b in pairs)
    if without:
        lines.append(f"where {count(without, 'forked program')} began is not compared: a trace has "
                     "no working directory of theirs")  # fmt: skip
    if pairs and pairs[0][0].argv != pairs[0][1].argv:
        lines.append(f"the first program's arguments: {' '.join(pairs[0][0].argv)} in A, "
                     f"{' '.join(pairs[0][1].argv)} in B")  # fmt: skip
    return lines


def compare_effects(name_a: str, name_b: str) -> Comparison:
    """Compare two runs, process by process. Raises BadInput."""
    a, b = read(name_a), read(name_b)
    pairs = list(zip(a.programs, b.programs, strict=False))
    first = [(one.argv, two.argv) for one, two in pairs[:1]]
    found = [(one, list(differences(one, two, (one.argv, two.argv) in first)))
             for one, two in pairs]  # fmt: skip
    found = [(one, lines) for one, lines in found if lines]
    equal = not found and len(a.programs) == len(b.programs)
    kernels = f"served by {a.kernel} in A, {b.kernel} in B"
    if equal:
        programs = count(len(pairs), "program")
        claim = f"All calls of {programs} that have an effect are the same, {kernels}."
    else:
        numbers = f"{len(a.programs)} and {len(b.programs)}"
        claim = (
            f"{len(found)} of {numbers} programs differ in calls that have an effect, {kernels}."
        )
    design = by_design(pairs)
    details = {
        "kernels": [a.kernel, b.kernel],
        "programs": [len(a.programs), len(b.programs)],
        "differences": [
            {"pid": one.pid, "ordinal": one.ordinal, "program": one.program, "what": lines}
            for one, lines in found
        ],
        "by_design": design,
    }
    return Comparison("effects", equal, claim, partial(_page, found, design), details)


def _page(
    found: list[tuple[ProgramEffects, list[str]]], design: list[str], page: Page, every: bool
) -> None:
    for one, lines in found[: None if every else MOST]:
        page.heading(f"pid {one.pid}, program {one.ordinal}: {' '.join(one.argv)}")
        for line in lines:
            page.wrapped(line)
    if len(found) > MOST and not every:
        page.wrapped(f"and {count(len(found) - MOST, 'program')} more (--all)")
    page.heading("Different by design")
    for line in design:
        page.wrapped(line)
