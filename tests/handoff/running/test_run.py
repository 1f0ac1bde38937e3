"""The small tree, from its seed to its last step, in real containers."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.handoff.containers.container import ContainerLimits
from bootstrap.handoff.plan_text import run_document, run_text
from bootstrap.handoff.stage0 import emulated
from bootstrap.handoff.work import HandoffTask, RunOutcome, WorkFolder
from tests.handoff.running.conftest import Heard, Lab
from tests.handoff.running.small import NL, ONE, PACKAGE
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


def test_from_the_seed_to_a_failure_and_on(each_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "visible")
    lab, work = each_lab, each_lab.work
    failed = lab.go(limits=FOUR)
    assert (failed.result, failed.exit_code) == ("failed", 3)
    assert [row.title for row in failed.finished] == lab.done == TITLES[:-1]
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
    capabilities = {status[name] for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")}
    assert capabilities == {"0" * 16} and status["NoNewPrivs"] == "1"
    # /proc/net/dev: the one interface is the loopback.
    assert re.findall(r"(?m)^ *([a-z]\w*): +\d+ +\d+ ", log) == ["lo"]

    passed = lab.go(resume=True)
    assert (passed.result, passed.exit_code, passed.before) == ("done", 0, 7)
    assert lab.done == TITLES
    assert (work / "root/steps/lines").read_text() == "once more\n"
    assert not (work / "root/usr/bin/tool").exists()
    states = {row.path: row.state for row in passed.packages}
    assert states == {"lib-3.0_0.tar.bz2": "verified", "last-1.0_0.tar.bz2": "verified"}
    # Nothing of the engine's, and nothing of ours, is left in the root.
    left = set(os.listdir(work / "root"))
    assert not left & {"run", "handoff.step.sh", "handoff.step.kaem", "handoff.exported"}
    assert not os.listdir(work / "root/dev") and not os.listdir(work / "root/proc")


def said(lab: Lab, done: RunOutcome) -> str:
    """The run as a user reads it."""
    how = {"colour": False, "width": None, "unicode": True, "verbose": True}
    return run_text(done, lab.small.plan, lab.small.stage0, **how)  # type: ignore[arg-type]


def test_what_was_checked_is_said(lab: Lab) -> None:
    done = lab.go()
    checked = {row.title: [(c.path, c.state) for c in row.checked] for row in done.finished}
    assert checked["stage0"] == [
        ("AMD64/bin/hello", "verified"),
        ("AMD64/artifact/part", "verified"),
    ]
    assert checked["tool-1.0 pass 1"] == [("usr/bin/tool", "verified")]
    assert checked["lib-3.0 pass 1"] == [("lib-3.0_0.tar.bz2", "verified")]
    assert checked["bash-0.1 pass 1"] == checked["improve paths"] == []
    text = said(lab, done)
    assert "verified   7 files of 5 steps" in text
    assert "unchecked  0 files without a value, 3 steps" in text
    assert "bash-0.1 pass 1, improve paths, uninstall tool-1.0 /usr/bin/old" in text
    agree = "1 of 1 answers and 2 of 2 products agree between the container and the known-good"
    assert agree in text
    assert text.endswith("FINISHED: all 6 steps; what is not checked is said above\n")
    document = json.loads(json.dumps(run_document(done, lab.small.plan, lab.small.stage0)))
    assert [row["state"] for row in document["steps"]] == ["finished"] * 8
    assert document["steps"][0]["checked"][0]["by"] == "amd64.answers"
    # What it is a result of.
    assert document["checkout"]["digest"] == lab.small.plan.checkout.digest
    assert {row["engine"] for row in document["steps"]} == {str(done.choice.engine)}
    assert document["steps"][2]["distfiles"] == [{"name": "one-1.0.tar.gz", "sha256": sha256(ONE)}]
    assert (document["until"], document["limits"]["memory"]) == (None, None)
    until_and_on(lab, lab.work / "root")


def until_and_on(lab: Lab, whole: Path) -> None:
    """A run in parts, in another folder, gives the same root as one that was whole."""
    lab.work, lab.heard = lab.folder / "parts", Heard()
    first = lab.go(until="seed")
    assert (first.result, first.exit_code) == ("until", 0) and lab.done == TITLES[:2]
    for until, last in (("1", 3), ("improve paths", 5), ("stage0", 5)):
        assert lab.go(until=until, resume=True).exit_code == 0 and lab.done == TITLES[:last]
    no_step = r"--until lib-3.0: is no step \(there are: lib-3.0 pass 1\)"
    lab.refused(no_step, until="lib-3.0", resume=True)
    lab.go(resume=True)
    assert files(whole) == files(lab.work / "root")


def files(root: Path) -> dict[str, bytes]:
    return {
        str(place.relative_to(root)): place.read_bytes()
        for place in root.rglob("*")
        if place.is_file() and not place.is_symlink()
    }


def test_a_checkout_that_changes_under_the_run(lab: Lab) -> None:
    """Values are read of it after each step: a step judged by others is not finished."""

    class Editor(Heard):
        def began(self, task: HandoffTask, number: int, total: int) -> None:
            if task.title == "tool-1.0 pass 1":
                lab.file("steps/SHA256SUMS.pkgs", f"{'0' * 64}  more_0.tar.bz2\n")

    lab.heard = Editor()
    lab.refused("was changed while it was being run: the digest of its")
    assert lab.done == TITLES[:2]
    lab.refused("was begun with another checkout", resume=True)


def test_it_begins_after_stage0(lab: Lab) -> None:
    made = {"AMD64/bin/hello": (b"hello\ntwo\n", 0o755), "AMD64/artifact/part": (b"hello\n", 0o644)}
    lab.small = replace(lab.small, stage0=replace(lab.small.stage0, products=made))
    done = lab.go(until="seed")
    assert done.exit_code == 0 and lab.done == TITLES[1:2]
    assert done.finished[0].title == "stage0, by emulation"
    made["AMD64/bin/hello"] = (b"hello\ntwo", 0o755)
    lab.work = lab.folder / "other"
    lab.refused(r"1 of 2 products are not what they .* nothing was")


def test_products_of_stage0_and_what_is_known_of_them(lab: Lab) -> None:
    whole = lab.small
    (path, sha, _), _ = whole.stage0.known

    def knowing(*known: tuple[str, str, str]) -> None:
        lab.small = replace(whole, stage0=replace(whole.stage0, known=known))

    knowing(*whole.stage0.known, (path, "ab" * 32, "emulation"))
    done = lab.go()
    assert (done.result, done.exit_code, done.finished) == ("mismatch", 1, ())
    wants = f"{sha256(b'hello' + NL + b'two' + NL)}; emulation wants {'ab' * 32}"
    assert done.failure is not None and wants in done.failure.message
    # What nobody knows is unchecked.
    knowing(whole.stage0.known[0])
    done = lab.go(resume=True, until="stage0")
    assert done.exit_code == 0
    assert [(row.path, row.state) for row in done.finished[0].checked] == [
        ("AMD64/bin/hello", "verified"),
        ("AMD64/artifact/part", "unchecked"),
    ]
    # What is known later is compared too.
    lab.small = replace(whole, stage0=emulated(whole.stage0, [(path, "ab" * 32)], "emulation"))
    differs = f"in its stage0, {path} has the sha256 {sha}; emulation"
    lab.refused(differs, resume=True, until="stage0")
    lab.small = replace(whole, stage0=emulated(whole.stage0, [(path, sha)], "emulation"))
    done = lab.go(resume=True, until="stage0")
    agree = "1 of 1 answers and 2 of 2 products agree between the container and emulation"
    assert agree in said(lab, done)


def test_a_package_that_upstream_did_not_check(lab: Lab) -> None:
    """Upstream's own check is off here, as it once was by a slip: ours is not."""
    place = lab.file("steps/SHA256SUMS.pkgs")
    place.write_text(place.read_text().replace(sha256(PACKAGE), "cd" * 32))
    lab.file("steps/env", text=f"CHECKED=no\n{lab.file('steps/env').read_text()}")
    done = lab.go()
    assert (done.result, done.exit_code) == ("mismatch", 1)
    assert done.failure is not None and done.failure.task.title == "lib-3.0 pass 1"
    wants = f"{sha256(PACKAGE)}; steps/SHA256SUMS.pkgs:1 wants {'cd' * 32}"
    assert wants in done.failure.message


