"""Files that are no programs, or bad ones: what execve(2) says, here and on the host."""

from __future__ import annotations

import errno
import itertools
import signal
import struct
from collections.abc import Callable, Iterator

import pytest

from bootstrap.core.abi import LinuxError
from bootstrap.core.errors import GuestFailed
from bootstrap.linux.limits import Limits
from tests.instruments import runs
from tests.instruments.guest import (
    CODE,
    DATA,
    EHDR,
    PAGE,
    PHDR,
    PT_GNU_STACK,
    PT_INTERP,
    Load,
    Program,
    R,
    W,
    X,
    elf,
    tiny,
)
from tests.instruments.runs import EACH_ABI, emulate, native, signalled

RUNS = 7
BOUNDED = Limits(memory=64 << 20, instructions=10_000)

Ending = str | int
"""The name of execve's errno, or the exit status as a shell tells it."""


def here(image: bytes) -> Ending:
    """How the file ends as the first program of a run, on both hot paths."""
    try:
        status = emulate(image, limits=BOUNDED).status
        assert emulate(image, "python", limits=BOUNDED).status == status
    except LinuxError as error:
        return error.errno.name
    return status


def as_child(abi: str, image: bytes) -> Ending:
    """How the file ends when another program executes it."""
    guest = Program(abi)
    name, status = guest.text(b"/bad"), guest.space(8)
    guest.call("fork").jump_if_zero("child").call("wait4", -1, status, 0, 0)
    guest.call("write", 1, status, 4).exit(0)
    guest.label("child").call("execve", name, 0, 0).call_and_report("getpid")
    guest.call("execve", name, 0, 0).store(status).call("write", 1, status, 4).exit(99)
    outcome = emulate(guest, files={b"/bad": image}, limits=BOUNDED)
    word = outcome.words(4)[-1]
    if word != 99 << 8:
        return runs.status_of(word)
    return errno.errorcode[-outcome.words(4)[-2]]


def there(image: bytes) -> Ending:
    """How the file ends on the host."""
    try:
        return native(image).status
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def program(abi: str) -> bytes:
    return Program(abi).exit(RUNS).elf()


def headers_size(abi: str) -> int:
    return EHDR[abi].size + 2 * PHDR[abi].size


def field(abi: str, image: bytes, name: str, value: int) -> bytes:
    """The file with another value in one field of its header, or of its first program header."""
    wide = abi == "x86_64"
    ehdr = {"e_type": (16, "H"), "e_machine": (18, "H"), "e_version": (20, "I")}
    ehdr |= {"e_entry": (24, "Q" if wide else "I"), "e_phoff": (32 if wide else 28, "I")}
    after = 52 if wide else 40
    ehdr |= {"e_ehsize": (after, "H"), "e_phentsize": (after + 2, "H"), "e_phnum": (after + 4, "H")}
    ehdr |= {"EI_CLASS": (4, "B"), "EI_DATA": (5, "B"), "EI_VERSION": (6, "B")}
    names = "type flags offset vaddr paddr filesz memsz align" if wide else (
        "type offset vaddr paddr filesz memsz flags align"
    )  # fmt: skip
    at = EHDR[abi].size
    for part in names.split():
        kind = "Q" if wide and part not in ("type", "flags") else "I"
        ehdr[f"p_{part}"] = (at, kind)
        at += struct.calcsize(kind)
    offset, code = ehdr[name]
    changed = bytearray(image)
    struct.pack_into(f"<{code}", changed, offset, value)
    return bytes(changed)


def bad_files(abi: str) -> Iterator[tuple[str, bytes]]:
    good = program(abi)
    yield "good", good
    yield "empty", b""
    yield "one byte", b"\x7f"
    yield "text", b"not a program\n"
    yield "a page of zeroes", bytes(4096)
    yield "the magic alone", b"\x7fELF"
    yield "random bytes", bytes(range(256)) * 8
    yield "a script without an interpreter", b"#!\n"
    yield "a script with an interpreter that is not there", b"#!/nowhere/at/all\n"
    yield "a script that names itself", b"#!./guest\n"
    for name, values in {
        "EI_CLASS": (0, 1, 2, 3),
        "EI_DATA": (0, 1, 2),
        "EI_VERSION": (0, 2),
        "e_type": (0, 1, 4, 0xFFFF),
        "e_machine": (0, 3, 6, 8, 40, 62, 0xFFFF),
        "e_version": (0, 2),
        "e_entry": (0, 1, CODE - 1, CODE + 0x1000, 0x7FFFFFFF),
        "e_phoff": (0, 1, 1 << 20, 0x7FFFFFFF),
        "e_ehsize": (0, 0xFFFF),
        "e_phentsize": (0, 31, 33, 55, 57, 0xFFFF),
        "e_phnum": (0, 1, 100, 1024, 0xFFFE, 0xFFFF),
        "p_type": (0, 4, 0x70000000),
        "p_flags": (0, X, R, W),
        "p_offset": (0, 1, 0x2000, 1 << 30),
        "p_vaddr": (0, CODE + 1, CODE + 0x1000),
        "p_filesz": (0, 1 << 30),
        "p_memsz": (0, 1),
        "p_align": (0, 1, 3, 0x10000),
    }.items():
        for value in values:
            yield f"{name} = {value:#x}", field(abi, good, name, value)
    if abi == "i386":
        yield from ((f"a program of {size} bytes", tiny(size)) for size in (44, 45, 46, 51, 52))
    yield from second_segments(abi)


