"""Sessions: against the ELF file, the record of calls, hex0's model, and plain stepping."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.abi.numbers import NUMBERS
from bootstrap.debugger import Interrupted, Session, Stop
from bootstrap.debugger.stops import REASONS
from bootstrap.errors import BadInput
from bootstrap.languages import hex0 as model
from bootstrap.trace import flow
from bootstrap.trace.coordinates import Instruction, parse
from tests.debugger.material import record_image
from tests.engine.guest import Load, Program, R, X, elf
from tests.engine.runs import engine_for
from tests.seeds.tools import SOURCES
from tests.trace.recorded import embedded as embedded_source

SOURCE = (SOURCES / "hex0.hex0").read_bytes()
SEED = (SOURCES / "hex0-seed").read_bytes()
READ = 0x804806E
"""hex0's `pop ebx` before it reads a byte."""


def state(session: Session) -> tuple[object, ...]:
    """A place and what is there."""
    return session.here, session.registers(), session.calls, session.read(session.pc, 16)


def words(session: Session) -> list[int]:
    return [value for _, value in session.stack(8)]


# -- going on and back ----------------------------------------------------------------------------


def test_a_session_begins_before_the_first_instruction(hex0: Session) -> None:
    entry = struct.unpack_from("<I", SEED, 24)[0]  # e_entry
    assert (str(hex0.here), hex0.pid, hex0.executed, hex0.calls) == ("1@0", 1, 0, 0)
    assert hex0.pc == dict(hex0.registers())["eip"] == entry
    assert hex0.changed() == frozenset()
    assert words(hex0)[0] == 3  # argc
    assert hex0.read(words(hex0)[1], 12) == b"./hex0-seed\0"


def test_a_step_tells_which_registers_it_changed(hex0: Session) -> None:
    before = dict(hex0.registers())
    stop = hex0.step()
    assert (stop.reason, str(stop.place)) == ("step", "1@1")
    after = dict(hex0.registers())
    assert hex0.changed() == {name for name in after if after[name] != before[name]}
    assert hex0.changed() == {"eax", "esp", "eip"}  # pop eax


def test_every_step_back_leads_where_the_step_came_from(hex0: Session) -> None:
    hex0.go("1@48000")
    passed = []
    for _ in range(40):
        passed.append(state(hex0))
        hex0.step()
    for before in reversed(passed):
        assert hex0.back().reason == "step"
        assert state(hex0) == before


@settings(max_examples=12, deadline=None)
@given(at=st.integers(0, 201_000), count=st.integers(1, 900))
def test_so_many_on_and_back_is_here(hex0_trace: Path, at: int, count: int) -> None:
    with Session.open(str(hex0_trace)) as session:
        session.go(Instruction(1, at))
        before = state(session)
        if session.step(count).reason == "step":
            assert session.executed == at + count
            session.back(count)
            assert state(session) == before


def test_the_ends_of_history_are_no_errors(hex0: Session) -> None:
    for move in (hex0.back, hex0.reverse_cont, hex0.back_over):
        stop = move()
        assert (stop.reason, str(stop.place)) == ("begin", "1@0")
    stop = hex0.cont()
    last = hex0.total - 1
    assert (stop.reason, hex0.executed, stop.detail) == ("end", last, "pid 1: exit 0")
    number = NUMBERS["i386"]["exit"]
    assert (hex0.read(hex0.pc, 2), dict(hex0.registers())["eax"]) == (b"\xcd\x80", number)
    for move in (hex0.step, hex0.cont, hex0.step_over):
        stop = move()
        assert (stop.reason, hex0.executed) == ("end", last)
    assert hex0.step(10**9).reason == "end"
    stop = hex0.back(10**9)
    assert (stop.reason, hex0.executed) == ("begin", 0)


def test_a_process_is_one_history_across_its_execs(embedded: Session) -> None:
    embedded.go("4.0@0")
    forked = embedded.total
    stop = embedded.step(forked)
    assert (stop.reason, str(stop.place)) == ("exec", "4@0")
    assert embedded.program.ordinal == 1
    stop = embedded.back()
    assert (stop.reason, str(stop.place)) == ("step", f"4.0@{forked - 1}")
    assert embedded.step(3 + 1).place == Instruction(4, 3)
    assert embedded.back(3 + forked).place == Instruction(4, 0, 0)
    assert embedded.cont().place.ordinal is None  # it ends as the second program


# -- breakpoints and watchpoints ------------------------------------------------------------------


