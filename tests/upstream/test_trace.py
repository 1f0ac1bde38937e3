"""The first phases of the real bootstrap: recorded on both hot paths, run again from the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.languages import hex0, hex2
from bootstrap.languages.source import SourceText
from bootstrap.runs.rebuild import record_rebuild
from bootstrap.sources import SourceTree
from bootstrap.timeline.origins import ByteOrigins
from bootstrap.trace.compare import check
from bootstrap.trace.views import FileUses
from tests.runs.known import for_a_module
from tests.upstream.runs import ARCHES, early_step, engine_for, resolved

pytestmark = pytest.mark.upstream

known = pytest.fixture(scope="module", autouse=True)(for_a_module)
"""The early steps are step files of ours."""


@pytest.mark.parametrize("arch", ARCHES)
def test_both_hot_paths_record_the_same(arch: str, tree: SourceTree, tmp_path: Path) -> None:
    step = early_step(tree, arch, "M0")
    (entry,) = step.entries
    digests = []
    for hot_path in ("native", "python"):
        place = tmp_path / hot_path
        rebuilt = record_rebuild(str(place), resolved(tree, step), entry, engine_for(hot_path))
        assert rebuilt.report.exit_code == 0
        with trace.open(place) as opened:
            digests.append(opened.digest)
            written = {v.path: v.sha256 for v in FileUses(opened).versions() if v.writers}
            told = {"/" + a.path: a.sha256 for a in rebuilt.report.artifacts if a.sha256}
            assert told.items() <= written.items()
            if hot_path == "native":
                divergence = check(opened, engine_for("native"))
                assert divergence is None, divergence.lines()
    assert digests[0] == digests[1]


def test_why_for_every_byte_of_hex1_and_catm(tree: SourceTree, tmp_path: Path) -> None:
    step = early_step(tree, "x86", "M0")
    (entry,) = step.entries
    record_rebuild(str(tmp_path / "t"), resolved(tree, step), entry, engine_for("native"))
    hex1_source, catm_source = "x86/hex1_x86.hex0", "x86/catm_x86.hex2"
    text = tree.files[catm_source].data
    maps = {
        "hex1": (hex1_source, hex0.assemble(tree.files[hex1_source].data, hex1_source).map),
        "catm": (catm_source, hex2.assemble([SourceText(catm_source, text)]).map),
    }
    with trace.open(tmp_path / "t") as opened:
        why = ByteOrigins(opened)
        for product, (source, origins) in maps.items():
            for offset, origin in enumerate(origins):
                made, given = why.why(f"x86/artifact/{product}", offset)
                assert made.call is not None
                assert made.ends == ""
                assert (given.path, given.line) == (source, origin.line)
                assert given.column == origin.columns[0]


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHES)
def test_the_first_five_phases_again(arch: str, tree: SourceTree, tmp_path: Path) -> None:
    step = early_step(tree, arch, "M2")
    (entry,) = step.entries
    record_rebuild(str(tmp_path / "t"), resolved(tree, step), entry, engine_for("native"))
    with trace.open(tmp_path / "t") as opened:
        assert opened.meta["result"] == "verified"
        divergence = check(opened, engine_for("native"))
        assert divergence is None, divergence.lines()
