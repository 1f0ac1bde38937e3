"""`verify --changed-since`: what a change can touch by the graph, what it did touch, and a graph
that knows too little. The release is the embedded path, in a repository that dulwich made."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from dulwich import porcelain

from bootstrap.cli import verify as verify_command
from bootstrap.known import find, lookup, steps
from bootstrap.known.steps import data_dir
from bootstrap.runs import deciding
from bootstrap.sources.tree import open_source, to_tar
from tests.cli.command import Done, inside, report_of

PLAN = "stage0-posix-1.0-x86.hex0-seed.plan"
HELLO = ["hello.hex2", "hello-whole.hex2", "hello"]
FIRST = ["hex0", "kaem"]
"""Which the entry's own commands make, not the build driver: no graph has them."""
ME = b"me <me@example.org>"


assert verify_command  # no module may be loaded first, and keep, what is set in its place here


@pytest.fixture(autouse=True)
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One that knows the embedded path as a release of stage0-posix."""
    own = tmp_path / "data" / "steps"
    own.mkdir(parents=True)
    text = (data_dir("steps") / "embedded-x86.toml").read_text("utf-8")
    text = text.replace('name = "embedded"', 'name = "stage0-posix"\nrelease = "1.0"')
    (own / "stage0-posix-1.0-x86.toml").write_text(text)
    for module in (steps, deciding):
        monkeypatch.setattr(module, "data_dir", lambda kind: tmp_path / "data" / kind)
    caches = (steps.all_steps, steps._tree_files, lookup.known_files)
    for one in caches:
        one.cache_clear()
    yield
    for one in caches:
        one.cache_clear()


def commit(folder: Path, tag: str) -> None:
    porcelain.add(str(folder), [str(p) for p in folder.iterdir() if p.name != ".git"])
    porcelain.commit(str(folder), message=b"one", author=ME, committer=ME)
    porcelain.tag_create(str(folder), tag)


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources in a repository, with the tag `before`; and a second commit, `after`, that has
    another text in the hello, world."""
    monkeypatch.setenv("HOME", str(tmp_path))  # nobody's own configuration
    folder = tmp_path / "mine"
    folder.mkdir()
    for path in find("stage0-posix", "1.0", "x86").materials:
        (folder / path).write_bytes((data_dir("seeds") / "x86" / path).read_bytes())
    porcelain.init(str(folder))
    commit(folder, "before")
    changed(folder / "hello.M1", "hello", "hallo")
    commit(folder, "after")
    return folder


def changed(place: Path, old: str = "", new: str = "# a comment\n") -> None:
    text = place.read_text("utf-8")
    assert old in text
    place.write_text(text.replace(old, new) if old else text + new)


@pytest.fixture
def verify(tmp_path: Path, mine: Path) -> Iterator[Callable[..., tuple[Done, Any]]]:
    """The command, and `since` of its report. What the repository would have run leaves a file."""
    ran = f"touch {tmp_path / 'ran'}"
    with (mine / ".git/config").open("a") as config:
        config.write(f'[core]\n\tfsmonitor = {ran}\n\thooksPath = .git/hooks\n[filter "x"]\n')
        config.write(f"\tclean = {ran}\n\tsmudge = {ran}\n\tprocess = {ran}\n")
    (mine / ".git/info").mkdir(exist_ok=True)
    (mine / ".git/info/attributes").write_text("* filter=x\n")
    for name in ("post-checkout", "post-index-change", "fsmonitor-watchman", "pre-commit"):
        (mine / ".git/hooks").mkdir(exist_ok=True)
        (mine / ".git/hooks" / name).write_text(f"#!/bin/sh\n{ran}\n")
        (mine / ".git/hooks" / name).chmod(0o755)
    env = {"BOOTSTRAP_CACHE": str(tmp_path / "cache")}
    report = tmp_path / "r.json"

    def run(*more: str | Path) -> tuple[Done, Any]:
        done = inside("verify", "--source", mine, "--json", report, *more, env=env)
        return done, report_of(report.read_text("utf-8")) if report.exists() else None

    yield run
    assert not (tmp_path / "ran").exists()
    # These do run where somebody adds a file by that configuration: dulwich's own commands do.
    with suppress(Exception):
        porcelain.add(str(mine), [str(mine / "hello.M1")])
    assert (tmp_path / "ran").exists()


@pytest.fixture
def plan(tmp_path: Path, verify: Callable[..., tuple[Done, Any]]) -> Path:
    """The graph that a run left."""
    _, report = verify("--jobs", "2", "--source", f"{tmp_path / 'mine'}@before")
    # Never verified: the core knows that no such release is shipped.
    assert "the core as-pinned" in report["claim"] and report["since"] is None
    return tmp_path / "cache/plans" / PLAN


