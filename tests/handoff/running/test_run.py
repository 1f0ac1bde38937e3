"""The small tree, from its seed to its last step, in real containers."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.handoff.containers.container import ContainerLimits, engine_text
from bootstrap.handoff.render import run_document, run_text
from bootstrap.handoff.stage0 import emulated
from bootstrap.handoff.work import HandoffTask, RunOutcome, WorkFolder
from tests.handoff.running.conftest import Heard, go
from tests.handoff.running.small import NL, ONE, PACKAGE, Small
from tests.handoff.tree import put, sha256

TITLES = [
    "stage0",
    "configurator and script-generator",
    "tool-1.0 pass 1",
    "bash-0.1 pass 1",
    "improve paths",
    "lib-3.0 pass 1",
    "uninstall tool-1.0 /usr/bin/old",
    "last-1.0 pass 1",
]
FOUR = ContainerLimits(file=4 << 20)


def test_from_the_seed_to_a_failure_and_on(
    small: Small, tmp_path: Path, each_engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "visible")
    work, heard = tmp_path / "work", Heard()
    failed = go(small, work, each_engine, heard, limits=FOUR)
    assert (failed.result, failed.exit_code) == ("failed", 3)
    assert [row.title for row in failed.finished] == heard.done == TITLES[:-1]
    assert failed.failure is not None and failed.failure.task.title == TITLES[-1]
    assert "ended with status 153, which says killed by SIGXFSZ" in failed.failure.message
    assert "the last step begins" in failed.failure.lines
    assert "TOLD=" in " ".join(failed.failure.given)
    # Where one can look at what is there.
    assert (work / "root/steps/lines").read_text() == "once more\n"
    assert failed.failure.enter == f"sh {work / 'enter.sh'}"
    log = (work / "logs/006-last-1.0-pass-1.log").read_text()
    assert "SECRET_OF_THE_HOST" not in log and "HOME=/\n" in log
    status = dict(line.split(":\t", 1) for line in log.splitlines() if ":\t" in line)
    assert {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")} == {
        "0" * 16
    }
    assert status["NoNewPrivs"] == "1"
    # /proc/net/dev: the one interface is the loopback.
    assert re.findall(r"(?m)^ *([a-z]\w*): +\d+ +\d+ ", log) == ["lo"]

    passed = go(small, work, each_engine, heard, resume=True)
    assert (passed.result, passed.exit_code, passed.before) == ("done", 0, 7)
    assert heard.done == TITLES
    assert (work / "root/steps/lines").read_text() == "once more\n"
    assert not (work / "root/usr/bin/tool").exists()
    states = {row.path: row.state for row in passed.packages}
    assert states == {"lib-3.0_0.tar.bz2": "verified", "last-1.0_0.tar.bz2": "verified"}
    # Nothing of the engine's, and nothing of ours, is left in the root.
    left = set(os.listdir(work / "root"))
    assert not left & {"run", "handoff.step.sh", "handoff.step.kaem", "handoff.exported"}
    assert not os.listdir(work / "root/dev") and not os.listdir(work / "root/proc")


def said(small: Small, done: RunOutcome) -> str:
    """The run as a user reads it."""
    how = {"colour": False, "width": None, "unicode": True, "verbose": True}
    return run_text(done, small.plan, small.stage0, **how)  # type: ignore[arg-type]


def test_what_was_checked_is_said(small: Small, tmp_path: Path, engine: str) -> None:
    done = go(small, tmp_path / "work", engine)
    checked = {row.title: [(c.path, c.state) for c in row.checked] for row in done.finished}
    assert checked["stage0"] == [
        ("AMD64/bin/hello", "verified"),
        ("AMD64/artifact/part", "verified"),
    ]
    assert checked["tool-1.0 pass 1"] == [("usr/bin/tool", "verified")]
    assert checked["lib-3.0 pass 1"] == [("lib-3.0_0.tar.bz2", "verified")]
    assert checked["bash-0.1 pass 1"] == checked["improve paths"] == []
    text = said(small, done)
    assert "verified   7 files of 5 steps" in text
    assert "unchecked  0 files without a value, 3 steps" in text
    assert "bash-0.1 pass 1, improve paths, uninstall tool-1.0 /usr/bin/old" in text
    assert (
        "1 of 1 answers and 2 of 2 products agree between the container and the known-good" in text
    )
    assert text.endswith("FINISHED: all 6 steps; what is not checked is said above\n")
    document = json.loads(json.dumps(run_document(done, small.plan, small.stage0)))
    assert [row["state"] for row in document["steps"]] == ["finished"] * 8
    assert document["steps"][0]["checked"][0]["by"] == "amd64.answers"
    # What it is a result of.
    assert document["checkout"]["digest"] == small.plan.checkout.digest
    assert {row["engine"] for row in document["steps"]} == {engine_text(done.choice.engine)}
    assert document["steps"][2]["distfiles"] == [{"name": "one-1.0.tar.gz", "sha256": sha256(ONE)}]
    assert (document["until"], document["limits"]["memory"]) == (None, None)


def test_a_checkout_that_changes_under_the_run(small: Small, tmp_path: Path, engine: str) -> None:
    """Values are read of it after each step: a step judged by others is not finished."""
    sums = small.checkout / "steps/SHA256SUMS.pkgs"

    class Editor(Heard):
        def began(self, task: HandoffTask, number: int, total: int) -> None:
            if task.title == "lib-3.0 pass 1":
                sums.write_text(sums.read_text() + f"{'0' * 64}  more_0.tar.bz2\n")

    heard = Editor()
    with pytest.raises(BadInput, match=r"was changed while it was being run: the digest of its"):
        go(small, tmp_path / "work", engine, heard)
    assert heard.done == TITLES[:5]
    with pytest.raises(BadInput, match="was begun with another checkout"):
        go(small, tmp_path / "work", engine, resume=True)


def test_until_and_on(small: Small, tmp_path: Path, engine: str) -> None:
    work, heard = tmp_path / "work", Heard()
    first = go(small, work, engine, heard, until="seed")
    assert (first.result, first.exit_code) == ("until", 0) and heard.done == TITLES[:2]
    for until, last in (("1", 3), ("improve paths", 5), ("stage0", 5)):
        done = go(small, work, engine, heard, until=until, resume=True)
        assert done.exit_code == 0 and heard.done == TITLES[:last]
    with pytest.raises(
        BadInput, match=r"--until lib-3.0: is no step \(there are: lib-3.0 pass 1\)"
    ):
        go(small, work, engine, until="lib-3.0", resume=True)


def test_two_folders_of_one_checkout_give_the_same_root(
    small: Small, tmp_path: Path, engine: str
) -> None:
    def files(work: Path) -> dict[str, bytes]:
        root = work / "root"
        return {
            str(place.relative_to(root)): place.read_bytes()
            for place in root.rglob("*")
            if place.is_file() and not place.is_symlink()
        }

    go(small, tmp_path / "a", engine)
    go(small, tmp_path / "b", engine, until="tool-1.0 pass 1")
    go(small, tmp_path / "b", engine, resume=True)
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_it_begins_after_stage0(small: Small, tmp_path: Path, engine: str) -> None:
    made = {"AMD64/bin/hello": (b"hello\ntwo\n", 0o755), "AMD64/artifact/part": (b"hello\n", 0o644)}
    begun = replace(small, stage0=replace(small.stage0, products=made))
    heard = Heard()
    done = go(begun, tmp_path / "work", engine, heard, until="tool-1.0 pass 1")
    assert done.exit_code == 0 and heard.done == TITLES[1:3]
    assert done.finished[0].title == "stage0, by emulation"
    made["AMD64/bin/hello"] = (b"hello\ntwo", 0o755)
    with pytest.raises(BadInput, match=r"1 of 2 products are not what they .* nothing was"):
        go(begun, tmp_path / "other", engine)


def test_a_product_of_stage0_differs(small: Small, tmp_path: Path, engine: str) -> None:
    known = (*small.stage0.known, ("AMD64/bin/hello", "ab" * 32, "emulation"))
    other = replace(small, stage0=replace(small.stage0, known=known))
    done = go(other, tmp_path / "work", engine)
    assert (done.result, done.exit_code, done.finished) == ("mismatch", 1, ())
    assert done.failure is not None
    assert f"{sha256(b'hello' + NL + b'two' + NL)}; emulation wants {'ab' * 32}" in (
        done.failure.message
    )
    assert go(small, tmp_path / "work", engine, resume=True, until="stage0").exit_code == 0


def test_what_is_known_later_is_compared_too(small: Small, tmp_path: Path, engine: str) -> None:
    work = tmp_path / "work"
    go(small, work, engine, until="stage0")
    path, sha, _ = small.stage0.known[0]
    other = emulated(small.stage0, [(path, "ab" * 32)], "emulation")
    with pytest.raises(BadInput, match=f"in its stage0, {path} has the sha256 {sha}; emulation"):
        go(replace(small, stage0=other), work, engine, resume=True, until="stage0")
    same = replace(small, stage0=emulated(small.stage0, [(path, sha)], "emulation"))
    done = go(same, work, engine, resume=True, until="stage0")
    assert "1 of 1 answers and 2 of 2 products agree between the container and emulation" in said(
        same, done
    )


def test_a_product_without_a_value_is_unchecked(small: Small, tmp_path: Path, engine: str) -> None:
    known = small.stage0.known[:1]
    other = replace(small, stage0=replace(small.stage0, known=known))
    done = go(other, tmp_path / "work", engine, until="stage0")
    assert [(row.path, row.state) for row in done.finished[0].checked] == [
        ("AMD64/bin/hello", "verified"),
        ("AMD64/artifact/part", "unchecked"),
    ]


def test_a_package_that_upstream_did_not_check(small: Small, tmp_path: Path, engine: str) -> None:
    """Upstream's own check is off here, as it once was by a slip: ours is not."""
    place = small.checkout / "steps/SHA256SUMS.pkgs"
    place.write_text(place.read_text().replace(sha256(PACKAGE), "cd" * 32))
    put(small.checkout, "steps/env", "CHECKED=no\n" + (small.checkout / "steps/env").read_text())
    done = go(small, tmp_path / "work", engine)
    assert (done.result, done.exit_code) == ("mismatch", 1)
    assert done.failure is not None and done.failure.task.title == "lib-3.0 pass 1"
    assert f"{sha256(PACKAGE)}; steps/SHA256SUMS.pkgs:1 wants {'cd' * 32}" in done.failure.message


