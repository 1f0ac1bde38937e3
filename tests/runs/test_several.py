"""`bootstrap verify` for several architectures, on runs of a tenth of a second."""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootstrap.cli import verify
from bootstrap.cli.commands import parser
from bootstrap.cli.live import LiveLine, Style
from bootstrap.cli.progress import ShownProgress
from bootstrap.cli.several import rebuild_each
from bootstrap.cli.verify import is_several, write_products
from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.core.verdict import Findings
from bootstrap.instruments import default_engine
from bootstrap.report import Report, lowered
from bootstrap.runs.rebuild import Rebuilt, rebuild
from bootstrap.sources import Resolved
from tests.runs.known import known_to_the_core
from tests.runs.tiny import ENTRY, resolved_for, tasks_for

PLAIN = Style(terminal=False, colour=False, unicode=True, width=lambda: 80)


def shown(stream: io.StringIO, *names: str) -> ShownProgress:
    return ShownProgress(LiveLine(stream=stream, style=PLAIN), names, lambda: 0.0)


def test_all_runs_in_the_order_asked_for_and_as_alone() -> None:
    stream = io.StringIO()
    arches = ("x86", "AMD64", "riscv64")
    tasks = tasks_for(arches, keep_products=True)
    reports, rebuilt = rebuild_each(tasks, 2, shown(stream, *arches))
    assert reports.result == "verified"
    assert [r.arch for r in reports.reports] == list(arches)
    assert (reports.totals.answers, reports.totals.matching) == (3, 3)
    for task, one in zip(tasks, rebuilt, strict=True):
        alone = rebuild(task.resolved, ENTRY, default_engine())
        assert one.products == alone.products
        assert without_times(one) == without_times(alone)
    lines = stream.getvalue().splitlines()
    assert {line.split()[0] for line in lines} == set(arches)
    assert sorted(line for line in lines if "verified" in line) == [
        "AMD64    verified",
        "riscv64  verified",
        "x86      verified",
    ]
    assert "x86      100% x86/hex0" in lines


def without_times(rebuilt: Rebuilt) -> Any:
    totals = replace(rebuilt.report.totals, wall_seconds=0.0)
    return replace(rebuilt.report, totals=totals)


def test_products_are_kept_only_if_they_are_asked_for() -> None:
    _, (rebuilt,) = rebuild_each(tasks_for(["x86"]), 1, shown(io.StringIO(), "x86"))
    assert rebuilt.products == {}


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> None:
    """The core has a step file for what is run here."""
    known_to_the_core(monkeypatch)


@pytest.mark.parametrize(
    ("arch", "expected"),
    [("all", True), ("ALL", True), ("x86,AMD64", True), ("x86,", True), ("x86", False)],
)
def test_what_asks_for_several(arch: str, expected: bool) -> None:
    assert is_several(arch) == expected


def test_products_of_all_go_into_one_folder(tmp_path: Path) -> None:
    arches = ("x86", "AMD64")
    each = [resolved_for(arch) for arch in arches]
    rebuilt = [rebuild(one, ENTRY, default_engine()) for one in each]
    write_products(tmp_path / "out", rebuilt[:1], each[:1])
    assert files(tmp_path / "out") == ["x86/hex0"]
    write_products(tmp_path / "both", rebuilt, each)
    assert files(tmp_path / "both") == ["AMD64/hex0", "x86/hex0"]
    clash = replace(rebuilt[1], products=rebuilt[0].products)
    with pytest.raises(BadInput, match=r"x86/hex0 was made for x86 and for AMD64"):
        write_products(tmp_path / "clash", [rebuilt[0], clash], each)
    assert not (tmp_path / "clash").exists()


def test_an_answers_file_is_written_only_if_it_is_the_release_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1.3 does not read its own, so no run notices another in its place."""
    one = resolved_for("x86")
    rebuilt = rebuild(one, ENTRY, default_engine())
    step = replace(one.step, answers={"x86/hex0": "a" * 64}, answers_from="x86.answers")
    good = "".join(f"{sha256}  {path}\n" for path, sha256 in step.answers.items())
    for name, text in (("good", good), ("forged", good.replace("a", "b")), ("none", "no list")):
        tree = one.tree.but(files={**one.tree.files, "x86.answers": SourceFile(text.encode())})
        write_products(tmp_path / name, [rebuilt], [replace(one, step=step, tree=tree)])
        written = ["x86.answers"] if name == "good" else []
        assert files(tmp_path / name) == [*written, "x86/hex0"]
        note = "note: x86.answers of the tree is not the release's, and is not written\n"
        assert capsys.readouterr().err == ("" if written else note)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def each(*_given: object) -> list[Resolved]:
        return [resolved_for("x86"), resolved_for("AMD64")]

    monkeypatch.setattr(verify, "resolve_each", each)


def run(*options: str) -> int:
    args: argparse.Namespace = parser().parse_args(["verify", "--arch", "all", *options])
    return verify.run(args)


def test_the_command(tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, junit = tmp_path / "out", tmp_path / "r.xml"
    options = ("--jobs", "2", "--json", "-", "--junit", str(junit), "--output", str(out))
    assert run(*options) == 0
    said = capsys.readouterr()
    data = json.loads(said.out)
    assert data["schema"] == "bootstrap-report-set/2"
    assert [r["arch"] for r in data["reports"]] == ["x86", "AMD64"]
    assert "VERIFIED with the fast path: All 2 answers of tiny" in said.err
    assert junit.read_text().count("<testsuite ") == 2
    assert files(out) == ["AMD64/hex0", "x86/hex0"]


def test_the_command_with_little_to_say(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--quiet") == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1 and said.out.startswith("All 2 answers of tiny")
    assert said.err == ""


@pytest.mark.parametrize("differs", ["", "AMD64"])
def test_each_is_rechecked(
    tiny: None,
    differs: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen: list[str] = []

    def rechecked(report: Report, findings: Findings | None, *_: object) -> Report:
        assert findings is not None and findings.result == "verified"
        seen.append(findings.arch)
        if findings.arch == differs:
            return lowered(report, "the core alone finds otherwise: x")
        return replace(report, decided_by="core")

    monkeypatch.setattr(verify, "rechecked", rechecked)
    assert run("--recheck", "--json", "-") == (1 if differs else 0)
    said = capsys.readouterr()
    assert seen == ["x86", "AMD64"]
    assert "recheck of AMD64 by the core alone" in said.err
    reports = json.loads(said.out)["reports"]
    by = [report["decided_by"] for report in reports]
    assert by == ["core", "core with the fast path" if differs else "core"]
    assert ("VERIFIED by the core alone: All 2" in said.err) == (not differs)
    assert ("AMD64: the core alone finds otherwise: x" in said.err) == bool(differs)
