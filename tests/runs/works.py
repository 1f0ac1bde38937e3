"""Workers for these tests: `python -m tests.runs.works NAME` does what NAME says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.runs.pool import Notify, WorkTask, run_each, serve
from bootstrap.signals import polite

ROOT = Path(__file__).resolve().parents[2]


def worker(*names: str) -> Callable[[], subprocess.Popen[bytes]]:
    """What starts a worker; the first, the second... as named, and then as the last."""
    left = list(names)

    def start() -> subprocess.Popen[bytes]:
        name = left.pop(0) if len(left) > 1 else left[0]
        command = [sys.executable, "-m", "tests.runs.works", name]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe)

    return start


# -- at their work ------------------------------------------------------------------------------


def doubled(number: object, notify: Notify) -> object:
    assert isinstance(number, int)
    notify(f"about to double {number}")
    print("this is not a part of it")
    return 2 * number


def pair(text: object, notify: Notify) -> object:
    return [text, text]


def where(_: object, notify: Notify) -> object:
    """Process id, and the signals that cannot reach it."""
    return os.getpid(), tuple(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def dies(how: object, notify: Notify) -> object:
    notify("alive")
    if how == "signal":
        os.kill(os.getpid(), signal.SIGSEGV)
    if how == "exit":
        os._exit(0)
    if how == "input":
        raise BadInput("the worker's own words")
    if how == "guest":
        raise GuestFailed("a limit")
    if how == "bug":
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for the rest of its life)
        raise RuntimeError("a bug")
    if how == "stopped":
        os.kill(os.getpid(), signal.SIGSTOP)
    return how


def waits(pids: object, notify: Notify) -> NoReturn:
    assert isinstance(pids, str)
    with open(pids, "a") as file:
        file.write(f"{os.getpid()}\n")
    notify("waiting")
    while True:
        threading.Event().wait()


# -- those that cannot be believed --------------------------------------------------------------


def json_frame(text: bytes) -> bytes:
    return len(text).to_bytes(8, "big") + text


RAW = {
    "text": b"Hello, world, and some more\n",
    "long": (1 << 40).to_bytes(8, "big"),
    "no json": json_frame(b"{'kind': 1}"),
    "no message": json_frame(b'{"kind": "well"}'),
    "deep": json_frame(b"[" * 100_000),
    "twice": json_frame(b'{"kind": "beat", "kind": "beat"}'),
    "longest": b"\xff" * 8,
    "odd key": json_frame(b'{"kind": "result", "blobs": 1}'),
    "odd error": json_frame(b'{"kind": "raised", "value": "an error"}'),
    "odd note": json_frame(b'{"kind": "note", "value": 7}'),
    "odd result": json_frame(b'{"kind": "result", "value": 7}'),
    "half": json_frame(b'{"kind": "beat"}') + b"\0\0\0\0\0\0\0\x50half",
}


def raw(name: str) -> None:
    os.write(1, RAW[name])
    if name != "half":
        sys.stdin.buffer.read()
    os._exit(7)


class Quiet:
    """A watcher that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int, object]] = []

    def on_start(self, number: int) -> None:
        self.heard.append(("start", number, None))

    def on_note(self, number: int, note: object) -> None:
        self.heard.append(("note", number, note))

    def on_end(self, number: int, result: object) -> None:
        self.heard.append(("end", number, result))

    @property
    def results(self) -> list[object]:
        """In the order of the tasks."""
        ends = sorted((number, result) for what, number, result in self.heard if what == "end")
        return [result for _, result in ends]


class Announcing(Quiet):
    def on_note(self, number: int, note: object) -> None:
        print(note, flush=True)


def pool(pids: str) -> int:
    """Two workers that never end, for the tests that end this process."""
    try:
        with polite():
            run_each(worker("waits"), [WorkTask("x86", pids)] * 2, 2, Announcing())
    except KeyboardInterrupt as ended:
        return int(getattr(ended, "exit_code", 130))
    return 0


if __name__ == "__main__":
    name = sys.argv[1]
    if name in RAW:
        raw(name)
    elif name == "leaves":
        os._exit(9)
    elif name == "mute":
        threading.Event().wait()
    elif name == "pool":
        sys.exit(pool(sys.argv[2]))
    else:
        serve(globals()[name])
