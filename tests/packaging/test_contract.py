"""The rooms and what may import what: docs/architecture.md, checked by import-linter.

`make lint` runs the contracts of pyproject.toml. Here: that each of them can fail at all.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from pathlib import Path

import pytest

BREACHES = {
    "core": "import bootstrap.documents, socket",
    "languages": "import bootstrap.linux",
    "report": "import bootstrap.linux, bootstrap.core.machine, jinja2",
    "confirm": "import bootstrap.runs.opinions",
    "anatomy": "import bootstrap.instruments",
    "linux": "import bootstrap.sources, bootstrap.anatomy, unicorn",
    "instruments": "import bootstrap.report",
    "sources": "import bootstrap.report, subprocess, urllib, sqlite3",
    "trace": "import bootstrap.cli",
    "timeline": "import bootstrap.cli",
    "known": "import bootstrap.trace",
    "cli": "import textual, lief, sigstore, pickle, dulwich",
    "debug": "import bootstrap.cli, subprocess",
    "prove": "import bootstrap.report",
    "machines": "import bootstrap.linux.machine",
    "oci": "import bootstrap.linux.machine",
    "attest": "import bootstrap.runs.rebuild, subprocess",
}


@pytest.fixture(scope="module")
def package(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contract")
    skip = shutil.ignore_patterns("__pycache__", "_*.so")
    shutil.copytree(checkout / "bootstrap", folder / "bootstrap", ignore=skip)
    shutil.copy(checkout / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_breach_of_the_contract_is_seen(package: Path) -> None:
    pytest.importorskip("importlinter")
    with open(package / "pyproject.toml", "rb") as file:
        contracts = tomllib.load(file)["tool"]["importlinter"]["contracts"]
    for room, statement in BREACHES.items():
        (package / "bootstrap" / room / "breach.py").write_text(f"{statement}\n")
    for name, statement in (
        ("core/abi", "import bootstrap.core.machine"),  # a layer of the core
        ("prove/check", "import unicorn, bootstrap.instruments"),
    ):
        with open(package / f"bootstrap/{name}.py", "a") as module:
            module.write(f"{statement}\n")
    floors = [re.findall(r"bootstrap\.(\w+)", layer) for layer in contracts[0]["layers"]]
    upward = {room: [above[0]] for above, below in pairwise(floors) for room in below}
    for rooms, layer in zip(floors, contracts[0]["layers"], strict=True):
        for room in rooms if "|" in layer else ():
            upward.setdefault(room, []).append(rooms[rooms[0] == room])
    for room, there in upward.items():
        place = package / "bootstrap" / room
        with open(place / "breach.py" if place.is_dir() else f"{place}.py", "a") as module:
            module.write("".join(f"import bootstrap.{other}\n" for other in there))
    result = lint(package)
    assert result.returncode == 1, result.stdout + result.stderr
    said = " ".join(result.stdout.split())
    for room, there in upward.items():
        for other in there:
            assert f"bootstrap.{room} is not allowed to import bootstrap.{other}:" in said
    kept = [c["name"] for c in contracts if f"{c['name']} KEPT" in result.stdout]
    assert kept == []
    for room in BREACHES:
        assert f"bootstrap.{room.replace('/', '.')}.breach" in result.stdout


def test_names_are_unique(checkout: Path) -> None:
    """A class's name stands once, a module's at most twice: who reads it knows which is meant."""
    classes: dict[str, list[str]] = {}
    modules: dict[str, list[str]] = {}
    for file in sorted((checkout / "bootstrap").rglob("*.py")):
        where = str(file.relative_to(checkout))
        if file.name != "__init__.py":
            modules.setdefault(file.stem, []).append(where)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, []).append(where)
    assert {name: where for name, where in classes.items() if len(where) > 1} == {}
    assert {name: where for name, where in modules.items() if len(where) > 2} == {}


def imports(package: Path) -> dict[str, set[str]]:
    """What each module imports of ours, in functions too; not what only types need."""
    files = {
        ".".join(file.relative_to(package.parent).with_suffix("").parts): file
        for file in package.rglob("*.py")
    }
    files = {name.removesuffix(".__init__"): file for name, file in files.items()}

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.ImportFrom):
            for one in node.names:
                whole = f"{node.module}.{one.name}"
                yield whole if whole in files else str(node.module)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    return {
        name: {other for other in walk(ast.parse(file.read_text())) if other in files} - {name}
        for name, file in files.items()
    }


def test_there_is_no_circle_of_imports(checkout: Path) -> None:
    found = imports(checkout / "bootstrap")
    TopologicalSorter(found).prepare()
    found["bootstrap.core.abi"].add("bootstrap.cli.main")
    with pytest.raises(CycleError):
        TopologicalSorter(found).prepare()
