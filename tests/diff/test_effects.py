"""What a run on builder-hex0's kernel did, held against the same run on ours."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest

from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from bootstrap.debug.opening import record_program
from bootstrap.diff import compare
from bootstrap.diff.effects import differences, of_trace
from bootstrap.diff.machine_effects import (
    SCHEMA,
    Effects,
    OpenedPath,
    PathCall,
    ProgramEffects,
    WrittenBytes,
)
from bootstrap.documents import encode
from bootstrap.instruments import default_engine
from bootstrap.languages import hex0
from bootstrap.machines.builder_hex0 import make_image, read_stages
from bootstrap.sources import Cache, resolve
from bootstrap.sources.checkouts import BUILDER_HEX0, checkout_at
from bootstrap.trace.store import Trace
from tests.core import guest as addresses
from tests.diff.test_diff_command import valid
from tests.instruments.guest import Program
from tests.trace.recorded import O_CREAT, O_RDWR, O_TRUNC, O_WRONLY, record

WHY_NOT = (
    "" if Cache().releases(BUILDER_HEX0) and Cache().releases("stage0-posix") else
    "needs builder-hex0 and stage0-posix in the cache: bootstrap fetch"
)  # fmt: skip
SCRIPT = b"/hex0 /x86/hex0_x86.hex0 /again\n/again /two.hex0 /two\n/worker\n"


def worker(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Does all that has an effect, where builder-hex0's kernel lets programs be."""
    monkeypatch.setattr(addresses, "CODE", 0x8048000)
    monkeypatch.setattr(addresses, "DATA", 0x8068000)
    program = Program("i386")
    folder, name, none = (program.text(word) for word in (b"d", b"./f", b"../none"))
    text, descriptor = program.data(b"abcdefgh"), program.space()
    program.call("mkdir", folder, 0o755).call("chdir", folder)
    program.call("open", name, O_WRONLY | O_CREAT | O_TRUNC, 0o600).store(descriptor)
    program.call("write", addresses.Cell(descriptor), text, 3)
    program.call("write", addresses.Cell(descriptor), text + 3, 2)
    program.call("close", addresses.Cell(descriptor)).call("open", none, 0, 0)
    program.call("chmod", name, 0o750).call("unlink", name).call("unlink", none)
    program.call("write", 1, text, 8).call("brk", 0).call("exit", 0)
    return program.elf()


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
def test_the_same_on_both_kernels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = resolve(None, None, "x86", Cache()).tree.files
    sources = {path: tree[path].data for path in ("x86/hex0_x86.hex0", "x86/kaem-minimal.hex0")}
    files = {
        "x86/hex0_x86.hex0": sources["x86/hex0_x86.hex0"],
        "two.hex0": b"41 42 # AB\n",
        "script": SCRIPT,
        "hex0": bytes(hex0.assemble(sources["x86/hex0_x86.hex0"], "").output),
        "kaem": bytes(hex0.assemble(sources["x86/kaem-minimal.hex0"], "").output),
        "worker": worker(monkeypatch),
    }
    with checkout_at(None, BUILDER_HEX0, Cache()) as at:
        image = make_image(read_stages(at.folder), files, set(), ["/kaem /script"])
    (tmp_path / "image").write_bytes(image)
    for path, data in files.items():
        place = tmp_path / "root" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        place.chmod(0o755)
    trace, there = str(tmp_path / "run.trace"), str(tmp_path / "effects.json")
    record_program(trace, ["/kaem", "/script"], default_engine(), str(tmp_path / "root"))
    log = tmp_path / "log"
    assert main(["pc", str(tmp_path / "image"), "--quiet", "--effects", there,
                 "--log", str(log)]) == 0  # fmt: skip
    assert "[pid     4] chmod(" in log.read_text()
    found = json.loads(Path(there).read_text())
    assert (found["schema"], len(found["programs"])) == (SCHEMA, 7)
    last = found["programs"][-1]
    assert (last["pid"], last["ordinal"], last["program"], last["status"]) == (4, 1, "/worker", 0)
    assert [(one["call"], one["path"]) for one in last["changes"]] == [
        ("mkdir", "/d"), ("chdir", "/d"), ("chmod", "/d/f"), ("unlink", "/d/f"),
        ("unlink", "/none"),
    ]  # fmt: skip
    # In C, with fewer calls looked at, and in Python: the same.
    for path in ("auto", "python"):
        monkeypatch.setenv("BOOTSTRAP_HOT_PATH", path)
        other = tmp_path / path
        assert main(["pc", str(tmp_path / "image"), "--quiet", "--effects", str(other)]) == 0
        assert other.read_text() == Path(there).read_text()
    capsys.readouterr()
    assert main(["diff", trace, there]) == 0
    said = capsys.readouterr().out
    assert "EQUAL: All calls of 7 programs that have an effect are the same" in said
    assert "2 unlink, 1 chmod" in said
    # One byte that was written is another one.
    found["programs"][2]["written"]["/again"]["sha256"] = "0" * 64
    Path(there).write_text(json.dumps(found))
    result = tmp_path / "diff.json"
    assert main(["diff", there, trace, "--json", str(result)]) == 1
    valid(result.read_text())
    said = capsys.readouterr().out
    assert "pid 2, program 1: /hex0 /x86/hex0_x86.hex0 /again" in said
    assert "written to /again: 181 bytes, 000000000000 in A, 181 bytes, f74dcf9cef2a in B" in said


