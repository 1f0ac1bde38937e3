"""The plan of a small tree: steps, files, checks, the pin, and faults with file and line."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.handoff.distfiles import audit
from bootstrap.handoff.plan import HandoffPlan, PlanStep, read_pin, read_plan
from bootstrap.handoff.plan_text import plan_document, plan_graph, plan_text
from bootstrap.known import RELEASES, default_release, find
from bootstrap.sources import SourceTree
from bootstrap.sources.tree import lay_out
from tests.attest.runs import inside
from tests.cli.command import bootstrap
from tests.handoff import tree


def row(plan: HandoffPlan, title: str) -> PlanStep:
    (found,) = (row for row in plan.rows if row.step.title == title)
    return found


def text(plan: HandoffPlan, verbose: bool = False) -> str:
    return plan_text(plan, None, colour=False, width=None, unicode=True, verbose=verbose)


def test_the_files_of_the_manifest_and_of_its_steps(small: Path) -> None:
    plan = read_plan(small)
    assert [file.name for file in plan.distfiles] == [
        "one-1.0.tar.gz",
        "two.tar.xz",
        "snap-abc.tar.gz",
    ]
    assert plan.needed == set(tree.FILES)
    assert row(plan, "lib-3.0 pass 1").files == ("snap-abc.tar.gz", "two.tar.xz")
    assert [d.line for d in plan.skipped] == [5, 6]


def test_a_file_that_only_a_skipped_step_needs(small: Path) -> None:
    tree.put(small, "steps/lib-3.0/sources", "")
    plan = read_plan(small)
    assert plan.needed == {"one-1.0.tar.gz"} and len(plan.distfiles) == 2
    assert read_plan(small, changes=["BUILD_KERNELS=True"]).needed > plan.needed


def test_what_is_checked_and_by_which_line(small: Path) -> None:
    plan = read_plan(small)
    first = row(plan, "tool-1.0 pass 1").checked
    assert (first.sources.state, first.sources.by) == ("checked", "steps/tool-1.0/pass1.kaem:1")
    assert (first.products.state, first.products.by) == ("partly", "steps/tool-1.0/pass1.kaem:3")
    assert first.products.text.startswith("2 installed files that steps/tool-1.0/tool-1.0.x86.")
    second, third = (row(plan, f"tool-1.0 pass {n}").checked for n in (2, 3))
    # The package's number counts packages of bash's era: pass 1 made none.
    assert (second.value, second.sha256) == ("steps/SHA256SUMS.pkgs:3", "c" * 64)
    assert (third.value, third.sha256) == ("steps/SHA256SUMS.pkgs:4", "d" * 64)
    assert (second.products.state, second.products.by) == ("checked", "steps/helpers.sh:6")
    assert second.sources.by == "steps/helpers.sh:3"
    assert plan.unused == ("old-9.9_0.tar.bz2",)


def test_what_is_not_checked(small: Path) -> None:
    plan = read_plan(small)
    assert row(plan, "bash-0.1 pass 1").checked.products.state == "unchecked"
    assert row(plan, "improve paths").checked.products.state == "unchecked"
    assert row(plan, "bash-0.1 pass 1").checked.sources.state == "none"
    said = text(plan)
    assert "bash-0.1 pass 1: has no sha256sum -c of what it installs" in said
    assert "old-9.9_0.tar.bz2 has a known-good value, and no step here makes it" in said


def test_what_is_not_called_checked(small: Path) -> None:
    sums = (small / "steps/SHA256SUMS.pkgs").read_text()
    tree.put(small, "steps/SHA256SUMS.pkgs", "".join(sums.splitlines(keepends=True)[:3]))
    check = row(read_plan(small), "tool-1.0 pass 3").checked.products
    assert check.state == "unchecked"
    assert "the build will stop here" in check.text and "has no tool-1.0_1" in check.text
    tree.put(small, "steps/lib-3.0/pass1.sh", "\nsrc_get() {\n    :\n}\n")
    check = row(read_plan(small), "lib-3.0 pass 1").checked.sources
    assert (check.state, check.by) == ("partly", "steps/lib-3.0/pass1.sh:2")
    tree.put(small, "steps/helpers.sh", tree.HELPERS.replace("    sha256sum", "    # sha256sum"))
    checked = row(read_plan(small), "tool-1.0 pass 2").checked
    assert (checked.sources.state, checked.products.state) == ("unchecked", "unchecked")


def test_the_configuration_is_a_chroot_that_checks(small: Path) -> None:
    configuration = read_plan(small).configuration
    assert configuration["CHROOT"] == "True" and configuration["UPDATE_CHECKSUMS"] == "False"
    assert not any(name.startswith("MIRROR") for name in configuration)
    plan = read_plan(small, changes=["UPDATE_CHECKSUMS=True"])
    assert {r.checked.products.state for r in plan.rows} == {"unchecked"}
    assert "UPDATE_CHECKSUMS is True" in text(plan)


@pytest.mark.parametrize("change", ["NOPE=1", "ARCH=amd64", "JOBS", "JOBS=", "JOBS=1 2", "=1"])
def test_a_setting_that_is_none(small: Path, change: str) -> None:
    with pytest.raises(BadInput, match="--set "):
        read_plan(small, changes=[change])


@pytest.mark.parametrize(
    ("path", "content", "fault"),
    [
        ("steps/manifest", "build: none-1\n", "manifest:1: there is no folder steps/none-1"),
        ("steps/manifest", "improve: x\n", "manifest:1: improve x needs steps/improve/x.sh"),
        ("steps/manifest", "build: lib-3.0\n", "manifest:1: .*needs steps/lib-3.0/pass1.kaem"),
        ("steps/manifest", "jmp: x\n", "manifest:1: unknown directive 'jmp:'"),
        ("steps/lib-3.0/sources", "f x\n", "lib-3.0/sources:1: 1 words"),
        ("steps/SHA256SUMS.pkgs", "nothing\n", "SHA256SUMS.pkgs:1: no line of a sha256sum"),
        ("seed/configurator.x86.checksums", "x\n", "configurator.x86.checksums:1: no line"),
    ],
)
def test_faults_have_file_and_line(small: Path, path: str, content: str, fault: str) -> None:
    tree.put(small, path, content)
    with pytest.raises(BadInput, match=fault) as caught:
        read_plan(small)
    assert str(caught.value).startswith(str(small))


def test_what_is_no_checkout(small: Path) -> None:
    place = small / "steps/manifest"
    place.write_bytes(b"build: tool-1.0\n\xff\n")
    with pytest.raises(BadInput, match="manifest:2: not UTF-8"):
        read_plan(small)
    place.unlink()
    done = inside("handoff", "plan", "--live-bootstrap", str(small))
    assert done.status == 2 and "no checkout of live-bootstrap" in done.one_line()


def test_notes(small: Path) -> None:
    tree.put(small, "steps/bootstrap.cfg", "UPDATE_CHECKSUMS=True\n")
    (small / "steps/tool-1.0/pass3.sh").unlink()
    manifest = tree.MANIFEST + "improve: paths ( TYPO == 1 )\n"
    tree.put(small, "steps/manifest", manifest)
    notes = read_plan(small).notes
    assert any("TYPO, which nothing sets" in note and "manifest:13" in note for note in notes)
    assert any("there is no steps/tool-1.0/pass3.sh" in note for note in notes)
    assert any("bootstrap.cfg is there, and is not used" in note for note in notes)


def test_text_and_document_agree(small: Path, tmp_path: Path) -> None:
    plan = read_plan(small)
    found = audit(plan.distfiles, tree.fill(tmp_path / "d"))
    document = json.loads(json.dumps(plan_document(plan, found)))
    assert [step["pass"] for step in document["steps"]] == [1, 1, None, 2, 1, None, 3]
    assert {row["state"] for row in document["distfiles"]} == {"present"}
    assert document["manifest"]["directives"][1]["value"] == (
        "( KERNEL_BOOTSTRAP == True || BUILD_KERNELS == True )"
    )
    said = text(plan, verbose=True)
    for step in document["steps"]:
        assert f" (line {step['line']})" in said
    assert "passed over: steps/manifest:5 build kernel-2.0 ( KERNEL == True )" in said
    assert str(small) not in json.dumps(document) + said


@pytest.mark.parametrize("form", ["dot", "mermaid"])
def test_graph(small: Path, form: str) -> None:
    plan = read_plan(small)
    graph = plan_graph(plan, "dot" if form == "dot" else "mermaid")
    arrow = "->" if form == "dot" else "-->"
    assert graph.count(arrow) == len(plan.rows) - 1 + sum(len(row.files) for row in plan.rows)
    assert "tool-1.0 pass 3" in graph and "one-1.0.tar.gz" in graph


def test_dot_is_what_graphviz_reads(small: Path) -> None:
    if shutil.which("dot") is None:
        pytest.skip("no Graphviz here: apt-get install graphviz")
    graph = plan_graph(read_plan(small), "dot")
    done = subprocess.run(["dot", "-Tplain"], input=graph, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("\nnode ") == 10


def git_index(folder: Path, commit: str) -> None:
    """An index as git's gitformat-index has it: one file, then the submodule."""
    body = b""
    for mode, sha, name in (
        (0o100644, "11" * 20, b"README"),
        (0o160000, commit, b"seed/stage0-posix"),
    ):
        entry = struct.pack(">10I", 0, 0, 0, 0, 0, 0, mode, 0, 0, 0) + bytes.fromhex(sha)
        entry += struct.pack(">H", len(name)) + name
        body += entry + b"\0" * (8 - len(entry) % 8)
    (folder / ".git").mkdir(exist_ok=True)
    (folder / ".git/index").write_bytes(struct.pack(">4sII", b"DIRC", 2, 2) + body)


