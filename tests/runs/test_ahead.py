"""A plan and workers change how long a run takes, and nothing else."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bootstrap.cli.live import LiveLine
from bootstrap.cli.progress import ShownProgress
from bootstrap.cli.several import VerifyTask, rebuild_each
from bootstrap.documents import encode, typed
from bootstrap.instruments import default_engine
from bootstrap.known import Known
from bootstrap.known.schema import parse
from bootstrap.linux.events import Exited
from bootstrap.linux.limits import RunLimits
from bootstrap.report import Product, Report, to_json_text
from bootstrap.runs import ahead, pool, rebuild
from bootstrap.runs.ahead import (
    Ahead,
    RunPlan,
    Workers,
    find_plan,
    new_worker,
    run_ahead,
)
from bootstrap.runs.deciding import core_tree
from bootstrap.runs.modelled import opinions
from bootstrap.runs.rebuild import Rebuilt
from bootstrap.runs.recheck import rechecked
from bootstrap.runs.units import Contradiction, DrivenMachine, StoppedEarly, UnitStart
from bootstrap.sources import Resolved
from bootstrap.trace.lineage import FileVersion, ProcessRecord
from tests.runs.tiny import ENTRY, embedded
from tests.runs.works import ROOT, worker

ENGINE = default_engine()


class Settled(Ahead):
    """Each unit's turn waits for all that can be run ahead: the embedded path is over before a
    worker has begun."""

    def __call__(self, start: UnitStart, machine: DrivenMachine) -> Any:
        self.begin(machine)
        with self._changed:
            while not self.is_quiet():  # a worker that begins with a unit tells nobody
                self._changed.wait(0.02)
        return super().__call__(start, machine)

    hanging = False
    """Workers never end a unit."""

    def is_quiet(self) -> bool:
        if self.hanging and any(unit.state == "running" for unit in self._units):
            return True
        states = [(u.state == "waiting" and self._is_ready(u)) or u.state for u in self._units]
        able = any(thread.is_alive() for thread in self._workers.threads)
        return not able or not {True, "running"} & {*states}


class Begun(Settled):
    """A turn waits for a worker to be at something."""

    hanging = True


def rebuilt(
    plan: RunPlan | None,
    kind: type[Ahead] = Ahead,
    employ: Callable[[], pool.WorkerProcess] = new_worker,
    **how: Any,
) -> tuple[Rebuilt, Ahead]:
    """The embedded path, with units run ahead."""
    resolved = embedded()
    used: list[Ahead] = []
    modelled = opinions(resolved.step, resolved.tree)
    view, entry, kept = rebuild.visible(resolved, ENTRY)

    def run(*_: object) -> Any:
        with Workers(2 if plan and plan.units else 1, employ) as workers:
            units = kind(plan, view, RunLimits(), workers, **how)
            used.append(units)
            observed, products = rebuild.observe(view, entry, kept, ENGINE, units=units)
        return observed, {
            path: Product(path, len(d), hashlib.sha256(d).hexdigest())
            for path, (d, _) in products.items()
        }

    return rebuild.weighed(resolved, ENTRY, modelled, (view, entry), run), used[0]


def text(report: Report) -> str:
    """The report, but for its time and the number of jobs."""
    return to_json_text(replace(report, totals=replace(report.totals, wall_seconds=0), jobs=1))


@pytest.fixture(scope="module")
def plain() -> str:
    return text(rebuild.rebuild(embedded(), ENTRY, ENGINE).report)


@pytest.fixture(scope="module")
def plan(plain: str) -> RunPlan:
    """Learned by a run that has none."""
    done, units = rebuilt(None)
    assert text(done.report) == plain and done.report.jobs == 1
    assert len(units.log) == units.counts.units == 9
    return RunPlan(ahead.PLAN_SCHEMA, tuple(units.log))


class Here(pool.WorkerProcess):
    """A worker in this process, which does nothing twice."""

    known: ClassVar[dict[str, list[Any]]] = {}
    most = 0
    """Instructions of a program."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def do(self, task: pool.WorkTask, note: Callable[[Any], None]) -> pool.WorkResult:
        for value in self.made(task):
            note(self.said(value))
        return pool.WorkResult(None)

    def made(self, task: pool.WorkTask) -> list[Any]:
        """The results, as plain values of their own."""
        plain = json.loads(json.dumps(encode(task.value)))
        if self.most:
            plain["limits"]["instructions"] = self.most
        key = json.dumps(plain)
        if key not in self.known:
            made: list[object] = []
            ahead._work(plain, made.append)
            self.known[key] = [json.dumps(encode(one)) for one in made]
        return [json.loads(one) for one in self.known[key]]

    def said(self, value: Any) -> object:
        """What it says where this is the result."""
        return value

    def kill(self) -> None:
        self.over.set()

    close = kill


