"""Every POSIX seed and kaem-optional-seed of the releases in the cache against its source."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bootstrap.catalogue.seeds import load
from bootstrap.cli.seeds_read import _assembler
from bootstrap.engine import default_engine
from bootstrap.seed_check import check
from bootstrap.sources import Cache, SourceTree

SOURCES = {"hex0-seed": "hex0_{arch}.hex0", "kaem-optional-seed": "kaem-minimal.hex0"}


def pairs(tree: SourceTree) -> Iterator[tuple[str, bytes, str, bytes]]:
    """Path and content of each POSIX seed of a tree whose source is beside it."""
    for seed, place in load().rows():
        path = f"bootstrap-seeds/{place.path}"
        folder, _, name = path.rpartition("/")
        if seed.family != "POSIX" or name not in SOURCES or path not in tree.files:
            continue
        source = f"{folder}/{SOURCES[name].format(arch=seed.arch)}"
        if source in tree.files and tree.files[path].data and seed.sha256:
            yield path, tree.files[path].data, source, tree.files[source].data


@pytest.mark.upstream
def test_every_seed_of_the_cached_releases() -> None:
    releases = Cache().releases()
    if not releases:
        pytest.skip("no release is in the cache; `bootstrap fetch stage0-posix` puts one there")
    tree = Cache().load(releases[-1])
    assert tree is not None
    done = {}
    for path, seed, name, source in pairs(tree):
        if path not in done:
            known = next(iter([s.kind for s, p in load().rows() if path.endswith(p.path)]))
            assembler, words, _ = _assembler(seed, known, None)
            checked = check(seed, source, name, assembler, words, default_engine())
            done[path] = checked
            assert checked.same, path
    assert len(done) == 10
