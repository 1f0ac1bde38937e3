"""Several runs of this program's own work at once, each in a process of its own.

A process per run rather than a thread: the Python hot path scales with the CPUs, memory goes back
to the host when a run ends, and a crash of the engine ends one run and is seen.

Both sides speak in frames over pipes: a kind, a length with a maximum, and that many bytes. A frame
is JSON (a `_Message`) or a blob; a message says how many blobs follow it. Nothing that comes from a
worker is ever executed (no pickles), and what cannot be decoded ends the run.
"""

from __future__ import annotations

import hashlib
import json
import os
import queue
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

MAX_BLOB = 2 << 30
"""Bytes; twice what a guest's file may have by default (bootstrap.linux.limits)."""
MAX_BLOBS = 200_000
"""In one message; twice as many files as a guest may make by default."""
BEAT = 1.0
"""Seconds from one sign of life to the next."""
SILENCE = 60
"""After so many of our own beats without a sign of it a worker is given up: a thread of its own
gives the sign, so only a process that does not run at all is that silent; and on a host with ten
processes to a core a new one has taken more than 8 seconds to its first sign."""

_HEADER = struct.Struct(">cQ")
_JSON, _BLOB = b"J", b"B"
_CHUNK = 1 << 20

Notify = Callable[[object], None]
"""Sends a note, anything that `bootstrap.documents.encode` knows, to whoever started the worker."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes from a worker, hashed here. `data` is empty unless they were to be kept."""

    size: int
    sha256: str
    data: bytes


@dataclass(frozen=True, slots=True)
class WorkTask:
    """What a worker is given: a name for messages, plain values (`encode`), and bytes."""

    name: str
    value: object
    blobs: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class WorkResult:
    """What it gives back: plain values that nobody has checked yet, and bytes."""

    value: object
    blobs: tuple[Blob, ...]


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
    blobs: int = 0


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
        self.heard = False
        """It has given a sign of life since somebody looked last."""

    def _hear(self) -> None:
        self.heard = True

    def do(
        self, task: WorkTask, keep: bool = True, note: Callable[[_Message], None] | None = None
    ) -> WorkResult:
        """Have a task done; `note` gets all that it says before the last word. Raises EOFError
        where it ends, BootstrapError, BadValue, MemoryError: it is of no more use then."""
        theirs, ours = self.process.stdin, self.process.stdout
        assert theirs is not None and ours is not None
        with suppress(OSError):  # it has died, which reading shows
            _send(theirs, _Message("task", task.value), task.blobs)
        while True:
            message = _read_message(ours, self._hear)
            if message.kind == "result":
                blobs = tuple(_read_blob(ours, self._hear, keep) for _ in range(message.blobs))
                return WorkResult(message.value, blobs)
            if note is not None:
                note(message)

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
    begun: bool = False
    """It has said something."""
    silent: int = 0
    """For so many of our beats."""

    def end(self) -> None:
        """Wait for the end of a worker that has given its result, or is not to go on."""
        self.worker.kill()
        if self.thread is not None:
            self.thread.join()
        self.worker.close()


_Said = _Message | WorkResult | Exception | None
"""A message, the last one with its blobs, what is wrong; None: the worker has ended."""


def run_each(
    start: Callable[[], Process],
    tasks: Sequence[WorkTask],
    jobs: int,
    watcher: WorkWatcher,
    keep_blobs: bool = False,
) -> None:
    """Have each task done by a worker, at most `jobs` (at least 1) at once, in order of start.

    `start` starts a worker, which calls `serve`; `watcher` gets the results. Raises the
    BootstrapError of a worker; BadInput for one that cannot be started or dies before its first
    word; GuestFailed for one that falls silent or says what cannot be decoded. Whatever it raises,
    KeyboardInterrupt too, no worker outlives it.
    """
    waiting = list(enumerate(tasks))
    running: list[_Running] = []
    inbox: queue.SimpleQueue[tuple[_Running, _Said]] = queue.SimpleQueue()
    beat = time.monotonic() + BEAT
    try:
        while waiting or running:
            while waiting and len(running) < max(jobs, 1):
                number, task = waiting.pop(0)
                with held:
                    one = _Running(number, task, WorkerProcess(start))
                    running.append(one)
                one.thread = threading.Thread(
                    target=_converse, args=(one, inbox, keep_blobs), daemon=True
                )
                one.thread.start()
                watcher.on_start(number)
            with suppress(queue.Empty):
                one, said = inbox.get(timeout=max(beat - time.monotonic(), 0))
                if said is None or isinstance(said, WorkResult):
                    running.remove(one)
                    one.end()
                _hear(one, said, watcher)
            if time.monotonic() >= beat:
                # One beat, however long we did not run ourselves (Ctrl-Z): then nobody did.
                beat = time.monotonic() + BEAT
                for one in running:
                    _check_alive(one)
    finally:
        with held:
            for one in running:
                one.worker.kill()
            for one in running:
                one.end()