def second_segments(abi: str) -> Iterator[tuple[str, bytes]]:
    """Reads and stores on the pages of a second segment: of the file, beyond it, of no file.

    Not with X alone: whether that can be read depends on the CPU (pkeys(7)).
    """
    for flags, stores in itertools.product((R, W, R | X, R | W, 0), (False, True)):
        for page in range(3):
            guest = Program(abi)
            at = DATA + page * PAGE + 8
            guest = guest.poke(at, 1) if stores else guest.load(at)
            guest.exit(RUNS)
            # The file has one page of it, its header says two, and three are in memory.
            segment = Load(DATA, bytes(PAGE), flags, 3 * PAGE)
            image = elf(abi, CODE, [Load(CODE, bytes(guest.code), R | X), segment])
            size = EHDR[abi].size + PHDR[abi].size
            name = f"{'store to' if stores else 'read of'} page {page}, p_flags {flags}"
            for kind, in_file in (("cut", 2 * PAGE), ("whole", PAGE)):
                yield f"{name}, {kind}", filesz(abi, image, size, in_file)


def filesz(abi: str, image: bytes, phdr: int, value: int) -> bytes:
    """The file with another p_filesz in the program header at this offset."""
    changed = bytearray(image)
    at, code = (phdr + 32, "<Q") if abi == "x86_64" else (phdr + 16, "<I")
    struct.pack_into(code, changed, at, value)
    return bytes(changed)


@EACH_ABI
def test_bad_files_end_as_on_the_host(abi: str) -> None:
    runs.need_native(abi)
    differing = {}
    for name, image in bad_files(abi):
        # Where the host has an emulator registered for a machine, its answer is not the kernel's.
        ours, theirs = here(image), "ENOEXEC" if runs.handled_by_binfmt(image) else there(image)
        if ours != theirs:
            differing[name] = ours
    assert not differing


@EACH_ABI
def test_another_program_gets_the_errno_or_sees_the_signal(abi: str) -> None:
    for name, image in bad_files(abi):
        expected = here(image)
        if name == "a script that names itself":
            continue  # it has another name there
        assert as_child(abi, image) == expected, name


@EACH_ABI
def test_truncated_at_every_byte_of_the_headers(abi: str) -> None:
    runs.need_native(abi)
    image = program(abi)
    differing = {
        size: (ours, theirs)
        for size in range(headers_size(abi) + 1)
        if (ours := here(image[:size])) != (theirs := there(image[:size]))
    }
    # With whole headers the file is taken for a program, and its code is beyond its end: SIGBUS.
    assert not differing
    assert here(image[: headers_size(abi) - 1]) == "ENOEXEC"


@EACH_ABI
def test_truncated_in_the_code_it_reads_zeroes_to_the_end_of_the_page(abi: str) -> None:
    guest = Program(abi)
    guest.raw("90" * 64)
    image = guest.exit(RUNS).elf(stack=None)
    short = image[: len(image) - 8]
    if runs.why_not_native(abi) is None:
        assert there(short) == here(short)
    assert here(short) == signalled(signal.SIGSEGV)


@EACH_ABI
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_any_header_byte_may_be_wrong(abi: str, mask: int) -> None:
    """Nothing but a clean end: a status, an errno, or a message of this kernel's own."""
    image = program(abi)
    for offset in range(headers_size(abi)):
        changed = bytearray(image)
        changed[offset] ^= mask
        try:
            ending = here(bytes(changed))
        except GuestFailed as error:
            assert str(error).startswith(("limit:", "dynamically", "position", "/guest")), offset
        else:
            assert ending in (RUNS, "ENOEXEC", 139, 132, 133, 135), (offset, ending)