def test_what_a_change_touched_and_what_it_did_not(
    verify: Callable[..., tuple[Done, Any]], mine: Path, plan: Path
) -> None:
    done, report = verify("--changed-since", "before")
    since = report["since"]
    assert (done.status, report["result"], since["before"]) == (1, "mismatch", "known values")
    assert (since["files"], since["others"], since["unexpected"]) == (["hello.M1"], 0, [])
    assert (since["changed"], since["unchanged"], since["untouched"]) == (HELLO, FIRST, 5)
    assert "note: since before: hello.M1 differs; 5 of 10 artifacts can change by that" in (
        done.stderr
    )
    assert "  changed    3 artifacts: hello.hex2, hello-whole.hex2, hello\n" in done.stdout
    # A comment; and a file that no program reads.
    changed(mine / "hello.M1", "hallo", "hello")
    changed(mine / "hello.M1")
    (mine / "README").write_text("hello\n")
    done, report = verify("--changed-since", "before")
    since = report["since"]
    assert (since["files"], since["others"], since["changed"]) == (["hello.M1"], 1, [])
    assert (sorted(since["unchanged"]), since["untouched"]) == (sorted([*HELLO, *FIRST]), 5)


def test_what_the_build_driver_reads_touches_everything(
    verify: Callable[..., tuple[Done, Any]], mine: Path, plan: Path
) -> None:
    changed(mine / "tools.kaem")
    since = verify("--changed-since", "after")[1]["since"]
    assert (since["files"], len(since["unchanged"]), since["untouched"]) == (["tools.kaem"], 10, 0)


def test_beside_a_commit_that_is_no_release(
    verify: Callable[..., tuple[Done, Any]], mine: Path, plan: Path, tmp_path: Path
) -> None:
    """It is run too: what differs from the release on both sides has not changed."""
    memo = ("--memo", tmp_path / "memo")
    done, report = verify("--changed-since", "after", *memo)
    since = report["since"]
    assert (done.status, since["before"], since["files"]) == (1, "a run", [])
    assert (since["changed"], since["unexpected"], since["untouched"]) == ([], [], 10)
    assert "note: after is not a release, so it is run first" in done.stderr
    changed(mine / "hex2.hex1")
    done, report = verify("--changed-since", "after", *memo)
    assert (report["memo"]["believed"], report["memo"]["ran"]) == (8, 1)
    assert report["since"]["changed"] == [] and "hello" in report["since"]["unchanged"]
    _, report = verify("--changed-since", "after", "--fail-fast")
    assert report["since"]["not_made"] == HELLO[1:] and report["since"]["changed"] == []


def test_a_graph_that_knows_too_little_is_seen(
    verify: Callable[..., tuple[Done, Any]], plan: Path
) -> None:
    graph = json.loads(plan.read_text())
    path = b"/hello.M1".hex()
    (unit,) = (unit for unit in graph["units"] if path in unit["reads"])
    unit["reads"].remove(path)
    graph["units"][0]["reads"].append(path)
    graph["units"][0]["writes"].clear()
    plan.write_text(json.dumps(graph))
    done, report = verify("--changed-since", "before")
    assert (report["result"], report["since"]["unexpected"]) == ("mismatch", HELLO)
    assert report["reasons"][0].startswith("since before, what no change leads to in the graph")
    assert "unexpected 3 artifacts: hello.hex2" in done.stdout
    assert "what no change leads to" in " ".join(done.stdout.split("MISMATCH")[1].split())


@pytest.mark.skipif(shutil.which("jq") is None, reason="no jq")
def test_the_check_in_the_documentation_finds_what_it_should(
    verify: Callable[..., tuple[Done, Any]], mine: Path, plan: Path, tmp_path: Path, checkout: Path
) -> None:
    """A tree that makes nothing any more has not changed an artifact either."""
    page = (checkout / "docs/howto/change.md").read_text("utf-8")
    (command,) = re.findall(r"^jq -e .*", page, re.MULTILINE)

    def passes() -> bool:
        since = verify("--changed-since", "after")[1]["since"]
        assert since["changed"] == since["unexpected"] == []
        jq = shlex.split(command.replace("report.json", str(tmp_path / "r.json")))
        return subprocess.run(jq, capture_output=True, check=False).returncode == 0

    assert passes()
    (mine / "tools.kaem").write_text("./nonesuch a b\n")
    assert not passes()


def test_without_a_graph_or_a_checkout(
    verify: Callable[..., tuple[Done, Any]], mine: Path, tmp_path: Path
) -> None:
    asks = ("--changed-since", "before", "--quiet")
    done, _ = verify(*asks)
    assert (done.status, done.stdout) == (2, "")
    command = done.one_line().partition("; bootstrap verify ")[2].removesuffix(" leaves it")
    verify(*shlex.split(command))
    assert verify(*asks)[0].status == 1
    since = verify("--source", f"{mine}@before", *asks)[1]["since"]
    assert (since["files"], since["changed"], since["untouched"]) == ([], [], 10)
    shutil.copytree(mine, tmp_path / "plain", ignore=shutil.ignore_patterns(".git"))
    (tmp_path / "tree.tar").write_bytes(to_tar(open_source(mine), "top"))
    for wrong, says in (
        (("--source", tmp_path / "plain"), "is no git checkout"),
        (("--source", tmp_path / "tree.tar"), "is no git checkout"),
        (("--arch", "x86,AMD64"), "goes with one architecture"),
        (("--release", "stagex-stage0"), "goes with --source DIR, a git checkout"),
        (("--machine", "uefi"), "does not go with --machine"),
        (("--changed-since", "none"), "name a commit, a branch or a tag"),
    ):
        done, _ = verify(*asks, *wrong)
        assert done.status == 2 and says in done.one_line(), wrong
    done = inside("verify", *asks)
    assert done.status == 2 and "--source DIR, a git checkout" in done.one_line()
