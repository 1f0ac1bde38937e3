"""The language of the debugger: one line is one command. Reads lines; does nothing.

Keys of the screen, lines of a script and gdb's `monitor` all become these commands. A `#` after a
blank or at the start of a line begins a comment; "..." keeps blanks together, with \" and \\
inside. The commands themselves are rows of command_table.py.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bootstrap.core.errors import BadInput
from bootstrap.debug.stops import StopReason

NOTHING = '""'
"""How a word that is empty is shown."""
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]{1,16}|\d{1,3}(?:,\d{3})+|\d{1,20}", re.ASCII)
_ADDRESS = re.compile(
    rf"(?P<base>{_NUMBER.pattern}|[A-Za-z_.$][\w.$]*)(?P<plus>[+-](?:0[xX][0-9a-fA-F]{{1,16}}|\d{{1,20}}))?",
    re.ASCII,
)
_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
_QUOTED = re.compile(r'"((?:\\["\\]|[^"])*+)"')
_WORD = re.compile(rf'\s*(?:(?P<word>(?:[^\s"]|{_QUOTED.pattern})+)|(?P<open>"))')


class BadCommand(BadInput):
    """A line that is no command; `column` is where, from 1."""

    def __init__(self, column: int, message: str) -> None:
        super().__init__(f"column {column}: {message}")
        self.column = column


@dataclass(frozen=True, slots=True)
class CommandWord:
    """A piece of a line."""

    text: str
    column: int
    """From 1."""
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Param:
    """An argument. Kinds: count, number, text, name, choice, span, check (the rest)."""

    name: str
    kind: str
    optional: bool = True
    key: bool = False
    """Written `name=value`, anywhere."""
    size: int = 1
    """Of a span: bytes, where none are given."""
    skips: bool = False
    """Of a choice: a word that is none is the next argument's."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Of a choice: each word, and the one that it stands for."""


def choices(*groups: str) -> dict[str, str]:
    """For Param: of each group of words the first is what all of them stand for."""
    return {word: group.split()[0] for group in groups for word in group.split()}


@dataclass(frozen=True, slots=True)
class Verb:
    """A command: a row of the table."""

    name: str
    usage: str
    help: str
    group: str
    do: Callable[[Any, DebugCommand], CommandResult]
    """What it does, with an Interpreter."""
    params: tuple[Param, ...] = ()
    aliases: tuple[str, ...] = ()
    reverse: str = ""
    """The command that goes the other way."""
    moves: bool = False
    completes: str = "addresses"
    """The fields of Names that its arguments come from, with what then follows."""

    @property
    def screen(self) -> bool:
        """Whether it is only for where there is a screen."""
        return self.group == "screen"


