"""Several runs of this program's own work at once, each in a process of its own.

A process per run rather than a thread: the Python hot path scales with the CPUs, memory goes back
to the host when a run ends, and a crash of the engine ends one run and is seen.

Both sides speak in frames over pipes: a length with a maximum, and so many bytes of JSON (a
`_Message`). Nothing that comes from a worker is ever executed (no pickles), and what cannot be
decoded ends the run.
"""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from bootstrap.core.errors import BadInput, BootstrapError, GuestFailed
from bootstrap.documents import MAX_DOCUMENT, BadValue, encode, from_json, typed
from bootstrap.signals import POLITE, held

if TYPE_CHECKING:
    from bootstrap.host import Process

MAX_FRAME = 4 * MAX_DOCUMENT
"""Bytes; files go in hexadecimal digits."""
BEAT = 1.0
"""Seconds from one sign of life to the next."""
SILENCE = 60
"""After so many of our own beats without a sign of it a worker is given up: a thread of its own
gives the sign, so only a process that does not run at all is that silent; and on a host with ten
processes to a core a new one has taken more than 8 seconds to its first sign."""

_HEADER = struct.Struct(">Q")
_CHUNK = 1 << 20

Notify = Callable[[object], None]
"""Sends a note, anything that `bootstrap.documents.encode` knows, to whoever started the worker."""


@dataclass(frozen=True, slots=True)
class WorkTask:
    """What a worker is given: a name for messages, and plain values (`encode`)."""

    name: str
    value: object


@dataclass(frozen=True, slots=True)
class WorkResult:
    """What it gives back: plain values that nobody has checked yet."""

    value: object


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


class WorkWatcher(Protocol):
    """Hears, in the process that called `run_each`, how the tasks go; they go by number.

    Raises documents.Fault for what a worker cannot have meant.
    """

    def on_start(self, number: int) -> None:
        """A worker was started for the task."""

    def on_note(self, number: int, note: Any) -> None:
        """A note of the worker, in plain values."""

    def on_end(self, number: int, result: WorkResult | Died) -> None:
        """What came of it; a worker that died at its work gives `Died`."""


@dataclass(frozen=True, slots=True)
class _Raised:
    """A BootstrapError that ended a worker."""

    message: str
    guest: bool
    """Whether it is GuestFailed; else BadInput."""


@dataclass(frozen=True, slots=True)
class _Message:
    kind: Literal["task", "beat", "note", "raised", "result"]
    value: object = None


class WorkerProcess:
    """A process that does one task after another, for one thread of ours."""

    def __init__(self, start: Callable[[], Process]) -> None:
        """Raises BadInput where no process can be started."""
        with held, _blocked():
            try:
                self.process = start()
            except OSError as error:
                raise BadInput(
                    f"cannot start a process for another run: {error.strerror or error}; "
                    "try fewer --jobs"
                ) from error
        self.begun = False
        """It has said something."""

    def do(self, task: WorkTask, note: Callable[[Any], None]) -> WorkResult:
        """Have a task done; `note` gets its notes. Raises EOFError where it ends, BootstrapError
        (its own; silence), BadValue, MemoryError: it is of no more use then."""
        theirs, ours = self.process.stdin, self.process.stdout
        assert theirs is not None and ours is not None
        with suppress(OSError):  # it has died, which reading shows
            _send(theirs, _Message("task", task.value))
        frames = _Frames(ours.fileno(), task.name)
        while True:
            message = frames.next()
            self.begun = True
            if message.kind == "result":
                return WorkResult(message.value)
            if message.kind == "raised":
                raised = typed(_Raised, message.value)
                raise (GuestFailed if raised.guest else BadInput)(raised.message)
            if message.kind == "note":
                note(message.value)

    def kill(self) -> None:
        """End it, from any thread."""
        self.process.kill()

    def close(self) -> None:
        """End it, from the thread that it works for, or after that."""
        self.process.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):  # what a dead worker did not take
                    stream.close()
        self.process.wait()


@dataclass(slots=True)
class _Running:
    number: int
    task: WorkTask
    worker: WorkerProcess
    thread: threading.Thread | None = None

    def end(self) -> None:
        """Wait for the end of a worker that has given its result, or is not to go on."""
        self.worker.kill()
        if self.thread is not None:
            self.thread.join()
        self.worker.close()


@dataclass(frozen=True, slots=True)
class _Note:
    value: Any


_Said = _Note | WorkResult | Exception | None
"""A note, the last word, what is wrong; None: the worker has ended."""
_Inbox = queue.SimpleQueue[tuple["_Running", "_Said"]]


def run_each(
    start: Callable[[], Process],
    tasks: Sequence[WorkTask],
    jobs: int,
    watcher: WorkWatcher,
) -> None:
    """Have each task done by a worker, at most `jobs` (at least 1) at once, in order of start.

    `start` starts a worker, which calls `serve`; `watcher` gets the results. Raises the
    BootstrapError of a worker; BadInput for one that cannot be started or dies before its first
    word; GuestFailed for one that falls silent or says what cannot be decoded. Whatever it raises,
    KeyboardInterrupt too, no worker outlives it.
    """
    waiting = list(enumerate(tasks))
    running: list[_Running] = []
    inbox: _Inbox = queue.SimpleQueue()
    try:
        while waiting or running:
            while waiting and len(running) < max(jobs, 1):
                number, task = waiting.pop(0)
                with held:
                    one = _Running(number, task, WorkerProcess(start))
                    running.append(one)
                one.thread = threading.Thread(target=_converse, args=(one, inbox), daemon=True)
                one.thread.start()
                watcher.on_start(number)
            one, said = inbox.get()
            if not isinstance(said, _Note):
                running.remove(one)
                one.end()
            _hear(one, said, watcher)
    finally:
        with held:
            for one in running:
                one.end()


