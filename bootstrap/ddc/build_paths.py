"""The paths along which the plan is followed, each with its own tools and files of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bootstrap.core.errors import GuestFailed
from bootstrap.ddc.build_plan import ENTRY, BuildStep
from bootstrap.instruments import Engine
from bootstrap.known import EMBEDDED, find
from bootstrap.languages.fault import LanguageError
from bootstrap.languages.source import SourceText
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, LowerLink
from bootstrap.linux.limits import RunLimits
from bootstrap.runs.modelled import MODELS
from bootstrap.runs.program import NoOutput, run_alone
from bootstrap.runs.rebuild import rebuild
from bootstrap.sources import Resolved, SourceTree, check_materials, embedded_source

OURS = {"hex0": "hex0", "hex1": "hex1", "hex2": "hex2", "catm": "catm", "M0": "M0"}
"""Language -> the product of the embedded path that assembles it."""

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
        model = MODELS.get(step.language)
        if model is None:
            return upstream(step, files)
        try:
            return model([SourceText(name, files[name]) for name in step.inputs])
        except LanguageError as error:
            raise StepFailed(f"the {step.language} model refuses it: {error}") from error

    return [
        BuildPath("upstream", "upstream's hex0 to M0, each built by the one before", upstream),
        BuildPath("ours", "our own hex0 to M0, built from the same seed on our own sources", ours),
        BuildPath(
            "models", "the language models in Python; no seed and no assembler is run", models
        ),
    ]


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


def our_tools(engine: Engine, limits: RunLimits) -> dict[str, bytes]:
    """The products of the embedded path by name, all verified.

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
    return {path: content for path, (content, _mode) in rebuilt.products.items()}
