"""The doctor says truly what is there, and what is not."""

from __future__ import annotations

import json
import os
import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from bootstrap.cli import doctor
from bootstrap.cli.commands import parser
from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.sources import Cache, SourceTree
from bootstrap.sources.checkouts import KNOWN


def call(*options: str) -> int:
    return doctor.run(parser().parse_args(["doctor", *options]))


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(cache))
    return cache


def test_a_sound_installation(capsys: pytest.CaptureFixture[str], empty_cache: Path) -> None:
    assert call() == 0
    out = capsys.readouterr().out
    assert "unicorn 2.1.4" in out
    assert "fast path" in out
    assert str(empty_cache) in out
    assert "bootstrap fetch stage0-posix" in out
    assert "x86 (10 files, verified)" in out
    assert "problem" not in out
    assert not empty_cache.exists()


def test_json_says_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--json", "-") == 0
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert found["schema"] == "bootstrap-doctor/1"
    assert found["engine"]["version"] == "2.1.4"
    assert found["engine"]["hot_path"] in ("native", "python")
    assert found["problems"] == []
    assert "unicorn 2.1.4" in captured.err


def test_json_into_a_file(tmp_path: Path) -> None:
    assert call("--json", str(tmp_path / "doctor.json")) == 0
    assert json.loads((tmp_path / "doctor.json").read_text())["schema"] == "bootstrap-doctor/1"


def test_a_damaged_cache_is_named(capsys: pytest.CaptureFixture[str], empty_cache: Path) -> None:
    release = empty_cache / "stage0-posix" / "1.9.1"
    release.mkdir(parents=True)
    (release / "manifest.json").write_text("{}")
    assert call() == 2
    out = capsys.readouterr().out
    assert "1.9.1: cannot be used" in out
    assert f"problem: the cache of release 1.9.1 in {release}" in out


def test_what_nobody_knows_is_not_called_verified(capsys: pytest.CaptureFixture[str]) -> None:
    """Its manifest was written by whoever put it there."""
    evil = SourceTree("evil", {"kaem.x86": SourceFile(b"evil")})
    Cache().store(evil, "99.0")
    Cache().store(evil, evil.digest, "live-bootstrap")
    commit = next(iter(KNOWN))
    Cache().store(evil, f"evil {commit}")
    assert call() == 0
    out = capsys.readouterr().out
    assert f"99.0: as it was put there, 1 files, tree digest {evil.digest}" in out
    assert f"live-bootstrap {evil.digest}: as it was put there, 1 files" in out
    assert f"evil {commit}: as it was put there" in out
    assert ": verified" not in out


@pytest.mark.parametrize("name", ["stage0-posix", "live-bootstrap"])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "no folder"])
def test_a_part_of_the_cache_that_cannot_be_entered(
    name: str, closed: bool, capsys: pytest.CaptureFixture[str], empty_cache: Path
) -> None:
    empty_cache.mkdir()
    place = empty_cache / name
    if closed:
        if os.geteuid() == 0:
            pytest.skip("no folder is closed to root")
        place.mkdir(mode=0)
    else:
        place.touch()
    try:
        assert call() == 2
    finally:
        place.chmod(0o700)
    out = capsys.readouterr().out
    assert f"{name}: cannot be used (see below)" in out and "no release yet" not in out
    why = "Permission denied" if closed else "Not a directory"
    assert f"problem: {place}: cannot be used as the cache: {why}" in out


def test_a_missing_package_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = metadata.version

    def without_capstone(name: str) -> str:
        if name == "capstone":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without_capstone)
    assert call() == 2
    out = capsys.readouterr().out
    assert "capstone MISSING" in out
    assert "problem: capstone is not installed: pip install capstone" in out


@pytest.mark.parametrize("error", [BadInput("it is old"), ImportError("it is gone")])
def test_an_unusable_engine_is_a_problem_not_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail() -> dict[str, str]:
        raise error

    monkeypatch.setattr("bootstrap.instruments.default_engine", fail)
    assert call() == 2
    assert f"problem: the engine cannot be used: {error}" in capsys.readouterr().out


def test_it_starts_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("the doctor started a program")

    monkeypatch.setattr(subprocess, "Popen", fail)
    monkeypatch.setattr("os.fork", fail)
    assert call() == 0


@pytest.mark.parametrize(
    ("system", "machine", "ia32", "archs"),
    [
        ("Linux", "x86_64", True, ["x86", "AMD64"]),
        ("Linux", "x86_64", False, ["AMD64"]),
        ("Linux", "i686", False, ["x86"]),
        ("Linux", "aarch64", False, ["AArch64"]),
        ("Linux", "riscv64", False, ["riscv64"]),
        ("Linux", "s390x", False, []),
        ("Darwin", "x86_64", False, []),
        ("FreeBSD", "amd64", False, []),
    ],
)
def test_what_a_host_runs_natively(
    tmp_path: Path, system: str, machine: str, ia32: bool, archs: list[str]
) -> None:
    sysctl = tmp_path / "vsyscall32"
    if ia32:
        sysctl.touch()
    found = doctor.native_architectures(system, machine, sysctl)
    assert [native.arch for native in found if native.possible] == archs