def test_a_breakpoint_stops_each_time_and_backwards_too(hex0: Session) -> None:
    # Each byte of the source is read once, and the end of it once more.
    hex0.breakpoints.add(f"{READ:#x}")
    places = []
    while (stop := hex0.cont()).reason == "breakpoint":
        assert (hex0.pc, stop.breakpoint) == (READ, next(iter(hex0.breakpoints)))
        places.append(stop.place)
        if len(places) == 60:
            break
    assert len(set(places)) == 60
    for place in reversed(places[:-1]):
        assert hex0.reverse_cont().place == place
    assert hex0.reverse_cont().reason == "begin"
    hex0.breakpoints.clear()
    assert hex0.cont().reason == "end"


def test_breakpoints_are_met_as_plain_stepping_meets_them(hex0: Session) -> None:
    hex0.go("1@47900")
    addresses = {READ, READ + 8}
    met = []
    for _ in range(300):
        hex0.step()
        if hex0.pc in addresses:
            met.append(hex0.executed)
    hex0.go("1@47900")
    for guest_addr in addresses:
        hex0.breakpoints.add(f"{guest_addr:#x}")
    assert [hex0.cont().place.executed for _ in met] == met


def test_a_breakpoint_on_a_line_and_one_at_its_address_are_the_same(hex0: Session) -> None:
    line = next(n for n, t in enumerate(SOURCE.split(b"\n"), 1) if b"# 0804806e " in t)
    hex0.breakpoints.add(f"hex0.hex0:{line}")
    assert hex0.cont().reason == "breakpoint"
    assert hex0.pc == READ
    with pytest.raises(BadInput, match="no program of this run"):
        hex0.breakpoints.add("hex0.hex0:1")  # a comment
    with pytest.raises(BadInput, match="no program of this run"):
        hex0.breakpoints.add("nowhere")
    with pytest.raises(BadInput, match="no breakpoint 7"):
        hex0.breakpoints.remove(7)


def test_watchpoints_see_what_stepping_sees_change(hex0: Session) -> None:
    hex0.go("1@47950")
    cell, now = dict(hex0.registers())["ecx"], b""  # where it reads to
    changed = []
    for _ in range(300):
        before = hex0.read(cell, 4)
        hex0.step()
        now = hex0.read(cell, 4)
        if now != before:
            changed.append(hex0.executed)
    assert len(changed) > 10
    hex0.go("1@47950")
    hex0.watchpoints.add(cell, 4, "w")
    stops: list[Stop] = []
    while not stops or stops[-1].place.executed < 47950 + 300:
        stops.append(hex0.cont())
        assert (stops[-1].reason, stops[-1].watchpoint) == (
            "watchpoint",
            next(iter(hex0.watchpoints)),
        )
    at = [stop.place.executed for stop in stops]
    assert set(changed) <= set(at)
    # Going back it is before the instruction, going on after it.
    assert [hex0.reverse_cont().place.executed + 1 for _ in at] == at[::-1]
    hex0.watchpoints.clear()
    assert hex0.cont().reason == "end"


def test_of_a_breakpoint_and_a_watchpoint_the_first_counts(hex0: Session) -> None:
    hex0.go("1@47950")
    cell = dict(hex0.registers())["esp"]
    breakpoint, watchpoint = hex0.breakpoints.add(f"{READ:#x}"), hex0.watchpoints.add(cell, 4, "a")
    both = []
    while hex0.executed < 48100:
        both.append(hex0.cont().place.executed)
    hex0.watchpoints.clear()
    hex0.go("1@47950")
    alone = []
    while hex0.executed < 48100:
        alone.append(hex0.cont().place.executed)
    hex0.breakpoints.clear()
    hex0.watchpoints.add(cell, 4, "a")
    hex0.go("1@47950")
    while hex0.executed < 48100:
        alone.append(hex0.cont().place.executed)
    assert both == sorted(set(alone))[: len(both)]
    assert breakpoint.text == f"{READ:#x}"
    assert watchpoint.kinds == "a"


def test_watchpoints_that_cannot_be(hex0: Session) -> None:
    for guest_addr, size, kinds in ((0, 0, "w"), (-1, 1, "w"), (1 << 64, 1, "w"), (0, 1, "x")):
        with pytest.raises(BadInput):
            hex0.watchpoints.add(guest_addr, size, kinds)
    with pytest.raises(BadInput, match="no watchpoint 3"):
        hex0.watchpoints.remove(3)
    hex0.watchpoints.add(0x1000, 4, "a")  # nothing is mapped there
    assert hex0.cont().reason == "end"


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
        assert dict(embedded.registers())["eax"] == 0  # fork(2) answers 0 in the child
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
    assert hex0.mark("five") == Instruction(1, 5)
    hex0.go("1@900")
    hex0.step(3)
    assert hex0.moves == (Instruction(1, 900), Instruction(1, 5), Instruction(1, 0))
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


