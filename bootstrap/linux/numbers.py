"""System call numbers by ABI: Abi.name -> call -> number."""

from collections.abc import Mapping

from bootstrap.linux import numbers_generic, numbers_i386, numbers_x86_64

NUMBERS: Mapping[str, Mapping[str, int]] = {
    "i386": numbers_i386.NUMBERS,
    "x86_64": numbers_x86_64.NUMBERS,
    "aarch64": numbers_generic.AARCH64,
    "riscv64": numbers_generic.RISCV64,
    "riscv32": numbers_generic.RISCV32,
}