def _hear(one: _Running, said: _Said, watcher: WorkWatcher) -> None:
    """Hand on what a worker said. Raises as `run_each` does."""
    name, number = one.task.name, one.number
    if said is None:
        died = Died(one.worker.process.returncode)
        if not one.begun:
            raise BadInput(
                f"{name}: the process that should emulate it {died}, before its first word; "
                "nothing was run; bootstrap doctor says whether the installation is whole"
            )
        watcher.on_end(number, died)
        return
    one.begun = True
    try:
        if isinstance(said, Exception):
            raise said
        if isinstance(said, WorkResult):
            watcher.on_end(number, said)
        elif said.kind == "note":
            watcher.on_note(number, said.value)
        elif said.kind == "raised":
            raised = typed(_Raised, said.value)
            raise (GuestFailed if raised.guest else BadInput)(raised.message)
    except BadValue as fault:
        raise GuestFailed(
            f"{name}: what the process that emulates it says is no result ({fault}); nothing of it "
            "is believed"
        ) from None


def _check_alive(one: _Running) -> None:
    one.silent = 0 if one.worker.heard else one.silent + 1
    one.worker.heard = False
    if one.silent >= SILENCE:
        raise GuestFailed(
            f"{one.task.name}: the process that emulates it has given no sign of life for "
            f"{SILENCE * BEAT:.0f} seconds; nothing that it made is known"
        )


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


def _converse(one: _Running, inbox: queue.SimpleQueue[tuple[_Running, _Said]], keep: bool) -> None:
    """In a thread: give a worker its task, and hand on what it says until its last word."""
    said: _Said = None
    try:
        said = one.worker.do(one.task, keep, lambda message: inbox.put((one, message)))
    except EOFError:
        one.worker.process.wait()
    except (BadValue, BootstrapError, MemoryError) as error:
        said = error
    inbox.put((one, said))


def _read_blob(stream: IO[bytes], heard: Callable[[], None], keep: bool) -> Blob:
    size = _read_header(stream, _BLOB)
    sha256 = hashlib.sha256()
    kept: list[bytes] = []
    for chunk in _chunks(stream, size):
        heard()
        sha256.update(chunk)
        if keep:
            kept.append(chunk)
    return Blob(size, sha256.hexdigest(), b"".join(kept))


# -- frames -------------------------------------------------------------------------------------


def _send(stream: IO[bytes], message: _Message, blobs: Sequence[bytes] = ()) -> None:
    """Raises GuestFailed for what is over a maximum, OSError."""
    text = json.dumps(encode(_Message(message.kind, message.value, len(blobs)))).encode("ascii")
    for kind, data in ((_JSON, text), *((_BLOB, blob) for blob in blobs)):
        if len(data) > _MOST[kind] or len(blobs) > MAX_BLOBS:
            raise GuestFailed(
                f"a run's {_NAMES[kind]} of {len(data)} bytes does not go from one process to "
                f"another (at most {_MOST[kind]}, and {MAX_BLOBS} files); verify one architecture"
            )
        stream.write(_HEADER.pack(kind, len(data)))
        stream.write(data)
    stream.flush()


_MOST = {_JSON: MAX_DOCUMENT, _BLOB: MAX_BLOB}
_NAMES = {_JSON: "record", _BLOB: "file"}


def _read_message(stream: IO[bytes], heard: Callable[[], None] = lambda: None) -> _Message:
    """Raises EOFError where the stream ends, BadValue for what is no message."""
    size = _read_header(stream, _JSON)
    heard()
    try:
        message = from_json(_Message, b"".join(_chunks(stream, size)), "frame")
    except BadInput as error:
        raise BadValue(f"is no message: {error}") from None
    if not 0 <= message.blobs <= MAX_BLOBS:
        raise BadValue(f"is a message with {message.blobs} files")
    return message


def _read_header(stream: IO[bytes], wanted: bytes) -> int:
    kind, size = _HEADER.unpack(b"".join(_chunks(stream, _HEADER.size)))
    if kind != wanted or size > _MOST[wanted]:
        raise BadValue(f"is a frame of kind {kind!r} and {size} bytes")
    assert isinstance(size, int)
    return size


def _chunks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        chunk = stream.read(min(size, _CHUNK))
        if not chunk:
            raise EOFError
        size -= len(chunk)
        yield chunk


# -- in the worker ------------------------------------------------------------------------------


def serve(work: Callable[[object, list[bytes], Notify], tuple[object, list[bytes]]]) -> None:
    """Do the tasks that come on standard input, one after another, and give the result of each on
    standard output.

    Whatever else is printed goes to standard error. Ends the process when its parent is gone.
    """
    stdin = os.fdopen(os.dup(0), "rb")
    stdout = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    lock = threading.Lock()
    tasks: queue.SimpleQueue[tuple[object, list[bytes]]] = queue.SimpleQueue()

    def say(message: _Message, blobs: Sequence[bytes] = ()) -> None:
        with lock:
            _send(stdout, message, blobs)

    def beat() -> None:
        with suppress(OSError):  # nobody hears it any more
            while True:
                say(_Message("beat"))
                time.sleep(BEAT)

    def listen() -> None:
        try:
            while True:
                message = _read_message(stdin)
                sizes = (_read_header(stdin, _BLOB) for _ in range(message.blobs))
                tasks.put((message.value, [b"".join(_chunks(stdin, size)) for size in sizes]))
        finally:  # its parent is gone
            os._exit(1)

    threading.Thread(target=beat, daemon=True).start()
    threading.Thread(target=listen, daemon=True).start()
    while True:
        given = tasks.get()
        try:
            value, blobs = work(*given, lambda note: say(_Message("note", note)))
            say(_Message("result", value), blobs)
        except BootstrapError as error:
            say(_Message("raised", _Raised(str(error), isinstance(error, GuestFailed))))
            # Not by the interpreter's own end, which would wait for a thread that holds a stream.
            os._exit(0)