class Bounded(Here):
    """A wrong plan's programs may run on for long. The results are of the run's own limits."""

    most = 1_500_000

    def said(self, value: Any) -> object:
        value["limits"]["instructions"] = 0
        return value


def test_with_a_good_plan_everything_is_taken(plan: RunPlan, plain: str) -> None:
    done, units = rebuilt(plan, Settled)
    assert text(done.report) == plain
    assert done.report.jobs == 2 and done.report.result == "verified"
    counts = units.counts
    assert (counts.units, counts.taken, counts.made, counts.failed) == (9, 9, 9, 0)
    decoded = typed(RunPlan, json.loads(json.dumps(encode(plan))))
    assert decoded == plan


def mutated(draw: random.Random, plan: RunPlan) -> RunPlan:
    """A plan of which something is not so."""
    units = [*plan.units]
    names = sorted(
        {p for unit in units for p in (*unit.reads, *unit.writes)} | {b"/no", b"/", b"x"}
    )
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(units))
        unit = units[at]
        some = tuple(draw.sample(names, draw.randrange(4)))
        change: Any = draw.choice(
            (
                {"reads": some}, {"writes": some}, {"reads": (*unit.reads, *some)},
                {"reads": unit.reads[1:]}, {"writes": (*unit.writes, *some)}, {"running": some},
                {"milliseconds": 1 << 40}, {"cwd": draw.choice((b"/", b"/no", b""))},
                {"pid": draw.randrange(99)}, {"umask": 0o77}, {"fds": unit.start.fds[1:]},
                {"fds": ((0, "1"), *unit.start.fds)}, {"argv": unit.start.argv[:-1]},
                {"argv": tuple(reversed(unit.start.argv))}, {"argv": ()}, {"envp": (b"A=1",)},
                {"path": draw.choice(names)},
                "drop", "swap", "twice",
            )
        )  # fmt: skip
        if change == "drop":
            del units[at]
        elif change == "twice":
            units.insert(draw.randrange(len(units)), unit)
        elif change == "swap":
            units.insert(draw.randrange(len(units)), units.pop(at))
        elif hasattr(unit, next(iter(change))):
            units[at] = replace(unit, **change)
        else:
            units[at] = replace(unit, start=replace(unit.start, **change))
        if not units:
            break
    return replace(plan, units=tuple(units))


def check_mutations(plan: RunPlan, plain: str, seeds: range) -> None:
    taken = refused = 0
    for seed in seeds:
        wrong = mutated(random.Random(seed), plan)
        done, units = rebuilt(wrong, Settled, employ=Bounded)
        assert text(done.report) == plain, seed
        counts = units.counts
        taken, refused = taken + counts.taken, refused + counts.made - counts.taken
    assert taken > len(seeds) and refused > len(seeds) // 10


def test_wrong_plans_give_the_same_report(plan: RunPlan, plain: str) -> None:
    check_mutations(plan, plain, range(10))


@pytest.mark.exhaustive
def test_five_hundred_wrong_plans_give_the_same_report(plan: RunPlan, plain: str) -> None:
    check_mutations(plan, plain, range(10, 510))


class _Dies(Here):
    def do(self, *_: Any, **_more: Any) -> pool.WorkResult:
        raise EOFError


class _Hangs(Here):
    """It gives signs of life, but no result."""

    def do(self, *_: Any, **_more: Any) -> pool.WorkResult:
        self.over.wait()
        raise EOFError


class _Nonsense(Here):
    count = 0

    def said(self, value: Any) -> object:
        _Nonsense.count += 1
        return [7, {}, None, {**value, "more": 1}][self.count % 4]


@pytest.mark.parametrize("kind", [_Dies, _Hangs, _Nonsense])
def test_workers_that_are_of_no_use_cost_time_only(
    kind: type[Here], plan: RunPlan, plain: str
) -> None:
    way = Begun if kind is _Hangs else Settled
    done, units = rebuilt(plan, way, employ=kind, patience=0.05)
    assert text(done.report) == plain
    assert units.counts.taken == 0


