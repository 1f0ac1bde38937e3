"""Every JSON document has `schema` and the tool's version, and a schema in docs/ that it keeps.

That each document is as its schema says is looked at wherever a test lets a command write one
(tests/conftest.py); here are those that no other test makes, and the schemas themselves.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from tests.cli.command import ROOT, inside
from tests.material.schemas import SCHEMAS, name_of, require, validator

COMMANDS = """
verify --release embedded
seeds list --arch x86
seeds show seeds/x86/hex0-seed --lines 1
seeds check seeds/x86/hex0-seed --hex0 seeds/x86/hex0.hex0
identify seeds/x86/hex0-seed README.md
releases
doctor
diff seeds seeds
trace info TRACE
trace tree TRACE
trace tree TRACE --instructions
trace files TRACE
trace log TRACE --call open
trace check TRACE
trace index TRACE
trace why TRACE M0:0x60 --stores all
trace where TRACE hex1.hex0:20
trace where TRACE M0.hex2:20
trace show TRACE 3@100 --memory 0x8048000
trace hot TRACE
trace coverage TRACE hex0
step TRACE --script SCRIPT
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("schemas")
    (folder / "script").write_text("stepi\nexpect eax = 99\n")
    done = inside("trace", "record", "-q", "-o", folder / "t", "--release", "embedded")
    assert done.status == 0, done.stderr
    return {"TRACE": str(folder / "t"), "SCRIPT": str(folder / "script")}


@pytest.mark.parametrize("command", COMMANDS.strip().splitlines())
def test_a_command_writes_what_its_schema_says(command: str, material: dict[str, str]) -> None:
    words = [material.get(word, word) for word in command.split()]
    # Standard output has the document and nothing else.
    done = inside(*words, "--json", "-", cwd=ROOT)
    assert "Traceback" not in done.stderr, done.stderr
    value = require(done.stdout)
    assert value["tool"]["version"] and value["tool"]["name"] == "bootstrap"


def test_every_schema_is_one_and_names_its_document() -> None:
    for file in SCHEMAS:
        schema = json.loads(file.read_text("utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        about = json.dumps(schema["properties"]["schema"])
        names = re.findall(r"bootstrap-[a-z-]+/\d", about)
        assert names and {name_of(name) for name in names} == {file.name.split(".")[0]}, file


FORMATS = {"trace", "trace-index", "findings", "hex0-proof", "plan"}
"""What is no document of a command's --json: SQLite files, and texts that are hashed."""


def test_every_document_that_is_written_has_a_schema() -> None:
    files = (ROOT / "bootstrap").rglob("*.py")
    text = "\n".join(file.read_text("utf-8") for file in files)
    written = {name_of(name) for name in re.findall(r'"(bootstrap-[a-z0-9-]+/\d)"', text)}
    written |= {f"handoff-{name}" for name in re.findall(r'document_head\("(\w+)"', text)}
    assert written - FORMATS == {file.name.split(".")[0] for file in SCHEMAS}


def test_what_is_not_in_a_schema_is_seen(tmp_path: Path) -> None:
    done = inside("releases", "--json", "-")
    value = json.loads(done.stdout)
    for change in (
        value | {"more": 1},
        value | {"tool": {"name": "bootstrap"}},
        {key: value[key] for key in value if key != "releases"},
        value | {"cache": None},
    ):
        assert list(validator("releases").iter_errors(change))
