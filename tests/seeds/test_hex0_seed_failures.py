"""What the seed does when something goes wrong: the last section of docs/hex0.md, line by line."""

from __future__ import annotations

import pytest

from bootstrap.core.errors import GuestFailed
from bootstrap.instruments import default_engine
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, LowerFolder, MemoryLower
from bootstrap.linux.limits import Limits
from bootstrap.linux.machine import Machine
from tests.seeds.guest import SEED


def run(*argv: bytes) -> tuple[int, dict[bytes, bytes]]:
    """Wait status, and the files that are new or changed."""
    fs = OverlayFileSystem(
        MemoryLower(
            {
                b"/seed": LowerFile(0o755, SEED.read_bytes()),
                b"/in": LowerFile(0o644, b"41 42 4"),
                b"/folder": LowerFolder(),
            }
        )
    )
    ended = Machine(fs, default_engine(), Limits(instructions=100_000)).run(b"/seed", argv)
    return ended.status, {path: file.contents() for path, file in fs.changed()}


def test_a_digit_left_over_is_dropped() -> None:
    assert run(b"seed", b"in", b"out") == (0, {b"/out": b"AB"})


def test_without_an_output_it_ends_as_if_all_were_well() -> None:
    assert run(b"seed", b"in") == (0, {})


@pytest.mark.parametrize("output", [b"folder", b"missing/out", b""])
def test_an_output_that_cannot_be_opened_is_not_noticed(output: bytes) -> None:
    assert run(b"seed", b"in", output) == (0, {})


def test_an_input_that_is_the_output_is_emptied_before_it_is_read() -> None:
    assert run(b"seed", b"in", b"in") == (0, {b"/in": b""})


@pytest.mark.parametrize("argv", [(b"missing", b"out"), (b"folder", b"out"), ()])
def test_an_input_that_cannot_be_read_makes_it_loop(argv: tuple[bytes, ...]) -> None:
    with pytest.raises(GuestFailed, match="instructions"):
        run(b"seed", *argv)


def test_more_arguments_are_ignored() -> None:
    assert run(b"seed", b"in", b"out", b"more") == (0, {b"/out": b"AB"})
