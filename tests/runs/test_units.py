"""What a unit did, taken in place of running it, leaves what running it leaves; or is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from bootstrap.core.arches import AARCH64, AMD64, RISCV64, X86, Arch
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Directory, Inode, RegularFile, Stream
from bootstrap.core.machine import RunResult
from bootstrap.documents import encode, typed
from bootstrap.instruments import default_engine
from bootstrap.linux.events import Event, Listener
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, LowerLink, MemoryLower
from bootstrap.linux.inode import children
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from bootstrap.runs.units import (
    Contradiction,
    DrivenMachine,
    UnitResult,
    UnitStart,
    run_unit,
)
from bootstrap.trace.provenance import Provenance
from tests.core.guest import Program

ENGINE = default_engine()
ARCHES = (X86, AMD64, AARCH64, RISCV64)
TOOLS = 4
PATHS = (b"a", b"b", b"d/c", b"/d/n", b"d", b"gone/x", b"", b"tool0", b"kaem", b"..", b"d/../a",
         b"a/", b"script", b"x" * 300)  # fmt: skip
FLAGS = (0, 1, 2, 0o1101, 0o102, 0o302, 0o2001, 0o2102, 0o1002)
"""O_CREAT 0o100, O_EXCL 0o200, O_TRUNC 0o1000, O_APPEND 0o2000 (asm-generic/fcntl.h)."""


def one_call(draw: random.Random, p: Program) -> None:
    """A call that files notice, and its result on the output. Descriptor 3 is inherited."""
    path, fd, buffer = p.text(draw.choice(PATHS)), draw.choice((3, 4, 4, 4, 5, 5)), p.space(16)
    name = draw.choice(
        ("open", "open", "write", "read", "lseek", "close", "chmod", "access", "unlink", "chdir",
         "wait4")
    )  # fmt: skip
    if name == "open":
        p.at(name, path, draw.choice(FLAGS), draw.choice((0o644, 0o755)))
    elif name == "write":
        p.call(name, fd, p.text(draw.randbytes(9)), draw.randrange(10))
    elif name == "read":
        p.call(name, fd, buffer, 16).report().call("write", 1, buffer, 16)
    elif name == "lseek":
        p.call(name, fd, draw.randrange(-2, 99), draw.randrange(4))
    elif name == "close":
        p.call(name, draw.choice((0, 2, 3, 4, 4, 4)))
    elif name in ("chmod", "access"):
        p.at(name, path, draw.choice((0, 1, 7, 8) if name == "access" else (0, 0o755, 0o700)))
    elif name == "chdir":
        p.call(name, path)
    elif name == "wait4":  # where nothing can be stored it has waited all the same
        p.call(name, draw.choice((-1, 2, 3)), draw.choice((buffer, 0, 16)), draw.choice((0, 1, 99)),
               draw.choice((0, 0, 16)))  # fmt: skip
    else:
        p.at(name, path)
    p.report()


def tool(draw: random.Random, arch: Arch, number: int) -> bytes:
    """A program of some calls, which may start another one, and may end at a fault."""
    p = Program(arch)
    for _ in range(draw.randrange(1, 9)):
        one_call(draw, p)
    if number and draw.random() < 0.6:
        other = p.text(b"/tool%d" % draw.randrange(number))
        p.fork().jump("parent", "not zero")
        one_call(draw, p)
        p.call("execve", other, p.words(other, 0), 0).report().exit(9)
        p.label("parent").wait().report()
    one_call(draw, p)
    if draw.random() < 0.1:
        p.load(16)
    return p.exit(draw.choice((0, 0, 0, 3))).elf()


def driver(arch: Arch, *commands: bytes) -> bytes:
    """kaem, but that what it runs is built in: fork, execve, wait."""
    p = Program(arch)
    p.at("open", p.text(b"script"), 2, 0)
    for number, name in enumerate(commands):
        path = p.text(name)
        p.fork().jump(f"parent{number}", "not zero")
        p.call("execve", path, p.words(path, 0), p.words(p.text(b"A=1"), 0)).exit(77)
        p.label(f"parent{number}").wait().report()
    return p.exit().elf()


def drawn(seed: int) -> dict[bytes, LowerFile | LowerLink]:
    """A tree with a driver, its tools and what they find."""
    draw = random.Random(seed)
    arch = ARCHES[seed % len(ARCHES)]
    tools = {b"tool%d" % n: LowerFile(0o755, tool(draw, arch, n)) for n in range(TOOLS)}
    commands = [draw.choice([*tools, b"a"]) for _ in range(5)]
    files: dict[bytes, LowerFile | LowerLink] = {
        b"kaem": LowerFile(0o755, driver(arch, *commands)),
        b"a": LowerFile(0o644, b"the file a"),
        b"d/c": LowerFile(0o644, b"the file c"),
        b"script": LowerFile(0o644, b"a script"),
    }
    if draw.random() < 0.2:
        files[b"b"] = LowerLink(b"a")
    return {**files, **tools}


@dataclass
class InTurn:
    """Runs each unit where it stands; those that gave a result are in the log."""

    log: list[UnitResult] = field(default_factory=list)
    whys: list[str] = field(default_factory=list)
    taken_count: int = 0

    def __call__(self, start: UnitStart, driven: DrivenMachine) -> UnitResult | None:
        for found in self.results(start, driven):
            if driven.holds(start, found):
                self.taken_count += 1
                return found
        return None

    def results(self, start: UnitStart, driven: DrivenMachine) -> Iterator[UnitResult]:
        found = run_unit(driven.present, ENGINE, driven.limits, start)
        if isinstance(found, str):
            self.whys.append(found)
            return
        self.log.append(found)
        yield found


class Again(InTurn):
    """Gives results that are there already, as they come out of a file or a pipe."""

    def __init__(self, log: list[UnitResult]) -> None:
        super().__init__()
        self.given = [typed(UnitResult, json.loads(json.dumps(encode(one)))) for one in log]

    def results(self, start: UnitStart, driven: DrivenMachine) -> Iterator[UnitResult]:
        yield from (one for one in self.given if one.start.pid == start.pid)


def shown(event: Event) -> str:
    """An event, but for objects that no other run has."""
    fields = {name: getattr(event, name) for kind in type(event).__mro__ for name in
              getattr(kind, "__slots__", ())}  # fmt: skip
    plain = {n: v for n, v in fields.items() if isinstance(v, int | str | bytes | None)}
    return f"{type(event).__name__} {sorted(plain.items(), key=str)}"


UNHEARD = ("Tick", "Listed", "Read ")
"""Of the clock, and of the tree below, which a unit's run may look into earlier."""
Done = tuple[object, ...]


