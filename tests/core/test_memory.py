"""The address space, against a model of it: a dictionary from page to rights and bytes."""

from __future__ import annotations

import random

import pytest

from bootstrap.core import memory
from bootstrap.core.abi import PROT_EXEC, PROT_READ, PROT_WRITE, Errno, LinuxError
from bootstrap.core.arches import AMD64, PAGE, X86
from bootstrap.core.errors import GuestFailed, Limits, Meter
from bootstrap.core.memory import (
    BEYOND,
    DIRTY,
    EXEC,
    FETCHED,
    MAPPED,
    READ,
    WRITE,
    AddressSpace,
    Extent,
)

BASE, PAGES = 0x100_0000, 12
"""The pages where the model plays."""
HEAP = 0x200_0000


def new_space(**limits: int) -> AddressSpace:
    bounds = Limits(**limits)
    return AddressSpace(AMD64, Meter(bounds))


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self, space: AddressSpace) -> None:
        self.space = space
        self.extents = list(space.extents)
        self.flushes = 0
        self.code: list[tuple[int, int]] = []
        space.listener = self

    def extent_added(self, extent: Extent) -> None:
        self.extents.append(extent)

    def pages_changed(self) -> None:
        self.flushes += 1

    def code_written(self, guest_addr: int, size: int) -> None:
        assert guest_addr // PAGE == (guest_addr + size - 1) // PAGE
        self.code.append((guest_addr, size))


