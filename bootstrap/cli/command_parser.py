"""Makes argparse's parser of the table of commands, and keeps the conventions of command lines.

Every command has -h, -q, -v and -V; its help has an example, the environment and the exit statuses.
What was mistyped is said with the nearest thing that there is, under the usage of the command in
question; nothing is taken for what it only begins like.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import bootstrap
from bootstrap.core.errors import EXIT_STATUS_HELP, printable

ENVIRONMENT_HELP = """\
environment:
  BOOTSTRAP_CACHE      the cache folder (default: the platform's; bootstrap doctor shows it)
  BOOTSTRAP_HOT_PATH   which fast path: native (C), python, or auto (the default)
  BOOTSTRAP_SEEDS      a folder of seeds that identify compares unknown files with
  NO_COLOR             no colours, if not empty
  CLICOLOR_FORCE       colours even if the output is not a terminal, if not 0
  COLUMNS, TERM        the terminal's width; with TERM=dumb no colours and no progress line
  https_proxy, http_proxy, no_proxy, SSL_CERT_FILE   used for downloads
  GITHUB_STEP_SUMMARY  a file that confirm appends its page to, for GitHub to show
"""


@dataclass(frozen=True)
class CommandRow:
    """A command, or a group of them. What its `run` returns is the exit status."""

    name: str
    help: str
    description: str
    options: str | Sequence[str] = ()
    epilog: str = ""
    example: str = ""
    """A line each: words after `bootstrap`, and after two spaces what they do."""
    more: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By an option's name, what of argparse's words the table of options cannot say."""
    parser: Mapping[str, Any] = field(default_factory=dict)
    """The same of the parser."""
    commands: Sequence[CommandRow] = ()
    run: str = ""
    """`module:function` below bootstrap.cli, where that is not `NAME:run`, or `GROUP:run_NAME`."""


class CommandParser(argparse.ArgumentParser):
    """Of every command and of its own commands."""

    def __init__(self, *, example: str = "", **words: Any) -> None:
        super().__init__(allow_abbrev=False, **words)
        self.example = inspect.cleandoc(example)

    def format_help(self) -> str:
        lines = [f"  bootstrap {line}" for line in self.example.splitlines()]
        example = "\n".join(["\nexamples:", *lines, ""]) if lines else ""
        return f"{super().format_help()}{example}\n{ENVIRONMENT_HELP}\n{EXIT_STATUS_HELP}"

    @property
    def groups(self) -> Sequence[argparse._SubParsersAction[CommandParser]]:
        """Where it has commands of its own: one group of them."""
        return [a for a in self._actions if isinstance(a, argparse._SubParsersAction)]

    @property
    def commands(self) -> Mapping[str, CommandParser]:
        """The commands of a group, by name."""
        return self.groups[0].choices if self.groups else {}

    # argparse's own lets an OSError pass, and help that nobody could read would end as a success.
    def _print_message(self, message: str, file: Any = None) -> None:
        print(message, end="", file=file or _stderr(), flush=True)

    # argparse leaves what it does not know to the first parser, whose usage helps nobody.
    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            word = unknown[0]
            if not word.startswith("-"):
                self.error(f"one argument too many: {word}")
            name = word.partition("=")[0]
            known = [o for o in self._option_string_actions if len(o) > 2]
            self.error(f"unrecognized option {name}{_nearest(name, known)}")
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        what = "command" if action.choices is self.commands else "value"
        known = [str(choice) for choice in action.choices]
        more = f"; choose from {', '.join(known)}"
        text = f"unknown {what} {str(value)!r}{_nearest(str(value), known) or more}"
        if what == "command":
            self.error(text)
        raise argparse.ArgumentError(action, text)

    def error(self, message: str) -> NoReturn:
        """Usage, one line, and where to read on; status 2."""
        if message.endswith("required: COMMAND"):
            message = f"name a command: {', '.join(self.commands)}"
        self.print_usage(_stderr())
        self.exit(2, f"{self.prog}: {printable(message)}\ntry: {self.prog} --help\n")


def _stderr() -> Any:
    import sys

    return sys.stderr


def _nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?`, where something is like it or the only one that begins so."""
    import difflib

    known = list(known)
    begun = [name for name in known if len(word.lstrip("-")) > 1 and name.startswith(word)]
    near = begun if len(begun) == 1 else difflib.get_close_matches(word, known, 1)
    if not near and begun:
        return f"; did you mean {' or '.join(begun)}?"
    return f"; did you mean {near[0]}?" if near else ""


def make_parser(rows: Sequence[CommandRow], description: str, example: str) -> CommandParser:
    """The parser of all commands; `function` of what it parses names what runs the command."""
    top = CommandParser(prog="bootstrap", description=description, example=example)
    add_usual(top, "_before")
    _add_commands(top, rows)
    return top


def add_usual(one: CommandParser, suffix: str = "") -> None:
    """What every command has, but where it says itself what it means by that."""
    version = f"bootstrap {bootstrap.__version__}"
    there = one._option_string_actions
    if "--quiet" not in there:
        text = "no progress and no notes: only the result"
        one.add_argument("-q", "--quiet", action="store_true", dest=f"quiet{suffix}", help=text)
    if "--verbose" not in there:
        text = "after an error, also say where in the program it was raised"
        one.add_argument("-v", "--verbose", action="store_true", dest=f"verbose{suffix}", help=text)
    text = "print the version"
    one.add_argument("-V", "--version", action="version", version=version, help=text)


def _add_commands(
    above: CommandParser, commands: Sequence[CommandRow], group_name: str = ""
) -> None:
    group = above.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for one in commands:
        texts: dict[str, Any] = {"description": one.description, "epilog": one.epilog}
        if "formatter_class" not in one.parser:
            texts = {name: " ".join(text.split()) for name, text in texts.items()}
        added = group.add_parser(
            one.name, help=one.help, example=one.example, **texts, **one.parser
        )
        if one.commands:
            add_usual(added, "_between")
            _add_commands(added, one.commands, one.name)
        else:
            rows = (one.options,) if isinstance(one.options, str) else one.options
            add_options(added, "\n".join(map(inspect.cleandoc, rows)), one.more)
            add_usual(added)
            usual = f"{group_name}:run_{one.name}" if group_name else f"{one.name}:run"
            added.set_defaults(function=one.run or usual)


_SHORT = {"--quiet": "-q", "--verbose": "-v", "--output": "-o"}
"""The same letters in every command."""
_ROW = re.compile(
    r"(?P<one>\|!? )?"
    r"(?P<names>[-\w]+(?:, [-\w]+)*)"
    r"(?: (?P<value>\S(?:(?! \[|  ).)*?)(?P<how>[*+!])?)?"
    r"(?: \[(?P<default>[^\]]*)\])?"
    r"(?:  +(?P<help>.*))?"
)


def add_options(
    parser: argparse.ArgumentParser, text: str, more: Mapping[str, Mapping[str, Any]]
) -> None:
    """Options and arguments by a table, a row each:

        [| ]NAMES[ VALUE[*+!]][ [DEFAULT]][  HELP]

    A value is N (a whole number), {one,of,these} or any other word; `*` as often as one likes, `+`
    at least once, `!` never left out. `| ` rows exclude one another, of `|! ` rows one is needed.
    What ends in a colon is the title of a group, which a colon alone ends.
    """
    here: argparse._ActionsContainer = parser
    alone: argparse._ActionsContainer | None = None
    for row in re.sub(r"\n +", " ", text).splitlines():
        if row.endswith(":"):
            here = parser.add_argument_group(row[:-1]) if row != ":" else parser
            continue
        if not row:
            continue
        found = _ROW.fullmatch(row)
        assert found is not None, row
        names = found["names"].split(", ")
        if names[0] in _SHORT:
            names = [_SHORT[names[0]], *names]
        if not found["one"]:
            alone = None
        elif alone is None:
            alone = parser.add_mutually_exclusive_group(required="!" in found["one"])
        words = {**_words(found, names), **more.get(max(names, key=len).lstrip("-"), {})}
        (alone or here).add_argument(*names, **words)


def _words(row: re.Match[str], names: Sequence[str]) -> dict[str, Any]:
    """What argparse calls it."""
    value, how, default = row["value"], row["how"], row["default"]
    words: dict[str, Any] = {"help": row["help"]}
    if names == ["--from"]:
        words["dest"] = "from_"
    if value is None:
        return words | {"action": "store_true"}
    if value.startswith("{"):
        words["choices"] = value[1:-1].split(",")
    else:
        words["metavar"] = value
    if value == "N":
        words["type"] = int
    if default is not None:
        words["default"] = int(default) if value == "N" else default
    option = names[0].startswith("-")
    if how == "!":
        words["required"] = True
    elif how is not None and option:
        words |= {"action": "append", "default": [], "help": f"{row['help']}; may be repeated"}
    elif how is not None:
        words["nargs"] = how
    return words
