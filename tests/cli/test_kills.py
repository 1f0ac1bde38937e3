"""Ended at random moments: nothing corrupt is accepted later, nothing is left that need not be.

SIGTERM and SIGINT leave the whole result or none, and nothing else. SIGKILL may leave more; what it
leaves is taken for no result, and the same command can be given again.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.oci.layout import read_layout
from bootstrap.sources import Cache
from tests.cli.command import arguments, bootstrap, environment, killed
from tests.upstream.release import RELEASE, from_cache

ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGKILL)


def no_output(folder: Path) -> None:
    """Nothing to look at."""


def whole_json(folder: Path) -> None:
    for place in folder.glob("*.json"):
        json.loads(place.read_text())


def whole_products(folder: Path) -> None:
    whole_json(folder)
    made = {place.name for place in (folder / "out").rglob("*") if place.is_file()}
    assert not made or {"hex0", "M0", "hello"} <= made


def whole_trace(folder: Path) -> None:
    if (folder / "run.trace").exists():
        trace.open(str(folder / "run.trace")).close()


def whole_export(folder: Path) -> None:
    text = folder / "run.strace"
    assert not text.exists() or text.read_text().endswith("\n")


def whole_layout(folder: Path) -> None:
    if (folder / "image" / "index.json").exists():
        read_layout(folder / "image")


def whole_cache(folder: Path) -> None:
    """Raises BadInput where the cache holds what is not the release."""
    Cache(folder / "cache").load("1.9.1")


@dataclass(frozen=True)
class Case:
    """A command, its results, and how each is checked: whole, or not there."""

    args: tuple[str, ...]
    results: tuple[str, ...]
    check: Callable[[Path], None]


EMBEDDED = ("--release", "embedded", "--quiet")
CASES = {
    "verify": Case(
        ("verify", *EMBEDDED, "--json", "r.json", "--output", "out"),
        ("r.json", "out"),
        whole_products,
    ),
    "trace record": Case(
        ("trace", "record", *EMBEDDED, "-o", "run.trace"), ("run.trace",), whole_trace
    ),
    "trace export": Case(
        ("trace", "export", "given.trace", "--format", "strace", "-o", "run.strace"),
        ("run.strace",),
        whole_export,
    ),
    "oci export": Case(
        ("oci", "export", *EMBEDDED, "-o", "image", "--json", "r.json"),
        ("image", "r.json"),
        whole_layout,
    ),
    "attest": Case(
        ("attest", "--run", *EMBEDDED, "--sign", "none", "-o", "s.json"), ("s.json",), whole_json
    ),
}


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trace to export."""
    place = tmp_path_factory.mktemp("given") / "given.trace"
    assert bootstrap("trace", "record", *EMBEDDED, "-o", place).status == 0
    return place


def kill(case: Case, folder: Path, given: Path, number: signal.Signals, after: float) -> None:
    """One run, ended after so many seconds, or at its end if that comes first."""
    scratch = folder / "scratch"
    scratch.mkdir(parents=True)
    (folder / "given.trace").symlink_to(given)
    places = {"TMPDIR": str(scratch), "BOOTSTRAP_CACHE": str(folder / "cache")}
    # A file that is opened when the signal comes is Python's to close, which it says.
    places["PYTHONWARNINGS"] = "error,ignore::ResourceWarning"
    _, said = killed(arguments(*case.args), number, after, environment(places), folder)
    case.check(folder)
    names = {str(p.relative_to(folder)).split(os.sep)[0] for p in folder.rglob("*") if p.is_file()}
    allowed = {"given.trace", *case.results, "cache"}
    if number != signal.SIGKILL:
        assert names <= allowed, said
        assert list(scratch.iterdir()) == []
    else:
        leftovers = names - allowed
        assert all(n == "scratch" or n.endswith((".new", ".partial")) for n in leftovers), leftovers


def a_whole_run(case: Case, folder: Path, given: Path) -> float:
    started = time.monotonic()
    kill(case, folder, given, signal.SIGTERM, 120)
    return time.monotonic() - started


@pytest.fixture(scope="module")
def length(tmp_path_factory: pytest.TempPathFactory, given: Path) -> float:
    """Seconds that any of them takes, more or less."""
    return a_whole_run(CASES["verify"], tmp_path_factory.mktemp("whole") / "it", given)


@pytest.mark.parametrize("name", CASES)
def test_a_few_moments(name: str, tmp_path: Path, given: Path, length: float) -> None:
    moments = random.Random(17)
    for number in ENDINGS:
        after = moments.uniform(0.3, 1) * length
        kill(CASES[name], tmp_path / number.name, given, number, after)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", CASES)
def test_a_hundred_moments(name: str, tmp_path: Path, given: Path) -> None:
    moments = random.Random()
    length = a_whole_run(CASES[name], tmp_path / "whole", given)
    for one in range(100):
        number = ENDINGS[one % 3]
        kill(CASES[name], tmp_path / str(one), given, number, moments.uniform(0, length))


@pytest.mark.exhaustive
@pytest.mark.upstream
def test_a_hundred_moments_of_fetch(tmp_path: Path, given: Path) -> None:
    """One cache for all of them, so that each meets what the one before it left."""
    from_cache()
    archives = list(Cache().folder(RELEASE).glob("*.tar"))
    (tmp_path / "tree").mkdir()
    subprocess.run(["tar", "-xf", archives[0], "-C", tmp_path / "tree"], check=True)
    moments = random.Random()
    case = Case(
        (
            "fetch",
            "stage0-posix",
            "--release",
            "1.9.1",
            "--from",
            str(tmp_path / "tree" / "stage0-posix-1.9.1"),
            "--force",
        ),
        (),
        whole_cache,
    )
    length = a_whole_run(case, tmp_path / "whole", given)
    for one in range(100):
        folder = tmp_path / str(one)
        folder.mkdir()
        (tmp_path / "cache").mkdir(exist_ok=True)
        (folder / "cache").symlink_to(tmp_path / "cache")
        kill(case, folder, given, ENDINGS[one % 3], moments.uniform(0, length))
    assert bootstrap(*case.args, env={"BOOTSTRAP_CACHE": str(tmp_path / "cache")}).status == 0
    assert not list((tmp_path / "cache").rglob("*.part"))
