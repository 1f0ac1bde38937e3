"""A run that is recorded can be run again from the record, on either hot path, and is the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.instruments.callbuffer import CAPACITY
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.numbers import NUMBERS
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.calls import CallFilter
from bootstrap.trace.columns import Calls, encode, shown
from bootstrap.trace.compare import check
from bootstrap.trace.log import log
from bootstrap.trace.store import Trace
from bootstrap.trace.views import FileUses, tree
from tests.instruments.guest import Cell, Program
from tests.instruments.runs import EACH_ABI, HOT_PATHS, engine_for
from tests.trace import recorded


def digests(tmp_path: Path, guest: Program, **more: object) -> set[str]:
    """Of a recording on each hot path; each is checked on each."""
    found = set()
    for hot_path in HOT_PATHS:
        place = tmp_path / f"{hot_path}.trace"
        found.add(recorded.record(guest, place, hot_path, **more))  # type: ignore[arg-type]
        with trace.open(place) as opened:
            assert opened.meta["hot_path"] == hot_path
            assert opened.computed_digest() == opened.digest
            for again in HOT_PATHS:
                divergence = check(opened, engine_for(again))
                assert divergence is None, divergence.lines()
    return found


@EACH_ABI
def test_a_guest_that_does_all_sorts_of_things(abi: str, tmp_path: Path) -> None:
    files, stdin = recorded.busy_files(abi), [b"input", b""]
    guest = recorded.busy(abi)
    assert len(digests(tmp_path, guest, files=files, stdin=stdin)) == 1
    with trace.open(tmp_path / "native.trace") as opened:
        assert [(p.pid, p.ordinal, p.parent, p.status, p.replaced) for p in opened.programs] == [
            (1, 1, None, 0, False),
            (2, 0, 1, None, True),
            (2, 1, 2, 4 << 8, False),
        ]
        assert opened.programs[0].argv == (b"/guest", b"an argument", b"\xff")
        assert opened.programs[0].environment == (b"NAME=value",)
        # The child made three calls as what it was forked as: write, close, execve.
        assert [p.first_call for p in opened.programs] == [0, 0, 3]
        assert sum(p.calls for p in opened.programs) == opened.events
        kinds = opened.database.execute("SELECT kind, path FROM changes ORDER BY id").fetchall()
        assert kinds == [
            ("name", "/folder"), ("name", "/made"), ("mode", None), ("unname", "/made"),
            ("name", "/moved"), ("name", "/link"), ("unname", "/moved"),
        ]  # fmt: skip
        (made,) = (row for row in opened.opens() if row.path == "/made")
        assert made.last_version is not None
        assert opened.content(made.last_version) == b"the sthe"
        (output,) = opened.database.execute("SELECT sum(result) FROM output").fetchone()
        assert output == 7 + 4 + 8


@EACH_ABI
def test_more_calls_than_the_log_holds(abi: str, tmp_path: Path) -> None:
    guest = Program(abi)
    left = guest.words(CAPACITY // 4)
    guest.call("open", guest.text(b"/f"), recorded.O_RDWR | recorded.O_CREAT, 0o600)
    guest.label("again")
    byte = guest.data(b"x")
    guest.call("write", 3, byte, 1).call("lseek", 3, 0, 0).call("read", 3, byte, 1)
    guest.call("brk", 0).call("getpid")
    guest.decrement(left).jump_if_not_zero("again")
    guest.call("mmap2" if abi == "i386" else "mmap", 0, 4096, 3, 0x22, -1, 0).exit(0)
    assert len(digests(tmp_path, guest)) == 1
    with trace.open(tmp_path / "native.trace") as opened:
        chunks = opened.chunks()
        assert opened.events == 5 * (CAPACITY // 4) + 3
        assert [chunk.count for chunk in chunks] == [CAPACITY, CAPACITY // 4 + 3]
        assert [chunk.first_call for chunk in chunks] == [1, CAPACITY + 1]
        calls = opened.calls(chunks[1])
        mask = (1 << 8 * calls.word) - 1
        assert calls.arguments(calls.count - 2, 6) == [0, 4096, 3, 0x22, -1 & mask, 0]


@EACH_ABI
@pytest.mark.parametrize("how", ["fault", "unknown call", "limit"])
def test_a_run_that_fails_is_recorded_to_where_it_failed(
    how: str, abi: str, tmp_path: Path
) -> None:
    guest = Program(abi).call("getpid")
    if how == "fault":
        guest.raw("0f0b")
    elif how == "unknown call":
        guest.call(4999)
    else:
        guest.label("again").call("fork").jmp("again")
    limits = RunLimits(processes=3)
    assert len(digests(tmp_path, guest, limits=limits)) == 1
    with trace.open(tmp_path / "native.trace") as opened:
        assert bool(opened.meta["failure"]) == (how != "fault")
        assert opened.programs[0].status == (4 if how == "fault" else None)


def test_the_embedded_path(tmp_path: Path) -> None:
    found = []
    for hot_path in HOT_PATHS:
        place = tmp_path / hot_path
        rebuilt = recorded.record_embedded(place, hot_path)
        assert rebuilt.report.exit_code == 0
        with trace.open(place) as opened:
            found.append(opened.digest)
            reached: list[int] = []
            assert check(opened, engine_for(hot_path), reached.append) is None
            assert len(reached) > 20 and reached == sorted(reached)
            assert reached[-1] <= opened.events
            assert json.loads(opened.meta["report"])["result"] == "verified"
            written = {v.path: v.sha256 for v in FileUses(opened).versions() if v.writers}
            told = {"/" + a.path: a.sha256 for a in rebuilt.report.artifacts if a.sha256}
            assert told.items() <= written.items()
    assert len(set(found)) == 1


class TestDivergence:
    """What `check` says of a trace in which something else is written than happened."""

    @pytest.fixture
    def place(self, whole: Path, tmp_path: Path) -> Path:
        return Path(shutil.copy(whole, tmp_path / "t"))

    @pytest.mark.parametrize(
        "statement, place_told, recorded_told, now_told",
        [
            (
                "UPDATE processes SET status = 0 WHERE id = 3",
                "program 3, pid 2 (/second), event", "status 0", "status 1024",
            ),
            (
                "UPDATE opens SET path = '/other' WHERE id = 2",
                "opened file 2, pid 1 (/guest), event 8", "path /other", "path /made",
            ),
            (
                "UPDATE changes SET value = value + 1 WHERE kind = 'mode'",
                "change of a name or a file 3, pid 1 (/guest), event", "value", "value",
            ),
            ("DELETE FROM input", "input 1", "no more of them", "event"),
        ],
    )  # fmt: skip
    def test_a_row(
        self, place: Path, statement: str, place_told: str, recorded_told: str, now_told: str
    ) -> None:
        recorded.change(place, statement)
        with trace.open(place) as opened:
            divergence = check(opened, engine_for("native"))
        assert divergence is not None
        assert place_told in divergence.place
        assert recorded_told in divergence.recorded
        assert now_told in divergence.now

    @pytest.mark.parametrize(
        "statement, told",
        [
            ("UPDATE tree SET version = 1 WHERE path = '/source'", "its folder says"),
            ("UPDATE versions SET content = (SELECT content FROM versions WHERE id = 1), size ="
             " (SELECT size FROM versions WHERE id = 1) WHERE id = 2", "its SHA-256"),
            ("UPDATE runs SET argv = '7'", r"runs\[1\]: argv must be a list"),
            ("UPDATE processes SET abi = 'pdp11' WHERE id = 2", "abi is no ABI: 'pdp11'"),
            ("UPDATE meta SET value = '{}' WHERE name = 'limits'", "its limits"),
            ("UPDATE calls SET nr = x'00' WHERE id = 1", "a blob"),
        ],
    )  # fmt: skip
    def test_what_no_recorder_writes(self, place: Path, statement: str, told: str) -> None:
        recorded.change(place, statement)
        with pytest.raises(BadInput, match=told), trace.open(place) as opened:
            check(opened, engine_for("native"))

    def test_a_row_without_a_new_trace_digest(self, place: Path) -> None:
        recorded.change(place, "UPDATE processes SET status = 0 WHERE id = 3", digest=False)
        with trace.open(place) as opened, pytest.raises(BadInput, match="trace digest"):
            check(opened, engine_for("native"))

    def test_a_call(self, place: Path) -> None:
        with trace.open(place) as opened:
            (chunk, *_) = opened.chunks()
            before = opened.calls(chunk)
        result = bytearray(before.columns[4])
        result[4 * 4] ^= 2  # the fifth call, the third read of one byte
        calls = Calls(4, (*before.columns[:4], bytes(result)), before.more)
        blob = encode(calls, NUMBERS["i386"]["brk"])[4].hex()
        recorded.change(place, f"UPDATE calls SET result = x'{blob}' WHERE id = {chunk.id}")
        with trace.open(place) as opened:
            divergence = check(opened, engine_for("native"))
        assert divergence is not None
        assert divergence.place == "pid 1 (/guest), system call 5, event 5"
        assert divergence.recorded.startswith("read(3, 0x") and divergence.recorded.endswith("= 3")
        assert divergence.now.endswith("= 1")


class TestViews:
    def test_tree(self, opened: Trace) -> None:
        lines = list(tree(opened))
        assert lines[0].startswith("1 /guest an argument \\xff  [") and "exit 0" in lines[0]
        assert any(line.startswith("    < /source  42 bytes  ") for line in lines)
        assert any(line.startswith("    > /made  8 bytes  ") for line in lines)
        assert any(line.startswith("    2 /second  [2 calls, exit 4]") for line in lines)

    def test_log(self, opened: Trace) -> None:
        lines = list(log(opened))
        text = "\n".join(lines)
        assert lines[0].startswith('[pid     1] execve("/guest", ["/guest", "an argument"')
        assert 'open("/source", O_RDONLY) = 3</source>' in " ".join(text.split())
        assert "[pid     1] read(3</source>, " in text
        assert "[pid     2] write(4</made>, " in text
        assert '[pid     2] execve("/second", ["/second"], [/* 0 vars */]) = 0' in text
        assert "-1 ENOENT (No such file or directory)" in text
        assert "[pid     2] +++ exited with 4 +++" in text
        ends = sum("+++" in line for line in lines)
        first = 1
        assert len(lines) == opened.events + ends + first

    def test_log_filtered(self, opened: Trace) -> None:
        everything = list(log(opened))
        of_two = list(log(opened, CallFilter(opened, pids=[2])))
        assert of_two == [line for line in everything if line.startswith("[pid     2]")]
        reads = list(log(opened, CallFilter(opened, names=["read"])))
        assert reads == [line for line in everything if "] read(" in line]
        made = list(log(opened, CallFilter(opened, paths=("/made",))))
        assert made and all("/made>" in line for line in made)
        assert list(log(opened, CallFilter(opened, paths=("made",)))) == made

    @pytest.mark.parametrize(
        ("wanted", "told"),
        [
            ({"pids": (1, 3)}, "has no pid 3; there are 1 to 2"),
            ({"paths": ("/made", "ade")}, "ade: no program of this run opened or executed it"),
            ({"names": ("reed",)}, "there is no system call reed on any architecture"),
        ],
    )
    def test_what_cannot_be_in_it_is_no_empty_answer(
        self, opened: Trace, wanted: dict[str, Any], told: str
    ) -> None:
        with pytest.raises(BadInput, match=told):
            CallFilter(opened, **wanted)

    def test_files(self, opened: Trace) -> None:
        found = {(v.path, v.size): v for v in FileUses(opened).versions()}
        assert found["/made", 8].writers == [1]
        assert found["/source", 42].readers == [1] and not found["/source", 42].writers
        assert [shown(opened.program(p).path) for v in found.values() for p in v.executed] == [
            "/guest",
            "/second",
        ]


def test_a_child_that_writes_where_its_parent_seeks(tmp_path: Path) -> None:
    """Offsets and contents pass between processes while the native path has them."""
    guest = Program("i386")
    space = guest.space(8)
    cell = guest.words(0)
    guest.call("open", guest.text(b"/f"), recorded.O_RDWR | recorded.O_CREAT, 0o600)
    guest.call("write", 3, guest.data(b"abc"), 3).call("fork").jump_if_zero("child")
    guest.call("wait4", -1, 0, 0, 0).call("lseek", 3, 0, 0).call("read", 3, space, 8).store(cell)
    guest.exit(Cell(cell))
    guest.label("child").call("write", 3, guest.data(b"de"), 2).exit(0)
    assert len(digests(tmp_path, guest)) == 1
    with trace.open(tmp_path / "native.trace") as opened:
        assert opened.programs[0].status == 5 << 8


@EACH_ABI
def test_words_of_another_size_after_an_exec(abi: str, tmp_path: Path) -> None:
    other = "x86_64" if abi == "i386" else "i386"
    after = Program(other).call("brk", 0).call("close", -1).exit(0)
    guest = Program(abi)
    path = guest.text(b"/next")
    guest.call("close", -1).call("fork").jump_if_zero("child")
    guest.call("wait4", -1, 0, 0, 0).call("close", -1).exit(0)
    guest.label("child").call("execve", path, guest.words(path, 0), guest.words(0)).exit(9)
    assert len(digests(tmp_path, guest, files={b"/next": after.elf()})) == 1
    with trace.open(tmp_path / "native.trace") as found:
        assert [program.abi for program in found.programs] == [abi, abi, other]
        words = [found.calls(chunk).word for chunk in found.chunks()]
    assert words == ([4, 4, 8, 4] if abi == "i386" else [8, 8, 4, 8])


@pytest.mark.parametrize("abi", ["i386", "x86_64"])
def test_each_buffer_of_one_call_gets_its_part(tmp_path: Path, abi: str) -> None:
    """What came in over a standard stream comes in again, at the same call."""
    guest = Program(abi)
    first, second = guest.space(4), guest.space(4)
    guest.call("read", 0, first, 1)
    guest.call("readv", 0, guest.words(first, 4, second, 4), 2).call("write", 1, first, 4).exit(0)
    recorded.record(guest, tmp_path / "t", stdin=[b"x", b"abcd", b"efgh"])
    with trace.open(tmp_path / "t") as opened:
        assert check(opened, engine_for("native")) is None
        at = Timeline(opened, engine_for("native"))
        at.seek_call(1, 2)
        assert at.process.memory.read(first, 4) == b"abcd"
        assert at.process.memory.read(second, 4) == b"efgh"
        at.close()
