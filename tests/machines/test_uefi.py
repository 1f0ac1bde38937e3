"""UEFI firmware: programs of our own, and stage0's seeds where a checkout of them is given."""

import hashlib
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.machines import uefi
from bootstrap.machines.uefi import INVALID, NOT_FOUND, Uefi, UefiLimits, UefiVolume
from bootstrap.sources import Cache
from tests.machines import programs
from tests.material.schemas import require

LIMITS = UefiLimits(memory=16 << 20, files=1 << 20, seconds=20)


def run(program: bytes, options: str = "p.efi", limits: UefiLimits = LIMITS) -> tuple[int, str]:
    printed: list[str] = []
    machine = Uefi(UefiVolume.of({}, frozenset()), printed.append, limits)
    status = machine.run(machine.load(program, "p.efi", options))
    return status, "".join(printed)


def test_a_program_prints_and_ends() -> None:
    assert run(programs.prints("Grüße\r\n")) == (0, "Grüße\r\n")
    assert run(programs.prints("", NOT_FOUND)) == (NOT_FOUND, "")
    assert run(programs.exits(7)) == (7, "")


def test_what_the_firmware_does_not_have_stops_it() -> None:
    for offset, name in ((24, "RaiseTPL"), (240, "GetNextMonotonicCount"), (248, "Stall")):
        rcx = 0x20000
        with pytest.raises(GuestFailed, match=f"^{name}: this firmware.*rip="):
            run(programs.calls(offset, rcx))
    # kaem-optional-seed calls it so, and takes it for another service.
    assert run(programs.calls(240, 0)) == (INVALID, "")
    assert run(programs.calls(72, 5)) == (INVALID, ""), "FreePool of what is not allocated"


def test_there_is_no_time_and_no_key() -> None:
    for offset in (72, 80, 88):  # GetVariable, GetNextVariableName, SetVariable
        assert run(programs.calls(offset, table=programs.RUNTIME)) == (INVALID, "")
    for offset, table, name in ((24, programs.RUNTIME, "GetTime"),
                                (8, programs.KEYS, "ReadKeyStroke")):  # fmt: skip
        with pytest.raises(GuestFailed, match=f"^{name}: this firmware.*rip="):
            run(programs.calls(offset, table=table))


def test_variables_are_set_read_listed_and_deleted() -> None:
    """As M2libc's spawn hands an environment to a program."""
    machine = Uefi(UefiVolume.of({}, frozenset()), print, LIMITS)
    name, vendor, size, data, attributes = range(0x20000, 0x25000, 0x1000)

    def put(text: str, value: bytes, access: int = 2) -> int:
        machine._write(name, text.encode("utf-16-le") + b"\0\0")
        machine._write(data, value or b"\0")
        return machine._set_variable(name, vendor, access, len(value), data)

    def get(room: int = 100) -> tuple[int, int, bytes]:
        machine._write(size, struct.pack("<Q", room))
        status = machine._get_variable(name, vendor, attributes, size, data)
        found = machine._quad(size)
        return status, found, machine._read_memory(data, found)

    def listed(room: int = 100) -> list[tuple[int, bytes]]:
        machine._write(name, b"\0\0")
        found: list[tuple[int, bytes]] = []
        while not found or not found[-1][0]:
            machine._write(size, struct.pack("<Q", room))
            status = machine._next_variable(size, name, vendor)
            found.append((status, machine._read_memory(name, machine._quad(size))))
        return found[:-1] if found[-1][0] == NOT_FOUND else found

    assert get()[0] == NOT_FOUND
    assert listed() == []
    assert [put("a", b"1"), put("b", b"22"), put("b", b"333"), put("", b"4")] == [0, 0, 0, INVALID]
    machine._write(name, b"b\0\0\0")
    assert get() == (0, 3, b"333")
    assert machine._quad(attributes) == 2
    assert get(room=2)[:2] == (uefi.TOO_SMALL, 3)
    assert listed() == [(0, b"a\0\0\0"), (0, b"b\0\0\0")]
    assert listed(room=3)[0][0] == uefi.TOO_SMALL
    machine._write(name, b"c\0\0\0")
    assert machine._next_variable(size, name, vendor) == INVALID
    assert [put("b", b""), put("b", b""), put("a", b"1", access=0)] == [0, NOT_FOUND, 0]
    assert listed() == []
    with pytest.raises(GuestFailed, match="SetVariable: with attributes 0x7: this firmware"):
        put("a", b"1", access=7)
    with pytest.raises(GuestFailed, match="limit: the variables have more than"):
        machine._set_variable(name, vendor, 2, 1 << 20, data)