def test_the_pin_by_its_commit(small: Path) -> None:
    assert read_pin(small, "x86").same is None
    assert "cannot be said" in " ".join(text(read_plan(small)).split())
    ours = default_release(RELEASES)
    commit = find(RELEASES, ours, "x86").source.commit
    assert commit is not None
    git_index(small, commit)
    pin = read_pin(small, "x86")
    assert (pin.commit, pin.release_of_commit, pin.same) == (commit, ours, True)
    git_index(small, "ab" * 20)
    pin = read_pin(small, "x86")
    assert (pin.commit, pin.release_of_commit, pin.same) == ("ab" * 20, None, False)
    said = " ".join(text(read_plan(small)).split())
    assert "which the catalogue does not know" in said and "NOT the one that" in said
    index = small / ".git/index"
    index.write_bytes(index.read_bytes()[:100])
    with pytest.raises(BadInput, match="index: not understood"):
        read_pin(small, "x86")


def test_files_that_are_no_release(small: Path) -> None:
    tree.put(small, "seed/stage0-posix/README", "nothing of it\n")
    pin = read_pin(small, "x86")
    assert pin.release_of_files is None and pin.same is False
    unknown = "seed/stage0-posix is no stage0-posix that is known: it has none of the files"
    assert (pin.files or "").startswith(unknown)