def run(files: dict[bytes, LowerFile | LowerLink], units: InTurn | None = None,
        limits: RunLimits | None = None) -> Done:  # fmt: skip
    """All that can be seen of a run."""
    limits = limits or RunLimits(files_total=1 << 20, inodes=200)
    fs = OverlayFileSystem(MemoryLower(files), limits)
    said, events, provenance = bytearray(), list[str](), Provenance()
    listeners: list[Listener] = [provenance, lambda event: events.append(shown(event))]
    machine = (
        LinuxMachine(fs, ENGINE, limits, listeners)
        if units is None
        else DrivenMachine(fs, ENGINE, limits, listeners, units)
    )

    def write(data: bytes) -> int:
        said.extend(data)
        return len(data)

    output = Stream(None, write)
    ended: RunResult | str
    try:
        streams = Stream(lambda _: b""), output, output
        ended = machine.run(b"/kaem", (b"kaem",), (), b"/", streams)
    except GuestFailed as error:
        ended = str(error)
    provenance.finish()
    meter = fs.volume.meter
    return (ended, bytes(said), [e for e in events if not e.startswith(UNHEARD)],
            sorted(dump(fs.root, b"/")), machine.processes, machine.ended_calls,
            meter.files, meter.inodes, provenance.records)  # fmt: skip


