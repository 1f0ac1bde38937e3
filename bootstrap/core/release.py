"""What is verified, and by what: a source tree as it is, and a release as it is known.

Claims: a `Tree` is read whole before anything runs, so what was compared is what the guest sees; no
link of it is followed. A `Release` is made from the text of a step file or of an answers file and
from nothing else, and `Release.sha256` is that text's. Of a tree whose materials are the release's
the guest sees these files and no other.
Relies on: `errors`; SHA-256; the step files of this installation are those that were published.
Tests that would fail if it lied: tests/core/test_tree.py, test_release.py.
"""

import hashlib
import os
import posixpath
import re
import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from pathlib import Path
from typing import NoReturn

from bootstrap.core.errors import BadInput

MAX_FILES = 20_000
MAX_BYTES = 256 << 20
"""No source tree is near either: a wrong folder must not fill the memory."""


@dataclass(frozen=True)
class SourceFile:
    """A regular file of a tree: its content, and whether any x bit is set."""

    data: bytes
    executable: bool = False

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class Tree:
    """A source tree by `/`-separated paths, in which bytes that are not UTF-8 are surrogate
    escapes. What is neither file, link nor folder is `special`, and is never read."""

    label: str
    """What to call it in messages."""
    files: Mapping[str, SourceFile]
    symlinks: Mapping[str, str] = field(default_factory=dict)
    """Path -> target."""
    folders: frozenset[str] = frozenset()
    special: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of one line for each file and link, sorted by the path's bytes:

            MODE SP SHA256 SP PATH NUL

        MODE is git's: 100644, 100755 for a file with any x bit, 120000 for a symbolic link; SHA256
        is that of the content, of a link's target. Folders, times and owners do not count.
        """
        lines = [
            (as_bytes(path), b"100755" if file.executable else b"100644", file.sha256)
            for path, file in self.files.items()
        ]
        lines += [
            (as_bytes(path), b"120000", hashlib.sha256(as_bytes(target)).hexdigest())
            for path, target in self.symlinks.items()
        ]
        digest = hashlib.sha256()
        for path, mode, sha256 in sorted(lines):
            digest.update(b"%s %s %s\0" % (mode, sha256.encode(), path))
        return digest.hexdigest()

    def refuse_odd(self) -> None:
        """Raise BadInput for what no published tree has."""
        odd = [f"{path} is neither file, link nor folder" for path in self.special]
        links = [path for path, target in self.symlinks.items() if leads_out(path, target)]
        odd += [f"{path} is a link out of the tree" for path in links]
        for path in (*self.files, *self.symlinks, *self.folders):
            if any("\udc80" <= character <= "\udcff" for character in path):
                odd.append(f"{path} is a name that is not UTF-8")
        if odd:
            raise BadInput(f"{self.label}: {odd[0]}")


def as_bytes(path: str) -> bytes:
    """A path of a tree as the guest has it."""
    return path.encode("utf-8", "surrogateescape")


def as_text(path: bytes) -> str:
    """The other way."""
    return path.decode("utf-8", "surrogateescape")


def leads_out(path: str, target: str) -> bool:
    """Whether a link at `path` names something outside of its tree."""
    landing = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return target.startswith("/") or landing == ".." or landing.startswith("../")


def read_folder(root: Path) -> Tree:
    """A checkout. What git keeps for itself (.git, a folder or a file) is left out.

    Symbolic links stay links, whatever they point to. Raises BadInput where something cannot be
    read, and for what is too large.
    """
    files: dict[str, SourceFile] = {}
    symlinks: dict[str, str] = {}
    folders: set[str] = set()
    special: list[str] = []
    left, waiting = MAX_BYTES, [(str(root), "")]
    while waiting:
        folder, above = waiting.pop()
        try:
            with os.scandir(folder) as scan:
                found = sorted((entry for entry in scan if entry.name != ".git"), key=_name)
            for entry in found:
                path, mode = above + _name(entry), entry.stat(follow_symlinks=False).st_mode
                if len(files) + len(symlinks) + len(folders) + len(special) == MAX_FILES:
                    more = f"more than {MAX_FILES} files, at {path!r}"
                    raise BadInput(f"{root}: too large for a stage0-posix tree: {more}")
                if stat.S_ISLNK(mode):
                    symlinks[path] = as_text(os.fsencode(os.readlink(entry.path)))
                elif stat.S_ISDIR(mode):
                    folders.add(path)
                    waiting.append((entry.path, f"{path}/"))
                elif stat.S_ISREG(mode):
                    data = read_file(Path(entry.path), left, follow=False)
                    left -= len(data)
                    files[path] = SourceFile(data, bool(mode & 0o111))
                else:
                    special.append(path)
        except OSError as error:
            _unreadable(error)
    return Tree(str(root), files, symlinks, frozenset(folders), tuple(sorted(special)))


def _name(entry: os.DirEntry[str]) -> str:
    """A file's name, the same whatever the locale: its bytes, read as UTF-8."""
    return as_text(os.fsencode(entry.name))


