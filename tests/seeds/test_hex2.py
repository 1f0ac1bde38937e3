"""Our hex2 for x86 does what its model says: what the other assemblers have no tests of."""

from __future__ import annotations

import functools

import pytest

from bootstrap.languages.fault import Kind
from bootstrap.languages.hex2 import MOST_LABELS
from bootstrap.languages.source import LARGEST
from tests.seeds import tools
from tests.seeds.hex2 import HEX2

SIGNS = {b"!": 1, b"@": 2, b"~": 3, b"%": 4}


@tools.EACH
@pytest.mark.parametrize("place", [b"%b", b"4%b", b":a%b", b"!a>b%b :b :a", b"#%b", b"%%a%b :a"])
def test_every_byte_in_every_place(run: tools.Runner, place: bytes) -> None:
    for byte in range(256):
        program = place % bytes([byte])
        assert HEX2.made(run, program) == HEX2.expected(program), program


@tools.EACH
@pytest.mark.parametrize("sign", SIGNS, ids=bytes.decode)
def test_the_reach_of_a_reference(run: tools.Runner, sign: bytes) -> None:
    width = SIGNS[sign]
    far = 2 ** (8 * width - 1) if width < 3 else 2**12
    too_far = Kind.OUT_OF_RANGE if width < 3 else 0
    for program, status in (
        (b":a" + b" 00" * (far - width) + sign + b"a", 0),
        (b":a" + b" 00" * (far - width + 1) + sign + b"a", too_far),
        (sign + b"a" + b" 00" * (far - 1) + b":a", 0),
        (sign + b"a" + b" 00" * far + b":a", too_far),
        (b":a" + b" 00" * (far - 1) + b":b " + sign + b"b>a", 0),
        (b":a" + b" 00" * far + b":b " + sign + b"b>a", too_far),
        (b":a" + b" 00" * far + b":b " + sign + b"a>b", 0),
        (b":a" + b" 00" * (far + 1) + b":b " + sign + b"a>b", too_far),
    ):
        compact = program.replace(b" 00", b"00").replace(b"a00", b"a 00")
        assert HEX2.expected(compact)[0] == status
        assert HEX2.made(run, compact) == HEX2.expected(compact)


@tools.EACH
def test_the_reach_of_three_bytes(run: tools.Runner) -> None:
    # The model takes its time for so much output; what comes out is plain enough.
    ahead = b":b ~a " + b"&b " * (2**21 - 1)
    ended = run(HEX2.tool, ["in", "out"], {"in": ahead + b"000000:a"})
    assert (ended.status, ended.files["out"][:4]) == (0, b"\xff\xff\x7f\x00")
    assert len(ended.files["out"]) == 3 + 2**23 - 1
    assert run(HEX2.tool, ["in", "out"], {"in": ahead + b"00000000:a"}).status == Kind.OUT_OF_RANGE


def labels(count: int) -> bytes:
    return b"".join(b":L%d\n" % i for i in range(count))


@tools.EACH
def test_as_many_labels_as_there_is_room_for(run: tools.Runner) -> None:
    full = labels(MOST_LABELS)
    program = b"00" + full + b"!L0 !L65535 &L777"
    assert HEX2.made(run, program) == HEX2.expected(program)
    assert HEX2.expected(program)[0] == 0
    for more, status in ((b":L7", Kind.DUPLICATE), (b":more", Kind.TOO_LARGE)):
        assert HEX2.made(run, full + more) == HEX2.expected(full + more) == (status, None)


@tools.EACH
def test_names_that_collide(run: tools.Runner) -> None:
    # The table's slots are chosen by 101 * hash + character, modulo 2**17.
    by_slot: dict[int, list[bytes]] = {}
    for name in (b"x%d" % i for i in range(60000)):
        slot = functools.reduce(lambda so_far, character: so_far * 101 + character, name, 0)
        by_slot.setdefault(slot % 2**17, []).append(name)
    names = [name for group in by_slot.values() if len(group) > 2 for name in group][:600]
    assert len(names) == 600
    alike = [b"n" * length for length in range(1, 200)]
    program = b"".join(b":%b 00 " % name for name in names + alike)
    program += b"".join(b"@%b>n " % name for name in names + alike)
    assert HEX2.expected(program)[0] == 0
    assert HEX2.made(run, program) == HEX2.expected(program)


@tools.EACH
def test_the_largest_output(run: tools.Runner) -> None:
    program = b":a " + b"&a " * ((LARGEST - 3) // 3)
    ended = run(HEX2.tool, ["in", "out"], {"in": program})
    assert ended.status == 0
    assert ended.files["out"] == b"\x00\x80\x04\x08" * ((LARGEST - 3) // 3)
