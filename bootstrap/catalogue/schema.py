"""What a step file says, as frozen values, and the strict reading of one.

A step file is TOML 1.0.  Everything in it is checked when it is read: an unknown key, a wrong
type, a hash that is no hash, a path that is not in its plain form, a duplicate.  Each error is a
:class:`~bootstrap.errors.BadInput` that names the file, the line where it can be told, and the key.
"""

from __future__ import annotations

import datetime
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bootstrap.catalogue.reading import Table
from bootstrap.errors import BadInput

SCHEMA = 1
MODELLED = ("hex0", "hex1", "hex2", "M0", "catm")
"""The languages whose models make a product."""

_CHECKED = re.compile(r"(\d{4}-\d{2}-\d{2}), all ([1-9]\d*) answers")


@dataclass(frozen=True)
class Known:
    """A known-good value: the SHA-256 of the file at ``path`` and where that value comes from."""

    path: str
    sha256: str
    from_: str


@dataclass(frozen=True)
class Seed:
    """A binary that a run starts from: its path in the tree, its size in bytes, its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """One way into the bootstrap: the commands started one after another, argv by argv.

    ``hidden`` paths are taken from the guest's sight, ``cwd`` is where it starts (a tree path,
    ``""`` is the top), ``environment`` is its whole environment.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    hidden: tuple[str, ...] = ()
    cwd: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Where upstream publishes the tree: addresses, the archive's SHA-256 if any was published."""

    commit: str | None = None
    urls: tuple[str, ...] = ()
    sha256: str | None = None
    submodules: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checked:
    """A whole run of ``bootstrap verify`` that was ``verified``: its date, and the answers it met.

    In a step file: ``checked = "2026-11-22, all 19 answers"``.
    """

    date: datetime.date
    answers: int

    def __str__(self) -> str:
        return f"{self.date.isoformat()}, all {self.answers} answers"


@dataclass(frozen=True)
class Modelled:
    """What a language model makes of sources, for a product: a second opinion on its content.

    In a step file: ``catm = {language = "hex2", sources = ["catm.hex2"]}`` in ``[models]``; the
    sources are materials, or products that stand before it in the table.
    """

    language: str
    sources: tuple[str, ...]


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

    file: str
    name: str
    release: str | None
    arch: str
    seeds: Mapping[str, Seed]
    entries: Mapping[str, Entry]
    materials: Mapping[str, str]
    source: Source = Source()
    directories: tuple[str, ...] = ()
    answers: Mapping[str, str] = field(default_factory=dict)
    answers_from: str = ""
    native: Mapping[str, str] = field(default_factory=dict)
    native_from: str = ""
    catalogue: Mapping[str, str] = field(default_factory=dict)
    catalogue_from: str = ""
    tree_files: str | None = None
    materials_from: str = ""
    checked: Checked | None = None
    notes: tuple[str, ...] = ()
    sha256: str = ""
    models: Mapping[str, Modelled] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name that users see: ``stage0-posix 1.9.1 x86``."""
        return " ".join(part for part in (self.name, self.release, self.arch) if part)

    def known(self) -> tuple[Known, ...]:
        """Every known-good value: the answers in upstream's order, then native, then catalogue.

        A path may come up more than once, when two sources of values know it.
        """
        tables = (
            (self.answers, self.answers_from),
            (self.native, self.native_from),
            (self.catalogue, self.catalogue_from),
        )
        return tuple(
            Known(path, sha256, from_) for table, from_ in tables for path, sha256 in table.items()
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


def parse(text: str, file: str) -> StepFile:
    """Read one step file from its text; ``file`` is its name, used in errors only."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{file}: not valid TOML: {error}") from None
    except RecursionError:
        raise BadInput(f"{file}: not valid TOML: nested too deep") from None
    top = Table(data, file, text)
    schema = top.integer("schema")
    if schema != SCHEMA:
        raise top.error("schema", f"is {schema}; this version reads schema {SCHEMA}")
    step = StepFile(
        file=file,
        name=top.word("name"),
        release=top.optional_word("release"),
        arch=top.word("arch"),
        source=_source(top.optional_table("source")),
        directories=top.paths("directories"),
        seeds=_seeds(top.table("seeds")),
        entries=_entries(top.table("entries")),
        materials=_hashes(top.table("materials")),
        answers=_hashes(top.optional_table("answers")),
        answers_from=top.text("answers_from", ""),
        native=_hashes(top.optional_table("native")),
        native_from=top.text("native_from", ""),
        catalogue=_hashes(top.optional_table("catalogue")),
        catalogue_from=top.text("catalogue_from", ""),
        tree_files=top.optional_word("tree_files"),
        materials_from=top.text("materials_from", ""),
        checked=_checked(top),
        notes=top.texts("notes"),
        models=_models(top.optional_table("models")),
    )
    top.done()
    _check_whole(step, top)
    return step


