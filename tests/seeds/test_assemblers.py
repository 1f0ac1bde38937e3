"""Our hex1, hex2 and M0 do what their models say, natively and emulated: what all three share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.instruments import default_engine
from bootstrap.languages.fault import Kind
from bootstrap.languages.source import LARGEST
from bootstrap.sources import SourceTree
from tests.seeds import tools
from tests.seeds.assembler import SETTINGS, Assembler, spoilt
from tests.seeds.hex1 import HEX1
from tests.seeds.hex2 import HEX2
from tests.seeds.m0 import M0

ASSEMBLERS = (HEX1, HEX2, M0)
EACH = pytest.mark.parametrize("assembler", ASSEMBLERS, ids=lambda assembler: assembler.name)


@EACH
@tools.ON_BOTH_HOT_PATHS
def test_good_programs(run: tools.Runner, assembler: Assembler) -> None:
    for why, (program, output) in assembler.good.items():
        assert assembler.expected(program) == (0, output), why
        files = {"in": program, "out": b"what was there before " * 30}
        ended = run(assembler.tool, ["in", "out"], files)
        assert (ended.status, ended.files["out"]) == (0, output), why


@EACH
@tools.EACH
def test_the_output_may_be_the_input(run: tools.Runner, assembler: Assembler) -> None:
    for why, (program, output) in assembler.good.items():
        assert run(assembler.tool, ["in", "in"], {"in": program}).files == {"in": output}, why


@tools.ON_BOTH_HOT_PATHS
@pytest.mark.parametrize(
    ("assembler", "kind"),
    [
        pytest.param(assembler, kind, id=f"{assembler.name}-{kind.name}")
        for assembler in ASSEMBLERS
        for kind in assembler.bad
    ],
)
def test_bad_programs(run: tools.Runner, assembler: Assembler, kind: Kind) -> None:
    for program in assembler.bad[kind]:
        assert assembler.expected(program) == (kind, None), program
        for files in ({"in": program}, {"in": program, "out": b"old"}):
            ended = run(assembler.tool, ["in", "out"], files)
            assert (ended.status, ended.files) == (kind, files), program


@EACH
@tools.EACH
def test_the_same_error_as_the_models_counts(run: tools.Runner, assembler: Assembler) -> None:
    firsts = [bad[0] for kind, bad in assembler.bad.items() if kind != Kind.UNFINISHED]
    for first in firsts:
        for other in firsts:
            program = first + b"\n" + other
            assert assembler.made(run, program) == assembler.expected(program), program


@EACH
@tools.EACH
def test_a_bad_input_counts_before_a_bad_output(run: tools.Runner, assembler: Assembler) -> None:
    files = {"in": assembler.bad[Kind.UNDEFINED][0]}
    assert run(assembler.tool, ["in", "missing/out"], files).status == Kind.UNDEFINED


@EACH
@tools.EACH
def test_an_input_of_16_mib_and_no_more(run: tools.Runner, assembler: Assembler) -> None:
    *_, (short, output) = assembler.good.values()
    program = b"#" * (LARGEST - len(short) - 1) + b"\n" + short
    assert len(program) == LARGEST
    assert assembler.made(run, program) == (0, output)
    # A bad byte comes first in the source, but the size counts before all that it holds.
    program = b"\x00" + program
    assert assembler.made(run, program) == assembler.expected(program) == (Kind.TOO_LARGE, None)


@EACH
@tools.EACH
@SETTINGS
@given(data=st.data())
def test_random_programs(run: tools.Runner, assembler: Assembler, data: st.DataObject) -> None:
    program = data.draw(assembler.programs)
    wanted = assembler.expected(program)
    assert wanted[0] in assembler.statuses
    assert assembler.made(run, program) == wanted


@EACH
@tools.EACH
@SETTINGS
@given(data=st.data())
def test_random_programs_with_something_wrong(
    run: tools.Runner, assembler: Assembler, data: st.DataObject
) -> None:
    program = data.draw(spoilt(assembler.programs, assembler.odd))
    assert assembler.made(run, program) == assembler.expected(program)


@EACH
@tools.EACH
@SETTINGS
@given(data=st.data())
def test_random_bytes(run: tools.Runner, assembler: Assembler, data: st.DataObject) -> None:
    program = data.draw(assembler.noise)
    assert assembler.made(run, program) == assembler.expected(program)


@pytest.mark.upstream
@EACH
@tools.EACH
@SETTINGS
@given(data=st.data())
def test_random_programs_as_upstream(
    run: tools.Runner, assembler: Assembler, upstreams: dict[str, bytes], data: st.DataObject
) -> None:
    program = data.draw(assembler.common)
    wanted = assembler.expected(program)
    assert wanted[0] in assembler.statuses
    assert assembler.made(run, program) == wanted
    if wanted[0] == 0:
        assert assembler.made(run, program, upstreams[assembler.name]) == wanted


UPSTREAMS_SOURCES: tuple[tuple[Assembler, tuple[str, ...], int], ...] = (
    (HEX1, ("x86/hex2_x86.hex1",), 0),
    (HEX2, ("x86/catm_x86.hex2",), 0),
    (HEX2, ("x86/ELF-i386.hex2", "x86/M0_x86.hex2"), 0),
    # hex0 and hex1 are hex2, except that hex1's labels may stand side by side.
    (HEX2, ("x86/hex0_x86.hex0",), 0),
    (HEX2, ("x86/hex1_x86.hex0",), 0),
    (HEX2, ("x86/kaem-minimal.hex0",), 0),
    (HEX2, ("x86/hex2_x86.hex1",), 0),
    # Headers alone: the labels of the program are missing.
    (HEX2, ("x86/ELF-i386.hex2",), Kind.UNDEFINED),
    (HEX2, ("x86/ELF-i386-debug.hex2",), Kind.UNDEFINED),
    (HEX2, ("M2libc/x86/ELF-x86.hex2",), Kind.UNDEFINED),
    (HEX2, ("M2libc/x86/ELF-x86-debug.hex2",), Kind.UNDEFINED),
    (M0, ("x86/cc_x86.M1",), 0),
    (M0, ("x86/x86_defs.M1", "x86/libc-core.M1"), 0),
)


@pytest.mark.upstream
@pytest.mark.parametrize(
    ("assembler", "paths", "status"),
    [
        pytest.param(assembler, paths, status, id=" ".join((assembler.name, *paths)))
        for assembler, paths, status in UPSTREAMS_SOURCES
    ],
)
def test_upstreams_sources(
    release: SourceTree,
    upstreams: dict[str, bytes],
    assembler: Assembler,
    paths: tuple[str, ...],
    status: int,
) -> None:
    program = b"".join(release.files[path].data for path in paths)
    wanted = assembler.expected(program)
    assert wanted[0] == status
    for tool in (assembler.tool, upstreams[assembler.name]) if status == 0 else (assembler.tool,):
        ended = tools.emulated(default_engine(), tool, ["in", "out"], {"in": program})
        assert (ended.status, ended.files.get("out")) == wanted
