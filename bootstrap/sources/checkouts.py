"""Checkouts of live-bootstrap and StageX: which one it is, and the cache's, each under its commit.

What is kept of one are the files of its commit, and of ``.git`` only which commit it is (``HEAD``)
and which commits it pins for its submodules (an index with nothing else in it).  Laid out again it
is a checkout to read, as complete as the hand-off needs it.  Where there is no ``.git`` (``git
archive``, a ZIP of GitHub's) what is used is kept, under its digest.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from bootstrap.core.errors import BadInput
from bootstrap.core.release import MAX_BYTES, SourceFile, as_bytes, as_text, read_file
from bootstrap.known import RELEASES, releases
from bootstrap.signals import scratch_folder
from bootstrap.sources.addresses import is_url
from bootstrap.sources.cache import Cache
from bootstrap.sources.git import (
    GITLINK,
    LINK,
    PROGRAM,
    IndexEntry,
    blob_sha1,
    commit_files,
    read_head,
    write_index,
)
from bootstrap.sources.materials import named
from bootstrap.sources.resolving import Fetched
from bootstrap.sources.tree import SourceTree, folder_of, lay_out, read_folder

LIVE_BOOTSTRAP, STAGEX_TREE = "live-bootstrap", "stagex"
BUILDER_HEX0, STAGE0 = "builder-hex0", "stage0"
NAMES = (LIVE_BOOTSTRAP, STAGEX_TREE, BUILDER_HEX0, STAGE0)

ADDRESSES = MappingProxyType(
    {
        LIVE_BOOTSTRAP: "https://github.com/fosslinux/live-bootstrap",
        STAGEX_TREE: "https://codeberg.org/stagex/stagex",
        BUILDER_HEX0: "https://github.com/ironmeld/builder-hex0",
        STAGE0: "https://github.com/oriansj/stage0",
    }
)
# What the product uses of a checkout: of StageX, which has a thousand packages, little.  Of seed
# only the files: stage0-posix below it is identified by itself.  The configuration is ours.
_USED = MappingProxyType(
    {
        LIVE_BOOTSTRAP: ("seed", "steps"),
        STAGEX_TREE: ("packages/bootstrap", "digests", "MAINTAINERS"),
        BUILDER_HEX0: ("builder-hex0-x86-stage1.hex0", "builder-hex0-x86-stage2.hex0"),
        STAGE0: ("stage0", "stage1", "stage2", "High_level_prototypes/defs", "test"),
    }
)
_FLAT, CONFIGURATION = "seed", "steps/bootstrap.cfg"
# By which file a checkout is known for what it is said to be.
_MARKS = MappingProxyType(
    {
        LIVE_BOOTSTRAP: "steps/manifest",
        STAGEX_TREE: "packages/bootstrap/stage0/Containerfile",
        BUILDER_HEX0: "builder-hex0-x86-stage2.hex0",
        STAGE0: "stage1/stage1_assembler-0.hex0",
    }
)
# Commit -> digest of the tree that is kept of it.  Taken on 2026-11-28 (the last three: 2026-12-01)
# from clones in which git itself found nothing changed (git status, git fsck).
KNOWN = MappingProxyType(
    {
        "984b832224ed9ea701c38e70cf703c6a2aa33243": (
            "f3cb682f0b33e09e674209251f4119abf9653b5b8393e1a53eb341080af3e834"
        ),
        "e8b3a381c01126b04f6ef7ee62394197ec135a46": (
            "60c29a0a60af154645685b575295018f19929dea326807084677a67b35f8625d"
        ),
        "b8a2047910d47c62fe65bcd762f6c747c45c7549": (
            "558748cb42a3cda50235244204bb8d172690204edbacc3e8cb8483816d3061f2"
        ),
        "eaae43450163ccaea676f2a3c975484980e16b38": (
            "626e472462e19b072f0b0b03352592aa9fff41dbb1fe63096fd85b56748df470"
        ),
        "59d044b0c09657a5ff139e09395e9a47b898da7c": (
            "7a99899d8c15af38bcef35b6e770199e12644304d56452950fef7a08cb5e2938"
        ),
    }
)
_KEY = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def has_known_value(name: str, release: str) -> bool:
    """Whether what the cache has as that is held against more than its own manifest."""
    return release in (releases() if name == RELEASES else KNOWN)


class CheckedOut(NamedTuple):
    """A checkout to read; ``commit`` where it is of the cache, whose files are that commit's."""

    folder: Path
    commit: str | None = None


