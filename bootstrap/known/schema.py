"""What a step file says, as frozen values, and the strict reading of one.

A step file is TOML 1.0.  Everything in it is checked when it is read, by `bootstrap.documents`: an
unknown key, a wrong type, a hash that is no hash, a path that is not in its plain form, a
duplicate.  Each error is a BadInput that names the file, the line where it is known, and the key.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, get_args

from bootstrap.core.errors import BadInput
from bootstrap.documents import (
    THE_KEY,
    BadValue,
    Commit,
    Sha256,
    Size,
    Texts,
    TreePath,
    Word,
    filled,
    from_toml,
    key,
    matching,
    unique,
)

Language = Literal["hex0", "hex1", "hex2", "M0", "catm"]
MODELLED = get_args(Language)
"""The languages whose models make a product."""

KnownKind = Literal["answers", "native-run", "catalogue", "model"]
"""``answers`` and ``catalogue``: one of the answers; ``native-run`` and ``model``: an intermediate,
unless another value makes it an answer."""

_CHECKED = re.compile(r"(\d{4}-\d{2}-\d{2}), all ([1-9]\d*) answers")
_Paths = Annotated[tuple[TreePath, ...], unique]
_Hashes = Mapping[TreePath, Sha256]
_Command = Annotated[tuple[Annotated[str, matching(r"[^\0]*", "argument")], ...], filled]
_Address = Annotated[str, matching("https://.*", "https address")]


@dataclass(frozen=True, kw_only=True)
class Known:
    """A known-good value: the SHA-256 of the file at ``path`` and where that value comes from.

    ``from_`` is shown to the user: ``x86.answers``, ``native run of 2026-11-22``.  In a report the
    path is its artifact's.
    """

    path: str = key(None, default="")
    sha256: Sha256
    from_: str
    kind: KnownKind = "answers"


@dataclass(frozen=True)
class Seed:
    """A binary that a run starts from: its path in the tree, its size in bytes, its SHA-256."""

    path: TreePath
    size: Size
    sha256: Sha256


@dataclass(frozen=True)
class Entry:
    """One way into the bootstrap: the commands started one after another, argv by argv.

    ``hidden`` paths are taken from the guest's sight, ``cwd`` is where it starts (a tree path,
    ``""`` is the top), ``environment`` is its whole environment.
    """

    name: str = field(metadata={"key": THE_KEY})
    commands: Annotated[tuple[_Command, ...], filled]
    hidden: _Paths = ()
    cwd: Literal[""] | TreePath = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReleaseSource:
    """Where upstream publishes the tree: addresses, the archive's SHA-256 if any was published."""

    commit: Commit | None = None
    urls: Annotated[tuple[_Address, ...], unique] = ()
    sha256: Sha256 | None = None
    submodules: Mapping[str, Commit] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """A whole run of ``bootstrap verify`` that was ``verified``: its date, how many answers it had.

    In a step file: ``checked = "2026-11-22, all 19 answers"``.
    """

    date: datetime.date
    answers: int

    @classmethod
    def from_text(cls, text: str) -> RunRecord:
        """Raises BadValue."""
        match = _CHECKED.fullmatch(text)
        if match is None:
            raise BadValue(f'is {text!r}; it must be like "2026-11-22, all 19 answers"')
        try:
            return cls(datetime.date.fromisoformat(match[1]), int(match[2]))
        except ValueError as error:
            raise BadValue(f"has no date of the calendar: {error}") from None

    def __str__(self) -> str:
        return f"{self.date.isoformat()}, all {self.answers} answers"


@dataclass(frozen=True)
class Modelled:
    """What a language model makes of sources, for a product: a second opinion on its content.

    In a step file: ``catm = {language = "hex2", sources = ["catm.hex2"]}`` in ``[models]``; the
    sources are materials, or products that stand before it in the table.
    """

    language: Language
    sources: _Paths