def read_file(path: Path, limit: int, follow: bool = True) -> bytes:
    """A host file of at most `limit` bytes, never one that would block. Raises BadInput."""
    # O_NONBLOCK: a fifo put in a file's place between stat and open must not hang the run.
    names = ("O_BINARY", "O_NONBLOCK", "O_CLOEXEC", *(() if follow else ("O_NOFOLLOW",)))
    flags = sum(getattr(os, name, 0) for name in names)
    try:
        fd = os.open(path, os.O_RDONLY | flags)
        with os.fdopen(fd, "rb") as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise BadInput(f"{path}: is not a regular file")
            data = file.read(limit + 1)
    except OSError as error:
        _unreadable(error, path)
    if len(data) > limit:
        raise BadInput(f"{path}: has more than the {limit} bytes that may be read")
    return data


def _unreadable(error: OSError, path: Path | None = None) -> NoReturn:
    raise BadInput(f"{path or error.filename}: cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class KnownValue:
    """The SHA-256 that the file at `path` must have after the run, and who says so."""

    path: str
    sha256: str
    source: str
    is_answer: bool
    """Whether the release promises this file; of others somebody has only seen them come out."""


@dataclass(frozen=True)
class EntryPoint:
    """One way into the bootstrap: commands started one after another, argv by argv, in `cwd` (""
    is the top of the tree) with just this environment; the `hidden` files are not there."""

    name: str
    commands: tuple[tuple[str, ...], ...]
    hidden: tuple[str, ...] = ()
    cwd: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


_READER = object()


@dataclass(frozen=True)
class Release:
    """What must come of which files by which commands, as one of the two readers below read it."""

    title: str
    """`stage0-posix 1.9.1`."""
    arch: str
    materials: Mapping[str, str] | None
    """Path -> SHA-256 of every file that the bootstrap reads. None: nobody has listed them."""
    seeds: frozenset[str]
    """The materials that are programs. Their x bit may be lost on the way; they get it back."""
    directories: tuple[str, ...]
    """Directories that must be there when it starts."""
    entries: tuple[EntryPoint, ...]
    known: tuple[KnownValue, ...]
    file: str
    sha256: str
    """Of the text that this was read from."""
    reader: InitVar[object]

    def __post_init__(self, reader: object) -> None:
        if reader is not _READER:
            raise TypeError("a Release is read from a step file or an answers file")

    def entry(self, name: str | None) -> EntryPoint:
        """The entry of that name, the first without one. Raises BadInput."""
        for entry in self.entries:
            if name in (None, entry.name):
                return entry
        known = ", ".join(entry.name for entry in self.entries)
        raise BadInput(f"{self.file}: has no entry {name}; it has {known}")

    def materials_for(self, entry: EntryPoint) -> dict[str, str]:
        """The materials that the entry does not hide; none where nobody has listed any."""
        listed = (self.materials or {}).items()
        return {path: sha256 for path, sha256 in listed if path not in entry.hidden}


Shape = Callable[[object], bool] | list["Shape"] | dict[object, "Shape"]
"""What a value must be: what passes a check, a list of such, or a table. A table's keys are names,
or a check that the name must pass; it may have no others."""


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value


def _is_path(value: object) -> bool:
    """Relative and plain; no component is longer than the name of a file can be."""
    parts = value.split("/") if isinstance(value, str) and _is_text(value) else [""]
    return not any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts)