def dump(directory: Directory, path: bytes) -> Iterator[tuple[object, ...]]:
    for name, inode in children(directory):
        content = inode.contents() if isinstance(inode, RegularFile) else b""
        yield path + name, inode.ino, inode.mode, inode.links, inode.opens, content, rights(inode)
        if isinstance(inode, Directory):
            yield from dump(inode, path + name + b"/")


def rights(inode: Inode) -> tuple[int, ...]:
    return (inode.runners, inode.writers) if isinstance(inode, RegularFile) else ()


def test_drawn_units_leave_what_running_them_leaves() -> None:
    """In turn, and again from what was noted: the same events, files, counts, errors."""
    units = whys = 0
    for seed in range(20):
        files = drawn(seed)
        plain, in_turn = run(files), InTurn()
        assert run(files, in_turn) == plain, seed
        again = Again(in_turn.log)
        assert run(files, again) == plain, seed
        # A folder of another mode is not seen as it is, and then nothing is taken.
        assert again.taken_count == in_turn.taken_count <= len(in_turn.log)
        units, whys = units + in_turn.taken_count, whys + len(in_turn.whys)
    assert units > 25 and whys > 5  # both ways are gone often


def seen(limit: int) -> Iterator[tuple[dict[bytes, LowerFile | LowerLink], Done, InTurn]]:
    for seed in range(limit):
        in_turn, files = InTurn(), drawn(seed)
        plain = run(files, in_turn)
        yield files, plain, in_turn


def test_each_observation_counts() -> None:
    """A result of which one thing observed is not so is not taken."""
    tried = 0
    for files, plain, in_turn in seen(6):
        for number, result in enumerate(in_turn.log):
            start, facts = result.start, [*result.observations]
            wrong: list[UnitResult] = [
                replace(result, start=replace(start, **change))
                for change in (
                    {"argv": (b"other",)}, {"envp": ()}, {"cwd": b"/d"}, {"umask": 0},
                    {"fds": start.fds[:-1]}, {"path": b"tool9"},
                )
            ]  # fmt: skip
            wrong.append(replace(result, limits=RunLimits()))
            for at, fact in enumerate(facts):
                others = {"mode": fact.state.mode ^ 0o100, "running": not fact.state.running,
                          "sha256": "0" * 64, "kind": "file" if fact.state.kind == "absent" else
                          "absent"}  # fmt: skip
                for name, value in others.items():
                    state = replace(fact.state, **{name: value})  # type: ignore[arg-type]
                    changed = (*facts[:at], replace(fact, state=state), *facts[at + 1 :])
                    wrong.append(replace(result, observations=changed))
            again = Again(in_turn.log)
            again.given = wrong
            assert run(files, again) == plain
            assert again.taken_count == 0, number
            tried += len(wrong)
    assert tried > 100


def test_limits_that_are_for_all_are_met_where_they_were() -> None:
    """The same line of error, in the same process: what is left is less than a unit had."""
    taken = failed = 0
    for files, _, in_turn in seen(3):
        for limits in (RunLimits(inodes=1), RunLimits(inodes=8), RunLimits(files_total=2000),
                       RunLimits(files_total=40_000), RunLimits(processes=4), RunLimits(nesting=2),
                       RunLimits(nesting=8), RunLimits(memory_total=20 << 20)):  # fmt: skip
            plain = run(files, limits=limits)
            assert run(files, Again(in_turn.log), limits) == plain  # of a run with other limits
            own = InTurn()
            assert run(files, own, limits) == plain
            taken, failed = taken + own.taken_count, failed + isinstance(plain[0], str)
    assert taken > 10 and failed > 5


