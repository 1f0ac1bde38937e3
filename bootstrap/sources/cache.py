"""The cache: whole source trees, each verified every time it is used.

    <root>/<name>/<release>/manifest.json    what is there; written last
    <root>/<name>/<release>/<sha256>.tar     the tree, named after its own content
    <root>/<name>/<release>/lock             held by whoever writes

The name is stage0-posix; or live-bootstrap or stagex, with a commit in place of the release.

A tree is there when its manifest is.  Both files are written beside and renamed into place
(rename(2) is atomic), the tar first: a reader sees the old tree or the new one, never a part of
one, and a killed writer leaves at most files that nobody reads and the next writer removes.
Readers take the lock only when they came upon a writer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NoReturn

from bootstrap import host, signals
from bootstrap.core.errors import BadInput
from bootstrap.core.release import MAX_BYTES, read_file
from bootstrap.documents import BadValue, Sha256, Size, typed_json
from bootstrap.known import RELEASES, all_steps
from bootstrap.sources.materials import check_materials, named
from bootstrap.sources.tree import SourceTree, read_archive, to_tar

SCHEMA: Literal[1] = 1
VARIABLE = "BOOTSTRAP_CACHE"
_MANIFEST = "manifest.json"
_MAX_MANIFEST = 1 << 20


def cache_root() -> Path:
    """The folder of the cache: $BOOTSTRAP_CACHE if set, else where the platform keeps caches."""
    override = os.environ.get(VARIABLE)
    if override:
        return Path(os.path.abspath(override))
    # Imported late: `bootstrap --help` does not need it.
    import platformdirs

    return platformdirs.user_cache_path("bootstrap-emulator", appauthor=False)


@dataclass(frozen=True)
class Manifest:
    """What ``manifest.json`` says; ``origin`` is the archive or checkout the tree came from."""

    schema: Literal[1]
    name: str
    release: str
    tar: str
    size: Size
    sha256: Sha256
    digest: str
    files: Size
    origin: str
    archive_sha256: Sha256 | None

    def __post_init__(self) -> None:
        # The name of the tar leads to a file: it can only be the one form that store() writes.
        if self.tar != f"{self.sha256}.tar":
            raise BadValue("is not called after its sha256", "tar")

    def to_json(self) -> str:
        return json.dumps(vars(self), indent=2, sort_keys=True) + "\n"


class Cache:
    """The cache in ``root``, which need not be there yet."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = cache_root() if root is None else root

    def folder(self, release: str, name: str = RELEASES) -> Path:
        """Where a release is or would be."""
        return self.root / name / release

    def require_usable(self, name: str = "") -> None:
        """Raise BadInput where there is something that is no folder, or one that cannot be read.

        With a name: where its releases are, or would be.
        """
        place = self.root / name
        try:
            os.listdir(place)
        except FileNotFoundError:
            pass  # it is made when something is to be kept
        except OSError as error:
            raise _unusable(place, error) from None

    def releases(self, name: str = RELEASES) -> tuple[str, ...]:
        """The releases that have a manifest, sorted; what is in them is not read."""
        try:
            found = sorted(os.listdir(self.root / name))
        except OSError:
            return ()
        return tuple(one for one in found if self._has(one, name))

    def _has(self, release: str, name: str) -> bool:
        try:
            return _is_there(self.folder(release, name) / _MANIFEST)
        except BadInput:
            return True  # whoever loads it says why it cannot be used

    def load(self, release: str, name: str = RELEASES) -> SourceTree | None:
        """The tree of a release, or None when the cache does not have it.

        Everything read is verified: the tar against the manifest, the tree digest, and each
        material against the step files of the release.  Raises BadInput, naming what is wrong and
        how to replace it, when anything differs.
        """
        folder = self.folder(release, name)
        try:
            found = self._read(folder, release, name)
        except _Gone:
            # A writer may have replaced the tree between the two reads: look again with writers
            # held off.  What is still not there then was never going to be.
            with _locked(folder / "lock", reads=True):
                try:
                    found = self._read(folder, release, name)
                except _Gone as error:
                    self._tampered(folder, release, f"its tree cannot be read: {error}")
        return None if found is None else self._load(folder, *found)

    def _read(self, folder: Path, release: str, name: str) -> tuple[Manifest, bytes] | None:
        manifest = self._manifest(folder, release, name)
        if manifest is None:
            return None
        try:
            return manifest, read_file(folder / manifest.tar, MAX_BYTES)
        except BadInput as error:
            raise _Gone(str(error)) from None

    def _load(self, folder: Path, manifest: Manifest, data: bytes) -> SourceTree:
        release = manifest.release
        if len(data) != manifest.size or hashlib.sha256(data).hexdigest() != manifest.sha256:
            self._tampered(folder, release, f"{manifest.tar} is not what the manifest says")
        try:
            tree = read_archive(data, str(folder))
        except BadInput as error:
            self._tampered(folder, release, str(error))
        tree = tree.but(kind="cache", release=release, archive_sha256=manifest.archive_sha256)
        if tree.digest != manifest.digest:
            self._tampered(folder, release, "its tree digest is not what the manifest says")
        for step in all_steps():
            if (step.name, step.release) == (manifest.name, release):
                report = check_materials(tree, step)
                if not report.whole:
                    wrong = [*report.missing, *(change.path for change in report.changed)]
                    self._tampered(folder, release, f"not as in {step.file}: {named(wrong)}")
                archive, published = manifest.archive_sha256, step.source.sha256
                if None not in (archive, published) and archive != published:
                    # Reports and attestations repeat it.
                    self._tampered(folder, release, f"{archive} is no archive of it")
        return tree

    def _manifest(self, folder: Path, release: str, name: str) -> Manifest | None:
        file = folder / _MANIFEST
        if not _is_there(file):
            return None
        text = read_file(file, _MAX_MANIFEST)
        try:
            manifest = typed_json(Manifest, text)
        except BadValue:
            self._tampered(folder, release, f"{_MANIFEST} is damaged")
        if (manifest.name, manifest.release) != (name, release):
            self._tampered(folder, release, f"{_MANIFEST} is of {manifest.name} {manifest.release}")
        return manifest

    def _tampered(self, folder: Path, release: str, fault: str) -> NoReturn:
        raise BadInput(
            f"the cache of release {release} in {folder} was changed or damaged: {fault};"
            f" replace it with: bootstrap fetch {folder.parent.name} --release {release} --force"
            f" {'[--from PATH-OR-URL]' if folder.parent.name == RELEASES else '--from DIR'}"
        )

    def store(self, tree: SourceTree, release: str, name: str = RELEASES) -> Manifest:
        """Put a tree into the cache in place of what is there.

        The tree is not judged here.  Raises BadInput when the cache cannot be written; what was
        there before is then still there.
        """
        folder = self.folder(release, name)
        data = to_tar(tree, f"{name}-{release}")
        sha256 = hashlib.sha256(data).hexdigest()
        manifest = Manifest(
            schema=SCHEMA,
            name=name,
            release=release,
            tar=f"{sha256}.tar",
            size=len(data),
            sha256=sha256,
            digest=tree.digest,
            files=len(tree.files) + len(tree.symlinks),
            origin=tree.label,
            archive_sha256=tree.archive_sha256,
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder / "lock", reads=False):
                put(folder / manifest.tar, data)
                put(folder / _MANIFEST, manifest.to_json().encode("utf-8", "backslashreplace"))
                _sweep(folder, keep=manifest.tar)
        except OSError as error:
            raise BadInput(
                f"cannot write the cache in {folder}: {error.strerror}; make room or set"
                f" {VARIABLE} to a folder that can be written"
            ) from None
        return manifest


