"""Our hex1 for x86 does what its model says, natively and emulated, and notices all failures."""

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.abi.errno import Errno
from bootstrap.engine import default_engine
from bootstrap.languages import hex0, hex1
from bootstrap.languages.fault import Kind, LanguageError
from bootstrap.languages.source import LARGEST
from bootstrap.sources import Cache, SourceTree
from tests.seeds import calls, tools

RELEASE = "1.9.1"
SOURCE = (tools.SOURCES / "hex1.hex0").read_bytes()
HEX1 = hex0.assemble(SOURCE, "hex1.hex0").output
UPSTREAMS_SIZE = 689

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

GOOD: dict[bytes, bytes] = {
    b"": b"",
    b" \t\r\n# only a comment": b"",
    b"00 ff aB\nC\td 4#x\n2 4;x\r\n3": b"\x00\xff\xab\xcd\x42\x43",
    b":a": b"",
    b":a%a": b"\xfc\xff\xff\xff",
    b"%a:a": b"\x00\x00\x00\x00",
    b"%b 11 :a 22 %a :b": b"\x06\x00\x00\x00\x11\x22\xfb\xff\xff\xff",
    # Any byte from '!' to '~' is a name, also one that means something elsewhere.
    b":: :% :# :; :! :~ :0%~%!%;%#%%%:%0": b"".join(
        (-at).to_bytes(4, "little", signed=True) for at in range(4, 29, 4)
    ),
    b"%a" * 70 + b":a": b"".join((4 * i).to_bytes(4, "little") for i in range(69, -1, -1)),
}

BAD: dict[Kind, list[bytes]] = {
    Kind.BAD_CHARACTER: [
        *(bytes([byte]) for byte in range(256) if byte not in b"0123456789ABCDEFabcdef:%#; \t\r\n"),
        *(b":" + bytes([byte]) for byte in (0, 9, 10, 13, 32, 127, 128, 255)),
        *(b"%" + bytes([byte]) for byte in (0, 9, 10, 13, 32, 127, 128, 255)),
        b"4g",
        b"# x\n\x00",
        b":a:\x01",
    ],
    Kind.ODD_DIGITS: [b"4", b"414", b"4 # 2", b"4:a 2", b"4%a2:a", b"4:", b"4%", b"4:\x00"],
    Kind.UNDEFINED: [b"%a", b":a%b", b"%a%a:b", b"%a:A"],
    Kind.DUPLICATE: [b":a:a", b":a 42 %a :a", b":~ :a :~"],
    Kind.UNFINISHED: [b":", b"%", b"42 :a %a :", b"42%"],
}


def expected(program: bytes) -> tuple[int, bytes | None]:
    """Exit status and output, as the model says."""
    try:
        return 0, hex1.assemble(program, "in").output
    except LanguageError as error:
        return int(error.kind), None


def assembled(run: tools.Runner, program: bytes, tool: bytes = HEX1) -> tuple[int, bytes | None]:
    """The same, as ``tool`` does it."""
    ended = run(tool, ["in", "out"], {"in": program})
    assert ended.files["in"] == program
    return ended.status, ended.files.get("out")


def test_the_source_says_its_size() -> None:
    found = re.search(rb", (\d+) bytes", SOURCE)
    assert found is not None
    assert int(found[1]) == len(HEX1) < UPSTREAMS_SIZE


@tools.EACH
def test_good_programs(run: tools.Runner) -> None:
    for program, output in GOOD.items():
        assert expected(program) == (0, output), program
        ended = run(HEX1, ["in", "out"], {"in": program, "out": b"what was there before " * 30})
        assert (ended.status, ended.files["out"]) == (0, output), program


@tools.EACH
@pytest.mark.parametrize("kind", BAD, ids=lambda kind: kind.name)
def test_bad_programs(run: tools.Runner, kind: Kind) -> None:
    for program in BAD[kind]:
        assert expected(program) == (kind, None), program
        assert assembled(run, program) == (kind, None), program
    ended = run(HEX1, ["in", "out"], {"in": BAD[kind][0], "out": b"old"})
    assert (ended.status, ended.files["out"]) == (kind, b"old")


@tools.EACH
def test_the_first_error_counts_and_what_is_not_defined_comes_last(run: tools.Runner) -> None:
    # What ends the input cannot come first.
    firsts = {Kind.BAD_CHARACTER: b"?", Kind.ODD_DIGITS: b"4:b", Kind.DUPLICATE: b":a:a"}
    for first, one in firsts.items():
        for other in (b"?", b"4:b", b":c:c", b":", b"%", b"4"):
            program = b"%u " + one + b" " + other
            assert assembled(run, program) == expected(program) == (first, None), program


@tools.EACH
def test_every_label(run: tools.Runner) -> None:
    labels = bytes(range(0x21, 0x7F))
    program = b"".join(b"%%%c" % label for label in labels)
    program += b"".join(b" :%c %02X" % (label, label) for label in labels)
    wanted = expected(program)
    assert wanted[0] == 0
    assert assembled(run, program) == wanted


@tools.EACH
def test_an_input_of_16_mib_and_no_more(run: tools.Runner) -> None:
    program = b"#" * (LARGEST - 3) + b"\n42"
    assert len(program) == LARGEST
    assert run(HEX1, ["in", "out"], {"in": program}).files["out"] == b"B"
    # A bad byte comes first in the source, but the size counts before all that it holds.
    ended = run(HEX1, ["in", "out"], {"in": b"?" + program})
    assert (ended.status, "out" in ended.files) == (Kind.TOO_LARGE, False)
    assert expected(b"?" + program) == (Kind.TOO_LARGE, None)


