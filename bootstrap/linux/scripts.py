"""`#!` scripts: fs/binfmt_script.c."""

import re

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.elf import BINPRM_BUF_SIZE
from bootstrap.core.files import RegularFile

_WHOLE_NAME = re.compile(rb"#![ \t]*+[^ \t\0]*+[ \t\0]")
_LINE = re.compile(rb"([^ \t\0]*)(?:[ \t]+([^\0]*))?", re.DOTALL)


def interpreter(image: RegularFile) -> tuple[bytes, bytes | None] | None:
    """The interpreter and its one argument of a `#!` script (fs/binfmt_script.c), or None.

    Raises LinuxError: ENOEXEC where there is no name, or one that may have been cut (of a line
    without a newline the 255 bytes count that the buffer has room for); EACCES for an empty one.
    """
    text = image.read_at(0, BINPRM_BUF_SIZE).ljust(BINPRM_BUF_SIZE, b"\0")
    if text[:2] != b"#!":
        return None
    end = text.partition(b"\0")[0].find(b"\n")
    if end < 0:
        if not _WHOLE_NAME.match(text):
            raise LinuxError(Errno.ENOEXEC)
        end = BINPRM_BUF_SIZE - 1
    line = text[2:end].strip(b" \t")
    found = _LINE.match(line)
    if not line or found is None:
        raise LinuxError(Errno.ENOEXEC)
    if not found[1]:
        raise LinuxError(Errno.EACCES)  # a NUL: to open_exec the empty name is the current folder
    return found[1], found[2]
