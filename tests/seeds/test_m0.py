"""Our M0 for x86 does what its model says, natively and emulated, and notices all failures."""

from __future__ import annotations

import re

import pytest

from bootstrap.abi.errno import Errno, LinuxError
from bootstrap.engine import default_engine
from bootstrap.kernel.machine import Machine
from bootstrap.languages.fault import Kind
from bootstrap.languages.source import LARGEST, Source
from bootstrap.vfs.filesystem import FileSystem
from bootstrap.vfs.lower import LowerFile, MemoryLower
from bootstrap.vfs.openfile import OpenFile
from tests.seeds import tools
from tests.seeds.m0 import BAD, GOOD, HELLO, M0, build, expected, source

MOST_MACROS = 65536


def test_the_source_says_its_size() -> None:
    found = re.search(rb", (\d+) bytes", source("M0.hex2").text)
    assert found is not None
    assert int(found[1]) == len(M0)


@tools.EACH
def test_the_last_step_of_the_path(run: tools.Runner) -> None:
    ended = run(M0, ["hello.M1", "hello.hex2"], {"hello.M1": HELLO})
    assert ended.status == 0
    hello = build(source("elf.hex2"), Source("hello.hex2", ended.files["hello.hex2"]))
    ended = run(hello, [], {})
    assert (ended.status, ended.stdout) == (0, b"hello from hex0, hex1, hex2 and M0\n")


@tools.EACH
def test_good_programs(run: tools.Runner) -> None:
    for why, (program, output) in GOOD.items():
        assert expected(program) == (0, output), why
        ended = run(M0, ["in", "out"], {"in": program, "out": b"what was there before " * 9})
        assert (ended.status, ended.files["out"]) == (0, output), why


@tools.EACH
@pytest.mark.parametrize("kind", BAD, ids=lambda kind: kind.name)
def test_bad_programs(run: tools.Runner, kind: Kind) -> None:
    for program in BAD[kind]:
        assert expected(program) == (kind, None), program
        ended = run(M0, ["in", "out"], {"in": program, "out": b"old"})
        assert (ended.status, ended.files["out"]) == (kind, b"old"), program
        assert run(M0, ["in", "out"], {"in": program}).files == {"in": program}


@tools.EACH
def test_the_first_error_counts(run: tools.Runner) -> None:
    firsts = {kind: programs[0] for kind, programs in BAD.items() if kind != Kind.UNFINISHED}
    for first, one in firsts.items():
        for other in firsts.values():
            program = one + b"\n" + other
            assert expected(program) == (first, None)
            assert run(M0, ["in", "out"], {"in": program}).status == first, program


def macros(count: int) -> bytes:
    return b"\n".join(b"DEFINE m%d %d" % (i, i) for i in range(count))


@tools.EACH
def test_as_many_macros_as_there_is_room_for(run: tools.Runner) -> None:
    full = macros(MOST_MACROS)
    again = b"\nDEFINE m7 7\nm7 m0 m65535 DEFINE m7 7"
    ended = run(M0, ["in", "out"], {"in": full + again})
    assert (ended.status, ended.files["out"]) == expected(full + again) == (0, b"7\n0\n65535\n")
    for more, status in ((b" DEFINE m7 8", Kind.DUPLICATE), (b" DEFINE m 7", Kind.TOO_LARGE)):
        assert run(M0, ["in", "out"], {"in": full + more}).status == status
        assert expected(full + more) == (status, None)


@tools.EACH
def test_an_input_of_16_mib_and_no_more(run: tools.Runner) -> None:
    program = b"#" * (LARGEST - 4) + b"\n!42"
    assert len(program) == LARGEST
    assert run(M0, ["in", "out"], {"in": program}).files["out"] == b"2A\n"
    # A bad byte comes first in the source, but the size counts before all that it holds.
    ended = run(M0, ["in", "out"], {"in": b"\x00" + program})
    assert (ended.status, "out" in ended.files) == (Kind.TOO_LARGE, False)
    assert expected(b"\x00" + program) == (Kind.TOO_LARGE, None)


