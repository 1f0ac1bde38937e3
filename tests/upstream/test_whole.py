"""The main job: the whole bootstrap of the release, on each architecture.

Each run takes minutes; conftest.py puts them first, so that pytest-xdist starts them early.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrap.cli.verify import write_products
from bootstrap.known import find
from bootstrap.runs.rebuild import rebuild
from bootstrap.sources import SourceTree
from tests.upstream.release import RELEASE
from tests.upstream.runs import ENTRIES, FilesRead, engine_for, resolved, statuses

pytestmark = [pytest.mark.upstream, pytest.mark.slow]

ANSWERS = 19
NATIVE_VALUES = {"x86": 73, "AMD64": 73, "AArch64": 0, "riscv64": 0, "riscv32": 0}
RUNS = [(arch, ENTRIES[0]) for arch in NATIVE_VALUES]
# One way in, to keep the time down: both end in the same kaem, and test_first_phases.py goes in by
# the other, from the seed to M2-Planet. The whole of the other way runs with -m exhaustive.
OTHER_RUNS = [
    pytest.param(arch, ENTRIES[1], marks=pytest.mark.exhaustive) for arch in ("x86", "AMD64")
]


def only_with(arch: str, entry: str) -> set[str]:
    """ReleaseFiles that the entry does not read, for the other entry does what they are for."""
    if entry == "kaem-optional-seed":
        return set()
    return {
        f"bootstrap-seeds/POSIX/{arch}/kaem-optional-seed",
        f"kaem.{arch.lower()}",
        f"{arch}/mescc-tools-seed-kaem.kaem",
    }


@pytest.mark.parametrize(("arch", "entry"), [*RUNS, *OTHER_RUNS])
def test_every_product_is_the_known_good_one(
    tree: SourceTree, tmp_path: Path, arch: str, entry: str
) -> None:
    step = find("stage0-posix", RELEASE, arch)
    assert (len(step.answers), len(step.native)) == (ANSWERS, NATIVE_VALUES[arch])
    given = resolved(tree, step)
    read = FilesRead()

    rebuilt = rebuild(given, entry, engine_for("native"), listeners=[read])

    report = rebuilt.report
    assert (report.result, report.reasons, report.exit_code) == ("verified", (), 0)
    assert {path: s for path, s in statuses(rebuilt).items() if s != "match"} == {}
    assert {*step.answers, *step.native} <= statuses(rebuilt).keys()
    assert read.paths == set(step.materials) - only_with(arch, entry)

    write_products(tmp_path, [rebuilt], [given])
    assert (tmp_path / arch / "bin" / "M1").read_bytes() == rebuilt.products[f"{arch}/bin/M1"][0]
    if shutil.which("sha256sum") is not None:
        checked = subprocess.run(
            ["sha256sum", "-c", step.answers_from],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert checked.stdout.count(": OK\n") == ANSWERS