def _checked(top: Table) -> Checked | None:
    text = top.text("checked", "")
    if "checked" not in top:
        return None
    match = _CHECKED.fullmatch(text)
    if match is None:
        raise top.error("checked", f'is {text!r}; it must be like "2026-11-22, all 19 answers"')
    try:
        date = datetime.date.fromisoformat(match.group(1))
    except ValueError:
        raise top.error("checked", f"has no date of the calendar: {match.group(1)}") from None
    return Checked(date, int(match.group(2)))


def _source(table: Table | None) -> Source:
    if table is None:
        return Source()
    submodules = table.optional_table("submodules")
    commits = {} if submodules is None else {n: submodules.commit(n) for n in submodules}
    sha256 = table.sha256("sha256") if "sha256" in table else None
    commit = table.commit("commit") if "commit" in table else None
    urls = table.texts("urls")
    for url in urls:
        if not url.startswith("https://"):
            raise table.error("urls", f"has {url!r}, which is not an https address")
    table.done()
    return Source(commit, urls, sha256, MappingProxyType(commits))


def _seeds(table: Table) -> Mapping[str, Seed]:
    seeds = {}
    for name in table:
        row = table.table(name)
        seeds[name] = Seed(row.path("path"), row.integer("size"), row.sha256("sha256"))
        row.done()
    return MappingProxyType(seeds)


def _entries(table: Table) -> Mapping[str, Entry]:
    entries = {}
    for name in table:
        row = table.table(name)
        cwd = row.path("cwd") if "cwd" in row else ""
        environment = row.optional_table("environment")
        variables = {} if environment is None else {k: environment.text(k) for k in environment}
        entries[name] = Entry(
            name, row.commands("commands"), row.paths("hidden"), cwd, MappingProxyType(variables)
        )
        row.done()
    if not entries:
        raise table.error("", "has no entry; a step needs at least one way in")
    return MappingProxyType(entries)


def _hashes(table: Table | None) -> Mapping[str, str]:
    if table is None:
        return MappingProxyType({})
    values = {}
    for path in table:
        table.check_path(path, path)
        values[path] = table.sha256(path)
    return MappingProxyType(values)


def _models(table: Table | None) -> Mapping[str, Modelled]:
    if table is None:
        return MappingProxyType({})
    models = {}
    for path in table:
        table.check_path(path, path)
        row = table.table(path)
        language = row.word("language")
        if language not in MODELLED:
            raise row.error("language", f"is {language!r}; known are {', '.join(MODELLED)}")
        models[path] = Modelled(language, row.paths("sources"))
        row.done()
    return MappingProxyType(models)


def _check_whole(step: StepFile, top: Table) -> None:
    """What no single key can tell: that the parts of a step file agree with one another."""
    for table, from_ in (
        ("answers", step.answers_from),
        ("native", step.native_from),
        ("catalogue", step.catalogue_from),
    ):
        if getattr(step, table) and not from_:
            raise top.error(
                table, f"has values, but {table}_from does not say where they come from"
            )
    for name, seed in step.seeds.items():
        listed = step.materials.get(seed.path)
        if listed is None:
            raise top.error("materials", f"lacks {seed.path}, which seeds.{name} names")
        if listed != seed.sha256:
            raise top.error("materials", f"has another sha256 for {seed.path} than seeds.{name}")
    for path, sha256 in step.answers.items():
        if step.materials.get(path, sha256) != sha256:
            raise top.error("materials", f"has another sha256 for {path} than answers")
    made: set[str] = set()
    for path, model in step.models.items():
        for source in model.sources:
            if source not in step.materials and source not in made:
                raise top.error(
                    "models", f"makes {path} from {source}, which is no material, nor made before"
                )
        made.add(path)
    if step.checked is not None and step.checked.answers != len(step.answers):
        raise top.error(
            "checked", f"says {step.checked.answers} answers, but there are {len(step.answers)}"
        )
