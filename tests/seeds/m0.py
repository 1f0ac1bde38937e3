"""Our M0 for x86, and programs of each kind for the tests."""

from __future__ import annotations

from hypothesis import strategies as st

from bootstrap.languages.fault import Kind
from tests.seeds import ours
from tests.seeds.assembler import Assembler, some

GOOD: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "only blanks": (b" \t\r\n", b""),
    "a comment without a newline": (b"# \x00\xff", b""),
    "a CR does not end a comment": (b";x\r!1\n!2", b"02\n"),
    "a comment that ends with the input, a newline after it": (b"!1 #\n", b"01\n"),
    "comment signs within a token": (b":a#b :a;b", b":a#b\n:a;b\n"),
    "a macro": (b"DEFINE a 41 a a", b"41\n41\n"),
    "a macro named like a string's text": (b"DEFINE a 41 'a' \"a\"", b"a\n6100\n"),
    "a macro named like a reference": (b"DEFINE %a 41 %a", b"41\n"),
    "a macro named like a number": (b"DEFINE !1 41 !1 !2", b"41\n02\n"),
    "a macro named like a sign": (b"DEFINE ! 41 DEFINE : 42 ! :", b"41\n42\n"),
    "a value is not looked up": (b"DEFINE a b DEFINE b c a b", b"b\nc\n"),
    "a value is not evaluated": (b"DEFINE a !1 a", b"!1\n"),
    "the same macro again": (b"DEFINE a 1 DEFINE a 1 a", b"1\n"),
    "comments within a DEFINE": (b"DEFINE #x\n a\n;\n41\na DEFINE\n#\nb 42 b", b"41\n42\n"),
    "names that begin alike": (b"DEFINE a 1 DEFINE ab 2 DEFINE abc 3 ab abc a", b"2\n3\n1\n"),
    "nearly DEFINE": (b"DEFINE DEFIN 1 DEFINE DEFINED 2 DEFIN DEFINED", b"1\n2\n"),
    "strings": (b"\"a'\n# ;\" '41 \"\n42'", b'61270A23203B00\n41 "\n42\n'),
    "empty strings": (b"\"\" ''", b"00\n\n"),
    "tokens at once after strings": (b"'a''b'\"c\"!1 ''# no", b"a\nb\n6300\n01\n\n"),
    "quotes within a token": (b"DEFINE a\"b'c 41 a\"b'c :'", b"41\n:'\n"),
    "bytes in strings": (b"'\xff\x01' \"\xff\x01\"", b"\xff\x01\nFF0100\n"),
    "labels and references": (b":a &a %a>b !-a @- $a ~x:", b":a\n&a\n%a>b\n!-a\n@-\n$a\n~x:\n"),
    "numbers of all widths": (
        b"!1 @1 $1 ~1 %1 &1",
        b"01\n0100\n0100\n010000\n01000000\n01000000\n",
    ),
    "hexadecimal": (b"%0xAbCdEf !0x0F !0x00000000000f", b"EFCDAB00\n0F\n0F\n"),
    "decimal": (b"%4294967295 !007 !-0 %-00001 !0", b"FFFFFFFF\n07\n00\nFFFFFFFF\n00\n"),
    "the smallest": (
        b"!-128 @-32768 $-32768 ~-8388608 %-2147483648 &-2147483648",
        b"80\n0080\n0080\n000080\n00000080\n00000080\n",
    ),
    "the largest": (
        b"!255 @65535 $0xFFFF ~16777215 %0xffffffff &4294967295",
        b"FF\nFFFF\nFFFF\nFFFFFF\nFFFFFFFF\nFFFFFFFF\n",
    ),
}
"""Why, a program, and its output."""

SIGNS = (b":", b"!", b"@", b"~", b"$", b"%", b"&")

