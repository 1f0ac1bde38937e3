"""Descriptor tables and the file of a running image."""

from __future__ import annotations

import random

import pytest

from bootstrap.core.abi import Errno
from bootstrap.core.files import OpenFile, Stream
from bootstrap.core.process import FdTable
from bootstrap.core.syscalls import close_each
from tests.core.calls import fails, make
from tests.core.guest import file_at


def test_a_descriptor_is_the_lowest_free_one() -> None:
    rng = random.Random(2)
    fds, model = FdTable(20), set[int]()
    for _ in range(500):
        lowest = rng.choice([0, 0, 0, 3, 15])
        free = [fd for fd in range(lowest, 20) if fd not in model]
        if rng.random() < 0.5 or not model:
            if not free:
                with fails(Errno.EMFILE):
                    fds.lowest_free(lowest)
                continue
            fd = fds.lowest_free(lowest)
            assert fd == free[0]
            fds.put(fd, OpenFile(Stream(), 0))
            model.add(fd)
        else:
            fd = rng.choice(sorted(model))
            fds.close(fd)
            model.remove(fd)
    assert set(fds.files) == model


def test_what_is_not_open() -> None:
    fds = FdTable(4)
    for fd in (-1, 0, 3, 1 << 31):
        with fails(Errno.EBADF):
            fds.get(fd)
        with fails(Errno.EBADF):
            fds.close(fd)


def test_a_child_has_the_same_open_files_and_a_table_of_its_own() -> None:
    parent = FdTable(4)
    file = OpenFile(Stream(), 0)
    parent.put(0, file)
    parent.put(2, OpenFile(Stream(), 1), close_on_exec=True)
    child = parent.copy()
    assert child.get(0) is file
    assert (file.refs, child.limit, child.cloexec) == (2, 4, {2})
    child.close(0)
    assert parent.get(0) is file  # the parent's descriptor is left
    assert child.lowest_free() == 0
    parent.close(0)
    assert (set(parent.files), file.refs, file.inode.opens) == ({2}, 0, 0)


def test_many_are_closed_the_lowest_first_and_each_end_is_an_event() -> None:
    process = make()
    shared, alone = OpenFile(Stream(), 0), OpenFile(Stream(), 0)
    shared.refs = 2
    process.fds.put(9, shared, close_on_exec=True)
    process.fds.put(5, alone, close_on_exec=True)
    heard = []
    process.emit = lambda kind, **fields: heard.append((kind, fields["file"], process.fds.files))
    close_each(process, process.fds.cloexec)
    assert heard == [("Closed", alone, process.fds.files)]
    assert (set(process.fds.files), process.fds.cloexec) == ({0, 1, 2}, set())
    assert (shared.refs, alone.refs) == (1, 0)


@pytest.mark.parametrize("forked", [False, True])
def test_an_image_is_counted_by_who_runs_it(forked: bool) -> None:
    process = make()
    first, second = file_at(process.files, b"/f"), file_at(process.files, b"/d/inner")
    assert first is not None and second is not None
    process.run_file(first)
    if forked:
        make().run_file(first)
    assert (first.runners, second.runners) == (1 + forked, 0)
    process.run_file(second)
    assert (first.runners, second.runners) == (forked, 1)
    process.run_file(None)
    assert second.runners == 0
