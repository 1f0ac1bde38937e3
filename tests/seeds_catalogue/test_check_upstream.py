"""Every POSIX seed of the releases in the cache against the source beside it: three opinions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bootstrap.cli.seed_check import _assembler
from bootstrap.instruments import default_engine
from bootstrap.known.seeds import KnownSeed, load
from bootstrap.runs.seed_check import check
from bootstrap.sources import Cache, SourceTree

SOURCES = {
    "hex0-seed": ("hex0_{arch}.hex0",),
    "kaem-optional-seed": ("kaem-minimal.hex0", "kaem-micro.hex0"),
}


def pairs(tree: SourceTree, release: str) -> Iterator[tuple[KnownSeed, bytes, str, bytes]]:
    """Seed, its content, its source's name and text, for each whose source is in the tree."""
    for seed, place in load().rows():
        path = f"bootstrap-seeds/{place.path}"
        if seed.family != "POSIX" or release not in place.releases:
            continue
        folder, _, name = path.rpartition("/")
        for pattern in SOURCES[name]:
            source = f"{folder}/{pattern.format(arch=seed.arch)}"
            if source in tree.files:
                yield seed, tree.files[path].data, source, tree.files[source].data
                break


@pytest.mark.upstream
def test_every_seed_of_the_cached_releases_is_what_its_source_says() -> None:
    cache = Cache()
    known = [release for release in cache.releases() if release in load().releases]
    if not known:
        pytest.skip("no release is in the cache; `bootstrap fetch stage0-posix` puts one there")
    done: set[tuple[str, bytes]] = set()
    engine = default_engine()
    for release in known:
        tree = cache.load(release)
        assert tree is not None
        for seed, data, name, source in pairs(tree, release):
            if (seed.sha256, source) in done:
                continue
            done.add((seed.sha256, source))
            assembler, words, note = _assembler(data, seed.kind, None)
            assert (note == "") == (seed.kind == "hex0-seed"), (seed.name, note)
            assert check(data, source, name, assembler, words, engine).same, (release, seed.name)
    assert len(done) >= 6