def _is_there(file: Path) -> bool:
    """Whether the cache has a file.  Raises BadInput where nobody can know: a closed folder."""
    try:
        os.lstat(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(file, error) from None
    return True


def _unusable(place: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{place}: cannot be used as the cache: {error.strerror}; set {VARIABLE} to another folder,"
        " or name the source with --source PATH"
    )


class _Gone(Exception):
    """The tar that a manifest names could not be read."""


@contextlib.contextmanager
def _locked(file: Path, reads: bool) -> Iterator[None]:
    """Hold the lock; the host lets go of it when the process ends, however it ends.

    A reader who finds no lock to hold has nobody to hold off, and creates none: it must
    do in a cache that cannot be written.  Raises OSError for a writer only.
    """
    fd = -1
    try:
        with contextlib.suppress(*([OSError] if reads else [])):
            flags = os.O_RDONLY if reads else os.O_RDWR | os.O_CREAT
            fd = os.open(file, flags | host.CLOEXEC | host.NONBLOCK, 0o644)
            host.lock(fd, shared=reads)
        yield
    finally:
        if fd != -1:
            os.close(fd)


def put(file: Path, data: bytes) -> None:
    """Write a file beside, under a name of this process, and rename it into place."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        part.unlink(missing_ok=True)  # of a killed process; or a link, to be written through
        with open(part, "xb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, file)
    except BaseException:
        with signals.held, contextlib.suppress(OSError):
            part.unlink()
        raise
    host.sync_folder(file.parent)


def _sweep(folder: Path, keep: str) -> None:
    """Remove what killed or earlier writers left."""
    for file in folder.iterdir():
        if file.suffix in (".tar", ".part") and file.name != keep:
            with contextlib.suppress(OSError):
                file.unlink()
