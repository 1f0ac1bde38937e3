"""Reads Containerfiles: strictly what is going to be run, in outline what is only shown.

The syntax is BuildKit's (docs.docker.com/reference/dockerfile).  `read_containerfile` takes FROM
scratch, ARG, ENV, WORKDIR, ADD, COPY with --from or a here-document, and RUN in its exec form: what
is not understood is never skipped there, it could be what matters.  `read_outline` takes any
instruction that BuildKit has, and keeps shells, here-documents and variables as they are written.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from bootstrap.core.errors import BadInput
from bootstrap.documents import BadValue, typed_json

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEREDOC = re.compile(r"(?<!<)<<(-?)([\"']?)([A-Za-z_][A-Za-z0-9_]*)\2")
_WITH_HEREDOC = ("RUN", "COPY", "ADD")
_FLAG = re.compile(r"--([a-z][a-z-]*)(?:=(\S+))?")
_KNOWN = frozenset(
    "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL ONBUILD RUN SHELL STOPSIGNAL "
    "USER VOLUME WORKDIR".split()
)


@dataclass(frozen=True)
class BuildInstruction:
    """One instruction: its name as written, its flags, and the rest of its words.

    ``body`` is what its here-documents hold; ``continued``: it is written on several lines.
    """

    name: str
    flags: tuple[tuple[str, str], ...]
    rest: str
    body: str
    line: int
    continued: bool


def read_instructions(text: str, file: str) -> Iterator[BuildInstruction]:
    """All of them, whatever their names.  Raises BadInput: one is cut off."""
    lines = text.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        line, start = lines[at].strip(), at + 1
        at += 1
        if not line or line.startswith("#"):
            continue
        continued = line.endswith("\\")
        while line.endswith("\\"):
            if at == len(lines):
                raise BadInput(f"{file}:{start}: the last line goes on after its end")
            more = lines[at].strip()
            at += 1
            if not more.startswith("#"):
                line = f"{line[:-1].rstrip()} {more}"
        name, _, rest = line.partition(" ")
        body: list[str] = []
        for tabs, _, mark in _HEREDOC.findall(rest) if name.upper() in _WITH_HEREDOC else ():
            while True:
                if at == len(lines):
                    raise BadInput(f"{file}:{start}: the here-document has no end {mark}")
                inner = lines[at].lstrip("\t") if tabs else lines[at]
                at += 1
                if inner.rstrip("\r\n") == mark:
                    break
                body.append(inner)
        flags, rest = [], rest.strip()
        while match := _FLAG.match(rest):
            flags.append((match[1], match[2] or ""))
            rest = rest[match.end() :].lstrip()
        yield BuildInstruction(name, tuple(flags), rest, "".join(body), start, continued)


# -- what is going to be run ---------------------------------------------------------------------


@dataclass(frozen=True)
class ContainerRun:
    """A program that the build runs: argv, directory, environment (in the order it was set)."""

    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    line: int


@dataclass(frozen=True)
class Copy:
    """A file or folder taken from the build context (``stage`` is None) or from another stage."""

    source: str
    target: str
    stage: str | None
    line: int


@dataclass
class Stage:
    """One FROM: always from scratch, so that nothing comes in unseen."""

    name: str
    copies: list[Copy] = field(default_factory=list)
    runs: list[ContainerRun] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    """Absolute path -> content of a here-document."""
    cwd: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    arguments: set[str] = field(default_factory=set)


def read_containerfile(text: str, file: str, arguments: Mapping[str, str]) -> dict[str, Stage]:
    """The stages by name, in order. ``arguments`` are the values of ARG.

    Raises BadInput, with ``file`` and line, at the first thing that is not understood.
    """
    reader = _Reader(file, arguments)
    for instruction in read_instructions(text, file):
        reader.take(instruction)
    return reader.stages


class _Reader:
    def __init__(self, file: str, arguments: Mapping[str, str]) -> None:
        self.file, self.arguments = file, arguments
        self.at = 0
        self.stages: dict[str, Stage] = {}

    def error(self, fault: str) -> BadInput:
        return BadInput(f"{self.file}:{self.at}: {fault}")

    def take(self, instruction: BuildInstruction) -> None:
        self.at = instruction.line
        name, rest = instruction.name, instruction.rest
        if instruction.continued:
            raise self.error("a continued line is not understood")
        if name == "FROM" and not instruction.flags:
            self._from(rest.split())
            return
        if name not in ("ARG", "ENV", "WORKDIR", "ADD", "COPY", "RUN"):
            raise self.error(f"the instruction {name} is not understood")
        if not self.stages:
            raise self.error(f"{name} stands before the first FROM")
        if instruction.flags and name != "COPY":
            raise self.error(f"{name} is understood without options only")
        stage = list(self.stages.values())[-1]
        if name == "ARG":
            if rest not in self.arguments:
                raise self.error(f"package.toml gives no value for ARG {rest}")
            stage.arguments.add(rest)
        elif name == "ENV":
            variable, sep, value = rest.partition("=")
            if not sep or not variable.isidentifier() or re.search(r"[\s\"'\\$]", value):
                raise self.error("only ENV NAME=VALUE without quotes is understood")
            stage.environment[variable] = value
        elif name == "WORKDIR":
            stage.cwd = self._absolute(stage, self._filled(stage, rest))
        elif name == "ADD":
            self._copied(stage, rest.split(), None)
        elif name == "COPY":
            self._copy(stage, instruction)
        else:
            self._run(stage, rest)

    def _from(self, words: list[str]) -> None:
        if len(words) != 3 or words[0] != "scratch" or words[1].upper() != "AS":
            raise self.error("only FROM scratch AS NAME is understood")
        if words[2] in self.stages:
            raise self.error(f"there are two stages {words[2]}")
        self.stages[words[2]] = Stage(words[2])

    def _copy(self, stage: Stage, instruction: BuildInstruction) -> None:
        words = instruction.rest.split()
        if not instruction.flags and words and words[0].startswith("<<"):
            self._here_document(stage, words, instruction.body)
            return
        origin = None
        if instruction.flags:
            (option, origin), *more = instruction.flags
            if option != "from" or more:
                raise self.error("COPY is understood with --from alone, without options")
            if origin not in self.stages:
                raise self.error(f"there is no stage {origin} before this line")
        self._copied(stage, words, origin)

    def _copied(self, stage: Stage, words: list[str], origin: str | None) -> None:
        if (
            len(words) != 2
            or words[0].startswith(("--", "<<"))
            or any(c in words[0] for c in "*?[")
        ):
            raise self.error("only one source and one target are understood, without options")
        source, target = (self._filled(stage, word) for word in words)
        into = target.endswith(("/", ".")) and not source.endswith("/")
        target = self._absolute(stage, target)
        if origin is None and "://" in source:
            raise self.error("an address is not understood; sources are files of the build")
        if into:
            target = f"{target.rstrip('/')}/{source.rstrip('/').rpartition('/')[2]}"
        stage.copies.append(Copy(source, target.rstrip("/") or "/", origin, self.at))

    def _here_document(self, stage: Stage, words: list[str], text: str) -> None:
        start = _HEREDOC.fullmatch(words[0])
        if start is None or len(words) != 2:
            raise self.error("only COPY <<NAME TARGET is understood")
        path = self._absolute(stage, self._filled(stage, words[1]))
        if not start[2] and ("$" in text or "\\" in text):
            raise self.error(f"{path} has a $ or \\, which BuildKit would replace")
        stage.texts[path] = text.encode()

    def _run(self, stage: Stage, words: str) -> None:
        try:
            argv = typed_json(tuple[str, ...], words)
        except BadValue:
            argv = ()
        if not argv:
            raise self.error('only RUN ["PROGRAM", "ARGUMENT", ...] is understood: no shell')
        stage.runs.append(ContainerRun(argv, stage.cwd, dict(stage.environment), self.at))

    def _filled(self, stage: Stage, text: str) -> str:
        def value(match: re.Match[str]) -> str:
            if match[1] not in stage.arguments:
                raise self.error(f"stage {stage.name} has no ARG {match[1]}")
            return self.arguments[match[1]]

        filled = _VARIABLE.sub(value, text)
        if "$" in filled or "\\" in filled:
            raise self.error(f"{text} is not understood; variables are written ${{NAME}}")
        return filled

    def _absolute(self, stage: Stage, path: str) -> str:
        parts = [*(stage.cwd.split("/") if not path.startswith("/") else ()), *path.split("/")]
        if ".." in parts:
            raise self.error(f"{path}: .. is not understood")
        return "/" + "/".join(part for part in parts if part not in ("", "."))


# -- what is only shown --------------------------------------------------------------------------


@dataclass(frozen=True)
class ShellRun:
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
class StageOutline:
    """One FROM: ``base`` is an image, an earlier stage or ``scratch``."""

    name: str
    base: str
    line: int
    taken: list[Taken] = field(default_factory=list)
    runs: list[ShellRun] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    """The values at the end of the stage."""
    set_at: dict[str, int] = field(default_factory=dict, metadata={"key": None})
    """The line that set each of them."""

    @property
    def origins(self) -> list[tuple[str | None, int]]:
        """What it is made of, and the lines that say so."""
        return [(self.base, self.line), *((taken.origin, taken.line) for taken in self.taken)]


def read_outline(text: str, file: str) -> dict[str, StageOutline]:
    """The stages by name, in order.  Raises BadInput with ``file`` and line."""
    stages: dict[str, StageOutline] = {}
    for instruction in read_instructions(text, file):
        where, name = f"{file}:{instruction.line}", instruction.name.upper()
        if name not in _KNOWN:
            raise BadInput(f"{where}: unknown instruction {instruction.name!r}")
        if name == "FROM":
            words = instruction.rest.split()
            if len(words) not in (1, 3) or (len(words) == 3 and words[1].upper() != "AS"):
                raise BadInput(f"{where}: FROM needs an image, or an image AS a name")
            called = words[2] if len(words) == 3 else str(len(stages))
            if called in stages:
                raise BadInput(f"{where}: there are two stages {called}")
            stages[called] = StageOutline(called, words[0], instruction.line)
        elif stages:
            _outline(name, instruction, list(stages.values())[-1], where)
        elif name != "ARG":
            raise BadInput(f"{where}: {name} stands before the first FROM")
    if not stages:
        raise BadInput(f"{file}: has no FROM")
    _require_order(stages, file)
    return stages


def _outline(name: str, instruction: BuildInstruction, stage: StageOutline, where: str) -> None:
    line, flags = instruction.line, dict(instruction.flags)
    if name == "RUN":
        text = "\n".join(instruction.body.splitlines()) or instruction.rest
        stage.runs.append(ShellRun(text, flags.get("network", ""), line))
    elif name in ("ADD", "COPY") and not instruction.body:
        words = instruction.rest.split()
        if len(words) < 2:
            raise BadInput(f"{where}: {name} needs a source and a target")
        stage.taken += [Taken(flags.get("from"), word, line) for word in words[:-1]]
    elif name == "ENV":
        try:
            settings = shlex.split(instruction.rest)
        except ValueError as error:
            raise BadInput(f"{where}: ENV is not understood: {error}") from None
        for setting in settings:
            variable, equals, value = setting.partition("=")
            if not equals or not variable.isidentifier():
                raise BadInput(f"{where}: ENV needs NAME=VALUE, and {setting!r} is none")
            stage.environment[variable], stage.set_at[variable] = value, line


def _require_order(stages: dict[str, StageOutline], file: str) -> None:
    """Raise where a stage is made of itself or of one below it: a cycle, for a builder."""
    before: set[str] = set()
    for stage in stages.values():
        for origin, line in stage.origins:
            if origin == stage.name:
                raise BadInput(f"{file}:{line}: a cycle: stage {stage.name} is made of itself")
            if origin in stages and origin not in before:
                raise BadInput(
                    f"{file}:{line}: stage {origin} stands only below stage {stage.name}"
                )
        before.add(stage.name)


def images(stages: dict[str, StageOutline]) -> dict[str, int]:
    """What comes in that no stage here makes (images, build contexts) -> the first line."""
    found: dict[str, int] = {}
    for stage in stages.values():
        for origin, line in stage.origins:
            if origin is not None and origin != "scratch" and origin not in stages:
                found.setdefault(origin, line)
    return found
