"""The releases of the catalogue as a whole, and the command that lists them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from bootstrap.cli import releases as command
from bootstrap.cli.commands import parser
from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.documents import encode, typed
from bootstrap.instruments import default_engine
from bootstrap.known import (
    StepFile,
    all_steps,
    architectures,
    default_release,
    find,
    releases,
    steps_of,
    tree_files,
)
from bootstrap.known.schema import Entry, RunRecord, parse
from bootstrap.runs.rebuild import rebuild
from bootstrap.sources import Resolved, SourceTree, check_materials, embedded_source
from bootstrap.sources.identity import candidates, nearest
from tests.known.sample import GOOD, A, B

NAME = "stage0-posix"
MAIN = "main-2026-07-05"
ANSWERS = {
    "1.3": 14,
    "1.4": 14,
    "1.5.0": 16,
    "1.6.0": 18,
    "1.7.0": 19,
    "1.8.0": 19,
    "1.8.1": 19,
    "1.9.0": 19,
    "1.9.1": 19,
    MAIN: 19,
}
ALL_FIVE = ("x86", "AMD64", "AArch64", "riscv64", "riscv32")
ARCHES = {"1.3": ALL_FIVE[:3], "1.4": ALL_FIVE[:4]}
PUBLISHED = {
    "1.6.0": "9260ff69278366e5c056af7b8c436b74773eaa1330a0c6a6b8ab1b5f92e5065c",
    "1.9.1": "f4fdda675de90ab034fd3467ef43cddff61b3d372f8e0e5c2d25d145f224226f",
}
RELEASED = [step for step in all_steps() if step.name == NAME]


def test_every_release_and_architecture_with_answers_is_there() -> None:
    assert releases() == tuple(ANSWERS)
    assert default_release() == "1.9.1"
    for release in ANSWERS:
        assert architectures(NAME, release) == ARCHES.get(release, ALL_FIVE), release


@pytest.mark.parametrize("release", ANSWERS)
def test_its_architectures_agree_about_the_release(release: str) -> None:
    steps = steps_of(NAME, release)
    assert len({step.source.commit for step in steps}) == 1
    assert len({tuple(step.source.submodules.items()) for step in steps}) == 1
    assert len({step.tree_files for step in steps}) == 1
    assert {step.source.sha256 for step in steps} == {PUBLISHED.get(release)}
    assert all(step.source.urls for step in steps) == release[0].isdigit()
    # What two of them read has one content.
    contents: dict[str, set[str]] = {}
    for step in steps:
        for path, sha256 in step.materials.items():
            contents.setdefault(path, set()).add(sha256)
    assert {path for path, found in contents.items() if len(found) > 1} == set()


@pytest.mark.parametrize("step", RELEASED, ids=lambda step: step.title)
def test_a_step_file_hangs_together(step: StepFile) -> None:
    assert step.release is not None
    assert len(step.answers) == ANSWERS[step.release]
    assert step.answers_from == f"{step.arch.lower()}.answers"
    # From 1.4 on the bootstrap checks its own answers, so it reads them.
    assert (step.answers_from in step.materials) == (step.release != "1.3")
    listed = tree_files(step)
    assert listed is not None
    assert set(step.materials) <= listed
    if step.release == "1.9.1" and step.arch in ("x86", "AMD64"):
        assert len(step.native) == 73
    made = {*step.answers, *step.native} - set(step.materials)
    assert not made & listed
    # What the bootstrap makes is not called a file of the release, but for its placeholder.
    assert {path.rpartition("/")[2] for path in set(step.answers) & listed} <= {"placeholder"}
    # A native run and upstream's answers agree wherever both speak.
    both = set(step.native) & set(step.answers)
    assert {path: step.native[path] for path in both} == {path: step.answers[path] for path in both}
    assert list(step.entries) == ["kaem-optional-seed", "hex0-seed"]
    assert list(step.seeds) == ["hex0-seed", "kaem-optional-seed"]
    assert step.entries["hex0-seed"].hidden == (step.seeds["kaem-optional-seed"].path,)
    for name, entry in step.entries.items():
        assert entry.cwd == (step.arch if step.release in ("1.3", "1.4") else "")
        up = "../" if entry.cwd else "./"
        assert entry.commands[0][0] == up + step.seeds[name].path


def test_main_is_1_9_1_as_far_as_the_bootstrap_goes() -> None:
    for arch in architectures(NAME, "1.9.1"):
        numbered, main = (find(NAME, r, arch) for r in ("1.9.1", MAIN))
        assert dict(numbered.materials) == dict(main.materials)
        assert dict(numbered.answers) == dict(main.answers)


def test_a_tree_of_unknown_release_is_held_against_numbered_releases_first() -> None:
    known = candidates("x86")
    assert [release.name for release in known] == [
        *[r for r in reversed(ANSWERS) if r[0].isdigit()],
        MAIN,
    ]
    # A tree that has every file of 1.9.1 and of main is 1.9.1; one more file of main's makes main.
    numbered, main = (tree_files(one.steps[0]) or frozenset() for one in (known[0], known[-1]))
    more = {path: SourceFile(b"", False) for path in main - numbered}
    assert more
    like = [replace(one, known={}) for one in (known[0], known[-1])]
    for files, name in (({}, "1.9.1"), (more, MAIN)):
        tree = SourceTree("t", files)
        found = nearest([tree], like)
        assert found is not None and found.name == name


def test_what_there_is_is_named_for_what_there_is_not() -> None:
    known = ", ".join(ANSWERS).replace(".", r"\.")
    with pytest.raises(BadInput, match=rf"stage0-posix 1\.2 is not in .*: {known}$"):
        steps_of(NAME, "1.2")
    with pytest.raises(BadInput, match=r"1\.3 has no step file for riscv64; .*: x86, AMD64, AA"):
        find(NAME, "1.3", "riscv64")


CHECKED = GOOD.replace("schema = 1", 'schema = 1\nchecked = "2026-11-22, all 2 answers"', 1)


def test_a_check_has_a_date_and_says_how_much() -> None:
    step = parse(CHECKED.replace("schema = 1", 'schema = 1\nnotes = ["a", "b"]', 1), "t")
    assert step.checked is not None
    assert (str(step.checked), step.checked.answers) == ("2026-11-22, all 2 answers", 2)
    assert step.checked.date.year == 2026
    assert step.notes == ("a", "b")
    assert parse(GOOD, "t").checked is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("2026-11-22, all 2 answers", "", "t:2: checked is ''; it must be like"),
        ("2026-11-22, all 2 answers", "yes", "t:2: checked is 'yes'; it must be like"),
        ("2026-11-22", "2026-13-22", "t:2: checked has no date of the calendar"),
        ("all 2 answers", "all 3 answers", "t:2: checked says 3 answers, but there are 2"),
        ('"2026-11-22, all 2 answers"', "true", "t:2: checked must be a string"),
        (f'x = "{B}"', f'x = "{B}"\n"x86/bin/M1" = "{B}"', "another sha256 for x86/bin/M1 than"),
    ],
)
def test_a_fault_in_it_is_named_with_its_place(old: str, new: str, says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(CHECKED.replace(old, new, 1), "t")
    assert says in str(caught.value)


def test_an_answer_may_be_a_file_of_the_tree() -> None:
    assert parse(GOOD.replace('x = "', '"x86/bin/M1" = "').replace(B, A), "t").materials
    (embedded,) = (step for step in all_steps() if step.name == "embedded")
    given = "hex0.hex0"
    answers = {**embedded.catalogue, given: embedded.materials[given]}
    step = replace(embedded, answers=answers, answers_from="x86.answers")
    tree = embedded_source(embedded)
    resolved = Resolved(tree, step, check_materials(tree, step))
    rebuilt = rebuild(resolved, "hex0-seed", default_engine())
    assert (rebuilt.report.result, rebuilt.report.reasons) == ("verified", ())
    statuses = {a.path: a.status for a in rebuilt.report.artifacts}
    assert statuses == dict.fromkeys([*embedded.catalogue, given], "match")
    assert rebuilt.products[given][0] == tree.files[given].data


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def call(*options: str) -> int:
    return command.run(parser().parse_args(["releases", *options]))


def test_the_list_names_every_pair(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache / NAME / "1.6.0").mkdir(parents=True)
    (cache / NAME / "1.6.0" / "manifest.json").touch()
    assert call() == 0
    out = capsys.readouterr().out
    headings = [line for line in out.splitlines() if line.startswith(NAME)]
    cached = {"1.6.0": ", in the cache"}
    assert headings == [f"{NAME} {release}{cached.get(release, '')}" for release in ANSWERS]
    assert out.count(" materials; ") == len(RELEASED)
    assert out.count("no published sha256") == len(ANSWERS) - len(PUBLISHED)
    assert out.splitlines()[-1].startswith(f"{len(ANSWERS)} releases, {len(RELEASED)} pairs")
    assert max(map(len, out.splitlines())) <= 100


def test_the_list_as_json_says_the_same(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "bootstrap-releases/1"
    assert document["cache"] == str(cache)
    found = {(r["release"], a["arch"]): a for r in document["releases"] for a in r["architectures"]}
    assert list(found) == [(r, arch) for r in ANSWERS for arch in ARCHES.get(r, ALL_FIVE)]
    for (release, arch), row in found.items():
        step = find(NAME, release, arch)
        assert (row["answers"], row["native"]) == (ANSWERS[release], len(step.native))
        assert row["materials"] == len(step.materials)
        assert row["native_answers"] == (len(step.answers) if step.native else 0)
        expected = step.checked and {
            "date": str(step.checked.date),
            "answers": step.checked.answers,
        }
        assert row["checked"] == expected
    shas = {r["release"]: r["archive_sha256"] for r in document["releases"]}
    assert {release: sha for release, sha in shas.items() if sha} == PUBLISHED


_text = partial(command.to_text, colour=False, unicode=True)


def test_what_all_architectures_have_in_common_is_said_once() -> None:
    step = parse(CHECKED, "t")
    one = replace(step, notes=("of all", "of x86 " + "word " * 30))
    two = replace(step, arch="AMD64", notes=("of all",), checked=None)
    text = _text([("1.0", [one, two])], ["1.0"], width=60)
    assert text.count("note: of all") == 1
    assert "    x86: of x86 word" in text
    assert "checked 2026-11-22, all 2 answers" in text
    assert text.count("; not run yet") == 1
    met = replace(two, native=step.answers)
    assert "; met natively, not run here yet" in _text([("1.0", [met])], [], width=None)
    assert max(len(line) for line in text.splitlines() if "word" in line) <= 60
    assert isinstance(step.checked, RunRecord)


def test_an_entry_goes_to_another_process_and_is_the_same() -> None:
    """Its defaults, too, pass the checks of their fields."""
    for step in all_steps():
        for name, entry in step.entries.items():
            (given,) = typed(Mapping[str, Entry], {name: encode(entry)}).values()  # type: ignore[type-abstract]
            assert given == entry
