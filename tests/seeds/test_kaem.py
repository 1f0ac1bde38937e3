"""Our kaem for x86 runs what its model reads, natively and emulated, and notices all failures."""

from __future__ import annotations

import dataclasses
import functools
import signal
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.instruments import default_engine
from bootstrap.languages import kaem
from bootstrap.languages.fault import Kind, LanguageError
from bootstrap.languages.kaem import MOST_ARGUMENTS
from bootstrap.languages.source import LARGEST
from bootstrap.linux import call_tables
from tests.seeds import assembler, tools
from tests.seeds.ours import KAEM

FAILED = b"kaem: command failed\n"

ENVIRONMENT = {"PATH": "/bin", "EMPTY": "", "A": "b c"}

SETTINGS = settings(assembler.SETTINGS, max_examples=40)


def elf(code: str) -> bytes:
    """An i386 program of this code, in hexadecimal."""
    text = bytes.fromhex(code)
    size = 84 + len(text)
    base = 0x08048000
    header = struct.pack("<8I", 1, 0, base, base, size, size, 5, 0x1000)
    ident = b"\x7fELF\x01\x01\x01" + bytes(9)
    sizes = 52, 32, 1, 0, 0, 0
    return ident + struct.pack("<HHIIIII6H", 2, 3, 1, base + 84, 52, 0, 0, *sizes) + header + text


SHOW = elf(
    "31F6"  # xor esi, esi       0: the arguments; -1: the environment
    "58"  # pop eax              argc
    "59"  # next: pop ecx        the next string, or the 0 after the last
    "85C9"  # test ecx, ecx
    "7414"  # je last
    "31D2"  # xor edx, edx
    "42"  # count: inc edx
    "807C11FF00"  # cmp byte [ecx + edx - 1], 0
    "75F8"  # jne count
    "6A01 5B"  # ebx = 1
    "6A04 58"  # eax = 4
    "CD80"  # write(1, string, its length with the NUL)
    "EBE7"  # jmp next
    "F7D6"  # last: not esi
    "85F6"  # test esi, esi
    "75E1"  # jne next           the environment follows the arguments
    "31DB"  # xor ebx, ebx
    "6A01 58"  # eax = 1
    "CD80"  # exit(0)
)
"""A program that writes its arguments and its environment, a NUL after each string."""


def ending(status: int) -> bytes:
    """A program that ends with this status."""
    return elf(f"6A{status:02X} 5B 6A01 58 CD80")


PROGRAMS = {
    "show": SHOW,
    "good": ending(0),
    "one": ending(1),
    "seven": ending(7),
    # ud2: SIGILL ends it.
    "killed": elf("0F0B"),
    # No program at all.
    "text": b"hello\n",
    "empty": b"",
}


def ran(
    run: tools.Runner,
    files: bytes | Mapping[str, bytes],
    environment: Mapping[str, str] | None = None,
    kaem: bytes = KAEM,
) -> tuple[int, bytes]:
    """Status and output of kaem with a script; or, of several files, with what is in ``kaem.x86``
    or named ``script``.

    Nobody may execute the file ``unexecutable``, which is a program.
    """
    if isinstance(files, bytes):
        files = {"script": files}
    there = {**files, "unexecutable": ending(0)}
    arguments = ["script"] if "script" in files else []
    ended = run(kaem, arguments, there, {**PROGRAMS, "kaem": kaem}, environment)
    assert ended.files == there
    return ended.status, ended.stdout


