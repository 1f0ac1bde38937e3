"""`#!` scripts: fs/binfmt_script.c."""

import re

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.elf import BINPRM_BUF_SIZE
from bootstrap.core.files import RegularFile
from bootstrap.core.process import Exec

_WHOLE_NAME = re.compile(rb"#![ \t]*+[^ \t\0]*+[ \t\0]")
_LINE = re.compile(rb"([^ \t\0]*)(?:[ \t]+([^\0]*))?", re.DOTALL)


def interpreter(image: RegularFile, script: Exec) -> Exec:
    """The interpreter of a script, to be run on the script's path; its line may have one argument.

    Raises LinuxError: ENOEXEC for what is no script, and where there is no name or one that may
    have been cut (of a line without a newline the 255 bytes count that the buffer has room for);
    EACCES for an empty one.
    """
    text = image.read_at(0, BINPRM_BUF_SIZE).ljust(BINPRM_BUF_SIZE, b"\0")
    end = text.partition(b"\0")[0].find(b"\n")
    if text[:2] != b"#!" or (end < 0 and not _WHOLE_NAME.match(text)):
        raise LinuxError(Errno.ENOEXEC)
    line = text[2 : BINPRM_BUF_SIZE - 1 if end < 0 else end].strip(b" \t")
    found = _LINE.match(line)
    if not line or found is None:
        raise LinuxError(Errno.ENOEXEC)
    name, argument = found[1], found[2]
    if not name:
        raise LinuxError(Errno.EACCES)  # a NUL: to open_exec the empty name is the current folder
    words = (name,) if argument is None else (name, argument)
    return Exec(name, (*words, script.path, *script.argv[1:]), script.envp)
