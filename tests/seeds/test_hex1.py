"""Our hex1 for x86 does what its model says: what the other assemblers have no tests of."""

from __future__ import annotations

from bootstrap.languages.fault import Kind
from bootstrap.languages.source import LARGEST
from tests.seeds import tools
from tests.seeds.hex1 import HEX1


@tools.EACH
def test_the_first_error_counts_and_what_is_not_defined_comes_last(run: tools.Runner) -> None:
    # What ends the input cannot come first.
    firsts = {Kind.BAD_CHARACTER: b"?", Kind.ODD_DIGITS: b"4:b", Kind.DUPLICATE: b":a:a"}
    for first, one in firsts.items():
        for other in (b"?", b"4:b", b":c:c", b":", b"%", b"4"):
            program = b"%u " + one + b" " + other
            assert HEX1.made(run, program) == HEX1.expected(program) == (first, None), program


@tools.EACH
def test_every_label(run: tools.Runner) -> None:
    labels = bytes(range(0x21, 0x7F))
    program = b"".join(b"%%%c" % label for label in labels)
    program += b"".join(b" :%c %02X" % (label, label) for label in labels)
    wanted = HEX1.expected(program)
    assert wanted[0] == 0
    assert HEX1.made(run, program) == wanted


@tools.EACH
def test_the_largest_output(run: tools.Runner) -> None:
    # Every two bytes of input make four of output: both tables are as full as they can get.
    count = (LARGEST - 2) // 2
    ended = run(HEX1.tool, ["in", "out"], {"in": b":a" + b"%a" * count})
    assert (ended.status, len(ended.files["out"])) == (0, 4 * count)
    for place in (1, 2, count // 2, count):
        field = ended.files["out"][4 * place - 4 : 4 * place]
        assert int.from_bytes(field, "little", signed=True) == -4 * place
