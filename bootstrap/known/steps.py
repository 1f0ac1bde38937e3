"""The folders of data, and the step files as a whole: which there are, and which a user means."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import re
from collections.abc import Iterable
from dataclasses import replace
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import bootstrap
from bootstrap.core.errors import BadInput
from bootstrap.documents import decoded, path_fault
from bootstrap.known.schema import StepFile, parse

RELEASES = "stage0-posix"
EMBEDDED = "embedded"
STAGEX = "stagex-stage0"

_ALIASES = {
    "x86": ("x86", "i386", "i486", "i586", "i686", "ia32", "x86_32"),
    "AMD64": ("amd64", "x86_64", "x64"),
    "AArch64": ("aarch64", "arm64"),
    "riscv64": ("riscv64", "rv64"),
    "riscv32": ("riscv32", "rv32"),
    "armv7l": ("armv7l", "armv7", "arm"),
}
_CANONICAL = {alias: name for name, aliases in _ALIASES.items() for alias in aliases}


def data_dir(kind: Literal["steps", "seeds"]) -> Traversable:
    """The folder ``steps`` or ``seeds``.

    An installed wheel carries them as ``bootstrap/_data/<kind>``; in a checkout they stand beside
    the package.  Raises BadInput when neither is there.
    """
    installed = importlib.resources.files("bootstrap") / "_data" / kind
    if installed.is_dir():
        return installed
    checkout = Path(bootstrap.__file__).resolve().parent.parent / kind
    if checkout.is_dir():
        return checkout
    raise BadInput(
        f"the folder {kind}/ is neither in the installed package ({installed}) nor in a checkout"
        f" ({checkout}); install the package again"
    )


def read_data(place: Traversable) -> bytes:
    """A file of such a folder.  Raises BadInput."""
    try:
        return place.read_bytes()
    except OSError as error:
        raise BadInput(f"{place}: cannot be read: {error.strerror}") from None


def arch_name(alias: str) -> str:
    """The catalogue's name of an architecture given in any case or by a usual alias.

    ``-`` and ``_`` count as the same.  Raises BadInput, naming those that are known.
    """
    try:
        return _CANONICAL[alias.strip().lower().replace("-", "_")]
    except KeyError:
        raise BadInput(f"unknown architecture {alias!r}; known: {', '.join(_ALIASES)}") from None


def read_all(folder: Traversable) -> tuple[StepFile, ...]:
    """Every step file of a folder, by name of file.

    Raises BadInput when a file cannot be read, fails its checks, is not called after what it
    says, or says the same release and architecture as another.
    """
    steps: list[StepFile] = []
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        if entry.name.endswith(".toml"):
            steps.append(_read(entry))
    _check_unique(steps)
    return tuple(steps)


def _read(entry: Traversable) -> StepFile:
    data = read_data(entry)
    step = replace(parse(data, f"steps/{entry.name}"), sha256=hashlib.sha256(data).hexdigest())
    if step.arch not in _ALIASES:
        raise BadInput(f"{step.file}: arch is {step.arch!r}; known: {', '.join(_ALIASES)}")
    called = step.title.replace(" ", "-") + ".toml"
    if entry.name != called:
        raise BadInput(f"{step.file}: says that it is {step.title}, so it must be called {called}")
    return step


def _check_unique(steps: Iterable[StepFile]) -> None:
    # Two files can only say the same on a file system where case counts, or by a '-' in a name.
    seen: dict[str, StepFile] = {}
    for step in steps:
        other = seen.setdefault(step.title.lower(), step)
        if other is not step:
            raise BadInput(f"{step.file} and {other.file} both say that they are {step.title}")


@functools.cache
def all_steps() -> tuple[StepFile, ...]:
    """The step files that come with this installation."""
    return read_all(data_dir("steps"))


def releases(name: str = RELEASES) -> tuple[str, ...]:
    """The releases that the catalogue knows, oldest first."""
    known = {step.release for step in all_steps() if step.name == name and step.release}
    return tuple(sorted(known, key=_release_order))


def default_release(name: str = RELEASES) -> str:
    """The newest numbered release in the catalogue.  Raises BadInput when there is none."""
    numbered = [release for release in releases(name) if release[0].isdigit()]
    if not numbered:
        raise BadInput(f"the catalogue (steps/) has no release of {name}")
    return numbered[-1]


def architectures(name: str, release: str | None) -> tuple[str, ...]:
    """The architectures that the catalogue has a step file for, in the order of the aliases."""
    known = {step.arch for step in all_steps() if (step.name, step.release) == (name, release)}
    return tuple(arch for arch in _ALIASES if arch in known)


def steps_of(name: str, release: str | None) -> tuple[StepFile, ...]:
    """The step files of one release, one for each architecture.  Raises BadInput if none."""
    found = tuple(step for step in all_steps() if (step.name, step.release) == (name, release))
    if not found:
        known = ", ".join(releases(name)) or "none"
        raise BadInput(
            f"{name} {release} is not in the catalogue (steps/); known releases: {known}"
        )
    return found


def find(name: str, release: str | None, arch: str) -> StepFile:
    """The step file of a release and architecture (by any alias).

    Raises BadInput, saying what is known, when there is none.
    """
    wanted = arch_name(arch)
    for step in steps_of(name, release):
        if step.arch == wanted:
            return step
    if wanted == "armv7l":
        raise BadInput("armv7l has no seed and no answers upstream, so there is nothing to verify")
    known = ", ".join(architectures(name, release))
    title = " ".join(part for part in (name, release) if part)
    raise BadInput(f"{title} has no step file for {wanted}; there are: {known}")


def tree_files(step: StepFile) -> frozenset[str] | None:
    """All paths of the release's tree, or None where no list was recorded.

    The list is a text file beside the step file, one path a line, sorted.
    """
    if step.tree_files is None:
        return None
    return _tree_files(step.tree_files)


@functools.cache
def _tree_files(file: str) -> frozenset[str]:
    text = decoded(read_data(data_dir("steps") / file), f"steps/{file}")
    return parse_tree_files(text.splitlines(), f"steps/{file}")


def parse_tree_files(lines: list[str], file: str) -> frozenset[str]:
    """Check a list of paths: plain, sorted, none twice.  Raises BadInput with the line."""
    before = ""
    for number, line in enumerate(lines, 1):
        fault = path_fault(line)
        if fault is not None:
            raise BadInput(f"{file}:{number}: {line!r} {fault}")
        if line <= before:
            fault = "is there twice" if line == before else f"must stand before {before!r}"
            raise BadInput(f"{file}:{number}: {line!r} {fault}")
        before = line
    return frozenset(lines)


def _release_order(release: str) -> tuple[tuple[int, int, str], ...]:
    parts = re.split(r"[.-]", release)
    return tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in parts)
