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

from bootstrap.handoff import saving
from bootstrap.handoff.containers.container import ContainerLimits
from bootstrap.handoff.containers.safe_paths import copy_file
from bootstrap.handoff.work import WorkFolder
from tests.cli.command import ROOT, killed
from tests.handoff.running.conftest import Lab
from tests.handoff.running.test_run import TITLES

SECONDS = f"{100000 + os.getpid()}"
"""How long a step sleeps: a number of this process's own, for other tests run at the same time."""
SLEEPS = f"""\
echo half of a step >> /steps/lines
echo it sleeps
[ -e /external/distfiles/awake ] || sleep {SECONDS}
echo what lib makes of it > "/external/repo/${{pkg}}_0.tar.bz2"
"""
BEGUN = len(TITLES[:5])
"""Steps before the one that sleeps."""


def sleeping(lab: Lab) -> Lab:
    """With a step that sleeps until it is ended, and the run before it."""
    lab.file("steps/lib-3.0/pass1.sh", text=SLEEPS)
    lab.go(until=TITLES[BEGUN - 1])
    return lab


def require_going_on(lab: Lab) -> None:
    """The rest of the run, from the last finished step; nothing of the half step is there."""
    # Let the step not sleep again: this folder is not brought back.
    (lab.work / "root/external/distfiles/awake").touch()
    done = lab.go(resume=True, until="lib-3.0 pass 1")
    assert (done.exit_code, done.before, lab.done) == (0, BEGUN, TITLES[: BEGUN + 1])
    assert (lab.work / "root/steps/lines").read_text() == "half of a step\n"


def sleepers() -> list[int]:
    """Processes anywhere on this machine that sleep as the steps of these tests do."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path("/proc", name, "cmdline").read_bytes().split(b"\0")
            if words[1:2] == [SECONDS.encode()]:
                found.append(int(name))
    return found


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


def started(lab: Lab) -> subprocess.Popen[str]:
    """The command itself, going on with the run, as soon as its step sleeps."""
    process = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, str(lab.folder), lab.engine, "--resume"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "it sleeps\n"
    return process


def test_whatever_ends_a_step_it_is_begun_again(each_lab: Lab) -> None:
    """The container is gone when the command is, whose status says which signal it was."""
    lab = sleeping(each_lab)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with started(lab) as process:
            process.send_signal(number)
            assert process.stderr is not None
            said = process.stderr.read()
        assert process.returncode == 128 + number and not sleepers()
        ended, word = said.splitlines()[-2:]
        assert "the container was ended; --work" in ended
        by = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
        assert word == f"bootstrap: {by}"
    # The container killed from outside.
    done = lab.go(resume=True, listen=kill_sleepers)
    assert (done.result, done.exit_code) == ("failed", 3)
    why = "status 137, which says killed by SIGKILL"
    assert done.failure is not None and why in done.failure.message
    # We are killed ourselves: then podman's container lives on; the next run ends it before it
    # touches the root.
    with started(lab) as process:
        lab.refused("another run has it; wait until it has ended", resume=True)
        process.kill()
    state = WorkFolder(lab.work).read()
    assert state is not None and state.running == "4"
    require_going_on(lab)
    assert not sleepers()


def kill_sleepers(line: str) -> None:
    if line == "it sleeps":
        for pid in sleepers():
            os.kill(pid, signal.SIGKILL)


WORK = {"lock", "state.json", "root", "saved", "logs", "start"}
"""All that a run has in its work folder; `start` is podman's first program in each container."""

LEFT = {"state.new", "enter.sh"}
"""What SIGKILL may leave there besides; the next run takes it for its own."""


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


