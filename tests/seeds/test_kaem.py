"""Our kaem for x86 runs what its model reads, natively and emulated, and notices all failures."""

from __future__ import annotations

import dataclasses
import signal
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
from bootstrap.linux import machine
from bootstrap.linux.process import Process
from bootstrap.linux.row import Row
from bootstrap.linux.table import table_for as real_table_for
from tests.seeds import randomly, scripts, tools
from tests.seeds.ours import KAEM
from tests.seeds.scripts import Case, Ended

FAILED = b"kaem: command failed\n"

ENVIRONMENT = {"PATH": "/bin", "EMPTY": "", "A": "b c"}

SETTINGS = settings(randomly.SETTINGS, max_examples=40)


def expected(script: bytes, environment: Mapping[str, str] | None = None) -> Ended:
    """How kaem ends with a script of the commands ./show, ./good and failing ones."""
    try:
        commands = kaem.parse(script, "script")
    except LanguageError as error:
        return Ended(int(error.kind), b"")
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
            return Ended(1, output + FAILED)
    return Ended(0, output)


def case(script: bytes, environment: Mapping[str, str] | None = None) -> Case:
    return Case(["script"], {"script": script}, environment or {})


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


@scripts.EACH
def test_good_scripts(run: scripts.Runner) -> None:
    for script in GOOD:
        wanted = expected(script, ENVIRONMENT)
        assert wanted.status == 0
        assert run(KAEM, case(script, ENVIRONMENT)) == wanted, script


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


@scripts.EACH
@pytest.mark.parametrize("kind", BAD, ids=lambda kind: kind.name)
def test_a_bad_script_runs_no_command(run: scripts.Runner, kind: Kind) -> None:
    for wrong in BAD[kind]:
        script = b"./show\n./one\n" + wrong
        assert expected(script) == Ended(kind, b""), wrong
        assert run(KAEM, case(script)) == Ended(kind, b""), wrong


@scripts.EACH
def test_the_first_error_counts(run: scripts.Runner) -> None:
    firsts = {kind: wrong[0] for kind, wrong in BAD.items() if kind != Kind.UNFINISHED}
    for first, one in firsts.items():
        for other in (b"\0", b'"', b"\\", b"x " * (MOST_ARGUMENTS + 1)):
            script = one + b"\n" + other
            assert run(KAEM, case(script)) == expected(script) == Ended(first, b"")


@scripts.EACH
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
def test_it_stops_at_the_first_command_that_fails(run: scripts.Runner, command: str) -> None:
    script = f"./show before\n{command} # fails\n./show behind\n".encode()
    wanted = expected(script)
    assert wanted.status == 1
    assert run(KAEM, case(script)) == wanted


@scripts.EACH
def test_a_command_that_is_a_kaem_itself(run: scripts.Runner) -> None:
    files = {"script": b"./kaem inner\n./show 3", "inner": b"./show 1\n./kaem deep\n", "deep": b""}
    ended = run(KAEM, Case(["script"], files))
    assert ended.status == 0
    first, inner, deep, last = (
        f" +> ./{x} \n" for x in ("kaem inner", "show 1", "kaem deep", "show 3")
    )
    wanted = f"{first}{inner}./show\x001\0{deep}{last}./show\x003\0"
    assert ended.stdout == wanted.encode()
    ended = run(KAEM, Case(["script"], {**files, "deep": b"./seven"}))
    assert ended.status == 1
    assert ended.stdout.endswith(b" +> ./seven \n" + FAILED * 3)


@scripts.EACH
def test_without_an_argument_it_reads_kaem_x86(run: scripts.Runner) -> None:
    script = b"./show x"
    assert run(KAEM, Case([], {"kaem.x86": script})) == expected(script)


@scripts.EACH
def test_a_script_of_16_mib_and_no_more(run: scripts.Runner) -> None:
    script = b"#" * (LARGEST - 8) + b"\n./show\n"
    assert len(script) == LARGEST
    assert run(KAEM, case(script)) == expected(script) == Ended(0, b" +> ./show \n./show\0")
    last = script[1:-1] + b" z"
    assert len(last) == LARGEST
    assert run(KAEM, case(last)) == Ended(0, b" +> ./show z \n./show\0z\0")
    # A bad byte comes first, but the size counts before all that the script holds.
    assert run(KAEM, case(b"\0" + script)) == Ended(Kind.TOO_LARGE, b"")
    assert expected(b"\0" + script) == Ended(Kind.TOO_LARGE, b"")


