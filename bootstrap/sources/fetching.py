"""Getting a release into the cache: from its address, a mirror, an archive or a checkout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bootstrap.core.errors import BadInput
from bootstrap.known import RELEASES, StepFile, steps_of, tree_files
from bootstrap.known.lookup import known_files
from bootstrap.sources.cache import Cache
from bootstrap.sources.download import DownloadFailed, Progress, download, is_url
from bootstrap.sources.identity import require_release
from bootstrap.sources.tree import MAX_ARCHIVE, SourceTree, open_source, read_archive


@dataclass(frozen=True)
class Fetched:
    """A release in the cache.

    ``fresh`` says whether it was put there just now; ``seen`` is what was looked at, and found to
    be the same release, when it was there already.
    """

    tree: SourceTree
    fresh: bool
    seen: str | None = None


def fetch(
    release: str,
    cache: Cache,
    from_: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
    name: str = RELEASES,
) -> Fetched:
    """Put a release into the cache, unless it is there and ``force`` is not given.

    ``from_`` is an address or a path, and looked at whatever the cache has; without it the
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
        tree = _published(steps, progress)
    elif is_url(from_):
        data = download(from_, MAX_ARCHIVE, progress)
        tree = replace(read_archive(data, from_), kind="download")
    else:
        tree = open_source(from_)
    return replace(check_release(tree, steps), release=steps[0].release)


def _published(steps: Sequence[StepFile], progress: Progress | None) -> SourceTree:
    step = steps[0]
    failures = []
    for url in step.source.urls:
        try:
            data = download(url, MAX_ARCHIVE, progress)
        except DownloadFailed as error:
            failures.append(str(error))
            continue
        return replace(read_archive(data, url), kind="download")
    tried = "; ".join(failures) or f"{step.name} {step.release} has no published address"
    raise DownloadFailed(f"{tried}; {how_to_get(step)}")


def how_to_get(step: StepFile) -> str:
    """What to do when the network does not give the release."""
    where = f" ({step.source.urls[0]})" if step.source.urls else ""
    return (
        f"get the release archive{where} or a git checkout with its submodules in another way and"
        f" run: bootstrap fetch {step.name} --release {step.release} --from PATH"
    )


def published_sha256(steps: Sequence[StepFile]) -> str | None:
    """The published SHA-256 of the release archive, where one is known."""
    return next((step.source.sha256 for step in steps if step.source.sha256), None)


def check_release(tree: SourceTree, steps: Sequence[StepFile]) -> SourceTree:
    """Raise BadInput unless the tree is the release; give back what of it belongs there.

    An archive must have the published sha256 where there is one.  Every tree is then checked file
    by file against the materials of each architecture.  Of a checkout, files that the release does
    not have are left out, where the catalogue lists what it has.
    """
    title = f"{steps[0].name} {steps[0].release}"
    published = published_sha256(steps)
    if tree.archive_sha256 is not None and published is not None:
        if tree.archive_sha256 != published:
            known = known_files().text(tree.archive_sha256)
            raise BadInput(
                f"{tree.label}: its sha256 is {tree.archive_sha256}"
                + (f" ({known})" if known else "")
                + f", but {title} was published as {published}; to have another packing of the"
                " release checked file by file, unpack it and give the folder"
            )
        require_release(tree, steps)
        return tree
    listed = tree_files(steps[0])
    require_release(tree, steps)
    if listed is None:
        return tree
    keep = listed.union(*(step.materials for step in steps))
    files = {path: file for path, file in tree.files.items() if path in keep}
    symlinks = {path: target for path, target in tree.symlinks.items() if path in keep}
    return replace(tree, files=files, symlinks=symlinks, folders=_folders({*files, *symlinks}))


def _folders(paths: set[str]) -> frozenset[str]:
    return frozenset(path[:at] for path in paths for at, char in enumerate(path) if char == "/")
