"""The tar reader and writer: what they carry, what they refuse, and that nothing gets past."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.sources.tar import Member, _records, gunzip, read_tar, write_tar
from bootstrap.sources.tree import read_archive
from tests.sources import sample

LIMIT = 1 << 20


def _std(fill: Callable[[tarfile.TarFile], None], format: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as tar:
        fill(tar)
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes = b"", **facts: object) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(data))


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_archives_of_every_usual_format_are_read(format: int) -> None:
    long = "top/" + "d/" * 60 + "f" * 90

    def fill(tar: tarfile.TarFile) -> None:
        _add(tar, "top", type=tarfile.DIRTYPE, mode=0o755)
        _add(tar, "top/a", b"A" * 1000, mode=0o755)
        _add(tar, long, b"L")
        _add(tar, "top/l", type=tarfile.SYMTYPE, linkname="a")
        _add(tar, "top/h", type=tarfile.LNKTYPE, linkname="top/a")

    tree = read_archive(_std(fill, format), "t")
    assert tree.files["a"].data == tree.files["h"].data == b"A" * 1000
    assert tree.files["a"].executable
    assert tree.files[long[4:]].data == b"L"
    assert not tree.files[long[4:]].executable
    assert tree.symlinks == {"l": "a"}


def test_what_follows_the_end_is_refused() -> None:
    """Some readers go on there (`tar --ignore-zeros`), and would see another tree."""
    one = write_tar([Member("file", "a", False, b"x", "", 0)])
    assert [m.path for m in read_tar(one + bytes(8192), "t")] == ["a"]
    for more in (one, b"x"):
        with pytest.raises(BadInput, match="t: more follows the end of the archive at byte 1024"):
            list(read_tar(one + more, "t"))


def test_a_comment_for_the_whole_archive_is_no_file() -> None:
    out = io.BytesIO()
    headers = {"comment": "c" * 40}
    with tarfile.open(fileobj=out, mode="w", pax_headers=headers) as tar:
        _add(tar, "top/a", b"x")
        _add(tar, "top/b", b"y")
    assert set(read_archive(out.getvalue(), "t").files) == {"a", "b"}


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"name": "/etc/x"}, "has an absolute name"),
        ({"name": "top/../../x"}, "would leave the tree by '..'"),
        ({"name": "top/" + "n" * 300}, "a name that is too long"),
        ({"name": "top/l", "type": tarfile.SYMTYPE, "linkname": "/etc"}, "link out of the tree"),
        ({"name": "top/l", "type": tarfile.SYMTYPE, "linkname": "../b"}, "link out of the tree"),
        ({"name": "top/l", "type": tarfile.SYMTYPE, "linkname": ""}, "without a usable target"),
        ({"name": "top/l", "type": tarfile.LNKTYPE, "linkname": "top/no"}, "no earlier file"),
        ({"name": "top/l", "type": tarfile.LNKTYPE, "linkname": "/etc/x"}, "absolute name"),
        ({"name": "top/l", "type": tarfile.LNKTYPE, "linkname": "top/../x"}, "leave the tree"),
        ({"name": "top/d", "type": tarfile.CHRTYPE}, "is a character device"),
        ({"name": "top/d", "type": tarfile.BLKTYPE}, "is a block device"),
        ({"name": "top/d", "type": tarfile.FIFOTYPE}, "is a fifo"),
        ({"name": "top/d", "type": b"Z"}, "unknown kind b'Z'"),
        ({"name": "top/a"}, "is there twice"),
        ({"name": "top/a", "type": tarfile.SYMTYPE, "linkname": "b"}, "is there twice"),
        ({"name": "top/a", "type": tarfile.DIRTYPE}, "is there twice"),
        ({"name": "top/s"}, "is there twice"),
        ({"name": "top/a/b"}, "lies below 'a', which is no folder"),
        ({"name": "top/k/b"}, "lies below 'k', which is no folder"),
        ({"name": "top/p", "pax_headers": {"GNU.sparse.major": "1"}}, "is a sparse file"),
        ({"name": "top/p", "pax_headers": {"path": "../../x"}}, "would leave the tree"),
        ({"name": "top/p", "pax_headers": {"size": "-1"}}, "damaged: size '-1'"),
    ],
)
def test_what_could_do_harm_is_refused(facts: dict[str, object], says: str) -> None:
    def fill(tar: tarfile.TarFile) -> None:
        _add(tar, "top/a", b"a")
        _add(tar, "top/s/below", b"")
        _add(tar, "top/k", type=tarfile.SYMTYPE, linkname="s")
        _add(tar, **facts)  # type: ignore[arg-type]

    with pytest.raises(BadInput) as caught:
        read_archive(_std(fill), "label")
    assert str(caught.value).startswith("label: ")
    assert says in str(caught.value)


def test_every_way_to_cut_an_archive_short_is_noticed() -> None:
    whole = sample.make_archive()
    for end in range(1, len(whole)):
        with pytest.raises(BadInput):
            read_archive(whole[:end], "t")


def test_every_way_to_cut_a_plain_tar_short_is_noticed() -> None:
    raw = gzip.decompress(sample.make_archive())
    assert read_archive(raw[:-512], "t").files  # one zero block is an end
    for end in range(0, len(raw) - 1024, 100):
        with pytest.raises(BadInput):
            read_archive(raw[:end], "t")


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_of_gzip_data_never_goes_unnoticed(at: int, flip: int) -> None:
    whole = bytearray(sample.make_archive())
    at %= len(whole)
    whole[at] ^= flip
    try:
        tree = read_archive(bytes(whole), "t")
    except BadInput:
        return
    # The time in the gzip header and the padding bits of deflate do not count for the content.
    assert {path: file.data for path, file in tree.files.items()} == sample.FILES


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.binary(max_size=8)), max_size=4))
def test_a_damaged_tar_gives_a_safe_tree_or_bad_input(edits: list[tuple[int, bytes]]) -> None:
    raw = bytearray(gzip.decompress(sample.make_archive()))
    for at, data in edits:
        raw[at : at + len(data)] = data
    try:
        tree = read_archive(bytes(raw), "t")
    except BadInput:
        return
    for path in (*tree.files, *tree.symlinks, *tree.folders):
        assert not path.startswith("/")
        assert not {"", ".", ".."} & set(path.split("/"))


def test_a_header_that_is_damaged_in_the_middle_is_no_end() -> None:
    raw = bytearray(gzip.decompress(sample.make_archive()))
    raw[1024 + 5] ^= 1
    with pytest.raises(BadInput, match="no tar header at byte 1024"):
        read_archive(bytes(raw), "t")


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(bytes(64 * LIMIT))
    with pytest.raises(BadInput, match="holds more than 1048576 bytes when unpacked"):
        gunzip(bomb, "t", LIMIT)


def test_gzip_of_two_members_and_padding_is_read_whole() -> None:
    data = gzip.compress(b"one ") + gzip.compress(b"two") + bytes(100)
    assert gunzip(data, "t", LIMIT) == b"one two"
    with pytest.raises(BadInput, match="damaged gzip data"):
        gunzip(data + b"more", "t", LIMIT)


@settings(deadline=None)
@given(st.binary(max_size=3000), st.integers(1, 40))
def test_gunzip_undoes_gzip(data: bytes, times: int) -> None:
    assert gunzip(gzip.compress(data * times), "t", 3000 * 40) == data * times


@pytest.mark.parametrize("data", [b"", b"PK\3\4" + bytes(600), b"\x1f\x8b", bytes(2000)])
def test_what_is_no_archive_is_named(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"^some\.tar: "):
        read_archive(data, "some.tar")


def test_too_many_members_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bootstrap.sources.tree.MAX_FILES", 3)
    with pytest.raises(BadInput, match="more than 3 members"):
        read_archive(sample.make_archive(), "t")


def test_a_few_members_that_ask_for_any_number_of_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name of 4 KB is 2000 folders, each with its own name in memory."""
    monkeypatch.setattr("bootstrap.sources.tree.MAX_FILES", 100)
    with pytest.raises(BadInput, match="t: has more than 100 files and folders"):
        read_archive(_std(lambda tar: _add(tar, "d/" * 200 + "a")), "t")


