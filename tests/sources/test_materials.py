"""Trees held against the catalogue: missing, changed, stale and extra files, and what is shown."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.known import StepFile, find
from bootstrap.sources import check_materials, guest_view, require_materials
from bootstrap.sources.materials import Change, named
from bootstrap.sources.tree import as_lower
from tests.sources import sample
from tests.sources.sample import FILES, SEED, make_tree


@pytest.fixture
def step(catalogue: Path) -> StepFile:
    return find("stage0-posix", "1.0", "i386")


def test_the_release_itself_is_whole(step: StepFile) -> None:
    report = check_materials(make_tree(), step)
    assert report.whole
    assert report.lines() == []
    require_materials(make_tree(), step, report)


def test_one_changed_byte_is_named_with_both_hashes(step: StepFile) -> None:
    changed = b"00 10\n"
    report = check_materials(make_tree({**FILES, "x86/a.hex0": changed}), step)
    expected = sample.sha256(FILES["x86/a.hex0"])
    assert report.changed == (Change("x86/a.hex0", expected, sample.sha256(changed)),)
    assert not report.whole
    assert report.lines() == [f"changed: x86/a.hex0 ({sample.sha256(changed)}, not {expected})"]
    require_materials(make_tree(), step, report)  # the run goes on


def test_a_missing_material_ends_it_with_a_way_out(step: StepFile) -> None:
    tree = make_tree({SEED: FILES[SEED]})
    report = check_materials(tree, step)
    assert report.missing == ("kaem.x86", "x86/a.hex0")
    with pytest.raises(BadInput, match=r"2 of 3 files that .* missing: kaem\.x86, x86/a"):
        require_materials(tree, step, report)


def test_what_an_entry_hides_need_not_be_there(step: StepFile) -> None:
    tree = make_tree({path: data for path, data in FILES.items() if path != "kaem.x86"})
    assert check_materials(tree, step, step.entry("bare")).whole
    assert not check_materials(tree, step, step.entry("script")).whole


def test_a_material_that_is_no_file_is_changed(step: StepFile) -> None:
    files = {path: data for path, data in FILES.items() if path in ("README", SEED)}
    tree = replace(make_tree(files), symlinks={"kaem.x86": SEED}, special=("x86/a.hex0",))
    report = check_materials(tree, step)
    assert [(c.path, c.found) for c in report.changed] == [
        ("kaem.x86", "a symbolic link"),
        ("x86/a.hex0", "no regular file"),
    ]


def test_extra_files_and_those_of_an_earlier_run_are_told_apart(step: StepFile) -> None:
    more = {"x86/bin/M1": b"", "x86/out": b"", "note.txt": b""}
    report = check_materials(make_tree({**FILES, **more}), step)
    assert report.whole
    assert report.stale == ("x86/bin/M1", "x86/out")
    assert report.extra == ("note.txt",)
    assert [line.split(":")[0] for line in report.lines()] == [
        "left by an earlier run of the bootstrap, not used",
        "not in the release",
    ]


def test_without_a_list_of_the_tree_nothing_is_called_extra(step: StepFile) -> None:
    step = replace(step, tree_files=None)
    assert check_materials(make_tree({**FILES, "note.txt": b""}), step).extra == ()


def test_of_an_unchanged_release_the_guest_sees_materials_only(step: StepFile) -> None:
    tree = make_tree({**FILES, "x86/bin/M1": b"", "note.txt": b""})
    report = check_materials(tree, step)
    view = guest_view(tree, step, step.entry("script"), report)
    assert set(view.files) == set(sample.READ)
    assert view.folders == {"x86/bin"}
    bare = guest_view(tree, step, step.entry("bare"), report)
    assert set(bare.files) == {SEED, "x86/a.hex0"}


def test_of_a_changed_tree_the_guest_sees_all_but_stale_products(step: StepFile) -> None:
    files = {**FILES, "x86/a.hex0": b"", "x86/bin/M1": b"", "note.txt": b""}
    tree = make_tree(files)
    view = guest_view(tree, step, step.entry("bare"), check_materials(tree, step))
    assert set(view.files) == set(files) - {"x86/bin/M1", "kaem.x86"}


def test_a_file_where_a_folder_must_be_is_named(step: StepFile) -> None:
    tree = replace(make_tree({**FILES, "x86/a.hex0": b""}), symlinks={"x86/bin": ".."})
    # Listed or not, it is in the way; here the list of the tree calls it a stale product.
    step = replace(step, tree_files=None)
    report = check_materials(tree, step)
    with pytest.raises(BadInput, match="x86/bin must be a folder"):
        guest_view(tree, step, step.entry("script"), report)


def test_a_view_is_a_file_system(step: StepFile) -> None:
    tree = replace(make_tree(), symlinks={"l": "README"})
    lower = as_lower(guest_view(tree, step, step.entry("script"), check_materials(tree, step)))
    assert set(lower.list(b"/")) == {b"seeds", b"x86", b"kaem.x86"}
    assert lower.list(b"/seeds")[b"hex0-seed"].mode & 0o7777 == 0o755
    assert lower.load(b"/x86/a.hex0") == FILES["x86/a.hex0"]
    assert lower.list(b"/x86/bin") == {}
    whole = as_lower(tree)
    assert whole.list(b"/")[b"l"].target == b"README"
    assert whole.list(b"/")[b"README"].mode & 0o7777 == 0o644


def test_a_seed_is_executable_whatever_became_of_its_mode(step: StepFile) -> None:
    tree = make_tree()
    bare = {path: replace(file, executable=False) for path, file in tree.files.items()}
    tree = replace(tree, files=bare)
    view = guest_view(tree, step, step.entry("script"), check_materials(tree, step))
    assert [path for path, file in view.files.items() if file.executable] == [SEED]


def test_long_lists_are_cut_with_a_count() -> None:
    paths = [str(number) for number in range(12)]
    assert named(paths) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
    assert named(paths[:10]).endswith("8, 9")


def test_names_cannot_play_with_the_terminal() -> None:
    assert named(["a b", "\x1b[2Jc", "d\n", "\udcff"]) == r"a b, \x1b[2Jc, d\n, \xff"
