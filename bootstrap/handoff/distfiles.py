"""Source files: which ones a step lists, from where, with which sha256, and what a folder has.

The format is that of live-bootstrap's DEVEL.md and of ``source_line_action`` in its
``steps/helpers.sh``: one line a file, ``f URL SHA256 [NAME]`` (or ``file``), or for a snapshot of a
git repository ``g GIT-URL URL SHA256 [NAME]`` (or ``git``), where URL may be ``_``.  Without a
name, the file is called what the address ends with.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bootstrap import host
from bootstrap.core.errors import BadInput

_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCHEMES = ("https://", "http://")


@dataclass(frozen=True)
class SourceLine:
    """One line: the file's name, its sha256, an address (None: only mirrors have it).

    ``git`` is ``ADDRESS~REFERENCE`` where the file is a snapshot of a repository; ``where`` is
    ``steps/PACKAGE/sources:LINE``.
    """

    name: str
    sha256: str
    url: str | None
    git: str | None
    where: str
    package: str


@dataclass(frozen=True)
class Distfile:
    """A file that steps need, whose lines all agree on its sha256."""

    name: str
    sha256: str
    lines: tuple[SourceLine, ...]

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses, in the order of the lines, each once."""
        return tuple(dict.fromkeys(line.url for line in self.lines if line.url is not None))

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages whose steps need it."""
        return tuple(dict.fromkeys(line.package for line in self.lines))


def read_sources(text: str, file: str, package: str) -> tuple[SourceLine, ...]:
    """The lines of one ``sources`` file.  Raises BadInput with ``file`` and line."""
    *lines, rest = text.split("\n")
    if rest:
        # The shell's read gives such a line back as if there were none: upstream would neither
        # fetch nor check the file.
        raise BadInput(f"{file}:{len(lines) + 1}: the last line has no line end: upstream skips it")
    return tuple(
        _line(line, f"{file}:{number}", f"steps/{package}/sources:{number}", package)
        for number, line in enumerate(lines, 1)
    )


def _line(line: str, where: str, place: str, package: str) -> SourceLine:
    words = line.split()
    kind = words.pop(0) if words else ""
    git = None
    if kind in ("g", "git"):
        git = words.pop(0) if words else ""
        if "://" not in git or "~" not in git:
            raise BadInput(f"{where}: {git!r} is no git address with ~ and a reference")
    elif kind not in ("f", "file"):
        raise BadInput(f"{where}: a line begins with f or g, not with {kind!r}")
    if len(words) not in (2, 3):
        raise BadInput(f"{where}: {len(words)} words where address, sha256 and a name may stand")
    url, sha256 = words[:2]
    if url != "_" and (not url.startswith(_SCHEMES) or not url.isprintable()):
        raise BadInput(f"{where}: {url!r} is neither an https nor an http address")
    if not _SHA256.fullmatch(sha256):
        raise BadInput(f"{where}: no sha256 (64 lower-case hexadecimal digits): {sha256!r}")
    name = words[2] if len(words) == 3 else url.rpartition("/")[2]
    if name in ("", ".", "..", "_") or "/" in name or name.startswith((".", "-")):
        raise BadInput(f"{where}: {name!r} is no name for a file; give one as the last word")
    if not name.isprintable():
        raise BadInput(f"{where}: {name!r} has a character that cannot be printed")
    return SourceLine(name, sha256, None if url == "_" else url, git, place, package)


def distfiles(lines: Iterable[SourceLine]) -> tuple[Distfile, ...]:
    """One value for each file name, in the order of first use.

    Raises BadInput when two lines want other content under one name: a folder holds only one.
    """
    by_name: dict[str, list[SourceLine]] = {}
    for line in lines:
        same = by_name.setdefault(line.name, [])
        if same and same[0].sha256 != line.sha256:
            raise BadInput(
                f"{line.where}: {line.name} has the sha256 {line.sha256} here, and"
                f" {same[0].sha256} at {same[0].where}: one folder cannot hold both"
            )
        same.append(line)
    return tuple(Distfile(name, same[0].sha256, tuple(same)) for name, same in by_name.items())


@contextlib.contextmanager
def held_folder(folder: Path, lock: str, unusable: str, taken: str) -> Iterator[None]:
    """Hold a folder, which is made if need be; the host lets go of it when the process ends.

    Raises BadInput: ``unusable`` and the reason, or ``taken`` where another run has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | host.CLOEXEC | host.NOFOLLOW
        fd = os.open(folder / lock, flags, 0o644)
    except OSError as error:
        raise BadInput(f"{unusable}: {error.strerror}; name another") from None
    try:
        if not host.try_lock(fd):
            raise BadInput(taken)
        yield
    finally:
        os.close(fd)


# -- what a folder has of them ---------------------------------------------------------------------

FileState = Literal["present", "missing", "wrong"]


@dataclass(frozen=True)
class AuditedFile:
    """What the folder has under a distfile's name; ``detail`` says what is wrong with it."""

    file: Distfile
    state: FileState
    size: int = 0
    detail: str = ""


@dataclass(frozen=True)
class Audit:
    """The rows in the plan's order, and names in the folder that no row is about.

    Names that begin with a dot do not count: no distfile has such, and our own parts do.
    """

    rows: tuple[AuditedFile, ...]
    others: tuple[str, ...]

    def having(self, state: FileState) -> tuple[AuditedFile, ...]:
        """The rows with that state."""
        return tuple(row for row in self.rows if row.state == state)

    @property
    def whole(self) -> bool:
        """Every file is there with its sha256."""
        return all(row.state == "present" for row in self.rows)


def audit(
    files: Iterable[Distfile], folder: Path, notify: Callable[[AuditedFile], None] | None = None
) -> Audit:
    """Read each file in turn; ``notify`` gets each.  Raises BadInput without the folder."""
    try:
        names = set(os.listdir(folder))
    except OSError as error:
        raise BadInput(f"{folder}: cannot be read as a folder: {error.strerror}") from None
    rows = []
    for file in files:
        row = look(file, folder)
        rows.append(row)
        if notify is not None:
            notify(row)
    wanted = {row.file.name for row in rows}
    return Audit(tuple(rows), tuple(sorted(n for n in names - wanted if not n.startswith("."))))


def look(file: Distfile, folder: Path, follow: bool = True) -> AuditedFile:
    """One file of the folder: there or not, with the right sha256 or not. Without `follow` a link
    is wrong: one that a step made leads to another file in its container than for us."""
    try:
        # O_NONBLOCK: a fifo must not hang the audit.
        flags = os.O_RDONLY | host.BINARY | host.NONBLOCK | host.CLOEXEC
        flags |= 0 if follow else host.NOFOLLOW
        with os.fdopen(os.open(folder / file.name, flags), "rb", buffering=0) as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if not stat.S_ISREG(mode):
                return AuditedFile(file, "wrong", detail="is no regular file")
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
            size = stream.tell()
    except FileNotFoundError:
        return AuditedFile(file, "missing")
    except IsADirectoryError:
        return AuditedFile(file, "wrong", detail="is a folder")
    except OSError as error:
        return AuditedFile(file, "wrong", detail=f"cannot be read: {error.strerror}")
    if sha256 == file.sha256:
        return AuditedFile(file, "present", size)
    if size == 0:
        return AuditedFile(file, "wrong", size, "is empty")
    return AuditedFile(file, "wrong", size, f"has the sha256 {sha256}")