def test_of_extended_headers_only_what_is_used_is_kept() -> None:
    """A global one is carried by each member that follows."""
    many = b"".join(b"%d %08d=\n" % (13, number) for number in range(50_000))
    assert _records(many + b"10 path=a\n", "t", 0) == {"path": "a"}
    assert _records(b"22 GNU.sparse.major=1\n", "t", 0) == {"GNU.sparse": "1"}


def test_an_extended_header_without_end_is_refused() -> None:
    def fill(tar: tarfile.TarFile) -> None:
        _add(tar, "top/a", pax_headers={"comment": "x" * (2 << 20)})

    with pytest.raises(BadInput, match="an extended header of 2"):
        read_archive(_std(fill), "t")


_NAME = st.text(alphabet="ab.é\udcff ", min_size=1, max_size=60).filter(
    lambda name: name not in (".", "..")
)


@settings(deadline=None)
@given(st.dictionaries(_NAME, st.tuples(st.binary(max_size=600), st.booleans()), max_size=6))
def test_what_is_written_is_read_back(files: dict[str, tuple[bytes, bool]]) -> None:
    members = [Member("file", f"d/{n}", x, data, "", 0) for n, (data, x) in files.items()]
    members.append(Member("link", "d/l/" + "k" * 120, False, b"", "t" * 130, 0))
    back = list(read_tar(write_tar(iter(members)), "t"))
    assert [(m.kind, m.path, m.executable, m.data, m.target) for m in back] == [
        (m.kind, m.path, m.executable, m.data, m.target) for m in members
    ]


def test_what_is_written_is_what_tar_reads() -> None:
    members = [Member("file", "d/" + "n" * 150, True, b"data", "", 0)]
    with tarfile.open(fileobj=io.BytesIO(write_tar(iter(members)))) as tar:
        (info,) = tar.getmembers()
        assert (info.name, info.mode, info.mtime, info.uid) == ("d/" + "n" * 150, 0o755, 0, 0)
