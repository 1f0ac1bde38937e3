"""`bootstrap prove`: what the walk in Unicorn finds, and what it refuses to call proven."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest

from bootstrap.cli.main import main
from bootstrap.core import arches
from bootstrap.core.arches import ARCHES
from bootstrap.prove import check, proving
from bootstrap.prove.check import decide
from bootstrap.prove.proving import Proof, prove
from bootstrap.prove.report import against, by_class, to_text
from bootstrap.sources import SourceTree
from tests.prove.material import OTHERS, X86, certificate, program, seed

# A walk takes seconds, and one serves many tests: one worker makes it.
pytestmark = pytest.mark.xdist_group("prove")


class Proven(NamedTuple):
    """What `bootstrap prove` found, said and wrote."""

    status: int
    proof: Proof
    out: list[str]
    folder: Path


def by_command(data: bytes, folder: Path, *options: str) -> Proven:
    made: list[Proof] = []

    def prove_and_keep(*arguments: object) -> Proof:
        made.append(prove(*arguments))  # type: ignore[arg-type]
        return made[-1]

    (folder / "seed").write_bytes(data)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.setattr(proving, "prove", prove_and_keep)
        outputs = ["-o", str(folder / "cert"), "--svg", str(folder / "svg")]
        status = main(["prove", str(folder / "seed"), *outputs, *options])
    return Proven(status, made[0], out.getvalue().splitlines(), folder)


@pytest.fixture(scope="module")
def proven(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proven]:
    folder = tmp_path_factory.mktemp("prove")
    yield by_command(X86, folder, "--arch", "x86", "--json", str(folder / "json"))


@pytest.fixture(scope="module")
def x86(proven: Proven) -> Proof:
    return proven.proof


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Proven:
    """Of a seed where '!' begins a comment in place of '#'."""
    data = bytearray(X86)
    data[0x8B] = ord("!")
    return by_command(bytes(data), tmp_path_factory.mktemp("other"))


def test_the_x86_seed_is_hex0_for_every_input(proven: Proven) -> None:
    proof = proven.proof
    assert (proven.status, proof.refused) == (0, "")
    assert proof.relation is not None
    assert (len(proof.found.states), len(set(proof.relation.classes))) == (36, 34)
    assert proof.relation.dialect == (True, False)
    assert proof.found.zero == frozenset()
    assert proven.out[-1].startswith("PROVEN for all inputs: it is hex0, where G and g count")
    assert any("0G makes it write 10; plain hex0: nothing" in line for line in proven.out)


def test_the_certificate_in_the_package_is_what_the_walk_writes(proven: Proven) -> None:
    written = (proven.folder / "cert").read_bytes()
    assert written == certificate("x86") == proven.proof.certificate.encode()
    assert set(json.loads(written)) == {"format", "arch", "sha256", "language", "zero", "states"}
    assert X86.hex()[0x98 : 0x98 + 16] not in written.decode()  # none of the seed's own bytes
    assert decide(written, X86)[0] == 0


def test_the_document_is_of_its_schema(proven: Proven, checkout: Path) -> None:
    document = json.loads((proven.folder / "json").read_text())
    jsonschema.validate(document, json.loads((checkout / "docs" / "prove.schema.json").read_text()))
    assert document["proven"] and document["language"]["classes"] == 34


def test_the_picture_has_all_classes(proven: Proven) -> None:
    found, relation = proven.proof.found, proven.proof.relation
    assert relation is not None
    svg = (proven.folder / "svg").read_text()
    assert svg.startswith("<svg ") and svg.count("<circle") == 34
    rows = by_class(found, relation)
    arrows = sum(to != place for place, row in rows.items() for to in row)
    assert svg.count("marker-end") == 1 + arrows


def test_what_it_says_of_failures_is_what_docs_hex0_says(x86: Proof) -> None:
    said = {finding.what: finding.then for finding in x86.findings}
    assert said["OUTPUT cannot be opened"] == (
        "it reads 0 bytes; where that gives 0, exit 0, nothing written"
    )
    assert (
        "the byte that the buffer holds counts once more" in said["a read fails or is interrupted"]
    )
    assert "does not look" in said["a write fails, is short, or finds no room"]
    assert not [then for then in said.values() if "not closed" in then]


def test_only_a_proven_seed_is_said_not_to_look_at_argc(
    x86: Proof, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk tries three values of argc; the checker, all."""
    monkeypatch.setattr(proving, "_explore", lambda _make: (x86.found, x86.relation, ()))
    assert prove(X86, arches.X86, 300).findings == (x86.findings[-1],)
    monkeypatch.setattr(check, "decide", lambda *_files: (1, "NOT proven: a branch"))
    assert prove(X86, arches.X86, 300).findings == ()
    assert x86.findings[-1].what == "arguments are missing or too many"


