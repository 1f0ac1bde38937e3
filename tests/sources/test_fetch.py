"""Fetching a release into the cache, and which source a run takes."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.cli import fetch as command
from bootstrap.cli.commands import parser
from bootstrap.cli.live import LiveLine
from bootstrap.core.errors import BadInput
from bootstrap.sources import Cache, fetch, resolve, resolving
from bootstrap.sources.addresses import DownloadFailed
from bootstrap.sources.download import download
from tests.sources import sample
from tests.sources.conftest import Server
from tests.sources.sample import FILES, make_archive, make_folder, make_tree

CHANGED = {**FILES, "kaem.x86": b"evil\n"}


@pytest.fixture
def cache(tmp_path: Path, catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(tmp_path / "cache"))
    return Cache()


@pytest.fixture
def published(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server stands in for the published address."""

    def there(url: str, limit: int, *rest: object) -> bytes:
        return download(url.replace("https://release.invalid", server.url), limit)

    monkeypatch.setattr(resolving, "download", there)
    return server


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(url: str, *rest: object) -> bytes:
        raise DownloadFailed(f"{url}: cannot be reached: no network")

    monkeypatch.setattr(resolving, "download", fails)


def _publish(catalogue: Path, archive: bytes) -> None:
    text = sample.step_text(published=sample.sha256(archive))
    (catalogue / "stage0-posix-1.0-x86.toml").write_text(text)


def test_a_checkout_is_checked_and_cached(cache: Cache, tmp_path: Path) -> None:
    more = {"x86/bin/M1": b"stale", "x86/bin/deep/er": b"", "note.txt": b"mine"}
    folder = make_folder(tmp_path / "t", {**FILES, **more})
    (folder / "link").symlink_to("note.txt")
    fetched = fetch("1.0", cache, str(folder))
    assert fetched.fresh
    # What is not the release's does not get into the cache.
    assert set(fetched.tree.files) == set(FILES)
    assert fetched.tree.digest == make_tree().digest
    loaded = cache.load("1.0")
    assert loaded is not None
    assert loaded.digest == make_tree().digest
    assert loaded.folders == {"seeds", "x86"}


def test_what_is_cached_is_not_fetched_again_unless_forced(
    cache: Cache, tmp_path: Path, offline: None
) -> None:
    folder = str(make_folder(tmp_path / "t"))
    fetch("1.0", cache, folder)
    assert not fetch("1.0", cache).fresh
    assert fetch("1.0", cache, folder, force=True).fresh


@pytest.mark.parametrize("force", [True, False])
def test_what_is_named_is_looked_at_whatever_is_cached(
    cache: Cache, tmp_path: Path, offline: None, force: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_folder(tmp_path / "t")
    fetch("1.0", cache, str(folder))
    other = make_folder(tmp_path / "other", CHANGED)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    for name, says in (
        ("/nowhere", "/nowhere: cannot be read"),
        (str(other), "1 of 3 files that its bootstraps read are not as in the release"),
        (str(tmp_path / "empty"), "there is no file in it"),
        (str(tmp_path / "bad.tar"), "is not an archive of a known kind: tar"),
        ("https://release.invalid/x", "cannot be reached"),
    ):
        with pytest.raises(BadInput, match=says):
            fetch("1.0", cache, name, force=force)
    found = fetch("1.0", cache, str(folder))
    assert (found.fresh, found.seen) == (False, str(folder))
    args = _command("--from", str(folder))
    assert command.run(args) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{folder} is stage0-posix 1.0, verified",
        f"it is in the cache already, so nothing new was put into {cache.folder('1.0')}",
    ]


def test_fetching_again_checks_the_cache_too(cache: Cache, tmp_path: Path) -> None:
    folder = str(make_folder(tmp_path / "t"))
    fetch("1.0", cache, folder)
    tar = next(cache.folder("1.0").glob("*.tar"))
    tar.write_bytes(b"")
    with pytest.raises(BadInput, match="changed or damaged"):
        fetch("1.0", cache, folder)


