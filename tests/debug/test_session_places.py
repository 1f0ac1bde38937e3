"""Sessions go to calls, outputs, other processes, and places by name: as the record has them."""

from __future__ import annotations

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.debug import Session
from bootstrap.languages import hex0 as model
from bootstrap.trace.coordinates import AfterInstructions, parse
from tests.debug.material import READ, SEED, SOURCE

# -- calls and outputs ----------------------------------------------------------------------------


def test_every_output_byte_is_met_and_is_the_models(hex0: Session) -> None:
    assembly = model.assemble(SOURCE, "hex0.hex0")
    hex0.go("e14000")
    hex0.go("1@0")
    for offset, byte in enumerate(assembly.output[:40]):
        stop = hex0.next_output()
        assert (stop.reason, hex0.produced()) == ("output", ("/out", offset, 1))
        assert hex0.file("/out") == assembly.output[: offset + 1]
        assert hex0.file(4)[-1] == byte
    for offset in range(38, -1, -1):
        hex0.previous_output()
        made = hex0.produced()
        assert made is not None
        assert made.offset == offset
    assert hex0.previous_output().reason == "nowhere"
    hex0.go("out:0xb4")
    assert hex0.produced() == ("/out", 0xB4, 1)
    assert hex0.file("/out") == assembly.output == SEED
    assert hex0.next_output().reason == "nowhere"


def test_calls_are_those_of_the_record(hex0: Session) -> None:
    seen = []
    while (stop := hex0.next_call(fd=4)).reason == "call":
        seen.append(stop.detail.split("(")[0])
        if len(seen) == 30:
            break
    assert seen == ["write"] * 30
    hex0.go("1@0")
    assert hex0.next_call("open").detail.startswith("open(")
    assert hex0.calls == 1
    second = hex0.next_call("open")
    assert (hex0.calls, second.reason) == (2, "call")
    assert hex0.next_call("open").reason == "nowhere"
    # Going back, the call's instruction comes next.
    back = hex0.previous_call("open")
    assert (back.reason, hex0.calls, hex0.read(hex0.pc, 2)) == ("call", 1, b"\xcd\x80")
    with pytest.raises(BadInput, match="no system call opens"):
        hex0.next_call("opens")
    with pytest.raises(BadInput, match="no program of this run opened"):
        hex0.next_call(path="another")


def test_calls_on_a_path(hex0: Session) -> None:
    assert hex0.next_call(path="out").detail.startswith("open(")
    assert hex0.next_call(path="/out").detail.startswith("write(4</out>")
    assert hex0.previous_call(path="out").detail.startswith("write(4</out>")
    assert hex0.previous_call(path="out").detail.startswith("open(")
    assert hex0.previous_call(path="out").reason == "nowhere"


def test_the_last_call_does_not_return(hex0: Session, embedded: Session) -> None:
    stop = hex0.next_call("exit")
    assert (stop.reason, hex0.executed) == ("end", hex0.total - 1)
    embedded.go("4.0@0")
    stop = embedded.next_call("execve")
    assert (stop.reason, str(stop.place)) == ("exec", "4@0")
    stop = embedded.previous_call("execve")
    assert (stop.reason, embedded.program.ordinal) == ("call", 0)
    assert embedded.executed == embedded.total - 1


# -- other processes ------------------------------------------------------------------------------


def test_children_and_parents(embedded: Session) -> None:
    trace = embedded.trace
    parents = {p.id for p in trace.programs if p.ordinal == 0 and p.parent is not None}
    children = [p for p in trace.programs if p.id in parents]
    assert children
    embedded.go("3@0")
    for child in children:
        stop = embedded.into_child()
        assert (stop.reason, embedded.row, embedded.executed) == ("child", child.id, 0)
        assert dict(embedded.registers())["eax"] == 0  # fork(2) returns 0 in the child
        stop = embedded.to_parent()
        assert (stop.reason, embedded.row, stop.detail) == (
            "parent",
            child.parent,
            f"pid 3 forks pid {child.pid}",
        )
        assert embedded.into_child().place.pid == child.pid
        embedded.to_parent()
        embedded.step()  # the fork: now this child is just made, and the next one comes
        assert dict(embedded.registers())["eax"] == child.pid
        assert embedded.into_child().place.pid == child.pid
        embedded.to_parent()
        embedded.step()
        embedded.next_call()  # the wait for it
    assert embedded.into_child().reason == "nowhere"
    assert embedded.go("1@0").reason == "jump"
    assert (embedded.to_parent().reason, embedded.into_child().reason) == ("nowhere", "nowhere")