def test_the_same_instruction_again(hex0: Session) -> None:
    hex0.go(f"{READ:#x}")
    first = hex0.executed
    assert hex0.next_execution().reason == "jump"
    assert (hex0.pc, hex0.executed > first) == (READ, True)
    assert hex0.previous_execution().place.executed == first
    assert hex0.previous_execution().reason == "nowhere"
    assert hex0.executed == first


def test_over_and_out_of_a_call(embedded: Session) -> None:
    embedded.go("5@0")  # hex1, which has calls
    for line in embedded.disassemble(count=200):
        if line.text.startswith("call "):
            embedded.breakpoints.add(f"{line.guest_addr:#x}")
    embedded.cont()
    (call,) = embedded.disassemble(count=1)
    at, executed = embedded.pc, embedded.executed
    esp = dict(embedded.registers())["esp"]
    embedded.step_over()
    assert (embedded.pc, dict(embedded.registers())["esp"]) == (at + len(call.code), esp)
    after = embedded.executed
    embedded.back_over()
    assert embedded.executed == executed
    embedded.step()
    assert embedded.pc == call.target
    embedded.step()
    embedded.out()
    assert embedded.executed == after
    embedded.back(2)
    assert embedded.back_out().place.executed == executed


# -- memory ---------------------------------------------------------------------------------------


def test_who_put_a_byte_of_the_image_there(embedded: Session) -> None:
    embedded.go("5@0")  # pid 5 runs hex1, which pid 4 wrote
    guest_addr, offset = embedded.pc + 20, embedded.image.offset(embedded.pc + 20)
    byte = embedded.read(guest_addr, 1)
    image = embedded.trace.content(embedded.program.image)
    stop = embedded.previous_access(guest_addr, 1, "w")
    assert (stop.reason, embedded.pid) == ("watchpoint", 4)
    embedded.step()
    made = embedded.produced()
    assert made == ("/hex1", offset, 1)
    assert embedded.file("/hex1") == image[: made.offset + 1]
    assert embedded.file("/hex1")[-1:] == byte


def test_who_put_a_byte_of_the_stack_there(embedded: Session) -> None:
    embedded.go("5@0")
    esp = dict(embedded.registers())["esp"]
    stop = embedded.previous_access(esp, 4)
    assert (stop.reason, "the kernel" in stop.detail) == ("unknown", True)
    assert str(embedded.here) == "5@0"


def test_a_childs_memory_is_its_parents(embedded: Session) -> None:
    embedded.go("5.0@0")  # just forked by kaem, which has read its script
    script = b"hex2.hex1"
    guest_addr = embedded.find_memory(script)[-1]
    stop = embedded.previous_access(guest_addr, len(script), "w")
    assert (stop.reason, embedded.pid, embedded.program.parent) == ("watchpoint", 3, None)
    before = embedded.read(guest_addr, len(script))
    embedded.step()
    assert before != script == embedded.read(guest_addr, len(script))


def test_the_next_access_and_none(hex0: Session) -> None:
    esp = dict(hex0.registers())["esp"]
    stop = hex0.next_access(esp, 4, "r")
    assert (stop.reason, hex0.executed) == ("watchpoint", 1)  # pop eax
    assert hex0.next_access(0x1000, 4).reason == "unknown"
    assert hex0.executed == 1
    with pytest.raises(BadInput):
        hex0.next_access(esp, 0)
    with pytest.raises(BadInput):
        hex0.previous_access(esp, 4, "z")


