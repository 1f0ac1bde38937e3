"""A whole bootstrap by wrong plans: the same report, and the same events in the same order."""

from __future__ import annotations

import hashlib
import random

import pytest

from bootstrap.instruments import default_engine
from bootstrap.known import find
from bootstrap.linux.events import Event
from bootstrap.linux.limits import RunLimits
from bootstrap.report import Report
from bootstrap.runs.ahead import Ahead, RunPlan, Workers, find_plan, plan_name
from bootstrap.runs.rebuild import rebuild, visible
from bootstrap.sources import SourceTree
from bootstrap.sources.cache import cache_root
from tests.runs.test_ahead import mutated, text
from tests.runs.test_units import UNHEARD, shown
from tests.upstream.release import RELEASE
from tests.upstream.runs import ENTRIES, resolved

pytestmark = [pytest.mark.upstream, pytest.mark.exhaustive]


def run(tree: SourceTree, plan: RunPlan | None) -> tuple[Report, str, Ahead | None]:
    """The report, the digest of all events that a trace is made of, what was run ahead."""
    given, digest = resolved(tree, find("stage0-posix", RELEASE, "x86")), hashlib.sha256()

    def listen(event: Event) -> None:
        line = shown(event)
        if not line.startswith(UNHEARD):
            digest.update(line.encode("utf-8", "surrogateescape"))

    limits, entry = RunLimits(), ENTRIES[0]
    with Workers(2 if plan else 1) as workers:
        view = visible(given, entry)[0]
        units = Ahead(plan, view, limits, workers) if plan else None
        report = rebuild(given, entry, default_engine(), limits, [listen], units=units).report
    return report, digest.hexdigest(), units


def test_wrong_plans_give_the_same_report_and_the_same_events(tree: SourceTree) -> None:
    step = find("stage0-posix", RELEASE, "x86")
    plan = find_plan(plan_name(step.file, ENTRIES[0]), cache_root())
    assert plan is not None
    plain, events, _ = run(tree, None)
    assert plain.result == "verified"
    for seed in range(3):
        wrong = mutated(random.Random(seed), plan)
        assert wrong != plan
        report, same, units = run(tree, wrong)
        assert (text(report), same) == (text(plain), events), seed
        assert units is not None and 0 < units.counts.taken < len(plan.units), seed
        print(seed, units.counts)