def test_a_package_changed_afterwards_is_found(small: Small, tmp_path: Path, engine: str) -> None:
    last = small.checkout / "steps/last-1.0/pass1.sh"
    last.write_text(
        last.read_text() + "echo more >> /external/repo/lib-3.0_0.tar.bz2\n"
        "echo made > /external/repo/unasked-1.0_0.tar.bz2\n"
    )
    done = go(small, tmp_path / "work", engine)
    assert (done.result, done.exit_code) == ("done", 1)
    assert {row.path: row.state for row in done.packages} == {
        "lib-3.0_0.tar.bz2": "mismatch",
        "last-1.0_0.tar.bz2": "verified",
        "unasked-1.0_0.tar.bz2": "unchecked",
    }
    text = said(small, done)
    assert "MISMATCH: " in text and "unasked-1.0_0.tar.bz2: " in text


def test_values_written_anew_are_refused(small: Small, tmp_path: Path, engine: str) -> None:
    tool = small.checkout / "steps/tool-1.0/pass1.kaem"
    tool.write_text(tool.read_text() + "echo UPDATE_CHECKSUMS=True >> /steps/bootstrap.cfg\n")
    with pytest.raises(BadInput, match="UPDATE_CHECKSUMS=True: with that, upstream checks nothing"):
        go(small, tmp_path / "work", engine)
    work = WorkFolder(tmp_path / "work").read()
    assert work is not None and [row.title for row in work.finished] == TITLES[:3]


