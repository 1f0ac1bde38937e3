"""Engines: which one is taken, what is said of the others, and docker by a stand-in."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.handoff.containers import engines, running
from bootstrap.handoff.containers.container import (
    ContainerLimits,
    never_raised,
    without_mount_points,
)
from bootstrap.handoff.containers.engines import Podman, explained
from bootstrap.handoff.containers.programs import PROBED, lay_out_probe
from bootstrap.handoff.containers.running import choose
from bootstrap.handoff.work import WorkFolder
from tests.handoff.running.conftest import Lab, require, working
from tests.handoff.running.small import ARCH
from tests.handoff.running.test_run import TITLES


def program(folder: Path, name: str, text: str) -> None:
    """A program of that name that comes first in PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}")
    (folder / name).chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr(running, "_RUNTIMES", ())
    return folder


def why_not(name: str, folder: Path) -> str:
    """Why that engine is not taken."""
    with pytest.raises(BadInput) as found:
        choose(name, ARCH, ContainerLimits(), folder)
    return str(found.value)


def test_engines_that_cannot_be_used(programs: Path, tmp_path: Path) -> None:
    text = why_not("auto", tmp_path)
    assert text.startswith("no engine can be used here: podman: is not installed (apt-get install")
    assert "docker: is not" in text and "bwrap: is not installed (apt-get" in text
    assert why_not("bwrap", tmp_path).startswith("bwrap: is not installed")
    program(programs, "podman", "echo podman version 3.4.4\n")
    program(programs, "docker", "echo Docker version 19.03.8, build x\n")
    program(programs, "bwrap", "echo bubblewrap 0.4.1\n")
    text = why_not("auto", tmp_path)
    for words in ("podman 3.4.4 is too old: 4.0", "docker 19.03.8 is too", "bwrap 0.4.1 is too"):
        assert words in text
    program(programs, "bwrap", "echo damaged >&2; exit 3\n")
    assert "bwrap: cannot be run: damaged" in why_not("bwrap", tmp_path)


@pytest.mark.parametrize(
    ("said", "way"),
    [
        ("bwrap: setting up uid map: Permission denied", "apparmor_restrict_unprivileged_userns=0"),
        ("bwrap: No permissions to create new namespace, likely", "unprivileged_userns_clone=1"),
        ("bwrap: Creating new namespace failed: Operation not permitted", "max_user_namespaces"),
        ("crun: setrlimit `RLIMIT_NOFILE`: Operation not permitted", "CAP_SYS_RESOURCE"),
        ("Error: could not find exec newuidmap", "usermod --add-subuids"),
        ('Error: exec: "newuidmap": executable file not found in $PATH', "apt-get install uidmap"),
        ("permission denied while trying to connect to docker.sock", "be in its group"),
        ("Cannot connect to the Docker daemon at unix:///x", "systemctl start docker"),
        ("crun: cgroups in hybrid mode not supported", "apt-get install runc"),
        ("execvp /probe: Exec format error", "CONFIG_IA32_EMULATION"),
        ("something else: Operation not permitted", "take another --engine"),
    ],
)
def test_the_permission_that_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, way: str
) -> None:
    text = f"case $1 in --version) echo bubblewrap 0.8.0 ;; *) echo '{said}' >&2; exit 1 ;; esac\n"
    program(tmp_path / "programs", "bwrap", text)
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    # Who containers are given to cannot get at a program in this folder.
    monkeypatch.setattr(engines, "container_ids", lambda: None)
    text = why_not("bwrap", tmp_path)
    assert said in text and way in text and "\n" not in text
    assert not list(tmp_path.glob(".probe*"))


def test_an_engine_that_starts_nothing_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own status for that, 127, is not what our program ends with."""
    text = "case $1 in --version) echo bubblewrap 0.8.0 ;; *) exit 127 ;; esac\n"
    program(tmp_path / "programs", "bwrap", text)
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:{os.environ['PATH']}")
    monkeypatch.setattr(engines, "container_ids", lambda: None)
    assert why_not("bwrap", tmp_path) == "bwrap: no output"


def test_nothing_is_invented_of_unknown_words() -> None:
    assert explained("podman", "one\nError: two\n\n") == "podman: Error: two"


def test_auto_goes_on_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require("bwrap")
    folder = tmp_path / "programs"
    program(folder, "podman", "echo podman version 3.0.1\n")
    program(folder, "docker", "echo Docker version 19.03.8, build x\n")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    choice = choose("auto", ARCH, ContainerLimits(), tmp_path)
    assert choice.engine.name == "bwrap"
    assert [name for name, _ in choice.others] == ["podman", "docker"]


DOCKER = """\
case "$1" in
--version) echo "Docker version 24.0.5, build 0" ;;
info) echo "[name=rootless]" ;;
# podman makes the top of an image closed to writing (0555), docker does not.
run) shift; exec PODMAN run --cap-add=DAC_OVERRIDE "$@" ;;
rm) shift; exec PODMAN rm "$@" --time=0 --ignore ;;
*) exec PODMAN "$@" ;;
esac
"""


def test_docker_by_a_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """podman knows docker's commands: it stands in for the daemon that is not here."""
    podman = working(require("podman"))
    lab = Lab(tmp_path, "docker")
    # docker's own root is an ordinary user, or it is not taken.
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert isinstance(podman, Podman)
    folder = tmp_path / "programs"
    program(folder, "docker", DOCKER.replace("PODMAN", " ".join(podman.words)))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    lab.file("steps/tool-1.0/pass1.kaem", "[ -e /external/distfiles/go ]\n")
    assert lab.go().result == "failed" and lab.done == TITLES[:2]
    (lab.work / "root/external/distfiles/go").touch()
    assert lab.go(resume=True, until="1").exit_code == 0 and lab.done == TITLES[:3]
    # What is at the top of the root came back out of the container.
    root = lab.work / "root"
    assert (root / "configurator").read_text() == "configured\n"
    assert stat.S_IMODE((root / "script-generator").stat().st_mode) == 0o755
    assert not (root / "handoff.step.kaem").exists()
    name = WorkFolder(lab.work).container_name
    for command in ("ps --all --format={{.Names}}", "images --format={{.Repository}}"):
        listed = subprocess.run([*podman.words, *command.split()], capture_output=True, text=True)
        assert listed.returncode == 0 and name not in listed.stdout


