"""Writes docs/syscalls.md from the tables: `python -m bootstrap.linux.syscall_docs > FILE`."""

import sys

from bootstrap.core.syscalls import Syscall
from bootstrap.linux.call_tables import CALLS, KNOWN, SUPPORT
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.row import parameters

ABIS = (
    ("i386", "`int 0x80`"),
    ("x86_64", "`syscall`"),
    ("aarch64", "`svc #0`"),
    ("riscv64", "`ecall`"),
    ("riscv32", "`ecall`"),
)

_HEAD = """\
# System calls

Generated from the tables in `bootstrap/core` and `bootstrap/linux`; do not edit. To write it
again:

    python -m bootstrap.linux.syscall_docs > docs/syscalls.md

The guest kernel treats a process of each ABI as a 64-bit Linux does; one of riscv32, as a 32-bit
Linux does. Support is one of:

- **full**: as Linux, for everything that a guest of this kernel can do.
- **partial**: as Linux, except for what the note says.
- **probed**: C libraries try it, and can do without, as on an older kernel. In `run` and
  `trace record -- PROGRAM` it fails with ENOSYS, and they print how often it did; in every run that
  is judged (`verify`, `ddc`, `seeds check` and what is built on them) it stops the run, as refused.
- **refused**: stops the run. So does every call that is not listed. The message has the call's
  number, name and arguments, the program and the place. No call pretends to succeed.

The guest programs in `tests/linux/guests` compare every call that is not refused with a real
kernel, error cases included: i386 and x86_64 with the host's own, the others with qemu-user, or
with the host's own where qemu differs from Linux (`tests/linux/by_qemu.py`).

`make fuzz` runs random programs of these calls, which share descriptors, mappings and paths, on
the host's kernel (Linux on x86_64, as root) and emulated, on both fast paths, and prints each
difference once, with the fewest calls that show it. `make test` runs 200 of them. The table KNOWN
in `tests/fuzz/programs.py` has what such programs leave out, and why.
"""


def _served(arch: str) -> dict[int, Syscall]:
    """The rows of an architecture by number, those that nobody serves too."""
    return {number: call.row for number, call in {**CALLS[arch], **KNOWN[arch]}.items()}


def _names(row: Syscall) -> tuple[str, ...]:
    return tuple(name for _, name in parameters(row.arguments))


def _merged() -> list[tuple[dict[str, int], Syscall]]:
    """Rows with their number in each ABI; what differs between ABIs stays apart."""
    merged: dict[tuple[str, tuple[str, ...], str, str], tuple[dict[str, int], Syscall]] = {}
    for abi, _ in ABIS:
        for number, row in sorted(_served(abi).items()):
            key = row.name, _names(row), row.support, row.note
            merged.setdefault(key, ({}, row))[0][abi] = number
    return sorted(merged.values(), key=lambda item: (item[1].name, sorted(item[0].items())))


def _line(numbers: dict[str, int], row: Syscall) -> str:
    cells = [
        f"`{row.name}({', '.join(_names(row))})`",
        *(str(numbers.get(abi, "")) for abi, _ in ABIS),
        row.support,
        row.note,
    ]
    return "|" + "".join(f" {cell} |" if cell else " |" for cell in cells)


def render() -> str:
    """The text of docs/syscalls.md."""
    rows = _merged()
    lines = [_HEAD]
    for abi, trap in ABIS:
        found = [row.support for row in _served(abi).values()]
        counts = ", ".join(f"{found.count(support)} {support}" for support in SUPPORT)
        lines.append(f"- {abi} ({trap}): {counts}, of {len(NUMBERS[abi])} that Linux has.")
    for title, wanted in (
        ("Supported", ("full", "partial")),
        ("Probed: ENOSYS, and why that is enough", ("probed",)),
        ("Refused, and why", ("refused",)),
    ):
        lines += ["", f"## {title}", ""]
        names = " | ".join(abi for abi, _ in ABIS)
        lines += [f"| call | {names} | support | note |", f"|---|{'---:|' * len(ABIS)}---|---|"]
        lines += [_line(numbers, row) for numbers, row in rows if row.support in wanted]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
