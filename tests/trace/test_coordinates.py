"""Coordinates: what people write, and where it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.coordinates import (
    AfterCall,
    AfterEvent,
    AfterInstructions,
    Coordinate,
    at,
    parse,
)
from bootstrap.trace.store import Trace
from tests.instruments.runs import engine_for

NUMBERS = st.integers(0, 10**18)
MAYBE = st.none() | NUMBERS
COORDINATES = st.one_of(
    st.builds(AfterInstructions, NUMBERS, NUMBERS, MAYBE, MAYBE),
    st.builds(AfterCall, NUMBERS, NUMBERS, NUMBERS, MAYBE),
    st.builds(AfterEvent, NUMBERS, NUMBERS),
)


@given(COORDINATES)
def test_what_is_printed_is_read_again(place: Coordinate) -> None:
    assert parse(str(place)) == place


@given(st.text("0123456789@#+.:,e -x", max_size=12))
def test_any_text_is_a_place_or_is_refused(text: str) -> None:
    try:
        found = parse(text)
    except BadInput as error:
        assert "17@5000" in str(error)
    else:
        assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("17@5000", AfterInstructions(17, 5000)),
        ("17.1@1,234,567", AfterInstructions(17, 1234567, 1)),
        ("2:17@0", AfterInstructions(17, 0, None, 2)),
        ("17#12", AfterCall(17, 12)),
        ("17#12+3", AfterCall(17, 12, 3)),
        ("e4711", AfterEvent(4711)),
        ("e4711+1", AfterEvent(4711, 1)),
    ],
)
def test_the_forms(text: str, place: Coordinate) -> None:
    assert parse(text) == place


@pytest.mark.parametrize(
    "text", ["", "17", "17@", "@5", "17@-1", "17@1,23", "17#1@2", "17@1+2", "e", "E5", "17@٣"]
)
def test_what_is_none(text: str) -> None:
    with pytest.raises(BadInput, match="is no place in a trace; one looks like 17@5000"):
        parse(text)


@pytest.fixture
def traveller(opened: Trace) -> Iterator[Timeline]:
    found = Timeline(opened, engine_for("native"))
    yield found
    found.close()


def test_every_event_is_the_call_that_it_numbers(opened: Trace, traveller: Timeline) -> None:
    ends = {p.last_event for p in opened.programs}
    # After its fork a parent goes on only when the child has ended.
    forks = {p.first_event: p.pid for p in opened.programs if p.ordinal == 0}
    assert forks
    for event in set(range(1, opened.events + 1)) - ends:
        traveller.go(AfterEvent(event))
        if event in forks:
            ended = max(p.last_event for p in opened.programs if p.pid == forks[event])
            assert traveller.event == ended
        else:
            assert traveller.event == event
        program = traveller.program
        ordinal = program.first_call + traveller.calls
        executed = traveller.executed
        traveller.go(AfterCall(program.pid, ordinal))
        assert (traveller.row, traveller.executed) == (program.id, executed)
        traveller.go(parse(str(traveller.here)))
        assert (traveller.row, traveller.executed) == (program.id, executed)


def test_after_an_execve_is_the_new_program(opened: Trace, traveller: Timeline) -> None:
    forked = next(p for p in opened.programs if p.replaced)
    traveller.go(AfterCall(forked.pid, forked.calls))
    assert (traveller.program.ordinal, traveller.executed) == (forked.ordinal + 1, 0)
    assert str(traveller.here) == f"{forked.pid}@0"
    traveller.go(AfterInstructions(forked.pid, 0, 0))
    assert str(traveller.here) == f"{forked.pid}.0@0"
    assert traveller.row == forked.id


def test_some_instructions_later(traveller: Timeline) -> None:
    traveller.go(AfterCall(1, 3))
    executed = traveller.executed
    traveller.go(AfterCall(1, 3, 2))
    assert traveller.executed == executed + 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("9@0", r"has no pid 9; there are 1 to 2"),
        ("2:1@0", r"has no pid 1 in run 2"),
        ("2.7@0", r"pid 2 has no program 7; it has 2.0, 2.1"),
        ("1@99999", r"pid 1 executes \d+ instructions: there is no such place in it"),
        ("1#99", r"pid 1 makes \d+ system calls; there is no call 99 of it"),
        ("e0", r"has no event 0; they are 1 to \d+"),
        ("e9999", r"has no event 9,999; they are 1 to \d+"),
    ],
)
def test_places_that_are_not_there(traveller: Timeline, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        traveller.go(parse(text))


def test_after_the_last_call_there_is_nothing(opened: Trace, traveller: Timeline) -> None:
    program = opened.programs[0]
    total = traveller.total(program.id)
    with pytest.raises(BadInput, match=f"just before it is 1@{total - 1}$"):
        traveller.go(AfterCall(1, program.calls))
    assert str(at(opened, program, total - 1)) == f"1@{total - 1}"
