"""A real run of `bootstrap verify`, on the embedded sources: a tenth of a second of emulation."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap.cli.main import main
from bootstrap.known import StepFile
from bootstrap.known.seeds import load
from bootstrap.runs.rebuild import expectations
from tests.cli.command import Done, bootstrap


@dataclass(frozen=True)
class Run:
    """What verify wrote: the report, and the folder of products."""

    report: Path
    products: Path


def embedded_run(folder: Path) -> Run:
    run = Run(folder / "report.json", folder / "products")
    done = bootstrap(
        "verify", "--release", "embedded", "--quiet", "--json", run.report, "--output", run.products
    )
    assert done.status == 0, done.stderr
    return run


def forged(step: StepFile) -> dict[str, Any]:
    """A report that nobody ran, with all that it takes: no check of a file alone finds it out."""
    values: dict[str, list[dict[str, str]]] = {}
    for value in expectations(step):
        row = {"sha256": value.sha256, "from": value.from_, "kind": value.kind}
        values.setdefault(value.path, []).append(row)
    sizes = {seed.sha256: seed.size for seed in load().seeds}
    process = {"pid": 1, "ordinal": 1, "program": "hex0", "argv": ["hex0"], "cwd": "/"}
    entry = next(iter(step.entries))
    known = len(step.materials) - len(step.entries[entry].hidden)
    return {
        "schema": "bootstrap-report/2",
        "tool": {
            "name": "bootstrap",
            "version": "0.1.0",
            "engine": {"name": "unicorn", "version": "2.1.4"},
            "hot_path": "native",
        },
        "source": {
            "kind": "folder",
            "release": step.release,
            "sha256": None,
            "tree_digest": "0" * 64,
            "materials": {"known": known, "missing": [], "changed": [], "extra": []},
        },
        "catalogue": {"steps": step.file, "sha256": step.sha256},
        "arch": step.arch,
        "entry": entry,
        "result": "verified",
        "claim": "",
        "reasons": [],
        "artifacts": [
            {
                "path": path,
                "size": sizes.get(rows[0]["sha256"], 1),
                "sha256": rows[0]["sha256"],
                "expected": rows[0]["sha256"],
                "status": "match",
                "note": None,
                "producer": process,
                "expectations": rows,
            }
            for path, rows in values.items()
        ],
        "first_divergence": None,
        "failure": None,
        "totals": {"processes": 1, "syscalls": 1000, "wall_seconds": 1.0},
    }


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
