"""A trace is there when it is whole, and opens when every byte of it is as it was written."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.trace import container
from bootstrap.trace import store as schema
from bootstrap.trace.recorder import Recorder
from bootstrap.trace.store import Writer, recording
from tests.cli.command import ROOT, environment
from tests.instruments.guest import Program
from tests.instruments.runs import engine_for
from tests.trace import recorded
from tests.trace.killed import MOMENTS

EVERY = 211
"""One byte of so many is changed; a prime, so that all places in a page have their turn."""


@pytest.fixture
def place(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(whole, tmp_path / "t"))


def refusal(place: Path) -> str:
    """What is said of a file that is no trace: one line with its name."""
    with pytest.raises(BadInput) as caught:
        trace.open(place).close()
    told = str(caught.value)
    assert str(place) in told and "\n" not in told
    return told


def test_any_changed_byte_is_found(place: Path) -> None:
    size = place.stat().st_size
    header = [*range(100), *range(container.SEAL_AT - 8, container.SEAL_AT + container.SEAL_SIZE)]
    with place.open("r+b", buffering=0) as file:
        for at in sorted({*header, *range(0, size, EVERY), size - 1}):
            file.seek(at)
            (before,) = file.read(1)
            for mask in (1, 0x80):
                file.seek(at)
                file.write(bytes((before ^ mask,)))
                refusal(place)
            file.seek(at)
            file.write(bytes((before,)))
    trace.open(place).close()


@pytest.mark.parametrize("size", [0, 1, 15, 16, 99, 4096, 8191, 8192, -4096, -1])
def test_cut_short(place: Path, size: int) -> None:
    os.truncate(place, size if size >= 0 else place.stat().st_size + size)
    refusal(place)


def test_longer(place: Path) -> None:
    with place.open("ab") as file:
        file.write(b"\0")
    assert "damaged" in refusal(place)


def test_not_there_and_not_a_file(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none")
    assert "cannot be read" in refusal(tmp_path)
    (tmp_path / "text").write_text("hello")
    assert "is no trace" in refusal(tmp_path / "text")


def test_another_database(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "other")
    database.execute("CREATE TABLE t (x)")
    database.commit()
    database.close()
    assert "is an SQLite database, but no trace" in refusal(tmp_path / "other")


def test_a_schema_of_the_future(place: Path) -> None:
    recorded.change(place, "UPDATE meta SET value = 'bootstrap-trace/3' WHERE name = 'schema'")
    database = sqlite3.connect(place)
    database.execute("PRAGMA user_version = 3")
    database.close()
    told = refusal(place)
    assert "bootstrap-trace/3" in told and schema.SCHEMA in told


def test_a_query_changes_nothing(place: Path) -> None:
    database = sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)
    assert database.execute("SELECT count(*) FROM processes").fetchone() == (3,)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    trace.open(place).close()


# Writing.


def guest() -> Program:
    return Program("i386").call("getpid").exit(0)


def test_unfinished_is_refused_under_any_name(tmp_path: Path) -> None:
    with recording(str(tmp_path / "t")):
        partial = tmp_path / "t.partial"
        assert "unfinished" in refusal(partial)
        copy = Path(shutil.copy(partial, tmp_path / "copy"))
        assert "unfinished" in refusal(copy)
    assert list(tmp_path.iterdir()) == [copy]


def test_two_recorders_of_one_file(tmp_path: Path) -> None:
    place = tmp_path / "t"
    with recording(str(place)) as writer:
        with pytest.raises(BadInput, match=r"t\.partial: another recording"):
            Writer(str(place))
        recorded.finish(guest(), writer, Recorder(writer))
    trace.open(place).close()
    assert list(tmp_path.iterdir()) == [place]


def test_a_recording_that_fails_leaves_what_was_there(place: Path) -> None:
    before = place.read_bytes()
    with pytest.raises(KeyboardInterrupt), recording(str(place)):
        raise KeyboardInterrupt
    assert place.read_bytes() == before and list(place.parent.iterdir()) == [place]


def test_a_finished_one_replaces_what_was_there(place: Path) -> None:
    recorded.record(guest(), place)
    with trace.open(place) as opened:
        assert len(opened.programs) == 1


def test_what_is_in_the_way_and_no_trace_stays(tmp_path: Path) -> None:
    partial = tmp_path / "t.partial"
    partial.write_text("mine")
    with pytest.raises(BadInput, match="in the way"):
        Writer(str(tmp_path / "t"))
    assert partial.read_text() == "mine"


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a directory"):
        Writer(str(tmp_path))
    with pytest.raises(BadInput, match="there is no folder"):
        Writer(str(tmp_path / "none" / "t"))
    with pytest.raises(BadInput, match="not a regular file"):
        Writer("/dev/null")
    with pytest.raises(BadInput, match="cannot be written"):
        Writer("/proc/t")


def test_killed_recorders_leave_nothing_that_opens(tmp_path: Path) -> None:
    engine_for("native")
    done = subprocess.run(
        [sys.executable, "-m", "tests.trace.killed", tmp_path],
        env=environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"{MOMENTS}\n"), done.stderr
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"whole", *(f"{number}.trace.partial" for number in range(MOMENTS))}
    for number in range(MOMENTS):
        partial = tmp_path / f"{number}.trace.partial"
        assert "unfinished" in refusal(partial)
        if number != 1:  # which was sealed already: its name alone tells that it was not finished
            assert "unfinished" in refusal(partial.rename(tmp_path / "renamed"))
    # The next recorder takes its place.
    place = tmp_path / "1.trace"
    recorded.record(guest(), place)
    trace.open(place).close()
    assert not (tmp_path / "1.trace.partial").exists()
