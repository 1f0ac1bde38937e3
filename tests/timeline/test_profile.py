"""`trace coverage` and `trace hot`: counts against stepping, bytes against the instructions, and
labels against the sources."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import capstone
import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.languages import hex2
from bootstrap.languages.source import SourceText
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.profile import ExecutionCounts, count, coverage, hot_spots
from bootstrap.timeline.render import coverage_json, coverage_lines, hot_lines
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.store import Trace
from tests.cli.command import bootstrap
from tests.instruments.guest import Program
from tests.instruments.runs import engine_for
from tests.seeds.tools import SOURCES
from tests.trace import recorded

BASE = 0x8048000


def counts_of(opened: Trace) -> dict[str, ExecutionCounts]:
    """Of every image of a trace, by its path."""
    traveller = Timeline(opened, engine_for("native"))
    found = count(traveller, ProgramImages(opened), opened.programs)
    traveller.close()
    return {one.image.name: one for one in found.values()}


@pytest.fixture(scope="module")
def counted(opened: Trace) -> dict[str, ExecutionCounts]:
    return counts_of(opened)


def test_counts_sum_up_to_the_totals(
    traveller: Timeline, counted: dict[str, ExecutionCounts]
) -> None:
    for one in counted.values():
        assert one.outside == 0
        assert sum(one.counts) == sum(traveller.total(p.id) for p, _ in one.programs)
    assert sum(len(one.programs) for one in counted.values()) == len(traveller.trace.programs)


def test_counts_are_those_of_single_steps(
    traveller: Timeline, counted: dict[str, ExecutionCounts]
) -> None:
    """Every program of an image stepped through, an instruction at a time."""
    for name in ("/catm", "/hello"):
        seen: Counter[int] = Counter()
        for program, total in counted[name].programs:
            traveller.seek(program.id, 0)
            for executed in range(total):
                assert traveller.executed == executed
                seen[traveller.pc] += 1
                if executed + 1 < total:
                    traveller.step()
        assert dict(counted[name].ran()) == dict(seen)


def test_hex0_seed_runs_as_capstone_reads_it(counted: dict[str, ExecutionCounts]) -> None:
    """Our seed is code from byte 76 on: what ran begins where a linear disassembly begins."""
    one = counted["/hex0-seed"]
    decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    code = {i.address: i.size for i in decoder.disasm(one.image.content[76:], BASE + 76)}
    ran = dict(one.ran())
    assert set(ran) <= set(code)
    expected = bytearray(len(one.image.content))
    for address in ran:
        offset = address - BASE
        expected[offset : offset + code[address]] = b"\1" * code[address]
    assert coverage(one).executed == bytes(expected)


def test_stretches_are_the_whole_file(counted: dict[str, ExecutionCounts]) -> None:
    for one in counted.values():
        found = coverage(one)
        stretches = found.stretches
        assert stretches[0].start == 0
        assert stretches[-1].end == len(one.image.content)
        assert all(before.end == after.start for before, after in itertools.pairwise(stretches))
        for stretch in stretches:
            assert set(found.executed[stretch.start : stretch.end]) == {int(stretch.ran)}


def test_what_never_ran_is_listed(counted: dict[str, ExecutionCounts]) -> None:
    """And taking away the counts of one instruction that ran has it listed, alone."""
    one = counted["/hex0-seed"]
    before = coverage(one)
    address, _ = list(one.ran())[7]
    changed = ExecutionCounts(one.image, one.version, one.start, one.counts[:], one.programs)
    changed.counts[address - one.start] = 0
    after = coverage(changed)
    gone = [i for i in range(len(before.executed)) if before.executed[i] != after.executed[i]]
    assert gone[0] == address - BASE
    (line,) = one.image.listing(gone[0], gone[-1] + 1)
    text, other = ("\n".join(coverage_lines(found, "", every=True)) for found in (after, before))
    said = f"{gone[0]:#x}-{gone[-1]:#x}  never ran, "
    assert said in text and line.instruction in text
    assert said not in other
    assert changed.outside == one.counts[address - one.start]


def test_code_in_memory_and_code_that_never_runs(tmp_path: Path) -> None:
    guest = Program("i386")
    guest.call("getpid").jmp("end").call("getpid")
    guest.label("end").exit(0)
    recorded.record(guest, tmp_path / "t")
    with trace.open(tmp_path / "t") as opened:
        (one,) = counts_of(opened).values()
    found = coverage(one)
    never = [s for s in found.stretches if not s.ran and not s.header]
    code = [line for s in never for line in one.image.listing(s.start, s.end)]
    assert any(line.instruction == "int 0x80" for line in code)
    text = list(coverage_lines(found, "", every=False))
    assert any("no labels or source lines: it was there before the run" in line for line in text)
    value = coverage_json(found, "")
    assert value["bytes_run"] == sum(found.executed) < len(one.image.content)


def test_a_child_is_counted_apart(counted: dict[str, ExecutionCounts]) -> None:
    """kaem's children run its image until their execve; each counts for itself, once."""
    one = counted["/kaem"]
    pids = [program.pid for program, _ in one.programs]
    assert pids == sorted(set(pids))
    forked = [total for program, total in one.programs if program.ordinal == 0]
    assert forked
    assert all(0 < total < one.programs[0][1] for total in forked)


