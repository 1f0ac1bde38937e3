"""Checkouts in the cache: what git itself makes of a repository of ours is what is kept of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from bootstrap.cli.fetch import _lines
from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.handoff.plan import read_pin
from bootstrap.sources import Cache, checkout_at, checkouts, fetch_checkout
from bootstrap.sources.checkouts import (
    LIVE_BOOTSTRAP,
    STAGEX_TREE,
    CheckedOut,
    identify_checkout,
    load_checkout,
)
from bootstrap.sources.git import (
    GITLINK,
    IndexEntry,
    find_commit,
    read_head,
    read_index,
    write_index,
)

GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "PATH": os.environ.get("PATH", ""),
    **{f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}
PIN = "ab" * 20


def git(folder: Path, *words: str, **more: str) -> str:
    """What a git command says."""
    done = subprocess.run(
        ["git", *words], cwd=folder, env={**GIT, **more}, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with a file, a program, a link and a submodule."""
    if shutil.which("git") is None:
        pytest.skip("no git here: apt-get install git")
    folder = tmp_path / "clone"
    (folder / "steps").mkdir(parents=True)
    (folder / "steps/manifest").write_text("build: a-1.0\n")
    (folder / "steps/do").write_text("#!/bin/sh\n")
    (folder / "steps/do").chmod(0o755)
    (folder / "steps/link").symlink_to("do")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{PIN},seed/stage0-posix")
    git(folder, "commit", "-q", "-m", "one")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def head(folder: Path) -> str:
    return git(folder, "rev-parse", "HEAD").strip()


def test_in_and_out_again(clone: Path, cache: Cache) -> None:
    (clone / "untracked").write_text("not git's")
    fetched = fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache)
    assert fetched.fresh and fetched.tree.release == head(clone)
    assert "no value of that commit is known here" in fetched.tree.notes[0]
    assert not fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache).fresh
    said: list[str] = []
    with checkout_at(None, LIVE_BOOTSTRAP, cache, said.append) as (folder, commit):
        assert commit == head(clone)
        names = git(clone, "ls-files", "steps").split()
        assert {str(p.relative_to(folder)) for p in (folder / "steps").rglob("*")} == set(names)
        assert (folder / "steps/manifest").read_text() == "build: a-1.0\n"
        assert os.access(folder / "steps/do", os.X_OK)
        assert not os.access(folder / "steps/manifest", os.X_OK)
        assert os.readlink(folder / "steps/link") == "do"
        assert not (folder / "untracked").exists()
        # What the plan asks of git's files.
        assert read_head(folder) == head(clone) and read_pin(folder, "x86").commit == PIN
    assert not folder.exists() and said == [f"live-bootstrap {head(clone)}, from the cache"]


def test_a_checkout_is_taken_where_it_is(clone: Path, cache: Cache) -> None:
    with checkout_at(str(clone), LIVE_BOOTSTRAP, cache) as at:
        assert at == (clone, None)
    with checkout_at("nowhere", LIVE_BOOTSTRAP, cache) as at:
        assert at == (Path("nowhere"), None)


def test_several_commits(clone: Path, cache: Cache) -> None:
    first = fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache).tree.release
    (clone / "steps/manifest").write_text("build: b-1.0\n")
    git(clone, "commit", "-qam", "two")
    fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache)
    with (
        pytest.raises(BadInput, match="has several commits of live-bootstrap: give --live-boot"),
        checkout_at(None, LIVE_BOOTSTRAP, cache),
    ):
        pass
    # A command that has no option for it names the cache.
    with (
        pytest.raises(BadInput, match=f"leave in {cache.root / 'live-bootstrap'} only one of"),
        checkout_at(None, LIVE_BOOTSTRAP, cache, option=""),
    ):
        pass
    with checkout_at(first, LIVE_BOOTSTRAP, cache) as (folder, _):
        assert (folder / "steps/manifest").read_text() == "build: a-1.0\n"


