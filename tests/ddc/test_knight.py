"""The path on the knight: `int` for `long`, what its compiler fails at, and M2-Planet of 1.3."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from bootstrap.ddc import KNIGHT_RELEASE, Along, BuildPath, along, compare, knight_path, plan
from bootstrap.ddc.build_paths import int_for_long
from bootstrap.known import find
from bootstrap.machines.knight import KnightLimits
from bootstrap.runs.build_plan import BuildStep
from bootstrap.sources import Cache
from bootstrap.sources.checkouts import STAGE0, load_checkout
from tests.cli.command import bootstrap
from tests.ddc import sample

COPIES = bytes.fromhex(
    "e0002d201100 42100000 e0002d201101 42100001"  # opens both tapes
    "e0002d211100 42100100 e0002cc0000e e0002d211101 42100200 3c00ffe2 ffffffff"
)
"""A compiler for the knight that copies tape 1."""
LIMITS = KnightLimits(instructions=10_000)
COMMIT = "59d044b0c09657a5ff139e09395e9a47b898da7c"


@pytest.mark.parametrize(
    ("source", "becomes", "lines"),
    [
        ("long a;\nunsigned long b; long c;\n", "int a;\nunsigned int b; int c;\n", [1, 2, 2]),
        ('f("long", \'"\', long);', 'f("long", \'"\', int);', [1]),
        ('f("a \\" long", longer, so_long);', 'f("a \\" long", longer, so_long);', []),
        ("// don't\nlong a; // isn't long\n", "// don't\nint a; // isn't int\n", [2, 2]),
    ],
)
def test_int_for_long_outside_of_strings(source: str, becomes: str, lines: list[int]) -> None:
    assert int_for_long(source.encode()) == (becomes.encode(), lines)


STEP = BuildStep(("./cc", "a.c", "a.M1"), "C", "cc_x86", ("a.c",), "a.M1", "t:1")


def followed(rom: bytes) -> Along:
    """A tree with one file, which is compiled."""
    tree = sample.tree(**{"a.c": b"long a;\n"})
    return along(knight_path(rom, LIMITS, {}), [STEP], tree, lambda _step: None)


def test_the_compiler_gets_the_source_and_what_it_became_is_said() -> None:
    found = followed(COPIES)
    assert found.made == {"a.M1": b"int a;\n"}
    assert found.path.remarks == ["for the knight's compiler, a.c:1 became `int a;`"]


@pytest.mark.parametrize(
    ("rom", "why"),
    [
        ("01ffffff", "no instruction: 01 ff ff ff"),
        ("3c00fffc", "limit: 10000 instructions"),
        ("e0002d20004e 42100200 ffffffff", "the compiler says: N"),  # to the terminal
    ],
)
def test_a_compiler_that_fails_or_complains_makes_nothing(rom: str, why: str) -> None:
    found = followed(bytes.fromhex(rom))
    assert not found.made
    assert why in found.failed["a.M1"]


@pytest.mark.parametrize(("add", "status", "result"), [
    ("0000", "agree", "incomplete"),  # nothing is known of a.M1
    ("0001", "text differs", "differ"),
])  # fmt: skip
def test_one_byte_of_the_compiler_shows(add: str, status: str, result: str) -> None:
    """The copier adds a number to each byte: with another one it makes another text."""
    put = bytes.fromhex("e0002d211101 42100200 3c00ffe2")
    adds = bytes.fromhex(f"e1000e00{add} e0002d211101 42100200 3c00ffdc")
    found = followed(COPIES.replace(put, adds).replace(b"\xc0\0\x0e", b"\xc0\0\x14"))
    other = Along(BuildPath("x86", "", lambda _step, _files: b""), {"a.M1": b"int a;\n"})
    comparison = compare([STEP], [other, found], replace(sample.step(), answers={}, native={}))
    assert ([row.status for row in comparison.rows], comparison.result) == ([status], result)


OLD_SCRIPT = b"""\
./hex0 hex1_x86.hex0 hex1
./catm hold one.c
./hex1 hold M0
./catm hold two.c hold
./cc_x86 hold M2
"""


def test_a_file_that_is_written_again_has_a_name_for_each_content() -> None:
    """The releases before 1.5.0 work in x86/ and use `hold` for one thing after another."""
    tree = sample.tree(**{"x86/mescc-tools-mini-kaem.kaem": OLD_SCRIPT})
    found = plan(tree, find("stage0-posix", KNIGHT_RELEASE, "x86"))[2:]
    assert [(step.program, step.inputs, step.output) for step in found] == [
        ("x86/hex0", ("x86/hex1_x86.hex0",), "x86/hex1"),
        ("x86/catm", ("x86/one.c",), "x86/hold"),
        ("x86/hex1", ("x86/hold",), "x86/M0"),
        ("x86/catm", ("x86/two.c", "x86/hold"), "x86/hold#2"),
        ("x86/cc_x86", ("x86/hold#2",), "x86/M2"),
    ]
    assert found[3].argv == ("./x86/catm", "./x86/hold#2", "./x86/two.c", "./x86/hold")


def test_another_release_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ddc", "--knight", "--release", "1.9.1"]) == 2
    assert "--knight does not go with --release 1.9.1: " in capsys.readouterr().err


@pytest.mark.upstream
@pytest.mark.exhaustive
def test_m2_planet_of_1_3_is_the_same_by_both_compilers(checkout: Path) -> None:
    """A minute: 40 million instructions for cc_x86, 44 million for M2-Planet."""
    cache = Cache()
    try:
        missing = cache.load(KNIGHT_RELEASE) is None or not load_checkout(STAGE0, COMMIT, cache)
    except BadInput:
        missing = True
    if missing:
        pytest.skip(f"stage0-posix {KNIGHT_RELEASE}, or stage0 {COMMIT}, is not in the cache")
    words = ("ddc", "--knight", COMMIT, "--json", "-")
    done = bootstrap(*words, env={"BOOTSTRAP_CACHE": str(cache.root)}, timeout=1200)
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout)
    jsonschema.validate(report, json.loads((checkout / "docs/ddc.schema.json").read_text("utf-8")))
    assert report["result"] == "agree"
    knight = report["paths"][3]
    assert (knight["stage0_commit"], knight["cc_x86_published"]) == (COMMIT, True)
    compiled = next(one for one in report["artifacts"] if one["path"] == "x86/M2.M1")
    assert len(compiled["sha256"]) == 4 and len(set(compiled["sha256"].values())) == 1
    assert sum("became `int" in remark for remark in report["remarks"]) == 3
