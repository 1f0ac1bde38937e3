"""What a file system tells whoever records it, and whom it does not know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bootstrap.core.files import Directory, Inode, OpenFile
    from bootstrap.linux.hostfolder import LowerEntry
    from bootstrap.linux.inode import LazyFile


class Watcher(Protocol):
    """One for a file system (Volume.watcher); told of each thing after it was done."""

    def listed(self, guest_path: bytes, listing: Mapping[bytes, LowerEntry]) -> None:
        """A folder of the lower tree was looked into: this is all that is in it."""

    def loaded(self, guest_path: bytes, content: bytes) -> None:
        """A file of the lower tree was read."""

    def opened(self, file: OpenFile) -> None:
        """An open file description was made."""

    def closed(self, file: OpenFile) -> None:
        """The last descriptor of one was closed."""

    def named(self, directory: Directory, name: bytes, inode: Inode) -> None:
        """A name came to be: of a new file, or one more or another of an old one."""

    def unnamed(self, directory: Directory, name: bytes, inode: Inode) -> None:
        """A name was taken away."""

    def mode_set(self, inode: Inode) -> None:
        """The permissions of a file changed."""

    def truncated(self, inode: LazyFile) -> None:
        """A file was given the size it now has."""


__all__ = ["Watcher"]
