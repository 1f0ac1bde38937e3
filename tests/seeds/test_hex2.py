"""Our hex2 for x86 does what its model says, natively and emulated, and notices all failures."""

from __future__ import annotations

import functools
import re

import pytest

from bootstrap.abi.errno import Errno
from bootstrap.languages.fault import Kind
from bootstrap.languages.hex2 import MOST_LABELS
from bootstrap.languages.source import LARGEST
from tests.seeds import calls, tools
from tests.seeds.hex2 import BAD, GOOD, HEX2, SOURCE, assembled, expected

SIGNS = {b"!": 1, b"@": 2, b"~": 3, b"%": 4}


def test_the_source_says_its_size() -> None:
    found = re.search(rb", (\d+) bytes", SOURCE)
    assert found is not None
    assert int(found[1]) == len(HEX2) <= 2810


@tools.EACH
def test_good_programs(run: tools.Runner) -> None:
    for why, (program, output) in GOOD.items():
        wanted = bytes.fromhex(output)
        assert expected(program) == (0, wanted), why
        ended = run(HEX2, ["in", "out"], {"in": program, "out": b"what was there before " * 9})
        assert (ended.status, ended.files["out"]) == (0, wanted), why


@tools.EACH
@pytest.mark.parametrize("kind", BAD, ids=lambda kind: kind.name)
def test_bad_programs(run: tools.Runner, kind: Kind) -> None:
    for program in BAD[kind]:
        assert expected(program) == (kind, None), program
        ended = run(HEX2, ["in", "out"], {"in": program, "out": b"old"})
        assert (ended.status, ended.files["out"]) == (kind, b"old"), program
        assert run(HEX2, ["in", "out"], {"in": program}).files == {"in": program}


@tools.EACH
def test_the_first_error_counts(run: tools.Runner) -> None:
    firsts = {kind: programs[0] for kind, programs in BAD.items() if kind != Kind.UNFINISHED}
    for first in firsts.values():
        for other in firsts.values():
            program = first + b"\n" + other
            ended = run(HEX2, ["in", "out"], {"in": program})
            assert ended.status == expected(program)[0], program


@tools.EACH
@pytest.mark.parametrize("place", [b"%b", b"4%b", b":a%b", b"!a>b%b :b :a", b"#%b", b"%%a%b :a"])
def test_every_byte_in_every_place(run: tools.Runner, place: bytes) -> None:
    for byte in range(256):
        program = place % bytes([byte])
        assert assembled(run, program) == expected(program), program


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
        assert expected(compact)[0] == status
        assert assembled(run, compact) == expected(compact)


@tools.EACH
def test_the_reach_of_three_bytes(run: tools.Runner) -> None:
    # The model takes its time for so much output; what comes out is plain enough.
    ahead = b":b ~a " + b"&b " * (2**21 - 1)
    ended = run(HEX2, ["in", "out"], {"in": ahead + b"000000:a"})
    assert (ended.status, ended.files["out"][:4]) == (0, b"\xff\xff\x7f\x00")
    assert len(ended.files["out"]) == 3 + 2**23 - 1
    assert run(HEX2, ["in", "out"], {"in": ahead + b"00000000:a"}).status == Kind.OUT_OF_RANGE


def labels(count: int) -> bytes:
    return b"".join(b":L%d\n" % i for i in range(count))


@tools.EACH
def test_as_many_labels_as_there_is_room_for(run: tools.Runner) -> None:
    full = labels(MOST_LABELS)
    program = b"00" + full + b"!L0 !L65535 &L777"
    assert assembled(run, program) == expected(program)
    assert expected(program)[0] == 0
    for more, status in ((b":L7", Kind.DUPLICATE), (b":more", Kind.TOO_LARGE)):
        assert assembled(run, full + more) == expected(full + more) == (status, None)


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
    assert expected(program)[0] == 0
    assert assembled(run, program) == expected(program)


@tools.EACH
def test_an_input_of_16_mib_and_no_more(run: tools.Runner) -> None:
    program = b"#" * (LARGEST - 8) + b"\n42:a !a"
    assert len(program) == LARGEST
    assert assembled(run, program) == (0, b"B\xff")
    # A bad byte comes first in the source, but the size counts before all that it holds.
    assert assembled(run, b"\x00" + program) == expected(b"\x00" + program)
    assert expected(b"\x00" + program) == (Kind.TOO_LARGE, None)


@tools.EACH
def test_the_largest_output(run: tools.Runner) -> None:
    program = b":a " + b"&a " * ((LARGEST - 3) // 3)
    ended = run(HEX2, ["in", "out"], {"in": program})
    assert ended.status == 0
    assert ended.files["out"] == b"\x00\x80\x04\x08" * ((LARGEST - 3) // 3)


@tools.EACH
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 1),
        (["in"], 1),
        (["in", "out", "more"], 1),
        (["missing", "out"], 2),
        ([".", "out"], 2),
        (["", "out"], 2),
        (["in/in", "out"], 2),
        (["in", "."], 3),
        (["in", "missing/out"], 3),
        (["in", ""], 3),
        (["in", "/dev/full"], 3),  # where there is no such device, it cannot be created
    ],
    ids=str,
)
def test_what_is_not_there(run: tools.Runner, arguments: list[str], status: int) -> None:
    for files in ({"in": b"41"}, {"in": b"41", "out": b"old"}):
        ended = run(HEX2, arguments, files)
        assert (ended.status, ended.files) == (status, files)


@tools.EACH
def test_a_bad_input_counts_before_a_bad_output(run: tools.Runner) -> None:
    assert run(HEX2, ["in", "missing/out"], {"in": b"!a"}).status == Kind.UNDEFINED


@tools.EACH
def test_the_output_may_be_the_input(run: tools.Runner) -> None:
    assert run(HEX2, ["in", "in"], {"in": b":a 41 !a"}).files == {"in": b"A\xfe"}


def test_short_reads_and_writes_are_gone_on_with() -> None:
    program = b"00 :label !label # and so on\n%other>label :other 4142"
    for call in ("read", "write"):
        ended = calls.with_failing(call, [1, 3, 7], HEX2, ["in", "out"], {"in": program})
        assert (ended.status, ended.files["out"]) == expected(program)


@pytest.mark.parametrize(
    ("call", "results", "status"),
    [
        ("read", [Errno.EIO], 2),
        ("read", [9, Errno.EIO], 2),
        ("write", [Errno.ENOSPC], 3),
        ("write", [9, Errno.ENOSPC], 3),
        ("write", [9, 0], 3),
    ],
    ids=str,
)
def test_reads_and_writes_that_fail(call: str, results: list[int | Errno], status: int) -> None:
    ended = calls.with_failing(call, results, HEX2, ["in", "out"], {"in": b"41" * 20})
    assert ended.status == status
    assert ("out" in ended.files) == (status == 3)


def test_the_owner_may_run_the_output() -> None:
    assert calls.mode_of("out", HEX2, ["in", "out"], {"in": b"41"}) == 0o700
