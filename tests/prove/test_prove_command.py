"""`bootstrap prove` as users run it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bootstrap.cli.main import main
from bootstrap.prove.check import decide
from tests.prove.material import X86, program


def test_a_seed_is_proven_and_all_is_written(
    tmp_path: Path, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seed").write_bytes(X86)
    names = {name: str(tmp_path / name) for name in ("seed", "cert", "svg", "json")}
    outputs = ["-o", names["cert"], "--svg", names["svg"], "--json", names["json"]]
    assert main(["prove", names["seed"], "--arch", "x86", *outputs]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-1].startswith("PROVEN for all inputs: it is hex0")
    assert decide((tmp_path / "cert").read_bytes(), X86)[0] == 0
    assert (tmp_path / "svg").read_text().startswith("<svg ")
    document = json.loads((tmp_path / "json").read_text())
    schema = json.loads((checkout / "docs" / "prove.schema.json").read_text())
    jsonschema.validate(document, schema)
    assert document["proven"] and document["language"]["classes"] == 34


def test_a_seed_that_is_another_is_not_proven(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = bytearray(X86)
    other[0x8B] = ord("!")  # in place of '#'
    (tmp_path / "seed").write_bytes(other)
    assert main(["prove", str(tmp_path / "seed"), "-o", str(tmp_path / "cert")]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[-1] == "NOT PROVEN: it is not hex0"
    assert "  differs     !00 makes it write nothing; hex0, where G and g count" in "\n".join(out)
    assert not (tmp_path / "cert").exists()


@pytest.mark.parametrize(
    "data, options, why",
    [
        (b"hello", [], "no Linux program of an architecture"),
        (b"", [], "is empty"),
        (X86, ["--arch", "AMD64"], "a program for x86, not for AMD64"),
        (X86, ["--states", "0"], "must be 1 or more"),
        (X86[:60], [], "Linux does not start it"),
        (bytes(100_000), [], "no hex0 seed has that many"),
    ],
)
def test_bad_input(
    data: bytes, options: list[str], why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seed").write_bytes(data)
    assert main(["prove", str(tmp_path / "seed"), *options]) == 2
    err = capsys.readouterr().err
    assert why in err and err.count("\n") == 1


def test_what_does_not_close_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "seed").write_bytes(X86)
    assert main(["prove", str(tmp_path / "seed"), "--states", "9"]) == 1
    assert "NOT PROVEN: its states do not close: 9 at the limit" in capsys.readouterr().out


def test_two_of_which_one_is_no_hex0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "loop").write_bytes(program(b"\xeb\xfe"))
    one = str(tmp_path / "loop")
    assert main(["prove", one, "--against", one]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "NOT COMPARED: not both are walked"
