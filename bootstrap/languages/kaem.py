"""kaem, the bootstrap's own shell, as small as it can be: a command per line, and no variables.

- Arguments are separated by spaces and tabs.  ``#`` outside of strings begins a comment, which
  ends with the line.
- A backslash directly before a newline goes on with the command on the next line, and separates
  arguments; anywhere else outside of strings and comments it is an error.
- ``"`` at the start of an argument begins a string, which runs to the next ``"``; the argument is
  what is between the two, and ends there.
- A line without arguments is no command.

The whole script is read before its first command is run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from bootstrap.languages.fault import Kind, shown
from bootstrap.languages.source import SourceText, Text

MOST_ARGUMENTS = 1024

_ITEM = re.compile(
    rb"(?P<newline>\n)"
    rb"|(?P<blanks>(?:[ \t]|\\\n)+)"
    rb"|(?P<comment>\#[^\n\0]*)"
    rb"|(?P<string>\"[^\"\0]*\"?)"
    # Of a plain argument, what can be in one.
    rb"|(?P<plain>[^\0-\x20\x7f\#\"\\]+)"
    rb"|(?P<other>.)",
    re.DOTALL,
)
_AFTER_STRING = frozenset(b" \t\n#")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: the line that its first argument begins on, from 1, and its arguments."""

    line: int
    arguments: tuple[bytes, ...]

    @property
    def announcement(self) -> bytes:
        """What kaem writes before it runs the command."""
        return b" +> " + b"".join(argument + b" " for argument in self.arguments) + b"\n"


def parse(script: bytes, name: str) -> list[Command]:
    """The commands of ``script``; ``name`` is the file's name in errors.

    Raises LanguageError for the first thing outside the language.
    """
    text = Text([SourceText(name, script)])
    commands: list[Command] = []
    arguments: list[bytes] = []
    first = 0  # where the command's first argument begins
    for item in _ITEM.finditer(script):
        kind = item.lastgroup
        start, end = item.span()
        if kind == "newline":
            _finish(commands, text, first, arguments)
            arguments = []
        elif kind == "string" or kind == "plain":
            if len(arguments) == MOST_ARGUMENTS:
                raise text.fault(start, Kind.TOO_LARGE, f"more than {MOST_ARGUMENTS} arguments")
            if not arguments:
                first = start
            arguments.append(_string(text, start, end) if kind == "string" else item[0])
            # What ends an argument is an error of its own, found when it is its turn, but for a
            # string that begins within one.
            if kind == "plain" and script[end : end + 1] == b'"':
                raise text.fault(end, Kind.BAD_CHARACTER, "a string begins within an argument")
        elif kind == "other":
            if item[0] == b"\\" and end == len(script):
                raise text.fault(start, Kind.UNFINISHED, "the script ends after a backslash")
            raise text.fault(
                start, Kind.BAD_CHARACTER, f"{shown(item[0][0])} cannot stand in a command here"
            )
    _finish(commands, text, first, arguments)
    return commands


def _finish(commands: list[Command], text: Text, first: int, arguments: list[bytes]) -> None:
    """Add the command of ``arguments``, if there are any."""
    if arguments:
        commands.append(Command(text.place(first)[1].line, tuple(arguments)))


def _string(text: Text, start: int, end: int) -> bytes:
    """What is within the quotes of ``content[start:end]``."""
    content = text.content
    if end == start + 1 or content[end - 1] != ord('"'):
        if end < len(content):
            raise text.fault(end, Kind.BAD_CHARACTER, "byte 0x00 cannot stand in a string")
        raise text.fault(start, Kind.UNFINISHED, 'the string has no second "')
    if end < len(content) and content[end] not in _AFTER_STRING:
        raise text.fault(end, Kind.BAD_CHARACTER, f"{shown(content[end])} directly after a string")
    return content[start + 1 : end - 1]
