"""Opinions as they are made and kept, on the embedded sources: each is wrong where its input is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootstrap.cli.confirm import MAKERS
from bootstrap.confirm.table import Voice, confirmation
from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.handoff import by_valgrind
from bootstrap.handoff.by_valgrind import with_heap
from bootstrap.handoff.containers.programs import elf
from bootstrap.handoff.natively import HostBox, missed_by_qemu
from bootstrap.known import EMBEDDED, find
from bootstrap.report.model import NameAndVersion
from bootstrap.report.opinion import JudgedBy, Made, ReleaseOpinion, SeenFile
from bootstrap.report.ways import BY_NAME, WAYS
from bootstrap.runs.build_plan import who_makes
from bootstrap.runs.opinions import OpinionStore, made, published
from bootstrap.sources import Cache, Resolved
from tests.cli.command import ROOT, Done, inside
from tests.runs.tiny import ENTRY, embedded

NOT_EMBEDDED = {"builder-hex0", "ddc"}
"""Of releases only: tests/upstream."""
SHA = "1" * 64


def flipped(name: str) -> Resolved:
    """The embedded sources with one digit of a source changed, and still taken for whole."""
    found = embedded()
    data = bytearray(found.tree.files[name].data)
    at = data.index(b"7F 45 4C 46") + 1
    data[at : at + 1] = b"E"
    files = {**found.tree.files, name: SourceFile(bytes(data))}
    return replace(found, tree=found.tree.but(files=files))


def seen(name: str, resolved: Resolved) -> Mapping[str, str | None]:
    try:
        inputs = MAKERS[name].inputs(resolved)
    except BadInput as error:
        pytest.skip(str(error))
    sight = made(MAKERS[name], resolved, ENTRY, lambda _: None, inputs)
    if sight.unmade:
        pytest.skip(sight.unmade)
    return sight.files


def test_every_way_that_is_made_has_a_maker() -> None:
    assert set(MAKERS) == {way.name for way in WAYS if way.makes}
    names = ", ".join(way.name for way in WAYS if way.makes)
    assert f"them: {names} --" in " ".join(inside("confirm", "--help").stdout.split())


@pytest.mark.parametrize("name", sorted({*MAKERS} - NOT_EMBEDDED))
def test_a_changed_byte_in_what_an_opinion_sees_is_seen(name: str) -> None:
    good = seen(name, embedded())
    known = embedded().step.catalogue
    assert good and all(known[path] == sha256 for path, sha256 in good.items())
    bad = seen(name, flipped("hex1.hex0"))
    assert bad.get("hex1") != known["hex1"]


def test_the_headline_says_what_diff_finds_first(tmp_path: Path) -> None:
    """Of the fast path, whose report knows who made what of what."""
    wrong = flipped("hex1.hex0")
    maker = MAKERS["fast-path"]
    sight = made(maker, wrong, ENTRY, lambda _: None, maker.inputs(wrong))
    files = tuple(SeenFile(path, sha256) for path, sha256 in sight.files.items())
    opinion = replace(OPINION, opinion="fast-path", artifacts=files, cause=sight.cause)
    columns = [Voice(BY_NAME["fast-path"], "made", opinion)]
    found = confirmation(OPINION, embedded().step.known(), columns, 1, {})
    assert found.claim.startswith("fast-path differs first at hex1: it is ")
    assert sight.cause and sight.cause.removesuffix(".") in found.claim, found.claim
    assert "hex1.hex0" in sight.cause


def test_who_makes_what_is_known_without_a_run(tmp_path: Path) -> None:
    """Of upstream's commands, and of a plan: tests/upstream has a release."""
    found = who_makes(embedded(), ENTRY, tmp_path)
    assert found.keys() == embedded().step.catalogue.keys()
    assert found["M0-whole.hex2"] == "catm makes it of elf.hex2, M0.hex2 (tools.kaem:23)"


def test_upstreams_own_answers_speak_for_themselves(checkout: Path) -> None:
    found = embedded()
    step = replace(found.step, answers={"x": SHA}, answers_from="x86.answers")
    [(name, sight)] = published(replace(found, step=step))
    assert (name, sight.files) == ("answers", {"x": SHA})
    changed = {"x86.answers": SourceFile(f"{'2' * 64}  x\n".encode()), **found.tree.files}
    theirs = replace(found, step=step, tree=found.tree.but(files=changed))
    # 1.3 reads no answers file: what lies there under its name is anybody's.
    [(_, sight)] = published(theirs)
    assert sight.files == {"x": SHA}
    read = replace(step, materials={**step.materials, "x86.answers": SHA})
    [(_, sight)] = published(replace(theirs, step=read))
    assert sight.files == {"x": "2" * 64}


