"""What sessions show, where bytes came from, and runs that are recorded for a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.debug import Interrupted, Session
from bootstrap.debug.stops import REASONS
from bootstrap.debug.views import in_memory, in_sources
from bootstrap.languages import hex0 as model
from bootstrap.timeline import disassembly
from tests.debug.material import SEED, SOURCE, record_image, stack, state
from tests.instruments.guest import Load, Program, R, X, elf
from tests.instruments.runs import engine_for
from tests.seeds.tools import SOURCES
from tests.trace.recorded import embedded as embedded_source

# -- memory ---------------------------------------------------------------------------------------


def test_who_put_a_byte_of_the_image_there(embedded: Session) -> None:
    embedded.go("5@0")  # pid 5 runs hex1, which pid 4 wrote
    guest_addr, offset = embedded.pc + 20, embedded.image.offset(embedded.pc + 20)
    byte = embedded.read(guest_addr, 1)
    image = embedded.trace.content(embedded.program.image)
    stop = embedded.previous_access(guest_addr, 1, "w")
    assert (stop.reason, embedded.pid) == ("watchpoint", 4)
    embedded.step()
    made = embedded.produced()
    assert made == ("/hex1", offset, 1)
    assert embedded.file("/hex1") == image[: made.offset + 1]
    assert embedded.file("/hex1")[-1:] == byte


def test_who_put_a_byte_of_the_stack_there(embedded: Session) -> None:
    embedded.go("5@0")
    esp = dict(embedded.registers())["esp"]
    stop = embedded.previous_access(esp, 4)
    assert (stop.reason, "the kernel" in stop.detail) == ("unknown", True)
    assert str(embedded.here) == "5@0"


def test_a_childs_memory_is_its_parents(embedded: Session) -> None:
    embedded.go("5.0@0")  # just forked by kaem, which has read its script
    script = b"hex2.hex1"
    guest_addr = in_memory(embedded.at.process.memory, script)[-1]
    stop = embedded.previous_access(guest_addr, len(script), "w")
    assert (stop.reason, embedded.pid, embedded.program.parent) == ("watchpoint", 3, None)
    before = embedded.read(guest_addr, len(script))
    embedded.step()
    assert before != script == embedded.read(guest_addr, len(script))


def test_the_next_access_and_none(hex0: Session) -> None:
    esp = dict(hex0.registers())["esp"]
    stop = hex0.next_access(esp, 4, "r")
    assert (stop.reason, hex0.executed) == ("watchpoint", 1)  # pop eax
    assert hex0.next_access(0x1000, 4).reason == "unknown"
    assert hex0.executed == 1
    with pytest.raises(BadInput):
        hex0.next_access(esp, 0)
    with pytest.raises(BadInput):
        hex0.previous_access(esp, 4, "z")


def test_the_origin_of_a_byte_that_was_read(hex0: Session, embedded: Session) -> None:
    hex0.go("out:0x20")
    cell = dict(hex0.registers())["ecx"]  # hex0 reads each byte into the same cell
    byte = hex0.read(cell, 1)
    while hex0.previous_call("read").reason == "call" and hex0.read(cell, 1) == byte:
        pass
    hex0.step()
    offset = hex0.open_files()[-2].offset - 1
    assert SOURCE[offset : offset + 1] == hex0.read(cell, 1)
    stop = hex0.origin(cell)
    assert f"byte {offset:#x} of /hex0.hex0, a file of the source tree" in stop.detail
    # A program that reads what another one wrote.
    written = {row.id for row in embedded.images.why.opens if row.last_version is not None}
    assert written
    for row in embedded.images.why.opens:
        writers = embedded.images.why.writers_of(row.version or 0)
        program = embedded.trace.program(row.process)
        if not writers or program.pid == embedded.trace.program(writers[-1].process).pid:
            continue
        embedded.go(f"{program.pid}@0")
        embedded.next_call("read", path=str(row.path))
        call = embedded.call(embedded.calls)
        cell = int(call.split("0x")[1].split(",")[0], 16)
        byte = embedded.read(cell, 1)
        embedded.origin(cell)
        assert embedded.pid == embedded.trace.program(writers[-1].process).pid
        embedded.step()
        made = embedded.produced()
        assert made is not None
        assert embedded.file(made.path)[made.offset : made.offset + 1] == byte
        return
    raise AssertionError("no program of the embedded path reads what another wrote")


# -- looking --------------------------------------------------------------------------------------


def test_jumps_lead_where_the_arrows_point(embedded: Session) -> None:
    """Every jump and call that ran went to its target, or on to the next instruction."""
    jumped = 0
    embedded.go("5@0")
    for _ in range(1500):
        (line,) = embedded.disassemble(count=1)
        embedded.step()
        after = line.guest_addr + len(line.code)
        if line.target is not None:
            assert embedded.pc in (line.target, after)
            jumped += embedded.pc == line.target
        elif line.text.split()[0] not in ("ret", "jmp"):
            assert embedded.pc == after or line.text.startswith("rep")
    assert jumped > 100


@pytest.mark.parametrize(
    ("abi", "code", "target"),
    [
        ("riscv64", "ef008000", 0x1008),  # jal ra, 8
        ("riscv64", "e7800000", None),  # jalr ra, 0(ra)
        ("riscv32", "63086200", 0x1010),  # beq tp, t1, 16
        ("riscv64", "01a0", 0x1000),  # c.j 0
        ("aarch64", "40001036", 0x1008),  # tbz w0, #2, 8
        ("aarch64", "010000d4", None),  # svc #0
        ("x86_64", "75eb", 0xFED),  # jne -21
        ("x86_64", "ffe0", None),  # jmp rax
        ("i386", "cd80", None),  # int 0x80
        ("i386", "e2f0", 0xFF2),  # loop -14
        ("i386", "ff", None),  # no instruction
    ],
)
def test_targets(abi: str, code: str, target: int | None) -> None:
    found = disassembly.flow(abi, bytes.fromhex(code), 0x1000)
    assert (None if found is None else found.target) == target


def test_lines_say_where_they_come_from(hex0: Session) -> None:
    assembly = model.assemble(SOURCE, "hex0.hex0")
    for line in hex0.disassemble(count=30):
        offset = hex0.image.offset(line.guest_addr)
        assert offset is not None
        origin = assembly.map[offset]
        assert line.place == f"hex0.hex0:{origin.digits[0].line}"
        assert line.here == (line.guest_addr == hex0.pc)
    source = hex0.source()
    assert source is not None
    number, text = source.nearby[len(source.nearby) // 2]
    assert (number, text.strip()) == (source.line, source.text)
    assert SOURCE.split(b"\n")[number - 1].decode() == text
    assert hex0.unknown == ""
    assert hex0.source(stack(hex0)[1]) is None  # on the stack


def test_files_maps_and_searches(hex0: Session) -> None:
    hex0.go("out:0x1f")
    files = {file.fd: (file.path, file.size, file.access) for file in hex0.open_files()}
    assert files[3] == ("/hex0.hex0", len(SOURCE), "read")
    assert files[4] == ("/out", 0x20, "write")
    assert hex0.file("hex0.hex0") == hex0.file(3) == SOURCE
    assert hex0.file("/hex0-seed") == SEED
    for wrong in ("nothing", "/", "/a/b", 77, 0):
        with pytest.raises(BadInput):
            hex0.file(wrong)
    assert any(area.start <= hex0.pc < area.end and "x" in area.rights for area in hex0.maps())
    code = hex0.read(hex0.pc, 8)
    assert hex0.pc in hex0.find(code)
    assert hex0.find(b"no such bytes anywhere") == []
    found = in_sources(hex0.sources(), "int 0x80")
    assert [number for _, number, _ in found] == [
        n for n, text in enumerate(SOURCE.split(b"\n"), 1) if b"int 0x80" in text
    ]
    for wanted, where in ((b"", "memory"), ("", "source"), ("x", "air")):
        with pytest.raises(BadInput):
            hex0.find(wanted, where)
    # Having looked changes nothing: the run still is the recorded one.
    assert hex0.cont().reason == "end"


def test_a_look_at_a_file_gives_it_no_number(embedded: Session) -> None:
    """Files are numbered when the guest looks them up; the run would not be the recorded one."""
    embedded.go("3@0")  # kaem, which opens tools.kaem only later
    assert embedded.file("/tools.kaem") == (SOURCES / "tools.kaem").read_bytes()
    for wrong in ("/hex2.hex1/x", "/nothing", "/tools"):
        with pytest.raises(BadInput):
            embedded.file(wrong)
    assert embedded.cont().reason == "end"


# -- ending a move, live programs -----------------------------------------------------------------


def test_a_move_can_be_ended(tmp_path: Path) -> None:
    loop = Program("i386").raw("b900127a00").raw("4975fd").exit(0)  # mov ecx, 8000000; dec; jnz
    trace = record_image(tmp_path, loop.elf())
    asked: list[bool] = []

    def progress(_row: int, _executed: int) -> None:
        if asked:
            asked.clear()
            raise Interrupted

    with Session.open(str(trace), progress) as session:
        session.step(7)
        before = state(session)
        session.watchpoints.add(0x1000)
        asked.append(True)
        with pytest.raises(Interrupted):
            session.cont()
        assert state(session) == before
        session.watchpoints.clear()
        asked.append(True)
        stop = session.cont()  # without watchpoints it has missed nothing on the way
        assert stop.reason == "interrupted"
        assert 7 < stop.place.executed < 16_000_000
        before = state(session)
        session.breakpoints.add("0x1234")  # where nothing ever runs
        asked.append(True)
        with pytest.raises(Interrupted):
            session.reverse_cont()
        assert state(session) == before
        assert session.cont().reason == "end"


def test_a_live_program_is_recorded_and_gone_afterwards(tmp_path: Path) -> None:
    guest = Program("i386")
    (tmp_path / "guest").write_bytes(
        guest.call("write", 1, guest.data(b"output\n"), 5).exit(3).elf()
    )
    (tmp_path / "guest").chmod(0o755)
    with Session.record(["./guest"], root=str(tmp_path), env=["A=b"]) as session:
        place = Path(session.trace.name)
        assert place.exists()
        assert session.program.environment == (b"A=b",)
        assert session.cont().detail == "pid 1: exit 3"
    assert not place.exists()
    for argv in (["./nothing"], []):
        with pytest.raises(BadInput):
            Session.record(argv, root=str(tmp_path))
    with pytest.raises(BadInput, match="is not a folder"):
        Session.record(["./guest"], root=str(tmp_path / "guest"))


def test_a_source_tree_is_recorded_too() -> None:
    with Session.record(source=embedded_source()) as session:
        assert len({program.pid for program in session.trace.programs}) == 12
        assert session.trace.meta["result"] == "verified"
        assert session.cont().reason == "end"


def test_a_guest_that_fails_is_there_up_to_its_failure(tmp_path: Path) -> None:
    guest = Program("i386")
    (tmp_path / "guest").write_bytes(guest.raw("0f0b").exit(3).elf())  # ud2
    (tmp_path / "guest").chmod(0o755)
    with Session.record(["./guest"], root=str(tmp_path), engine=engine_for("python")) as session:
        stop = session.cont()
        assert (stop.reason, stop.detail) == ("end", "pid 1: killed by SIGILL")
        assert session.read(session.pc, 2) == b"\x0f\x0b"


def test_a_program_without_an_instruction(tmp_path: Path) -> None:
    image = elf("i386", 0x70_0000, [Load(0x40_0000, b"\x90", R | X)])  # its entry is not mapped
    with Session.open(str(record_image(tmp_path, image))) as session:
        assert (session.pc, session.total) == (0x70_0000, 0)
        for stop in (session.step(), session.cont(), session.step(5)):
            assert (stop.reason, stop.detail) == ("end", "pid 1: killed by SIGSEGV")
        for move in (session.back, session.reverse_cont):
            assert move().reason == "begin"
        assert session.go("50%").place.executed == 0


def test_every_reason_is_described() -> None:
    for name in ("step", "breakpoint", "watchpoint", "call", "begin", "end", "child", "nowhere"):
        assert REASONS[name]
