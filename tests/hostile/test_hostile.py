"""Guests that mean harm get the errno that Linux gives, or the run ends; in bounded memory."""

from __future__ import annotations

import io
import os
import tracemalloc
from pathlib import Path

import pytest

from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Stream
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import FolderLower, LowerFile, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from tests.instruments.guest import Cell, Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate, engine_for

O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_TRUNC, O_DIRECTORY = 1, 2, 0o100, 0o200, 0o1000, 0o200000
ENOENT, EBADF, EFAULT, ENOTDIR, EISDIR, EINVAL, ELOOP = 2, 9, 14, 20, 21, 22, 40
SECRET = b"outside of the guest's root"


def run_in(root: Path, guest: Program, limits: RunLimits | None = None) -> tuple[list[int], bytes]:
    """Run a guest in a folder of the host; the words and the bytes that it wrote to 1 and 2."""
    limits = limits or RunLimits()
    (root / "guest").write_bytes(guest.elf())
    (root / "guest").chmod(0o755)
    taken, err = io.BytesIO(), io.BytesIO()
    fs = OverlayFileSystem(FolderLower(root), limits)
    machine = LinuxMachine(fs, engine_for("native"), limits)
    streams = (Stream(lambda _: b""), Stream(None, taken.write), Stream(None, err.write))
    ended = machine.run(b"/guest", [b"guest"], streams=streams)
    assert ended.status == 0
    size, out = guest.word, taken.getvalue()
    words = [
        int.from_bytes(out[at : at + size], "little", signed=True)
        for at in range(0, len(out), size)
    ]
    return words, err.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root folder with something outside of it, and ways that lead there."""
    (tmp_path / "secret").write_bytes(SECRET)
    folder = tmp_path / "root"
    (folder / "inside").mkdir(parents=True)
    (folder / "inside" / "file").write_bytes(b"inside")
    (folder / "up").symlink_to("../secret")
    (folder / "far").symlink_to("../../../../../../.." + str(tmp_path / "secret"))
    (folder / "absolute").symlink_to(tmp_path / "secret")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "proc").symlink_to("/proc/self/root")
    (folder / "loop").symlink_to("loop")
    (folder / "in").symlink_to("/inside/file")
    return folder


WAYS_OUT = (
    b"/../secret", b"../secret", b"../../../../etc/passwd", b"/inside/../../secret",
    b"inside/./.././../secret", b"/up", b"up", b"/far", b"/absolute", b"/folder/secret",
    b"/proc/etc/passwd", b"/proc/self/environ", b"/inside/../up", b"//..//..//secret",
    b"/etc/passwd", b"/dev/mem", b"/proc/self/mem",
)  # fmt: skip


@EACH_ABI
def test_no_path_leads_out_of_the_root(root: Path, abi: str) -> None:
    guest = Program(abi)
    buffer = guest.space(64)
    for path in WAYS_OUT:
        name = guest.text(path)
        guest.call_and_report("open", name, 0)
        guest.call_and_report("access", name, 0)
        guest.call_and_report("unlink", name)
        guest.call_and_report("chdir", name)
        guest.call_and_report("execve", name, 0, 0)
    guest.call_and_report("open", guest.text(b"/loop"), 0)
    guest.call("open", guest.text(b"/in"), 0).store(buffer + 32)
    guest.call("read", Cell(buffer + 32), buffer, 6).call("write", 2, buffer, 6).exit(0)
    words, said = run_in(root, guest)
    for index, path in enumerate(WAYS_OUT):
        opened, there, removed, entered, executed = words[5 * index : 5 * index + 5]
        # ELOOP: /proc of the host is a link in the root, to what is then itself.
        assert {opened, there, entered, executed} <= {-ENOENT, -ELOOP}, path
        # A link itself may be removed: in the overlay.
        assert removed in (0, -ENOENT, -ELOOP), path
    assert words[-1] == -ELOOP
    assert said == b"inside"
    assert (root / "up").is_symlink()
    assert (root.parent / "secret").read_bytes() == SECRET


@EACH_ABI
def test_what_is_written_through_a_link_stays_inside(root: Path, abi: str) -> None:
    guest = Program(abi)
    for path in (b"/absolute", b"/up", b"/../secret", b"/in"):
        guest.call_and_report("open", guest.text(path), O_WRONLY | O_CREAT | O_TRUNC, 0o600)
    guest.exit(0)
    before = {path: path.lstat().st_mtime_ns for path in root.parent.rglob("*")}
    words, _ = run_in(root, guest)
    assert all(word in (-ENOENT, 3, 4, 5, 6) for word in words)
    after = {path: path.lstat().st_mtime_ns for path in root.parent.rglob("*")}
    del before[root], after[root], after[root / "guest"]
    assert after == before
    assert (root / "inside" / "file").read_bytes() == b"inside"


@EACH_ABI
def test_a_link_that_the_guest_makes_stays_inside(root: Path, abi: str) -> None:
    guest = Program(abi)
    target, name = guest.text(os.fsencode(root.parent / "secret")), guest.text(b"/mine")
    guest.call_and_report("symlink", target, name)
    guest.call_and_report("open", name, 0)
    guest.call_and_report("open", name, O_WRONLY | O_CREAT, 0o600)
    guest.exit(0)
    words, _ = run_in(root, guest)
    assert words == [0, -ENOENT, -ENOENT]
    assert not (root / "mine").is_symlink()


def test_special_files_of_the_host_are_never_opened(root: Path) -> None:
    os.mkfifo(root / "fifo")
    guest = Program("i386")
    name = guest.text(b"/fifo")
    for flags in (0, O_WRONLY, O_RDWR):
        guest.call_and_report("open", name, flags)
    guest.exit(0)
    words, _ = run_in(root, guest)
    assert words == [-6, -6, -6]  # ENXIO, and no wait for a reader


@EACH_ABI
def test_a_hole_as_large_as_can_be_is_not_filled(abi: str) -> None:
    guest = Program(abi)
    byte = guest.text(b"x")
    guest.call("open", guest.text(b"/f"), O_WRONLY | O_CREAT, 0o600)
    guest.call("lseek", 3, 0x7FFFFFFE, 0).call("write", 3, byte, 1).exit(0)
    tracemalloc.start()
    with pytest.raises(GuestFailed, match=r"limit.*--limit file"):
        emulate(guest)
    (_, peak) = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20


def test_folders_without_end_take_little_memory() -> None:
    guest = Program("i386")
    name = guest.text(b"/\x01\x01\x01\x01")
    guest.label("more").call("mkdir", name, 0o700)
    # A counter whose digits go from 1 to 45.
    for digit in range(4):
        at = (name + 1 + digit).to_bytes(4, "little")
        guest.raw(b"\xfe\x05" + at)  # inc byte
        guest.raw(b"\x80\x3d" + at + b"\x2e")  # cmp byte, '.'
        guest.jump("more", "flag not zero")
        guest.poke(name + 1 + digit, 1)
    guest.jmp("more")
    tracemalloc.start()
    with pytest.raises(GuestFailed, match=r"limit.*inodes"):
        emulate(guest, limits=RunLimits(inodes=8_000))
    (_, peak) = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 << 20


def test_directories_without_end_come_to_a_limit() -> None:
    guest = Program("x86_64")
    name = guest.text(b"d")
    guest.label("deeper").call("mkdir", name, 0o700).jump_if_negative("out")
    guest.call("chdir", name).jmp("deeper")
    guest.label("out").exit_with_result()
    with pytest.raises(GuestFailed, match=r"limit.*inodes"):
        emulate(guest, limits=RunLimits(inodes=5000))


@EACH_HOT_PATH
@EACH_ABI
def test_a_giant_brk_and_giant_mappings(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    mmap = "mmap2" if abi == "i386" else "mmap"
    top = 0xFFFFFFFF if abi == "i386" else (1 << 64) - 1
    start, result = guest.space(8), guest.space(8)
    guest.call("brk", 0).store(start)
    for wanted in (top, top - 4095, 1, 0x7FFFFFFF << (0 if abi == "i386" else 32)):
        guest.call("brk", wanted).store(result).call("write", 1, result, guest.word)
    for length in (top, top - 4095, 0):
        guest.call_and_report(mmap, 0, length, 3, 0x22, -1, 0)
    guest.call("write", 2, start, guest.word).exit(0)
    try:
        outcome = emulate(guest, hot_path)
    except GuestFailed as error:
        # What Linux would grant, and the limit does not.
        assert "--limit memory" in str(error)
        return
    words = outcome.words(guest.word)
    assert set(words[:4]) == {words[-1]}
    assert words[4:7] == [-12, -12, -22]


@EACH_HOT_PATH
@EACH_ABI
def test_closed_and_impossible_descriptors(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    buffer = guest.space(16)
    numbers = (3, 63, 64, 65, 1023, 1024, 0x7FFFFFFF, -1, -2, 0x80000000)
    for fd in numbers:
        guest.call_and_report("read", fd, buffer, 1)
        guest.call_and_report("write", fd, buffer, 1)
        guest.call_and_report("lseek", fd, 0, 0)
        guest.call_and_report("close", fd)
    guest.exit(0)
    assert emulate(guest, hot_path).words(guest.word) == [-EBADF] * 4 * len(numbers)


@EACH_HOT_PATH
@EACH_ABI
def test_its_own_streams_closed(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    buffer = guest.space(16)
    for fd in (0, 1, 2):
        guest.call("close", fd)
    guest.call("write", 1, buffer, 1).jump_if_negative("closed").exit(1)
    guest.label("closed").call("open", guest.text(b"/guest"), 0).exit_with_result()
    assert emulate(guest, hot_path).status == 0


BAD = {
    "null": 0,
    "one": 1,
    "not mapped": 0x1000_0000,
    "the kernel's": -4096,
    "the last byte": -1,
    "no address at all": 1 << 62 | 8,
}


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_bad_pointers_in_every_pointer_argument(abi: str, hot_path: str, bad: int) -> None:
    guest = Program(abi)
    name, buffer = guest.text(b"/f"), guest.space(256)
    text = guest.text(b"data")
    guest.call("open", name, O_RDWR | O_CREAT, 0o600).call("write", 3, text, 4)
    guest.call("lseek", 3, 0, 0)
    bad_list = guest.words(bad, 0)
    good_list = guest.words(name, 0)
    calls: list[tuple[str, tuple[int, ...]]] = [
        ("read", (3, bad, 4)),
        ("write", (3, bad, 4)),
        ("open", (bad, 0)),
        ("open", (bad, O_RDWR | O_CREAT, 0o600)),
        ("access", (bad, 0)),
        ("chdir", (bad,)),
        ("unlink", (bad,)),
        ("mkdir", (bad, 0o700)),
        ("rmdir", (bad,)),
        ("rename", (bad, name)),
        ("rename", (name, bad)),
        ("chmod", (bad, 0o700)),
        ("execve", (bad, good_list, good_list)),
        ("execve", (name, bad_list, good_list)),
        ("execve", (name, good_list, bad_list)),
        ("uname", (bad,)),
        ("getcwd", (bad, 100)),
        ("stat64" if abi == "i386" else "stat", (bad, buffer)),
        ("stat64" if abi == "i386" else "stat", (name, bad)),
        ("fstat64" if abi == "i386" else "fstat", (3, bad)),
        ("readlink", (bad, buffer, 10)),
    ]
    if bad:
        calls += [("execve", (name, bad, good_list)), ("execve", (name, good_list, bad))]
    for call, args in calls:
        guest.call_and_report(call, *args)
    guest.exit(0)
    outcome = emulate(guest, hot_path)
    results = dict(zip(calls, outcome.words(guest.word), strict=True))
    execs_of_null = {
        ("execve", (name, bad_list, good_list)),
        ("execve", (name, good_list, bad_list)),
    }
    for made, result in results.items():
        if not bad and made in execs_of_null:
            assert result == -13  # an empty list is no bad pointer: EACCES, /f is no program
        else:
            assert result == -EFAULT, made
    assert outcome.files == {b"/f": b"data"}


@EACH_HOT_PATH
@EACH_ABI
def test_reads_and_writes_that_end_in_nothing(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    guest.call("open", guest.text(b"/big"), 0)
    end = guest.space(8)
    guest.call("brk", 0).store(end)
    step = "05" if abi == "i386" else "4805"
    back = "2d" if abi == "i386" else "482d"
    guest.raw(step + "00100000").store(end).call("brk", Cell(end))
    guest.raw(back + "0a000000").store(end)
    # Ten bytes fit before the end of the heap: Linux reads that many, then finds the fault.
    guest.call_and_report("read", 3, Cell(end), 100)
    guest.call_and_report("lseek", 3, 0, 1)
    guest.call_and_report("write", 3, Cell(end), 0)
    guest.exit(0)
    outcome = emulate(guest, hot_path, files={b"/big": bytes(200)})
    assert outcome.words(guest.word) == [10, 10, -EBADF]


@EACH_HOT_PATH
@EACH_ABI
def test_a_folder_that_goes_away_under_its_user(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    name, file, here = guest.text(b"/d"), guest.text(b"f"), guest.text(b".")
    buffer = guest.space(64)
    guest.call("mkdir", name, 0o700).call("chdir", name).call_and_report("rmdir", name)
    guest.call_and_report("getcwd", buffer, 64)
    guest.call_and_report("open", file, O_RDWR | O_CREAT, 0o600)
    guest.call_and_report("mkdir", file, 0o700)
    guest.call_and_report("access", here, 0)
    guest.call_and_report("chdir", guest.text(b".."))
    guest.exit(0)
    words = emulate(guest, hot_path).words(guest.word)
    # The folder itself is there as long as it is used, and so is the way back.
    assert words == [0, -ENOENT, -ENOENT, -ENOENT, 0, 0]


@EACH_ABI
def test_names_that_are_no_names(abi: str) -> None:
    guest = Program(abi)
    long_name, long_path = b"n" * 256, b"/" + b"a/" * 2100
    for path in (b"", long_name, b"/" + long_name, long_path, b"/guest/", b"/guest/x", b"/."):
        guest.call_and_report("open", guest.text(path), O_RDWR, 0)
    guest.exit(0)
    assert emulate(guest).words(guest.word) == [
        -ENOENT, -36, -36, -36, -ENOTDIR, -ENOTDIR, -EISDIR
    ]  # fmt: skip


@EACH_HOT_PATH
@EACH_ABI
def test_arguments_without_end(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    name = guest.text(b"/guest")
    huge = guest.data(b"x" * (33 * 4096) + b"\0")
    many = guest.words(*[name] * 200_000, 0)
    guest.call_and_report("execve", name, guest.words(huge, 0), 0)
    guest.call_and_report("execve", name, many, 0)
    guest.call_and_report("execve", name, 0, many)
    guest.exit(0)
    e2big = -7
    assert emulate(guest, hot_path).words(guest.word) == [e2big] * 3


def test_output_without_end_takes_no_memory() -> None:
    class Bounded(Exception):
        pass

    seen = [0]

    def write(data: bytes) -> int:
        seen[0] += len(data)
        if seen[0] > 200 << 20:
            raise Bounded
        return len(data)

    guest = Program("x86_64")
    buffer = guest.space(1 << 20)
    guest.label("more").call("write", 1, buffer, 1 << 20).jmp("more")
    fs = OverlayFileSystem(MemoryLower({b"/guest": LowerFile(0o755, guest.elf())}))
    output = Stream(None, write)
    tracemalloc.start()
    with pytest.raises(Bounded):
        LinuxMachine(fs, engine_for("native")).run(
            b"/guest", [b"g"], streams=(Stream(lambda _: b""), output, output)
        )
    (_, peak) = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 << 20
