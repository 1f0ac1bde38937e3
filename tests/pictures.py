"""Makes the pictures of README and docs/ from the real program: `make pictures`.

The chain needs the trace of a whole release; without one it stays as it is.
"""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from bootstrap import trace
from bootstrap.documents import typed_json
from bootstrap.report.chain import chain, chain_svg
from bootstrap.report.model import Report
from tests.cli.command import ROOT, arguments, environment
from tests.debug.tui import pictures as stepper

FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"


def lines_of(command: str, folder: Path, columns: int) -> list[str]:
    """What a command says on a terminal so wide, colours included."""
    extra = {"CLICOLOR_FORCE": "1", "COLUMNS": str(columns), "PYTHONWARNINGS": ""}
    if "confirm" in command:
        extra["BOOTSTRAP_CACHE"] = str(folder / "cache")
    done = subprocess.run(
        arguments(*command.split()), cwd=folder, env=environment(extra), check=False,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def terminal(title: str, lines: list[str], columns: int, seconds: float = 0) -> str:
    """A terminal with these lines, as SVG; they appear within so many seconds."""
    console = Console(width=columns, record=True, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=False, overflow="fold")
    svg = console.export_svg(title=title, theme=MONOKAI, unique_id="shot")
    # Nothing from the network: the viewer's own font.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", FONT).replace("Fira Code", FONT)
    if seconds:
        rows = max(int(row) for row in re.findall(r"#shot-line-(\d+)", svg)) + 1
        rules = ["@keyframes appear { from { opacity: 0 } to { opacity: 1 } }"]
        for row in range(rows):
            # The command is typed first; the verdict stays for a while before all begins again.
            start = 0 if row == 0 else 1 + (seconds - 1) * row / rows
            rules.append(
                f'[clip-path="url(#shot-line-{row})"] {{ animation: appear .2s {start:.2f}s both }}'
            )
        rules.append("@media (prefers-reduced-motion: reduce) { * { animation: none !important } }")
        svg = svg.replace("</style>", "\n".join(rules) + "</style>", 1)
    kept = [line.rstrip() for line in svg.splitlines() if line.strip()]
    return "\n".join(kept) + "\n"


def main(folder: Path, whole: Path | None) -> None:
    """All of them, into that folder."""
    stepper.main(folder)
    with tempfile.TemporaryDirectory() as place:
        here = Path(place)
        for name in ("good", "bad"):
            shutil.copytree(ROOT / "seeds" / "x86", here / name)
        source = here / "bad" / "hex0.hex0"
        source.write_text(source.read_text().replace("\n89 29  ", "\n89 31  "))
        for name in ("good", "bad"):
            record = f"trace record -q -o {name}.trace --root {name}"
            lines_of(f"{record} -- ./hex0-seed hex0.hex0 hex0", here, 80)
        shots = {
            "verify": ("verify --release embedded", 96, 18.0),
            "divergence": ("diff good.trace bad.trace", 100, 0.0),
            "confirm": ("confirm --release embedded --run core,fast-path,models", 120, 0.0),
        }
        for name, (command, columns, seconds) in shots.items():
            typed = f"$ bootstrap {command}"
            came = [typed, *lines_of(command, here, columns)]
            (folder / f"{name}.svg").write_text(
                terminal(f"bootstrap {command.split()[0]}", came, columns, seconds), "utf-8"
            )
    if whole is not None:
        with trace.open(str(whole)) as opened:
            report = typed_json(Report, opened.meta["report"])
        title = f"stage0-posix {report.source.release} for {report.arch}: which program made which"
        (folder / "chain.svg").write_text(
            chain_svg(chain(report), title, alone=True) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
