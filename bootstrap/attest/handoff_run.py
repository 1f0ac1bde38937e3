"""A statement of what `bootstrap handoff run --json` says: these files, by that live-bootstrap.

It is as much as somebody's word: the values of the steps are those of the checkout, which is named
by commit and digest; only stage0's can be held against the catalogue here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bootstrap.attest.evidence import canonical_digest
from bootstrap.attest.hosts import Host
from bootstrap.attest.statement import READ, REPORTED, host_document, provenance, resource
from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file
from bootstrap.documents import (
    MAX_DOCUMENT,
    BadValue,
    Commit,
    Sha256,
    Size,
    encode,
    json_value,
    key,
    named,
    typed,
)
from bootstrap.known import RELEASES, find

BUILD_TYPE = "urn:x-bootstrap-emulator:handoff:1"
LIVE_BOOTSTRAP = "live-bootstrap"
KIND = "handoff-run"
STAGE0 = "stage0"


@dataclass(frozen=True)
class _Tool:
    name: str
    version: str


@dataclass(frozen=True)
class Checkout:
    """Which live-bootstrap: docs/handoff.md says what these are."""

    commit: Commit | None
    changed: tuple[str, ...] | None
    digest: Sha256
    files: Size


@dataclass(frozen=True)
class _Stage0:
    title: str
    tree_digest: Sha256
    from_: Literal["seed", "stage0"]


@dataclass(frozen=True)
class _File:
    path: str
    found: Sha256 | None
    expected: Sha256 | None
    state: Literal["verified", "mismatch", "unchecked"]


@dataclass(frozen=True)
class _Distfile:
    name: str
    sha256: Sha256


@dataclass(frozen=True)
class _Step:
    key: str
    title: str
    state: Literal["finished", "stopped", "not begun"]
    engine: str | None
    distfiles: tuple[_Distfile, ...]
    checked: tuple[_File, ...]


@dataclass(frozen=True)
class HandoffRun:
    """All of the document that is used."""

    schema: Literal["bootstrap-handoff-run/1"]
    kind: Literal["handoff-run"]
    tool: _Tool
    checkout: Checkout
    arch: Literal["x86", "amd64", "riscv64"]
    result: Literal["done", "until", "missing", "failed", "mismatch"]
    configuration: Mapping[str, str]
    manifest_sha256: Sha256
    stage0: _Stage0
    steps: tuple[_Step, ...]
    packages: tuple[_File, ...]
    failure: Any
    sha256: str = key(None, default="")
    run_digest: str = key(None, default="")

    @property
    def title(self) -> str:
        """``live-bootstrap amd64``."""
        return f"{LIVE_BOOTSTRAP} {self.arch}"

    @property
    def finished(self) -> tuple[_Step, ...]:
        return tuple(step for step in self.steps if step.state == "finished")

    @property
    def files(self) -> tuple[_File, ...]:
        """All that was hashed, in the order in which it was made."""
        return (*(row for step in self.steps for row in step.checked), *self.packages)

    @property
    def products(self) -> dict[str, str]:
        """Path and SHA-256 of each file that equalled a value; of several, the last one made."""
        return {row.path: row.found for row in self.files if row.state == "verified" and row.found}


@dataclass(frozen=True)
class _Kind:
    kind: Any = None


def read_handoff_run(path: Path) -> HandoffRun | None:
    """A run's document; None where the file is something else.

    Raises BadInput: the run did not do what it was to do, or contradicts itself or the catalogue.
    """
    data = read_file(path, MAX_DOCUMENT)
    try:
        value = json_value(data)
        if typed(_Kind, value, lenient=True).kind != KIND:
            return None
    except BadValue:
        return None
    with named(f"{path}: no result of bootstrap handoff run --json"):
        run = typed(HandoffRun, value, lenient=True)
        digest = canonical_digest(typed(object, value))
    try:
        _require_good(run)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None
    return replace(run, sha256=hashlib.sha256(data).hexdigest(), run_digest=digest)


def _require_good(run: HandoffRun) -> None:
    if run.result not in ("done", "until"):
        raise BadInput(f"its result is {run.result}; nothing can be vouched for")
    if run.failure is not None:
        raise BadInput(f"its result is {run.result}, but it has a failure: it contradicts itself")
    states = [step.state for step in run.steps]
    count = states.count("finished")
    if states[:count] != ["finished"] * count or "stopped" in states:
        raise BadInput("its steps were not finished one after another: it contradicts itself")
    if run.result == "done" and count < len(states):
        raise BadInput("says done, but not all steps are finished: it contradicts itself")
    for row in run.files:
        if row.state == "mismatch":
            raise BadInput(f"{row.path} is not what it should be; nothing can be vouched for")
        wanted = "unchecked" if row.expected is None else "verified"
        if row.state != wanted or row.expected not in (None, row.found):
            raise BadInput(f"{row.path} is said to be {row.state}: it contradicts itself")
    _require_stage0(run)


def _require_stage0(run: HandoffRun) -> None:
    """Every product of stage0 is what the catalogue has for the release."""
    arch = run.configuration.get("ARCH_DIR", "")
    name, _, release = run.stage0.title.partition(" ")
    pinned = find(RELEASES, release.removesuffix(f" {arch}"), arch)
    if pinned.title != run.stage0.title or name != RELEASES:
        raise BadInput(f"its stage0 is {run.stage0.title!r}; it should be {pinned.title!r}")
    found: dict[str, str | None] = {}
    for row in (row for step in run.finished if step.key == STAGE0 for row in step.checked):
        if found.setdefault(row.path, row.found) != row.found:
            raise BadInput(f"{row.path} is two files in one step: it contradicts itself")
    if not found:
        raise BadInput("stage0 is not among its finished steps; nothing can be vouched for")
    for known in pinned.known():
        if found.get(known.path) != known.sha256:
            raise BadInput(
                f"{known.path} has sha256 {found.get(known.path)}, but the catalogue has"
                f" {known.sha256} for {pinned.title} ({known.from_})"
            )


def make_handoff_statement(run: HandoffRun, host: Host) -> dict[str, Any]:
    """The statement as JSON-able data; deterministic, and without a clock."""
    checkout = run.checkout
    digest = {"treeDigest": checkout.digest}
    if checkout.commit is not None and checkout.changed == ():
        digest["gitCommit"] = checkout.commit
    distfiles = {file.name: file.sha256 for step in run.finished for file in step.distfiles}
    return provenance(
        run.products,
        BUILD_TYPE,
        {
            "name": LIVE_BOOTSTRAP,
            "arch": run.arch,
            "from": run.stage0.from_,
            "last": run.finished[-1].title,
            "configuration": dict(run.configuration),
        },
        {
            "run": READ,
            "products": REPORTED,
            "tool": encode(run.tool),
            "engines": sorted({step.engine for step in run.finished if step.engine}),
            "host": host_document(host),
            "manifestSha256": run.manifest_sha256,
            "notChecked": [step.title for step in run.finished if not step.checked],
        },
        [
            {
                "name": LIVE_BOOTSTRAP,
                "digest": digest,
                "annotations": {
                    "commit": checkout.commit,
                    "changed": checkout.changed,
                    "files": checkout.files,
                },
            },
            {"name": run.stage0.title, "digest": {"treeDigest": run.stage0.tree_digest}},
            *(resource(name, sha256) for name, sha256 in sorted(distfiles.items())),
        ],
        {run.tool.name: run.tool.version},
        run.sha256,
        {"runDigest": run.run_digest},
    )
