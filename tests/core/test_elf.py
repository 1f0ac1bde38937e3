"""Files that are no programs, or bad ones: what execve(2) says, here and on the host."""

from __future__ import annotations

import errno
import itertools
import signal
import struct
from collections.abc import Callable, Iterator

import pytest

from bootstrap.core.abi import LinuxError
from bootstrap.core.arches import AMD64, X86, Arch
from bootstrap.core.errors import GuestFailed, Limits
from tests.core.guest import (
    CODE,
    DATA,
    EACH_ARCH,
    EHDR,
    ON_X86,
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
    native,
    need_native,
    run,
    tiny,
)

RUNS = 7
BOUNDED = Limits(memory=64 << 20)


def here(image: bytes) -> str | int:
    """The name of execve's errno, or the status with which the file ends as a first program."""
    try:
        return run(image, limits=BOUNDED).status
    except LinuxError as error:
        return error.errno.name


def there(image: bytes) -> str | int:
    """The same on the host."""
    try:
        return native(image).status
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def field(arch: Arch, image: bytes, name: str, value: int) -> bytes:
    """The file with another value in one field of its header, or of its first program header."""
    wide = arch.word == 8
    after = 52 if wide else 40
    places = {
        "EI_CLASS": (4, "B"), "EI_DATA": (5, "B"), "EI_VERSION": (6, "B"),
        "e_type": (16, "H"), "e_machine": (18, "H"), "e_version": (20, "I"),
        "e_entry": (24, "Q" if wide else "I"), "e_phoff": (32 if wide else 28, "I"),
        "e_ehsize": (after, "H"), "e_phentsize": (after + 2, "H"), "e_phnum": (after + 4, "H"),
    }  # fmt: skip
    names = "type flags offset vaddr paddr filesz memsz align" if wide else (
        "type offset vaddr paddr filesz memsz flags align"
    )  # fmt: skip
    at = EHDR[arch.word].size
    for part in names.split():
        kind = "Q" if wide and part not in ("type", "flags") else "I"
        places[f"p_{part}"] = (at, kind)
        at += struct.calcsize(kind)
    offset, code = places[name]
    changed = bytearray(image)
    struct.pack_into(f"<{code}", changed, offset, value)
    return bytes(changed)


FIELDS = {
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
}


def bad_files(arch: Arch) -> Iterator[tuple[str, bytes]]:
    good = Program(arch).exit(RUNS).elf()
    yield "good", good
    yield "empty", b""
    yield "one byte", b"\x7f"
    yield "text", b"not a program\n"
    yield "a page of zeroes", bytes(4096)
    yield "the magic alone", b"\x7fELF"
    yield "random bytes", bytes(range(256)) * 8
    yield "a script without an interpreter", b"#!\n"
    for name, values in FIELDS.items():
        for value in values:
            yield f"{name} = {value:#x}", field(arch, good, name, value)
    if arch is X86:
        yield from ((f"a program of {size} bytes", tiny(size)) for size in (44, 45, 46, 51, 52))
    yield from second_segments(arch)


def second_segments(arch: Arch) -> Iterator[tuple[str, bytes]]:
    """Reads and stores on the pages of a second segment: of the file, beyond it, of no file.

    Not with X alone: whether that can be read depends on the CPU (pkeys(7)).
    """
    for flags, stores in itertools.product((R, W, R | X, R | W, 0), (False, True)):
        for page in range(3):
            at = DATA + page * PAGE + 8
            guest = Program(arch)
            guest = (guest.store(at) if stores else guest.load(at)).exit(RUNS)
            # The file has one page of it, its header says two, and three are in memory.
            segment = Load(DATA, bytes(PAGE), flags, 3 * PAGE)
            image = elf(arch, CODE, [Load(CODE, bytes(guest.code), R | X), segment])
            name = f"{'store to' if stores else 'read of'} page {page}, p_flags {flags}"
            for kind, in_file in (("cut", 2 * PAGE), ("whole", PAGE)):
                changed = bytearray(image)
                at, form = (64 + 56 + 32, "<Q") if arch.word == 8 else (52 + 32 + 16, "<I")
                struct.pack_into(form, changed, at, in_file)
                yield f"{name}, {kind}", bytes(changed)


@ON_X86
def test_bad_files_end_as_on_the_host(arch: Arch) -> None:
    need_native(arch)
    ours = {name: here(image) for name, image in bad_files(arch)}
    # Where the host has an emulator registered for a machine, its answer is not the kernel's.
    foreign = {"e_machine = 0x8", "e_machine = 0x28"}
    theirs = {
        name: "ENOEXEC" if name in foreign else there(image) for name, image in bad_files(arch)
    }
    assert {n: (ours[n], theirs[n]) for n in ours if ours[n] != theirs[n]} == {}
    assert ours["good"] == RUNS


@ON_X86
def test_truncated_at_every_byte_of_the_headers(arch: Arch) -> None:
    need_native(arch)
    image = Program(arch).exit(RUNS).elf()
    headers = EHDR[arch.word].size + 2 * PHDR[arch.word].size
    for size in range(0, headers + 1, 1 if arch is X86 else 3):
        assert here(image[:size]) == there(image[:size]), size
    # With whole headers the file is taken for a program, and its code is beyond its end: SIGBUS.
    assert here(image[:headers]) == 128 + signal.SIGBUS
    assert here(image[: headers - 1]) == "ENOEXEC"


