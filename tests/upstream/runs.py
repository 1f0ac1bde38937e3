"""Runs the release, or its first steps, and notes what the guest read."""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from bootstrap.core.abi import O_ACCMODE, O_WRONLY
from bootstrap.core.files import Inode, RegularFile
from bootstrap.core.release import SourceFile
from bootstrap.instruments import Engine, default_engine
from bootstrap.known import Entry, StepFile, find
from bootstrap.linux.events import Event, Executed, Listener, Opened
from bootstrap.linux.filesystem import absolute, opened_path
from bootstrap.runs.rebuild import Rebuilt, rebuild
from bootstrap.sources import Resolved, SourceTree, check_materials
from tests.upstream.release import RELEASE

ARCHES = ("x86", "AMD64")
ENTRIES = ("kaem-optional-seed", "hex0-seed")


class FilesRead:
    """Tree paths of the files that were executed or opened for reading and not made by the guest.

    Made for the tests, and simpler than trace.provenance, which it checks.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()

    def _read(self, guest_path: bytes, inode: Inode) -> None:
        if isinstance(inode, RegularFile) and not inode.guest_made:
            self.paths.add(posixpath.normpath(guest_path.decode()).lstrip("/"))

    def __call__(self, event: Event) -> None:
        if isinstance(event, Executed):
            self._read(absolute(event.base, event.program.path), event.image)
        elif isinstance(event, Opened) and event.flags & O_ACCMODE != O_WRONLY:
            inode = event.file.inode
            self._read(opened_path(event.base, event.path, inode), inode)


def engine_for(hot_path: str) -> Engine:
    """The engine on the named hot path; skips where the native one was not built."""
    engine = default_engine()
    if hot_path == "python":
        return engine.in_python()
    if engine.describe()["hot_path"] != "native":
        pytest.skip(f"no native hot path: {engine.describe()['hot_path_reason']}")
    return engine


def resolved(tree: SourceTree, step: StepFile) -> Resolved:
    return Resolved(tree, step, check_materials(tree, step))


def script_lines(script: bytes) -> list[tuple[str, ...]]:
    """The commands of a kaem script that has no variables: comments off, continuations joined."""
    text = script.decode().replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in text.splitlines()]
    return [tuple(words) for words in lines if words]


def known_good(step: StepFile) -> dict[str, str]:
    """Path -> sha256 of every value that the step file has."""
    return {value.path: value.sha256 for value in step.known()}


def early_step(tree: SourceTree, arch: str, last: str) -> StepFile:
    """A step that ends with the artifact `last`, each command started by us and not by kaem.

    The values of the native run for what the commands make become its answers.
    """
    step = find("stage0-posix", RELEASE, arch)
    entry = step.entry("hex0-seed")
    script = tree.files[f"{arch}/mescc-tools-mini-kaem.kaem"].data
    commands = [*entry.commands[:2]]
    for words in script_lines(script):
        commands.append(words)
        if f"./{arch}/artifact/{last}" in words:
            break
    made = {word.removeprefix("./") for words in commands for word in words[1:]}
    values = {path: sha256 for path, sha256 in known_good(step).items() if path in made}
    return replace(
        step,
        entries={entry.name: Entry(entry.name, tuple(commands), entry.hidden)},
        answers=values,
        answers_from="native run",
        native={},
    )


def with_file(tree: SourceTree, path: str, data: bytes) -> SourceTree:
    """The tree with other content in one file."""
    old = tree.files[path]
    return tree.but(files={**tree.files, path: SourceFile(data, old.executable)})


def flipped(data: bytes, offset: int, mask: int = 1) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= mask
    return bytes(changed)


def run(
    tree: SourceTree, step: StepFile, engine: Engine, listeners: Sequence[Listener] = ()
) -> Rebuilt:
    """Rebuild through the step's only entry."""
    (entry,) = step.entries
    return rebuild(resolved(tree, step), entry, engine, listeners=listeners)


def statuses(rebuilt: Rebuilt) -> Mapping[str, str]:
    """Path -> status of every artifact that has a known-good value."""
    return {a.path: a.status for a in rebuilt.report.artifacts if a.expectations}
