"""A wheel carries the data folders, and an installation from it finds them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SOURCES = (
    "bootstrap", "seeds", "steps", "docs", "pyproject.toml", "setup.py", "LICENSE", "README.md",
    "CHANGELOG.md",
)  # fmt: skip

PROBE = """
import hashlib, os, sys
import bootstrap
from bootstrap.known import all_steps, data_dir, find
from bootstrap.sources import check_materials, embedded_source
assert bootstrap.__file__.startswith(sys.argv[1]), bootstrap.__file__
assert str(data_dir("steps")).startswith(sys.argv[1]), data_dir("steps")
step = find("embedded", None, "x86")
tree = embedded_source(step)
assert check_materials(tree, step).whole
print(len(all_steps()), hashlib.sha256(tree.files["hex0-seed"].data).hexdigest())
"""


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("setuptools", "74.1", "building a wheel here needs setuptools 74.1")
    # Built from a copy: setuptools leaves build/ and *.egg-info where it works.
    copy = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        source = checkout / name
        if source.is_dir():
            skip = shutil.ignore_patterns("__pycache__", "_fastpath*")
            shutil.copytree(source, copy / name, ignore=skip)
        else:
            shutil.copy(source, copy / name)
    build = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"
    built = subprocess.run(
        [sys.executable, "-c", build, "dist"], cwd=copy, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    (found,) = (copy / "dist").glob("*.whl")
    return found


def test_the_wheel_carries_seeds_and_steps(wheel: Path, checkout: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for kind in ("seeds", "steps"):
        files = [path for path in (checkout / kind).rglob("*") if path.is_file()]
        assert files
        for file in files:
            assert f"bootstrap/_data/{file.relative_to(checkout).as_posix()}" in inside


def test_the_wheel_carries_the_whole_package_and_its_licence(wheel: Path, checkout: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for file in (checkout / "bootstrap").rglob("*.py"):
        assert file.relative_to(checkout).as_posix() in inside
    assert {"bootstrap/py.typed", "bootstrap/attest/sample-policy.toml"} <= inside
    assert any(name.endswith("/licenses/LICENSE") for name in inside)


def test_the_wheel_carries_schemas_manual_pages_and_completions(
    wheel: Path, checkout: Path, tmp_path: Path
) -> None:
    archive = zipfile.ZipFile(wheel)
    inside = set(archive.namelist())
    for schema in (checkout / "docs").glob("*.schema.json"):
        assert f"bootstrap/_data/schemas/{schema.name}" in inside
    share = {name.partition(".data/data/")[2]: name for name in inside if ".data/data/" in name}
    assert {"share/man/man1/bootstrap.1", "share/man/man1/bootstrap-trace-why.1"} <= set(share)
    for name in share:
        if name.endswith(".1") and shutil.which("groff"):
            page = archive.read(share[name])
            roff = ["groff", "-k", "-man", "-ww", "-Tutf8"]
            done = subprocess.run(roff, input=page, capture_output=True, check=True)
            assert done.stderr == b"", (name, done.stderr)
            assert b"EXIT STATUS" in page and b"ENVIRONMENT" in page
    completion = share["share/bash-completion/completions/bootstrap"]
    (tmp_path / "bootstrap").write_bytes(archive.read(completion))
    typed = "COMP_WORDS=(bootstrap trace re); COMP_CWORD=2; _shtab_bootstrap; echo ${COMPREPLY[@]}"
    done = subprocess.run(
        ["bash", "-c", f"source {tmp_path}/bootstrap; {typed}"], capture_output=True, check=True
    )
    assert done.stdout == b"record\n"
    assert {"share/zsh/site-functions/_bootstrap",
            "share/fish/vendor_completions.d/bootstrap.fish"} <= set(share)  # fmt: skip


def test_a_wheel_for_every_platform(wheel: Path) -> None:
    """Of the same sources, without the native libraries."""
    source = wheel.parents[1]
    build = "import sys, setuptools.build_meta as b; b.build_wheel('pure')"
    environment = {**os.environ, "BOOTSTRAP_PURE": "1"}
    shutil.rmtree(source / "build", ignore_errors=True)
    subprocess.run(
        [sys.executable, "-c", build], cwd=source, env=environment, capture_output=True, check=True
    )
    (pure,) = (source / "pure").iterdir()
    assert pure.name.endswith("-py3-none-any.whl")
    names = set(zipfile.ZipFile(pure).namelist())
    assert not any(name.endswith(".so") for name in names)
    assert "bootstrap/instruments/fastpath.py" in names


def test_the_wheel_is_not_bound_to_a_version_of_python(wheel: Path) -> None:
    assert wheel.name.split("-")[2:4] == ["py3", "none"]


def test_an_installation_finds_its_data(wheel: Path, tmp_path: Path) -> None:
    # What pip does with a wheel, without its network: unpack into a folder of the import path.
    zipfile.ZipFile(wheel).extractall(tmp_path)
    found = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n{PROBE}",
         str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.split()[1].startswith("f74dcf9c")


def test_an_installation_decides_with_unicorn_and_no_other_dependency(
    wheel: Path, tmp_path: Path
) -> None:
    """`pip install unicorn; pip install --no-deps` of the wheel, without pip's network."""
    unicorn = pytest.importorskip("unicorn")
    zipfile.ZipFile(wheel).extractall(tmp_path)
    (tmp_path / "unicorn").symlink_to(Path(unicorn.__file__).parent)
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "sys.argv[0] = 'core'\n"
        "runpy.run_module('bootstrap.core', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, tmp_path / "bootstrap/_data/seeds/x86",
         "--arch", "x86"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("VERIFIED: All 10 answers of the embedded sources")
    bare = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import capstone"], capture_output=True, check=False
    )
    assert bare.returncode != 0  # it was alone indeed
