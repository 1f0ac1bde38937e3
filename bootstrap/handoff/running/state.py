"""The work folder: who has it, how far its run is, and where everything in it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bootstrap import host
from bootstrap.core.errors import BadInput
from bootstrap.documents import Fault, Sha256, encode, typed_json

LOCK = "lock"
STATE = "state.json"


@dataclass(frozen=True)
class CheckedFile:
    """A file held against a known-good value.

    ``found`` is None when it is not there; ``expected`` None when no value is known.  ``by`` says
    where the value comes from.
    """

    path: str
    found: Sha256 | None
    expected: Sha256 | None
    by: str

    @property
    def state(self) -> str:
        """``verified``, ``mismatch`` or ``unchecked``."""
        if self.expected is None:
            return "unchecked"
        return "verified" if self.found == self.expected else "mismatch"


@dataclass
class Finished:
    """A step that came to its end: its key, how long it took, what was checked of it.

    ``engine`` is what ran it, in words; a run may be gone on with by another.
    """

    key: str
    title: str
    seconds: float
    log: str
    checked: list[CheckedFile] = field(default_factory=list)
    engine: str = ""


@dataclass
class State:
    """How far a run is.

    ``identity`` is what must be the same for a run to be gone on with.  ``running`` is the key of
    a step that was begun: what it did to the root is thrown away.  ``saving`` says that the root
    is good and its copy may be half made.
    """

    schema: Literal[2]
    identity: Mapping[str, str]
    finished: list[Finished] = field(default_factory=list)
    running: str | None = None
    saving: bool = False
    exported: Mapping[str, str] | None = None


class WorkFolder:
    """Names in the folder, and the state in it.  Methods raise BadInput when it cannot be used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.root = self.folder / "root"
        self.saved = self.folder / "saved"
        self.logs = self.folder / "logs"
        self.enter = self.folder / "enter.sh"

    @property
    def box_name(self) -> str:
        """What the container is called: two work folders have two names."""
        return "bootstrap-handoff-" + hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder, which is made if need be; the host lets go when the process ends."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | host.CLOEXEC | host.NOFOLLOW
            fd = os.open(self.folder / LOCK, flags, 0o644)
        except OSError as error:
            raise BadInput(f"--work {self.folder}: cannot be used: {error.strerror}") from None
        try:
            if not host.try_lock(fd):
                raise BadInput(
                    f"--work {self.folder}: another run has it; wait until it has ended, or name"
                    " another folder"
                )
            yield
        finally:
            os.close(fd)

    def read(self) -> State | None:
        """The state; None where no run was begun."""
        place = self.folder / STATE
        if not place.exists():
            return None
        try:
            return typed_json(State, place.read_bytes())
        except (OSError, Fault) as error:
            raise BadInput(f"{place}: cannot be read: {error}; begin in a new folder") from None

    def write(self, state: State) -> None:
        """Keep it, whole or not at all."""
        place = self.folder / STATE
        beside = place.with_suffix(".new")
        try:
            with beside.open("w", encoding="utf-8") as stream:
                json.dump(encode(state), stream, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(beside, place)
            host.sync_folder(self.folder)
        except OSError as error:
            raise BadInput(f"{place}: cannot be written: {error.strerror}") from None