@EACH_ARCH
@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
def test_any_header_byte_may_be_wrong(arch: Arch, mask: int) -> None:
    """Nothing but a clean end: a status, an errno, or a message of the core's own."""
    image = Program(arch).exit(RUNS).elf()
    for offset in range(EHDR[arch.word].size + 2 * PHDR[arch.word].size):
        changed = bytearray(image)
        changed[offset] ^= mask
        try:
            ending = here(bytes(changed))
        except GuestFailed as error:
            assert str(error).startswith(("limit:", "dynamically", "position")), offset
        else:
            assert ending in (RUNS, "ENOEXEC", 139, 132, 133, 135), (offset, ending)


OVERLAPPING: dict[str, Callable[[Arch, bytes], list[Load]]] = {
    "the later segment wins": lambda arch, code: [
        Load(CODE, b"\xf4" * 64, R | X),
        Load(CODE, code, R | X),
    ],
    "the later one is shorter": lambda arch, code: [
        Load(CODE, code + bytes(8192), R | X),
        Load(CODE, code, R | X),
    ],
    "zeroes over code": lambda arch, code: [
        Load(CODE, code, R | X),
        Load(CODE, b"", R | X, memory_size=4096),
    ],
    "a second page in common": lambda arch, code: [
        Load(CODE, code + bytes(4096), R | X),
        Load(CODE + 4096, code, R | W, memory_size=16384),
    ],
    "in falling order": lambda arch, code: [
        Load(DATA, b"data", R | W),
        Load(CODE, code, R | X),
    ],
    "no segment at all": lambda arch, code: [],
    "only the stack's": lambda arch, code: [Load(0, b"", R | W, kind=PT_GNU_STACK)],
    "empty": lambda arch, code: [Load(CODE, b"", R | X, memory_size=0)],
    "code that is only zeroes": lambda arch, code: [Load(CODE, b"", R | X, memory_size=8192)],
    "in the kernel's half": lambda arch, code: [Load(0xFFFFF000 << (arch.word == 8) * 32, code, 5)],
    "to the end of the address space": lambda arch, code: [
        Load(CODE, code, R | X, memory_size=(1 << (63 if arch.word == 8 else 32)) - 8192)
    ],
    "over the stack": lambda arch, code: [
        Load(CODE, code, R | X),
        Load(arch.task_size - 4096, b"x", R | W),
    ],
}


@ON_X86
@pytest.mark.parametrize("segments", OVERLAPPING.values(), ids=OVERLAPPING)
def test_unusual_segments(arch: Arch, segments: Callable[[Arch, bytes], list[Load]]) -> None:
    need_native(arch)
    code = bytes(Program(arch).exit(RUNS).code)
    image = elf(arch, CODE, segments(arch, code))
    assert here(image) == there(image)


@ON_X86
@pytest.mark.parametrize("more", [0, 100, 4096, 0x2000, 0x2001, 0x400000])
@pytest.mark.parametrize("bss", [0, 1, 8192])
def test_a_segment_longer_than_its_file(arch: Arch, more: int, bss: int) -> None:
    """p_filesz beyond the end of the file: zeroes after it would fill a page that is not there."""
    need_native(arch)
    image = elf(arch, CODE, [Load(CODE, bytes(Program(arch).exit(RUNS).code), R | W | X)])
    form, at = ("<Q", 64 + 32) if arch.word == 8 else ("<I", 52 + 16)
    (length,) = struct.unpack_from(form, image, at)
    image = field(arch, image, "p_filesz", length + more)
    image = field(arch, image, "p_memsz", length + more + bss)
    assert here(image) == there(image)


@EACH_ARCH
def test_zeroes_follow_what_the_file_has(arch: Arch) -> None:
    """The rest of a page is of the file, beyond the segment; of a writable segment it is zero."""
    guest = Program(arch)
    guest.call("write", 1, DATA, 3 * PAGE).exit(0)
    for flags, tail in ((R, b"tail"), (R | W, bytes(4))):
        segments = [Load(CODE, bytes(guest.code), R | X), Load(DATA, b"data", flags, 2 * PAGE)]
        image = elf(arch, CODE, segments) + b"tail"
        # A last segment that may not be written keeps what the file has after it.
        assert run(image).output == (b"data" + tail).ljust(2 * PAGE, b"\0")


@EACH_ARCH
def test_what_the_core_does_not_do_is_said(arch: Arch) -> None:
    code = Load(CODE, bytes(Program(arch).exit(RUNS).code), R | X)
    interpreter = Load(0, b"/lib/ld.so\0", R, None, PT_INTERP)
    with pytest.raises(GuestFailed, match="dynamically linked"):
        here(elf(arch, CODE, [code, interpreter]))
    with pytest.raises(GuestFailed, match="position-independent"):
        here(elf(arch, CODE, [code], kind=3))


def test_a_486_is_a_386_and_riscv_is_told_by_its_class() -> None:
    assert here(field(X86, Program(X86).exit(RUNS).elf(), "e_machine", 6)) == RUNS
    assert here(field(AMD64, Program(AMD64).exit(RUNS).elf(), "EI_CLASS", 1)) == RUNS
