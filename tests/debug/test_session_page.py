"""The example of docs/session.md does what the page says."""

from __future__ import annotations

import subprocess
import sys

from bootstrap.languages import hex0 as model
from tests.cli.command import ROOT, environment
from tests.debug.pages import blocks
from tests.seeds.tools import SOURCES


def test_the_example() -> None:
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