def test_the_origin_of_a_byte_that_was_read(hex0: Session, embedded: Session) -> None:
    hex0.go("out:0x20")
    cell = dict(hex0.registers())["ecx"]  # hex0 reads each byte into the same cell
    byte = hex0.read(cell, 1)
    while hex0.previous_call("read").reason == "call" and hex0.read(cell, 1) == byte:
        pass
    hex0.step()
    offset = hex0.open_files()[-2].offset - 1
    assert SOURCE[offset : offset + 1] == hex0.read(cell, 1)
    stop = hex0.origin(cell)
    assert f"byte {offset:#x} of /hex0.hex0, a file of the source tree" in stop.detail
    # A program that reads what another one wrote.
    written = {row.id for row in embedded.images.why.opens if row.last_version is not None}
    assert written
    for row in embedded.images.why.opens:
        writers = embedded.images.why.writers_of(row.version or 0)
        program = embedded.trace.program(row.process)
        if not writers or program.pid == embedded.trace.program(writers[-1].process).pid:
            continue
        embedded.go(f"{program.pid}@0")
        embedded.next_call("read", path=str(row.path))
        call = embedded.call(embedded.calls)
        cell = int(call.split("0x")[1].split(",")[0], 16)
        byte = embedded.read(cell, 1)
        embedded.origin(cell)
        assert embedded.pid == embedded.trace.program(writers[-1].process).pid
        embedded.step()
        made = embedded.produced()
        assert made is not None
        assert embedded.file(made.path)[made.offset : made.offset + 1] == byte
        return
    raise AssertionError("no program of the embedded path reads what another wrote")


# -- looking --------------------------------------------------------------------------------------


def test_jumps_lead_where_the_arrows_point(embedded: Session) -> None:
    """Every jump and call that ran went to its target, or on to the next instruction."""
    jumped = 0
    embedded.go("5@0")
    for _ in range(1500):
        (line,) = embedded.disassemble(count=1)
        embedded.step()
        behind = line.guest_addr + len(line.code)
        if line.target is not None:
            assert embedded.pc in (line.target, behind)
            jumped += embedded.pc == line.target
        elif line.text.split()[0] not in ("ret", "jmp"):
            assert embedded.pc == behind or line.text.startswith("rep")
    assert jumped > 100


@pytest.mark.parametrize(
    ("abi", "code", "target"),
    [
        ("riscv64", "ef008000", 0x1008),  # jal ra, 8
        ("riscv64", "e7800000", None),  # jalr ra, 0(ra)
        ("riscv32", "63086200", 0x1010),  # beq tp, t1, 16
        ("riscv64", "01a0", 0x1000),  # c.j 0
        ("aarch64", "40001036", 0x1008),  # tbz w0, #2, 8
        ("aarch64", "010000d4", None),  # svc #0
        ("x86_64", "75eb", 0xFED),  # jne -21
        ("x86_64", "ffe0", None),  # jmp rax
        ("i386", "cd80", None),  # int 0x80
        ("i386", "e2f0", 0xFF2),  # loop -14
        ("i386", "ff", None),  # no instruction
    ],
)
def test_targets(abi: str, code: str, target: int | None) -> None:
    assert flow.target(abi, bytes.fromhex(code), 0x1000) == target