def test_it_pauses_at_forks_and_execs_if_asked(embedded: Session) -> None:
    embedded.go("3@0")
    seen = []
    while (stop := embedded.cont(("fork", "exec"))).reason == "fork":
        seen.append(dict(embedded.registers())["eax"])
    forked = [p.pid for p in embedded.trace.programs if p.ordinal == 0]
    assert (seen, stop.reason) == (forked, "end")
    embedded.go("4.0@0")
    assert embedded.cont(("fork",)).reason == "end"
    embedded.go("4.0@0")
    assert embedded.cont(("exec",)).reason == "exec"
    # A breakpoint on the way is met before the fork.
    embedded.go("3@0")
    embedded.step(5)
    embedded.breakpoints.add(f"{embedded.pc:#x}")
    embedded.go("3@0")
    assert embedded.cont(("fork",)).place.executed == 5


# -- places ---------------------------------------------------------------------------------------


def test_places_by_name(hex0: Session) -> None:
    total = hex0.total
    assert hex0.go("50%").place.executed == total // 2
    assert hex0.go("100%").place.executed == total - 1
    assert hex0.go("0%").place.executed == 0
    assert hex0.go(f"{READ:#x}").reason == "jump"
    assert hex0.pc == READ
    assert hex0.go(parse("1#2")).place == hex0.go("1#2").place
    assert hex0.go("out:0x10").reason == "output"
    assert hex0.produced() == ("/out", 0x10, 1)
    line = next(n for n, t in enumerate(SOURCE.split(b"\n"), 1) if b"# 0804806e " in t)
    hex0.go("1@0")
    hex0.go(f"hex0.hex0:{line}")
    assert hex0.pc == READ
    source = hex0.source()
    assert source is not None
    assert (source.file, source.line) == ("hex0.hex0", line)
    hex0.go("100%")
    assert hex0.go(f"{READ:#x}").reason == "nowhere"  # it does not run again
    for wrong in ("no such thing", "101%", "out:0xb5", "hex0.hex0:0x3", "9@0", "1@900000", ""):
        with pytest.raises(BadInput):
            hex0.go(wrong)
    assert hex0.executed == total - 1


def test_labels_and_lines_of_another_language(embedded: Session) -> None:
    """hex2 is made of hex1, which has labels: pid 6 assembles catm with it."""
    for program in embedded.trace.programs:
        embedded.seek(program.id, 0)
        image = embedded.image
        if image.made is None or image.made.model not in ("hex1", "hex2"):
            continue
        text = b"\n".join(line.encode() for line in image.source_lines(image.sources[0]))
        name = next(
            line.split()[0][1:].decode() for line in text.split(b"\n") if line.startswith(b":")
        )
        (offset,) = image.labelled(name)[:1]
        assert embedded.label(image.address(offset) or 0) == name
        return
    raise AssertionError("no program of the embedded path has labels")


def test_marks_and_undo(hex0: Session) -> None:
    hex0.step(5)
    assert hex0.mark("five") == AfterInstructions(1, 5)
    hex0.go("1@900")
    hex0.step(3)
    assert hex0.undo().place.executed == 900
    assert hex0.undo().place.executed == 5
    assert hex0.undo().place.executed == 0
    assert hex0.undo().reason == "nowhere"
    assert hex0.jump("five").place.executed == 5
    with pytest.raises(BadInput, match="no mark six; five"):
        hex0.jump("six")
    hex0.back(10)
    hex0.back()  # moves nowhere: nothing to undo
    assert hex0.undo().place.executed == 5
