"""The oracle: the same operations on the host's real file system, in a chroot of their own.

Run as a program by test_oracle.py, with root's rights. Knows nothing of the package under test.
Reads pickled (tree, operations) from standard input, answers ("ok", (results, final tree)).
"""

import ctypes
import os
import pickle
import platform
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
GETCWD = {"x86_64": 79, "aarch64": 17, "riscv64": 17}[platform.machine()]
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400


def checked(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def describe(found: os.stat_result, dir_links: bool) -> tuple[int, int, int]:
    """(mode, nlink, size); what a directory has of the last two is its file system's affair."""
    if stat.S_ISDIR(found.st_mode):
        return found.st_mode, found.st_nlink if dir_links else 0, 0
    return found.st_mode, found.st_nlink, found.st_size


class Host:
    def __init__(self, dir_links: bool) -> None:
        self.dir_links = dir_links
        self.fds: dict[int, int] = {}

    def open(self, slot: int, path: bytes, flags: int, mode: int) -> None:
        self.close(slot)
        self.fds[slot] = os.open(path, flags, mode)

    def close(self, slot: int) -> None:
        fd = self.fds.pop(slot, None)
        if fd is not None:
            os.close(fd)

    def fd(self, slot: int) -> int:
        return self.fds.get(slot, -1)

    def read(self, slot: int, count: int) -> bytes:
        return os.read(self.fd(slot), count)

    def write(self, slot: int, data: bytes) -> int:
        return os.write(self.fd(slot), data)

    def seek(self, slot: int, offset: int, whence: int) -> int:
        if slot in self.fds and stat.S_ISDIR(os.fstat(self.fds[slot]).st_mode):
            return 0  # cookies are each file system's own
        return os.lseek(self.fd(slot), offset, whence)

    def ftruncate(self, slot: int, size: int) -> None:
        os.ftruncate(self.fd(slot), size)

    def fstat(self, slot: int) -> Any:
        return describe(os.fstat(self.fd(slot)), self.dir_links)

    def stat(self, path: bytes, follow: bool) -> Any:
        return describe(os.stat(path, follow_symlinks=follow), self.dir_links)

    def mkdir(self, path: bytes, mode: int) -> None:
        os.mkdir(path, mode)

    def mknod(self, path: bytes, mode: int) -> None:
        os.mknod(path, stat.S_IFREG | mode)

    def rmdir(self, path: bytes) -> None:
        os.rmdir(path)

    def unlink(self, path: bytes) -> None:
        os.unlink(path)

    def rename(self, old: bytes, new: bytes) -> None:
        os.rename(old, new)

    def link(self, old: bytes, new: bytes, follow: bool) -> None:
        flags = AT_SYMLINK_FOLLOW if follow else 0
        checked(LIBC.linkat(AT_FDCWD, old, AT_FDCWD, new, flags))

    def symlink(self, target: bytes, path: bytes) -> None:
        os.symlink(target, path)

    def readlink(self, path: bytes) -> bytes:
        return os.readlink(path)

    def chmod(self, path: bytes, mode: int) -> None:
        os.chmod(path, mode)

    def truncate(self, path: bytes, size: int) -> None:
        os.truncate(path, size)

    def access(self, path: bytes, mode: int) -> None:
        checked(LIBC.access(path, mode))

    def listdir(self, path: bytes) -> list[bytes]:
        return sorted(os.listdir(path))

    def chdir(self, path: bytes) -> None:
        os.chdir(path)

    def chroot(self, path: bytes) -> None:
        # With the current directory inside: from outside, '..' would lead to the host's folders.
        os.chdir(path)
        os.chroot(".")

    def getcwd(self) -> bytes:
        buffer = ctypes.create_string_buffer(8192)
        checked(LIBC.syscall(GETCWD, buffer, 8192))
        return buffer.value


def build(tree: dict[bytes, tuple[str, bytes]]) -> None:
    for path, (kind, content) in tree.items():
        if kind == "folder":
            os.mkdir(path)
            os.chmod(path, 0o755)
        elif kind == "link":
            os.symlink(content, path)
        else:
            with open(path, "wb") as file:
                file.write(content)
            os.chmod(path, 0o755 if kind == "program" else 0o644)


def snapshot(dir_links: bool) -> list[Any]:
    """Every name below the root: what it is, and the first name of the same file."""
    first: dict[int, bytes] = {}
    rows: list[Any] = []

    def visit(folder: bytes) -> None:
        for name in sorted(os.listdir(folder)):
            path = folder + b"/" + name
            found = os.lstat(path)
            content = b""
            if stat.S_ISLNK(found.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(found.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            same = first.setdefault(found.st_ino, path)
            rows.append((path, describe(found, dir_links), content, same))
            if stat.S_ISDIR(found.st_mode):
                visit(path)

    visit(b".")
    return rows


def attempt(act: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return act(*arguments)
    except OSError as error:
        return ("errno", error.errno)


def run(real_root: int, tree: dict[bytes, tuple[str, bytes]], operations: list[Any]) -> Any:
    top = tempfile.mkdtemp(prefix="oracle-")
    try:
        os.chmod(top, 0o755)
        os.chdir(top)
        os.mkdir(b"probe")
        dir_links = os.stat(b".").st_nlink == 3
        os.rmdir(b"probe")
        build(tree)
        inside = os.open(b".", os.O_RDONLY | os.O_DIRECTORY)
        os.chroot(b".")
        host = Host(dir_links)
        try:
            results = [attempt(getattr(host, name), rest) for name, *rest in operations]
            for slot in list(host.fds):
                host.close(slot)
            os.fchdir(inside)
            return results, snapshot(dir_links), dir_links
        finally:
            os.fchdir(real_root)
            os.chroot(b".")
            os.close(inside)
    finally:
        shutil.rmtree(top)


def main() -> None:
    os.umask(0)
    real_root = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.chroot("/")  # fails at once where there is no right to
    pickle.dump("ready", sys.stdout.buffer)
    sys.stdout.buffer.flush()
    while True:
        try:
            tree, operations = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(run(real_root, tree, operations), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
