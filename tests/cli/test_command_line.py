"""The command line as a whole: every command says what it does, starts quickly, and keeps the one
table of exit statuses, which is in every --help and in docs/report.md."""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bootstrap as package
from bootstrap.cli.command_parser import ENVIRONMENT_HELP, CommandParser
from bootstrap.cli.commands import COMMANDS, parser
from bootstrap.core.errors import EXIT_STATUS_HELP, ExitStatus
from tests.cli.command import ROOT, arguments, bootstrap, environment, inside

NAMES = [command.name for command in COMMANDS]


def parsers(one: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield one
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action.choices.values():
                yield from parsers(choice)


def test_every_help_has_the_table_and_every_option_an_explanation() -> None:
    found = list(parsers(parser()))
    assert len(found) > 30
    assert all(one.format_help().endswith(EXIT_STATUS_HELP) for one in found)
    bare = {
        (one.prog, action.dest)
        for one in found
        for action in one._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    }
    assert {name for _, name in bare} <= {"trace", "a", "b", "arch", "argument"}


OPTIONS = {
    "-q": "--quiet", "-v": "--verbose", "-V": "--version", "-h": "--help", "-o": "--output",
}  # fmt: skip


def test_the_same_options_everywhere() -> None:
    """One letter has one meaning, and every command has the first four."""
    for one in parsers(parser()):
        there = one._option_string_actions
        assert {"-q", "-v", "-V", "-h"} <= set(there), one.prog
        for letter in (name for name in there if len(name) == 2):
            assert there[letter] is there[OPTIONS[letter]], one.prog
        assert ("-o" in there) == ("--output" in there), one.prog
        assert not one.allow_abbrev
        for name, wanted in (("--json", "FILE"), ("--limit", "NAME=N"), ("--source", "SOURCE")):
            assert name not in there or there[name].metavar == wanted, (one.prog, name)


NO_JSON = {"gdb", "help", "trace export", "attest"}
"""What comes of these is what gdb or another format says; attest signs a document."""


def test_every_command_that_prints_a_result_has_it_as_json_and_an_example() -> None:
    examples = 0
    for one in parsers(parser()):
        assert isinstance(one, CommandParser)
        for line in one.example.splitlines():
            # Two spaces end what is typed.
            parser().parse_args(shlex.split(line.partition("  ")[0].partition("   ")[0]))
            examples += 1
        if one.commands:
            continue
        assert one.example, one.prog
        name = one.prog.removeprefix("bootstrap ")
        assert ("--json" in one._option_string_actions) == (name not in NO_JSON) or name == "attest"
    assert examples > 60


def test_every_variable_that_is_read_is_in_every_help() -> None:
    read: set[str] = set()
    for file in (ROOT / "bootstrap").rglob("*.py"):
        text = file.read_text("utf-8")
        read |= set(re.findall(r'environ(?:\.get\(|\[)"([A-Z_]+)"', text))
        read |= set(re.findall(r'^VARIABLE = "([A-Z_]+)"', text, re.MULTILINE))
    read -= {"PATH", "PYTHONPATH", "LD_LIBRARY_PATH"}
    assert {"BOOTSTRAP_CACHE", "BOOTSTRAP_HOT_PATH", "NO_COLOR", "TERM"} <= read
    assert ENVIRONMENT_HELP in (ROOT / "docs" / "conventions.md").read_text("utf-8")
    for name in sorted(read):
        assert re.search(rf"\b{name}\b", ENVIRONMENT_HELP), name
    assert all(ENVIRONMENT_HELP in one.format_help() for one in parsers(parser()))


def test_help_is_a_command() -> None:
    for words in ("verify", "trace show", ""):
        assert inside("help", *words.split()) == inside(*words.split(), "--help")


def test_where_it_failed_is_said_to_whoever_asks() -> None:
    quiet = inside("verify", "--limit", "memory=x")
    for words in ("-v verify", "verify -v"):
        done = inside(*words.split(), "--limit", "memory=x")
        assert done.stderr.startswith(quiet.stderr)
        assert "raised in bootstrap.linux.limits, line " in done.stderr.splitlines()[1]


def test_version_by_its_letter() -> None:
    assert inside("-V") == inside("verify", "-V") == inside("--version")


@pytest.mark.parametrize("command", ["trace log", "seeds show", "releases", "--help"])
def test_head_ends_it_in_silence(command: str, tmp_path: Path) -> None:
    """As `command | head -n 1` in a shell: a closed pipe after the first line."""
    words = [*command.split()]
    if command == "trace log":
        trace = tmp_path / "trace"
        inside("trace", "record", "-q", "-o", trace, "--release", "embedded")
        words.append(str(trace))
    if command == "seeds show":
        words.append("seeds/x86/hex0-seed")
    process = subprocess.Popen(
        arguments(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
        env=environment({"PYTHONUNBUFFERED": "1"}),
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    small = set() if command == "trace log" else {0}  # it may fit into the pipe
    assert process.wait(timeout=60) in {ExitStatus.CLOSED_PIPE, *small} and said == b""


def test_what_runs_each_command_is_there() -> None:
    named = [f for one in parsers(parser()) if (f := one.get_default("function")) is not None]
    assert len(named) > 30
    for module, _, function in (name.partition(":") for name in named):
        assert callable(getattr(importlib.import_module(f"bootstrap.cli.{module}"), function))


@pytest.mark.parametrize("command", ["", *NAMES])
def test_help(command: str) -> None:
    done = inside(*command.split(), "--help")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: bootstrap")
    wanted = [command] if command else [f"\n    {name}" for name in NAMES]
    assert all(text in done.stdout for text in wanted)


def test_version() -> None:
    done = bootstrap("--version")
    assert (done.status, done.stdout) == (0, f"bootstrap {package.__version__}\n")


def test_the_table_is_whole_and_the_documentation_has_it() -> None:
    rows = [line.split()[0] for line in EXIT_STATUS_HELP.splitlines() if line[:5].strip()]
    assert [int(row) for row in rows[1:]] == sorted(ExitStatus)
    assert EXIT_STATUS_HELP in (ROOT / "docs" / "report.md").read_text()


VERIFY = "verify --release embedded --quiet"
STATUSES: dict[ExitStatus, tuple[str, ...]] = {
    ExitStatus.DONE: (VERIFY, "identify seeds/x86/hex0-seed", "diff seeds seeds"),
    ExitStatus.DIFFERS: ("identify README.md", "diff seeds steps"),
    ExitStatus.BAD_INPUT: ("verify", "diff seeds nothing", "no-such-command"),
    ExitStatus.GUEST_FAILED: (f"{VERIFY} --limit instructions=1000",),
    ExitStatus.LESS_THAN_ASKED: ("verify --fallback embedded",),
}
"""The others, which come of signals: test_interrupt.py, and a broken pipe below."""


@pytest.mark.parametrize(
    ("status", "command"), [(status, words) for status in STATUSES for words in STATUSES[status]]
)
def test_a_command_for_each_status(status: ExitStatus, command: str) -> None:
    assert inside(*command.split(), cwd=ROOT).status == status


def test_a_script_whose_expectation_is_not_met_differs() -> None:
    done = bootstrap("step", "--script", "-", stdin=b"expect eax = 99\n")
    assert done.status == ExitStatus.DIFFERS, done.stderr


def test_whoever_reads_goes_away() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        arguments("doctor"), stdout=writes, stderr=subprocess.PIPE, env=environment(), check=False
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (ExitStatus.CLOSED_PIPE, b"")


# What a command loads before it works: a verdict needs no database, screen or network.

_SCRIPT = """\
import sys
from bootstrap.cli.main import main
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""
_NEVER = {"sqlite3", "textual", "rich", "ssl", "http.client", "urllib.request"}
_HEAVY = {"unicorn", "capstone", "platformdirs", "unittest", "asyncio", "numpy",
          "bootstrap.report", "bootstrap.known"}  # fmt: skip


def loaded_by(*words: str | Path) -> set[str]:
    """The modules that are loaded at the end of a command."""
    command = [sys.executable, "-c", _SCRIPT, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.mark.parametrize(
    ("words", "never"),
    [
        ("--help", _NEVER | _HEAVY),
        ("verify --help", _NEVER | _HEAVY),
        (VERIFY, _NEVER | {"bootstrap.trace.store"}),
    ],
)
def test_no_database_screen_or_network_is_loaded(words: str, never: set[str]) -> None:
    loaded = loaded_by(*words.split())
    assert "bootstrap.cli.commands" in loaded
    assert not loaded & never


def test_a_trace_is_a_database(tmp_path: Path) -> None:
    """What the check above looks for is seen where it is."""
    words = ("trace", "record", "--release", "embedded", "--quiet", "-o", tmp_path / "trace")
    assert {"sqlite3", "bootstrap.trace.store"} <= loaded_by(*words)
