"""What each tool is asked, and what it must answer: the model's bytes, or its error's status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from bootstrap.core.abi import Errno
from bootstrap.languages.fault import LanguageError
from bootstrap.languages.source import SourceText
from bootstrap.runs.modelled import MODELS
from tests.mutants.large import LARGE
from tests.mutants.programs import PROGRAMS, read

TOOLS = ("hex1", "hex2", "M0")

Results = tuple[int | Errno, ...]
"""What read(2) or write(2) do in turn: so many bytes at most, or an error; the last for ever."""


@dataclass(frozen=True)
class Case:
    """Arguments, the input if there is one, the exit status, and the output if there is one."""

    arguments: tuple[str, ...]
    source: bytes | None
    status: int
    output: bytes | None
    old: bytes | None = None
    """What the output held before, if it was there."""
    reads: Results = ()
    writes: Results = ()
    large: bool = False
    """Comes to a limit: a mutant may be right and take many times as long as the tool."""

    def __str__(self) -> str:
        calls = {"read": self.reads, "write": self.writes}
        meddled = "".join(f", {name} {results}" for name, results in calls.items() if results)
        source = self.source if self.source is None else self.source[:60]
        return f"{' '.join(self.arguments)}: {source!r}{meddled}; status {self.status}"


@cache
def program(tool: str) -> bytes:
    """The tool itself, by the models."""
    if tool == "hex1":
        return MODELS["hex0"]([SourceText("hex1.hex0", read("hex1.hex0"))])
    if tool == "hex2":
        return MODELS["hex1"]([SourceText("hex2.hex1", read("hex2.hex1"))])
    return MODELS["hex2"]([SourceText(name, read(name)) for name in ("elf.hex2", "M0.hex2")])


def _assembled(tool: str, source: bytes) -> Case:
    """What the model says of a program."""
    try:
        answer, status = MODELS[tool]([SourceText("in", source)]), 0
    except LanguageError as error:
        answer, status = None, int(error.kind)
    return Case(("in", "out"), source, status, answer)


GOOD = {  # of each tool, short, but of more than nine bytes
    "hex1": b":a 00 %a %b :b %a%b 41 # :a %z\n",
    "hex2": b":a 00 %a &b :b %a %b 41 # :a %z\n",
    "M0": b"DEFINE a 00 DEFINE bb 1122\n a bb\ta\r\nbb a",
}


def _meddled(tool: str) -> list[Case]:
    """Files that are not there, calls that fail or do less than they are asked for."""
    good = GOOD[tool]
    output = _assembled(tool, good).output
    assert output is not None and len(output) > 9
    two = ("in", "out")
    return [
        Case(("in",), b"", 1, None),
        Case((), b"", 1, None),
        Case(("in", "out", "more"), b"", 1, None),
        Case(("nowhere", "out"), b"", 2, None),
        Case(("folder", "out"), b"", 2, None),
        Case(("in", "folder"), b"", 3, None),
        Case(two, good, 0, output, old=b"what was there before " * 90),
        replace(_assembled(tool, b"g"), old=b"old"),
        Case(two, good, 0, output, reads=(1,), writes=(1,)),
        Case(two, good, 0, output, reads=(1, 3, 7), writes=(2, 4, 5, 1, 3)),
        Case(two, good, 2, None, reads=(Errno.EIO,)),
        Case(two, good, 2, None, reads=(9, Errno.EIO)),
        Case(two, good, 3, b"", writes=(Errno.ENOSPC,)),
        Case(two, good, 3, b"", writes=(Errno.EIO,)),
        Case(two, good, 3, output[:9], writes=(9, Errno.ENOSPC)),
        Case(two, good, 3, b"", writes=(0,)),
        Case(two, good, 3, output[:9], writes=(9, 0)),
    ]


@cache
def cases(tool: str) -> Sequence[Case]:
    """Every case of a tool; those that show most mutants come first, the slow ones last."""
    return (
        *(_assembled(tool, source) for source in PROGRAMS[tool]),
        *_meddled(tool),
        *(Case(("in", "out"), x.source, int(x.status), x.output, large=True) for x in LARGE[tool]),
    )
