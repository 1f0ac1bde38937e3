"""Random programs come to the same on this machine's kernel, under qemu-user and on both paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from bootstrap.core.abi import AT_FDCWD, Errno
from bootstrap.linux.flags import MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE
from tests.fuzz import __main__ as command
from tests.fuzz import compare
from tests.fuzz.guest import ARENA, BY_NAME, FILES, HEAP, SCRATCH, Step, step
from tests.fuzz.programs import HOT, WALL, Program
from tests.instruments.runs import engine_for
from tests.linux.differential import BY_QEMU, NATIVE

PAGE = 4096
IN_ONE = 900
"""Calls in one program that is mostly of one call."""
THOROUGH = 20_000


def natively_and_here(abi: str) -> list[Callable[..., compare.Outcome]]:
    engine_for("native")
    ways = compare.emulations()
    return ways if compare.why_not_natively(abi) else [compare.natively, *ways]


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.parametrize("abi", NATIVE)
def test_two_hundred_programs(abi: str) -> None:
    reason = compare.why_not_natively(abi)
    if reason is not None:
        pytest.skip(f"no kernel to compare with: {reason}")
    assert "\n".join(command.explore(abi, "test", 0, 100)) == ""


def check(abi: str, call: str, wanted: int, ways: Sequence[Callable[..., compare.Outcome]]) -> None:
    """So many of that call with generated arguments: no difference."""
    made = number = 0
    while made < wanted:
        plain = compare.by_qemu in ways
        steps = Program(abi, f"{call} {number}", plain).steps(min(IN_ONE, 2 * wanted), HOT[call])
        assert command.smallest(abi, steps, ways, f"{call} {number}") == ""
        made += sum(step[0] in (call, f"_l{call}") for step in steps)
        number += 1


@pytest.mark.parametrize("call", HOT)
@pytest.mark.parametrize("abi", [*NATIVE, *BY_QEMU])
def test_calls_of_the_hot_paths(abi: str, call: str) -> None:
    check(abi, call, 300, natively_and_here(abi))


@pytest.mark.exhaustive
@pytest.mark.parametrize("call", HOT)
@pytest.mark.parametrize("abi", [*NATIVE, *BY_QEMU])
def test_many_calls_of_the_hot_paths(abi: str, call: str) -> None:
    check(abi, call, THOROUGH, natively_and_here(abi))


def by_qemu_and_here(abi: str) -> list[Callable[..., compare.Outcome]]:
    if compare.qemu_of(abi) is None:
        pytest.skip(f"no qemu-{abi} on this host (Debian: apt-get install qemu-user-static)")
    engine_for("native")
    return [compare.by_qemu, *compare.emulations()]


@pytest.mark.root
@pytest.mark.parametrize("call", [call for call in HOT if call != "brk"])
@pytest.mark.parametrize("abi", BY_QEMU)
def test_calls_that_qemu_passes_through(abi: str, call: str) -> None:
    """It looks at every buffer itself, and has a heap of its own (tests/linux/by_qemu.py)."""
    check(abi, call, 300, by_qemu_and_here(abi))


@pytest.mark.root
@pytest.mark.exhaustive
@pytest.mark.parametrize("call", [call for call in HOT if call != "brk"])
@pytest.mark.parametrize("abi", BY_QEMU)
def test_many_calls_that_qemu_passes_through(abi: str, call: str) -> None:
    check(abi, call, THOROUGH, by_qemu_and_here(abi))


FIXED = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
BAD, FAR = 16, (1 << 63) - 8


def chosen(abi: str) -> dict[str, tuple[list[Step], Errno | int]]:
    """What was not as on Linux once -> calls, and what the last one gives."""
    about = BY_NAME[abi]
    mmap = "mmap2" if about.word == 4 else "mmap"
    last = about.task_size - PAGE
    far = (FAR,) if about.word == 8 else (FAR & 0xFFFFFFFF, FAR >> 32)
    to_read: list[Step] = [("open", b"p", 0, 0)]
    to_write: list[Step] = [("open", b"new", 0o102, 0o644)]
    large = 0o100000
    found: dict[str, tuple[list[Step], Errno | int]] = {
        "brk past a mapping": ([("brk", HEAP + 1), ("brk", WALL + PAGE)], HEAP + 1),
        "brk up to a mapping": ([("brk", WALL)], HEAP),
        "brk but for the page that stays free": ([("brk", WALL - PAGE)], WALL - PAGE),
        "brk back over nothing": (
            [("brk", HEAP + PAGE), ("munmap", HEAP, PAGE), ("brk", HEAP)],
            HEAP + PAGE,
        ),
        "a hint within a page": ([(mmap, HEAP + PAGE + 0x64, PAGE, 3, 0x22, -1, 0)], HEAP + PAGE),
        "mprotect beyond the end": (
            [
                *to_read, (mmap, last, PAGE, 3, FIXED, -1, 0),
                ("mprotect", last, 3 * PAGE, 1), ("read", 0, last, 4),
            ],
            Errno.EFAULT,
        ),
        "rename: the old folder comes first": ([("rename", b"f/x", BAD)], Errno.ENOTDIR),
        "link: the old file comes first": ([("link", b"none", BAD)], Errno.ENOENT),
        "linkat: its descriptor, too": ([("linkat", 77, b"f", 77, BAD, 0)], Errno.EBADF),
        "pread past the last offset": (
            [*to_read, ("pread64", 0, ARENA, 16, *far)],
            Errno.EINVAL,
        ),
        "readv of 2^32 + 1": (
            [*to_read, ("readv", 0, [(ARENA, 4)], (1 << 32) + 1)],
            4,
        ),
        "readv: lengths before addresses": (
            [*to_read, ("readv", 0, [(about.access_end, 8), (ARENA, -1)], 2)],
            Errno.EINVAL,
        ),
        "creat's flags": ([("creat", b"new", 0o644), ("fcntl", 0, 3)], large | 1),
        "an unknown flag": (
            [("open", b"f", 0x80000000, 0), ("fcntl", 0, 3)],
            large if about.word == 8 else 0,
        ),
        "a synchronous file": (
            [("open", b"f", 0o4000000, 0), ("fcntl", 0, 3)],
            0o4010000 | (large if about.word == 8 else 0),
        ),
        "fcntl F_GETOWNER_UIDS": ([*to_read, ("fcntl", 0, 17, ARENA)], 0),
        "a path that is cut by the end of memory": (
            [("getcwd", ARENA + 12 * PAGE - 1, 100)],
            Errno.EFAULT,
        ),
        "readlinkat of a descriptor": ([("readlinkat", 9, b"", ARENA, 8)], Errno.EBADF),
        "EEXIST wins over MAP_FIXED": (
            [(mmap, ARENA, PAGE, 3, FIXED | 0x100000, -1, 0)],
            Errno.EEXIST,
        ),
        "a bad place wins over a bad kind": (
            [(mmap, about.task_size, PAGE, 3, 0x30, -1, 0)],
            Errno.ENOMEM,
        ),
    }  # fmt: skip
    if about.word == 8:
        found |= {
            "read at the end of a file": (
                [("open", b"empty", 0, 0), ("read", 0, about.access_end, 8)],
                Errno.EFAULT,
            ),
            "lseek, then read past the last offset": (
                [*to_read, ("lseek", 0, FAR, 0), ("read", 0, ARENA, 16)],
                Errno.EINVAL,
            ),
            "readv there": (
                [*to_read, ("lseek", 0, FAR, 0), ("readv", 0, [(ARENA, 16)], 1)],
                Errno.EINVAL,
            ),
            "write over the end of user space": (
                [*to_write, (mmap, last, PAGE, 3, FIXED, -1, 0), ("write", 0, last, 2 * PAGE)],
                Errno.EFAULT,
            ),
        }
    return found


@pytest.mark.parametrize("abi", NATIVE)
def test_what_was_not_as_on_linux(abi: str) -> None:
    ways = natively_and_here(abi)
    for name, (steps, expected) in chosen(abi).items():
        whole = [*Program(abi, "").begin(), *steps]
        result = compare.emulated(abi, whole, "native").results[len(whole) - 1]
        wanted = -expected if isinstance(expected, Errno) else expected
        assert (name, compare.worded(result)) == (name, compare.worded(wanted))
        assert (name, compare.difference(abi, whole, ways)) == (name, "")


def test_a_difference_is_found_and_made_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second umask that is wrong is shown by two calls, and the one that keeps the report."""

    def wrong(abi: str, steps: Sequence[Step]) -> compare.Outcome:
        outcome = compare.emulated(abi, steps, "python")
        masks = [index for index, step in enumerate(steps) if step[0] == "umask"]
        if len(masks) < 2 or outcome.ending:
            return outcome
        results = list(outcome.results)
        results[masks[1]] += 1
        return replace(outcome, results=tuple(results))

    monkeypatch.setattr(
        compare, "natively", lambda abi, steps: compare.emulated(abi, steps, "python")
    )
    monkeypatch.setattr(compare, "without_failed_writes", lambda abi, steps, outcome: outcome)
    monkeypatch.setattr(compare, "emulations", lambda: [wrong])
    (text,) = command.explore("x86_64", "umask", 0, 40)
    abi, steps = command.read(text)
    assert (abi, [step[0] for step in steps]) == (
        "x86_64",
        ["fcntl", "close", "close", "close", "umask", "umask"],
    )
    assert compare.difference(abi, steps, [compare.natively, wrong]).startswith("umask: ")


def test_a_write_that_fails_makes_nothing_longer() -> None:
    """Tmpfs makes the file longer all the same: the comparison leaves such calls out there."""
    reason = compare.why_not_natively("x86_64")
    if reason is not None:
        pytest.skip(f"no kernel to compare with: {reason}")
    steps: list[Step] = [
        *Program("x86_64", "").begin(),
        ("open", b"new", 0o102, 0o644), ("pwrite64", 0, BAD, 2, 1), ("lseek", 0, 0, 2),
    ]  # fmt: skip
    outcome = compare.natively("x86_64", steps)
    spared = compare.without_failed_writes("x86_64", steps, outcome)
    assert spared.results[len(steps) - 2 : len(steps)] == (-Errno.EFAULT, 0)
    assert spared == compare.emulated("x86_64", steps, "python")


def test_all_architectures_run_the_same_table() -> None:
    for abi in BY_NAME:
        steps = Program(abi, "").begin()
        steps += [step("openat", AT_FDCWD, b"f", 0, 0), step("read", 0, SCRATCH, 99)]
        assert compare.emulated(abi, steps, "python").results[len(steps) - 1] == len(FILES[b"f"])
