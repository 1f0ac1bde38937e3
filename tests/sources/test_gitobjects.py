"""What a commit's files are, read without git: held against git itself, however it keeps them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import struct
import subprocess
import tracemalloc
import zlib
from pathlib import Path

import pytest
from dulwich.objects import ObjectID

from bootstrap.core.errors import BadInput
from bootstrap.sources.checkouts import (
    KNOWN,
    LIVE_BOOTSTRAP,
    CheckedOut,
    Identity,
    identify_checkout,
)
from bootstrap.sources.git import _stored, blob_sha1, commit_files, read_head, read_index
from tests.sources.test_checkouts import PIN, clone, git, head

__all__ = ["clone"]


def listed(folder: Path) -> list[tuple[int, str, str]]:
    """The same by git: mode, object and path."""
    rows = []
    for row in git(folder, "ls-tree", "-rz", "HEAD").split("\0")[:-1]:
        facts, path = row.split("\t")
        mode, _, sha1 = facts.split()
        rows.append((int(mode, 8), sha1, path))
    return sorted(rows)


def ours(folder: Path) -> list[tuple[int, str, str]]:
    return sorted((e.mode, e.sha1, e.path) for e in commit_files(folder, read_head(folder)))


@pytest.mark.parametrize("offsets", ["true", "false"])
def test_loose_packed_and_borrowed(clone: Path, tmp_path: Path, offsets: str) -> None:
    assert ours(clone) == listed(clone)
    for number in range(60):
        place = clone / f"steps/many/{number % 7}/file-{number}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"{number}\n" * 50)
        if number % 6 == 0:
            git(clone, "add", "steps/many")
            git(clone, "commit", "-qm", "more")
    git(clone, "-c", f"repack.useDeltaBaseOffset={offsets}", "repack", "-adfq", "--window=50")
    (index,) = (clone / ".git/objects/pack").glob("*.idx")
    kinds = [row.split()[1:] for row in git(clone, "verify-pack", "-v", str(index)).splitlines()]
    # There are folders kept as what differs from another, or this would test little.
    assert any(row[0] == "tree" and len(row) == 6 for row in kinds)
    assert not list((clone / ".git/objects").glob("??/*")) and ours(clone) == listed(clone)
    (clone / "steps/last").write_text("loose again\n")
    git(clone, "add", "steps/last")
    git(clone, "commit", "-qm", "last")
    assert ours(clone) == listed(clone)
    git(tmp_path, "clone", "-q", "--shared", str(clone), "borrower")
    git(clone, "worktree", "add", "-q", "-b", "other", str(tmp_path / "tree"))
    for folder in (tmp_path / "borrower", tmp_path / "tree"):
        assert ours(folder) == listed(clone)
    ring = tmp_path / "borrower/.git/objects"
    (ring / "info/alternates").write_text(f"{ring}\n")
    with pytest.raises(BadInput, match="its alternates lead to one another"):
        ours(tmp_path / "borrower")


@pytest.mark.parametrize("packed", [False, True])
def test_damage_is_seen(clone: Path, packed: bool) -> None:
    """One byte of an object is another: it is said, or it makes no difference."""
    if packed:
        git(clone, "repack", "-adq")
        (place,) = (clone / ".git/objects/pack").glob("*.pack")
    else:
        tree = git(clone, "rev-parse", "HEAD^{tree}").strip()
        place = clone / ".git/objects" / tree[:2] / tree[2:]
    good, data = listed(clone), place.read_bytes()
    place.chmod(0o644)
    places = range(12 if packed else 0, len(data), 7 if packed else 1)
    said = 0
    for at in places:
        place.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            assert ours(clone) == good
        except BadInput as error:
            said += 1
            assert "damaged" in str(error) or "is not there" in str(error)
    assert said > len(places) // 4
    place.unlink()
    with pytest.raises(BadInput, match=r"cannot be read|is not there \(a partial clone\?\)"):
        commit_files(clone, read_head(clone))


def test_an_object_under_another_ones_name(clone: Path) -> None:
    """Whole, and not what it is called: which dulwich 1.2.0 does not see."""
    names = [git(clone, "rev-parse", what).strip() for what in ("HEAD^{tree}", "HEAD:steps")]
    mine, other = (clone / ".git/objects" / name[:2] / name[2:] for name in names)
    mine.chmod(0o644)
    mine.write_bytes(other.read_bytes())
    with pytest.raises(BadInput, match="objects are damaged"):
        _stored(clone, lambda store: [store.get_raw(ObjectID(names[0].encode()))])


def test_an_object_that_is_too_large_is_refused_before_it_is_inflated(clone: Path) -> None:
    """In a pack: whole, as a delta that copies its small base often, and as a delta of that."""

    def entry(kind: int, size: int, data: bytes, base: bytes = b"") -> bytes:
        head = [kind << 4 | size & 15]
        size >>= 4
        while size:
            head[-1] |= 0x80
            head.append(size & 0x7F)
            size >>= 7
        return bytes(head) + base + zlib.compress(data, 9)

    def varint(size: int) -> bytes:
        return bytes((size >> n & 0x7F | (0x80 if size >> n + 7 else 0)) for n in range(0, 28, 7)
                     if not n or size >> n)  # fmt: skip

    large, small = 80 << 20, bytes(1 << 16)
    made = varint(len(small)) + varint(large) + b"\x80" * (large >> 16)  # each copies 64 KiB
    again = varint(large) + varint(1) + b"\x90\x01"
    names = [blob_sha1(data) for data in (bytes(large + 1), small, bytes(large), bytes(1))]
    bases = [bytes.fromhex(name) for name in names]
    entries = [
        entry(3, large + 1, bytes(large + 1)),
        entry(3, len(small), small),
        entry(7, len(made), made, bases[1]),
        entry(7, len(again), again, bases[2]),
    ]
    data = struct.pack(">4sII", b"PACK", 2, len(entries)) + b"".join(entries)
    place = clone / ".git/objects/pack/pack-bomb.pack"
    place.write_bytes(data + hashlib.sha1(data, usedforsecurity=False).digest())
    git(clone, "index-pack", str(place))
    with pytest.raises(BadInput, match=f"{names[1]} is no commit"):
        commit_files(clone, names[1])
    for name in (names[0], names[2], names[3]):
        tracemalloc.start()
        with pytest.raises(
            BadInput, match=r"an object is of 8388608[01] bytes, more than 67108864"
        ):
            commit_files(clone, name)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 << 20


@pytest.mark.parametrize("where", ["object", "info/alternates", "pack/multi-pack-index"])
@pytest.mark.parametrize("borrowed", [False, True])
def test_a_pipe_among_the_objects_is_not_waited_for(
    clone: Path, tmp_path: Path, where: str, borrowed: bool
) -> None:
    commit = read_head(clone)
    place = clone / ".git/objects" / where
    if where == "object":
        place = clone / f".git/objects/{commit[:2]}/{commit[2:]}"
        place.unlink()
    os.mkfifo(place)
    folder = clone
    if borrowed:
        folder = tmp_path / "borrower"
        git(tmp_path, "init", "-q", folder.name)
        (folder / ".git/objects/info/alternates").write_text(f"{clone}/.git/objects\n")

    def give_up(*_: object) -> None:
        raise TimeoutError("waited")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(20)
    try:
        with pytest.raises(BadInput, match=f"{place} is no file"):
            commit_files(folder, commit)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_the_configuration_is_not_even_read(clone: Path) -> None:
    """It may name programs; this one no reader of it would take."""
    good, entries = listed(clone), read_index(clone)
    (clone / ".git/config").write_bytes(b"[core\n\0fsmonitor = touch run")
    assert ours(clone) == good and read_index(clone) == entries
    with pytest.raises(subprocess.CalledProcessError):
        listed(clone)


def test_what_is_missing_or_no_commit_is_named(clone: Path) -> None:
    tree = git(clone, "rev-parse", "HEAD^{tree}").strip()
    for sha1, says in ((PIN, f"object {PIN} is not there"), (tree, f"{tree} is no commit")):
        with pytest.raises(BadInput, match=says):
            commit_files(clone, sha1)


def which(folder: Path, commit: str | None = None) -> Identity:
    return identify_checkout(LIVE_BOOTSTRAP, CheckedOut(folder, commit))


def test_which_checkout_it_is(clone: Path) -> None:
    """Commit and changes, whether or not git knows of them; and a digest that sees each."""
    first = which(clone)
    assert (first.commit, first.changed, first.files) == (head(clone), (), 3)
    assert first.text == f"commit {head(clone)}, no file changed"
    (clone / "README").write_text("nothing uses it\n")
    (clone / "steps/bootstrap.cfg").write_text("ours is used\n")
    assert which(clone) == first
    digests = {first.digest}
    for path, change in (
        ("steps/manifest", lambda place: place.write_text("build: b-1.0\n")),
        ("steps/do", lambda place: place.chmod(0o644)),
        ("steps/link", lambda place: (place.unlink(), place.symlink_to("manifest"))),
        ("steps/new", lambda place: place.write_text("added\n")),
        ("seed/new.kaem", lambda place: (place.parent.mkdir(), place.write_text("added\n"))),
        ("steps/do", lambda place: place.unlink()),
    ):
        change(clone / path)
        found = which(clone)
        assert found.commit == head(clone) and path in (found.changed or ())
        git(clone, "add", "-A", path)
        assert which(clone) == found
        assert found.digest not in digests
        digests.add(found.digest)
    assert "and 5 files CHANGED: " in found.text and len(found.changed or ()) == 5
    git(clone, "commit", "-qm", "two")
    last = which(clone)
    assert (last.commit, last.changed, last.digest) == (head(clone), (), found.digest)


def test_what_cannot_be_said_of_a_checkout(clone: Path, tmp_path: Path) -> None:
    good = which(clone)
    plain = tmp_path / "plain"
    shutil.copytree(clone, plain, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    found = which(plain)
    assert (found.digest, found.commit, found.changed) == (good.digest, None, None)
    assert found.text == "its files cannot be held against a commit: there is no .git"
    # Of the cache's: what it was held against when it came nobody can see there, but where the
    # commit's digest is known.
    assert which(plain, PIN) == Identity(
        good.digest, 3, PIN, None, "they are the cache's, which keeps no objects of git's"
    )
    known = next(iter(KNOWN))
    assert which(plain, known) == Identity(good.digest, 3, known, ())
    shutil.rmtree(clone / ".git/objects")
    found = which(clone)
    assert (found.commit, found.changed) == (head_of(clone), None)
    assert f"commit {head_of(clone)}; its files cannot be held against" in found.text
    (clone / ".git/HEAD").write_text("what\n")
    assert which(clone).commit is None and "leads to no commit" in which(clone).text


def head_of(folder: Path) -> str:
    """Without git, for which a store without objects is none."""
    return (folder / ".git/refs/heads/main").read_text().strip()
