"""What several tests here say the same way."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bootstrap.core.abi import Errno, LinuxError


@contextmanager
def fails(errno: Errno) -> Iterator[None]:
    """The block raises LinuxError with this errno."""
    with pytest.raises(LinuxError) as caught:
        yield
    assert caught.value.errno is errno
