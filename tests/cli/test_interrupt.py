"""Ctrl-C ends a run at once, wherever the guest is: exit status 130 and one line."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from bootstrap.kernel.machine import Machine
from bootstrap.vfs import FileSystem, LowerFile, MemoryLower, Stream
from tests.cli.command import arguments, environment
from tests.engine.guest import Program
from tests.engine.runs import EACH_ABI, EACH_HOT_PATH, engine_for

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
        (forking, "x86_64"),
        (executing, "i386"),
    ],
)
def test_ctrl_c(tmp_path: Path, program: object, abi: str, hot_path: str) -> None:
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
        process.send_signal(signal.SIGINT)
        drained = process.stdout.read()
        said = process.stderr.read()
        assert process.wait(timeout=60) == 130
        assert said == b"bootstrap: interrupted\n"
        assert drained.replace(READY, b"") == b""
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

    fs = FileSystem(MemoryLower({b"/guest": LowerFile(0o755, calling(abi).elf())}))
    machine = Machine(fs, engine_for(hot_path))
    output = Stream(None, write)
    with pytest.raises(KeyboardInterrupt):
        machine.run(b"/guest", [b"guest"], streams=(Stream(lambda _: b""), output, output))
    # The handler that was there before is there again.
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