def _is_sha256(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


_HASHES: Shape = {_is_path: _is_sha256}
_SEED: Shape = {"path": _is_path, "size": lambda _: True, "sha256": _is_sha256}
_ENTRY: Shape = {
    "commands": [[_is_text]],
    "hidden": [_is_path],
    "cwd": lambda value: value == "" or _is_path(value),
    "environment": {_is_text: _is_text},
}
_STEP: Shape = {
    "schema": lambda value: value == 1 and type(value) is int,
    **dict.fromkeys("name arch release answers_from catalogue_from native_from".split(), _is_text),
    **dict.fromkeys("materials answers catalogue native".split(), _HASHES),
    "directories": [_is_path],
    "seeds": {_is_text: _SEED},
    "entries": {_is_text: _ENTRY},
    # These explain, and no verdict rests on them.
    **dict.fromkeys("source models tree_files materials_from checked".split(), lambda _: True),
    "notes": lambda _: True,
}


def _require(value: object, shape: Shape, where: str) -> None:
    """Raise BadInput, saying where, unless `value` has that shape."""
    if isinstance(shape, list) and isinstance(value, list):
        for item in value:
            _require(item, shape[0], where)
    elif isinstance(shape, dict) and isinstance(value, dict):
        for key, item in value.items():
            fitting = [
                of for name, of in shape.items() if name == key or (callable(name) and name(key))
            ]
            if not fitting:
                raise BadInput(f"{where}: cannot have {key!r}")
            _require(item, fitting[0], f"{where}: {key}")
    elif not callable(shape) or not shape(value):
        raise BadInput(f"{where}: cannot be {value!r:.80}")


def read_release(data: bytes, file: str) -> Release:
    """A step file; `file` is what to call it. Raises BadInput for whatever is not as it must be."""
    try:
        table = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file}: is no TOML: {error}") from None
    _require(table, _STEP, file)
    try:
        materials = table["materials"]
        seeds = {seed["path"]: seed["sha256"] for seed in table["seeds"].values()}
        entries = tuple(
            EntryPoint(name, tuple(tuple(command) for command in entry["commands"]),
                       tuple(entry.get("hidden", ())), entry.get("cwd", ""),
                       entry.get("environment", {}))
            for name, entry in table["entries"].items()
        )  # fmt: skip
        known = tuple(
            KnownValue(path, sha256, table[f"{kind}_from"], is_answer=kind != "native")
            for kind in ("answers", "catalogue", "native")
            for path, sha256 in table.get(kind, {}).items()
        )
        title = " ".join((table["name"], *filter(None, (table.get("release"),))))
        arch, _ = table["arch"], table["schema"]  # which is 1, as _STEP says, but must be there
    except KeyError as error:
        raise BadInput(f"{file}: lacks {error}") from None
    if not seeds.items() <= materials.items():
        raise BadInput(f"{file}: materials has not the seeds, with the same sha256")
    if not entries or not all(entry.commands and all(entry.commands) for entry in entries):
        raise BadInput(f"{file}: entries: there is none, or one without a command")
    return Release(title, arch, materials, frozenset(seeds), tuple(table.get("directories", ())),
                   entries, known, file, hashlib.sha256(data).hexdigest(), _READER)  # fmt: skip


