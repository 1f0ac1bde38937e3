"""Opinions of releases alone: each differs where what it sees has one byte changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.cli.confirm import MAKERS
from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.ddc import chains
from bootstrap.handoff import by_valgrind
from bootstrap.known import find
from bootstrap.machines import builder_hex0
from bootstrap.runs.build_plan import plan, who_makes
from bootstrap.runs.opinions import Sight, made
from bootstrap.sources import Resolved, SourceTree, check_materials

ENTRY = "kaem-optional-seed"


def resolved(tree: SourceTree, changed: str = "", arch: str = "x86") -> Resolved:
    """The release; with one byte more in a file, and still taken for whole."""
    step = find("stage0-posix", tree.release, arch)
    materials = check_materials(tree, step)
    if changed:
        more = SourceFile(b"00\n" + tree.files[changed].data)
        tree = tree.but(files={**tree.files, changed: more})
    return Resolved(tree, step, materials)


def seen(name: str, given: Resolved) -> Sight:
    try:
        inputs = MAKERS[name].inputs(given)
    except BadInput as error:
        pytest.skip(str(error))
    return made(MAKERS[name], given, ENTRY, lambda _: None, inputs)


def test_builder_hex0_starts_nothing_of_another_tree(tree: SourceTree) -> None:
    sight = seen("builder-hex0", resolved(tree, "x86/hex1_x86.hex0"))
    assert sight.stopped and len(sight.files) == 73 and not any(sight.files.values())


def test_what_builder_hex0_left_is_what_counts(
    tree: SourceTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine is not run here: what is read from it has one byte changed."""

    class Machine:
        def close(self) -> None:
            pass

        def counted(self, _number: int) -> dict[int, int]:
            return {}

    release = resolved(tree)
    left = [(f"/{path}", file.data) for path, file in tree.files.items()]
    left.append(("/x86/artifact/hex1", b"\x7fELF"))
    monkeypatch.setattr(builder_hex0, "boot", lambda *_: ("reboot", Machine()))
    monkeypatch.setattr(builder_hex0, "files_of", lambda _pc: left)
    sight = seen("builder-hex0", release)
    assert sight.stopped is None
    assert sight.files["x86/artifact/hex1"] not in (None, release.step.native["x86/artifact/hex1"])


@pytest.mark.parametrize("name", ["ddc", "valgrind"])
@pytest.mark.parametrize("arch", ["x86", "AMD64"])
def test_what_follows_upstreams_commands_differs_where_the_source_does(
    name: str, arch: str, tree: SourceTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to M0: what comes after takes long, and is in the other chain's tests."""
    step = resolved(tree, arch=arch).step
    first = [one for one in plan(tree, step) if one.language != "C"][:7]
    assert first[-1].output == f"{arch}/artifact/M0"
    monkeypatch.setattr(chains, "plan", lambda *_: first)
    monkeypatch.setattr(by_valgrind, "plan", lambda *_: first)
    good = seen(name, resolved(tree, arch=arch))
    assert good.stopped is None and good.files == {p: step.native[p] for p in good.files}
    bad = seen(name, resolved(tree, f"{arch}/hex1_{arch}.hex0", arch))
    assert bad.files[f"{arch}/artifact/hex1"] != step.native[f"{arch}/artifact/hex1"]


@pytest.mark.parametrize("arch", ["x86", "AMD64", "AArch64"])
def test_who_makes_what_of_a_release(arch: str, tree: SourceTree, tmp_path: Path) -> None:
    """Where no plan of a run is shipped, up to M2-Planet."""
    given = resolved(tree, arch=arch)
    found = who_makes(given, ENTRY, tmp_path)
    script = f"{arch}/mescc-tools-mini-kaem.kaem"
    assert found[f"{arch}/artifact/M0"].startswith(
        f"{arch}/artifact/hex2-0 makes it of {arch}/artifact/M0.hex2 ({script}:"
    )
    if arch == "AArch64":
        return
    assert not given.step.native.keys() - found.keys()
    assert found[f"{arch}/bin/replace"].startswith(
        f"{arch}/bin/M2-Mesoplanet makes it of mescc-tools-extra/replace.c, M2libc/stdio.h, "
    )