def test_what_is_published_differs_where_it_was_changed() -> None:
    """What is pinned of another seed, and a recorded value: held against the step file as it is."""
    step, other = find("stage0-posix", "1.9.1", "x86"), find("stage0-posix", "1.9.1", "AMD64")
    path, name = "x86/artifact/hex0", "hex0-seed"
    seeds = {name: replace(step.seeds[name], sha256=other.seeds[name].sha256)}
    bad = replace(step, native={**step.native, path: SHA}, seeds=seeds)
    for given, differ in ((step, set()), (bad, {"recorded", "pins"})):
        columns = [
            Voice(BY_NAME[name], "read", replace(OPINION, opinion=name, artifacts=files))
            for name, sight in published(replace(embedded(), step=given))
            if (files := tuple(SeenFile(path, sha256) for path, sha256 in sight.files.items()))
        ]
        found = confirmation(OPINION, step.known(), columns, 1, {})
        assert {"recorded", "pins"} < {one.way.name for one in columns}
        assert {one.way.name for one in found.opinions if one.result == "differ"} == differ
        assert found.claim.startswith(f"recorded differs first at {path}") == bool(differ)


OPINION = ReleaseOpinion(
    tool=NameAndVersion("bootstrap", "0"), opinion="core", release="r 1", arch="x86", entry="e",
    tree=SHA, judged_by=JudgedBy("s", SHA), inputs={"tool": "1"}, how="", stopped=None,
    artifacts=(SeenFile("a", SHA), SeenFile("b", None)),
    made=Made("2026-11-30T22:00:00Z", "h", "me", 1.5),
)  # fmt: skip


def test_what_is_kept_comes_back_and_nothing_else(tmp_path: Path) -> None:
    store = OpinionStore(tmp_path)
    assert store.load(OPINION) == (None, "")
    kept = store.keep(OPINION)
    assert store.load(replace(OPINION, how="is not what it depends on")) == (kept, "")
    for other, word in (
        (replace(OPINION, inputs={"tool": "2"}), "tool"),
        (replace(OPINION, tree="2" * 64), "tree"),
        (replace(OPINION, judged_by=JudgedBy("s", "2" * 64)), "judged_by"),
    ):
        found, why = store.load(other)
        assert found is None and why.endswith(f"depends on other things: {word}")
    place = store.place(OPINION)
    good = place.read_bytes()
    for bad in (
        good.replace(b'"sha256": null', f'"sha256": "{SHA}"'.encode()),
        good.replace(b'"how": ""', b'"how": "x"'),
        good.replace(b'"path": "b"', b'"path": "a"'),
        good.replace(b"bootstrap-opinion/1", b"bootstrap-opinion/9"),
        good[:-5],
        b" " * (4 << 20) + good,
    ):
        assert bad != good
        place.write_bytes(bad)
        found, why = store.load(OPINION)
        assert found is None and why.startswith(f"dropped {place}: "), why
    assert not list(tmp_path.rglob("*.part"))


def test_two_runs_that_part_are_not_deterministic(tmp_path: Path) -> None:
    store = OpinionStore(tmp_path)
    store.keep(OPINION)
    other = replace(OPINION, artifacts=(SeenFile("a", "2" * 64), SeenFile("b", None)))
    assert store.keep(other).unsteady == ("a",)
    assert store.keep(other).unsteady == ("a",), "it is not forgotten by a run that agrees"
    assert store.keep(replace(other, inputs={"tool": "2"})).unsteady == ()


def test_each_depends_on_the_code_that_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for name, maker in MAKERS.items():
        with suppress(BadInput):  # it cannot be made here
            found[name] = maker.inputs(embedded())
            assert "bootstrap/runs/opinions.py" in found[name]
    assert {"core", "fast-path", "models", "ddc"} <= found.keys()
    assert "our tools" in found["ddc"] and "bootstrap/runs" in found["fast-path"]
    monkeypatch.setenv("BOOTSTRAP_HOT_PATH", "python")
    assert MAKERS["fast-path"].inputs(embedded())["hot path"] == "python"


