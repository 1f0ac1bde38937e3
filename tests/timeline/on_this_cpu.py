"""Registers before every instruction of an i386 program: on this machine's CPU, and in a replay."""

from __future__ import annotations

import ctypes
import functools
import platform
import subprocess
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import capstone
import pytest
from capstone import x86 as cs
from unicorn import UC_HOOK_CODE
from unicorn import x86_const as uc
from unicorn.unicorn_py3.unicorn import uclib

from bootstrap.instruments import Engine
from bootstrap.instruments.counter import CODE
from bootstrap.timeline.timeline import PastEnd, Timeline
from bootstrap.trace.store import Trace
from tests.instruments.runs import need_native

_STEPPER = Path(__file__).with_name("single_step.py")
NAMES = ("eip", "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eflags")
ROW = 40
"""Bytes of a row: ten words."""
_IDS = [getattr(uc, f"UC_X86_REG_{name.upper()}") for name in NAMES[1:]]
CANNOT = 100
SECONDS = 120
"""A program that loops under the stepper must not hang the tests."""


@dataclass(frozen=True)
class Rows:
    """A row of registers for each instruction, before it."""

    raw: bytes | bytearray

    def __len__(self) -> int:
        return len(self.raw) // ROW

    def __getitem__(self, index: int) -> dict[str, int]:
        words = memoryview(self.raw)[index * ROW : (index + 1) * ROW].cast("I")
        return dict(zip(NAMES, words, strict=True))

    def column(self, index: int) -> array[int]:
        """One register at every instruction."""
        return array("I", self.raw)[index::10]

    def with_flags(self, flags: Sequence[int]) -> bytes:
        """The rows with other eflags."""
        words = array("I", self.raw)
        words[9::10] = array("I", flags)
        return words.tobytes()


# -- on this machine ------------------------------------------------------------------------------


def need_ptrace() -> None:
    """Skip, in words, where no program can be stepped through on the host's CPU."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip(f"i386 programs are stepped on Linux on x86-64, not {platform.platform()}")
    need_native("i386")


def on_this_cpu(
    folder: Path, tree: Path, argv: Sequence[bytes], envp: Sequence[bytes], stack: bytes, sp: int,
    pids: Sequence[int], status: int = 0,
) -> tuple[dict[str, int], Rows]:  # fmt: skip
    """What the kernel began with, and the rows of a run in `tree`, which ends with `status`.

    `folder`: for what is made on the way. Skips, in words, where the host does not let us.
    """
    saved, rows = folder / "stack", folder / "rows"
    saved.write_bytes(stack)
    numbers = ",".join(map(str, pids))
    done = subprocess.run(
        [sys.executable, "-I", _STEPPER, rows, saved, f"{sp:x}", numbers, *argv],
        cwd=tree,
        env=dict(line.split(b"=", 1) for line in envp),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode == CANNOT:
        pytest.skip(f"this host does not let a program be stepped: {done.stderr.decode().strip()}")
    assert done.returncode == status, (done.returncode, done.stderr)
    first, rest = (raw := rows.read_bytes())[:ROW], raw[ROW:]
    rows.unlink()
    return Rows(first)[0], Rows(rest)


# -- in a replay ----------------------------------------------------------------------------------


def in_a_replay(trace: Trace, engine: Engine, row: int) -> Rows:
    """The rows of a program of a trace, from its first instruction to its last, as a hook on every
    instruction reads them."""
    traveller = Timeline(trace, engine)
    total = traveller.total(row)
    rows, last = array("I", bytes(ROW * total)), 0
    found = (ctypes.c_uint32 * 9)()
    ids = (ctypes.c_int * 9)(*_IDS)
    size = ctypes.sizeof(ctypes.c_uint32)
    cells = (ctypes.c_void_p * 9)(*(ctypes.addressof(found) + size * n for n in range(9)))

    def note(engine: int, addr: int, _size: int, _user: int) -> None:
        nonlocal last
        # The counter's own hook comes before. It stands still at one more round of a REP, and at
        # the instruction at which the CPU stops.
        now = traveller.stepping.state.executed
        if now != last and 0 < now <= total:
            last = now
            uclib.uc_reg_read_batch(engine, ids, cells, 9)
            rows[10 * (now - 1) : 10 * now] = array("I", (addr, *found))

    def listen() -> None:
        cpu = traveller.live.tasks[-1].cpu
        cpu._hook(UC_HOOK_CODE, CODE(note))

    try:
        traveller.on_restore = listen
        traveller.seek_from(row, 0)
        # Not by a seek, which goes on from the last state that was kept.
        with pytest.raises(PastEnd):
            while True:
                traveller.go_on(None)
    finally:
        traveller.close()
    return Rows(rows.tobytes())


# -- compared -------------------------------------------------------------------------------------

STATUS = {"CF": 0x1, "PF": 0x4, "AF": 0x10, "ZF": 0x40, "SF": 0x80, "DF": 0x400, "OF": 0x800}
"""The flags that instructions set. TF, IF and RF are the tracer's and the kernel's."""


def _flag_masks(code: bytes) -> tuple[int, int]:
    """The flags that an instruction sets somehow, and those that it leaves undefined."""
    found = next(_disassembler().disasm(code, 0, 1), None)
    assert found is not None
    sets = undefined = 0
    for name, bit in STATUS.items():
        kinds = ("MODIFY", "SET", "RESET")
        told = (getattr(cs, f"X86_EFLAGS_{kind}_{name}", 0) for kind in kinds)
        sets |= bit if any(found.eflags & kind for kind in told) else 0
        undefined |= bit if found.eflags & getattr(cs, f"X86_EFLAGS_UNDEFINED_{name}", 0) else 0
    return sets, undefined


@functools.cache
def _disassembler() -> capstone.Cs:
    found = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    found.detail = True
    return found


def defined_flags(rows: Rows, image: bytes, base: int) -> list[int]:
    """The flags before every instruction that the Intel SDM defines; the others are left out.

    A flag that an instruction leaves undefined is so until another one sets it: two CPUs may differ
    there, as Intel's and AMD's do.
    """
    masks: dict[int, tuple[int, int]] = {}
    everything = sum(STATUS.values())
    known = everything
    found = []
    for pc, flags in zip(rows.column(0), rows.column(9), strict=True):
        found.append(flags & known)
        if pc not in masks:
            masks[pc] = _flag_masks(image[pc - base : pc - base + 16])
        sets, undefined = masks[pc]
        known = (known | sets) & ~undefined & everything
    return found


def first_difference(real: Rows, ours: Rows, image: bytes, base: int) -> str:
    """Where they differ first, for people; empty where they do not."""
    one = real.with_flags(defined_flags(real, image, base))
    other = ours.with_flags(defined_flags(ours, image, base))
    if one == other:
        return ""
    for index in range(min(len(real), len(ours))):
        if one[index * ROW : (index + 1) * ROW] != other[index * ROW : (index + 1) * ROW]:
            a, b = Rows(one)[index], Rows(other)[index]
            told = ", ".join(f"{n} {a[n]:#x} / {b[n]:#x}" for n in NAMES if a[n] != b[n])
            return f"before instruction {index} at {a['eip']:#x}, this CPU / replay: {told}"
    return f"{len(real)} instructions on this CPU, {len(ours)} in the replay"
