"""Two source trees: files that differ, those first that the bootstrap reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bootstrap.core.errors import BadInput
from bootstrap.diff.comparison import Both, Comparison, FirstByte, first_byte, write_some
from bootstrap.documents import encode
from bootstrap.known import EMBEDDED, StepFile, all_steps
from bootstrap.languages import kaem
from bootstrap.languages.fault import LanguageError
from bootstrap.report.page import Page, visible
from bootstrap.sources import identity
from bootstrap.sources.tree import SourceTree, open_source
from bootstrap.words import count, some


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """What is at a path of one tree."""

    kind: str
    """`file`, `executable file`, `symbolic link`, `special file`."""
    sha256: str | None
    size: int | None
    target: str | None = None
    """Of a link."""


@dataclass(frozen=True)
class Different:
    """A path at which the trees differ."""

    path: str
    a: TreeEntry | None
    b: TreeEntry | None
    first_difference: FirstByte | None
    """Of two files."""
    read_by: tuple[str, ...]
    """Architectures whose bootstrap reads it."""
    seed: bool
    released: Both[bool | None]
    """Whether it is the release's; None where it is not there, or where the release has none."""
    products: tuple[str, ...]
    """What is made of it, directly or not, as far as it is known."""


@dataclass(frozen=True)
class TreeDiff:
    """All that is said of two source trees."""

    trees: Both[SourceTree]
    steps: tuple[StepFile, ...]
    """The release that both are nearest to, a step file for each architecture; perhaps none."""
    why: Both[tuple[str, ...]]
    """Why each is not quite that release."""
    same: int
    """Paths that are the same."""
    different: tuple[Different, ...]
    """Those that the bootstrap reads first, in the order of the products that need them."""


def diff(a: SourceTree, b: SourceTree) -> TreeDiff:
    """Compare two trees."""
    one, other = _entries(a), _entries(b)
    steps = _nearest(a, b)
    paths = sorted({*one, *other})
    differing = [path for path in paths if one.get(path) != other.get(path)]
    needs = _needs(a, b, steps)
    found = [_different(path, a, b, one, other, steps, needs) for path in differing]
    order = {path: index for index, path in enumerate(_order(steps, needs))}
    last = len(order)
    found.sort(key=lambda d: (not d.read_by, order.get(d.path, last), d.path))
    why: Both[tuple[str, ...]] = Both((), ())
    if steps:
        release, among = identity.KnownRelease.of(steps), identity.candidates()
        why = Both(*(identity.why(tree, release, among) for tree in (a, b)))
    return TreeDiff(Both(a, b), steps, why, len(paths) - len(differing), tuple(found))


def _entries(tree: SourceTree) -> dict[str, TreeEntry]:
    found = {}
    for path, file in tree.files.items():
        kind = "executable file" if file.executable else "file"
        found[path] = TreeEntry(kind, file.sha256, len(file.data))
    for path, target in tree.symlinks.items():
        found[path] = TreeEntry("symbolic link", None, None, target)
    for path in tree.special:
        found[path] = TreeEntry("special file", None, None)
    return found


def _different(
    path: str, a: SourceTree, b: SourceTree, one: dict[str, TreeEntry], other: dict[str, TreeEntry],
    steps: Sequence[StepFile], needs: dict[str, list[str]],
) -> Different:  # fmt: skip
    files = Both(a.files.get(path), b.files.get(path))
    where = None
    if files.a is not None and files.b is not None:
        where = first_byte(files.a.data, files.b.data)
    known = next((s.materials[path] for s in steps if path in s.materials), None)
    released: Both[bool | None] = Both(None, None)
    if known is not None:
        released = files.where_there(lambda file: file.sha256 == known)
    return Different(
        path,
        one.get(path),
        other.get(path),
        where,
        tuple(step.arch for step in steps if path in step.materials),
        any(seed.path == path for step in steps for seed in step.seeds.values()),
        released,
        _products(path, needs),
    )


