"""What each tool is asked, and what it must answer: the model's bytes, or its error's status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from bootstrap.languages.fault import LanguageError
from bootstrap.languages.source import Source
from bootstrap.modelled import MODELS
from tests.seeds.tools import SOURCES

LANGUAGES = {"hex1": "hex1", "hex2": "hex2", "M0": "M0"}
"""Tool -> the language it assembles."""


@dataclass(frozen=True)
class Case:
    """Arguments, the input if there is one, the exit status, and the output if there is one."""

    arguments: tuple[str, ...]
    source: bytes | None
    status: int
    output: bytes | None


def read(name: str) -> bytes:
    return (SOURCES / name).read_bytes()


@cache
def program(tool: str) -> bytes:
    """The tool itself, by the models."""
    if tool == "hex1":
        return MODELS["hex0"]([Source("hex1.hex0", read("hex1.hex0"))])
    if tool == "hex2":
        return MODELS["hex1"]([Source("hex2.hex1", read("hex2.hex1"))])
    return MODELS["hex2"]([Source(name, read(name)) for name in ("elf.hex2", "M0.hex2")])


ALL_DIGITS = b"0123456789abcdef ABCDEF 00 ff Ff fF 09 90 aF 5A\r\n\t7 f # 12\n;34 #;\n56"

_HEX1_GOOD = [
    ALL_DIGITS,
    b"",
    b"# only a comment",
    b":a 00 %a %b :b %a%b 41 # :a %z\n:! %! :~ %~ :0%0",
    b"%z" + b" 90" * 300 + b":z" + b"%z",
]
_HEX1_BAD = [
    *(bytes([c]) for c in b"gG/:@`\x00\x1f\x7f\x80\xff!$&~%<>"),
    b"4", b"4 :a 1", b"4%a1", b":a :a", b"%a", b":", b"%", b": 41", b"%\n", b"% ", b":\x7f", b"%\x20",
    b":\x1f", b"%\x80", b"41 4", b"41 # 4\n 5 6 7",
]  # fmt: skip
_HEX2_GOOD = [
    ALL_DIGITS,
    b"",
    b":start 90 !start @start ~start %start &start %end>start !end>start @end>start ~end>start\n:end",
    b":a :aa :ab &a &aa &ab :b#;x 41 !b#;x %a>b#;x",
    b"!far " + b"90" * 127 + b":far " + b"%far",
    b":back " + b"90" * 127 + b"!back",
    b"@far " + b"90" * 32767 + b":far ",
    b":back " + b"90" * 32766 + b"@back",
    b"&e :e",
    b"\n".join(b":l%d 41 &l%d" % (i, 999 - i) for i in range(1000)),
]
_HEX2_BAD = [
    *(bytes([c]) for c in b"gG/@`\x00\x1f\x7f\x80\xff<>^.?"),
    b"4", b"4 :a 1", b"4%a", b"4!a", b":a :a", b"%a", b"&a", b"!a>b :a", b"!b>a :a", b":", b"%", b"&",
    b": 41", b"% 41", b"%>a", b"%a>", b"%a> b", b":a &a>a", b":a $a>a", b":a> ", b":\x7f", b"%\x80 ",
    b":a $a", b"!a" + b"90" * 5 + b" " + b"90" * 128 + b":a", b":a " + b"90" * 128 + b"!a",
    b"@a " + b"90" * 32768 + b":a", b":a " + b"90" * 32767 + b"@a", b"%a>a>b :a :b", b":a\x01",
]  # fmt: skip
_M0_GOOD = [
    b"",
    b"# comment\n; and another",
    b"DEFINE a 00 DEFINE bb 1122\n a bb\ta\r\nbb a",
    b":l !l @l ~l $l %l &l %a>b :x;y #z\n:l#m",
    b"!0 !255 !-128 !0xff !0xFf @0 @65535 @-32768 $1 $0x1234 ~16777215 ~-8388608 ~0xabcdef",
    b"%0 %1 %-1 %4294967295 %-2147483648 %0x12345678 &0xDEADBEEF &10 !-0 %0x0",
    b'"text" \'raw 41\' "" \'\' "it\'s" \'say "x"\' "a\nb #;" :end',
    b'"\x01\x7f\x80\xff "',
    b"DEFINE !x 41 DEFINE :y 42 DEFINE a 1 DEFINE a 1 !x :y a",
    b"\n".join(b"DEFINE m%d %04X" % (i, i) for i in range(1000)) + b" m0 m999 m500 m77",
]
_M0_BAD = [
    b"a", b"00", b"DEFINE", b"DEFINE a", b"DEFINE a 1 DEFINE a 2", b'DEFINE "a" b', b"DEFINE a 'b'",
    b"DEFINE DEFINE a", b"DEFINE a DEFINE", b'"open', b"'open", b'"a\x00b"', b"a\x01", b":a\x7f", b"%\x80",
    b"!256", b"!-129", b"@65536", b"@-32769", b"$65536", b"~16777216", b"~-8388609", b"%4294967296",
    b"%-2147483649", b"&99999999999", b"%0x123456789", b"!1x", b"%0x", b"%0xg", b"@-1a", b"!", b":", b"! a",
    b": ", b"<1", b"^a", b".00", b"%12a", b"&-5-", b"a DEFINE a 1", b"%0X1", b"%0x1G", b"@1/", b"@1:",
]  # fmt: skip

_SOURCES = {
    "hex1": [read("hex2.hex1"), *_HEX1_GOOD, *_HEX1_BAD],
    "hex2": [
        read("elf.hex2") + read("M0.hex2"),
        read("catm.hex2"),
        *_HEX2_GOOD,
        *_HEX2_BAD,
    ],
    "M0": [read("hello.M1"), *_M0_GOOD, *_M0_BAD],
}


@cache
def cases(tool: str) -> Sequence[Case]:
    """Every case of a tool; those that show most mutants come first."""
    model = MODELS[LANGUAGES[tool]]
    found = []
    for source in _SOURCES[tool]:
        try:
            answer, status = model([Source("in", source)]), 0
        except LanguageError as error:
            answer, status = None, int(error.kind)
        found.append(Case(("in", "out"), source, status, answer))
    found += [
        Case(("in",), b"", 1, None),
        Case((), b"", 1, None),
        Case(("in", "out", "more"), b"", 1, None),
        Case(("nowhere", "out"), b"", 2, None),
        Case(("folder", "out"), b"", 2, None),
        Case(("in", "folder"), b"", 3, None),
    ]
    return tuple(found)