@dataclass(frozen=True)
class StepFile:
    """One step file: all that is known of one release (or the embedded sources) on one arch.

    Paths are tree paths: relative, ``/``-separated, without ``.``, ``..`` or empty components.
    ``materials`` maps each file that the bootstrap reads to its SHA-256; ``materials_from`` says
    how the list came about.  ``tree_files`` names the list of all paths of the release's tree (a
    file beside the step file), or is None.  ``checked`` is None until a run confirmed the file.
    ``notes`` are sentences for a reader: what is peculiar to this release, with the evidence.
    ``models`` says which products the models of bootstrap.languages can make, in that order.
    ``sha256`` is that of the file's bytes; empty for what was not read from a file that we ship.

    A path may be both an answer and a material: upstream lists ``bin/placeholder``, a file of the
    tree, among the answers of its older releases.  The two values are then the same.
    """

    schema: Literal[1]
    name: Word
    arch: Word
    seeds: Mapping[str, Seed]
    entries: Annotated[Mapping[str, Entry], filled]
    materials: _Hashes
    file: str = key(None, default="")
    release: Word | None = None
    source: ReleaseSource = ReleaseSource()
    directories: _Paths = ()
    answers: _Hashes = field(default_factory=dict)
    answers_from: str = ""
    native: _Hashes = field(default_factory=dict)
    native_from: str = ""
    catalogue: _Hashes = field(default_factory=dict)
    catalogue_from: str = ""
    tree_files: Word | None = None
    materials_from: str = ""
    checked: RunRecord | None = None
    notes: Texts = ()
    sha256: str = key(None, default="")
    models: Mapping[TreePath, Modelled] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name that users see: ``stage0-posix 1.9.1 x86``."""
        return " ".join(part for part in (self.name, self.release, self.arch) if part)

    def known(self) -> tuple[Known, ...]:
        """Every known-good value: the answers in upstream's order, then catalogue, then native.

        A path may come up more than once, when two sources of values know it.
        """
        tables: tuple[tuple[_Hashes, str, KnownKind], ...] = (
            (self.answers, self.answers_from, "answers"),
            (self.catalogue, self.catalogue_from, "catalogue"),
            (self.native, self.native_from, "native-run"),
        )
        return tuple(
            Known(path=path, sha256=sha256, from_=from_, kind=kind)
            for table, from_, kind in tables
            for path, sha256 in table.items()
        )

    def expected(self) -> tuple[Known, ...]:
        """One known-good value for each path: the first that :meth:`known` has."""
        first: dict[str, Known] = {}
        for value in self.known():
            first.setdefault(value.path, value)
        return tuple(first.values())

    def entry(self, name: str) -> Entry:
        """The entry called ``name``.  Raises BadInput, naming those there are."""
        if name not in self.entries:
            raise BadInput(f"{self.title} has no entry {name!r}; it has {', '.join(self.entries)}")
        return self.entries[name]


def parse(data: bytes | str, file: str) -> StepFile:
    """Read one step file from its text; ``file`` is its name, used in errors only."""
    return replace(from_toml(StepFile, data, file, _check_whole), file=file)


def _check_whole(step: StepFile) -> None:
    """What no single key shows: that the parts of a step file agree with one another."""
    for table in ("answers", "native", "catalogue"):
        if getattr(step, table) and not getattr(step, f"{table}_from"):
            raise BadValue(f"has values, but {table}_from does not say where they come from", table)
    for name, seed in step.seeds.items():
        listed = step.materials.get(seed.path)
        if listed is None:
            raise BadValue(f"lacks {seed.path}, which seeds.{name} names", "materials")
        if listed != seed.sha256:
            raise BadValue(f"has another sha256 for {seed.path} than seeds.{name}", "materials")
    for path, sha256 in step.answers.items():
        if step.materials.get(path, sha256) != sha256:
            raise BadValue(f"has another sha256 for {path} than answers", "materials")
    made: set[str] = set()
    for path, model in step.models.items():
        for source in model.sources:
            if source not in step.materials and source not in made:
                fault = f"makes {path} from {source}, which is no material, nor made before"
                raise BadValue(fault, "models")
        made.add(path)
    if step.checked is not None and step.checked.answers != len(step.answers):
        fault = f"says {step.checked.answers} answers, but there are {len(step.answers)}"
        raise BadValue(fault, "checked")