def test_force_heals_a_damaged_cache(cache: Cache, tmp_path: Path) -> None:
    folder = str(make_folder(tmp_path / "t"))
    fetch("1.0", cache, folder)
    (cache.folder("1.0") / "manifest.json").write_text("")
    with pytest.raises(BadInput, match="--force"):
        fetch("1.0", cache, folder)
    assert fetch("1.0", cache, folder, force=True).fresh
    assert cache.load("1.0") is not None


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (CHANGED, "1 file has a content that no release has: kaem.x86 ("),
        ({p: d for p, d in FILES.items() if p != "kaem.x86"}, "as in the release; missing: kaem"),
        ({}, "there is no file in it"),
    ],
)
def test_a_tree_that_is_not_the_release_is_not_cached(
    cache: Cache, tmp_path: Path, files: dict[str, bytes], says: str
) -> None:
    (tmp_path / "t").mkdir()
    with pytest.raises(BadInput) as caught:
        fetch("1.0", cache, str(make_folder(tmp_path / "t", files)))
    assert says in str(caught.value)
    assert cache.load("1.0") is None


def test_every_architecture_of_the_release_counts(
    cache: Cache, catalogue: Path, tmp_path: Path
) -> None:
    other = sample.step_text("AMD64").replace(sample.sha256(FILES["kaem.x86"]), "0" * 64)
    (catalogue / "stage0-posix-1.0-AMD64.toml").write_text(other)
    with pytest.raises(BadInput, match=r"not stage0-posix 1\.0: 1 of 3 files"):
        fetch("1.0", cache, str(make_folder(tmp_path / "t")))


def test_an_archive_without_published_hash_is_checked_file_by_file(
    cache: Cache, tmp_path: Path
) -> None:
    file = tmp_path / "a.tar.gz"
    file.write_bytes(make_archive(CHANGED))
    with pytest.raises(BadInput, match=r"no release has: kaem\.x86"):
        fetch("1.0", cache, str(file))
    file.write_bytes(make_archive())
    assert fetch("1.0", cache, str(file)).tree.archive_sha256 == sample.sha256(make_archive())


def test_an_archive_must_have_the_published_hash(
    cache: Cache, catalogue: Path, tmp_path: Path
) -> None:
    _publish(catalogue, make_archive())
    file = tmp_path / "a.tar.gz"
    file.write_bytes(make_archive(top="other/"))
    with pytest.raises(BadInput) as caught:
        fetch("1.0", cache, str(file))
    assert f"was published as {sample.sha256(make_archive())}" in str(caught.value)
    assert "unpack it and give the folder" in str(caught.value)
    file.write_bytes(make_archive())
    assert fetch("1.0", cache, str(file)).fresh


def test_the_right_archive_of_a_wrong_catalogue_is_refused(
    cache: Cache, catalogue: Path, tmp_path: Path
) -> None:
    _publish(catalogue, make_archive(CHANGED))
    (tmp_path / "a.tar.gz").write_bytes(make_archive(CHANGED))
    with pytest.raises(BadInput, match="1 of 3 files that its bootstraps read are not as"):
        fetch("1.0", cache, str(tmp_path / "a.tar.gz"))


def test_the_published_address_and_a_mirror(
    cache: Cache, catalogue: Path, published: Server
) -> None:
    _publish(catalogue, make_archive())
    published.serve("/stage0-posix-1.0.tar.gz", make_archive())
    fetched = fetch("1.0", cache)
    assert (fetched.tree.kind, fetched.tree.release) == ("download", "1.0")
    url = published.serve("/mirror", make_archive())
    assert fetch("1.0", cache, url, force=True).tree.label == url


@pytest.mark.parametrize("end", [0, 1, 100, -1])
def test_a_download_that_is_not_whole_is_not_cached(
    cache: Cache, catalogue: Path, published: Server, end: int
) -> None:
    url = published.serve("/a", make_archive()[:end])
    with pytest.raises(BadInput):
        fetch("1.0", cache, url)
    assert cache.load("1.0") is None


def test_a_release_that_is_not_known_is_named(cache: Cache) -> None:
    with pytest.raises(BadInput, match=r"stage0-posix 9 is not in the catalogue.*releases: 1\.0"):
        fetch("9", cache)


def test_without_network_the_way_out_is_said(cache: Cache, offline: None) -> None:
    with pytest.raises(DownloadFailed) as caught:
        fetch("1.0", cache)
    assert f"{sample.URL}: cannot be reached" in str(caught.value)
    assert "run: bootstrap fetch stage0-posix --release 1.0 --from PATH" in str(caught.value)


def test_a_given_source_comes_first(cache: Cache, tmp_path: Path, offline: None) -> None:
    cache.store(make_tree(), "1.0")
    found = resolve(str(make_folder(tmp_path / "t", CHANGED)), None, "x86", cache)
    assert (found.tree.kind, found.tree.release, found.step.release) == ("folder", "1.0", "1.0")
    assert [change.path for change in found.materials.changed] == ["kaem.x86"]
    with pytest.raises(BadInput, match="has none of the files that a bootstrap reads"):
        resolve(str(tmp_path / "data"), None, "x86", cache)


