"""Checkouts of live-bootstrap and StageX in the cache, each under its commit.

What is kept of one are the files that git keeps track of, each with the content that the checkout's
index has, and of ``.git`` only which commit it is (``HEAD``) and which commits it pins for its
submodules (an index with nothing else in it).  Laid out again it is a checkout to read, as complete
as the hand-off needs it.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

from bootstrap.errors import BadInput
from bootstrap.sources.cache import Cache
from bootstrap.sources.fetching import Fetched
from bootstrap.sources.gitfiles import (
    GITLINK,
    LINK,
    PROGRAM,
    IndexEntry,
    blob_sha1,
    read_head,
    read_index,
    write_index,
)
from bootstrap.sources.materials import named
from bootstrap.sources.tree import SourceFile, SourceTree, read_folder

LIVE_BOOTSTRAP, STAGEX_TREE = "live-bootstrap", "stagex"
NAMES = (LIVE_BOOTSTRAP, STAGEX_TREE)

ADDRESSES = MappingProxyType(
    {
        LIVE_BOOTSTRAP: "https://github.com/fosslinux/live-bootstrap",
        STAGEX_TREE: "https://codeberg.org/stagex/stagex",
    }
)
# What the product reads of a checkout: of StageX, which has a thousand packages, these.
_KEPT = MappingProxyType({STAGEX_TREE: ("packages/bootstrap/", "digests/", "MAINTAINERS")})
# What tells that a checkout is of what it is said to be.
_MARKS = MappingProxyType(
    {
        LIVE_BOOTSTRAP: "steps/manifest",
        STAGEX_TREE: "packages/bootstrap/stage0/Containerfile",
    }
)
# Commit -> digest of the tree that is kept of it.  Taken on 2026-11-28 from clones in which git
# itself found nothing changed (git status, git fsck).
KNOWN = MappingProxyType(
    {
        "984b832224ed9ea701c38e70cf703c6a2aa33243": (
            "f3cb682f0b33e09e674209251f4119abf9653b5b8393e1a53eb341080af3e834"
        ),
        "e8b3a381c01126b04f6ef7ee62394197ec135a46": (
            "60c29a0a60af154645685b575295018f19929dea326807084677a67b35f8625d"
        ),
    }
)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def fetch_checkout(
    name: str, from_: str | None, cache: Cache, wanted: str | None = None, force: bool = False
) -> Fetched:
    """Put a checkout into the cache, unless its commit is there and ``force`` is not given.

    The checkout that ``from_`` names is looked at whatever the cache has.

    ``wanted`` is the commit that it should be at, if that matters.  Raises BadInput: no checkout,
    or one that was changed, or is at another commit; a cache that cannot be written, or is damaged.
    """
    if from_ is None:
        if wanted is not None and not force and (tree := load_checkout(name, wanted, cache)):
            return Fetched(tree, fresh=False)
        raise BadInput(
            f"{name} is taken from a checkout: git clone {ADDRESSES[name]}, then bootstrap fetch"
            f" {name} --from DIR"
        )
    folder = Path(from_)
    commit = read_head(folder)
    if wanted is not None and wanted != commit:
        raise BadInput(f"{from_}: is at commit {commit}, not at {wanted}: git checkout {wanted}")
    tree = read_checkout(name, folder, commit)
    known = KNOWN.get(commit)
    if known is not None and tree.digest != known:
        raise BadInput(
            f"{from_}: says that it is at commit {commit}, and has other files than that commit"
            f" (tree digest {tree.digest}, not {known}): git reset --hard {commit}"
        )
    if not force and (present := load_checkout(name, commit, cache)):
        return Fetched(present, fresh=False, seen=from_)
    cache.store(tree, commit, name)
    if known is None:
        tree = tree.but(
            notes=(
                "the files are as git's index has them, and the commit is the one that .git names:"
                " no value of that commit is known here to hold them against",
            )
        )
    return Fetched(tree, fresh=True)


def read_checkout(name: str, folder: Path, commit: str) -> SourceTree:
    """What is kept of a checkout.  Raises BadInput unless each file is as git's index has it."""
    entries = read_index(folder)
    if entries is None:
        raise BadInput(f"{folder}: git has no index in it: git read-tree HEAD")
    there = read_folder(folder)
    kept = _KEPT.get(name, ("",))
    files: dict[str, SourceFile] = {}
    symlinks: dict[str, str] = {}
    pins: list[IndexEntry] = []
    wrong: list[str] = []
    for entry in entries:
        if entry.mode == GITLINK:
            pins.append(entry)
        elif not entry.path.startswith(kept):
            continue
        elif entry.mode == LINK and entry.path in there.symlinks:
            symlinks[entry.path] = there.symlinks[entry.path]
            if blob_sha1(_bytes(symlinks[entry.path])) != entry.sha1:
                wrong.append(entry.path)
        elif entry.mode != LINK and entry.path in there.files:
            data = there.files[entry.path].data
            files[entry.path] = SourceFile(data, entry.mode == PROGRAM)
            if blob_sha1(data) != entry.sha1:
                wrong.append(entry.path)
        else:
            wrong.append(entry.path)
    if wrong:
        raise BadInput(
            f"{folder}: is changed since commit {commit}: {named(wrong)}; take it back (git stash)"
            " or give another checkout"
        )
    if _MARKS[name] not in files:
        raise BadInput(
            f"{folder}: is no checkout of {name} ({ADDRESSES[name]}): git has no {_MARKS[name]}"
            " in it"
        )
    files[".git/HEAD"] = SourceFile(f"{commit}\n".encode())
    files[".git/index"] = SourceFile(write_index(pins))
    return SourceTree("folder", str(folder), files, symlinks, release=commit)


