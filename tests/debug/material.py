"""Recorded runs for the debugger's tests: the hex0 seed on its source, and a loop for each ABI."""

from __future__ import annotations

import shutil
from pathlib import Path

from bootstrap.debug import Session
from bootstrap.debug.opening import record_program
from bootstrap.sources import SourceTree
from tests.instruments.runs import engine_for
from tests.instruments.test_other_architectures import exit_with, program, words
from tests.seeds.tools import SOURCES

FOLDERS = {"x86_64": "AMD64", "aarch64": "AArch64", "riscv64": "riscv64", "riscv32": "riscv32"}
"""By ABI, upstream's name of the architecture."""
LOOP = {
    # mov x1, #5; adr x2, CELL; 1: str w1, [x2, #8]; subs x1, x1, #1; b.ne 1b
    "aarch64": (0xD28000A1, 0x100037E2, 0xB9000841, 0xF1000421, 0x54FFFFC1),
    # li a1, 5; auipc a2, 0; addi a2, a2, 0x6fc; 1: sw a1, 8(a2); addi a1, a1, -1; bnez a1, 1b
    "riscv64": (0x00500593, 0x00000617, 0x6FC60613, 0x00B62423, 0xFFF58593, 0xFE059CE3),
}
LOOP["riscv32"] = LOOP["riscv64"]
STORE = {"aarch64": 0x10108, "riscv64": 0x1010C, "riscv32": 0x1010C}
"""Where the loop's store is; it stores 5, 4, 3, 2, 1."""
STORED = 0x10808


SOURCE = (SOURCES / "hex0.hex0").read_bytes()
SEED = (SOURCES / "hex0-seed").read_bytes()
READ = 0x804806E
"""hex0's `pop ebx` before it reads a byte."""


def state(session: Session) -> tuple[object, ...]:
    """A place and what is there."""
    return session.here, session.registers(), session.calls, session.read(session.pc, 16)


def stack(session: Session) -> list[int]:
    """The values on the stack."""
    return [value for _, value in session.stack(8)]


def record_hex0(folder: Path, hot_path: str = "native") -> Path:
    """Our seed assembles its own source into `out`; the trace."""
    root = folder / "root"
    root.mkdir()
    for name in ("hex0-seed", "hex0.hex0"):
        shutil.copy(SOURCES / name, root / name)
    (root / "hex0-seed").chmod(0o755)
    return _record(folder, root, ["./hex0-seed", "hex0.hex0", "out"], hot_path)


def record_upstreams_hex0(folder: Path, release: SourceTree, abi: str) -> Path:
    """The same for upstream's seed of an architecture."""
    root = folder / "root"
    root.mkdir()
    name = FOLDERS[abi]
    seed = release.files[f"bootstrap-seeds/POSIX/{name}/hex0-seed"].data
    source = release.files[f"{name}/hex0_{name}.hex0"].data
    (root / "hex0-seed").write_bytes(seed)
    (root / "hex0-seed").chmod(0o755)
    (root / "hex0.hex0").write_bytes(source)
    return _record(folder, root, ["./hex0-seed", "hex0.hex0", "out"])


def record_loop(folder: Path, abi: str) -> Path:
    """A program that stores five numbers in a loop and exits with 7."""
    root = folder / "root"
    root.mkdir()
    (root / "loop").write_bytes(program(abi, words(*LOOP[abi]) + exit_with(abi, 7)))
    (root / "loop").chmod(0o755)
    return _record(folder, root, ["./loop"])


def record_image(folder: Path, image: bytes, files: dict[str, bytes] | None = None) -> Path:
    """A guest alone in a folder, with these files."""
    root = folder / "root"
    root.mkdir()
    for name, content in {"guest": image, **(files or {})}.items():
        (root / name).write_bytes(content)
        (root / name).chmod(0o755)
    return _record(folder, root, ["./guest"])


def _record(folder: Path, root: Path, argv: list[str], hot_path: str = "native") -> Path:
    place = folder / "run.trace"
    record_program(str(place), argv, engine_for(hot_path), str(root))
    return place
