"""Every command once, there and back; what scripts expect; what cannot be done is said."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.debug.command_table import VERBS, Interpreter, Unmet, parse
from bootstrap.known import data_dir

HEX0 = data_dir("seeds") / "x86" / "hex0-seed"

MOVES = [
    # from, command, to, the other way
    ("1@0", "step", "1@1", "back"),
    ("1@0", "step 10", "1@10", "back 10"),
    ("1@0", "over 3", "1@3", "back-over 3"),
    ("1@15", "call", "1@26", None),
    ("1@25", "call read", "1@26", "back-call read"),
    ("1@0", "call path=hex0", "1@15", None),
    ("1@0", "output", "1@48011", None),
    ("1@0", "output 2", "1@48093", None),
    ("1@5000", "next execution", "1@5013", "previous execution"),
    ("1@5000", "next execution 0x804808a", "1@5274", None),
    ("1@0", "begin", "1@0", None),
    ("1@0", "end", "1@201820", "begin"),
    ("3@8864", "child", "4.0@0", "parent"),
    ("1@0", "cont", "1@201820", "reverse"),
    ("1@0", "go 50%", "1@100910", "undo"),
    ("1@0", "go hex0:0x54", "1@104165", "jump"),
    ("1@0", "go hex0.hex0:140", "1@1", "back"),
    ("1@0", "go 5#3", "5@17", "undo"),
]  # fmt: skip
ELSEWHERE = {"out", "back-out", "back-output", "next", "previous", "origin", "jump", "undo",
             "reverse", "back-call"}  # fmt: skip


def at(run: Interpreter, line: str) -> str:
    run.run(line)
    return str(run.session.here)


@pytest.mark.parametrize(("start", "line", "end", "back"), MOVES)
def test_a_move_leads_there_and_its_reverse_back(
    run: Interpreter, start: str, line: str, end: str, back: str | None
) -> None:
    if start != "1@0":
        run.run(f"go {start}")
    assert at(run, line) == end
    if back is not None:
        assert at(run, back) == start


def test_every_move_is_tried() -> None:
    tried = {command.name for _, line, _, _ in MOVES if (command := parse(line))}
    tried |= {command.name for *_, back in MOVES if back and (command := parse(back))}
    assert {verb.name for verb in VERBS if verb.moves} - ELSEWHERE <= tried


def test_a_function_is_left_and_entered_again(run: Interpreter) -> None:
    """hex2's `n` (the next byte) is called; `out` comes back after the call."""
    run.run("break c")
    run.run("go 6@0")
    run.run("cont")
    run.run("expect label = c")
    place = run.session.here
    run.run("over")
    after = run.session.here
    assert at(run, "back-over") == str(place)
    run.run("step")
    run.run("expect label = n")
    assert at(run, "out") == str(after)
    run.run("back")
    assert at(run, "back-out") == str(place)


def test_reads_and_writes_of_a_byte(run: Interpreter) -> None:
    run.run("go 1@5000")
    assert at(run, "next write ecx") == "1@5006"
    run.run("expect mem ecx = 20")
    before = run.session.here
    run.run("previous write ecx")
    assert at(run, "next write ecx") == str(before)
    run.run("next read ecx")
    run.run("previous access ecx:4")
    run.run("expect instruction ~ [ecx]")
    run.run("origin ecx")
    run.run("expect stop = watchpoint")


def test_breakpoints_and_watchpoints_stop(run: Interpreter) -> None:
    assert run.run("break 0x8048088").lines == ("breakpoint 1: 0x8048088",)
    assert run.run("watch 0xffffdf10:1 w").lines == ("watchpoint 1: 0xffffdf10:1 w",)
    assert run.run("rwatch 0xffffdf10").lines == ("watchpoint 2: 0xffffdf10:1 r",)
    run.run("awatch 0xffffdf10")
    assert len(run.run("show breaks").lines) == 4
    assert run.run("break").lines == run.run("watch").lines
    run.run("delete watch 2")
    run.run("delete watch 3")
    run.run("cont")
    run.run("expect stop = watchpoint")
    run.run("delete watch 1")
    run.run("cont")
    run.run("expect pc = 0x8048088")
    run.run("delete 0x8048088")
    assert run.run("show breaks").lines == ("no breakpoints and no watchpoints",)
    run.run("break 0x8048088")
    run.run("delete all")
    run.run("reverse")
    run.run("expect at 1@0")


