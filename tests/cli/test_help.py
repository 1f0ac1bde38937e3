"""Every command says what it does, and what was typed wrongly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import bootstrap as package
from bootstrap.cli.commands import parser
from tests.cli.command import bootstrap, environment


def commands() -> list[str]:
    """The names of all commands, asked of the parser itself."""
    (group,) = (action for action in parser()._actions if action.dest == "==SUPPRESS==")
    assert group.choices is not None
    return list(group.choices)


def test_there_are_commands() -> None:
    assert {"verify", "fetch", "run", "doctor"} <= set(commands())


@pytest.mark.parametrize("command", ["", *commands()])
def test_help(command: str) -> None:
    done = bootstrap(*command.split(), "--help")
    assert (done.status, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: bootstrap")
    assert command in done.stdout


def test_help_names_every_command_and_the_exit_statuses() -> None:
    text = bootstrap("--help").stdout
    assert all(f"\n    {name}" in text for name in commands())
    assert all(f"\n{status:5}  " in text for status in (0, 1, 2, 3, 130))


def test_version() -> None:
    done = bootstrap("--version")
    assert (done.status, done.stdout) == (0, f"bootstrap {package.__version__}\n")


@pytest.mark.parametrize("args", [(), ("no-such-command",), ("verify", "--no-such-option")])
def test_usage_errors(args: tuple[str, ...]) -> None:
    done = bootstrap(*args)
    assert (done.status, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: bootstrap")
    assert "Traceback" not in done.stderr


def test_help_starts_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; from bootstrap.cli.commands import parser; parser().format_help(); "
        "print(*sorted({n.split('.')[0] for n in sys.modules} & {'unicorn', 'capstone', 'ssl',"
        " 'platformdirs', 'unittest', 'asyncio', 'numpy'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
