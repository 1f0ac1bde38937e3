"""execve(2): what it refuses and in which order, what a new image keeps, ETXTBSY; also natively."""

from __future__ import annotations

import functools
import signal

import pytest

from bootstrap.core.abi import O_CLOEXEC, O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, Errno, LinuxError
from bootstrap.core.arches import AARCH64, X86, Arch
from bootstrap.core.errors import GuestFailed
from bootstrap.core.paths import FileSystem
from tests.core.guest import EACH_ARCH, ON_X86, Program, alike, native, run, why_not_native

BUSY = -Errno.ETXTBSY


def ends(arch: Arch, code: int) -> bytes:
    return Program(arch).exit(code).elf()


def in_children(guest: Program, *names: bytes) -> Program:
    """Each executed by a child of its own, which writes the result if there is one."""
    none, status = guest.words(0), guest.space()
    for number, name in enumerate(names):
        label = f"{len(guest.code)} {number}"
        guest.fork().jump(label, "zero").wait(-1, status).jump(f"{label} over")
        guest.label(label).call("execve", guest.text(name), none, none).report().exit(1)
        guest.label(f"{label} over")
    return guest


@EACH_ARCH
def test_what_is_refused(arch: Arch) -> None:
    guest = Program(arch)
    none = guest.words(0)
    names = [b"absent", b"text/none", b".", b"text", b"", b"n" * 300]
    for name in names:
        guest.call("execve", guest.text(name), none, none).report()
    guest.call("execve", 16, none, none).report()
    guest.call("execve", guest.text(b"text"), 16, none).report().exit(0)
    expected = [Errno.ENOENT, Errno.ENOTDIR, Errno.EACCES, Errno.ENOEXEC, Errno.ENOENT,
                Errno.ENAMETOOLONG, Errno.EFAULT, Errno.EFAULT]  # fmt: skip
    alike(guest, *[-errno for errno in expected], files={b"/text": b"plain text\n"})


@EACH_ARCH
def test_a_file_that_nobody_may_execute(arch: Arch) -> None:
    guest = Program(arch)
    name = guest.text(b"other")
    guest.at("chmod", name, 0o666).call("execve", name, guest.words(0), guest.words(0)).report()
    guest.at("chmod", name, 0o001).call("execve", name, guest.words(0), guest.words(0)).exit(1)
    ran = run(guest, files={b"/other": ends(arch, 7)})
    assert (ran.status, ran.words(arch.word)) == (7, [-Errno.EACCES])


@EACH_ARCH
def test_what_a_new_image_keeps_and_what_not(arch: Arch) -> None:
    guest = Program(arch)
    name = guest.text(b"/next")
    guest.at("open", guest.text(b"/data"), 0, 0).at("open", guest.text(b"/data"), O_CLOEXEC, 0)
    guest.call("read", 3, guest.space(), 1).call("brk", 0).call("chdir", guest.text(b"/d"))
    guest.call("execve", name, guest.words(name, 0), guest.words(0)).exit(9)
    after = Program(arch)
    cell = after.space()
    after.call("read", 3, cell, 1).load(cell).report().call("read", 4, cell, 1).report()
    after.at("open", after.text(b"inner"), 0, 0).report().exit(0)
    files = {b"/next": after.elf(), b"/data": b"abc", b"/d/inner": b""}
    ran = run(guest, files=files)
    assert ran.status == 0
    first, *rest = ran.words(arch.word)
    assert (first & 0xFF, rest) == (ord("b"), [-Errno.EBADF, 4])


