"""What is built: upstream's own commands, from hex0 to M2-Planet, read from upstream's script; of
the embedded sources all."""

from __future__ import annotations

import posixpath
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.core.release import as_text
from bootstrap.known import EMBEDDED, StepFile
from bootstrap.languages import kaem
from bootstrap.languages.fault import LanguageError
from bootstrap.runs.ahead import find_plan, plan_name
from bootstrap.sources import Resolved, SourceTree
from bootstrap.words import some

ENTRY = "hex0-seed"
"""The entry whose first two commands build hex0 and kaem, and whose third runs the script."""

# Program -> the language its input is in; a compiler's output depends on the compiler alone.
LANGUAGES = {
    "hex0-seed": "hex0",
    "hex0": "hex0",
    "hex1": "hex1",
    "hex2-0": "hex2",
    "hex2": "hex2",
    "catm": "catm",
    "M0": "M0",
}
_COMPILER = "cc_"
"""How the name of the first compiler begins: cc_x86, cc_amd64."""
LAST = "M2"
"""With which it ends; the embedded sources end with `hello`."""
WANTED = ("hex1", "hex2-0", "catm", "M0", "cc_x86", LAST)
"""The programs, in a folder that the release chose: x86/artifact, before 1.5.0 x86."""


@dataclass(frozen=True)
class BuildStep:
    """One command: its program and arguments, and which files it reads and writes (tree paths).

    A file that an earlier command wrote too is `PATH#2`, then `PATH#3`, for whoever writes or reads
    it: so each name stands for one content.
    """

    argv: tuple[str, ...]
    language: str
    program: str
    inputs: tuple[str, ...]
    output: str
    where: str
    """File and line that the command stands in."""


def plan(tree: SourceTree, step: StepFile) -> list[BuildStep]:
    """The commands that lead to M2-Planet, in upstream's order.

    Raises BadInput for a tree whose script is not there, not in the language, or not of the kind
    that is expected here: nothing is skipped that is not understood.
    """
    entry, last = step.entry(ENTRY), LAST if step.name != EMBEDDED else "hello"
    if len(entry.commands) < 3:
        raise BadInput(f"{step.title} has no script after the entry {ENTRY}")
    script = posixpath.normpath(posixpath.join(entry.cwd, entry.commands[2][1]))
    if script not in tree.files:
        raise BadInput(f"{tree.label}: there is no {script}; give a tree of a release, --source")
    reader = _CommandReader(entry.cwd)
    found = [reader.step(argv, step.file) for argv in entry.commands[:2]]
    try:
        for command in kaem.parse(tree.files[script].data, script):
            argv = tuple(map(as_text, command.arguments))
            found.append(reader.step(argv, f"{script}:{command.line}"))
            if posixpath.basename(found[-1].output) == last:
                return found
    except LanguageError as error:
        raise BadInput(f"the script is not in the language of kaem: {error}") from error
    raise BadInput(f"{script}: no command makes {last}")


def who_makes(resolved: Resolved, entry: str, learned: Path) -> dict[str, str]:
    """By artifact the program that makes it, and of what, as far as that is known without a run.

    Up to M2-Planet by upstream's script; then by the plan of an earlier run, which is shipped or in
    the folder `learned`, and only a hint.
    """
    found = {}
    with suppress(BadInput):
        for step in plan(resolved.tree, resolved.step):
            found[step.output] = f"{step.program} makes it of {some(step.inputs)} ({step.where})"
    run = find_plan(plan_name(resolved.step.file, entry), learned)
    for unit in run.units if run is not None else ():
        program = posixpath.join(unit.start.cwd, unit.start.path)
        name, *reads = (
            as_text(posixpath.normpath(path)).lstrip("/") for path in (program, *unit.reads)
        )
        of = some(path for path in reads if path != name)
        for path in unit.writes:
            found.setdefault(as_text(path).lstrip("/"), f"{name} makes it of {of}")
    return found


class _CommandReader:
    """Makes steps of commands, which stand in a folder, and knows what was written before."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._written = Counter[str]()

    def _name(self, path: str) -> str:
        times = self._written[path]
        return f"{path}#{times}" if times > 1 else path

    def step(self, argv: tuple[str, ...], where: str) -> BuildStep:
        """Of one command. Raises BadInput."""
        paths = [posixpath.normpath(posixpath.join(self._folder, word)) for word in argv]
        name = posixpath.basename(paths[0])
        language = "C" if name.startswith(_COMPILER) else LANGUAGES.get(name)
        if language is None:
            raise BadInput(f"{where}: {argv[0]} is no program that a comparison knows")
        if len(argv) < 3 or (language != "catm" and len(argv) != 3):
            raise BadInput(f"{where}: {argv[0]} with {len(argv) - 1} arguments is not expected")
        output, read = (paths[1], paths[2:]) if language == "catm" else (paths[2], paths[1:2])
        program, *inputs = (self._name(path) for path in (paths[0], *read))
        self._written[output] += 1
        made = self._name(output)
        words = (program, made, *inputs) if language == "catm" else (program, *inputs, made)
        argv = tuple(f"./{word}" for word in words)
        return BuildStep(argv, language, program, tuple(inputs), made, where)
