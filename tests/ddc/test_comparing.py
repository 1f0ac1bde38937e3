"""Agreement is never claimed where something differs, is missing, or is not what is known good."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from bootstrap.ddc import Along, BuildComparison, BuildPath, compare, plan, to_json_text, to_text
from bootstrap.known import StepFile
from bootstrap.report import NameAndVersion, SourceInfo, Tool
from bootstrap.runs.build_plan import BuildStep
from tests.ddc import sample
from tests.ddc.sample import WANTED

PROGRAM = b"\x7fELF program"
STEPS = [
    *(BuildStep((f"./{path}",), "hex0", path, ("in",), path, "t:1") for path in WANTED[:4]),
    BuildStep(("./M0", "a", "b"), "M0", "M0", ("a.M1",), "a.hex2", "t:2"),
    BuildStep(("./catm",), "catm", "catm", ("elf.hex2", "a.hex2"), "whole.hex2", "t:3"),
    BuildStep(("./hex2",), "hex2", "hex2", ("whole.hex2",), WANTED[4], "t:4"),
    BuildStep((f"./{WANTED[5]}",), "C", WANTED[4], ("in",), WANTED[5], "t:5"),
]
GOOD = {step.output: PROGRAM + step.output.encode() for step in STEPS}
GOOD |= {"a.hex2": b"41\n", "whole.hex2": b"7F\n41\n"}


def known(**others: bytes) -> StepFile:
    contents = {**{path: GOOD[path] for path in WANTED}, **others}
    values = {path: hashlib.sha256(data).hexdigest() for path, data in contents.items()}
    return replace(sample.step(), answers={}, native=values, native_from="a native run")


def along(name: str, made: Mapping[str, bytes], **failed: str) -> Along:
    return Along(BuildPath(name, f"the path {name}", lambda _step, _files: b""), dict(made), failed)


def judged(*others: Mapping[str, bytes]) -> BuildComparison:
    found = [along("one", GOOD), *(along(f"path{i}", made) for i, made in enumerate(others))]
    return compare(STEPS, found, known())


def test_three_that_agree() -> None:
    comparison = judged(GOOD, GOOD)
    assert (comparison.result, comparison.reasons, comparison.remarks) == ("agree", (), ())
    assert {row.status for row in comparison.rows} == {"agree"}


@pytest.mark.parametrize("path", WANTED)
def test_one_byte_in_one_program_of_one_path(path: str) -> None:
    changed = bytearray(GOOD[path])
    changed[-1] ^= 1
    comparison = judged(GOOD, {**GOOD, path: bytes(changed)})
    assert comparison.result == "differ"
    assert comparison.reasons == (f"{path} differs between the paths",)


def test_a_text_may_differ_when_what_it_assembles_to_agrees() -> None:
    other = {**GOOD, "a.hex2": b"4 1\n", "whole.hex2": b"7F 4 1\n"}
    comparison = judged(other)
    assert comparison.result == "agree"
    assert [r.status for r in comparison.rows].count("text differs") == 2
    assert comparison.remarks == (
        "a.hex2 differs as a text between the paths; what it assembles to, x86/artifact/cc_x86, "
        "is one and the same",
        "whole.hex2 differs as a text between the paths; what it assembles to, "
        "x86/artifact/cc_x86, is one and the same",
    )


LESS = {path: data for path, data in GOOD.items() if path != WANTED[5]}
OTHER = {**GOOD, WANTED[4]: b"\x7fELF other"}


@pytest.mark.parametrize(
    ("found", "result", "reason"),
    [
        (
            [along("a", OTHER), along("b", OTHER)],
            "differ",
            "x86/artifact/cc_x86: the paths agree, but not with a native run",
        ),
        (
            [along("a", GOOD), along("b", {**OTHER, "a.hex2": b"42\n"})],
            "differ",
            "a.hex2 differs as a text, and so may what is made from it",
        ),
        (
            [along("a", GOOD), along("b", LESS, **{WANTED[5]: "t:5: fell"})],
            "incomplete",
            "x86/artifact/M2 was not made on every path (b: t:5: fell)",
        ),
        (
            [along("a", GOOD)],
            "incomplete",
            "there is only one path; two at least can agree",
        ),
    ],
)
def test_what_is_no_agreement(found: list[Along], result: str, reason: str) -> None:
    comparison = compare(STEPS, found, known())
    assert (comparison.result, comparison.reasons[0]) == (result, reason)


def test_without_a_known_good_value_there_is_no_agreement() -> None:
    step = known()
    native = {path: value for path, value in step.native.items() if path != WANTED[3]}
    comparison = compare(STEPS, [along("a", GOOD), along("b", GOOD)], replace(step, native=native))
    assert comparison.result == "incomplete"
    assert comparison.reasons[0].startswith("x86/artifact/M0: there is nothing to compare, or no")
    # Nor for a plan that ends early.
    comparison = compare(plan(sample.tree(), sample.step()), [], sample.step())
    assert comparison.result == "incomplete"


def rendered(comparison: BuildComparison) -> tuple[str, str]:
    paths = [BuildPath(name, f"the path {name}", lambda _s, _f: b"") for name in ("one", "path0")]
    source = SourceInfo("folder", "1.9.1", None, "d" * 64, "a\x1bplace")
    tool = Tool("bootstrap", "1", NameAndVersion("unicorn", "2"), "native")
    return (
        to_text(comparison, paths, source, tool, width=80),
        to_json_text(comparison, paths, source, tool),
    )


def test_the_json_keeps_to_its_schema(checkout: Path) -> None:
    schema = json.loads((checkout / "docs" / "ddc.schema.json").read_text("utf-8"))
    for other in (GOOD, {**GOOD, "a.hex2": b"4 1\n"}, LESS, {**GOOD, WANTED[0]: b"\x7fELF"}):
        jsonschema.validate(json.loads(rendered(judged(other))[1]), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": "bootstrap-ddc/1"}, schema)


def test_the_text_ends_with_the_verdict_and_says_what_it_does_not_prove() -> None:
    good, bad = rendered(judged(GOOD))[0], rendered(judged({**GOOD, WANTED[0]: b"\x7fELF"}))[0]
    assert "What it does not show" in good
    assert good.splitlines()[-2].startswith("AGREE: 6 programs and 2 of 2 texts are the same")
    assert "DIFFER: 7 of 8 artifacts agree along 2 paths; x86/artifact/hex1 differs" in bad
    assert "\x1b" not in good
