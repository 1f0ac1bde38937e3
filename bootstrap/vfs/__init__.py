"""The guest's file system. Guest paths are bytes; what the guest does wrong raises LinuxError."""

from bootstrap.vfs.filesystem import FileSystem
from bootstrap.vfs.inode import Directory, Inode, RegularFile, Special, Stream, Symlink
from bootstrap.vfs.lower import (
    FolderLower,
    Lower,
    LowerFile,
    LowerFolder,
    LowerLink,
    MemoryLower,
)
from bootstrap.vfs.openfile import OpenFile
from bootstrap.vfs.paths import At
from bootstrap.vfs.usage import FsLimits

__all__ = [
    "At",
    "Directory",
    "FileSystem",
    "FolderLower",
    "FsLimits",
    "Inode",
    "Lower",
    "LowerFile",
    "LowerFolder",
    "LowerLink",
    "MemoryLower",
    "OpenFile",
    "RegularFile",
    "Special",
    "Stream",
    "Symlink",
]