@pytest.mark.parametrize(
    "name", ["mute", "silent", "leaves", "text", "no json", "odd key", "odd note"]
)
def test_processes_that_are_of_no_use_cost_time_only(
    name: str, plan: RunPlan, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, patience = worker("mute" if name == "silent" else name), 0.2
    if name == "silent":
        monkeypatch.setattr(pool, "SILENCE", 1)
        monkeypatch.setattr(pool, "BEAT", 0.2)
        patience = 600
    employ: Callable[[], pool.WorkerProcess] = lambda: pool.WorkerProcess(start)  # noqa: E731
    way = Begun if name == "mute" else Settled
    done, units = rebuilt(plan, way, employ=employ, patience=patience)
    assert text(done.report) == plain
    assert units.counts.taken == 0


class _Lies(Here):
    """What it says can be a unit's, but it is not: it closes what was never open."""

    def said(self, value: Any) -> object:
        step = {**value["steps"][0], "name": "close", "numbers": [77], "path": None, "result": 0}
        value["steps"].insert(0, step)
        return value


@contextmanager
def ahead_of(
    plan: RunPlan | None,
    monkeypatch: pytest.MonkeyPatch,
    employ: type[Here] = Here,
    place: Path = Path("/nonexistent"),
) -> Iterator[Ahead | None]:
    """As `bootstrap verify --jobs 2` of the embedded path has it, with this plan."""
    resolved = embedded()
    view, entry, _ = rebuild.visible(resolved, ENTRY)
    name = ahead.plan_name(resolved.step.file, ENTRY)
    monkeypatch.setattr(ahead, "cache_root", lambda: place)
    if plan is not None:
        monkeypatch.setattr(ahead, "find_plan", lambda *_: plan)
    monkeypatch.setattr(ahead, "Workers", functools.partial(Workers, employ=employ))
    monkeypatch.setattr(ahead, "Ahead", Settled)
    with run_ahead([(name, view, entry, RunLimits())], 2, learn=True) as (units,):
        yield units


def test_after_a_contradiction_all_is_run_in_order(
    plan: RunPlan, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Contradiction):
        rebuilt(plan, Settled, employ=_Lies)
    with ahead_of(plan, monkeypatch, _Lies) as units:
        report = rebuild.rebuild(embedded(), ENTRY, ENGINE, units=units).report
    assert text(report) == plain and report.jobs == 1


def test_a_plan_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    for content in (b"", b"{}", b'{"schema": "bootstrap-plan/1", "units": []}'):
        (tmp_path / "x.plan").write_bytes(content)
        assert find_plan("x.plan", tmp_path) is None
    (tmp_path / "x.plan").unlink()
    os.mkfifo(tmp_path / "x.plan")  # nor is it waited for
    assert find_plan("x.plan", tmp_path) is None


def test_a_learned_plan_that_is_of_no_use_is_learned_anew(
    plan: RunPlan, plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "plans" / "embedded-x86.hex0-seed.plan"
    old = replace(
        plan, units=tuple(replace(u, start=replace(u.start, umask=0)) for u in plan.units)
    )
    ahead.save_plan(old, place)
    for jobs, there in ((1, False), (1, True), (2, True)):
        with ahead_of(None, monkeypatch, place=tmp_path) as run:
            report = rebuild.rebuild(embedded(), ENTRY, ENGINE, units=run).report
        assert (text(report), report.jobs) == (plain, jobs)
        assert place.exists() == there


def test_what_is_short_or_has_no_plan_is_run_in_order_unless_it_is_asked_for(
    plan: RunPlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker is started for it, and nothing is left in the cache."""
    monkeypatch.setattr(ahead, "cache_root", lambda: tmp_path)
    monkeypatch.setattr(ahead, "new_worker", None)
    long = replace(plan, units=(replace(plan.units[0], milliseconds=1 << 20), *plan.units[1:]))
    for found, jobs in ((None, 2), (plan, 2), (long, 1)):
        monkeypatch.setattr(ahead, "find_plan", lambda *_, found=found: found)
        view, entry, _ = rebuild.visible(embedded(), ENTRY)
        with run_ahead([("x.plan", view, entry, RunLimits())], jobs) as (units,):
            assert units is None
        counted = RunLimits(instructions=1 << 40)
        with run_ahead([("x.plan", view, entry, counted)], 2, learn=True) as (units,):
            assert units is None
    assert [*tmp_path.iterdir()] == []


def test_there_are_no_more_workers_than_units(
    plan: RunPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a thread of ours, and there is an end to these."""
    asked: list[int] = []

    def workers(jobs: int) -> Workers:
        asked.append(jobs)
        return Workers(1)

    monkeypatch.setattr(ahead, "Workers", workers)
    monkeypatch.setattr(ahead, "find_plan", lambda *_: plan)
    view, entry, _ = rebuild.visible(embedded(), ENTRY)
    with run_ahead([("x.plan", view, entry, RunLimits())], 1 << 70, learn=True):
        assert asked == [1 + len(plan.units)]


def waiting() -> None:
    """A run whose first unit never ends."""
    from bootstrap.signals import polite

    _, units = rebuilt(None)
    started = threading.Event()

    class Starts(_Hangs):
        def do(self, *how: Any, **more: Any) -> pool.WorkResult:
            started.set()
            return super().do(*how, **more)

    class Late(Ahead):
        def _wait_for(self, *how: Any) -> None:
            print("waiting", flush=True)
            super()._wait_for(*how)

        def __call__(self, start: UnitStart, machine: DrivenMachine) -> Any:
            self.begin(machine)
            started.wait()
            return super().__call__(start, machine)

    with polite():
        rebuilt(RunPlan(ahead.PLAN_SCHEMA, tuple(units.log)), Late, employ=Starts)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait(number: signal.Signals) -> None:
    command = [sys.executable, "-c", "from tests.runs import test_ahead; test_ahead.waiting()"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          cwd=ROOT, env=environment) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"waiting\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    word = b"KeyboardInterrupt" if number == signal.SIGINT else b"Terminated"
    assert word in said.splitlines()[-1]


class _LiesWell(Here):
    """It says of the last program that is made that it is another."""

    def said(self, value: Any) -> object:
        if value["start"]["argv"][-1] == b"hello".hex():
            value["contents"] = [b"another program".hex() for _ in value["contents"]]
        return value


def test_the_recheck_finds_a_worker_that_lies(plan: RunPlan) -> None:
    done, units = rebuilt(plan, Settled, employ=_LiesWell)
    assert units.counts.taken > 5
    assert (done.report.result, done.report.exit_code) == ("mismatch", 1)
    resolved = embedded()
    report = rechecked(done.report, done.findings, core_tree(resolved.tree), resolved.step)
    assert report.recheck is not None and report.recheck.result == "verified"
    assert any(text.startswith("hello ") for text in report.recheck.differences)


def test_fail_fast_looks_at_what_is_there_when_a_program_ends() -> None:
    """M2-Mesoplanet empties the file that a child of it makes then, and ends after the child."""
    good, empty = "a" * 64, hashlib.sha256(b"").hexdigest()
    exe = FileVersion("/m2", good, 1)
    parent = ProcessRecord(1, 0, 1, exe, (), writes=[FileVersion("/made", empty, 0, order=1)])
    child = ProcessRecord(2, 1, 1, exe, (), writes=[FileVersion("/made", good, 1, order=2)])

    class Recorded:
        records: ClassVar[list[ProcessRecord]] = [parent, child]

        def __call__(self, event: object) -> None:
            pass

    fast = rebuild._FailFast([Known(path="made", sha256=good, from_="a test", kind="catalogue")])
    fast._provenance = Recorded()  # type: ignore[assignment]
    for pid in (2, 1):
        fast(Exited(0, pid, 0, 0, None))
    child.writes[:] = [FileVersion("/made", "b" * 64, 1, order=2)]
    for pid in (2, 1):
        with pytest.raises(StoppedEarly, match="first mismatch, made"):
            fast(Exited(0, pid, 0, 0, None))


@pytest.mark.parametrize("jobs", [1, 2])
def test_fail_fast_stops_at_the_first_mismatch(
    jobs: int, plan: RunPlan, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(given: Resolved) -> Report:
        with ahead_of(plan if jobs > 1 else RunPlan("", ()), monkeypatch) as units:
            return rebuild.rebuild(given, ENTRY, ENGINE, units=units, fail_fast=True).report

    assert text(run(embedded())) == plain
    resolved = embedded()
    step = replace(resolved.step, catalogue={**resolved.step.catalogue, "hex2": "0" * 64})
    report = run(replace(resolved, step=replace(step, sha256="")))
    assert (report.result, report.exit_code, report.totals.processes) == ("mismatch", 1, 5)
    assert report.failure is not None
    assert "stopped at the first mismatch, hex2 (--fail-fast)" in report.failure.message
    assert report.jobs == jobs


def test_each_plan_that_is_shipped_is_of_a_step_file(tmp_path: Path) -> None:
    """And is found, and can be begun: of one that cannot, nobody would ever hear."""
    places = sorted((ROOT / "steps").glob("*.plan"))
    newest = {place.name.split(".kaem")[0] for place in places}
    assert newest >= {f"stage0-posix-1.9.1-{arch}" for arch in
                      ("x86", "AMD64", "AArch64", "riscv64", "riscv32")}  # fmt: skip
    for place in places:
        steps, entry, _ = place.name.rsplit(".", 2)
        step = parse((ROOT / "steps" / f"{steps}.toml").read_bytes(), place.name)
        assert entry in step.entries
        assert ahead.plan_name(f"steps/{steps}.toml", entry) == place.name
        found = find_plan(place.name, tmp_path)
        assert found is not None
        units = ahead._units(found)
        assert len(units) == len(found.units) > 70
        given = {path for unit in units for path, maker in unit.inputs.items() if maker is None}
        assert given <= {b"/" + path.encode() for path in step.materials}


def test_several_architectures_share_the_workers(
    plan: RunPlan, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    employed: list[pool.WorkerProcess] = []

    class Counted(Here):
        def __init__(self) -> None:
            super().__init__()
            employed.append(self)

    monkeypatch.setattr(ahead, "find_plan", lambda *_: plan)
    monkeypatch.setattr(ahead, "_SHORT", -1)
    monkeypatch.setattr(ahead, "Workers", functools.partial(Workers, employ=Counted))
    monkeypatch.setattr(ahead, "Ahead", Settled)
    tasks = [VerifyTask(embedded(), ENTRY, RunLimits())] * 2
    with LiveLine(quiet=True) as line:
        reports, _ = rebuild_each(tasks, 2, ShownProgress(line, ["x86"]))
    assert [(text(one), one.jobs) for one in reports.reports] == [(plain, 2)] * 2
    assert len(employed) == 1  # and this process


@pytest.mark.parametrize(("kind", "jobs"), [(Here, 2), (_Dies, 1), (_Nonsense, 1)])
def test_of_several_one_without_a_plan_is_run_by_one_worker(
    kind: type[Here], jobs: int, plain: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its units come one after another, and are taken like any others."""
    monkeypatch.setattr(ahead, "find_plan", lambda *_: None)
    monkeypatch.setattr(ahead, "Workers", functools.partial(Workers, employ=kind))
    monkeypatch.setattr(ahead, "Ahead", Settled)
    tasks = [VerifyTask(embedded(), ENTRY, RunLimits())] * 2
    with LiveLine(quiet=True) as line:
        reports, _ = rebuild_each(tasks, 2, ShownProgress(line, ["x86"]))
    assert [(text(one), one.jobs) for one in reports.reports] == [(plain, jobs)] * 2


def test_others_are_run_here_while_a_worker_is_at_the_unit_whose_turn_it_is(
    plan: RunPlan, plain: str
) -> None:
    """The plan has the first unit twice."""
    here = list[object]()

    class Counted(Begun):
        def _run_here(self, unit: Any, machine: DrivenMachine) -> None:
            here.append(unit.number)
            super()._run_here(unit, machine)

    twice = replace(plan, units=plan.units[:1] * 2)
    done, units = rebuilt(twice, Counted, employ=_Hangs, patience=0.5)
    assert text(done.report) == plain
    assert (here, units.counts.made, units.counts.failed) == ([1], 1, 1)


def test_what_can_be_begun_of_a_later_run_is_begun_where_the_first_has_nothing(
    plan: RunPlan,
) -> None:
    workers = Workers(1)
    view = rebuild.visible(embedded(), ENTRY)[0]
    runs = [Ahead(plan, view, RunLimits(), workers) for _ in range(2)]
    for run in reversed(runs):
        run._begun = True  # what its first unit reads is there
        found = workers.next_unit()
        assert found is not None and found[0] is run and found[1].number == 0
