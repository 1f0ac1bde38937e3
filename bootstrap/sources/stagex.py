"""StageX's stage0: its own script, and commits of six repositories that match no release.

Script, commits and order of work are StageX's and are read from a checkout of it
(``packages/bootstrap/stage0``); the sources come from a folder of the user's, as the archives that
``package.toml`` names, checked against its sha256, or as unpacked folders.  The catalogue has
values for the one state of it that was run natively; for any other nothing is known, and the
report says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile, read_file
from bootstrap.documents import (
    BadValue,
    Commit,
    Sha256,
    Texts,
    decoded,
    from_toml,
    path_fault,
    typed,
)
from bootstrap.known import STAGEX, Entry, Seed, StepFile, arch_name, find
from bootstrap.sources.containerfile import Copy, Stage, read_containerfile
from bootstrap.sources.identity import require_materials
from bootstrap.sources.materials import check_materials
from bootstrap.sources.resolving import Resolved
from bootstrap.sources.tree import MAX_ARCHIVE, SourceTree, open_source

PLACE = "packages/bootstrap/stage0"
ENTRY = "hex0-seed"
_MAX_TEXT = 1 << 20
_ADDRESS = "https://codeberg.org/stagex/stagex"


@dataclass(frozen=True)
class Pinned:
    """A source as a package.toml pins it: the archive's file name, its sha256, its addresses."""

    file: str
    sha256: Sha256 = field(metadata={"key": "hash"})
    version: str = ""
    mirrors: Texts = ()
    format: str = ""

    def filled_in(self) -> Pinned:
        """With names and addresses whole: they are written with {file}, {version}, {format}."""

        def whole(text: str) -> str:
            return text.replace("{version}", self.version).replace("{format}", self.format)

        file = whole(self.file)
        mirrors = tuple(whole(mirror.replace("{file}", file)) for mirror in self.mirrors)
        return replace(self, file=file, mirrors=mirrors)


@dataclass(frozen=True)
class Package:
    """What matters of a package.toml."""

    sources: Mapping[str, Pinned]


def _of_stage0(package: Package) -> None:
    """Each source is a commit, in a file of a plain name."""
    for name, pinned in package.sources.items():
        typed(Commit, pinned.version, "sources", name, "version")
        file = pinned.filled_in().file
        if path_fault(file) or "/" in file:
            raise BadValue(f"is no plain file name: {file!r}", "sources", name, "file")


@dataclass(frozen=True)
class Recipe:
    """What the Containerfile says: sources by the tree path of their folder, files, one entry.

    ``image`` are the files of the image: tree path of the product -> path in the image.
    """

    folders: Mapping[str, Pinned]
    files: Mapping[str, SourceFile]
    seed: str
    entry: Entry
    image: Mapping[str, str]


def resolve_stagex(
    checkout: str | None, fetched: str | None, arch: str, entry: str | None
) -> Resolved:
    """The tree that StageX builds its stage0 in, and what is known of it.

    Raises BadInput: an option that is missing, a checkout that is not understood, a source that is
    missing or is not the pinned one.
    """
    if arch_name(arch) != "x86":
        raise BadInput(f"{STAGEX} is for x86 only")
    if checkout is None:
        raise BadInput(f"--release {STAGEX} needs --source, a checkout of {_ADDRESS}")
    if entry not in (None, ENTRY):
        raise BadInput(f"{STAGEX} has no entry {entry!r}; it has {ENTRY}")
    recipe = read_recipe(checkout)
    tree = _with_sources(recipe, checkout, fetched)
    known = find(STAGEX, None, "x86")
    if is_known(recipe, known):
        report = check_materials(tree, known)
        require_materials(tree, known, report)
        return Resolved(tree, known, report, recipe.image)
    note = (
        f"{checkout} has another state of StageX's stage0 than the one that the catalogue has "
        "values for: nothing that it makes can be judged"
    )
    step = unknown_step(known, recipe, tree)
    tree = replace(tree, notes=(*tree.notes, note))
    return Resolved(tree, step, check_materials(tree, step), recipe.image)


