"""The one table of exit statuses: in every --help, in docs/report.md, and kept by commands."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Iterator

import pytest

from bootstrap.cli.commands import parser
from bootstrap.core.errors import EXIT_STATUS_HELP, ExitStatus
from tests.cli.command import ROOT, arguments, bootstrap, environment

EMBEDDED = ("verify", "--release", "embedded", "--quiet")
COMMANDS: dict[ExitStatus, list[tuple[str, ...]]] = {
    ExitStatus.DONE: [EMBEDDED, ("identify", "seeds/x86/hex0-seed"), ("diff", "seeds", "seeds")],
    ExitStatus.DIFFERS: [
        ("identify", "README.md"),
        ("diff", "seeds", "steps"),
        ("step", "--script", "-"),
    ],
    ExitStatus.BAD_INPUT: [("verify",), ("diff", "seeds", "nothing"), ("no-such-command",)],
    ExitStatus.GUEST_FAILED: [(*EMBEDDED, "--limit", "instructions=1000")],
    ExitStatus.LESS_THAN_ASKED: [("verify", "--fallback", "embedded")],
}
"""The others, which come of signals: test_interrupt.py, and a broken pipe below."""


@pytest.mark.parametrize(
    ("status", "command"), [(status, args) for status in COMMANDS for args in COMMANDS[status]]
)
def test_a_command_for_each_status(status: ExitStatus, command: tuple[str, ...]) -> None:
    done = bootstrap(*command, cwd=ROOT, stdin=b"expect eax = 99\n")
    assert done.status == status, done.stderr


def test_whoever_reads_goes_away() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(
        arguments("doctor"), stdout=writes, stderr=subprocess.PIPE, env=environment(), check=False
    )
    os.close(writes)
    assert (done.returncode, done.stderr) == (ExitStatus.CLOSED_PIPE, b"")


def parsers(one: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield one
    for action in one._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice in action.choices.values():
                yield from parsers(choice)


def test_every_help_has_the_table() -> None:
    each = list(parsers(parser()))
    assert len(each) > 30
    assert all(one.format_help().endswith(EXIT_STATUS_HELP) for one in each)


def test_the_table_is_whole_and_the_documentation_has_it() -> None:
    rows = [line.split()[0] for line in EXIT_STATUS_HELP.splitlines() if line[:5].strip()]
    assert [int(row) for row in rows[1:]] == sorted(ExitStatus)
    assert EXIT_STATUS_HELP in (ROOT / "docs" / "report.md").read_text()
