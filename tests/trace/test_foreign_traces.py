"""Edited and resealed traces: one line with the place, whatever command reads them."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from bootstrap.trace.compare import Diverged, check
from bootstrap.trace.store import TABLES
from tests.instruments.runs import engine_for
from tests.trace import recorded

Capture = pytest.CaptureFixture[str]

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("trace", "check"), ("trace", "info"), ("trace", "tree"), ("trace", "files"),
    ("trace", "log"), ("trace", "hot"), ("trace", "coverage", "/guest"), ("trace", "show", "1@5"),
    ("trace", "why", "/moved:0"), ("trace", "where", "/source:1"), ("trace", "index"),
    ("trace", "export", "--format", "perfetto", "-o", "/dev/null"),
    ("diff", "whole"), ("step", "--script", "script"),
)  # fmt: skip


@pytest.fixture
def edited(whole: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of it, changed and sealed again."""

    def make(*statements: str, digest: bool = False) -> Path:
        place = tmp_path / "t"
        place.write_bytes(whole.read_bytes())
        recorded.change(place, *statements, digest=digest)
        return place

    return make


def said(command: tuple[str, ...], place: Path, whole: Path, capsys: Capture) -> tuple[int, str]:
    """Status and stderr of a command on a trace."""
    script = place.parent / "script"
    script.write_text("step 3\nback\nrun\n")
    words = [{"whole": str(whole), "script": str(script)}.get(word, word) for word in command]
    at = 1 if command[0] in ("diff", "step") else 2
    status = main([*words[:at], str(place), *words[at:]])
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE processes SET status = 'text' WHERE id = 2", "processes[2]: status must be a wh"),
        ("UPDATE processes SET status = -1 WHERE id = 2", "processes[2]: status must not be neg"),
        ("UPDATE processes SET parent = id WHERE id = 2", "processes[2]: began before the prog"),
        ("UPDATE processes SET parent = 3 WHERE id = 2", "processes[2]: began before the prog"),
        ("UPDATE processes SET parent = 99 WHERE id = 2", "processes[2] names one of processes"),
        ("UPDATE processes SET parent = NULL WHERE id = 2", "processes[2]: does not follow"),
        ("UPDATE processes SET ordinal = 7 WHERE id = 3", "processes[3]: does not follow"),
        ("UPDATE processes SET pid = x'00' WHERE id = 1", "processes[1]: pid must be a whole"),
        ("UPDATE processes SET argv = '[1]' WHERE id = 1", "processes[1]: argv[0] must be a st"),
        (r"""UPDATE processes SET argv = '["\ud800"]' WHERE id = 1""",
         "processes[1]: argv[0] is no Unicode text"),
        ("UPDATE processes SET replaced = 2 WHERE id = 1", "processes[1]: replaced must be true"),
        ("UPDATE processes SET calls = 1 << 60 WHERE id = 1", "processes[1]: has "),
        ("UPDATE processes SET last_event = 1 << 61 WHERE id = 1", "processes[1]: its events"),
        ("UPDATE processes SET image = 99 WHERE id = 1", "processes[1] names one of versions"),
        ("UPDATE calls SET count = 'many' WHERE id = 1", "calls[1]: count must be a whole"),
        ("UPDATE calls SET count = 0 WHERE id = 1", "calls[1]: count is 0, less than 1"),
        ("UPDATE calls SET word = 8 WHERE id = 1", "calls[1]: is of no known kind"),
        ("UPDATE calls SET first_call = 2 WHERE id = 1", "calls[1]: does not follow the calls"),
        ("UPDATE calls SET process = 99 WHERE id = 1", "calls[1] names one of processes"),
        ("UPDATE calls SET first_event = 13 WHERE id = 2", "calls[2]: does not follow event 11"),
        ("UPDATE tree SET mode = 'x' WHERE id = 1", "tree[1]: mode must be a whole number"),
        ("UPDATE opens SET flags = 1.5 WHERE id = 1", "opens[1]: flags must be a whole number"),
        ("UPDATE opens SET path = x'ff' WHERE id = 1", ""),
        ("UPDATE changes SET kind = 'x' WHERE id = 1", "changes[1]: kind is 'x'; it must be"),
        ("UPDATE input SET result = -7777 WHERE id = 1", "input[1]: result is no result"),
        ("UPDATE output SET stream = 9 WHERE id = 1", "output[1]: stream is 9; it must be"),
        ("UPDATE checkpoints SET came_back = 'x' WHERE id = 1", "checkpoints[1]: came_back is"),
        ("UPDATE versions SET sha256 = 'x' WHERE id = 1", "versions[1]: sha256 is no sha256"),
        ("UPDATE opens SET id = -5 WHERE id = 1", "opens[-5]: its number does not follow"),
        ("CREATE VIEW more AS SELECT * FROM meta", "its tables are others"),
    ],
)  # fmt: skip
def test_a_row_that_no_recorder_writes(
    edited: Callable[..., Path], statement: str, fault: str
) -> None:
    place = edited(statement)
    with pytest.raises(BadInput) if fault else contextlib.nullcontext() as caught:
        trace.open(place).close()
    begin = f"{place}: is no trace that this program wrote: {fault}"
    assert caught is None or str(caught.value).startswith(begin)


