"""Random M1 programs, and upstream's own: the model, our M0 and upstream's give the same."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.engine import default_engine
from bootstrap.languages.source import Source
from bootstrap.sources import Cache, SourceTree
from tests.seeds import tools
from tests.seeds.m0 import BAD, M0, assembled, build, expected

RELEASE = "1.9.1"

SETTINGS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)

# What upstream's M0 reads in a way of its own is left out of COMMON.

VALUES = {b"mov_eax,": b"B8", b"ret": b"C3", b"a[b#c]": b"x:%1", b"_": b"_", b"call": b"E\"8'"}
BLANKS = st.sampled_from([b" ", b"\n", b"\t", b" \t\n", b" # !1 '\n", b'\n;"\x00\xff\n\n'])
NAMES = st.from_regex(rb"[A-Za-z_][A-Wa-wyz_][!-~]{0,9}", fullmatch=True)
TEXTS = st.lists(st.integers(1, 255), max_size=9).map(bytes)


def numbers(signs: bytes, hexadecimal: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """A sign and a number that fits its field; '-0' is not among them."""
    formats = st.sampled_from(["d", "04d", *hexadecimal])

    def of(sign: int) -> st.SearchStrategy[bytes]:
        bits = {"!": 8, "@": 16, "$": 16, "~": 24, "%": 32, "&": 32}[chr(sign)]
        values = st.integers(-(2 ** (bits - 1)), 2**bits - 1)
        edges = st.sampled_from([-(2 ** (bits - 1)), -1, 0, 1, 9, 10, 15, 16, 2**bits - 1])

        def written(value: int, form: str) -> bytes:
            text = f"{value:{form if value >= 0 else 'd'}}"
            return (
                bytes([sign])
                + (b"0x" if form in hexadecimal and value >= 0 else b"")
                + text.encode()
            )

        return st.builds(written, values | edges, formats)

    return st.sampled_from(signs).flatmap(of)


COMMON = st.one_of(
    st.sampled_from(sorted(VALUES)),
    st.sampled_from(sorted(VALUES)).map(lambda name: b"DEFINE %b %b" % (name, VALUES[name])),
    numbers(b"!@%", ("X", "08X")),
    st.builds(lambda sign, name: bytes([sign]) + name, st.sampled_from(b":!@~$%&"), NAMES),
    TEXTS.map(lambda text: b'"%b"' % text.replace(b'"', b"'")),
    TEXTS.map(lambda text: b"'%b'" % text.replace(b"'", b'"')),
)
OURS = (
    COMMON
    | numbers(b"!@$~%&", ("x", "X", "040x"))
    | st.sampled_from([b"!-0", b"\r", b":0", b":xx1"])
)


def written(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A program of tokens with the blanks behind them; each macro is defined in time."""
    program = b""
    defined: set[bytes] = set()
    for token, blanks in parts:
        name = token.removeprefix(b"DEFINE ").split(b" ")[0]
        if token in VALUES and name not in defined:
            program += b"DEFINE %b %b\n" % (token, VALUES[token])
        defined.add(name)
        program += token + blanks
    return program + b"!0\n"  # without a token at the end that is no DEFINE, upstream's crashes


def programs(tokens: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(tokens, BLANKS), max_size=20).map(written)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """A program in which a few places have been overwritten, or something bad put in."""
    program = draw(programs(OURS))
    wrong = st.sampled_from([one for some in BAD.values() for one in some if len(one) < 50])
    odd = st.lists(st.sampled_from(b"\x00\x7f\xff \n\r!:%-019xGaF'\"#;"), max_size=3).map(bytes)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(program)))
        end = at + draw(st.integers(0, 2))
        program = program[:at] + draw(odd | wrong.map(b" %b ".__mod__)) + program[end:]
    return program


@tools.EACH
@SETTINGS
@given(program=programs(OURS))
def test_random_programs(run: tools.Runner, program: bytes) -> None:
    assert expected(program)[0] == 0
    assert assembled(run, program) == expected(program)


@tools.EACH
@SETTINGS
@given(program=spoilt())
def test_random_programs_with_something_wrong(run: tools.Runner, program: bytes) -> None:
    assert assembled(run, program) == expected(program)


@tools.EACH
@SETTINGS
@given(program=st.binary(max_size=30))
def test_random_bytes(run: tools.Runner, program: bytes) -> None:
    assert assembled(run, program) == expected(program)


@pytest.fixture(scope="module")
def tree() -> SourceTree:
    found = Cache().load(RELEASE)
    if found is None:
        pytest.skip(f"release {RELEASE} is not in the cache: bootstrap fetch stage0-posix")
    return found


@pytest.fixture(scope="module")
def upstreams_m0(tree: SourceTree) -> bytes:
    return build(
        *(Source(path, tree.files[path].data) for path in ("x86/ELF-i386.hex2", "x86/M0_x86.hex2"))
    )


@pytest.mark.upstream
@tools.EACH
@SETTINGS
@given(program=programs(COMMON))
def test_random_programs_as_upstream(
    run: tools.Runner, upstreams_m0: bytes, program: bytes
) -> None:
    assert assembled(run, program, upstreams_m0) == assembled(run, program) == expected(program)


@pytest.mark.upstream
@pytest.mark.parametrize(
    "paths", [("x86/cc_x86.M1",), ("x86/x86_defs.M1", "x86/libc-core.M1")], ids=" ".join
)
def test_upstreams_sources(tree: SourceTree, upstreams_m0: bytes, paths: tuple[str, ...]) -> None:
    program = b"".join(tree.files[path].data for path in paths)
    wanted = expected(program)
    assert wanted[0] == 0
    engine = default_engine()
    for tool in (M0, upstreams_m0):
        ended = tools.emulated(engine, tool, ["in", "out"], {"in": program})
        assert (ended.status, ended.files["out"]) == wanted
