"""A container is over when nobody in it is left; an engine that cannot end it is an error."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.handoff.containers import running
from bootstrap.handoff.containers.container import Container, Started
from bootstrap.handoff.containers.engines import ContainerEngine, popen
from bootstrap.handoff.containers.programs import lay_out_probe
from bootstrap.handoff.containers.running import run_container
from bootstrap.signals import polite
from tests.handoff.running.conftest import require, working
from tests.handoff.running.small import ARCH


class Stand(ContainerEngine):
    """An engine whose client is one program of the host's, and whose container is another."""

    name, leaves = "stand-in", False

    def __init__(self, client: list[str], first: int = -1, fifo: Path | None = None) -> None:
        self.client, self.first, self.fifo = client, first, fifo

    def prepare(self, container: Container) -> list[str]:
        return self.client

    def start(self, container: Container, command: list[str]) -> Started:
        return Started(popen(command), -1 if self.first == -1 else os.pidfd_open(self.first))

    def kill(self, container: Container) -> None:
        if self.fifo is not None:
            self.fifo.write_text("end\n")
        if self.first != -1:
            os.kill(self.first, signal.SIGKILL)


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container("name", tmp_path / "root", ARCH, ())


def test_a_container_that_outlives_its_client(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as first:
        assert run_container(Stand(["true"], first.pid), container, print).status == 0
        assert first.wait() == -signal.SIGKILL
    # One that does not die of it: a process that cannot be killed is only waited for.
    monkeypatch.setattr(running, "_PATIENCE", 0.01)
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_: None)
    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE) as first,
        pytest.raises(BadInput, match=r"the container name was ended, and 0 s later has not; when"),
    ):
        run_container(Stand(["true"], first.pid), container, print)


def test_a_container_whose_time_is_up(container: Container, tmp_path: Path) -> None:
    """It is gone when we come back, and what it said at the last is heard."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as first:
        assert run_container(
            Stand(["sleep", "100000"], first.pid), container, print, seconds=0
        ).over_time
        assert first.wait() == -signal.SIGKILL
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    heard: list[bytes] = []
    client = ["sh", "-c", f"read line < {fifo}; echo last words: $line"]
    ended = run_container(Stand(client, fifo=fifo), container, heard.append, seconds=0)
    assert ended.over_time and b"".join(heard) == b"last words: end\n"


class Ender(Stand):
    """An engine that ends a container, and looks for it, by a shell's command each."""

    kill, kill_words, look_words = ContainerEngine.kill, ("kill",), ("look",)

    def __init__(self, kill: str, look: str) -> None:
        super().__init__([])
        self.words = ["sh", "-c", f'if [ "$0" = kill ]; then {kill}; else {look}; fi']


def test_an_engine_that_cannot_end_a_container(container: Container, tmp_path: Path) -> None:
    fails = "echo Error >&2; echo it is stuck >&2; exit 125"
    Ender("true", "true").kill(container)
    # Somebody else took it away at the same time.
    Ender(fails, "exit 1").kill(container)
    (tmp_path / "busy").mkdir()
    Ender(f"rmdir {tmp_path}/busy && exit 125 || exit 0", "true").kill(container)
    for there in ("true", "exit 125"):
        with pytest.raises(BadInput, match="container name could not be ended: it is stuck; when"):
            Ender(fails, there).kill(container)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_while_the_engine_is_being_started(
    container: Container, tmp_path: Path, number: signal.Signals
) -> None:
    """It waits until there is something to end, and ends that."""

    class Pressed(Stand):
        def start(self, container: Container, command: list[str]) -> Started:
            self.started = super().start(container, command)
            signal.raise_signal(number)
            return self.started

    engine = Pressed(["sleep", "100000"], fifo=None)
    engine.kill = lambda container: engine.started.process.kill()  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt), polite():
        run_container(engine, container, print)
    assert engine.started.process.returncode == -signal.SIGKILL


def test_a_container_that_nobody_could_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is ended at once, before it did anything."""
    require("bwrap")

    def fails(_: int) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "pidfd_open", fails)
    engine = working("bwrap")
    assert not isinstance(engine, str)
    lay_out_probe(tmp_path / "root", ARCH)
    with pytest.raises(BadInput, match=r"implemented .pidfd_open needs Linux"):
        run_container(engine, Container("name", tmp_path / "root", ARCH, ("/probe",)), print)