def test_which_image(opened: Trace) -> None:
    images = ProgramImages(opened)
    (version,) = images.find("/hex1")
    sha256 = opened.hashes()[version][0]
    assert images.find("hex1") == images.find("./hex1") == images.find(sha256) == [version]
    assert images.find(sha256[:12]) == [version]
    for wrong in ("hex1.hex0", "nothing", sha256[:4], "00" * 32):
        with pytest.raises(BadInput, match=r"no program .* ran; name its path"):
            images.find(wrong)


def test_coverage_on_the_command_line(place: Path) -> None:
    done = bootstrap("trace", "coverage", place, "kaem", "--json", "-")
    assert (done.status, done.stderr) == (0, "")
    (value,) = json.loads(done.stdout)["images"]
    assert value["image"] == "/kaem"
    never = [r for r in value["ranges"] if not r["ran"] and not r["header"]]
    assert value["bytes_run"] == sum(r["end"] - r["start"] for r in value["ranges"] if r["ran"])
    assert all(r["code"][0]["source"].startswith("kaem.hex0:") for r in never)
    text = bootstrap("trace", "coverage", place, "kaem").stdout
    assert "never ran" in text and "kaem.hex0:" in text
    bad = bootstrap("trace", "coverage", place, "nothing")
    assert bad.status == 2
    assert "no program nothing ran" in bad.one_line()


# Hot.


def test_nothing_is_lost_and_the_hottest_is_first(counted: dict[str, ExecutionCounts]) -> None:
    every = list(counted.values())
    rows = hot_spots(every)
    total = sum(one.total for one in every)
    assert sum(row.instructions for row in rows) == total
    assert [r.instructions for r in rows] == sorted((r.instructions for r in rows), reverse=True)
    lines = list(hot_lines(every, rows, 3))
    assert lines[0].startswith(f"{total:,} instructions in ")
    assert len(lines) == 5
    assert lines[-1].endswith(f"in {len(rows) - 3:,} more places")


def test_labels_of_catm_are_those_of_its_source(counted: dict[str, ExecutionCounts]) -> None:
    """Labels and where they stand, as the source itself says: `:name` before the line's bytes."""
    text = (SOURCES / "catm.hex2").read_bytes()
    origins = hex2.assemble([SourceText("catm.hex2", text)]).map
    labels = [
        (number, raw.split()[0][1:].decode())
        for number, raw in enumerate(text.split(b"\n"), 1)
        if raw.startswith(b":")
    ]
    expected: dict[str, int] = {}
    for address, times in counted["/catm"].ran():
        line = origins[address - BASE].line
        name = [label for number, label in labels if number <= line][-1]
        expected[name] = expected.get(name, 0) + times
    found = hot_spots([counted["/catm"]])
    assert {row.label: row.instructions for row in found} == expected


def test_without_labels_there_are_addresses(counted: dict[str, ExecutionCounts]) -> None:
    one = counted["/hex0-seed"]
    rows = hot_spots([one])
    assert {row.guest_addr: row.instructions for row in rows} == dict(one.ran())
    assert all(row.label == "" and row.source for row in rows)


def test_hot_on_the_command_line(place: Path) -> None:
    done = bootstrap("trace", "hot", place, "--pid", "6", "--top", "2", "--json", "-")
    assert (done.status, done.stderr) == (0, "")
    value = json.loads(done.stdout)
    assert (value["programs"], len(value["hottest"])) == (2, 2)
    assert "instructions in 2 programs" in bootstrap("trace", "hot", place, "--pid", "6").stdout
    for wrong in (("--pid", "77"), ("--top", "0")):
        bad = bootstrap("trace", "hot", place, *wrong)
        assert bad.status == 2
        assert bad.one_line()
