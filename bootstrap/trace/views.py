"""What is in a trace: its header, the tree of its programs, and who wrote, read and executed which
version of which file.
"""

import posixpath
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from bootstrap.core.abi import O_ACCMODE, O_TRUNC, O_WRONLY
from bootstrap.documents import typed_json
from bootstrap.graph import Arrow, Form, Node, write_graph
from bootstrap.linux.strace_values import SIGNALS
from bootstrap.trace.columns import shown
from bootstrap.trace.store import OpenRow, ProgramRow, RecordedChange, Trace, TreeName

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
SHORT = 12
"""Digits of a SHA-256 that are shown where many are."""


def was_read(row: OpenRow) -> bool:
    """Whether the opener could read a content that was there when it opened the file."""
    return row.flags & O_ACCMODE != O_WRONLY and not row.flags & O_TRUNC


def is_at(row: OpenRow, path: str) -> bool:
    """Whether that is the path of the file, with or without the first slash."""
    return shown(row.path).lstrip("/") == path.lstrip("/")


@dataclass
class VersionUses:
    """One content under one path, and the programs (by row) that used it, each once."""

    number: int
    path: str
    sha256: str
    size: int
    writers: list[int] = field(default_factory=list)
    """None: it was there before, or `there_before` is false."""
    executed: list[int] = field(default_factory=list)
    readers: list[int] = field(default_factory=list)
    there_before: bool = False
    """No program wrote it; the source tree has it."""