def test_a_step_that_leads_us_to_the_host(small: Small, tmp_path: Path, engine: str) -> None:
    """Its links are not followed, when source files are brought or its exports are read."""
    (tmp_path / "host").mkdir()
    paths = small.checkout / "steps/improve/paths.sh"
    paths.write_text(
        f"rm -r /external/distfiles\n/AMD64/bin/ln -s {tmp_path}/host /external/distfiles\n"
    )
    with pytest.raises(BadInput, match="a step made something else of this folder"):
        go(small, tmp_path / "work", engine)
    assert not list((tmp_path / "host").iterdir())


def test_other_scripts_than_planned(small: Small, tmp_path: Path, engine: str) -> None:
    generator = small.checkout / "seed/generator.src"
    text = generator.read_text().replace("build lib-3.0 pass1.sh", "build lib-3.0 pass2.sh")
    generator.write_text(text)
    sums = small.checkout / "seed/script-generator.amd64.checksums"
    sums.write_text(f"{sha256(text.encode())}  script-generator\n")
    with pytest.raises(BadInput, match=r"/steps/1.sh, as upstream's script-generator wrote it"):
        go(small, tmp_path / "work", engine)


def test_a_missing_source_file_is_named_and_got_later(
    small: Small, tmp_path: Path, engine: str
) -> None:
    place = small.distfiles / "one-1.0.tar.gz"
    place.unlink()
    work, heard = tmp_path / "work", Heard()
    done = go(small, work, engine, heard)
    assert (done.result, done.exit_code) == ("missing", 2) and heard.done == TITLES[:2]
    assert done.failure is not None
    assert "tool-1.0 pass 1 needs one-1.0.tar.gz (steps/tool-1.0/sources:1)" in done.failure.message
    place.write_bytes(ONE)
    assert go(small, work, engine, heard, resume=True).exit_code == 0
    assert heard.done == TITLES


@pytest.mark.parametrize("data", [ONE[:-1], ONE[:-1] + b"X", b""], ids=["cut", "swapped", "empty"])
def test_a_wrong_source_file_starts_nothing(
    small: Small, tmp_path: Path, engine: str, data: bytes
) -> None:
    (small.distfiles / "one-1.0.tar.gz").write_bytes(data)
    heard = Heard()
    with pytest.raises(BadInput, match=f"tool-1.0/sources:1 wants the sha256 {sha256(ONE)}"):
        go(small, tmp_path / "work", engine, heard)
    assert not heard.done
    assert not list((tmp_path / "work/root/external/distfiles").iterdir())
