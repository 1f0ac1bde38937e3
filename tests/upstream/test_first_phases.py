"""Phases 0 to 5, from the hex0 seed to M2, on both hot paths.

Every command is started by us in place of kaem, so that the run can end where phase 5 does.
"""

from __future__ import annotations

import pytest

from bootstrap.sources import SourceTree
from tests.runs.known import for_a_module
from tests.upstream.runs import ARCHES, early_step, engine_for, run, statuses

pytestmark = pytest.mark.upstream

known = pytest.fixture(scope="module", autouse=True)(for_a_module)
"""The early steps are step files of ours."""

COMMANDS = 16
SYSCALLS = {"x86": 6_569_436, "AMD64": 6_887_322}


@pytest.mark.parametrize(
    ("arch", "hot_path"),
    [
        *((arch, "native") for arch in ARCHES),
        pytest.param("x86", "python", marks=pytest.mark.slow),
        # Two minutes: the Python path knows no architecture.
        pytest.param("AMD64", "python", marks=pytest.mark.exhaustive),
    ],
)
def test_phases_0_to_5(tree: SourceTree, arch: str, hot_path: str) -> None:
    step = early_step(tree, arch, "M2")
    rebuilt = run(tree, step, engine_for(hot_path))
    report = rebuilt.report
    assert (report.result, report.reasons) == ("verified", ())
    assert set(statuses(rebuilt)) == set(step.answers)
    assert len(step.answers) == COMMANDS
    # The same number on either path: no call is lost, and none is made twice.
    totals = report.totals
    assert (totals.processes, totals.syscalls) == (COMMANDS, SYSCALLS[arch])
    assert report.tool.hot_path == hot_path