def test_a_checkout_without_git_goes_by_its_digest(
    clone: Path, tmp_path: Path, cache: Cache
) -> None:
    """As git archive gives it: the same digest as the clone's, in the cache and out again."""
    with_git = identify_checkout(LIVE_BOOTSTRAP, CheckedOut(clone))
    plain = tmp_path / "plain"
    shutil.copytree(clone, plain, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    (plain / "README").write_text("not used\n")
    fetched = fetch_checkout(LIVE_BOOTSTRAP, str(plain), cache)
    assert fetched.fresh and fetched.tree.release == with_git.digest
    assert "nothing says which commit it is" in fetched.tree.notes[0]
    assert fetch_checkout(LIVE_BOOTSTRAP, str(plain), cache).seen == str(plain)
    with checkout_at(with_git.digest, LIVE_BOOTSTRAP, cache) as at:
        assert at.commit is None and not (at.folder / "README").exists()
        found = identify_checkout(LIVE_BOOTSTRAP, at)
        assert (found.digest, found.commit, found.files) == (with_git.digest, None, with_git.files)
    with pytest.raises(
        BadInput, match=rf"has the digest {with_git.digest}, not {PIN}, and no .git"
    ):
        fetch_checkout(LIVE_BOOTSTRAP, str(plain), cache, PIN)
    (plain / "steps/do").write_text("changed\n")
    other = fetch_checkout(LIVE_BOOTSTRAP, str(plain), cache).tree.release
    assert other != with_git.digest and len(cache.releases(LIVE_BOOTSTRAP)) == 2


def test_a_change_that_git_was_said_of_is_one(clone: Path, cache: Cache) -> None:
    """The index is not the commit: what is only staged must not be cached under its name."""
    (clone / "steps/manifest").write_text("build: b-1.0\n")
    git(clone, "add", "steps/manifest")
    with pytest.raises(BadInput, match=f"is changed since commit {head(clone)}: steps/manifest"):
        fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache)


def test_only_what_is_read_of_stagex(clone: Path, cache: Cache) -> None:
    for name in ("packages/bootstrap/stage0/Containerfile", "packages/core/a", "MAINTAINERS"):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(name)
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "two")
    tree = fetch_checkout(STAGEX_TREE, str(clone), cache).tree
    kept = {path for path in tree.files if not path.startswith(".git/")}
    assert kept == {"packages/bootstrap/stage0/Containerfile", "MAINTAINERS"}


@pytest.mark.parametrize("change", ["text", "gone", "link", "kind"])
def test_a_changed_checkout_is_refused(clone: Path, cache: Cache, change: str) -> None:
    place = clone / ("steps/link" if change == "link" else "steps/manifest")
    if change == "text":
        place.write_text("build: b-1.0\n")
    else:
        place.unlink()
    if change == "link":
        place.symlink_to("manifest")
    elif change == "kind":
        place.symlink_to("do")
    match = f"is changed since commit {head(clone)}: steps/{place.name}; take it back"
    with pytest.raises(BadInput, match=match):
        fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache)
    assert not cache.releases(LIVE_BOOTSTRAP)


def test_what_is_named_is_looked_at_whatever_is_cached(
    clone: Path, cache: Cache, tmp_path: Path
) -> None:
    fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache)
    again = fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache)
    assert (again.fresh, again.seen) == (False, str(clone))
    # Nothing of ours was there to verify it by.
    lines = _lines(again, LIVE_BOOTSTRAP, head(clone), tmp_path)
    assert lines[0] == f"{clone} is live-bootstrap {head(clone)}"
    kept = fetch_checkout(LIVE_BOOTSTRAP, None, cache, head(clone))
    (line,) = _lines(kept, LIVE_BOOTSTRAP, head(clone), tmp_path)
    assert line == f"live-bootstrap {head(clone)} is in the cache already: {tmp_path}"
    (clone / "steps/manifest").write_text("build: b-1.0\n")
    with pytest.raises(BadInput, match="is changed since commit"):
        fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache)
    with pytest.raises(BadInput):
        fetch_checkout(LIVE_BOOTSTRAP, str(tmp_path / "nowhere"), cache, head(clone))


def test_a_known_commit_has_known_files(
    clone: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = head(clone)
    tree = fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache).tree
    monkeypatch.setattr(checkouts, "KNOWN", {commit: tree.digest})
    assert not fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache, force=True).tree.notes
    assert load_checkout(LIVE_BOOTSTRAP, commit, cache) is not None
    monkeypatch.setattr(checkouts, "KNOWN", {commit: "ab" * 32})
    with pytest.raises(BadInput, match="has other files than that commit"):
        fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache, force=True)
    with pytest.raises(BadInput, match="was changed: it is another tree; replace it with: boot"):
        load_checkout(LIVE_BOOTSTRAP, commit, cache)


def test_a_damaged_cache_is_said(clone: Path, cache: Cache) -> None:
    commit = fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache).tree.release or ""
    tar = next(cache.folder(commit, LIVE_BOOTSTRAP).glob("*.tar"))
    tar.write_bytes(tar.read_bytes().replace(b"a-1.0", b"b-1.0"))
    match = f"replace it with: bootstrap fetch live-bootstrap --release {commit} --force --from DIR"
    with pytest.raises(BadInput, match=match), checkout_at(None, LIVE_BOOTSTRAP, cache):
        pass
    assert fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache, force=True).fresh


