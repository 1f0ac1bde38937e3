"""Who runs against whom, how often and in what order; no emulator and no qemu is started here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.core.release import SourceFile
from bootstrap.known import find
from bootstrap.sources import SourceTree
from bootstrap.trace.lineage import FileVersion, ProcessRecord
from tests.bench import __main__ as bench
from tests.bench import qemu, single, tree, whole
from tests.bench.guest import TOOLS, chosen
from tests.bench.timing import Cost, Failed

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


def test_a_tree_is_laid_out_and_checked(tmp_path: Path) -> None:
    source = SourceTree(
        "here",
        {"a/run": SourceFile(b"x", True), "b": SourceFile(b"y")},
        {"c/link": "../b"},
        frozenset({"x86/bin"}),
    )
    tree.lay_out(source, tmp_path)
    assert (tmp_path / "a/run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "b").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "c/link").read_bytes() == b"y"
    assert (tmp_path / "x86/bin").is_dir()
    step = find("stage0-posix", tree.RELEASE, "x86")
    assert "x86/bin/M1" in tree.wrong_products(step, tmp_path)
    assert len(tree.first_half(step)) == 3
    assert tree.file_sha256(tmp_path / "none") == ""
