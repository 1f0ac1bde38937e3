"""A report as its JSON has it (docs/report.md), typed: what whoever reads one may take for granted.

For `bootstrap.documents.decode(..., lenient=True)`: readers pass over keys that they do not know.
"""

from dataclasses import dataclass
from typing import Annotated

from bootstrap.documents import Fault, Sha256, Size
from bootstrap.report.model import ExpectedKind, Result, Status
from bootstrap.report.report import DecidedBy, Recheck


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


@dataclass(frozen=True)
class Changed:
    """A source file that differs from the release's."""

    path: str
    sha256: Sha256 | None


@dataclass(frozen=True)
class Materials:
    """The source files, and how they differ from the release's."""

    known: Size
    missing: tuple[str, ...]
    changed: tuple[Changed, ...]
    extra: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """Where the tree came from."""

    kind: str
    release: str | None
    sha256: Sha256 | None
    tree_digest: Sha256 | None
    materials: Materials
    in_place_of: str | None = None


@dataclass(frozen=True)
class Catalogue:
    """The shipped step file that it was judged by."""

    steps: str
    sha256: Sha256


@dataclass(frozen=True)
class Expectation:
    """A known-good value."""

    sha256: Sha256
    from_: str
    kind: ExpectedKind


@dataclass(frozen=True)
class Process:
    """Who wrote an artifact."""

    pid: Size
    program: str
    argv: tuple[str, ...]
    cwd: str


@dataclass(frozen=True)
class Artifact:
    """One judged file."""

    path: str
    size: Size | None
    sha256: Sha256 | None
    expected: Sha256 | None
    status: Status
    producer: Process | None
    expectations: tuple[Expectation, ...]
    note: str | None


def _each_once(artifacts: tuple[Artifact, ...]) -> None:
    seen: set[str] = set()
    for number, artifact in enumerate(artifacts):
        if artifact.path in seen:
            raise Fault(f"{artifact.path!r} is there twice", number, "path")
        seen.add(artifact.path)


@dataclass(frozen=True)
class Divergence:
    """The first artifact that differs."""

    path: str
    verdict: str


@dataclass(frozen=True)
class Failure:
    """Where the guest failed."""

    message: str


@dataclass(frozen=True)
class Totals:
    """How much was done."""

    processes: Size
    syscalls: Size


@dataclass(frozen=True)
class Report:
    """All of it that any reader of ours uses."""

    schema: str
    tool: Tool
    source: Source
    arch: str
    entry: str
    result: Result
    claim: str
    reasons: tuple[str, ...]
    artifacts: Annotated[tuple[Artifact, ...], _each_once]
    first_divergence: Divergence | None
    failure: Failure | None
    totals: Totals
    decided_by: DecidedBy | None = None
    """Reports made before there was such a thing have none, as those of a tree that differs."""
    recheck: Recheck | None = None
    catalogue: Catalogue | None = None


@dataclass(frozen=True)
class ReportSet:
    """Several reports."""

    schema: str
    reports: tuple[Report, ...]
