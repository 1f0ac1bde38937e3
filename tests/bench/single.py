"""Single processes of the bootstrap, each on its real input: ours, qemu-user, the host itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import qemu
from tests.bench.tables import Pairs, Row, ratio_row, seconds, table
from tests.bench.timing import Cost, Failed, parse, timed
from tests.bench.tree import file_sha256

ROOT = Path(__file__).resolve().parents[2]
OURS, PEER, NATIVE, PYTHON = "ours", "qemu", "native", "python"
Say = Callable[[str], None]
Contestant = Callable[["Case"], Cost]

MIN_ROUNDS = 3
MAX_ROUNDS = 7
BUDGET = 10.0
"""Seconds for the rounds of one process, after which no further round begins."""


def our_environment(hot_path: str) -> dict[str, str]:
    """The environment for our own Python programs; `hot_path` is native or python."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "BOOTSTRAP_HOT_PATH": hot_path}


@dataclass(frozen=True)
class Case:
    """One process of the bootstrap: its arguments, bytes of input, and what it has to write."""

    tool: str
    argv: tuple[str, ...]
    input: int
    writes: Mapping[str, str]


@dataclass(frozen=True)
class Measured:
    """What one process cost each contestant, round by round."""

    case: Case
    costs: Mapping[str, tuple[Cost, ...]]

    def pairs(self, ours: str, peer: str) -> Pairs | None:
        """The contest of two, or None where one of them took no part."""
        if ours not in self.costs or peer not in self.costs:
            return None
        return Pairs(self.costs[ours], self.costs[peer])


def prepare(arch: str, folder: Path) -> list[Case]:
    """Build what the processes need, in `folder`. Raises Failed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.guest", "prepare", arch, str(folder)],
        cwd=ROOT,
        env=our_environment("auto"),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Failed(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "no reason")
    return [
        Case(row["tool"], tuple(row["argv"]), row["input"], row["writes"])
        for row in json.loads(done.stdout)
    ]


@contextmanager
def server(folder: Path, hot_path: str) -> Iterator[Contestant]:
    """Our emulator as a contestant."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.guest", "serve", str(folder)],
        cwd=ROOT,
        env=our_environment(hot_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdin is not None and process.stdout is not None
    asking, answering = process.stdin, process.stdout

    def run(case: Case) -> Cost:
        asking.write(json.dumps({"argv": case.argv}) + "\n")
        asking.flush()
        text = answering.readline()
        if not text:
            raise Failed(f"our server for the {hot_path} hot path died; its message is above")
        check(case, json.loads(text)["wrote"])
        return parse(text, case.tool, (0,))

    try:
        yield run
    finally:
        process.kill()
        process.wait()
        asking.close()
        answering.close()


def on_host(folder: Path, prefix: Sequence[str]) -> Contestant:
    """The host as a contestant: the program itself, or `prefix` (qemu) with the program."""

    def run(case: Case) -> Cost:
        command = [*prefix, *case.argv]
        cost = timed(command, folder.with_suffix(".log"), cwd=folder, env={})
        check(case, {path: file_sha256(folder / path.lstrip("/")) for path in case.writes})
        return cost

    return run


def check(case: Case, wrote: Mapping[str, Any]) -> None:
    """Raise Failed unless everything was written as it should be: wrong answers are quick."""
    for path, sha256 in case.writes.items():
        if wrote.get(path) != sha256:
            raise Failed(f"{case.tool} wrote another {path} than in the bootstrap")


def rounds(
    case: Case, contestants: Mapping[str, Contestant], clock: Callable[[], float] = time.monotonic
) -> Measured:
    """All contestants in turn, A B C A B C ..., so that each round shares its conditions."""
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    started = clock()
    for number in range(MAX_ROUNDS):
        if number >= MIN_ROUNDS and clock() - started > BUDGET:
            break
        for name, contestant in contestants.items():
            costs[name].append(contestant(case))
    return Measured(case, {name: tuple(found) for name, found in costs.items()})


def measure(arch: str, found: list[Measured], say: Say) -> None:
    """The six processes of one architecture, into `found` one by one. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as work, ExitStack() as stack:
        folder = Path(work) / "tree"
        folder.mkdir()
        say("building the programs and their inputs: about 45 s")
        cases = prepare(arch, folder)
        contestants = {OURS: stack.enter_context(server(folder, "auto"))}
        try:
            contestants[PEER] = on_host(folder, [qemu.find(arch).program])
        except Failed as error:
            say(str(error))
        native = on_host(folder, [])
        try:
            native(cases[0])
            contestants[NATIVE] = native
        except Failed as error:
            say(f"no native runs: {error}")
        contestants[PYTHON] = stack.enter_context(server(folder, "python"))
        for number, case in enumerate(cases, 1):
            say(f"{case.tool} ({number} of {len(cases)}), {len(contestants)} ways")
            found.append(rounds(case, contestants))
            say(", ".join(f"{way} {seconds(together(found[-1:], way))}" for way in contestants))


HEAD = [
    "process",
    "input",
    "rounds",
    "ours",
    "qemu",
    "ours/qemu",
    "native",
    "ours/native",
    "Python path",
    "Python/ours",
]


def cells(measured: Measured) -> list[str]:
    """One line of the table of processes."""
    costs = measured.costs

    def time_of(name: str) -> str:
        return seconds(together([measured], name)) if name in costs else "-"

    def ratio_of(a: str, b: str) -> str:
        pairs = measured.pairs(a, b)
        return "-" if pairs is None else f"{pairs.wall_ratio:.2f}"

    return [
        measured.case.tool,
        f"{measured.case.input / 1e3:.0f} kB",
        str(len(costs[OURS])),
        time_of(OURS),
        time_of(PEER),
        ratio_of(OURS, PEER),
        time_of(NATIVE),
        ratio_of(OURS, NATIVE),
        time_of(PYTHON),
        ratio_of(PYTHON, OURS),
    ]


def together(found: Sequence[Measured], name: str) -> float:
    """The sum over the processes of a contestant's median seconds."""
    return sum(sorted(c.wall for c in m.costs[name])[len(m.costs[name]) // 2] for m in found)


def totals(found: Sequence[Measured], ours: str, peer: str) -> Pairs | None:
    """All processes as one contest: round by round, as many rounds as all of them have."""
    contests = [m.pairs(ours, peer) for m in found]
    there = [pairs for pairs in contests if pairs is not None]
    if not there or len(there) != len(found):
        return None
    number = min(len(pairs.ours) for pairs in there)

    def summed(side: Sequence[tuple[Cost, ...]], index: int) -> Cost:
        costs = [costs[index] for costs in side]
        return Cost(sum(c.wall for c in costs), sum(c.cpu for c in costs))

    return Pairs(
        tuple(summed([p.ours for p in there], i) for i in range(number)),
        tuple(summed([p.peer for p in there], i) for i in range(number)),
    )


def text(found: Sequence[Measured]) -> str:
    """The table of processes."""
    return table(HEAD, [cells(measured) for measured in found])


def rows(
    arch: str, found: Sequence[Measured], target: float | None, aim: float | None
) -> list[Row]:
    """The verdict on the six together; a target only where there is no whole bootstrap for it."""
    out = []
    contest = totals(found, OURS, PEER)
    if contest is not None:
        out.append(ratio_row(f"{arch}, {len(found)} processes", contest, "qemu", target, aim))
    contest = totals(found, PYTHON, OURS)
    if contest is not None:
        out.append(
            ratio_row(f"{arch}, {len(found)} processes, Python path", contest, "native path")
        )
    return out
