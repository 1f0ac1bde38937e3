"""The bytes of known seeds, where this machine has them: ours, the cache's, and a checkout's.

Only one seed is carried here.  The others are upstream's, and are found in the releases that are
in the cache and in the folder that BOOTSTRAP_SEEDS names: a checkout of bootstrap-seeds, or any
folder with seeds in it.  What counts is the content, never a file's name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.known import data_dir
from bootstrap.known.seeds import SeedCatalogue
from bootstrap.sources.cache import Cache

VARIABLE = "BOOTSTRAP_SEEDS"
MAX_FILES = 20_000


def at_hand(catalogue: SeedCatalogue, cache: Cache | None = None) -> Mapping[str, bytes]:
    """SHA-256 -> content of each known seed that can be had here.

    A release in the cache that is damaged is passed over: others report it.
    Raises BadInput when BOOTSTRAP_SEEDS does not name a folder.
    """
    sizes = {seed.size for seed in catalogue.seeds}
    found: dict[str, bytes] = {}
    for data in _contents(sizes, cache or Cache()):
        digest = hashlib.sha256(data).hexdigest()
        if digest in catalogue.by_sha256:
            found[digest] = data
    return found


def where_from() -> str:
    """What helps a user whose seed is not at hand."""
    return (
        "bootstrap fetch stage0-posix --release R, or"
        f" {VARIABLE}=DIR, a checkout of bootstrap-seeds"
    )


def _contents(sizes: set[int], cache: Cache) -> Iterator[bytes]:
    yield from _carried(data_dir("seeds"))
    for release in cache.releases():
        try:
            tree = cache.load(release)
        except BadInput:
            continue
        if tree is not None:
            for file in tree.files.values():
                if len(file.data) in sizes:
                    yield file.data
    folder = os.environ.get(VARIABLE)
    if folder:
        yield from _folder(Path(folder), sizes)


def _carried(folder: Traversable) -> Iterator[bytes]:
    for item in folder.iterdir():
        if item.is_dir():
            yield from _carried(item)
        else:
            yield item.read_bytes()


def _folder(folder: Path, sizes: set[int]) -> Iterator[bytes]:
    if not folder.is_dir():
        raise BadInput(f"{VARIABLE} names {folder}, which is no folder")
    seen = 0
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(names):
            seen += 1
            if seen > MAX_FILES:
                raise BadInput(f"{VARIABLE} names {folder}, which has over {MAX_FILES} files")
            path = Path(place, name)
            try:
                if path.is_file() and path.stat().st_size in sizes:
                    yield path.read_bytes()
            except OSError:
                continue