def test_what_changed_before_its_turn_came_makes_it_none() -> None:
    maker = MAKERS["models"]
    before = {**maker.inputs(embedded()), "bootstrap/languages": SHA}
    sight = made(maker, embedded(), ENTRY, lambda _: None, before)
    assert not sight.files and "bootstrap/languages changed before it was made" in sight.unmade


# -- the command -----------------------------------------------------------------------------------

CHEAP = "core,fast-path,models"


def confirm(cache: Path, *arguments: str, **more: str) -> Done:
    release = () if "--source" in arguments else ("--release", EMBEDDED)
    return inside("confirm", *release, *arguments, env={"BOOTSTRAP_CACHE": str(cache), **more})


def document(done: Done) -> Any:
    found = json.loads(done.stdout)
    schema = json.loads((ROOT / "docs" / "confirm.schema.json").read_text("utf-8"))
    jsonschema.Draft202012Validator(schema).validate(found)
    return found


def test_made_once_kept_and_made_again(tmp_path: Path) -> None:
    summary, page = tmp_path / "summary.md", tmp_path / "page.html"
    cache, first = tmp_path / "cache", tmp_path / "first.json"
    assert "TOO FEW" in (none := confirm(cache)).stdout and none.status == 1
    done = confirm(cache, "--run", CHEAP, "--json", "-", "--html", str(page),
                   GITHUB_STEP_SUMMARY=str(summary))  # fmt: skip
    assert done.status == 0, done.stderr
    found = document(done)
    first.write_text(done.stdout)
    states = {one["way"]["name"]: one["state"] for one in found["opinions"]}
    assert states["core"] == states["models"] == "made" and states["native"] == "not run"
    assert {row["independent"] for row in found["artifacts"]} == {2}
    assert "CONFIRMED" in summary.read_text("utf-8") and "CONFIRMED" in page.read_text("utf-8")
    assert "CONFIRMED" in done.stderr
    again = document(confirm(cache, "--run", CHEAP, "--json", "-"))
    assert {o["state"] for o in again["opinions"] if o["opinion"]} == {"kept"}
    kept = cache / "confirm" / EMBEDDED / f"x86-{ENTRY}" / "models.json"
    kept.write_text(kept.read_text().replace('"how": "models', '"how": "Models'))
    edited = confirm(cache, "--json", "-")
    [why] = [o["why"] for o in document(edited)["opinions"] if o["way"]["name"] == "models"]
    assert "was edited" in why and str(kept) in why and edited.status == 1
    # With a baseline only what this run makes counts.
    lost = confirm(cache, "--run", "core", "--baseline", str(first))
    assert lost.status == 1 and "since the baseline: " in lost.stdout
    assert "lost fast-path, models" in lost.stdout
    same = confirm(cache, "--run", CHEAP, "--baseline", str(first), "--quiet")
    assert (same.status, same.stdout.count("\n")) == (0, 1), same.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--run", "core,qemu"), "--run qemu: unknown opinion; choose from all, core"),
        (("--fresh",), "--fresh goes with --run"),
        (("--attestation", "x"), "--attestation needs --policy"),
        (("--baseline", "no.json"), "no.json"),
        (("--json", "-", "--html", "-"), "only one output can have standard output"),
        (("--at-least", "0"), "must be 1 or more"),
        (("--source", "/nonexistent"), "/nonexistent"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = confirm(tmp_path, *arguments)
    assert done.status == 2 and said in done.stderr and not done.stdout


def test_a_summary_that_cannot_be_written_is_said_after_the_verdict(tmp_path: Path) -> None:
    done = confirm(tmp_path, GITHUB_STEP_SUMMARY=str(tmp_path / "none" / "summary.md"))
    assert done.status == 2 and "TOO FEW" in done.stdout
    assert "GITHUB_STEP_SUMMARY" in done.stderr and "No such file" in done.stderr


def test_a_tool_that_vanished_is_no_vote(tmp_path: Path) -> None:
    names = ("native", "qemu-user", "valgrind")
    tools = tmp_path / "tools"
    tools.mkdir()

    def why_not() -> list[str]:
        done = confirm(tmp_path, "--run", ",".join(names), "--json", "-", PATH=str(tools))
        rows = {one["way"]["name"]: one for one in document(done)["opinions"]}
        assert done.status == 1 and not any(rows[name]["result"] for name in names)
        return [rows[name]["why"] for name in names]

    assert all("bwrap: is not installed" in why for why in why_not())
    (tools / "bwrap").write_text("#!/bin/sh\necho bubblewrap 0.8.0\n")
    (tools / "bwrap").chmod(0o755)
    # The shell is not on the path, and is found by its place.
    assert "valgrind: is not installed (apt-get install valgrind)" in why_not()[2]
    (tools / "valgrind").write_text("#!/bin/sh\necho valgrind-3.19.0\n")
    (tools / "valgrind").chmod(0o755)
    assert "there is no none-x86-linux beside it" in why_not()[2]
    assert Cache(tmp_path).root == tmp_path


@pytest.mark.parametrize(
    ("ends", "said"), [("echo; exit 0", "0: no output"), ("echo broken; exit 3", "3: broken")]
)
def test_a_tool_that_has_no_version_is_no_vote(ends: str, said: str, tmp_path: Path) -> None:
    for name in ("bwrap", "qemu-i386-static"):
        version = "echo bubblewrap 0.8.0" if name == "bwrap" else ends
        (tmp_path / name).write_text(f"#!/bin/sh\n{version}\n")
        (tmp_path / name).chmod(0o755)
    done = confirm(tmp_path / "cache", "--json", "-", PATH=f"{tmp_path}:/usr/bin:/bin")
    [row] = [one for one in document(done)["opinions"] if one["way"]["name"] == "qemu-user"]
    assert done.status == 1 and row["result"] is None
    assert f"qemu-i386-static --version: ended with status {said}" in row["why"]


@pytest.mark.parametrize(
    ("status", "said"),
    [(0, "valgrind's tool does not execute a program"), (42, "bwrap: no output")],
)
def test_what_is_not_valgrinds_cpu_is_no_vote(
    status: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = MAKERS["valgrind"]
    try:
        inputs = maker.inputs(embedded())
    except BadInput as error:
        pytest.skip(str(error))
    # mov ebx, status; mov eax, 1 (exit); int 0x80
    tool = elf("x86", bytes((0xBB, status, 0, 0, 0, 0xB8, 1, 0, 0, 0, 0xCD, 0x80)))
    (tmp_path / "tool").write_bytes(tool)
    monkeypatch.setattr(by_valgrind, "_tool", lambda _arch: tmp_path / "tool")
    sight = made(replace(maker, inputs=lambda _: inputs), embedded(), ENTRY, lambda _: None, inputs)
    assert not sight.files and said in sight.unmade, sight


def test_what_a_program_left_leads_nobody_out_of_the_root(tmp_path: Path) -> None:
    box = HostBox(None, tmp_path / "root", "x86")  # type: ignore[arg-type]
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    (tmp_path / "root" / "program").symlink_to(outside)
    box.put("program", b"new")
    assert outside.read_bytes() == b"mine"
    assert (tmp_path / "root" / "program").read_bytes() == b"new"


def test_what_valgrind_cannot_run_ends_it_with_the_place() -> None:
    wrong, maker = flipped("hex1.hex0"), MAKERS["valgrind"]
    try:
        sight = made(maker, wrong, ENTRY, lambda _: None, maker.inputs(wrong))
    except BadInput as error:
        pytest.skip(str(error))
    if sight.unmade:
        pytest.skip(sight.unmade)
    assert sight.stopped == "tools.kaem:17: ./hex1 is no program for x86"
    assert sight.files["hex0"] and sight.files["hex1"] and sight.files["hex2"] is None


def test_only_a_program_gets_memory_behind_its_heap() -> None:
    program = elf("x86", b"\xc3")
    assert with_heap(program, "x86").endswith(program)
    for bad, said in (
        (b"", "cut off"), (program[:60], "cut off"), (b"MZ" + program[2:], "no program for x86"),
        (elf("amd64", b""), "no program for x86"),
        (program[:44] + b"\xff\0" + program[46:] + bytes(9000), "has 255 segments"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            with_heap(bad, "x86")


def test_a_program_that_would_run_beside_qemu_is_found(tmp_path: Path) -> None:
    programs = {"x86": elf("x86", b""), "amd64": elf("amd64", b""), "text": b"hello", "none": b""}
    for name, data in programs.items():
        (tmp_path / name).write_bytes(data)
    assert missed_by_qemu("x86", tmp_path, ["text", "none", "x86"]) is None
    said = missed_by_qemu("x86", tmp_path, programs)
    assert said == "amd64 is a program that QEMU would not have executed"
    shared = bytearray(programs["x86"])
    shared[16] = 3  # ET_DYN
    (tmp_path / "shared").write_bytes(shared)
    assert missed_by_qemu("x86", tmp_path, ["shared"])