def test_a_given_archive_is_held_against_the_published_hash(
    cache: Cache, catalogue: Path, tmp_path: Path
) -> None:
    _publish(catalogue, make_archive())
    (tmp_path / "a").write_bytes(make_archive())
    (tmp_path / "b").write_bytes(make_archive(top="other/"))
    (note,) = resolve(str(tmp_path / "a"), "1.0", "x86", cache).tree.notes
    assert note == "the archive has the published sha256 of stage0-posix 1.0"
    (note,) = resolve(str(tmp_path / "b"), None, "x86", cache).tree.notes
    assert note.startswith("the archive has not the published sha256 ")


def test_the_cache_comes_second(cache: Cache, offline: None) -> None:
    cache.store(make_tree(), "1.0")
    assert resolve(None, None, "i386", cache).tree.kind == "cache"


def test_a_damaged_cache_is_not_passed_over(cache: Cache, published: Server) -> None:
    cache.store(make_tree(CHANGED), "1.0")
    with pytest.raises(BadInput, match="was changed or damaged"):
        resolve(None, None, "x86", cache)
    assert published.asked == []


def test_the_network_comes_third_and_fills_the_cache(cache: Cache, published: Server) -> None:
    published.serve("/stage0-posix-1.0.tar.gz", make_archive())
    assert resolve(None, None, "x86", cache).tree.kind == "download"
    assert resolve(None, None, "x86", cache).tree.kind == "cache"
    assert len(published.asked) == 1


def test_a_wrong_download_is_not_passed_over(cache: Cache, published: Server) -> None:
    published.serve("/stage0-posix-1.0.tar.gz", make_archive(CHANGED))
    with pytest.raises(BadInput, match="are not as in the release"):
        resolve(None, None, "x86", cache)


def test_a_cache_that_cannot_be_written_does_not_stop_the_run(
    tmp_path: Path, catalogue: Path, published: Server
) -> None:
    published.serve("/stage0-posix-1.0.tar.gz", make_archive())
    (tmp_path / "stage0-posix/1.0/lock").mkdir(parents=True)
    found = resolve(None, None, "x86", Cache(tmp_path))
    assert found.tree.kind == "download"
    assert "not kept for the next run: cannot write the cache" in found.tree.notes[0]


def test_a_cache_that_is_no_folder_is_an_error_where_it_is_needed(
    tmp_path: Path, catalogue: Path, published: Server
) -> None:
    place = tmp_path / "file"
    place.write_text("")
    for fallback in (False, True):
        with pytest.raises(BadInput, match=r"file: cannot be used as the cache: Not a directory"):
            resolve(None, None, "x86", Cache(place), fallback=fallback)
    assert published.asked == []
    assert resolve(None, "embedded", "x86", Cache(place)).tree.kind == "embedded"


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("release", [None, "1.0"])
def test_without_cache_and_network_nothing_stands_in(
    cache: Cache, offline: None, online: bool, release: str | None
) -> None:
    """What was looked for, where, and the ways to provide it; the first cause first."""
    with pytest.raises(BadInput) as caught:
        resolve(None, release, "x86", cache, online=online)
    cause, _, rest = str(caught.value).partition("; stage0-posix 1.0 is not in the cache (")
    if online:
        assert cause.startswith(f"{sample.URL}: cannot be reached: ")
    else:
        rest = cause.removeprefix("stage0-posix 1.0 is not in the cache (")
    assert rest.startswith(f"{cache.root}); get the release archive ({sample.URL})")
    assert "run: bootstrap fetch stage0-posix --release 1.0 --from PATH" in rest
    assert "--source PATH; --release embedded" in rest


def test_the_embedded_sources_stand_in_where_that_was_asked_for(
    cache: Cache, offline: None
) -> None:
    found = resolve(None, None, "x86", cache, fallback=True)
    assert (found.tree.kind, found.tree.release, found.step.name) == ("embedded", None, "embedded")
    assert found.in_place_of == "stage0-posix 1.0 for x86"
    assert found.materials.whole
    assert found.tree.files["hex0-seed"].executable
    (note,) = found.tree.notes
    start = "stage0-posix 1.0 x86 was not verified, only the embedded sources were: "
    assert note.startswith(f"{start}{sample.URL}: cannot be reached: ")
    assert "bootstrap fetch stage0-posix --release 1.0 --from PATH" in note