def test_another_tree_under_the_same_commit_is_said_beside_a_checkout(
    clone: Path, cache: Cache
) -> None:
    """Of a commit that is not known here, the cache alone does not show it."""
    tree = fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache).tree
    forged = {**tree.files, "steps/manifest": SourceFile(b"build: evil\n")}
    cache.store(tree.but(files=forged), head(clone), LIVE_BOOTSTRAP)
    with pytest.raises(BadInput, match="was changed: it is another tree; replace it with: boot"):
        fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache)
    assert fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache, force=True).fresh
    assert not fetch_checkout(LIVE_BOOTSTRAP, str(clone), cache).fresh


def test_the_commit_wherever_git_keeps_it(clone: Path, tmp_path: Path) -> None:
    commit = head(clone)
    assert read_head(clone) == commit
    git(clone, "pack-refs", "--all")
    assert not (clone / ".git/refs/heads/main").exists() and read_head(clone) == commit
    git(clone, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    assert read_head(tmp_path / "tree") == commit
    git(clone, "checkout", "-q", "--detach")
    assert read_head(clone) == commit
    with pytest.raises(BadInput, match="is none there: name a commit, a branch or a tag"):
        find_commit(clone, "a" * 5000)
    for text in ("ref: refs/heads/none\n", "ref: ../../x\n", "what\n"):
        (clone / ".git/HEAD").write_text(text)
        with pytest.raises(BadInput, match=r"HEAD: (leads to no commit|names no branch): "):
            read_head(clone)
    with pytest.raises(BadInput, match="is no git checkout, so nothing says which commit it is"):
        read_head(tmp_path)


def test_git_reads_the_index_that_we_write(clone: Path, tmp_path: Path) -> None:
    entries = read_index(clone)
    assert entries is not None
    listed = git(clone, "ls-files", "-s")
    assert [f"{e.mode:o} {e.sha1} 0\t{e.path}" for e in entries] == listed.splitlines()
    more = [*entries, *(IndexEntry("a" * n, GITLINK, PIN) for n in range(1, 10))]
    (tmp_path / "index").write_bytes(write_index(more))
    said = git(clone, "ls-files", "-s", GIT_INDEX_FILE=str(tmp_path / "index"))
    assert {tuple(line.split()[::3]) for line in said.splitlines()} == {
        (f"{e.mode:o}", e.path) for e in more
    }


def test_what_cannot_be_taken(
    clone: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(tmp_path / "cache"))
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    (other / "README").touch()
    git(other, "add", ".")
    git(other, "commit", "-q", "-m", "one")
    for words, says in (
        (["fetch", "live-bootstrap"], "is taken from a checkout: git clone https://github.com/f"),
        (["fetch", "stagex", "--from", str(clone)], "is no checkout of stagex"),
        (["fetch", "live-bootstrap", "--from", str(other)], "there is no steps/manifest in it"),
        (["fetch", "stagex", "--from", str(tmp_path)], "is no checkout of stagex"),
        (["handoff", "plan"], "live-bootstrap is not in the cache: git clone https://github.com/"),
        (["handoff", "plan", "--stagex"], "stagex is not in the cache: git clone https://codeb"),
        (["handoff", "plan", "--live-bootstrap", PIN], f"live-bootstrap {PIN} is not in the cache"),
        (
            ["fetch", "live-bootstrap", "--release", PIN, "--from", str(clone)],
            f"is at commit {head(clone)}, not at {PIN}: git checkout {PIN}",
        ),
    ):
        assert main(words) == 2
        said, error = capsys.readouterr()
        assert not said and len(error.splitlines()) == 1 and says in error


def test_an_archive_is_taken_as_its_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a forge packs it: all in one folder, without .git; it goes by its digest."""
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "builder-hex0-main"
    folder.mkdir()
    for stage in ("stage1", "stage2"):
        (folder / f"builder-hex0-x86-{stage}.hex0").write_text("00\n")
    archive = tmp_path / "main.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, folder.name)
    assert main(["fetch", "builder-hex0", "--from", str(archive)]) == 0
    said = capsys.readouterr().out
    assert f"from {archive}" in said and "it goes by its digest" in said
    assert main(["fetch", "builder-hex0", "--from", str(folder)]) == 0
    assert "it is in the cache already" in capsys.readouterr().out
    for source, why in ((archive, "is no checkout of stage0"), (tmp_path / "no", "cannot be read")):
        assert main(["fetch", "stage0", "--from", str(source)]) == 2
        assert f"{source}: {why}" in capsys.readouterr().err
