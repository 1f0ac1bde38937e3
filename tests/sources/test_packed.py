"""One tree in every form in which --source takes it, made by the tools that people use."""

from __future__ import annotations

import functools
import http.server
import io
import shutil
import struct
import subprocess
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.sources import open_source
from bootstrap.sources.packed import unpacked
from bootstrap.sources.tree import read_archive, read_folder
from tests.sources import sample
from tests.sources.test_checkouts import git

FORMS = {
    "xz": "tar -cJf x.tar.xz top",
    "xz in two streams, and zeros": "tar -cf - top | tee >(head -c 5000 | xz >a) | tail -c +5001 "
    "| xz >b; sleep 0; wait; cat a b >x.tar.xz; head -c 8 /dev/zero >>x.tar.xz",
    "zstd": "tar -cf - top | zstd -q19 -o x.tar.zst",
    "zip": "zip -qry x.zip top",
    "zip, stored": "zip -qry0 x.zip top",
    "gzip": "tar -czf x.tar.gz top",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = sample.make_folder(tmp_path / "top")
    (root / "link").symlink_to("x86/a.hex0")
    return root


@pytest.mark.parametrize("form", FORMS)
def test_every_archive_is_the_same_tree(form: str, folder: Path) -> None:
    for tool in ("bash", *{"zstd", "zip", "xz"}.intersection(FORMS[form].split())):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} here")
    if form == "zstd":
        pytest.importorskip("backports.zstd")
    subprocess.run(["bash", "-ec", FORMS[form]], cwd=folder.parent, check=True)
    (archive,) = folder.parent.glob("x.*")
    assert open_source(archive).digest == open_source(folder).digest
    data = archive.read_bytes()
    for cut in (len(data) // 2, len(data) - 30):
        with pytest.raises(BadInput, match=r"cut short|damaged|no end of the archive"):
            read_archive(data[:cut], "cut")
    if form[:3] != "zip":
        with pytest.raises(BadInput, match="holds more than 999 bytes"):
            unpacked(data, "large", 999)


def zipped(change: Callable[[zipfile.ZipInfo], None]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        info = zipfile.ZipInfo("top/file")
        change(info)
        archive.writestr(info, b"content")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (zipped(lambda info: setattr(info, "filename", "../x")), "would leave the tree"),
        (zipped(lambda info: setattr(info, "filename", "/x")), "an absolute name"),
        (zipped(lambda info: setattr(info, "external_attr", 0o20666 << 16)), "no file, folder"),
        (zipped(lambda info: setattr(info, "external_attr", 0o120777 << 16)), ""),
        (zipped(lambda _: None).replace(b"content", b"CONTENT"), "Bad CRC-32"),
        (zipped(lambda info: setattr(info, "compress_type", zipfile.ZIP_LZMA)), "than deflate"),
        (b"PK\3\4" + bytes(600), "no zip file that is understood"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 600, "damaged zstd data"),
        (b"BZh9" + bytes(600), "xz or zstd, or zip"),
    ],
)
def test_what_is_no_tree_is_refused(data: bytes, why: str) -> None:
    if not why:
        assert read_archive(data, "x").symlinks == {"file": "content"}
        return
    if "zstd" in why:
        pytest.importorskip("backports.zstd")
    with pytest.raises(BadInput, match=why):
        read_archive(data, "x")


