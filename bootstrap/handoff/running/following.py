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

from bootstrap.core.errors import BadInput
from bootstrap.handoff.running.box import Box, Engine, Leftovers, Started
from bootstrap.signals import held

_CHUNK = 1 << 16
_TICK = 0.2
_PATIENCE = 60.0


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
    Raises BadInput when the engine cannot be started, or the container cannot be ended.
    """
    leftovers = Leftovers(box.root) if engine.leaves else None
    try:
        command = engine.prepare(box)
        begun = time.monotonic()
        started = None
        over_time = False
        try:
            with held:
                started = engine.start(box, command)
            process = started.process
            over_time = _follow(process, hear, tick, begun, seconds)
            if over_time:
                _end(engine, box, started)
                _hear_rest(process, hear)
        finally:
            if started is not None:
                with held:
                    _end_and_close(engine, box, started)
        status = process.returncode
        ended = Ended(status if status >= 0 else 128 - status, time.monotonic() - begun, over_time)
        engine.finish(box)
        return ended
    finally:
        if leftovers is not None:
            leftovers.clear()


def _end_and_close(engine: Engine, box: Box, started: Started) -> None:
    try:
        _end(engine, box, started)
    finally:
        if started.process.stdout is not None:
            started.process.stdout.close()
        if started.first != -1:
            os.close(started.first)


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


def _hear_rest(process: subprocess.Popen[bytes], hear: Callable[[bytes], object]) -> None:
    """What is in the pipe of a process that has ended."""
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while selector.select(0) and (data := os.read(process.stdout.fileno(), _CHUNK)):
            hear(data)


def _end(engine: Engine, box: Box, started: Started) -> None:
    """Kill the container if need be, and what stands for it here; come back when all are gone.

    Raises BadInput when they are not.
    """
    process = started.process
    if process.poll() is None:
        try:
            engine.kill(box)
            if started.first == -1:
                # It ends by itself now, when it has passed on what the container wrote.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if started.first != -1:
        # With it goes all that a step left in the container.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(started.first, signal.SIGKILL)
    _require_gone(started, box)


def _require_gone(started: Started, box: Box) -> None:
    """Come back when nobody in the container can write any more.  Raises BadInput when some can.

    bubblewrap's client ends a little before its namespace, whose first process ends last of all
    (pid_namespaces(7)); a program that a step left behind may well have closed the output.
    """
    if started.first == -1:
        return
    with selectors.DefaultSelector() as selector:
        selector.register(started.first, selectors.EVENT_READ)
        if not selector.select(_PATIENCE):
            raise BadInput(
                f"the container {box.name} was ended, and {_PATIENCE:.0f} s later has not; when it"
                " has, --resume goes on"
            )