def expected(script: bytes, environment: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """How kaem ends with a script of the commands ./show, ./good and failing ones."""
    try:
        commands = kaem.parse(script, "script")
    except LanguageError as error:
        return (int(error.kind), b"")
    output = b""
    for command in commands:
        output += command.announcement
        # There is no search path: without "./" it is the same file.
        program = command.arguments[0].removeprefix(b"./")
        if program == b"show":
            shown = [*command.arguments]
            shown += [f"{k}={v}".encode() for k, v in (environment or {}).items()]
            output += b"".join(text + b"\0" for text in shown)
        elif program != b"good":
            return (1, output + FAILED)
    return (0, output)


GOOD = [
    b"",
    b"\n \t\n# only a comment",
    b"./show",
    b"./show\n",
    b"./show one two\n\t ./show  three\tfour \n./good\n",
    b"./show a#comment\n./show#",
    b"./show # comment \\\n./good # \r\x7f\x80 \" '",
    b"./show a \\\n b\\\nc\\\n\\\n\n./good",
    b"\\\n\\\n./show \\\n",
    b'./show "a b" "" "#\\\n\t\r\x01\x7f"#\n"./show" ""',
    b'"./show"\n"./show" \n"./show"\t""\n"./show"#"',
    b"./show \x80\xff' $HOME ~ * | > & ; !",
    b"./show " + b"x" * 5000 + b' "' + b"y " * 5000 + b'"',
    b"./show" + b" a" * (MOST_ARGUMENTS - 1) + b"\n./show",
    b"./good\n" * 20,
]


@tools.ON_BOTH_HOT_PATHS
def test_good_scripts(run: tools.Runner) -> None:
    for script in GOOD:
        wanted = expected(script, ENVIRONMENT)
        assert wanted[0] == 0
        assert ran(run, script, ENVIRONMENT) == wanted, script


BAD: dict[Kind, list[bytes]] = {
    Kind.BAD_CHARACTER: [
        *(b"x" + bytes([byte]) for byte in range(128) if byte < 32 and byte not in b"\t\n"),
        *(bytes([byte]) for byte in (0, 1, 13, 31, 127)),
        *(b"x \\" + bytes([byte]) for byte in b' \t\r"#x\\\0'),
        *(b'"x"' + bytes([byte]) for byte in b"\\\"\rx'\x00\x7f\x80"),
        b"x\x7f",
        b'"x"\\\n',
        b'x"',
        b'x"y"',
        b"# \0",
        b'"\0',
        b'"\0"',
        b"x\\y",
    ],
    Kind.UNFINISHED: [b'"', b'x "y\n', b"\\", b"x \\", b"x\\", b'x\n"a" "'],
    Kind.TOO_LARGE: [b"x " * (MOST_ARGUMENTS + 1), b"x" + b' ""' * MOST_ARGUMENTS + b"\0"],
}


@tools.EACH
@pytest.mark.parametrize("kind", BAD, ids=lambda kind: kind.name)
def test_a_bad_script_runs_no_command(run: tools.Runner, kind: Kind) -> None:
    for wrong in BAD[kind]:
        script = b"./show\n./one\n" + wrong
        assert expected(script) == (kind, b""), wrong
        assert ran(run, script) == (kind, b""), wrong


@tools.EACH
def test_the_first_error_counts(run: tools.Runner) -> None:
    firsts = {kind: wrong[0] for kind, wrong in BAD.items() if kind != Kind.UNFINISHED}
    for first, one in firsts.items():
        for other in (b"\0", b'"', b"\\", b"x " * (MOST_ARGUMENTS + 1)):
            script = one + b"\n" + other
            assert ran(run, script) == expected(script) == (first, b"")


@tools.EACH
@pytest.mark.parametrize(
    "command",
    [
        "./one",
        "./seven x",
        "./killed",
        "./missing",
        "./text",
        "./empty",
        "./unexecutable",
        "./folder",
        "folder/good",
        "./good/x",
        '""',
        "missing/",
    ],
)
def test_it_stops_at_the_first_command_that_fails(run: tools.Runner, command: str) -> None:
    script = f"./show before\n{command} # fails\n./show behind\n".encode()
    wanted = expected(script)
    assert wanted[0] == 1
    assert ran(run, script) == wanted


@tools.EACH
def test_a_command_that_is_a_kaem_itself(run: tools.Runner) -> None:
    files = {"script": b"./kaem inner\n./show 3", "inner": b"./show 1\n./kaem deep\n", "deep": b""}
    first, inner, deep, last = (
        f" +> ./{x} \n" for x in ("kaem inner", "show 1", "kaem deep", "show 3")
    )
    wanted = f"{first}{inner}./show\x001\0{deep}{last}./show\x003\0"
    assert ran(run, files) == (0, wanted.encode())
    status, said = ran(run, {**files, "deep": b"./seven"})
    assert status == 1
    assert said.endswith(b" +> ./seven \n" + FAILED * 3)


@tools.EACH
def test_without_an_argument_it_reads_kaem_x86(run: tools.Runner) -> None:
    script = b"./show x"
    assert ran(run, {"kaem.x86": script}) == expected(script)


@tools.EACH
def test_a_script_of_16_mib_and_no_more(run: tools.Runner) -> None:
    script = b"#" * (LARGEST - 8) + b"\n./show\n"
    assert len(script) == LARGEST
    assert ran(run, script) == expected(script) == (0, b" +> ./show \n./show\0")
    last = script[1:-1] + b" z"
    assert len(last) == LARGEST
    assert ran(run, last) == (0, b" +> ./show z \n./show\0z\0")
    # A bad byte comes first, but the size counts before all that the script holds.
    assert ran(run, b"\0" + script) == (Kind.TOO_LARGE, b"")
    assert expected(b"\0" + script) == (Kind.TOO_LARGE, b"")


@tools.EACH
def test_as_many_commands_as_there_is_room_for(run: tools.Runner) -> None:
    # The list gets its most words for each byte of script; the first command fails, or this would
    # never end. (The model agrees, but takes half a minute for each.)
    script = b"x\n" * (LARGEST // 2)
    assert ran(run, script) == (1, b" +> x \n" + FAILED)
    command = b"x " * (MOST_ARGUMENTS - 1) + b"x\n"
    script = command * (LARGEST // len(command))
    assert ran(run, script) == expected(command)


# System calls that fail.


@pytest.mark.parametrize("name", ["fork", "waitpid"])
def test_a_fork_or_wait_that_fails(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fails(process: object, *arguments: int) -> NoReturn:
        raise LinuxError(Errno.EAGAIN)

    table = {
        number: dataclasses.replace(bound, handler=fails) if bound.row.name == name else bound
        for number, bound in call_tables.CALLS["i386"].items()
    }
    monkeypatch.setattr(call_tables, "CALLS", {**call_tables.CALLS, "i386": table})
    emulated = functools.partial(tools.emulated, default_engine())
    assert ran(emulated, b"./good x\n./good y") == (12, b" +> ./good x \n")


def on_the_host(tmp_path: Path, stdout: IO[bytes], ignored: signal.Signals | None = None) -> int:
    """The exit status of a run on the host's kernel that ignores a signal."""
    programs = {"kaem": KAEM, "good": PROGRAMS["good"], "script": b"./good"}
    for name, data in programs.items():
        (tmp_path / name).write_bytes(data)
        (tmp_path / name).chmod(0o755)

    def ignore() -> None:
        # In the child: a parent that ignores SIGCHLD does not learn its children's statuses.
        if ignored is not None:
            signal.signal(ignored, signal.SIG_IGN)

    return subprocess.run(
        ["./kaem", "script"],
        cwd=tmp_path,
        env={},
        stdout=stdout,
        preexec_fn=ignore,
        timeout=tools.SECONDS,
        check=False,
    ).returncode


@tools.ON_THE_HOST
def test_a_child_that_nobody_can_wait_for(tmp_path: Path) -> None:
    with open(tmp_path / "stdout", "wb") as stdout:
        assert on_the_host(tmp_path, stdout) == 0
        assert on_the_host(tmp_path, stdout, signal.SIGCHLD) == 12
    assert (tmp_path / "stdout").read_bytes() == b" +> ./good \n" * 2


@tools.ON_THE_HOST
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this host has no /dev/full")
def test_a_full_standard_output(tmp_path: Path) -> None:
    with open("/dev/full", "wb") as full:
        assert on_the_host(tmp_path, full) == 3


# Random scripts.

BLANKS = st.sampled_from([b" ", b"\t", b"  ", b" \t ", b"\\\n", b" \\\n", b"\\\n\\\n"])
WORDS = st.lists(
    st.sampled_from([*(bytes([byte]) for byte in b"ab!'$;~.\x80\xff")]), min_size=1, max_size=5
).map(b"".join)
STRINGS = st.lists(st.sampled_from(b"a #\\\n\t'"), min_size=1, max_size=6).map(
    lambda text: b'"%b"' % bytes(text)
)
COMMENTS = st.lists(st.sampled_from(b"a #\\\t\"'\x01\r"), max_size=6).map(lambda c: b"#" + bytes(c))
COMMANDS = st.sampled_from([b"./show"] * 6 + [b"./good", b'"./show"', b"./one", b"./missing"])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line, or several by continuation, with its newline."""
    parts = [b"", draw(COMMANDS)] if draw(st.integers(0, 4)) else [b""]
    if len(parts) == 2:
        parts += draw(st.lists(WORDS | STRINGS, max_size=4))
    line = parts[0]
    for part in parts[1:]:
        blank = draw(BLANKS)
        # Only what follows a string needs a blank and not a continuation.
        line += (b" " if line.endswith(b'"') else b"") + blank + part
    end = draw(st.sampled_from([b"", b" ", b"\t"]))
    return line + end + draw(st.just(b"") | COMMENTS) + b"\n"


SCRIPTS = st.lists(lines(), max_size=6).map(b"".join)
SPOILT = assembler.spoilt(SCRIPTS, assembler.some(b'\x00\x01\x7f\r\n "\\#ax'))


@tools.EACH
@SETTINGS
@given(script=SCRIPTS)
def test_random_scripts(run: tools.Runner, script: bytes) -> None:
    wanted = expected(script, ENVIRONMENT)
    assert wanted[0] in (0, 1)
    assert ran(run, script, ENVIRONMENT) == wanted


@tools.EACH
@SETTINGS
@given(script=SPOILT)
def test_random_scripts_with_something_wrong(run: tools.Runner, script: bytes) -> None:
    assert ran(run, script) == expected(script)


def commands_only(ended: tuple[int, bytes]) -> Sequence[bytes]:
    """What was written, without what is said about a failure, which each says in its own words."""
    return ended[1].replace(FAILED, b"").split(b"Subprocess error\n")[:1]


@pytest.mark.upstream
@tools.EACH
@SETTINGS
@given(script=SCRIPTS)
def test_random_scripts_as_upstream(
    run: tools.Runner, upstreams: dict[str, bytes], script: bytes
) -> None:
    ours = ran(run, script, ENVIRONMENT)
    theirs = ran(run, script, ENVIRONMENT, upstreams["kaem"])
    assert ours[0] == theirs[0]
    assert commands_only(ours) == commands_only(theirs)
