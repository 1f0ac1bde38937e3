"""Reads the few instructions of a Containerfile that a bootstrap stage uses; the rest is an error.

The syntax is BuildKit's (docs.docker.com/reference/dockerfile). Read are FROM,
ARG, ENV, WORKDIR, ADD, COPY with --from or a here-document, and RUN in its exec form. What is not
understood is never skipped: it could be what matters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bootstrap.core.errors import BadInput
from bootstrap.documents import Fault, typed_json

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_HEREDOC = re.compile(r"<<(-?)([\"']?)([A-Za-z0-9_]+)\2")


@dataclass(frozen=True)
class Run:
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
    runs: list[Run] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    """Absolute path -> content of a here-document."""
    cwd: str = "/"
    environment: dict[str, str] = field(default_factory=dict)
    arguments: set[str] = field(default_factory=set)


class _Reader:
    def __init__(self, text: str, file: str, arguments: Mapping[str, str]) -> None:
        self.lines = text.splitlines(keepends=True)
        self.file = file
        self.arguments = arguments
        self.at = 0
        self.stages: dict[str, Stage] = {}
        self.stage: Stage | None = None

    def error(self, fault: str) -> BadInput:
        return BadInput(f"{self.file}:{self.at}: {fault}")

    def read(self) -> dict[str, Stage]:
        while self.at < len(self.lines):
            line = self.lines[self.at].strip()
            self.at += 1
            if not line or line.startswith("#"):
                continue
            name, _, rest = line.partition(" ")
            if line.endswith("\\"):
                raise self.error("a continued line is not understood")
            if name == "FROM":
                self._from(rest.split())
                continue
            handler = {
                "ARG": self._arg,
                "ENV": self._env,
                "WORKDIR": self._workdir,
                "ADD": self._add,
                "COPY": self._copy,
                "RUN": self._run,
            }.get(name)
            if handler is None:
                raise self.error(f"the instruction {name} is not understood")
            if self.stage is None:
                raise self.error(f"{name} stands before the first FROM")
            handler(self.stage, rest.strip())
        return self.stages

    def _from(self, words: list[str]) -> None:
        if len(words) != 3 or words[0] != "scratch" or words[1].upper() != "AS":
            raise self.error("only FROM scratch AS NAME is understood")
        if words[2] in self.stages:
            raise self.error(f"there are two stages {words[2]}")
        self.stage = self.stages[words[2]] = Stage(words[2])

    def _arg(self, stage: Stage, rest: str) -> None:
        if rest not in self.arguments:
            raise self.error(f"package.toml gives no value for ARG {rest}")
        stage.arguments.add(rest)

    def _env(self, stage: Stage, rest: str) -> None:
        name, sep, value = rest.partition("=")
        if not sep or not name.isidentifier() or re.search(r"[\s\"'\\$]", value):
            raise self.error("only ENV NAME=VALUE without quotes is understood")
        stage.environment[name] = value

    def _workdir(self, stage: Stage, rest: str) -> None:
        stage.cwd = self._absolute(stage, self._filled(stage, rest))

    def _add(self, stage: Stage, rest: str) -> None:
        self._copied(stage, rest.split(), None)

    def _copy(self, stage: Stage, rest: str) -> None:
        words = rest.split()
        if words and words[0].startswith("<<"):
            self._here_document(stage, words)
            return
        origin = None
        if words and words[0].startswith("--from="):
            origin = words.pop(0).removeprefix("--from=")
            if origin not in self.stages:
                raise self.error(f"there is no stage {origin} before this line")
        self._copied(stage, words, origin)

    def _copied(self, stage: Stage, words: list[str], origin: str | None) -> None:
        if len(words) != 2 or words[0].startswith("--") or any(c in words[0] for c in "*?["):
            raise self.error("only one source and one target are understood, without options")
        source, target = (self._filled(stage, word) for word in words)
        into = target.endswith(("/", ".")) and not source.endswith("/")
        target = self._absolute(stage, target)
        if origin is None and "://" in source:
            raise self.error("an address is not understood; sources are files of the build")
        if into:
            target = f"{target.rstrip('/')}/{source.rstrip('/').rpartition('/')[2]}"
        stage.copies.append(Copy(source, target.rstrip("/") or "/", origin, self.at))

    def _here_document(self, stage: Stage, words: list[str]) -> None:
        start = _HEREDOC.fullmatch(words[0])
        if start is None or len(words) != 2:
            raise self.error("only COPY <<NAME TARGET is understood")
        tabs, quote, mark = start.groups()
        path = self._absolute(stage, self._filled(stage, words[1]))
        first = self.at
        content: list[str] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            if tabs:
                line = line.lstrip("\t")
            if line.rstrip("\n") == mark:
                text = "".join(content)
                if not quote and ("$" in text or "\\" in text):
                    raise self.error(f"{path} has a $ or \\, which BuildKit would replace")
                stage.texts[path] = text.encode()
                return
            content.append(line)
        self.at = first
        raise self.error(f"the here-document has no end {mark}")

    def _run(self, stage: Stage, rest: str) -> None:
        try:
            argv = typed_json(tuple[str, ...], rest)
        except Fault:
            argv = ()
        if not argv:
            raise self.error('only RUN ["PROGRAM", "ARGUMENT", ...] is understood: no shell')
        stage.runs.append(Run(argv, stage.cwd, dict(stage.environment), self.at))

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


def read_containerfile(text: str, file: str, arguments: Mapping[str, str]) -> dict[str, Stage]:
    """The stages by name, in order. ``arguments`` are the values of ARG.

    Raises BadInput, with ``file`` and line, at the first thing that is not understood.
    """
    return _Reader(text, file, arguments).read()
