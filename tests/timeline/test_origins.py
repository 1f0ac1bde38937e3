"""`trace why`, from a byte back to its source, `trace where`, the reverse, and what stored a byte
before it was written: against the models, the bytes, the calls and the memory."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.languages import hex0, hex1, hex2
from bootstrap.languages.assembly import Assembly
from bootstrap.languages.source import SourceText
from bootstrap.linux.numbers import NUMBERS
from bootstrap.timeline import origins
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.origins import ByteOrigins, outputs_of_line
from bootstrap.timeline.stores import line, store_before, store_report
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace import coordinates
from bootstrap.trace.store import Trace
from bootstrap.trace.views import files_text, is_at
from tests.cli.command import bootstrap
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_HOT_PATH, engine_for
from tests.seeds.tools import SOURCES
from tests.trace import recorded

PRODUCTS = {"hex0": 181, "kaem": 654, "hex1": 441, "hex2": 869, "catm": 217, "M0": 871}
EACH_PRODUCT = pytest.mark.parametrize("product", PRODUCTS)


@pytest.fixture(scope="module")
def why(opened: Trace) -> ByteOrigins:
    return ByteOrigins(opened)


def source(name: str) -> SourceText:
    return SourceText(name, (SOURCES / name).read_bytes())


def assembled(product: str) -> Assembly:
    """What the model of its language says of a product."""
    match product:
        case "hex2":
            return hex1.assemble(source("hex2.hex1").text, "hex2.hex1")
        case "catm":
            return hex2.assemble([source("catm.hex2")])
        case "M0":
            return hex2.assemble([source("elf.hex2"), source("M0.hex2")])
    return hex0.assemble(source(f"{product}.hex0").text, f"{product}.hex0")


@EACH_PRODUCT
def test_every_byte(why: ByteOrigins, product: str) -> None:
    """The last link of the way is the place that the model tells, in a file of the tree."""
    assembly = assembled(product)
    assert len(assembly.map) == PRODUCTS[product]
    for offset, origin in enumerate(assembly.map):
        links = why.why(product, offset)
        first, last = links[0], links[-1]
        assert (first.path, first.byte, first.ends) == (product, assembly.output[offset], "")
        assert first.call is not None
        assert (last.path, last.line, last.column, last.ends) == (
            origin.file, origin.line, origin.columns[0], "a file of the source tree"
        )  # fmt: skip
        assert first.place is not None
        assert (first.place.label, first.place.comment) == (origin.label, origin.comment)
        if origin.file.endswith(".hex0"):
            assert first.model == "hex0" and len(links) == 2
            assert int(last.text[last.column - 1], 16) == first.byte >> 4


@EACH_PRODUCT
def test_the_write_of_every_byte(opened: Trace, why: ByteOrigins, product: str) -> None:
    """Followed by hand: the calls of the program that wrote it, in their order."""
    written: dict[int, tuple[int, int, int, int, int]] = {}
    at = 0
    row = next(r for r in why.writers if is_at(r, product))
    program = opened.program(row.process)
    calls_of = [why.write_call(row, offset) for offset in range(PRODUCTS[product])]
    for chunk in opened.chunks(program.id):
        calls = opened.calls(chunk)
        for index in range(chunk.count):
            number, fd, guest_addr, _size, result = (calls.values(c)[index] for c in range(5))
            if number == NUMBERS[program.abi]["write"] and fd > 2:
                place = chunk.first_call + index, chunk.first_event + index, fd, result
                written |= {at + n: (*place, guest_addr + n) for n in range(result)}
                at += result
    found = {
        n: (c.ordinal, c.event, c.fd, c.size, c.guest_addr)
        for n, c in enumerate(calls_of)
        if c is not None
    }
    assert found == written
    # hex0-seed writes byte by byte; our hex1 writes a file at once.
    count = len({ordinal for ordinal, *_ in found.values()})
    assert count == {"hex0": 181, "hex2": 1}.get(product, count)


def test_through_hex2_catm_and_m0(why: ByteOrigins) -> None:
    """`hello` was written in M1: each of its bytes comes from hello.M1, or from the header."""
    ends: dict[str, int] = {}
    for offset in range(155):
        links = why.why("hello", offset)
        assert [link.path for link in links[:2]] == ["hello", "hello-whole.hex2"]
        assert [link.model for link in links[:2]] == ["hex2", "catm"]
        last = links[-1]
        assert last.ends == "a file of the source tree"
        if last.path == "hello.M1":
            assert [link.path for link in links[2:]] == ["hello.hex2", "hello.M1"]
            assert links[2].model == "M0"
        ends[last.path] = ends.get(last.path, 0) + 1
    assert ends == {"elf.hex2": 84, "hello.M1": 155 - 84}


def test_a_program_without_a_model_ends_the_way(tmp_path: Path) -> None:
    guest = Program("i386")
    space = guest.space(16)
    guest.call("open", guest.text(b"/in"), 0, 0).call("read", 3, space, 4)
    guest.call("open", guest.text(b"/out"), 0o101, 0o644)
    guest.call("write", 4, guest.data(b"ab\n:x\ncd\n"), 9).exit(0)
    recorded.record(guest, tmp_path / "t", files={b"/in": b"abc\n"})
    with trace.open(tmp_path / "t") as found:
        (link,) = ByteOrigins(found).why("out", 7)
        images, stopped = outputs_of_line(found, "in", 1)
    assert link.ends == "there is no model of /guest"
    assert (link.line, link.column, link.text, link.label) == (3, 2, "cd", "x")
    assert images == []
    assert [(one.path, one.why) for one in stopped] == [("/in", "there is no model of /guest")]
    assert list(origins.output_lines("in", 1, images, stopped)) == [
        "in: read by pid 1; there is no model of /guest"
    ]


def test_a_model_that_makes_another_file_is_not_believed(place: Path, tmp_path: Path) -> None:
    """The trace is changed so that a tool seems to have read another source."""
    changed = tmp_path / "changed.trace"
    changed.write_bytes(place.read_bytes())
    recorded.change(
        changed,
        "UPDATE opens SET version = (SELECT version FROM opens WHERE path = '/kaem.hex0' LIMIT 1) "
        "WHERE path = '/hex1.hex0'",
    )
    with trace.open(changed) as found:
        (link,) = ByteOrigins(found).why("hex1", 0x60)
    assert link.ends == "the model of /hex0 makes another file of what it read"


@pytest.mark.parametrize(
    ("path", "offset", "says"),
    [
        ("nothing", 0, "no program wrote or read nothing"),
        ("hex1", 441, "/hex1 has 441 bytes; there is no byte at 0x1b9"),
        ("hex1.hex0", 1 << 40, "there is no byte at"),
    ],
)
def test_no_such_byte(why: ByteOrigins, path: str, offset: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        why.why(path, offset)


def test_why_for_people(why: ByteOrigins) -> None:
    text = "\n".join(origins.lines(why.why("M0", 0x60)))
    assert "M0 + 0x60: byte" in text
    assert "model     hex2, which makes this file byte for byte" in text
    assert "the way ends here: a file of the source tree" in text


def test_why_on_the_command_line(place: Path) -> None:
    done = bootstrap("trace", "why", place, "hex1:0x60")
    assert (done.status, done.stderr) == (0, "")
    assert "from      hex1.hex0:" in done.stdout
    for wrong in ("hex1", "hex1:", ":3", "hex1:-1", "hex1:x"):
        bad = bootstrap("trace", "why", place, wrong)
        assert bad.status == 2
        assert "name a file and an offset in it" in bad.one_line()
    done = bootstrap("trace", "why", place, "hex1:0x20")
    assert done.status == 0
    assert done.stdout.count("    stored    by mov dword ptr [ecx], ebp, at 0x80480ab") == 1
    done = bootstrap("trace", "why", place, "hex1:0x20", "--stores", "none")
    assert (done.status, "stored" in done.stdout) == (0, False)
    done = bootstrap("trace", "why", place, "M0:7", "--stores", "all", "--json", "-")
    links = json.loads(done.stdout)["links"]
    assert [bool(link.get("stored")) for link in links] == [bool(link["call"]) for link in links]
    assert links[0]["path"] == "M0"
    assert links[0]["stored"]["coordinate"].startswith("8#")


# The reverse.


@pytest.mark.parametrize(
    ("source", "products"),
    [("hello.M1", ("hello",)), ("catm.hex2", ("catm",)), ("elf.hex2", ("hello", "M0"))],
)
def test_every_line_that_became_something(
    opened: Trace, why: ByteOrigins, source: str, products: tuple[str, ...]
) -> None:
    wanted: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for product in products:
        for offset in range(why.why(product, 0)[0].size):
            last = why.why(product, offset)[-1]
            if last.path == source:
                wanted[last.line].add((product, offset))
    count = (SOURCES / source).read_bytes().count(b"\n")
    # Nine of ten lines are comments: of those that became nothing, some.
    for number in sorted({*wanted, *range(1, count + 1, 9)}):
        found, stopped = outputs_of_line(opened, source, number, why)
        assert stopped == []
        spans = [(one.path, span) for one in found if one.path in products for span in one.spans]
        offsets = {(path, o) for path, (begin, end) in spans for o in range(begin, end)}
        assert offsets == wanted.get(number, set()), number


@pytest.mark.parametrize(
    ("path", "line", "says"),
    [("none", 1, "no program read none"), ("hello.M1", 9999, "/hello.M1 has no line 9999")],
)
def test_no_such_line(opened: Trace, path: str, line: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        outputs_of_line(opened, path, line)


def test_where_on_the_command_line(place: Path) -> None:
    text = (SOURCES / "hex1.hex0").read_text("utf-8").splitlines()
    number = next(n for n, row in enumerate(text, 1) if row.startswith("7F 45 4C 46"))
    done = bootstrap("trace", "where", place, f"hex1.hex0:{number}")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("hex1: 4 bytes at 0x0-0x3  (hex0, pid ")
    comment = bootstrap("trace", "where", place, "hex1.hex0:1")
    assert comment.stdout == "hex1.hex0:1 became no byte of any file\n"
    for wrong in ("hex1.hex0", "hex1.hex0:0", ":1", "hex1.hex0:x"):
        bad = bootstrap("trace", "where", place, wrong)
        assert bad.status == 2
        assert "name a source and a line" in bad.one_line()


# The last instruction that stored a byte before it was written.


@pytest.mark.parametrize(
    ("hot_path", "product", "offsets"),
    [
        ("native", "hex0", (0, 180)),
        ("native", "hex1", (3, 440)),
        ("native", "M0", (0, 500)),
        # Where instructions are counted in Python, only what is soon reached.
        ("python", "hex0", (0,)),
        ("python", "hex1", (3,)),
    ],
)
def test_no_later_instruction_stores_to_the_byte_before_the_call(
    opened: Trace, why: ByteOrigins, hot_path: str, product: str, offsets: tuple[int, ...]
) -> None:
    """Another byte put there just before the instruction is written over; just after it, it stays
    until the call."""
    engine, images = engine_for(hot_path), ProgramImages(opened)
    traveller = Timeline(opened, engine)
    for offset in offsets:
        link = why.why(product, offset)[0]
        assert link.program is not None
        assert link.call is not None
        store = store_report(opened, engine, images, link)
        assert store is not None
        assert not store.by_call
        row, at, other = link.program.id, link.call.guest_addr, bytes((link.byte ^ 0xFF,))
        traveller.seek_call(row, link.call.ordinal - link.program.first_call)
        before_the_call = traveller.executed - 1
        for after, expected in ((0, link.byte), (1, other[0])):
            # From a state of its own: a kept one would come without what we write.
            traveller = Timeline(opened, engine)
            traveller.go(coordinates.parse(store.coordinate))
            assert traveller.pc == store.guest_addr
            traveller.step(after)
            assert traveller.executed <= before_the_call
            assert traveller.process.memory.read_upto(at, 1)[0] == link.byte or not after
            traveller.process.memory.write(at, other)
            machine = traveller.machine
            traveller.seek(row, before_the_call)
            assert traveller.machine is machine
            assert traveller.process.memory.read_upto(at, 1)[0] == expected
    traveller.close()


@EACH_HOT_PATH
def test_a_system_call_stored_it_and_nobody_did(tmp_path: Path, hot_path: str) -> None:
    guest = Program("i386")
    buffer, given = guest.space(16), guest.data(b"given")
    guest.call("read", 0, buffer, 4)
    guest.call("open", guest.text(b"/out"), 0o102, 0o644)
    guest.call("write", 3, buffer, 4).call("write", 3, given, 5).exit(0)
    place = tmp_path / "t.trace"
    recorded.record(guest, place, stdin=[b"abcd"])
    with trace.open(place) as opened:
        engine = engine_for(hot_path)
        row = opened.programs[-1].id
        by_call = store_before(opened, engine, row, 3, buffer + 2)
        assert by_call is not None
        assert (by_call.by_call, by_call.calls) == (True, 0)
        assert by_call.code.startswith(b"\xcd\x80")
        assert store_before(opened, engine, row, 4, given + 1) is None
        why = ByteOrigins(opened)
        said = [
            line(store_report(opened, engine, ProgramImages(opened), why.why("/out", offset)[0]))
            for offset in (1, 6)
        ]
    assert said[0].startswith("by the system call of int 0x80, at 0x4000")
    assert said[1] == "by no instruction: it was in memory when the program began"


def test_a_line_of_each_content_that_a_file_had(tmp_path: Path) -> None:
    """One file is made twice, and assembled each time."""
    guest = Program("i386")
    argv = [guest.text(b"/hex0"), guest.text(b"/t.hex0")]
    for number, text in enumerate((b"41\n42\n", b"43\n44\n45\n")):
        words = [*argv, guest.text(b"/out%d" % number), 0]
        args = guest.data(b"".join(word.to_bytes(4, "little") for word in words))
        guest.call("open", argv[1], 0o1101, 0o644).call("write", 3, guest.text(text), len(text))
        guest.call("close", 3).call("fork").jump_if_not_zero(f"parent {number}")
        guest.call("execve", argv[0], args, 0).label(f"parent {number}")
    files = {b"/hex0": (SOURCES / "hex0-seed").read_bytes()}
    recorded.record(guest.exit(0), tmp_path / "t", files=files)
    with trace.open(tmp_path / "t") as found:
        lines = [
            [(image.path, image.spans) for image in outputs_of_line(found, "t.hex0", line)[0]]
            for line in (2, 3)
        ]
        with pytest.raises(BadInput, match="has no line 4"):
            outputs_of_line(found, "t.hex0", 4)
    assert lines == [[("out0", ((1, 2),)), ("out1", ((1, 2),))], [("out1", ((2, 3),))]]


# Which call put a byte there: a program says so itself, or it is not known.

OPEN = ("open", b"/out", 0o101, 0o644)
APPEND = ("open", b"/out", 0o2001, 0)
Script = list[tuple[str | bytes | int, ...]]
FILES: dict[str, tuple[Script, list[int | None]]] = {
    "plain": ([OPEN, ("write", 3, b"aa", 2), ("lseek", 3, 1, 0), ("write", 3, b"b", 1)], [2, 4]),
    "opened to append": (
        [OPEN, ("write", 3, b"aa", 2), ("close", 3), APPEND, ("write", 3, b"b", 1),
         ("lseek", 3, 0, 0), ("write", 3, b"cc", 2)],
        [None, None, 5, 7, 7],
    ),
    "at another offset": ([OPEN, ("write", 3, b"aa", 2), ("pwrite64", 3, b"b", 1, 0, 0)], [None]),
    "a copy of the descriptor": (
        [OPEN, ("dup", 3), ("write", 4, b"aa", 2), ("write", 3, b"b", 1)], [None, None, None]
    ),
    "asked about, and to close on exec": (
        [OPEN, ("fcntl", 3, 1), ("fcntl", 3, 2, 1), ("write", 3, b"a", 1), ("fsync", 3)], [4]
    ),
    "to append from then on": (
        [OPEN, ("write", 3, b"a", 1), ("fcntl", 3, 4, 0o2000), ("write", 3, b"b", 1)], [None, None]
    ),
    "another in its place": (
        [OPEN, ("open", b"/other", 0o101, 0o644), ("write", 3, b"aa", 2), ("dup2", 4, 3),
         ("write", 3, b"b", 1)],
        [3, 3],
    ),
    "in a child": (
        [OPEN, ("write", 3, b"aa", 2), ("child", "write", 3, b"b", 1), ("write", 3, b"c", 1)],
        [None, None, None, None],
    ),
    "a child that has another by that number": (
        [OPEN, ("write", 3, b"aa", 2), ("child", "close", 3), ("write", 3, b"c", 1)], [2, 2, 4]
    ),
    "opened twice": (
        [OPEN, ("open", b"/out", 1, 0), ("write", 3, b"aa", 2), ("write", 4, b"b", 1)], [None, None]
    ),
    "made longer": ([OPEN, ("write", 3, b"a", 1), ("ftruncate", 3, 2)], [None, None]),
    "made longer by its name": ([OPEN, ("write", 3, b"a", 1), ("truncate", b"/out", 2)], [None]),
    "read too": (
        [("open", b"/out", 0o102, 0o644), ("write", 3, b"aab", 3), ("lseek", 3, 0, 0),
         ("read", 3, b"..", 2), ("write", 3, b"c", 1)],
        [2, 2, 5],
    ),
    "renamed while it is open": (
        [("open", b"/made", 0o101, 0o644), ("write", 3, b"a", 1), ("rename", b"/made", b"/out"),
         ("write", 3, b"b", 1)],
        [2, 4],
    ),
    "under two names": (
        [("open", b"/made", 0o101, 0o644), ("write", 3, b"a", 1), ("close", 3),
         ("link", b"/made", b"/out"), ("open", b"/out", 0, 0)],
        [2],
    ),
    "renamed over another": (
        [("open", b"/made", 0o101, 0o644), ("write", 3, b"a", 1), ("close", 3), OPEN,
         ("write", 3, b"bb", 2), ("close", 3), ("rename", b"/made", b"/out")],
        [2],
    ),
    "read by others meanwhile": (
        [OPEN, ("write", 3, b"a", 1), ("open", b"/out", 0, 0), ("write", 3, b"b", 1), ("close", 4)],
        [2, 4],
    ),
}  # fmt: skip


def of_script(script: Script) -> Program:
    """A guest that makes these calls; `child` before one: a child makes it, and ends."""
    guest = Program("i386")
    for number, words in enumerate(script):
        if words[0] == "child":
            guest.call("fork").jump_if_not_zero(f"parent {number}")
        name, *given = words[1:] if words[0] == "child" else words
        args = [guest.text(one) if isinstance(one, bytes) else one for one in given]
        guest.call(str(name), *(one for one in args if isinstance(one, int)))
        if words[0] == "child":
            guest.exit(0).label(f"parent {number}")
    return guest.exit(0)


@pytest.mark.parametrize("name", FILES)
def test_the_call_that_put_a_byte_there(name: str, tmp_path: Path) -> None:
    script, expected = FILES[name]
    recorded.record(of_script(script), tmp_path / "t")
    with trace.open(tmp_path / "t") as found:
        why = ByteOrigins(found)
        links = [why.why("out", offset)[0] for offset in range(len(expected))]
        text = "\n".join(origins.lines(links))
    assert [link.call and link.call.ordinal for link in links] == expected
    assert text.count("call      not known: no write(2)") == expected.count(None)
    assert all(link.program is not None for link in links)


def test_what_was_read_before_it_was_whole_is_of_no_source_tree(tmp_path: Path) -> None:
    script: Script = [OPEN, ("write", 3, b"a", 1), ("open", b"/out", 0, 0), ("write", 3, b"b", 1)]
    recorded.record(of_script(script), tmp_path / "t")
    with trace.open(tmp_path / "t") as found:
        why = ByteOrigins(found)
        reading = next(row for row in why.opens if row.flags == 0)
        link, _ = why._link(why.writer_of(reading), "out", reading.version or 0, 0)
        text = list(files_text(found))
    assert link.ends == origins.NOT_LEFT
    assert sum("there before" in line for line in text) == 1  # /guest
    assert sum("not known who wrote it" in line for line in text) == 1


def test_memory_that_the_kernel_gave_anew_was_made_zero_by_that_call(tmp_path: Path) -> None:
    """What the program stored there before the memory went and came again is no origin."""
    guest = Program("i386")
    base, size = 0x20000000, 0x1000

    def mapped() -> None:
        guest.call("mmap2", base, size, 3, 0x32, 0xFFFFFFFF, 0)

    mapped()
    guest.poke(base, 65)
    guest.call("munmap", base, size)
    mapped()
    guest.call("open", guest.text(b"/out"), 0o101, 0o644).call("write", 3, base, 1).exit(0)
    recorded.record(guest, tmp_path / "t")
    with trace.open(tmp_path / "t") as found:
        why = ByteOrigins(found)
        (link,) = why.why("out", 0)
        report = store_report(found, engine_for("native"), ProgramImages(found, why), link)
    assert link.byte == 0 and report is not None
    assert report.by_call and report.coordinate.startswith("1#2+")
