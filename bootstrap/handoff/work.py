"""A run: what is to be done, how far its work folder is, what came of it, and who is notified."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from bootstrap import host
from bootstrap.core.errors import BadInput, ExitStatus
from bootstrap.documents import BadValue, Sha256, encode, typed_json
from bootstrap.handoff.containers.container import ContainerLimits
from bootstrap.handoff.distfiles import AuditedFile, held_folder
from bootstrap.handoff.plan import HandoffPlan, PlanStep

if TYPE_CHECKING:
    from bootstrap.handoff.containers.running import EngineChoice


LOCK = "lock"
STATE = "state.json"


@dataclass(frozen=True)
class CheckedFile:
    """A file held against a known-good value.

    ``found`` is None when it is not there; ``expected`` None when no value is known.  ``by`` says
    where the value comes from.
    """

    path: str
    found: Sha256 | None
    expected: Sha256 | None
    by: str

    @property
    def state(self) -> str:
        """``verified``, ``mismatch`` or ``unchecked``."""
        if self.expected is None:
            return "unchecked"
        return "verified" if self.found == self.expected else "mismatch"


@dataclass
class FinishedStep:
    """A step that came to its end: its key, how long it took, what was checked of it.

    ``engine`` is what ran it, in words; a run may be gone on with by another.
    """

    key: str
    title: str
    seconds: float
    log: str
    checked: list[CheckedFile] = field(default_factory=list)
    engine: str = ""


@dataclass
class WorkState:
    """How far a run is.

    ``identity`` is what must be the same for a run to be gone on with.  ``running`` is the key of
    a step that was begun: what it did to the root is thrown away.  ``saving`` says that the root
    is good and its copy may be half made.
    """

    schema: Literal[2]
    identity: Mapping[str, str]
    finished: list[FinishedStep] = field(default_factory=list)
    running: str | None = None
    saving: bool = False
    exported: Mapping[str, str] | None = None


class WorkFolder:
    """Names in the folder, and the state in it.  Methods raise BadInput when it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.root = self.folder / "root"
        self.saved = self.folder / "saved"
        self.logs = self.folder / "logs"
        self.enter = self.folder / "enter.sh"

    @property
    def container_name(self) -> str:
        """What the container is called: two work folders have two names."""
        return "bootstrap-handoff-" + hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the folder, which is made if need be; the host lets go when the process ends."""
        taken = "another run has it; wait until it has ended, or name another folder"
        here = f"--work {self.folder}:"
        return held_folder(self.folder, LOCK, f"{here} cannot be used", f"{here} {taken}")

    def read(self) -> WorkState | None:
        """The state; None where no run was begun."""
        place = self.folder / STATE
        if not place.exists():
            return None
        try:
            return typed_json(WorkState, place.read_bytes())
        except (OSError, BadValue) as error:
            raise BadInput(f"{place}: cannot be read: {error}; begin in a new folder") from None

    def write(self, state: WorkState) -> None:
        """Keep it, whole or not at all."""
        place = self.folder / STATE
        beside = place.with_suffix(".new")
        try:
            with beside.open("w", encoding="utf-8") as stream:
                json.dump(encode(state), stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, place)
            host.sync_folder(self.folder)
        except OSError as error:
            raise BadInput(f"{place}: cannot be written: {error.strerror}") from None


STAGE0, SEED = "stage0", "seed"
Result = Literal["done", "until", "missing", "failed", "mismatch"]


@dataclass(frozen=True)
class Order:
    """What is to be done: see ``bootstrap handoff run --help``."""

    checkout: Path
    distfiles: Path
    work: Path
    engine: str = "auto"
    until: str | None = None
    resume: bool = False
    limits: ContainerLimits = field(default_factory=ContainerLimits)


@dataclass(frozen=True)
class HandoffTask:
    """A step of the run: stage0, what is built before the manifest, or a step of the plan."""

    key: str
    title: str
    row: PlanStep | None = None


@dataclass(frozen=True)
class StepFailure:
    """Where and how a run stopped: ``message`` is one line; the rest helps to find out why."""

    task: HandoffTask
    message: str
    lines: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    enter: str = ""
    checked: tuple[CheckedFile, ...] = ()


@dataclass(frozen=True)
class RunOutcome:
    """What came of a run: all that was ever finished in the work folder, and how it ended now."""

    order: Order
    result: Result
    tasks: tuple[HandoffTask, ...]
    finished: tuple[FinishedStep, ...]
    before: int
    """How many of them were finished before this run."""
    packages: tuple[CheckedFile, ...]
    failure: StepFailure | None
    choice: EngineChoice

    @property
    def exit_code(self) -> ExitStatus:
        if self.result == "failed":
            return ExitStatus.GUEST_FAILED
        if self.result == "mismatch" or any(row.state == "mismatch" for row in self.packages):
            return ExitStatus.DIFFERS
        return ExitStatus.BAD_INPUT if self.result == "missing" else ExitStatus.DONE


class RunListener(Protocol):
    """Who is notified how far it is."""

    def said(self, text: str) -> None:
        """A sentence about what is being done, or what was chosen."""

    def began(self, task: HandoffTask, number: int, total: int) -> None:
        """A step begins."""

    def tick(self, seconds: float, line: str) -> None:
        """It goes on: how long now, and the last line that it wrote."""

    def ended(self, finished: FinishedStep) -> None:
        """A step is finished, and kept."""

    def hashed(self, row: AuditedFile) -> None:
        """A distfile was hashed."""


def tasks_of(plan: HandoffPlan) -> tuple[HandoffTask, ...]:
    """stage0, the programs before the manifest, the steps."""
    return (
        HandoffTask(STAGE0, "stage0"),
        HandoffTask(SEED, "configurator and script-generator"),
        *(HandoffTask(str(row.step.number), row.step.title, row) for row in plan.rows),
    )


def last_task(tasks: Sequence[HandoffTask], until: str | None) -> int:
    """The place of the task that ``--until`` names.  Raises BadInput."""
    if until is None:
        return len(tasks) - 1
    found = [n for n, task in enumerate(tasks) if until in (task.key, task.title)]
    if not found:
        near = [task.title for task in tasks if task.title.startswith(until)]
        hint = f" (there are: {', '.join(near[:6])})" if near else ""
        raise BadInput(
            f"--until {until}: is no step{hint}; give {STAGE0}, {SEED}, a number from handoff plan"
            " or a title such as 'tcc-0.9.26 pass 1'"
        )
    return found[0]
