"""`bootstrap step --script`: results, exit statuses, and which line failed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap.cli.main import main
from bootstrap.known import data_dir

SEEDS = data_dir("seeds") / "x86"


def script(tmp_path: Path, *lines: str) -> str:
    place = tmp_path / "walk.step"
    place.write_text("\n".join(lines))
    return str(place)


def test_results_are_printed_and_what_holds_ends_with_0(
    embedded_trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walk = script(
        tmp_path, "# to the third", "step 3", "", "expect at 1@3  # there", "quit", "back 9"
    )
    assert main(["step", str(embedded_trace), "--script", walk]) == 0
    out, err = capsys.readouterr()
    output = out.splitlines()
    assert output[:2] == ["> step 3", "step at 1@3"] and output[-1] == "> quit" and not err


@pytest.mark.parametrize(
    ("lines", "status", "output"),
    [
        (["step", "", "expect pc = 1", "step"], 1, ":3: expect pc = 1: expected pc = 1; it is 0x"),
        (["step", "go nowhere"], 2, ":2: go nowhere: nowhere: is no place"),
        (["step", "stpe"], 2, ":2: column 1: there is no command stpe; did you mean step?"),
        (["zoom"], 2, ":1: zoom: only in a terminal"),
    ],
)
def test_what_fails_ends_it_and_is_said_with_its_line(
    embedded_trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    lines: list[str], status: int, output: str,
) -> None:  # fmt: skip
    walk = script(tmp_path, *lines)
    assert main(["step", str(embedded_trace), "--script", walk]) == status
    out, err = capsys.readouterr()
    assert err.startswith(f"bootstrap: {walk}{output}") and err.count("\n") == 1
    # What is no command at all is found before anything is done.
    assert ("> step" in out) == (":2: column" not in output and "zoom" not in output)


def test_results_as_json(
    embedded_trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walk = script(tmp_path, "step", "expect pc = 1")
    assert main(["step", str(embedded_trace), "--script", walk, "--json", "-"]) == 1
    value = json.loads(capsys.readouterr().out)
    assert value["failed"] and [one["line"] for one in value["commands"]] == [1, 2]
    assert value["commands"][0]["at"] == "1@1" and "it is 0x" in value["commands"][1]["failed"]


def test_a_saved_session_holds_on_a_recording_of_its_own(
    embedded_trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "saved.step"
    walk = script(tmp_path, "output", "print written", f"save {saved}")
    assert main(["step", str(embedded_trace), "--script", walk]) == 0
    assert main(["step", "--quiet", "--script", str(saved)]) == 0
    assert "as expected: at 1@48011" in capsys.readouterr().out


def test_a_program_is_recorded_and_stepped_through(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("hex0-seed", "hex0.hex0"):
        (tmp_path / name).write_bytes((SEEDS / name).read_bytes())
    (tmp_path / "hex0-seed").chmod(0o755)
    walk = script(tmp_path, "output", "expect written = made+0x0", "end", "expect size made = 181")
    given = ["--root", str(tmp_path), "--", "/hex0-seed", "hex0.hex0", "made"]
    assert main(["step", "--script", walk, *given]) == 0
    assert "as expected: size made = 181" in capsys.readouterr().out
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("argv", "output"),
    [
        (["t", "u", "--script", "WALK"], "only one trace"),
        (["--script", "WALK", "t", "--", "x"], "give one or the other"),
        (["t", "--script", "WALK", "--root", "x"], "--root goes with -- PROGRAM only"),
        (["t", "--script", "WALK", "--source", "x"], "--source goes without a trace"),
        (["t", "--script", "WALK", "--limit", "memory=1"], "--limit goes with a run to record"),
        (["--script", "WALK", "--"], "no program after --"),
        (["--script", "WALK", "--arch", "z80"], "there are no embedded sources for it"),
        (["t", "--script", "none"], "none: cannot be read"),
        (["none.trace", "--script", "WALK"], "none.trace: cannot be read"),
        (["t", "--json", "-"], "--json goes with --script"),
    ],
)
def test_what_cannot_be_asked_for_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], output: str
) -> None:
    walk = script(tmp_path, "step")
    assert main(["step", *(walk if word == "WALK" else word for word in argv)]) == 2
    assert output in capsys.readouterr().err
