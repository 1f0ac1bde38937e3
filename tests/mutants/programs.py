"""What the tools are asked to assemble, by tool; those that show most mutants come first."""

from __future__ import annotations

from tests.mutants.names import LAST_SLOT, crowd, hash_of_hex2, hash_of_m0, within
from tests.seeds.tools import SOURCES

PRINTABLE = bytes(range(0x21, 0x7F))
ODD = [b"%c" % digit for digit in b"0123456789abcdef"]


def read(name: str) -> bytes:
    return (SOURCES / name).read_bytes()


DIGITS = b"0123456789abcdef ABCDEF 00 ff Ff fF 09 90 aF 5A\r\n\t7 f # 12\n;34 #;\n56"
PAIRS = b"4 1 4\t2 4\n3 4\r4 4#\n5 4 ;x\n 6"
COMMENT_AT_THE_END = b"0A 41 # and no newline"

HEX1 = [
    read("hex2.hex1"),
    DIGITS,
    PAIRS,
    COMMENT_AT_THE_END,
    b"",
    b"# only a comment",
    b":a 00 %a %b :b %a%b 41 # :a %z\n:! %! :~ %~ :0%0",
    b"%z" + b" 90" * 300 + b":z" + b"%z",
    b"".join(b"%%%c :%c %02X" % (c, c, c) for c in PRINTABLE),
    b":a:b:c %c%b%a",
    *(bytes([c]) for c in b"gGzZ/:@`\x00\x1f\x7f\x80\xff!$&~<>"),
    *(bytes([c]) for c in b"\x01\x08\x0b\x0c\x0e\x10\x19\x1a\x29\x2a"),
    *ODD,
    *(b"4 :a 1", b"4%a1", b"3:a 1", b"0%a:a", b"f:", b"f%", b"41 4", b"41 # 4\n 5 6 7", b"4 #"),
    *(b":a :a", b":a 41 :a", b"%a", b":a%b", b":A%a", b":~:~", b":!:!"),
    *(b":", b"%", b": 41", b"%\n", b"% ", b":\x7f", b"%\x20", b":\x1f", b"%\x80", b"%\xff"),
]

_HEX2_WITHIN = within(hash_of_hex2)
_HEX2_CROWDS = [crowd(hash_of_hex2, 0x12345), crowd(hash_of_hex2, LAST_SLOT)]

HEX2 = [
    read("elf.hex2") + read("M0.hex2"),
    read("catm.hex2"),
    DIGITS,
    PAIRS,
    COMMENT_AT_THE_END,
    b"",
    b"# only a comment",
    b":start 90 !start @start ~start %start &start %end>start !end>start @end>start "
    b"~end>start\n:end",
    b":a :aa :ab &a &aa &ab :b#;x 41 !b#;x %a>b#;x",
    b"!far " + b"90" * 127 + b":far " + b"%far",
    b":back " + b"90" * 127 + b"!back",
    b"@far " + b"90" * 32767 + b":far ",
    b":back " + b"90" * 32766 + b"@back",
    b"&e :e",
    b"~a :a",
    b"00!a 00@a 00~a 00%a 00&a 00:a",
    b":a\t00\n!a\r!a\n!a\t!a>a\r41",
    b"%a>b :a 00 :b %b>a !a>b @b>a ~a>b",
    b"".join(b":%c 41 &%c " % (c, c) for c in PRINTABLE if c != ord(">")),
    *(
        b"".join(b":%b 41 " % name for name in names)
        + b"".join(b"&%b !%b>%b " % (name, names[0], name) for name in names)
        for names in _HEX2_CROWDS
    ),
    *(
        b"".join(b":%b 41 " % name for name in names[:-1]) + b"&" + names[-1]
        for names in _HEX2_CROWDS
    ),
    *(b"".join(b":%b 41 " % name for name in [*names, names[-2]]) for names in _HEX2_CROWDS),
    b":%b 41 &%b" % _HEX2_WITHIN,
    b":%b 41 &%b" % _HEX2_WITHIN[::-1],
    b":%b 41 :%b 42" % _HEX2_WITHIN + b" &%b &%b" % _HEX2_WITHIN,
    b":%b 41 :%b 42" % _HEX2_WITHIN[::-1] + b" &%b &%b" % _HEX2_WITHIN,
    *(bytes([c]) for c in b"gGzZ/@`\x00\x1f\x7f\x80\xff<>^.?"),
    *(bytes([c]) for c in b"\x01\x08\x0b\x0c\x0e\x10\x19\x1a\x29\x2a"),
    *ODD,
    *(b"4 :a 1", b"3:a", b"4%a", b"4!a", b"0&a", b"f:", b"f!", b"4 #", b"414", b"4:\x01"),
    *(b":a :a", b":a 41 :a", b":b 41 :a :a", b"!b $a :a :a"),
    *(b"%a", b"&a", b"!a", b"@a", b"~a", b"$a", b"!a>b :a", b"!b>a :a", b"%a>a", b":a !aa"),
    *(b":", b"%", b"&", b"!", b"@", b"~", b"$", b"%a>", b"!a>", b": 41", b"% 41", b"&\n"),
    *(b"%>a", b"$>a", b":>", b"%a> b", b"%a>a>b :a :b", b":a &a>a", b":a $a>a", b":a>b", b":a> "),
    *(b":\x7f", b"%\x80 ", b":a\x01", b"!a\xff", b":a\x20\x00", b"&a\x1f", b"%a>\x7f"),
    *(b":a $a", b"$a 00 :a"),
    *(
        reach
        for sign, far in ((b"!", 1 << 7), (b"@", 1 << 15))
        for reach in (sign + b"a " + b"90" * far + b":a", b":a " + b"90" * far + sign + b"a")
    ),
]  # fmt: skip

