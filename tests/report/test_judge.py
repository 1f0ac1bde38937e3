"""When a run is verified, and every way in which it is not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.report import Expected, Failure, Product, ReleaseFiles, judge
from tests.report.scenario import GOOD, GOOD_SOURCES, Scenario, sha


def statuses(scenario: Scenario) -> dict[str, str]:
    return {a.path: a.status for a in scenario.report().artifacts}


def test_a_good_run_is_verified() -> None:
    report = Scenario().report()
    assert report.result == "verified"
    assert report.exit_code == 0
    assert report.reasons == ()
    assert report.first_divergence is None
    assert [(a.path, a.status) for a in report.artifacts] == [
        ("bin/a", "match"),
        ("bin/b", "match"),
        ("bin/c", "match"),
    ]
    assert [a.path for a in report.answers] == ["bin/b", "bin/c"]
    assert "All 2 answers" in report.claim
    assert "1 intermediate artifact " in report.claim


def test_artifacts_come_in_build_order_then_missing_ones_as_the_catalogue_has_them() -> None:
    scenario = Scenario(keep_steps=2)
    assert list(statuses(scenario)) == ["bin/a", "bin/c", "bin/b"]


def test_the_producer_is_the_process_that_wrote_the_final_content() -> None:
    b = next(a for a in Scenario().report().artifacts if a.path == "bin/b")
    assert b.producer is not None
    assert (b.producer.pid, b.producer.program) == (4, "bin/a")
    assert b.producer.argv == ("./bin/a", "bin/tmp-b", "bin/b")


def test_two_expectations_are_both_named() -> None:
    b = next(a for a in Scenario().report().artifacts if a.path == "bin/b")
    assert b.expected_from == "t.answers and native run"
    assert b.is_answer


def test_a_wrong_step_is_a_mismatch() -> None:
    report = Scenario(wrong_steps=("bin/b",)).report()
    assert report.result == "mismatch"
    assert report.exit_code == 1
    assert [a.status for a in report.artifacts] == ["match", "mismatch", "mismatch"]
    assert report.claim.startswith("Not verified: 0 of 2 answers")


def test_a_missing_answer_is_incomplete() -> None:
    report = Scenario(keep_steps=4).report()
    assert report.result == "incomplete"
    assert report.exit_code == 1
    missing = report.artifacts[-1]
    assert (missing.path, missing.status, missing.size, missing.sha256) == (
        "bin/c",
        "missing",
        None,
        None,
    )
    assert "bin/c" in report.reasons[0]


def test_a_missing_intermediate_is_incomplete_too() -> None:
    scenario = Scenario()
    scenario.expected.append(
        Expected(path="bin/d", sha256=sha("d"), from_="native run", kind="native-run")
    )
    assert scenario.report().result == "incomplete"


def test_nothing_to_compare_with_is_not_verified() -> None:
    scenario = Scenario(expected=[])
    report = scenario.report()
    assert report.result == "incomplete"
    assert {a.status for a in report.artifacts} == {"unknown"}
    assert "no known-good answer" in report.reasons[0]


def test_intermediates_alone_are_not_verified() -> None:
    scenario = Scenario()
    scenario.expected = [e for e in scenario.expected if e.kind == "native-run"]
    report = scenario.report()
    assert {a.status for a in report.artifacts if a.expectations} == {"match"}
    assert report.result == "incomplete"


def test_a_product_that_nobody_expected_is_unknown_and_does_no_harm() -> None:
    scenario = Scenario()
    scenario.expected = [e for e in scenario.expected if e.path != "bin/a"]
    assert statuses(scenario)["bin/a"] == "unknown"
    assert scenario.report().result == "verified"


def test_expectations_that_disagree_are_said_and_never_verified() -> None:
    scenario = Scenario()
    scenario.expected.append(
        Expected(path="bin/c", sha256=sha("other"), from_="native run", kind="native-run")
    )
    report = scenario.report()
    c = next(a for a in report.artifacts if a.path == "bin/c")
    assert c.status == "mismatch"
    assert c.expected == GOOD["bin/c"]
    assert c.note is not None
    assert "disagree" in c.note
    assert report.result == "mismatch"
    assert any("disagree" in r and "bin/c" in r for r in report.reasons)


def test_a_changed_material_is_never_verified_even_when_all_matches() -> None:
    scenario = Scenario()
    scenario.materials = replace(scenario.materials, changed=("unused.src",))
    report = scenario.report()
    assert {a.status for a in report.artifacts} == {"match"}
    assert report.result == "incomplete"
    assert [c.path for c in report.source.materials.changed] == ["unused.src"]
    assert report.source.materials.changed[0].first_artifact is None


def test_a_missing_material_is_never_verified() -> None:
    scenario = Scenario()
    scenario.materials = replace(scenario.materials, missing=("gone.src",))
    report = scenario.report()
    assert report.result == "incomplete"
    assert "gone.src" in report.reasons[0]


def test_extra_files_are_hidden_and_do_no_harm() -> None:
    scenario = Scenario()
    scenario.materials = replace(scenario.materials, extra=("bin/stale",))
    assert scenario.report().result == "verified"


@pytest.mark.parametrize(("status", "words"), [(256, "exit status 1"), (11, "signal 11")])
def test_a_bad_end_with_all_matching_is_an_error(status: int, words: str) -> None:
    report = Scenario().with_facts(exit_status=status).report()
    assert {a.status for a in report.artifacts} == {"match"}
    assert report.result == "error"
    assert report.exit_code == 3
    assert words in report.reasons[0]


def test_a_run_that_never_ended_is_an_error() -> None:
    assert Scenario().with_facts(exit_status=None).report().result == "error"


def test_a_guest_failure_names_the_process_and_what_was_built_until_then() -> None:
    scenario = Scenario(keep_steps=4, ended=False)
    scenario.with_facts(failure=Failure("unknown system call 999", pid=4), exit_status=None)
    scenario.expected = [e for e in scenario.expected if e.path != "bin/b"]
    report = scenario.report()
    assert report.result == "error"
    assert report.exit_code == 3
    assert report.failure is not None
    assert report.failure.process is not None
    assert report.failure.process.argv[0] == "./bin/a"
    assert [(a.path, a.status) for a in report.artifacts] == [
        ("bin/a", "match"),
        ("bin/b", "unknown"),
        ("bin/c", "missing"),
    ]
    assert any("unknown system call 999" in r and "pid 4" in r for r in report.reasons)


def test_a_failure_without_a_pid_is_the_last_process_that_had_not_ended() -> None:
    scenario = Scenario(keep_steps=4, ended=False)
    scenario.with_facts(failure=Failure("too many instructions"), exit_status=None)
    failing = scenario.report().failure
    assert failing is not None
    assert failing.process is not None
    assert failing.process.pid == 4


def test_a_bad_end_names_the_process_that_ended_badly_first_and_its_bad_input() -> None:
    """A flipped seed that crashes: nothing was built, and still the cause is named."""
    scenario = Scenario(keep_steps=2).with_facts(exit_status=256)
    scenario.sources["seeds/seed"] = sha("flipped")
    records = scenario.records()
    records[0].status, records[1].status = 256, 11
    records[1].writes.clear()
    report = judge(
        scenario.expected, {}, records, facts=scenario.facts, materials=scenario.materials
    )
    assert report.result == "error"
    assert report.failure is not None
    assert report.failure.process is not None
    assert report.failure.process.pid == 2
    assert report.failure.status == 11
    assert report.failure.verdict is not None
    assert "it is a seed that differs from the release" in report.failure.verdict
    assert "pid 2 (seeds/seed) was ended by signal 11" in report.reasons[0]
    assert [(c.path, c.seed) for c in report.source.materials.changed] == [("seeds/seed", True)]


def test_a_failing_process_with_good_inputs_has_no_verdict() -> None:
    scenario = Scenario(keep_steps=4, ended=False)
    failing = scenario.with_facts(failure=Failure("x", 4), exit_status=None).report().failure
    assert failing is not None
    assert failing.verdict is None
    assert failing.status is None


def test_an_unfinished_file_is_missing_and_not_wrong() -> None:
    scenario = Scenario(keep_steps=4, ended=False, wrong_steps=("bin/b",))
    scenario.with_facts(failure=Failure("limit"), exit_status=None)
    report = scenario.report()
    b = next(a for a in report.artifacts if a.path == "bin/b")
    assert b.status == "missing"
    assert b.sha256 is None
    assert b.note is not None
    assert "unfinished" in b.note
    assert report.result == "error"
    assert report.first_divergence is None


def test_a_mismatch_before_a_failure_is_what_is_reported() -> None:
    scenario = Scenario(keep_steps=4, ended=False, wrong_steps=("bin/a",))
    scenario.with_facts(failure=Failure("segmentation fault"), exit_status=None)
    report = scenario.report()
    assert report.result == "mismatch"
    assert report.first_divergence is not None
    assert report.first_divergence.path == "bin/a"
    assert any("segmentation fault" in r for r in report.reasons)


class TestInconsistentRecords:
    """Everything matches, but the record does not account for it."""

    def judged(
        self,
        scenario: Scenario,
        records: list[object] | None = None,
        products: dict[str, Product] | None = None,
    ) -> tuple[str, str]:
        report = judge(
            scenario.expected,
            scenario.products() if products is None else products,
            scenario.records() if records is None else records,  # type: ignore[arg-type]
            facts=scenario.facts,
            materials=scenario.materials,
        )
        assert {a.status for a in report.artifacts} == {"match"}
        return report.result, "; ".join(report.reasons)

    def test_no_record_of_the_writer(self) -> None:
        scenario = Scenario()
        result, why = self.judged(scenario, [*scenario.records()[:4]], scenario.products())
        assert result == "incomplete"
        assert "no process in the record wrote this content of bin/c" in why

    def test_no_record_at_all(self) -> None:
        assert self.judged(Scenario(), [])[0] == "incomplete"

    def test_another_writer_than_the_run_says(self) -> None:
        scenario = Scenario()
        products = scenario.products()
        products["bin/c"] = replace(products["bin/c"], producer=99)
        result, why = self.judged(scenario, products=products)
        assert result == "incomplete"
        assert "another writer" in why

    def test_a_process_twice(self) -> None:
        scenario = Scenario()
        records = scenario.records()
        records[4].pid = records[3].pid
        assert "one process twice" in self.judged(scenario, [*records])[1]

    def test_a_process_started_by_a_later_one(self) -> None:
        scenario = Scenario()
        records = scenario.records()
        records[2].started_by = 4
        assert "started by a later one" in self.judged(scenario, [*records])[1]

    def test_a_process_that_never_ended(self) -> None:
        scenario = Scenario()
        records = scenario.records()
        records[4].status = None
        assert "never ended" in self.judged(scenario, [*records])[1]

    def test_an_input_from_nowhere(self) -> None:
        scenario = Scenario()
        known = {k: v for k, v in GOOD_SOURCES.items() if k != "c.src"}
        scenario.materials = ReleaseFiles(known=known, seeds=("seeds/seed",))
        result, why = self.judged(scenario)
        assert result == "incomplete"
        assert "neither a file of the release nor made by the run: c.src" in why

    def test_a_stale_product_used_as_an_input(self) -> None:
        """A tool that lay in the tree already, and is used before it was built."""
        scenario = Scenario()
        records = scenario.records()
        records[2].exe = replace(records[2].exe, sha256=sha("stale"))
        assert "bin/a" in self.judged(scenario, [*records])[1]


def test_a_run_that_writes_over_its_sources_is_not_verified() -> None:
    scenario = Scenario()
    products = scenario.products()
    products["c.src"] = Product("c.src", 3, sha("overwritten"))
    report = judge(
        scenario.expected,
        products,
        scenario.records(),
        facts=scenario.facts,
        materials=scenario.materials,
    )
    assert report.result == "incomplete"
    assert any("changed files of the release: c.src" in r for r in report.reasons)


def test_the_embedded_sources_never_claim_more_than_was_done() -> None:
    scenario = Scenario()
    scenario.with_facts(source=replace(scenario.facts.source, kind="embedded", release=None))
    report = scenario.report()
    assert report.result == "verified"
    assert report.claim.startswith("Our own path only")
    assert "upstream's tree was not verified" in report.claim
    assert "bootstrap fetch stage0-posix" in report.claim


@given(
    changed=st.sets(st.sampled_from(sorted(GOOD_SOURCES))),
    wrong=st.sets(st.sampled_from(["bin/a", "bin/tmp-b", "bin/b", "bin/c"])),
    flipped=st.sets(st.integers(0, 3)),
    steps=st.integers(1, 5),
    status=st.sampled_from([0, 0, 256, 11, None]),
    fails=st.booleans(),
    missing=st.booleans(),
)
def test_verified_means_that_nothing_at_all_is_wrong(
    changed: set[str],
    wrong: set[str],
    flipped: set[int],
    steps: int,
    status: int | None,
    fails: bool,
    missing: bool,
) -> None:
    scenario = Scenario(wrong_steps=tuple(sorted(wrong)), keep_steps=steps)
    for path in changed:
        scenario.sources[path] = sha("changed " + path)
    for index in flipped:
        scenario.expected[index] = replace(scenario.expected[index], sha256=sha("flipped"))
    if missing:
        scenario.materials = replace(scenario.materials, missing=("gone",))
    failure = Failure("stopped") if fails else None
    report = scenario.with_facts(exit_status=status, failure=failure).report()

    sound = not (changed or wrong or flipped or fails or missing) and steps == 5 and status == 0
    assert (report.result == "verified") == sound
    assert (report.exit_code == 0) == sound
    assert bool(report.reasons) != sound
    judged = [a.status for a in report.artifacts if a.expectations]
    assert (report.result == "mismatch") == ("mismatch" in judged)
    assert (report.first_divergence is not None) == ("mismatch" in judged)
    if report.first_divergence:
        wrong_ones = [a.path for a in report.artifacts if a.status == "mismatch"]
        assert report.first_divergence.path == wrong_ones[0]
    for artifact in report.artifacts:
        values = {e.sha256 for e in artifact.expectations}
        assert (artifact.status == "match") == (values == {artifact.sha256})
        assert (artifact.status == "missing") == (artifact.sha256 is None)
    assert sorted({e.path for e in scenario.expected} | set(scenario.products())) == sorted(
        a.path for a in report.artifacts
    )


def test_values_of_a_native_run_alone_never_verify() -> None:
    scenario = Scenario()
    scenario.expected = [replace(e, kind="native-run") for e in scenario.expected[:3]]
    scenario.with_facts(name="a-set", source=replace(scenario.facts.source, release=None))
    report = scenario.report()
    assert (report.result, report.exit_code) == ("incomplete", 1)
    assert report.claim == (
        "Not verified: there is no known-good answer to compare with: upstream publishes no hash "
        "of these files; 3 of 3 artifacts of a-set for x86 equal what a native run made."
    )
