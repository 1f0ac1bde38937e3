"""The knight: its instructions one by one, and stage0's ROMs where the cache has them."""

import hashlib
import itertools
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.core.release import read_folder
from bootstrap.languages import hex0
from bootstrap.machines import stage0
from bootstrap.machines.knight import MASK, ROWS, Knight, KnightLimits, decode
from bootstrap.sources import Cache
from bootstrap.sources.checkouts import STAGE0, checkout_at
from tests.material.schemas import require

LIMITS = KnightLimits(memory=4096, instructions=10_000)
HALT = "ffffffff"


def run(code: str, tape: bytes = b"", **registers: int) -> Knight:
    knight = Knight(bytes.fromhex(code + HALT), tape, limits=LIMITS)
    for name, value in registers.items():
        knight.r[int(name[1:])] = value
    knight.run()
    return knight


@pytest.mark.parametrize(
    ("code", "r1", "r2", "expected"),
    [
        ("05000312", 5, 0xFFFFFFFF, 4),  # ADD R3 R1 R2
        ("05002312", 3, 5, 0xFFFFFFFE),  # SUB
        ("05004312", 0xFFFFFFFF, 1, 1),  # CMP: less
        ("05005312", 0xFFFFFFFF, 1, 4),  # CMPU: greater
        ("0500a312", 0xFFFFFFF9, 2, 0xFFFFFFFD),  # DIV: -7 / 2 is -3, as in C
        ("0500b312", 0xFFFFFFF9, 2, 0xFFFFFFFF),  # MOD: -7 % 2 is -1
        ("0500c312", 0xFFFFFFF9, 2, 0x7FFFFFFC),  # DIVU
        ("05010312", 0xFFFFFFFF, 1, 1),  # MAX
        ("05027312", 6, 3, 4),  # LPQ
        ("05035312", 4, 1, 0x80000002),  # SR1
        ("05036312", 1, 1, 0x80000000),  # ROL, which the reference machine does to the right
        ("e1000e31fffe", 1, 0, 0xFFFFFFFF),  # ADDI R3 R1 -2
        ("e100b031ff00", 0xFFFFFFFF, 0, 0xFFFFFF00),  # ANDI with the sign extended
        ("e0002d13fffe", 0, 0, 0xFFFFFFFE),  # LOADI
        ("09000631", 5, 0, 0xFFFFFFFA),  # NOT
        ("0d000003", 0, 0, 4),  # READPC
        ("0d000033", 0, 0, 0xFFFFFFFF),  # TRUE
    ],
)
def test_values(code: str, r1: int, r2: int, expected: int) -> None:
    assert run(code, r1=r1, r2=r2).r[3] == expected


@pytest.mark.parametrize(
    ("code", "r1", "r2", "executed"),
    [
        ("3c000004 00000000", 0, 0, 2),  # JUMP over a NOP
        ("e100c0120004 00000000", 5, 0xFFFFFFFF, 2),  # CMPJUMPI.G: 5 > -1
        ("e100d0120004 00000000", 5, 0xFFFFFFFF, 3),  # CMPJUMPUI.G
        ("e000a011fffe 00000000", 0, 0, 2),  # CMPSKIPI.G: 0 > -2
        ("e000a021fffe 00000000", 0xFFFE, 0, 2),  # CMPSKIPI.E: the immediate has no sign here
        ("09030212 00000000", 5, 5, 2),  # CMPSKIP.E
        ("09030212 e10000000000", 5, 5, 2),  # a skip of six bytes
        ("e0002c910004 00000000", 0, 0, 2),  # JUMP.Z
    ],
)
def test_jumps_and_skips(code: str, r1: int, r2: int, executed: int) -> None:
    assert run(code.replace(" ", ""), r1=r1, r2=r2).executed == executed


def test_calls_return_and_leave_nothing_on_the_stack() -> None:
    # CALLI R15 @6; HALT; RET R15
    knight = Knight(bytes.fromhex("e0002d0f0004" + HALT + "0d01001f"), limits=LIMITS)
    knight.r[15] = 100
    knight.run()
    assert (knight.executed, knight.r[15], bytes(knight.memory[100:104])) == (3, 100, bytes(4))
    # PUSHR R1 R15; POP8 R2 R15 takes the last byte
    knight = run("0902001f 0902812f".replace(" ", ""), r1=0x123456F8, r15=200)
    assert (knight.r[2], knight.r[15]) == (0xFFFFFFF8, 203)


def test_tapes_are_read_and_written() -> None:
    # R0 = tape 1: open; loop: get, until -1; put it on tape 2
    code = (
        "e0002d201100 42100000 e0002d201101 42100001"  # LOADUI R0 0x1100 / 0x1101
        "e0002d211100 42100100 e0002cc0000e e0002d211101 42100200 3c00ffe2"
    ).replace(" ", "")
    knight = run(code, b"abc")
    assert bytes(knight.tapes[0x1101].data) == b"abc"


def test_a_rom_that_changes_itself_runs_what_it_wrote() -> None:
    # STORER32 R1 over the next instruction but one, a NOP: it becomes TRUE R3
    knight = run("e0002f310004 00000000 00000000".replace(" ", ""), r1=0x0D000033)
    assert knight.r[3] == 0xFFFFFFFF


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("01ffffff", "no instruction: 01 ff ff ff"),
        ("3c00fffc", "limit: 10000 instructions"),
        ("e10013017fff", "a load of 4 bytes from 0x7fff, beyond the memory"),
        ("42100100", "the tape 0x1100 is not open"),
        ("0500a312", "a division by 0"),
        ("3c000ff0", "an instruction beyond the memory|no instruction"),
    ],
)
def test_what_it_cannot_do_stops_it(code: str, why: str) -> None:
    with pytest.raises(GuestFailed, match=why):
        run(code, r1=0x1100 if code.startswith("42") else 0)
    with pytest.raises(GuestFailed, match="a ROM of 5000 bytes"):
        Knight(bytes(5000), limits=LIMITS)
    with pytest.raises(BadInput, match="more than 32 bits address"):
        Knight(b"", limits=KnightLimits(memory=1 << 70))