def boxed(work: Path) -> list[str]:
    """Processes anywhere on this machine that see something of the work folder as a mount."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.fsencode(work) in Path("/proc", name, "mountinfo").read_bytes():
                words = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ")
                found.append(f"{name} {words.decode(errors='replace')}")
    return found


@pytest.mark.exhaustive
def test_a_hundred_moments(each_lab: Lab) -> None:
    """Each run goes on with what the one before it left; what is finished is what it should be."""
    scratch, work = each_lab.folder / "scratch", each_lab.work
    scratch.mkdir()
    command = [sys.executable, "-c", _COMMAND, str(each_lab.folder), each_lab.engine, "--quiet"]

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
        if number == signal.SIGKILL:
            # A container that had not begun waits for a word that never comes: it is ended here, so
            # that what the other signals leave is seen.
            while left := boxed(work):
                for one_left in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(one_left.split()[0]), signal.SIGKILL)
        else:
            assert not list(scratch.iterdir()) and not boxed(work), said
            there = {place.name for place in work.iterdir()} if work.exists() else set()
            there = {name for name in there if not name.startswith(".probe.")}
            assert there <= WORK | LEFT, said
        if status == 0:
            finished += 1
            assert contents(work) == whole and not boxed(work)
            shutil.rmtree(work)
    status, said = ended()
    assert (status, said) == (0, "") and contents(work) == whole and not boxed(work)
    # As many as it takes to see the end too: each kill loses one step at most.
    assert finished >= 5


def test_a_step_that_takes_too_long(lab: Lab) -> None:
    done = sleeping(lab).go(resume=True, limits=ContainerLimits(seconds=1))
    assert done.result == "failed" and not sleepers()
    assert done.failure is not None and "was ended after 1 s" in done.failure.message
    require_going_on(lab)


def test_what_a_step_leaves_running_is_gone(each_lab: Lab) -> None:
    """Nobody in the container can write any more when the step is checked and kept."""
    kaem = each_lab.file("steps/tool-1.0/pass1.kaem").read_text()
    left = f"sleep {SECONDS} < /dev/null > /dev/null 2>&1 &\n"
    each_lab.file("steps/tool-1.0/pass1.kaem", text=left + kaem)
    assert each_lab.go(until="1").exit_code == 0 and not sleepers()


def test_a_copy_cut_off_is_made_good(lab: Lab) -> None:
    """Killed while the copy of a good root is made: the step counts, and the copy is made again."""
    lab.go(until="seed")
    place = WorkFolder(lab.work)
    state = place.read()
    assert state is not None
    state.saving = True
    place.write(state)
    saved = lab.work / "saved"
    (saved / "tree/steps/0.sh").write_text("half")
    (saved / "tree/seed-full.kaem").unlink()
    (saved / "index").unlink()
    assert lab.go(resume=True, until="1").before == 2
    assert (saved / "tree/steps/0.sh").read_text().startswith("set -ex\n")


@pytest.fixture
def tiny_disk(lab: Lab) -> Iterator[Path]:
    """A file system of 24 MB to work on: its tests are marked `root`, who can mount it."""
    place = lab.folder / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    lab.work = place / "work"
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.root
def test_a_full_disk(lab: Lab, tiny_disk: Path) -> None:
    (tiny_disk / "fill").write_bytes(bytes(22 << 20))
    lab.refused("cannot be laid out: No space left on device")
    (tiny_disk / "fill").unlink()
    assert lab.go(until="stage0").exit_code == 0
    shutil.rmtree(lab.work)
    lab.file("steps/tool-1.0/pass1.kaem", "while :; do cat /AMD64/bin/bash; done > /steps/fill\n")
    done = lab.go()
    assert done.result == "failed" and done.failure is not None
    assert "is full (0 MB left)" in done.failure.message
    assert "No space left on device" in " ".join(done.failure.lines)


def test_a_layout_that_was_cut_off_is_begun_anew(lab: Lab) -> None:
    for place in ("root/steps", "saved/tree", "logs", ".probe.x"):
        (lab.work / place).mkdir(parents=True)
    (lab.work / "root/steps/stale").write_text("half")
    assert lab.go(until="stage0").exit_code == 0
    assert not (lab.work / "root/steps/stale").exists()


def test_what_the_host_refuses_is_one_line(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error", "/there/x")

    monkeypatch.setattr("bootstrap.handoff.checking.check_packages", refuse)
    lab.refused(r"^/there/x: Input/output error; what was finished is", until="stage0")


def test_a_disk_that_fills_while_a_step_is_kept(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        if source.name == "seed-full.kaem":
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        copy_file(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(saving, "copy_file", full)
        lab.refused(r"seed-full.kaem: cannot be kept .*: No space left")
    # The step itself was finished, and is not run again.
    done = lab.go(resume=True, until="1")
    assert (done.exit_code, done.before) == (0, 2)
    assert (lab.work / "saved/tree/seed-full.kaem").exists()


def test_folders_that_cannot_be_gone_on_with(lab: Lab) -> None:
    lab.refused("has no run to --resume", resume=True)
    (lab.work / "letter").touch()
    lab.refused(r"is not empty \(letter\)")
    (lab.work / "letter").unlink()
    lab.go(until="stage0")
    lab.refused("has a run with 1 of 8 steps finished: give --resume")
    place = lab.work / "state.json"
    state = place.read_text()
    for text, fault in (
        ("{", "not JSON"),
        (state.replace('"schema": 2', '"schema": 1'), "schema is 1"),
        (state.replace('"schema": 2', '"schema": 2, "more": 1'), "more is not a key"),
    ):
        place.write_text(text)
        lab.refused(f"state.json: cannot be read: .*{fault}", resume=True)
    place.write_text(state)
    lab.file("steps/env", text="X=1\n")
    lab.refused("was begun with another checkout", resume=True)
