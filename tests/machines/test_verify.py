"""`verify --machine`: what does not go with it, and the knight's twelve ROMs."""

import hashlib
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bootstrap.cli import machines
from bootstrap.cli.main import main
from bootstrap.machines.uefi import NOT_FOUND
from bootstrap.sources import Cache, checkouts
from bootstrap.sources.checkouts import STAGE0
from tests.machines import layers, programs
from tests.material.schemas import require


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("builder-hex0 --arch AMD64", "--arch does not go with --machine builder-hex0"),
        ("builder-hex0 --arch all", "--arch does not go with"),
        ("builder-hex0 --recheck", "--recheck does not go with"),
        ("builder-hex0 --junit x", "--junit does not go with"),
        ("builder-hex0 --output x", "--output does not go with"),
        ("builder-hex0 --fallback embedded", "--fallback does not go with"),
        ("builder-hex0 --entry hex0-seed", "--entry hex0-seed does not go with"),
        ("builder-hex0 --builder-hex0 nowhere", "cannot be read"),
        ("knight --log x", "--log does not go with --machine knight"),
        ("knight --source .", "is no checkout of stage0"),
        ("uefi", "name a stage0-uefi tree with --source"),
        ("uefi --source nowhere", "nowhere: cannot be read"),
        ("uefi --source .", "is no stage0-uefi tree"),
    ],
)
def test_what_does_not_go_with_a_machine_is_refused(
    words: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "--machine", *words.split()]) == 2
    err = capsys.readouterr().err
    assert why in err
    assert err.count("\n") == 1
    assert [*tmp_path.iterdir()] == []


def test_a_stage0_uefi_tree_runs_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A seed that prints and ends stands for kaem: what it makes is no claim."""
    tree, place = tmp_path / "tree", tmp_path / "opinion.json"
    seed = tree / "bootstrap-seeds/UEFI/amd64/kaem-optional-seed.efi"
    seed.parent.mkdir(parents=True)
    words = ["verify", "--machine", "uefi", "--source", str(tree), "--json", str(place)]
    for status, said in ((0, "at the end of its script"), (NOT_FOUND, "ended with not found")):
        seed.write_bytes(programs.prints("here\r\n", status))
        (tree / "kaem.amd64").unlink(missing_ok=True)
        assert main(words) == 2
        assert "is no stage0-uefi tree: there is no kaem.amd64" in capsys.readouterr().err
        (tree / "kaem.amd64").write_bytes(b"")
        assert main(words) == (1 if status else 4)
        out = capsys.readouterr().out
        assert f"stopped    {'the seed ' if status else ''}{said}" in out
        assert f"{'DIFFERS' if status else 'DONE'}: 0 files made; 0 of 0 are as the tree's" in out
        assert "last       here" in out
        found = require(place.read_text())
        assert found["result"] == ("differ" if status else "not-compared")
    seed.write_bytes(programs.jumps(1 << 40))
    assert main(words) == 3
    assert "at 0x10000000000, beyond the memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answers", "there", "status", "said"),
    [
        ({"made": b"ABC"}, {}, 4, "AGREES: 1 file made; 1 of 1"),
        ({"made": b"ABC", "there": b"x"}, {"there": b"x"}, 4, "AGREES: 1 file made; 1 of 1"),
        ({"made": b"ABC"}, {"made": b"x"}, 4, "AGREES: 1 file made; 1 of 1"),
        ({"there": b"x"}, {"there": b"x"}, 4, "DONE: 1 file made; 0 of 0"),
        ({"made": b"ABD"}, {}, 1, "DIFFERS: 1 file made; 0 of 1"),
        ({"made": b"ABC", "more": b""}, {}, 1, "DIFFERS: 1 file made; 1 of 2"),
    ],
)
def test_what_it_made_is_held_against_the_answers_of_the_tree(
    answers: dict[str, bytes], there: dict[str, bytes], status: int, said: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A program that writes one file stands for the seed. What was in the tree shows nothing."""
    seed = tmp_path / "bootstrap-seeds/UEFI/amd64/kaem-optional-seed.efi"
    seed.parent.mkdir(parents=True)
    seed.write_bytes(programs.writes("made", b"ABC"))
    for name, data in there.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "kaem.amd64").write_bytes(b"")
    lines = (f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in answers.items())
    (tmp_path / "amd64.answers").write_text("".join(lines))
    words = ["verify", "--machine", "uefi", "--source", str(tmp_path)]
    assert main(words) == status
    assert said in capsys.readouterr().out
    (tmp_path / "amd64.answers").write_text("nothing\n")
    assert main(words) == 2
    assert "amd64.answers:1" in capsys.readouterr().err


def test_less_than_asked_where_a_checkout_is_not_known() -> None:
    """It could bring along what it makes."""
    (known, *_), other = checkouts.KNOWN, "0" * 40
    for agrees, commit, changed, status in (
        (True, known, (), 0), (True, known, None, 4), (True, known, ("a",), 4), (True, None, (), 4),
        (True, other, (), 4), (False, known, (), 1), (False, other, (), 1),
    ):  # fmt: skip
        identity = checkouts.Identity("", 1, commit, changed)
        assert machines._status(agrees, identity.is_known) == status
        warned = "not known" in "".join(machines._checkout_lines(identity))
        assert warned != (commit == known and changed == ())


@pytest.mark.parametrize(
    ("commit", "wrong"),
    [
        ("eaae43450163ccaea676f2a3c975484980e16b38", ["cc_x86"]),  # the head of 2025
        ("59d044b0c09657a5ff139e09395e9a47b898da7c", []),
    ],
)
@pytest.mark.exhaustive
def test_the_knight_makes_the_roms_that_stage0_lists(
    commit: str, wrong: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A minute: 97.7 million instructions."""
    if commit not in Cache().releases(STAGE0):
        pytest.skip(f"stage0 {commit} is not in the cache: bootstrap fetch stage0 --from DIR")
    place = tmp_path / "opinion.json"
    words = ["verify", "--machine", "knight", "--source", commit, "--json", str(place)]
    assert main(words) == bool(wrong)
    found = json.loads(place.read_text())
    assert found["commit"] == commit
    assert [one["path"] for one in found["artifacts"] if not one["matches"]] == wrong
    assert len(found["artifacts"]) == 12
    out = capsys.readouterr().out
    assert f"made {12 - len(wrong)} of 12 ROMs" in out
    assert ("commit 59d044b;" in out) == bool(wrong)


def test_the_picture_is_the_one_that_is_drawn(checkout: Path) -> None:
    """python -m tests.machines.layers docs/pictures/machines.svg"""
    drawn = (checkout / "docs" / "pictures" / "machines.svg").read_text("utf-8")
    assert drawn == layers.picture()
    boxes = ElementTree.fromstring(drawn).findall("{http://www.w3.org/2000/svg}rect")
    assert len(boxes) == 1 + sum(map(len, layers.COLUMNS.values())) + len(layers.KEY)
