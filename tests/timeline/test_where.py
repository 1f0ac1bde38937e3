"""`trace where` is the reverse of `trace why`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.core.errors import BadInput
from bootstrap.timeline.line_outputs import lines, outputs_of_line
from bootstrap.timeline.origins import ByteOrigins
from bootstrap.trace.store import Trace
from tests.cli.command import bootstrap
from tests.instruments.guest import Program
from tests.seeds.tools import SOURCES
from tests.trace import recorded


@pytest.mark.parametrize(
    ("source", "products"),
    [("hello.M1", ("hello",)), ("catm.hex2", ("catm",)), ("elf.hex2", ("hello", "M0"))],
)
def test_every_line_that_became_something(
    opened: Trace, source: str, products: tuple[str, ...]
) -> None:
    why = ByteOrigins(opened)
    wanted: dict[int, set[tuple[str, int]]] = defaultdict(set)
    for product in products:
        for offset in range(why.why(product, 0)[0].size):
            last = why.why(product, offset)[-1]
            if last.path == source:
                wanted[last.line].add((product, offset))
    count = (SOURCES / source).read_bytes().count(b"\n")
    # Nine of ten lines are comments: of those that became nothing, some.
    for line in sorted({*wanted, *range(1, count + 1, 9)}):
        found, stopped = outputs_of_line(opened, source, line, why)
        assert stopped == []
        spans = [(one.path, span) for one in found if one.path in products for span in one.spans]
        offsets = {(path, o) for path, (begin, end) in spans for o in range(begin, end)}
        assert offsets == wanted.get(line, set()), line


def test_what_a_program_without_a_model_reads_is_told(tmp_path: Path) -> None:
    guest = Program("i386")
    space = guest.space(16)
    guest.call("open", guest.text(b"/in"), 0, 0).call("read", 3, space, 4)
    guest.call("open", guest.text(b"/out"), 0o101, 0o644).call("write", 4, space, 4).exit(0)
    recorded.record(guest, tmp_path / "t", files={b"/in": b"abc\n"})
    with trace.open(tmp_path / "t") as found:
        images, stopped = outputs_of_line(found, "in", 1)
    assert images == []
    assert [(one.path, one.why) for one in stopped] == [("/in", "there is no model of /guest")]
    assert list(lines("in", 1, images, stopped)) == [
        "in: read by pid 1; there is no model of /guest"
    ]


@pytest.mark.parametrize(
    ("path", "line", "says"),
    [("none", 1, "no program read none"), ("hello.M1", 9999, "/hello.M1 has no line 9999")],
)
def test_what_is_not_there(opened: Trace, path: str, line: int, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        outputs_of_line(opened, path, line)


def test_on_the_command_line(place: Path) -> None:
    text = (SOURCES / "hex1.hex0").read_text("utf-8").splitlines()
    line = next(n for n, row in enumerate(text, 1) if row.startswith("7F 45 4C 46"))
    done = bootstrap("trace", "where", place, f"hex1.hex0:{line}")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("hex1: 4 bytes at 0x0-0x3  (hex0, pid ")
    comment = bootstrap("trace", "where", place, "hex1.hex0:1")
    assert comment.stdout == "hex1.hex0:1 became no byte of any file\n"
    for wrong in ("hex1.hex0", "hex1.hex0:0", ":1", "hex1.hex0:x"):
        bad = bootstrap("trace", "where", place, wrong)
        assert bad.status == 2
        assert "name a source and a line" in bad.one_line()
