"""A whole path: from the seed that a person can audit to M0 and a program that it makes.

The values are those of steps/embedded-x86.toml, which a run of upstream's own tools confirms.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from bootstrap.core.files import Stream
from bootstrap.core.machine import Machine
from bootstrap.core.paths import FileSystem
from tests.core.guest import file_at

ROOT = Path(__file__).resolve().parents[2]
STEPS = tomllib.loads((ROOT / "steps/embedded-x86.toml").read_text())


def rebuild(changed: dict[str, bytes] | None = None) -> tuple[FileSystem, Machine, list[int]]:
    """All commands of the embedded path; the wait status of each that was run."""
    files = FileSystem()
    for name in STEPS["materials"]:
        content = (changed or {}).get(name) or (ROOT / "seeds/x86" / name).read_bytes()
        files.add_file(b"/" + name.encode(), content, 0o755 if name == "hex0-seed" else 0o644)
    machine = Machine(files)
    statuses = []
    for command in STEPS["entries"]["hex0-seed"]["commands"]:
        argv = [word.encode() for word in command]
        output = Stream(None, len)
        result = machine.run(argv[0], argv, streams=(Stream(lambda _: b""), output, output))
        statuses.append(result.status)
        if result.status:
            break
    return files, machine, statuses


def products(files: FileSystem) -> dict[str, str]:
    found = {}
    for name in STEPS["catalogue"]:
        file = file_at(files, b"/" + name.encode())
        if file is not None:
            found[name] = file.sha256()
    return found


def test_every_product_is_what_it_should_be() -> None:
    files, machine, statuses = rebuild()
    assert statuses == [0, 0, 0]
    assert products(files) == STEPS["catalogue"]
    # What the run is to its last call, also on another host.
    assert (machine.processes, machine.ended_calls) == (12, 67439)
    for name, sha256 in STEPS["materials"].items():
        file = file_at(files, b"/" + name.encode())
        assert file is not None and file.sha256() == sha256


@pytest.mark.parametrize("name", ["hex0.hex0", "kaem.hex0", "hex2.hex1", "M0.hex2", "hello.M1"])
def test_another_source_makes_another_product(name: str) -> None:
    source = (ROOT / "seeds/x86" / name).read_bytes()
    digits = [
        at for at, line in enumerate(source.splitlines()) if line[:1] not in (b"#", b";", b"")
    ]
    lines = source.splitlines(keepends=True)
    lines.insert(digits[len(digits) // 2], b"41\n" if name != "hello.M1" else b"DEFINE x 41\nx\n")
    files, _, _ = rebuild({name: b"".join(lines)})
    assert products(files) != STEPS["catalogue"]
