"""`verify --recheck`: the core alone, afterwards, and what is said of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bootstrap import host
from bootstrap.core.release import SourceFile, Tree
from bootstrap.core.verdict import Findings
from bootstrap.documents import encode
from bootstrap.instruments import default_engine
from bootstrap.known import EMBEDDED, find
from bootstrap.report import Report, to_junit, to_text
from bootstrap.runs.deciding import core_tree
from bootstrap.runs.rebuild import Rebuilt, rebuild
from bootstrap.runs.recheck import compared, rechecked
from bootstrap.sources import Resolved, check_materials
from tests.cli.command import inside, report_of
from tests.cli.conftest import Verified
from tests.runs.tiny import embedded

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture(scope="module")
def done() -> Rebuilt:
    return rebuild(embedded(), "hex0-seed", default_engine())


def findings(done: Rebuilt) -> Findings:
    assert done.findings is not None
    return done.findings


def saying(text: str, status: int = 0) -> Start:
    """In place of the core: one that says this."""
    code = f"import sys; sys.stdout.write({text!r}); sys.exit({status})"

    def start(*_args: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    return start


def with_core(done: Rebuilt, start: Start, monkeypatch: pytest.MonkeyPatch) -> Report:
    monkeypatch.setattr(host, "start", start)
    one = embedded()
    return rechecked(done.report, done.findings, core_tree(one.tree), one.step)


# What is said.


def test_the_command_says_that_both_agree(rechecked_here: Verified) -> None:
    said = rechecked_here.done
    assert "VERIFIED by the core alone: Embedded sources only" in said.stdout
    same = "recheck by the core alone: the same verdict, tree, step file and 10 artifacts"
    assert same in said.stdout
    assert "recheck of x86 by the core alone: it takes several times as long" in said.stderr
    data = report_of((rechecked_here.folder / "r.json").read_text())
    step = find(EMBEDDED, None, "x86")
    assert data["decided_by"] == "core"
    assert data["recheck"] == {
        "result": "verified",
        "tree_digest": data["source"]["tree_digest"],
        "steps_sha256": step.sha256,
        "artifacts": 10,
        "differences": [],
    }
    properties = ET.parse(rechecked_here.folder / "r.xml").findall("testsuite/properties/property")
    assert [p.attrib for p in properties] == [
        {"name": "decided_by", "value": "core"},
        {"name": "recheck", "value": "agrees"},
    ]


def test_quiet_shows_no_progress() -> None:
    ran = inside("verify", "--release", "embedded", "--recheck", "--quiet")
    assert (ran.status, ran.stderr, ran.stdout.count("\n")) == (0, "", 1)


# What differs.


def test_a_difference_is_named_everywhere(done: Rebuilt, monkeypatch: pytest.MonkeyPatch) -> None:
    other = asdict(findings(done))
    other["result"] = "mismatch"
    other["artifacts"][0]["sha256"] = "0" * 64
    report = with_core(done, saying(json.dumps(other), 1), monkeypatch)
    assert (report.result, report.exit_code) == ("incomplete", 1)
    assert report.decided_by == "core with the fast path"
    path, sha256 = done.findings.artifacts[0].path, done.findings.artifacts[0].sha256  # type: ignore[union-attr]
    differences = ["result verified, the core mismatch", f"{path} {sha256}, the core {'0' * 64}"]
    assert encode(report)["recheck"]["differences"] == differences
    text = to_text(report)
    assert "recheck by the core alone: it does not agree" in text
    assert "VERIFIED" not in text and "INCOMPLETE: Not verified" in text
    root = ET.fromstring(to_junit(report))
    assert root.attrib["errors"] == "1"
    assert root.find("testsuite/properties/property[@value='differs']") is not None
    error = root.find("testsuite/testcase/error")
    assert error is not None and "the core alone finds otherwise" in error.attrib["message"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"tree_digest": "1" * 64}, "tree digest "),
        ({"judged_by_sha256": "1" * 64}, "step file sha256 "),
        ({"entry": "kaem-optional-seed"}, "entry hex0-seed, the core kaem-optional-seed"),
        ({"result": "error"}, "result verified, the core error"),
        ({"artifacts": ()}, "hex0 f74dcf9c"),
    ],
)
def test_whatever_differs_is_a_difference(
    done: Rebuilt, change: dict[str, object], says: str
) -> None:
    fast = findings(done)
    assert compared(fast, fast).differences == ()
    found = compared(fast, replace(fast, **change))  # type: ignore[arg-type]
    assert found.differences[0].startswith(says)


def test_names_of_files_and_words_are_no_difference(done: Rebuilt) -> None:
    """The core is given the step file by its place, and says everything in its own words."""
    fast = findings(done)
    other = replace(fast, judged_by="/here/embedded-x86.toml", claim="", reasons=("any",))
    assert compared(fast, other).differences == ()


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("", 2, "it came to no verdict: it ended with status 2"),
        ("", -9, "it came to no verdict: it ended with status"),
        ("{", 0, "it came to no verdict: it ended with status 0 (what the core alone said"),
        ("{}", 0, "it came to no verdict: it ended with status 0 (what the core alone said"),
        ("GOOD", 1, "it came to no verdict: it ended with status 1, and said verified"),
    ],
)
def test_a_core_that_comes_to_no_verdict_is_a_difference(
    done: Rebuilt, monkeypatch: pytest.MonkeyPatch, text: str, status: int, says: str
) -> None:
    text = json.dumps(asdict(findings(done))) if text == "GOOD" else text
    report = with_core(done, saying(text, status), monkeypatch)
    assert (report.result, report.exit_code) == ("incomplete", 1)
    assert report.recheck is not None and report.recheck.differences[0].startswith(says)


def test_a_tree_that_differs_is_found_to_differ_by_both() -> None:
    one = embedded()
    files = {
        **one.tree.files,
        "hello.M1": SourceFile(one.tree.files["hello.M1"].data + b"# more\n"),
    }
    tree = replace(one.tree, files=files)
    other = Resolved(tree, one.step, check_materials(tree, one.step))
    done = rebuild(other, "hex0-seed", default_engine())
    assert done.report.exit_code == 1
    report = rechecked(done.report, done.findings, core_tree(tree), one.step)
    assert report.recheck is not None and report.recheck.differences == ()
    assert report.result == done.report.result


def test_where_nothing_was_decided_there_is_nothing_to_compare(done: Rebuilt) -> None:
    one = embedded()
    report = rechecked(done.report, None, core_tree(one.tree), replace(one.step, sha256=""))
    assert (report.result, report.exit_code) == ("incomplete", 1)
    assert "no step file of ours" in report.reasons[0]


# The tree, and the end.


def test_the_tree_is_laid_out_as_it_is(done: Rebuilt, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that the core refuses, which is a difference then, and not a crash."""
    one = core_tree(embedded().tree)
    tree = Tree("t", {**one.files, "d/\udcff": SourceFile(b"")}, {"link": "hello.M1"})
    report = rechecked(done.report, done.findings, tree, embedded().step)
    assert report.recheck is not None
    assert report.recheck.differences == ("it came to no verdict: it ended with status 2",)


def test_a_tree_that_cannot_be_laid_out_is_a_line(
    done: Rebuilt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    one = core_tree(embedded().tree)
    tree = Tree("t", {**one.files, "hello.M1/below": SourceFile(b"")})
    report = rechecked(done.report, done.findings, tree, embedded().step)
    assert (report.result, report.decided_by) == ("incomplete", "core with the fast path")
    assert "it could not be started: " in report.claim
    assert "the tree cannot be laid out" in report.claim and report.artifacts
    assert [*tmp_path.iterdir()] == []


def test_whoever_interrupts_it_leaves_nothing_behind(
    done: Rebuilt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    code = "import sys; sys.stdin.read(); import threading; threading.Event().wait()"

    def start(*_args: str) -> subprocess.Popen[bytes]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        )
        return started[0]

    def tick() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(host, "start", start)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    one = embedded()
    with pytest.raises(KeyboardInterrupt):
        rechecked(done.report, done.findings, core_tree(one.tree), one.step, tick)
    assert started[0].returncode == -9
    assert [*tmp_path.iterdir()] == []
