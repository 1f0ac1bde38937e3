"""The cache: verified at each use, safe for two at once, and never half there."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.known import all_steps
from bootstrap.sources import Cache, SourceTree, cache_root
from tests.sources.sample import FILES, make_tree, step_text

OLD = make_tree()
NEW = make_tree({**FILES, "README": b"new"})


@pytest.fixture
def cache(tmp_path: Path, catalogue: Path) -> Cache:
    return Cache(tmp_path / "cache")


def _only(folder: Path, pattern: str) -> Path:
    (file,) = folder.glob(pattern)
    return file


def test_what_is_stored_is_loaded(cache: Cache) -> None:
    assert cache.load("1.0") is None
    assert cache.releases() == ()
    cache.store(OLD, "1.0")
    tree = cache.load("1.0")
    assert tree is not None
    assert (tree.kind, tree.release, tree.digest) == ("cache", "1.0", OLD.digest)
    assert tree.files == OLD.files
    assert cache.releases() == ("1.0",)


def test_a_second_store_replaces_the_first_and_leaves_nothing_of_it(cache: Cache) -> None:
    cache.store(OLD, "1.0")
    cache.store(NEW, "1.0")
    tree = cache.load("1.0")
    assert tree is not None
    assert tree.digest == NEW.digest
    assert len(list(cache.folder("1.0").iterdir())) == 3


def _flip(folder: Path) -> None:
    file = _only(folder, "*.tar")
    data = bytearray(file.read_bytes())
    data[1030] ^= 1
    file.write_bytes(data)


def _cut(folder: Path) -> None:
    os.truncate(_only(folder, "*.tar"), 1024)


def _remove(folder: Path) -> None:
    _only(folder, "*.tar").unlink()


def _no_json(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def _edit(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        file = folder / "manifest.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))

    return edit


@pytest.mark.parametrize(
    ("tamper", "says"),
    [
        (_flip, ".tar is not what the manifest says"),
        (_cut, ".tar is not what the manifest says"),
        (_remove, "its tree cannot be read: "),
        (_no_json, "manifest.json is damaged"),
        (_edit(schema=9), "manifest.json is damaged"),
        (_edit(colour=1), "manifest.json is damaged"),
        (_edit(tar="../../x.tar"), "manifest.json is damaged"),
        (_edit(sha256="../x", tar="../x.tar"), "manifest.json is damaged"),
        (_edit(sha256=1), "manifest.json is damaged"),
        (_edit(archive_sha256=1), "manifest.json is damaged"),
        (_edit(size=1), ".tar is not what the manifest says"),
        (_edit(digest="0" * 64), "its tree digest is not what the manifest says"),
        (_edit(release="2.0"), "manifest.json is of stage0-posix 2.0"),
    ],
)
def test_every_tampering_is_named_with_the_way_out(
    cache: Cache, tamper: Callable[[Path], None], says: str
) -> None:
    cache.store(OLD, "1.0")
    tamper(cache.folder("1.0"))
    with pytest.raises(BadInput) as caught:
        cache.load("1.0")
    assert says in str(caught.value)
    assert str(cache.folder("1.0")) in str(caught.value)
    assert "bootstrap fetch stage0-posix --release 1.0 --force" in str(caught.value)
    cache.store(OLD, "1.0")
    assert cache.load("1.0") is not None


def test_a_reader_who_met_a_writer_looks_again(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.store(OLD, "1.0")
    real = cache._manifest
    writers = [NEW]

    def then_replaced(*args: Any) -> Any:
        manifest = real(*args)
        if writers:  # one comes between the manifest and the tar that it names
            cache.store(writers.pop(), "1.0")
        return manifest

    monkeypatch.setattr(cache, "_manifest", then_replaced)
    assert _digest(cache.load("1.0")) == NEW.digest


def test_a_consistent_forgery_does_not_pass_the_catalogue(cache: Cache) -> None:
    cache.store(make_tree({**FILES, "kaem.x86": b"evil\n"}), "1.0")
    with pytest.raises(BadInput, match=r"not as in steps/stage0-posix-1.0-x86\.toml: kaem\.x86"):
        cache.load("1.0")


def test_a_manifest_cannot_name_another_archive(cache: Cache, catalogue: Path) -> None:
    """A report says which archive its tree came from, and an attestation signs it."""
    published = "b" * 64
    cache.store(OLD.but(archive_sha256=published), "1.0")
    (catalogue / "stage0-posix-1.0-x86.toml").write_text(step_text(published=published))
    all_steps.cache_clear()
    tree = cache.load("1.0")
    assert tree is not None and tree.archive_sha256 == published
    file = cache.folder("1.0") / "manifest.json"
    file.write_text(file.read_text().replace(published, "c" * 64))
    with pytest.raises(BadInput, match="changed or damaged: cccc"):
        cache.load("1.0")


def test_a_manifest_that_is_no_file_is_named(cache: Cache) -> None:
    cache.folder("1.0").mkdir(parents=True)
    os.mkfifo(cache.folder("1.0") / "manifest.json")
    with pytest.raises(BadInput, match=r"manifest\.json: is not a regular file"):
        cache.load("1.0")


_CHILD = """
import os, signal, sys
from pathlib import Path
from bootstrap.sources import Cache
from tests.sources.test_cache import OLD, NEW

