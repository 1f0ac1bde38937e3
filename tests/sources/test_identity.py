"""Which release a tree is taken for, and what is said of why it is not quite that."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.known import StepFile, releases
from bootstrap.known.schema import ReleaseSource, parse
from bootstrap.sources import Cache, SourceTree, check_materials, open_source
from bootstrap.sources.identity import (
    COPY,
    LINE_ENDS,
    UPDATE,
    KnownRelease,
    Likeness,
    candidates,
    nearest,
    no_release,
    require_materials,
    why,
)
from tests.known.sample import GOOD
from tests.sources.sample import make_folder, sha256

MODULES = ("libc", "planet", "x86")
# The numbered releases of the real catalogue give the names, so that ranges can be said.
OLD: dict[str, bytes] = {
    "kaem.x86": b"run\n", "x86.answers": b"old\n", "after.kaem": b"after\n",
    "libc/a.c": b"a\n", "libc/b.c": b"b\n", "planet/cc.c": b"cc\n", "planet/cc.h": b"h\n",
    "x86/hex0": b"0 1\n", "x86/seed": b"\x7f\r\n\0",
}  # fmt: skip
NEW = {**OLD, "x86.answers": b"new\n", "libc/a.c": b"a2\n", "planet/cc.c": b"cc2\n",
       "planet/emit.c": b"emit\n", "x86/hex0": b"0 2\n"}  # fmt: skip
# Few files, all with other contents: what lists the fewest can miss the fewest.
SMALL = {"kaem.x86": b"run 0\n", "x86/hex0": b"0 0\n"}


def release(
    name: str, files: Mapping[str, bytes], modules: Sequence[str] = MODULES
) -> KnownRelease:
    known = {path: sha256(data) for path, data in files.items()}
    source = ReleaseSource(submodules=dict.fromkeys(modules, "c" * 40))
    step = replace(parse(GOOD, "g"), release=name, materials=known, source=source, tree_files=None)
    return KnownRelease.of([step])


AMONG = (release("1.9.1", NEW), release("1.7.0", OLD), release("1.4", SMALL, ()))


def tree(files: Mapping[str, bytes], **more: object) -> SourceTree:
    there = {path: SourceFile(data) for path, data in files.items()}
    return SourceTree("t", there).but(**more)


def said(files: Mapping[str, bytes], name: str | None = None, **more: object) -> str:
    """The release that a tree is taken for (or that was asked for), and why it differs."""
    there = tree(files, **more)
    found = nearest([there], AMONG)
    if name is not None:
        found = next(one for one in AMONG if one.name == name)
    if found is None:
        return no_release(Likeness(there, AMONG))
    return "; ".join((found.name, *why(there, found, AMONG)))


def crlf(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """As git does it: what has a NUL is no text."""
    return {p: d if b"\0" in d else d.replace(b"\n", b"\r\n") for p, d in files.items()}


def own(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if "/" not in path}


def modules(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {path: data for path, data in files.items() if "/" in path}


def test_a_release_is_itself() -> None:
    for one, files in zip(AMONG, (NEW, OLD, SMALL), strict=True):
        assert said(files) == one.name


NONE_THERE = f'{UPDATE} (GitHub\'s "Source code" archives have none)'


def test_without_submodules_it_is_known_by_its_own_files() -> None:
    assert said(own(NEW)) == f"1.9.1; the submodules libc, planet, x86 are not there: {NONE_THERE}"
    one = {path: data for path, data in NEW.items() if not path.startswith("libc/")}
    assert said(one) == f"1.9.1; the submodule libc is not there: {NONE_THERE}"


def test_a_file_that_is_missing_is_no_missing_submodule() -> None:
    some = {path: data for path, data in NEW.items() if path not in ("libc/b.c", "kaem.x86")}
    assert said(some) == "1.9.1; missing: kaem.x86, libc/b.c"


def test_line_ends() -> None:
    assert said(crlf(NEW)) == (
        "1.9.1; 9 files differ by line ends only, CR LF in place of LF"
        f" (after.kaem, kaem.x86, libc/a.c and 6 more): {LINE_ENDS}"
    )
    # A line end that was not one of those is a change.
    assert "has a content that no release has" in said({**NEW, "kaem.x86": b"run\r"[:-1] + b"\n\n"})


def test_links_are_named_and_not_called_missing() -> None:
    links = {path: f"/store/{path}" for path in NEW}
    text = said({}, symlinks=links)
    assert text.startswith("cannot be compared with a release: 10 files are symbolic links or bel")
    assert COPY in text and "missing" not in text and UPDATE not in text
    folders = dict.fromkeys(("libc", "planet", "x86"), "/store/folder")
    text = said(own(NEW), symlinks=folders)
    assert text.startswith("1.9.1; 7 files are symbolic links or below one (libc/a.c, libc/b.c,")
    assert "missing" not in text and UPDATE not in text


def test_nothing_and_nothing_like_it() -> None:
    assert said({}) == "is no stage0-posix that is known: there is no file in it"
    none = "is no stage0-posix that is known: it has none of the files that a bootstrap reads"
    assert said({"README": b"hello\n"}) == none
    assert said({"f": b""}) == none
    # A tree around it: a checkout of live-bootstrap, or the folder that it was unpacked in.
    around = {"README": b"", **{f"seed/stage0-posix/{path}": NEW[path] for path in NEW}}
    hint = "seed/stage0-posix in it is near to stage0-posix 1.9.1: give that folder"
    assert said(around) == f"{none}; {hint}"
    assert said({"seed/kaem.x86": b"run\n"}) == none
    other = dict.fromkeys(NEW, b"something else\n")
    text = said({**other, "kaem.x86": NEW["kaem.x86"]})
    assert text.startswith("is no stage0-posix that is known: of its 10 files with the name of a ")
    assert "1 is as in 1.9.1, the nearest; --release 1.9.1 compares it all the same" in text
    # One file of a release does not make it that release.
    assert said({"x86.answers": NEW["x86.answers"]}).startswith("is no stage0-posix that is known")


def test_a_tree_of_any_number_of_folders_that_might_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a walk through all files: 20,000 of them were a minute and more."""
    looked = []

    def count(trees: Sequence[SourceTree], among: Sequence[KnownRelease]) -> None:
        looked.append(trees[0].label)

    monkeypatch.setattr("bootstrap.sources.identity.nearest", count)
    side = Likeness(tree({f"{number:03}/kaem.x86": b"x\n" for number in range(500)}), AMONG)
    assert "give that folder" not in no_release(side) and looked == [f"{n:03}" for n in range(10)]


