"""gdb with several processes on each architecture, and with programs of two in one process; the
host's kernel is the oracle where it can run the program."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from bootstrap.debug import Session
from bootstrap.debug.gdb.registers import DESCRIPTIONS
from tests.debug.gdb.clients import (
    HELLO,
    SHOW,
    connected,
    gdb_for,
    registers_here,
    registers_of,
    talk,
)
from tests.debug.material import record_image
from tests.instruments.guest import Program
from tests.instruments.test_other_architectures import exit_with, program, words

CLONE = {
    # mov x0, #17 (SIGCHLD); mov x1 to x4, #0; mov x8, #220 (clone); svc #0
    "aarch64": (0xD2800220, 0xD2800001, 0xD2800002, 0xD2800003, 0xD2800004, 0xD2801B88, 0xD4000001),
    # li a0, 17; li a1 to a4, 0; li a7, 220; ecall
    "riscv64": (0x01100513, 0x00000593, 0x00000613, 0x00000693, 0x00000713, 0x0DC00893, 0x00000073),
}
CLONE["riscv32"] = CLONE["riscv64"]
OTHER = {"x86_64": "i386", "i386": "x86_64"}


def forking(abi: str) -> bytes:
    """A program that forks; parent and child exit with 0."""
    if abi in OTHER:
        return Program(abi).call("fork").exit(0).elf()
    return program(abi, words(*CLONE[abi]) + exit_with(abi, 0))


def executing(folder: Path, abi: str) -> Path:
    """A program that executes one of the other architecture, which writes and exits with 9."""
    first, second = Program(abi), Program(OTHER[abi])
    name = first.text(b"./second")
    first.call("execve", name, first.words(name, 0), first.words(0)).exit(1)
    second.call("write", 1, second.text(b"ok"), 2).exit(9)
    return record_image(folder, first.elf(), {"second": second.elf()})


@pytest.mark.parametrize("abi", sorted(DESCRIPTIONS))
def test_a_process_that_monitor_brings(abi: str, tmp_path: Path) -> None:
    gdb_for(abi)
    trace = record_image(tmp_path, forking(abi))
    output = connected(
        trace, tmp_path,
        ["monitor go 2@0", "info threads", "thread 2.1", *SHOW, "unset tdesc filename", *SHOW,
         "stepi", *SHOW, "thread 1.1", *SHOW],
        abi,
    )  # fmt: skip
    assert re.search(r"^\* 2\.1 +Thread 2\.2 \(\./guest, at 2@0\) 0x", output, re.MULTILINE)
    with Session.open(str(trace)) as session:
        expected = [registers_here(session)]
        session.go("2@0")
        expected[:0] = [registers_here(session)] * 2
        session.step()
        expected.insert(2, registers_here(session))
    for found, known in zip(registers_of(output), expected, strict=True):
        assert {name: found[name] for name in known} == known


@pytest.mark.parametrize("abi", sorted(OTHER))
def test_a_program_of_another_architecture(abi: str, tmp_path: Path) -> None:
    gdb_for("riscv64")  # gdb-multiarch
    trace = executing(tmp_path, abi)
    output = connected(
        trace, tmp_path,
        [*SHOW, "catch exec", "continue", *SHOW, "stepi", *SHOW, "reverse-stepi", *SHOW,
         "reverse-continue", *SHOW, "stepi", *SHOW, "reverse-stepi", *SHOW, "delete",
         "reverse-continue", *SHOW],
        "riscv64",
    )  # fmt: skip
    assert re.findall(r"^Catchpoint 1 \(exec'd (\S+)\)", output, re.MULTILINE) == [
        "/second", "/guest", "/second", "/guest"]  # fmt: skip
    with Session.open(str(trace)) as session:
        begin = registers_here(session)
        session.cont(["exec"])
        executed = registers_here(session)
        session.step()
        stepped = registers_here(session)
        session.back(2)
        before = registers_here(session)
    expected = [begin, executed, stepped, executed, before, executed, before, begin]
    for found, known in zip(registers_of(output), expected, strict=True):
        assert {name: found[name] for name in known} == known


def test_registers_of_another_architecture_are_refused(tmp_path: Path) -> None:
    """gdb would take them for others; when it has read the new description, it gets them."""
    with Session.open(str(executing(tmp_path, "x86_64"))) as session:
        features = b"qXfer:features:read:target.xml:0,4000"
        go = b"qRcmd," + b"step 1000".hex().encode()
        _, _, before, moved, *refused, _, after = talk(
            session, HELLO, features, b"g", go, b"g", b"p0", b"P0=0", features, b"g",
        )  # fmt: skip
        size = {abi: sum(r.bits // 4 for r in DESCRIPTIONS[abi].registers) for abi in OTHER}
        assert (len(before), len(after)) == (size["x86_64"], size["i386"])
        assert b"unset tdesc filename" in bytes.fromhex(moved.decode())
        assert [b"gdb has the registers of x86_64" in one for one in refused[:2]] == [True, True]
        assert refused[2].startswith(b"E.")


@pytest.mark.parametrize("abi", sorted(OTHER))
def test_selectors_are_those_that_a_program_finds(abi: str, tmp_path: Path) -> None:
    """And those of this machine are the same: test_with_gdb.py compares all registers."""
    guest = Program(abi)
    cells = guest.space(6 * guest.word)
    for index in (1, 2, 3, 0, 4, 5):  # as gdb has them; mov eax, sreg (Intel SDM, 8C)
        guest.raw(bytes((0x8C, 0xC0 | index << 3)) if abi == "i386" else
                  bytes((0x48, 0x8C, 0xC0 | index << 3)))  # fmt: skip
        guest.store(cells)
        cells += guest.word
    guest.exit(0)
    asked = [b"p%x" % DESCRIPTIONS[abi].number(name) for name in "cs ss ds es fs gs".split()]
    with Session.open(str(record_image(tmp_path, guest.elf()))) as session:
        _, *given = talk(session, HELLO, *asked)
        session.cont()
        raw = session.read(cells - 6 * guest.word, 6 * guest.word)
        found = [raw[at : at + 4].hex().encode() for at in range(0, len(raw), guest.word)]
        assert given == found


# -- /proc ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", [{}, {"A": "b", "LONG": "x" * 300, "EMPTY": ""}])
def test_proc_is_as_on_this_machine(environment: dict[str, str], tmp_path: Path) -> None:
    """Of a program that waits for input: the same files, byte for byte where they can be."""
    guest = Program("x86_64")
    cell = guest.space(16)
    guest.call("write", 1, cell, 1).call("read", 0, cell, 1).exit(0)
    root = tmp_path / "root"
    root.mkdir()
    name, argv = "a-long-name-of-a-program", ["one", "", "three words"]
    (root / name).write_bytes(guest.elf())
    (root / name).chmod(0o755)
    env = [f"{key}={value}" for key, value in environment.items()]
    files = ("maps", "environ", "cmdline", "comm", "auxv", "exe", "status")
    with Session.record([f"./{name}", *argv], root=str(root), env=env) as session:
        ours = {file: _served(session, file) for file in files}
    assert ours["exe"] == guest.elf()
    assert ours["environ"] == "".join(f"{one}\0" for one in env).encode()
    try:
        here = subprocess.Popen(
            [f"./{name}", *argv], cwd=root, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:
        pytest.skip(f"this machine does not run programs for x86-64: {error}")
    with here:
        assert here.stdout is not None and here.stdout.read(1) == b"\0"  # its execve(2) is over
        folder = Path("/proc") / str(here.pid)
        theirs = {file: (folder / file).read_bytes() for file in files}
        here.communicate(b"x")
    assert {f: ours[f] for f in ("environ", "cmdline", "comm")} == {
        f: theirs[f] for f in ("environ", "cmdline", "comm")}  # fmt: skip
    assert len(ours["auxv"]) % 16 == 0 and ours["auxv"][-16:] == theirs["auxv"][-16:] == bytes(16)
    assert ours["status"].split(b"\n")[0] == theirs["status"].split(b"\n")[0]
    # Where the program is, device and inode apart; and the column of every name.
    mine, other = (_maps(files["maps"]) for files in (ours, theirs))
    assert [row for row in mine if row[-1] == name] == [row for row in other if row[-1] == name]
    assert {row[4] for row in mine} <= {row[4] for row in other}


def _maps(raw: bytes) -> list[tuple[str, str, str, str, int, str]]:
    """(from, to, rights, offset, column of the name, name) of each line."""
    found = []
    for line in raw.decode().splitlines():
        match = re.fullmatch(r"([0-9a-f]{8,})-([0-9a-f]{8,}) ([r-][w-][x-][ps]) ([0-9a-f]{8}) "
                             r"[0-9a-f]{2}:[0-9a-f]{2} \d+ (?: *(\S.*))?", line)  # fmt: skip
        assert match is not None, line
        start, end, rights, offset, name = match.groups()
        column = 73 if name is None else match.start(5)
        found.append((start, end, rights, offset, column, (name or "").rpartition("/")[2]))
    return found


def _served(session: Session, name: str) -> bytes:
    path = f"/proc/1/{name}".encode().hex().encode()
    _, reply = talk(session, b"vFile:open:%b,0,0" % path, b"vFile:pread:1,3fff,0")
    return reply.partition(b";")[2]
