"""Several runs of this program's own work at once, each in a process of its own.

The one module that imports multiprocessing. It starts no host program, only this one again: always
by the `spawn` method, so that a worker begins with nothing but what it was given.

A process per run rather than a thread: the Python hot path scales with the CPUs, memory goes back
to the host when a run ends, and a crash of the engine ends one run and is seen.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from bootstrap.errors import BadInput, BootstrapError

_Task = TypeVar("_Task")
_R = TypeVar("_R")

Tell = Callable[[object], None]
"""Sends a note (anything that can be pickled) to the process that started the worker."""


@dataclass(frozen=True, slots=True)
class Died:
    """A worker that ended without a result: the engine crashed, or someone ended it."""

    exit_code: int
    """The process's exit status; a signal's number, negative, when one ended it."""

    def __str__(self) -> str:
        if self.exit_code >= 0:
            return f"ended with exit status {self.exit_code} and without a result"
        try:
            name = signal.Signals(-self.exit_code).name
        except ValueError:
            name = "unknown"
        hint = "; the host may have had no memory left" if name == "SIGKILL" else ""
        return f"was ended by signal {-self.exit_code} ({name}){hint}"


class Watcher(Protocol):
    """Is told, in the process that called `run_each`, how the tasks go; they go by number."""

    def on_start(self, number: int) -> None:
        """A worker was started for the task."""

    def on_note(self, number: int, note: Any) -> None:
        """What the worker told."""

    def on_end(self, number: int, result: Any) -> None:
        """Its result, or `Died`."""


@dataclass(frozen=True, slots=True)
class _Raised:
    """A worker's last message: the error that it ended with."""

    error: BootstrapError


@dataclass(frozen=True, slots=True)
class _Result:
    """A worker's last message: what came of its work."""

    value: object


@dataclass(slots=True)
class _Worker:
    number: int
    process: SpawnProcess
    messages: connection.Connection
    last: _Result | _Raised | None = None


def run_each(
    work: Callable[[_Task, Tell], _R], tasks: Sequence[_Task], jobs: int, watcher: Watcher
) -> list[_R | Died]:
    """Do `work(task, tell)` for each task, at most `jobs` (at least 1) at once, in order of start.

    `work` is a function of a module; tasks, notes and results can be pickled. Gives the results in
    the order of the tasks; a worker that died gives `Died`. Raises the first BootstrapError that a
    worker raised, and BadInput when no process can be started. Whatever it raises, be it
    KeyboardInterrupt, no worker outlives the call.
    """
    results: dict[int, _R | Died] = {}
    waiting = list(enumerate(tasks))
    running: list[_Worker] = []
    try:
        while waiting or running:
            while waiting and len(running) < max(jobs, 1):
                number, task = waiting.pop(0)
                running.append(_start(number, work, task))
                watcher.on_start(number)
            connection.wait([worker.messages for worker in running])
            for worker in [w for w in running if not _listen(w, watcher)]:
                running.remove(worker)
                worker.messages.close()
                worker.process.join()
                results[worker.number] = _outcome(worker)
                watcher.on_end(worker.number, results[worker.number])
    finally:
        for worker in running:
            worker.process.kill()
        for worker in running:
            worker.process.join()
            worker.messages.close()
    return [results[number] for number in range(len(tasks))]


def _start(number: int, work: Callable[..., Any], task: object) -> _Worker:
    context = multiprocessing.get_context("spawn")
    messages, theirs = context.Pipe(duplex=False)
    name = f"bootstrap-worker-{number}"
    process = context.Process(target=_main, args=(work, task, theirs), name=name, daemon=True)
    try:
        with _no_interrupts():
            process.start()
    except OSError as error:
        raise BadInput(
            f"cannot start a process for another run: {error.strerror or error}; try fewer --jobs"
        ) from error
    # Only the worker holds the sending end now: when the worker ends, however, reading ends.
    theirs.close()
    return _Worker(number, process, messages)


def _listen(worker: _Worker, watcher: Watcher) -> bool:
    """Read what is there; whether there may be more."""
    try:
        while worker.messages.poll():
            message = worker.messages.recv()
            if isinstance(message, (_Result, _Raised)):
                worker.last = message
            else:
                watcher.on_note(worker.number, message)
    except (EOFError, OSError, pickle.UnpicklingError):
        # A worker that died while it wrote leaves a part of a message.
        return False
    return True


def _outcome(worker: _Worker) -> Any:
    if isinstance(worker.last, _Raised):
        raise worker.last.error
    if worker.last is None:
        return Died(worker.process.exitcode or 0)
    return worker.last.value


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """What is started here never gets Ctrl-C, which a terminal sends to all processes at once.

    The blocked set is inherited (signal(7)). So one process, ours, decides and ends the others;
    our own interrupt waits until the block is over, none is lost.
    """
    # Whoever starts first starts this too, and it would unblock the signal again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- in the worker ------------------------------------------------------------------------------


def _main(work: Callable[..., Any], task: object, messages: connection.Connection) -> None:
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    try:
        last: _Result | _Raised = _Result(work(task, messages.send))
    except BootstrapError as error:
        last = _Raised(error)
    messages.send(last)
    messages.close()


def _end_with_parent() -> None:
    """A worker whose parent is gone has nobody to work for."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


# -- values of ours that pickle does not know ---------------------------------------------------


def _read_only(values: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(values)


ForkingPickler.register(MappingProxyType, lambda values: (_read_only, (dict(values),)))
