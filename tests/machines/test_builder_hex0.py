"""Images of builder-hex0, and what its kernel makes of them, where the cache has a checkout."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.core.release import shipped
from bootstrap.core.verdict import compare
from bootstrap.machines.builder_hex0 import (
    STAGE1,
    STAGE2,
    MachineOpinion,
    Stages,
    boot,
    build,
    files_of,
    make_image,
    read_stages,
)
from bootstrap.machines.call_log import CallLog, line
from bootstrap.machines.disk import SECTOR
from bootstrap.machines.pc import GateWatch, PcLimits
from bootstrap.runs.deciding import core_tree
from bootstrap.sources import Cache, resolve
from bootstrap.sources.checkouts import BUILDER_HEX0, checkout_at

WHY_NOT = (
    "" if Cache().releases(BUILDER_HEX0) else
    "no builder-hex0 in the cache: bootstrap fetch builder-hex0 --from DIR"
)  # fmt: skip
NEEDED = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


def _sources(folder: Path, sector: int, size: int = 2 * 512) -> Path:
    """Two sources of our own: a stage1 that does nothing, and a stage2 whose commands begin at a
    sector."""
    (folder / STAGE1).write_bytes(b"00\n" * 510 + b"55 AA\n")
    code = "C7 05 00 00 00 01 " + sector.to_bytes(4, "little").hex(" ") + "\n"
    (folder / STAGE2).write_bytes(code.encode() + b"#" * (size - len(code) - 1) + b"\n")
    return folder


def test_an_image_is_stage1_stage2_and_commands(tmp_path: Path) -> None:
    stages = read_stages(_sources(tmp_path, 3))
    image = make_image(stages, {"a/b": b"xy"}, {"c/d"}, ["hex0 /a/b /c/d/e", "/c/d/e /a/b"])
    assert image == make_image(stages, {"a/b": b"xy"}, {"c/d"}, ["hex0 /a/b /c/d/e", "/c/d/e /a/b"])
    assert image[:SECTOR] == stages.stage1
    assert image[SECTOR : 3 * SECTOR] == stages.stage2
    script = image[3 * SECTOR :].rstrip(b"\0")
    assert script == (
        b"src 0 /\nsrc 0 /a\nsrc 0 /c\nsrc 0 /c/d\nsrc 2 /a/b\nxyhex0 /a/b /c/d/e\n/c/d/e /a/b\n"
    )
    assert len(image) % (1 << 20) == 0
    for name in ("a\nb", "x" * 1001):
        with pytest.raises(BadInput, match="cannot read such a name"):
            make_image(stages, {name: b""}, set(), [])


def test_what_is_no_builder_hex0_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_stages(tmp_path)
    with pytest.raises(BadInput, match=r"reads commands from sector 4; .* stand at sector 3"):
        read_stages(_sources(tmp_path, 4))
    (tmp_path / STAGE1).write_bytes(b"00")
    with pytest.raises(BadInput, match="compiles to 1 bytes, not to a boot sector"):
        read_stages(tmp_path)


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    with checkout_at(None, BUILDER_HEX0, Cache()) as at:
        yield read_stages(at.folder)


@NEEDED
def test_its_kernel_makes_files_and_runs_hex0(stages: Stages, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(make_image(stages, {"in": b"41 42 ; c\n43"}, {"d"}, ["hex0 /in /d/out"]))
    console, lines = bytearray(), list[str]()
    log = CallLog(lambda pc, call, result: lines.append(line(pc, call, result)))
    stopped, pc = boot(image, PcLimits(), console.append, GateWatch(log.taken))
    found = dict(files_of(pc))
    pc.close()
    assert stopped == "reboot"
    assert found["/d/out"] == b"ABC"
    assert b"hex0\r\n/in /d/out\r\nBuild finished." in bytes(console)
    assert lines[0] == '[pid     0] read(0, "s", 1)             = 1'
    assert '[pid     0] open("/d/out", O_WRONLY|O_CREAT|O_TRUNC, 0600) = 8' in lines
    assert '[pid     0] open("/in", O_RDONLY)       = 7' in lines


@NEEDED
@pytest.mark.parametrize("cut", [True, False])
def test_a_kernel_that_is_not_whole_or_never_ends(
    stages: Stages, tmp_path: Path, cut: bool
) -> None:
    """stage1 asks for the missing sector again and again, or compiles over itself."""
    whole, image = make_image(stages, {}, set(), []), tmp_path / "image"
    image.write_bytes(whole[:2000] if cut else whole[:512] + b"90 " * (len(whole) // 3 - 200))
    why = (
        "limit: the machine ran for 1 seconds.*real mode" if cut else "there is no code.*real mode"
    )
    with pytest.raises(GuestFailed, match=why):
        boot(image, PcLimits(seconds=1 if cut else 20), lambda _byte: None)


@NEEDED
def test_a_guest_that_never_ends_stops_at_a_limit(stages: Stages, tmp_path: Path) -> None:
    # jmp to itself, in a program of one segment at 0x08048000
    program = bytes.fromhex(
        "7f454c4601010100 0000000000000000 02000300 01000000 54800408 34000000 00000000 00000000"
        "3400 2000 0100 0000 0000 0000 01000000 00000000 00800408 00800408 56000000 56000000"
        "07000000 00100000 ebfe"
    )
    image = tmp_path / "image"
    image.write_bytes(make_image(stages, {"p": program}, set(), ["/p /p"]))
    with pytest.raises(GuestFailed, match=r"limit: the machine ran for 3 seconds.*protected mode"):
        boot(image, PcLimits(seconds=3), lambda _byte: None)


def opinion(**other: object) -> MachineOpinion:
    release = next(r for r in shipped("x86") if r.title == "stage0-posix 1.9.1")
    good = {value.path: value.sha256 for value in release.known}
    fields: dict[str, object] = {
        "stages": {}, "image_sha256": "", "artifacts": compare(good, release.known),
        "seeds": {"s": True}, "materials": {}, "guest_ok": 19, "console": "", "calls": {},
        "stopped": "reboot",
    }  # fmt: skip
    return MachineOpinion(**{**fields, **other})  # type: ignore[arg-type]


def test_it_agrees_only_if_all_is_as_known() -> None:
    release = next(r for r in shipped("x86") if r.title == "stage0-posix 1.9.1")
    good = {value.path: value.sha256 for value in release.known}
    changed = {**good, "x86/bin/M1": hashlib.sha256(b"").hexdigest()}
    assert opinion().agrees
    for other in (
        {"artifacts": compare(changed, release.known)},
        {"artifacts": compare({}, release.known)},
        {"artifacts": ()},
        {"seeds": {"s": False}},
        {"materials": {"kaem.x86": None}},
        {"stopped": "halted"},
    ):
        assert not opinion(**other).agrees, other


@NEEDED
def test_another_tree_is_not_run(stages: Stages) -> None:
    resolved = resolve(None, "embedded", "x86", Cache())
    release = next(r for r in shipped("x86") if r.title == "stage0-posix 1.9.1")
    found = build(stages, core_tree(resolved.tree), release, PcLimits())
    assert not found.agrees
    assert found.stopped == "not started"
    assert found.materials


@NEEDED
@pytest.mark.exhaustive
def test_a_whole_release_is_made_by_its_kernel(stages: Stages) -> None:
    """Ten minutes and more."""
    resolved = resolve(None, "1.9.1", "x86", Cache())
    release = next(r for r in shipped("x86") if r.title == "stage0-posix 1.9.1")
    found = build(stages, core_tree(resolved.tree), release, PcLimits())
    assert found.agrees
    assert (len(found.artifacts), found.guest_ok) == (73, 19)
    counts = {2: 131, 11: 132, 6: 549, 19: 2624, 45: 9_186_022}
    assert {number: found.calls[number] for number in counts} == counts
