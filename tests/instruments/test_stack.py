"""The stack that a program starts with, compared with the one that the host's kernel makes."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from bootstrap.core.arches import ARCHES as KERNEL_ABIS
from tests.instruments import runs
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate, native

TOP = {abi.name: abi.task_size for abi in KERNEL_ABIS}
PLATFORM = {"i386": b"i686", "x86_64": b"x86_64"}
AT = {
    "HWCAP": 16, "PAGESZ": 6, "CLKTCK": 17, "PHDR": 3, "PHENT": 4, "PHNUM": 5, "BASE": 7,
    "FLAGS": 8, "ENTRY": 9, "UID": 11, "EUID": 12, "GID": 13, "EGID": 14, "SECURE": 23,
    "RANDOM": 25, "HWCAP2": 26, "EXECFN": 31, "PLATFORM": 15,
}  # fmt: skip
HOSTS_OWN = {"HWCAP", "HWCAP2", "RANDOM", "PLATFORM", "UID", "EUID", "GID", "EGID"}
"""What may differ from host to host: the processor, the user, and where the two strings lie."""


def dumper(abi: str) -> Program:
    """Writes its stack, from the stack pointer to the top."""
    guest = Program(abi)
    top = TOP[abi]
    if abi == "i386":
        guest.raw(b"\x89\xe1\xba" + struct.pack("<I", top) + b"\x29\xe2")
        return guest.raw("bb01000000b804000000cd80").exit(0)
    guest.raw(b"\x48\x89\xe6\x48\xba" + struct.pack("<Q", top) + b"\x48\x29\xe2")
    return guest.raw("bf01000000b8010000000f05").exit(0)


@dataclass(frozen=True)
class Stack:
    """A stack, taken apart as a program would (System V ABI, i386 and AMD64, figure 3.9)."""

    sp: int
    argc: int
    argv: tuple[int, ...]
    envp: tuple[int, ...]
    aux: tuple[tuple[int, int], ...]
    memory: bytes

    @classmethod
    def of(cls, abi: str, memory: bytes) -> Stack:
        size = 4 if abi == "i386" else 8
        words = [
            int.from_bytes(memory[at : at + size], "little")
            for at in range(0, len(memory) // size * size, size)
        ]
        argc = words[0]
        end = words.index(0, 1 + argc)
        assert end == 1 + argc
        env_end = words.index(0, end + 1)
        aux = []
        at = env_end + 1
        while words[at]:
            aux.append((words[at], words[at + 1]))
            at += 2
        return cls(
            TOP[abi] - len(memory),
            argc,
            tuple(words[1:end]),
            tuple(words[end + 1 : env_end]),
            tuple(aux),
            memory,
        )

    def text(self, guest_addr: int) -> bytes:
        start = guest_addr - self.sp
        return self.memory[start : self.memory.index(0, start)]

    def value(self, name: str) -> int:
        return dict(self.aux)[AT[name]]


CASES: dict[str, tuple[tuple[bytes, ...], Mapping[bytes, bytes]]] = {
    "nothing": ((b"./guest",), {}),
    "arguments": ((b"./guest", b"one", b"", b"three three", b"\xff\x01"), {}),
    "environment": ((b"./guest",), {b"A": b"1", b"EMPTY": b"", b"LONG": b"x" * 5000}),
    "both": ((b"another name", b"-f", b"file"), {b"PATH": b"/bin:/usr/bin", b"HOME": b"/"}),
    "many": (tuple(b"%d" % n for n in range(700)), {b"V%d" % n: b"v" for n in range(300)}),
    "long": ((b"./guest", b"y" * 100_000), {}),
}


def stacks(
    abi: str, hot_path: str, argv: tuple[bytes, ...], envp: Mapping[bytes, bytes]
) -> tuple[Stack, Stack | None]:
    image = dumper(abi).elf()
    variables = [name + b"=" + value for name, value in envp.items()]
    ours = emulate(image, hot_path, argv, variables, path=b"./guest").output
    if runs.why_not_native(abi) is not None:
        return Stack.of(abi, ours), None
    return Stack.of(abi, ours), Stack.of(abi, native(image, argv, envp).output)


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize(("argv", "envp"), CASES.values(), ids=CASES)
def test_arguments_and_environment(
    abi: str, hot_path: str, argv: tuple[bytes, ...], envp: Mapping[bytes, bytes]
) -> None:
    ours, theirs = stacks(abi, hot_path, argv, envp)
    assert ours.sp % 16 == 0
    assert ours.argc == len(argv)
    assert [ours.text(at) for at in ours.argv] == list(argv)
    assert [ours.text(at) for at in ours.envp] == [k + b"=" + v for k, v in envp.items()]
    assert ours.memory[-(4 if abi == "i386" else 8) :] == bytes(4 if abi == "i386" else 8)
    if theirs is not None:
        # The strings lie at the very addresses that Linux gives them.
        assert (ours.argc, ours.argv, ours.envp) == (theirs.argc, theirs.argv, theirs.envp)
        strings = (*ours.argv, *ours.envp, ours.value("EXECFN"))
        start = min(strings)
        assert ours.memory[start - ours.sp :] == theirs.memory[start - theirs.sp :]
        assert theirs.sp % 16 == 0


@EACH_ABI
def test_the_auxiliary_vector(abi: str) -> None:
    ours, theirs = stacks(abi, "native", *CASES["both"])
    assert [kind for kind, _ in ours.aux] == list(AT.values())
    assert ours.text(ours.value("EXECFN")) == b"./guest"
    assert ours.text(ours.value("PLATFORM")) == PLATFORM[abi]
    assert [ours.value(name) for name in ("UID", "EUID", "GID", "EGID", "SECURE")] == [0] * 5
    # Sixteen bytes that are the same in every run.
    random = ours.value("RANDOM") - ours.sp
    assert ours.memory[random : random + 16] == bytes(range(16))
    if theirs is None:
        return
    for name in AT.keys() - HOSTS_OWN:
        assert ours.value(name) == theirs.value(name), name
    assert theirs.text(theirs.value("PLATFORM")) in (
        PLATFORM[abi],
        b"i586",
        b"haswell",
        b"xeon_phi",
    )
    common = {kind for kind, _ in ours.aux}
    assert [kind for kind, _ in theirs.aux if kind in common] == list(AT.values())


@EACH_ABI
def test_two_runs_have_the_same_stack(abi: str) -> None:
    image = dumper(abi).elf()
    first, second = (emulate(image, hot_path).output for hot_path in ("native", "python"))
    assert first == second
