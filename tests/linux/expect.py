"""What several tests here say the same way."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.files import OpenFile
from bootstrap.linux.inode import Entry, OpenInode


@contextmanager
def fails(errno: Errno) -> Iterator[None]:
    """The block raises LinuxError with this errno."""
    with pytest.raises(LinuxError) as caught:
        yield
    assert caught.value.errno is errno


def entries(file: OpenFile) -> list[Entry]:
    """What a directory still has to list."""
    assert isinstance(file, OpenInode)
    return list(file.entries())