def test_marks_and_jumps_and_undo(run: Interpreter) -> None:
    run.run("step 5")
    run.run("mark here")
    run.run("go 50%")
    assert at(run, "jump here") == "1@5"
    assert at(run, "jump") == "1@100910"
    assert at(run, "jump") == "1@5"
    assert at(run, "undo") == "1@100910"
    assert run.run("show marks").lines == ("mark here: 1@5",) == run.run("mark").lines


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("show here", "1@104165: pid 1, ./hex0-seed hex0.hex0 hex0"),
        ("where", "1@104165: pid 1, ./hex0-seed hex0.hex0 hex0"),
        ("show regs", "eflags: "),
        ("show flags", "eflags: "),
        ("show mem 0x8048000:4", "7f 45 4c 46"),
        ("show stack 2", "ffffdf0c  00000003"),
        ("show maps", "08048000-08049000  r-x  /hex0-seed"),
        ("show files", "/hex0, for write, at 85 of 85"),
        ("show file hex0", "85 bytes"),
        ("show file 4", "85 bytes"),
        ("show calls 2", "write(4</hex0>"),
        ("show tree", "> 1 ./hex0-seed hex0.hex0 hex0  [exit 0]"),
        ("show source", "> hex0.hex0:251  EB B4"),
        ("show disassembly pc:2", ">  80480b3  eb b4"),
        ("show produced", "/hex0 + 0x54: 99"),
        ("print eip", "eip = 0x80480b3"),
        ("print total", "total = 201821"),
        ("print label", "unknown, or not there"),
        ("why hex0:0x54", "hex0.hex0:145:1"),
        ("why pc", "hex0.hex0:251:1"),
        ("where hex0.hex0:145", "hex0: 1 byte at 0x54"),
        ("find source cdq", "hex0.hex0:145"),
        ("find memory 0xcd80", "0x80480b1"),
        ("find strings hex0-seed", "0xffffdfd1"),
        ("find memory nowhere-at-all", "is not in the memory"),
        ("help", "step [N]"),
        ("help expect", "subjects: pc"),
    ],
)
def test_questions_have_results(run: Interpreter, line: str, output: str) -> None:
    run.run("go hex0:0x54")
    place = run.session.here
    assert output in "\n".join(run.run(line).lines)
    assert run.session.here == place


def test_found_places_are_gone_through(run: Interpreter) -> None:
    run.run("find source cdq")
    first = run.run("next found")
    assert first.focus is not None and first.focus.file == "hex0.hex0"
    assert run.run("previous found").focus != first.focus or len(run.found) == 1


HOLD = ["at 1@104165", "at 1#7296", "at e7296", "at hex0.hex0:251", "at 0x80480b3",
        "pc = 0x80480b3", "pc = 134512819", "mem pc:2 = ebb4", "mem pc:2 = EB B4", "mem pc ~ e",
        "executed = 104,165", "calls = 7296", "call ~ write(4", "next-call ~ read",
        "instruction = jmp 0x8048069", "source = hex0.hex0:251", "line ~ new_byte", "pid = 1",
        "program ~ hex0-seed", "ended = exit 0", "stop = output", "size hex0 = 85", 'label = ""',
        'failure = ""', "event != 5", "ecx != 0", "flags ~ IF"]  # fmt: skip