BAD: dict[Kind, list[bytes]] = {
    Kind.BAD_CHARACTER: [
        *(bytes([byte]) for byte in (0, 1, 8, 11, 12, 14, 31, 127, 128, 255)),
        *(b":a" + bytes([byte]) + b"b" for byte in (0, 1, 8, 11, 12, 14, 31, 127, 128, 255)),
        b"DEFINE a\x00 1",
        b"DEFINE a b\x80",
        b"'a\x00b'",
        b'"a\x00b"',
        b"'a\x00b",
        b"'a'\x00",
        b"DEFINE 'a' 1",
        b"DEFINE a '1'",
        b'DEFINE a "1"',
        b"DEFINE DEFINE 1",
        b"DEFINE a DEFINE",
        b"DEFINE a 1 DEFINE a '2'",
        *(sign + b" " for sign in SIGNS),
        *(sign + b"\n!1" for sign in SIGNS),
        *(
            b"%" + number
            for number in (b"1x", b"0x", b"0X1", b"0xG", b"-0x1", b"1-", b"-1-", b"0:")
        ),
        *(b"%0x" + bytes([byte]) for byte in b"/:@G`g"),
        *(b"%1" + bytes([byte]) for byte in b"/:AFaf!~"),
        b"%99999999999999999999x",
    ],
    Kind.UNDEFINED: [
        b"a",
        b"a DEFINE a 1",
        b"41",
        b"<1",
        b"=a",
        b"define a 1",
        b"DEFINED a 1",
        b"DEFIN a 1",
        b"DEFINE a b b",
        b"-1",
        b'a"b"',
    ],
    Kind.DUPLICATE: [
        b"DEFINE a 1 DEFINE a 2",
        b"DEFINE a 1 DEFINE a 11 a",
        b"DEFINE a 11 DEFINE a 1",
        b"DEFINE a 1 DEFINE b 2 DEFINE a 2 '",
    ],
    Kind.OUT_OF_RANGE: [
        *(b"!256 !-129 !0x100 !-4294967295 !4294967297".split()),
        *(b"@65536 @-32769 $65536 $-32769 @0x10000 $0x10000".split()),
        *(b"~16777216 ~-8388609 ~0x1000000".split()),
        *(b"%4294967296 %-2147483649 %-4294967296 %0x100000000".split()),
        *(b"&4294967296 &-2147483649 &-4294967295 &0x100000000".split()),
        b"%18446744073709551616",
        b"%18446744073709551617",
        b"%0x10000000000000001",
        b"!" + b"9" * 5000,
    ],
    Kind.UNFINISHED: [
        b"'",
        b'"',
        b"'abc\n",
        b"\"abc'",
        b"DEFINE",
        b"DEFINE ",
        b"DEFINE a",
        b"DEFINE a # 1",
        b"DEFINE a 1 DEFINE a",
        b"DEFINE 'a",
        *SIGNS,
        b"!1 !",
    ],
}
"""Programs by what is wrong with them."""

# What upstream's M0 reads in a way of its own is left out of COMMON.

VALUES = {b"mov_eax,": b"B8", b"ret": b"C3", b"a[b#c]": b"x:%1", b"_": b"_", b"call": b"E\"8'"}
BLANKS = st.sampled_from([b" ", b"\n", b"\t", b" \t\n", b" # !1 '\n", b'\n;"\x00\xff\n\n'])
NAMES = st.from_regex(rb"[A-Za-z_][A-Wa-wyz_][!-~]{0,9}", fullmatch=True)
TEXTS = st.lists(st.integers(1, 255), max_size=9).map(bytes)


def numbers(signs: bytes, hexadecimal: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """A sign and a number that fits its field; '-0' is not among them."""
    formats = st.sampled_from(["d", "04d", *hexadecimal])

    def of(sign: int) -> st.SearchStrategy[bytes]:
        bits = {"!": 8, "@": 16, "$": 16, "~": 24, "%": 32, "&": 32}[chr(sign)]
        values = st.integers(-(2 ** (bits - 1)), 2**bits - 1)
        edges = st.sampled_from([-(2 ** (bits - 1)), -1, 0, 1, 9, 10, 15, 16, 2**bits - 1])

        def written(value: int, form: str) -> bytes:
            text = f"{value:{form if value >= 0 else 'd'}}"
            return (
                bytes([sign])
                + (b"0x" if form in hexadecimal and value >= 0 else b"")
                + text.encode()
            )

        return st.builds(written, values | edges, formats)

    return st.sampled_from(signs).flatmap(of)


COMMON = st.one_of(
    st.sampled_from(sorted(VALUES)),
    st.sampled_from(sorted(VALUES)).map(lambda name: b"DEFINE %b %b" % (name, VALUES[name])),
    numbers(b"!@%", ("X", "08X")),
    st.builds(lambda sign, name: bytes([sign]) + name, st.sampled_from(b":!@~$%&"), NAMES),
    TEXTS.map(lambda text: b'"%b"' % text.replace(b'"', b"'")),
    TEXTS.map(lambda text: b"'%b'" % text.replace(b"'", b'"')),
)
OURS = (
    COMMON
    | numbers(b"!@$~%&", ("x", "X", "040x"))
    | st.sampled_from([b"!-0", b"\r", b":0", b":xx1"])
)


def written(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A program of tokens with the blanks after them; each macro is defined in time."""
    program = b""
    defined: set[bytes] = set()
    for token, blanks in parts:
        name = token.removeprefix(b"DEFINE ").split(b" ")[0]
        if token in VALUES and name not in defined:
            program += b"DEFINE %b %b\n" % (token, VALUES[token])
        defined.add(name)
        program += token + blanks
    return program + b"!0\n"  # without a token at the end that is no DEFINE, upstream's crashes


def programs(tokens: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.tuples(tokens, BLANKS), max_size=20).map(written)


WRONG = st.sampled_from([one for some in BAD.values() for one in some if len(one) < 50])

M0 = Assembler(
    "M0",
    ours.M0,
    GOOD,
    BAD,
    programs=programs(OURS),
    common=programs(COMMON),
    odd=some(b"\x00\x7f\xff \n\r!:%-019xGaF'\"#;") | WRONG.map(b" %b ".__mod__),
    noise=st.binary(max_size=30),
)
