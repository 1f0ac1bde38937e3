"""Our hex2 for x86, what its model says of a program, and programs of each kind for the tests."""

from __future__ import annotations

from bootstrap.languages import hex1, hex2
from bootstrap.languages.fault import Kind, LanguageError
from bootstrap.languages.source import Source
from tests.seeds import tools

SOURCE = (tools.SOURCES / "hex2.hex1").read_bytes()
HEX2 = hex1.assemble(SOURCE, "hex2.hex1").output


def assembled(run: tools.Runner, program: bytes, tool: bytes = HEX2) -> tuple[int, bytes | None]:
    """The exit status and the output, if there is one, for a hex2 program."""
    ended = run(tool, ["in", "out"], {"in": program})
    assert ended.files["in"] == program
    return ended.status, ended.files.get("out")


def expected(program: bytes) -> tuple[int, bytes | None]:
    """The same, as the model says."""
    try:
        return 0, hex2.assemble([Source("in", program)]).output
    except LanguageError as error:
        return int(error.kind), None


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
    "a reference at once behind digits": (b"00!a 00@a 00:a", "0004 000100 00"),
    "digits behind a label": (b":41 41 !41", "41 fe"),
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
        *(sign + b" a" for sign in (b":", b"!", b"@", b"~", b"$", b"%", b"&")),
        *(sign + b"\n" for sign in (b":", b"!", b"@", b"~", b"$", b"%", b"&")),
        *(sign + b">a" for sign in (b":", b"!", b"@", b"~", b"$", b"%", b"&")),
        *(sign + b"a\x00 :a" for sign in (b":", b"!", b"@", b"~", b"$", b"%", b"&")),
        *(sign + b"\x7f" for sign in (b":", b"!", b"@", b"~", b"$", b"%", b"&")),
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
        *(sign for sign in (b":", b"!", b"@", b"~", b"$", b"%", b"&")),
        b"!a>",
        b"%a>",
        b":a !a :",
        b":a !a>",
    ],
}
"""Programs by what is wrong with them."""
