"""`make bench`: our speed beside qemu-user's, measured in one run and printed as ratios.

What is measured and how to read it: docs/speed.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tests.bench import hostile, qemu, single, travelling
from tests.bench.tables import HEAD, Pairs, Row, ratio_row, table
from tests.bench.timing import Cost, Failed, timed
from tests.bench.tree import RELEASE, release
from tests.bench.whole import (
    ALL,
    MACHINE,
    NATIVE,
    ONE_JOB,
    OURS,
    PEER,
    PYTHON,
    RECORDED,
    TWO_JOBS,
    Ledger,
    Way,
)

TARGETS: dict[str, tuple[float, float | None]] = {
    "x86": (0.8, 0.65), "AMD64": (1.0, 0.8),
    "AArch64": (1.0, None), "riscv64": (1.0, None), "riscv32": (1.0, None),
}  # fmt: skip
"""Ours / qemu for a whole bootstrap: at most, and the aim where there is one."""
JOBS_TARGET = 0.6
"""All five architectures: --jobs 2 / --jobs 1."""
JOBS_ONE_TARGET = 0.57
"""One architecture, whose programs are run ahead: 1.75 times faster."""
PYTHON_TARGET = 3.0
PEAK_TARGET = 600.0
RECORD_TARGET = 1.15
"""Recorded / not recorded."""
MACHINE_TARGET = 3.2
"""On builder-hex0's kernel / on ours."""
TRACE_TARGET = 64.0
"""Megabytes on disk."""
HELP_TARGET = 0.25
HELP_ROUNDS = 15
BUSY = 0.5
"""Load, by uptime(1), above which something else runs."""

# Seconds on a machine like the one of docs/speed.md, for what is said in advance.
WHOLE_SECONDS = {
    ("x86", OURS): 170, ("x86", PEER): 330, ("x86", PYTHON): 400, ("x86", NATIVE): 330,
    ("x86", RECORDED): 180, ("x86", MACHINE): 300,
    ("AMD64", OURS): 170, ("AMD64", PEER): 330, ("AMD64", NATIVE): 25,
    ("AArch64", OURS): 340, ("AArch64", PEER): 400,
    ("riscv64", OURS): 190, ("riscv64", PEER): 300,
    ("riscv32", OURS): 190, ("riscv32", PEER): 300,
    (ALL, ONE_JOB): 1100, (ALL, TWO_JOBS): 650, ("x86", ONE_JOB): 170, ("x86", TWO_JOBS): 100,
    ("AMD64", ONE_JOB): 170, ("AMD64", TWO_JOBS): 100,
}  # fmt: skip
SINGLE_SECONDS = 200

CONTESTS = {
    "whole-x86": (Way("x86", OURS), Way("x86", PEER)),
    "python-x86": (Way("x86", PYTHON), Way("x86", OURS)),
    "record-x86": (Way("x86", RECORDED), Way("x86", OURS)),
    "builder-hex0": (Way("x86", MACHINE), Way("x86", OURS)),
    "native-x86": (Way("x86", OURS), Way("x86", NATIVE)),
    "whole-AMD64": (Way("AMD64", OURS), Way("AMD64", PEER)),
    "native-AMD64": (Way("AMD64", OURS), Way("AMD64", NATIVE)),
    "whole-AArch64": (Way("AArch64", OURS), Way("AArch64", PEER)),
    "whole-riscv64": (Way("riscv64", OURS), Way("riscv64", PEER)),
    "whole-riscv32": (Way("riscv32", OURS), Way("riscv32", PEER)),
    "jobs": (Way(ALL, TWO_JOBS), Way(ALL, ONE_JOB)),
    "jobs-x86": (Way("x86", TWO_JOBS), Way("x86", ONE_JOB)),
    "jobs-AMD64": (Way("AMD64", TWO_JOBS), Way("AMD64", ONE_JOB)),
}
SINGLE = {"single-x86": "x86", "single-AMD64": "AMD64"}
TRAVEL = "travel-x86"
HOSTILE = {"hostile": "native", "hostile-python": "python"}
QUICK = ("help", *SINGLE)
NAMES = (*QUICK, *HOSTILE, *CONTESTS, TRAVEL)
LEFT_OUT = ("native-x86",)
"""Not in the default run: 330 s that say how slow a system call of the host is."""


