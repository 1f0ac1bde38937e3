"""Records the same guest again and again, and is killed at another moment each time.

    python -m tests.trace.killed FOLDER

A moment is a number of things given to the file, or the last steps of finishing it. Each recording
has a process of its own, which kills itself by SIGKILL; FOLDER/N.trace is what it was to write. The
last line tells how many moments there were.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from bootstrap.trace import container as writing
from bootstrap.trace.recorder import Recorder
from bootstrap.trace.store import Writer
from tests.trace import recorded

MOMENTS = 50


class Mortal(Writer):
    """Dies before the given thing (a row, or what is known later of one) is written."""

    def __init__(self, name: str, moment: int) -> None:
        super().__init__(name)
        self.left = moment
        self.things = 0

    def execute(self, text: str, cells: Sequence[object] = ()) -> None:
        self.things += 1
        self.left -= 1
        if self.left == 0:
            die()
        super().execute(text, cells)


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def one(place: Path, moment: int | str) -> int:
    """Record, and die on the way; how many things there were, for who does not."""
    if moment == "before the seal":
        writing.seal = die  # type: ignore[assignment]
    elif moment == "before the renaming":
        os.replace = die  # type: ignore[assignment]
    mortal = Mortal(str(place), moment if isinstance(moment, int) else 0)
    guest, files = recorded.busy("i386"), recorded.busy_files("i386")
    recorded.finish(guest, mortal, Recorder(mortal), files=files, stdin=[b"input"])
    return mortal.things


def main(folder: Path) -> None:
    things = one(folder / "whole", 0)
    chosen = random.Random(5)
    moments: list[int | str] = ["before the seal", "before the renaming"]
    moments += [chosen.randint(1, things) for _ in range(MOMENTS - len(moments))]
    for number, moment in enumerate(moments):
        child = os.fork()
        if child == 0:
            one(folder / f"{number}.trace", moment)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != signal.SIGKILL:
            raise SystemExit(f"moment {moment}: not killed, but status {status}")
    print(len(moments))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
