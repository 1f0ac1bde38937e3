"""What docs/session.md and docs/gdb.md show is what comes of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

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
