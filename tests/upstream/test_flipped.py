"""One flipped byte, in a source, in the seed or in a known-good value, is caught and named.

On the first five artifacts, hex0 to catm: enough of a chain, and done in a moment.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.instruments import default_engine
from bootstrap.known import StepFile
from bootstrap.linux.limits import RunLimits
from bootstrap.report import Report
from bootstrap.runs.rebuild import rebuild
from bootstrap.sources import SourceTree
from tests.runs.known import for_a_module
from tests.upstream.runs import ARCHES, early_step, flipped, resolved, run, statuses, with_file

pytestmark = pytest.mark.upstream

known = pytest.fixture(scope="module", autouse=True)(for_a_module)
"""The early steps are step files of ours."""

BOUNDED = RunLimits(instructions=2_000_000, memory=64 << 20)
"""A program that went wrong must not run for long; hex0 to catm take much less."""


@pytest.fixture(scope="module", params=ARCHES)
def arch(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def step(tree: SourceTree, arch: str) -> StepFile:
    return early_step(tree, arch, "catm")


def source_of(arch: str, name: str, kind: str) -> str:
    return f"{arch}/{name}_{arch}.{kind}"


def report_of(tree: SourceTree, step: StepFile) -> Report:
    (entry,) = step.entries
    return rebuild(resolved(tree, step), entry, default_engine(), BOUNDED).report


def test_unchanged_they_are_verified(tree: SourceTree, step: StepFile) -> None:
    rebuilt = run(tree, step, default_engine())
    assert (rebuilt.report.result, rebuilt.report.reasons) == ("verified", ())
    assert list(statuses(rebuilt).values()) == ["match"] * 5


def test_in_a_comment(tree: SourceTree, step: StepFile, arch: str) -> None:
    path = source_of(arch, "hex2", "hex1")
    source = tree.files[path].data
    changed = flipped(source, source.index(b"#") + 3)
    report = report_of(with_file(tree, path, changed), step)
    # The products do not differ, and still nothing is verified: this was not the release.
    assert {a.status for a in report.artifacts} == {"match"}
    assert (report.result, report.exit_code, report.first_divergence) == ("incomplete", 1, None)
    assert [(c.path, c.seed) for c in report.source.materials.changed] == [(path, False)]
    assert report.source.materials.changed[0].first_artifact == f"{arch}/artifact/hex2-0"
    assert report.reasons == (f"1 source file differs from the release: {path}",)


@pytest.mark.parametrize(
    ("name", "kind", "artifact"), [("hex1", "hex0", "hex1"), ("hex2", "hex1", "hex2-0")]
)
def test_in_code(
    tree: SourceTree, step: StepFile, arch: str, name: str, kind: str, artifact: str
) -> None:
    path = source_of(arch, name, kind)
    source = tree.files[path].data
    report = report_of(with_file(tree, path, flipped(source, _last_digit(source))), step)
    assert (report.result, report.exit_code) == ("mismatch", 1)
    found = report.first_divergence
    assert found is not None and found.step is not None
    assert found.path == f"{arch}/artifact/{artifact}"
    assert found.suspect == "input"
    assert path in found.verdict
    assert [i.path for i in found.step.inputs if i.state == "bad"] == [path]
    assert found.step.process.argv[1:] == (f"./{path}", f"./{arch}/artifact/{artifact}")
    # What was built before it, and from other files, is not blamed.
    before = [
        a.status for a in report.artifacts[: [a.path for a in report.artifacts].index(found.path)]
    ]
    assert set(before) == {"match"}


def _last_digit(source: bytes) -> int:
    """Offset of the last hex digit 0 to 9 that is code."""
    offset = 0
    last = -1
    for line in source.splitlines(keepends=True):
        code = line.split(b"#")[0].split(b";")[0]
        if not code.startswith(b":"):
            digits = [i for i, byte in enumerate(code) if 0x30 <= byte <= 0x39]
            last = offset + digits[-1] if digits else last
        offset += len(line)
    return last


@pytest.mark.parametrize("part", range(3))
def test_in_the_seed(tree: SourceTree, step: StepFile, part: int) -> None:
    step = replace(step, entries=early_step(tree, step.arch, "hex1").entries)
    seed = step.seeds["hex0-seed"].path
    data = tree.files[seed].data
    results = set()
    for offset in range(part * 7, len(data), 21):
        report = report_of(with_file(tree, seed, flipped(data, offset)), step)
        assert report.exit_code != 0, offset
        assert [(c.path, c.seed) for c in report.source.materials.changed] == [(seed, True)], offset
        assert any(seed in reason for reason in report.reasons), offset
        found = report.first_divergence
        if found is not None:
            assert found.suspect == "input", offset
            assert seed in found.verdict, offset
        failed = report.failure.process if report.failure is not None else None
        if report.failure is not None and failed is not None and failed.program == seed:
            assert seed in str(report.failure.verdict), offset
        results.add(report.result)
    # Some crash, some write something else, some bytes (padding, unused fields) do not matter.
    assert {"error", "mismatch", "incomplete"} <= results


@pytest.mark.parametrize("artifact", ["hex0", "hex1", "catm"])
def test_in_a_known_good_value(tree: SourceTree, step: StepFile, arch: str, artifact: str) -> None:
    path = f"{arch}/artifact/{artifact}"
    right = step.answers[path]
    wrong = f"{int(right[0], 16) ^ 1:x}{right[1:]}"
    report = report_of(tree, replace(step, answers={**step.answers, path: wrong}))
    assert (report.result, report.exit_code) == ("mismatch", 1)
    found = report.first_divergence
    assert found is not None
    assert (found.path, found.sha256, found.expected) == (
        path,
        right,
        wrong,
    )
    # Nothing that went into it is wrong, so it is not an input that is blamed.
    assert found.suspect in ("step", "expected-value")
    assert found.step is not None
    assert {i.state for i in found.step.inputs} == {"good"}
    assert [a.path for a in report.artifacts if a.status == "mismatch"] == [path]
    assert not report.source.materials.changed