@dataclass(frozen=True)
class Identity:
    """Which checkout a result is of: ``digest`` is the tree digest of the ``files`` that are used.

    ``commit`` is the one that git says it is at.  ``changed`` are used files that are not that
    commit's (other content, added, gone); None where that cannot be said, and ``unknown`` says why.
    """

    digest: str
    files: int
    commit: str | None
    changed: tuple[str, ...] | None
    unknown: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it is, unchanged, a commit that is known here."""
        return self.commit in KNOWN and self.changed == ()

    @property
    def text(self) -> str:
        """Commit and changes, in a few words."""
        if self.commit is None or self.changed is None:
            at = f"commit {self.commit}; " if self.commit else ""
            return f"{at}its files cannot be held against a commit: {self.unknown}"
        if not self.changed:
            return f"commit {self.commit}, no file changed"
        files = "1 file" if len(self.changed) == 1 else f"{len(self.changed)} files"
        return f"commit {self.commit}, and {files} CHANGED: {named(self.changed)}"


def identify_checkout(name: str, at: CheckedOut) -> Identity:
    """Look at what is used, and at git's own files, without git.  Raises BadInput: unreadable."""
    tree = read_used(name, at.folder)
    digest, number = tree.digest, len(tree.files) + len(tree.symlinks)
    if at.commit in KNOWN:
        return Identity(digest, number, at.commit, ())
    if at.commit is not None:
        why = "they are the cache's, which keeps no objects of git's"
        return Identity(digest, number, at.commit, None, why)
    if not os.path.lexists(at.folder / ".git"):
        return Identity(digest, number, None, None, "there is no .git")
    commit = None
    try:
        commit = read_head(at.folder)
        entries = {e.path: e for e in commit_files(at.folder, commit) if _is_used(name, e)}
    except BadInput as error:
        return Identity(digest, number, commit, None, str(error))
    found = {*tree.files, *tree.symlinks, *entries}
    return Identity(
        digest,
        number,
        commit,
        tuple(sorted(path for path in found if not _is_as_in(tree, path, entries.get(path)))),
    )


def _is_used(name: str, entry: IndexEntry) -> bool:
    return entry.mode != GITLINK and _is_used_path(name, entry.path)


def _is_used_path(name: str, path: str) -> bool:
    top = next((top for top in _USED[name] if path == top or path.startswith(f"{top}/")), None)
    deep = top == _FLAT and path.count("/") > 1
    return top is not None and not deep and path != CONFIGURATION


def _is_as_in(tree: SourceTree, path: str, entry: IndexEntry | None) -> bool:
    if entry is None:
        return False
    if entry.mode == LINK:
        target = tree.symlinks.get(path)
        return target is not None and blob_sha1(as_bytes(target)) == entry.sha1
    file = tree.files.get(path)
    if file is None or file.executable != (entry.mode == PROGRAM):
        return False
    return blob_sha1(file.data) == entry.sha1


def read_used(name: str, folder: Path) -> SourceTree:
    """What the product uses of a checkout, whatever git knows of it.  Raises BadInput."""
    files: dict[str, SourceFile] = {}
    symlinks: dict[str, str] = {}
    for top in _USED[name]:
        place = folder / top
        try:
            mode = place.lstat().st_mode
            is_folder = place.is_dir()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise BadInput(f"{place}: cannot be read: {error.strerror}") from None
        if is_folder:
            there = read_folder(place)
            used = {p for p in (*there.files, *there.symlinks) if _is_used_path(name, f"{top}/{p}")}
            files.update((f"{top}/{p}", file) for p, file in there.files.items() if p in used)
            symlinks.update((f"{top}/{p}", to) for p, to in there.symlinks.items() if p in used)
        elif stat.S_ISLNK(mode):
            symlinks[top] = as_text(os.fsencode(os.readlink(place)))
        elif stat.S_ISREG(mode):
            files[top] = SourceFile(read_file(place, MAX_BYTES, follow=False), bool(mode & 0o111))
    return SourceTree(str(folder), files, symlinks)


def fetch_checkout(
    name: str, from_: str | None, cache: Cache, wanted: str | None = None, force: bool = False
) -> Fetched:
    """Put a checkout into the cache, unless its commit is there and ``force`` is not given.

    The checkout that ``from_`` names is read whatever the cache has.  ``wanted`` is the commit that
    it should be at (without ``.git``, the digest it should have), if that matters.  Raises
    BadInput: no checkout, or one that was changed, or is at another commit; a cache that cannot be
    written, or is damaged.
    """
    if from_ is None:
        if wanted is not None and not force and (tree := load_checkout(name, wanted, cache)):
            return Fetched(tree, fresh=False)
        raise BadInput(
            f"{name} is taken from a checkout: git clone {ADDRESSES[name]}, then bootstrap fetch"
            f" {name} --from DIR"
        )
    with folder_of(from_) as folder:
        return _fetch_from(folder, name, from_, cache, wanted, force)


def _fetch_from(
    folder: Path, name: str, from_: str, cache: Cache, wanted: str | None, force: bool
) -> Fetched:
    """`fetch_checkout` of the folder that ``from_`` is, or was laid out as."""
    notes: tuple[str, ...] = ()
    if os.path.lexists(folder / ".git"):
        key = read_head(folder)
        if wanted is not None and wanted != key:
            raise BadInput(f"{from_}: is at commit {key}, not at {wanted}: git checkout {wanted}")
        tree = read_checkout(name, folder, key)
        known = KNOWN.get(key)
        if known is None:
            notes = (
                "the files are those of the commit that .git names, by git's own SHA-1:"
                " no value of that commit is known here to hold them against",
            )
        elif tree.digest != known:
            raise BadInput(
                f"{from_}: says that it is at commit {key}, and has other files than that commit"
                f" (tree digest {tree.digest}, not {known}): git reset --hard {key}"
            )
    else:
        tree = read_used(name, folder)
        key = tree.digest
        _require_mark(name, from_, tree)
        if wanted is not None and wanted != key:
            raise BadInput(f"{from_}: has the digest {key}, not {wanted}, and no .git")
        notes = ("there is no .git: nothing says which commit it is, and it goes by its digest",)
    if not force and (present := load_checkout(name, key, cache)):
        if present.digest != tree.digest:
            raise _changed(name, key, cache)
        return Fetched(present, fresh=False, seen=from_)
    cache.store(tree, key, name)
    return Fetched(tree.but(release=key, notes=notes, label=from_), fresh=True)