def test_empty_files() -> None:
    assert said({**NEW, "libc/a.c": b""}) == "1.9.1; 1 file is empty (libc/a.c): get the tree again"
    text = said(dict.fromkeys(NEW, b""))
    assert text.startswith("cannot be compared with a release: 10 files are empty (")


def test_submodules_of_another_release() -> None:
    """As `git checkout` leaves them without `git submodule update`."""
    mixed = {**own(NEW), **modules(OLD)}
    assert said(mixed) == (
        "1.7.0; x86.answers is that of 1.9.1; the rest is 1.7.0:"
        f" the submodules were left behind; {UPDATE}"
    )
    # planet of 1.7.0 has all of its files here: its one file more is missing of 1.9.1's.
    assert said(mixed, "1.9.1") == (
        "1.9.1; the submodules libc, planet, x86 are those of 1.7.0; the rest is 1.9.1:"
        f" the submodules were left behind; {UPDATE}"
    )
    one = {**NEW, "libc/a.c": OLD["libc/a.c"]}
    assert said(one) == (
        "1.9.1; the submodule libc is that of 1.7.0; the rest is 1.9.1:"
        f" the submodule was left behind; {UPDATE}"
    )


def test_submodules_of_a_newer_release_were_not_left_behind() -> None:
    one = {**OLD, "libc/a.c": NEW["libc/a.c"]}
    assert said(one) == (
        f"1.7.0; the submodule libc is that of 1.9.1; the rest is 1.7.0: the submodule does not fit"
        f" it; {UPDATE}"
    )


def test_a_submodule_is_another_releases_only_as_a_whole() -> None:
    """With a file that only the newer one has, it is no longer the older one's."""
    one = {**NEW, "planet/cc.c": OLD["planet/cc.c"]}
    assert said(one) == "1.9.1; planet/cc.c is that of 1.7.0"
    # Where something else differs too, it is not said that the rest is as it should be.
    text = said({**own(NEW), **modules(OLD), "x86/hex0": b""}, "1.9.1")
    assert "1 file is empty (x86/hex0)" in text and "the rest" not in text
    assert "the submodules libc, planet are those of 1.7.0" in text


def test_single_files_of_other_releases_and_of_none() -> None:
    text = said({**NEW, "libc/a.c": OLD["libc/a.c"], "libc/b.c": b"mine\n"})
    mine, right = sha256(b"mine\n"), sha256(NEW["libc/b.c"])
    assert text == (
        "1.9.1; libc/a.c is that of 1.7.0; 1 file has a content that no release has:"
        f" libc/b.c ({mine}, not {right})"
    )
    assert UPDATE not in text
    assert "no regular file: kaem.x86" in said(
        {path: data for path, data in NEW.items() if path != "kaem.x86"}, special=("kaem.x86",)
    )