@dataclass(frozen=True, slots=True)
class Focus:
    """What a result is about, for a screen to show: an address, or a line of a source."""

    guest_addr: int | None = None
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What came of a command."""

    lines: tuple[str, ...] = ()
    stop: StopReason | None = None
    """Where a move came to its end."""
    focus: Focus | None = None
    ends: bool = False
    """The session is over."""


@dataclass(frozen=True, slots=True)
class MemorySpan:
    """Memory: a number, a register or a label with what is added to it, and how many bytes."""

    base: str
    plus: int = 0
    size: int = 1
    sized: bool = field(default=True, compare=False)
    """Whether somebody said how many."""

    def __str__(self) -> str:
        plus = f"{'+' if self.plus > 0 else '-'}{abs(self.plus):#x}" if self.plus else ""
        return f"{self.base}{plus}:{self.size}"


OPERATORS = ("=", "!=", "~")
"""Of a check: equal, not equal, contains."""


@dataclass(frozen=True, slots=True)
class CommandCheck:
    """What `expect` wants: `subject` (of something) `operator` `value`."""

    subject: str
    operator: str
    value: str
    of: str = ""

    def __str__(self) -> str:
        if self.subject == "at":
            return f"at {_quoted(self.value)}"
        of = f" {_quoted(self.of)}" if self.of else ""
        return f"{self.subject}{of} {self.operator} {_quoted(self.value)}"


Value = int | str | MemorySpan | CommandCheck
"""What an argument can be."""


@dataclass(frozen=True)
class DebugCommand:
    """A command that was read. `values`: its arguments by name, those that were given."""

    verb: Verb
    values: Mapping[str, Value] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The verb's own name, whichever the line had."""
        return self.verb.name

    def number(self, name: str, otherwise: int = 1) -> int:
        """A number."""
        value = self.values.get(name, otherwise)
        assert isinstance(value, int)
        return value

    def text(self, name: str) -> str:
        """A text; empty where none was given."""
        value = self.values.get(name, "")
        assert isinstance(value, str)
        return value

    def span(self, name: str) -> MemorySpan | None:
        """Memory."""
        value = self.values.get(name)
        assert value is None or isinstance(value, MemorySpan)
        return value

    def check(self) -> CommandCheck:
        """What is expected."""
        value = self.values["check"]
        assert isinstance(value, CommandCheck)
        return value

    def __str__(self) -> str:
        """The line, as it is saved in a script; reading it gives this command again."""
        parts = [self.name]
        for param in self.verb.params:
            if param.name in self.values:
                text = str(self.values[param.name])
                if param.kind == "check":
                    parts.append(text)
                elif param.key:
                    parts.append(f"{param.name}={_quoted(text)}" if text else f'{param.name}=""')
                else:
                    parts.append(_quoted(text))
        return " ".join(parts)


def _quoted(text: str) -> str:
    if text and text not in OPERATORS and not re.search(r'^#|[\s"]', text):
        return text
    inner = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{inner}"'


def split(line: str) -> list[CommandWord]:
    """The words of a line, without its comment. Raises BadCommand."""
    found: list[CommandWord] = []
    for match in _WORD.finditer(line):
        raw = match["word"]
        if raw is None:
            raise BadCommand(match.start("open") + 1, 'a " without its second one')
        if raw.startswith("#"):
            break
        text = _QUOTED.sub(lambda quoted: re.sub(r'\\(["\\])', r"\1", quoted[1]), raw)
        found.append(CommandWord(text, match.start("word") + 1, '"' in raw))
    return found


