"""Seeds and their certificates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bootstrap.prove
from bootstrap.sources import SourceTree

CERTIFICATES = Path(bootstrap.prove.__file__).parent / "certificates"
X86 = (Path(__file__).parents[2] / "seeds" / "x86" / "hex0-seed").read_bytes()
OTHERS = ("AMD64", "AArch64", "riscv64", "riscv32")


def certificate(arch: str) -> bytes:
    """That the package carries."""
    return (CERTIFICATES / f"{arch}.json").read_bytes()


def document(arch: str) -> dict[str, Any]:
    """The same, to be edited."""
    found: dict[str, Any] = json.loads(certificate(arch))
    return found


def seed(release: SourceTree, arch: str) -> bytes:
    """Upstream's."""
    return release.files[f"bootstrap-seeds/POSIX/{arch}/hex0-seed"].data


def program(code: bytes, flags: int = 7) -> bytes:
    """An x86 program, its segment's rights, after the seed's headers."""
    head = bytearray(X86[:0x4C])
    size = len(head) + len(code)
    head[0x3C:0x44] = size.to_bytes(4, "little") * 2
    head[0x44] = flags
    return bytes(head) + code
