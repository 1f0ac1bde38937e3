"""What the kernel must know of an architecture: sizes, machine numbers, the layout of a process.

The numbers describe a Linux process on a 64-bit kernel with address space randomisation off
(`setarch -R`): Linux, arch/x86/include/asm/processor.h (TASK_SIZE, STACK_TOP), arch/x86/mm/mmap.c
(mmap_base), fs/binfmt_elf.c; arch/arm64/include/asm/processor.h with 48-bit addresses;
arch/riscv/include/asm/pgtable.h with Sv39 and Sv32. A new architecture is a new value here, a
system call table and a register descriptor in the engine; nothing else asks which one it is on.
"""

from dataclasses import dataclass

PAGE = 4096
PAGE_MASK = PAGE - 1


def page_down(guest_addr: int) -> int:
    """The start of the page that holds `guest_addr`."""
    return guest_addr & ~PAGE_MASK


def page_up(guest_addr: int) -> int:
    """The first page boundary at or after `guest_addr`."""
    return (guest_addr + PAGE_MASK) & ~PAGE_MASK


@dataclass(frozen=True)
class Abi:
    """One Linux ABI: `name` keys the system call table and the engine's register descriptor."""

    name: str
    """The ABI's own name: i386, x86_64."""
    upstream: str
    """What stage0-posix calls it: x86, AMD64."""
    word: int
    """Bytes in a pointer, a register and an auxv entry."""
    elf_machine: int
    """e_machine (ELF specification, figure 1-3; Linux, include/uapi/linux/elf-em.h)."""
    elf_class: int
    """e_ident[EI_CLASS]: 1 for 32-bit, 2 for 64-bit."""
    task_size: int
    """First address that no mapping may reach."""
    access_end: int
    """First address that system calls refuse unseen (access_ok): the kernel's own task size, which
    is that of 64 bits for a 32-bit process on a 64-bit kernel too."""
    stack_top: int
    """One past the highest byte of the initial stack."""
    mmap_base: int
    """Anonymous mappings are placed downwards from here."""
    machine: str
    """uname(2) machine."""
    platform: str
    """AT_PLATFORM; empty where Linux gives none."""
    read_implies_exec: bool
    """Whether a binary without PT_GNU_STACK gets executable data (arch/x86/include/asm/elf.h)."""

    @property
    def word_mask(self) -> int:
        """All ones in a register."""
        return (1 << (8 * self.word)) - 1


I386 = Abi(
    name="i386",
    upstream="x86",
    word=4,
    elf_machine=3,
    elf_class=1,
    task_size=0xFFFFE000,
    access_end=0x7FFFFFFFF000,
    stack_top=0xFFFFE000,
    mmap_base=0xF7FFE000,
    machine="i686",
    platform="i686",
    read_implies_exec=True,
)

X86_64 = Abi(
    name="x86_64",
    upstream="AMD64",
    word=8,
    elf_machine=62,
    elf_class=2,
    task_size=0x7FFFFFFFF000,
    access_end=0x7FFFFFFFF000,
    stack_top=0x7FFFFFFFF000,
    mmap_base=0x7FFFF7FFF000,
    machine="x86_64",
    platform="x86_64",
    read_implies_exec=False,
)

AARCH64 = Abi(
    name="aarch64",
    upstream="AArch64",
    word=8,
    elf_machine=183,
    elf_class=2,
    task_size=1 << 48,
    access_end=1 << 48,
    stack_top=1 << 48,
    mmap_base=(1 << 48) - (128 << 20),
    machine="aarch64",
    platform="aarch64",
    read_implies_exec=False,
)

RISCV64 = Abi(
    name="riscv64",
    upstream="riscv64",
    word=8,
    elf_machine=243,
    elf_class=2,
    task_size=1 << 38,
    access_end=1 << 38,
    stack_top=1 << 38,
    mmap_base=(1 << 38) - (128 << 20),
    machine="riscv64",
    platform="",
    read_implies_exec=False,
)

RISCV32 = Abi(
    name="riscv32",
    upstream="riscv32",
    word=4,
    elf_machine=243,
    elf_class=1,
    task_size=0x9DC00000,
    access_end=0x9DC00000,
    stack_top=0x9DC00000,
    mmap_base=0x95C00000,
    machine="riscv32",
    platform="",
    read_implies_exec=False,
)

ABIS: tuple[Abi, ...] = (I386, X86_64, AARCH64, RISCV64, RISCV32)
