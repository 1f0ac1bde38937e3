"""Each of our tools for x86 says its size, and notices wrong arguments and failing calls."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.files import OpenFile
from bootstrap.instruments import default_engine
from tests.seeds import ours, tools
from tests.seeds.assembler import Assembler
from tests.seeds.hex1 import HEX1
from tests.seeds.hex2 import HEX2
from tests.seeds.m0 import M0


@dataclass(frozen=True)
class Tool:
    """A tool, an example of its use, and ways to misuse it."""

    name: str
    program: bytes
    source: str
    """The file that says the program's size."""

    arguments: Sequence[str]
    files: Mapping[str, bytes]
    ended: tools.Ended
    """How a run with these arguments and files ends."""

    wrong: Sequence[tuple[Sequence[str], int]]
    """Arguments that cannot be, with these files, and the status."""


def assembler(one: Assembler, source: str, program: bytes) -> Tool:
    status, output = one.expected(program)
    assert output is not None
    return Tool(
        one.name,
        one.tool,
        source,
        ["in", "out"],
        {"in": program},
        tools.Ended(status, {"in": program, "out": output}, b""),
        wrong=[
            ([], 1),
            (["in"], 1),
            (["in", "out", "more"], 1),
            (["missing", "out"], 2),
            ([".", "out"], 2),
            (["", "out"], 2),
            (["in/in", "out"], 2),
            (["in", "."], 3),
            (["in", "missing/out"], 3),
            (["in", ""], 3),
            (["in", "in/out"], 3),
            (["in", "/dev/full"], 3),  # where there is no such device, it cannot be created
        ],
    )


PARTS = {"a": b"0123456789" * 3, "b": b"9876543210"}
SCRIPT = {"script": b"# a comment\n\n./missing x y"}

TOOLS = (
    assembler(HEX1, "hex1.hex0", b":a " + b"41 %a " * 20),
    assembler(
        HEX2, "hex2.hex1", b"00 :label !label # and so on\n%other>label :other 4142" + b" 41" * 20
    ),
    assembler(M0, "M0.hex2", ours.source("hello.M1").text),
    Tool(
        "catm",
        ours.CATM,
        "catm.hex2",
        ["out", "a", "b"],
        PARTS,
        tools.Ended(0, {**PARTS, "out": PARTS["a"] + PARTS["b"]}, b""),
        wrong=[
            ([], 1),
            (["out"], 1),
            (["out", "missing"], 2),
            (["out", "a", "missing", "a"], 2),
            (["out", "a", "."], 2),
            (["out", "", "a"], 2),
            (["out", "a/a"], 2),
            ([".", "a"], 3),
            (["missing/out", "a"], 3),
            (["", "a"], 3),
            (["/dev/full", "a"], 3),  # where there is no such device, it cannot be created
            (["missing/out", "missing"], 2),  # the inputs come first
        ],
    ),
    Tool(
        "kaem",
        ours.KAEM,
        "kaem.hex0",
        ["script"],
        SCRIPT,
        tools.Ended(1, SCRIPT, b" +> ./missing x y \nkaem: command failed\n"),
        wrong=[
            (["script", "more"], 1),
            (["missing"], 2),
            (["."], 2),
            ([""], 2),
            (["script/x"], 2),
            ([], 2),  # there is no kaem.x86
        ],
    ),
)

EACH = pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)


@EACH
def test_the_source_says_its_size(tool: Tool) -> None:
    found = re.search(rb", (\d+) bytes", ours.source(tool.source).text)
    assert found is not None
    assert int(found[1]) == len(tool.program)


def test_the_sizes_have_bounds() -> None:
    assert len(ours.HEX1) < ours.UPSTREAMS_HEX1
    assert len(ours.KAEM) <= 2 * ours.UPSTREAMS_KAEM
    assert len(ours.HEX2) <= 2810
    assert len(ours.CATM) <= 366


@tools.EACH
@pytest.mark.parametrize(
    ("tool", "arguments", "status"),
    [
        pytest.param(tool, arguments, status, id=f"{tool.name} {arguments} {status}")
        for tool in TOOLS
        for arguments, status in tool.wrong
    ],
)
def test_what_is_not_there(
    run: tools.Runner, tool: Tool, arguments: Sequence[str], status: int
) -> None:
    for files in (tool.files, {**tool.files, "out": b"old"}):
        assert run(tool.program, arguments, files) == tools.Ended(status, dict(files), b"")


def with_failing(
    call: str,
    results: Sequence[int | Errno],
    program: bytes,
    arguments: Sequence[str],
    files: Mapping[str, bytes],
) -> tools.Ended:
    """A run whose ``call`` (read or write) is cut to so many bytes, or fails, as ``results`` say
    in turn; the last of them goes on for ever."""
    real = getattr(OpenFile, call)
    left = list(results)

    def instead(self: OpenFile, given: int | bytes) -> bytes | int:
        result = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(result, Errno):
            raise LinuxError(result)
        if result == 0:
            return 0
        answer: bytes | int = real(
            self, min(given, result) if isinstance(given, int) else given[:result]
        )
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenFile, call, instead)
        # The native hot path reads and writes without asking OpenFile.
        return tools.emulated(default_engine().in_python(), program, arguments, files)


@EACH
def test_short_reads_and_writes_are_gone_on_with(tool: Tool) -> None:
    assert tools.emulated(default_engine(), tool.program, tool.arguments, tool.files) == tool.ended
    for call in ("read", "write"):
        ended = with_failing(call, [1, 3, 7], tool.program, tool.arguments, tool.files)
        assert ended == tool.ended


@EACH
@pytest.mark.parametrize(
    ("call", "results", "status"),
    [
        ("read", [Errno.EIO], 2),
        ("read", [9, Errno.EIO], 2),
        ("write", [Errno.ENOSPC], 3),
        # Few enough for the shortest of what kaem writes.
        ("write", [2, Errno.ENOSPC], 3),
        ("write", [2, Errno.EPIPE], 3),
        ("write", [2, 0], 3),
    ],
    ids=str,
)
def test_reads_and_writes_that_fail(
    tool: Tool, call: str, results: Sequence[int | Errno], status: int
) -> None:
    ended = with_failing(call, results, tool.program, tool.arguments, tool.files)
    assert ended.status == status
    # What cannot be read whole makes no output; what cannot be written whole is left behind.
    assert set(ended.files) == set(tool.files if status == 2 else tool.ended.files)


def test_only_the_owner_may_use_the_output() -> None:
    modes = {
        tool.name: tools.mode_of("out", tool.program, tool.arguments, tool.files)
        for tool in TOOLS
        if "out" in tool.arguments
    }
    assert modes == {"hex1": 0o700, "hex2": 0o700, "M0": 0o600, "catm": 0o600}
    assert tools.mode_of("out", tools.SEED, ["in", "out"], {"in": b"41"}) == 0o700
