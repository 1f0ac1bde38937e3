"""The paths run, on upstream's real tree where it is at hand; and a trap in one tool is caught."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.core.errors import GuestFailed
from bootstrap.ddc import Along, BuildPath, along, compare, our_tools, paths, plan
from bootstrap.ddc.build_paths import emulate, hex2_at
from bootstrap.instruments import default_engine
from bootstrap.known import find
from bootstrap.languages import hex2
from bootstrap.languages.hex2 import BASE_ADDRESS
from bootstrap.languages.source import SourceText
from bootstrap.linux.limits import RunLimits
from bootstrap.runs.build_plan import BuildStep
from bootstrap.sources import SourceTree
from tests.ddc import sample
from tests.ddc.sample import WANTED

LIMITS = RunLimits()


def path(name: str) -> BuildPath:
    """One that needs no tools of ours."""
    (found,) = (path for path in paths({}, default_engine(), LIMITS) if path.name == name)
    return found


def follow(name: str, tree: SourceTree) -> Along:
    return along(path(name), plan(tree, sample.step()), tree, lambda _step: None)


def test_a_step_that_fails_is_reported_and_the_rest_goes_on() -> None:
    found = follow("upstream", sample.tree())
    assert found.made["x86/artifact/hex0"] == sample.SEED.read_bytes()
    assert found.made["x86/artifact/M2"] == sample.SEED.read_bytes()
    assert found.failed == {
        "x86/artifact/both.c": "x86/mescc-tools-mini-kaem.kaem:3: x86/artifact/catm is not there"
    }


def test_the_models_need_no_tool() -> None:
    found = follow("models", sample.tree())
    assert found.made["x86/artifact/both.c"] == b"one\ntwo\n"
    assert found.failed == {}


def test_what_a_model_refuses_is_a_failed_step() -> None:
    whole = sample.tree(b"./x86/artifact/hex1 ./one.c ./x86/artifact/M2\n")
    found = follow("models", whole)
    assert found.failed["x86/artifact/M2"] == (
        "x86/mescc-tools-mini-kaem.kaem:1: the hex1 model refuses it: one.c:1:1: "
        + found.failed["x86/artifact/M2"].rpartition("1:1: ")[2]
    )


def test_a_program_that_fails_makes_nothing() -> None:
    engine = default_engine()
    step = BuildStep(("./p", "in", "out"), "hex0", "p", ("in",), "out", "t:1")
    for program, says in ((b"no program", "cannot be executed"), (b"", "cannot be executed")):
        with pytest.raises(Exception, match=says):
            emulate(program, step, {"in": b""}, engine, LIMITS)
    other = BuildStep(("./p", "in", "out"), "hex0", "p", ("in",), "elsewhere", "t:1")
    with pytest.raises(Exception, match="it wrote no elsewhere"):
        emulate(sample.SEED.read_bytes(), other, {"in": b"41"}, engine, LIMITS)


@pytest.mark.upstream
def test_a_trap_in_one_tool_is_seen_in_what_it_assembles(release: SourceTree) -> None:
    """hex2-0 of the first path gives every program it assembles another entry point."""
    honest = path("upstream")

    def trapped(step: BuildStep, files: dict[str, bytes]) -> bytes:
        made = honest.run(step, files)
        if step.language == "hex2":
            return made[:0x18] + bytes([made[0x18] ^ 4]) + made[0x19:]
        return made

    steps = plan(release, sample.step())
    steps = steps[: [step.output for step in steps].index("x86/artifact/M0") + 1]
    found = [
        along(one, steps, release, lambda _step: None)
        for one in (BuildPath("trapped", "", trapped), path("models"))  # type: ignore[arg-type]
    ]
    comparison = compare(steps, found, sample.step())
    status = {row.path: row.status for row in comparison.rows}
    assert comparison.result == "differ"
    assert status["x86/artifact/hex2-0"] == "agree"
    assert status["x86/artifact/catm"] == "differ"
    assert comparison.reasons[0] == "x86/artifact/catm differs between the paths"


@pytest.mark.upstream
def test_all_three_agree_up_to_m2_planet(release: SourceTree) -> None:
    engine = default_engine()
    steps = plan(release, sample.step())
    found = [
        along(one, steps, release, lambda _step: None)
        for one in paths(our_tools(engine, LIMITS), engine, LIMITS)
    ]
    comparison = compare(steps, found, sample.step())
    assert (comparison.result, comparison.reasons, comparison.remarks) == ("agree", (), ())
    assert {row.path for row in comparison.rows} > set(WANTED)
    assert {len(row.sha256) for row in comparison.rows} == {3}


def test_our_tools_are_only_taken_when_they_are_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    step = find("embedded", None, "x86")
    spoilt = replace(step, catalogue={**step.catalogue, "hex1": "0" * 64})
    monkeypatch.setattr("bootstrap.ddc.build_paths.find", lambda *_names: spoilt)
    with pytest.raises(GuestFailed, match=r"our own tools were not verified.*hex1"):
        our_tools(default_engine(), LIMITS)


def test_our_hex2_for_another_address_does_what_its_model_does() -> None:
    engine, text = default_engine(), b":a 01 &b :b %a !a ~a>b &a\n"
    tools = {base: our_tools(engine, LIMITS, base)["hex2"] for base in (BASE_ADDRESS, 0x600000)}
    step = BuildStep(("./t/hex2", "./in", "./t/out"), "hex2", "t/hex2", ("in",), "t/out", "t:1")
    made = {base: emulate(tool, step, {"in": text}, engine, LIMITS) for base, tool in tools.items()}
    assert made == {base: hex2.assemble([SourceText("in", text)], base).output for base in tools}
    assert len(set(made.values())) == 2
    with pytest.raises(GuestFailed, match="has 00 00 B0 FE 1 times"):
        hex2_at(0x600000, b"8D 8F 00 00 B0 FE")
