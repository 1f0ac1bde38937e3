"""An opinion on a release: what one way of making it, or one who publishes it, says of its files.

Form `bootstrap-opinion/1`, as `verify --machine --json` writes it, with what it depended on, and
who made it when. A kept one has a digest over all the rest: one that was edited is none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

from bootstrap.documents import (
    BadValue,
    Sha256,
    TreePath,
    Word,
    at_least,
    encode,
    matching,
    typed_json,
)
from bootstrap.report.model import NameAndVersion

SCHEMA: Literal["bootstrap-opinion/1"] = "bootstrap-opinion/1"
MOST = 4 << 20
"""Bytes of a kept opinion; one of all products of a release has 20,000."""
_Moment = Annotated[
    str, matching(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "time as 2026-11-30T22:00:00Z")
]


@dataclass(frozen=True)
class SeenFile:
    """A file that it speaks of; `sha256` None: it should be there, and is not."""

    path: TreePath
    sha256: Sha256 | None


@dataclass(frozen=True)
class JudgedBy:
    """The step file that says which artifacts there are."""

    file: str
    sha256: Sha256


@dataclass(frozen=True)
class Made:
    """When (UTC), where (vendor of the CPU, system) and by whom (name of the user)."""

    at: _Moment
    host: str
    by: str
    seconds: Annotated[float, at_least(0)]


@dataclass(frozen=True, kw_only=True)
class ReleaseOpinion:
    """All of it."""

    schema: Literal["bootstrap-opinion/1"] = SCHEMA
    tool: NameAndVersion
    opinion: Word
    """Its name in the table of opinions (`bootstrap.report.ways`)."""
    release: str
    arch: str
    entry: str
    tree: Sha256
    judged_by: JudgedBy
    inputs: Mapping[str, str] = field(default_factory=dict)
    """What else it depends on: programs, libraries, our own code, by version and digest."""
    how: str = ""
    """How it was made, in a sentence."""
    stopped: str | None = None
    """Why the run did not come to its end, if it did not."""
    cause: str = ""
    """Of the first artifact that is not as it should be: who made it, and of what, if known."""
    artifacts: tuple[SeenFile, ...] = ()
    """In the order in which they were made, where that is known."""
    unsteady: tuple[TreePath, ...] = ()
    """What came out otherwise when the same was done before: a finding of its own."""
    made: Made | None = None
    """None: it is published, and read every time."""
    digest: str = ""
    """SHA-256 of the JSON text of all the rest: keys sorted, no spaces, ASCII."""

    def sealed(self) -> ReleaseOpinion:
        """With its digest."""
        return replace(self, digest=_digest(self))


def _digest(opinion: ReleaseOpinion) -> str:
    rest = encode(opinion)
    del rest["digest"]
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def read_opinion(data: bytes) -> ReleaseOpinion:
    """A kept opinion. Raises BadValue, also where the digest is not that of the rest."""
    found = typed_json(ReleaseOpinion, data, limit=MOST)
    if len({file.path for file in found.artifacts}) < len(found.artifacts):
        raise BadValue("has a path twice", "artifacts")
    if found.digest != (true := _digest(found)):
        raise BadValue(
            f"is not that of the rest ({true}): it was edited, or kept by another version", "digest"
        )
    return found
