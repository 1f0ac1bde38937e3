"""What a memo has is believed only where it is whole and ours; and the report says so."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bootstrap import signals
from bootstrap.attest.evidence import evidence
from bootstrap.core.errors import BadInput
from bootstrap.instruments import default_engine
from bootstrap.linux.limits import RunLimits
from bootstrap.report import Report, to_json_text
from bootstrap.runs import memo as memos
from bootstrap.runs.ahead import run_ahead
from bootstrap.runs.memo import Memo
from bootstrap.runs.rebuild import rebuild, visible
from bootstrap.sources import Resolved, check_materials
from tests.cli.command import bootstrap
from tests.runs.tiny import ENTRY, embedded
from tests.runs.works import ROOT

ENGINE = default_engine()
UNITS = 9


def run(place: Path, resolved: Any = None, limits: RunLimits | None = None, **how: Any) -> Report:
    with closing(Memo(place, **how)) as memo:
        return remembered(memo, resolved, limits)


def remembered(
    memo: Memo, resolved: Resolved | None = None, limits: RunLimits | None = None
) -> Report:
    given, limits = resolved or embedded(), limits or RunLimits()
    wanted = ("none.plan", *visible(given, ENTRY)[:2], limits)
    with run_ahead([wanted], 1, memo) as (units,):
        return rebuild(given, ENTRY, ENGINE, limits, units=units).report


def used(report: Report) -> tuple[int, int, int]:
    """Units that were believed, and run; entries that were dropped."""
    assert report.memo is not None
    return report.memo.believed, report.memo.ran, report.memo.dropped


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    place = tmp_path_factory.mktemp("memo") / "memo"
    report = run(place)
    assert (report.result, report.exit_code, used(report)) == ("verified", 0, (0, UNITS, 0))
    assert place.stat().st_mode & 0o777 == 0o600
    return place.read_bytes()


@pytest.fixture
def place(tmp_path: Path, filled: bytes) -> Path:
    (tmp_path / "memo").write_bytes(filled)
    return tmp_path / "memo"


def test_what_is_believed_is_not_verified(place: Path) -> None:
    plain, report = rebuild(embedded(), ENTRY, ENGINE).report, run(place)
    assert (report.result, report.exit_code, used(report)) == ("with-memo", 4, (UNITS, 0, 0))
    assert "9 of 9 programs that kaem starts were not run" in report.claim
    alike = {"totals": plain.totals, "memo": None, "result": "verified", "claim": plain.claim,
             "reasons": ()}  # fmt: skip
    assert replace(report, **alike) == plain  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="its result is with-memo"):
        evidence(to_json_text(report).encode())


def test_all_that_is_run_again_is_verified(place: Path) -> None:
    for check, result in ((3, "with-memo"), (None, "verified")):
        report = run(place, check=check)
        assert report.memo is not None
        assert (report.result, report.memo.checked) == (result, UNITS if check is None else check)
        assert report.memo.differing == 0


def rows(place: Path, query: str, *values: object) -> list[Any]:
    with closing(sqlite3.connect(place, isolation_level=None)) as db:
        return db.execute(query, values).fetchall()


def flipped(place: Path) -> None:
    for key, content in rows(place, "select key, content from units"):
        wrong = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        rows(place, "update units set content = ? where key = ?", wrong, key)


def of_another_type(place: Path) -> None:
    rows(place, "update units set content = 7")


def unlike_its_sum(place: Path) -> None:
    rows(place, "update units set sha256 = 'x'")


def summed_nonsense(place: Path) -> None:
    wrong = b"no unit"
    for key, made, maker in rows(place, "select key, made, maker from units"):
        right = memos._checksum(key, made, maker, wrong)
        rows(place, "update units set content = ?, sha256 = ? where key = ?", wrong, right, key)


def of_another_maker(place: Path) -> None:
    rows(place, "update units set maker = '0 9.9'")


def of_other_code(place: Path) -> None:
    """Rows that older code left, under the key of this code."""
    for key, content in rows(place, "select key, content from units"):
        old = hashlib.sha256(f"{key} of other code".encode()).hexdigest() * 2
        wrong = memos._checksum(old, 1, "0 0", content)
        rows(
            place, "update units set made = 1, maker = '0 0', sha256 = ? where key = ?", wrong, key
        )


def before_there_was_time(place: Path) -> None:
    for key, maker, content in rows(place, "select key, maker, content from units"):
        right = memos._checksum(key, -(1 << 62), maker, content)
        rows(place, "update units set made = ?, sha256 = ? where key = ?", -(1 << 62), right, key)


def of_negative_calls(place: Path) -> None:
    """Whole entries: what they say would be counted in the report."""
    for key, made, maker, content in rows(place, "select key, made, maker, content from units"):
        plain = json.loads(zlib.decompress(content))
        plain["steps"][-1]["calls"] = -1
        wrong = zlib.compress(json.dumps(plain).encode())
        right = memos._checksum(key, made, maker, wrong)
        rows(place, "update units set content = ?, sha256 = ? where key = ?", wrong, right, key)


def cut(place: Path) -> None:
    os.truncate(place, place.stat().st_size * 2 // 3)


@pytest.mark.parametrize(
    "harm",
    [
        flipped,
        of_another_type,
        unlike_its_sum,
        summed_nonsense,
        of_another_maker,
        of_other_code,
        before_there_was_time,
        of_negative_calls,
        cut,
    ],
)
def test_entries_that_are_not_whole_are_not_believed(
    harm: Callable[[Path], None], place: Path
) -> None:
    harm(place)
    try:
        report = run(place)
    except BadInput as error:  # nothing of it can be read
        assert harm is cut and "is no memo" in str(error)
        return
    believed, ran, dropped = used(report)
    assert believed + ran == UNITS and dropped > 0
    assert report.exit_code == (4 if believed else 0)
    if harm is not cut:
        assert used(report) == (0, UNITS, UNITS)
        assert used(run(place)) == (UNITS, 0, 0)  # they were dropped, and others are there


def lie(place: Path) -> None:
    """Whole entries, of a run in which hex2 made something else."""
    with closing(Memo(place)) as memo:
        for (key,) in rows(place, "select key from units"):
            [(content,)] = rows(place, "select content from units where key = ?", key)
            result = memos._unpacked(content)
            if result.start.argv[-1] == b"hex2":
                memo.add(replace(result, contents=(b"lie",)), RunLimits())


def test_a_lie_is_found_by_running_it_again(place: Path) -> None:
    lie(place)
    report = run(place, check=None)
    assert report.memo is not None and report.memo.differing == 1
    assert (report.result, used(report)) == ("verified", (UNITS - 1, 1, 0))


def test_a_lie_that_is_believed_is_never_verified(place: Path) -> None:
    lie(place)
    assert run(place).result in ("mismatch", "error")


def test_what_a_memo_says_of_its_maker_does_nothing_to_a_terminal(place: Path) -> None:
    for key, made, content in rows(place, "select key, made, content from units"):
        right = memos._checksum(key, made, "\x1b[31mred", content)
        rows(place, "update units set maker = '\x1b[31mred', sha256 = ? where key = ?", right, key)
    done = bootstrap("verify", "--release", "embedded", "--memo", str(place), "--quiet")
    assert done.status == 4 and "red" in done.stdout and "\x1b" not in done.stdout


def test_only_what_a_change_reaches_is_run(place: Path) -> None:
    resolved = embedded()
    for path, ran in (("hex1.hex0", 1), ("hello.M1", 1)):
        file = resolved.tree.files[path]
        files = {**resolved.tree.files, path: replace(file, data=file.data + b"\n")}
        tree = replace(resolved.tree, files=files)
        changed = replace(resolved, tree=tree, materials=check_materials(tree, resolved.step))
        report = run(place, changed)
        assert report.exit_code == 1 and used(report) == (UNITS - ran, ran, 0)


def test_other_limits_and_other_code_are_other_entries(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert used(run(place, limits=RunLimits(memory=1 << 29))) == (0, UNITS, 0)
    monkeypatch.setattr(memos, "code_digest", lambda: "0" * 64)
    assert used(run(place)) == (0, UNITS, 0)


def test_whose_a_memo_is(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place.chmod(0o622)
    with pytest.raises(BadInput, match="others may write to it"):
        Memo(place)
    place.chmod(0o600)
    (tmp_path / "link").symlink_to(place)
    with pytest.raises(BadInput, match="is no file"):
        Memo(tmp_path / "link")
    (tmp_path / "text").write_text("no memo " * 100)
    with pytest.raises(BadInput, match="is no memo"):
        Memo(tmp_path / "text")
    assert (tmp_path / "text").read_text() == "no memo " * 100
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(BadInput, match=f"--memo-owner {mine} asks"):
        Memo(place)
    assert used(run(place, owner=mine)) == (UNITS, 0, 0)


def test_what_others_can_put_beside_it_is_not_read(place: Path, tmp_path: Path) -> None:
    """SQLite writes a journal that it finds into the memo, whoever made it."""
    journal = tmp_path / "memo-journal"
    journal.write_bytes(b"")
    journal.chmod(0o622)
    with pytest.raises(BadInput, match="memo-journal: others may write to it"):
        Memo(place)
    journal.unlink()
    tmp_path.chmod(0o1777)
    with pytest.raises(BadInput, match="others may write to its folder"):
        Memo(place)
    tmp_path.chmod(0o755)
    Memo(place).close()


def test_a_memo_in_the_folder_of_another_user(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def foreign(path: Path, **how: Any) -> os.stat_result:
        found = stat(path, **how)
        return os.stat_result((*found[:4], 1234567, *found[5:])) if path == place.parent else found

    monkeypatch.setattr(Path, "stat", foreign)
    with pytest.raises(BadInput, match="others may write to its folder"):
        Memo(place)
    Memo(place, owner=1234567).close()


@pytest.mark.parametrize(
    "more",
    [
        "create trigger more before insert on units begin delete from units; end",
        "create view more as select 1",
        "create table more (x)",
    ],
)
def test_a_memo_has_one_table_and_no_code(more: str, place: Path) -> None:
    """A view that never ends could not even be interrupted."""
    rows(place, more)
    with pytest.raises(BadInput, match="is no memo"):
        Memo(place)


def test_the_library_that_is_loaded_is_of_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unicorn.unicorn_py3.unicorn import uclib

    (tmp_path / "libunicorn.so.2").write_bytes(b"of the same version")
    before = memos.code_digest()
    monkeypatch.setattr(uclib, "_name", str(tmp_path / "libunicorn.so.2"))
    assert memos.code_digest.__wrapped__() != before


def test_all_is_run_again_that_another_run_has_put_into_it_meanwhile(
    place: Path, tmp_path: Path
) -> None:
    with closing(Memo(tmp_path / "new", check=None)) as memo:
        with closing(sqlite3.connect(place, isolation_level=None)) as db:
            db.execute("attach ? as new", (str(tmp_path / "new"),))
            db.execute("insert into new.units select * from main.units")
        report = remembered(memo)
    assert report.memo is not None and report.memo.checked == UNITS
    assert report.result == "verified"


def test_two_at_once_lose_nothing(place: Path, tmp_path: Path) -> None:
    [(content,)] = rows(place, "select content from units limit 1")
    result = memos._unpacked(content)
    with closing(Memo(tmp_path / "new")) as one, closing(Memo(tmp_path / "new")) as other:
        for pid in range(20):
            memo = (one, other)[pid % 2]
            start = replace(result.start, pid=pid)
            memo.add(replace(result, start=start), RunLimits())
        assert one.use.lost == other.use.lost == 0
    assert rows(tmp_path / "new", "select count(*) from units") == [(20,)]


def test_its_size_has_an_end(tmp_path: Path) -> None:
    place = tmp_path / "memo"
    run(tmp_path / "large", size=1 << 70)
    report = run(place, size=4000)
    assert used(report) == (0, UNITS, 0)
    [(count, total)] = rows(place, "select count(*), sum(length(content)) from units")
    assert 0 < count < UNITS and total <= 4000


def test_a_full_disk_ends_no_run(tmp_path: Path) -> None:
    with closing(Memo(tmp_path / "memo")) as memo:
        memo._db.execute("pragma max_page_count = 3")
        report = remembered(memo)
    assert report.result == "verified" and report.memo is not None
    assert report.memo.lost == 1


def test_a_disk_that_is_full_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def full(place: object, **how: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(str(place), **how)
        if place != ":memory:":
            db.execute("pragma max_page_count = 1")
        return db

    monkeypatch.setattr(sqlite3, "connect", full)
    report = run(tmp_path / "memo")
    assert (report.result, used(report)) == ("verified", (0, UNITS, 0))
    assert report.memo is not None and report.memo.lost == 1


def test_a_memo_that_another_process_holds(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for once, and a signal ends the wait."""
    with closing(Memo(place)) as memo, closing(sqlite3.connect(place)) as other:
        other.execute("begin exclusive")
        memo._patience = 0.5
        report = remembered(memo)
        assert report.result == "verified" and report.memo is not None
        assert report.memo.believed == 0 and report.memo.ran == UNITS
        assert memo._patience == 0 and report.memo.lost == 1

        def interrupted() -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(signals, "check", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Memo(place)


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    """Each has limits of its own, so that neither finds what the other has made."""
    place = tmp_path / "memo"

    def start(limit: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bootstrap", "verify", "--release", "embedded", "--quiet",
                   "--json", "-", "--memo", str(place), "--limit", limit]  # fmt: skip
        return subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT)

    for believed in (0, UNITS):
        both = [start(limit) for limit in ("memory=512M", "memory=768M")]
        for process in both:
            memo = json.loads(process.communicate()[0])["memo"]
            assert (memo["believed"], memo["ran"]) == (believed, UNITS - believed)
            assert memo["lost"] == memo["dropped"] == 0
            assert process.returncode == (4 if believed else 0)
    assert rows(place, "select count(*) from units") == [(2 * UNITS,)]