OVERLAPPING: dict[str, Callable[[str, bytes], list[Load]]] = {
    "the later segment wins": lambda abi, code: [
        Load(CODE, b"\xf4" * 64, R | X),
        Load(CODE, code, R | X),
    ],
    "the later one is shorter": lambda abi, code: [
        Load(CODE, code + bytes(8192), R | X),
        Load(CODE, code, R | X),
    ],
    "zeroes over code": lambda abi, code: [
        Load(CODE, code, R | X),
        Load(CODE, b"", R | X, memory_size=4096),
    ],
    "a second page in common": lambda abi, code: [
        Load(CODE, code + bytes(4096), R | X),
        Load(CODE + 4096, code, R | W, memory_size=16384),
    ],
    "in falling order": lambda abi, code: [
        Load(DATA, b"data", R | W),
        Load(CODE, code, R | X),
    ],
    "no segment at all": lambda abi, code: [],
    "only the stack's": lambda abi, code: [Load(0, b"", R | W, kind=PT_GNU_STACK)],
    "empty": lambda abi, code: [Load(CODE, b"", R | X, memory_size=0)],
    "code that is only zeroes": lambda abi, code: [Load(CODE, b"", R | X, memory_size=8192)],
    "in the kernel's half": lambda abi, code: [Load(0xFFFFF000 << (abi != "i386") * 32, code, 5)],
    "to the end of the address space": lambda abi, code: [
        Load(CODE, code, R | X, memory_size=(1 << (32 if abi == "i386" else 63)) - 8192)
    ],
    "over the stack": lambda abi, code: [
        Load(CODE, code, R | X),
        Load((0xFFFFE000 if abi == "i386" else 0x7FFFFFFFF000) - 4096, b"x", R | W),
    ],
}


@EACH_ABI
@pytest.mark.parametrize("segments", OVERLAPPING.values(), ids=OVERLAPPING)
def test_unusual_segments(abi: str, segments: Callable[[str, bytes], list[Load]]) -> None:
    runs.need_native(abi)
    code = bytes(Program(abi).exit(RUNS).code)
    image = elf(abi, CODE, segments(abi, code))
    assert here(image) == there(image)


@EACH_ABI
@pytest.mark.parametrize("more", [0, 100, 4096, 0x2000, 0x2001, 0x400000])
@pytest.mark.parametrize("bss", [0, 1, 8192])
def test_a_segment_longer_than_its_file(abi: str, more: int, bss: int) -> None:
    """p_filesz beyond the end of the file: zeroes behind it would fill a page that is not there."""
    runs.need_native(abi)
    code = bytes(Program(abi).exit(RUNS).code)
    image = bytearray(elf(abi, CODE, [Load(CODE, code, R | W | X)]))
    header, word, at = (52, "<I", 16) if abi == "i386" else (64, "<Q", 32)
    size = struct.calcsize(word)
    (length,) = struct.unpack_from(word, image, header + at)
    struct.pack_into(word, image, header + at, length + more)
    struct.pack_into(word, image, header + at + size, length + more + bss)
    assert here(bytes(image)) == there(bytes(image))


@EACH_ABI
def test_what_this_kernel_does_not_do_is_said(abi: str) -> None:
    code = bytes(Program(abi).exit(RUNS).code)
    dynamic = elf(
        abi, CODE, [Load(CODE, code, R | X), Load(0, b"/lib/ld.so\0", R, None, PT_INTERP)]
    )
    with pytest.raises(GuestFailed, match="dynamically linked"):
        here(dynamic)
    with pytest.raises(GuestFailed, match="position-independent"):
        here(elf(abi, CODE, [Load(CODE, code, R | X)], kind=3))
    with pytest.raises(GuestFailed, match="limit: the process asked for"):
        here(elf(abi, CODE, [Load(CODE, code, R | X), Load(DATA, b"", R | W, 256 << 20)]))


@EACH_ABI
def test_the_memory_of_a_bad_image_is_given_back(abi: str) -> None:
    bad = elf(abi, CODE, [Load(DATA, b"", R | W, 4 << 20), Load(CODE, b"1234", R | X, 1)])
    guest = Program(abi)
    name, left = guest.text(b"/bad"), guest.words(12)
    guest.label("next").call("fork").jump_if_zero("child").call("wait4", -1, 0, 0, 0)
    guest.decrement(left).jump_if_not_zero("next").exit(RUNS)
    guest.label("child").call("execve", name, 0, 0).exit(1)
    limits = Limits(memory_total=40 << 20)
    assert emulate(guest, files={b"/bad": bad}, limits=limits).status == RUNS
