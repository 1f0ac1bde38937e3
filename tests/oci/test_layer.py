"""Our tar files, read by Python's tarfile and by the host's tar."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import subprocess
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.oci.layer import gzip_stored, pack
from bootstrap.sources.tar import BLOCK

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=20)
PATHS = st.lists(NAMES.filter(lambda n: n not in (".", "..")), min_size=1, max_size=4)
FILES = st.dictionaries(PATHS.map("/".join), st.tuples(st.binary(max_size=1200), st.booleans()))


def members(data: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8") as archive:
        return archive.getmembers()


@given(FILES, st.randoms())
@settings(max_examples=40)
def test_tarfile_reads_what_was_packed(
    files: dict[str, tuple[bytes, bool]], chance: random.Random
) -> None:
    try:
        data = pack(files)
    except BadInput:
        # A file where another's folder is to be, or a path too long for the format.
        folders = {path[:at] for path in files for at, c in enumerate(path) if c == "/"}
        assert folders & files.keys() or any(len(path.encode()) > 100 for path in files)
        return
    assert len(data) % BLOCK == 0
    found = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8") as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid) == (0, 0, 0)
            assert (member.uname, member.gname, member.linkname) == ("", "", "")
            if member.isreg():
                stream = archive.extractfile(member)
                assert stream is not None and member.mode in (0o644, 0o755)
                found[member.name] = (stream.read(), member.mode == 0o755)
            else:
                assert member.isdir() and member.mode == 0o755
    assert found == files
    rows = list(files.items())
    chance.shuffle(rows)
    assert pack(dict(rows)) == data


def test_folders_come_before_what_is_in_them_and_once() -> None:
    data = pack({"b/c/d": (b"", False), "b/a": (b"", False), "a": (b"x", True)})
    assert [m.name for m in members(data)] == ["a", "b", "b/a", "b/c", "b/c/d"]


def test_long_paths_are_split_and_longer_ones_refused() -> None:
    path = "/".join(["x" * 49] * 4)
    assert members(pack({path: (b"y", False)}))[-1].name == path
    with pytest.raises(BadInput, match="too long a path"):
        pack({"x" * 101: (b"", False)})
    with pytest.raises(BadInput, match="too long a path"):
        pack({"/".join(["x" * 49] * 6): (b"", False)})


def test_a_file_and_a_folder_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="is a file, and a folder"):
        pack({"a": (b"", False), "a/b": (b"", False)})


def test_the_hosts_tar_reads_it() -> None:
    if shutil.which("tar") is None:
        pytest.skip("tar is not installed")
    data = pack({"bin/tool": (b"12345", True)})
    listed = subprocess.run(
        ["tar", "--numeric-owner", "--utc", "-tvf", "-"],
        input=data,
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
    )
    assert listed.stderr == b""
    rows = [line.split() for line in listed.stdout.decode().splitlines()]
    assert [(row[0], row[1], row[2], row[3], row[-1]) for row in rows] == [
        ("drwxr-xr-x", "0/0", "0", "1970-01-01", "bin/"),
        ("-rwxr-xr-x", "0/0", "5", "1970-01-01", "bin/tool"),
    ]


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 131070, 200000])
def test_what_is_stored_in_a_gzip_file_comes_out(size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    stored = gzip_stored(data[:size])
    assert gzip.decompress(stored) == data[:size]
    assert len(stored) == size + 18 + 5 * max(1, -(-size // 65535))
    if shutil.which("gzip") is not None:
        done = subprocess.run(["gzip", "-dc"], input=stored, capture_output=True, check=True)
        assert done.stdout == data[:size] and not done.stderr
