"""The first divergence names the fault: source, seed, commands, step or expected value."""

from dataclasses import replace

from bootstrap.report import Expected, ReleaseFiles, Report, judge
from bootstrap.report.model import FirstMismatch, Input
from bootstrap.trace.lineage import FileVersion
from tests.report.scenario import GOOD, GOOD_SOURCES, Scenario, sha


def divergence(scenario: Scenario) -> FirstMismatch:
    found = scenario.report().first_divergence
    assert found is not None
    return found


def states(inputs: tuple[Input, ...]) -> dict[str, str]:
    return {i.path: i.state for i in inputs}


def flipped(path: str) -> Scenario:
    scenario = Scenario()
    scenario.sources[path] = sha("flipped " + path)
    return scenario


def test_a_flipped_source_is_named_with_the_first_artifact_made_from_it() -> None:
    scenario = flipped("a.src")
    report = scenario.report()
    found = divergence(scenario)
    assert found.path == "bin/a"
    assert found.step is not None
    assert found.step.process.argv == ("./seeds/seed", "a.src", "bin/a")
    assert states(found.step.inputs) == {"seeds/seed": "good", "a.src": "bad"}
    assert found.suspect == "input"
    assert "Input a.src was already wrong: it is a source that differs" in found.verdict
    assert [(c.path, c.seed, c.first_artifact) for c in report.source.materials.changed] == [
        ("a.src", False, "bin/a")
    ]
    assert report.source.materials.changed[0].expected == GOOD_SOURCES["a.src"]
    assert report.source.materials.changed[0].sha256 == sha("flipped a.src")


def test_a_flipped_source_behind_a_file_nobody_knows_is_found_by_the_trail() -> None:
    scenario = flipped("b.src")
    found = divergence(scenario)
    assert found.path == "bin/b"
    assert found.step is not None
    assert states(found.step.inputs) == {"bin/a": "good", "bin/tmp-b": "unknown"}
    assert [s.process.pid for s in found.trail] == [3]
    assert states(found.trail[0].inputs) == {"bin/a": "good", "b.src": "bad"}
    assert found.suspect == "input"
    assert "b.src was already wrong: it is a source" in found.verdict
    assert scenario.report().source.materials.changed[0].first_artifact == "bin/b"


def test_a_flipped_source_without_effect_is_named_with_the_first_artifact() -> None:
    """A byte in a comment: everything matches, and still it is not the release."""
    scenario = Scenario()
    records = scenario.records()
    records[1].reads = [replace(r, sha256=sha("comment")) for r in records[1].reads]
    report = judge(
        scenario.expected,
        scenario.products(),
        records,
        facts=scenario.facts,
        materials=scenario.materials,
    )
    assert report.first_divergence is None
    assert report.result == "incomplete"
    assert [(c.path, c.first_artifact) for c in report.source.materials.changed] == [
        ("a.src", "bin/a")
    ]


def test_a_flipped_seed_is_called_a_seed() -> None:
    scenario = flipped("seeds/seed")
    found = divergence(scenario)
    assert found.path == "bin/a"
    assert found.suspect == "input"
    assert "it is a seed that differs from the release" in found.verdict
    changed = scenario.report().source.materials.changed
    assert [(c.path, c.seed, c.first_artifact) for c in changed] == [("seeds/seed", True, "bin/a")]


def test_a_changed_script_makes_the_commands_suspect() -> None:
    scenario = flipped("script")
    scenario.wrong_steps = ("bin/b",)
    found = divergence(scenario)
    assert found.path == "bin/b"
    assert found.suspect == "commands"
    assert "script was already wrong there" in found.verdict
    assert [s.process.pid for s in found.drivers] == [1]
    assert scenario.report().source.materials.changed[0].first_artifact == "bin/a"


def test_what_a_driver_read_after_it_gave_the_command_is_not_to_blame() -> None:
    scenario = Scenario(wrong_steps=("bin/b",))
    records = scenario.records()
    records[0].reads.append(FileVersion("/c.src", sha("changed"), 3, order=35))
    report = judge(
        scenario.expected,
        scenario.products(),
        records,
        facts=scenario.facts,
        materials=scenario.materials,
    )
    assert report.first_divergence is not None
    assert report.first_divergence.drivers == ()
    assert report.first_divergence.suspect == "step"


def test_a_wrong_step_with_good_inputs_is_to_blame_itself() -> None:
    found = divergence(Scenario(wrong_steps=("bin/a",)))
    assert found.suspect == "step"
    assert found.verdict.startswith("The inputs were all good, so the fault lies in this step")
    assert found.step is not None
    assert set(states(found.step.inputs).values()) == {"good"}


def test_a_wrong_step_with_unknown_inputs_says_unknown() -> None:
    found = divergence(Scenario(wrong_steps=("bin/b",)))
    assert found.suspect == "step"
    assert found.step is not None
    assert states(found.step.inputs)["bin/tmp-b"] == "unknown"
    assert "all good" not in found.verdict
    assert "made from good ones" in found.verdict


