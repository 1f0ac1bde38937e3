"""A real run of `bootstrap verify`, on the embedded sources: a tenth of a second of emulation."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from bootstrap.cli.main import main
from tests.cli.command import Done, bootstrap


@dataclass(frozen=True)
class Run:
    """What verify wrote: the report, and the folder of products."""

    report: Path
    products: Path


def embedded_run(folder: Path) -> Run:
    run = Run(folder / "report.json", folder / "products")
    done = bootstrap("verify", "--quiet", "--json", run.report, "--output", run.products)
    assert done.status == 0, done.stderr
    return run


class _Text(io.StringIO):
    encoding = "utf-8"


def inside(*args: str | Path, cwd: Path | None = None) -> Done:
    """Run one command in this process: a tenth of the time that a process of its own takes."""
    out, err = _Text(), _Text()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        contextlib.chdir(cwd or Path()),
    ):
        try:
            status = main([str(argument) for argument in args])
        except SystemExit as error:  # argparse, of what was typed
            status = int(error.code or 0)
    return Done(status, out.getvalue(), err.getvalue())
