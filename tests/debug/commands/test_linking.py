"""What belongs together: source, output, instruction, moment, all ways round; what is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bootstrap.debug.command_table import Interpreter
from bootstrap.debug.linking import CONTROL, DATA, UNKNOWN, Links, of
from bootstrap.debug.screen_state import ScreenReader, ScreenRequest
from bootstrap.debug.tui.cursor import Cursor
from bootstrap.debug.tui.drawing import regs


def kinds(links: Links) -> set[str]:
    return {kind for kind, _ in links.lines}


def test_all_ways_round_lead_to_the_same(run: Interpreter) -> None:
    run.run("go hex0:0x89")
    session = run.session
    source = of(session, "source", "hex0.hex0", 212)
    code = of(session, "code", "", 0x8048088)
    output = of(session, "output", "/hex0", 0x88)
    for links in (source, code, output):
        assert links.line_in("hex0.hex0") == 212
        assert links.guest_addr == 0x8048088 and links.file == ("hex0", 0x88)
        assert {DATA, CONTROL} <= kinds(links) and UNKNOWN not in kinds(links)
    assert source.moment == code.moment == output.moment
    assert source.size == 2
    run.run(f"go {output.moment}")
    run.run("expect written = hex0+0x88")
    text = session.file("hex0.hex0")
    at = text.index(b"75 E4        # 08048088")
    read = of(session, "input", "/hex0.hex0", at)
    assert read.file == ("hex0", 0x88) and read.sources == (("hex0.hex0", 212, 1),)
    run.run(f"go {read.moment}")
    run.run("expect mem ecx = 37")  # '7'
    second = of(session, "input", "/hex0.hex0", at + 1)
    assert second.file == ("hex0", 0x88) and second.moment != read.moment
    assert of(session, "input", "/hex0.hex0", at + 3).file == ("hex0", 0x89)
    assert of(session, "input", "/hex0.hex0", at + 2).file is None


def test_what_is_in_the_header_is_no_instruction(run: Interpreter) -> None:
    run.run("end")
    links = of(run.session, "output", "/hex0", 1)
    assert links.guest_addr is None
    assert any("in the ELF header: it is not run" in text for _, text in links.lines)


@pytest.mark.parametrize(
    ("what", "name", "number", "printed"),
    [
        ("source", "none.hex0", 1, "no program read"),
        ("source", "hex0.hex0", 9999, "has no line"),
        ("code", "", 0xFFFFDF00, "is not in the image"),
        ("output", "/hex0.hex0", 0, "no program wrote it"),
        ("output", "/hex0", 181, "there is no byte at 0xb5"),
        ("input", "/hex0.hex0", 1 << 20, "ends before"),
        ("input", "/kaem.hex0", 0, "did not open it for reading"),
    ],
)
def test_what_is_unknown_is_said_to_be(
    run: Interpreter, what: str, name: str, number: int, printed: str
) -> None:
    run.run("end")
    links = of(run.session, what, name, number)
    assert kinds(links) == {UNKNOWN} and printed in links.lines[0][1] and not links.sources


def test_the_source_is_the_one_that_a_person_wrote(run: Interpreter) -> None:
    """hello was assembled from what catm joined of a header and of what M0 made of hello.M1."""
    for line in ("go 12@0", "expect source = hello.M1:43", "expect line ~ 1st argument",
                 "expect generated = hello-whole.hex2:73"):  # fmt: skip
        run.run(line)
    session, viewer = run.session, ScreenReader(run.session)
    written, made = (
        viewer.view(ScreenRequest()).source,
        viewer.view(ScreenRequest(generated=True)).source,
    )
    assert written is not None and made is not None
    assert (written.file, written.line, made.file, made.line) == (
        "hello.M1", 43, "hello-whole.hex2", 73)  # fmt: skip
    assert written.lines[42].startswith("mov_ebx, %1") and made.lines[72] == "BB"
    assert [one.place for one in session.disassemble(None, 3)] == [
        "hello.M1:43", "hello.M1:44", "hello.M1:45"]  # fmt: skip
    code = of(session, "code", "", session.pc)
    assert (code.line_in("hello.M1"), code.line_in("hello-whole.hex2")) == (43, 73)
    source = of(session, "source", "hello.M1", 44)
    assert (source.guest_addr, source.size) == (session.pc + 5, 5)
    assert run.run('find source "1st argument: descr"').lines[0].startswith("1 place")
    header = session.source(0x8048000)
    assert header is not None and header.file.endswith(".hex2") and header.file != made.file


def test_code_before_the_present_place_is_aligned_with_it(run: Interpreter) -> None:
    """Against the source map: each line of the source begins an instruction."""
    session, viewer = run.session, ScreenReader(run.session)
    for place in ("1@26", "1@5000", "2@1000", "6@5000", "5@17"):
        run.run(f"go {place}")
        view = viewer.view(ScreenRequest(code=24))
        assert sum(line.here for line in view.code) == 1
        addresses = [line.guest_addr for line in view.code]
        index = addresses.index(session.pc)
        assert index >= 5
        for line in view.code[:index]:
            offset = session.image.offset(line.guest_addr)
            place_ = None if offset is None else session.image.place(offset)
            before = None if not offset else session.image.place(offset - 1)
            assert place_ is not None
            assert before is None or (place_.file, place_.line) != (before.file, before.line)


def test_where_registers_have_no_room_the_important_ones_stay(run: Interpreter) -> None:
    view = ScreenReader(run.session).view(ScreenRequest())
    low = ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp")
    names = (*low, *(f"r{number}" for number in range(8, 16)), "rip", "eflags")
    wide = replace(
        view, word=8, registers=tuple((name, 1) for name in names), changed=frozenset(("r9",))
    )
    rows = ["".join(text for text, _ in row) for row in regs(wide, Cursor(), 36, 6)]
    assert len(rows) == 6 and "and 14 more" in rows[-1]
    text = "\n".join(rows)
    assert all(f"{name} 0000" in text for name in ("rip", "rsp", "eflags"))
    assert "*    r9 0000" in text and "flags: " in text
    all_rows = ["".join(text for text, _ in row) for row in regs(wide, Cursor(), 120, 6)]
    assert all(f"{name} 0000" in "\n".join(all_rows) for name in names)
