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
Seeds = Callable[..., str]


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Output:
    def read() -> tuple[str, str]:
        captured = capsys.readouterr()
        return captured.out, captured.err

    return read


@pytest.fixture
def seeds(output: Output) -> Seeds:
    """What `bootstrap seeds` that ends with this status says: its error, if it is one of input."""

    def run(status: int, *words: object) -> str:
        assert main(["seeds", *map(str, words)]) == status
        return output()[status == 2]

    return run


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_list_and_its_filters(seeds: Seeds) -> None:
    assert seeds(0, "list").splitlines()[-1] == "204 rows, 198 different contents"
    lines = seeds(
        0, "list", "--arch", "i686", "--kind", "hex0-seed", "--release", "1.9.1"
    ).splitlines()
    assert len(lines) == 3
    assert "f74dcf9cef2a  POSIX/x86/hex0-seed, 1.8.0 to 1.9.1" in lines[1]
    document = json.loads(seeds(0, "list", "--kind", "uefi", "--json", "-"))
    assert document["schema"] == "bootstrap-seeds/1"
    assert {seed["family"] for seed in document["seeds"]} == {"UEFI"}
    seeds(0, "list", "--arch", "knight")


@pytest.mark.parametrize(
    ("option", "fault"),
    [(["--arch", "vax"], "unknown architecture"), (["--kind", "x"], "known: hex0-seed"),
     (["--release", "0.1"], "known: 1.3")],
)  # fmt: skip
def test_a_filter_that_names_nothing(option: list[str], fault: str, seeds: Seeds) -> None:
    assert fault in seeds(2, "list", *option)


def test_identify_a_known_seed(seeds: Seeds, stdin: Callable[[bytes], None]) -> None:
    text = seeds(0, "identify", SEED)
    for words in ("x86 hex0-seed", "181 bytes", "since 2024-11-09", "1.8.0 to 1.9.1", "StageX"):
        assert words in text
    stdin(SEED.read_bytes())
    file = json.loads(seeds(0, "identify", "-", "--json", "-"))["files"][0]
    assert (file["status"], file["seed"]["kind"]) == ("known", "hex0-seed")


def test_identify_knows_every_seed_at_hand(tmp_path: Path, seeds: Seeds) -> None:
    for sha256, data in material.seeds().items():
        (tmp_path / sha256).write_bytes(data)
    assert len(json.loads(seeds(0, "identify", tmp_path, "--json", "-"))["files"]) == len(
        material.seeds()
    )


def test_identify_an_unknown_file(tmp_path: Path, seeds: Seeds) -> None:
    data = bytearray(SEED.read_bytes())
    data[0x7C] ^= 1
    changed = tmp_path / "changed"
    changed.write_bytes(data)
    (tmp_path / "other").write_bytes(b"nothing like a seed")
    text = seeds(1, "identify", changed, SEED)
    assert "nearest: x86 hex0-seed, 181 bytes" in text
    assert "1 byte differs" in text
    assert "at byte 0x7c: there 31, here 30" in text
    assert "2 files: 1 known, 1 unknown" in text
    assert "no similar known seed" in seeds(1, "identify", tmp_path / "other")
    assert "2 files: 0 known, 2 unknown" in seeds(1, "identify", tmp_path)


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
def test_bad_files_are_refused_in_one_line(command: str, tmp_path: Path, seeds: Seeds) -> None:
    for path, fault in bad_files(tmp_path).items():
        options = ["--hex0", str(SOURCE)] if command == "check" else []
        error = seeds(2, command, path, *options)
        assert fault in error
        assert error.count("\n") == 1
        assert error.isprintable() or error[:-1].isprintable()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files")
def test_an_unreadable_file(tmp_path: Path, seeds: Seeds) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0)
    assert "Permission denied" in seeds(2, "identify", path)


@pytest.mark.parametrize("command", ["show", "check"])
def test_a_folder_is_no_seed(command: str, tmp_path: Path, seeds: Seeds) -> None:
    options = ["--hex0", str(SOURCE)] if command == "check" else []
    assert "is a folder" in seeds(2, command, tmp_path, *options)


