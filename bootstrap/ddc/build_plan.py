"""What is built: upstream's own commands, from hex0 to M2-Planet, read from upstream's script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap.core.errors import BadInput
from bootstrap.known import StepFile
from bootstrap.languages import kaem
from bootstrap.languages.fault import LanguageError
from bootstrap.sources import SourceTree

ENTRY = "hex0-seed"
"""The entry whose first two commands build hex0 and kaem, and whose third runs the script."""

# Program -> the language its input is in; a compiler's output depends on the compiler alone.
LANGUAGES = {
    "hex0-seed": "hex0",
    "hex0": "hex0",
    "hex1": "hex1",
    "hex2-0": "hex2",
    "catm": "catm",
    "M0": "M0",
}
_COMPILER = "cc_"
"""How the name of the first compiler begins: cc_x86, cc_amd64."""
LAST = "x86/artifact/M2"
"""With which the comparison ends."""
WANTED = (
    "x86/artifact/hex1",
    "x86/artifact/hex2-0",
    "x86/artifact/catm",
    "x86/artifact/M0",
    "x86/artifact/cc_x86",
    LAST,
)


@dataclass(frozen=True)
class BuildStep:
    """One command: its program and arguments, and which files it reads and writes (tree paths)."""

    argv: tuple[str, ...]
    language: str
    program: str
    inputs: tuple[str, ...]
    output: str
    where: str
    """File and line that the command stands in."""


def plan(tree: SourceTree, step: StepFile, last: str = LAST) -> list[BuildStep]:
    """The commands that lead to M2-Planet (``last``, on x86), in upstream's order.

    Raises BadInput for a tree whose script is not there, not in the language, or not of the kind
    that is expected here: nothing is skipped that is not understood.
    """
    commands = step.entry(ENTRY).commands
    if len(commands) < 3:
        raise BadInput(f"{step.title} has no script after the entry {ENTRY}")
    script = _plain(commands[2][1])
    if script not in tree.files:
        raise BadInput(f"{tree.label}: there is no {script}; give a tree of a release, --source")
    found = [_step(argv, step.file) for argv in commands[:2]]
    try:
        for command in kaem.parse(tree.files[script].data, script):
            argv = tuple(a.decode("utf-8", "surrogateescape") for a in command.arguments)
            found.append(_step(argv, f"{script}:{command.line}"))
            if found[-1].output == last:
                return found
    except LanguageError as error:
        raise BadInput(f"the script is not in the language of kaem: {error}") from error
    raise BadInput(f"{script}: no command makes {last}")


def _step(argv: Sequence[str], where: str) -> BuildStep:
    program = _plain(argv[0])
    name = program.rpartition("/")[2]
    language = "C" if name.startswith(_COMPILER) else LANGUAGES.get(name)
    files = [_plain(argument) for argument in argv[1:]]
    if language is None:
        raise BadInput(f"{where}: {argv[0]} is no program that a comparison knows")
    if len(files) < 2 or (language != "catm" and len(files) != 2):
        raise BadInput(f"{where}: {argv[0]} with {len(files)} arguments is not expected")
    if language == "catm":
        return BuildStep(tuple(argv), language, program, tuple(files[1:]), files[0], where)
    return BuildStep(tuple(argv), language, program, (files[0],), files[1], where)


def _plain(argument: str) -> str:
    return argument.removeprefix("./")
