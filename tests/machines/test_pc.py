"""The bare PC: boot sectors of our own, on both paths, and on QEMU's PC where it is."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.machines.disk import Disk
from bootstrap.machines.interrupts import Steps, find_library
from bootstrap.machines.pc import GateWatch, Interrupt, Pc, PcLimits
from tests.machines import sectors
from tests.material.schemas import require

LIMITS = PcLimits(memory=64 << 20, disk=1 << 20, seconds=20)
NATIVE = pytest.param(
    True, marks=pytest.mark.skipif(find_library() is None, reason="interrupts.c was not built")
)
EACH_PATH = pytest.mark.parametrize("native", [NATIVE, False], ids=["native", "python"])
IMAGES = {
    "text": (sectors.prints(b"Hello\r\nworld\r\n"), b"Hello\r\nworld\r\n"),
    "disk": (sectors.disk(), b"first\r\nsecond\r\nbeyond\r\n"),
    "modes": (sectors.modes(), b"PM"),
}


@contextlib.contextmanager
def machine(
    folder: Path,
    image: bytes,
    native: bool = False,
    limits: PcLimits = LIMITS,
    keys: bytes = b"",
    watch: GateWatch | None = None,
    steps: Steps | None = None,
) -> Iterator[tuple[Pc, bytearray]]:
    file = folder / "disk.img"
    file.write_bytes(image)
    console, left = bytearray(), list(keys)
    with contextlib.closing(Disk(file, limits.disk)) as disk:
        pc = Pc(
            disk, console.append, lambda _wait: left.pop(0) if left else None, limits,
            watch, steps, native=native,
        )  # fmt: skip
        with contextlib.closing(pc):
            yield pc, console
    assert file.read_bytes() == image


@EACH_PATH
@pytest.mark.parametrize("name", IMAGES)
def test_a_boot_sector_does_what_it_says(tmp_path: Path, name: str, native: bool) -> None:
    image, expected = IMAGES[name]
    with machine(tmp_path, image, native) as (pc, console):
        assert pc.run() == "reboot"
        assert bytes(console) == expected + b"  "
        assert pc.counted(0x30) == ({0x50: 1, 0x4D: 1} if name == "modes" else {})
        if name == "disk":
            after = b"".join(pc.disk.pieces())
            assert after[3 * 512 : 4 * 512] == image[512:1024]
            assert after[: 3 * 512] == image[: 3 * 512]


@pytest.mark.skipif(bool(sectors.WHY_NOT), reason=sectors.WHY_NOT)
@pytest.mark.parametrize("name", IMAGES)
def test_as_on_the_pc_of_qemu(tmp_path: Path, name: str) -> None:
    image, expected = IMAGES[name]
    console, disk = sectors.in_qemu(tmp_path, image)
    assert console == expected
    with machine(tmp_path, image) as (pc, _):
        pc.run()
        assert b"".join(pc.disk.pieces()).ljust(1 << 20, b"\0") == disk


def test_keys_come_one_by_one(tmp_path: Path) -> None:
    with machine(tmp_path, sectors.echo(), keys=b"abqz") as (pc, console):
        assert pc.run() == "reboot"
        assert bytes(console) == b"abY  "
    with machine(tmp_path, sectors.echo(), keys=b"q") as (pc, console):
        assert pc.run() == "reboot"
        assert bytes(console) == b"N  "
    with (
        machine(tmp_path, sectors.echo(), keys=b"a") as (pc, _),
        pytest.raises(GuestFailed, match="waits for a key, and there are no more"),
    ):
        pc.run()


def test_each_gate_can_be_watched(tmp_path: Path) -> None:
    taken: list[Interrupt] = []
    with machine(
        tmp_path, sectors.modes(), watch=GateWatch(lambda _pc, one: taken.append(one))
    ) as (pc, _):
        pc.run()
    assert [(one.vector, chr(one.registers[0] & 0xFF)) for one in taken] == [
        (0x30, "P"), (0x30, "M"),
    ]  # fmt: skip


@EACH_PATH
@pytest.mark.parametrize(("each", "points"), [(True, []), (False, [0x7C01]), (False, range(65))])
def test_a_debugger_is_asked_before_what_it_chose(
    tmp_path: Path, each: bool, points: Sequence[int], native: bool
) -> None:
    heard: list[int] = []
    steps = Steps(heard.append)
    steps.choose(each, points)
    with machine(tmp_path, sectors.sector(b"\x90\x90\xf4"), native, steps=steps) as (pc, _):
        assert pc.run() == "halted"
    few = steps.in_c and len(points) == 1  # there are 64 at most
    assert heard == ([0x7C01] if few else [0x7C00, 0x7C01, 0x7C02])


@EACH_PATH
@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "b400 cd1a",
            r"int 1ah ah=00h al=00h: this firmware does not have it \[real mode, 0000:7c",
        ),
        ("b408 cd13", "int 13h ah=08h"),
        ("0f0b", "the machine stopped: Invalid instruction"),
        ("31c9 f7f1", r"exception 0 \(divide error\)"),
        ("e464", r"in: no device at 0x64 \[real mode, 0000:7c"),
        ("b0fe e664", "out: no device at 0x64"),
        ("ea000000e0", r"the guest runs at 0xe0000: there is no code \[real mode, e000:0000"),
        ("660d00000080 0f22c0", r"mov cr0 at 0x7c12: there is no paging \[real mode, 0000:7c"),
        ("6681cb00000080 0f22c3", "mov cr0 at 0x7c13: there is no paging"),
        ("0f31", r"rdtsc at 0x7c0c: there is no clock \[real mode, 0000:7c"),
        ("eb00 66f30f31", "rdtsc at 0x7c0e: there is no clock"),
        # call a ret, write rdtsc over it, and go there
        ("e80700 c706167c0f31 90 c390", r"rdtsc at 0x7c16: there is no clock"),
        ("0f01f9", "the machine stopped: Invalid instruction"),  # rdtscp
        ("0fc7f0", "the machine stopped: Invalid instruction"),  # rdrand
    ],
)
def test_what_the_machine_does_not_have_stops_it(
    tmp_path: Path, code: str, why: str, native: bool
) -> None:
    image = sectors.sector(sectors.START + bytes.fromhex(code))
    with machine(tmp_path, image, native) as (pc, _), pytest.raises(GuestFailed, match=why):
        pc.run()


@EACH_PATH
def test_bytes_of_rdtsc_in_another_instruction_are_no_rdtsc(tmp_path: Path, native: bool) -> None:
    image = sectors.sector(bytes.fromhex("b80f31 eb00 b90f31 f4"))  # mov ax, 0x310f; mov cx, ...
    with machine(tmp_path, image, native) as (pc, _):
        assert pc.run() == "halted"
        assert pc.register("cx") == 0x310F


@EACH_PATH
def test_code_is_served_as_it_now_is(tmp_path: Path, native: bool) -> None:
    """Not as it was when the bytes of rdtsc, or of rep stosb, were found there."""
    for code in ("0f31", "f3aa"):
        start = sectors.START
        # Jump over them and a hlt, write two nops over them, and go there.
        at = 0x7C00 + len(start) + 2
        patch = b"\xc7\x06" + at.to_bytes(2, "little") + b"\x90\x90"
        image = start + bytes.fromhex(f"eb03 {code} f4") + patch
        image += b"\xe9" + (at - (0x7C00 + len(image) + 3) & 0xFFFF).to_bytes(2, "little")
        with machine(tmp_path, sectors.sector(image), native) as (pc, _):
            assert pc.run() == "halted"


@EACH_PATH
def test_what_is_cleared_at_once_is_what_the_instruction_clears(
    tmp_path: Path, native: bool
) -> None:
    in32 = bytes.fromhex(
        "b000 bf 00a00000 b9 03000000 f3aa"  # al = 0, edi = 0xa000, ecx = 3: rep stosb
        "bf 01082000 b9 00042000 f3aa b05a aa"  # over 2 MiB from 0x200801 on; then 'Z'
    )
    # di = 0xa005 and cx = 2, but edi = 0x1a005 and ecx = 0x10002: in code of 16 bits
    in16 = bytes.fromhex("b000 66bf 05a00100 66b9 02000100 f3aa")
    with machine(tmp_path, sectors.modes(in32, in16), native) as (pc, console):
        for start in (0xA000, 0x1A000):
            pc.store(start, b"A" * 16)
        pc.store(0x200000, b"A" * 0x300000)
        assert pc.run() == "reboot"
        assert bytes(console) == b"PM  "
        assert pc.ram[0xA000:0xA010] == b"\0\0\0AA\0\0AAAAAAAAA"
        assert pc.ram[0x1A000:0x1A010] == b"A" * 16
        expected = b"A" * 0x801 + bytes(0x200400) + b"Z"
        assert pc.ram[0x200000:0x500000] == expected.ljust(0x300000, b"A")


@EACH_PATH
def test_a_gate_that_is_not_there_stops_it(tmp_path: Path, native: bool) -> None:
    image = sectors.modes().replace(b"\xb0\x4d\xcd\x30", b"\xb0\x4d\xcd\x31")
    with (
        machine(tmp_path, image, native) as (pc, _),
        pytest.raises(GuestFailed, match=r"int 0x31: the guest's interrupt table has no gate"),
    ):
        pc.run()
    # mov ecx, [0xfffffff0], beyond the memory
    image = sectors.modes().replace(b"\xb0\x50\xcd\x30\xb0\x4d", b"\x8b\x0d\xf0\xff\xff\xff")
    with (
        machine(tmp_path, image, native) as (pc, _),
        pytest.raises(GuestFailed, match=r"the machine stopped.*beyond the memory"),
    ):
        pc.run()


@EACH_PATH
def test_limits_end_it(tmp_path: Path, native: bool) -> None:
    forever = sectors.sector(sectors.START + b"\xeb\xfe")
    limits = PcLimits(memory=64 << 20, seconds=1)
    with (
        machine(tmp_path, forever, native, limits) as (pc, _),
        pytest.raises(GuestFailed, match=r"limit: the machine ran for 1 seconds"),
    ):
        pc.run()
    limits = PcLimits(memory=64 << 20, interrupts=1)
    with (
        machine(tmp_path, sectors.modes(), native, limits) as (pc, _),
        pytest.raises(GuestFailed, match="limit: 1 interrupts were taken"),
    ):
        pc.run()
    limits = PcLimits(memory=64 << 20, disk=511)
    with (
        machine(tmp_path, sectors.disk(), native, limits) as (pc, _),
        pytest.raises(GuestFailed, match="limit: the guest wrote to more than 511 bytes"),
    ):
        pc.run()


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        Disk(tmp_path / "nothing", 0)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="is no file"):
        Disk(tmp_path / "pipe", 0)
    (tmp_path / "short").write_bytes(b"x" * 511)
    with pytest.raises(GuestFailed, match=r"^the firmware finds no boot sector: .* has 511 bytes"):
        Disk(tmp_path / "short", 0)
    with (
        machine(tmp_path, bytes(512)) as (pc, _),
        pytest.raises(GuestFailed, match="finds no boot sector"),
    ):
        pc.run()
    with (
        pytest.raises(BadInput, match="memory"),
        machine(tmp_path, bytes(512), limits=PcLimits(memory=4097)),
    ):
        pass


def _bootstrap(*args: str, **how: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "bootstrap", *args]
    return subprocess.run(command, capture_output=True, env={**os.environ, **how}, check=False)


def test_the_command_prints_and_writes_the_disk(tmp_path: Path) -> None:
    image = tmp_path / "disk.img"
    image.write_bytes(sectors.disk())
    after, end = tmp_path / "after.img", str(tmp_path / "end.json")
    done = _bootstrap(
        "pc", str(image), "--disk-out", str(after), "--limit", "memory=64M", "--json", end
    )
    assert (done.returncode, done.stdout) == (0, IMAGES["disk"][1] + b"  ")
    assert done.stderr == b"bootstrap: the machine rebooted\n"
    assert after.read_bytes()[1536:2048] == sectors.disk()[512:1024]
    found = require(Path(end).read_text())
    assert (found["command"], found["ended"]) == ("pc", "rebooted")
    assert _bootstrap("pc", str(image), "--json", "-").returncode == 2
    assert _bootstrap("pc", "image", "-o", str(after), "--json", end).returncode == 2
    image.write_bytes(sectors.sector(sectors.START + b"\xb4\x08\xcd\x13"))
    done = _bootstrap("pc", str(image), "--limit", "memory=64M")
    assert done.returncode == 3
    assert done.stderr.count(b"\n") == 1
    assert _bootstrap("pc", str(image), "--limit", "speed=1").returncode == 2
    assert _bootstrap("pc", str(tmp_path)).returncode == 2
    assert _bootstrap("pc", "image").returncode == 2