def test_docker_needs_to_be_ours(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for uid, kind in ((1000, "[]"), (0, "[name=rootless]")):
        text = f'case $1 in info) echo "{kind}" ;; *) echo 24.0.5 ;; esac\n'
        program(programs, "docker", text)
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        assert "steps would run as the machine's root" in why_not("docker", tmp_path)


@pytest.mark.parametrize(
    ("arch", "machine"),
    [("x86", "Intel 80386"), ("amd64", "X86-64"), ("riscv64", "RISC-V")],
)
def test_the_probe_is_a_program(tmp_path: Path, arch: str, machine: str) -> None:
    lay_out_probe(tmp_path / "root", arch)
    place = tmp_path / "root/probe"
    if shutil.which("readelf") is not None:
        command = ["readelf", "-hlW", str(place)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert machine in done.stdout and "EXEC" in done.stdout and not done.stderr
        if arch == "riscv64":
            return
    try:
        assert subprocess.run([place], check=False).returncode == PROBED
    except OSError as error:
        pytest.skip(f"the kernel runs no programs for {arch}: {error}")


def test_limits_of_the_command_line() -> None:
    limits = ContainerLimits().with_options(["memory=2G", "file=1K", "open_files=100", "seconds=7"])
    assert limits == ContainerLimits(2 << 30, None, 100, 1024, 7)
    for wrong in ("memory", "memory=", "memory=0", "memory=-1", "memory=1T", "speed=3", "=3"):
        with pytest.raises(BadInput, match=r"not NAME=NUMBER|is no number|from 1"):
            ContainerLimits().with_options([wrong])


def test_no_limit_is_ever_raised() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert never_raised(resource.RLIMIT_NOFILE, hard + 1) == hard
    assert never_raised(resource.RLIMIT_NOFILE, 10) == 10


def test_a_failure_and_going_in_after_it(each_lab: Lab) -> None:
    """Limits reach the step, and its lines come in the order in which it wrote them."""
    spoken = "set +x\nfor n in 1 2 3 4 5 6; do\necho out $n\necho err $n >&2\ndone\n"
    end = "echo limits $(ulimit -n) $(ulimit -c)\necho seen > /tmp/mark\nfalse\n"
    each_lab.file("steps/tool-1.0/pass1.kaem", text=spoken + end)
    done = each_lab.go(limits=ContainerLimits(open_files=200))
    assert done.failure is not None and done.failure.lines[-13:] == (
        *(f"{stream} {n}" for n in range(1, 7) for stream in ("out", "err")),
        "limits 200 0",
    )
    enter = ["sh", str(each_lab.work / "enter.sh")]
    looked = subprocess.run([*enter, "/AMD64/bin/cat", "/tmp/mark"], capture_output=True)
    assert looked.stdout == b"seen\n", looked.stderr
    assert subprocess.run(enter, capture_output=True).returncode == 1


def test_only_what_an_engine_leaves_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").touch()
    with without_mount_points(tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run/.containerenv").touch()
        (tmp_path / "etc/hostname").touch()
        (tmp_path / "etc/resolv.conf").write_text("by a step")
        (tmp_path / "etc/mtab").symlink_to("/proc/mounts")
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "etc",
        "etc/hosts",
        "etc/resolv.conf",
    ]


def test_nothing_is_taken_away_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "host").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    with without_mount_points(root):
        (tmp_path / "host/hosts").touch()
        (tmp_path / "host/mtab").symlink_to("/proc/mounts")
        (root / "etc").symlink_to(tmp_path / "host")
    assert sorted(place.name for place in (tmp_path / "host").iterdir()) == ["hosts", "mtab"]
