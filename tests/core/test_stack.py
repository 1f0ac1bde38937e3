"""The stack that a program starts with, compared with the one that the host's kernel makes."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from bootstrap.core.arches import PAGE, X86, Arch
from bootstrap.core.machine import Machine
from bootstrap.core.process import Exec
from tests.core.guest import (
    EACH_ARCH,
    EHDR,
    ON_X86,
    PHDR,
    Load,
    Program,
    R,
    X,
    elf,
    laid_out,
    native,
    run,
    why_not_native,
)

AT = {
    "HWCAP": 16, "PAGESZ": 6, "CLKTCK": 17, "PHDR": 3, "PHENT": 4, "PHNUM": 5, "BASE": 7,
    "FLAGS": 8, "ENTRY": 9, "UID": 11, "EUID": 12, "GID": 13, "EGID": 14, "SECURE": 23,
    "RANDOM": 25, "HWCAP2": 26, "EXECFN": 31, "PLATFORM": 15,
}  # fmt: skip
HOSTS_OWN = {"HWCAP", "HWCAP2", "RANDOM", "PLATFORM", "UID", "EUID", "GID", "EGID"}
"""What may differ from host to host: the processor, the user, and where the two strings lie."""


def dumper(arch: Arch) -> Program:
    """For the host: writes its stack, from the stack pointer to the top."""
    guest = Program(arch)
    if arch is X86:  # mov ecx, esp; mov edx, top; sub edx, ecx; write(1, ecx, edx)
        guest.raw(b"\x89\xe1\xba" + struct.pack("<I", arch.task_size) + b"\x29\xca")
        return guest.raw("bb01000000b804000000cd80").exit(0)
    guest.raw(b"\x48\x89\xe6\x48\xba" + struct.pack("<Q", arch.task_size) + b"\x48\x29\xf2")
    return guest.raw("bf01000000b8010000000f05").exit(0)


def started(image: bytes, argv: Sequence[bytes], envp: Sequence[bytes]) -> bytes:
    """The stack of a process here that has not run yet."""
    machine = Machine(laid_out({b"/guest": image}))
    assert machine.start(Exec(b"./guest", tuple(argv), tuple(envp)), b"/", None) is None
    task = machine.running[0]
    sp = task.cpu._read(task.process.arch.sp)
    return task.process.memory.read(sp, task.process.arch.task_size - sp)


@dataclass(frozen=True)
class Stack:
    """A stack, taken apart as a program would (System V ABI, i386 and AMD64, figure 3.9)."""

    sp: int
    argv: tuple[int, ...]
    envp: tuple[int, ...]
    aux: tuple[tuple[int, int], ...]
    memory: bytes

    @classmethod
    def of(cls, arch: Arch, memory: bytes) -> Stack:
        kind = f"<{len(memory) // arch.word}{'Q' if arch.word == 8 else 'I'}"
        words = struct.unpack_from(kind, memory)
        argc = words[0]
        end = words.index(0, 1 + argc)
        assert end == 1 + argc
        env_end = words.index(0, end + 1)
        aux = []
        at = env_end + 1
        while words[at]:
            aux.append((words[at], words[at + 1]))
            at += 2
        sp = arch.task_size - len(memory)
        return cls(sp, words[1:end], words[end + 1 : env_end], tuple(aux), memory)

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
    arch: Arch, argv: tuple[bytes, ...], envp: Mapping[bytes, bytes]
) -> tuple[Stack, Stack | None]:
    variables = [name + b"=" + value for name, value in envp.items()]
    if why_not_native(arch) is not None:
        return Stack.of(arch, started(Program(arch).exit(0).elf(), argv, variables)), None
    image = dumper(arch).elf()
    ours = started(image, argv, variables)
    return Stack.of(arch, ours), Stack.of(arch, native(image, argv=argv, envp=envp).output)


@EACH_ARCH
@pytest.mark.parametrize(("argv", "envp"), CASES.values(), ids=CASES)
def test_arguments_and_environment(
    arch: Arch, argv: tuple[bytes, ...], envp: Mapping[bytes, bytes]
) -> None:
    ours, theirs = stacks(arch, argv, envp)
    assert ours.sp % 16 == 0
    assert [ours.text(at) for at in ours.argv] == list(argv)
    assert [ours.text(at) for at in ours.envp] == [k + b"=" + v for k, v in envp.items()]
    assert ours.memory[-arch.word :] == bytes(arch.word)
    if theirs is not None:
        # The strings lie at the very addresses that Linux gives them.
        assert (ours.argv, ours.envp) == (theirs.argv, theirs.envp)
        start = min(*ours.argv, *ours.envp, ours.value("EXECFN"))
        assert ours.memory[start - ours.sp :] == theirs.memory[start - theirs.sp :]
        assert theirs.sp % 16 == 0


@EACH_ARCH
def test_the_auxiliary_vector(arch: Arch) -> None:
    ours, theirs = stacks(arch, *CASES["both"])
    platform = ["PLATFORM"] if arch.platform else []
    expected = [kind for name, kind in AT.items() if name != "PLATFORM" or platform]
    assert [kind for kind, _ in ours.aux] == expected
    assert ours.text(ours.value("EXECFN")) == b"./guest"
    assert [ours.text(ours.value(name)) for name in platform] == [
        arch.platform.encode() for _ in platform
    ]
    assert [ours.value(name) for name in ("UID", "EUID", "GID", "EGID", "SECURE")] == [0] * 5
    # Sixteen bytes that are the same in every run.
    random = ours.value("RANDOM") - ours.sp
    assert ours.memory[random : random + 16] == bytes(range(16))
    assert (ours.value("PAGESZ"), ours.value("ENTRY")) == (4096, 0x400000)
    if theirs is not None:
        for name in AT.keys() - HOSTS_OWN:
            assert ours.value(name) == theirs.value(name), name
        common = {kind for kind, _ in ours.aux}
        assert [kind for kind, _ in theirs.aux if kind in common] == expected


@ON_X86
def test_the_program_headers_are_in_the_last_segment_that_has_them(arch: Arch) -> None:
    code = dumper(arch).elf()[PAGE : PAGE + 200]
    segments = [Load(start, code, R | X) for start in (0x400000, 0x600000)]
    image = bytearray(elf(arch, 0x400000 + PAGE, segments))
    wide, header, row = arch.word == 8, EHDR[arch.word].size, PHDR[arch.word].size
    for at in (header, header + row):  # the whole file, from its start
        # p_offset, p_filesz and p_memsz: elf(5), Elf32_Phdr and Elf64_Phdr
        places = (8, 32, 40) if wide else (4, 16, 20)
        for place, value in zip(places, (0, len(image), len(image)), strict=True):
            struct.pack_into("<Q" if wide else "<I", image, at + place, value)
    ours = Stack.of(arch, started(bytes(image), [b"./guest"], []))
    assert ours.value("PHDR") == 0x600000 + header
    if why_not_native(arch) is None:
        theirs = Stack.of(arch, native(bytes(image)).output)
        assert ours.value("PHDR") == theirs.value("PHDR")


@ON_X86
def test_two_runs_have_the_same_stack(arch: Arch) -> None:
    image = dumper(arch).elf()
    assert run(image).output == run(image).output
    assert run(image, path=b"./guest").output == started(image, [b"./guest"], [])
