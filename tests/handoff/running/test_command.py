"""The command line of `bootstrap handoff run`, and a run of the real checkout where it is named."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bootstrap.cli import handoff
from bootstrap.cli.commands import parser
from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from bootstrap.sources import Cache, SourceTree, cache_root, resolve
from tests.attest.runs import inside
from tests.cli.command import ROOT, bootstrap, environment
from tests.handoff import tree
from tests.handoff.conftest import upstream
from tests.handoff.running.conftest import Lab
from tests.handoff.running.small import ARCH

__all__ = ["upstream"]

HANGS = 1500.0
"""Seconds after which a run of half a minute, on however busy a machine, will never end."""
CACHE = {"BOOTSTRAP_CACHE": str(cache_root())}


def command(checkout: Path, work: Path, *more: str) -> list[str]:
    """The words of the command line."""
    folder = work.parent / "d"
    folder.mkdir(exist_ok=True)
    return [
        *("handoff", "run", "--live-bootstrap", str(checkout), "--distfiles", str(folder)),
        *("--work", str(work), *more),
    ]


def of_lab(lab: Lab, *more: str) -> list[str]:
    words = ["handoff", "run", "--live-bootstrap", str(lab.small.checkout), "--arch", ARCH]
    words += ["--distfiles", str(lab.small.distfiles), "--engine", lab.engine]
    return [*words, "--work", str(lab.work), *more]


def test_help_teaches() -> None:
    done = inside("handoff", "run", "--help")
    assert done.status == 0
    for words in ("--from {seed,stage0}", "--resume", "Exit status: 0 all steps", "auto takes the"):
        assert words in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("manifest", "more", "says"),
    [
        (None, "", "no checkout of live-bootstrap"),
        ("rebuild: tool-1.0", "", "manifest:1: unknown directive 'rebuild:'"),
        (
            "define: A = ( B == 1 )\ndefine: B = ( A == 1 )\nbuild: tool-1.0",
            "",
            "a cycle: A <- B <- A",
        ),
        ("", "", "nothing says which stage0-posix it pins: name the release with --stage0-release"),
        ("", "--limit speed=1", "--limit speed=1: not NAME=NUMBER"),
        ("", "--products x", "--products goes with --from stage0"),
        ("", "--json /nowhere/x.json", "there is no folder /nowhere"),
        ("", "--set MIRRORS=x", "--set MIRRORS=x: give NAME=VALUE"),
    ],
)
def test_what_cannot_be_run(tmp_path: Path, manifest: str | None, more: str, says: str) -> None:
    checkout = tmp_path / "lb" if manifest is None else tree.make(tmp_path / "lb")
    if manifest:
        tree.put(checkout, "steps/manifest", manifest + "\n")
    done = inside(*command(checkout, tmp_path / "work", *more.split()))
    assert done.status == 2 and says in done.one_line()
    assert not (tmp_path / "work").exists()


def test_a_run_as_a_user_sees_it(
    lab: Lab, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handoff, "_stage0", lambda args, plan, order: lab.small.stage0)
    words, digest = of_lab(lab), lab.small.plan.checkout.digest
    assert main([*words, "--limit", "file=4M"]) == 3
    said, live = capsys.readouterr()
    assert "[2 of 7] tool-1.0 pass 1: " in live and "1 verified" in live
    assert "Where it stopped: last-1.0 pass 1" in said and "it was given:" in said
    enter = lab.work / "enter.sh"
    assert f"to enter the container as it is now: sh {enter}" in " ".join(said.split())
    assert "last-1.0_0.tar.bz2: " not in said and "verified   1\n" in said
    assert said.endswith("STEP FAILED: what was finished before is kept, for --resume\n")
    assert main([*words, "--resume", "--quiet", "--json", "-"]) == 0
    said, live = capsys.readouterr()
    document = json.loads(said)
    assert (document["result"], document["finished_before"]) == ("done", 7)
    assert document["checkout"]["digest"] == digest
    assert {row["state"] for row in document["packages"]} == {"verified"}
    assert "FINISHED: all 6 steps" in live and "[7 of 7]" not in live
    assert main([*words, "--resume", "--quiet", "--json", "/dev/full"]) == 2
    said, live = capsys.readouterr()
    assert "FINISHED: all 6 steps" in said and "/dev/full: cannot be written" in live
    assert digest in said
    assert main(words) == 2
    assert "has a run with 8 of 8 steps finished: give --resume" in capsys.readouterr().err
    monkeypatch.setattr("bootstrap.handoff.run.run_container", _interrupted)
    assert main([*words[:-1], str(lab.folder / "other")]) == 130
    assert "goes on after the last finished step\nbootstrap: int" in capsys.readouterr().err


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.upstream
def test_values_are_never_written_anew(upstream: Path, tmp_path: Path, release: SourceTree) -> None:
    more = ("--set", "UPDATE_CHECKSUMS=True")
    done = inside(*command(upstream, tmp_path / "work", *more))
    assert done.status == 2 and "never lets upstream write values anew" in done.one_line()


@pytest.mark.upstream
def test_no_emulation_without_an_engine_and_none_that_was_not_verified(
    lab: Lab, release: SourceTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = resolve(None, release.release, "AMD64", Cache(), online=False)
    result = SimpleNamespace(report=SimpleNamespace(result="mismatch"))
    monkeypatch.setattr("bootstrap.runs.rebuild.rebuild", lambda *_: result)
    with pytest.raises(BadInput, match="emulation gave mismatch, so there is nothing to start"):
        handoff._emulated(resolved, quiet=True)
    monkeypatch.setattr("bootstrap.handoff.stage0.pinned", lambda *_: resolved)
    monkeypatch.setattr("bootstrap.runs.rebuild.rebuild", None)
    monkeypatch.setenv("PATH", str(lab.folder))
    for begin in (["--from", "stage0"], ["--emulate"]):
        args = parser().parse_args(of_lab(lab, "--engine", "auto", *begin))
        with pytest.raises(BadInput, match="no engine can be used here: podman: is not installed"):
            handoff.run_run(args)


@pytest.mark.slow
@pytest.mark.upstream
def test_the_real_checkout_to_its_first_source_file(
    upstream: Path, tmp_path: Path, release: SourceTree, engine: str
) -> None:
    """From the seed, natively, through stage0 and script-generator; amd64 is the quick one."""
    work = tmp_path / "work"
    more = ("--arch", "amd64", "--engine", engine, "--json", str(tmp_path / "run.json"))
    # By its commit, as it is in the cache.
    commit = Path((upstream / ".git/HEAD").read_text().strip())
    done = bootstrap(*command(commit, work, *more), env=CACHE, timeout=HANGS)
    assert done.status == 2, done.stderr
    assert done.stderr.startswith(f"live-bootstrap {commit}, from the cache\n")
    document = json.loads((tmp_path / "run.json").read_text())
    said = " ".join(done.stdout.split())
    assert "19 of 19 answers and 73 of 73 products agree between the container and the" in said
    assert "mes-0.27.1 pass 1 needs mes-0.27.1.tar.gz (steps/mes-0.27.1/sources:1)" in said
    assert document["result"] == "missing" and document["failure"]["step"] == "3"
    assert [row["state"] for row in document["steps"][:5]] == [*["finished"] * 4, "stopped"]
    # Ctrl-C, as a terminal sends it, while stage0 is being built anew.
    words = command(upstream, tmp_path / "other", *more[:4])
    with subprocess.Popen(
        [sys.executable, "-m", "bootstrap", *words],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(CACHE),
        cwd=ROOT,
    ) as process:
        assert process.stderr is not None
        assert any(line.startswith("laying out") for line in process.stderr)
        log = tmp_path / "other/logs/000-stage0.log"
        while not (log.exists() and log.stat().st_size):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "--resume goes on after the last finished step\nbootstrap: interrupted\n" in rest
