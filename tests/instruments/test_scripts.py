"""Files that begin with `#!`: how the first line is cut and split, here and on the host."""

from __future__ import annotations

import errno

import pytest

from bootstrap.core.abi import LinuxError
from bootstrap.core.arches import AMD64, X86
from tests.instruments import runs
from tests.instruments.guest import Program
from tests.instruments.runs import emulate, native

SIZE = 256
"""Bytes that Linux reads to see what a file is; 255 of them count as text (fs/binfmt_script.c)."""
TOP = {"i386": X86.task_size, "x86_64": AMD64.task_size}
AROUND = range(SIZE - 4, SIZE + 3)


def cut_and_padded() -> list[bytes]:
    """Lines whose name, argument or blanks end about where the buffer does."""
    found = []
    for size in AROUND:
        for start, letter in ((b"#!./", b"s"), (b"#!./show ", b"a"), (b"#!./show", b" ")):
            line = start + letter * (size - len(start))
            found += [
                line,
                line + b"\n",
                line + b" b\n",
                line + b"\t",
                line + b"\0c\n",
                line + b"d",
            ]
            found += [line[:-1] + b"\t\n", line[:-7] + b"./show", line[:-8] + b" ./show\n"]
    return found


SCRIPTS = [
    *cut_and_padded(),
    b"#!", b"#! ", b"#!\n", b"#! \t\n", b"#!\0", b"#! \0./show\n", b"#! " + b" " * 300,
    b"#!./show", b"#!./show ", b"#!./show \t", b"#!./show\n", b"#!./show one two\n",
    b"#!\t./show one\n", b"#! ./show\tone\ttwo\n", b"#!./show one\t \n", b"#!./show \t one \t two",
    b"#!./show one\0two\n", b"#!./show \0two\n", b"#!./show\0 two\n", b"#!./show one\r\n",
    b"#!./show\r\n", b"#!./show\v\f\n", b"#!./show one\nnext", b"#!./none\n", b"#!.\n",
    b" #!./show\n", b"#!./guest\n", b"#!./second one\n", b"#!./show " + b"x y\t" * 80,
]  # fmt: skip
FILES = {b"/second": b"#!./show  two \n"}
SHORTER = {b"/" + b"s" * size: None for size in range(SIZE - 9, SIZE)}
"""Programs of the names that are left when the line is cut: none of them is to run."""


def show(abi: str) -> bytes:
    """Writes its arguments, its environment and the path it was executed by: each ends with NUL."""
    guest = Program(abi)
    if abi == "i386":
        guest.raw("8b4c2404 ba" + TOP[abi].to_bytes(4, "little").hex() + "29ca bb01000000")
        guest.raw("b804000000 cd80")
    else:
        guest.raw("488b742408 48ba" + TOP[abi].to_bytes(8, "little").hex() + "4829f2 bf01000000")
        guest.raw("b801000000 0f05")
    return guest.exit(7).elf()


def shorter(script: bytes) -> bytes:
    return script if len(script) < 60 else script[:40] + b" ... %d " % len(script) + script[-9:]


@pytest.mark.parametrize("abi", ["i386", "x86_64"])
def test_scripts_run_as_on_the_host(abi: str) -> None:
    runs.need_native(abi)
    program = show(abi)
    files = {**FILES, b"/show": program, **dict.fromkeys(SHORTER, program)}
    differing = {}
    # What a line means does not depend on the architecture.
    for script in SCRIPTS[:: 1 if abi == "x86_64" else 8]:
        ours: object
        theirs: object
        try:
            outcome = native(script, files=files)
            theirs = (outcome.status, outcome.output)
        except OSError as error:
            theirs = errno.errorcode[error.errno or 0]
        try:
            emulated = emulate(script, files=files, path=b"./guest")
            ours = (emulated.status, emulated.output)
        except LinuxError as error:
            ours = error.errno.name
        if ours != theirs:
            differing[shorter(script)] = (ours, theirs)
    assert not differing
