"""The installed gdb on recorded runs: what it shows is what a session shows, and what it shows of
the same program running natively."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.debug import Session
from bootstrap.sources import SourceTree
from tests.debug.gdb.clients import (
    NO_MORE,
    SHOW,
    connected,
    gdb_for,
    natively,
    registers_here,
    registers_of,
    repeated,
    run_gdb,
    same,
)
from tests.debug.material import (
    FOLDERS,
    LOOP,
    STORE,
    STORED,
    record_image,
    record_loop,
    record_upstreams_hex0,
)
from tests.instruments.guest import Program

STEPS = 40


def pcs(output: str) -> list[int]:
    """What `printf "pc %#lx\\n", $pc` output."""
    return [int(found, 16) for found in re.findall(r"^pc 0x([0-9a-f]+)$", output, re.MULTILINE)]


PC = 'printf "pc 0x%lx\\n", (long)$pc'


def walk(trace: Path, tmp_path: Path, abi: str, steps: int = STEPS) -> None:
    """On, to the end, and all the way back: registers as a session has them."""
    output = connected(
        trace, tmp_path,
        [*SHOW, *repeated(steps, "stepi", *SHOW), *repeated(steps, "reverse-stepi", *SHOW),
         "continue", *SHOW, *repeated(3, "reverse-stepi", *SHOW), "reverse-continue", *SHOW,
         "reverse-stepi", *SHOW],
        abi,
    )  # fmt: skip
    with Session.open(str(trace)) as session:
        on = []
        for _ in range(steps + 1):
            on.append(registers_here(session))
            session.step()
        session.cont()
        end = [registers_here(session)]
        for _ in range(3):
            session.back()
            end.append(registers_here(session))
    found = registers_of(output)
    known = [{name: v for name, v in one.items() if name in on[0]} for one in found]
    assert known == [*on, *on[-2::-1], *end, on[0], on[0]]
    assert output.count(NO_MORE) == 3


@pytest.mark.parametrize("abi", sorted(LOOP))
def test_a_loop_on_and_back(abi: str, tmp_path: Path) -> None:
    gdb_for(abi)
    trace = record_loop(tmp_path, abi)
    walk(trace, tmp_path, abi, 15)
    output = connected(
        trace, tmp_path,
        [f"break *{STORE[abi]:#x}", *repeated(6, "continue", PC), "reverse-continue", PC,
         "delete", "reverse-continue", f"watch *(int *){STORED:#x}",
         *repeated(5, "continue"), *repeated(4, "reverse-continue")],
        abi,
    )  # fmt: skip
    # Five stores, the end; back to the last one.
    assert pcs(output)[:5] == [STORE[abi]] * 5
    assert pcs(output)[6] == STORE[abi]
    assert re.findall(r"(?:Old|New) value = (\d)", output) == list("0554433221" + "12233445")


def test_hex0_on_and_back(hex0_trace: Path, tmp_path: Path) -> None:
    walk(hex0_trace, tmp_path, "i386")


@pytest.mark.upstream
@pytest.mark.parametrize("abi", sorted(FOLDERS))
def test_upstreams_hex0_on_and_back(abi: str, release: SourceTree, tmp_path: Path) -> None:
    gdb_for(abi)
    trace = record_upstreams_hex0(tmp_path, release, abi)
    walk(trace, tmp_path, abi)
    with Session.open(str(trace)) as session:
        session.go("out:0x20")
        pc, executed = session.pc, session.executed
        source = session.source()
        assert source is not None
        session.breakpoints.add(f"{pc:#x}")
        session.cont()
        after = registers_here(session)
    output = connected(
        trace, tmp_path,
        ["monitor go out:0x20", "maintenance flush register-cache", PC, f"break *{pc:#x}",
         "continue", *SHOW, "reverse-continue", PC, "info line *$pc", "step", "reverse-step"],
        abi, symbols=tmp_path / "symbols",
    )  # fmt: skip
    line, nearby = source.line, dict(source.nearby)
    assert f'Line {line} of "hex0.hex0" starts at address {pc:#x} ' in output
    # Back where the step began: gdb shows that line of the source, and no other.
    assert f"\n{line}\t{nearby[line]}\n[Inferior 1 " in output
    assert f"output at 1@{executed}: byte at 0x20 of /out" in output
    assert pcs(output)[0] == pc == pcs(output)[-1]
    assert {name: registers_of(output)[0][name] for name in after} == after


@pytest.mark.parametrize(("command", "kinds"), [("awatch", "a"), ("rwatch", "r")])
def test_watchpoints_on_and_back(
    hex0_trace: Path, tmp_path: Path, command: str, kinds: str
) -> None:
    with Session.open(str(hex0_trace)) as session:
        session.go("1@47950")
        cell = dict(session.registers())["ecx"]
        session.watchpoints.add(cell, 4, kinds)
        stops = [session.cont().place for _ in range(6)]
        on = []
        for place in stops:
            session.go(place)
            on.append(session.pc)
        back = []
        for _ in range(5):
            session.reverse_cont()
            back.append(session.pc)
    output = connected(
        hex0_trace, tmp_path,
        [f"{command} *(int *){cell:#x}", *repeated(6, "continue", PC),
         *repeated(5, "reverse-continue", PC)],
        at="1@47950",
    )  # fmt: skip
    assert pcs(output) == [*on, *back]
    assert output.count("Hardware ") >= 12


def test_children(embedded_trace: Path, tmp_path: Path) -> None:
    output = connected(
        embedded_trace, tmp_path,
        ["catch fork", "catch exec", "set detach-on-fork off", "continue", PC, "stepi", PC,
         "info inferiors", "inferior 2", PC, "continue", *SHOW, "continue", PC,
         "reverse-continue", PC, "inferior 1", PC, "reverse-continue", PC],
        at="3@0",
    )  # fmt: skip
    with Session.open(str(embedded_trace)) as session:
        session.go("3@0")
        begin = session.pc
        session.cont(["fork"])
        forked = session.pc
        session.step()
        stepped = session.pc
        session.into_child()
        child = session.pc
        session.cont(["exec"])
        executed = registers_here(session)
        session.cont()
        end = session.pc
    assert "Catchpoint 1 (forked process 4)" in output
    assert re.search(r"^  2 +process 4 ", output, re.MULTILINE)
    assert "process 4 is executing new program: /hex0" in output or "exec'd /hex0" in output
    found = registers_of(output)[0]
    assert {name: found[name] for name in executed} == executed
    assert pcs(output) == [forked, stepped, child, end, child, stepped, begin]


def test_what_the_kernel_says(hex0_trace: Path, tmp_path: Path) -> None:
    output = connected(
        hex0_trace, tmp_path,
        ["info proc", "info proc mappings", "info auxv", "info inferiors", "info threads",
         "info sharedlibrary"],
    )  # fmt: skip
    assert "cmdline = './hex0-seed hex0.hex0 out'" in output
    assert "exe = '/hex0-seed'" in output
    assert "cwd = '/'" in output
    assert re.search(r"0x0*8048000 +0x0*8049000 +0x1000 .*/hex0-seed", output)
    assert re.search(r"AT_ENTRY +Entry point of program +0x804804c", output)
    assert re.search(r"AT_PAGESZ +System page size +4096", output)
    assert "process 1 " in output
    assert "./hex0-seed hex0.hex0 out, at 1@0" in output


def test_a_recording_cannot_be_changed(hex0_trace: Path, tmp_path: Path) -> None:
    output = connected(
        hex0_trace, tmp_path,
        ["python", "for command in ('set $eax = 7', 'set var *(int *)$esp = 7', 'signal 11'):",
         "  try:", "    gdb.execute(command)", "    print('done')",
         "  except gdb.error as error:", "    print('refused:', error)", "end",
         "maintenance flush register-cache", *SHOW, "x/wx $esp"],
    ) if _has_python(tmp_path) else pytest.skip("this gdb has no Python")  # fmt: skip
    assert "this is a recording: nothing can be written to it" in output
    assert output.count("refused:") >= 2
    assert registers_of(output)[-1]["eax"] == 0
    assert "0x00000003" in output  # argc


def _has_python(tmp_path: Path) -> bool:
    output = run_gdb(gdb_for("i386"), tmp_path, ["python print(6 * 7)"])
    return output.strip() == "42"


# -- against the same program on this machine ----------------------------------------------------


def _compare(trace: Path, program: Path, tmp_path: Path, abi: str, argv: list[str]) -> None:
    # Where calls are is the same in both, so the same commands lead to the same places.
    commands = [*SHOW, *repeated(STEPS, "stepi", *SHOW)]
    with Session.open(str(trace)) as session:
        session.step(STEPS)
        for call in ("write", "read") * 4:
            session.next_call(call)
            commands += [f"tbreak *{session.pc:#x}", "continue", *SHOW]
    theirs = registers_of(natively(program, tmp_path, commands, *argv))
    ours = registers_of(connected(trace, tmp_path, commands, abi))
    assert len(theirs) == len(ours) == STEPS + 1 + 8
    sp = "esp" if abi == "i386" else "rsp"
    sps = ours[0][sp], theirs[0][sp]
    for index, (mine, native) in enumerate(zip(ours, theirs, strict=True)):
        assert same(mine, native, sps), (
            index,
            {name: (v, native[name]) for name, v in mine.items() if v != native[name]},
        )
    assert not same(ours[0], theirs[-1], sps)


def test_hex0_is_as_on_this_machine(hex0_trace: Path, tmp_path: Path) -> None:
    root = hex0_trace.parent / "root"
    _compare(hex0_trace, root / "hex0-seed", tmp_path, "i386", ["hex0.hex0", "native-out"])


def test_a_program_of_amd64_is_as_on_this_machine(tmp_path: Path) -> None:
    guest = Program("x86_64")
    space, name = guest.space(64), guest.text(b"source")
    guest.call("open", name, 0, 0).raw("90" * STEPS)
    for _ in range(6):
        guest.call("read", 3, space, 1).call("write", 1, space, 0).raw("4889c34801d84831d9")
    guest.exit(0)
    trace = record_image(tmp_path, guest.elf(), {"source": b"0123456789"})
    _compare(trace, tmp_path / "root" / "guest", tmp_path, "x86_64", [])