@tools.EACH
def test_an_output_of_16_mib_and_no_more(run: tools.Runner) -> None:
    program = b"DEFINE m " + b"1" * (2**16 - 1) + b" m" * 2**8
    ended = run(M0, ["in", "out"], {"in": program})
    assert (ended.status, len(ended.files["out"])) == (0, LARGEST)
    assert (ended.status, ended.files["out"]) == expected(program)
    for more, status in (
        (b" ''", Kind.TOO_LARGE),
        (b" !x '", Kind.TOO_LARGE),
        (b" '", Kind.UNFINISHED),
    ):
        assert run(M0, ["in", "out"], {"in": program + more}).status == status
        assert expected(program + more) == (status, None)


@tools.EACH
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 1),
        (["in"], 1),
        (["in", "out", "more"], 1),
        (["missing", "out"], 2),
        ([".", "out"], 2),
        (["", "out"], 2),
        (["in", "."], 3),
        (["in", "missing/out"], 3),
        (["in", ""], 3),
        (["in", "in/out"], 3),
    ],
    ids=str,
)
def test_what_is_not_there(run: tools.Runner, arguments: list[str], status: int) -> None:
    ended = run(M0, arguments, {"in": b"!1"})
    assert (ended.status, ended.files) == (status, {"in": b"!1"})


@tools.EACH
def test_a_bad_input_counts_before_a_bad_output(run: tools.Runner) -> None:
    assert run(M0, ["in", "missing/out"], {"in": b"bad"}).status == Kind.UNDEFINED


@tools.EACH
def test_the_output_may_be_the_input(run: tools.Runner) -> None:
    assert run(M0, ["in", "in"], {"in": b"!1 !2"}).files == {"in": b"01\n02\n"}


def test_the_output_is_for_its_owner_to_read_and_write() -> None:
    lower = {b"/M0": LowerFile(0o755, M0), b"/in": LowerFile(0o644, b"!1")}
    fs = FileSystem(MemoryLower(lower))
    Machine(fs, default_engine()).run(b"/M0", [b"M0", b"in", b"out"])
    assert [(path, file.mode & 0o7777) for path, file in fs.changed()] == [(b"/out", 0o600)]


def failing(monkeypatch: pytest.MonkeyPatch, call: str, results: list[int | Errno]) -> None:
    """Let the calls of the guest's ``call`` be short, or fail, as ``results`` say in turn; the
    last one goes on for ever."""
    real = getattr(OpenFile, call)

    def instead(self: OpenFile, given: int | bytes) -> bytes | int:
        result = results.pop(0) if len(results) > 1 else results[0]
        if isinstance(result, Errno):
            raise LinuxError(result)
        if result == 0:
            return 0
        less = min(given, result) if isinstance(given, int) else given[:result]
        answer: bytes | int = real(self, less)
        return answer

    monkeypatch.setattr(OpenFile, call, instead)


def emulated(program: bytes) -> tools.Ended:
    return tools.emulated(default_engine().in_python(), M0, ["in", "out"], {"in": program})


def test_short_reads_and_writes_are_gone_on_with(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, "read", [1, 3, 7])
    failing(monkeypatch, "write", [1, 3, 7])
    ended = emulated(HELLO)
    assert (ended.status, ended.files["out"]) == expected(HELLO)


@pytest.mark.parametrize(
    ("call", "results", "status"),
    [
        ("read", [Errno.EIO], 2),
        ("read", [9, Errno.EIO], 2),
        ("write", [Errno.ENOSPC], 3),
        ("write", [9, Errno.ENOSPC], 3),
        ("write", [9, 0], 3),
    ],
    ids=str,
)
def test_reads_and_writes_that_fail(
    monkeypatch: pytest.MonkeyPatch, call: str, results: list[int | Errno], status: int
) -> None:
    failing(monkeypatch, call, list(results))
    assert emulated(HELLO).status == status
