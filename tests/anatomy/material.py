"""The seeds that can be had here, as test material; nothing of upstream's is in this repository.

Ours, those of releases in the cache, and those of the folder BOOTSTRAP_SEEDS names.  If that is
a git checkout of bootstrap-seeds, its history has the older ones too.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
from collections.abc import Mapping

from bootstrap.known.seeds import KnownSeed, load
from bootstrap.sources.seeds_at_hand import VARIABLE, at_hand


@functools.cache
def seeds() -> Mapping[str, bytes]:
    """SHA-256 -> content."""
    found = dict(at_hand(load()))
    folder = os.environ.get(VARIABLE)
    if folder:
        for seed in load().seeds:
            if seed.sha256 not in found and (data := _from_history(folder, seed)) is not None:
                found[seed.sha256] = data
    return found


def _from_history(folder: str, seed: KnownSeed) -> bytes | None:
    command = ["git", "-C", folder, "cat-file", "blob", seed.git_blob]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode or hashlib.sha256(done.stdout).hexdigest() != seed.sha256:
        return None
    return done.stdout


def names() -> Mapping[str, KnownSeed]:
    """SHA-256 -> what the catalogue knows, of the seeds that are at hand."""
    return {sha256: load().by_sha256[sha256] for sha256 in sorted(seeds())}
