"""Starts commands under the stopwatch, and brings home what they cost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

STOPWATCH = Path(__file__).with_name("stopwatch.py")
_TAIL = 6


class Failed(Exception):
    """A measurement that cannot be had; the text says why, for people."""


@dataclass(frozen=True)
class Cost:
    """What a command cost: seconds on the clock, seconds of CPU, bytes of its largest process.

    `size`: bytes of what it wrote, where that is measured.
    """

    wall: float
    cpu: float
    peak: int = 0
    size: int = 0


class Running:
    """A command under the stopwatch. As a context manager it never outlives the block."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        cpu: int | None = None,
    ) -> None:
        self._name = " ".join(command[:4])
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(STOPWATCH), str(log), _cpu(cpu), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=cwd,
            env=env,
            text=True,
            process_group=0,
        )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def cost(self, statuses: Sequence[int] = (0,)) -> Cost:
        """Wait for the end. Raises Failed, with what the command said last, for a bad status."""
        assert self._process.stdout is not None
        text = self._process.stdout.read()
        if not text:
            raise Failed(f"{self._name}: the stopwatch died (status {self._process.wait()})")
        cost = parse(text, self._name, statuses, self._last_words)
        return cost

    def _last_words(self) -> str:
        try:
            lines = self._log.read_text("utf-8", "replace").splitlines()
        except OSError:
            return ""
        return "".join(f"\n    {line}" for line in lines[-_TAIL:])


def parse(text: str, name: str, statuses: Sequence[int], last_words: object = lambda: "") -> Cost:
    """A line of the stopwatch. Raises Failed for an error or a status that is not expected."""
    found = json.loads(text)
    if "error" in found:
        raise Failed(f"{name}: cannot be executed: {found['error']}")
    if found["status"] not in statuses:
        words = last_words() if callable(last_words) else ""
        raise Failed(f"{name}: ended with wait status {found['status']}{words}")
    return Cost(found["wall"], found["cpu"], found["peak"])


def timed(
    command: Sequence[str],
    log: Path,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    cpu: int | None = None,
) -> Cost:
    """Run one command to its end. Raises Failed."""
    with Running(command, log, cwd=cwd, env=env, cpu=cpu) as running:
        return running.cost()


def _cpu(cpu: int | None) -> str:
    return "-" if cpu is None else str(cpu)
