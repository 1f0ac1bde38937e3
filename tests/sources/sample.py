"""A release of three files, and a step file that knows it."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

from bootstrap.core.release import SourceFile
from bootstrap.sources.tar import Member, write_tar
from bootstrap.sources.tree import SourceTree

SEED = "seeds/hex0-seed"
FILES = {
    SEED: b"\x7fELF seed",
    "x86/a.hex0": b"00 11\n",
    "kaem.x86": b"run\n",
    "README": b"hello\n",
}
READ = (SEED, "x86/a.hex0", "kaem.x86")
URL = "https://release.invalid/stage0-posix-1.0.tar.gz"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_tree(files: Mapping[str, bytes] | None = None) -> SourceTree:
    """A tree in memory."""
    whole = FILES if files is None else files
    return SourceTree("sample", {p: SourceFile(d, p == SEED) for p, d in whole.items()})


def make_folder(root: Path, files: Mapping[str, bytes] | None = None) -> Path:
    """The same as a folder of the host."""
    for path, data in (FILES if files is None else files).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        (root / path).chmod(0o755 if path == SEED else 0o644)
    return root


def make_archive(files: Mapping[str, bytes] | None = None, top: str = "top/") -> bytes:
    """The same as a .tar.gz."""
    whole = FILES if files is None else files
    members = [Member("file", top + p, p == SEED, d, "", 0) for p, d in whole.items()]
    return gzip.compress(write_tar(iter(members)), mtime=0)


def step_text(arch: str = "x86", published: str | None = None, release: str = "1.0") -> str:
    """A step file for the sample release."""
    materials = "".join(f'"{path}" = "{sha256(FILES[path])}"\n' for path in READ)
    archive = "" if published is None else f'sha256 = "{published}"\n'
    return (
        f'schema = 1\nname = "stage0-posix"\nrelease = "{release}"\narch = "{arch}"\n'
        f'tree_files = "sample.files"\ndirectories = ["x86/bin"]\nanswers_from = "x86.answers"\n'
        f'[source]\nurls = ["{URL}"]\n{archive}'
        f'[seeds.hex0-seed]\npath = "{SEED}"\nsize = 9\nsha256 = "{sha256(FILES[SEED])}"\n'
        f'[entries.script]\ncommands = [["./{SEED}", "kaem.x86"]]\n'
        f'[entries.bare]\ncommands = [["./{SEED}", "x86/a.hex0"]]\nhidden = ["kaem.x86"]\n'
        f'[answers]\n"x86/out" = "{"a" * 64}"\n[materials]\n{materials}'
    )


EMBEDDED = f"""\
schema = 1
name = "embedded"
arch = "x86"
catalogue_from = "catalogue"
[seeds.hex0-seed]
path = "hex0-seed"
size = 9
sha256 = "{sha256(FILES[SEED])}"
[entries.hex0-seed]
commands = [["./hex0-seed", "hex0.hex0", "hex0"]]
[catalogue]
hex0 = "{sha256(FILES[SEED])}"
[materials]
hex0-seed = "{sha256(FILES[SEED])}"
"hex0.hex0" = "{sha256(b"7f")}"
"""
