"""A real run of `bootstrap verify`, on the embedded sources: a tenth of a second of emulation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.cli.command import bootstrap


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