def test_a_program_gives_back_its_memory_and_another_runs_in_it() -> None:
    """Eight MiB each, of 16; the engine must not go on with the code of the one before."""
    machine = Uefi(UefiVolume.of({}, frozenset()), print, LIMITS)
    for status in (1, 2, 3):
        program = bytearray(programs.exits(status))
        struct.pack_into("<I", program, 0x90, 8 << 20)
        assert machine.run(machine.load(bytes(program), "p.efi", "")) == status


@pytest.mark.parametrize(("at", "value"), [(0x56, 1), (0xF4, 12)], ids=["fixed", "relocations"])
def test_a_program_that_has_to_be_relocated_is_not_loaded(at: int, value: int) -> None:
    program = bytearray(programs.exits(0))
    struct.pack_into("<I", program, 0xC4, 16)  # data directories
    assert run(bytes(program)) == (0, "")
    struct.pack_into("<H", program, at, value)
    with pytest.raises(GuestFailed, match="does no relocations"):
        run(bytes(program))


def test_what_it_would_do_in_part_it_does_not_do() -> None:
    machine = Uefi(UefiVolume.of({"a": b"x"}, frozenset({"d"})), print, LIMITS)
    pointer = machine._allocate(64)
    assert pointer is not None
    assert machine._allocate_pages(0, 0, 2, pointer) == uefi.SUCCESS
    at = machine._quad(pointer)
    with pytest.raises(GuestFailed, match="FreePages: of a part"):
        machine._free_pages(at, 1)
    assert [machine._free_pages(at, 2), machine._free_pages(at, 2)] == [uefi.SUCCESS, INVALID]
    with pytest.raises(GuestFailed, match="AllocatePages: at or below an address"):
        machine._allocate_pages(1, 0, 1, pointer)
    file = uefi._UefiFile("a", False, False, offset=2)
    assert machine._read(file, pointer, pointer) == uefi.DEVICE_ERROR
    for number, left in enumerate((file, uefi._UefiFile("d", True, True))):
        machine._files[number] = left
        assert machine._delete(number) == uefi._NOT_DELETED
    assert machine.volume.files == {"a": b"x"}


def test_a_file_gets_another_size_and_nothing_else() -> None:
    """As M2libc does it: it changes what GetInfo gave."""
    machine = Uefi(UefiVolume.of({"d/abc": b"12345"}, frozenset({"d"})), print, LIMITS)
    file, guid, at = uefi._UefiFile("d/abc", False, True), 0x11000, 0x12000
    info = machine._info(file)
    assert struct.unpack_from("<QQ", info) == (len(info), 5)
    machine._write(guid, uefi._FILE_INFO)
    for size, expected in ((2, b"12"), (4, b"12\0\0")):
        machine._write(at, info[:8] + struct.pack("<Q", size) + info[16:])
        assert machine._set_info(file, guid, len(info), at) == uefi.SUCCESS
        assert machine.volume.files["d/abc"] == expected
    assert machine.volume.changed == {"d/abc"}
    machine._write(at + 8, struct.pack("<Q", 1 << 30))
    with pytest.raises(GuestFailed, match="limit: with d/abc the files"):
        machine._set_info(file, guid, len(info), at)
    for place in (30, 72, 80):  # a time, the attributes, the name
        machine._write(at, info[:place] + b"x" + info[place + 1 :])
        with pytest.raises(GuestFailed, match="SetInfo: of more than a size"):
            machine._set_info(file, guid, len(info), at)
    assert machine._set_info(file, guid, 79, at) == uefi.UNSUPPORTED
    file.writable = False
    assert machine._set_info(file, guid, len(info), at) == uefi.DENIED


