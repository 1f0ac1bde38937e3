"""What several tests here say the same way."""

from bootstrap.core.files import OpenFile
from bootstrap.linux.inode import Entry, OpenInode
from tests.core.calls import fails as fails


def entries(file: OpenFile) -> list[Entry]:
    """What a directory still has to list."""
    assert isinstance(file, OpenInode)
    return list(file.entries())
