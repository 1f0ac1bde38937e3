"""The walk of docs/gdb.md does what the page says."""

from __future__ import annotations

from pathlib import Path

from tests.debugger.gdb.clients import connected
from tests.debugger.pages import blocks


def test_the_walk(hex0_trace: Path, tmp_path: Path) -> None:
    page = "".join(blocks("gdb.md", "gdb"))
    commands = [line[6:] for line in page.splitlines() if line.startswith("(gdb) ")]
    assert len(commands) > 15
    told = connected(
        hex0_trace, tmp_path,
        [line for c in commands for line in (f"echo (gdb) {c}\\n", c)],
    )  # fmt: skip
    begin = told.index(f"(gdb) {commands[0]}\n")
    assert told[begin:].startswith(page)
