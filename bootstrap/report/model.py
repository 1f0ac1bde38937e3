"""A report as data: what the judge is given, and what it finds.

Plain frozen data; paths are relative to the tree (`x86/bin/M1`), hashes are SHA-256 in lower-case
hex, sizes are bytes, times are seconds.

What it finds is the document itself: the fields of these classes are the keys of the JSON, in
their order (docs/report.md, docs/report.schema.json); `bootstrap.documents` writes and reads them.
Readers pass over keys that they do not know, and need none that has a default here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from bootstrap.core.errors import ExitStatus
from bootstrap.documents import BadValue, Sha256, Size, key
from bootstrap.known.schema import Known
from bootstrap.words import listed

SCHEMA = "bootstrap-report/2"
SCHEMAS = ("bootstrap-report/1", SCHEMA)
"""Those that are read: /1 has no `catalogue` and no `source.in_place_of`."""
SET_SCHEMA = "bootstrap-report-set/2"
SET_SCHEMAS = ("bootstrap-report-set/1", SET_SCHEMA)
"""Those that are read."""

Status = Literal["match", "mismatch", "missing", "unknown"]
Lesser = Literal["embedded-only", "answers-only", "as-pinned", "with-memo"]
"""Nothing differed, but less than asked was shown."""
Result = Literal["verified", "mismatch", "incomplete", "error"] | Lesser
Goodness = Literal["good", "bad", "unknown"]
Origin = Literal["release", "run", "foreign"]
Suspect = Literal["input", "commands", "step", "expected-value", "unknown"]
DecidedBy = Literal["core", "core with the fast path"]

LESSER: tuple[Lesser, ...] = get_args(Lesser)
EXIT_CODES: dict[Result, ExitStatus] = {
    "mismatch": ExitStatus.DIFFERS,
    "error": ExitStatus.GUEST_FAILED,
    "incomplete": ExitStatus.DIFFERS,
    **dict.fromkeys(LESSER, ExitStatus.LESS_THAN_ASKED),
    "verified": ExitStatus.DONE,
}
"""The worst first: what differs weighs more than a guest that failed."""


# -- what the judge is given, and what of it goes into the report ----------------------------------


@dataclass(frozen=True, slots=True)
class Product:
    """A file that the run left in the tree."""

    path: str
    size: int
    sha256: str
    producer: int | None = None
    """The pid that wrote it, where the caller knows it; else the records are asked."""


@dataclass(frozen=True, slots=True)
class ReleaseFiles:
    """The source files a release is made from, and how the given tree differs from them."""

    known: Mapping[str, str] = field(default_factory=dict)
    """path -> SHA-256 of the release, the seeds included."""
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    """Files that do not belong to the release (they are hidden from the guest)."""
    seeds: tuple[str, ...] = ()
    """Those of `known` that are seeds; only for the words used about them."""


@dataclass(frozen=True)
class SourceInfo:
    """Where the tree came from."""

    kind: str
    """folder, archive, cache, download or embedded."""
    release: str | None
    sha256: Sha256 | None
    """SHA-256 of the archive, when there was one."""
    tree_digest: Sha256 | None
    """Digest over the tree (bootstrap.sources says how)."""
    label: str = key(None, default="")
    """For people only (it may hold a host path): never in JSON or JUnit."""
    in_place_of: str | None = None
    """What was asked for, where this tree was taken because that could not be had."""


@dataclass(frozen=True)
class NameAndVersion:
    """Of a tool or an engine."""

    name: str
    version: str


@dataclass(frozen=True)
class Tool(NameAndVersion):
    """What did the emulation."""

    engine: NameAndVersion
    hot_path: str
    """native or python."""


@dataclass(frozen=True, slots=True)
class MemoUse:
    """What a run took from a memo (bootstrap.runs.memo), and who made that."""

    name: str
    """Of its file."""
    user: int
    """Ours, a user id."""
    version: str
    code: Sha256
    """Of the code that ran what is in it, as it is now: other results were not looked at."""
    makers: tuple[str, ...] = ()
    """User id and version of those who made what was taken."""
    oldest: Size | None = None
    """When the oldest of it was made, seconds since 1970."""
    believed: Size = 0
    """Units that were not run."""
    checked: Size = 0
    """Those of them that were run again, and were alike."""
    differing: Size = 0
    """Those that were not alike, and were not taken."""
    ran: Size = 0
    dropped: Size = 0
    """Entries that failed their checksum, or were no results."""
    lost: Size = 0
    """The memo could not be written to (1)."""


@dataclass(frozen=True, slots=True)
class SinceRevision:
    """What differs from an earlier commit (`--changed-since`), and what became of the artifacts
    that this can touch by the graph of an earlier run."""

    revision: str
    """As it was named."""
    commit: str
    files: tuple[str, ...]
    """Those of which the bootstrap reads either side, and that differ."""
    others: Size
    """So many more differ, which it does not read."""
    before: Literal["known values", "a run"]
    """What the artifacts are compared with: a commit that is the release is known."""
    changed: tuple[str, ...]
    """Can be touched, and came out otherwise; so the next two: as before, or not made."""
    unchanged: tuple[str, ...]
    not_made: tuple[str, ...]
    unexpected: tuple[str, ...]
    """Came out otherwise, though nothing in the graph leads to them."""
    untouched: Size
    """So many others cannot be touched."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The step file that a run is judged by, as it is shipped."""

    steps: str
    """Its name, as `stage0-posix-1.9.1-x86.toml`."""
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Totals:
    """How much was done; `wall_seconds` is the one value that differs between two equal runs."""

    processes: Size
    syscalls: Size
    wall_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the run stopped before its end."""

    message: str
    """One line: the cause, the place, the way out."""
    pid: int | None = None
    details: tuple[str, ...] = ()
    """Registers, instruction and the like, one line each."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """All about a run that is not a product, an expectation or a process."""

    tool: Tool
    source: SourceInfo
    arch: str
    entry: str
    totals: Totals
    name: str = "stage0-posix"
    exit_status: int | None = 0
    """Wait status of the first process (of the last command started); None when it never ended."""
    failure: Failure | None = None
    catalogue: Catalogue | None = None
    """None where it is judged by no step file that is shipped."""
    jobs: int = 1
    """So many processes of ours ran it."""
    memo: MemoUse | None = None


# -- what it finds ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedMaterial:
    """A source file or seed that differs from the release, and the first artifact made from it."""

    path: str
    seed: bool = False
    expected: Sha256 | None = None
    sha256: Sha256 | None
    """What the run read; None when it was never read."""
    first_artifact: str | None = None


@dataclass(frozen=True, slots=True)
class Materials:
    """How many source files are known, and how those of the tree differ, in the order of paths."""

    known: Size
    missing: tuple[str, ...]
    changed: tuple[ChangedMaterial, ...]
    extra: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Source(SourceInfo):
    """Where the tree came from, and its source files."""

    materials: Materials


@dataclass(frozen=True, slots=True, kw_only=True)
class Producer:
    """The process that wrote an artifact."""

    pid: Size
    ordinal: Size = 0
    program: str
    """Tree path of its image."""
    argv: tuple[str, ...]
    cwd: str
    """Guest directory it was started in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One judged file. `size` and `sha256` are None when it is missing (or never finished)."""

    path: str
    size: Size | None
    sha256: Sha256 | None
    expected: Sha256 | None
    """The known-good value; the answers file's, when expectations disagree."""
    expected_from: str | None = None
    """Where the known-good value comes from; every place that has a value is named."""
    status: Status
    producer: Producer | None
    expectations: tuple[Known, ...]
    note: str | None
    """What must be said beside the status: expectations that disagree, an unfinished file."""

    @property
    def is_answer(self) -> bool:
        """Whether the release promises this artifact (not only a native run or a model)."""
        return any(e.kind in ("answers", "catalogue") for e in self.expectations)


