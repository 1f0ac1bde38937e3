"""System call numbers by ABI: Arch.name -> call -> number.

They stand in .tbl files, in the form of Linux's own. Names are kept for every number, so that a
call that is in no table of ours can be named when it stops a run.
"""

from collections.abc import Mapping
from pathlib import Path

_TABLES = {
    "i386": ("i386", "i386"),
    "x86_64": ("x86_64", "64"),
    "aarch64": ("generic", "common 64 arm64"),
    "riscv64": ("generic", "common 64 riscv"),
    "riscv32": ("generic", "common 32 riscv"),
}
"""By Arch.name the file, and the ABIs in it that are this one's."""


def _read(table: str, abis: str) -> dict[str, int]:
    text = Path(__file__).with_name(f"syscalls_{table}.tbl").read_text("ascii")
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {name: int(number) for number, abi, name in rows if abi in abis.split()}


NUMBERS: Mapping[str, Mapping[str, int]] = {arch: _read(*where) for arch, where in _TABLES.items()}
