"""What is in a trace, for people: its header, and the tree of its programs."""

from collections.abc import Iterator, Mapping

from bootstrap.core.abi import O_ACCMODE, O_RDONLY, O_TRUNC, O_WRONLY
from bootstrap.documents import typed_json
from bootstrap.linux.strace_values import SIGNALS
from bootstrap.trace.reader import OpenRow, ProgramRow, Trace
from bootstrap.trace.text import shown

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SHORT = 12
"""Digits of a SHA-256 that are shown where many are."""


def info(trace: Trace) -> Iterator[str]:
    """The header and the totals, a line each."""
    meta = trace.meta
    hashes = trace.hashes()
    rows = [
        ("trace digest", trace.digest),
        ("schema", meta.get("schema", "")),
        ("recorded by", f"{meta.get('tool')}, {meta.get('engine')}, {meta.get('hot_path')} path"),
        ("source", meta.get("source", "")),
        ("source digest", meta.get("source_digest", "")),
        ("architecture", meta.get("arch", "")),
        ("entry", meta.get("entry", "")),
        ("result", meta.get("result", "")),
        ("failure", meta.get("failure", "")),
        ("programs", f"{len(trace.programs):,}"),
        ("system calls", f"{trace.events:,}"),
        ("file versions", f"{len(hashes):,} ({sum(size for _, size in hashes.values()):,} bytes)"),
    ]
    for name, value in rows:
        if value:
            yield f"{name + ':':15} {value}"
    for run in trace.runs:
        words = " ".join(raw.decode("utf-8", "backslashreplace") for raw in run.argv)
        yield f"{'run:':15} {words}"
    if "report" in meta:
        with trace.reading():
            report = typed_json(Mapping[str, object], meta["report"])  # type: ignore[type-abstract]
            yield f"{'claim:':15} {report['claim']}"


def was_read(row: OpenRow) -> bool:
    """Whether the opener could read a content that was there when it opened the file."""
    return row.flags & O_ACCMODE != O_WRONLY and not row.flags & O_TRUNC


def writes(trace: Trace) -> frozenset[int]:
    """The opens, by id, that left a file with another content than it had before.

    Where several had the same file open, that is the one that was closed first with the content.
    """
    empty = {version for version, (sha256, _) in trace.hashes().items() if sha256 == EMPTY}
    steps: list[tuple[int, int, OpenRow]] = []
    for row in trace.opens():
        steps.append((row.event, 1, row))
        if row.last_event is not None:
            steps.append((row.last_event, 2, row))
    # At one event, what was closed before the call is over comes after what was opened by it.
    latest: dict[int, int | None] = {}
    found: set[int] = set()
    for _, step, row in sorted(steps, key=lambda one: (one[0], one[1], one[2].id)):
        if step == 1:
            latest[row.file] = row.version
            continue
        may_write = row.flags & O_ACCMODE != O_RDONLY or row.flags & O_TRUNC
        emptied = row.flags & O_TRUNC and row.last_version in empty
        if may_write and (latest.get(row.file) != row.last_version or emptied):
            found.add(row.id)
        latest[row.file] = row.last_version
    return frozenset(found)


def command(program: ProgramRow) -> str:
    """The path of its image, then its arguments."""
    words = [raw.decode("utf-8", "backslashreplace") for raw in program.argv]
    return " ".join(words) if words and words[0] else " ".join([shown(program.path), *words[1:]])


def ended(program: ProgramRow) -> str:
    """How it came to its end."""
    if program.replaced:
        return "executed another"
    if program.status is None:
        return "did not end"
    if program.status & 0x7F:
        number = program.status & 0x7F
        return f"killed by {SIGNALS.get(number, f'signal {number}')}"
    return f"exit {program.status >> 8}"


def tree(trace: Trace, instructions: Mapping[int, int] | None = None) -> Iterator[str]:
    """Every program below the one that started it, with the files that it opened.

    `instructions`: how many each executed, by its row, where somebody counted.
    """
    hashes, written = trace.hashes(), writes(trace)
    opens: dict[int, list[OpenRow]] = {}
    for row in trace.opens():
        opens.setdefault(row.process, []).append(row)
    children: dict[int | None, list[ProgramRow]] = {}
    for program in trace.programs:
        children.setdefault(program.parent, []).append(program)
    todo = [(program, 0) for program in reversed(children.get(None, []))]
    while todo:
        program, depth = todo.pop()
        count = None if instructions is None else instructions[program.id]
        mine = opens.get(program.id, [])
        yield from _program(program, "  " * depth, mine, hashes, written, count)
        todo += [(child, depth + 1) for child in reversed(children.get(program.id, []))]


def _program(
    program: ProgramRow,
    indent: str,
    opens: list[OpenRow],
    hashes: dict[int, tuple[str, int]],
    written: frozenset[int],
    count: int | None,
) -> Iterator[str]:
    forked = " (forked)" if program.ordinal == 0 else ""
    calls = f"{program.calls:,} call{'' if program.calls == 1 else 's'}"
    if count is not None:
        calls = f"{count:,} instruction{'' if count == 1 else 's'}, {calls}"
    yield f"{indent}{program.pid} {command(program)}{forked}  [{calls}, {ended(program)}]"
    told: set[str] = set()
    for row in opens:
        for mark, version, does in (
            ("<", row.version, was_read(row)),
            (">", row.last_version, row.id in written),
        ):
            if not does or version is None:
                continue
            sha256, size = hashes.get(version, ("?", 0))
            line = f"{indent}    {mark} {shown(row.path)}  {size:,} bytes  {sha256[:SHORT]}"
            if sha256 != EMPTY or mark == ">":
                if line not in told:
                    yield line
                told.add(line)
