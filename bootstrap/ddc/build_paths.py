"""The paths along which the plan is followed, each with its own tools and files of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bootstrap.core.errors import GuestFailed
from bootstrap.instruments import Engine
from bootstrap.known import EMBEDDED, find
from bootstrap.languages.fault import LanguageError
from bootstrap.languages.hex2 import BASE_ADDRESS
from bootstrap.languages.source import SourceText
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, LowerLink
from bootstrap.linux.limits import RunLimits
from bootstrap.machines.knight import Knight, KnightLimits
from bootstrap.runs.build_plan import ENTRY, BuildStep, plan
from bootstrap.runs.modelled import MODELS
from bootstrap.runs.program import NoOutput, run_alone
from bootstrap.runs.rebuild import rebuild
from bootstrap.sources import Resolved, SourceTree, check_materials, embedded_source

OURS = {"hex0": "hex0", "hex1": "hex1", "hex2": "hex2", "catm": "catm", "M0": "M0"}
"""Language -> the product of the embedded path that assembles it."""

_OUTPUT = 0x09548000
"""Where our hex2 keeps its output: what it adds to a place there, to have an address, stands twice
in its source."""

_LONG = re.compile(rb"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|\blong\b""")
"""A string or character, which stays as it is; or the type that cc_x86 on the knight has not."""
_KNIGHT_MEMORY = 16 << 20
KNIGHT_RELEASE = "1.3"
"""The one whose M2-Planet cc_x86 on the knight compiles: what came later overruns its stack of 512
KiB, or is held against a compiler that writes other names of instructions."""

Files = Mapping[str, bytes]
Run = Callable[[BuildStep, Files], bytes]


class StepFailed(Exception):
    """A step that gave no output; the text says why."""


@dataclass(frozen=True)
class BuildPath:
    """One path along the plan: a name, what it uses in words, and how it runs a step."""

    name: str
    title: str
    run: Run
    facts: Mapping[str, str | bool | None] = field(default_factory=dict)
    """What it was made from, for the JSON."""
    remarks: list[str] = field(default_factory=list)
    """What must be said of it besides, known once it was followed."""


@dataclass
class Along:
    """What following the plan along one path gave: the outputs by tree path, and what failed."""

    path: BuildPath
    made: dict[str, bytes] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def paths(tools: Files, engine: Engine, limits: RunLimits) -> list[BuildPath]:
    """All three; ``tools`` are the verified products of the embedded path, by name."""

    def upstream(step: BuildStep, files: Files) -> bytes:
        return emulate(files[step.program], step, files, engine, limits)

    def ours(step: BuildStep, files: Files) -> bytes:
        tool = OURS.get(step.language)
        # The compiler is the one that our tools built.
        program = files[step.program] if tool is None else tools[tool]
        return emulate(program, step, files, engine, limits)

    def models(step: BuildStep, files: Files) -> bytes:
        return modelled(step, files) if step.language in MODELS else upstream(step, files)

    return [
        BuildPath("upstream", "upstream's hex0 to M0, each built by the one before", upstream),
        BuildPath("ours", "our own hex0 to M0, built from the same seed on our own sources", ours),
        BuildPath(
            "models", "the language models in Python; no seed and no assembler is run", models
        ),
    ]


def modelled(step: BuildStep, files: Files) -> bytes:
    """What the model of the step's language makes. Raises StepFailed."""
    try:
        return MODELS[step.language]([SourceText(name, files[name]) for name in step.inputs])
    except LanguageError as error:
        raise StepFailed(f"the {step.language} model refuses it: {error}") from error


def int_for_long(source: bytes) -> tuple[bytes, list[int]]:
    """C with `int` for each `long` outside of strings; the lines (from 1) that it changes."""
    lines: list[int] = []

    def other(found: re.Match[bytes]) -> bytes:
        if found[1] is None:
            lines.append(source.count(b"\n", 0, found.start()) + 1)
        return found[1] or b"int"

    return _LONG.sub(other, source), lines


