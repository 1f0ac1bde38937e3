"""`trace hot`: the instructions by label, against the counts that they are made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap.languages import hex2
from bootstrap.languages.source import SourceText
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.profile import ExecutionCounts, count, hot_spots
from bootstrap.timeline.render import hot_lines
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.store import Trace
from tests.cli.command import bootstrap
from tests.instruments.runs import engine_for
from tests.seeds.tools import SOURCES

BASE = 0x8048000


@pytest.fixture(scope="module")
def counted(opened: Trace) -> list[ExecutionCounts]:
    traveller = Timeline(opened, engine_for("native"))
    found = count(traveller, ProgramImages(opened), opened.programs)
    traveller.close()
    return list(found.values())


def test_nothing_is_lost_and_the_hottest_is_first(counted: list[ExecutionCounts]) -> None:
    rows = hot_spots(counted)
    assert sum(row.instructions for row in rows) == sum(one.total for one in counted)
    assert [r.instructions for r in rows] == sorted((r.instructions for r in rows), reverse=True)


def test_labels_of_catm_are_those_of_its_source(counted: list[ExecutionCounts]) -> None:
    """Labels and where they stand, told by the source itself: `:name` before the line's bytes."""
    text = (SOURCES / "catm.hex2").read_bytes()
    origins = hex2.assemble([SourceText("catm.hex2", text)]).map
    labels = [
        (number, raw.split()[0][1:].decode())
        for number, raw in enumerate(text.split(b"\n"), 1)
        if raw.startswith(b":")
    ]
    (one,) = (c for c in counted if c.image.name == "/catm")
    expected: dict[str, int] = {}
    for address, times in one.ran():
        line = origins[address - BASE].line
        name = [label for number, label in labels if number <= line][-1]
        expected[name] = expected.get(name, 0) + times
    assert {row.label: row.instructions for row in hot_spots([one])} == expected


def test_without_labels_there_are_addresses(counted: list[ExecutionCounts]) -> None:
    (one,) = (c for c in counted if c.image.name == "/hex0-seed")
    rows = hot_spots([one])
    assert {row.guest_addr: row.instructions for row in rows} == dict(one.ran())
    assert all(row.label == "" and row.source for row in rows)


def test_the_answer_for_people(counted: list[ExecutionCounts]) -> None:
    rows = hot_spots(counted)
    lines = list(hot_lines(counted, rows, 3))
    total = sum(one.total for one in counted)
    assert lines[0].startswith(f"{total:,} instructions in ")
    assert len(lines) == 5
    assert lines[-1].endswith(f"in {len(rows) - 3:,} more places")


def test_on_the_command_line(place: Path) -> None:
    done = bootstrap("trace", "hot", place, "--pid", "6", "--top", "2", "--json", "-")
    assert (done.status, done.stderr) == (0, "")
    value = json.loads(done.stdout)
    assert (value["programs"], len(value["hottest"])) == (2, 2)
    assert "instructions in 2 programs" in bootstrap("trace", "hot", place, "--pid", "6").stdout
    for wrong in (("--pid", "77"), ("--top", "0")):
        bad = bootstrap("trace", "hot", place, *wrong)
        assert bad.status == 2
        assert bad.one_line()