left = 0
steps = ("open", "os.rename", "os.remove", "os.mkdir", "os.listdir", "os.scandir", "fsync")
armed = False

def hook(event, args):
    global left
    if armed and event in steps:
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

fsync = os.fsync
os.fsync = lambda fd: (hook("fsync", ()), fsync(fd), hook("fsync", ()))
sys.addaudithook(hook)
for point in range(int(sys.argv[2])):
    child = os.fork()
    if child == 0:
        left, armed = point, True
        Cache(Path(sys.argv[1], str(point))).store(NEW, "test")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def _child(script: str, *args: object, stdout: int | None = None) -> subprocess.Popen[bytes]:
    top = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, cwd=top, stdout=stdout)


def _digest(tree: SourceTree | None) -> str | None:
    return None if tree is None else tree.digest


@pytest.mark.parametrize("before", [None, OLD])
def test_a_writer_killed_anywhere_leaves_the_old_or_the_new(
    tmp_path: Path, catalogue: Path, before: SourceTree | None
) -> None:
    points = 30
    caches = [Cache(tmp_path / str(point)) for point in range(points)]
    for cache in caches:
        if before is not None:
            cache.store(before, "test")
    with _child(_CHILD, tmp_path, points, stdout=subprocess.PIPE) as child:
        statuses = [int(line) for line in child.communicate()[0].split()]
    assert child.returncode == 0
    seen = [_digest(cache.load("test")) for cache in caches]
    assert set(seen) == {_digest(before), NEW.digest}
    # Killed at each step up to the last, and never after that: every step was tried.
    killed = statuses.count(-signal.SIGKILL)
    assert 6 < killed < points
    assert statuses == [-signal.SIGKILL] * killed + [0] * (points - killed)
    # Once the new tree was there, it stayed.
    assert seen == sorted(seen, key=lambda digest: digest == NEW.digest)
    for cache in caches:
        cache.store(NEW, "test")  # whatever was left does not hinder the next writer
        assert _digest(cache.load("test")) == NEW.digest
        assert len(list(cache.folder("test").iterdir())) == 3


_WRITER = """
import sys
from pathlib import Path
from bootstrap.sources import Cache
from tests.sources.test_cache import OLD, NEW

trees = (OLD, NEW) if sys.argv[2] == "a" else (NEW, OLD)
for turn in range(40):
    Cache(Path(sys.argv[1])).store(trees[turn % 2], "test")
"""


