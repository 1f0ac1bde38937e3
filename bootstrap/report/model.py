"""What the judge is given: expectations, products, materials, and the facts of the run.

Plain frozen data; paths are relative to the tree (`x86/bin/M1`), hashes are SHA-256 in lower-case
hex, sizes are bytes, times are seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ExpectedKind = Literal["answers", "native-run", "catalogue", "model"]
Status = Literal["match", "mismatch", "missing", "unknown"]
Lesser = Literal["embedded-only", "answers-only", "as-pinned", "with-memo"]
"""Nothing differed, but less than asked was shown."""
Result = Literal["verified", "mismatch", "incomplete", "error"] | Lesser


@dataclass(frozen=True, slots=True)
class Expected:
    """A known-good value of one artifact, and where the value comes from."""

    path: str
    sha256: str
    from_: str
    """Shown to the user: `x86.answers`, `native run of 2026-11-22`, `seed catalogue`."""
    kind: ExpectedKind = "answers"
    """`answers` and `catalogue`: one of the answers; `native-run` and `model`: an intermediate,
    unless another value makes it an answer."""


@dataclass(frozen=True, slots=True)
class Product:
    """A file that the run left in the tree."""

    path: str
    size: int
    sha256: str
    producer: int | None = None
    """The pid that wrote it, where the caller knows it; else the records are asked."""


@dataclass(frozen=True, slots=True)
class Materials:
    """The source files a release is made from, and how the given tree differs from them."""

    known: Mapping[str, str] = field(default_factory=dict)
    """path -> SHA-256 of the release, the seeds included."""
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    """Files that do not belong to the release (they are hidden from the guest)."""
    seeds: tuple[str, ...] = ()
    """Those of `known` that are seeds; only for the words used about them."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Where the tree came from."""

    kind: str
    """folder, archive, cache, download or embedded."""
    release: str | None
    sha256: str | None = None
    """SHA-256 of the archive, when there was one."""
    tree_digest: str | None = None
    """Digest over the tree (bootstrap.sources says how)."""
    label: str = ""
    """For people only (it may hold a host path): never in JSON or JUnit."""
    in_place_of: str | None = None
    """What was asked for, where this tree was taken because that could not be had."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The step file that a run is judged by, as it is shipped."""

    steps: str
    """Its name, as `stage0-posix-1.9.1-x86.toml`."""
    sha256: str


@dataclass(frozen=True, slots=True)
class ToolInfo:
    """What did the emulation."""

    name: str
    version: str
    engine_name: str
    engine_version: str
    hot_path: str
    """native or python."""


@dataclass(frozen=True, slots=True)
class Totals:
    """How much was done; `wall_seconds` is the one value that differs between two equal runs."""

    processes: int
    syscalls: int
    wall_seconds: float


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

    tool: ToolInfo
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

    @property
    def title(self) -> str:
        """Name and release: `stage0-posix 1.9.1`; a set of sources without releases has a name."""
        return f"{self.name} {self.source.release}" if self.source.release else self.name