def test_all_bytes_and_calls_are_accounted_for(x86: Proof) -> None:
    code = {a + n for a, (size, _) in x86.found.executed.items() for n in range(size)}
    assert code == set(range(0x0804804C, 0x080480B5))
    assert not x86.found.data and not x86.found.stored
    assert [(call.name, call.arguments) for call in sorted(x86.found.calls)] == [
        ("open", ("word 2", "0x0")),
        ("open", ("word 3", "0x241", "0x1c0")),
        ("read", ("in", "sp+16", "0x1")),
        ("exit", ("0x0",)),
        ("write", ("out", "a byte", "0x1")),
    ]


def test_what_the_checker_refuses_is_not_said_to_be_checked(x86: Proof) -> None:
    assert any("checked" in line for line in to_text(x86, "x"))
    lines = list(to_text(replace(x86, refused="why"), "x"))
    assert lines[-1] == "NOT PROVEN: why" and not any("checked" in line for line in lines)


@pytest.mark.exhaustive
@pytest.mark.upstream
@pytest.mark.parametrize("arch", OTHERS)
def test_upstreams_other_seeds(arch: str, release: SourceTree) -> None:
    (abi,) = (abi for abi in ARCHES if abi.upstream == arch)
    proof = prove(seed(release, arch), abi, 300)
    assert proof.refused == ""
    assert proof.certificate.encode() == certificate(arch)


def test_a_seed_that_is_another_is_not_proven(other: Proven) -> None:
    assert other.status == 1
    assert other.out[-1] == "NOT PROVEN: it is not hex0"
    differs = "  differs     !00 makes it write nothing; hex0, where G and g count"
    assert differs in "\n".join(other.out)
    assert not (other.folder / "cert").exists()


def test_two_seeds_are_compared_with_each_other(x86: Proof, other: Proven) -> None:
    assert against(x86, x86) == (0, "PROVEN the same for all inputs")
    status, line = against(x86, other.proof)
    assert (status, line) == (1, "DIFFERENT: !00 makes it write 00; the other: nothing")


# exit(0) at once; read and loop: `mov eax, 3; int 0x80` and so on.
LOOP = bytes.fromhex("ebfe")
EXIT = bytes.fromhex("31db 6a01 58 cd80")
EXECVE = bytes.fromhex("6a0b 58 cd80")
# mov ecx, 0x8048054; mov byte [ecx], 0x90; nop; nop: the second nop is stored to.
CHANGES = bytes.fromhex("b954800408 c60190 90 90") + EXIT


@pytest.mark.parametrize(
    "code, why",
    [
        (LOOP, "no system call after 5000 steps"),
        (EXIT, "it reads nothing: exit 0"),
        (EXECVE, "the system call execve, which no hex0 needs"),
        (CHANGES, "it changes its own code, at 0x8048054"),
        (b"\x0f\x0b", "a fault: "),
        (b"\x85\xdb\x75\x00" + EXIT, "it reads nothing: exit 0"),
        (b"\x80\x3c\x24\x80\x72\x01\x40" + EXIT, "hangs on something that has no value"),
        (b"\x8b\x44\x24\x20" + EXIT, "it reads [sp+32], which has no value"),
    ],
)
def test_what_is_no_hex0_is_never_proven(code: bytes, why: str) -> None:
    proof = prove(program(code), arches.X86, 300)
    assert why in proof.refused, proof.refused
    assert not proof.certificate
    assert list(to_text(proof, "x"))[-1].startswith("NOT PROVEN: ")


def test_a_walk_that_does_not_close_says_what_it_has(
    tmp_path: Path, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "seed").write_bytes(X86)
    assert main(["prove", str(tmp_path / "seed"), "--states", "4", "--json", "-"]) == 1
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, json.loads((checkout / "docs" / "prove.schema.json").read_text()))
    walk = document["walk"]
    assert (walk["states"], document["proven"], document["language"]) == (4, False, None)
    assert set(range(0x4C, 0x80)) < set(walk["executed"]) and len(walk["calls"]) > 2
    proof = prove(X86, arches.X86, 20)
    assert against(proof, proof) == (1, "NOT COMPARED: not both are walked")
    lines = list(to_text(proof, "x"))
    assert lines[1] == "  walked      20 states at read(2), 771 transitions, and no further"
    assert "ebp takes 1" in lines[-1]


@pytest.mark.parametrize(
    "data, options, status, why",
    [
        (b"hello", [], 2, "no Linux program of an architecture"),
        (b"", [], 2, "is empty"),
        (X86, ["--arch", "AMD64"], 2, "a program for x86, not for AMD64"),
        (X86, ["--states", "0"], 2, "must be 1 or more"),
        (X86[:60], [], 2, "Linux does not start it"),
        (bytes(100_000), [], 2, "no hex0 seed has that many"),
        (X86, ["--states", "2"], 1, "NOT PROVEN: its states do not close: 2 at the limit, where"),
        (program(LOOP), ["--against", "seed"], 1, "NOT COMPARED: not both are walked"),
    ],
)
def test_what_it_does_not_take_or_cannot_walk(
    data: bytes, options: list[str], status: int, why: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "seed").write_bytes(data)
    assert main(["prove", "seed", *options]) == status
    out, err = capsys.readouterr()
    assert why in (out.splitlines()[-1] if status == 1 else err)
    assert status == 1 or err.count("\n") == 1
