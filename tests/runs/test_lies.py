"""Everything proposes, the core decides: one thing after the other is replaced by one that lies.

What lies is refused, or found out by the recheck; but for what prints the verdict, which only the
core run by oneself finds out. docs/trust.md says the same, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bootstrap.cli.main import main
from bootstrap.core import release as core_release
from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.instruments import default_engine
from bootstrap.known import EMBEDDED, StepFile, find
from bootstrap.known.schema import parse
from bootstrap.report import Report
from bootstrap.runs import deciding, rebuild, recheck
from bootstrap.runs.deciding import core_tree
from bootstrap.runs.rebuild import Observed, Rebuilt
from bootstrap.runs.recheck import rechecked
from bootstrap.sources import (
    MaterialsReport,
    Resolved,
    SourceTree,
    check_materials,
    embedded_source,
)
from bootstrap.sources.cache import Cache
from tests.core.made_up import EMBEDDED as FOLDER
from tests.core.made_up import made_up, sha256
from tests.core.running import core
from tests.runs.tiny import embedded

LIE = b"not what the run makes"
ENTRY = "hex0-seed"
LAST = "out/twice.c"
"""Nothing reads it: whoever lies about it has no more to lie about."""


def rebuilt(resolved: Resolved) -> Rebuilt:
    return rebuild.rebuild(resolved, ENTRY, default_engine())


def again(done: Rebuilt, resolved: Resolved) -> Report:
    return rechecked(done.report, done.findings, core_tree(resolved.tree), resolved.step)


def test_without_a_lie_both_agree() -> None:
    resolved = embedded()
    done = rebuilt(resolved)
    assert (done.report.result, done.report.decided_by) == ("verified", "core with the fast path")
    report = again(done, resolved)
    assert (report.result, report.decided_by) == ("verified", "core")
    assert report.recheck is not None
    assert (report.recheck.result, report.recheck.artifacts) == ("verified", 10)
    assert report.recheck.steps_sha256 == resolved.step.sha256


def says_verified(true: Callable[..., Report]) -> Callable[..., Report]:
    """A judge that lies."""

    def judged(*args: object) -> Report:
        report = true(*args)
        artifacts = tuple(replace(a, status="match") for a in report.artifacts)
        return replace(report, result="verified", artifacts=artifacts, reasons=())

    return judged


def test_without_a_step_file_of_ours_nothing_is_verified() -> None:
    good = embedded()
    report = rebuilt(replace(good, step=replace(good.step, sha256=""))).report
    assert (report.result, report.exit_code, report.decided_by) == ("incomplete", 1, None)
    why = "no step file of ours says what should come"
    assert report.reasons == (f"the core decided nothing: {why}",)


# Sources and the cache: whatever they say of a tree, the core compares it itself.


def tampered(tree: SourceTree) -> SourceTree:
    """A tree that makes the same products: only a comment is another."""
    file = tree.files["tools.kaem"]
    assert file.data.startswith(b"# The")
    changed = replace(file, data=b"# the" + file.data[5:])
    return replace(tree, files={**tree.files, "tools.kaem": changed})


def test_sources_that_lie_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    good = embedded()
    whole = MaterialsReport((), (), (), ())
    lying = Resolved(tampered(good.tree), good.step, whole)
    report = rebuilt(lying).report
    assert report.decided_by is None
    assert report.result != "verified" and report.exit_code == 1
    monkeypatch.setattr(rebuild, "judged", says_verified(rebuild.judged))
    report = rebuilt(lying).report
    assert report.result != "verified" and report.exit_code == 1
    why = "1 source files are not the release's, or not there: tools.kaem"
    assert report.reasons[0] == f"the core decided nothing: {why}"


def test_sources_that_give_another_step_file_are_refused() -> None:
    """The core reads our file of that name itself."""
    good = embedded()
    bad = tampered(good.tree)
    forged = {path: file.sha256 for path, file in bad.files.items()}
    step = replace(good.step, materials=forged)
    report = rebuilt(Resolved(bad, step, check_materials(bad, step))).report
    assert (report.result, report.exit_code) == ("incomplete", 1)
    assert report.reasons[0].startswith("the core decided nothing: 1 source files are not")
    with pytest.raises(BadInput, match=r"embedded-x86\.toml: is another file than the one"):
        rebuilt(replace(good, step=replace(good.step, sha256="0" * 64)))


@dataclass(frozen=True)
class LyingTree(SourceTree):
    """Says that it is another."""

    @property
    def digest(self) -> str:
        return embedded().tree.digest


def test_a_cache_that_lies_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives a tree for the release that was asked for, and the digest that one has."""
    step = find(EMBEDDED, None, "x86")
    bad = tampered(embedded_source(step))
    lying = LyingTree(**{name: getattr(bad, name) for name in bad.__dataclass_fields__})
    assert lying.digest == embedded().tree.digest
    monkeypatch.setattr(Cache, "load", lambda cache, release: lying)
    found = Cache().load("any")
    assert found is lying
    monkeypatch.setattr("bootstrap.sources.materials.check_materials", lambda *a: None)
    done = rebuilt(Resolved(lying, step, MaterialsReport((), (), (), ())))
    assert done.report.exit_code == 1
    assert done.findings is not None
    assert done.findings.tree_digest == core_tree(bad).digest != lying.digest


