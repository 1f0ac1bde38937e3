"""Our hex1 for x86, and programs of each kind for the tests."""

from __future__ import annotations

from hypothesis import strategies as st

from bootstrap.languages.fault import Kind
from tests.seeds import ours
from tests.seeds.assembler import Assembler, some

GOOD: dict[bytes, bytes] = {
    b"": b"",
    b" \t\r\n# only a comment": b"",
    b"00 ff aB\nC\td 4#x\n2 4;x\r\n3": b"\x00\xff\xab\xcd\x42\x43",
    b":a": b"",
    b":a%a": b"\xfc\xff\xff\xff",
    b"%a:a": b"\x00\x00\x00\x00",
    b"%b 11 :a 22 %a :b": b"\x06\x00\x00\x00\x11\x22\xfb\xff\xff\xff",
    # Any byte from '!' to '~' is a name, also one that means something elsewhere.
    b":: :% :# :; :! :~ :0%~%!%;%#%%%:%0": b"".join(
        (-at).to_bytes(4, "little", signed=True) for at in range(4, 29, 4)
    ),
    b"%a" * 70 + b":a": b"".join((4 * i).to_bytes(4, "little") for i in range(69, -1, -1)),
}
"""Programs and their output."""

BAD: dict[Kind, list[bytes]] = {
    Kind.BAD_CHARACTER: [
        *(bytes([byte]) for byte in range(256) if byte not in b"0123456789ABCDEFabcdef:%#; \t\r\n"),
        *(b":" + bytes([byte]) for byte in (0, 9, 10, 13, 32, 127, 128, 255)),
        *(b"%" + bytes([byte]) for byte in (0, 9, 10, 13, 32, 127, 128, 255)),
        b"4g",
        b"# x\n\x00",
        b":a:\x01",
    ],
    Kind.ODD_DIGITS: [b"4", b"414", b"4 # 2", b"4:a 2", b"4%a2:a", b"4:", b"4%", b"4:\x00"],
    Kind.UNDEFINED: [b"%a", b":a%b", b"%a%a:b", b"%a:A"],
    Kind.DUPLICATE: [b":a:a", b":a 42 %a :a", b":~ :a :~"],
    Kind.UNFINISHED: [b":", b"%", b"42 :a %a :", b"42%"],
}
"""Programs by what is wrong with them."""

# Random programs. A program is a list of pieces; what stands between the digits of a pair is a
# piece of blanks, too. Upstream's hex1 ends a comment at CR, so only the programs that are not for
# it have one there.

BLANKS = st.sampled_from([b"", b"", b" ", b"\n", b"\t", b"\r\n"])
COMMENTS = st.builds(
    lambda sign, text: bytes([sign, *text, 10]),
    st.sampled_from(b"#;"),
    st.lists(st.sampled_from(b"#;:%aG4 \x00\xff"), max_size=6),
)
LABELS = st.integers(0x21, 0x7E)


@st.composite
def programs(draw: st.DrawFn, between: st.SearchStrategy[bytes] = BLANKS | COMMENTS) -> bytes:
    """A program without errors."""
    defined = draw(st.lists(LABELS, unique=True, max_size=8))
    pieces = [b":" + bytes([label]) for label in defined]
    if defined:
        used = draw(st.lists(st.sampled_from(defined), max_size=8))
        pieces += [b"%" + bytes([label]) for label in used]
    for high, low in draw(st.lists(st.tuples(*[st.sampled_from(b"0189aAfF")] * 2), max_size=20)):
        pieces.append(bytes([high]) + draw(between) + bytes([low]))
    return b"".join(piece + draw(between) for piece in draw(st.permutations(pieces)))


HEX1 = Assembler(
    "hex1",
    ours.HEX1,
    {str(program): (program, output) for program, output in GOOD.items()},
    BAD,
    programs=programs(BLANKS | COMMENTS | st.just(b"#\r4:\n")),
    common=programs(),
    odd=some(b"\x00\x7f\xff \n\r!:%-4GaF#;~"),
    noise=st.binary(max_size=12),
)
