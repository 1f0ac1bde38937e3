"""Our hex2 for x86, and programs of each kind for the tests."""

from __future__ import annotations

from hypothesis import strategies as st

from bootstrap.languages.fault import Kind
from tests.seeds import ours
from tests.seeds.assembler import Assembler, some

GOOD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", ""),
    "only blanks": (b" \t\r\n", ""),
    "digits of either case": (b"0123456789abcdefABCDEF", "0123456789abcdefabcdef"),
    "blanks within a pair": (b"4 1 4\n2 4\r\t3", "414243"),
    "comments within a pair": (b"4 # 5\n1 4; :a\n\n2", "4142"),
    "a comment without a newline": (b"41 # \x00\xff", "41"),
    "a CR does not end a comment": (b";x\r41\n42", "42"),
    "comment signs in comments": (b"#;# 41\n;#; 41\n42", "42"),
    "a reference back": (b":a !a @a ~a %a", "ff fdff faffff f6ffffff"),
    "a reference ahead": (b"!a @a ~a %a :a", "09 0700 040000 00000000"),
    "an address": (b"41 :a &a &b :b", "41 01800408 09800408"),
    "a reference to itself": (b":a %a>a !a>a", "00000000 00"),
    "bases": (
        b":a 0000 :b %b>a %a>b !b>a @a>b ~b>a",
        "0000 02000000 feffffff 02 feff 020000",
    ),
    "a base that is defined later": (b"%a>b :a 00 :b", "ffffffff 00"),
    "a reference at once after digits": (b"00!a 00@a 00:a", "0004 000100 00"),
    "digits after a label": (b":41 41 !41", "41 fe"),
    "signs in names": (b":a:!@$%&~#;\"' 00 !a:!@$%&~#;\"'", "00 fe"),
    "names of one sign": (b":# 00 :; 00 :: 00 :! !# !; !: !!", "000000 fc fc fc fc"),
    "names end at any blank": (b":a\t00\n!a\r!a\n!a\t!a>a\r41", "00 fe fd fc 00 41"),
    "a name at the end": (b"00 :a !a", "00 ff"),
    "a base at the end": (b"00 :a !a>a", "00 00"),
    "a definition at the end": (b"!a 41 :a", "01 41"),
    "case matters": (b":a 00 :A !a !A", "00 fe fe"),
    "names that begin alike": (b":a 00 :aa 00 :aaa !aa !a !aaa", "0000 fe fc fd"),
    "labels in one place": (b":a :b :c !a !b>c", "ff 00"),
    "labels that are not used": (b":a 41 :b 42 :c", "4142"),
}
"""Programs and their output, in hexadecimal."""

SIGNS = (b":", b"!", b"@", b"~", b"$", b"%", b"&")