def shuffled(draw: random.Random, result: UnitResult) -> UnitResult:
    """A result whose steps are those of no unit, or of another."""
    steps = [*result.steps]
    at, other = draw.randrange(len(steps)), draw.randrange(len(steps))
    step = steps[at]
    change: Callable[[], object] = draw.choice(
        [
            lambda: steps.pop(at),
            lambda: steps.insert(at, steps[other]),
            lambda: steps.insert(
                at, replace(step, name=draw.choice(["exit_process", "fork", "data"]))
            ),
            lambda: steps.__setitem__(at, replace(step, numbers=tuple(
                draw.choice((n, -1, n + 1, 1 << 63, 99)) for n in step.numbers))),
            lambda: steps.__setitem__(at, replace(step, name=draw.choice(["close", "openat", ""]))),
            lambda: steps.__setitem__(at, replace(step, path=draw.choice([None, b"", b"/a/b"]))),
            lambda: steps.__setitem__(at, replace(step, result=step.result + 1)),
            lambda: steps.__setitem__(at, replace(step, content=draw.randrange(9))),
            lambda: steps.clear(),
        ]
    )  # fmt: skip
    change()
    return replace(result, steps=tuple(steps))


def test_steps_that_make_no_sense_end_in_a_contradiction() -> None:
    """Never in anything else, and never with the run in a state that goes on."""
    draw, found = random.Random(20), 0
    for files, _, in_turn in seen(6):
        if not in_turn.log:
            continue
        for _ in range(10):
            again = Again(in_turn.log)
            at = draw.randrange(len(again.given))
            again.given[at] = shuffled(draw, again.given[at])
            try:
                run(files, again)
            except Contradiction:
                found += 1
    assert found > 15


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("read", "uses an inherited"),
        ("write", "uses an inherited"),
        ("lseek", "uses an inherited"),
        ("getpid", "is not supported"),
        ("fault", "a fault ended a process"),
        ("link", "is a link"),
        ("image", "a fault ended a process"),
    ],
)
def test_what_is_no_unit_is_run_where_it_stands(name: str, why: str) -> None:
    p = Program(X86)
    if name == "fault":
        p.load(16)
    elif name == "link":
        p.at("open", p.text(b"link"), 0, 0).report()
    elif name == "getpid":
        p.call(20).report()
    elif name != "image":
        p.call(name, 3, p.space(16) if name != "lseek" else 0, 1 if name != "lseek" else 0).report()
    files: dict[bytes, LowerFile | LowerLink] = {
        b"kaem": LowerFile(0o755, driver(X86, b"tool")),
        b"tool": LowerFile(0o755, p.exit().elf()),
        b"script": LowerFile(0o644, b"a script"),
        b"link": LowerLink(b"script"),
    }
    if name == "image":  # its only segment has more bytes in the file than in memory
        data = bytearray(Program(X86).exit().elf())
        data[52 + 20 : 52 + 24] = bytes(4)
        files[b"tool"] = LowerFile(0o755, bytes(data))
    units = InTurn()
    assert run(files, units) == run(files)
    assert units.log == [] and why in units.whys[0]


def test_a_program_that_is_replaced_is_not_running_any_more() -> None:
    """Where it is no unit, what it executes next begins in a state that is over at once."""
    first, second = Program(X86), Program(X86)
    path = first.text(b"/second")
    first.call(20).call("execve", path, first.words(path, 0), 0).exit(9)  # getpid: is run in place
    second.at("open", second.text(b"/tool"), 1, 0).report().exit()
    files: dict[bytes, LowerFile | LowerLink] = {
        b"kaem": LowerFile(0o755, driver(X86, b"tool")),
        b"script": LowerFile(0o644, b"a script"),
        b"tool": LowerFile(0o755, first.elf()),
        b"second": LowerFile(0o755, second.elf()),
    }
    units = InTurn()
    assert run(files, units) == run(files)
    assert len(units.whys) == 1
