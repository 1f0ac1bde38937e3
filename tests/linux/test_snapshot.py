"""A machine taken apart into plain values at any place, and put together: it goes on as it would.

Guests are drawn by hypothesis: files shared by processes, deleted while open, directories, a heap
and mappings that come and go.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.core.files import Stream
from bootstrap.core.machine import RunResult
from bootstrap.core.process import Exec
from bootstrap.instruments.counter import NEVER, Travel
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.machine import LinuxMachine
from bootstrap.linux.snapshot import Sharing, Snapshot, restore, take
from bootstrap.trace.checkpoints import decode, encode
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, engine_for

HEAP, MAPPED = 0x880000, 0x20000000
"""Always in the heap; where mappings are."""
NAMES = (b"/a", b"/b", b"/folder/c", b"/given")
GIVEN = b"what is there from the start, " * 9
FLAGS = (0o2, 0o102, 0o1102, 0o2102, 0o302)
"""O_RDWR, and O_CREAT with nothing, O_TRUNC, O_APPEND, O_EXCL."""
SMALL = st.integers(0, 6)
ONE = st.tuples(
    st.sampled_from(
        "open open write write read seek dup close unlink rename link mkdir chdir back umask brk "
        "poke map unmap protect store".split()
    ),
    SMALL,
    SMALL,
)
GUEST = st.lists(
    st.one_of(ONE, st.tuples(st.just("fork"), st.lists(ONE, max_size=5), SMALL)), max_size=14
)


def program(abi: str, ops: Sequence[Any]) -> bytes:
    """A guest that makes those calls, and reports what each answered."""
    guest = Program(abi)
    names = [guest.text(name) for name in NAMES]
    folder, top, link = guest.text(b"/folder"), guest.text(b"/"), guest.text(b"/link")
    text, space = guest.data(bytes(range(64, 128))), guest.space(64)
    guest.call("brk", 0x900000)
    count = [0]

    def add(name: str, a: int, b: int, mapped: set[int]) -> None:
        fd, path = 3 + a % 4, names[a % len(names)]
        at = MAPPED + 0x4000 * (a % 3)
        report = guest.call_and_report
        match name:
            case "open":
                report("open", path, FLAGS[b % len(FLAGS)], 0o640)
            case "write":
                report("write", fd, text + b, 3 + 5 * b)
            case "read":
                report("read", fd, space, 9 * b).call("write", 1, space, 12)
            case "seek":
                report("lseek", fd, 7 * b, 0)
            case "dup":
                report("dup2", fd, 3 + b)
            case "close":
                report("close", fd)
            case "unlink":
                report("unlink", path)
            case "rename":
                report("rename", path, names[b % len(names)])
            case "link":
                report("symlink", path, link)
            case "mkdir":
                report("mkdir", folder, 0o750)
            case "chdir":
                report("chdir", folder)
            case "back":
                report("chdir", top)
            case "umask":
                report("umask", 0o20 + b)
            case "brk":
                report("brk", 0x8F0000 + 0x5800 * b)
            case "poke":
                guest.poke(HEAP + 0x900 * a, 1 + b)
            case "map":
                mapped.add(at)
                report("mmap2" if abi == "i386" else "mmap", at, 0x3000, 3, 0x32, -1, 0)
            case "unmap":
                mapped.discard(at)
                report("munmap", at, 0x4000)
            case "protect":
                mapped.discard(at)  # it may be read, and no longer be written
                report("mprotect", at, 0x2000, 1)
            case "store" if at in mapped:
                guest.poke(at + 0x800 * (b % 6), 1 + a)
                guest.call("write", 1, at, 0x3000)

    mapped: set[int] = set()
    for name, first, second in ops:
        if name != "fork":
            add(name, first, second, mapped)
            continue
        count[0] += 1
        child, after = f"child{count[0]}", f"after{count[0]}"
        guest.call("fork").jump_if_zero(child)
        guest.call_and_report("wait4", -1, space, 0, 0).call("write", 1, space, 4).jmp(after)
        guest.label(child)
        inside = set(mapped)
        for what, a, b in first:
            add(what, a, b, inside)
        guest.exit(second).label(after)
    for path in names:
        guest.call("open", path, 0, 0).call_and_report("read", 9, space, 30)
    return guest.exit(7).elf()


@dataclass
class Run:
    """A machine with its streams, on one file system."""

    machine: LinuxMachine
    streams: tuple[Stream, Stream, Stream]
    output: bytearray

    @property
    def executed(self) -> int:
        stepping = self.machine.tasks[-1].cpu.stepping
        assert stepping is not None
        return stepping.executed

    def stops(self, after: int) -> RunResult | None:
        """Run until so many stops of the CPU: at instructions, and where processes change."""
        machine = self.machine
        while after:
            cpu = machine.tasks[-1].cpu
            assert cpu.stepping is not None
            cpu.stepping.run_to(cpu.stepping.executed + 1)
            fault = cpu.run()
            if fault is not None or not cpu.reached:
                ended = machine.turn(fault)
                if ended is not None:
                    return ended
            after -= 1
        return None

    def to_the_end(self) -> tuple[int, bytes, dict[bytes, tuple[int, bytes]]]:
        """Its status, all that it wrote, and the files."""
        machine = self.machine
        while True:
            cpu = machine.tasks[-1].cpu
            assert cpu.stepping is not None
            cpu.stepping.run_to(NEVER)
            ended = machine.turn(cpu.run())
            if ended is not None:
                files = {
                    path: (file.mode, file.contents()) for path, file in machine.files.changed()
                }
                return ended.status, bytes(self.output), files

    def take(self, sharing: Sharing | None = None) -> Snapshot:
        return take(self.machine, self.streams, sharing or Sharing())


def new(image: bytes, hot_path: str, output: bytes = b"") -> Run:
    lower = {b"/guest": LowerFile(0o755, image), b"/given": LowerFile(0o644, GIVEN)}
    fs = OverlayFileSystem(MemoryLower(lower))
    machine = LinuxMachine(fs, engine_for(hot_path).travelling(Travel()))
    written = bytearray(output)

    def write(data: bytes) -> int:
        written.extend(data)
        return len(data)

    return Run(machine, (Stream(lambda _n: b""), Stream(None, write), Stream(None, write)), written)


def begun(image: bytes, hot_path: str) -> Run:
    run = new(image, hot_path)
    assert run.machine.start(Exec(b"/guest", (b"/guest",), ()), b"/", run.streams) is None
    return run


def through_json(snapshot: Snapshot) -> Snapshot:
    """What a trace would keep of it, and give back."""
    blobs: list[bytes] = []

    def put(blob: bytes) -> int:
        blobs.append(blob)
        return len(blobs) - 1

    return decode(encode(snapshot, put), lambda numbers: [blobs[n] for n in numbers])


@EACH_HOT_PATH
@EACH_ABI
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(GUEST, st.floats(0, 1), st.integers(1, 40))
def test_any_machine_goes_on(abi: str, hot_path: str, ops: Any, share: float, further: int) -> None:
    image = program(abi, ops)
    straight = begun(image, hot_path)
    expected = straight.to_the_end()
    total = straight.machine.ended_calls
    run = begun(image, hot_path)
    ended = run.stops(int(share * 6 * total))
    if ended is not None:
        return
    snapshot, output = run.take(), bytes(run.output)
    # As values, and through what a trace keeps.
    again = new(image, hot_path, output)
    restore(again.machine, through_json(snapshot), again.streams)
    assert again.take() == snapshot
    assert again.to_the_end() == expected
    # Undone in the memory that was marked, after going on for a while.
    for task in run.machine.tasks:
        task.process.memory.mark()
    spaces = {task.process.pid: task.process.memory for task in run.machine.tasks}
    if run.stops(further) is None:
        found = run.machine.hand_over()
        kept = {pid: memory for pid, memory in found.items() if spaces.get(pid) is memory}
        back = new(image, hot_path, output)
        restore(back.machine, snapshot, back.streams, kept)
        assert back.take() == snapshot
        assert back.to_the_end() == expected
    # And nothing that was taken has changed by all this.
    last = new(image, hot_path, output)
    restore(last.machine, snapshot, last.streams)
    assert last.to_the_end() == expected


@EACH_HOT_PATH
@EACH_ABI
def test_what_a_thread_has_of_its_own_is_in_a_snapshot(abi: str, hot_path: str) -> None:
    guest = Program(abi)
    cell, own = guest.space(8), guest.words(11, 22, 33)
    guest.thread_pointer(own).load_from_thread(guest.word).store(cell)
    guest.call("fork").jump_if_zero("child").call("wait4", -1, 0, 0, 0)
    guest.load_from_thread(2 * guest.word).store(cell)
    guest.label("child").call("write", 1, cell, 1).exit(0)
    image = guest.elf()
    straight = begun(image, hot_path)
    expected = straight.to_the_end()
    assert expected[1] == bytes((22, 33))
    for after in range(200):
        run = begun(image, hot_path)
        if run.stops(after) is not None:
            break
        again = new(image, hot_path, bytes(run.output))
        restore(again.machine, through_json(run.take()), again.streams)
        assert again.to_the_end() == expected
    else:
        raise AssertionError("a guest without an end")


@EACH_ABI
def test_a_snapshot_of_before_threads_had_something_of_their_own(abi: str) -> None:
    image = Program(abi).exit(5).elf()
    snapshot = begun(image, "native").take()
    (task,) = snapshot.tasks
    new_names = {"ds", "es", "ss", "fs", "gs", "fs_base", "gs_base", "tls12", "tls13", "tls14"}
    before = {name: raw for name, raw in task.registers.items() if name not in new_names}
    assert before != task.registers
    again = new(image, "native")
    old = dataclasses.replace(snapshot, tasks=(dataclasses.replace(task, registers=before),))
    restore(again.machine, old, again.streams)
    assert again.take() == snapshot
    assert again.to_the_end()[0] == 5 << 8


def test_what_a_snapshot_shares() -> None:
    """One description for two processes and two descriptors; a file without a name."""
    guest = Program("i386")
    name, text, space = guest.text(b"/file"), guest.data(b"0123456789"), guest.space(16)
    guest.call("open", name, 0o102, 0o600).call("dup2", 3, 8).call("unlink", name)
    guest.call("write", 3, text, 10).call("lseek", 3, 2, 0)
    guest.call("fork").jump_if_zero("child")
    guest.call("wait4", -1, space, 0, 0)
    guest.call("read", 8, space, 3).call("write", 1, space, 3).exit(0)
    guest.label("child").call("read", 8, space, 4).call("write", 1, space, 4).exit(0)
    image = guest.elf()
    run = begun(image, "native")
    while len(run.machine.tasks) < 2:
        assert run.stops(1) is None
    snapshot = run.take()
    fds = [{fd: which for fd, which, _ in task.fds} for task in snapshot.tasks]
    assert fds[0][3] == fds[0][8] == fds[1][3] == fds[1][8]
    shared = snapshot.fs.files[fds[0][3]]
    assert (shared.offset, shared.refs) == (2, 4)
    inode = next(i for i in snapshot.fs.inodes if i.ino == shared.ino)
    assert (inode.links, inode.content) == (0, b"0123456789")
    again = new(image, "native")
    restore(again.machine, through_json(snapshot), again.streams)
    # The child reads four bytes, and the parent goes on behind them.
    assert again.to_the_end()[1] == b"2345" + b"678"


@pytest.mark.parametrize("wrong", ["registers", "pages"])
def test_a_snapshot_that_is_none(wrong: str) -> None:
    image = Program("i386").exit(0).elf()
    snapshot = begun(image, "native").take()
    (task,) = snapshot.tasks
    if wrong == "registers":
        task = dataclasses.replace(task, registers={"eip": b"\1"})
    else:
        extents = task.memory.extents
        one = dataclasses.replace(extents[0], pages=extents[0].pages[1:])
        memory = dataclasses.replace(task.memory, extents=(one, *extents[1:]))
        task = dataclasses.replace(task, memory=memory)
    again = new(image, "native")
    with pytest.raises(ValueError):
        restore(again.machine, dataclasses.replace(snapshot, tasks=(task,)), again.streams)
