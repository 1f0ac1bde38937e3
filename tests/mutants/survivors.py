"""The mutants that no case tells from the tool, by tool and offset: docs/mutants.md says why."""

from __future__ import annotations

from collections.abc import Iterator


def offsets(written: str) -> Iterator[int]:
    """``"005-007 010"``, in hexadecimal: 5, 6, 7, 16."""
    for part in written.split():
        first, _, last = part.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


_WRITTEN = {
    "hex1": {
        "The ELF header: unused fields": ("005-00f 014-017 020-029 038-03b 044-04b"),
        "More memory than is needed, or less but enough": "03d 040-043",
        "Another condition or operation, the same for all values that come here": ("0e8 156 17e"),
        "What registers hold when Linux starts a program": "058-059 060 08e",
        "Bits that the kernel ignores, or that change nothing in a file": "163 165 168-16a",
        "Another way to the same place": "052 190 198 1a0 1a3",
    },
    "hex2": {
        "The ELF header: unused fields": ("005-00f 014-017 020-029 02c 02e-033 040-043 04c-053"),
        "More memory than is needed, or less but enough": "044 048-04b",
        "The same instruction in its other encoding": "177 1c8",
        "A result that nobody uses": "056 183 1c0",
        "Another condition or operation, the same for all values that come here": (
            "068 0ab 164 19e 1c5 1d6 211 232 26c 293 2a5 2a9 30c"
        ),
        "What registers hold when Linux starts a program": "060-061",
        "Bits that the kernel ignores, or that change nothing in a file": "24b-24e 252-253",
        "Another way to the same place": "280 344 347 350",
        "The tables: another hash, another place": "2f4-2f5 307-309 310",
        "Only an input made for the purpose shows it": "311-313",
    },
    "M0": {
        "The ELF header: unused fields": ("005-00f 014-017 020-029 02c 02e-033 040-043 04c-053"),
        "More memory than is needed, or less but enough": "044 048-04b",
        "The same instruction in its other encoding": "065 16c 177 2be",
        "A result that nobody uses": "056 0b5 0ee 0ff 191 1a7",
        "Another condition or operation, the same for all values that come here": (
            "0ac 0ca 0ce 0ec 127 13c 13e 17c 18c 19e 1c7 1e7 23a 251 2a8 351"
        ),
        "What registers hold when Linux starts a program": "066 06d",
        "Bits that the kernel ignores, or that change nothing in a file": "22e 231-233",
        "Another way to the same place": "13f 266",
        "The tables: another hash, another place": "293 320",
        "Only an input made for the purpose shows it": "2f5",
    },
}
"""Tool -> group, which is a headline there -> offsets."""

SURVIVORS: dict[str, dict[int, str]] = {
    tool: {offset: group for group, written in groups.items() for offset in offsets(written)}
    for tool, groups in _WRITTEN.items()
}
"""Tool -> offset -> group."""