def test_lines_say_where_they_come_from(hex0: Session) -> None:
    assembly = model.assemble(SOURCE, "hex0.hex0")
    for line in hex0.disassemble(count=30):
        offset = hex0.image.offset(line.guest_addr)
        assert offset is not None
        origin = assembly.map[offset]
        assert line.place == f"hex0.hex0:{origin.digits[0].line}"
        assert line.here == (line.guest_addr == hex0.pc)
    source = hex0.source()
    assert source is not None
    number, text = source.nearby[len(source.nearby) // 2]
    assert (number, text.strip()) == (source.line, source.text)
    assert SOURCE.split(b"\n")[number - 1].decode() == text
    assert hex0.unknown == ""
    assert hex0.source(words(hex0)[1]) is None  # on the stack


def test_files_maps_and_searches(hex0: Session) -> None:
    hex0.go("out:0x1f")
    files = {file.fd: (file.path, file.size, file.access) for file in hex0.open_files()}
    assert files[3] == ("/hex0.hex0", len(SOURCE), "read")
    assert files[4] == ("/out", 0x20, "write")
    assert hex0.file("hex0.hex0") == hex0.file(3) == SOURCE
    assert hex0.file("/hex0-seed") == SEED
    for wrong in ("nothing", "/", "/a/b", 77, 0):
        with pytest.raises(BadInput):
            hex0.file(wrong)
    assert any(area.start <= hex0.pc < area.end and "x" in area.rights for area in hex0.maps())
    code = hex0.read(hex0.pc, 8)
    assert hex0.pc in hex0.find_memory(code)
    assert hex0.find(b"no such bytes anywhere") == []
    found = hex0.find_source("int 0x80")
    assert [number for _, number, _ in found] == [
        n for n, text in enumerate(SOURCE.split(b"\n"), 1) if b"int 0x80" in text
    ]
    for wanted, where in ((b"", "memory"), ("", "source"), ("x", "air")):
        with pytest.raises(BadInput):
            hex0.find(wanted, where)
    # Having looked changes nothing: the run still is the recorded one.
    assert hex0.cont().reason == "end"


def test_a_look_at_a_file_gives_it_no_number(embedded: Session) -> None:
    """Files are numbered when the guest looks them up; the run would not be the recorded one."""
    embedded.go("3@0")  # kaem, which opens tools.kaem only later
    assert embedded.file("/tools.kaem") == (SOURCES / "tools.kaem").read_bytes()
    for wrong in ("/hex2.hex1/x", "/nothing", "/tools"):
        with pytest.raises(BadInput):
            embedded.file(wrong)
    assert embedded.cont().reason == "end"


def test_why_and_where_are_the_traces(hex0: Session) -> None:
    line = hex0.why("out", 0)[0]
    assert line.place is not None
    found, _ = hex0.where("hex0.hex0", line.place.line)
    assert any(span[0] == 0 for one in found for span in one.spans)
    with pytest.raises(BadInput):
        hex0.why("out", 0xB5)


# -- ending a move, live programs -----------------------------------------------------------------


def test_a_move_can_be_ended(tmp_path: Path) -> None:
    loop = Program("i386").raw("b900127a00").raw("4975fd").exit(0)  # mov ecx, 8000000; dec; jnz
    trace = record_image(tmp_path, loop.elf())
    asked: list[bool] = []

    def progress(_row: int, _executed: int) -> None:
        if asked:
            asked.clear()
            raise Interrupted

    with Session.open(str(trace), progress) as session:
        session.step(7)
        before = state(session)
        session.watchpoints.add(0x1000)
        asked.append(True)
        with pytest.raises(Interrupted):
            session.cont()
        assert state(session) == before
        session.watchpoints.clear()
        asked.append(True)
        stop = session.cont()  # without watchpoints it has missed nothing on the way
        assert stop.reason == "interrupted"
        assert 7 < stop.place.executed < 16_000_000
        before = state(session)
        session.breakpoints.add("0x1234")  # where nothing ever runs
        asked.append(True)
        with pytest.raises(Interrupted):
            session.reverse_cont()
        assert state(session) == before
        assert session.cont().reason == "end"


def test_a_live_program_is_recorded_and_gone_afterwards(tmp_path: Path) -> None:
    guest = Program("i386")
    (tmp_path / "guest").write_bytes(guest.call("write", 1, guest.data(b"told\n"), 5).exit(3).elf())
    (tmp_path / "guest").chmod(0o755)
    with Session.record(["./guest"], root=str(tmp_path), env=["A=b"]) as session:
        place = Path(session.trace.name)
        assert place.exists()
        assert session.program.environment == (b"A=b",)
        assert session.cont().detail == "pid 1: exit 3"
    assert not place.exists()
    for argv in (["./nothing"], []):
        with pytest.raises(BadInput):
            Session.record(argv, root=str(tmp_path))
    with pytest.raises(BadInput, match="is not a folder"):
        Session.record(["./guest"], root=str(tmp_path / "guest"))


def test_a_source_tree_is_recorded_too() -> None:
    with Session.record(source=embedded_source()) as session:
        assert len({program.pid for program in session.trace.programs}) == 12
        assert session.trace.meta["result"] == "verified"
        assert session.cont().reason == "end"


def test_a_guest_that_fails_is_there_up_to_its_failure(tmp_path: Path) -> None:
    guest = Program("i386")
    (tmp_path / "guest").write_bytes(guest.raw("0f0b").exit(3).elf())  # ud2
    (tmp_path / "guest").chmod(0o755)
    with Session.record(["./guest"], root=str(tmp_path), engine=engine_for("python")) as session:
        stop = session.cont()
        assert (stop.reason, stop.detail) == ("end", "pid 1: killed by SIGILL")
        assert session.read(session.pc, 2) == b"\x0f\x0b"


def test_a_program_without_an_instruction(tmp_path: Path) -> None:
    image = elf("i386", 0x70_0000, [Load(0x40_0000, b"\x90", R | X)])  # its entry is not mapped
    with Session.open(str(record_image(tmp_path, image))) as session:
        assert (session.pc, session.total) == (0x70_0000, 0)
        for stop in (session.step(), session.cont(), session.step(5)):
            assert (stop.reason, stop.detail) == ("end", "pid 1: killed by SIGSEGV")
        for move in (session.back, session.reverse_cont):
            assert move().reason == "begin"
        assert session.go("50%").place.executed == 0


def test_every_reason_is_told() -> None:
    for name in ("step", "breakpoint", "watchpoint", "call", "begin", "end", "child", "nowhere"):
        assert REASONS[name]
