"""Makes a process image of an ELF file, as Linux does (fs/exec.c, fs/binfmt_elf.c, elf(5)).

Claims: a file runs here only if Linux would run it, and then with the same memory, entry point and
stack, down to the auxiliary vector. What Linux finds wrong before it gives up the old image is a
LinuxError with Linux's errno; what it finds later kills the process, here a BadImage; what Linux
can do and the core cannot is a GuestFailed that says so. Headers may be short, overlap and lie:
no library reads them, for what counts is what Linux makes of them.
Relies on: `memory`, and `files` for the bytes of the file.
Tests that would fail if it lied: tests/core/test_elf.py, test_stack.py, test_native.py.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from bootstrap.core.abi import PROT_EXEC, PROT_READ, PROT_WRITE, Errno, LinuxError
from bootstrap.core.arches import ARCHES, PAGE, PAGE_MASK, Arch, page_down, page_up
from bootstrap.core.errors import GuestFailed, Meter
from bootstrap.core.files import RegularFile
from bootstrap.core.memory import BEYOND, EXEC, MAPPED, READ, WRITE, AddressSpace

STACK_SIZE = 8 << 20
"""RLIMIT_STACK's usual value."""
RANDOM = bytes(range(16))
"""AT_RANDOM: the guest's only source of randomness is not one."""
BINPRM_BUF_SIZE = 256
"""How much of a file says what it is (include/uapi/linux/binfmts.h)."""

_PT_LOAD, _PT_INTERP, _PT_GNU_STACK = 1, 3, 0x6474E551
_ET_EXEC, _ET_DYN = 2, 3
_PF_X = 1
_PROTECTION = ((_PF_X, PROT_EXEC), (2, PROT_WRITE), (4, PROT_READ))
"""PF_X, PF_W and PF_R, and what they mean to mmap(2)."""
_EHDR = {1: struct.Struct("<16sHHIIIIIHHHHHH"), 2: struct.Struct("<16sHHIQQQIHHHHHH")}
_PHDR = {1: struct.Struct("<IIIIIIII"), 2: struct.Struct("<IIQQQQQQ")}

_PIECE = 1 << 20
"""Bytes of a file that are in the host's memory twice on their way to the guest's."""


