"""What the core may be: its size, its files, and what it may import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bootstrap.core
from tests.core.made_up import ROOT

FOLDER = Path(bootstrap.core.__file__).parent
LINES, FILES = 4400, 15
"""4,000 lines, and up to 4,400 where comments that a reader needs push it over."""

_AUDIT = """
import json, sys
sys.path.insert(0, sys.argv[2])  # it need not be installed
before = set(sys.modules)
for name in json.loads(sys.argv[1]):
    __import__(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def imported_by(*names: str) -> list[str]:
    """Modules that an isolated interpreter has after importing these."""
    command = [sys.executable, "-I", "-c", _AUDIT, json.dumps(names), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    found: list[str] = json.loads(done.stdout)
    return found


def test_one_person_can_read_it() -> None:
    files = sorted(FOLDER.glob("*.py"))
    assert len(files) <= FILES
    assert sum(len(path.read_text().splitlines()) for path in files) <= LINES
    assert not [path for path in FOLDER.iterdir() if path.is_dir() and path.name != "__pycache__"]


def test_it_imports_the_standard_library_unicorn_and_itself() -> None:
    modules = [f"bootstrap.core.{path.stem}" for path in FOLDER.glob("*.py")]
    found = imported_by(*(name for name in modules if not name.endswith("__main__")))
    assert "bootstrap.core.machine" in found
    allowed = {*sys.stdlib_module_names, "unicorn"}
    # What Unicorn brings to find its library.
    allowed |= {"pkg_resources", "importlib_resources"}
    foreign = {
        name
        for name in found
        if not name.startswith("bootstrap") and name.partition(".")[0] not in allowed
    }
    ours = {name for name in found if name.startswith("bootstrap")}
    assert not foreign
    assert {name for name in ours if not name.startswith("bootstrap.core")} == {"bootstrap"}


def test_its_errors_load_nothing_of_it_and_no_engine() -> None:
    found = imported_by("bootstrap.core.errors")
    ours = [name for name in found if name.startswith("bootstrap")]
    assert ours == ["bootstrap", "bootstrap.core", "bootstrap.core.errors"]
    assert not [name for name in found if name.partition(".")[0] == "unicorn"]


def test_every_module_opens_with_its_claims() -> None:
    silent = []
    for path in FOLDER.glob("*.py"):
        text = path.read_text()
        if path.stem in ("__init__", "__main__"):
            continue
        opening = text[: text.index('"""', 3)]
        if not all(word in opening for word in ("Claims:", "Relies on:", "would fail if it lied:")):
            silent.append(path.name)
    assert not silent


def test_the_tests_that_its_modules_name_are_there() -> None:
    here = Path(__file__).parent
    tests = {path.name for path in here.glob("test_*.py")}
    for path in FOLDER.glob("*.py"):
        words = path.read_text().replace("tests/core/", "").replace(",", " ").split()
        named = {word.rstrip(".") for word in words if word.startswith("test_")}
        assert {name for name in named if name.endswith(".py")} <= tests, path.name