def test_a_wrong_unknown_step_is_not_taken_for_good() -> None:
    """The temporary file went wrong: nobody can tell, so both steps are suspect."""
    found = divergence(Scenario(wrong_steps=("bin/tmp-b",)))
    assert found.path == "bin/b"
    assert "this step or in one that made them" in found.verdict


def test_later_artifacts_are_not_the_first_divergence() -> None:
    scenario = Scenario(wrong_steps=("bin/a",))
    report = scenario.report()
    assert [a.status for a in report.artifacts] == ["mismatch"] * 3
    assert divergence(scenario).path == "bin/a"


def test_a_flipped_expected_value_is_suspect_when_descendants_match() -> None:
    scenario = Scenario()
    scenario.expected[2] = replace(scenario.expected[2], sha256=sha("flipped"))
    found = divergence(scenario)
    assert found.path == "bin/a"
    assert found.suspect == "expected-value"
    assert "what was built from it matches (bin/b" in found.verdict
    assert "suspect the expected value (native run)" in found.verdict
    assert [a.status for a in scenario.report().artifacts] == ["mismatch", "match", "match"]


def test_a_flipped_expected_value_without_descendants_cannot_be_told_from_a_wrong_step() -> None:
    scenario = Scenario()
    scenario.expected[0] = replace(scenario.expected[0], sha256=sha("flipped"))
    found = divergence(scenario)
    assert found.path == "bin/c"
    assert found.suspect == "step"
    assert "expected value" in found.verdict


def test_a_flipped_expected_value_with_a_second_one_is_a_disagreement() -> None:
    scenario = Scenario()
    scenario.expected[1] = replace(scenario.expected[1], sha256=sha("flipped"))
    found = divergence(scenario)
    assert found.path == "bin/b"
    assert found.suspect == "expected-value"
    assert "equals the value of native run" in found.verdict


def test_a_product_without_a_writer_is_an_inconsistent_record() -> None:
    scenario = Scenario(wrong_steps=("bin/a",))
    report = judge(
        scenario.expected,
        scenario.products(),
        [],
        facts=scenario.facts,
        materials=scenario.materials,
    )
    assert report.first_divergence is not None
    assert report.first_divergence.step is None
    assert report.first_divergence.suspect == "unknown"
    assert "the record is inconsistent" in report.first_divergence.verdict


def test_an_input_that_nobody_can_account_for_leaves_it_open() -> None:
    scenario = Scenario(wrong_steps=("bin/a",))
    known = {k: v for k, v in GOOD_SOURCES.items() if k != "a.src"}
    scenario.materials = ReleaseFiles(known=known)
    found = divergence(scenario)
    assert found.suspect == "unknown"
    assert "a.src is neither a file of the release nor made by this run" in found.verdict


def test_an_input_read_under_another_name_is_still_known_as_the_runs_own() -> None:
    scenario = Scenario()
    records = scenario.records()
    records[3].reads = [replace(r, path="/bin/alias") for r in records[3].reads]
    report = judge(
        scenario.expected,
        scenario.products(),
        records,
        facts=scenario.facts,
        materials=scenario.materials,
    )
    assert report.result == "verified"


def test_a_bad_version_of_a_product_that_was_later_made_good_is_a_bad_input() -> None:
    """An artifact is written twice; the first, wrong version is what another was made from."""
    scenario = Scenario()
    records = scenario.records()
    early = FileVersion("/bin/b", sha("early"), 5, order=33)
    records[2].writes.append(early)
    records[4].exe = replace(early, order=40)
    records[4].writes = [replace(w, sha256=sha("c from early b")) for w in records[4].writes]
    products = scenario.products()
    products["bin/c"] = replace(products["bin/c"], sha256=sha("c from early b"))
    report: Report = judge(
        scenario.expected,
        products,
        records,
        facts=scenario.facts,
        materials=scenario.materials,
    )
    found = report.first_divergence
    assert found is not None
    assert found.path == "bin/c"
    assert found.suspect == "input"
    assert "bin/b was already wrong: the run made it" in found.verdict


def test_without_native_values_the_trail_goes_back_through_every_unknown_step() -> None:
    scenario = flipped("a.src")
    scenario.expected = [Expected(path="bin/c", sha256=GOOD["bin/c"], from_="t.answers")]
    found = divergence(scenario)
    assert found.path == "bin/c"
    assert found.trail[-1].process.pid == 2
    assert states(found.trail[-1].inputs)["a.src"] == "bad"
    assert "a.src was already wrong" in found.verdict


def test_a_circle_in_the_record_does_not_hang() -> None:
    scenario = Scenario(wrong_steps=("bin/a", "bin/b"))
    scenario.expected = [e for e in scenario.expected if e.path == "bin/c"]
    records = scenario.records()
    records[1].reads = [*records[1].reads, replace(records[3].writes[0], order=99)]
    records[0].started_by = 3
    records[3].started_by = 0
    report = judge(
        scenario.expected,
        scenario.products(),
        records,
        facts=scenario.facts,
        materials=scenario.materials,
    )
    assert report.first_divergence is not None