class BadImage(Exception):
    """Linux would kill the process: the old image is gone and the new one cannot be made."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A process image that is ready to run."""

    memory: AddressSpace
    pc: int
    sp: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A program header: elf(5), Elf32_Phdr and Elf64_Phdr."""

    kind: int
    flags: int
    offset: int
    vaddr: int
    file_size: int
    memory_size: int


@dataclass(frozen=True, slots=True)
class ElfFile:
    """The parts of an ELF file that matter for running it."""

    arch: Arch
    entry: int
    phdr_offset: int
    segments: tuple[Segment, ...]


def parse(image: RegularFile) -> ElfFile:
    """Read the headers of an executable.

    Raises LinuxError(ENOEXEC) for whatever Linux does not take for an executable of a known
    machine, and GuestFailed for executables that the core cannot run.
    """
    # Linux reads the file's start into a buffer of zeros, and no more than this; EI_CLASS counts
    # where two classes have one machine, on RISC-V (elf_check_arch of each architecture), and of
    # the rest of e_ident nothing does.
    head = image.read_at(0, BINPRM_BUF_SIZE).ljust(BINPRM_BUF_SIZE, b"\0")
    _, kind, machine = _EHDR[1].unpack_from(head)[:3]
    known = [arch for arch in ARCHES if machine in arch.elf_machines]
    if len(known) > 1:
        known = [arch for arch in known if arch.elf_class == head[4]]
    if head[:4] != b"\x7fELF" or kind not in (_ET_EXEC, _ET_DYN) or not known:
        raise LinuxError(Errno.ENOEXEC)
    arch = known[0]
    fields = _EHDR[arch.elf_class].unpack_from(head)
    (_, _, _, _, entry, phoff, _, _, _, phentsize, phnum, _, _, _) = fields
    phdr = _PHDR[arch.elf_class]
    if phentsize != phdr.size or not 1 <= phnum <= 65536 // phdr.size:
        raise LinuxError(Errno.ENOEXEC)
    if phoff + phnum * phdr.size > image.size:
        raise LinuxError(Errno.ENOEXEC)
    segments: list[Segment] = []
    for row in phdr.iter_unpack(image.read_at(phoff, phnum * phdr.size)):
        if arch.elf_class == 1:
            p_type, offset, vaddr, _, filesz, memsz, flags, _ = row
        else:
            p_type, flags, offset, vaddr, _, filesz, memsz, _ = row
        segments.append(Segment(p_type, flags, offset, vaddr, filesz, memsz))
    if any(s.kind == _PT_INTERP for s in segments):
        raise GuestFailed("dynamically linked program (PT_INTERP): only static ones are supported")
    if kind == _ET_DYN:
        raise GuestFailed("position-independent program (ET_DYN): only ET_EXEC is supported")
    return ElfFile(arch, entry, phoff, tuple(segments))


def load(
    image: RegularFile,
    path: bytes,
    argv: tuple[bytes, ...],
    envp: tuple[bytes, ...],
    meter: Meter,
    new_memory: Callable[[Arch, Meter], AddressSpace] = AddressSpace,
) -> Loaded:
    """The image of a fresh process. `path` is execve's, for AT_EXECFN.

    Raises LinuxError(ENOEXEC), BadImage, GuestFailed (limits; what the core cannot run).
    """
    elf = parse(image)
    memory = new_memory(elf.arch, meter)
    stack = [s for s in elf.segments if s.kind == _PT_GNU_STACK]
    memory.read_implies_exec = not stack and elf.arch.read_implies_exec
    loads = [s for s in elf.segments if s.kind == _PT_LOAD]
    try:
        for segment in loads:
            _map_segment(memory, segment, image)
        if elf.entry >= elf.arch.task_size:
            raise BadImage("the entry point lies outside the address space")
        memory.set_brk_start(max((s.vaddr + s.memory_size for s in loads), default=0))
        top = elf.arch.task_size
        executable = memory.read_implies_exec or any(s.flags & _PF_X for s in stack)
        stack_flags = MAPPED | READ | WRITE | (EXEC if executable else 0)
        memory.map(top - STACK_SIZE, top, stack_flags)
        sp = _fill_stack(memory, elf, path, argv, envp)
    except BaseException:
        memory.release()
        raise
    return Loaded(memory, elf.entry, sp)


def _map_segment(memory: AddressSpace, segment: Segment, image: RegularFile) -> None:
    """Map one PT_LOAD segment: whole pages of the file, then zeroes (elf_load, padzero)."""
    task = memory.arch.task_size
    if segment.file_size > segment.memory_size or segment.vaddr + segment.memory_size > task:
        raise BadImage("a segment lies outside the address space or is larger in the file")
    if (segment.offset ^ segment.vaddr) & PAGE_MASK and segment.file_size:
        raise BadImage("a segment's offset and address differ within the page")
    flags = memory.flags_for(sum(prot for flag, prot in _PROTECTION if segment.flags & flag))
    start = page_down(segment.vaddr)
    file_end = page_up(segment.vaddr + segment.file_size) if segment.file_size else start
    end = page_up(segment.vaddr + segment.memory_size)
    if segment.file_size:
        offset = page_down(segment.offset)
        memory.map(start, file_end, flags)
        # What the file has beyond the segment, up to the end of the page, is mapped with it.
        for at in range(0, file_end - start, _PIECE):
            count = min(_PIECE, file_end - start - at)
            memory.poke(start + at, image.read_at(offset + at, count))
        past_end = start + max(0, page_up(image.size) - offset)
        if past_end < file_end:
            memory.map(past_end, file_end, flags | BEYOND)
        if segment.memory_size > segment.file_size and flags & WRITE:
            bss = segment.vaddr + segment.file_size
            if bss & PAGE_MASK and page_down(bss) >= past_end:
                raise BadImage("zeroes are to fill a page that lies beyond the end of the file")
            memory.poke(bss, bytes(page_up(bss) - bss))
    if end > file_end:
        # Readable and writable, whatever the segment is (vm_brk_flags).
        executable = EXEC if segment.flags & _PF_X else 0
        memory.map(file_end, end, memory.flags_for(PROT_READ | PROT_WRITE) | executable)


def _fill_stack(
    memory: AddressSpace,
    elf: ElfFile,
    path: bytes,
    argv: tuple[bytes, ...],
    envp: tuple[bytes, ...],
) -> int:
    """Strings, auxiliary vector, pointers, argc: copy_strings and create_elf_tables.

    Returns the stack pointer.
    """
    arch, phoff = elf.arch, elf.phdr_offset
    at = arch.task_size - 8

    def push(data: bytes) -> int:
        nonlocal at
        at -= len(data)
        memory.poke(at, data)
        return at

    execfn = push(path + b"\0")
    env_addrs = [push(text + b"\0") for text in reversed(envp)][::-1]
    arg_addrs = [push(text + b"\0") for text in reversed(argv)][::-1]
    at &= ~15
    platform = push(arch.platform.encode() + b"\0") if arch.platform else 0
    random = push(RANDOM)
    at &= ~15
    phdr = 0  # where the program headers land: in the last segment that has them
    for s in elf.segments:
        if s.kind == _PT_LOAD and s.offset <= phoff < s.offset + s.file_size:
            phdr = phoff - s.offset + s.vaddr
    vector = {  # include/uapi/linux/auxvec.h, in the order in which Linux writes it
        "HWCAP": (16, 0), "PAGESZ": (6, PAGE), "CLKTCK": (17, 100), "PHDR": (3, phdr),
        "PHENT": (4, _PHDR[arch.elf_class].size), "PHNUM": (5, len(elf.segments)), "BASE": (7, 0),
        "FLAGS": (8, 0), "ENTRY": (9, elf.entry), "UID": (11, 0), "EUID": (12, 0), "GID": (13, 0),
        "EGID": (14, 0), "SECURE": (23, 0), "RANDOM": (25, random), "HWCAP2": (26, 0),
        "EXECFN": (31, execfn), "PLATFORM": (15, platform), "NULL": (0, 0),
    }  # fmt: skip
    if not platform:
        del vector["PLATFORM"]
    aux = [word for pair in vector.values() for word in pair]
    words = [len(argv), *arg_addrs, 0, *env_addrs, 0, *aux]
    table = struct.pack(f"<{len(words)}{'Q' if arch.word == 8 else 'I'}", *words)
    at = (at - len(table)) & ~15
    memory.poke(at, table)
    return at