def test_every_command_refuses_it(
    edited: Callable[..., Path], whole: Path, capsys: Capture
) -> None:
    place = edited("UPDATE processes SET parent = id WHERE id = 2")
    for command in COMMANDS:
        status, err = said(command, place, whole, capsys)
        assert status == 2, (command, err)
        begin = f"bootstrap: {place}: is no trace that this program wrote: processes[2]: began"
        assert err.startswith(begin) and err.count("\n") == 1, (command, err)


@pytest.mark.parametrize(
    ("statement", "commands"),
    [
        ("UPDATE opens SET last_event = last_event + 1 WHERE id = 1", ("hot", "coverage", "index")),
        ("UPDATE processes SET status = 256 WHERE id = 1", ("hot", "coverage", "index")),
    ],
)  # fmt: skip
def test_a_run_that_is_not_the_recorded_one(
    edited: Callable[..., Path], whole: Path, capsys: Capture, statement: str, commands: set[str]
) -> None:
    place = edited(statement, digest=True)
    for command in COMMANDS:
        status, err = said(command, place, whole, capsys)
        assert status in (0, 1, 2) and err.count("\n") == (status == 2 or bool(err)), (command, err)
        if command[1] in commands:
            assert status == 1, (command, err)
            assert err.startswith("bootstrap: the run is not the recorded one: pid 1 (/guest)")


def found(place: Path) -> bool:
    """Whether `check` finds something, once the trace digest was made to fit, where one can be."""
    before = place.read_bytes()
    try:
        recorded.change(place)
    except (ValueError, LookupError):
        place.write_bytes(before)
    try:
        with trace.open(place) as opened:
            return check(opened, engine_for("native")) is not None
    except (BadInput, Diverged):
        return True


def other(cell: object) -> str:
    """SQL for another value of a cell."""
    match cell:
        case None:
            return "1"
        case int():
            return str(cell + 1)
        case str():
            return "'{}x'".format(cell.replace("'", "''"))
        case bytes():
            plain = bytearray(zlib.decompress(cell) or b"x")
            plain[-1] ^= 1
            return f"x'{zlib.compress(plain).hex()}'"
    raise AssertionError(cell)


def test_check_finds_any_other_cell_and_any_row_too_many(
    edited: Callable[..., Path], whole: Path
) -> None:
    """But for what `meta` says of the recording, a link's target where there is no link, and what
    the source tree has where no program looked."""
    unseen = []
    with contextlib.closing(sqlite3.connect(whole)) as database:
        for table in TABLES.keys() - {"meta"}:
            found_rows = database.execute(f"SELECT * FROM {table} ORDER BY id")
            names = [column[0] for column in found_rows.description]
            rows = found_rows.fetchall()
            for row in (rows[0], rows[-1]):
                for name, cell in zip(names[1:], row[1:], strict=True):
                    change = f"UPDATE {table} SET {name} = {other(cell)} WHERE id = {row[0]}"
                    if (table, name) != ("tree", "target") and not found(edited(change)):
                        unseen.append(change)
            if table not in ("blobs", "folders", "tree", "versions"):
                last = ", ".join(["id + 1", *names[1:]])
                more = f"INSERT INTO {table} SELECT {last} FROM {table} ORDER BY id DESC LIMIT 1"
                if not found(edited(more)):
                    unseen.append(more)
    for more in (
        "INSERT INTO versions SELECT 99, replace(sha256, 'a', 'b'), size, content FROM versions "
        "LIMIT 1",
        "INSERT INTO versions VALUES (99, "
        "'9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 4, "
        f"x'{zlib.compress(b'test').hex()}')",
        "INSERT INTO meta VALUES ('edits', '[]')",
    ):
        if not found(edited(more)):
            unseen.append(more)
    assert not unseen


def test_calls_that_their_digest_does_not_have(
    edited: Callable[..., Path], whole: Path, capsys: Capture
) -> None:
    place = edited("UPDATE calls SET result = a0 WHERE id = 3")  # the trace digest is as it was
    assert main(["diff", str(whole), str(place), "--no-replay"]) == 2
    out, err = capsys.readouterr()
    assert not out and "the calls of pid 2" in err and "not what their SHA-256 says" in err
