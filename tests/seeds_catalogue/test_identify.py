"""`bootstrap identify`: files, hashes, lists of hashes and folders, in all that is known."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.cli.identify import _Answer, _Known, _list_of, _said
from bootstrap.cli.main import main
from bootstrap.handoff.plan_text import _run_checks
from bootstrap.handoff.work import CheckedFile
from bootstrap.known import RELEASES, all_steps, find, releases
from bootstrap.known.lookup import Use, known_files, ranges
from bootstrap.known.seeds import load
from bootstrap.oci.layout import Differs
from bootstrap.report.page import Page
from bootstrap.sources import Cache
from bootstrap.sources.tree import to_tar

SEED = Path(__file__).resolve().parents[2] / "seeds" / "x86" / "hex0-seed"
ANSWERS = {arch: find(RELEASES, "1.7.0", arch).answers for arch in ("x86", "AMD64")}
M1 = ANSWERS["x86"]["x86/bin/M1"]
NOBODY = "0" * 64


@pytest.fixture(autouse=True)
def _no_cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """What is at hand is what we carry: reading the releases of a cache takes seconds."""
    if "upstream" not in request.keywords:
        monkeypatch.setenv("BOOTSTRAP_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_every_known_hash_of_every_release_is_found() -> None:
    files = known_files()
    for step in all_steps():
        kinds = {"material": step.materials, "product": {k.path: k.sha256 for k in step.expected()}}
        for role, known in kinds.items():
            for path, sha256 in known.items():
                uses = [
                    use for use in files.uses(sha256) if (use.path, use.name) == (path, step.name)
                ]
                assert uses, (step.file, path)
                assert any(step.arch in use.arches for use in uses)
                assert step.release is None or any(step.release in use.releases for use in uses)
                placeholder = path.endswith("placeholder")
                assert placeholder or any(use.role == role for use in uses), (step.file, path)
        if step.source.sha256 is not None:
            assert files.uses(step.source.sha256)[0].role == "archive"
    assert files.uses(NOBODY) == () and files.text(NOBODY) == ""


def test_a_use_in_words() -> None:
    files = known_files()
    assert files.text(M1) == "x86/bin/M1 of stage0-posix 1.7.0"
    assert files.text(find(RELEASES, "1.4", "x86").answers["bin/M1"]) == (
        "bin/M1 of stage0-posix 1.4 x86"
    )
    archive = find(RELEASES, "1.9.1", "x86").source.sha256 or ""
    assert files.text(archive) == "the published archive of stage0-posix 1.9.1"
    old = next(seed for seed in load().seeds if not seed.releases)
    assert files.text(old.sha256) == f"the seed {old.name} of {old.first.day}"
    assert (
        Use("product", "hex0", "embedded", (), ("x86",)).text == "hex0 of the embedded sources x86"
    )
    assert files.text(hashlib.sha256(SEED.read_bytes()).hexdigest()).endswith("more files")


def test_ranges() -> None:
    order = ("1.3", "1.4", "1.5.0", "1.6.0", "1.7.0")
    assert ranges(("1.3", "1.5.0", "1.6.0", "1.7.0"), order) == "1.3, 1.5.0 to 1.7.0"
    assert ranges(("1.4", "1.3", "9"), order) == "1.3, 1.4"
    assert ranges((), order) == ""


def identify(
    capsys: pytest.CaptureFixture[str], *what: object, alias: bool = False
) -> tuple[int, str]:
    """Status and what is printed."""
    words = ["seeds", "identify"] if alias else ["identify"]
    status = main([*words, *map(str, what)])
    return status, capsys.readouterr().out


def test_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert identify(capsys, M1) == (0, f"{M1}: x86/bin/M1 of stage0-posix 1.7.0\n")
    assert identify(capsys, M1.upper())[0] == 0
    status, text = identify(capsys, NOBODY)
    assert (status, text) == (
        1,
        f"{NOBODY}: unknown: no seed, source, product or archive of any release has it\n",
    )
    sha256 = hashlib.sha256(SEED.read_bytes()).hexdigest()
    status, text = identify(capsys, sha256)
    assert status == 0 and text.startswith(f"{sha256}: x86 hex0-seed\n  181 bytes, sha256 f74d")
    assert main(["identify", NOBODY[1:]]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_file_called_like_a_hash_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(NOBODY).write_bytes(SEED.read_bytes())
    status, text = identify(capsys, NOBODY)
    assert status == 0 and text.startswith(f"{NOBODY}: x86 hex0-seed")


@pytest.mark.parametrize(
    "row",
    ["{sha256}  {path}", "{sha256} *{path}", "SHA256 ({path}) = {sha256}", "{path}: {sha256}"],
)
def test_a_pasted_list_says_whose_all_of_them_are(
    row: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a report of somebody who left 1.7.0's submodules in a checkout of 1.9.1."""
    rows = [row.format(path=path, sha256=sha256) for path, sha256 in ANSWERS["x86"].items()]
    text = "\n".join(["# what I got", "", *rows, "x86/bin/cp: FAILED"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    status, said = identify(capsys, "-")
    lines = said.splitlines()
    assert status == 1  # nobody knows what the last line is about
    assert lines[0] == "x86/bin/blood-elf: x86/bin/blood-elf of stage0-posix 1.7.0"
    assert lines[-2:] == ["19 files: 19 known, 0 unknown", "19 of 19 are of stage0-posix 1.7.0"]


def test_a_line_that_cannot_be_looked_up_is_not_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sums = tmp_path / "sums"
    sums.write_text(f"{M1}  a\n{NOBODY[:63]}  evil\x1b\n")
    assert main(["identify", str(sums), "--json", "-"]) == 1
    out, err = capsys.readouterr()
    line = f"{sums}: {NOBODY[:63]}  evil\\x1b"
    assert err == f"note: 1 line has no SHA-256, and nothing is known of: {line}\n"
    assert json.loads(out)["hashless"] == [line]
    # Nor is a second hash in a line.
    sums.write_text(f"{M1}  a  {NOBODY}\n")
    status, text = identify(capsys, sums)
    assert status == 1 and "2 files: 1 known, 1 unknown" in text
    sums.write_text(f"# what I got\n\n{M1}  a\n")
    assert main(["identify", str(sums)]) == 0
    assert capsys.readouterr().err == ""


def test_an_unknown_one_in_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sums").write_text(f"{M1}  a\n{NOBODY}  b\n")
    status, text = identify(capsys, tmp_path / "sums")
    assert status == 1 and "b: unknown, sha256 0000" in text
    status, text = identify(capsys, tmp_path / "sums", "--json", "-")
    first, second = json.loads(text)["files"]
    assert (first["file"], first["status"], first["size"]) == ("a", "known", None)
    assert first["listed_in"] == str(tmp_path / "sums")
    assert first["uses"] == [
        {"role": "product", "path": "x86/bin/M1", "name": RELEASES, "releases": ["1.7.0"],
         "arches": ["x86"]}
    ]  # fmt: skip
    assert (second["status"], second["uses"]) == ("unknown", [])
    # A text with a hash somewhere in it is no list.
    (tmp_path / "text").write_text(f"see\nthis\n{M1}\n")
    status, text = identify(capsys, tmp_path / "text")
    assert status == 1 and "text: unknown" in text


def test_the_alias_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_bytes(b"x")
    for what in ([SEED], [M1, NOBODY], [tmp_path], [tmp_path, "--json", "-"]):
        assert identify(capsys, *what) == identify(capsys, *what, alias=True)


def test_a_folder_of_products(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ours, which the models make."""
    from tests.trace import recorded

    step = find("embedded", None, "x86")
    made = [p for p, data in recorded.embedded().tree.files.items() if p in step.materials]
    for path in made:
        (tmp_path / path).write_bytes(recorded.embedded().tree.files[path].data)
    status, text = identify(capsys, tmp_path)
    assert status == 0 and f"{len(made)} files: {len(made)} known, 0 unknown" in text
    assert "M0.hex2: the source M0.hex2 of the embedded sources\n" in text
    assert "is no stage0-posix" not in text


def test_nothing_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = identify(capsys, tmp_path)
    assert status == 1
    assert text == f"{tmp_path}: is no stage0-posix that is known: there is no file in it\n"


@pytest.mark.upstream
def test_a_release_and_what_is_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = Cache()
    release = next((one for one in releases()[::-1] if one in cache.releases()), None)
    if release is None:
        pytest.skip("no release is in the cache; `bootstrap fetch stage0-posix` puts one there")
    tree = cache.load(release)
    assert tree is not None
    archive = tmp_path / "packed.tar"
    archive.write_bytes(to_tar(tree, "top"))
    status, text = identify(capsys, archive)
    assert status == 0 and f"tree digest {tree.digest}" in text
    same = text.split("\n")[2].split()
    assert same[0] == same[2]
    path, file = next((p, f) for p, f in tree.files.items() if p.endswith("cc.c"))
    changed = {**tree.files, path: type(file)(file.data + b"\n"), "mine": type(file)(b"mine")}
    archive.write_bytes(to_tar(tree.but(files=changed), "top"))
    status, text = identify(capsys, archive, "--json", "-")
    document = json.loads(text)
    (facts,) = document["trees"]
    assert status == 1 and facts["differing"] == 1
    assert path in facts["why"][0] and "no release has" in facts["why"][0]
    assert [one["file"] for one in document["files"]] == [f"{archive}/mine"]
    archive.write_bytes(to_tar(tree.but(symlinks={**tree.symlinks, "mine": path}), "top"))
    status, text = identify(capsys, archive)
    assert status == 1 and f"{archive}/mine: is a symbolic link: no known file" in text


def test_many_files_of_one_other_release_are_one_line() -> None:
    """As where a submodule of another release was left in a tree."""
    known = _Known()
    use = Use("material", "M2-Planet/test/a.c", "stagex-stage0", (), ("x86",))

    def said(count: int) -> list[str]:
        rows = [_Answer(f"t/{n}", False, uses=(use,), beside="t") for n in range(count)]
        return list(_said([*rows, _Answer("t/mine", False, size=1, sha256=NOBODY)], [], known))

    few, many = said(3), said(4)
    assert few[:3] == [f"t/{n}: the source M2-Planet/test/a.c of stagex-stage0" for n in range(3)]
    assert many[0] == "t: 4 more files are sources of stagex-stage0: t/0 and others"
    assert many[1] == f"t/mine: unknown, 1 bytes, sha256 {NOBODY}"
    assert many[2] == "5 files: 4 known, 1 unknown"


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes_are_a_list_or_none(data: bytes) -> None:
    for name, sha256 in _list_of(data)[0]:
        assert name and len(bytes.fromhex(sha256)) == 32


@pytest.mark.parametrize(
    "data",
    [
        b"\x1f\x8b\x08\x00garbage",
        bytes(257) + b"ustar" + bytes(2000),
        b"\xff" * 100,
        b"\0",
        f"{NOBODY}\x1b[2J\n".encode(),
    ],
)
def test_hostile_input_is_unknown(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "x\n\x1b[2J"
    place.write_bytes(data)
    status, text = identify(capsys, place)
    assert status == 1 and "unknown" in text
    assert all(line.isprintable() for line in text.splitlines())


def test_other_commands_say_whose_an_unexpected_hash_is() -> None:
    whose = "x86/bin/M1 of stage0-posix 1.7.0"
    assert f"has sha256 {M1} ({whose}), not {NOBODY}" in str(Differs("x86/bin/M1", NOBODY, M1))
    assert f"has sha256 {'f' * 64}, not" in str(Differs("x86/bin/M1", NOBODY, "f" * 64))
    page = Page(False, None, False)
    checked = [CheckedFile("x86/bin/M1", found, NOBODY, "answers") for found in (M1, None)]
    outcome = SimpleNamespace(finished=(), failure=SimpleNamespace(checked=tuple(checked)))
    _run_checks(page, outcome, SimpleNamespace())  # type: ignore[arg-type]
    text = " ".join(page.text().split())
    assert f"x86/bin/M1: {M1} (this is {whose}), not {NOBODY} (answers)" in text
    assert f"x86/bin/M1: is not there, not {NOBODY} (answers)" in text
