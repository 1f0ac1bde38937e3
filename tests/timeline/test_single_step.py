"""Every register before every instruction: this machine's own CPU against a replay of the trace.

The embedded tools run on their real inputs under ptrace(2), where the host can run i386 programs;
what they begin with on the stack, and the numbers of their children, are those of the trace.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from bootstrap import trace
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.columns import shown
from bootstrap.trace.store import ProgramRow, Trace
from bootstrap.trace.views import FileUses
from tests.instruments.guest import CODE
from tests.instruments.runs import EACH_HOT_PATH, HOT_PATHS, engine_for
from tests.timeline.on_this_cpu import (
    NAMES,
    Rows,
    first_difference,
    in_a_replay,
    need_ptrace,
    on_this_cpu,
)
from tests.trace import recorded

BASE = 0x8048000
STACK_END = 0xFFFFE000
ZERO = dict.fromkeys(("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp"), 0)
TOOLS = {"hex0": 1, "kaem": 3, "hex1": 5}
"""By pid of the embedded path. The first is hex0-seed, which makes itself: hex0, byte for byte."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, opened: Trace) -> Path:
    """The sources and the tools, in a folder of the host."""
    need_ptrace()
    folder = tmp_path_factory.mktemp("tree")
    resolved = recorded.embedded()
    for path, file in resolved.tree.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.data)
        place.chmod(0o755)
    for program in opened.programs:
        place = folder / shown(program.path).lstrip("/")
        place.write_bytes(opened.content(program.image))
        place.chmod(0o755)
    return folder


def program_of(opened: Trace, pid: int) -> ProgramRow:
    return max((p for p in opened.programs if p.pid == pid), key=lambda p: p.id)


def real(folder: Path, tree: Path, opened: Trace, pid: int, status: int = 0) -> Rows:
    """The rows on this CPU."""
    program = program_of(opened, pid)
    traveller = Timeline(opened, engine_for("native"))
    traveller.seek(program.id, 0)
    first = {**dict(traveller.registers()), "eip": traveller.pc}
    stack = traveller.process.memory.read_upto(first["esp"], STACK_END - first["esp"])
    traveller.close()
    children = [p.pid for p in opened.programs if p.parent == program.id and p.ordinal == 0]
    began, rows = on_this_cpu(
        folder, tree, program.argv, program.environment, stack, first["esp"], children, status
    )
    # The kernel of this machine starts a program as ours does.
    assert {name: began[name] for name in (*ZERO, "eip")} == {**ZERO, "eip": first["eip"]}
    return rows


@pytest.mark.parametrize("tool", TOOLS)
def test_each_instruction(opened: Trace, tree: Path, tmp_path: Path, tool: str) -> None:
    program = program_of(opened, TOOLS[tool])
    image = opened.content(program.image)
    on_cpu = real(tmp_path, tree, opened, program.pid)
    ours = in_a_replay(opened, engine_for("native"), program.id)
    assert first_difference(on_cpu, ours, image, BASE) == ""
    # And what a traveller says when it has gone to a place is the same again.
    traveller = Timeline(opened, engine_for("native"))
    chosen = random.Random(tool)
    for executed in [0, *(chosen.randrange(len(ours)) for _ in range(20)), len(ours) - 1]:
        traveller.seek(program.id, executed)
        there = {**dict(traveller.registers()), "eip": traveller.pc}
        assert {name: there[name] for name in NAMES} == ours[executed]
    traveller.close()


def test_the_products_are_those_of_the_trace(opened: Trace, tree: Path, tmp_path: Path) -> None:
    """What ran under ptrace did the work, and wrote what the emulated one wrote."""
    kaem = program_of(opened, TOOLS["kaem"])
    written, expected = {row.id for row in FileUses(opened).writers}, {}
    for row in opened.opens():
        if row.id in written and row.process > kaem.id and row.last_version is not None:
            expected[shown(row.path).lstrip("/")] = opened.content(row.last_version)
    assert len(expected) == 8
    for name in expected:
        (tree / name).unlink(missing_ok=True)
    rows = real(tmp_path, tree, opened, kaem.pid)
    assert len(rows) > 10_000
    assert {name: (tree / name).read_bytes() for name in expected} == expected


@EACH_HOT_PATH
def test_each_instruction_of_kaem_on_both_hot_paths(
    opened: Trace, tree: Path, tmp_path: Path, hot_path: str
) -> None:
    """One seek for every instruction in a row, children and all."""
    program = program_of(opened, TOOLS["kaem"])
    rows = real(tmp_path, tree, opened, program.pid)
    traveller = Timeline(opened, engine_for(hot_path))
    found = bytearray()
    for executed in range(len(rows)):
        traveller.seek(program.id, executed)
        there = {**dict(traveller.registers()), "eip": traveller.pc}
        for name in NAMES:
            found += there[name].to_bytes(4, "little")
    traveller.close()
    assert first_difference(rows, Rows(found), opened.content(program.image), BASE) == ""


def test_a_difference_is_noticed(opened: Trace, tree: Path, tmp_path: Path) -> None:
    """A byte of the source that differs on this machine, and a register that differs in one row."""
    program = program_of(opened, TOOLS["kaem"])
    image = opened.content(program.image)
    ours = in_a_replay(opened, engine_for("native"), program.id)
    for word, name in enumerate(NAMES):
        changed = bytearray(ours.raw)
        changed[40 * 777 + 4 * word] ^= 1
        told = first_difference(Rows(changed), ours, image, BASE)
        assert told.startswith("before instruction 777 ") and f"{name} " in told
    assert "instructions on this CPU" in first_difference(Rows(ours.raw[:-40]), ours, image, BASE)
    script = tree / "tools.kaem"
    content = script.read_bytes()
    script.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    on_cpu = real(tmp_path, tree, opened, program.pid)
    script.write_bytes(content)
    told = first_difference(on_cpu, ours, image, BASE)
    index = int(told.removeprefix("before instruction ").split()[0])
    # The byte was just loaded.
    assert ours[index]["eax"] & 0xFF == content[20]
    assert on_cpu[index]["eax"] & 0xFF == content[20] ^ 1


def test_code_that_changes_and_rep(tmp_path: Path) -> None:
    """Each instruction is one, however often the emulator begins it."""
    need_ptrace()
    image = recorded.changing("i386")
    recorded.record(image, tmp_path / "t", argv=(b"./guest",))
    (tmp_path / "guest").write_bytes(image)
    (tmp_path / "guest").chmod(0o755)
    with trace.open(tmp_path / "t") as opened:
        on_cpu = real(tmp_path, tmp_path, opened, 1, 3)
        base = CODE - image.index(bytes.fromhex("bf"), 0x1000)
        for hot_path in HOT_PATHS:
            ours = in_a_replay(opened, engine_for(hot_path), 1)
            assert first_difference(on_cpu, ours, image, base) == ""
        assert len(on_cpu) > 2_000
