"""Runs that are stopped from outside: by Ctrl-C, by a kill, by a full disk, by one another."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.handoff import saving
from bootstrap.handoff.containers.container import ContainerLimits
from bootstrap.handoff.containers.safe_paths import copy_file
from bootstrap.handoff.work import WorkFolder
from tests.cli.command import killed
from tests.handoff.running.conftest import Heard, go
from tests.handoff.running.small import Small
from tests.handoff.running.test_run import TITLES

ROOT = Path(__file__).resolve().parents[3]
SECONDS = f"{100000 + os.getpid()}"
"""How long a step sleeps: a number of this process's own, for other tests run at the same time."""
SLEEPS = f"""\
echo half of a step >> /steps/lines
echo it sleeps
[ -e /external/distfiles/awake ] || sleep {SECONDS}
echo what lib makes of it > "/external/repo/${{pkg}}_0.tar.bz2"
"""


@pytest.fixture
def sleeper(small: Small) -> Small:
    """The small tree, with a step that sleeps until it is ended."""
    (small.checkout / "steps/lib-3.0/pass1.sh").write_text(SLEEPS)
    return small


def awake(work: Path) -> None:
    """Let the step not sleep again: this folder is not brought back."""
    (work / "root/external/distfiles/awake").touch()


def goes_on(small: Small, work: Path, engine: str, before: int = 5) -> None:
    """The rest of the run, from the last finished step; nothing of the half step is there."""
    awake(work)
    heard = Heard()
    done = go(small, work, engine, heard, resume=True, until="lib-3.0 pass 1")
    assert (done.exit_code, done.before, heard.done) == (0, before, TITLES[before:6])
    assert (work / "root/steps/lines").read_text() == "half of a step\n"


def sleepers() -> list[int]:
    """Processes anywhere on this machine that sleep as the steps of these tests do."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[1:2] == [SECONDS.encode()]:
                found.append(int(name))
    return found


def test_ctrl_c_ends_the_container(sleeper: Small, tmp_path: Path, each_engine: str) -> None:
    work = tmp_path / "work"

    def stop(line: str) -> None:
        if line == "it sleeps":
            raise KeyboardInterrupt

    heard = Heard(stop)
    with pytest.raises(KeyboardInterrupt):
        go(sleeper, work, each_engine, heard)
    assert heard.done == TITLES[:5] and not sleepers()
    goes_on(sleeper, work, each_engine)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_polite_signals(
    sleeper: Small, tmp_path: Path, each_engine: str, number: signal.Signals
) -> None:
    """To the command itself: its container is gone when it is, and its status says which it was."""
    command = [sys.executable, "-c", _COMMAND, str(tmp_path), each_engine]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert any(line == "it sleeps\n" for line in process.stdout)
        process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == 128 + number and not sleepers()
    lines = said.splitlines()[-2:]
    assert "the container was ended; --work" in lines[0] and len(lines) == 2
    assert lines[1] == (
        "bootstrap: interrupted"
        if number == signal.SIGINT
        else f"bootstrap: ended by {number.name}"
    )
    goes_on(sleeper, tmp_path / "work", each_engine)


_COMMAND = """\
import sys
from pathlib import Path
from bootstrap.cli import handoff
from bootstrap.cli.main import main
from tests.handoff.running.small import ARCH, stage0
class Live(handoff._RunLine):
    def tick(self, seconds, line):
        if line == "it sleeps":
            print(line, flush=True)
handoff._RunLine = Live
handoff._stage0 = lambda args, plan, order: stage0()
folder, engine, more = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
words = ["handoff", "run", "--live-bootstrap", str(folder / "lb"), "--arch", ARCH]
words += ["--distfiles", str(folder / "distfiles"), "--work", str(folder / "work")]
sys.exit(main([*words, "--engine", engine, *more]))
"""


def test_a_container_killed_from_outside(sleeper: Small, tmp_path: Path, each_engine: str) -> None:
    work = tmp_path / "work"

    def kill(line: str) -> None:
        if line == "it sleeps":
            for pid in sleepers():
                os.kill(pid, signal.SIGKILL)

    done = go(sleeper, work, each_engine, Heard(kill))
    assert (done.result, done.exit_code) == ("failed", 3)
    assert done.failure is not None and "status 137, which says killed by SIGKILL" in (
        done.failure.message
    )
    goes_on(sleeper, work, each_engine)


_ALONE = """\
import sys
from pathlib import Path
from tests.handoff.running.conftest import Heard, go
from tests.handoff.running.small import Small, stage0
def say(line):
    if line == "it sleeps":
        print(line, flush=True)
