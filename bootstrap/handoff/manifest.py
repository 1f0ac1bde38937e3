"""Reads live-bootstrap's ``steps/manifest``, and works out which steps it makes of a configuration.

The language and its meaning are those of upstream's ``seed/script-generator.c`` (state of
2026-02-14), down to how it splits a line: words are parted by one space, ``#`` begins a comment
anywhere, and a word has at most 63 bytes.  Where that program would read something into a slip
(a word too many, an unknown directive, a variable that nobody set), this one raises an error.
"""

from __future__ import annotations

import graphlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bootstrap.core.errors import BadInput

Kind = Literal["build", "improve", "jump", "define", "uninstall"]
KINDS: tuple[Kind, ...] = ("build", "improve", "jump", "define", "uninstall")
MAX_WORD = 63
"""Bytes of a word that upstream's generator can hold (its MAX_TOKEN is 64, with the NUL)."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Term:
    """``NAME == VALUE``, ``NAME != VALUE``, or (without operator) a constant: ``True``."""

    name: str
    operator: Literal["==", "!=", ""]
    value: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.operator} {self.value}" if self.operator else self.name


@dataclass(frozen=True)
class Predicate:
    """Terms with ``||`` or ``&&`` between them.  They bind from the right, both equally."""

    terms: tuple[Term, ...]
    joins: tuple[str, ...]

    def __str__(self) -> str:
        words = [str(self.terms[0])]
        for join, term in zip(self.joins, self.terms[1:], strict=True):
            words += [join, str(term)]
        return f"( {' '.join(words)} )"

    @property
    def reads(self) -> tuple[str, ...]:
        """The variables that it reads, in order."""
        return tuple(term.name for term in self.terms if term.operator)

    def value(self, variables: Mapping[str, str]) -> str:
        """``True``, ``False``, or the constant itself; a variable that is not set is empty."""
        last, *before = reversed(self.terms)
        result = _term(last, variables)
        for term, join in zip(before, reversed(self.joins), strict=True):
            sides = (_term(term, variables) == "True", result == "True")
            result = str(any(sides) if join == "||" else all(sides))
        return result


def _term(term: Term, variables: Mapping[str, str]) -> str:
    if not term.operator:
        return term.name
    return str((variables.get(term.name, "") == term.value) == (term.operator == "=="))


@dataclass(frozen=True)
class Directive:
    """One line of the manifest.

    ``names`` are the packages, scripts or files; of a define the one variable, which becomes
    ``value`` or what ``logic`` gives.  ``line`` counts from 1.
    """

    kind: Kind
    names: tuple[str, ...]
    line: int
    predicate: Predicate | None = None
    value: str = ""
    logic: Predicate | None = None

    @property
    def argument(self) -> str:
        """The names as upstream's generator writes them into a script."""
        return " ".join(self.names)


@dataclass(frozen=True)
class ManifestStep:
    """A directive that the configuration lets through, in its place in the order of work.

    ``pass_number`` is that of a build, 0 otherwise; ``script`` is the number of the generated
    ``/steps/N.sh`` that the step stands in; ``era`` is the shell that runs it.
    """

    number: int
    directive: Directive
    pass_number: int
    script: int
    era: Literal["kaem", "bash"]

    @property
    def title(self) -> str:
        """``tcc-0.9.27 pass 2``, ``improve use_fhs``, ``uninstall perl-5.6.2``."""
        if self.directive.kind == "build":
            return f"{self.directive.argument} pass {self.pass_number}"
        return f"{self.directive.kind} {self.directive.argument}"


class _Line:
    """The words of one line, read from the left."""

    def __init__(self, words: list[str], file: str, number: int) -> None:
        self.words, self.file, self.number = words, file, number

    def error(self, fault: str) -> BadInput:
        return BadInput(f"{self.file}:{self.number}: {fault}")

    def take(self, what: str) -> str:
        if not self.words:
            raise self.error(f"ends where {what} should be")
        return self.words.pop(0)

    def name(self, pattern: re.Pattern[str], what: str) -> str:
        word = self.take(what)
        if not pattern.fullmatch(word):
            raise self.error(f"{word!r} is no {what}")
        return word


def read_manifest(text: str, file: str) -> tuple[Directive, ...]:
    """Every directive, in order.  Raises BadInput, with ``file`` and line, at the first fault."""
    directives = []
    for number, line in enumerate(text.split("\n"), 1):
        if line and not line.startswith("#"):
            directives.append(_directive(_Line(_words(line, file, number), file, number)))
    if not directives:
        raise BadInput(f"{file}: has no directive")
    return tuple(directives)


def _words(line: str, file: str, number: int) -> list[str]:
    body = line.partition("#")[0].removesuffix(" ")
    words = body.split(" ")
    for word in words:
        fault = None
        if not word:
            fault = "words are parted by one space, and none stands at the start"
        elif not word.isprintable():
            fault = f"{word!r} has a character that cannot be printed"
        elif len(word.encode("utf-8")) > MAX_WORD:
            fault = f"{word[:20]!r}... is longer than {MAX_WORD} bytes, which upstream cannot hold"
        if fault is not None:
            raise BadInput(f"{file}:{number}: {fault}")
    return words


