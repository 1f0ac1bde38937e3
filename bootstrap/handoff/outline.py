"""The outline of any Containerfile: stages, what they are built from, what they run, and where.

``bootstrap.sources.containerfile`` reads what it is going to run, and refuses the rest.  Here
nothing is run, so shells, here-documents and variables are kept as they are written; an
instruction that is not known is an error all the same.  The syntax is BuildKit's
(docs.docker.com/reference/dockerfile).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from bootstrap.core.errors import BadInput

_HEREDOC = re.compile(r"(?<!<)<<(-?)([\"']?)([A-Za-z_][A-Za-z0-9_]*)\2")
_FLAG = re.compile(r"--([a-z]+)(?:=(\S+))?")
_KNOWN = frozenset(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL ONBUILD RUN SHELL STOPSIGNAL "
    "USER VOLUME WORKDIR".split()
)


@dataclass(frozen=True)
class Run:
    """A RUN: its words or its here-document; ``network`` is that of ``--network=``, or empty."""

    text: str
    network: str
    line: int


@dataclass(frozen=True)
class Taken:
    """Files that come in: from a stage, an image or a build context (``origin``), or the folder."""

    origin: str | None
    source: str
    line: int


@dataclass
class Stage:
    """One FROM: ``base`` is an image, an earlier stage or ``scratch``."""

    name: str
    base: str
    line: int
    taken: list[Taken] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    environment: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Name -> the value it has at the end, and the line that set it."""


@dataclass(frozen=True)
class _Instruction:
    name: str
    flags: dict[str, str]
    rest: str
    body: str
    line: int


def read_outline(text: str, file: str) -> dict[str, Stage]:
    """The stages by name, in order.  Raises BadInput with ``file`` and line."""
    stages: dict[str, Stage] = {}
    stage: Stage | None = None
    for instruction in _instructions(text, file):
        if instruction.name == "FROM":
            stage = _from(instruction, stages, file)
            stages[stage.name] = stage
        elif stage is not None:
            _add(instruction, stage, f"{file}:{instruction.line}")
        elif instruction.name != "ARG":
            where = f"{file}:{instruction.line}"
            raise BadInput(f"{where}: {instruction.name} stands before the first FROM")
    if not stages:
        raise BadInput(f"{file}: has no FROM")
    _require_order(stages, file)
    return stages


def _instructions(text: str, file: str) -> Iterator[_Instruction]:
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        line, start = lines[at].strip(), at + 1
        at += 1
        if not line or line.startswith("#"):
            continue
        while line.endswith("\\"):
            if at == len(lines):
                raise BadInput(f"{file}:{start}: the last line goes on after its end")
            more = lines[at].strip()
            at += 1
            if not more.startswith("#"):
                line = f"{line[:-1].rstrip()} {more}"
        name, _, rest = line.partition(" ")
        if name.upper() not in _KNOWN:
            raise BadInput(f"{file}:{start}: unknown instruction {name!r}")
        body: list[str] = []
        for tabs, _, mark in (
            _HEREDOC.findall(rest) if name.upper() in ("RUN", "COPY", "ADD") else ()
        ):
            end = next((n for n in range(at, len(lines)) if _bare(lines[n], tabs) == mark), None)
            if end is None:
                raise BadInput(f"{file}:{start}: the here-document has no end {mark}")
            body += [_bare(text, tabs) for text in lines[at:end]]
            at = end + 1
        flags, rest = _flags(rest.strip())
        yield _Instruction(name.upper(), flags, rest, "\n".join(body), start)


def _bare(line: str, tabs: str) -> str:
    return line.lstrip("\t") if tabs else line


def _flags(rest: str) -> tuple[dict[str, str], str]:
    flags = {}
    while match := _FLAG.match(rest):
        flags[match[1]] = match[2] or ""
        rest = rest[match.end() :].lstrip()
    return flags, rest


def _from(instruction: _Instruction, stages: dict[str, Stage], file: str) -> Stage:
    where = f"{file}:{instruction.line}"
    words = instruction.rest.split()
    if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
        raise BadInput(f"{where}: FROM needs an image, or an image AS a name")
    name = words[2] if len(words) == 3 else str(len(stages))
    if name in stages:
        raise BadInput(f"{where}: there are two stages {name}")
    return Stage(name, words[0], instruction.line)


def _add(instruction: _Instruction, stage: Stage, where: str) -> None:
    line = instruction.line
    if instruction.name == "RUN":
        network = instruction.flags.get("network", "")
        stage.runs.append(Run(instruction.body or instruction.rest, network, line))
    elif instruction.name in ("ADD", "COPY") and not instruction.body:
        words = instruction.rest.split()
        if len(words) < 2:
            raise BadInput(f"{where}: {instruction.name} needs a source and a target")
        origin = instruction.flags.get("from")
        stage.taken += [Taken(origin, word, line) for word in words[:-1]]
    elif instruction.name == "ENV":
        for name, value in _settings(instruction.rest, where):
            stage.environment[name] = (value, line)


def _settings(rest: str, where: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(rest)
    except ValueError as error:
        raise BadInput(f"{where}: ENV is not understood: {error}") from None
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            raise BadInput(f"{where}: ENV needs NAME=VALUE, and {word!r} is none")
        yield name, value


def _require_order(stages: dict[str, Stage], file: str) -> None:
    """Raise where a stage is made of itself or of one below it: a cycle, for a builder."""
    before: set[str] = set()
    for stage in stages.values():
        origins = [(stage.base, stage.line), *((t.origin, t.line) for t in stage.taken)]
        for origin, line in origins:
            if origin == stage.name:
                raise BadInput(f"{file}:{line}: a cycle: stage {stage.name} is made of itself")
            if origin in stages and origin not in before:
                raise BadInput(
                    f"{file}:{line}: stage {origin} stands only below stage {stage.name}"
                )
        before.add(stage.name)


def images(stages: dict[str, Stage]) -> dict[str, int]:
    """What comes in that no stage here makes (images, build contexts) -> the first line."""
    found: dict[str, int] = {}
    for stage in stages.values():
        for origin, line in [(stage.base, stage.line), *((t.origin, t.line) for t in stage.taken)]:
            if origin is not None and origin != "scratch" and origin not in stages:
                found.setdefault(origin, line)
    return found