# What is known of the release.


def _nearest(a: SourceTree, b: SourceTree) -> tuple[StepFile, ...]:
    """The step files of the release that both trees together are nearest to; perhaps none."""
    embedded = [step for step in all_steps() if step.name == EMBEDDED]
    found = identity.nearest([a, b], [*identity.candidates(), identity.KnownRelease.of(embedded)])
    return () if found is None else found.steps


def _needs(a: SourceTree, b: SourceTree, steps: Sequence[StepFile]) -> dict[str, list[str]]:
    """Product -> what it is made of, in the order in which products are made.

    It is what the models of the step files know, and the commands of their entries with those of
    the scripts that they lead to, as far as these are in the language of the plain kaem.
    """
    found: dict[str, list[str]] = {}
    for tree in (a, b):
        made: dict[str, list[str]] = {}
        for step in steps:
            for entry in step.entries.values():
                _commands(tree, list(entry.commands), step, made, set())
            for path, model in step.models.items():
                made.setdefault(path, []).extend(model.sources)
        for path, sources in made.items():
            found.setdefault(path, []).extend(sources)
    return {path: list(dict.fromkeys(sources)) for path, sources in found.items()}


def _commands(
    tree: SourceTree, commands: list[tuple[str, ...]], step: StepFile,
    made: dict[str, list[str]], seen: set[str],
) -> None:  # fmt: skip
    todo = commands[::-1]
    while todo:
        argv = todo.pop()
        _command(argv, step, made)
        name = argv[0].rpartition("/")[2] if argv else ""
        for path in map(_plain, argv[1:] if name.startswith("kaem") else ()):
            file = tree.files.get(path)
            if file is None or path in seen or path not in step.materials:
                continue
            seen.add(path)
            try:
                script = kaem.parse(file.data, path)
            except LanguageError:
                continue  # a script of the full kaem: its variables are not followed
            todo += [
                tuple(argument.decode("utf-8", "surrogateescape") for argument in command.arguments)
                for command in reversed(script)
            ]


def _command(argv: Sequence[str], step: StepFile, found: dict[str, list[str]]) -> None:
    """A command makes those of the known products that it names and that nobody made before."""
    files = [_plain(argument) for argument in argv]
    known = {value.path for value in step.expected()}
    makes = [path for path in files[1:] if path in known and path not in found]
    reads = [path for path in files if path in step.materials or path in found]
    for path in makes:
        found[path] = [other for other in reads if other != path]


def _plain(argument: str) -> str:
    return argument.removeprefix("./")


def _products(path: str, needs: dict[str, list[str]]) -> tuple[str, ...]:
    reached = {path}
    found = []
    for product, sources in needs.items():
        if product not in reached and reached.intersection(sources):
            reached.add(product)
            found.append(product)
    return tuple(found)


def _order(steps: Sequence[StepFile], needs: dict[str, list[str]]) -> list[str]:
    """Materials in the order in which products need them; seeds first, then the others."""
    seeds = [seed.path for step in steps for seed in step.seeds.values()]
    used = [source for sources in needs.values() for source in sources]
    rest = [path for step in steps for path in sorted(step.materials)]
    return list(dict.fromkeys([*seeds, *used, *rest]))


# For people.


def claim(found: TreeDiff) -> str:
    """One sentence."""
    if not found.different:
        return f"the trees have the same {count(found.same, 'file')}"
    read = [one for one in found.different if one.read_by]
    first = found.different[0]
    verb = "differs" if len(found.different) == 1 else "differ"
    all_paths = found.same + len(found.different)
    paths = f"{count(len(found.different), 'path')} of {all_paths} {verb}"
    if not found.steps:
        return f"{paths}; first {first.path}"
    if not read:
        return f"{paths}, none of which the bootstrap reads; first {first.path}"
    return f"{paths}, {len(read)} of which the bootstrap reads; first {first.path}"