def test_a_bad_program_stops_it() -> None:
    with pytest.raises(
        GuestFailed, match=r"the machine stopped: .*, at 0x10000000000, beyond the memory"
    ):
        run(programs.jumps(1 << 40))
    with pytest.raises(GuestFailed, match="a pointer to memory that is not there"):
        run(programs.calls(152, 0))  # HandleProtocol with a null GUID
    with pytest.raises(GuestFailed, match="limit: it ran for 1 seconds"):
        run(programs.forever(), limits=UefiLimits(memory=16 << 20, seconds=1))


@pytest.mark.parametrize("code", ["0fc7f0", "0fc7f8", "0f01f9"], ids="rdrand rdseed rdtscp".split())
def test_its_cpu_has_no_instruction_that_gives_chance_or_time(code: str) -> None:
    with pytest.raises(GuestFailed, match="Invalid instruction"):
        run(programs.pe(bytes.fromhex(code)))


@pytest.mark.parametrize("prefix", ["", "eb00", "48", "66f3"], ids="first block rex more".split())
def test_there_is_no_clock(prefix: str) -> None:
    """In the block that the program begins with, in one after it, and with prefixes."""
    with pytest.raises(GuestFailed, match=r"rdtsc at 0x[0-9a-f]+: there is no clock \[rip="):
        run(programs.pe(bytes.fromhex(f"{prefix} 0f31 31c0 c3")))
    # The same bytes within another instruction: mov ecx, 0x310f; then xor eax, eax; ret.
    assert run(programs.pe(bytes.fromhex("b90f310000 eb00 b90f310000 31c0 c3"))) == (0, "")


def test_what_was_deleted_is_no_file() -> None:
    machine = Uefi(UefiVolume.of({"a": b"x"}, frozenset()), print, LIMITS)
    one, other = (uefi._UefiFile("a", False, True) for _ in range(2))
    machine._files |= {1: one, 2: other}
    assert machine._delete(1) == uefi.SUCCESS
    assert machine._of_file(machine._write_file)(2, 0, 0) == INVALID
    assert not machine.volume.changed


def test_files_and_reads_have_a_limit() -> None:
    """All files together, wherever in one the guest writes; and no more than memory is read."""
    machine = Uefi(UefiVolume.of({"a": b"x" * (1 << 19), "b": b""}, frozenset()), print, LIMITS)
    pointer = machine._allocate(64)
    assert pointer is not None
    file = uefi._UefiFile("b", False, True)
    for offset, size, why in ((1 << 62, 1, "limit: with b"), (0, (1 << 19) + 1, "limit: with b"),
                              (0, 1 << 62, "limit: with b")):  # fmt: skip
        file.offset = offset
        machine._write(pointer, struct.pack("<Q", size))
        with pytest.raises(GuestFailed, match=why):
            machine._write_file(file, pointer, pointer)
    file.offset = 0
    machine._write(pointer, struct.pack("<Q", 8))
    assert machine._write_file(file, pointer, pointer) == uefi.SUCCESS
    assert machine.volume.files["b"] == struct.pack("<Q", 8)
    root, name = uefi._UefiFile("", True, True), machine._allocate(1 << 16)
    assert name is not None
    before = machine._size
    machine._write(name, "c".encode("utf-16-le") * 20000 + b"\0\0")
    assert machine._open(root, pointer, name, uefi._CREATE | 3, 0) == uefi.SUCCESS
    assert machine._delete(machine._quad(pointer)) == uefi.SUCCESS
    assert machine._size == before
    with pytest.raises(GuestFailed, match=r"limit: with [0-9c]{200} the files and their names"):
        for number in range(30):  # folders, whose names are all that they have
            machine._write(name, f"{number:02}".encode("utf-16-le"))
            machine._open(root, pointer, name, uefi._CREATE | 3, uefi._DIRECTORY)
    with pytest.raises(uefi._NotThere):
        machine._load_image(0, 0, 0, pointer, 1 << 60, pointer)
    with pytest.raises(BadInput, match="memory: 4097 bytes are not whole pages"):
        Uefi(UefiVolume.of({}, frozenset()), print, UefiLimits(memory=4097))


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (b"", "is no PE program"),
        (b"\x7fELF" + bytes(100), "is no PE program"),
        (programs.pe(b"\xc3", machine=0x14C, magic=0x10B), "PE file for machine 0x14c"),
        (programs.pe(b"\xc3", size=1 << 30), "wants 1073741824 bytes"),
        (programs.pe(b"\xc3" * 100, size=0x1001), "a section ends beyond the image"),
    ],
)
def test_what_is_no_program_is_not_loaded(program: bytes, why: str) -> None:
    with pytest.raises(GuestFailed, match=f"^the firmware does not load p.efi: .*{why}"):
        run(program)


