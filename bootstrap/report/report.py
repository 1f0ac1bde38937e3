"""The judgement of one run, as data. `judge` makes it; text, JSON and JUnit are views of it."""

from dataclasses import dataclass
from typing import Literal, get_args

from bootstrap.core.errors import ExitStatus
from bootstrap.report.model import Expected, Lesser, Materials, Result, RunFacts, Status

SCHEMA = "bootstrap-report/2"
SCHEMAS = ("bootstrap-report/1", SCHEMA)
"""Those that are read: /1 has no `catalogue` and no `source.in_place_of`."""

Goodness = Literal["good", "bad", "unknown"]
Origin = Literal["release", "run", "foreign"]
Suspect = Literal["input", "commands", "step", "expected-value", "unknown"]

DecidedBy = Literal["core", "core with the fast path"]
LESSER: tuple[Lesser, ...] = get_args(Lesser)
EXIT_CODES: dict[Result, ExitStatus] = {
    "verified": ExitStatus.DONE,
    "mismatch": ExitStatus.DIFFERS,
    "incomplete": ExitStatus.DIFFERS,
    "error": ExitStatus.GUEST_FAILED,
    **dict.fromkeys(LESSER, ExitStatus.LESS_THAN_ASKED),
}


@dataclass(frozen=True, slots=True)
class Producer:
    """The process that wrote an artifact."""

    pid: int
    ordinal: int
    program: str
    """Tree path of its image."""
    argv: tuple[str, ...]
    cwd: str = "/"
    """Guest directory it was started in."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One judged file. `size` and `sha256` are None when it is missing (or never finished)."""

    path: str
    status: Status
    size: int | None
    sha256: str | None
    expectations: tuple[Expected, ...]
    producer: Producer | None
    note: str | None = None
    """What must be said beside the status: expectations that disagree, an unfinished file."""

    @property
    def is_answer(self) -> bool:
        """Whether the release promises this artifact (not only a native run or a model)."""
        return any(e.kind in ("answers", "catalogue") for e in self.expectations)

    @property
    def expected(self) -> str | None:
        """The known-good value; the answers file's, when expectations disagree."""
        return self.expectations[0].sha256 if self.expectations else None

    @property
    def expected_from(self) -> str | None:
        """Where the known-good value comes from; every place that has a value is named."""
        return " and ".join(e.from_ for e in self.expectations) or None


@dataclass(frozen=True, slots=True)
class Input:
    """One thing an artifact was made from, and whether it was itself good."""

    path: str
    sha256: str
    size: int
    role: Literal["program", "file"]
    state: Goodness
    why: str
    """good: what it equals; bad: what it should have been; unknown: why nobody can say."""
    expected: str | None = None
    origin: Origin = "run"
    """release: a source or seed; run: made by an earlier step; foreign: nobody can say."""


@dataclass(frozen=True, slots=True)
class Step:
    """One process that led to an artifact, with its inputs."""

    producer: Producer
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first artifact in build order that differs, and where the fault must be looked for."""

    artifact: Artifact
    step: Step | None
    """The process that wrote it; None when the record does not know."""
    drivers: tuple[Step, ...]
    """The processes that gave the command and had an input that is not good, nearest first."""
    trail: tuple[Step, ...]
    """Earlier steps, from the artifact back to the bad input, when unknown files lie between."""
    suspect: Suspect
    verdict: str
    """One or two sentences: where the fault lies, as far as the record can say."""


@dataclass(frozen=True, slots=True)
class ChangedMaterial:
    """A source file or seed that differs from the release, and the first artifact made from it."""

    path: str
    seed: bool
    expected: str | None
    sha256: str | None
    """What the run read; None when it was never read."""
    first_artifact: str | None


@dataclass(frozen=True, slots=True)
class Failing:
    """Where a run failed: the process that was running, or the first that ended badly."""

    step: Step
    status: int | None
    """Its wait status; None when it never ended."""
    verdict: str | None
    """Set when one of its inputs was already wrong."""


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


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that is said about a run."""

    facts: RunFacts
    materials: Materials
    result: Result
    artifacts: tuple[Artifact, ...]
    """In build order; missing ones after, in the order of the expectations."""
    claim: str
    reasons: tuple[str, ...]
    """Why the result is not `verified`, most important first; empty when it is."""
    artifact_reasons: tuple[str, ...] = ()
    """Those of `reasons` that are about artifacts, not about the run, its source or its record."""
    changed: tuple[ChangedMaterial, ...] = ()
    first_divergence: Divergence | None = None
    failing: Failing | None = None
    """Where the guest failed: by a limit, a system call, or a process that ended badly."""
    decided_by: DecidedBy | None = None
    """`core`: by a run of its own. None: no step file of ours says what should come of it, or the
    tree is not the release, so that there was nothing to decide."""
    recheck: Recheck | None = None

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