def two_members() -> tuple[bytes, int]:
    """A zip file of two members, and where the second begins."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("top/first", b"one")
        archive.writestr("top/second", b"two")
    return stream.getvalue(), archive.infolist()[1].header_offset


def test_zip_files_that_two_programs_would_read_as_two_trees() -> None:
    good, second = two_members()
    assert set(read_archive(good, "x").files) == {"first", "second"}
    stream = io.BytesIO(good)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.filelist.pop()
        archive.comment = b"so that it is written again"
    extra = zipped(lambda info: setattr(info, "extra", struct.pack("<HHBL", 0x7075, 5, 1, 0)))
    for data, why in (
        (stream.getvalue(), "something between its last member and its directory"),
        (good[:second] + b"PK\3\4" + good[second:], "does not follow the member before"),
        (b"PK\3\4" + good, "does not follow the member before|damaged"),
        (good[:second].replace(b"\3\0\0\0\3\0", b"\2\0\0\0\3\0") + good[second:], "another header"),
        (good[:second].replace(b"first", b"FIRST") + good[second:], "differ"),
        (extra, "a second name"),
    ):
        with pytest.raises(BadInput, match=why):
            read_archive(data, "x")


@pytest.mark.parametrize("piped", [False, True])
def test_zip_files_of_git(folder: Path, piped: bool) -> None:
    """With and without the sizes before the content."""
    (folder / "large").write_bytes(bytes(2 << 20))
    git(folder, "init", "-q")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    setting = f"core.bigFileThreshold={1 << 20 if piped else 1 << 30}"
    git(folder, "-c", setting, "archive", "--format=zip", "-o", "../x.zip", "HEAD")
    data = (folder.parent / "x.zip").read_bytes()
    flags = {info.flag_bits & 8 for info in zipfile.ZipFile(io.BytesIO(data)).infolist()}
    assert flags == ({0, 8} if piped else {0})
    assert read_archive(data, "x").files == read_folder(folder).files


def test_an_address_is_fetched(folder: Path) -> None:
    (folder.parent / "x.tar.gz").write_bytes(sample.make_archive())
    handler = functools.partial(_Silent, directory=str(folder.parent))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        tree = open_source(f"{address}/x.tar.gz")
        assert (tree.kind, tree.files) == ("download", sample.make_tree().files)
        with pytest.raises(BadInput, match="404"):
            open_source(f"{address}/nothing.tar.gz")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def repository(folder: Path, tmp_path: Path) -> Path:
    """A commit with a submodule, tagged; then another."""
    below = sample.make_folder(tmp_path / "below", {"inside": b"of the submodule\n"})
    for place in (below, folder):
        git(place, "init", "-q", "-b", "main")
        git(place, "add", ".")
        git(place, "commit", "-qm", "first")
    git(
        folder, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(below), "sub"
    )
    git(folder, "commit", "-qm", "with a submodule")
    git(folder, "tag", "-a", "-m", "as published", "v1")
    (folder / "README").write_text("changed\n")
    git(folder, "commit", "-qam", "later")
    return folder


def test_a_commit_is_read_as_git_has_it(repository: Path) -> None:
    commit = git(repository, "rev-parse", "v1^{commit}").strip()
    (repository / "README").write_text("not committed\n")
    for packed in (False, True):
        if packed:
            git(repository, "gc", "-q")
            shutil.rmtree(repository / "sub")  # its objects are in .git/modules
        for rev in ("v1", commit, commit[:7]):
            tree = open_source(f"{repository}@{rev}")
            assert tree.label.endswith(f" at commit {commit}")
            assert tree.files["README"].data == sample.FILES["README"]
            assert tree.files["sub/inside"].data == b"of the submodule\n"
            assert tree.files[sample.SEED].executable and tree.symlinks == {"link": "x86/a.hex0"}
        assert open_source(f"{repository}@main").files["README"].data == b"changed\n"
    shutil.rmtree(repository / ".git/modules")
    for rev, why in (
        ("v1", "the submodule sub is not there"),
        ("v2", "name a commit, a branch or a tag"),
        ("0000000", "name a commit, a branch or a tag"),
        ("0" * 40, "name a commit, a branch or a tag"),
        ("../v1", "name a commit, a branch or a tag"),
    ):
        with pytest.raises(BadInput, match=why):
            open_source(f"{repository}@{rev}")
    with pytest.raises(BadInput, match="cannot be read"):
        open_source(f"{repository}-gone@v1")


@pytest.mark.parametrize("name", ["..", ".git/../x", "a//b"])
def test_a_commit_with_names_that_git_would_not_check_out(name: str, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    blob = git(tmp_path, "hash-object", "-w", "--stdin").strip()
    row = b"100644 " + name.encode() + b"\0" + bytes.fromhex(blob)
    (tmp_path / "tree").write_bytes(row)
    tree = git(tmp_path, "hash-object", "--literally", "-wt", "tree", "tree").strip()
    commit = git(tmp_path, "commit-tree", "-m", "bad", tree).strip()
    with pytest.raises(BadInput, match=r"no usable name|would leave the tree|is not there"):
        open_source(f"{tmp_path}@{commit}")


def test_a_few_objects_that_ask_for_any_number_of_folders(tmp_path: Path) -> None:
    """Each of 40 folders has the one below it twice."""
    git(tmp_path, "init", "-q")
    (tmp_path / "tree").write_bytes(b"")
    for _ in range(40):
        tree = git(tmp_path, "hash-object", "-wt", "tree", "tree").strip()
        (tmp_path / "tree").write_bytes(
            b"".join(b"40000 %s\0" % name + bytes.fromhex(tree) for name in (b"a", b"b"))
        )
    commit = git(tmp_path, "commit-tree", "-m", "many", tree).strip()
    with pytest.raises(BadInput, match="has more than 40000 files and folders"):
        open_source(f"{tmp_path}@{commit}")


def test_a_commit_whose_files_ask_for_any_number_of_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "-q")
    place = tmp_path / ("d/" * 200) / "a"
    place.parent.mkdir(parents=True)
    place.touch()
    git(tmp_path, "add", ".")
    commit = git(tmp_path, "commit-tree", "-m", "deep", git(tmp_path, "write-tree").strip()).strip()
    monkeypatch.setattr("bootstrap.sources.tree.MAX_FILES", 100)
    with pytest.raises(BadInput, match="has more than 100 files and folders"):
        open_source(f"{tmp_path}@{commit}")


def test_a_few_commits_that_ask_for_any_number_of_submodules(tmp_path: Path) -> None:
    """Each of 40 commits pins the one before it at two paths, where this repository is again."""
    git(tmp_path, "init", "-q")
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(".")
    commit = git(tmp_path, "commit-tree", "-m", "0", git(tmp_path, "write-tree").strip()).strip()
    for number in range(40):
        rows = (b"160000 %s\0" % name + bytes.fromhex(commit) for name in (b"a", b"b"))
        (tmp_path / "tree").write_bytes(b"".join(rows))
        tree = git(tmp_path, "hash-object", "-wt", "tree", "tree").strip()
        commit = git(tmp_path, "commit-tree", "-m", str(number), tree).strip()
    with pytest.raises(BadInput, match="has more than 1000 submodules"):
        open_source(f"{tmp_path}@{commit}")
