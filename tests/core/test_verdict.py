"""Who makes a verdict, and when it says `verified`."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

import bootstrap
from bootstrap.core import verdict
from bootstrap.core.arches import X86
from bootstrap.core.errors import BadInput, ExitStatus
from bootstrap.core.release import (
    EntryPoint,
    Release,
    SourceFile,
    Tree,
    from_answers,
    read_release,
)
from bootstrap.core.verdict import (
    Findings,
    Outcome,
    Proposal,
    Verdict,
    compare,
    decide,
    run_in_core,
)
from tests.core.guest import Program
from tests.core.made_up import EMBEDDED_STEPS, MadeUp, embedded_files, made_up, sha256, tree_of


def embedded() -> tuple[Tree, Release]:
    return tree_of(embedded_files()), read_release(EMBEDDED_STEPS.read_bytes(), "embedded-x86.toml")


def good(one: MadeUp, **changed: str | None) -> Outcome:
    """What a runner says of a run in which all is as it should be, but for what is changed."""
    found: Mapping[str, str | None] = {**one.materials, **one.native, **one.answers, **changed}
    files = {path: sha for path, sha in found.items() if sha is not None}
    return Outcome((0,) * len(one.commands), files)


def proposed(one: MadeUp, outcome: Outcome) -> Findings:
    result = decide(one.tree(), one.release(), None, lambda tree, entry: outcome)
    assert isinstance(result, Proposal)
    return result.findings


# Who makes one.


def test_only_decide_makes_a_verdict() -> None:
    tree, release = embedded()
    made = decide(tree, release)
    assert isinstance(made, Verdict) and made.findings.result == "verified"
    for token in (None, object(), decide, verdict):
        with pytest.raises(TypeError, match=r"only .* makes a Verdict"):
            Verdict(made.findings, token)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(made, findings=made.findings)  # type: ignore[call-arg]
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.findings = made.findings  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.findings.result = "verified"  # type: ignore[misc]


def test_only_the_readers_make_a_release() -> None:
    _, release = embedded()
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(release, title="another")  # type: ignore[call-arg]
    values = {field.name: getattr(release, field.name) for field in dataclasses.fields(release)}
    with pytest.raises(TypeError, match="is read from a step file"):
        Release(**values, reader=None)


def test_nothing_else_of_ours_constructs_a_verdict() -> None:
    """By the names in the source: one call of Verdict, in decide; its key is named there only."""
    calls: list[str] = []
    keys: list[str] = []
    for file in Path(bootstrap.__file__).parent.rglob("*.py"):
        for top in ast.parse(file.read_text()).body:
            for node in ast.walk(top):
                name = getattr(node, "id", None) or getattr(node, "attr", None)
                where = f"{file.name}:{getattr(top, 'name', '')}"
                if isinstance(node, ast.Call) and "Verdict" in (
                    getattr(node.func, "id", None), getattr(node.func, "attr", None)
                ):  # fmt: skip
                    calls.append(where)
                if name == "_DECIDE":
                    keys.append(where)
    assert calls == ["verdict.py:decide"]
    assert keys == ["verdict.py:", "verdict.py:Verdict", "verdict.py:decide"]


def test_with_another_runner_it_is_a_proposal() -> None:
    tree, release = embedded()

    def watched(view: Tree, entry: EntryPoint) -> Outcome:
        return run_in_core(view, entry)

    made = decide(tree, release, None, watched)
    assert isinstance(made, Proposal) and not isinstance(made, Verdict)
    assert made.findings == decide(tree, release).findings


@pytest.mark.parametrize("executable", [True, False])
def test_a_file_of_the_tree_runs_only_with_an_x_bit(executable: bool) -> None:
    tree = Tree("t", {"guest": SourceFile(Program(X86).exit(0).elf(), executable)})
    outcome = run_in_core(tree, EntryPoint("e", (("./guest",),)))
    refused = "./guest cannot be executed: EACCES (Permission denied)"
    assert (outcome.statuses, outcome.failure) == (((0,), None) if executable else ((), refused))


def test_a_runner_is_given_nothing_of_what_should_come() -> None:
    """It sees the materials and the commands; the known values are not among them."""
    one = made_up()
    one.files["extra"] = b"not a material"
    given: list[tuple[Tree, EntryPoint]] = []

    def runner(tree: Tree, entry: EntryPoint) -> Outcome:
        given.append((tree, entry))
        return good(one)

    decide(one.tree(), one.release(), None, runner)
    [(tree, entry)] = given
    assert tree.files.keys() == one.materials.keys() and not tree.symlinks
    assert tree.folders == {"out"}
    assert tree.files["hex0-seed"].executable and not tree.files["main.c"].executable
    assert not any(value in repr(entry) for value in one.answers.values())


# When it is verified.


def test_the_made_up_release_is_met() -> None:
    one = made_up()
    made = decide(one.tree(), one.release())
    assert isinstance(made, Verdict)
    findings = made.findings
    assert findings.reasons == (f"as pinned by made-up.toml (sha256 {sha256(one.steps())})",)
    assert (findings.result, findings.exit_status) == ("as-pinned", ExitStatus.LESS_THAN_ASKED)
    assert findings.claim.endswith(f", as pinned by made-up.toml (sha256 {sha256(one.steps())}).")
    assert findings.tree_digest == one.tree().digest
    assert (findings.judged_by, findings.judged_by_sha256) == ("made-up.toml", sha256(one.steps()))
    assert all(file.matches for file in findings.artifacts)
    assert len(findings.artifacts) == 11


def test_a_shipped_step_file_is_known_by_its_bytes() -> None:
    tree, _ = embedded()
    text = EMBEDDED_STEPS.read_bytes()
    assert decide(tree, read_release(text, "mine.toml")).findings.result == "verified"
    changed = decide(tree, read_release(text + b"\n", "embedded-x86.toml")).findings
    assert changed.result == "as-pinned"


def test_the_claim_of_the_embedded_sources_says_that_upstreams_was_not_verified() -> None:
    claim = decide(*embedded()).findings.claim
    assert claim.startswith("All 10 answers of the embedded sources for x86 match")
    assert "upstream's were not verified" in claim


def test_an_answers_file_alone_is_less() -> None:
    answers = b"".join(f"{sha}  x86/{path}\n".encode() for path, sha in made_up().answers.items())
    release = from_answers(answers, "x86.answers", "x86")
    seed = {"bootstrap-seeds/POSIX/x86/kaem-optional-seed": b"", "kaem.x86": b""}
    found = {f"x86/{path}": sha for path, sha in made_up().answers.items()}
    made = decide(tree_of(seed), release, None, lambda tree, entry: Outcome((0,), found))
    assert made.findings.result == "answers-only"
    assert made.findings.exit_status == ExitStatus.LESS_THAN_ASKED
    assert "answers met; the sources were compared with no list" in made.findings.claim


def test_the_seed_is_no_answer() -> None:
    """It is there, whatever the run does: a list with nothing else would be met by a run of
    nothing."""
    line = f"{'0' * 64}  bootstrap-seeds/POSIX/x86/kaem-optional-seed\n".encode()
    with pytest.raises(BadInput, match=r"a:1: is not `sha256  path` of one more file"):
        from_answers(line, "a", "x86")
    assert from_answers(line, "a", "AMD64").known  # another architecture's is a file like any


# What is never verified.


@pytest.mark.parametrize("how", ["changed", "missing", "link", "folder"])
def test_a_tree_with_other_materials_is_not_run(how: str) -> None:
    one = made_up()
    tree = one.tree()
    files, links, folders = dict(tree.files), {}, frozenset[str]()
    file = files.pop("main.c")
    if how == "changed":
        files["main.c"] = dataclasses.replace(file, data=file.data + b" ")
    elif how == "link":
        links["main.c"] = "hex0.hex0"
    elif how == "folder":
        folders = frozenset({"main.c"})

    def runner(tree: Tree, entry: EntryPoint) -> Outcome:
        raise AssertionError("it was run")

    found = decide(Tree("t", files, links, folders), one.release(), None, runner).findings
    assert (found.result, found.exit_status) == ("incomplete", ExitStatus.DIFFERS)
    assert found.reasons == ("1 source files are not the release's, or not there: main.c",)
    assert found.artifacts == ()


def test_a_hidden_material_may_be_another() -> None:
    one = made_up()
    one.files["other-seed"] = b"1"
    one.fit()
    one.hidden = ["other-seed"]
    one.files["other-seed"] = b"2"
    seen: list[Tree] = []

    def runner(tree: Tree, entry: EntryPoint) -> Outcome:
        seen.append(tree)
        return good(one)

    assert decide(one.tree(), one.release(), None, runner).findings.result == "as-pinned"
    assert "other-seed" not in seen[0].files


OTHER = sha256(b"other")


@pytest.mark.parametrize(
    ("outcome", "result", "reason"),
    [
        (lambda one: good(one, M0=OTHER), "mismatch", "1 artifacts differ: M0"),
        (lambda one: good(one, hello=OTHER), "mismatch", "1 artifacts differ: hello"),
        (lambda one: good(one, M0=None), "incomplete", "1 artifacts are missing: M0"),
        (
            lambda one: good(one, **{"main.c": OTHER}),
            "incomplete",
            "the run changed 1 files of the release: main.c",
        ),
        (
            lambda one: good(one, **{"main.c": None}),
            "incomplete",
            "the run changed 1 files of the release: main.c",
        ),
        (
            lambda one: dataclasses.replace(good(one), statuses=(0, 0, 0, 256)),
            "error",
            "a command ended with wait status 0x100",
        ),
        (
            lambda one: dataclasses.replace(good(one), statuses=(0, 0, 0)),
            "error",
            "not every command was run",
        ),
        (
            lambda one: dataclasses.replace(good(one), statuses=()),
            "error",
            "not every command was run",
        ),
        (
            lambda one: dataclasses.replace(good(one), failure="a limit"),
            "error",
            "the guest failed: a limit",
        ),
    ],
)  # fmt: skip
def test_what_is_not_as_it_must_be(outcome: object, result: str, reason: str) -> None:
    one = made_up()
    assert callable(outcome)
    found = proposed(one, outcome(one))
    assert (found.result, found.reasons[0]) == (result, reason)
    assert found.exit_status in (ExitStatus.DIFFERS, ExitStatus.GUEST_FAILED)
    assert reason in found.claim


def test_values_that_disagree_are_never_met() -> None:
    one = made_up()
    one.native["M0"] = OTHER
    found = proposed(one, good(one, M0=one.answers["M0"]))
    assert (found.result, found.reasons) == ("mismatch", ("1 artifacts differ: M0",))


def test_without_an_answer_there_is_nothing_to_meet() -> None:
    one = made_up()
    one.native, one.answers = {**one.answers, **one.native}, {}
    found = proposed(one, good(one))
    assert found.result == "incomplete"
    assert found.reasons == ("there is no known-good answer to compare with",)


def test_a_file_where_a_directory_must_be() -> None:
    one = made_up()
    one.files["out"] = b""
    one.fit()
    with pytest.raises(BadInput, match="out must be a folder"):
        decide(one.tree(), one.release())


def test_an_entry_that_there_is_not() -> None:
    with pytest.raises(BadInput, match="has no entry kaem; it has hex0-seed"):
        decide(*embedded(), entry="kaem")


# The core's own runner.


def test_a_guest_that_cannot_be_started() -> None:
    one = made_up()
    one.commands[1] = ["./nowhere"]
    found = decide(one.tree(), one.release()).findings
    assert found.result == "error" and found.exit_status == ExitStatus.GUEST_FAILED
    assert found.reasons[0].startswith("the guest failed: ./nowhere cannot be executed: ENOENT")


def test_a_guest_that_ends_badly() -> None:
    one = made_up()
    one.commands.append(["./catm", "whole", "nowhere"])
    found = decide(one.tree(), one.release()).findings
    assert found.result == "error"
    assert found.reasons[0] == "a command ended with wait status 0x200"


def test_a_guest_that_faults() -> None:
    one = made_up()
    seed = bytearray(one.files["hex0-seed"])
    seed[0x54:] = b"\x0f\x0b" * (len(seed[0x54:]) // 2) + b"\x0f"  # ud2
    one.files["hex0-seed"] = bytes(seed)
    one.fit()
    found = decide(one.tree(), one.release()).findings
    assert found.result == "error"
    assert found.reasons[0].startswith("the guest failed: /hex0-seed, pid 1: invalid instruction")


def test_a_run_that_changes_its_sources() -> None:
    one = made_up()
    one.commands.append(["./catm", "main.c", "hello.M1"])
    found = decide(one.tree(), one.release()).findings
    assert found.reasons == ("the run changed 1 files of the release: main.c",)


def test_only_regular_files_are_products() -> None:
    products = {"a": OTHER}
    one = made_up().release()
    assert [file.sha256 for file in compare(products, one.known)] == [None] * 11