def tree_text(found: TreeDiff, page: Page, every: bool) -> None:
    """All of it but the last word."""
    for side, tree in found.trees.sides:
        page.wrapped(f"{side}  {tree.kind} {visible(tree.label)}", 0, 3)
        page.line(f"   {count(len(tree.files), 'file')}, tree digest {tree.digest}")
    if found.steps:
        page.wrapped(f"nearest to {identity.KnownRelease.of(found.steps).title}", 3)
        for side, reasons in found.why.sides:
            for reason in reasons:
                page.wrapped(f"{side}: {visible(reason)}", 3, 3)
    read = [one for one in found.different if one.read_by]
    if read:
        page.heading(f"{count(len(read), 'path')} that the bootstrap reads")
        for one in read:
            _path(one, page)
    rest = [one for one in found.different if not one.read_by]
    if rest:
        more = " that the bootstrap does not read" if found.steps else ""
        page.heading(f"{count(len(rest), 'path')}{more}")
        write_some(page, rest, every, lambda one: _path(one, page))
    if found.different:
        page.blank()
        page.line(f"{count(found.same, 'path')} the same")


def _path(one: Different, page: Page) -> None:
    a, b = one.a, one.b
    if a is None or b is None:
        side, only = ("A", a) if a is not None else ("B", b)
        assert only is not None
        size = "" if only.size is None else f", {only.size:,} bytes"
        page.wrapped(f"{visible(one.path)}  in {side} only: {only.kind}{size}", 2, 4)
        _about(one, page)
        return
    first = one.first_difference
    what = "" if first is None else f": {first}"
    if a.kind != b.kind:
        what += f"{';' if what else ':'} {a.kind} / {b.kind}"
    elif a.target != b.target:
        what = f": leads to {visible(a.target or '')} / {visible(b.target or '')}"
    page.wrapped(f"{visible(one.path)}{what}", 2, 4)
    _about(one, page)
    if first is not None:
        for side, entry, at, released in (
            ("A", a, first.a, one.released.a),
            ("B", b, first.b, one.released.b),
        ):
            own = {True: "  (the release's)", False: "  (not the release's)", None: ""}[released]
            page.line(f"    {side}  {entry.size:,} bytes, sha256 {entry.sha256}{own}")
            page.wrapped(f"       {visible(str(at))}", 0, 9)


def _about(one: Different, page: Page) -> None:
    parts = []
    if one.read_by:
        what = "a seed" if one.seed else "read"
        parts.append(f"{what}, by the bootstrap of {', '.join(one.read_by)}" if not one.seed
                     else f"a seed of {', '.join(one.read_by)}")  # fmt: skip
    if one.products:
        parts.append(f"from it are made {some(one.products)}")
    if parts:
        page.wrapped("; ".join(parts), 6, 2)


def tree_document(found: TreeDiff) -> dict[str, Any]:
    """The same for machines."""

    def tree(one: SourceTree, why: tuple[str, ...]) -> dict[str, Any]:
        facts = {"kind": one.kind, "digest": one.digest, "files": len(one.files)}
        return {**facts, "why": list(why)}

    steps = found.steps
    return {
        "trees": {"a": tree(found.trees.a, found.why.a), "b": tree(found.trees.b, found.why.b)},
        "nearest": {"name": steps[0].name, "release": steps[0].release} if steps else None,
        "different": encode(found.different),
        "totals": {"same": found.same, "different": len(found.different)},
    }


def compare_trees(a: str, b: str) -> Comparison:
    """Compare what is at two places. Raises BadInput."""
    trees = open_source(a), open_source(b)
    for name, tree in zip((a, b), trees, strict=True):
        if not tree.files and not tree.symlinks:
            raise BadInput(f"{name}: has no files; name a checkout, or an archive of one")
    found = diff(*trees)
    return Comparison(
        "tree", not found.different, claim(found),
        lambda page, every: tree_text(found, page, every), tree_document(found),
    )  # fmt: skip