class FileUses:
    """Who wrote, read and executed what in a recorded run."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.hashes = trace.hashes()
        self.opens = trace.opens()
        written = self._written()
        self.writers = [row for row in self.opens if row.id in written]
        """The opens that left a file with another content than it had before. Where several had the
        same file open, that is the one that was closed first with the content."""

    def _written(self) -> set[int]:
        empty = {version for version, (sha256, _) in self.hashes.items() if sha256 == EMPTY}
        steps: list[tuple[int, int, OpenRow]] = []
        for row in self.opens:
            if row.may_write:
                steps.append((row.event, 1, row))
                if row.last_event is not None:
                    steps.append((row.last_event, 2, row))
        # At one event, what was closed before the call is over comes after what was opened by it.
        before: dict[int, dict[int, int | None]] = defaultdict(dict)
        """By file: of what has it open, the content that it found, or that another left since."""
        found: set[int] = set()
        for _, step, row in sorted(steps, key=lambda one: (one[0], one[1], one[2].id)):
            of_file = before[row.file]
            if step == 1:
                of_file[row.id] = row.version
                continue
            emptied = row.flags & O_TRUNC and row.last_version in empty
            if of_file.pop(row.id, row.version) != row.last_version or emptied:
                found.add(row.id)
                before[row.file] = dict.fromkeys(of_file, row.last_version)
        return found

    @cached_property
    def in_tree(self) -> frozenset[int]:
        """The contents that files of the source tree had."""
        rows = self.trace.rows("tree", TreeName)
        return frozenset(row.version for row in rows if row.version is not None)

    @cached_property
    def _named(self) -> Mapping[str, list[tuple[int, int]]]:
        """By path, the files (event, inode number) that programs gave that name, in order."""
        found: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for change in self.trace.rows("changes", RecordedChange):
            if change.kind == "name" and change.path is not None and change.target is None:
                found[shown(change.path)].append((change.event, change.file))
        return found

    def file_at(self, path: str, event: int | None = None) -> int | None:
        """The last file that a program gave a name, before an event; None: no program did."""
        named = self._named.get(posixpath.normpath(f"/{path.lstrip('/')}"), [])
        files = [file for at, file in named if event is None or at <= event]
        return files[-1] if files else None

    # -- of one file or program --------------------------------------------------------------------

    def reads(self, process: int) -> Iterator[tuple[OpenRow, int]]:
        """What a program opened for reading, with the version that was there, in order."""
        for row in self.opens:
            if row.process == process and row.version is not None and was_read(row):
                yield row, row.version

    def writes(self, process: int) -> Iterator[tuple[OpenRow, int]]:
        """What a program left in files, with the version, in the order in which it opened them."""
        for row in self.writers:
            if row.process == process and row.last_version is not None:
                yield row, row.last_version

    def writers_of(self, version: int) -> list[OpenRow]:
        """Who wrote that content, in order."""
        return [row for row in self.writers if row.last_version == version]

    def writer_of(self, reading: OpenRow) -> OpenRow | None:
        """Who wrote the version that was read: the last one before that, under the same inode."""
        return self._writer(reading.version or 0, reading.file, reading.event)

    def _writer(self, version: int, file: int | None, event: int) -> OpenRow | None:
        rows = [
            row
            for row in self.writers_of(version)
            if row.file == file and (row.last_event or 0) <= event
        ]
        return max(rows, key=lambda row: row.last_event or 0, default=None)

    def written_by(self, reading: OpenRow) -> list[OpenRow]:
        """What the program that read this wrote, once it had begun to read."""
        return [
            row
            for row, _ in self.writes(reading.process)
            if (row.last_event or reading.event) >= reading.event
        ]

    def inputs(self, writer: OpenRow) -> dict[str, OpenRow]:
        """What the writing program read until it was done, by path, in order of first opening."""
        found: dict[str, OpenRow] = {}
        for row, _ in self.reads(writer.process):
            if row.id != writer.id and row.event <= (writer.last_event or row.event):
                found.setdefault(shown(row.path), row)
        return found

    def last_writer(self, path: str) -> OpenRow | None:
        """Who wrote the last version of a file, under whatever name; None: nobody did."""
        file = self.file_at(path)
        rows = [
            row for row in self.writers if (is_at(row, path) if file is None else row.file == file)
        ]
        return max(rows, key=lambda row: row.last_event or 0, default=None)

    # -- of the whole run --------------------------------------------------------------------------

    def shown_uses(self) -> dict[int, list[tuple[str, str, int]]]:
        """By program: `<` (read) or `>` (written), path and version, each once, in order.

        Empty contents only where a program left one.
        """
        found: dict[int, dict[tuple[str, str, int], None]] = {p.id: {} for p in self.trace.programs}
        written = {row.id for row in self.writers}
        for row in self.opens:
            mine, path = found[row.process], shown(row.path)
            if row.version is not None and was_read(row) and self.hashes[row.version][0] != EMPTY:
                mine["<", path, row.version] = None
            if row.last_version is not None and row.id in written:
                mine[">", path, row.last_version] = None
        return {process: list(uses) for process, uses in found.items()}

    def versions(self) -> list[VersionUses]:
        """All contents under all paths, in order of first use; empty ones as in `shown_uses`."""
        uses: list[tuple[int, int, str, int, int]] = []
        for program in self.trace.programs:
            if program.ordinal:
                path, event, version = shown(program.path), program.first_event, program.image
                uses.append((event, 0, path, version, program.id))
                writer = self._writer(version, self.file_at(path, event), event)
                if writer is not None:
                    uses.append((event, 2, path, version, writer.process))
            for row, version in self.reads(program.id):
                if self.hashes[version][0] != EMPTY:
                    uses.append((row.event, 1, shown(row.path), version, program.id))
                    writer = self.writer_of(row)
                    if writer is not None:  # perhaps under another name
                        uses.append((row.event, 2, shown(row.path), version, writer.process))
            for row, version in self.writes(program.id):
                event = row.last_event or row.event
                uses.append((event, 2, shown(row.path), version, program.id))
        found: dict[tuple[str, int], VersionUses] = {}
        for _, kind, path, version, process in sorted(uses):
            one = found.setdefault(
                (path, version), VersionUses(len(found) + 1, path, *self.hashes[version])
            )
            users = (one.executed, one.readers, one.writers)[kind]
            if process not in users:
                users.append(process)
        for (_, version), one in found.items():
            one.there_before = not one.writers and version in self.in_tree
        return list(found.values())


# -- as text and as graphs -------------------------------------------------------------------------


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
    hashes, uses = trace.hashes(), FileUses(trace).shown_uses()
    children: dict[int | None, list[ProgramRow]] = {}
    for program in trace.programs:
        children.setdefault(program.parent, []).append(program)
    todo = [(program, 0) for program in reversed(children.get(None, []))]
    while todo:
        program, depth = todo.pop()
        indent = "  " * depth
        forked = " (forked)" if program.ordinal == 0 else ""
        done = f"{program.calls:,} call{'' if program.calls == 1 else 's'}"
        if instructions is not None:
            count = instructions[program.id]
            done = f"{count:,} instruction{'' if count == 1 else 's'}, {done}"
        yield f"{indent}{program.pid} {command(program)}{forked}  [{done}, {ended(program)}]"
        for mark, path, version in uses[program.id]:
            sha256, size = hashes[version]
            yield f"{indent}    {mark} {path}  {size:,} bytes  {sha256[:SHORT]}"
        todo += [(child, depth + 1) for child in reversed(children.get(program.id, []))]


def files_text(trace: Trace) -> Iterator[str]:
    """A line for each version, and one for each kind of use."""
    for one in FileUses(trace).versions():
        yield f"{one.sha256[:SHORT]}  {one.size:>10,}  {one.path}"
        for word, users in (
            ("written by", one.writers),
            ("executed as", one.executed),
            ("read by", one.readers),
        ):
            if users:
                names = ", ".join(who(trace.program(row)) for row in users)
                yield f"{'':14}{word} {names}"
        if not one.writers:
            yield f"{'':14}{'there before' if one.there_before else 'not known who wrote it'}"


def info_json(trace: Trace) -> dict[str, object]:
    """What `info` says, for machines."""
    kept = ("tool", "engine", "hot_path", "source", "source_digest", "arch", "entry", "result")
    hashes = trace.hashes()
    return {
        "schema": "bootstrap-trace-info/1", "digest": trace.digest,
        "recorded": {name: trace.meta.get(name) or None for name in (*kept, "failure")},
        "format": trace.meta.get("schema"), "programs": len(trace.programs), "calls": trace.events,
        "versions": len(hashes), "bytes": sum(size for _, size in hashes.values()),
        "runs": [[shown(word) for word in run.argv] for run in trace.runs],
    }  # fmt: skip


def tree_json(trace: Trace, instructions: Mapping[int, int] | None = None) -> dict[str, object]:
    """What `tree` says, for machines: the programs in their order, each with its parent."""
    hashes, uses = trace.hashes(), FileUses(trace).shown_uses()
    rows = [
        {
            "id": program.id, "parent": program.parent, "pid": program.pid,
            "ordinal": program.ordinal, "path": shown(program.path),
            "argv": [shown(word) for word in program.argv], "calls": program.calls,
            "instructions": None if instructions is None else instructions[program.id],
            "ended": ended(program),
            "files": [
                {"use": "read" if mark == "<" else "wrote", "path": path, "sha256": hashes[one][0],
                 "size": hashes[one][1]}
                for mark, path, one in uses[program.id]
            ],
        }
        for program in trace.programs
    ]  # fmt: skip
    return {"schema": "bootstrap-trace-tree/1", "digest": trace.digest, "programs": rows}


def files_json(trace: Trace) -> dict[str, object]:
    """What `files_text` says, for machines; programs by their `id` in `tree_json`."""
    rows = [
        {"path": one.path, "sha256": one.sha256, "size": one.size, "written_by": one.writers,
         "executed_as": one.executed, "read_by": one.readers, "there_before": one.there_before}
        for one in FileUses(trace).versions()
    ]  # fmt: skip
    return {"schema": "bootstrap-trace-files/1", "digest": trace.digest, "files": rows}


def who(program: ProgramRow) -> str:
    """pid and name of a program."""
    return f"{program.label} ({shown(program.path).rpartition('/')[2]})"


def files_graph(trace: Trace, form: Form) -> str:
    """Boxes are programs, ellipses file versions; dashed: executed."""
    found = FileUses(trace).versions()
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
