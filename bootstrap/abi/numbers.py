"""System call numbers by ABI: Abi.name -> call -> number."""

from collections.abc import Mapping

from bootstrap.abi import generic, i386, x86_64

NUMBERS: Mapping[str, Mapping[str, int]] = {
    "i386": i386.NUMBERS,
    "x86_64": x86_64.NUMBERS,
    "aarch64": generic.AARCH64,
    "riscv64": generic.RISCV64,
    "riscv32": generic.RISCV32,
}
