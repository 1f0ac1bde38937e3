"""`bootstrap diff` as a user has it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import jsonschema
import pytest

from bootstrap.core.errors import BadInput
from bootstrap.diff import compare
from bootstrap.report import to_json_text
from tests.cli.command import arguments, bootstrap, environment
from tests.diff.pairs import Run, embedded_with, flipped, source
from tests.instruments.guest import Program
from tests.report.scenario import Scenario
from tests.trace import recorded

SCHEMA = Path(__file__).parents[2] / "docs" / "diff.schema.json"


def valid(text: str) -> dict[str, object]:
    """The JSON of a comparison, which its schema allows."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    found: dict[str, object] = json.loads(text)
    jsonschema.Draft202012Validator(schema).validate(found)
    return found


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The embedded path, and the same with the number of another system call in hello."""
    folder = tmp_path_factory.mktemp("traces")
    recorded.record_embedded(folder / "a", "native")
    text = source("hello.M1")
    offset = text.index(b"push_byte, !4") + len(b"push_byte, !")
    return folder / "a", embedded_with(folder / "b", hello_M1=flipped(text, offset, 7))


def test_two_traces(traces: tuple[Path, Path], tmp_path: Path) -> None:
    done = bootstrap("diff", *traces, "--json", tmp_path / "json")
    assert (done.status, done.stderr) == (1, "")
    assert "The runs part at event " in done.stdout
    assert "file  hello.M1: the first byte that differs is at " in done.stdout
    assert "The first instruction after which a register differs" in done.stdout
    assert "M0.hex2:" in done.stdout  # the source line of M0 that works on it
    assert "A    12#2, event 67,436: write(1, 0x8048077, 35) = 35" in done.stdout
    assert "B    12#2, event 67,436: read(1, 0x8048077, 35) = -1 EBADF" in done.stdout
    there = done.stdout.partition("The first in the program of that system call")[2]
    assert "from hello.M1:48:1  pop_eax" in there and "eax: 0x4 / 0x3" in there
    assert "hello.hex2" in done.stdout and "because of hello.M1" in done.stdout
    last = " ".join(line.strip() for line in done.stdout.splitlines()[-2:])
    assert last.startswith("DIFFERENT: the runs part at event ")
    assert ", in pid 9: hello.M1 is opened, and is not the same file; 3 files left" in last
    found = valid((tmp_path / "json").read_text())
    assert (found["kind"], found["equal"]) == ("trace", False)
    back = valid(bootstrap("diff", traces[1], traces[0], "--json", "-").stdout)
    for key in ("first", "instruction"):
        one, other = found[key], back[key]
        assert isinstance(one, dict) and isinstance(other, dict)
        assert one.get("event") == other.get("event")
    assert isinstance(found["followed"], list) and isinstance(back["followed"], list)
    assert [row["path"] for row in found["followed"]] == [row["path"] for row in back["followed"]]


def test_a_trace_and_itself(traces: tuple[Path, Path]) -> None:
    done = bootstrap("diff", traces[0], traces[0], "--json", "-")
    assert done.status == 0
    assert valid(done.stdout)["equal"] is True
    assert "EQUAL: the same happened in both: " in done.stderr


def test_nothing_is_run_again(traces: tuple[Path, Path]) -> None:
    with compare(str(traces[0]), str(traces[1]), replay=False) as found:
        text = found.text(False, colour=False, width=80, unicode=False)
    assert "No instruction is shown: nothing was run again" in text


def test_two_reports(tmp_path: Path) -> None:
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_text(to_json_text(Scenario().report()))
    bad.write_text(to_json_text(Scenario(wrong_steps=("bin/a",)).report()))
    done = bootstrap("diff", good, bad, "--json", "-")
    assert done.status == 1
    assert valid(done.stdout)["kind"] == "report"
    assert "First in build order: bin/a" in done.stderr
    with compare(str(good), str(good)) as found:
        assert found.equal and found.claim.startswith("both reports say the same")


def test_two_trees(tmp_path: Path) -> None:
    for name, text in (("a", "one\ntwo\n"), ("b", "one\ntoo\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(text)
    done = bootstrap("diff", tmp_path / "a", tmp_path / "b", "--json", "-")
    assert done.status == 1
    assert valid(done.stdout)["kind"] == "tree"
    assert "A  4 bytes" not in done.stderr and "line 2:2: two" in done.stderr
    with compare(str(tmp_path / "a"), str(tmp_path / "a")) as found:
        assert found.equal


def test_what_cannot_be_compared(traces: tuple[Path, Path], tmp_path: Path) -> None:
    report, folder, text = tmp_path / "report", tmp_path / "folder", tmp_path / "text"
    report.write_text(to_json_text(Scenario().report()))
    folder.mkdir()
    text.write_text("no such thing\n")
    os.mkfifo(tmp_path / "fifo")
    whole = traces[0].read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-4096])
    (tmp_path / "changed").write_bytes(flipped(whole, len(whole) // 2))
    (tmp_path / "list").write_text("{")
    for a, b, says in (
        (traces[0], report, "is a trace and"),
        (report, folder, "is a report and"),
        (folder, traces[0], "is a source tree and"),
        (text, text, "is not a trace, a report or a source tree"),
        (tmp_path / "none", folder, "cannot be read"),
        (tmp_path / "fifo", folder, "is neither a folder nor a regular file"),
        (traces[0], tmp_path / "cut", "is damaged"),
        (tmp_path / "changed", traces[0], "is damaged"),
        (tmp_path / "list", report, "list: not JSON"),
        (folder, folder, "has no files"),
    ):
        with pytest.raises(BadInput, match=says) as error, compare(str(a), str(b)):
            pass
        assert "\n" not in str(error.value)
    done = bootstrap("diff", traces[0], report)
    assert (done.status, done.stdout) == (2, "")
    assert "is a trace and" in done.one_line()
    done = bootstrap("diff", *traces, "--json", folder)
    assert done.status == 2 and "is a directory" in done.one_line()


def test_ctrl_c(tmp_path: Path) -> None:
    """While programs run again: it is a long way to the instruction that differs."""
    guest = Program("i386")
    name, space = guest.text(b"/source"), guest.space(16)
    guest.call("open", name, 0, 0)
    guest.raw("b900e1f505").raw("4975fd")  # mov ecx, 100,000,000; dec ecx; jne
    guest.call("read", 3, space, 1).exit(0)
    for side in ("a", "b"):
        Run(guest, {b"/source": side.encode()}).record(tmp_path / side)
    ours, theirs = os.openpty()
    with subprocess.Popen(
        arguments("diff", tmp_path / "a", tmp_path / "b"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=environment({"TERM": "xterm"}),
    ) as process:
        os.close(theirs)
        try:
            said = b""
            while b"running program 1 again" not in said:
                said += os.read(ours, 4096)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 130
            with contextlib.suppress(OSError):  # Linux: EIO, where nobody has the other end
                while more := os.read(ours, 4096):
                    said += more
            assert said.endswith(b"\r\x1b[Kbootstrap: interrupted\r\n")
        finally:
            process.kill()
            os.close(ours)