def _directive(line: _Line) -> Directive:
    word = line.take("a directive")
    kind = next((kind for kind in KINDS if word == f"{kind}:"), None)
    if kind is None:
        raise line.error(f"unknown directive {word!r}; there are {': '.join(KINDS)}:")
    if kind == "define":
        return _define(line)
    if kind == "uninstall":
        names = []
        while line.words and line.words[0] != "(":
            is_file = line.words[0].startswith("/")
            what = "package or file for uninstall:"
            names.append(line.take("a file") if is_file else line.name(_NAME, what))
        if not names:
            raise line.error("uninstall: names nothing")
    else:
        names = [line.name(_NAME, f"name for {kind}:")]
    return Directive(kind, tuple(names), line.number, _predicate_at_end(line))


def _define(line: _Line) -> Directive:
    name = line.name(_VARIABLE, "name of a variable")
    if line.take("=") != "=":
        raise line.error(f"define of {name}: = is missing")
    value, logic = "", None
    if line.words[:1] == ["("]:
        logic = _logic(line)
    else:
        value = line.take("a value")
    return Directive("define", (name,), line.number, _predicate_at_end(line), value, logic)


def _predicate_at_end(line: _Line) -> Predicate | None:
    if not line.words:
        return None
    if line.words[0] != "(":
        raise line.error(f"{line.words[0]!r} stands where ( or the end should be")
    predicate = _logic(line)
    if line.words:
        raise line.error(f"{line.words[0]!r} stands after the closing )")
    return predicate


def _logic(line: _Line) -> Predicate:
    line.take("(")
    terms: list[Term] = []
    joins: list[str] = []
    while True:
        name = line.name(_VARIABLE, "name of a variable")
        operator = line.take("==, != or )")
        if operator == ")":
            terms.append(Term(name, ""))
            return Predicate(tuple(terms), tuple(joins))
        if operator not in ("==", "!="):
            raise line.error(f"{operator!r} stands after {name} where ==, != or ) should be")
        value = line.take("a value")
        if value in ("(", ")"):
            raise line.error(f"{name} {operator} has no value")
        terms.append(Term(name, "==" if operator == "==" else "!=", value))
        join = line.take("||, && or )")
        if join == ")":
            return Predicate(tuple(terms), tuple(joins))
        if join not in ("||", "&&"):
            raise line.error(f"{join!r} stands where ||, && or ) should be")
        joins.append(join)


def evaluate(
    directives: tuple[Directive, ...], configuration: Mapping[str, str]
) -> tuple[tuple[ManifestStep, ...], dict[str, str]]:
    """The steps that upstream's generator would write scripts for, and the variables at the end.

    ``configuration`` is ``bootstrap.cfg``: names and values, in order.
    """
    variables = dict(configuration)
    first = next(iter(variables), None)
    late: dict[str, str] = {}
    kept: list[Directive] = []
    for directive in directives:
        if directive.predicate and directive.predicate.value(variables) != "True":
            continue
        if directive.kind != "define":
            kept.append(directive)
            continue
        name, logic = directive.names[0], directive.logic
        value = logic.value(variables) if logic else directive.value
        # Upstream's loop never reaches the first variable: a define of it becomes another line at
        # the end. Predicates go on reading the first; who reads the file has the last.
        (late if name == first else variables)[name] = value
    return _numbered(kept), variables | late


def _numbered(directives: list[Directive]) -> tuple[ManifestStep, ...]:
    steps: list[ManifestStep] = []
    seen: dict[str, int] = {}
    script = 0
    era: Literal["kaem", "bash"] = "kaem"
    for number, directive in enumerate(directives, 1):
        argument = directive.argument
        build = directive.kind == "build"
        pass_number = seen.get(argument, 0) + 1 if build else 0
        steps.append(ManifestStep(number, directive, pass_number, script, era))
        # Upstream counts every earlier line with the same argument, whatever it does.
        seen[argument] = seen.get(argument, 0) + 1
        if build and argument.startswith("bash-"):
            era = "bash"
            script += 1
        elif directive.kind == "jump":
            script += 1
    return tuple(steps)


def unset_variables(
    directives: tuple[Directive, ...], configuration: Mapping[str, str], file: str
) -> dict[str, int]:
    """Variables that a line reads and nobody sets -> the first such line.

    Raises BadInput where a variable is read above the line that defines it: for upstream it would
    be empty there, which nobody can have meant; the error says if that goes round in a cycle.
    """
    defined: dict[str, int] = {}
    for directive in directives:
        if directive.kind == "define":
            defined.setdefault(directive.names[0], directive.line)
    known = set(configuration)
    unset: dict[str, int] = {}
    for directive in directives:
        for name in _reads(directive):
            if name not in known and name in defined:
                _require_no_cycle(directives, known, file, directive.line)
                below = f"only line {defined[name]} defines it"
                raise BadInput(f"{file}:{directive.line}: {name} is read here, and {below}")
            if name not in known:
                unset.setdefault(name, directive.line)
        if directive.kind == "define":
            known.add(directive.names[0])
    return unset


def _reads(directive: Directive) -> tuple[str, ...]:
    logics = (directive.logic, directive.predicate)
    return tuple(name for logic in logics if logic is not None for name in logic.reads)


def _require_no_cycle(
    directives: tuple[Directive, ...], known: set[str], file: str, line: int
) -> None:
    needs: dict[str, set[str]] = {}
    for directive in directives:
        if directive.kind == "define" and directive.names[0] not in known:
            needs.setdefault(directive.names[0], set()).update(set(_reads(directive)) - known)
    try:
        graphlib.TopologicalSorter(needs).prepare()
    except graphlib.CycleError as error:
        ring = " <- ".join(reversed(error.args[1]))
        raise BadInput(f"{file}:{line}: a cycle: {ring}, each defined from the next") from None
