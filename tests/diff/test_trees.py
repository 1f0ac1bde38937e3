"""`bootstrap diff` of two source trees: what differs, in which order, and what is made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.diff.comparison import first_byte, first_difference
from bootstrap.diff.trees import diff
from bootstrap.report.page import Page
from bootstrap.sources.tree import SourceTree, open_source, to_tar
from tests.diff.pairs import flipped
from tests.trace import recorded

CONTENTS = st.binary(max_size=6)
TREES = st.dictionaries(st.sampled_from(["a", "b", "kaem.x86", "c/d", "hex0.hex0"]), CONTENTS)


def tree(files: dict[str, bytes]) -> SourceTree:
    return SourceTree("one", {path: SourceFile(data) for path, data in files.items()})


def embedded(**changes: bytes) -> SourceTree:
    whole = recorded.embedded().tree
    files = dict(whole.files)
    for name, data in changes.items():
        path = name.replace("__", "-").replace("_", ".")
        files[path] = SourceFile(data, path in files and files[path].executable)
    return whole.but(files=files)


def data(path: str) -> bytes:
    return recorded.embedded().tree.files[path].data


def test_one_byte_of_one_source() -> None:
    text = data("M0.hex2")
    offset = text.index(b"\n", 500) + 3
    found = diff(embedded(), embedded(M0_hex2=flipped(text, offset)))
    (one,) = found.different
    assert (one.path, one.read_by, one.seed) == ("M0.hex2", ("x86",), False)
    assert one.first_difference is not None and one.first_difference.offset == offset
    assert one.first_difference.a.line == text.count(b"\n", 0, offset) + 1
    assert one.first_difference.a.text != one.first_difference.b.text
    assert (one.released.a, one.released.b) == (True, False)
    assert found.why.a == () and found.why.b is not None
    assert found.why.b[0].startswith("1 file has a content that no release has: M0.hex2 (")
    # The step file of the embedded sources knows what is made of what.
    made = {"M0-whole.hex2", "M0", "hello.hex2", "hello-whole.hex2", "hello"}
    assert set(one.products) == made
    assert found.same == len(embedded().files) - 1


def test_a_source_of_a_tool_is_one_of_all_that_the_tool_makes() -> None:
    found = diff(embedded(), embedded(hex0__seed=flipped(data("hex0-seed"), 100)))
    (one,) = found.different
    assert one.seed
    assert {"hex0", "kaem", "hex1", "hello"} <= set(one.products)


def test_what_the_bootstrap_reads_comes_first() -> None:
    a = embedded(zero=b"1", aaa=b"2", README=b"3")
    b = embedded(aaa=b"4", hello_M1=data("hello.M1") + b"\n", hex0_hex0=data("hex0.hex0") + b"#")
    found = diff(a, b)
    assert [one.path for one in found.different] == [
        "hex0.hex0", "hello.M1", "README", "aaa", "zero",
    ]  # fmt: skip
    page = Page(False, None, True)
    from bootstrap.diff.trees import claim, tree_text

    tree_text(found, page, False)
    text = page.text()
    assert "2 paths that the bootstrap reads" in text
    assert "3 paths that the bootstrap does not read" in text
    assert "README  in A only: file, 1 bytes" in text
    assert "it ends there" in text
    assert claim(found) == "5 paths of 13 differ, 2 of which the bootstrap reads; first hex0.hex0"


def test_modes_links_and_names() -> None:
    a, b = tree({"a": b"1", "l": b"2"}), tree({"a": b"1"})
    b = b.but(files={"a": SourceFile(b"1", True)}, symlinks={"l": "a", "m": "there"})
    a = a.but(symlinks={"m": "here"})
    found = diff(a, b)
    kinds = [(one.path, one.a and one.a.kind, one.b and one.b.kind) for one in found.different]
    assert kinds == [
        ("a", "file", "executable file"),
        ("l", "file", "symbolic link"),
        ("m", "symbolic link", "symbolic link"),
    ]


@pytest.mark.upstream
def test_upstream_scripts_tell_what_is_made(release: SourceTree) -> None:
    path = "x86/M0_x86.hex2"
    files = dict(release.files)
    files[path] = replace(files[path], data=flipped(files[path].data, 4000))
    (one,) = diff(release, release.but(files=files)).different
    assert (one.path, one.read_by) == (path, ("x86",))
    made = set(one.products)
    assert {"x86/artifact/M0", "x86/artifact/cc_x86", "x86/artifact/M2"} <= made
    assert not made & {"x86/artifact/hex1", "x86/artifact/catm", "AMD64/artifact/M0"}


@settings(max_examples=20, deadline=None)  # the catalogue is read once
@given(TREES, TREES)
def test_itself_and_the_other_way_round(a: dict[str, bytes], b: dict[str, bytes]) -> None:
    assert diff(tree(a), tree(a)).different == ()
    there, back = diff(tree(a), tree(b)), diff(tree(b), tree(a))
    paths = {path for path in {*a, *b} if a.get(path) != b.get(path)}
    assert {one.path for one in there.different} == paths
    assert [one.path for one in there.different] == [one.path for one in back.different]
    for one, other in zip(there.different, back.different, strict=True):
        assert (one.a, one.b) == (other.b, other.a)
        assert (one.first_difference and one.first_difference.offset) == (
            other.first_difference and other.first_difference.offset
        )


@settings(deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40))
def test_the_first_byte_that_differs(head: bytes, a: bytes, b: bytes) -> None:
    one, other = head + a, head + b
    wanted = next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), None)
    if wanted is None and one != other:
        wanted = min(len(one), len(other))
    assert first_difference(one, other) == first_difference(other, one) == wanted
    found = first_byte(one, other)
    assert (found is None) == (one == other)
    if found is not None and found.a is not None and found.a.text is not None:
        lines = one[: found.offset].split(b"\n")
        assert (found.a.line, found.a.column) == (len(lines), len(lines[-1]) + 1)


def test_folders_and_archives(tmp_path: Path) -> None:
    whole = embedded()
    archive = tmp_path / "a.tar"
    archive.write_bytes(to_tar(whole, "top"))
    folder = tmp_path / "folder"
    folder.mkdir()
    for path, file in whole.files.items():
        (folder / path).write_bytes(file.data)
        (folder / path).chmod(0o755 if file.executable else 0o644)
    assert diff(open_source(archive), open_source(folder)).different == ()
    from bootstrap.diff.trees import compare_trees

    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="has no files"):
        compare_trees(str(folder), str(tmp_path / "empty"))