def from_answers(data: bytes, file: str, arch: str) -> Release:
    """What can be known from an answers file alone: lines of `sha256  path`, as sha256sum has them.

    Seed and commands are as upstream has them: up to 1.4 the products are in bin/, and the seed
    starts in the architecture's folder; from 1.5.0 on all stands below it. Raises BadInput.
    """
    seed = f"bootstrap-seeds/POSIX/{arch}/kaem-optional-seed"
    known: dict[str, KnownValue] = {}
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        sha256, mark, path = line[:64], line[64:66], line[66:]
        plain = _is_sha256(sha256) and mark in ("  ", " *") and _is_path(path)
        if not plain or path in known or path == seed:  # which is there, whatever the run does
            raise BadInput(f"{file}:{number}: is not `sha256  path` of one more file")
        known[path] = KnownValue(path, sha256, file, is_answer=True)
    if not known:
        raise BadInput(f"{file}: has no answer")
    entry = EntryPoint("kaem-optional-seed", ((f"./{seed}", f"./kaem.{arch.lower()}"),))
    if not all(path.startswith(f"{arch}/") for path in known):
        entry = EntryPoint("kaem-optional-seed", ((f"../{seed}",),), cwd=arch)
    folders = {posixpath.dirname(path) for path in known} - {""}
    return Release(file, arch, None, frozenset({seed}), (*sorted(folders), f"{arch}/artifact"),
                   (entry,), tuple(known.values()), file, hashlib.sha256(data).hexdigest(),
                   _READER)  # fmt: skip


def shipped_files() -> dict[str, list[Path]]:
    """The step files of this installation, by architecture. Raises BadInput where there are none.

    A wheel carries them as bootstrap/_data/steps, a checkout has steps/ beside the package.
    """
    package = Path(__file__).resolve().parent.parent
    found: dict[str, list[Path]] = {}
    for place in (package / "_data" / "steps", package.parent / "steps"):
        for file in () if found else sorted(place.glob("*.toml")):
            found.setdefault(file.stem.rpartition("-")[2], []).append(file)
    if not found:
        raise BadInput(f"{package}: there are no step files; install the package again")
    return found


def shipped(arch: str) -> tuple[Release, ...]:
    """The releases of this installation for an architecture. Raises BadInput."""
    files = shipped_files().get(arch, ())
    return tuple(read_release(read_file(file, MAX_BYTES), file.name) for file in files)


def compare_materials(tree: Tree, materials: Mapping[str, str]) -> dict[str, str | None]:
    """The materials (path -> SHA-256) that are not in the tree as they are listed, sorted: each
    with what is there instead, a SHA-256 or words; None where nothing is."""
    found: dict[str, str | None] = {}
    for path, expected in sorted(materials.items()):
        file = tree.files.get(path)
        if file is not None:
            there: str | None = file.sha256
        elif path in tree.symlinks:
            there = "a symbolic link"
        else:
            there = "no regular file" if path in tree.folders or path in tree.special else None
        if there != expected:
            found[path] = there
    return found


def visible_tree(tree: Tree, release: Release, entry: EntryPoint) -> Tree:
    """What the guest sees: exactly the materials that the entry does not hide, and the directories
    that must be there. Raises BadInput where one of these is something else.

    Without a list of materials it sees all files but those in the places of the answers, which an
    earlier run may have left there: only what this run makes counts. Links are never laid out.
    """
    seen: Sequence[str] = [*release.materials_for(entry)]
    folders = frozenset(release.directories)
    if release.materials is None:
        promised = {value.path for value in release.known}
        seen = [path for path in tree.files if path not in promised]
        folders |= tree.folders
    files = {
        path: SourceFile(file.data, file.executable or path in release.seeds)
        for path in seen
        if (file := tree.files.get(path)) is not None
    }
    for path in files:
        if any(f"{folder}/".startswith(f"{path}/") for folder in folders):
            raise BadInput(f"{tree.label}: {path} must be a folder")
    return Tree(tree.label, files, folders=folders)