folder = Path(sys.argv[1])
go(Small(folder / "lb", folder / "distfiles", stage0()), folder / "work", sys.argv[2], Heard(say))
"""


def test_we_are_killed_ourselves(sleeper: Small, tmp_path: Path, each_engine: str) -> None:
    """Then podman's container lives on; the next run ends it before it touches the root."""
    command = [sys.executable, "-c", _ALONE, str(tmp_path), each_engine]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"it sleeps\n"
        with pytest.raises(BadInput, match="another run has it; wait until it has ended"):
            go(sleeper, tmp_path / "work", each_engine, resume=True)
        process.kill()
    state = WorkFolder(tmp_path / "work").read()
    assert state is not None and state.running == "4"
    goes_on(sleeper, tmp_path / "work", each_engine)
    assert not sleepers()


WORK = {"lock", "state.json", "root", "saved", "logs"}
"""All that a run has in its work folder."""


def contents(work: Path) -> dict[str, tuple[int, bytes | str]]:
    """What is in the root and in its copy: of each path its mode, and its bytes or its target."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for place in sorted([*(work / "root").rglob("*"), *(work / "saved/tree").rglob("*")]):
        mode = place.lstat().st_mode
        inside: bytes | str = b""
        if stat.S_ISLNK(mode):
            inside = os.readlink(place)
        elif stat.S_ISREG(mode):
            inside = place.read_bytes()
        found[str(place.relative_to(work))] = mode, inside
    return found


def boxed(work: Path) -> list[int]:
    """Processes anywhere on this machine that see something of the work folder as a mount."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.fsencode(work) in Path("/proc", name, "mountinfo").read_bytes():
                found.append(int(name))
    return found


@pytest.mark.exhaustive
def test_a_hundred_moments(small: Small, tmp_path: Path, each_engine: str) -> None:
    """Each run goes on with what the one before it left; what is finished is what it should be."""
    scratch, work = tmp_path / "scratch", tmp_path / "work"
    scratch.mkdir()
    command = [sys.executable, "-c", _COMMAND, str(tmp_path), each_engine, "--quiet"]

    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(scratch)}

    def ended(number: int = 0, after: float | None = None) -> tuple[int, str]:
        resume = ["--resume"] if (work / "state.json").exists() else []
        return killed([*command, *resume], number, after, env, ROOT)

    began = time.monotonic()
    assert ended()[0] == 0
    length = time.monotonic() - began
    whole = contents(work)
    shutil.rmtree(work)
    moments = random.Random()
    finished = 0
    for one in range(100):
        number = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)[one % 3]
        status, said = ended(number, moments.uniform(0, length))
        if number != signal.SIGKILL:
            assert not list(scratch.iterdir()) and not boxed(work), said
            assert not work.exists() or {place.name for place in work.iterdir()} <= WORK, said
        if status == 0:
            finished += 1
            assert contents(work) == whole
            shutil.rmtree(work)
    status, said = ended()
    assert (status, said) == (0, "") and contents(work) == whole and not boxed(work)
    # As many as it takes to see the end too: each kill loses one step at most.
    assert finished >= 5


def test_a_step_that_takes_too_long(sleeper: Small, tmp_path: Path, engine: str) -> None:
    work = tmp_path / "work"
    go(sleeper, work, engine, until="improve paths")
    done = go(sleeper, work, engine, resume=True, limits=ContainerLimits(seconds=1))
    assert done.result == "failed" and not sleepers()
    assert done.failure is not None and "was ended after 1 s" in done.failure.message
    goes_on(sleeper, work, engine)


def test_what_a_step_leaves_running_is_gone(small: Small, tmp_path: Path, each_engine: str) -> None:
    """Nobody in the container can write any more when the step is checked and kept."""
    lib = small.checkout / "steps/lib-3.0/pass1.sh"
    lib.write_text(f"sleep {SECONDS} < /dev/null > /dev/null 2>&1 &\n{lib.read_text()}")
    done = go(small, tmp_path / "work", each_engine, until="lib-3.0 pass 1")
    assert done.exit_code == 0 and not sleepers()


