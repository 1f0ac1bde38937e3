"""`verify --machine`: what does not go with it, and the knight's twelve ROMs."""

import json
from pathlib import Path

import pytest

from bootstrap.cli.main import main
from bootstrap.sources import Cache
from bootstrap.sources.checkouts import STAGE0
from tests.machines.test_knight import NEEDED


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
        ("uefi --source nowhere", "is not a folder"),
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


@NEEDED
@pytest.mark.exhaustive
def test_the_knight_makes_eleven_of_twelve(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A minute: 97.7 million instructions."""
    (commit,) = Cache().releases(STAGE0)
    place = tmp_path / "opinion.json"
    assert main(["verify", "--machine", "knight", "--json", str(place)]) == 1
    found = json.loads(place.read_text())
    assert found["commit"] == commit
    assert [one["path"] for one in found["artifacts"] if not one["matches"]] == ["cc_x86"]
    assert len(found["artifacts"]) == 12
    out = capsys.readouterr().out
    assert "made 11 of 12 ROMs" in out
    assert "commit 59d044b" in out
