"""What the workers of these tests do; they find it by the name of this module."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.errors import BadInput, GuestFailed
from bootstrap.parallel import Tell, run_each


@dataclass(frozen=True)
class Numbers:
    values: Mapping[str, int] = field(default_factory=dict)


def doubled(number: int, tell: Tell) -> int:
    tell(f"about to double {number}")
    return 2 * number


def same(value: object, tell: Tell) -> object:
    return value


def where(_task: None, tell: Tell) -> tuple[int, bool]:
    """Process id, and whether Ctrl-C can reach it."""
    return os.getpid(), signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def end_badly(how: str, tell: Tell) -> str:
    tell("alive")
    if how == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "exit":
        os._exit(0)
    if how == "input":
        raise BadInput("the worker's own words")
    if how == "guest":
        raise GuestFailed("a limit")
    if how == "half":
        # A message that never becomes whole, as of a process that dies while it writes.
        os.write(int(tell.__self__.fileno()), b"\0\0\0\x50half")  # type: ignore[attr-defined]
        os._exit(7)
    if how == "bug":
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for the rest of its life)
        raise RuntimeError("a bug")
    return how


def wait_for_ever(pids: str, tell: Tell) -> None:
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\n")
    tell("waiting")
    threading.Event().wait()


class Quiet:
    """A watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, object]] = []

    def on_start(self, number: int) -> None:
        self.told.append(("start", number, None))

    def on_note(self, number: int, note: object) -> None:
        self.told.append(("note", number, note))

    def on_end(self, number: int, result: object) -> None:
        self.told.append(("end", number, result))


class Announcing(Quiet):
    def on_note(self, number: int, note: object) -> None:
        print(note, flush=True)


if __name__ == "__main__":
    # Two workers that never end, for the tests that end this process.
    Path(sys.argv[1]).touch()
    try:
        import tests.parallel.works as me

        run_each(me.wait_for_ever, [sys.argv[1]] * 2, 2, Announcing())
    except KeyboardInterrupt:
        sys.exit(130)