@given(st.binary(min_size=6, max_size=6))
def test_any_bytes_decode_to_one_instruction_or_none(data: bytes) -> None:
    found = decode(data, 0)
    if found is not None:
        assert data.hex().startswith(found.row.pattern)
        assert found.text.split()[0] == found.row.name
    knight = Knight(data, limits=KnightLimits(memory=4096, instructions=50))
    try:
        knight.run()
    except GuestFailed:
        pass


CODE = st.lists(
    st.tuples(st.sampled_from(sorted(ROWS)), st.binary(min_size=6, max_size=6)), max_size=8
).map(
    lambda rows: "".join(
        (pattern + more.hex())[: 12 if pattern[:2] in ("e0", "e1") else 8] for pattern, more in rows
    )
)
VALUES = st.lists(st.sampled_from([0, 1, 8, 40, 0x1100, 0x1101, 1 << 31, MASK]), min_size=16,
                  max_size=16)  # fmt: skip


@given(CODE, VALUES, st.integers(1, 60))
def test_one_by_one_and_many_at_once_are_the_same(code: str, values: list[int], count: int) -> None:
    found = []
    for steps in ([count], [1] * count):
        knight, why = Knight(bytes.fromhex(code), b"tape", limits=LIMITS), ""
        knight.r[:] = values
        try:
            for number in steps:
                knight.step(number)
        except GuestFailed as error:
            why = str(error).partition(" [")[0]
        found.append((why, knight.r, knight.ip, knight.memory, knight.halted))
    assert found[0] == found[1]


def test_no_pattern_hides_another() -> None:
    patterns = sorted(ROWS)
    assert len({row.name for row in ROWS.values()}) == len(ROWS)
    for one, after in itertools.pairwise(patterns):
        assert not after.startswith(one), (one, after)


WHY_NOT = (
    "" if Cache().releases(STAGE0) else
    "no stage0 in the cache: bootstrap fetch stage0 --from DIR"
)  # fmt: skip
NEEDED = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)


@NEEDED
def test_the_first_roms_of_stage0() -> None:
    with checkout_at(None, STAGE0, Cache()) as at:
        files = {path: file.data for path, file in read_folder(at.folder).files.items()}
    source = "stage1/stage1_assembler-0.hex0"
    seed = bytes(hex0.assemble(files[source], source).output)
    assert hashlib.sha256(seed).hexdigest() == stage0.SEED_SHA256
    roms = stage0.build(files, seed, KnightLimits(), lambda _name: None)
    first = [next(roms) for _ in range(7)]
    assert [rom.name for rom in first if rom.matches] == [step.output for step in stage0.STEPS[:7]]
    del files["stage1/CAT.s"]
    with pytest.raises(BadInput, match="there is no stage1/CAT"):
        list(stage0.build(files, seed, KnightLimits(), lambda _name: None))


def test_sums_are_read_strictly() -> None:
    assert stage0.sums(b"0" * 64 + b"  roms/M0\n") == {"M0": "0" * 64}
    with pytest.raises(BadInput, match=r"SHA256SUMS:1: is no"):
        stage0.sums(b"0  roms/M0\n")


STEPS = "s\ns 2\nb 4\nc\nr\nm 0 4\nl 1\nwhat\nq\n"


def test_the_command_lists_steps_and_runs(tmp_path: Path) -> None:
    source, rom, tape = tmp_path / "rom.hex0", tmp_path / "rom", tmp_path / "tape"
    source.write_text("0D 00 00 03 # where\n3C 00 FF F8 ; back\n")
    rom.write_bytes(bytes.fromhex("0d0000033c00fff8"))

    def command(*args: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        words = [sys.executable, "-m", "bootstrap", "knight", str(rom), *args]
        return subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)

    listed = command("--disassemble", "--listing", str(source))
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.splitlines() == [
        f"0x0000  0d000003      READPC R3                   {source}:1  0D 00 00 03 # where",
        f"0x0004  3c00fff8      JUMP -8                     {source}:2  3C 00 FF F8 ; back",
    ]
    stepped = command("--step", stdin=STEPS)
    assert stepped.returncode == 0, stepped.stderr
    assert "breakpoints: 0x4" in stepped.stdout
    assert "r3=00000004" in stepped.stdout
    assert "0x0000  0d 00 00 03" in stepped.stdout
    assert "ip=0x4 after 5" in stepped.stdout or "ip=0x4 after" in stepped.stdout
    ended = command("--limit", "instructions=100")
    assert ended.returncode == 3
    assert ended.stderr.count("\n") == 1
    rom.write_bytes(bytes.fromhex("ffffffff"))
    end = str(tmp_path / "end.json")
    assert command("--tape2", str(tape), "--json", end).returncode == 0
    found = require(Path(end).read_text())
    assert (found["ended"], found["counts"]) == ("halted", {"instructions": 1})
    assert command("--disassemble", "--json", end).returncode == 2
    assert tape.read_bytes() == b""
    assert command("--listing", str(source)).returncode == 2