def test_a_copy_cut_off_is_made_good(
    small: Small, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the copy of a good root is made: the step counts, and the copy is made again."""
    work = tmp_path / "work"
    go(small, work, engine, until="seed")
    place = WorkFolder(work)
    state = place.read()
    assert state is not None
    state.saving = True
    place.write(state)
    (work / "saved/tree/steps/0.sh").write_text("half")
    (work / "saved/tree/seed-full.kaem").unlink()
    (work / "saved/index").unlink()
    assert go(small, work, engine, resume=True, until="1").before == 2
    assert (work / "saved/tree/steps/0.sh").read_text().startswith("set -ex\n")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MB: its tests are marked `root`, who can mount it."""
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.root
def test_a_full_disk(small: Small, tmp_path: Path, engine: str, tiny_disk: Path) -> None:
    last = small.checkout / "steps/last-1.0/pass1.sh"
    fill = "while :; do cat /AMD64/bin/bash; done > /steps/fill\n"
    last.write_text(last.read_text() + fill)
    work = tiny_disk / "work"
    done = go(small, work, engine)
    assert done.result == "failed" and done.failure is not None
    assert "is full (0 MB left)" in done.failure.message
    assert "No space left on device" in " ".join(done.failure.lines)
    last.write_text(last.read_text().removesuffix(fill))


@pytest.mark.root
def test_a_disk_that_is_full_before_anything(
    small: Small, tmp_path: Path, engine: str, tiny_disk: Path
) -> None:
    (tiny_disk / "fill").write_bytes(bytes(22 << 20))
    with pytest.raises(BadInput, match="cannot be laid out: No space left on device"):
        go(small, tiny_disk / "work", engine)
    (tiny_disk / "fill").unlink()
    assert go(small, tiny_disk / "work", engine, until="stage0").exit_code == 0


def test_a_layout_that_was_cut_off_is_begun_anew(small: Small, tmp_path: Path, engine: str) -> None:
    work = tmp_path / "work"
    for place in ("root/steps", "saved/tree", "logs", ".probe.x"):
        (work / place).mkdir(parents=True)
    (work / "root/steps/stale").write_text("half")
    assert go(small, work, engine, until="seed").exit_code == 0
    assert not (work / "root/steps/stale").exists()


def test_what_the_host_refuses_is_one_line(
    small: Small, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error", "/there/x")

    monkeypatch.setattr("bootstrap.handoff.checking.check_packages", refuse)
    with pytest.raises(BadInput, match=r"^/there/x: Input/output error; what was finished is"):
        go(small, tmp_path / "work", engine, until="stage0")


def test_a_disk_that_fills_while_a_step_is_kept(
    small: Small, tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, heard = tmp_path / "work", Heard()

    def full(source: Path, target: Path) -> None:
        if source.name == "seed-full.kaem":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        copy_file(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(saving, "copy_file", full)
        with pytest.raises(BadInput, match=r"seed-full.kaem: cannot be kept .*: No space left"):
            go(small, work, engine, heard)
    # The step itself was finished, and is not run again.
    done = go(small, work, engine, heard, resume=True, until="1")
    assert (done.exit_code, done.before) == (0, 2)
    assert (work / "saved/tree/seed-full.kaem").exists()


def test_folders_that_cannot_be_gone_on_with(small: Small, tmp_path: Path, engine: str) -> None:
    work = tmp_path / "work"
    with pytest.raises(BadInput, match="has no run to --resume"):
        go(small, work, engine, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/letter").touch()
    with pytest.raises(BadInput, match=r"is not empty \(letter\)"):
        go(small, tmp_path / "other", engine)
    go(small, work, engine, until="stage0")
    with pytest.raises(BadInput, match="has a run with 1 of 8 steps finished: give --resume"):
        go(small, work, engine)
    (small.checkout / "steps/env").write_text("X=1\n")
    with pytest.raises(BadInput, match="was begun with another checkout"):
        go(small, work, engine, resume=True)
    state = (work / "state.json").read_text()
    for text, fault in (
        ("{", "not JSON"),
        (state.replace('"schema": 2', '"schema": 1'), "schema is 1"),
        (state.replace('"schema": 2', '"schema": 2, "more": 1'), "more is not a key"),
    ):
        (work / "state.json").write_text(text)
        with pytest.raises(BadInput, match=f"state.json: cannot be read: .*{fault}"):
            go(small, work, engine, resume=True)
