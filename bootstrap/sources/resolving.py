"""Which source tree a run is about: the one given, the cache, the network, or what we carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.known import (
    EMBEDDED,
    RELEASES,
    StepFile,
    all_steps,
    arch_name,
    data_dir,
    default_release,
    find,
    steps_of,
    tree_files,
)
from bootstrap.known.lookup import known_files
from bootstrap.sources.addresses import DownloadFailed, Progress
from bootstrap.sources.cache import Cache
from bootstrap.sources.identity import (
    KnownRelease,
    candidates,
    require_materials,
    require_nearest,
    require_release,
    why,
)
from bootstrap.sources.materials import MaterialsReport, check_materials
from bootstrap.sources.tree import MAX_ARCHIVE, SourceTree, open_source, parents, read_archive


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


@dataclass(frozen=True)
class Fetched:
    """A release in the cache.

    ``fresh`` says whether it was put there just now; ``seen`` is what was read, and found to be the
    same release, when it was there already.
    """

    tree: SourceTree
    fresh: bool
    seen: str | None = None


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

    1. ``source``: whatever `open_source` takes.  Without ``release``, the release is the one in the
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
        return _given(source, release, arch, entry, progress)
    if release == EMBEDDED:
        return _embedded(
            arch, entry, f"no release of {RELEASES} was verified", f"--release {EMBEDDED}"
        )
    step = find(RELEASES, default_release() if release is None else release, arch)
    assert step.release is not None
    cache.require_usable()
    tree, cause = cache.load(step.release), ""
    if tree is None and online:
        try:
            tree = obtain(steps_of(step.name, step.release), None, progress)
        except DownloadFailed as error:
            # The cause first, and what to do about it last.
            cause = str(error).removesuffix(f"; {_how_to_get(step)}") + "; "
        else:
            try:
                cache.store(tree, step.release)
            except BadInput as error:
                # The tree is good and in memory: the run need not fail for the next one's sake.
                tree = tree.but(notes=(*tree.notes, f"not kept for the next run: {error}"))
    if tree is not None:
        return _compare(tree, step, entry)
    missing = (
        f"{cause}{step.name} {step.release} is not in the cache ({cache.root}); {_how_to_get(step)}"
    )
    if not fallback:
        carried = any((other.name, other.arch) == (EMBEDDED, arch) for other in all_steps())
        raise BadInput(
            f"{missing}, or name it with --source PATH"
            + f"; --release {EMBEDDED} is what this program carries itself" * carried
        )
    found = _embedded(arch, entry, f"{step.title} was not verified", missing)
    return replace(found, in_place_of=f"{RELEASES} {step.release} for {arch}")


def against(resolved: Resolved, arch: str, entry: str | None = None) -> Resolved:
    """The same tree, held against the same release on another architecture.

    Raises BadInput when the catalogue has none, or when materials are missing.
    """
    step = find(resolved.step.name, resolved.step.release, arch)
    return _compare(resolved.tree, step, entry)


def _compare(tree: SourceTree, step: StepFile, entry: str | None) -> Resolved:
    report = check_materials(tree, step, None if entry is None else step.entry(entry))
    require_materials(tree, step, report)
    return Resolved(tree, step, report)


def _given(
    source: str, release: str | None, arch: str, entry: str | None, progress: Progress | None
) -> Resolved:
    tree = open_source(source, progress)
    step = require_nearest(tree, arch) if release is None else find(RELEASES, release, arch)
    notes, published = tree.notes, step.source.sha256
    if tree.archive_sha256 is not None and published is not None:
        same = tree.archive_sha256 == published
        says = "has the published sha256" if same else f"has not the published sha256 {published}"
        notes = (*notes, f"the archive {says} of {step.name} {step.release}")
    found = _compare(tree.but(release=step.release), step, entry)
    # A changed tree may be a mixture of releases, which is not to be seen in hashes.
    reasons = why(tree, KnownRelease.of([step]), candidates(step.arch))
    return replace(found, tree=found.tree.but(notes=(*notes, *reasons)))


def embedded_source(step: StepFile) -> SourceTree:
    """The sources that this installation carries, for an embedded step file.

    Each material is ``seeds/<arch>/<path>``: enough for phase 0 anywhere, offline. Raises BadInput
    when one cannot be read.
    """
    folder = data_dir("seeds") / step.arch
    seeds = {seed.path for seed in step.seeds.values()}
    files = {}
    for path in step.materials:
        try:
            data = folder.joinpath(path).read_bytes()
        except OSError as error:
            raise BadInput(
                f"seeds/{step.arch}/{path}: cannot be read: {error.strerror}; install again"
            ) from None
        files[path] = SourceFile(data, path in seeds)
    return SourceTree("the embedded sources", files, kind="embedded")


def _embedded(arch: str, entry: str | None, instead: str, why: str) -> Resolved:
    found = [other for other in all_steps() if (other.name, other.arch) == (EMBEDDED, arch)]
    if not found:
        raise BadInput(f"{why}; there are no embedded sources for {arch}")
    if entry is not None and entry not in found[0].entries:
        raise BadInput(f"{why}; the embedded sources have no entry {entry}")
    note = f"{instead}, only the embedded sources were: {why}"
    return _compare(embedded_source(found[0]).but(notes=(note,)), found[0], entry)


# -- getting a release: from its address, a mirror, an archive or a checkout ----------------------


def fetch(
    release: str,
    cache: Cache,
    from_: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    name: str = RELEASES,
) -> Fetched:
    """Put a release into the cache, unless it is there and ``force`` is not given.

    ``from_`` is an address or a path, and is read whatever the cache has; without it the
    published address is used, if the release is not in the cache.  Raises BadInput
    when the release is not known, when what was found is not that release, when the cache cannot
    be written, or when it holds the release but damaged and ``force`` is not given.
    """
    steps = steps_of(name, release)
    given = None if from_ is None else obtain(steps, from_, progress)
    if not force and (present := cache.load(release, name)) is not None:
        return Fetched(present, fresh=False, seen=from_)
    tree = given or obtain(steps, None, progress)
    cache.store(tree, release, name)
    return Fetched(tree, fresh=True)


def obtain(
    steps: Sequence[StepFile], from_: str | None = None, progress: Progress | None = None
) -> SourceTree:
    """The tree of the release that ``steps`` are about, judged but not stored."""
    if from_ is None:
        tree = _published(steps[0], progress)
    else:
        tree = open_source(from_, progress)
    return check_release(tree, steps).but(release=steps[0].release)


def download(url: str, limit: int, progress: Progress | None = None) -> bytes:
    """As `bootstrap.sources.download.download`; until then no module of the network is loaded."""
    from bootstrap.sources.download import download as now

    return now(url, limit, progress)


def _published(step: StepFile, progress: Progress | None) -> SourceTree:
    failures = []
    for url in step.source.urls:
        try:
            data = download(url, MAX_ARCHIVE, progress)
        except DownloadFailed as error:
            failures.append(str(error))
            continue
        return read_archive(data, url).but(kind="download")
    tried = "; ".join(failures) or f"{step.name} {step.release} has no published address"
    raise DownloadFailed(f"{tried}; {_how_to_get(step)}")


def _how_to_get(step: StepFile) -> str:
    """What to do when the network does not give the release."""
    where = f" ({step.source.urls[0]})" if step.source.urls else ""
    return (
        f"get the release archive{where} or a git checkout with its submodules in another way and"
        f" run: bootstrap fetch {step.name} --release {step.release} --from PATH"
    )


def check_release(tree: SourceTree, steps: Sequence[StepFile]) -> SourceTree:
    """Raise BadInput unless the tree is the release; give back what of it belongs there.

    An archive must have the published sha256 where there is one.  Every tree is then checked file
    by file against the materials of each architecture.  Of a checkout, files that the release does
    not have are left out, where the catalogue lists what it has.
    """
    title = f"{steps[0].name} {steps[0].release}"
    published = next((step.source.sha256 for step in steps if step.source.sha256), None)
    is_packed = tree.archive_sha256 is not None and published is not None
    if is_packed and tree.archive_sha256 != published:
        known = known_files().text(str(tree.archive_sha256))
        raise BadInput(
            f"{tree.label}: its sha256 is {tree.archive_sha256}"
            + (f" ({known})" if known else "")
            + f", but {title} was published as {published}; to have another packing of the"
            " release checked file by file, unpack it and give the folder"
        )
    require_release(tree, steps)
    listed = tree_files(steps[0])
    if is_packed or listed is None:
        return tree
    keep = listed.union(*(step.materials for step in steps))
    files = {path: file for path, file in tree.files.items() if path in keep}
    symlinks = {path: target for path, target in tree.symlinks.items() if path in keep}
    folders = frozenset(folder for path in (*files, *symlinks) for folder in parents(path))
    return tree.but(files=files, symlinks=symlinks, folders=folders)
