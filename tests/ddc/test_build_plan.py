"""What is compared is read from upstream's script; nothing that is not understood is skipped."""

from __future__ import annotations

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.ddc import plan
from tests.ddc.sample import SCRIPT, step, tree


def test_the_commands_are_those_of_the_script_up_to_m2() -> None:
    found = plan(tree(), step())
    assert [(s.language, s.inputs, s.output) for s in found] == [
        ("hex0", ("x86/hex0_x86.hex0",), "x86/artifact/hex0"),
        ("hex0", ("x86/kaem-minimal.hex0",), "x86/artifact/kaem-0"),
        ("hex0", ("x86/hex0_x86.hex0",), "x86/artifact/hex1"),
        ("catm", ("one.c", "two.c"), "x86/artifact/both.c"),
        ("hex0", ("x86/hex0_x86.hex0",), "x86/artifact/M2"),
    ]
    assert found[3].where == "x86/mescc-tools-mini-kaem.kaem:3"
    assert found[3].argv[0] == "./x86/artifact/catm"


@pytest.mark.parametrize(
    ("script", "says"),
    [
        (SCRIPT.replace(b"artifact/M2", b"artifact/M3"), "reached: no program|no command makes"),
        (b"./x86/artifact/rm ./a ./b\n", r":1: \./x86/artifact/rm is no program"),
        (b"./x86/artifact/hex0 ./a\n", r":1: \./x86/artifact/hex0 with 1 arguments"),
        (b"./x86/artifact/hex0 a b c\n", r":1: \./x86/artifact/hex0 with 3 arguments"),
        (b"./x86/artifact/catm ./a\n", r":1: \./x86/artifact/catm with 1 arguments"),
        (b'./x86/artifact/hex0 "a\n', "not in the language of kaem: .*kaem:1:"),
        (b"", "no command makes M2"),
    ],
)
def test_another_script_is_refused(script: bytes, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        plan(tree(script), step())


def test_a_tree_without_the_script_is_refused() -> None:
    whole = tree()
    files = {name: f for name, f in whole.files.items() if not name.endswith(".kaem")}
    with pytest.raises(BadInput, match=r"there is no x86/mescc-tools-mini-kaem\.kaem"):
        plan(whole.but(files=files), step())