def test_a_package_changed_afterwards_is_found(lab: Lab) -> None:
    lab.file(
        "steps/last-1.0/pass1.sh",
        "echo more >> /external/repo/lib-3.0_0.tar.bz2\n"
        "echo made > /external/repo/unasked-1.0_0.tar.bz2\n",
    )
    done = lab.go()
    assert (done.result, done.exit_code) == ("done", 1)
    assert {row.path: row.state for row in done.packages} == {
        "lib-3.0_0.tar.bz2": "mismatch",
        "last-1.0_0.tar.bz2": "verified",
        "unasked-1.0_0.tar.bz2": "unchecked",
    }
    text = said(lab, done)
    assert "MISMATCH: " in text and "unasked-1.0_0.tar.bz2: " in text


def test_values_written_anew_are_refused(lab: Lab) -> None:
    lab.file("steps/tool-1.0/pass1.kaem", "echo UPDATE_CHECKSUMS=True >> /steps/bootstrap.cfg\n")
    lab.refused("UPDATE_CHECKSUMS=True: with that, upstream checks nothing")
    state = WorkFolder(lab.work).read()
    assert state is not None and [row.title for row in state.finished] == TITLES[:3]


def test_a_step_that_leads_us_to_the_host(lab: Lab) -> None:
    """Its links are not followed, when source files are brought or its exports are read."""
    host = lab.folder / "host"
    host.mkdir()
    link = f"/AMD64/bin/ln -s {host} /external/distfiles\n"
    lab.file("steps/improve/paths.sh", text=f"rm -r /external/distfiles\n{link}")
    lab.refused("a step made something else of this folder")
    assert not list(host.iterdir())