def test_a_folder_with_bad_files_in_it_is_gone_through(tmp_path: Path, seeds: Seeds) -> None:
    bad_files(tmp_path)
    (tmp_path / "seed").write_bytes(SEED.read_bytes())
    text = seeds(1, "identify", tmp_path)
    assert "is a pipe" in text
    assert "1 known, 3 unknown" in text


def test_an_endless_standard_input_is_not_read_to_its_end(
    stdin: Callable[[bytes], None], seeds: Seeds
) -> None:
    stdin(bytes((64 << 20) + 1))
    assert "standard input: has more than 67108864 bytes" in seeds(2, "identify", "-")


def test_show(seeds: Seeds, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if Unicorn were loaded, which it may be in this process: LIEF must then not be.
    monkeypatch.setitem(sys.modules, "unicorn", sys)
    text = seeds(0, "show", SEED)
    assert "together, of 181: every byte once" in text
    assert "LIEF" in text
    document = json.loads(seeds(0, "show", SEED, "--json", "-"))
    assert sum(part["size"] for part in document["parts"]) == document["size"] == 181
    assert document["seed"] == "x86 hex0-seed"
    assert "more lines: --lines 0 prints all" in seeds(0, "show", SEED, "--lines", "5")
    seeds(2, "show", SEED, "--lines", "-1")


def test_check_three_opinions(seeds: Seeds) -> None:
    text = seeds(0, "check", SEED, "--hex0", SOURCE)
    assert "that ran        the file itself, emulated" in text
    assert "all three agree" in text


def test_check_names_the_first_byte_that_differs(tmp_path: Path, seeds: Seeds) -> None:
    source = tmp_path / "source.hex0"
    source.write_bytes(b"# changed\n" + SOURCE.read_bytes().replace(b"CD 80", b"CD 81", 1))
    document = json.loads(seeds(1, "check", SEED, "--hex0", source, "--json", "-"))
    model, emulated = document["model"]["differs"], document["emulated"]["differs"]
    assert model == emulated
    assert (model["file"], model["found"]) == (0x80, 0x81)
    line = source.read_text().splitlines()[model["line"] - 1]
    assert "CD 81" in line
    text = seeds(1, "check", SEED, "--hex0", source)
    assert f"first difference: byte {model['offset']:#x}: the file has 80, the model has 81" in text
    assert f"written at {source}:{model['line']}:" in text


def test_check_tells_where_one_ends(tmp_path: Path, seeds: Seeds) -> None:
    source = tmp_path / "source.hex0"
    source.write_bytes(SOURCE.read_bytes() + b"\n90 4x\n")
    text = seeds(1, "check", SEED, "--hex0", source)
    assert "the file ends, the model has 90" in text
    assert "note: " in text
    source.write_bytes(b"7F")
    assert "the model ends" in seeds(1, "check", SEED, "--hex0", source)


def test_check_another_kind_of_seed_is_assembled_by_ours(tmp_path: Path, seeds: Seeds) -> None:
    data, source = tmp_path / "image", tmp_path / "image.hex0"
    data.write_bytes(b"AB")
    source.write_bytes(b"41 42\n")
    assert "the 181-byte x86 hex0-seed, emulated (it is no Linux program" in seeds(
        0, "check", data, "--hex0", source
    )
    seeds(0, "check", data, "--hex0", source, "--by", SEED)
    assert "no program of an architecture that is emulated here" in seeds(
        2, "check", data, "--hex0", source, "--by", data
    )


def test_check_a_seed_that_fails_when_it_runs(tmp_path: Path, seeds: Seeds) -> None:
    from tests.anatomy.test_forms import elf32

    broken, source = tmp_path / "broken", tmp_path / "broken.hex0"
    broken.write_bytes(elf32(3, b"\x0f\x0b"))  # ud2
    source.write_text(broken.read_bytes().hex())
    text = seeds(3, "check", broken, "--hex0", source)
    assert "pure model      the same" in text
    assert "emulated seed   failed" in text


def test_two_inputs_cannot_both_be_standard_input(seeds: Seeds) -> None:
    assert "cannot both be" in seeds(2, "check", "-", "--hex0", "-")


@pytest.mark.parametrize(
    "words",
    [
        ["seeds", "list", "--arch", "knight"],
        ["seeds", "show", str(SEED)],
        ["seeds", "check", str(SEED), "--hex0", str(SOURCE)],
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
