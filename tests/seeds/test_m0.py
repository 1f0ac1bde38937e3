"""Our M0 for x86 does what its model says: what the other assemblers have no tests of."""

from __future__ import annotations

from bootstrap.languages.fault import Kind
from bootstrap.languages.source import LARGEST, SourceText
from tests.seeds import ours, tools
from tests.seeds.m0 import M0

MOST_MACROS = 65536


@tools.EACH
def test_the_last_step_of_the_path(run: tools.Runner) -> None:
    ended = run(M0.tool, ["hello.M1", "hello.hex2"], {"hello.M1": ours.source("hello.M1").text})
    assert ended.status == 0
    hello = ours.build(ours.source("elf.hex2"), SourceText("hello.hex2", ended.files["hello.hex2"]))
    ended = run(hello, [], {})
    assert (ended.status, ended.stdout) == (0, b"hello from hex0, hex1, hex2 and M0\n")


def test_the_first_error_counts() -> None:
    # That the tool does as the model is tested for all assemblers.
    firsts = {kind: programs[0] for kind, programs in M0.bad.items() if kind != Kind.UNFINISHED}
    for first, one in firsts.items():
        for other in firsts.values():
            assert M0.expected(one + b"\n" + other) == (first, None)


def macros(count: int) -> bytes:
    return b"\n".join(b"DEFINE m%d %d" % (i, i) for i in range(count))


@tools.EACH
def test_as_many_macros_as_there_is_room_for(run: tools.Runner) -> None:
    full = macros(MOST_MACROS)
    again = b"\nDEFINE m7 7\nm7 m0 m65535 DEFINE m7 7"
    ended = run(M0.tool, ["in", "out"], {"in": full + again})
    assert (ended.status, ended.files["out"]) == M0.expected(full + again) == (0, b"7\n0\n65535\n")
    for more, status in ((b" DEFINE m7 8", Kind.DUPLICATE), (b" DEFINE m 7", Kind.TOO_LARGE)):
        assert run(M0.tool, ["in", "out"], {"in": full + more}).status == status
        assert M0.expected(full + more) == (status, None)


@tools.EACH
def test_an_output_of_16_mib_and_no_more(run: tools.Runner) -> None:
    program = b"DEFINE m " + b"1" * (2**16 - 1) + b" m" * 2**8
    ended = run(M0.tool, ["in", "out"], {"in": program})
    assert (ended.status, len(ended.files["out"])) == (0, LARGEST)
    assert (ended.status, ended.files["out"]) == M0.expected(program)
    for more, status in (
        (b" ''", Kind.TOO_LARGE),
        (b" !x '", Kind.TOO_LARGE),
        (b" '", Kind.UNFINISHED),
    ):
        assert run(M0.tool, ["in", "out"], {"in": program + more}).status == status
        assert M0.expected(program + more) == (status, None)