# The recorder: what it says can only lower.


@pytest.mark.parametrize("records", [(), "first only"])
def test_a_recorder_that_lies_raises_nothing(
    records: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = rebuild.observe

    def observe(*args: object, **more: object) -> tuple[Observed, dict[str, tuple[bytes, int]]]:
        observed, products = true(*args, **more)  # type: ignore[arg-type]
        kept = observed.records[:1] if records else ()
        return replace(observed, records=kept), products

    monkeypatch.setattr(rebuild, "observe", observe)
    report = rebuilt(embedded()).report
    assert (report.result, report.exit_code) == ("incomplete", 1)


# The fast path: found out by the recheck.


@pytest.fixture
def wrong_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resolved:
    """One whose answers this run cannot meet, as if it were one of ours."""
    one = made_up()
    one.answers = {**one.answers, LAST: sha256(LIE)}
    one.native = {}
    steps = tmp_path / "steps" / "made-up-1-x86.toml"
    steps.parent.mkdir()
    steps.write_bytes(one.steps())
    for module in (deciding, recheck):
        monkeypatch.setattr(module, "data_dir", lambda kind: steps.parent)
    monkeypatch.setattr(core_release, "shipped_files", lambda: {"x86": [steps]})
    step = replace(parse(one.steps(), f"steps/{steps.name}"), sha256=sha256(one.steps()))
    files = {path: SourceFile(data) for path, data in one.files.items()}
    tree = SourceTree("made up", files)
    return Resolved(tree, step, check_materials_of(tree, step))


def check_materials_of(tree: SourceTree, step: StepFile) -> MaterialsReport:
    assert all(tree.files[path].sha256 == sha for path, sha in step.materials.items())
    return MaterialsReport((), (), (), ())


Ran = tuple[Observed, dict[str, tuple[bytes, int]]]


def lying_observe(true: Callable[..., Ran], path: str) -> Callable[..., Ran]:
    """A fast path that says that the run made what it should make."""

    def observe(*args: object, **more: object) -> Ran:
        observed, products = true(*args, **more)
        writer = [r for r in observed.records for w in r.writes if w.path == f"/{path}"][-1]
        writes = [
            replace(w, sha256=sha256(LIE), size=len(LIE)) if w.path == f"/{path}" else w
            for w in writer.writes
        ]
        records = tuple(replace(r, writes=writes) if r is writer else r for r in observed.records)
        return replace(observed, records=records), {**products, path: (LIE, 0o755)}

    return observe


def test_without_a_lie_it_differs(wrong_release: Resolved) -> None:
    done = rebuilt(wrong_release)
    assert done.report.result == "mismatch"
    assert again(done, wrong_release).result == "mismatch"


def test_a_fast_path_that_lies_is_found_out_by_the_recheck(
    wrong_release: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "observe", lying_observe(rebuild.observe, LAST))
    done = rebuilt(wrong_release)
    # This is what it can do, and why the verdict says so:
    assert done.report.result == "verified"
    assert done.report.decided_by == "core with the fast path"
    report = again(done, wrong_release)
    assert (report.result, report.exit_code) == ("incomplete", 1)
    assert report.decided_by == "core with the fast path"
    assert report.recheck is not None and report.recheck.result == "mismatch"
    made = made_up().answers[LAST]
    assert f"{LAST} {sha256(LIE)}, the core {made}" in report.recheck.differences
    assert report.reasons[0].startswith("the core alone finds otherwise: result verified, the core")
    assert report.claim.startswith("Not verified: ")


# The report and the command line: they print, and who believes what they print believes them.


def test_a_report_that_says_more_than_the_core_is_lowered(
    wrong_release: Resolved, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuild, "judged", says_verified(rebuild.judged))
    report = rebuilt(wrong_release).report
    assert (report.result, report.exit_code) == ("incomplete", 1)
    assert report.reasons[0].startswith(f"the core and the report disagree: {LAST} matches, or not")
    assert "the report says verified, the core mismatch" in report.reasons[0]


def test_a_report_or_command_that_prints_a_lie_is_found_out_by_the_core_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for path in FOLDER.iterdir():
        (tree / path.name).write_bytes(path.read_bytes().replace(b"85", b"84"))
    monkeypatch.setattr("bootstrap.cli.verify.run", lambda args: print("VERIFIED") or 0)
    assert main(["verify", "--source", str(tree), "--recheck"]) == 0
    assert capsys.readouterr().out == "VERIFIED\n"
    done = core(tree, "--arch", "x86")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no release that is known here has these files" in done.stderr
