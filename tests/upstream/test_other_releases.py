"""The other releases, whole, when asked for.

Each run takes minutes.

$ BOOTSTRAP_ALL_RELEASES=1 pytest tests/upstream/test_other_releases.py -k 1.6.0
"""

from __future__ import annotations

import os

import pytest

from bootstrap.known import architectures, find, releases
from bootstrap.runs.rebuild import rebuild
from bootstrap.sources import Cache
from tests.upstream.release import RELEASE
from tests.upstream.runs import FilesRead, engine_for, resolved, statuses

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

VARIABLE = "BOOTSTRAP_ALL_RELEASES"
PAIRS = [
    (release, arch)
    for release in releases()
    for arch in architectures("stage0-posix", release)
    if release != RELEASE
]
LEFT_OUT = pytest.mark.skipif(
    os.environ.get(VARIABLE) != "1",
    reason=f"whole bootstraps of older releases take minutes each; set {VARIABLE}=1 to run them",
)


@LEFT_OUT
@pytest.mark.parametrize(
    ("release", "arch"),
    PAIRS,
    ids=["-".join(pair) for pair in PAIRS],
)
def test_every_product_is_the_known_good_one(release: str, arch: str) -> None:
    tree = Cache().load(release)
    if tree is None:
        pytest.skip(
            f"stage0-posix {release} is not in the cache; provide it with: "
            f"bootstrap fetch stage0-posix --release {release} --from PATH"
        )
    step = find("stage0-posix", release, arch)
    read = FilesRead()

    rebuilt = rebuild(
        resolved(tree, step), "kaem-optional-seed", engine_for("native"), listeners=[read]
    )

    report = rebuilt.report
    assert (report.result, report.reasons, report.exit_code) == ("verified", (), 0)
    assert {path: s for path, s in statuses(rebuilt).items() if s != "match"} == {}
    assert {*step.answers, *step.native} <= statuses(rebuilt).keys()
    # An answer that is a file of the tree need not be read.
    given = set(step.answers) & set(step.materials)
    assert read.paths | given == set(step.materials)
