"""A polite signal ends a run at once, wherever the guest is: an exit status and one line.

It is never lost, and never taken for a failure of the guest.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from bootstrap import signals
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Stream
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from bootstrap.signals import Terminated
from tests.cli.command import arguments, environment
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, engine_for

READY = b"ready\n"


def ready(abi: str) -> Program:
    guest = Program(abi)
    return guest.call("write", 1, guest.data(READY), len(READY))


def looping(abi: str) -> Program:
    return ready(abi).label("again").jmp("again")


def calling(abi: str) -> Program:
    guest = ready(abi)
    return guest.label("again").call("getpid").call("brk", 0).jmp("again")


def reading(abi: str) -> Program:
    """Waits for input that never comes."""
    guest = ready(abi)
    return guest.call("read", 0, guest.space(8), 1).exit(0)


def forking(abi: str) -> Program:
    guest = ready(abi).label("again").call("fork").jump_if_zero("child")
    return guest.call("wait4", -1, 0, 0, 0).jmp("again").label("child").exit(0)


def filling(abi: str) -> Program:
    """Fills a pipe that nobody reads."""
    guest = ready(abi).label("again")
    return guest.call("write", 1, guest.space(65536), 65536).jmp("again")


def executing(abi: str) -> Program:
    """Says that it is ready, and executes itself, for ever."""
    guest = ready(abi)
    return guest.call("execve", guest.text(b"/guest"), 0, 0).exit(1)


@EACH_HOT_PATH
@pytest.mark.parametrize(
    ("program", "abi"),
    [
        (looping, "i386"),
        (looping, "x86_64"),
        (calling, "i386"),
        (calling, "x86_64"),
        (reading, "i386"),
        (filling, "i386"),
        (forking, "x86_64"),
        (executing, "i386"),
    ],
)
def test_every_way_to_wait(tmp_path: Path, program: object, abi: str, hot_path: str) -> None:
    end(tmp_path, program, abi, hot_path, signal.SIGINT, 130, b"bootstrap: interrupted\n")


@pytest.mark.parametrize("program", [looping, reading])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup(tmp_path: Path, program: object, number: signal.Signals) -> None:
    said = f"bootstrap: ended by {number.name}\n".encode()
    end(tmp_path, program, "i386", "python", number, 128 + number, said)


def end(
    tmp_path: Path, program: object, abi: str, hot_path: str,
    number: signal.Signals, status: int, said: bytes,
) -> None:  # fmt: skip
    engine_for(hot_path)
    assert callable(program)
    guest = tmp_path / "guest"
    guest.write_bytes(program(abi).elf())
    guest.chmod(0o755)
    process = subprocess.Popen(
        arguments("run", "--root", tmp_path, "--", "/guest"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment({"BOOTSTRAP_HOT_PATH": hot_path}),
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        # The guest runs once it has said so.
        assert os.read(process.stdout.fileno(), len(READY)) == READY
        process.send_signal(number)
        assert process.wait(timeout=60) == status
        assert process.stderr.read() == said
        drained = process.stdout.read()
        assert drained.replace(READY, b"").strip(b"\0") == b""
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            assert stream is not None
            stream.close()


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize("real", [True, False], ids=["signal", "exception"])
def test_inside_a_system_call_that_python_serves(abi: str, hot_path: str, real: bool) -> None:
    def write(data: bytes) -> int:
        if real:
            signal.raise_signal(signal.SIGINT)
        else:
            raise KeyboardInterrupt
        return len(data)

    fs = OverlayFileSystem(MemoryLower({b"/guest": LowerFile(0o755, calling(abi).elf())}))
    machine = LinuxMachine(fs, engine_for(hot_path))
    output = Stream(None, write)
    with pytest.raises(KeyboardInterrupt):
        machine.run(b"/guest", [b"guest"], streams=(Stream(lambda _: b""), output, output))
    # The handler that was there before is there again.
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def busy(abi: str) -> Program:
    """Starts children for ever, each of which calls the kernel, computes and executes itself."""
    guest = Program(abi).label("again").call("fork").jump_if_zero("child")
    guest.call("wait4", -1, 0, 0, 0).jmp("again").label("child")
    for _ in range(200):
        guest.call("getpid").call("brk", 0)
    return guest.call("execve", guest.text(b"/guest"), 0, 0).exit(1)


@EACH_HOT_PATH
@pytest.mark.parametrize("number", signals.POLITE)
def test_at_any_moment(number: int, hot_path: str) -> None:
    fs = OverlayFileSystem(MemoryLower({b"/guest": LowerFile(0o755, busy("i386").elf())}))
    engine = engine_for(hot_path)
    with pytest.raises(GuestFailed):
        # All that is imported late is there: an import that ends in the middle is not what this is.
        LinuxMachine(fs, engine, RunLimits(processes=3)).run(b"/guest", [b"guest"])
    moments = random.Random(14)
    for _ in range(40):
        sender = threading.Timer(moments.uniform(0, 0.03), os.kill, (os.getpid(), number))
        with pytest.raises(KeyboardInterrupt) as caught, signals.polite():
            sender.start()
            LinuxMachine(fs, engine).run(b"/guest", [b"guest"])
        sender.join()
        kind = KeyboardInterrupt if number == signal.SIGINT else Terminated
        assert caught.type is kind and str(caught.value) in ("", signal.Signals(number).name)


def test_an_exception_that_is_lost_on_its_way_is_raised_at_the_end() -> None:
    with pytest.raises(Terminated), signals.polite():
        with contextlib.suppress(Terminated):
            signal.raise_signal(signal.SIGTERM)
        raise ValueError("a failure that must not hide the signal")


def test_what_a_finaliser_loses_is_raised_at_the_next_check(
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Loses:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Terminated), signals.polite():
        Loses()
        with signals.held:
            pass
        raise AssertionError("it was not raised")
    assert capfd.readouterr().err == ""


def test_what_is_held_is_whole() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with signals.held:
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")
        done.append("no more")
    assert done == ["all of it"]


@pytest.mark.parametrize("moment", ["made", "used", "removed"])
def test_a_scratch_folder_is_gone_whenever_a_signal_comes(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, removed = tempfile.TemporaryDirectory, os.unlink

    def making(*args: Any, **kwargs: Any) -> object:
        folder = made(*args, **kwargs)
        signal.raise_signal(signal.SIGTERM)
        return folder

    def removing(*args: Any, **kwargs: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        removed(*args, **kwargs)

    if moment == "made":
        monkeypatch.setattr(tempfile, "TemporaryDirectory", making)
    with pytest.raises(Terminated), signals.polite(), signals.scratch_folder("x-", tmp_path) as one:
        (one / "file").touch()
        if moment == "removed":
            monkeypatch.setattr(os, "unlink", removing)
        else:
            signal.raise_signal(signal.SIGTERM)
    monkeypatch.undo()
    assert not list(tmp_path.iterdir())


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with signals.polite():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