@scripts.EACH
def test_as_many_commands_as_there_is_room_for(run: scripts.Runner) -> None:
    # The list gets its most words for each byte of script; the first command fails, or this would
    # never end. (The model agrees, but takes half a minute for each.)
    script = b"x\n" * (LARGEST // 2)
    assert run(KAEM, case(script)) == Ended(1, b" +> x \n" + FAILED)
    command = b"x " * (MOST_ARGUMENTS - 1) + b"x\n"
    script = command * (LARGEST // len(command))
    assert run(KAEM, case(script)) == expected(command)


# System calls that fail.


@pytest.mark.parametrize("name", ["fork", "waitpid"])
def test_a_fork_or_wait_that_fails(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def fails(process: Process, *arguments: int) -> NoReturn:
        raise LinuxError(Errno.EAGAIN)

    def table_for(abi: str) -> Mapping[int, Row]:
        return {
            number: dataclasses.replace(row, handler=fails) if row.name == name else row
            for number, row in real_table_for(abi).items()
        }

    monkeypatch.setattr(machine, "table_for", table_for)
    ended = scripts.emulated(default_engine(), KAEM, case(b"./good x\n./good y"))
    assert ended == Ended(12, b" +> ./good x \n")


def on_the_host(tmp_path: Path, stdout: IO[bytes], ignored: signal.Signals | None = None) -> int:
    """The exit status of a run on the host's kernel that ignores a signal."""
    programs = {"kaem": KAEM, "good": scripts.PROGRAMS["good"], "script": b"./good"}
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


@scripts.ON_THE_HOST
def test_a_child_that_nobody_can_wait_for(tmp_path: Path) -> None:
    with open(tmp_path / "stdout", "wb") as stdout:
        assert on_the_host(tmp_path, stdout) == 0
        assert on_the_host(tmp_path, stdout, signal.SIGCHLD) == 12
    assert (tmp_path / "stdout").read_bytes() == b" +> ./good \n" * 2


@scripts.ON_THE_HOST
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
PROGRAMS = st.sampled_from([b"./show"] * 6 + [b"./good", b'"./show"', b"./one", b"./missing"])


@st.composite
def lines(draw: st.DrawFn) -> bytes:
    """A line, or several by continuation, with its newline."""
    parts = [b"", draw(PROGRAMS)] if draw(st.integers(0, 4)) else [b""]
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
SPOILT = randomly.spoilt(SCRIPTS, randomly.some(b'\x00\x01\x7f\r\n "\\#ax'))


@scripts.EACH
@SETTINGS
@given(script=SCRIPTS)
def test_random_scripts(run: scripts.Runner, script: bytes) -> None:
    wanted = expected(script, ENVIRONMENT)
    assert wanted.status in (0, 1)
    assert run(KAEM, case(script, ENVIRONMENT)) == wanted


@scripts.EACH
@SETTINGS
@given(script=SPOILT)
def test_random_scripts_with_something_wrong(run: scripts.Runner, script: bytes) -> None:
    assert run(KAEM, case(script)) == expected(script)


def commands_only(ended: Ended) -> Sequence[bytes]:
    """What was written, without what is said about a failure, which each says in its own words."""
    return ended.stdout.replace(FAILED, b"").split(b"Subprocess error\n")[:1]


@pytest.mark.upstream
@scripts.EACH
@SETTINGS
@given(script=SCRIPTS)
def test_random_scripts_as_upstream(
    run: scripts.Runner, upstreams: dict[str, bytes], script: bytes
) -> None:
    ours = run(KAEM, case(script, ENVIRONMENT))
    theirs = run(upstreams["kaem"], case(script, ENVIRONMENT))
    assert ours.status == theirs.status
    assert commands_only(ours) == commands_only(theirs)
