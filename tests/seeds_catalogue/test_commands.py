"""`bootstrap seeds` as a user meets it: what it prints, and its exit statuses."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from tests.anatomy import material

SEED = Path(__file__).resolve().parents[2] / "seeds" / "x86" / "hex0-seed"
SOURCE = SEED.with_name("hex0.hex0")
Output = Callable[[], tuple[str, str]]


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    def read() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    return read


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_list_and_its_filters(output: Output) -> None:
    assert main(["seeds", "list"]) == 0
    assert output()[0].splitlines()[-1] == "204 rows, 198 different contents"
    assert (
        main(["seeds", "list", "--arch", "i686", "--kind", "hex0-seed", "--release", "1.9.1"]) == 0
    )
    lines = output()[0].splitlines()
    assert len(lines) == 3
    assert "f74dcf9cef2a  POSIX/x86/hex0-seed, 1.8.0 to 1.9.1" in lines[1]
    assert main(["seeds", "list", "--kind", "uefi", "--json", "-"]) == 0
    document = json.loads(output()[0])
    assert document["schema"] == 1
    assert {seed["family"] for seed in document["seeds"]} == {"UEFI"}
    assert main(["seeds", "list", "--arch", "knight"]) == 0


@pytest.mark.parametrize(
    ("option", "fault"),
    [(["--arch", "vax"], "unknown architecture"), (["--kind", "x"], "known: hex0-seed"),
     (["--release", "0.1"], "known: 1.3")],
)  # fmt: skip
def test_a_filter_that_names_nothing(option: list[str], fault: str, output: Output) -> None:
    assert main(["seeds", "list", *option]) == 2
    assert fault in output()[1]


def test_identify_a_known_seed(output: Output, stdin: Callable[[bytes], None]) -> None:
    assert main(["seeds", "identify", str(SEED)]) == 0
    text = output()[0]
    for words in ("x86 hex0-seed", "181 bytes", "since 2024-11-09", "1.8.0 to 1.9.1", "StageX"):
        assert words in text
    stdin(SEED.read_bytes())
    assert main(["seeds", "identify", "-", "--json", "-"]) == 0
    file = json.loads(output()[0])["files"][0]
    assert (file["status"], file["seed"]["kind"]) == ("known", "hex0-seed")


def test_identify_knows_every_seed_at_hand(tmp_path: Path, output: Output) -> None:
    for sha256, data in material.seeds().items():
        (tmp_path / sha256).write_bytes(data)
    assert main(["seeds", "identify", str(tmp_path), "--json", "-"]) == 0
    assert len(json.loads(output()[0])["files"]) == len(material.seeds())


def test_identify_an_unknown_file(tmp_path: Path, output: Output) -> None:
    data = bytearray(SEED.read_bytes())
    data[0x7C] ^= 1
    changed = tmp_path / "changed"
    changed.write_bytes(data)
    (tmp_path / "other").write_bytes(b"nothing like a seed")
    assert main(["seeds", "identify", str(changed), str(SEED)]) == 1
    text = output()[0]
    assert "nearest: x86 hex0-seed, 181 bytes" in text
    assert "1 byte differs" in text
    assert "at byte 0x7c: there 31, here 30" in text
    assert "2 files: 1 known, 1 unknown" in text
    assert main(["seeds", "identify", str(tmp_path / "other")]) == 1
    assert "resembles no known seed that is at hand" in output()[0]
    assert main(["seeds", "identify", str(tmp_path)]) == 1
    assert "2 files: 0 known, 2 unknown" in output()[0]


def bad_files(folder: Path) -> dict[str, str]:
    """Path -> what is said of it."""
    (folder / "empty").touch()
    with open(folder / "huge", "wb") as file:
        file.truncate(1 << 30)  # sparse
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    return {
        str(folder / "empty"): "is empty",
        str(folder / "huge"): "has 1073741824 bytes",
        str(folder / "pipe"): "is a pipe, not a file; give its content on standard input",
        str(folder / "loop"): "cannot be read",
        str(folder / "absent"): "cannot be read: No such file",
        "/dev/zero": "is a device",
        str(SEED) + "\0": "is no file name",
    }


@pytest.mark.parametrize("command", ["identify", "show", "check"])
def test_bad_files_are_refused_in_one_line(command: str, tmp_path: Path, output: Output) -> None:
    for path, fault in bad_files(tmp_path).items():
        options = ["--source", str(SOURCE)] if command == "check" else []
        assert main(["seeds", command, path, *options]) == 2
        error = output()[1]
        assert fault in error
        assert error.count("\n") == 1
        assert error.isprintable() or error[:-1].isprintable()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files")
def test_an_unreadable_file(tmp_path: Path, output: Output) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0)
    assert main(["seeds", "identify", str(path)]) == 2
    assert "Permission denied" in output()[1]


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_folder_is_no_seed(command: str, tmp_path: Path, output: Output) -> None:
    options = ["--source", str(SOURCE)] if command == "check" else []
    assert main(["seeds", command, str(tmp_path), *options]) == 2
    assert "is a folder" in output()[1]


def test_a_folder_with_bad_files_in_it_is_gone_through(tmp_path: Path, output: Output) -> None:
    bad_files(tmp_path)
    (tmp_path / "seed").write_bytes(SEED.read_bytes())
    assert main(["seeds", "identify", str(tmp_path)]) == 1
    text = output()[0]
    assert "is a pipe" in text
    assert "1 known, 3 unknown" in text


def test_an_endless_standard_input_is_not_read_to_its_end(
    stdin: Callable[[bytes], None], output: Output
) -> None:
    stdin(bytes((64 << 20) + 1))
    assert main(["seeds", "identify", "-"]) == 2
    assert "standard input: has more than 67108864 bytes" in output()[1]


def test_show(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if Unicorn were loaded, which it may be in this process: LIEF must then not be.
    monkeypatch.setitem(sys.modules, "unicorn", sys)
    assert main(["seeds", "show", str(SEED)]) == 0
    text = output()[0]
    assert "together, of 181: every byte once" in text
    assert "LIEF" in text
    assert main(["seeds", "show", str(SEED), "--json", "-"]) == 0
    document = json.loads(output()[0])
    assert sum(part["size"] for part in document["parts"]) == document["size"] == 181
    assert document["seed"] == "x86 hex0-seed"
    assert main(["seeds", "show", str(SEED), "--lines", "5"]) == 0
    assert "more lines: --lines 0 prints all" in output()[0]
    assert main(["seeds", "show", str(SEED), "--lines", "-1"]) == 2


def test_check_three_opinions(output: Output) -> None:
    assert main(["seeds", "check", str(SEED), "--source", str(SOURCE)]) == 0
    text = output()[0]
    assert "that ran        the file itself, emulated" in text
    assert "three opinions, one content" in text


def test_check_names_the_first_byte_that_differs(tmp_path: Path, output: Output) -> None:
    source = tmp_path / "source.hex0"
    source.write_bytes(b"# changed\n" + SOURCE.read_bytes().replace(b"CD 80", b"CD 81", 1))
    assert main(["seeds", "check", str(SEED), "--source", str(source), "--json", "-"]) == 1
    document = json.loads(output()[0])
    model, emulated = document["model"]["differs"], document["emulated"]["differs"]
    assert model == emulated
    assert (model["file"], model["found"]) == (0x80, 0x81)
    line = source.read_text().splitlines()[model["line"] - 1]
    assert "CD 81" in line
    assert main(["seeds", "check", str(SEED), "--source", str(source)]) == 1
    text = output()[0]
    assert f"first difference: byte {model['offset']:#x}: the file has 80, the model has 81" in text
    assert f"written at {source}:{model['line']}:" in text


def test_check_tells_where_one_ends(tmp_path: Path, output: Output) -> None:
    source = tmp_path / "source.hex0"
    source.write_bytes(SOURCE.read_bytes() + b"\n90 4x\n")
    assert main(["seeds", "check", str(SEED), "--source", str(source)]) == 1
    text = output()[0]
    assert "the file ends, the model has 90" in text
    assert "note: " in text
    source.write_bytes(b"7F")
    assert main(["seeds", "check", str(SEED), "--source", str(source)]) == 1
    assert "the model ends" in output()[0]


def test_check_another_kind_of_seed_is_assembled_by_ours(tmp_path: Path, output: Output) -> None:
    data, source = tmp_path / "image", tmp_path / "image.hex0"
    data.write_bytes(b"AB")
    source.write_bytes(b"41 42\n")
    assert main(["seeds", "check", str(data), "--source", str(source)]) == 0
    assert "the 181-byte x86 hex0-seed, emulated (it is no Linux program" in output()[0]
    assert main(["seeds", "check", str(data), "--source", str(source), "--by", str(SEED)]) == 0
    assert main(["seeds", "check", str(data), "--source", str(source), "--by", str(data)]) == 2
    assert "no program of an architecture that is emulated here" in output()[1]


def test_check_a_seed_that_fails_when_it_runs(tmp_path: Path, output: Output) -> None:
    from tests.anatomy.test_forms import elf32

    broken, source = tmp_path / "broken", tmp_path / "broken.hex0"
    broken.write_bytes(elf32(3, b"\x0f\x0b"))  # ud2
    source.write_text(broken.read_bytes().hex())
    assert main(["seeds", "check", str(broken), "--source", str(source)]) == 3
    text = output()[0]
    assert "pure model      the same" in text
    assert "emulated seed   failed" in text


def test_two_inputs_cannot_both_be_standard_input(output: Output) -> None:
    assert main(["seeds", "check", "-", "--source", "-"]) == 2
    assert "cannot both be" in output()[1]


@pytest.mark.parametrize(
    "words",
    [
        ["seeds", "list", "--arch", "knight"],
        ["seeds", "show", str(SEED)],
        ["seeds", "check", str(SEED), "--source", str(SOURCE)],
        ["identify", str(SEED)],
    ],
)
def test_a_place_for_json_is_looked_at_first_and_written_last(
    words: list[str], tmp_path: Path, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*words, "--json", str(tmp_path)]) == 2
    out, error = output()
    assert out == "" and "is a directory; name a file" in error

    def full(dest: str, text: str) -> None:
        raise BadInput(f"{dest}: no space left")

    monkeypatch.setattr("bootstrap.cli.output.write_text", full)
    assert main([*words, "--json", str(tmp_path / "x")]) == 2
    out, error = output()
    assert out != "" and error.endswith("no space left\n")
