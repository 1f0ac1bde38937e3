"""Which source tree a run is about: the one given, the cache, the network, or what we carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bootstrap.core.errors import BadInput
from bootstrap.known import (
    EMBEDDED,
    RELEASES,
    StepFile,
    all_steps,
    arch_name,
    default_release,
    find,
    steps_of,
)
from bootstrap.sources.cache import Cache
from bootstrap.sources.download import DownloadFailed, Progress
from bootstrap.sources.embedded import embedded_source
from bootstrap.sources.fetching import how_to_get, obtain, published_sha256
from bootstrap.sources.identity import (
    Release,
    candidates,
    require_materials,
    require_nearest,
    why,
)
from bootstrap.sources.materials import MaterialsReport, check_materials
from bootstrap.sources.tree import SourceTree, open_source


@dataclass(frozen=True)
class Resolved:
    """A source tree, the step file it is held against, and how the two compare.

    ``tree.notes`` says how the tree was found, a sentence each, where a user should know.
    """

    tree: SourceTree
    step: StepFile
    materials: MaterialsReport
    image: Mapping[str, str] = field(default_factory=dict)
    """Products that make up a container image: tree path -> path in the image."""
    in_place_of: str | None = None
    """What was asked for, where this tree was taken because that could not be had."""


def resolve(
    source: str | None,
    release: str | None,
    arch: str,
    cache: Cache,
    entry: str | None = None,
    online: bool = True,
    progress: Progress | None = None,
    fallback: bool = False,
) -> Resolved:
    """Find the source, in this order:

    1. ``source``, a checkout or an archive.  Without ``release``, the release is the one in the
       catalogue that the tree is nearest to.
    2. ``release`` (or the newest) in the cache.
    3. The release from its published address, which is then cached.
    4. With ``fallback``, the embedded sources in its place; the tree's notes say why.

    ``release`` "embedded" asks for those, and nothing else is looked for.

    Raises BadInput when there is none, saying where it was looked for; when materials are missing,
    when the cache is damaged or cannot be used, or when what the published address gives is not
    the release.
    """
    arch = arch_name(arch)
    if source is not None:
        return _given(source, release, arch, entry)
    if release == EMBEDDED:
        return _embedded(
            arch, entry, f"no release of {RELEASES} was verified", f"--release {EMBEDDED}"
        )
    step = find(RELEASES, default_release() if release is None else release, arch)
    assert step.release is not None
    cache.require_usable()
    tree = cache.load(step.release)
    if tree is None and online:
        try:
            tree = _download(step, cache, progress)
        except DownloadFailed as error:
            # The cause first, and the ways out last.
            cause = str(error).removesuffix(f"; {how_to_get(step)}")
            missing = f"{cause}; {_not_at_hand(step, cache)}"
    elif tree is None:
        missing = _not_at_hand(step, cache)
    if tree is not None:
        return _compare(tree, step, entry)
    if not fallback:
        carried = any((other.name, other.arch) == (EMBEDDED, arch) for other in all_steps())
        raise BadInput(
            f"{missing}, or name it with --source PATH"
            + f"; --release {EMBEDDED} is what this program carries itself" * carried
        )
    found = _embedded(arch, entry, f"{step.title} was not verified", missing)
    return replace(found, in_place_of=f"{RELEASES} {step.release} for {arch}")


def _not_at_hand(step: StepFile, cache: Cache) -> str:
    return f"{step.name} {step.release} is not in the cache ({cache.root}); {how_to_get(step)}"


def _embedded(arch: str, entry: str | None, instead: str, why: str) -> Resolved:
    found = [other for other in all_steps() if (other.name, other.arch) == (EMBEDDED, arch)]
    if not found:
        raise BadInput(f"{why}; there are no embedded sources for {arch}")
    if entry is not None and entry not in found[0].entries:
        raise BadInput(f"{why}; the embedded sources have no entry {entry}")
    note = f"{instead}, only the embedded sources were: {why}"
    return _compare(replace(embedded_source(found[0]), notes=(note,)), found[0], entry)


def against(resolved: Resolved, arch: str, entry: str | None = None) -> Resolved:
    """The same tree, held against the same release on another architecture.

    Raises BadInput when the catalogue has none, or when materials are missing.
    """
    step = find(resolved.step.name, resolved.step.release, arch)
    return _compare(resolved.tree, step, entry)


def _given(source: str, release: str | None, arch: str, entry: str | None) -> Resolved:
    tree = open_source(source)
    if release is not None:
        step = find(RELEASES, release, arch)
    else:
        step = require_nearest(tree, arch)
    notes = tree.notes
    published = published_sha256([step])
    if tree.archive_sha256 is not None and published is not None:
        same = tree.archive_sha256 == published
        says = "has the published sha256" if same else f"has not the published sha256 {published}"
        notes = (*notes, f"the archive {says} of {step.name} {step.release}")
    found = _compare(replace(tree, release=step.release, notes=notes), step, entry)
    # A changed tree may be a mixture of releases, which is not to be seen in hashes.
    reasons = why(tree, Release.of([step]), candidates(step.arch))
    return replace(found, tree=replace(found.tree, notes=(*notes, *reasons)))


def _download(step: StepFile, cache: Cache, progress: Progress | None) -> SourceTree:
    assert step.release is not None
    tree = obtain(steps_of(step.name, step.release), None, progress)
    try:
        cache.store(tree, step.release)
    except BadInput as error:
        # The tree is good and in memory: the run need not fail for the next one's sake.
        return replace(tree, notes=(*tree.notes, f"not kept for the next run: {error}"))
    return tree


def _compare(tree: SourceTree, step: StepFile, entry: str | None) -> Resolved:
    report = check_materials(tree, step, None if entry is None else step.entry(entry))
    require_materials(tree, step, report)
    return Resolved(tree, step, report)
