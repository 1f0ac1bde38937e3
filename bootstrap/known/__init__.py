"""What is known of each release: materials, products, known-good hashes, read from steps/."""

from bootstrap.known.schema import Entry, Known, ReleaseSource, Seed, StepFile
from bootstrap.known.steps import (
    EMBEDDED,
    RELEASES,
    STAGEX,
    all_steps,
    arch_name,
    architectures,
    data_dir,
    default_release,
    find,
    releases,
    steps_of,
    tree_files,
)

__all__ = [
    "EMBEDDED",
    "RELEASES",
    "STAGEX",
    "Entry",
    "Known",
    "ReleaseSource",
    "Seed",
    "StepFile",
    "all_steps",
    "arch_name",
    "architectures",
    "data_dir",
    "default_release",
    "find",
    "releases",
    "steps_of",
    "tree_files",
]
