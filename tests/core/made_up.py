"""A release that is made up: our own embedded path, and one step more that joins a text to itself.

It needs no source of upstream's, and has what a real one has: a seed, hex0, hex1, hex2, M1 and C
sources, a kaem script, an answers file.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap.core.release import Release, SourceFile, Tree, read_release

ROOT = Path(__file__).resolve().parent.parent.parent
EMBEDDED = ROOT / "seeds" / "x86"
EMBEDDED_STEPS = ROOT / "steps" / "embedded-x86.toml"
C = b"int main() { return 0; }\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def embedded_files() -> dict[str, bytes]:
    """The embedded sources."""
    return {path.name: path.read_bytes() for path in EMBEDDED.iterdir()}


def tree_of(files: Mapping[str, bytes]) -> Tree:
    return Tree("made up", {path: SourceFile(data) for path, data in files.items()})


@dataclass
class MadeUp:
    """Files, and the parts of a step file that fit them; a test changes what it wants changed."""

    files: dict[str, bytes] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    native: dict[str, str] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    materials: dict[str, str] = field(default_factory=dict)

    def fit(self) -> None:
        """Give each material the SHA-256 that its file has."""
        self.materials = {path: sha256(data) for path, data in self.files.items()}

    def steps(self) -> bytes:
        """The step file."""
        lines = [
            "schema = 1", 'name = "made-up"', 'release = "1"', 'arch = "x86"',
            'answers_from = "made-up.answers"', 'native_from = "a native run"',
            f"directories = {self.directories!r}",
            "[seeds.hex0-seed]", 'path = "hex0-seed"',
            f"size = {len(self.files['hex0-seed'])}", f'sha256 = "{self.materials["hex0-seed"]}"',
            "[entries.hex0-seed]", f"commands = {self.commands!r}", f"hidden = {self.hidden!r}",
        ]  # fmt: skip
        for name in ("materials", "answers", "native"):
            lines += [f"[{name}]", *(f'"{p}" = "{h}"' for p, h in getattr(self, name).items())]
        return "\n".join(lines).encode()

    def tree(self) -> Tree:
        return tree_of(self.files)

    def release(self, file: str = "made-up.toml") -> Release:
        return read_release(self.steps(), file)


def made_up() -> MadeUp:
    """One that is met."""
    known = tomllib.loads(EMBEDDED_STEPS.read_text())
    files = {**embedded_files(), "main.c": C}
    one = MadeUp(
        files,
        [*known["entries"]["hex0-seed"]["commands"], ["./catm", "out/twice.c", "main.c", "main.c"]],
        {**known["catalogue"], "out/twice.c": sha256(C + C)},
        directories=["out"],
    )
    one.native = {"M0": one.answers["M0"], "hello": one.answers.pop("hello")}
    one.fit()
    return one