def test_a_program_that_a_signal_ended(tmp_path: Path) -> None:
    record(Program("i386").raw("0f0b"), tmp_path / "t")  # ud2
    with Trace(tmp_path / "t") as trace:
        assert [one.status for one in of_trace(trace).programs] == [128 + 4]


def test_what_a_trace_has(tmp_path: Path) -> None:
    """Each program's own bytes, also by a descriptor that it inherits; not those written over."""
    program = Program("i386")
    name, other, text = program.text(b"/f"), program.text(b"/g"), program.data(b"abcdefgh")
    program.call("open", name, O_RDWR | O_CREAT, 0o600).call("write", 3, text, 4)
    program.call("fork").jump_if_zero("child").call("waitpid", -1, 0, 0)
    program.call("write", 3, text + 6, 2).call("close", 3)
    program.call("open", other, O_RDWR | O_CREAT, 0o600).call("write", 3, text, 4)
    program.call("lseek", 3, 0, 0).call("write", 3, text + 4, 1).call("dup2", 3, 9)
    program.call("write", 9, text, 1).call("mkdir", name, 0).call("exit", 0)
    program.label("child").call("write", 3, text + 4, 2).call("exit", 7)
    record(program, tmp_path / "t")
    with Trace(tmp_path / "t") as trace:
        first, child = of_trace(trace).programs
    assert first.written == {
        "/f": WrittenBytes(6, hashlib.sha256(b"abcdgh").hexdigest()),
        "/g": WrittenBytes(6, None),
    }
    assert child.written == {"/f": WrittenBytes(2, hashlib.sha256(b"ef").hexdigest())}
    assert (first.status, child.status, child.ordinal) == (0, 7, 0)
    assert first.opened == [OpenedPath("/f", True, 3), OpenedPath("/g", True, 3)]
    assert first.changes == [PathCall("mkdir", None, 0, False)]
    assert first.calls["write"] == 5


ONE = ProgramEffects(
    2, 1, "/p", ("p", "x"), "/", [OpenedPath("/in", False, 3)],
    {"/out": WrittenBytes(2, "a" * 64)}, [PathCall("unlink", "/u", None, True)],
    {"open": 1, "brk": 3}, 0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"program": "/q"}, ["program: /p in A, /q in B"]),
        ({"cwd": "/d"}, ["working directory: / in A, /d in B"]),
        ({"cwd": None}, []),
        ({"status": 1}, ["exit status: 0 in A, 1 in B"]),
        ({"argv": ("p",)}, ["arguments: p x in A, p in B"]),
        ({"opened": []}, ["opened: /in to read in A, nothing in B"]),
        ({"opened": [OpenedPath("/in", True, 3)]}, ["opened: /in to read in A, /in to write in B"]),
        ({"opened": [OpenedPath("/in", False, 4)]}, []),
        ({"written": {}}, ["written to /out: 2 bytes, aaaaaaaaaaaa in A, nothing in B"]),
        ({"written": {"/out": WrittenBytes(2, None)}}, []),
        ({"changes": []}, ["called: unlink of /u in A, nothing in B"]),
        ({"changes": [PathCall("unlink", None, None, False)]}, []),
        ({"changes": [PathCall("unlink", "/v", None, True)]},
         ["called: unlink of /u in A, unlink of /v in B"]),
        ({"calls": {"open": 2, "brk": 9}}, ["open: 1 times in A, 2 in B"]),
        ({"pid": 9}, []),
    ],
)  # fmt: skip
def test_what_counts(changed: dict[str, object], said: list[str]) -> None:
    other = dataclasses.replace(ONE, **changed)  # type: ignore[arg-type]
    assert list(differences(ONE, other)) == said


def test_one_program_more_and_bad_documents(tmp_path: Path) -> None:
    one, two = (tmp_path / name for name in ("one.json", "two.json"))
    for place, programs in ((one, (ONE,)), (two, (ONE, ONE))):
        place.write_text(json.dumps(encode(Effects(SCHEMA, {}, "somebody's", programs))))
    with compare(str(one), str(one)) as found:
        assert found.equal
    with compare(str(one), str(two)) as found:
        assert not found.equal
        assert found.value()["programs"] == [1, 2]
    # The arguments that a run was started with may differ, in what it forks too; others may not.
    other = dataclasses.replace(ONE, argv=("/p", "x"))
    third = dataclasses.replace(ONE, argv=("/p",))
    for programs, equal in (((other, other), True), ((other, third), False)):
        one.write_text(json.dumps(encode(Effects(SCHEMA, {}, "another's", programs))))
        with compare(str(one), str(two)) as found:
            assert found.equal is equal
    one.write_text(json.dumps(encode(Effects(SCHEMA, {}, "somebody's", (ONE,)))))
    true = one.read_text().replace('"pid": 2', '"pid": true')
    none = json.dumps(encode(Effects(SCHEMA, {}, "somebody's", ())))
    for text, why in (
        (true, r"programs\[0\].pid must be a whole number"),
        (none, "no program ran"),
    ):
        two.write_text(text)
        with pytest.raises(BadInput, match=f"two.json: {why}"), compare(str(two), str(two)):
            pass


def test_only_builder_hex0_has_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--machine", "knight", "--effects", str(tmp_path / "x")]) == 2
    assert "--effects does not go with --machine knight" in capsys.readouterr().err
