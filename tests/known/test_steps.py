"""The step files that come with the product, and how one is found."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

import pytest

import bootstrap
from bootstrap.core.errors import BadInput
from bootstrap.core.release import shipped, shipped_files
from bootstrap.known import (
    all_steps,
    arch_name,
    data_dir,
    find,
    steps_of,
)
from bootstrap.known.steps import parse_tree_files, read_all
from tests.known.sample import GOOD


def test_the_core_reads_the_same_of_every_step_file() -> None:
    """Two readers: the core's own, which decides, and the full schema, which explains."""
    steps = {step.file.removeprefix("steps/"): step for step in all_steps()}
    releases = {release.file: release for arch in shipped_files() for release in shipped(arch)}
    assert steps.keys() == releases.keys()
    for file, release in releases.items():
        step = steps[file]
        assert f"{release.title} {release.arch}" == step.title
        assert (release.materials, release.sha256) == (step.materials, step.sha256)
        assert release.seeds == {seed.path for seed in step.seeds.values()}
        assert release.directories == step.directories
        assert [
            (e.name, e.commands, e.hidden, e.cwd, dict(e.environment)) for e in release.entries
        ] == [
            (e.name, e.commands, e.hidden, e.cwd, dict(e.environment))
            for e in step.entries.values()
        ]
        assert {(v.path, v.sha256, v.source) for v in release.known} == {
            (v.path, v.sha256, v.from_) for v in step.known()
        }
        promised = {value.path for value in release.known if value.is_answer}
        assert promised == {*step.answers, *step.catalogue}


@pytest.mark.parametrize(
    ("alias", "name"),
    [("i386", "x86"), ("X86", "x86"), ("i686", "x86"), ("x86_64", "AMD64"), ("x86-64", "AMD64"),
     ("amd64", "AMD64"), ("Amd64", "AMD64"), ("ARM64", "AArch64"), ("RISCV64", "riscv64")],
)  # fmt: skip
def test_architectures_have_aliases(alias: str, name: str) -> None:
    assert arch_name(alias) == name


def test_what_is_not_known_is_named_with_what_is() -> None:
    with pytest.raises(BadInput, match=r"unknown architecture 'vax'; known: x86, AMD64"):
        arch_name("vax")
    with pytest.raises(BadInput, match=r"stage0-posix 0\.1 is not in the catalogue.*1\.9\.1"):
        steps_of("stage0-posix", "0.1")
    with pytest.raises(BadInput, match="armv7l has no seed"):
        find("stage0-posix", "1.9.1", "armv7l")


def test_a_file_called_after_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(GOOD)
    with pytest.raises(BadInput, match=r"must be called stage0-posix-1\.0-x86\.toml"):
        read_all(tmp_path)


def test_two_files_that_say_the_same_are_both_named(tmp_path: Path) -> None:
    (tmp_path / "a-b-c-x86.toml").write_text(
        GOOD.replace("stage0-posix", "a").replace("1.0", "b-c")
    )
    assert len(read_all(tmp_path)) == 1
    (tmp_path / "A-b-c-x86.toml").write_text(
        GOOD.replace("stage0-posix", "A").replace("1.0", "b-c")
    )
    with pytest.raises(BadInput, match=r"a-b-c-x86.toml and steps/A-b-c-x86.toml both say"):
        read_all(tmp_path)


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    file = tmp_path / "stage0-posix-1.0-vax.toml"
    file.write_text(GOOD.replace('"x86"', '"vax"'))
    with pytest.raises(BadInput, match=r"1\.0-vax\.toml: arch is 'vax'"):
        read_all(tmp_path)
    file.write_bytes(b"schema = 1\n\xff")
    with pytest.raises(BadInput, match=r"vax\.toml: not UTF-8 at byte 11"):
        read_all(tmp_path)
    file.unlink()
    file.mkdir()
    with pytest.raises(BadInput, match=r"vax\.toml: cannot be read"):
        read_all(tmp_path)


@pytest.mark.parametrize(
    ("lines", "says"),
    [(["b", "a"], "t:2: 'a' must stand before 'b'"), (["a", "a"], "t:2: 'a' is there twice"),
     (["../a"], "t:1: '../a' has a component '..'"), (["a", ""], "t:2: '' is empty")],
)  # fmt: skip
def test_a_list_of_paths_is_checked(lines: list[str], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse_tree_files(lines, "t")
    assert says in str(caught.value)


def test_data_is_found_in_an_installed_package_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bootstrap"
    package.mkdir()
    (tmp_path / "steps").mkdir()
    monkeypatch.setattr(bootstrap, "__file__", str(package / "__init__.py"))
    monkeypatch.setattr(importlib.resources, "files", lambda _: package)
    assert data_dir("steps") == tmp_path / "steps"
    (package / "_data" / "steps").mkdir(parents=True)
    assert data_dir("steps") == package / "_data" / "steps"
    with pytest.raises(BadInput, match="folder seeds/ is neither in the installed package"):
        data_dir("seeds")
