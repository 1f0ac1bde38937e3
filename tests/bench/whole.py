"""Whole bootstraps: ours on either hot path, under qemu-user by binfmt_misc, and on the host."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap.sources.tree import lay_out
from tests.bench import qemu
from tests.bench.single import our_environment
from tests.bench.tables import Pairs, megabytes, seconds, table
from tests.bench.timing import Cost, Failed, Running
from tests.bench.tree import ENTRY, RELEASE, release, view, wrong_products

OURS, PYTHON, PEER, NATIVE = "ours", "ours, Python path", "qemu", "native"
RECORDED = "ours, recorded"
MACHINE = "on builder-hex0's kernel"
ONE_JOB, TWO_JOBS = "ours, --jobs 1", "ours, --jobs 2"
TRACE = "trace"
ALL = "all"
"""The architecture of a Way that is all of them in one command."""
_JOBS = {ONE_JOB: "1", TWO_JOBS: "2"}
_HOT_PATH = {
    OURS: "native",
    RECORDED: "native",
    MACHINE: "native",
    PYTHON: "python",
    ONE_JOB: "native",
    TWO_JOBS: "native",
}


@dataclass(frozen=True)
class Way:
    """One bootstrap to be measured."""

    arch: str
    how: str

    def __str__(self) -> str:
        return f"{self.arch} {self.how}"


class Launched:
    """A whole bootstrap that runs."""

    def __init__(self, way: Way, running: Running, work: Path) -> None:
        self.way = way
        self._running = running
        self._work = work

    def cost(self) -> Cost:
        """Wait for its end, and check every product. Raises Failed."""
        cost = self._running.cost()
        if self.way.how == RECORDED:
            cost = replace(cost, size=(self._work / TRACE).stat().st_size)
        if self.way.how in _HOT_PATH:
            report = json.loads((self._work / "report.json").read_text("utf-8"))
            wanted = _HOT_PATH[self.way.how]
            if self.way.how == MACHINE and report["result"] == "agree":
                return cost
            if report["result"] != "verified":
                raise Failed(f"{self.way}: {report['result']}")
            jobs = _JOBS.get(self.way.how)
            if jobs is not None and self.way.arch != ALL and report["jobs"] != int(jobs):
                raise Failed(f"{self.way}: was run by {report['jobs']}")
            for one in report.get("reports", [report]):
                if one["tool"]["hot_path"] != wanted:
                    raise Failed(f"{self.way}: ran on the {one['tool']['hot_path']} hot path")
        else:
            wrong = wrong_products(release(self.way.arch).step, self._work / "tree")
            if wrong:
                raise Failed(f"{self.way}: {len(wrong)} products came out wrong: {wrong[0]}")
        return cost


@contextmanager
def launch(way: Way, cpu: int | None) -> Iterator[Launched]:
    """Start one bootstrap in a folder of its own; it ends with the block. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        work = Path(folder)
        env: dict[str, str] = {}
        cwd = work / "tree"
        cwd.mkdir()
        if way.how in _HOT_PATH:
            env = our_environment(_HOT_PATH[way.how])
            command = [sys.executable, "-m", "bootstrap", "verify", "--release", RELEASE]
            if way.how == RECORDED:
                command[3:4] = ["trace", "record", "--output", str(work / TRACE)]
            if way.how == MACHINE:
                command += ["--machine", "builder-hex0"]
            command += ["--arch", way.arch, "--entry", ENTRY, "--quiet"]
            command += ["--json", str(work / "report.json")]
            command += ["--jobs", _JOBS.get(way.how, "1")]
        else:
            resolved = release(way.arch)
            tree = view(resolved, ENTRY)
            lay_out(tree, cwd)
            # An absolute name would be seen by the guest: upstream starts it by a relative one.
            (command,) = ([*words] for words in resolved.step.entry(ENTRY).commands)
            if way.how == PEER:
                seed = cwd / command[0]
                prefix = stack.enter_context(qemu.binfmt(qemu.find(way.arch), seed))
                command = [*prefix, *command]
        running = Running(command, work / "log", cwd=cwd, env=env, cpu=cpu)
        yield Launched(way, stack.enter_context(running), work)


def alone(way: Way) -> Cost:
    """Measure one bootstrap. Raises Failed."""
    with launch(way, None) as launched:
        return launched.cost()


def side_by_side(a: Way, b: Way, swap: bool) -> tuple[Cost, Cost]:
    """Measure two bootstraps at the same time, each on a CPU of its own. Raises Failed."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    if len(cpus) < 2:
        raise Failed("--together needs two CPUs")
    if swap:
        cpus.reverse()
    with launch(a, cpus[0]) as first, launch(b, cpus[1]) as second:
        return first.cost(), second.cost()


@dataclass
class Ledger:
    """Every bootstrap that was measured, and how the contests went."""

    rounds: int
    together: bool

    def __post_init__(self) -> None:
        self._alone: dict[tuple[Way, int], Cost] = {}
        self.contests: dict[tuple[Way, Way], Pairs] = {}

    def contest(self, ours: Way, peer: Way) -> Pairs:
        """Measure a pair in every round; one after the other unless `together`. Raises Failed."""
        found: list[tuple[Cost, Cost]] = []
        for number in range(self.rounds):
            if self.together and ours.how not in _JOBS:
                found.append(side_by_side(ours, peer, bool(number % 2)))
            else:
                # Turn about, so that a machine that gets slower or faster favours neither.
                order = (ours, peer) if number % 2 == 0 else (peer, ours)
                for way in order:
                    if (way, number) not in self._alone:
                        self._alone[way, number] = alone(way)
                found.append((self._alone[ours, number], self._alone[peer, number]))
        pairs = Pairs(tuple(a for a, _ in found), tuple(b for _, b in found))
        self.contests[ours, peer] = pairs
        return pairs

    def peak(self, way: Way) -> int | None:
        """Bytes of the largest process of any run of `way`."""
        peaks = [
            cost.peak
            for contest, pairs in self.contests.items()
            for side, costs in zip(contest, (pairs.ours, pairs.peer), strict=True)
            if side == way
            for cost in costs
        ]
        return max(peaks, default=None)

    def text(self) -> str:
        """A table of every contest, round by round."""
        lines: list[Sequence[str]] = []
        for (ours, peer), pairs in self.contests.items():
            for number, (a, b) in enumerate(zip(pairs.ours, pairs.peer, strict=True), 1):
                lines.append(
                    [
                        f"{ours} / {peer.how}",
                        str(number),
                        *(shown for cost in (a, b) for shown in _cost_cells(cost)),
                        f"{a.wall / b.wall:.2f}",
                        f"{a.cpu / b.cpu:.2f}",
                    ]
                )
        return table(HEAD, lines)


HEAD = [
    "contest (first / second)",
    "round",
    "first: wall",
    "CPU",
    "peak",
    "second: wall",
    "CPU",
    "peak",
    "wall ratio",
    "CPU ratio",
]


def _cost_cells(cost: Cost) -> list[str]:
    return [seconds(cost.wall), seconds(cost.cpu), megabytes(cost.peak)]
