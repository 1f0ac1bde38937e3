"""Which files of a tree count as read: those that were read with the content they have there."""

from __future__ import annotations

from bootstrap.runs.reading import reads
from bootstrap.trace.lineage import FileVersion, ProcessRecord


def test_reads_are_files_of_the_tree_as_they_are_there() -> None:
    seed = FileVersion("/seed", "a" * 64, 1)
    record = ProcessRecord(1, 0, 1, seed, ("seed",))
    record.reads += [
        FileVersion("/x86/source", "b" * 64, 2),
        FileVersion("/x86/bin/made", "c" * 64, 3),
        FileVersion("/x86/replaced", "d" * 64, 4),
        FileVersion("/x86/source", "b" * 64, 2),
    ]
    tree = {
        "seed": "a" * 64,
        "x86/source": "b" * 64,
        "x86/replaced": "e" * 64,
        "README": "f" * 64,
    }
    assert reads([record], tree) == ["seed", "x86/source"]
