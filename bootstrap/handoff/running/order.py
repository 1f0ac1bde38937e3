"""What is to be run, what came of it, and who is told meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from bootstrap.core.errors import BadInput, ExitStatus
from bootstrap.handoff.audit import Found
from bootstrap.handoff.plan import Plan, Row
from bootstrap.handoff.running.choosing import Choice
from bootstrap.handoff.running.limits import Limits
from bootstrap.handoff.running.state import CheckedFile, Finished

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
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Task:
    """A step of the run: stage0, what is built before the manifest, or a step of the plan."""

    key: str
    title: str
    row: Row | None = None


@dataclass(frozen=True)
class Failure:
    """Where and how a run stopped: ``message`` is one line; the rest helps to find out why."""

    task: Task
    message: str
    lines: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    enter: str = ""
    checked: tuple[CheckedFile, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of a run: all that was ever finished in the work folder, and how it ended now."""

    order: Order
    result: Result
    tasks: tuple[Task, ...]
    finished: tuple[Finished, ...]
    before: int
    """How many of them were finished before this run."""
    packages: tuple[CheckedFile, ...]
    failure: Failure | None
    choice: Choice

    @property
    def exit_code(self) -> ExitStatus:
        if self.result == "failed":
            return ExitStatus.GUEST_FAILED
        if self.result == "mismatch" or any(row.state == "mismatch" for row in self.packages):
            return ExitStatus.DIFFERS
        return ExitStatus.BAD_INPUT if self.result == "missing" else ExitStatus.DONE


class Tell(Protocol):
    """Who is told how far it is."""

    def said(self, text: str) -> None:
        """A sentence about what is being done, or what was chosen."""

    def began(self, task: Task, number: int, total: int) -> None:
        """A step begins."""

    def tick(self, seconds: float, line: str) -> None:
        """It goes on: how long now, and the last line that it wrote."""

    def ended(self, finished: Finished) -> None:
        """A step is finished, and kept."""

    def looked_at(self, row: Found) -> None:
        """A distfile was hashed."""


def tasks_of(plan: Plan) -> tuple[Task, ...]:
    """stage0, the programs before the manifest, the steps."""
    return (
        Task(STAGE0, "stage0"),
        Task(SEED, "configurator and script-generator"),
        *(Task(str(row.step.number), row.step.title, row) for row in plan.rows),
    )


def last_task(tasks: Sequence[Task], until: str | None) -> int:
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
