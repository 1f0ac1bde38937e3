"""The walk of docs/gdb.md does what the page says."""

from __future__ import annotations

from pathlib import Path

from tests.debug.gdb.clients import connected
from tests.debug.pages import blocks


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


def test_the_walk(hex0_trace: Path, tmp_path: Path) -> None:
    follow("".join(blocks("gdb.md", "gdb")[:-1]), hex0_trace, tmp_path)


def test_what_is_written(hex0_trace: Path, tmp_path: Path) -> None:
    follow(blocks("gdb.md", "gdb")[-1], hex0_trace, tmp_path, hex0_trace.parent / "root")
