"""Made-up opinions on three artifacts of a made-up release."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bootstrap.confirm.table import Confirmation, Voice, confirmation
from bootstrap.known import Known
from bootstrap.report.model import NameAndVersion
from bootstrap.report.opinion import JudgedBy, ReleaseOpinion, SeenFile
from bootstrap.report.ways import BY_NAME, WAYS

TOOL = NameAndVersion("bootstrap", "0")
FILES = {path: hashlib.sha256(path.encode()).hexdigest() for path in ("a/hex1", "a/M0", "a/bin/M1")}
OTHER = "0" * 64
FRAME = ReleaseOpinion(
    tool=TOOL, opinion="none", release="stage0-posix 1", arch="x86", entry="e", tree=OTHER,
    judged_by=JudgedBy("a.toml", OTHER), how="made up",
)  # fmt: skip
MAKERS = {"a/M0": "a/hex2 makes it of b"}
KNOWN = [Known(path=path, sha256=sha256, from_="a list") for path, sha256 in FILES.items()]


def voice(name: str, files: Mapping[str, str | None] = FILES, **more: object) -> Voice:
    artifacts = tuple(SeenFile(path, sha256) for path, sha256 in files.items())
    opinion = replace(FRAME, opinion=name, artifacts=artifacts, **more)  # type: ignore[arg-type]
    return Voice(BY_NAME[name], "made", opinion.sealed())


def counted(*voices: Voice, at_least: int = 2, known: Sequence[Known] = KNOWN) -> Confirmation:
    """With all ways as columns, those without a voice not run."""
    given = {one.way.name: one for one in voices}
    columns = [given.get(way.name, Voice(way, "not run")) for way in WAYS]
    return confirmation(FRAME, known, columns, at_least, MAKERS)