def read(line: str, verbs: Mapping[str, Verb]) -> DebugCommand | None:
    """Read a line; None for one without a command. Raises BadCommand."""
    words = split(line)
    if not words:
        return None
    first = words[0]
    verb = verbs.get(first.text)
    if verb is None:
        near = difflib.get_close_matches(first.text, verbs, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BadCommand(
            first.column, f"there is no command {first.text}{hint} (`help` lists them)"
        )
    if first.text == "next" and len(words) == 1:
        verb = verbs["over"]  # as gdb has it
    return DebugCommand(verb, _arguments(verb, line, words))


def _arguments(verb: Verb, line: str, words: Sequence[CommandWord]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    rest = list(words[1:])
    keys = {param.name: param for param in verb.params if param.key}
    for param in verb.params:
        if param.key:
            continue
        plain = [word for word in rest if _key(word, keys) is None]
        if not plain:
            if not param.optional:
                raise BadCommand(_end(words), f"{param.name.upper()} is missing: {verb.usage}")
            continue
        if param.kind == "check":
            values[param.name] = check_of(plain, _end(words))
            return values
        word = plain[0]
        later = verb.params[verb.params.index(param) + 1 :]
        if param.optional and len(plain) <= sum(not one.optional for one in later):
            continue
        if param.skips and word.text not in param.choices:
            continue
        values[param.name] = _READERS[param.kind](param, word)
        rest.remove(word)
    for word in rest:
        key = _key(word, keys)
        if key is None:
            raise BadCommand(word.column, f"{word.text} is too much: {verb.usage}")
        if key in values:
            raise BadCommand(word.column, f"{key}= a second time")
        begin = len(key) + 1
        values[key] = _READERS[keys[key].kind](
            keys[key], CommandWord(word.text[begin:], word.column + begin, word.quoted)
        )
    return values


def _end(words: Sequence[CommandWord]) -> int:
    """The column after the last word."""
    return words[-1].column + len(words[-1].text) + 2 * words[-1].quoted


def _key(word: CommandWord, keys: Mapping[str, Param]) -> str | None:
    name, sign, _ = word.text.partition("=")
    return name if sign and name in keys else None


# What arguments look like.


def number_of(text: str) -> int | None:
    """A number, in decimal (with commas or without) or with 0x; None for what is none."""
    if _NUMBER.fullmatch(text) is None:
        return None
    return int(text, 16) if text[:2] in ("0x", "0X") else int(text.replace(",", ""))


def _number(param: Param, word: CommandWord) -> int:
    found = number_of(word.text)
    if found is None or word.quoted or (param.kind == "count" and not found):
        of = " of times (1 or more)" if param.kind == "count" else ""
        raise BadCommand(word.column, f"{_shown(word)} is no number{of}")
    return found


def _text(param: Param, word: CommandWord) -> str:
    if not word.text:
        raise BadCommand(word.column, f"{param.name.upper()} is empty")
    return word.text


def _name(param: Param, word: CommandWord) -> str:
    if _NAME.fullmatch(word.text) is None:
        raise BadCommand(
            word.column, f"{_shown(word)} is no name: letters, digits, _, . and - (at most 64)"
        )
    return word.text


def _choice(param: Param, word: CommandWord) -> str:
    choices = param.choices
    found = choices.get(word.text)
    if found is None:
        near = difflib.get_close_matches(word.text, choices, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        names = ", ".join(dict.fromkeys(choices.values()))
        raise BadCommand(word.column, f"{_shown(word)}: {hint}One of {names}")
    return found


def span_of(text: str, size: int = 1, column: int = 1) -> MemorySpan:
    """`ADDR` (then of that size) or `ADDR:LEN`; `size` 0: only the former. Raises BadCommand."""
    address, colon, length = text.partition(":") if size else (text, "", "")
    match = _ADDRESS.fullmatch(address)
    if match is None:
        raise BadCommand(
            column,
            f"{address or NOTHING} is no address: a number, a register or a label, and +N or -N",
        )
    found = number_of(length) if colon else size
    if found is None or not min(size, 1) <= found <= 1 << 20:
        raise BadCommand(
            column + len(address) + 1,
            f"{length or 'nothing'} is no number of bytes (1 to 1048576)",
        )
    return MemorySpan(match["base"], int(match["plus"] or "0", 0), found, bool(colon))


def check_of(words: Sequence[CommandWord], end: int) -> CommandCheck:
    """`at PLACE`, `pc = 0x8048054`, `mem esp:4 = 03000000`. Raises BadCommand."""
    subject = _name(Param("subject", "name"), words[0])
    if subject == "at":
        if len(words) == 1:
            raise BadCommand(end, "PLACE is missing: expect at PLACE")
        if len(words) > 2:
            raise BadCommand(words[2].column, f"{_shown(words[2])} is too much: expect at PLACE")
        return CommandCheck("at", "=", _text(Param("place", "text"), words[1]))
    of = ""
    rest = list(words[1:])
    if len(rest) > 1 and not _operator(rest[0]):
        of = _text(Param("of", "text"), rest.pop(0))
    if not rest or not _operator(rest[0]):
        column = rest[0].column if rest else end
        raise BadCommand(column, "here comes =, != or ~ (contains), between blanks")
    if len(rest) == 1:
        raise BadCommand(end, f"a value is missing after {rest[0].text}")
    return CommandCheck(subject, rest[0].text, " ".join(word.text for word in rest[1:]), of)


def _operator(word: CommandWord) -> bool:
    return not word.quoted and word.text in OPERATORS


def _shown(word: CommandWord) -> str:
    return word.text or NOTHING


_READERS: dict[str, Callable[[Param, CommandWord], Value]] = {
    "count": _number,
    "number": _number,
    "text": _text,
    "name": _name,
    "choice": _choice,
    "span": lambda param, word: span_of(word.text, param.size, word.column),
}