def _each_once(artifacts: tuple[Artifact, ...]) -> None:
    seen: set[str] = set()
    for number, artifact in enumerate(artifacts):
        if artifact.path in seen:
            raise BadValue(f"{artifact.path!r} is there twice", number, "path")
        seen.add(artifact.path)


@dataclass(frozen=True, slots=True)
class Input:
    """One thing an artifact was made from, and whether it was itself good."""

    path: str
    role: Literal["program", "file"]
    size: Size
    sha256: Sha256
    expected: Sha256 | None
    state: Goodness
    why: str
    """good: what it equals; bad: what it should have been; unknown: why nobody can say."""
    origin: Origin
    """release: a source or seed; run: made by an earlier step; foreign: nobody can say."""


@dataclass(frozen=True, slots=True)
class Step:
    """One process that led to an artifact, with its inputs."""

    process: Producer
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstMismatch:
    """The first artifact in build order that differs, and where the fault must be looked for."""

    path: str
    size: Size | None = None
    sha256: Sha256 | None = None
    expected: Sha256 | None = None
    expected_from: str | None = None
    suspect: Suspect = "unknown"
    verdict: str
    """One or two sentences: where the fault lies, as far as the record can say."""
    step: Step | None = None
    """The process that wrote it; None when the record does not know."""
    drivers: tuple[Step, ...] = ()
    """The processes that gave the command and had an input that is not good, nearest first."""
    trail: tuple[Step, ...] = ()
    """Earlier steps, from the artifact back to the bad input, when unknown files lie between."""


