"""Gets distfiles: several at once, each resumed where it stopped, named only when it is right.

A file comes into ``.NAME.part`` beside its place.  It is hashed there as a whole, and renamed
(rename(2) is atomic) when it has the sha256 that the checkout wants, never before.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import shutil
import threading
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap import host
from bootstrap.core.errors import BadInput, BootstrapError
from bootstrap.handoff.distfiles import Distfile, held_folder, look
from bootstrap.sources.addresses import DownloadFailed, is_url
from bootstrap.sources.download import download_to

MAX_FILE = 1 << 30
LOCK = ".bootstrap.lock"
_TICK = 0.2


@dataclass(frozen=True)
class FetchedFile:
    """What became of one file: the address that gave it, or (``url`` None) why there is none.

    An empty ``url`` says that it was whole already, and only lacked its name.
    """

    file: Distfile
    url: str | None
    detail: str = ""


@dataclass
class FetchProgress:
    """How far it is: outcomes so far, and name -> (bytes, bytes in all if known) under way."""

    total: int
    done: list[FetchedFile] = field(default_factory=list)
    coming: dict[str, tuple[int, int | None]] = field(default_factory=dict)


class _FetchStopped(Exception):
    """Another file's failure, or Ctrl-C, ended the whole."""


Mirror = str | Path
"""An address (https or http) or a folder; what it has is called as the distfiles are."""


def mirror_at(text: str) -> Mirror:
    """What ``--mirror`` names.  Raises BadInput for what is neither an address nor a folder."""
    scheme = text.partition(":")[0].lower()
    if scheme in ("https", "http") and is_url(text):
        return text.rstrip("/")
    place = Path(text)
    if is_url(text):
        host, slash, path = text.partition("://")[2].partition("/")
        if scheme != "file" or not slash or host not in ("", "localhost"):
            raise BadInput(
                f"--mirror {text}: give a folder, or an address that begins with https://, http://"
                " or file:///"
            )
        place = Path(os.fsdecode(urllib.parse.unquote_to_bytes(f"/{path}")))
    if not place.is_dir():
        raise BadInput(f"--mirror {text}: there is no such folder")
    return place.absolute()


def places(file: Distfile, mirrors: Sequence[Mirror]) -> tuple[Mirror, ...]:
    """Where to look for a file, in order: the mirrors, as upstream does, then its own addresses."""
    own = (m / file.name if isinstance(m, Path) else f"{m}/{file.name}" for m in mirrors)
    return (*own, *file.urls)


def fetch(
    files: Sequence[Distfile],
    folder: Path,
    mirrors: Sequence[Mirror] = (),
    jobs: int = 4,
    notify: Callable[[FetchProgress], None] | None = None,
) -> tuple[FetchedFile, ...]:
    """Get each file into ``folder``, which is made if need be, over what has its name there.

    ``notify`` is called from this thread, now and then and after each file.  The outcomes are in
    the order of ``files``.  Raises BadInput when the folder cannot be written or another run has
    it; what came until then is kept and is gone on with the next time.
    """
    flight = FetchProgress(len(files))
    taken = f"{folder}: another run is fetching into it; wait until it has ended"
    with held_folder(folder, LOCK, f"{folder}: cannot be written", taken):
        _Crew(files, folder, mirrors, flight).work(jobs, notify or (lambda flight: None))
    by_name = {outcome.file.name: outcome for outcome in flight.done}
    return tuple(by_name[file.name] for file in files)


class _Crew:
    """The threads; they end when no file is left, or at the next piece once ``stop`` is set."""

    def __init__(
        self,
        files: Sequence[Distfile],
        folder: Path,
        mirrors: Sequence[Mirror],
        flight: FetchProgress,
    ) -> None:
        self.folder, self.mirrors, self.flight = folder, mirrors, flight
        self.left: queue.SimpleQueue[Distfile] = queue.SimpleQueue()
        for file in files:
            self.left.put(file)
        self.found: queue.SimpleQueue[FetchedFile | BootstrapError] = queue.SimpleQueue()
        self.stop = threading.Event()

    def work(self, jobs: int, notify: Callable[[FetchProgress], None]) -> None:
        threads = [
            threading.Thread(target=self._thread, daemon=True)
            for _ in range(min(jobs, self.flight.total))
        ]
        for thread in threads:
            thread.start()
        try:
            while len(self.flight.done) < self.flight.total:
                with contextlib.suppress(queue.Empty):
                    found = self.found.get(timeout=_TICK)
                    if isinstance(found, BootstrapError):
                        raise found
                    self.flight.done.append(found)
                notify(self.flight)
        finally:
            self.stop.set()
            for thread in threads:
                # One that waits for a server that says nothing ends with the process.
                thread.join(timeout=1.0)

    def _thread(self) -> None:
        with contextlib.suppress(queue.Empty, _FetchStopped):
            while not self.stop.is_set():
                file = self.left.get_nowait()
                try:
                    self.found.put(self._file(file))
                except BootstrapError as error:
                    self.found.put(error)
                    return
                except OSError as error:
                    place = self.folder / file.name
                    self.found.put(BadInput(f"{place}: cannot be written: {error.strerror}"))
                    return
                finally:
                    self.flight.coming.pop(file.name, None)

    def _file(self, file: Distfile) -> FetchedFile:
        part = self.folder / f".{file.name}.part"
        if part.exists() and self._name_if_right(part, file, keep=True) is None:
            return FetchedFile(file, "")
        failures = []
        for place in places(file, self.mirrors):
            try:
                if isinstance(place, Path):
                    failure = self._copied(place, part, file)
                else:
                    failure = self._from(place, part, file)
            except DownloadFailed as error:
                failure = str(error)
            if failure is None:
                return FetchedFile(file, str(place))
            failures.append(failure)
        nowhere = "no address is listed; give --mirror URL-OR-DIR, or put the file there yourself"
        return FetchedFile(file, None, "; ".join(failures) or nowhere)

    def _copied(self, place: Path, part: Path, file: Distfile) -> str | None:
        """The same of a file in a folder."""
        found = look(file, place.parent)
        if found.state != "present":
            return f"{place}: {found.detail or 'is not there'}"
        part.unlink(missing_ok=True)
        shutil.copyfile(place, part)
        sha256 = self._name_if_right(part, file)
        return None if sha256 is None else f"{place}: was changed while it was copied"

    def _from(self, url: str, part: Path, file: Distfile) -> str | None:
        """Why this address did not give the file; None when it did."""

        def progress(done: int, total: int | None) -> None:
            self.flight.coming[file.name] = (done, total)
            if self.stop.is_set():
                raise _FetchStopped

        resumed = part.exists()
        download_to(url, part, MAX_FILE, progress)
        sha256 = self._name_if_right(part, file)
        if sha256 is not None and resumed:
            # The beginning may have come from elsewhere: ask for the whole before blaming it.
            download_to(url, part, MAX_FILE, progress)
            sha256 = self._name_if_right(part, file)
        return None if sha256 is None else f"{url}: gave the sha256 {sha256}, not {file.sha256}"

    def _name_if_right(self, part: Path, file: Distfile, keep: bool = False) -> str | None:
        """Give a whole file its name; else remove it, unless it is to be kept: then its sha256."""
        with open(part, "rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        if sha256 == file.sha256:
            os.replace(part, self.folder / file.name)
            host.sync_folder(self.folder)
            return None
        if not keep:
            part.unlink()
        return sha256
