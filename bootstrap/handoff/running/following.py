"""Runs a box to its end, hears what it says, and ends it when it has to be ended."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from bootstrap.errors import BadInput
from bootstrap.handoff.running.box import Box, Engine, Leftovers
from bootstrap.handoff.running.limits import apply_to_this_process

_CHUNK = 1 << 16
_TICK = 0.2
_PATIENCE = 5.0


@dataclass(frozen=True)
class Ended:
    """How a box ended.

    ``status`` is its exit status, 128 + N when signal N ended it or its engine; ``over_time`` says
    that its time was up.
    """

    status: int
    seconds: float
    over_time: bool = False


def run_box(
    engine: Engine,
    box: Box,
    hear: Callable[[bytes], object],
    tick: Callable[[float], object] | None = None,
    seconds: float | None = None,
) -> Ended:
    """Run it, in the foreground and without input; ``hear`` gets what it writes, as it comes.

    Ctrl-C, and whatever ``hear`` raises, ends the container at once and goes on from here.
    Raises BadInput when the engine cannot be started.
    """
    leftovers = Leftovers(box.root) if engine.leaves else None
    try:
        command = engine.prepare(box)
        started = time.monotonic()
        limits = engine.limits_of_child(box)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for us: a client that also got it might leave its container behind.
                start_new_session=True,
                preexec_fn=None if limits is None else lambda: apply_to_this_process(limits),
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise BadInput(f"{command[0]}: cannot be started: {error}") from None
        over_time = False
        try:
            over_time = _follow(process, hear, tick, started, seconds)
        finally:
            if process.poll() is None:
                _end(engine, box, process)
            if process.stdout is not None:
                process.stdout.close()
        status = process.returncode
        ended = Ended(
            status if status >= 0 else 128 - status, time.monotonic() - started, over_time
        )
        engine.finish(box)
        return ended
    finally:
        if leftovers is not None:
            leftovers.clear()


def _follow(
    process: subprocess.Popen[bytes],
    hear: Callable[[bytes], object],
    tick: Callable[[float], object] | None,
    started: float,
    seconds: float | None,
) -> bool:
    """Hear it to the end of its output and its own; True when its time was up before."""
    assert process.stdout is not None

    def is_over() -> bool:
        passed = time.monotonic() - started
        if tick is not None:
            tick(passed)
        return seconds is not None and passed > seconds

    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if is_over():
                return True
            if selector.select(_TICK):
                data = os.read(process.stdout.fileno(), _CHUNK)
                if not data:
                    break
                hear(data)
    while process.poll() is None:
        if is_over():
            return True
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TICK)
    return False


def _end(engine: Engine, box: Box, process: subprocess.Popen[bytes]) -> None:
    """Kill the container, then what stands for it here; come back when nobody in it can write."""
    engine.kill(box)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    assert process.stdout is not None
    # A namespace dies a little after its first process: the output ends when all are gone.
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(_PATIENCE) and os.read(process.stdout.fileno(), _CHUNK):
            pass