@dataclass(frozen=True, slots=True)
class GuestFailure:
    """Where a run failed: the process that was running, or the first that ended badly."""

    message: str
    process: Producer | None = None
    """None where the record does not show it."""
    inputs: tuple[Input, ...] = ()
    status: int | None = None
    """Its wait status; None when it never ended."""
    verdict: str | None = None
    """Set when one of its inputs was already wrong."""
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recheck:
    """What the core alone found, in an interpreter of its own, after the run of the report."""

    result: str | None
    """None: it came to no verdict."""
    tree_digest: str | None
    steps_sha256: str | None
    artifacts: int
    """How many were compared."""
    differences: tuple[str, ...]
    """Where it found something else; or why it came to no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that is said about a run."""

    schema: str
    tool: Tool
    source: Source
    catalogue: Catalogue | None = None
    arch: str
    entry: str
    result: Result
    claim: str
    reasons: tuple[str, ...]
    """Why the result is not `verified`, most important first; empty when it is."""
    artifacts: Annotated[tuple[Artifact, ...], _each_once]
    """In build order; missing ones after, in the order of the expectations."""
    first_divergence: FirstMismatch | None
    failure: GuestFailure | None
    decided_by: DecidedBy | None = None
    """`core`: by a run of its own. None: no step file of ours says what should come of it, or the
    tree is not the release, so that there was nothing to decide; or the report is an older one."""
    recheck: Recheck | None = None
    jobs: Size = 1
    """So many processes ran parts of it (bootstrap.runs.ahead)."""
    memo: MemoUse | None = None
    """What of it was believed, where a memo was used."""
    since: SinceRevision | None = None
    totals: Totals

    name: str = key(None, default="stage0-posix")
    artifact_reasons: tuple[str, ...] = key(None, default=())
    """Those of `reasons` that are about artifacts, not about the run, its source or its record."""

    @property
    def title(self) -> str:
        """Name and release: `stage0-posix 1.9.1`; a set of sources without releases has a name."""
        return f"{self.name} {self.source.release}" if self.source.release else self.name

    @property
    def exit_code(self) -> ExitStatus:
        """The exit status of the command line."""
        return EXIT_CODES[self.result]

    @property
    def answers(self) -> tuple[Artifact, ...]:
        """The artifacts that the release promises."""
        return tuple(a for a in self.artifacts if a.is_answer)

    @property
    def intermediates(self) -> tuple[Artifact, ...]:
        """All others."""
        return tuple(a for a in self.artifacts if not a.is_answer)


@dataclass(frozen=True, slots=True)
class SetTotals:
    """How much was done, on all architectures."""

    reports: Size
    verified: Size
    answers: Size
    matching: Size
    """How many of the answers match."""
    processes: Size
    syscalls: Size
    wall_seconds: float
    """From the start of the first run to the end of the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSet:
    """One report per architecture, at least one, in the order in which they were asked for."""

    schema: str = SET_SCHEMA
    result: Result
    """The worst of the results."""
    claim: str
    reasons: tuple[str, ...]
    """Why the result is not `verified`: those of all reports, the worst reports first."""
    reports: tuple[Report, ...]
    totals: SetTotals

    @property
    def exit_code(self) -> ExitStatus:
        """The exit status of the command line."""
        return EXIT_CODES[self.result]

    @property
    def decided_by(self) -> DecidedBy | None:
        """By what all of them were decided; None where they were not alike."""
        ways = {report.decided_by for report in self.reports}
        return ways.pop() if len(ways) == 1 else None


def set_title(reports: Sequence[Report]) -> str:
    """What all of them are of: the release and the architectures."""
    embedded = reports[0].source.kind == "embedded"
    what = "embedded sources" if embedded else reports[0].title
    return f"{what} for {listed(r.arch for r in reports)}"