@given(st.binary(max_size=40), st.integers(0, 0x170))
def test_no_header_leads_to_a_traceback(change: bytes, at: int) -> None:
    program = bytearray(programs.exits(0))
    program[at : at + len(change)] = change
    try:
        run(bytes(program), limits=UefiLimits(memory=16 << 20, seconds=5))
    except (BadInput, GuestFailed):
        pass


def test_names_differ_by_more_than_their_case() -> None:
    volume = UefiVolume.of({"A/b.TXT": b""}, frozenset({"A"}))
    assert volume.find("a/B.txt") == "A/b.TXT"
    assert volume.find("A") == "A"
    assert volume.find("c") is None


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The UEFI seeds, which a release of stage0-posix has in its tree."""
    tree = Cache().load("1.9.1", "stage0-posix")
    if tree is None:
        pytest.skip("no stage0-posix 1.9.1 in the cache: bootstrap fetch stage0-posix --from PATH")
    folder = tmp_path_factory.mktemp("seeds")
    for path, file in tree.files.items():
        if path.startswith("bootstrap-seeds/UEFI/amd64/"):
            (folder / Path(path).name).write_bytes(file.data)
    return folder


def test_the_seeds_rebuild_themselves(seeds: Path, tmp_path: Path) -> None:
    folder = seeds
    for name, source in (("hex0-seed", "hex0"), ("kaem-optional-seed", "kaem-optional")):
        out = tmp_path / name
        done = subprocess.run(
            [sys.executable, "-m", "bootstrap", "uefi", "hex0-seed.efi", f"{source}.hex0", "new",
             "--root", str(folder), "--output", str(out), "--json", str(out) + ".json"],
            capture_output=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, b"")
        found = require(Path(f"{out}.json").read_text())
        assert (found["ended"], found["counts"]) == ("success", {"status": 0, "files": 1})
        made = hashlib.sha256((out / "new").read_bytes()).hexdigest()
        seed = (folder / f"{name}.efi").read_bytes()
        assert made == hashlib.sha256(seed).hexdigest()


def test_kaem_starts_hex0(seeds: Path) -> None:
    folder = seeds
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    files["kaem.amd64"] = b"# a comment\nhex0-seed.efi hex0.hex0 new\n"
    volume = UefiVolume.of(files, frozenset())
    printed: list[str] = []
    machine = Uefi(volume, printed.append, LIMITS)
    handle = machine.load(files["kaem-optional-seed.efi"], "kaem", "kaem-optional-seed.efi")
    assert machine.run(handle) == uefi.SUCCESS
    assert bytes(volume.files["new"]) == files["hex0-seed.efi"]
    assert "".join(printed) == " +> hex0-seed.efi hex0.hex0 new\n\r"
    volume.files["kaem.amd64"] = bytearray(b"nothing.efi x\n")
    machine = Uefi(volume, printed.append, LIMITS)
    handle = machine.load(files["kaem-optional-seed.efi"], "kaem", "kaem-optional-seed.efi")
    assert machine.run(handle) == NOT_FOUND