class Model:
    """Pages that are there: number -> (rights, bytes)."""

    def __init__(self) -> None:
        self.pages: dict[int, tuple[int, bytearray]] = {}

    def copy(self) -> Model:
        new = Model()
        new.pages = {page: (flags, bytearray(data)) for page, (flags, data) in self.pages.items()}
        return new

    def reach(self, start: int, size: int, need: int) -> int:
        done = 0
        while done < size and self.pages.get((start + done) // PAGE, (0, b""))[0] & need:
            done += PAGE - (start + done) % PAGE
        return min(done, size)

    def bytes_at(self, start: int, size: int) -> bytes:
        return bytes(self.pages[at // PAGE][1][at % PAGE] for at in range(start, start + size))

    def put(self, start: int, data: bytes) -> None:
        for at, byte in enumerate(data, start):
            self.pages[at // PAGE][1][at % PAGE] = byte


def step(rng: random.Random, space: AddressSpace, model: Model, heap: int) -> int:
    """One action on both; where the heap ends then."""
    action = rng.choice(["map", "unmap", "read", "write", "put", "upto", "string", "brk", "brk"])
    first = rng.randrange(PAGES)
    pages = range(BASE // PAGE + first, BASE // PAGE + rng.randrange(first, PAGES) + 1)
    start, end = pages[0] * PAGE, (pages[-1] + 1) * PAGE
    area = rng.choice([BASE, BASE, HEAP])
    at = area + rng.randrange(PAGES * PAGE)
    size = rng.choice([0, 1, 1, 5, 100, PAGE, 3 * PAGE + 7])
    data = rng.randbytes(size)
    if action == "map":
        flags = rng.choice([MAPPED, MAPPED | READ, MAPPED | READ | WRITE, MAPPED | READ | EXEC])
        space.map(start, end, flags)
        model.pages |= {page: (flags, bytearray(PAGE)) for page in pages}
    elif action == "unmap":
        space.unmap(start, end)
        for page in pages:
            model.pages.pop(page, None)
    elif action == "read":
        if model.reach(at, size, READ) < size:
            with pytest.raises(LinuxError, match="EFAULT"):
                space.read(at, size)
            assert len(space.read_upto(at, size)) == model.reach(at, size, READ)
        else:
            assert space.read(at, size) == model.bytes_at(at, size) == space.read_upto(at, size)
    elif action in ("write", "put", "upto"):
        fits = model.reach(at, size, WRITE)
        stored = data if fits == size else b"" if action == "put" else data[:fits]
        if action == "upto":
            assert space.write_upto(at, data) == fits
        elif fits == size:
            (space.put if action == "put" else space.write)(at, data)
        else:
            with pytest.raises(LinuxError, match="EFAULT"):
                (space.put if action == "put" else space.write)(at, data)
        model.put(at, stored)
    elif action == "string":
        limit = rng.choice([1, 10, PAGE, 3 * PAGE])
        raw = model.bytes_at(at, model.reach(at, limit, READ))
        if 0 in raw:
            assert space.read_cstring(at, limit) == raw[: raw.index(0)]
        else:
            with pytest.raises(LinuxError) as caught:
                space.read_cstring(at, limit)
            too_long = len(raw) == limit
            assert caught.value.errno == (Errno.ENAMETOOLONG if too_long else Errno.EFAULT)
    else:
        new = rng.choice([HEAP - 1, HEAP, HEAP + rng.randrange(PAGES * PAGE)])
        assert space.brk(new) == (heap if new < HEAP else new)
        if new >= HEAP:
            heap = new
        used = range(HEAP // PAGE, -(-heap // PAGE))
        for page in range(HEAP // PAGE, HEAP // PAGE + PAGES + 1):
            if page not in used:
                model.pages.pop(page, None)
            elif page not in model.pages:
                model.pages[page] = (MAPPED | READ | WRITE, bytearray(PAGE))
    return heap


def alike(space: AddressSpace, model: Model) -> None:
    assert space.mapped == len(model.pages) * PAGE
    for area in (BASE, HEAP):
        for page in range(area // PAGE, area // PAGE + PAGES):
            flags, data = model.pages.get(page, (0, bytearray()))
            assert space.reachable(page * PAGE, PAGE, READ) == (PAGE if flags & READ else 0)
            assert space.reachable(page * PAGE, PAGE, WRITE) == (PAGE if flags & WRITE else 0)
            if flags & READ:
                assert space.read(page * PAGE, PAGE) == data


@pytest.mark.parametrize("seed", range(12))
def test_as_the_model(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    if seed % 2:  # so that the pages are in several extents
        monkeypatch.setattr(memory, "WINDOW", 2 * PAGE)
        monkeypatch.setattr(memory, "LARGEST", 4 * PAGE)
    space, model, heap = new_space(), Model(), HEAP
    space.set_brk_start(HEAP)
    heard = Heard(space)
    relatives: list[tuple[AddressSpace, Model]] = []
    for number in range(150):
        heap = step(rng, space, model, heap)
        if number % 50 == 30:
            relatives.append((space.fork(), model.copy()))
        alike(space, model)
    for child, kept in relatives:  # what the parent did since is not seen, nor the other way
        alike(child, kept)
        child.map(BASE, BASE + PAGES * PAGE, MAPPED | READ | WRITE)
        child.write(BASE, b"\1" * PAGES * PAGE)
    alike(space, model)
    assert sorted(heard.extents, key=lambda extent: extent.start) == space.extents
    for one, other in zip(space.extents, space.extents[1:], strict=False):
        assert one.end <= other.start
    assert space.meter.memory == space.mapped + sum(child.mapped for child, _ in relatives)
    for child, _ in relatives:
        child.release()
    space.release()
    assert space.meter.memory == 0


def test_what_a_page_may_follows_from_prot() -> None:
    space = new_space()
    assert space.flags_for(0) == MAPPED
    assert space.flags_for(PROT_READ) == MAPPED | READ
    assert space.flags_for(PROT_WRITE) == MAPPED | READ | WRITE
    assert space.flags_for(PROT_EXEC) == MAPPED | READ | EXEC
    space.read_implies_exec = True
    assert space.flags_for(PROT_READ) == MAPPED | READ | EXEC
    assert space.flags_for(0) == MAPPED


def test_code_that_the_kernel_writes_over_is_said() -> None:
    space = new_space()
    space.map(BASE, BASE + 3 * PAGE, MAPPED | READ | WRITE)
    heard = Heard(space)
    space.write(BASE + PAGE, b"x")
    assert heard.code == []
    extent = space.find(BASE)
    assert extent is not None
    extent.pages[(BASE - extent.start) // PAGE + 1] |= FETCHED
    space.write(BASE + PAGE, b"x")
    space.write(BASE + 2 * PAGE - 1, b"xy")
    assert heard.code == [(BASE + PAGE, 1), (BASE + 2 * PAGE - 1, 1)]
    before = heard.flushes
    space.unmap(BASE, BASE + 3 * PAGE)
    assert heard.code[2:] == [(BASE + PAGE, PAGE)]
    assert heard.flushes == before + 1


def test_beyond_the_end_of_a_file_nothing_can_be_reached() -> None:
    space = new_space()
    space.map(BASE, BASE + PAGE, MAPPED | READ | WRITE | BEYOND)
    for act in (lambda: space.read(BASE, 1), lambda: space.write(BASE, b"x")):
        with pytest.raises(LinuxError, match="EFAULT"):
            act()
    assert space.is_beyond(BASE, READ) and space.is_beyond(BASE, WRITE)
    assert not space.is_beyond(BASE, EXEC)
    assert not space.is_beyond(BASE + PAGE, READ)


def test_the_heap_stops_a_page_before_what_is_mapped() -> None:
    space = new_space()
    space.set_brk_start(HEAP)
    space.map(HEAP + 3 * PAGE, HEAP + 4 * PAGE, MAPPED)
    assert space.brk(HEAP + 2 * PAGE) == HEAP + 2 * PAGE
    assert space.brk(HEAP + 2 * PAGE + 1) == HEAP + 2 * PAGE
    assert space.brk(HEAP + 10 * PAGE) == HEAP + 2 * PAGE
    assert space.brk(0) == HEAP + 2 * PAGE


def test_the_heap_ends_with_the_address_space() -> None:
    limits = Limits(memory=1 << 40)
    space = AddressSpace(X86, Meter(limits))
    space.set_brk_start(X86.task_size - PAGE)
    assert space.brk(X86.task_size + 1) == X86.task_size - PAGE
    assert space.brk(X86.task_size) == X86.task_size


def test_what_the_heap_gave_back_is_zero_when_it_comes_again() -> None:
    space = new_space()
    space.set_brk_start(HEAP)
    space.brk(HEAP + 4 * PAGE)
    space.write(HEAP, b"x" * 4 * PAGE)
    space.brk(HEAP + 10)
    space.brk(HEAP + 4 * PAGE)
    assert space.read(HEAP, 4 * PAGE) == b"x" * PAGE + bytes(3 * PAGE)


def test_a_fork_copies_only_what_was_written() -> None:
    space = new_space()
    space.map(BASE, BASE + 4 * PAGE, MAPPED | READ | WRITE)
    space.write(BASE + PAGE, b"mine")
    extent = space.find(BASE)
    assert extent is not None
    flags = extent.pages[(BASE - extent.start) // PAGE :][:4]
    assert [bool(flag & DIRTY) for flag in flags] == [False, True, False, False]
    child = space.fork()
    assert child.read(BASE, 4 * PAGE) == space.read(BASE, 4 * PAGE)
    assert (child.start_brk, child.brk_now, child.mapped) == (0, 0, 4 * PAGE)


def test_over_the_limits_the_run_ends_and_nothing_is_mapped() -> None:
    space = new_space(memory=4 * PAGE)
    space.map(BASE, BASE + 4 * PAGE, MAPPED)
    with pytest.raises(GuestFailed, match=r"asked for 20480 bytes.*--limit memory="):
        space.map(BASE + 8 * PAGE, BASE + 9 * PAGE, MAPPED)
    assert (space.mapped, space.reachable(BASE + 8 * PAGE, 1, MAPPED)) == (4 * PAGE, 0)
    space.map(BASE, BASE + 4 * PAGE, MAPPED)  # instead of what was there
    limits = Limits(memory_total=4 * PAGE)
    meter = Meter(limits)
    AddressSpace(AMD64, meter).map(BASE, BASE + 3 * PAGE, MAPPED)
    with pytest.raises(GuestFailed, match=r"all processes together.*--limit memory_total="):
        AddressSpace(AMD64, meter).map(BASE, BASE + 2 * PAGE, MAPPED)
