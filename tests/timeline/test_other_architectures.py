"""Recording, travelling and `why` in what is not x86: the release's first programs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.languages import hex2, hex2_linker
from bootstrap.languages.assembly import Architecture
from bootstrap.languages.source import SourceText
from bootstrap.runs.rebuild import record_rebuild
from bootstrap.sources import SourceTree
from bootstrap.timeline.disassembly import Decoder
from bootstrap.timeline.images import ProgramImages
from bootstrap.timeline.origins import ByteOrigins
from bootstrap.timeline.render import show_lines
from bootstrap.timeline.source_maps import SourceMap, Target, maker, target_of
from bootstrap.timeline.state import show
from bootstrap.timeline.timeline import Counting, Timeline
from bootstrap.trace.columns import shown
from bootstrap.trace.compare import check
from bootstrap.trace.store import OpenRow, Trace
from tests.instruments.runs import HOT_PATHS, engine_for
from tests.runs.known import for_a_module
from tests.timeline.conftest import ARCHES, ARGV, SOURCE
from tests.timeline.walking import World
from tests.trace import recorded
from tests.upstream.runs import early_step, resolved

pytestmark = pytest.mark.usefixtures("small")
BASE = 0x600000


known = pytest.fixture(scope="module", autouse=True)(for_a_module)
"""The early steps are step files of ours."""


@pytest.fixture(scope="module", params=ARCHES)
def arch(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def opened(
    arch: str, release: SourceTree, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trace]:
    """From the hex0 seed to M0, each program started by us."""
    step = early_step(release, arch, "M0")
    (entry,) = step.entries
    place = tmp_path_factory.mktemp(arch) / "t"
    record_rebuild(str(place), resolved(release, step), entry, engine_for("native"))
    with trace.open(place) as found:
        assert {program.status for program in found.programs} == {0}
        yield found


def wrote(why: ByteOrigins, path: str) -> OpenRow:
    return next(row for row in why.writers if shown(row.path) == path)


def test_why_comes_from_hex2_to_the_sources(arch: str, opened: Trace) -> None:
    """hex2-0 has the machine and its base address built in; its arguments tell neither."""
    why = ByteOrigins(opened)
    catm = f"{arch}/catm_{arch}.hex1" if arch == "AArch64" else f"{arch}/catm_{arch}.hex2"
    sources = {
        "catm": {catm},
        "M0": {f"{arch}/ELF-{arch.lower()}.hex2", f"{arch}/M0_{arch}.hex2"},
    }
    for name, expected in sources.items():
        path = f"{arch}/artifact/{name}"
        row = wrote(why, f"/{path}")
        assert row.last_version is not None
        content = opened.content(row.last_version)
        assert target_of(content) == Target(Architecture(arch.lower()), BASE)
        made = why.made(row)
        assert isinstance(made, SourceMap)
        assert all(made.place(offset) is not None for offset in range(len(content)))
        ends = set()
        for offset in (0x18, len(content) - 1):
            links = why.why(path, offset)
            assert (links[0].model, links[0].byte) == ("hex2", content[offset])
            assert links[-1].ends == "a file of the source tree"
            ends.add(links[-1].path)
        assert ends == expected


def test_another_base_address_or_machine_makes_another_file(arch: str, opened: Trace) -> None:
    """The model has to make the whole file: told wrong, it is said to make none."""
    why = ByteOrigins(opened)
    version, joined = (
        wrote(why, f"/{arch}/artifact/{name}").last_version for name in ("M0", "M0.hex2")
    )
    assert version is not None
    assert joined is not None
    content, text = opened.content(version), opened.content(joined)
    sources = [SourceText("M0.hex2", text)]
    assert isinstance(maker("/hex2-0", (), sources, content), SourceMap)
    changed = bytearray(content)
    # p_vaddr of the first program header, a page further.
    at = 52 + 8 + 1 if arch == "riscv32" else 64 + 16 + 1
    changed[at] ^= 0x10
    told = maker("/hex2-0", (), sources, bytes(changed))
    assert isinstance(told, str) and "makes another file" in told
    linked = hex2_linker.assemble(sources, Architecture(arch.lower()), BASE)
    assert linked.output == content
    assert hex2_linker.assemble(sources, Architecture(arch.lower()), hex2.BASE_ADDRESS) != linked


def test_run_again_it_is_the_same(opened: Trace) -> None:
    divergence = check(opened, engine_for("native"))
    assert divergence is None, divergence.lines()


@pytest.fixture(scope="module")
def seed(arch: str, seeds: Callable[[str], World]) -> World:
    return seeds(arch)


def test_both_hot_paths_record_the_same_and_run_it_again(seed: World, tmp_path: Path) -> None:
    image = seed.trace.content(seed.trace.programs[0].image)
    for hot_path in HOT_PATHS:
        digest = recorded.record(image, tmp_path / hot_path, hot_path, {b"/in": SOURCE}, ARGV)
        assert digest == seed.trace.digest
        divergence = check(seed.trace, engine_for(hot_path))
        assert divergence is None, divergence.lines()


def test_counted_one_by_one_by_blocks_and_by_steps(seed: World) -> None:
    steps = len(seed.way(1))
    for counting in (Counting.EACH, Counting.BLOCKS):
        for hot_path in HOT_PATHS:
            one = Timeline(seed.trace, engine_for(hot_path), counting=counting)
            assert one.total(1) == steps
            one.close()


def test_jumps_are_told_with_the_address_they_go_to(arch: str, seed: World) -> None:
    """All that the seed took: what came next is in the text of the instruction."""
    known = seed.way(1)
    image = ProgramImages(seed.trace).image(seed.trace.programs[0].image)
    seen = set()
    for pc, after in itertools.pairwise(known.pcs):
        offset = image.offset(pc)
        assert offset is not None
        one = image.decoder.one(image.content[offset : offset + 16], pc)
        assert one.is_instruction
        if after != pc + len(one.code) and not one.text.startswith(("ret", "br ", "jr ", "jalr")):
            assert int(re.split("[ #]", one.text)[-1], 16) == after, one.text
            seen.add(pc)
    assert len(seen) > 5


@pytest.mark.parametrize(
    ("abi", "code", "text"),
    [
        ("riscv32", "0120", "c.jal 0x10000"),
        ("riscv32", "01a0", "c.j 0x10000"),
        ("riscv64", "fdfd", "c.bnez a1, 0xfffe"),
        ("riscv64", "6ff09fff", "j 0xfff8"),
        ("riscv64", "0d25", "c.addiw a0, 3"),
        ("riscv64", "13018100", "addi sp, sp, 8"),
    ],
)
def test_distances_of_risc_v(abi: str, code: str, text: str) -> None:
    assert Decoder(abi).one(bytes.fromhex(code), 0x10000).text == text


def test_show_tells_where_we_are(arch: str, opened: Trace) -> None:
    row = next(p.id for p in opened.programs if shown(p.path).endswith("/catm"))
    traveller = Timeline(opened, engine_for("native"))
    traveller.seek_call(row, 3)
    found = show(traveller, ProgramImages(opened))
    assert found.pc == traveller.pc == found.code[0].address
    assert (found.last_call.partition("(")[0], found.next_call.partition("(")[0]) == (
        ("brk", "open") if arch == "AMD64" else ("brk", "openat")
    )
    assert len(found.way) == 6
    assert all(code.source.startswith(f"{arch}/catm_{arch}.hex") for code in found.code)
    assert found.stack[0]["address"] == found.registers["rsp" if arch == "AMD64" else "sp"]
    assert {file.fd: file.path for file in found.files}[3] == f"/{arch}/artifact/M0.hex2"
    assert list(show_lines(found))
    traveller.close()