def knight_path(
    rom: bytes, limits: KnightLimits, facts: Mapping[str, str | bool | None]
) -> BuildPath:
    """A path that no x86 CPU is on: ``rom`` is stage0's cc_x86 for the knight."""
    remarks: list[str] = []

    def run(step: BuildStep, files: Files) -> bytes:
        if step.language in MODELS:
            return modelled(step, files)
        (name,) = step.inputs
        source, lines = int_for_long(files[name])
        texts = source.split(b"\n")
        for line in dict.fromkeys(lines):
            text = texts[line - 1].decode("utf-8", "replace").strip()
            remarks.append(f"for the knight's compiler, {name}:{line} became `{text}`")
        said = bytearray()
        knight = Knight(rom, source, said.append, limits=limits.with_memory(_KNIGHT_MEMORY))
        try:
            output = knight.run()
        except GuestFailed as error:
            raise StepFailed(str(error)) from error
        if said:
            raise StepFailed(f"the compiler says: {said.decode('utf-8', 'replace').strip()}")
        return output

    title = "the models, and stage0's cc_x86 on the knight, which has `int` for `long`"
    return BuildPath("knight", title, run, facts, remarks)


def along(
    path: BuildPath,
    steps: Sequence[BuildStep],
    tree: SourceTree,
    notify: Callable[[BuildStep], None],
) -> Along:
    """Follow the plan; a step that fails, or lacks an input, is a finding and not an error.

    A file that the path made hides one of the tree; nothing that another path made is seen.
    """
    found = Along(path)
    given = {name: file.data for name, file in tree.files.items()}
    for step in steps:
        notify(step)
        files = {**given, **found.made}
        try:
            for name in (step.program, *step.inputs):
                if name not in files and not (name == step.program and path.name != "upstream"):
                    raise StepFailed(f"{name} is not there")
            found.made[step.output] = path.run(step, files)
        except StepFailed as error:
            found.failed[step.output] = f"{step.where}: {error}"
    return found


def emulate(
    program: bytes, step: BuildStep, files: Files, engine: Engine, limits: RunLimits
) -> bytes:
    """Run ``program`` as the step says, in a file system with nothing but what the step names.

    Raises StepFailed when there is no output to be had.
    """
    rows: dict[bytes, LowerFile | LowerLink | LowerFolder] = {
        b"/" + name.encode(): LowerFile(0o644, files[name]) for name in step.inputs
    }
    place = b"/" + step.program.encode()
    rows[place] = LowerFile(0o755, program)
    folder = b"/" + step.output.rpartition("/")[0].encode()
    if not any(row.startswith(folder + b"/") for row in rows):
        rows[folder] = LowerFolder()
    argv = [argument.encode() for argument in step.argv]
    try:
        output = run_alone(rows, place, argv, b"/" + step.output.encode(), engine, limits)
    except NoOutput as error:
        raise StepFailed(str(error)) from error
    if output is None:
        raise StepFailed(f"it wrote no {step.output}")
    return output


def our_tools(engine: Engine, limits: RunLimits, base: int = BASE_ADDRESS) -> dict[str, bytes]:
    """The products of the embedded path by name, all verified; with another ``base`` than that of
    x86 a hex2 for programs that are loaded there, which our hex1 makes.

    Raises GuestFailed when they are not what they should be: a comparison with them would then say
    nothing.
    """
    step = find(EMBEDDED, None, "x86")
    tree = embedded_source(step)
    resolved = Resolved(tree, step, check_materials(tree, step))
    rebuilt = rebuild(resolved, ENTRY, engine, limits)
    if rebuilt.report.result != "verified":
        raise GuestFailed(
            "our own tools were not verified, so nothing can be compared with them: "
            f"{rebuilt.report.claim}"
        )
    tools = {path: content for path, (content, _mode) in rebuilt.products.items()}
    if base != BASE_ADDRESS:
        how = next(one for one in plan(tree, step) if one.output == "hex2")
        source = hex2_at(base, tree.files["hex2.hex1"].data)
        try:
            tools["hex2"] = emulate(tools["hex1"], how, {"hex2.hex1": source}, engine, limits)
        except StepFailed as error:
            raise GuestFailed(f"our hex2 for programs at {base:#x}: {error}") from error
    return tools


def hex2_at(base: int, source: bytes) -> bytes:
    """The source of our hex2, for programs that are loaded at another address than those of x86."""
    old, new = (
        (first - _OUTPUT).to_bytes(4, "little", signed=True).hex(" ").upper().encode()
        for first in (BASE_ADDRESS, base)
    )
    if source.count(old) != 2:
        raise GuestFailed(f"the source of our hex2 has {old.decode()} {source.count(old)} times")
    return source.replace(old, new)