@tools.EACH
def test_the_largest_output(run: tools.Runner) -> None:
    # Every two bytes of input make four of output: both tables are as full as they can get.
    count = (LARGEST - 2) // 2
    ended = run(HEX1, ["in", "out"], {"in": b":a" + b"%a" * count})
    assert (ended.status, len(ended.files["out"])) == (0, 4 * count)
    for place in (1, 2, count // 2, count):
        field = ended.files["out"][4 * place - 4 : 4 * place]
        assert int.from_bytes(field, "little", signed=True) == -4 * place


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
    ended = run(HEX1, arguments, {"in": b"42"})
    assert (ended.status, ended.files) == (status, {"in": b"42"})


@tools.EACH
def test_a_bad_input_counts_before_a_bad_output(run: tools.Runner) -> None:
    assert run(HEX1, ["in", "missing/out"], {"in": b"%a"}).status == Kind.UNDEFINED


@tools.EACH
def test_the_output_may_be_the_input(run: tools.Runner) -> None:
    assert run(HEX1, ["in", "in"], {"in": b"41 42 %a :a"}).files == {"in": b"AB\0\0\0\0"}


def test_the_output_is_for_its_owner_to_run() -> None:
    assert calls.mode_of("out", HEX1, ["in", "out"], {"in": b"42"}) == 0o700


PROGRAM = b":a " + b"41 %a " * 20


def test_short_reads_and_writes_are_gone_on_with() -> None:
    for call in ("read", "write"):
        ended = calls.with_failing(call, [1, 3, 7], HEX1, ["in", "out"], {"in": PROGRAM})
        assert (ended.status, ended.files["out"]) == expected(PROGRAM)


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
def test_reads_and_writes_that_fail(call: str, results: list[int | Errno], status: int) -> None:
    files = {"in": PROGRAM}
    assert calls.with_failing(call, results, HEX1, ["in", "out"], files).status == status


# Random programs. A program is a list of pieces; what stands between the digits of a pair is a
# piece of blanks, too. Upstream's hex1 ends a comment at CR, so COMMON has none there.

BLANKS = st.sampled_from([b"", b"", b" ", b"\n", b"\t", b"\r\n"])
COMMENTS = st.builds(
    lambda sign, text: bytes([sign, *text, 10]),
    st.sampled_from(b"#;"),
    st.lists(st.sampled_from(b"#;:%aG4 \x00\xff"), max_size=6),
)
LABELS = st.integers(0x21, 0x7E)


@st.composite
def programs(draw: st.DrawFn, between: st.SearchStrategy[bytes] = BLANKS | COMMENTS) -> bytes:
    """A program without errors."""
    defined = draw(st.lists(LABELS, unique=True, max_size=8))
    pieces = [b":" + bytes([label]) for label in defined]
    if defined:
        used = draw(st.lists(st.sampled_from(defined), max_size=8))
        pieces += [b"%" + bytes([label]) for label in used]
    for high, low in draw(st.lists(st.tuples(*[st.sampled_from(b"0189aAfF")] * 2), max_size=20)):
        pieces.append(bytes([high]) + draw(between) + bytes([low]))
    return b"".join(piece + draw(between) for piece in draw(st.permutations(pieces)))


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A program in which a few places have been overwritten, or something bad put in."""
    program = draw(programs())
    odd = st.lists(st.sampled_from(b"\x00\x7f\xff \n\r!:%-4GaF#;~"), max_size=3).map(bytes)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(program)))
        program = program[:at] + draw(odd) + program[at + draw(st.integers(0, 2)) :]
    return program


@tools.EACH
@SETTINGS
@given(program=programs(BLANKS | COMMENTS | st.just(b"#\r4:\n")))
def test_random_programs(run: tools.Runner, program: bytes) -> None:
    wanted = expected(program)
    assert wanted[0] == 0
    assert assembled(run, program) == wanted


@tools.EACH
@SETTINGS
@given(program=spoilt())
def test_random_programs_with_something_wrong(run: tools.Runner, program: bytes) -> None:
    assert assembled(run, program) == expected(program)


@tools.EACH
@SETTINGS
@given(program=st.binary(max_size=12))
def test_random_bytes(run: tools.Runner, program: bytes) -> None:
    assert assembled(run, program) == expected(program)


@pytest.fixture(scope="module")
def tree() -> SourceTree:
    found = Cache().load(RELEASE)
    if found is None:
        pytest.skip(f"release {RELEASE} is not in the cache: bootstrap fetch stage0-posix")
    return found


@pytest.fixture(scope="module")
def upstreams_hex1(tree: SourceTree) -> bytes:
    output = hex0.assemble(tree.files["x86/hex1_x86.hex0"].data, "hex1_x86.hex0").output
    assert len(output) == UPSTREAMS_SIZE
    return output


@pytest.mark.upstream
@tools.EACH
@SETTINGS
@given(program=programs())
def test_random_programs_as_upstream(
    run: tools.Runner, upstreams_hex1: bytes, program: bytes
) -> None:
    assert assembled(run, program, upstreams_hex1) == assembled(run, program) == expected(program)


@pytest.mark.upstream
def test_upstreams_source(tree: SourceTree, upstreams_hex1: bytes) -> None:
    program = tree.files["x86/hex2_x86.hex1"].data
    wanted = expected(program)
    assert wanted[0] == 0
    for tool in (HEX1, upstreams_hex1):
        ended = tools.emulated(default_engine(), tool, ["in", "out"], {"in": program})
        assert (ended.status, ended.files["out"]) == wanted
