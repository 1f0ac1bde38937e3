"""`trace show`: a process as it is at a place, against the ELF file, the log and the memory."""

from __future__ import annotations

import json
import random
import re
import shutil
import struct
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.languages import hex0
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.render import dump, show_lines
from bootstrap.timeline.state import StateView, flags_of, memory_wanted, show
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.calls import CallFilter
from bootstrap.trace.coordinates import parse
from bootstrap.trace.log import log
from bootstrap.trace.store import Trace
from tests.cli.command import bootstrap
from tests.instruments.guest import Program
from tests.instruments.runs import engine_for
from tests.seeds.tools import SOURCES
from tests.trace import recorded


def shown(traveller: Timeline, text: str, memory: tuple[int, int] | None = None) -> StateView:
    traveller.go(parse(text))
    return show(traveller, ProgramImages(traveller.trace), memory)


def test_a_label_is_the_same_whatever_was_looked_up_before(opened: Trace) -> None:
    chosen = random.Random(5)
    for name in ("hex1", "catm", "M0"):
        version = ProgramImages(opened).find(name)[0]
        some, every = (ProgramImages(opened).image(version) for _ in range(2))
        offsets = list(range(-1, len(some.content) + 2))
        in_order = [every.label(offset) for offset in offsets]
        chosen.shuffle(offsets)
        assert {at: some.label(at) for at in offsets} == dict(enumerate(in_order, -1))
    assert any(in_order)


def test_a_program_begins_at_its_entry(opened: Trace, traveller: Timeline) -> None:
    for program in opened.programs:
        if program.ordinal:
            found = shown(traveller, f"{program.pid}@0")
            entry = struct.unpack_from("<I", opened.content(program.image), 24)[0]  # e_entry
            assert found.pc == dict(found.registers)["eip"] == entry
            assert (found.executed, found.way, found.last_call) == (0, (), "")
            argc, (first, *_) = found.stack[0]["value"], found.argv
            assert (argc, first) == (len(found.argv), found.argv[0])


def test_every_line_of_hex1_is_the_models(opened: Trace, traveller: Timeline) -> None:
    """Source lines at many places of hex1's run agree with what the model says of that byte."""
    origins = hex0.assemble((SOURCES / "hex1.hex0").read_bytes(), "hex1.hex0").map
    for executed in range(0, 2000, 97):
        found = shown(traveller, f"5@{executed}")
        origin = origins[found.pc - 0x8048000]
        assert found.code[0].source.startswith(f"hex1.hex0:{origin.line}")
        assert [link.file for link in found.source] == ["hex1", "hex1.hex0"]
        assert found.source[1].line == origin.line


def test_what_ran_last_is_what_a_traveller_passes(traveller: Timeline) -> None:
    found = shown(traveller, "3@500")
    assert [code.executed for code in found.way] == list(range(494, 500))
    assert (traveller.executed, traveller.pc) == (500, found.pc)
    for code in found.way:
        traveller.seek(traveller.row, code.executed or 0)
        assert traveller.pc == code.address
        raw = traveller.process.memory.read_upto(traveller.pc, len(code.code))
        assert raw == code.code


def test_calls_are_those_of_the_log(opened: Trace, traveller: Timeline) -> None:
    lines = [line.partition("] ")[2] for line in log(opened, CallFilter(opened, pids=(5,)))]
    calls = [line for line in lines if "execve" not in line and not line.startswith("+++")]
    program = next(p for p in opened.programs if (p.pid, p.ordinal) == (5, 1))
    for ordinal in range(1, program.calls):
        found = shown(traveller, f"5#{program.first_call + ordinal}")
        assert _plain(found.last_call) == _plain(calls[ordinal - 1])
        assert _plain(found.next_call) == _plain(calls[ordinal])


def _plain(text: str) -> str:
    """Name and result: paths of descriptors differ once one is closed."""
    return text.partition("(")[0] + text.rpartition("=")[2].partition("<")[0]


def test_memory_files_and_areas(opened: Trace, traveller: Timeline) -> None:
    image = opened.content(opened.programs[0].image)
    found = shown(traveller, "1#20", (0x8048000, len(image)))
    assert found.memory == {"address": 0x8048000, "bytes": image.hex()}
    assert found.areas[0].start == 0x8048000
    assert found.areas[-1].what == "stack"
    files = {file.fd: file for file in found.files}
    source = next(file for file in files.values() if file.path == "/hex0.hex0")
    lines = list(log(opened, CallFilter(opened, pids=(1,))))
    # The first line is the execve, which is no call of the program's own.
    reads = [line for line in lines[1:21] if "/hex0.hex0>, " in line and "read(" in line]
    assert source.offset == len(reads) > 0
    assert source.size == (SOURCES / "hex0.hex0").stat().st_size
    with pytest.raises(BadInput, match="nothing can be read there"):
        shown(traveller, "1#20", (0, 4))


