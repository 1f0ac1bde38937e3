"""The walk in Unicorn: what it finds, and what it refuses to call proven."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrap.core import arches
from bootstrap.core.arches import ARCHES
from bootstrap.prove.proving import Proof, prove
from bootstrap.prove.relation import compare, moves
from bootstrap.prove.report import against, by_class, picture, to_text
from bootstrap.prove.walk import GOOD, NotProven, Walker
from bootstrap.sources import SourceTree
from tests.prove.material import OTHERS, X86, certificate, program, seed


@pytest.fixture(scope="module")
def x86() -> Proof:
    return prove(X86, arches.X86, 300)


def test_the_x86_seed_is_hex0_for_every_input(x86: Proof) -> None:
    assert x86.refused == ""
    assert x86.found is not None and x86.relation is not None
    assert (len(x86.found.states), len(set(x86.relation.classes))) == (36, 34)
    assert x86.relation.dialect == (True, False)
    assert x86.found.zero == frozenset()
    text = list(to_text(x86, "seed"))
    assert text[-1].startswith("PROVEN for all inputs: it is hex0, where G and g count")
    assert any("0G makes it write 10; plain hex0: nothing" in line for line in text)


def test_the_certificate_in_the_package_is_what_the_walk_writes(x86: Proof) -> None:
    assert x86.certificate.encode() == certificate("x86")


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


def test_all_bytes_and_calls_are_accounted_for(x86: Proof) -> None:
    assert x86.found is not None
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


@pytest.mark.exhaustive
@pytest.mark.upstream
@pytest.mark.parametrize("arch", OTHERS)
def test_upstreams_other_seeds(arch: str, release: SourceTree) -> None:
    (abi,) = (abi for abi in ARCHES if abi.upstream == arch)
    proof = prove(seed(release, arch), abi, 300)
    assert proof.refused == ""
    assert proof.certificate.encode() == certificate(arch)


def test_two_seeds_are_compared_with_each_other(x86: Proof) -> None:
    assert against(x86, x86) == (0, "PROVEN the same for all inputs")
    other = bytearray(X86)
    other[0x9D] = 6  # cmp al, 6: without G
    walker = Walker(bytes(other), arches.X86, GOOD, 300)
    found = walker.walk()
    walker.close()
    assert x86.found is not None
    difference, _ = compare(moves(x86.found), 0, moves(found), 0)
    assert difference is not None
    assert (difference.word, difference.one, difference.other) == (b"0G", "10", "nothing")


def test_the_picture_has_all_classes(x86: Proof, tmp_path: Path) -> None:
    assert x86.found is not None and x86.relation is not None
    svg = picture(x86)
    assert svg.count("<circle") == 34
    rows = by_class(x86.found, x86.relation)
    assert svg.count("marker-end") == 1 + sum(
        to != place for place, row in rows.items() for to in row
    )


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


def test_states_that_do_not_close_say_what_grows() -> None:
    with pytest.raises(NotProven, match=r"do not close: 20 at the limit.*ebp takes 1. values"):
        walker = Walker(X86, arches.X86, GOOD, 20)
        try:
            walker.walk()
        finally:
            walker.close()


def test_the_certificate_holds_no_bytes_of_the_seed(x86: Proof) -> None:
    document = json.loads(x86.certificate)
    assert set(document) == {"format", "arch", "sha256", "language", "zero", "states"}
    assert X86.hex()[0x98 : 0x98 + 16] not in x86.certificate