@dataclass
class Bench:
    """One run: what is to be measured, and what was found."""

    names: Sequence[str]
    ledger: Ledger
    started: float
    load: float
    trace: Path | None = None
    """A trace of the whole x86 bootstrap to travel in, instead of a new one."""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tables: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Measure everything; what fails becomes a note."""
        for number, name in enumerate(self.names, 1):
            self.say(f"[{number}/{len(self.names)}] {name}: about {estimate(name, self.ledger)} s")
            try:
                self._measure(name)
            except Failed as error:
                self.notes.append(f"{name}: not measured: {error}")
                self.say(f"  not measured: {error}")

    def _measure(self, name: str) -> None:
        if name == "help":
            self.rows.append(help_row())
        elif name in SINGLE:
            arch = SINGLE[name]
            found: list[single.Measured] = []
            try:
                single.measure(arch, found, lambda line: self.say(f"  {line}"))
            finally:
                # What there is, even if the rest fails or is interrupted.
                if found:
                    title = f"{arch}: single processes on their real inputs"
                    self.tables[title] = single.text(found)
            whole = f"whole-{arch}" in self.names and binfmt_works(arch) is None
            target, aim = (None, None) if whole else TARGETS[arch]
            self.rows += single.rows(arch, found, target, aim)
        elif name in HOSTILE:
            content, rows = hostile.measure(lambda line: self.say(f"  {line}"), HOSTILE[name])
            self.tables[f"Hostile guests, {HOSTILE[name]} path"] = content
            self.rows += rows
        elif name == TRAVEL:
            self.rows += travelling.measure(lambda line: self.say(f"  {line}"), self.trace)
        else:
            self._whole(name)

    def _whole(self, name: str) -> None:
        ours, peer = CONTESTS[name]
        pairs = self.ledger.contest(ours, peer)
        self.rows.append(self._verdict(name, ours, peer, pairs))
        if name == "record-x86":
            self.rows += record_rows(pairs)
        if name == "whole-x86":
            peak = max(cost.peak for cost in pairs.ours) / 1e6
            theirs = max(cost.peak for cost in pairs.peer) / 1e6
            self.rows.append(
                Row(
                    "x86, whole: peak memory",
                    f"{peak:.0f} MB",
                    f"qemu, largest process {theirs:.0f} MB",
                    peak,
                    " MB",
                    PEAK_TARGET,
                    strict=True,
                )
            )

    def _verdict(self, name: str, ours: Way, peer: Way, pairs: Pairs) -> Row:
        if name.startswith("python"):
            return ratio_row(
                f"{ours.arch}, whole, Python path", pairs, "native path", PYTHON_TARGET
            )
        if name.startswith("record"):
            return ratio_row(f"{ours.arch}, whole, recorded", pairs, "not", RECORD_TARGET)
        if name == "builder-hex0":
            return ratio_row("x86, whole, builder-hex0's kernel", pairs, "ours", MACHINE_TARGET)
        if name == "jobs":
            return ratio_row("all five, --jobs 2", pairs, "--jobs 1", JOBS_TARGET)
        if name.startswith("jobs-"):
            return ratio_row(f"{ours.arch}, whole, --jobs 2", pairs, "--jobs 1", JOBS_ONE_TARGET)
        if peer.how == NATIVE:
            return ratio_row(f"{ours.arch}, whole, the host itself", pairs, "native")
        label = qemu.find(ours.arch).name
        return ratio_row(f"{ours.arch}, whole bootstrap", pairs, label, *TARGETS[ours.arch])

    def say(self, line: str) -> None:
        """Progress, on standard error."""
        print(f"{time.monotonic() - self.started:6.0f} s  {line}", file=sys.stderr, flush=True)

    def text(self) -> str:
        """What was found, as Markdown."""
        parts = [machine(self.load)]
        if self.load > BUSY:
            parts.append(
                "The machine did other work when this began: look at the ratios of CPU seconds, "
                "which that disturbs less than the clock."
            )
        for title, content in self.tables.items():
            parts.append(f"{title}\n\n{content}")
        if self.ledger.contests:
            how = "at the same time, a CPU each" if self.ledger.together else "in turn"
            parts.append(f"Whole bootstraps, {how}\n\n{self.ledger.text()}")
        if self.rows:
            parts.append(f"Verdict\n\n{table(HEAD, [row.cells() for row in self.rows])}")
        parts += self.notes
        return "\n\n".join(parts)


def estimate(name: str, ledger: Ledger) -> int:
    """Seconds that a measurement takes, more or less; a run that two share is counted once."""
    if name == "help":
        return 5
    if name in HOSTILE:
        return hostile.SECONDS
    if name in SINGLE:
        return SINGLE_SECONDS
    if name == TRAVEL:
        return travelling.SECONDS
    ours, peer = (WHOLE_SECONDS[way.arch, way.how] for way in CONTESTS[name])
    if ledger.together and not name.startswith("jobs"):
        return ledger.rounds * max(ours, peer)
    shared = {"python-x86": peer, "record-x86": peer, "native-x86": ours, "native-AMD64": ours}.get(
        name, 0
    )
    return ledger.rounds * (ours + peer - shared)


def record_rows(pairs: Pairs) -> list[Row]:
    """What a recording needs besides time: memory, and room on the disk."""
    peak = max(cost.peak for cost in pairs.ours) / 1e6
    size = max(cost.size for cost in pairs.ours) / 1e6
    without = f"not recorded {max(cost.peak for cost in pairs.peer) / 1e6:.0f} MB"
    return [
        Row("x86, recorded: peak memory", f"{peak:.0f} MB", without, peak, " MB", PEAK_TARGET,
            strict=True),
        Row("x86, recorded: the trace", f"{size:.1f} MB", "", size, " MB", TRACE_TARGET),
    ]  # fmt: skip


def help_row() -> Row:
    """`bootstrap --help`, beside a Python that does nothing."""
    environment = single.our_environment("auto")
    ours: list[Cost] = []
    bare: list[Cost] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as work:
        log = Path(work) / "log"
        for _ in range(HELP_ROUNDS):
            ours.append(timed([sys.executable, "-m", "bootstrap", "--help"], log, env=environment))
            bare.append(timed([sys.executable, "-c", "pass"], log, env=environment))
    pairs = Pairs(tuple(ours), tuple(bare))
    row = ratio_row("bootstrap --help", pairs, "bare python")
    middle = sorted(cost.wall for cost in ours)[HELP_ROUNDS // 2]
    return Row(row.what, row.ours, row.peer, middle, " s", HELP_TARGET, strict=True)


def binfmt_works(arch: str) -> str | None:
    """None where whole bootstraps can be run under qemu, or why not."""
    try:
        seeds = release(arch).step.seeds
        data = release(arch).tree.files[seeds["kaem-optional-seed"].path].data
        with tempfile.TemporaryDirectory(prefix="bench-") as work:
            seed = Path(work) / "seed"
            seed.write_bytes(data)
            seed.chmod(0o700)
            with qemu.binfmt(qemu.find(arch), seed):
                return None
    except Failed as error:
        return str(error)


def machine(load: float) -> str:
    """What is measured on, without names: kind of CPU, number, load at the start."""
    cpus = len(os.sched_getaffinity(0))
    peers = []
    for arch in TARGETS:
        try:
            peers.append(qemu.find(arch).version)
        except Failed as error:
            peers.append(str(error))
    return (
        f"{time.strftime('%Y-%m-%d')}, stage0-posix {RELEASE}, {cpus} CPUs ({platform.machine()}), "
        f"load at the start {load:.1f}, Python {platform.python_version()}, {'; '.join(peers)}"
    )


def arguments(argv: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument(
        "--only", action="append", metavar="NAME", choices=NAMES, help=f"one of {', '.join(NAMES)}"
    )
    parser.add_argument("--native", action="store_true", help="the host itself on x86, too")
    parser.add_argument("--rounds", type=int, default=1, help="rounds of whole bootstraps")
    parser.add_argument(
        "--together",
        action="store_true",
        help="the two bootstraps of a pair at the same time, on a CPU each: half the time, and the "
        "better way on a machine that does other work too",
    )
    parser.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help=f"{TRAVEL}: travel in this trace of the whole x86 bootstrap; none is recorded",
    )
    args = parser.parse_args(argv)
    if args.rounds < 1:
        parser.error("--rounds: at least 1")
    return args


def plan(args: argparse.Namespace) -> list[str]:
    """The names of what is to be measured, in order."""
    if args.only:
        return [name for name in NAMES if name in args.only]
    if args.quick:
        return list(QUICK)
    return [name for name in NAMES if args.native or name not in LEFT_OUT]


def _stop(number: int, _frame: FrameType | None) -> None:
    # SystemExit runs every `finally` on the way: children and registrations are gone after it.
    raise SystemExit(128 + number)


def main(argv: Sequence[str], out: Callable[[str], None] = print) -> int:
    """Measure and print; 0 when all that was to be measured was, whatever the verdicts."""
    args = arguments(argv)
    before = {n: signal.signal(n, _stop) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        return _measure(args, out)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _measure(args: argparse.Namespace, out: Callable[[str], None]) -> int:
    names = plan(args)
    ledger = Ledger(args.rounds, args.together)
    bench = Bench(names, ledger, time.monotonic(), os.getloadavg()[0], args.trace)
    try:
        release("x86")
    except Failed as error:
        bench.notes.append(f"No bootstraps: {error}")
        bench.names = [name for name in names if name == "help" or name in HOSTILE]
    total = sum(estimate(name, ledger) for name in bench.names)
    bench.say(f"{len(bench.names)} measurements, about {max(1, round(total / 60))} minutes in all")
    try:
        bench.run()
    except KeyboardInterrupt:
        bench.notes.append("Interrupted: what was measured until then.")
        out(bench.text())
        return 130
    out(bench.text())
    return 1 if bench.notes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