def test_two_writers_and_a_reader_at_once(tmp_path: Path, catalogue: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.store(OLD, "test")
    loads = 0
    with _child(_WRITER, cache.root, "a") as one, _child(_WRITER, cache.root, "b") as two:
        while one.poll() is None or two.poll() is None:
            assert _digest(cache.load("test")) in (OLD.digest, NEW.digest)
            loads += 1
    assert (one.returncode, two.returncode) == (0, 0)
    assert loads > 0
    assert _digest(cache.load("test")) in (OLD.digest, NEW.digest)
    assert len(list(cache.folder("test").iterdir())) == 3


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_what_was_there(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, code: int, call: str
) -> None:
    cache.store(OLD, "1.0")

    def refuse(*args: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(BadInput) as caught:
            cache.store(NEW, "1.0")
    assert os.strerror(code) in str(caught.value)
    assert "set BOOTSTRAP_CACHE" in str(caught.value)
    assert _digest(cache.load("1.0")) == OLD.digest
    assert not list(cache.folder("1.0").glob("*.part"))


def test_nothing_is_written_through_a_link_that_lies_there(cache: Cache, tmp_path: Path) -> None:
    manifest = cache.store(OLD, "1.0")
    other = tmp_path / "other"
    other.write_text("mine")
    for name in (manifest.tar, "manifest.json"):
        (cache.folder("1.0") / f"{name}.{os.getpid()}.part").symlink_to(other)
    cache.store(OLD, "1.0")
    assert other.read_text() == "mine" and _digest(cache.load("1.0")) == OLD.digest


_LIMITED = """
import resource, sys
from pathlib import Path
from bootstrap.core.errors import BadInput
from bootstrap.sources import Cache
from tests.sources.test_cache import NEW

resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    Cache(Path(sys.argv[1])).store(NEW, "1.0")
except BadInput as error:
    sys.exit(0 if "File too large" in str(error) else 1)
sys.exit(2)
"""


def test_a_write_that_the_host_cuts_short_is_no_tree(cache: Cache) -> None:
    cache.store(OLD, "1.0")
    assert _child(_LIMITED, cache.root).wait() == 0
    assert _digest(cache.load("1.0")) == OLD.digest


@pytest.mark.root
def test_a_disk_that_is_really_full(tmp_path: Path, catalogue: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this host does not let root mount a tmpfs")
    try:
        cache = Cache(disk)
        cache.store(OLD, "1.0")
        with pytest.raises(BadInput, match="No space left on device"):
            cache.store(make_tree({**FILES, "README": bytes(100_000)}), "1.0")
        assert _digest(cache.load("1.0")) == OLD.digest
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_cache_that_cannot_be_is_one_line(tmp_path: Path, catalogue: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = Cache(tmp_path / "file" / "cache")
    with pytest.raises(BadInput, match=r"cannot be used as the cache: Not a directory"):
        cache.load("1.0")
    with pytest.raises(BadInput, match=r"cannot write the cache in .*: Not a directory"):
        cache.store(OLD, "1.0")


def _closed(folder: Path) -> None:
    folder.chmod(0)


def _loop(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)


def _no_folder(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.touch()


@pytest.mark.parametrize("spoil", [_closed, _loop, _no_folder])
@pytest.mark.parametrize("place", [("stage0-posix",), ("stage0-posix", "1.0")])
def test_what_cannot_be_entered_is_not_missing(
    cache: Cache, spoil: Callable[[Path], None], place: tuple[str, ...]
) -> None:
    cache.store(OLD, "1.0")
    folder = cache.root.joinpath(*place)
    spoil(folder)
    try:
        if spoil is _closed and os.access(folder, os.X_OK):
            pytest.skip("no folder is closed to root")
        with pytest.raises(BadInput, match=r"manifest.json: cannot be used as the cache: "):
            cache.load("1.0")
        assert len(place) == 1 or cache.releases() == ("1.0",)
    finally:
        if spoil is _closed:
            folder.chmod(0o700)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    assert Cache().root == tmp_path
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOOTSTRAP_CACHE", "here")
    assert cache_root() == tmp_path / "here"
    monkeypatch.setenv("BOOTSTRAP_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_root().name == "bootstrap-emulator"
