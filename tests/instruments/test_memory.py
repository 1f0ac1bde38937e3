"""The address space with mmap, munmap and mprotect, against a model of it: a dictionary from page
to protection and bytes. Reading, writing and the heap by themselves: tests/core/test_memory.py."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bootstrap.core import memory
from bootstrap.core.abi import Errno
from bootstrap.core.arches import AMD64, PAGE, X86
from bootstrap.core.errors import Meter
from bootstrap.linux.flags import MAP_ANONYMOUS, MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_PRIVATE
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.memory import MMAP_BASE, VirtualMemory
from tests.core.calls import fails
from tests.linux.guest_process import areas

ROOMY = RunLimits(memory=8 << 30, memory_total=8 << 30)
BASE = 0x100_0000
PAGES = 12
"""The pages from BASE on, where the model plays."""
HEAP = 0x200_0000
READ, WRITE, EXEC = 1, 2, 4
ANON = MAP_PRIVATE | MAP_ANONYMOUS


class Model:
    """Pages that are there: number -> (protection, bytes)."""

    def __init__(self) -> None:
        self.pages: dict[int, tuple[int, bytearray]] = {}

    def copy(self) -> Model:
        new = Model()
        new.pages = {page: (prot, bytearray(data)) for page, (prot, data) in self.pages.items()}
        return new

    def reach(self, start: int, size: int, need: int) -> int:
        """How many bytes from `start` can be read (or written)."""
        done = 0
        while done < size:
            prot, _ = self.pages.get((start + done) // PAGE, (0, bytearray()))
            # On x86 whatever may be written or executed may be read.
            allowed = bool(prot & WRITE) if need == WRITE else bool(prot)
            if not allowed:
                break
            done += PAGE - (start + done) % PAGE
        return min(done, size)

    def bytes_at(self, start: int, size: int) -> bytes:
        return bytes(self.pages[at // PAGE][1][at % PAGE] for at in range(start, start + size))

    def put(self, start: int, data: bytes) -> None:
        for at, byte in enumerate(data, start):
            self.pages[at // PAGE][1][at % PAGE] = byte


def new_space(limit: int = 1 << 30) -> VirtualMemory:
    limits = RunLimits(memory=limit)
    return VirtualMemory(AMD64, Meter(limits))


def mmap(space: VirtualMemory, hint: int, length: int, prot: int, flags: int) -> int:
    start, end = space.place(hint, length, flags)
    space.map(start, end, space.flags_for(prot))
    return start


page_numbers = st.integers(0, PAGES - 1)
counts = st.integers(1, 4)
prots = st.sampled_from([0, READ, READ | WRITE, READ | EXEC, WRITE, EXEC, READ | WRITE | EXEC])
places = st.integers(BASE - 5, BASE + PAGES * PAGE + 5)
contents = st.binary(min_size=1, max_size=3 * PAGE) | st.binary(min_size=1, max_size=8)


class Memory(RuleBasedStateMachine):
    """Does the same to the address space and to the model."""

    window = memory.WINDOW // PAGE
    """Pages, to multiples of which extents reach."""

    def __init__(self) -> None:
        super().__init__()
        self.space = new_space()
        self.windows = pytest.MonkeyPatch()
        self.windows.setattr(memory, "WINDOW", self.window * PAGE)
        self.windows.setattr(memory, "LARGEST", 2 * self.window * PAGE)
        self.space.set_brk_start(HEAP)
        self.model = Model()
        self.brk = HEAP
        self.relatives: list[tuple[VirtualMemory, Model, int]] = []

    @rule(page=page_numbers, count=counts, prot=prots, replace=st.booleans())
    def mmap_fixed(self, page: int, count: int, prot: int, replace: bool) -> None:
        first = BASE // PAGE + page
        pages = range(first, first + count)
        flags = ANON | (MAP_FIXED if replace else MAP_FIXED_NOREPLACE)
        if not replace and any(p in self.model.pages for p in pages):
            with fails(Errno.EEXIST):
                mmap(self.space, first * PAGE, count * PAGE, prot, flags)
            return
        assert mmap(self.space, first * PAGE, count * PAGE, prot, flags) == first * PAGE
        for p in pages:
            self.model.pages[p] = (prot, bytearray(PAGE))

    @rule(count=counts, prot=prots)
    def mmap_anywhere(self, count: int, prot: int) -> None:
        at = mmap(self.space, 0, count * PAGE - 7, prot, ANON)
        pages = range(at // PAGE, at // PAGE + count)
        highest = MMAP_BASE[AMD64.name] // PAGE - count
        while any(p in self.model.pages for p in range(highest, highest + count)):
            highest -= 1
        assert at == highest * PAGE
        for p in pages:
            self.model.pages[p] = (prot, bytearray(PAGE))

    @rule(below=page_numbers, count=counts)
    def munmap_of_what_was_placed(self, below: int, count: int) -> None:
        last = MMAP_BASE[AMD64.name] // PAGE + 2 - below
        self.space.munmap((last - count) * PAGE, count * PAGE)
        for p in range(last - count, last):
            self.model.pages.pop(p, None)

    @rule(page=page_numbers, count=counts, extra=st.integers(-100, 0))
    def munmap(self, page: int, count: int, extra: int) -> None:
        first = BASE // PAGE + page
        self.space.munmap(first * PAGE, count * PAGE + extra)
        for p in range(first, first + count):
            self.model.pages.pop(p, None)

    @rule(page=page_numbers, count=counts, prot=prots)
    def mprotect(self, page: int, count: int, prot: int) -> None:
        first = BASE // PAGE + page
        hole = False
        for p in range(first, first + count):
            hole = p not in self.model.pages
            if hole:
                break
            self.model.pages[p] = (prot, self.model.pages[p][1])
        if hole:
            # As on Linux, what lies before the hole has changed by then.
            with fails(Errno.ENOMEM):
                self.space.mprotect(first * PAGE, count * PAGE, prot)
        else:
            self.space.mprotect(first * PAGE, count * PAGE, prot)

    @rule(change=st.integers(-3 * PAGE, 5 * PAGE))
    def move_brk(self, change: int) -> None:
        wanted = self.brk + change
        if wanted < HEAP:
            assert self.space.brk(wanted) == self.brk
            return
        old, new = -(-self.brk // PAGE), -(-wanted // PAGE)
        assert self.space.brk(wanted) == wanted
        for p in range(old, new):
            self.model.pages[p] = (READ | WRITE, bytearray(PAGE))
        for p in range(new, old):
            del self.model.pages[p]
        self.brk = wanted

    @rule(at=places, data=contents)
    def write_upto(self, at: int, data: bytes) -> None:
        can = self.model.reach(at, len(data), WRITE)
        assert self.space.write_upto(at, data) == can
        self.model.put(at, data[:can])

    @rule(at=places, size=st.integers(0, 3 * PAGE))
    def read(self, at: int, size: int) -> None:
        can = self.model.reach(at, size, READ)
        assert self.space.read_upto(at, size) == self.model.bytes_at(at, can)
        if can == size:
            assert self.space.read(at, size) == self.model.bytes_at(at, size)
        else:
            with fails(Errno.EFAULT):
                self.space.read(at, size)

    @precondition(lambda self: len(self.relatives) < 3)
    @rule()
    def fork(self) -> None:
        """Go on as the child; the parent must not change any more."""
        self.relatives.append((self.space, self.model, self.brk))
        self.space, self.model = self.space.fork(), self.model.copy()

    @precondition(lambda self: bool(self.relatives))
    @rule()
    def exit_child(self) -> None:
        self.space.release()
        self.space, self.model, self.brk = self.relatives.pop()

    @invariant()
    def the_same_pages_are_there(self) -> None:
        for space, model in (
            (self.space, self.model),
            *((s, m) for s, m, _ in self.relatives),
        ):
            pages = {p for start, end in areas(space) for p in range(start // PAGE, end // PAGE)}
            assert pages == set(model.pages)
            assert space.mapped == len(pages) * PAGE
        total = sum(s.mapped for s, _, _ in self.relatives) + self.space.mapped
        assert self.space.meter.memory == total

    def teardown(self) -> None:
        self.windows.undo()
        for space, model in ((self.space, self.model), *((s, m) for s, m, _ in self.relatives)):
            for page, (prot, data) in model.pages.items():
                if prot:
                    assert space.read(page * PAGE, PAGE) == data
            space.release()
        assert self.space.meter.memory == 0


Memory.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMemory = Memory.TestCase


class MemoryInSmallWindows(Memory):
    """The same where nearly each range lies in several extents."""

    window = 2


MemoryInSmallWindows.TestCase.settings = Memory.TestCase.settings
TestMemoryInSmallWindows = MemoryInSmallWindows.TestCase


def test_mappings_share_extents_and_the_search_goes_on() -> None:
    """Two pages at a time, of which one is given back: a gap after each mapping."""
    space = new_space()
    for number in range(2000):
        at = mmap(space, 0, 2 * PAGE, READ | WRITE, ANON)
        assert at == MMAP_BASE[AMD64.name] - (2 * number + 2) * PAGE
        space.munmap(at + PAGE, PAGE)
        # Nothing above is looked at again: it is the page below the last one that was free.
        assert space.searched[0] == at + 2 * PAGE
    assert len(areas(space)) == 2000
    assert len(space.extents) <= 2
    # One page fits into the first gap that there is, and what is given back is found again.
    assert mmap(space, 0, PAGE, READ, ANON) == MMAP_BASE[AMD64.name] - PAGE
    space.munmap(MMAP_BASE[AMD64.name] - 8 * PAGE, 8 * PAGE)
    assert mmap(space, 0, 8 * PAGE, READ, ANON) == MMAP_BASE[AMD64.name] - 8 * PAGE


def test_large_mappings_are_in_several_extents() -> None:
    space = new_space()
    at = mmap(space, 0, 1 << 29, READ | WRITE, ANON)
    assert max(e.end - e.start for e in space.extents) <= memory.LARGEST
    space.write(at + memory.LARGEST - 5, b"0123456789")
    assert space.read(at + memory.LARGEST - 5, 10) == b"0123456789"
    space.munmap(at, 1 << 29)
    assert space.extents == []


@pytest.mark.parametrize(
    ("hint", "length", "flags", "errno"),
    [
        (0, 0, ANON, Errno.EINVAL),
        (BASE + 1, PAGE, ANON | MAP_FIXED, Errno.EINVAL),
        (0xFFFFE000, PAGE, ANON | MAP_FIXED, Errno.ENOMEM),
        (0xFFFFC000, 4 * PAGE, ANON | MAP_FIXED, Errno.ENOMEM),
        (0, 0xFFFFFFFF, ANON, Errno.ENOMEM),
        (0, 0xFFFFE001, ANON, Errno.ENOMEM),
    ],
)
def test_what_mmap_refuses(hint: int, length: int, flags: int, errno: Errno) -> None:
    space = VirtualMemory(X86, Meter(ROOMY))
    with fails(errno):
        mmap(space, hint, length, READ | WRITE, flags)
    assert (space.mapped, areas(space)) == (0, [])


def test_a_hint_is_taken_where_there_is_room() -> None:
    space = new_space()
    assert mmap(space, BASE + 1, PAGE, READ, ANON) == BASE
    other = mmap(space, BASE, PAGE, READ, ANON)
    assert other not in (BASE, BASE - PAGE, BASE + PAGE)


def test_mappings_grow_downwards_and_fill_gaps() -> None:
    space = new_space()
    first, second, third = (mmap(space, 0, 2 * PAGE, READ, ANON) for _ in range(3))
    assert first - second == second - third == 2 * PAGE
    space.munmap(second, 2 * PAGE)
    assert mmap(space, 0, PAGE, READ, ANON) == second + PAGE
    assert mmap(space, 0, 2 * PAGE, READ, ANON) == third - 2 * PAGE


def test_munmap_and_mprotect_refuse_what_is_no_page() -> None:
    space = new_space()
    mmap(space, BASE, PAGE, READ, ANON | MAP_FIXED)
    for start, length in ((BASE + 1, PAGE), (BASE, 0), (AMD64.task_size, PAGE)):
        with fails(Errno.EINVAL):
            space.munmap(start, length)
    for start, length, errno in (
        (BASE + 1, PAGE, Errno.EINVAL),
        (BASE, 2 * PAGE, Errno.ENOMEM),
        (AMD64.task_size, PAGE, Errno.ENOMEM),
    ):
        with fails(errno):
            space.mprotect(start, length, READ)
