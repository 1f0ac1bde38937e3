"""The real release, where the cache has it: the catalogue knows it, and notices any change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.known import find, steps_of
from bootstrap.sources import SourceTree, check_materials, guest_view
from bootstrap.sources.resolving import check_release
from bootstrap.sources.tree import open_source, to_tar
from tests.upstream.release import RELEASE

pytestmark = pytest.mark.upstream


@pytest.fixture(scope="module")
def tree(release: SourceTree) -> SourceTree:
    return release


@pytest.mark.parametrize("arch", ["x86", "AMD64"])
def test_the_release_is_whole(tree: SourceTree, arch: str) -> None:
    step = find("stage0-posix", RELEASE, arch)
    report = check_materials(tree, step)
    assert report.whole
    assert report.lines() == []
    assert len(tree.files[step.seeds["hex0-seed"].path].data) == step.seeds["hex0-seed"].size
    for entry in step.entries.values():
        view = guest_view(tree, step, entry, report)
        assert set(view.files) == set(step.materials) - set(entry.hidden)
    # Upstream's answers file, which is a material, says what the step file says.
    lines = tree.files[step.answers_from].data.decode().splitlines()
    assert [line.split() for line in lines] == [[h, path] for path, h in step.answers.items()]


@pytest.mark.parametrize("arch", ["x86", "AMD64"])
def test_one_flipped_byte_of_any_material_is_named(tree: SourceTree, arch: str) -> None:
    step = find("stage0-posix", RELEASE, arch)
    for number, path in enumerate(step.materials):
        data = bytearray(tree.files[path].data)
        data[len(data) // 2] ^= 1
        bad = replace(tree, files={**tree.files, path: SourceFile(bytes(data))})
        assert [change.path for change in check_materials(bad, step).changed] == [path]
        if number % 8:
            continue
        with pytest.raises(BadInput, match=f"1 of 208 files .* {path} "):
            check_release(bad, steps_of("stage0-posix", RELEASE))


def test_the_release_survives_packing(tree: SourceTree, tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(to_tar(tree, "stage0-posix-1.9.1"))
    assert open_source(tmp_path / "a.tar").digest == tree.digest