def test_another_release_than_the_one_that_was_asked_for() -> None:
    assert said(OLD, "1.9.1") == "1.9.1; it is stage0-posix 1.7.0, whole"


def test_two_trees_together() -> None:
    found = nearest([tree(OLD), tree({**OLD, "kaem.x86": b"x"})], AMONG)
    assert found is not None and found.name == "1.7.0"
    assert nearest([tree({}), tree({"README": b""})], AMONG) is None
    assert nearest([tree(OLD)], ()) is None


@given(st.data())
def test_a_part_of_a_release_is_taken_for_it_or_for_none(data: st.DataObject) -> None:
    """Never for one that merely lists less."""
    there = data.draw(st.sets(st.sampled_from(sorted(NEW))))
    ends = data.draw(st.booleans())
    files = {path: NEW[path] for path in there}
    found = nearest([tree(crlf(files) if ends else files)], AMONG)
    only = any(NEW[path] != OLD.get(path) for path in there)
    assert found is None or found.name == "1.9.1" or (not only and found.name == "1.7.0")
    if len(there) == len(NEW):
        assert found is not None


def step(name: str) -> StepFile:
    return next(one for one in AMONG if one.name == name).steps[0]


@pytest.mark.parametrize(
    ("files", "links", "says"),
    [
        (crlf(NEW), {}, "9 of 10 files that the bootstrap reads are not there as they are in the"),
        (own(NEW), {}, "7 of 10 files that the bootstrap reads are missing"),
        (
            {p: d for p, d in NEW.items() if p != "kaem.x86"},
            {"kaem.x86": "../kaem"},
            "1 of 10 files that the bootstrap reads are not there as they are in the release; 1 fi",
        ),
    ],
)
def test_what_cannot_run_is_refused(
    files: dict[str, bytes], links: dict[str, str], says: str
) -> None:
    there = tree(files, symlinks=links)
    with pytest.raises(BadInput, match=f"t: not a whole stage0-posix 1.9.1 x86 tree: {says}"):
        require_materials(there, step("1.9.1"), check_materials(there, step("1.9.1")))


@pytest.mark.parametrize(
    ("files", "links"),
    [
        ({**NEW, "kaem.x86": b"run\r\n"}, {}),
        ({**NEW, "kaem.x86": b"mine\n"}, {}),
        ({p: d for p, d in NEW.items() if p != "kaem.x86"}, {"kaem.x86": "after.kaem"}),
    ],
)
def test_what_is_merely_changed_runs(files: dict[str, bytes], links: dict[str, str]) -> None:
    there = tree(files, symlinks=links)
    report = check_materials(there, step("1.9.1"))
    assert report.changed
    require_materials(there, step("1.9.1"), report)


@pytest.mark.upstream
def test_real_releases_mixed(tmp_path: Path) -> None:
    """Any two releases in the cache, the older one's submodules left in the newer one's tree."""
    cache = Cache()
    known = [one for one in releases() if one in cache.releases() and one[0].isdigit()][-4:]
    if len(known) < 2:
        pytest.skip("fewer than two releases are in the cache; bootstrap fetch stage0-posix")
    trees = {name: cache.load(name) for name in known}
    among = candidates()
    for old, new in itertools.pairwise(known):
        a, b = trees[old], trees[new]
        assert a is not None and b is not None
        names = among[0].steps[0].source.submodules
        files = {p: f for p, f in b.files.items() if p.partition("/")[0] not in names}
        files |= {p: f for p, f in a.files.items() if p.partition("/")[0] in names}
        mixed = SourceTree("t", files)
        wanted = next(one for one in among if one.name == new)
        text = "; ".join(why(mixed, wanted, among))
        assert f"of {old}" in text or f", {old}" in text, text
        assert UPDATE in text, text
        found = nearest([mixed], among)
        assert found is not None and found.name in known


def test_a_folder_of_the_host(tmp_path: Path) -> None:
    """Through the reader of folders, with links as `cp -rs` and `ln -s` make them."""
    make_folder(tmp_path / "a", NEW)
    (tmp_path / "links").mkdir()
    for name in ("x86", "libc", "planet", "kaem.x86", "x86.answers", "after.kaem"):
        (tmp_path / "links" / name).symlink_to(tmp_path / "a" / name)
    whole, linked = open_source(tmp_path / "a"), open_source(tmp_path / "links")
    assert nearest([whole], AMONG) is AMONG[0]
    assert "symbolic links" in no_release(Likeness(linked, AMONG))