@ON_X86
def test_a_bad_image_kills_and_gives_its_memory_back(arch: Arch) -> None:
    bad = bytearray(ends(arch, 0))
    at, size = (52 + 16, 4) if arch is X86 else (64 + 32, 8)
    bad[at : at + size] = (1 << 20).to_bytes(size, "little")  # p_filesz above p_memsz
    guest = in_children(Program(arch), *[b"bad"] * 3)
    ran = alike(guest.exit(3), files={b"/bad": bytes(bad)}, status=3)
    assert ran.result.fault is not None
    assert ran.result.fault.signal == signal.SIGSEGV
    assert "bad: a segment lies outside" in ran.result.fault.reason
    assert ran.machine.meter.memory == 0
    assert run(bytes(bad)).status == 128 + signal.SIGSEGV  # also as the first program of all


@functools.cache
def gives_text_busy(arch: Arch) -> bool:
    """Whether the host's kernel can be asked: Linux 6.11 let running programs be written to."""
    if why_not_native(arch) is not None:
        return False
    probe = Program(arch)
    probe.at("open", probe.text(b"guest"), O_WRONLY, 0).report().exit(0)
    return native(probe).words(arch.word) == [BUSY]


def check_busy(guest: Program, expected: list[int], files: dict[bytes, bytes]) -> None:
    """What the program and its children write: 0 stands for any success."""
    ran = run(guest, files)
    assert [min(word, 0) for word in ran.words(guest.arch.word)] == expected
    if gives_text_busy(guest.arch):
        words = native(guest, files).words(guest.arch.word)
        assert [min(word, 0) for word in words] == expected


def tries(guest: Program, name: bytes) -> Program:
    """Ways to write to a file, and to read it."""
    path = guest.text(name)
    for flags in (O_WRONLY, O_RDWR, O_TRUNC, O_RDWR | O_CREAT, O_WRONLY | O_TRUNC, 0, 3):
        guest.at("open", path, flags, 0).report()
    return guest


TRIED = [BUSY] * 5 + [0, 0]


@EACH_ARCH
def test_a_program_that_runs_is_not_written_to(arch: Arch) -> None:
    guest = tries(Program(arch), b"guest")
    guest.fork().jump("child", "zero").wait()
    # The child is gone, and so is its image.
    tries(tries(guest, b"other"), b"guest").exit(0)
    guest.label("child").call("execve", guest.text(b"other"), guest.words(0), guest.words(0))
    other = tries(tries(Program(arch), b"guest"), b"other").exit(0)
    expected = [*TRIED, *TRIED, *TRIED, *[0] * 7, *TRIED]
    check_busy(guest, expected, {b"/other": other.elf()})


@EACH_ARCH
def test_a_file_that_is_written_does_not_run(arch: Arch) -> None:
    guest = Program(arch)
    guest.at("open", guest.text(b"other"), O_RDWR, 0).report()
    in_children(guest, b"other").call("close", 3).report()
    in_children(guest, b"other")
    guest.at("open", guest.text(b"other"), 0, 0).report()
    in_children(guest, b"other").exit(0)
    other = Program(arch)
    other.call("brk", 0).report().exit(0)
    check_busy(guest, [0, BUSY, 0, 0, 0, 0], {b"/other": other.elf()})


def test_a_script_is_no_program() -> None:
    with pytest.raises(LinuxError, match="ENOEXEC"):
        run(ends(X86, 7), {b"/script": b"#!/guest\n"}, path=b"/script")


def test_the_first_program_of_a_run() -> None:
    image = ends(AARCH64, 5)
    for path, errno in ((b"/none", "ENOENT"), (b"/", "EACCES"), (b"/text", "ENOEXEC")):
        with pytest.raises(LinuxError, match=errno):
            run(image, {b"/text": b"x"}, path=path)
    machine = run(image).machine
    for cwd, errno in ((b"/none", "ENOENT"), (b"/guest", "ENOTDIR")):
        with pytest.raises(LinuxError, match=errno):
            machine.run(b"/guest", [b"guest"], cwd=cwd)
    assert machine.run(b"guest", []).status == 5 << 8  # without a word, and no streams at all
    assert isinstance(machine.files, FileSystem)
    with pytest.raises(GuestFailed, match="dynamically linked"):
        run(image[:64] + b"\3" + image[65:])
