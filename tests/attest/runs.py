"""A real run of `bootstrap verify`, on the embedded sources: a tenth of a second of emulation."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bootstrap.cli.main import main
from bootstrap.handoff.plan import ARCHITECTURES
from bootstrap.known import StepFile, find
from bootstrap.known.seeds import load
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
    for value in step.known():
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


GONE = object()


def put(document: Any, place: str, value: object = GONE) -> None:
    """Change one value of a document: `put(report, "artifacts 0 size", 1)`; GONE removes it.

    ``+`` is the place after the last of a list.
    """
    *way, last = (int(part) if part.lstrip("-").isdigit() else part for part in place.split())
    for part in way:
        document = document[part]
    if value is GONE:
        del document[last]
    elif last == "+":
        document.append(value)
    else:
        document[last] = value


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


def handed_off(release: str, arch: str) -> dict[str, Any]:
    """What `handoff run --json` writes, of a run that nobody made: stage0 and two steps."""
    folder = ARCHITECTURES[arch]
    step = find("stage0-posix", release, folder)

    def row(path: str, sha256: str, expected: str | None = None) -> dict[str, Any]:
        state = "unchecked" if expected is None else "verified"
        return {"path": path, "found": sha256, "expected": expected, "by": "x", "state": state}

    def task(key: str, title: str, *checked: dict[str, Any]) -> dict[str, Any]:
        return {
            "key": key,
            "title": title,
            "state": "finished",
            "seconds": 1.5,
            "engine": "bwrap 0.8.0",
            "distfiles": [],
            "log": None,
            "checked": list(checked),
        }

    known = [row(value.path, value.sha256, value.sha256) for value in step.known()]
    made = task("1", "tool-1.0 pass 1", row("usr/bin/tool", "1" * 64, "1" * 64))
    made["distfiles"] = [{"name": "tool-1.0.tar.gz", "sha256": "2" * 64}]
    return {
        "schema": "bootstrap-handoff-run/1",
        "tool": {"name": "bootstrap", "version": "0.1.0"},
        "kind": "handoff-run",
        "checkout": {
            "commit": "c" * 40,
            "changed": [],
            "unknown": None,
            "digest": "d" * 64,
            "files": 9,
        },
        "arch": arch,
        "until": "2",
        "limits": {},
        "result": "until",
        "exit_code": 0,
        "manifest_sha256": "3" * 64,
        "configuration": {"ARCH": arch, "ARCH_DIR": folder},
        "engine": {"name": "bwrap", "version": "0.8.0", "notes": [], "not_taken": []},
        "stage0": {
            "title": step.title,
            "tree_digest": "4" * 64,
            "pinned": "",
            "from": "seed",
            "opinion": "",
            "compared_with_emulation": None,
            "answers": sorted(step.answers),
        },
        "finished_before": 0,
        "steps": [
            task("stage0", "stage0", *known),
            made,
            task("2", "improve paths"),
            {**task("3", "lib-3.0 pass 1"), "state": "not begun", "engine": None},
        ],
        "packages": [row("lib-2.0_0.tar.bz2", "5" * 64)],
        "failure": None,
    }
