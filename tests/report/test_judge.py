"""When a run is verified, and every way in which it is not; and what the first divergence is.

A divergence names the fault: source, seed, commands, step or expected value.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.report import Failure, Product, Report
from bootstrap.report.model import Step
from bootstrap.trace.lineage import FileVersion, ProcessRecord
from tests.report.scenario import (
    EMBEDDED,
    GOOD,
    GOOD_SOURCES,
    VALUES,
    Scenario,
    expecting,
    failed,
    flipped,
    instead,
    materials,
    sha,
    torn,
    unlisted,
    value,
    without,
)

Records = list[ProcessRecord]


def artifact(report: Report, path: str) -> Any:
    return next(a for a in report.artifacts if a.path == path)


def states(step: Step | None) -> dict[str, str]:
    assert step is not None
    return {i.path: i.state for i in step.inputs}


def reads(index: int, **changes: Any) -> Callable[[Records], None]:
    """A program reads something else."""

    def edit(records: Records) -> None:
        records[index].reads = [replace(r, **changes) for r in records[index].reads]

    return edit


def executes(index: int, **changes: Any) -> Callable[[Records], None]:
    def edit(records: Records) -> None:
        records[index].exe = replace(records[index].exe, **changes)

    return edit


def has(index: int, **changes: Any) -> Callable[[Records], None]:
    """A record has other values."""

    def edit(records: Records) -> None:
        for name, changed in changes.items():
            setattr(records[index], name, changed)

    return edit


def crashing_seed() -> Scenario:
    """A flipped seed that crashes: nothing was built, and still the cause is named."""

    def edit(records: Records) -> None:
        records[0].status, records[1].status = 256, 11
        records[1].writes.clear()

    return flipped(
        "seeds/seed", keep_steps=2, edit=edit, products_of=lambda made: made.clear()
    ).with_facts(exit_status=256)


def made_twice() -> Scenario:
    """An artifact is written twice; the first, wrong version is what another was made from."""
    early, other = FileVersion("/bin/b", sha("early"), 5, order=33), sha("c from early b")

    def edit(records: Records) -> None:
        records[2].writes.append(early)
        records[4].exe = replace(early, order=40)
        records[4].writes = [replace(w, sha256=other) for w in records[4].writes]

    def products(made: dict[str, Product]) -> None:
        made["bin/c"] = replace(made["bin/c"], sha256=other)

    return Scenario(edit=edit, products_of=products)


def circle(records: Records) -> None:
    records[1].reads = [*records[1].reads, replace(records[3].writes[0], order=99)]
    records[0].started_by, records[3].started_by = 3, 0


def product(path: str, **changes: Any) -> Callable[[dict[str, Product]], None]:
    def edit(made: dict[str, Product]) -> None:
        made[path] = replace(made.get(path, Product(path, 3, "")), **changes)

    return edit


NATIVE = [one for one in VALUES if one.kind == "native-run"]
NAMED = VALUES[0]


def case(make: Callable[[], Scenario], **wanted: Any) -> tuple[Callable[[], Scenario], Any]:
    """What is found; words of the verdict, the claim and the reasons; what is changed; the process
    that failed; and of the first divergence its path, whom it suspects, and the pids before it."""
    return make, wanted


CASES = {
    "good": case(
        Scenario,
        result="verified",
        statuses={"bin/a": "match", "bin/b": "match", "bin/c": "match"},
        claim=["All 2 answers", "1 intermediate artifact "],
    ),
    "missing ones come last, as the catalogue has them": case(
        lambda: Scenario(keep_steps=2),
        statuses={"bin/a": "match", "bin/c": "missing", "bin/b": "missing"},
    ),
    "a missing answer": case(
        lambda: Scenario(keep_steps=4), result="incomplete", reasons="1 artifact is missing: bin/c"
    ),
    "a missing intermediate": case(
        lambda: expecting(value("bin/d", "native run", sha("d"), "native-run")), result="incomplete"
    ),
    "nothing to compare with": case(
        lambda: Scenario(expected=[]),
        result="incomplete",
        statuses=dict.fromkeys(("bin/a", "bin/b", "bin/c"), "unknown"),
        reasons="no known-good answer",
    ),
    "intermediates alone": case(lambda: Scenario(expected=NATIVE), result="incomplete"),
    "a product that nobody expected": case(
        lambda: without("bin/a"),
        result="verified",
        statuses={"bin/a": "unknown", "bin/b": "match", "bin/c": "match"},
    ),
    "values that disagree": case(
        lambda: expecting(value("bin/c", "native run", sha("other"), "native-run")),
        result="mismatch",
        first="bin/c",
        reasons="disagree with each other about bin/c",
    ),
    "a changed source that was not read": case(
        lambda: materials(changed=("unused.src",)),
        result="incomplete",
        changed=[("unused.src", False, None)],
    ),
    "a missing source": case(
        lambda: materials(missing=("gone.src",)), result="incomplete", reasons="gone.src"
    ),
    "hidden files": case(lambda: materials(extra=("bin/stale",)), result="verified"),
    "an exit status": case(
        lambda: Scenario().with_facts(exit_status=256), result="error", reasons="exit status 1"
    ),
    "a signal": case(
        lambda: Scenario().with_facts(exit_status=11), result="error", reasons="signal 11"
    ),
    "no end": case(lambda: Scenario().with_facts(exit_status=None), result="error"),
    "a guest that fails": case(
        failed,
        result="error",
        statuses={"bin/a": "match", "bin/b": "match", "bin/c": "missing"},
        reasons="guest failed in pid 4 (bin/a): unknown system call 999",
        failing=(4, None, None),
    ),
    "a failure without a pid: the last process that had not ended": case(
        lambda: failed("too many instructions", None), failing=(4, None, None)
    ),
    "a bad end: the process that ended badly first, and its bad input": case(
        crashing_seed,
        result="error",
        reasons="pid 2 (seeds/seed) was ended by signal 11",
        failing=(2, 11, "it is a seed that differs from the release"),
        changed=[("seeds/seed", True, None)],
    ),
    "a mismatch before a failure": case(
        lambda: failed("segmentation fault", None, wrong_steps=("bin/a",)),
        result="mismatch",
        first="bin/a",
        reasons="segmentation fault",
    ),
    "an unfinished file is missing and not wrong": case(
        lambda: failed("limit", None, wrong_steps=("bin/b",)),
        result="error",
        statuses={"bin/a": "match", "bin/c": "missing", "bin/b": "missing"},
    ),
    # Everything matches, but the record does not account for it.
    "no record of the writer": case(
        lambda: Scenario(edit=lambda records: records.pop()),
        result="incomplete",
        reasons="no process in the record wrote this content of bin/c",
    ),
    "no record at all": case(lambda: Scenario(edit=list.clear), result="incomplete"),
    "another writer than the run says": case(
        lambda: Scenario(products_of=product("bin/c", producer=99)),
        result="incomplete",
        reasons="another writer",
    ),
    "a process twice": case(
        lambda: Scenario(edit=has(4, pid=4)), result="incomplete", reasons="one process twice"
    ),
    "a process started by a later one": case(
        lambda: Scenario(edit=has(2, started_by=4)),
        result="incomplete",
        reasons="started by a later one",
    ),
    "a process that never ended": case(
        lambda: Scenario(edit=has(4, status=None)), result="incomplete", reasons="never ended"
    ),
    "an input from nowhere": case(
        lambda: unlisted("c.src"),
        result="incomplete",
        reasons="neither a file of the release nor made by the run: c.src",
    ),
    "a tool that lay in the tree, and is used before it was built": case(
        lambda: Scenario(edit=executes(2, sha256=sha("stale"))),
        result="incomplete",
        reasons="bin/a",
    ),
    "a run that writes over its sources": case(
        lambda: Scenario(products_of=product("c.src", sha256=sha("overwritten"))),
        result="incomplete",
        reasons="changed files of the release: c.src",
    ),
    "an input under another name is known as the run's own": case(
        lambda: Scenario(edit=reads(3, path="/bin/alias")), result="verified"
    ),
    # What is claimed.
    "embedded": case(
        lambda: Scenario().with_facts(source=replace(EMBEDDED, release=None)),
        result="verified",
        claim=[
            "Embedded sources only",
            "upstream's tree was not verified",
            "bootstrap fetch stage0-posix",
        ],
    ),
    "embedded only": case(
        instead,
        result="embedded-only",
        claim=[
            "Embedded only, upstream not verified: ",
            "stage0-posix 1.9.1 for x86 could not be had",
        ],
        reasons="embedded only, upstream not verified: stage0-posix 1.9.1 for x86 could",
    ),
    "embedded only, and wrong": case(
        lambda: instead(wrong_steps=("bin/a",)),
        result="mismatch",
        first="bin/a",
        reasons="embedded only, upstream not verified: ",
    ),
    "values of a native run alone": case(
        lambda: Scenario(
            expected=[replace(one, kind="native-run") for one in VALUES[:3]]
        ).with_facts(name="a-set", source=replace(EMBEDDED, kind="folder", release=None)),
        result="incomplete",
        claim="Not verified: there is no known-good answer to compare with: upstream publishes no "
        "hash of these files; 3 of 3 artifacts of a-set for x86 equal what a native run made.",
    ),
    # Where it went wrong first.
    "a wrong step is to blame itself": case(
        lambda: Scenario(("bin/a",)),
        statuses=dict.fromkeys(("bin/a", "bin/b", "bin/c"), "mismatch"),
        first="bin/a",
        suspect="step",
        verdict="The inputs were all good, so the fault lies in this step",
        inputs={"seeds/seed": "good", "a.src": "good"},
        claim="Not verified: 0 of 2 answers",
    ),
    "a wrong step with unknown inputs": case(
        lambda: Scenario(("bin/b",)),
        statuses={"bin/a": "match", "bin/b": "mismatch", "bin/c": "mismatch"},
        first="bin/b",
        suspect="step",
        verdict="made from good ones",
        inputs={"bin/a": "good", "bin/tmp-b": "unknown"},
    ),
    "a temporary file went wrong: nobody can tell, so both steps are suspect": case(
        lambda: Scenario(("bin/tmp-b",)),
        first="bin/b",
        verdict="this step or in one that made them",
    ),
    "a flipped source": case(
        lambda: flipped("a.src"),
        first="bin/a",
        suspect="input",
        verdict="Input a.src was already wrong: it is a source that differs",
        inputs={"seeds/seed": "good", "a.src": "bad"},
        changed=[("a.src", False, "bin/a")],
    ),
    "a flipped source after a file nobody knows": case(
        lambda: flipped("b.src"),
        first="bin/b",
        suspect="input",
        verdict="b.src was already wrong: it is a source",
        inputs={"bin/a": "good", "bin/tmp-b": "unknown"},
        trail=[3],
        changed=[("b.src", False, "bin/b")],
    ),
    "the trail goes back through every unknown step": case(
        lambda: flipped("a.src", expected=[NAMED]),
        first="bin/c",
        trail=[4, 2],
        verdict="a.src was already wrong",
    ),
    "a byte in a comment: everything matches, and still it is not the release": case(
        lambda: Scenario(edit=reads(1, sha256=sha("comment"))),
        result="incomplete",
        changed=[("a.src", False, "bin/a")],
    ),
    "a flipped seed": case(
        lambda: flipped("seeds/seed"),
        first="bin/a",
        suspect="input",
        verdict="it is a seed that differs from the release",
        changed=[("seeds/seed", True, "bin/a")],
    ),
    "a changed script": case(
        lambda: flipped("script", wrong_steps=("bin/b",)),
        first="bin/b",
        suspect="commands",
        verdict="script was already wrong there",
        drivers=[1],
        changed=[("script", False, "bin/a")],
    ),
    "what a driver read after it gave the command is not to blame": case(
        lambda: Scenario(
            ("bin/b",),
            edit=lambda records: records[0].reads.append(
                FileVersion("/c.src", sha("changed"), 3, order=35)
            ),
        ),
        first="bin/b",
        suspect="step",
        drivers=[],
    ),
    "a flipped value is suspect when descendants match": case(
        lambda: torn(2),
        statuses={"bin/a": "mismatch", "bin/b": "match", "bin/c": "match"},
        first="bin/a",
        suspect="expected-value",
        verdict=[
            "what was built from it matches (bin/b",
            "suspect the expected value (native run)",
        ],
    ),
    "a flipped value without descendants cannot be known from a wrong step": case(
        lambda: torn(0), first="bin/c", suspect="step", verdict="expected value"
    ),
    "a flipped value with a second one is a disagreement": case(
        lambda: torn(1),
        first="bin/b",
        suspect="expected-value",
        verdict="equals the value of native run",
    ),
    "a product without a writer": case(
        lambda: Scenario(("bin/a",), edit=list.clear),
        first="bin/a",
        suspect="unknown",
        verdict="the record is inconsistent",
    ),
    "an input that nobody can account for leaves it open": case(
        lambda: unlisted("a.src", wrong_steps=("bin/a",)),
        first="bin/a",
        suspect="unknown",
        verdict="a.src is neither a file of the release nor made by this run",
    ),
    "a bad version of a product that was later made good": case(
        made_twice,
        first="bin/c",
        suspect="input",
        verdict="bin/b was already wrong: the run made it",
    ),
    "a circle in the record does not hang": case(
        lambda: Scenario(("bin/a", "bin/b"), expected=[NAMED], edit=circle), first="bin/c"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_found(name: str) -> None:
    make, wanted = CASES[name]
    report = make().report()
    first, failure = report.first_divergence, report.failure
    found: dict[str, Any] = {
        "result": report.result,
        "statuses": {a.path: a.status for a in report.artifacts},
        "changed": [(c.path, c.seed, c.first_artifact) for c in report.source.materials.changed],
        "first": first and first.path,
        "suspect": first and first.suspect,
        "inputs": states(first.step) if first and "inputs" in wanted else None,
        "trail": [step.process.pid for step in first.trail] if first else None,
        "drivers": [step.process.pid for step in first.drivers] if first else None,
    }
    texts = {
        "verdict": first.verdict if first else "",
        "claim": report.claim,
        "reasons": "; ".join(report.reasons),
    }
    for key, expected in wanted.items():
        if key in texts:
            each = [expected] if isinstance(expected, str) else expected
            assert all(words in texts[key] for words in each), (key, texts[key])
        elif key == "failing":
            assert failure is not None and failure.process is not None
            assert (failure.process.pid, failure.status) == expected[:2]
            assert (expected[2] or "") in (failure.verdict or ""), failure.verdict
            assert bool(expected[2]) == bool(failure.verdict)
        elif key == "statuses":
            assert list(found[key].items()) == list(expected.items())
        else:
            assert found[key] == expected, key
    assert (first is None) == ("first" not in wanted)
    codes = {"verified": 0, "mismatch": 1, "incomplete": 1, "error": 3, "embedded-only": 4}
    assert report.exit_code == codes[report.result]
    assert bool(report.reasons) == (report.result != "verified")


def test_what_is_said_of_an_artifact() -> None:
    report = Scenario().report()
    assert [a.path for a in report.answers] == ["bin/b", "bin/c"]
    b = artifact(report, "bin/b")
    assert (b.producer.pid, b.producer.program) == (4, "bin/a")
    assert b.producer.argv == ("./bin/a", "bin/tmp-b", "bin/b")
    assert b.expected_from == "t.answers and native run" and b.is_answer
    missing = Scenario(keep_steps=4).report().artifacts[-1]
    assert (missing.path, missing.status) == ("bin/c", "missing")
    assert (missing.size, missing.sha256) == (None, None)
    torn_one = artifact(CASES["values that disagree"][0]().report(), "bin/c")
    assert torn_one.expected == GOOD["bin/c"] and "disagree" in torn_one.note
    unfinished = CASES["an unfinished file is missing and not wrong"][0]().report()
    b = artifact(unfinished, "bin/b")
    assert b.sha256 is None and "unfinished" in b.note
    (changed,) = flipped("a.src").report().source.materials.changed
    assert (changed.expected, changed.sha256) == (GOOD_SOURCES["a.src"], sha("flipped a.src"))


@given(
    changed=st.sets(st.sampled_from(sorted(GOOD_SOURCES))),
    wrong=st.sets(st.sampled_from(["bin/a", "bin/tmp-b", "bin/b", "bin/c"])),
    flips=st.sets(st.integers(0, 3)),
    steps=st.integers(1, 5),
    status=st.sampled_from([0, 0, 256, 11, None]),
    fails=st.booleans(),
    missing=st.booleans(),
)
def test_verified_means_that_nothing_at_all_is_wrong(
    changed: set[str],
    wrong: set[str],
    flips: set[int],
    steps: int,
    status: int | None,
    fails: bool,
    missing: bool,
) -> None:
    scenario = flipped(*changed, wrong_steps=tuple(sorted(wrong)), keep_steps=steps)
    for index in flips:
        scenario.expected[index] = replace(scenario.expected[index], sha256=sha("flipped"))
    if missing:
        scenario.materials = replace(scenario.materials, missing=("gone",))
    failure = Failure("stopped") if fails else None
    report = scenario.with_facts(exit_status=status, failure=failure).report()

    sound = not (changed or wrong or flips or fails or missing) and steps == 5 and status == 0
    assert (report.result == "verified") == sound
    assert (report.exit_code == 0) == sound
    assert bool(report.reasons) != sound
    judged = [a.status for a in report.artifacts if a.expectations]
    assert (report.result == "mismatch") == ("mismatch" in judged)
    assert (report.first_divergence is not None) == ("mismatch" in judged)
    if report.first_divergence:
        differing = [a.path for a in report.artifacts if a.status == "mismatch"]
        assert report.first_divergence.path == differing[0]
    for one in report.artifacts:
        values = {e.sha256 for e in one.expectations}
        assert (one.status == "match") == (values == {one.sha256})
        assert (one.status == "missing") == (one.sha256 is None)
    assert sorted({e.path for e in scenario.expected} | set(scenario.products())) == sorted(
        a.path for a in report.artifacts
    )