def _require_mark(name: str, label: Path | str, tree: SourceTree) -> None:
    if _MARKS[name] not in tree.files:
        raise BadInput(
            f"{label}: is no checkout of {name} ({ADDRESSES[name]}): there is no {_MARKS[name]}"
            " in it"
        )


def read_checkout(name: str, folder: Path, commit: str) -> SourceTree:
    """What is kept of a checkout.  Raises BadInput unless each file is that of the commit."""
    there = read_folder(folder) if name == LIVE_BOOTSTRAP else read_used(name, folder)
    files: dict[str, SourceFile] = {}
    symlinks: dict[str, str] = {}
    pins: list[IndexEntry] = []
    wrong: list[str] = []
    for entry in commit_files(folder, commit):
        path = entry.path
        if entry.mode == GITLINK:
            pins.append(entry)
        elif name == LIVE_BOOTSTRAP or _is_used(name, entry):
            if not _is_as_in(there, path, entry):
                wrong.append(path)
            elif entry.mode == LINK:
                symlinks[path] = there.symlinks[path]
            else:
                files[path] = there.files[path]
    if wrong:
        raise BadInput(
            f"{folder}: is changed since commit {commit}: {named(wrong)}; take it back (git stash)"
            " or give another checkout"
        )
    tree = SourceTree(str(folder), files, symlinks, release=commit)
    _require_mark(name, folder, tree)
    files[".git/HEAD"] = SourceFile(f"{commit}\n".encode())
    files[".git/index"] = SourceFile(write_index(pins))
    return tree


def load_checkout(name: str, commit: str, cache: Cache) -> SourceTree | None:
    """The tree in the cache, verified as every tree there; None when it is not there.

    ``commit`` is a digest where there was none.  Raises BadInput when it was changed.
    """
    tree = cache.load(commit, name)
    if tree is None:
        return None
    head = tree.files.get(".git/HEAD", SourceFile(b""))
    if len(commit) == 64:
        good = tree.digest == commit
    else:
        known = KNOWN.get(commit, tree.digest)
        good = tree.digest == known and head.data == f"{commit}\n".encode()
    if not good:
        raise _changed(name, commit, cache)
    return tree


def _changed(name: str, commit: str, cache: Cache) -> BadInput:
    return BadInput(
        f"the cache of {name} {commit} in {cache.folder(commit, name)} was changed: it is another"
        f" tree; replace it with: bootstrap fetch {name} --from DIR --force"
    )


@contextlib.contextmanager
def checkout_at(
    given: str | None,
    name: str,
    cache: Cache,
    say: Callable[[str], object] | None = None,
    option: str | None = None,
) -> Iterator[CheckedOut]:
    """The folder that ``given`` names; or a checkout of the cache, laid out for as long as this.

    ``given`` may be a commit or a digest; without it the cache must have one only.  ``say`` is
    called with which one was taken of the cache.  Errors name ``option``, if it is not ``--NAME``;
    where it is empty there is none, and the cache alone can be changed.
    Raises BadInput.
    """
    if given is not None and (Path(given).exists() or not _KEY.fullmatch(given)):
        if not (os.path.isfile(given) or is_url(given) or "@" in given):
            yield CheckedOut(Path(given))
            return
        with folder_of(given) as folder:
            yield CheckedOut(folder)
        return
    tree = _cached(given, name, cache, f"--{name}" if option is None else option)
    with scratch_folder(f"{name}-") as place:
        folder = place / name
        lay_out(tree, folder)
        if say is not None:
            say(f"{name} {tree.release}, from the cache")
        yield CheckedOut(folder, None if len(tree.release or "") == 64 else tree.release)


def _cached(commit: str | None, name: str, cache: Cache, option: str) -> SourceTree:
    there = cache.releases(name)
    if commit is None and len(there) > 1:
        way = f"give {option} with" if option else f"leave in {cache.root / name} only"
        raise BadInput(f"the cache has several commits of {name}: {way} one of {', '.join(there)}")
    if commit is None and there:
        commit = there[0]
    tree = None if commit is None else load_checkout(name, commit, cache)
    if tree is None:
        raise BadInput(
            f"{name}{f' {commit}' if commit else ''} is not in the cache: git clone"
            f" {ADDRESSES[name]} and{f' give {option} DIR, or' if option else ''} put it there with"
            f" bootstrap fetch {name} --from DIR"
        )
    return tree
