"""The bench: what it says follows from what it measured, and nothing that it starts outlives it.

No qemu is started here, and of the emulator only hostile guests, at sizes that cost nothing.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.known import find
from bootstrap.trace.lineage import FileVersion, ProcessRecord
from tests.bench import __main__ as bench
from tests.bench import hostile, qemu, schedule, single, tree, whole
from tests.bench.guest import TOOLS, chosen
from tests.bench.tables import HEAD, Pairs, Row, median_wall, megabytes, ratio_row, seconds, table
from tests.bench.timing import Cost, Failed, Running, parse, timed
from tests.bench.travelling import percentile, places
from tests.instruments.runs import engine_for

CASE = single.Case("M0", ("./M0", "in", "out"), 1000, {"/out": "aa"})


def record(exe: str, size: int, status: int = 0) -> ProcessRecord:
    return ProcessRecord(
        2,
        1,
        1,
        FileVersion(f"/x86/artifact/{exe}", "00", 1),
        (exe, str(size)),
        reads=[FileVersion("/in", "00", size)],
        writes=[FileVersion("/out", "00", 1)],
        status=status,
    )


def test_the_process_in_the_middle_is_chosen() -> None:
    names = [tool if tool != "cc" else "cc_x86" for tool in TOOLS]
    records = [record(name, size) for name in names for size in (300, 20, 1000)]
    records.append(record("M0", 500, status=11))
    found = dict(chosen(records))
    assert list(found) == list(TOOLS)
    assert all(process.argv[1] == "300" for process in found.values())
    with pytest.raises(Failed, match=r"ran no hex2$"):
        dict(chosen([r for r in records if not r.exe_path.endswith("/hex2")]))


def test_rounds_go_around() -> None:
    order = []

    def contestant(name: str) -> single.Contestant:
        def run(_case: single.Case) -> Cost:
            order.append(name)
            return Cost(1.0, 1.0)

        return run

    ticks = itertools.count(step=20)
    found = single.rounds(CASE, {n: contestant(n) for n in "ab"}, clock=lambda: float(next(ticks)))
    assert "".join(order) == "ab" * single.MIN_ROUNDS
    assert found.pairs("a", "b") is not None
    assert found.pairs("a", "c") is None


def test_rounds_end_without_a_clock_that_moves() -> None:
    found = single.rounds(CASE, {"a": lambda _case: Cost(0.1, 0.1)}, clock=lambda: 0.0)
    assert len(found.costs["a"]) == single.MAX_ROUNDS


def test_a_wrong_answer_is_no_measurement() -> None:
    single.check(CASE, {"/out": "aa", "/more": "bb"})
    for wrote in ({}, {"/out": "bb"}):
        with pytest.raises(Failed, match="M0 wrote another /out"):
            single.check(CASE, wrote)


def measured(**walls: tuple[float, ...]) -> single.Measured:
    return single.Measured(CASE, {n: tuple(Cost(w, w) for w in ws) for n, ws in walls.items()})


def test_processes_together_are_summed_round_by_round() -> None:
    found = [
        measured(ours=(1.0, 1.0, 1.0), qemu=(2.0, 2.0, 2.0)),
        measured(ours=(3.0,), qemu=(2.0,)),
    ]
    pairs = single.totals(found, "ours", "qemu")
    assert pairs is not None
    assert [c.wall for c in pairs.ours + pairs.peer] == [4.0, 4.0]
    assert single.totals([*found, measured(ours=(1.0,))], "ours", "qemu") is None
    (row,) = single.rows("x86", found, 0.8, 0.65)
    assert row.met is False


def test_a_line_says_who_was_not_there() -> None:
    line = single.cells(measured(ours=(1.0, 3.0, 2.0), native=(1.0, 1.0, 1.0)))
    assert len(line) == len(single.HEAD)
    shown = dict(zip(single.HEAD, line, strict=True))
    assert shown["rounds"] == "3"
    assert (shown["ours"], shown["ours/native"]) == ("2.00 s", "2.00")
    assert (shown["qemu"], shown["ours/qemu"], shown["Python path"]) == ("-", "-", "-")


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[whole.Way]]:
    made: list[whole.Way] = []

    def alone(way: whole.Way) -> Cost:
        made.append(way)
        return Cost(100.0 if way.how == whole.OURS else 200.0, 90.0, 5_000_000)

    monkeypatch.setattr(whole, "alone", alone)
    yield made


def test_a_whole_bootstrap_is_shared_by_its_contests(runs: list[whole.Way]) -> None:
    ledger = whole.Ledger(rounds=2, together=False)
    ours, peer, python = (whole.Way("x86", how) for how in (whole.OURS, whole.PEER, whole.PYTHON))
    assert ledger.contest(ours, peer).wall_ratio == 0.5
    assert ledger.contest(python, ours).wall_ratio == 2.0
    assert runs == [ours, peer, peer, ours, python, python]
    assert len(ledger.text().splitlines()) == 2 + 2 * 2
    assert "x86 ours / qemu" in ledger.text()


def test_jobs_are_measured_in_turn_whatever_is_asked_for(runs: list[whole.Way]) -> None:
    ledger = whole.Ledger(rounds=3, together=True)
    two, one = bench.CONTESTS["jobs-x86"]
    ledger.contest(two, one)
    assert runs == [two, one, one, two, two, one]


def test_what_is_told_in_advance() -> None:
    in_turn, together = whole.Ledger(1, False), whole.Ledger(2, True)
    assert bench.estimate("whole-x86", in_turn) == 500
    assert bench.estimate("python-x86", in_turn) == 400
    assert bench.estimate("whole-x86", together) == 660
    assert all(bench.estimate(name, in_turn) > 0 for name in bench.NAMES)


def test_what_is_measured() -> None:
    def names(*argv: str) -> list[str]:
        return bench.plan(bench.arguments(argv))

    assert names() == [name for name in bench.NAMES if name != "native-x86"]
    assert names("--native") == list(bench.NAMES)
    assert names("--quick") == ["help", "single-x86", "single-AMD64"]
    assert names("--only", "whole-x86", "--only", "help") == ["help", "whole-x86"]
    with pytest.raises(SystemExit):
        names("--only", "nothing")
    with pytest.raises(SystemExit):
        names("--rounds", "0")


def test_without_a_release_the_bench_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(tmp_path))
    said: list[str] = []
    assert bench.main(["--only", "whole-x86"], said.append) == 1
    assert "No bootstraps: stage0-posix 1.9.1 is not in the cache" in said[0]
    assert "0 measurements" in capsys.readouterr().err


def unescaped(text: str) -> bytes:
    return bytes(int(text[at + 2 : at + 4], 16) for at in range(0, len(text), 4))


@pytest.mark.parametrize("arch", ["x86", "AMD64"])
def test_the_registration_fits_stage0_and_nothing_else(arch: str, checkout: Path) -> None:
    line = qemu.registration("name", qemu.Qemu(arch, "qemu", "/usr/bin/qemu", "7"))
    empty, name, kind, offset, magic, mask, program, flags = line.split(":")
    assert (empty, name, kind, offset, program, flags) == (
        "", "name", "M", "0", "/usr/bin/qemu", "F"
    )  # fmt: skip
    fits, counts = unescaped(magic), unescaped(mask)
    assert len(fits) == len(counts) <= 128

    def matches(image: bytes) -> bool:
        head = image[: len(fits)]
        return all((a ^ b) & c == 0 for a, b, c in zip(head, fits, counts, strict=True))

    seed = (checkout / "seeds" / "x86" / "hex0-seed").read_bytes()
    assert matches(seed) is (arch == "x86")
    python = Path("/proc/self/exe").read_bytes()[:64]
    assert not matches(python)


def test_a_tree_is_checked(tmp_path: Path) -> None:
    step = find("stage0-posix", tree.RELEASE, "x86")
    assert "x86/bin/M1" in tree.wrong_products(step, tmp_path)
    assert len(tree.first_half(step)) == 3
    assert tree.file_sha256(tmp_path / "none") == ""


def costs(*walls: float) -> tuple[Cost, ...]:
    return tuple(Cost(wall, wall / 2, 1000) for wall in walls)


def test_a_ratio_is_the_median_of_the_rounds() -> None:
    """Not a ratio of medians: the second round met a busy machine, on both sides."""
    pairs = Pairs(costs(1.0, 30.0, 1.2), costs(2.0, 40.0, 2.0))
    assert pairs.wall_ratio == pairs.cpu_ratio == pytest.approx(0.6)
    assert Pairs(costs(1.0, 9.0, 10.0), costs(1.0, 1.0, 100.0)).wall_ratio == pytest.approx(1.0)
    assert median_wall(costs(1.0, 9.0, 10.0)) == 9.0
    for ours, peer in (((), ()), ((1.0,), ()), ((1.0,), (1.0, 2.0))):
        with pytest.raises(ValueError, match="rounds"):
            Pairs(costs(*ours), costs(*peer))


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [(0.5, "met, and the aim of 0.65"), (0.7, "met"), (0.8, "met"), (0.81, "MISSED")],
)
def test_a_verdict(ours: float, verdict: str) -> None:
    cells = ratio_row("x86", Pairs(costs(ours), costs(1.0)), "qemu-i386", 0.8, 0.65).cells()
    assert (cells[0], cells[2]) == ("x86", "qemu-i386 1.00 s")
    assert cells[3:] == [f"{ours:.2f}", f"{ours:.2f}", "≤ 0.8", verdict]
    assert len(cells) == len(HEAD)


def test_verdicts_without_a_target_and_with_a_strict_one() -> None:
    row = ratio_row("AMD64", Pairs(costs(3.0), costs(1.0)), "native")
    assert (row.met, row.cells()[3:]) == (None, ["3.00", "3.00", "", ""])
    assert Row("peak", "600 MB", "", 600.0, " MB", 600.0, strict=True).met is False
    row = Row("peak", "599 MB", "", 599.4, " MB", 600.0, strict=True)
    assert (row.met, row.cells()[3:]) == (True, ["599 MB", "", "< 600 MB", "met"])


def test_numbers_and_a_table_as_they_are_printed() -> None:
    shown = {0.123: "0.12 s", 9.87: "9.87 s", 12.34: "12.3 s", 170.6: "171 s"}
    assert {value: seconds(value) for value in shown} == shown
    assert megabytes(312_400_000) == "312 MB"
    assert table(["what", "s"], [["a", "1"], ["longer", "100"]]).splitlines() == [
        "| what   |   s |",
        "|--------|----:|",
        "| a      |   1 |",
        "| longer | 100 |",
    ]


def test_where_it_goes_in_a_trace() -> None:
    values = [float(n) for n in range(1, 201)]
    assert (percentile(values, 0.95), percentile(values, 0.5), percentile([7.0], 0.95)) == (
        190, 100, 7,
    )  # fmt: skip
    found = places({1: 10, 2: 0, 3: 990}, 2000)
    assert found == places({1: 10, 2: 0, 3: 990}, 2000)
    assert {row for row, _ in found} == {1, 3}
    assert 5 <= sum(row == 1 for row, _ in found) <= 50
    assert all(0 <= executed < (10 if row == 1 else 990) for row, executed in found)


@pytest.mark.parametrize("case", hostile.CASES, ids=lambda case: case.build.__name__)
def test_each_hostile_guest_ends_as_it_should(case: hostile.Case) -> None:
    engine_for("native")
    size = {"vectors": 129}.get(case.build.__name__, 2)
    assert hostile.cost(case, size, "native").peak > 0


# The stopwatch: what it measures, and that nothing outlives it.


def test_it_tells_what_a_command_cost(tmp_path: Path) -> None:
    say = "import os; print(os.getcwd(), os.environ['A'])"
    log = tmp_path / "log"
    cost = timed([sys.executable, "-I", "-S", "-c", say], log, cwd=tmp_path, env={"A": "b"})
    assert cost.wall > 0 and cost.cpu > 0 and cost.peak > 1_000_000
    assert log.read_text() == f"{tmp_path} b\n"
    with pytest.raises(Failed, match=r"(?s)wait status 768.*\n    the reason"):
        timed(["/bin/sh", "-c", "echo the reason >&2; exit 3"], log)
    with pytest.raises(Failed, match="cannot be executed: No such file"):
        timed([str(tmp_path / "none")], log)


def test_nothing_outlives_the_block(tmp_path: Path) -> None:
    # A fifo that the command and its child hold open: its reader sees the end when both are gone.
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"exec 9>{fifo}; echo there >&9; sleep 1000 & sleep 1000"
    with Running(["/bin/sh", "-c", script], tmp_path / "log"):
        end = fifo.open("rb")
        assert end.readline() == b"there\n"
    with end:
        assert end.read() == b""


def test_a_line_of_the_stopwatch() -> None:
    line = '{"status": %d, "wall": 2.5, "cpu": 2.0, "peak": 4096}'
    assert parse(line % 0, "x", (0,)) == Cost(2.5, 2.0, 4096)
    with pytest.raises(Failed, match="x: ended with wait status 11"):
        parse(line % 11, "x", (0,))
    with pytest.raises(Failed, match="x: cannot be executed: Exec format error"):
        parse('{"error": "Exec format error"}', "x", (0,))


def test_enough_can_be_run_at_once() -> None:
    """The bars of docs/speed.md, from measured times of units."""
    plans = schedule.shipped()
    assert len(plans) >= 5
    for name, plan in plans.items():
        assert schedule.times_faster(plan, 1) == pytest.approx(1, abs=0.001), name
        assert schedule.times_faster(plan, 2) >= 1.75, name
        assert schedule.times_faster(plan, 4) >= 2.7, name