@pytest.mark.upstream
def test_files_that_are_a_release(small: Path, release: SourceTree) -> None:
    lay_out(release, small / "seed/stage0-posix")
    pin = read_pin(small, "x86")
    assert pin.release_of_files == release.release and pin.same is True
    changed = small / "seed/stage0-posix/x86/hex0_x86.hex0"
    changed.write_bytes(changed.read_bytes() + b"\n")
    pin = read_pin(small, "x86")
    assert pin.release_of_files is None and pin.same is False
    assert "from which 1 of " in (pin.files or "")


def test_the_pin_as_git_itself_writes_it(small: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git here: apt-get install git")
    for command in (
        ["init", "-q"],
        ["add", "steps"],
        ["update-index", "--add", "--cacheinfo", f"160000,{'cd' * 20},seed/stage0-posix"],
    ):
        subprocess.run(["git", "-C", str(small), *command], check=True, capture_output=True)
    assert read_pin(small, "x86").commit == "cd" * 20


def test_the_command(small: Path, tmp_path: Path) -> None:
    folder = tree.fill(tmp_path / "d")
    args = ["handoff", "plan", "--live-bootstrap", str(small), "--distfiles", str(folder)]
    assert inside(*args).status == 0
    (folder / "two.tar.xz").write_bytes(tree.TWO[:-1])
    (folder / "one-1.0.tar.gz").unlink()
    done = inside(*args, "--json", str(tmp_path / "plan.json"))
    assert done.status == 1 and "(1 missing)" in done.stdout and "(1 wrong)" in done.stdout
    # Lines are folded, and how depends on the length of the path.
    assert f"sha256 {tree.sha256(tree.TWO[:-1])}" in " ".join(done.stdout.split())
    states = {
        r["name"]: r["state"] for r in json.loads((tmp_path / "plan.json").read_text())["distfiles"]
    }
    assert states == {
        "one-1.0.tar.gz": "missing",
        "two.tar.xz": "wrong",
        "snap-abc.tar.gz": "present",
    }
    lines = inside(*args, "--graph", "dot").stdout.splitlines()
    assert "there is no .git; digest " in lines[0] and lines[1] == "digraph handoff {"
    assert inside(*args, "--graph", "dot", "--json", "-").status == 2


def test_the_plan_says_which_checkout(small: Path, tmp_path: Path) -> None:
    """A change of a script is in text and document; what cannot be written is said last."""
    args = ["handoff", "plan", "--live-bootstrap", str(small)]
    seen = []
    for _ in range(2):
        done = inside(*args, "--json", str(tmp_path / "plan.json"))
        document = json.loads((tmp_path / "plan.json").read_text())["checkout"]
        assert document["digest"] in done.stdout and document["commit"] is None
        assert (document["changed"], document["unknown"]) == (None, "there is no .git")
        seen.append((done.stdout, document))
        tree.put(small, "steps/tool-1.0/pass2.sh", "true # a change\n")
    assert seen[0][0] != seen[1][0] and seen[0][1]["digest"] != seen[1][1]["digest"]
    done = inside(*args, "--json", "/dev/full")
    assert done.status == 2 and done.stdout == seen[1][0]
    assert "/dev/full: cannot be written: No space left on device" in done.one_line()


def test_two_runs_say_the_same(small: Path) -> None:
    args = ["handoff", "plan", "--live-bootstrap", str(small), "--json", "-"]
    assert bootstrap(*args).stdout == inside(*args).stdout
