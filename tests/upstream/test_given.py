"""The release given as a folder, changed, through the command line; and the same report twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap.sources import SourceTree
from bootstrap.sources.cache import cache_root
from tests.cli.command import Done, bootstrap

pytestmark = pytest.mark.upstream

SHORT = ("--limit", "processes=5")
"""Ends a run after its first five processes, with status 3."""


def unpack(tree: SourceTree, folder: Path) -> Path:
    for path, file in tree.files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.data)
        place.chmod(0o755 if file.executable else 0o644)
    return folder


def verify(*args: str | Path, **more: object) -> Done:
    return bootstrap("verify", "--release", "1.9.1", *args, **more)  # type: ignore[arg-type]


def test_missing_changed_and_extra_files_are_named(tree: SourceTree, tmp_path: Path) -> None:
    folder = unpack(tree, tmp_path / "tree")
    source = folder / "x86" / "hex1_x86.hex0"
    source.write_bytes(source.read_bytes() + b"# one more comment\n")
    (folder / "x86" / "extra.c").write_text("int x;\n")
    (folder / "x86" / "bin").mkdir(exist_ok=True)
    (folder / "x86" / "bin" / "M1").write_text("left by an earlier run")
    done = verify("--source", folder, *SHORT, "--json", "-")
    assert done.status == 3
    materials = json.loads(done.stdout)["source"]["materials"]
    assert [change["path"] for change in materials["changed"]] == ["x86/hex1_x86.hex0"]
    assert materials["extra"] == ["x86/bin/M1", "x86/extra.c"]
    for name in ("x86/hex1_x86.hex0", "x86/extra.c", "x86/bin/M1"):
        assert name in done.stderr

    (folder / "M2-Planet" / "cc.c").unlink()
    done = verify("--source", folder)
    assert done.status == 2
    assert "M2-Planet/cc.c" in done.one_line()


def test_a_cache_that_was_tampered_with(tree: SourceTree, tmp_path: Path) -> None:
    there = cache_root() / "stage0-posix" / "1.9.1"
    mine = tmp_path / "stage0-posix" / "1.9.1"
    mine.mkdir(parents=True)
    for file in there.iterdir():
        data = bytearray(file.read_bytes())
        if file.suffix == ".tar":
            data[len(data) // 2] ^= 1
        (mine / file.name).write_bytes(data)
    done = verify(env={"BOOTSTRAP_CACHE": str(tmp_path)})
    assert done.status == 2
    assert "was changed or damaged" in done.one_line()


@pytest.mark.parametrize("arch", ["x86", "AMD64"])
def test_the_same_report_on_every_host(tree: SourceTree, tmp_path: Path, arch: str) -> None:
    reports = []
    for number, env in enumerate(
        (
            {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC"},
            {"PYTHONHASHSEED": "2", "LC_ALL": "tr_TR.UTF-8", "TZ": "Asia/Tokyo", "HOME": "/"},
        )
    ):
        cwd = tmp_path / f"cwd {number}"
        cwd.mkdir()
        umask = ("022", "077")[number]
        done = verify(
            "--arch", arch, *SHORT, "--json", "-", cwd=cwd,
            env={**env, "BOOTSTRAP_CACHE": str(cache_root())},
            prefix=("sh", "-c", f'umask {umask}; exec "$@"', "sh"),
        )  # fmt: skip
        assert done.status == 3
        report = json.loads(done.stdout)
        assert report["totals"].pop("wall_seconds") >= 0
        reports.append(json.dumps(report))
    assert reports[0] == reports[1]