def is_known(recipe: Recipe, known: StepFile) -> bool:
    """Whether commits, files and commands are those that the catalogue's values belong to."""
    commits = {folder: pinned.version for folder, pinned in recipe.folders.items()}
    files = {path: file.sha256 for path, file in recipe.files.items()}
    return (
        commits == dict(known.source.submodules)
        and all(known.materials.get(path) == sha256 for path, sha256 in files.items())
        and recipe.entry == replace(known.entry(ENTRY), environment=recipe.entry.environment)
        and dict(recipe.entry.environment) == dict(known.entry(ENTRY).environment)
    )


def unknown_step(known: StepFile, recipe: Recipe, tree: SourceTree) -> StepFile:
    """A step without a known-good value, whose materials are all files of the tree as it is."""
    seed = recipe.files[recipe.seed]
    return replace(
        known,
        file="(made from the Containerfile)",
        sha256="",
        seeds={ENTRY: Seed(recipe.seed, len(seed.data), seed.sha256)},
        entries={ENTRY: recipe.entry},
        materials={path: file.sha256 for path, file in tree.files.items()},
        directories=(recipe.entry.cwd,),
        native={},
        native_from="",
    )


def read_recipe(checkout: str) -> Recipe:
    """Read Containerfile, package.toml and seed.  Raises BadInput with file and line."""
    folder = Path(checkout)
    if not (folder / "Containerfile").exists():
        folder = folder / PLACE
    if not folder.is_dir():
        raise BadInput(
            f"--source {checkout}: no checkout of StageX, it has no {PLACE} (git clone {_ADDRESS})"
        )
    package = folder / "package.toml"
    pins = read_package(read_file(package, _MAX_TEXT), str(package), _of_stage0)
    arguments: dict[str, str] = {}
    for name, pinned in pins.items():
        arguments[f"{name.upper()}_SOURCE"] = pinned.file
        arguments[f"{name.upper()}_VERSION"] = pinned.version
    where = str(folder / "Containerfile")
    text = decoded(read_file(folder / "Containerfile", _MAX_TEXT), where)
    stages = read_containerfile(text, where, arguments)
    return _Interpreter(stages, pins, folder, where).recipe()


def read_package(
    data: bytes | str, file: str, *checks: Callable[[Package], None]
) -> dict[str, Pinned]:
    """The sources of a package.toml by name; keys of it that do not matter here are not read."""
    package = from_toml(Package, data, file, *checks, lenient=True)
    return {name: pinned.filled_in() for name, pinned in package.sources.items()}


