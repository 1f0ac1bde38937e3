"""Limits end a run with a message that names them; none of them is an answer to the guest."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import fields

import pytest

from bootstrap.core.arches import X86, Arch
from bootstrap.core.errors import (
    BadInput,
    BootstrapError,
    ExitStatus,
    GuestFailed,
    Limits,
    Meter,
    printable,
)
from tests.core.guest import EACH_ARCH, ON_X86, Load, Program, R, W, elf, run


def fork_bomb(arch: Arch) -> Program:
    return Program(arch).label("again").fork().jump("again")


def wide_fork_bomb(arch: Arch) -> Program:
    """One child after another, none of them waited for."""
    return Program(arch).label("again").fork().jump("again", "not zero").exit(0)


@EACH_ARCH
def test_a_fork_bomb_comes_to_the_nesting_limit(arch: Arch) -> None:
    with pytest.raises(GuestFailed, match=r"limit: 20 processes alive at once.*--limit nesting"):
        run(fork_bomb(arch), limits=Limits(nesting=20))


@EACH_ARCH
def test_a_wide_fork_bomb_comes_to_the_process_limit(arch: Arch) -> None:
    with pytest.raises(GuestFailed, match=r"limit: 30 processes.*--limit processes"):
        run(wide_fork_bomb(arch), limits=Limits(processes=30))


@EACH_ARCH
def test_memory_of_all_processes_together(arch: Arch) -> None:
    # A stack is 8 MiB.
    with pytest.raises(GuestFailed, match=r"all processes together.*--limit memory_total"):
        run(fork_bomb(arch), limits=Limits(memory_total=60 << 20))
    run(Program(arch).exit(0), limits=Limits(memory_total=9 << 20))


@EACH_ARCH
def test_memory_of_one_process(arch: Arch) -> None:
    guest = Program(arch)
    for size in range(0x90_0000, 0x200_0000, 0x10_0000):
        guest.call("brk", size)
    image = guest.exit(7).elf()
    assert run(image, limits=Limits(memory=64 << 20)).status == 7
    with pytest.raises(GuestFailed, match=r"the process asked for .*--limit memory=.*, in brk, pc"):
        run(image, limits=Limits(memory=20 << 20))


@ON_X86
def test_an_image_that_asks_for_too_much(arch: Arch) -> None:
    code = bytes(Program(arch).exit(0).code)
    image = elf(arch, 0x400000, [Load(0x400000, code, 5), Load(0x800000, b"", R | W, 256 << 20)])
    with pytest.raises(GuestFailed, match=r"limit: the process asked for"):
        run(image, limits=Limits(memory=64 << 20))


@EACH_ARCH
def test_files(arch: Arch) -> None:
    guest = Program(arch)
    for name in (b"one", b"two", b"three"):
        guest.at("open", guest.text(name), 0o1102, 0o644)
    large = guest.space(4096)
    for _ in range(3):
        guest.call("write", 3, large, 4096)
    guest.call("write", 4, large, 4096)
    image = guest.exit(7).elf()
    assert run(image, limits=Limits(inodes=3)).status == 7
    for limits, said in (
        (Limits(inodes=2), r"/three would be one more than the 2 files.*--limit inodes="),
        (Limits(file=10_000), r"/one would grow to 12288 bytes.*--limit file="),
        (Limits(files_total=15_000), r"4096 bytes in /two.*--limit files_total="),
    ):
        with pytest.raises(GuestFailed, match=said):
            run(image, limits=limits)


@EACH_ARCH
def test_open_files_are_linux_own_limit(arch: Arch) -> None:
    guest = Program(arch)
    for _ in range(3):
        guest.at("open", guest.text(b"/guest"), 0, 0).report()
    assert run(guest.exit(0), limits=Limits(open_files=5)).words(arch.word) == [3, 4, -24]


def test_a_limit_says_who_came_to_it() -> None:
    guest = Program(X86)
    guest.call("execve", guest.text(b"/other"), 0, 0).exit(1)
    with pytest.raises(GuestFailed) as caught:
        run(guest, {b"/other": fork_bomb(X86).elf()}, limits=Limits(nesting=3))
    assert str(caught.value).startswith("limit: 3 processes alive at once")
    assert caught.value.exit_code == ExitStatus.GUEST_FAILED


def test_processes_that_ended_take_no_memory() -> None:
    # Without Python's collector of cycles, which runs when it likes.
    gc.collect()
    gc.disable()

    def peak(processes: int) -> int:
        tracemalloc.start()
        with pytest.raises(GuestFailed, match="processes"):
            run(wide_fork_bomb(X86), limits=Limits(processes=processes))
        (_, most) = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    try:
        peak(10)
        assert peak(60) < peak(10) + 60_000
    finally:
        gc.enable()


def test_each_limit_is_one_of_these() -> None:
    assert [field.name for field in fields(Limits)][:8] == [
        "memory", "memory_total", "file", "files_total", "inodes", "open_files", "processes",
        "nesting",
    ]  # fmt: skip


def test_what_is_given_back_no_longer_counts() -> None:
    meter = Meter(Limits(memory_total=100, files_total=100))
    meter.add_memory(100)
    meter.add_memory(-60)
    meter.add_memory(60)
    with pytest.raises(GuestFailed):
        meter.add_memory(1)
    assert meter.memory == 100


def test_foreign_text_is_one_line_that_does_nothing_to_a_terminal() -> None:
    assert printable("plain \\ text") == "plain \\ text"
    assert printable(b"a\nb\x1b[2J\xff") == "a\\nb\\x1b[2J\\xff"
    assert printable("\u202e\ud800\u2028") == "\\u202e\\ud800\\u2028"
    assert printable(printable("\x07")) == printable("\x07")
    for error, status in ((BadInput, 2), (GuestFailed, 3)):
        assert issubclass(error, BootstrapError)
        assert error("x").exit_code == status
