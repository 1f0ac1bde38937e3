"""The real live-bootstrap, where it is at hand: our plan against what upstream's own programs say.

Two oracles that share no code with ours: upstream's script generator, compiled by the host's C
compiler, and upstream's list of sources.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.handoff.manifest import Directive, ManifestStep, evaluate, read_manifest
from bootstrap.handoff.plan import (
    MANIFEST,
    chroot_configuration,
    read_directives,
    read_distfiles,
    read_plan,
)
from tests.handoff.test_manifest import directives, written

pytestmark = pytest.mark.upstream

# What the generator takes from M2libc's bootstrappable.c, written anew.
_HEADER = """
#include <stdio.h>
#include <stdlib.h>
static char *int2str(int number, int base, int is_signed) {
    char *text = calloc(32, 1);
    (void) base; (void) is_signed;
    sprintf(text, "%d", number);
    return text;
}
"""


def test_the_numbers_of_2026_02_14(upstream: Path) -> None:
    plan = read_plan(upstream)
    wanted = "5bcdcc4e01f3847e6244d95206a411c19d73a434e516b915d5d17e478c486129"
    if plan.manifest_sha256 != wanted:
        pytest.skip("the checkout has another manifest than that of 2026-02-14 (commit 984b8322)")
    assert sum(d.kind == "build" for d in plan.directives) == 170
    assert len(plan.distfiles) == 310
    states = [row.checked.products.state for row in plan.rows if row.step.directive.kind == "build"]
    assert set(states) == {"checked", "partly"} and len(states) == 163
    if plan.pin.commit is not None:
        assert (plan.pin.release_of_commit, plan.pin.same) == ("1.9.1", True)


def test_upstreams_own_list_of_sources(upstream: Path, tmp_path: Path) -> None:
    # It imports requests, which only its downloads need.
    (tmp_path / "requests.py").write_text("")
    done = subprocess.run(
        [sys.executable, "-B", "source_manifest.py"],
        cwd=upstream,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [line.split(" ") for line in done.stdout.splitlines()]
    files = {file.name: file for file in read_distfiles(upstream)}
    assert {name: sha256 for sha256, _, _, name in theirs} == {
        name: file.sha256 for name, file in files.items()
    }
    for _, _, url, name in theirs:
        assert url == "_" or url in files[name].urls


@pytest.fixture(scope="module")
def generator(upstream: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Upstream's script generator, made to read and write below the folder it is started in."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here: apt-get install gcc")
    folder = tmp_path_factory.mktemp("generator")
    (folder / "bootstrappable.h").write_text(_HEADER)
    source = (upstream / "seed/script-generator.c").read_text()
    for path in ("/steps/", "/init", "/kaem.run", "/preseed-jump.kaem"):
        source = source.replace(f'"{path}', f'"./{path.lstrip("/")}')
    (folder / "generator.c").write_text(source)
    program = folder / "generator"
    command = [compiler, "-w", "-std=gnu89", "-I", str(folder), "-o", str(program)]
    subprocess.run([*command, str(folder / "generator.c")], check=True)
    return program


def generated(
    program: Path, manifest: str, folder: Path, configuration: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """What upstream's generator makes: one word list for each step, and the variables."""
    shutil.rmtree(folder / "steps", ignore_errors=True)
    (folder / "steps").mkdir()
    (folder / "steps/env").write_text("")
    (folder / "steps/manifest").write_text(manifest)
    text = "".join(f"{name}={value}\n" for name, value in configuration.items())
    (folder / "steps/bootstrap.cfg").write_text(text)
    subprocess.run([str(program), "steps/manifest"], cwd=folder, check=True)
    found = []
    scripts = sorted((folder / "steps").glob("*.sh"), key=lambda path: int(path.stem))
    for script in scripts:
        number = script.stem
        package = ""
        for line in script.read_text().splitlines():
            if line.startswith("pkg="):
                package = line[4:]
            elif match := re.fullmatch(r"kaem --file pass(\d+)\.kaem", line):
                found.append(f"{number} build {package} {match[1]}")
            elif match := re.fullmatch(r"build (\S+) pass(\d+)\.sh", line):
                found.append(f"{number} build {match[1]} {match[2]}")
            elif match := re.fullmatch(
                r"(?:\.|kaem --file) \.?/?steps/(improve|jump)/(\S+)\.sh", line
            ):
                found.append(f"{number} {match[1]} {match[2]}")
            elif line.startswith("uninstall "):
                found.append(f"{number} {line}")
    lines = (folder / "steps/bootstrap.cfg").read_text().splitlines()
    return found, dict(line.split("=", 1) for line in lines)


def ours(step: ManifestStep) -> str:
    directive = step.directive
    end = f" {step.pass_number}" if directive.kind == "build" else ""
    return f"{step.script} {directive.kind} {directive.argument}{end}"


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("BUILD_KERNELS=True",),
        ("CHROOT=False",),
        ("CHROOT=False", "KERNEL_BOOTSTRAP=True", "INTERACTIVE=True", "SWAP_SIZE=4"),
        ("UPDATE_CHECKSUMS=True", "FORCE_TIMESTAMPS=True", "INTERNAL_CI=pass1"),
        ("CONFIGURATOR=True",),
    ],
)
def test_upstreams_generator_writes_the_same_steps(
    upstream: Path, generator: Path, tmp_path: Path, changes: tuple[str, ...]
) -> None:
    configuration = chroot_configuration("x86", changes)
    manifest = (upstream / MANIFEST).read_text()
    steps, variables = evaluate(read_directives(upstream)[0], configuration)
    theirs, their_variables = generated(generator, manifest, tmp_path, configuration)
    assert [ours(step) for step in steps] == theirs
    assert variables == their_variables
    assert len(steps) > 150


@given(
    st.lists(directives(words=["a-1", "b-2", "bash-3"], names=["A", "B", "C"]), min_size=1),
    st.sampled_from(["a-1", "b-2", "True"]),
)
@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_generator_and_we_agree_on_any_manifest(
    generator: Path, tmp_path: Path, rows: list[Directive], value: str
) -> None:
    manifest = "".join(f"{written(row)}\n" for row in rows)
    configuration = {"A": "True", "B": value}
    steps, variables = evaluate(read_manifest(manifest, "m"), configuration)
    theirs, their_variables = generated(generator, manifest, tmp_path, configuration)
    assert [ours(step) for step in steps] == theirs
    assert variables == their_variables
