"""The copy of a root: whatever a step does, the root comes back as it was."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.handoff.saving import SavedRoot

NAMES = st.sampled_from(["a", "b", "c", "d/e", "d/f", "d/g/h", "out/x"])
DEEDS = st.lists(
    st.tuples(
        st.sampled_from(["write", "same size", "mode", "remove", "link", "symlink", "touch"]),
        NAMES,
        NAMES,
    ),
    max_size=12,
)


def do(root: Path, deed: tuple[str, str, str], number: int) -> None:
    """One thing that a step might do; what cannot be done is left."""
    kind, name, other = deed
    place = root / name
    try:
        if kind in ("write", "same size"):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(f"{number:04}" * (1 if kind == "same size" else number + 1))
        elif kind == "mode":
            place.chmod(0o640 + number % 8)
        elif kind == "remove" and place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        elif kind == "remove":
            place.unlink()
        elif kind == "link":
            os.link(root / other, place)
        elif kind == "symlink":
            place.symlink_to(other)
        else:
            os.utime(place, ns=(number, number), follow_symlinks=False)
    except OSError:
        pass


def look(root: Path) -> dict[str, tuple[object, ...]]:
    """All that must come back: kinds, modes, times, contents, and which names are one file."""
    found: dict[str, tuple[object, ...]] = {}
    firsts: dict[int, str] = {}
    for place in sorted(root.rglob("*")):
        path = str(place.relative_to(root))
        if path.startswith("out/"):
            continue
        facts = place.lstat()
        kind = stat.S_IFMT(facts.st_mode)
        content: object = None
        if place.is_symlink():
            content = os.readlink(place)
        elif place.is_file():
            content = (place.read_bytes(), firsts.setdefault(facts.st_ino, path))
        times = None if path == "out" else facts.st_mtime_ns
        found[path] = (kind, stat.S_IMODE(facts.st_mode), times, content)
    return found


@given(first=DEEDS, second=DEEDS, third=DEEDS)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_root_comes_back(
    tmp_path: Path,
    first: list[tuple[str, str, str]],
    second: list[tuple[str, str, str]],
    third: list[tuple[str, str, str]],
) -> None:
    shutil.rmtree(tmp_path, ignore_errors=True)
    root = tmp_path / "root"
    (root / "out").mkdir(parents=True)
    saved = SavedRoot(root, tmp_path / "saved", ("out",))
    for number, deed in enumerate(first):
        do(root, deed, number)
    saved.save()
    for number, deed in enumerate(second):
        do(root, deed, 100 + number)
    saved.save()
    before = look(root)
    for number, deed in enumerate(third):
        do(root, deed, 200 + number)
    saved.restore()
    assert look(root) == before
    assert saved.restore() == 0
    assert saved.new_files() == []


def test_what_a_step_closed_can_be_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "kept").mkdir(parents=True)
    saved = SavedRoot(root, tmp_path / "saved")
    saved.save()
    (root / "new/inner").mkdir(parents=True)
    (root / "new/inner/file").touch()
    (root / "new/inner").chmod(0)
    os.mkfifo(root / "fifo")
    assert saved.restore() == 4
    assert [place.name for place in root.iterdir()] == ["kept"]


def test_a_changed_file_with_its_old_time_is_found(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").write_text("old")
    saved = SavedRoot(root, tmp_path / "saved")
    saved.save()
    times = (root / "file").stat()
    (root / "file").write_text("new")
    os.utime(root / "file", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert saved.new_files() == ["file"]
    assert saved.restore() == 1
    assert (root / "file").read_text() == "old"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "not JSON"),
        ('{"../x": [1, 0, 0, 33188, 0, 1]}', "no plain path in the tree: '../x'"),
        ('{"x": [1, 0, 0, 33188, 0]}', "x must have 6 values"),
        ('{"x": [1, 0, 0, "33188", 0, 1]}', r"x\[3\] must be a whole number"),
    ],
)
def test_an_index_that_cannot_be_read(tmp_path: Path, text: str, fault: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    saved = SavedRoot(root, tmp_path / "saved")
    saved.save()
    saved.index.write_text(text)
    with pytest.raises(BadInput, match=f"the copy cannot be read: .*{fault}"):
        saved.restore()
