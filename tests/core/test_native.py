"""The core's calls against the host's kernel: random programs, drawn alike each time.

A program makes calls one after another, in children too, and reports each result.
"""

from __future__ import annotations

import random

import pytest

from bootstrap.core import abi
from bootstrap.core.arches import Arch
from tests.core.guest import ON_X86, Program, native, need_native, run, why_not_native

NAMES = (
    b"a",
    b"d/b",
    b"d",
    b"new",
    b"d/new",
    b".",
    b"..",
    b"none/x",
    b"a/x",
    b"d/",
    b"",
    b"d/../a",
)
FLAGS = (0, 1, 2, 0o100, 0o101, 0o102, 0o301, 0o1001, 0o1102, 0o2001, 0o2102, 0o200000, 0o400000, 3)
KINDS = (
    *("open", "read", "write") * 4,
    *("lseek", "close", "access", "chmod", "unlink", "chdir", "brk", "brk", "fork", "wait", "exec"),
)
FILES = {b"/a": b"0123456789", b"/d/b": b"x" * 5000}


class Drawn:
    """A random program, and the numbers that it was drawn with."""

    def __init__(self, arch: Arch, seed: int) -> None:
        self.rng = random.Random(seed)
        self.guest = Program(arch)
        self.buffer = self.guest.data(bytes(range(256)) * 48)
        self.depth = 0

    def name(self) -> int:
        return self.guest.text(self.rng.choice(NAMES))

    def fd(self) -> int:
        return self.rng.choice((3, 3, 4, 4, 5, 6, 7, 1000, -1))

    def place(self) -> int:
        """An address: of the buffer, or across its end, or of nothing."""
        end = self.buffer + 48 * 256
        page = -(-end // 4096) * 4096
        return self.rng.choice(
            (self.buffer, self.buffer, self.buffer + 4096, page - 3, 16, 1 << 30)
        )

    def size(self) -> int:
        return self.rng.choice((0, 1, 1, 3, 100, 4096, 5000))

    def step(self) -> None:
        rng, guest = self.rng, self.guest
        kind = rng.choice(KINDS)
        if kind == "open":
            guest.call("openat", abi.AT_FDCWD, self.name(), rng.choice(FLAGS), 0o644)
        elif kind in ("read", "write"):
            guest.call(kind, self.fd(), self.place(), self.size())
        elif kind == "lseek":
            guest.call("lseek", self.fd(), rng.choice((-5, 0, 1, 9, 5000)), rng.choice((0, 1, 5)))
        elif kind == "close":
            guest.call("close", self.fd())
        elif kind == "access":
            guest.call("faccessat", abi.AT_FDCWD, self.name(), rng.choice((0, 1, 2, 4, 7, 8)))
        elif kind == "chmod":
            # Never less for its owner: on the host that may be somebody who is not root.
            guest.call("chmod", self.name(), rng.choice((0o744, 0o755, 0o700)))
        elif kind == "unlink":
            guest.call("unlink", self.name())
        elif kind == "chdir":
            guest.call("chdir", guest.text(rng.choice((b"d", b".", b"a", b"none"))))
        elif kind == "brk":
            guest.call("brk", rng.choice((0, 1, 0x80_5000, 0x80_5001, 0x90_0000, 0x80_8000)))
        elif kind == "fork":
            self.child()
        elif kind == "wait":
            guest.call(
                "wait4", -1, rng.choice((0, self.buffer, 16)), rng.choice((0, 1, 1 << 20)), 0
            )
            guest.jump(f"waited {len(guest.code)}", "negative")  # the pid is the host's own
            label = guest._jumps[-1][1]
            guest.call("brk", 0)
            guest.label(label)
        else:
            guest.call("execve", self.name(), 0, 0)
        guest.report()

    def child(self) -> None:
        """A child that makes calls of its own, and is waited for at once."""
        if self.depth == 2:
            return
        guest, number = self.guest, len(self.guest.code)
        guest.fork().jump(f"child {number}", "zero").wait().call("brk", 0).jump(f"over {number}")
        guest.label(f"child {number}")
        self.depth += 1
        for _ in range(4):
            self.step()
        self.depth -= 1
        guest.exit(self.rng.choice((0, 3, 255))).label(f"over {number}")


@ON_X86
@pytest.mark.parametrize("seed", range(12))
def test_drawn_programs_do_the_same_on_the_hosts_kernel(arch: Arch, seed: int) -> None:
    need_native(arch)
    drawn = Drawn(arch, seed)
    for _ in range(60):
        drawn.step()
    image = drawn.guest.exit(7).elf()
    ran = run(image, FILES)
    there = native(image, FILES)
    ours = ran.words(arch.word)
    assert len(ours) >= 60
    assert ours == there.words(arch.word)
    assert ran.status == there.status == 7


@ON_X86
def test_it_would_be_seen(arch: Arch) -> None:
    """The comparison can fail: the same program on other files."""
    if why_not_native(arch) is not None:
        return
    guest = Program(arch)
    guest.at("open", guest.text(b"a"), 0, 0).call("read", 3, guest.space(16), 16).report().exit(0)
    assert run(guest, {b"/a": b"12"}).words(arch.word) != native(guest, FILES).words(arch.word)
