"""kaem-optional-seed: every script up to a length, over bytes that no instruction tells apart."""

from __future__ import annotations

import io
import os
from itertools import product
from typing import Any, ClassVar

import pytest

from bootstrap.core.errors import BootstrapError
from bootstrap.core.files import Stream
from bootstrap.instruments import Engine, default_engine
from bootstrap.instruments.walking import WalkingCpu
from bootstrap.languages import kaem
from bootstrap.linux.events import Event, Executed
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.machine import LinuxMachine
from bootstrap.sources import SourceTree
from tests.prove.material import program

CLASSES = (b"a", b"\0", b"\t", b"\n", b" ", b'"', b"#", b"\\", b"\xfc")
"""One byte of each class; `a` stands for all that are not named."""
PROGRAMS = tuple(b"a" * n for n in range(1, 6))
"""What there is to be run; each ends well."""
GOOD = program(bytes.fromhex("31db 6a01 58 cd80"))
HARD = {"x86": b"Subprocess error\nABORTING HARD\n", "AMD64": b"Subprocess error\n"}
Command = tuple[bytes, ...]
Did = tuple[int, bytes, list[Command]]
"""Exit status, output, and what was executed."""


def kaem_0(script: bytes) -> tuple[list[Command], bool]:
    """The language of the seed: its commands, and whether it fails after them."""
    rest = iter(script)
    commands: list[Command] = []
    arguments: list[bytes] = []
    token = b""
    for byte in rest:
        if byte == 0xFC:
            break  # it is taken for the end of the file, but after a backslash
        if byte == ord("\\"):
            next(rest, None)
        elif byte in b'"#':
            closes = ord('"') if byte == ord('"') else ord("\n")
            while (one := next(rest, None)) != closes:
                if one in (None, 0xFC):
                    return commands, True
                token += bytes((one or 0,)) if byte == ord('"') else b""
        elif byte not in b" \t\n":
            token += bytes((byte,))
            continue
        if token:
            arguments.append(token.partition(b"\0")[0])
            token = b""
        if byte in b"\n#" and arguments:
            commands.append(tuple(arguments))
            arguments = []
    return commands, False  # a line that the file's end cuts off is not run


def expected(script: bytes, arch: str) -> Did:
    commands, fails = kaem_0(script)
    output = b""
    for number, command in enumerate(commands):
        output += kaem.Command(1, command).announcement
        if command[0] not in PROGRAMS:
            return 1, output + HARD[arch], commands[:number]
    return int(fails), output, commands


class _Walking(Engine):
    """Its CPUs list what they execute; the first is the shell's."""

    made: ClassVar[list[WalkingCpu]] = []

    def cpu(self, process: Any, on_trap: Any, *_: Any, **__: Any) -> WalkingCpu:
        self.made.append(WalkingCpu(process.arch, process.memory, on_trap, 1 << 20))
        return self.made[-1]


def did(seed: bytes, script: bytes, engine: Engine) -> Did:
    files = {b"/there/seed": LowerFile(0o755, seed), b"/there/script": LowerFile(0o644, script)}
    files |= {b"/there/" + name: LowerFile(0o755, GOOD) for name in PROGRAMS}
    output, executed = io.BytesIO(), list[Command]()

    def listen(event: Event) -> None:
        if isinstance(event, Executed):
            executed.append(event.program.argv)

    ended = LinuxMachine(OverlayFileSystem(MemoryLower(files)), engine, listeners=[listen]).run(
        b"/there/seed", [b"seed", b"script"], cwd=b"/there",
        streams=(Stream(), Stream(write=output.write), Stream()),
    )  # fmt: skip
    return os.waitstatus_to_exitcode(ended.status), output.getvalue(), executed[1:]


def scripts(longest: int) -> list[bytes]:
    return [b"".join(row) for n in range(longest + 1) for row in product(CLASSES, repeat=n)]


def seed(release: SourceTree, arch: str) -> bytes:
    return release.files[f"bootstrap-seeds/POSIX/{arch}/kaem-optional-seed"].data


@pytest.mark.upstream
@pytest.mark.parametrize(
    "arch, longest",
    [("x86", 3), *(pytest.param(a, 4, marks=pytest.mark.exhaustive) for a in ("x86", "AMD64"))],
)
def test_every_short_script(arch: str, longest: int, release: SourceTree) -> None:
    data, engine = seed(release, arch), default_engine()
    for script in scripts(longest):
        assert did(data, script, engine) == expected(script, arch), script


@pytest.mark.upstream
@pytest.mark.parametrize("arch", ["x86", pytest.param("AMD64", marks=pytest.mark.exhaustive)])
def test_which_bytes_the_seed_tells_apart(arch: str, release: SourceTree) -> None:
    """By the instructions that are executed: within, before and after each kind of thing."""
    data, engine = seed(release, arch), _Walking(None, "it lists what is executed")
    script = b'a X\na bX\na "X"\na "bX"\na "b"X\na #X\na #bX\na \\X\nXb\n'
    paths: dict[int, list[object]] = {}
    for byte in range(256):
        engine.made.clear()
        did(data, script.replace(b"X", bytes((byte,))), engine)
        paths[byte] = [event for event in engine.made[0].events if event[0] == "x"]
    classes: list[list[int]] = []
    for byte, path in paths.items():
        found = next((row for row in classes if paths[row[0]] == path), None)
        classes.append([byte]) if found is None else found.append(byte)
    named = {one[0] for one in CLASSES[1:]}
    others = [byte for byte in range(256) if byte not in named]
    assert sorted(classes) == sorted([others, *([byte] for byte in named)])


def test_its_language_is_the_models_but_for_three_things() -> None:
    alike = taken = 0
    for script in scripts(4):
        try:
            commands = [command.arguments for command in kaem.parse(script, "x")]
        except BootstrapError:
            continue
        same = kaem_0(script) == (commands, False)
        # What the model has and the seed not: its last line without an end, "", and 0xfc.
        ends = not script or (script.endswith(b"\n") and not script.endswith(b"\\\n"))
        if ends and b'""' not in script and b"\xfc" not in script:
            assert same, script
        alike, taken = alike + same, taken + 1
    assert (alike, taken) == (363, 2304)