_M0_WITHIN = within(hash_of_m0)
_M0_CROWDS = [crowd(hash_of_m0, 0x12345), crowd(hash_of_m0, LAST_SLOT)]
_SIGNS = (b":", b"!", b"@", b"~", b"$", b"%", b"&")


def _defined(names: list[bytes]) -> bytes:
    return b"".join(b"DEFINE %b %d\n" % (name, i) for i, name in enumerate(names))


M0 = [
    read("hello.M1"),
    b"DEFINE a 00 DEFINE bb 1122\n a bb\ta\r\nbb a",
    b":l !l @l ~l $l %l &l %a>b :x;y #z\n:l#m",
    b"!0 !255 !-128 !0xff !0xFf @0 @65535 @-32768 $1 $0x1234 ~16777215 ~-8388608 ~0xabcdef",
    b"%0 %1 %-1 %4294967295 %-2147483648 %0x12345678 &0xDEADBEEF &10 !-0 %0x0",
    b"\"text\" 'raw 41' \"\" '' \"it's\" 'say \"x\"' \"a\nb #;\" :end",
    b"",
    b"# comment\n; and another",
    b"DEFINE a 1 a !1 # a comment without a newline",
    b"'a''b'\"c\"!1 ''# no",
    b'"\x01\x7f\x80\xff "',
    b"DEFINE !x 41 DEFINE :y 42 DEFINE a 1 DEFINE a 1 !x :y a",
    b"DEFINE #x\n a\n;\n41\na DEFINE\n#\nb 42 b",
    b"DEFINE DEFIN 1 DEFINE DEFINED 2 DEFINE DEFI 3 DEFINE aEFINE 4 DEFIN DEFINED DEFI aEFINE",
    b"DEFINE a b DEFINE b c a b DEFINE ! 41 DEFINE : 42 ! :",
    # Strings put nothing out but their text: what stands before them stays.
    *(b"DEFINE name value" + b" " * gap + b"\"x\" 'y' name" for gap in range(1, 18, 4)),
    # Each byte behind each sign; those that make a number of it are errors, and come below.
    b" ".join(sign + b"%ca" % c for sign in _SIGNS for c in PRINTABLE if c not in b"0123456789"),
    b" ".join(sign + b"-%c" % c for sign in _SIGNS for c in PRINTABLE if c not in b"0123456789"),
    # A name whose address ends with 00.
    b"#" * 247 + b"\nDEFINE a 41 a a DEFINE a 41",
    b"\n".join(b"DEFINE m%d %04X" % (i, i) for i in range(1000))
    + b"".join(b" m%d" % i for i in range(1000)),
    *(
        _defined(names) + b":" + b"x" * 8192 + b"\n" + b"\n".join(names + names[::-1])
        for names in _M0_CROWDS
    ),
    *(_defined(names[:-1]) + names[-1] for names in _M0_CROWDS),
    *(_defined([*names, names[-2]]) for names in _M0_CROWDS),
    b"DEFINE %b 41 %b" % _M0_WITHIN,
    b"DEFINE %b 41 %b" % _M0_WITHIN[::-1],
    b"DEFINE %b 41 DEFINE %b 42" % _M0_WITHIN + b" %b %b" % _M0_WITHIN,
    b"DEFINE %b 41 DEFINE %b 42" % _M0_WITHIN[::-1] + b" %b %b" % _M0_WITHIN,
    *(b"a", b"00", b"DEFI", b"DEFIN a 1", b"DEFINED a 1", b"aEFINE", b"-1", b'a"b"', b"DEFINEx"),
    *(b"DEFINE", b"DEFINE a", b"DEFINE #", b"DEFINE a # 1", b"DEFINE 'a"),
    *(b"DEFINE a 1 DEFINE a 2", b"DEFINE a 1 DEFINE a 11 a", b"DEFINE a 11 DEFINE a 1"),
    *(b"DEFINE \"a\" b", b"DEFINE 'a' b", b"DEFINE a \"b\"", b"DEFINE a 'b'", b"DEFINE a a a b"),
    *(b"DEFINE DEFINE a", b"DEFINE a DEFINE", b'"open', b"'open", b"'a\"", b'"a\x00b"', b"'a\x00'"),
    *(b"\x01", b"a\x01", b":a\x7f", b"%\x80", b"a\xff", b"\x00", b":\x1f", b"a\x0b", b"\x7f"),
    *(b"!256", b"!-129", b"@65536", b"@-32769", b"$65536", b"$-32769", b"~16777216", b"~-8388609"),
    *(b"%4294967296", b"%-2147483649", b"&99999999999", b"%0x123456789", b"%18446744073709551617"),
    *(b"!1x", b"%0x", b"%0xg", b"@-1a", b"<1", b"^a", b".00", b"%12a", b"&-5-", b"a DEFINE a 1"),
    *(b"%0X1", b"%0x1G", b"%0x/", b"%0x:", b"%0x@", b"%0x`", b"@1/", b"@1:", b"@1A", b"%-0x1"),
    *(b"!", b":", b"&", b"! a", b": ", b"%\n:a", b"~\t", b"!1 $"),
]  # fmt: skip

PROGRAMS = {"hex1": HEX1, "hex2": HEX2, "M0": M0}
