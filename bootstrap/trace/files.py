"""The file versions of a trace: who wrote each, who executed or read it; as text and as graphs."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bootstrap.graph import Arrow, Form, Node, write_graph
from bootstrap.trace.reader import ProgramRow, Trace
from bootstrap.trace.text import shown
from bootstrap.trace.views import EMPTY, SHORT, command, was_read, writes


@dataclass
class VersionUses:
    """One content under one path."""

    number: int
    path: str
    sha256: str
    size: int
    writers: list[int] = field(default_factory=list)
    """Programs, by row; none: it was there before."""
    executed: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)


def versions(trace: Trace) -> list[VersionUses]:
    """All of them, in order of first use. Empty contents only where a program left one."""
    hashes, written = trace.hashes(), writes(trace)
    found: dict[tuple[str, int], VersionUses] = {}
    uses: list[tuple[int, int, str, int, int]] = []
    for program in trace.programs:
        if program.ordinal:
            path = shown(program.path)
            uses.append((program.first_event, 0, path, program.image, program.id))
    for row in trace.opens():
        path = shown(row.path)
        if row.version is not None and was_read(row) and hashes[row.version][0] != EMPTY:
            uses.append((row.event, 1, path, row.version, row.process))
        if row.last_version is not None and row.id in written:
            uses.append((row.last_event or row.event, 2, path, row.last_version, row.process))
    for _, kind, path, version, program_row in sorted(uses):
        key = (path, version)
        if key not in found:
            found[key] = VersionUses(len(found) + 1, path, *hashes[version])
        one = found[key]
        users = (one.executed, one.readers, one.writers)[kind]
        if program_row not in users:
            users.append(program_row)
    return list(found.values())


def as_text(trace: Trace) -> Iterator[str]:
    """A line for each version, and one for each kind of use."""
    for one in versions(trace):
        yield f"{one.sha256[:SHORT]}  {one.size:>10,}  {one.path}"
        before = "" if one.writers else "  there before"
        for word, users in (
            ("written by", one.writers),
            ("executed as", one.executed),
            ("read by", one.readers),
        ):
            if users:
                names = ", ".join(_who(trace.program(row)) for row in users)
                yield f"{'':14}{word} {names}"
        if before:
            yield f"{'':12}{before}"


def _who(program: ProgramRow) -> str:
    return f"{program.label} ({shown(program.path).rpartition('/')[2]})"


def as_graph(trace: Trace, form: Form) -> str:
    """Boxes are programs, ellipses file versions; dashed: executed."""
    found = versions(trace)
    arrows: list[Arrow] = []
    for one in found:
        file = f"f{one.number}"
        arrows += [Arrow(f"p{row}", file) for row in one.writers]
        arrows += [Arrow(file, f"p{row}", dashed=True) for row in one.executed]
        arrows += [Arrow(file, f"p{row}") for row in one.readers]
    used = {name for arrow in arrows for name in (arrow.from_, arrow.to)}
    files = [Node(f"f{one.number}", (one.path, one.sha256[:SHORT]), ellipse=True) for one in found]
    programs = [Node(f"p{p.id}", (p.label, command(p))) for p in trace.programs]
    return write_graph("trace", [*files, *(p for p in programs if p.id in used), *arrows], form)