BAD: dict[Kind, list[bytes]] = {
    Kind.BAD_CHARACTER: [
        b"41 G",
        b"g",
        b"x",
        b"4x1",
        b"\x00",
        b"\x0b",
        b"\x0c",
        b"\x7f",
        b"\xa0",
        b"41,42",
        b">",
        b"<4",
        b"^a",
        b".",
        b"-1",
        *(sign + b" a" for sign in SIGNS),
        *(sign + b"\n" for sign in SIGNS),
        *(sign + b">a" for sign in SIGNS),
        *(sign + b"a\x00 :a" for sign in SIGNS),
        *(sign + b"\x7f" for sign in SIGNS),
        b":a>b",
        b":a>",
        b"$a>b",
        b"$a>",
        b"&a>b",
        b"&a>",
        b"!a> :a",
        b"!a>\n",
        b"!a>>b",
        b"!a>b>c",
        b"!a>b>",
        b"!a>b\x80",
        b"!a>\x00",
        # The name is read whole before it is looked up.
        b":a :a\x01",
        b":a :a>",
    ],
    Kind.ODD_DIGITS: [
        b"4 :a",
        b"4",
        b"414",
        b"4 \n",
        b"4 # 1",
        b"4:",
        *(b"4" + sign + b"a :a" for sign in (b"!", b"@", b"~", b"$", b"%", b"&")),
        b"4 # 1\n!a",
        b"4!>",
        b"4:\x01",
    ],
    Kind.UNDEFINED: [
        b"!a",
        *(sign + b"a" for sign in (b"@", b"~", b"$", b"%", b"&")),
        b"!a>b :b",
        b"!b>a :b",
        b"%a>a",
        b":a !A",
        b":a !aa",
        b":aa !a",
        b":a !a !b",
        # In the order of the source: not the address out of range that comes later.
        b":a !b $a",
    ],
    Kind.DUPLICATE: [
        b":b :b",
        b":a 00 :a",
        b":a :b :c :a",
        b":a #\n:a !b",
        b"!b $a :a :a",
    ],
    Kind.OUT_OF_RANGE: [
        # No address is below 65536.
        b":a $a",
        b"$a 00 :a",
        b"!a " + b"00" * 128 + b":a",
        b":a " + b"00" * 128 + b"!a",
        b"@a " + b"00" * 32768 + b":a",
        b":a " + b"00" * 32768 + b"@a",
        b":a " + b"00" * 128 + b":b !b>a",
        b":a " + b"00" * 129 + b":b !a>b",
        b":a $a !b",
    ],
    Kind.UNFINISHED: [
        *SIGNS,
        b"!a>",
        b"%a>",
        b":a !a :",
        b":a !a>",
    ],
}
"""Programs by what is wrong with them."""

# What upstream's hex2-0 reads in a way of its own is left out of what both are given: '~' and
# carriage returns, '$' with an address that does not fit, names that end with the input.

NAMES = st.from_regex(rb"[!-=?-~]{1,9}", fullmatch=True)
BLANKS = st.sampled_from([b" ", b"\n", b"\t", b" \t\n", b" # 4 !1 :a\n", b"\n;\x00\xff~\n\n"])
MORE_BLANKS = BLANKS | st.sampled_from([b"\r", b"\r\n", b" #\r4\n"])
DIGITS = st.sampled_from(["%02x", "%02X", "%02x ", "%02X\n"])
BYTES = st.builds(lambda form, byte: (form % byte).encode(), DIGITS, st.integers(0, 255))


@st.composite
def programs(draw: st.DrawFn, signs: bytes, blanks: st.SearchStrategy[bytes], most: int) -> bytes:
    """A program whose labels are all defined, once; blocks of up to ``most`` bytes are in it."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique=True))
    known = st.sampled_from(names)
    reference = st.builds(
        lambda sign, name, base: b"%c%b%b" % (sign, name, b"" if sign in b"$&" else base),
        st.sampled_from(signs),
        known,
        st.just(b"") | known.map(b">".__add__),
    )
    block = st.integers(0, most).map(lambda length: b"0A" * length)
    items = draw(st.lists(st.lists(BYTES).map(b"".join) | reference | block, max_size=12))
    for name in names:
        items.insert(draw(st.integers(0, len(items))), b":" + name)
    return b"".join(item + draw(blanks) for item in items) + b"\n"


WRONG = st.sampled_from([one for some in BAD.values() for one in some if len(one) < 50])

HEX2 = Assembler(
    "hex2",
    ours.HEX2,
    {why: (program, bytes.fromhex(output)) for why, (program, output) in GOOD.items()},
    BAD,
    programs=programs(b"!@~%&", MORE_BLANKS, 3) | programs(b"!!!@~%&", MORE_BLANKS, 70),
    common=programs(b"!@%&", BLANKS, 20),
    odd=some(b"\x00\x7f\xff \n\r!:%$~>019xGaF#;") | WRONG.map(b" %b ".__mod__),
    noise=st.binary(max_size=30) | st.lists(st.sampled_from(b"4:!%>a \n")).map(bytes),
    statuses=frozenset({0, Kind.OUT_OF_RANGE}),
)
