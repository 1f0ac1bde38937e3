"""Engines that work here, or one line why not; and a run of the small tree."""

from __future__ import annotations

import contextlib
import functools
import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.handoff import run as running
from bootstrap.handoff.containers.container import ContainerLimits
from bootstrap.handoff.containers.engines import ContainerEngine
from bootstrap.handoff.containers.running import EngineChoice, choose
from bootstrap.handoff.distfiles import AuditedFile
from bootstrap.handoff.work import FinishedStep, HandoffTask, Order, RunOutcome
from tests.handoff.running.small import ARCH, Small, make


@functools.cache
def working(name: str) -> ContainerEngine | str:
    """The engine, or why it cannot be used."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            return choose(name, ARCH, ContainerLimits(), Path(folder)).engine
        except BadInput as error:
            return str(error)


def require(name: str) -> str:
    """Skip where an engine does not work."""
    if platform.machine() != "x86_64":
        pytest.skip(f"this machine is {platform.machine()}: the small tree is for x86_64")
    found = working(name)
    if isinstance(found, str):
        pytest.skip(found)
    return name


class Heard:
    """What a run said; ``on_line`` is called with the last line of the step that is running."""

    def __init__(self, on_line: Callable[[str], None] | None = None) -> None:
        self.texts: list[str] = []
        self.done: list[str] = []
        self.files: list[str] = []
        self.on_line = on_line

    def said(self, text: str) -> None:
        self.texts.append(text)

    def began(self, task: HandoffTask, number: int, total: int) -> None:
        self.texts.append(f"{number} of {total}: {task.title}")

    def tick(self, seconds: float, line: str) -> None:
        if self.on_line is not None:
            self.on_line(line)

    def ended(self, finished: FinishedStep) -> None:
        self.done.append(finished.title)

    def hashed(self, row: AuditedFile) -> None:
        self.files.append(f"{row.file.name} {row.state}")


def go(
    small: Small, work: Path, engine: str, heard: Heard | None = None, **order: object
) -> RunOutcome:
    """Run the small tree; an engine that was tried once is not tried again."""
    first = Order(small.checkout, small.distfiles, work, engine)
    changed = replace(first, **order)  # type: ignore[arg-type]
    tried = working(engine) if engine != "docker" else ""
    with contextlib.ExitStack() as stack:
        if not isinstance(tried, str):
            choice = EngineChoice(tried, ())
            stack.enter_context(mock.patch.object(running, "choose", lambda *_: choice))
        return running.run(changed, small.plan, small.stage0, heard or Heard())


class Lab:
    """The small tree, an engine, and a work folder to run it in."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.folder, self.engine, self.small = folder, engine, make(folder)
        self.work, self.heard = folder / "work", Heard()

    def go(self, listen: Callable[[str], None] | None = None, **order: Any) -> RunOutcome:
        """Run; ``listen`` gets the last line of the step that is running."""
        self.heard.on_line = listen
        return go(self.small, self.work, self.engine, self.heard, **order)

    def refused(self, says: str, **order: Any) -> None:
        with pytest.raises(BadInput, match=says):
            self.go(**order)

    @property
    def done(self) -> list[str]:
        """Titles of the steps that were finished, in order."""
        return self.heard.done

    def file(self, path: str, more: str = "", text: str | None = None) -> Path:
        """A file of the checkout, with more at its end, or with another text."""
        place = self.small.checkout / path
        place.write_text((place.read_text() if text is None else text) + more)
        return place


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """The small tree, in a folder of its own."""
    return make(tmp_path)


@pytest.fixture
def engine() -> str:
    """The quicker one that works: for what does not depend on it."""
    return require("podman" if isinstance(working("bwrap"), str) else "bwrap")


@pytest.fixture
def lab(tmp_path: Path, engine: str) -> Lab:
    return Lab(tmp_path, engine)


@pytest.fixture(params=["podman", "bwrap"])
def each_lab(request: pytest.FixtureRequest, tmp_path: Path) -> Lab:
    """With podman, then with bubblewrap."""
    return Lab(tmp_path, require(request.param))