FAIL = ["at 1@104164", "at 1#7295", "at e1", "at hex0.hex0:250", "at 0x80480b4", "pc = 0x80480b4",
        "pc != 0x80480b3", "mem pc:2 = ebb5", "executed = 1", "call ~ openat", "stop = step",
        "source = hex0.hex0:25", "size hex0 = 84", "sha256 hex0 = 00", "trace = 00",
        "flags ~ XX"]  # fmt: skip


@pytest.mark.parametrize("check", HOLD)
def test_what_is_so_holds(run: Interpreter, check: str) -> None:
    run.run("go hex0:0x54")
    assert run.run(f"expect {check}").lines[0].startswith("as expected: ")
    assert str(run.session.here) == "1@104165"


@pytest.mark.parametrize("check", FAIL)
def test_what_is_not_so_does_not(run: Interpreter, check: str) -> None:
    run.run("go hex0:0x54")
    with pytest.raises(Unmet, match=r"^expected "):
        run.run(f"expect {check}")
    assert str(run.session.here) == "1@104165"


def test_the_product_is_what_the_seed_is(run: Interpreter) -> None:
    run.run("end")
    run.run(f"expect sha256 hex0 = {hashlib.sha256(HEX0.read_bytes()).hexdigest()}")


@pytest.mark.parametrize(
    ("line", "output"),
    [
        ("expect nothing = 1", "neither a register"),
        ("expect mem 0x0 = 00", "cannot be read"),
        ("expect sha256 = 00", "of which file"),
        ("expect size none = 0", "is no regular file here"),
        ("expect at nowhere", "no coordinate"),
        ("go nowhere", "is no place"),
        ("jump", "no jump to go back from"),
        ("why hex0:0xb5", "there is no byte at 0xb5"),
        ("jump none", "there is no mark none"),
        ("next found", "nothing was looked for"),
        ("next read", "of which memory"),
        ("show file", "which?"),
        ("show mem 0x0", "nothing can be read"),
        ("show calls x", "no number of lines"),
        ("break nowhere", "no program of this run"),
        ("delete", "delete which"),
        ("delete 7", "there is no breakpoint 7"),
        ("delete watch 7", "there is no watchpoint 7"),
        ("why esp", "is not in the image"),
        ("why none:0", "no program wrote or read"),
        ("where 5", "name a line"),
        ("print nothing", "neither a register"),
        ("watch nowhere", "is no register and no label"),
        ("watch eax", "registers cannot be watched, only memory: watch 0x"),
        ("rwatch esp", "or rwatch esp:4, watches that to which it points here"),
        ("awatch esp", "registers cannot be watched"),
        ("zoom", "only in a terminal"),
        ("help nothing", "there is no command nothing"),
    ],
)
def test_what_cannot_be_done_is_said_and_moves_nothing(
    run: Interpreter, line: str, output: str
) -> None:
    with pytest.raises(BadInput, match=output):
        run.run(line)
    assert str(run.session.here) == "1@0" and not run.done


def test_a_session_is_saved_as_a_script_that_holds(run: Interpreter) -> None:
    for line in ("step", "step 2", "show regs", "output", "find source cdq", "next found",
                 "break 0x8048088", "cont", "expect pc = 0x8048088", "help"):  # fmt: skip
        run.run(line)
    script = run.script()
    assert script.splitlines()[2:] == [
        "step 3", "expect at 1@3", "show regs", "output", "expect at 1@48011", "find source cdq",
        "next found", "break 0x8048088", "cont", "expect at 1@48027", "expect pc = 0x8048088",
    ]  # fmt: skip
    run.session.breakpoints.clear()
    run.session.go("1@0")
    for line in script.splitlines():
        run.run(line)


def test_saving_goes_where_it_should(embedded_trace: Path, run: Interpreter) -> None:
    assert run.run("save x").lines == ("written to x: 0 commands",)
    run.save = None
    with pytest.raises(BadInput, match="not from here"):
        run.run("save x")


def test_quit_ends(run: Interpreter) -> None:
    assert run.run("quit").ends and not run.run("").ends
