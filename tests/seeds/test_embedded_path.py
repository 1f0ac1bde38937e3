"""The embedded path: from the seed to M0 on our own sources, everywhere, with nothing skipped."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.instruments import Engine, default_engine
from bootstrap.known import RELEASES, StepFile, find
from bootstrap.known.schema import Modelled
from bootstrap.runs.rebuild import Rebuilt, _about, rebuild
from bootstrap.sources import Resolved, SourceTree, check_materials, embedded_source
from tests.seeds import pin, tools

ENTRY = "hex0-seed"
UPSTREAM = {"hex0": 181, "kaem": 632, "hex1": 689, "hex2": 1405, "catm": 183, "M0": 1613}
"""Bytes of upstream's x86 tool for the same job, in release 1.9.1."""
TOOLS = ("hex0", "kaem", "hex1", "hex2", "catm", "M0")

SPOILT = {
    "kaem.hex0": "kaem",
    "hex1.hex0": "hex1",
    "hex2.hex1": "hex2",
    "catm.hex2": "catm",
    "M0.hex2": "M0-whole.hex2",
    "hello.M1": "hello.hex2",
}
"""Source -> the first product that is made from it."""


@pytest.fixture
def step() -> StepFile:
    return find("embedded", None, "x86")


@pytest.fixture
def tree(step: StepFile) -> SourceTree:
    return embedded_source(step)


def run(tree: SourceTree, step: StepFile, engine: Engine | None = None) -> Rebuilt:
    resolved = Resolved(tree, step, check_materials(tree, step))
    return rebuild(resolved, ENTRY, engine or default_engine())


def statuses(rebuilt: Rebuilt) -> Mapping[str, str]:
    return {artifact.path: artifact.status for artifact in rebuilt.report.artifacts}


@pytest.mark.parametrize("hot_path", ["as installed", "python"])
def test_every_product_is_verified(step: StepFile, tree: SourceTree, hot_path: str) -> None:
    engine = default_engine()
    rebuilt = run(tree, step, engine.in_python() if hot_path == "python" else engine)
    report = rebuilt.report
    assert (report.result, report.reasons) == ("verified", ())
    assert set(statuses(rebuilt).values()) == {"match"}
    assert [a.path for a in report.artifacts] == [path for path, _, _ in pin.PRODUCTS]
    assert set(TOOLS) < set(rebuilt.products)
    for artifact in report.artifacts:
        assert [e.kind for e in artifact.expectations] == ["catalogue", "model"]
    assert rebuilt.log.endswith(b"hello from hex0, hex1, hex2 and M0\n")
    assert "and the language models" in report.claim


def test_no_tool_is_twice_as_large_as_upstreams(step: StepFile, tree: SourceTree) -> None:
    products = run(tree, step).products
    sizes = {name: len(products[name][0]) for name in UPSTREAM}
    assert {name: size for name, size in sizes.items() if size > 2 * UPSTREAM[name]} == {}


def test_the_step_file_is_what_the_models_make_of_the_sources() -> None:
    assert pin.STEP.read_text("utf-8") == pin.step_file()


@pytest.mark.parametrize("path", [path for path, _, _ in pin.PRODUCTS])
def test_another_known_good_value_is_a_mismatch(
    step: StepFile, tree: SourceTree, path: str
) -> None:
    catalogue = {**step.catalogue, path: "0" * 64}
    rebuilt = run(tree, replace(step, catalogue=catalogue))
    assert rebuilt.report.result == "mismatch"
    assert {p for p, s in statuses(rebuilt).items() if s == "mismatch"} == {path}
    (artifact,) = (a for a in rebuilt.report.artifacts if a.path == path)
    assert artifact.note is not None
    assert "the known-good values disagree" in artifact.note


@pytest.mark.parametrize("path", [path for path, _, _ in pin.PRODUCTS])
def test_a_model_that_disagrees_is_a_mismatch(step: StepFile, tree: SourceTree, path: str) -> None:
    """The model is led to something else: two opinions, of which one is wrong."""
    other = Modelled("catm", ("hex0.hex0",))
    rebuilt = run(tree, replace(step, models={path: other}))
    assert rebuilt.report.result == "mismatch"
    assert statuses(rebuilt)[path] == "mismatch"


@pytest.mark.parametrize(("source", "product"), SPOILT.items())
def test_a_changed_source_is_named_with_the_first_product_made_from_it(
    step: StepFile, tree: SourceTree, source: str, product: str
) -> None:
    old = tree.files[source].data
    data = old + (b"\n'90'\n" if source.endswith("M1") else b"\n90\n")
    changed = tree.but(files={**tree.files, source: SourceFile(data, False)})
    try:
        report = run(changed, step).report
    except BadInput as error:
        assert source in str(error)
        return
    assert report.result == "mismatch"
    assert [c.path for c in report.source.materials.changed] == [source]
    assert report.source.materials.changed[0].first_artifact == product
    assert report.first_divergence is not None
    assert report.first_divergence.path == product


def test_a_source_that_its_model_refuses_is_bad_input(step: StepFile, tree: SourceTree) -> None:
    data = tree.files["hex2.hex1"].data + b"\n%{\n"
    changed = tree.but(files={**tree.files, "hex2.hex1": SourceFile(data, False)})
    with pytest.raises(BadInput, match=r"the hex1 model refuses a source: hex2\.hex1:\d+:1: "):
        run(changed, step)


@tools.ON_THE_HOST
def test_the_host_builds_the_same(step: StepFile, tree: SourceTree, tmp_path: Path) -> None:
    for name, file in tree.files.items():
        (tmp_path / name).write_bytes(file.data)
        (tmp_path / name).chmod(0o755 if file.executable else 0o644)
    for command in step.entry(ENTRY).commands:
        done = subprocess.run(
            command, cwd=tmp_path, env={}, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=tools.SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    products = run(tree, step).products
    assert {path: (tmp_path / path).read_bytes() for path in products} == {
        path: content for path, (content, _mode) in products.items()
    }
    assert {path: (tmp_path / path).stat().st_mode & 0o777 for path in products} == {
        path: mode for path, (_content, mode) in products.items()
    }


def test_whose_a_wrong_product_is(tree: SourceTree, step: StepFile) -> None:
    """Looked up in all releases, and in the answers file of the tree, where that was changed."""
    nobody = "0" * 64
    wrong = replace(step, catalogue={**step.catalogue, "hex1": nobody, "hex2": nobody})
    (hex1,) = (a for a in run(tree, wrong).report.artifacts if a.path == "hex1")
    assert (hex1.status, hex1.sha256) == ("mismatch", step.catalogue["hex1"])
    assert hex1.note is not None and hex1.note.endswith("this is hex1 of the embedded sources x86")
    # Of a release whose answers file was changed.
    old = find(RELEASES, "1.7.0", "x86")
    path, theirs = next(iter(old.answers.items()))
    for line, says in (
        (f"{theirs}  {path}\n", "the tree's own x86.answers asks for this"),
        (f"{nobody}  {path}\n", "the tree's own x86.answers asks for another"),
        ("", "the tree's own x86.answers does not name it"),
        (None, None),
    ):
        files = {} if line is None else {"x86.answers": SourceFile(line.encode())}
        given = SourceTree("t", files)
        new = find(RELEASES, "1.9.1", "x86")
        about = [*_about(Resolved(given, new, check_materials(given, new)), path, theirs)]
        assert about == [f"this is {path} of stage0-posix 1.7.0", *([says] if says else [])]