class _Interpreter:
    """Follows the stages; all of them share one file system here, so nothing may be in two places.

    BuildKit gives each stage a root of its own. Seen from the programs that are run the difference
    is only that the seed is still there later, and that all see the last stage's environment.
    """

    def __init__(
        self, stages: Mapping[str, Stage], pins: Mapping[str, Pinned], folder: Path, file: str
    ) -> None:
        self.stages, self.pins, self.folder, self.file = stages, pins, folder, file
        self.files: dict[str, SourceFile] = {}
        self.folders: dict[str, Pinned] = {}
        self.added: dict[str, set[str]] = {}

    def error(self, line: int, fault: str) -> BadInput:
        return BadInput(f"{self.file}:{line}: {fault}")

    def recipe(self) -> Recipe:
        if not self.stages:
            raise BadInput(f"{self.file}: has no stage")
        *building, package = self.stages.values()
        runs = [run for stage in building for run in stage.runs]
        if package.runs or package.texts or not runs:
            raise BadInput(f"{self.file}: the last stage must only copy what the others built")
        for stage in building:
            self.added[stage.name] = set()
            for copy in stage.copies:
                self._place(stage, copy)
            for path, data in stage.texts.items():
                self._put(path, SourceFile(data), 0)
        cwd = runs[-1].cwd
        for run in runs:
            if run.cwd != cwd:
                raise self.error(run.line, f"runs in {run.cwd}, and another program in {cwd}")
        entry = Entry(
            ENTRY, tuple(r.argv for r in runs), (), cwd.lstrip("/"), dict(runs[-1].environment)
        )
        seed = runs[0].argv[0].lstrip("/")
        if seed not in self.files:
            raise self.error(runs[0].line, f"{seed} is no file of {self.folder}")
        image = {c.source.lstrip("/"): c.target.lstrip("/") for c in package.copies}
        return Recipe(self.folders, self.files, seed, entry, image)

    def _place(self, stage: Stage, copy: Copy) -> None:
        if copy.stage is not None:
            self._from_stage(copy, self.stages[copy.stage])
        elif copy.source.startswith("fetch/"):
            self.added[stage.name].add(copy.source.removeprefix("fetch/"))
        else:
            if path_fault(copy.source):
                raise self.error(copy.line, f"{copy.source!r} is no plain path")
            data = read_file(self.folder / copy.source, MAX_ARCHIVE)
            self._put(copy.target, SourceFile(data, True), copy.line)

    def _from_stage(self, copy: Copy, origin: Stage) -> None:
        source = copy.source.rstrip("/")
        if origin.runs and source == copy.target == origin.cwd:
            return  # what was built goes on where it is
        for pinned in self.pins.values():
            unpacked = pinned.file.removesuffix(".tar.gz")
            if source.lower() == f"/{unpacked}".lower():
                if pinned.file not in self.added[origin.name]:
                    raise self.error(copy.line, f"stage {origin.name} does not add {pinned.file}")
                target = copy.target.lstrip("/")
                if self.folders.setdefault(target, pinned) != pinned:
                    raise self.error(copy.line, f"{copy.target} has two sources")
                return
        raise self.error(copy.line, f"{copy.source} is neither a source nor what was built")

    def _put(self, path: str, file: SourceFile, line: int) -> None:
        if self.files.setdefault(path.lstrip("/"), file) != file:
            raise self.error(line, f"{path} has two contents")


def _with_sources(recipe: Recipe, checkout: str, fetched: str | None) -> SourceTree:
    files: dict[str, SourceFile] = dict(recipe.files)
    symlinks: dict[str, str] = {}
    folders: set[str] = set()
    missing: list[Pinned] = []
    unchecked: list[str] = []
    for top, pinned in recipe.folders.items():
        tree = None if fetched is None else _source(Path(fetched), pinned)
        if tree is None:
            missing.append(pinned)
            continue
        if tree.archive_sha256 is None:
            unchecked.append(tree.label)
        files.update((f"{top}/{path}", file) for path, file in tree.files.items())
        symlinks.update((f"{top}/{path}", target) for path, target in tree.symlinks.items())
        folders.update(f"{top}/{path}" for path in tree.folders)
    if missing:
        names = "; ".join(f"{p.file} ({' or '.join(p.mirrors)})" for p in missing)
        where = "give --fetched DIR, a folder with" if fetched is None else f"{fetched}: lacks"
        raise BadInput(f"{where} these archives, or the folders in them: {names}")
    good = len(recipe.folders) - len(unchecked)
    notes = [f"{good} of {len(recipe.folders)} sources are archives with the sha256 StageX pins"]
    if unchecked:
        notes.append(f"not checked against a pinned sha256, being folders: {', '.join(unchecked)}")
    label = f"{checkout} with {fetched}"
    return SourceTree(label, files, symlinks, frozenset(folders), notes=tuple(notes))


def _source(fetched: Path, pinned: Pinned) -> SourceTree | None:
    archive = fetched / pinned.file
    if archive.exists():
        tree = open_source(archive)
        if tree.archive_sha256 != pinned.sha256:
            raise BadInput(
                f"{archive}: has the sha256 {tree.archive_sha256}, and StageX pins {pinned.sha256};"
                " get the archive again, or unpack it to use it as a folder"
            )
        return tree
    # An archive's file name and its folder's may differ in case (m2libc, M2libc).
    wanted = pinned.file.removesuffix(".tar.gz").lower()
    try:
        found = sorted(p for p in fetched.iterdir() if p.is_dir() and p.name.lower() == wanted)
    except OSError as error:
        raise BadInput(f"--fetched {fetched}: cannot be read: {error.strerror}") from None
    return open_source(found[0]) if found else None
