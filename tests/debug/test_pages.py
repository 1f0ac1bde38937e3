"""What pages show is what comes of it: docs/session.md, docs/gdb.md, and whatever is typed on a
```console page, in a folder that looks like a clone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.languages import hex0 as model
from tests.cli.command import ROOT, environment
from tests.debug.gdb.clients import connected
from tests.seeds.tools import SOURCES


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of that language."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for its_language, block in found if its_language == language]


def test_the_example_of_a_session() -> None:
    (program,) = blocks("session.md", "python")
    assert len(program.splitlines()) <= 12
    (shown,) = blocks("session.md", "")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment(), timeout=120, check=True,
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.startswith(shown)
    lines = done.stdout.splitlines()
    assembly = model.assemble((SOURCES / "hex0.hex0").read_bytes(), "hex0.hex0")
    assert len(lines) == len(assembly.output)
    for offset, (line, byte) in enumerate(zip(lines, assembly.output, strict=True)):
        place = assembly.map[offset].digits[0]
        assert line.startswith(f"/out + {offset:#04x}: {byte:02x} ")
        assert line.endswith(f"from /hex0.hex0:{place.line}")


def follow(page: str, hex0_trace: Path, tmp_path: Path, root: Path | None = None) -> None:
    commands = [line[6:] for line in page.splitlines() if line.startswith("(gdb) ")]
    assert len(commands) > 5
    output = connected(
        hex0_trace, tmp_path,
        [line for c in commands for line in (f"echo (gdb) {c}\\n", c)], root=root,
        symbols=tmp_path / "symbols",
    )  # fmt: skip
    begin = output.index(f"(gdb) {commands[0]}\n")
    assert output[begin:].startswith(page)


def test_the_walks_of_gdb(hex0_trace: Path, tmp_path: Path) -> None:
    *walk, writing = blocks("gdb.md", "gdb")
    for number, page in enumerate(("".join(walk), writing)):
        folder = tmp_path / str(number)
        folder.mkdir()
        follow(page, hex0_trace, folder, hex0_trace.parent / "root" if number else None)


CONSOLE = ("README.md", "docs/tutorial.md", *(f"docs/howto/{n}.md" for n in (
    "ci", "change", "seed", "vouching")))  # fmt: skip


def typed(page: str) -> list[tuple[str, list[str]]]:
    """What is typed on a page, each with the lines that come."""
    found: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        assert block.startswith("$ ")
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def matches(shown: list[str], came: list[str]) -> bool:
    """Whether that is what came; `...` is any part of a line, and on its own any lines."""
    wanted = "".join(
        "(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + "\n"
        for line in shown
    )
    return re.fullmatch(wanted, "".join(f"{line.rstrip()}\n" for line in came)) is not None


def come_of(commands: list[str], folder: Path) -> list[list[str]]:
    """The lines that come of each, typed one after the other into one shell."""
    binary = folder / ".venv" / "bin"
    binary.mkdir(parents=True)
    (binary / "activate").write_text(f'PATH="{binary}:$PATH"\n')
    (binary / "bootstrap").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bootstrap "$@"\n')
    (binary / "bootstrap").chmod(0o755)
    shutil.copytree(ROOT / "seeds", folder / "seeds")
    # What a command leaves in $? is there for the next one.
    script = "".join(f"{c}\nkept=$?; printf '@@@@\\n'; (exit $kept)\n" for c in commands)
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL, text=True, timeout=300, check=False,
        # As on a terminal of 100 columns.
        env=environment({"PATH": f"{binary}:{os.environ['PATH']}", "HOME": str(folder),
                         "COLUMNS": "100", "PYTHONWARNINGS": ""}),
    )  # fmt: skip
    parts = done.stdout.split("@@@@\n")
    assert len(parts) == len(commands) + 1, done.stdout[-2000:]
    return [part.splitlines() for part in parts[:-1]]


@pytest.mark.parametrize("page", CONSOLE)
def test_what_is_typed_on_a_page_does_what_it_shows(page: str, tmp_path: Path) -> None:
    for tool in ("bash", "git", "ssh-keygen"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")
    rows = typed((ROOT / page).read_text(encoding="utf-8"))
    assert rows
    came = come_of([command for command, _ in rows], tmp_path)
    for (command, shown), lines in zip(rows, came, strict=True):
        assert matches(shown, lines), f"{page}: $ {command}\n" + "\n".join(lines)


def test_a_page_that_shows_something_else_is_seen() -> None:
    came = ["one 1", "two", "three"]
    assert matches(["one ...", "...", "three"], came) and matches(["..."], [])
    for shown in (["one 1"], ["one 1", "two"], ["...", "two"], ["one 2", "..."], came[::-1], []):
        assert not matches(shown, came)