def load_checkout(name: str, commit: str, cache: Cache) -> SourceTree | None:
    """The tree in the cache, verified as every tree there; None when it is not there.

    Raises BadInput when it was changed.
    """
    tree = cache.load(commit, name)
    if tree is None:
        return None
    known = KNOWN.get(commit, tree.digest)
    if tree.digest != known or tree.files[".git/HEAD"].data != f"{commit}\n".encode():
        raise BadInput(
            f"the cache of {name} {commit} in {cache.folder(commit, name)} was changed: it is"
            f" another tree; replace it with: bootstrap fetch {name} --from DIR --force"
        )
    return tree


@contextlib.contextmanager
def checkout_at(
    given: str | None, name: str, cache: Cache, tell: Callable[[str], object] | None = None
) -> Iterator[Path]:
    """The folder that ``given`` names; or a checkout of the cache, laid out for as long as this.

    ``given`` may be a commit; without it the cache must have one commit only.  ``tell`` hears
    which one was taken of the cache.  Raises BadInput.
    """
    if given is not None and (Path(given).exists() or not _COMMIT.fullmatch(given)):
        yield Path(given)
        return
    tree = _cached(given, name, cache)
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as place:
        folder = Path(place) / name
        _lay_out(folder, tree)
        if tell is not None:
            tell(f"{name} {tree.release}, from the cache")
        yield folder


def _cached(commit: str | None, name: str, cache: Cache) -> SourceTree:
    there = cache.releases(name)
    if commit is None and len(there) > 1:
        raise BadInput(
            f"the cache has several commits of {name}: give --{name} with one of {', '.join(there)}"
        )
    if commit is None and there:
        commit = there[0]
    tree = None if commit is None else load_checkout(name, commit, cache)
    if tree is None:
        raise BadInput(
            f"{name}{f' {commit}' if commit else ''} is not in the cache: git clone"
            f" {ADDRESSES[name]} and give --{name} DIR, or put it there with bootstrap fetch {name}"
            " --from DIR"
        )
    return tree


def _lay_out(folder: Path, tree: SourceTree) -> None:
    try:
        for path, file in tree.files.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.data)
            place.chmod(0o755 if file.executable else 0o644)
        for path, target in tree.symlinks.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(target)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be laid out: {error.strerror}") from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
