"""A changed byte, in any of fifty places, is never verified.

In half of them the step file's material hash is changed to match, so that what the run makes must
tell: there the byte is one that matters, an instruction, a digit, a word of a command.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.core.errors import ExitStatus
from bootstrap.core.release import EntryPoint, Tree, read_release
from bootstrap.core.verdict import Outcome, decide, run_in_core
from tests.core.made_up import EMBEDDED_STEPS, embedded_files, made_up, tree_of
from tests.core.running import core

# File, what to change in it, in how many places: seed, C, kaem script, hex0, hex1, hex2, M1.
PLACES = [
    ("hex0-seed", rb"(?s).", 5),
    ("main.c", rb"\w", 2),
    ("tools.kaem", rb"\w", 3),
    ("hex0.hex0", rb"[0-9A-F]", 3),
    ("kaem.hex0", rb"[0-9A-F]", 3),
    ("hex1.hex0", rb"[0-9A-F]", 2),
    ("hex2.hex1", rb"[0-9A-F]", 2),
    ("M0.hex2", rb"[0-9A-F]", 2),
    ("hello.M1", rb"\w", 3),
]


def places() -> list[tuple[str, int]]:
    """Spread over each file, outside of comments."""
    files = made_up().files
    found = []
    for path, pattern, count in PLACES:
        data = files[path]
        code = data if path in ("hex0-seed", "main.c") else blanked(data)
        at = [match.start() for match in re.finditer(pattern, code)]
        found += [(path, at[len(at) * (2 * n + 1) // (2 * count)]) for n in range(count)]
    return found


def blanked(data: bytes) -> bytes:
    """Without comments, and of the same length."""
    return re.sub(rb"[#;][^\n]*", lambda match: b" " * len(match[0]), data)


def other(byte: int) -> int:
    """Another digit for a digit (no hex digit becomes none), another byte for any other."""
    return ord("0") if chr(byte) in "123456789ABCDEFabcdef" else byte ^ 1


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([other(data[at])]) + data[at + 1 :]


def test_there_are_enough_places() -> None:
    assert len(set(places())) == 25


@pytest.mark.parametrize(("path", "at"), places())
def test_a_changed_byte_of_what_we_carry_is_not_even_run(path: str, at: int) -> None:
    files = embedded_files()
    if path == "main.c":  # we carry none
        path, at = "catm.hex2", at * 100
    files[path] = changed(files[path], at)
    release = read_release(EMBEDDED_STEPS.read_bytes(), "embedded-x86.toml")

    def runner(_tree: Tree, _entry: EntryPoint) -> Outcome:
        raise AssertionError("it was run")

    findings = decide(tree_of(files), release, None, runner).findings
    assert (findings.result, findings.exit_status) == ("incomplete", ExitStatus.DIFFERS)
    assert path in findings.claim


@pytest.mark.parametrize(("path", "at"), places())
def test_with_its_hash_changed_to_match_the_products_tell(
    path: str, at: int, tmp_path: Path
) -> None:
    one = made_up()
    one.files[path] = changed(one.files[path], at)
    one.fit()
    (tmp_path / "steps.toml").write_bytes(one.steps())
    (tmp_path / "tree").mkdir()
    for name, data in one.files.items():
        (tmp_path / "tree" / name).write_bytes(data)
    done = core(tmp_path / "tree", "--arch", "x86", "--steps", tmp_path / "steps.toml",
                "--seconds", "10")  # fmt: skip
    # 3: the guest failed, or never ended.
    assert done.returncode in (1, 3), done.stdout + done.stderr
    assert "VERIFIED" not in done.stdout.replace("NOT VERIFIED", "")
    assert "AS PINNED" not in done.stdout


@pytest.mark.parametrize("number", range(10))
def test_a_changed_known_value_is_never_met(number: int) -> None:
    one = made_up()
    outcome = outcome_of_a_good_run()
    path = [*one.answers][number]
    one.answers[path] = changed(one.answers[path].encode(), 6 * number).decode()
    findings = decide(one.tree(), one.release(), None, lambda tree, entry: outcome).findings
    assert (findings.result, findings.reasons) == ("mismatch", (f"1 artifacts differ: {path}",))


_good: list[Outcome] = []


def outcome_of_a_good_run() -> Outcome:
    """Of the made-up release, run once."""
    if not _good:

        def runner(tree: Tree, entry: EntryPoint) -> Outcome:
            _good.append(run_in_core(tree, entry))
            return _good[0]

        one = made_up()
        assert decide(one.tree(), one.release(), None, runner).findings.result == "as-pinned"
    return _good[0]