def test_a_changed_byte_of_memory_is_seen(traveller: Timeline) -> None:
    found = shown(traveller, "1@0", (0x8048054, 4))
    traveller.process.memory.poke(0x8048054, b"\xcc")
    changed = show(traveller, ProgramImages(traveller.trace), (0x8048054, 4))
    traveller.close()
    assert found.memory is not None
    assert changed.memory == {"address": 0x8048054, "bytes": f"cc{str(found.memory['bytes'])[2:]}"}


def test_no_model_is_said_and_nothing_guessed(tmp_path: Path) -> None:
    recorded.record(Program("i386").call("getpid").exit(0), tmp_path / "t")
    with trace.open(tmp_path / "t") as one:
        own = Timeline(one, engine_for("native"))
        found = shown(own, "1@1")
        own.close()
    assert "no program made the same bytes" in found.unknown
    assert not any(code.label or code.source for code in (*found.way, *found.code))
    assert found.source == ()
    assert any("no source lines: it was there" in line for line in show_lines(found))


def test_another_architecture(tmp_path: Path) -> None:
    recorded.record(Program("x86_64").call("getpid").call("getpid").exit(0), tmp_path / "t")
    with trace.open(tmp_path / "t") as one:
        own = Timeline(one, engine_for("native"))
        found = shown(own, "1#1")
        own.close()
    assert found.abi == "x86_64"
    assert found.last_call.startswith("getpid() ") and found.last_call.endswith("= 1")
    assert found.stack[0]["value"] == 3  # argc, as `record` starts a guest
    assert found.code[0].address == found.pc
    assert not found.code[0].instruction.startswith(".byte")
    assert list(show_lines(found))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("eflags", 0x2, "eflags: none of the named flags"),
        ("eflags", 0x246, "eflags: PF ZF IF"),
        ("eflags", 0xCD7, "eflags: CF PF AF ZF SF DF OF"),
        ("nzcv", 0x60000000, "nzcv: Z C"),
        ("nzcv", 0x90000000, "nzcv: N V"),
        ("a0", 1, ""),
    ],
)
def test_flags(name: str, value: int, told: str) -> None:
    assert flags_of(((name, value),)) == told


def test_a_dump() -> None:
    assert list(dump(0x1000, b"hello\0" + bytes(range(0x7A, 0x85)))) == [
        "    00001000  68 65 6c 6c 6f 00 7a 7b 7c 7d 7e 7f 80 81 82 83  |hello.z{|}~.....|",
        f"    00001010  {'84':47}  |.|",
    ]


@pytest.mark.parametrize("text", ["", "x", "1:", "1:0", "-1", "0:99999999999", "1:2:3"])
def test_memory_that_cannot_be_meant(text: str) -> None:
    with pytest.raises(BadInput, match="name an address and how many bytes"):
        memory_wanted(text)
    assert memory_wanted("0x10:5") == (16, 5)


def test_on_the_command_line(place: Path) -> None:
    done = bootstrap("trace", "show", place, "1@0", "--memory", "0x8048000:4", "--json", "-")
    assert (done.status, done.stderr) == (0, "")
    value = json.loads(done.stdout)
    assert value["coordinate"] == "1@0"
    assert value["pc"] == value["registers"]["eip"] == value["comes_next"][0]["address"]
    assert value["memory"] == {"address": 0x8048000, "bytes": "7f454c46"}
    text = bootstrap("trace", "show", place, "1@0").stdout
    assert text.startswith("1@0: pid 1, ./hex0-seed hex0.hex0 hex0\n")
    for wrong in ("nowhere", "77@0", "1@999999999"):
        bad = bootstrap("trace", "show", place, wrong)
        assert (bad.status, bad.stdout) == (2, "")
        assert bad.one_line()
    tree = bootstrap("trace", "tree", place, "--instructions").stdout
    assert " instructions, " in tree.splitlines()[0]
    assert "instruction" not in bootstrap("trace", "tree", place).stdout


def test_the_example_of_the_page(
    checkout: Path,
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """docs/trace-travel.md does what it says."""
    page = (checkout / "docs" / "trace-travel.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", page, re.DOTALL)
    assert found is not None
    shutil.copy(place, tmp_path / "embedded.trace")
    monkeypatch.chdir(tmp_path)
    exec(compile(found[1], "trace-travel.md", "exec"), {})
    assert capsys.readouterr().out == found[2]