def _hear(one: _Running, said: _Said, watcher: WorkWatcher) -> None:
    """Hand on what a worker said. Raises as `run_each` does."""
    name, number = one.task.name, one.number
    try:
        if isinstance(said, Exception):
            raise said
        if isinstance(said, _Note):
            watcher.on_note(number, said.value)
        elif isinstance(said, WorkResult):
            watcher.on_end(number, said)
        elif one.worker.begun:
            watcher.on_end(number, Died(one.worker.process.returncode))
        else:
            raise BadInput(
                f"{name}: the process that should emulate it "
                f"{Died(one.worker.process.returncode)}, before its first word; "
                "nothing was run; bootstrap doctor says whether the installation is whole"
            )
    except BadValue as fault:
        raise GuestFailed(
            f"{name}: what the process that emulates it says is no result ({fault}); nothing of it "
            "is believed"
        ) from None


@contextmanager
def _blocked() -> Iterator[None]:
    """What is started here never gets what a terminal or a supervisor sends to all processes.

    The blocked set is inherited (signal(7)). So one process, ours, decides and ends the others.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, POLITE)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _converse(one: _Running, inbox: _Inbox) -> None:
    """In a thread: give a worker its task, and hand on what it says until its last word."""
    said: _Said = None
    try:
        said = one.worker.do(one.task, lambda value: inbox.put((one, _Note(value))))
    except EOFError:
        one.worker.process.wait()
    except (BadValue, BootstrapError, MemoryError) as error:
        said = error
    inbox.put((one, said))


# -- frames -------------------------------------------------------------------------------------


def _send(stream: IO[bytes], message: _Message) -> None:
    """Raises GuestFailed for what is over the maximum, OSError."""
    text = json.dumps(encode(message)).encode("ascii")
    if len(text) > MAX_FRAME:
        raise GuestFailed(
            f"a record of {len(text)} bytes does not go from one process to another (at most "
            f"{MAX_FRAME})"
        )
    stream.write(_HEADER.pack(len(text)) + text)
    stream.flush()


class _Frames:
    """What comes in a pipe; with `name`, the other side's, that must not be silent."""

    def __init__(self, fd: int, name: str = "") -> None:
        self._fd, self._name = fd, name
        self._ready = select.poll()
        self._ready.register(fd, select.POLLIN)

    def next(self) -> _Message:
        """Raises EOFError where it ends, BadValue for what is no message, GuestFailed: silence."""
        [size] = _HEADER.unpack(self._read(_HEADER.size))
        if size > MAX_FRAME:
            raise BadValue(f"is a frame of {size} bytes")
        try:
            return from_json(_Message, self._read(size), "frame", limit=MAX_FRAME)
        except BadInput as error:
            raise BadValue(f"is no message: {error}") from None

    def _read(self, size: int) -> bytes:
        chunks = []
        while size:
            if self._name:
                self._wait()
            chunk = os.read(self._fd, min(size, _CHUNK))
            if not chunk:
                raise EOFError
            chunks.append(chunk)
            size -= len(chunk)
        return b"".join(chunks)

    def _wait(self) -> None:
        """Beat by beat: where we did not run ourselves (Ctrl-Z), nobody did."""
        for _ in range(SILENCE):
            if self._ready.poll(BEAT * 1000):
                return
        raise GuestFailed(
            f"{self._name}: the process that emulates it has given no sign of life for "
            f"{SILENCE * BEAT:.0f} seconds; nothing that it made is known"
        )


# -- in the worker ------------------------------------------------------------------------------


def serve(work: Callable[[object, Notify], object]) -> None:
    """Do the tasks that come on standard input, one after another, and give the result of each on
    standard output.

    Whatever else is printed goes to standard error. Ends the process when its parent is gone.
    """
    stdin = _Frames(os.dup(0))
    stdout = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    lock = threading.Lock()
    tasks: queue.SimpleQueue[object] = queue.SimpleQueue()

    def say(message: _Message) -> None:
        with lock:
            _send(stdout, message)

    def beat() -> None:
        with suppress(OSError):  # nobody hears it any more
            while True:
                say(_Message("beat"))
                time.sleep(BEAT)

    def listen() -> None:
        try:
            while True:
                tasks.put(stdin.next().value)
        finally:  # its parent is gone
            os._exit(1)

    threading.Thread(target=beat, daemon=True).start()
    threading.Thread(target=listen, daemon=True).start()
    while True:
        given = tasks.get()
        try:
            value = work(given, lambda note: say(_Message("note", note)))
            say(_Message("result", value))
        except BootstrapError as error:
            say(_Message("raised", _Raised(str(error), isinstance(error, GuestFailed))))
            # Not by the interpreter's own end, which would wait for a thread that holds a stream.
            os._exit(0)