def test_other_scripts_than_planned(lab: Lab) -> None:
    generator = lab.file("seed/generator.src")
    text = generator.read_text().replace("build lib-3.0 pass1.sh", "build lib-3.0 pass2.sh")
    generator.write_text(text)
    sums = f"{sha256(text.encode())}  script-generator\n"
    put(lab.small.checkout, "seed/script-generator.amd64.checksums", sums)
    lab.refused(r"/steps/1.sh, as upstream's script-generator wrote it")


def test_a_missing_source_file_is_named_and_got_later(lab: Lab) -> None:
    place = lab.small.distfiles / "one-1.0.tar.gz"
    place.unlink()
    done = lab.go()
    assert (done.result, done.exit_code) == ("missing", 2) and lab.done == TITLES[:2]
    assert done.failure is not None
    assert "tool-1.0 pass 1 needs one-1.0.tar.gz (steps/tool-1.0/sources:1)" in done.failure.message
    place.write_bytes(ONE)
    assert lab.go(resume=True, until="1").exit_code == 0
    assert lab.done == TITLES[:3]


@pytest.mark.parametrize("data", [ONE[:-1], ONE[:-1] + b"X", b""], ids=["cut", "swapped", "empty"])
def test_a_wrong_source_file_starts_nothing(lab: Lab, data: bytes) -> None:
    (lab.small.distfiles / "one-1.0.tar.gz").write_bytes(data)
    lab.refused(f"tool-1.0/sources:1 wants the sha256 {sha256(ONE)}")
    assert not lab.done
    assert not list((lab.work / "root/external/distfiles").iterdir())