def test_nothing_stands_in_for_what_can_be_had(cache: Cache, offline: None) -> None:
    cache.store(make_tree(), "1.0")
    found = resolve(None, None, "x86", cache, fallback=True)
    assert (found.tree.kind, found.in_place_of) == ("cache", None)


def test_the_embedded_sources_asked_for_by_name(cache: Cache) -> None:
    """Neither the cache nor the network is used."""
    found = resolve(None, "embedded", "x86", cache)
    assert (found.tree.kind, found.tree.release, found.step.name) == ("embedded", None, "embedded")
    assert found.tree.notes == (
        "no release of stage0-posix was verified, only the embedded sources were: "
        "--release embedded",
    )
    with pytest.raises(BadInput, match="no embedded sources for AMD64"):
        resolve(None, "embedded", "AMD64", cache)


def test_an_architecture_or_entry_without_embedded_sources(
    cache: Cache, catalogue: Path, offline: None
) -> None:
    (catalogue / "stage0-posix-1.0-AMD64.toml").write_text(sample.step_text("AMD64"))
    with pytest.raises(BadInput, match="cannot be reached") as caught:
        resolve(None, None, "x86_64", cache)
    assert "--release embedded" not in str(caught.value)
    with pytest.raises(BadInput, match=r"cannot be reached.*there are no embedded .* for AMD64"):
        resolve(None, None, "x86_64", cache, fallback=True)
    with pytest.raises(BadInput, match=r"cannot be reached.* have no entry script"):
        resolve(None, None, "x86", cache, entry="script", fallback=True)


def test_embedded_sources_that_are_gone_are_named(
    cache: Cache, catalogue: Path, offline: None
) -> None:
    (catalogue.parent / "seeds" / "x86" / "hex0.hex0").unlink()
    with pytest.raises(BadInput, match=r"seeds/x86/hex0\.hex0: cannot be read"):
        resolve(None, "embedded", "x86", cache)


def _command(*argv: str) -> argparse.Namespace:
    return parser().parse_args(["fetch", "stage0-posix", *argv])


def test_the_command_says_what_it_did(
    cache: Cache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.tar.gz").write_bytes(make_archive())
    out = tmp_path / "out.json"
    args = _command("--from", str(tmp_path / "a.tar.gz"), "--json", str(out))
    assert command.run(args) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"stage0-posix 1.0 from {tmp_path / 'a.tar.gz'}",
        f"archive sha256 {sample.sha256(make_archive())}",
        f"tree digest    {make_tree().digest} (4 files)",
        f"verified and put into {cache.folder('1.0')}",
    ]
    document = json.loads(out.read_text())
    assert document["status"] == "fetched"
    assert document["source"]["archive_sha256"] == sample.sha256(make_archive())
    args = _command("--release", "1.0", "--json", "-")
    assert command.run(args) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["status"] == "present"
    assert "is in the cache already, verified" in captured.err


def test_a_path_that_is_no_text_can_be_said(
    cache: Cache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = _command("--from", str(make_folder(tmp_path / "t\udcff")))
    assert command.run(args) == 0
    assert f"from {tmp_path}/t\\xff" in capsys.readouterr().out
    assert cache.load("1.0") is not None


def test_the_command_line_costs_nothing_until_it_is_used() -> None:
    script = "import sys, bootstrap.cli.main; print(*sys.modules)"
    top = Path(__file__).resolve().parents[2]
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=top, capture_output=True, text=True, check=True
    ).stdout.split()
    assert "bootstrap.cli.commands" in loaded
    assert not {
        "bootstrap.cli.fetch",
        "bootstrap.sources",
        "bootstrap.known",
        "urllib.request",
    } & set(loaded)


def test_a_json_file_that_cannot_be_written_is_named(cache: Cache, tmp_path: Path) -> None:
    args = _command("--from", str(make_folder(tmp_path / "t")), "--json", str(tmp_path))
    with pytest.raises(BadInput, match="is a directory; name a file"):
        command.run(args)


def test_progress_is_for_terminals(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def shown(terminal: bool) -> str:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
        with LiveLine() as line:
            show = command._shown(line)
            show(500_000, 1_000_000)
            show(1_000_000, 1_000_000)
            show(500_000, None)
        return capsys.readouterr().err.replace("\x1b[K", "")

    assert shown(False) == ""
    assert shown(True) == "\r0.5 of 1.0 MB\r1.0 of 1.0 MB\r1.0 of 1.0 MB\n\r0.5 MB\r"
