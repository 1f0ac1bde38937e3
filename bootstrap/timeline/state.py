"""A process as it is at a place of a trace: registers, code, stack, memory, files, system calls.

Flags are named as in the Intel SDM (volume 1, 3.4.3) and the Arm ARM (A64, NZCV).
"""

from __future__ import annotations

from dataclasses import dataclass

from bootstrap.core.errors import BadInput
from bootstrap.core.files import Directory, OpenFile, RegularFile
from bootstrap.core.memory import EXEC, READ, WRITE
from bootstrap.documents import key
from bootstrap.timeline.disassembly import LONGEST
from bootstrap.timeline.images import ProgramImage, ProgramImages, ShownInstruction
from bootstrap.timeline.timeline import Timeline
from bootstrap.trace.calls import arity, call_text
from bootstrap.trace.columns import WORD, shown

BEFORE, AFTER = 6, 10
"""Instructions that are shown: those that ran last, and those that stand from pc on."""
STACK_WORDS = 12
MEMORY = 64
"""Bytes of memory that are shown where nobody says how many."""
MAX_MEMORY = 1 << 20

_EFLAGS = ((0, "CF"), (2, "PF"), (4, "AF"), (6, "ZF"), (7, "SF"), (8, "TF"), (9, "IF"),
           (10, "DF"), (11, "OF"))  # fmt: skip
_NZCV = ((31, "N"), (30, "Z"), (29, "C"), (28, "V"))
_SP = {"i386": "esp", "x86_64": "rsp", "aarch64": "sp", "riscv64": "sp", "riscv32": "sp"}


@dataclass(frozen=True, slots=True)
class Area:
    """Mapped memory, from `start` up to `end`."""

    start: int
    end: int
    rights: str
    what: str


@dataclass(frozen=True, slots=True)
class File:
    """An open file."""

    fd: int
    path: str
    offset: int
    size: int | None
    access: str


@dataclass(frozen=True, slots=True)
class SourceStep:
    """A file on the way from the byte at pc to its source."""

    file: str
    offset: int
    line: int | None
    """In a text."""
    text: str
    """That line."""
    ends: str
    """Why the way ends here, where it does."""
    defined: tuple[str, int, str] | None = key(None)
    """As of an OriginStep."""


@dataclass(frozen=True, kw_only=True)
class StateView:
    """All of it; a document of `trace show --json`."""

    coordinate: str
    pid: int
    program: str
    argv: tuple[str, ...]
    cwd: str
    abi: str
    executed: int
    calls: int = key("system_calls")
    event: int
    pc: int
    registers: dict[str, int]
    flags: tuple[str, ...] | None
    """Those that are set; None where the architecture has none."""
    unknown: str = key("no_source_lines")
    """Why there are none, where there are none."""
    way: tuple[ShownInstruction, ...] = key("ran_last")
    code: tuple[ShownInstruction, ...] = key("comes_next")
    """What stands from pc on."""
    source: tuple[SourceStep, ...]
    """Where the byte at pc comes from."""
    stack: tuple[dict[str, int], ...]
    areas: tuple[Area, ...]
    files: tuple[File, ...]
    last_call: str
    next_call: str
    memory: dict[str, int | str] | None
    """Address and bytes, in hexadecimal digits."""
    word: int = key(None)
    image: str = key(None)
    """The path of the program's file."""


def flags_of(registers: tuple[tuple[str, int], ...]) -> str:
    """The flags that are set, by name."""
    values = dict(registers)
    for name, bits in (("eflags", _EFLAGS), ("nzcv", _NZCV)):
        if name in values:
            found = [flag for bit, flag in bits if values[name] >> bit & 1]
            return f"{name}: {' '.join(found) or 'none of the named flags'}"
    return ""


def memory_wanted(text: str) -> tuple[int, int]:
    """`ADDR` or `ADDR:LENGTH`, in decimal or with 0x. Raises BadInput."""
    address, colon, length = text.partition(":")
    try:
        found = int(address, 0), int(length, 0) if colon else MEMORY
    except ValueError:
        found = -1, 0
    if found[0] < 0 or not 0 < found[1] <= MAX_MEMORY:
        raise BadInput(
            f"--memory {text}: name an address and how many bytes, like 0x8048000:64 "
            f"(at most {MAX_MEMORY:#x})"
        )
    return found


def show(
    timeline: Timeline, images: ProgramImages, memory: tuple[int, int] | None = None
) -> StateView:
    """What there is where the timeline is; it is there again afterwards. Raises as it does."""
    image = images.image(timeline.program.image)
    way = _way(timeline, image)
    process, program = timeline.process, timeline.program
    pc = timeline.pc
    flags = flags_of(timeline.registers())
    paths = open_paths(timeline)
    offset = image.offset(pc)
    chain = []
    if image.same is not None and offset is not None:
        chain = images.why.chain(image.same, offset)
    code = image.decoder.several(process.memory.read_upto(pc, 15 * AFTER), pc, AFTER)
    found: dict[str, int | str] | None = None
    if memory is not None:
        data = process.memory.read_upto(*memory)
        if not data:
            raise BadInput(f"--memory {memory[0]:#x}: nothing can be read there at this place")
        found = {"address": memory[0], "bytes": data.hex()}
    return StateView(
        coordinate=str(timeline.here),
        pid=program.pid,
        program=shown(program.path),
        argv=tuple(map(shown, program.argv)),
        cwd=shown(process.files.getcwd(process.base)),
        abi=program.abi,
        executed=timeline.executed,
        calls=program.first_call + timeline.calls,
        event=timeline.event,
        pc=pc,
        registers=dict(timeline.registers()),
        flags=tuple(flags.partition(": ")[2].split()) if flags else None,
        unknown=image.unknown,
        way=tuple(way),
        code=tuple(map(image.shown, code)),
        source=tuple(
            SourceStep(link.path, link.offset, link.line or None, link.text.strip(), link.ends,
                       link.defined)
            for link in chain
        ),
        stack=tuple(
            {"address": address, "value": value}
            for address, value in stack_words(timeline, STACK_WORDS)
        ),
        areas=tuple(areas(timeline, image)),
        files=tuple(open_file(fd, file) for fd, file in sorted(process.fds.files.items())),
        last_call=shown_call(timeline, timeline.calls, paths) if timeline.calls else "",
        next_call=shown_call(timeline, timeline.calls + 1, paths),
        memory=found,
        word=WORD[program.abi],
        image=image.name,
    )  # fmt: skip


def _way(timeline: Timeline, image: ProgramImage) -> list[ShownInstruction]:
    """The instructions that ran last: gone back to and stepped through, not guessed."""
    row, executed = timeline.row, timeline.executed
    found: list[ShownInstruction] = []
    if executed:
        timeline.seek(row, max(0, executed - BEFORE))
    while timeline.executed < executed:
        raw = timeline.process.memory.read_upto(timeline.pc, LONGEST)
        found.append(image.shown(image.decoder.one(raw, timeline.pc), timeline.executed))
        timeline.step()
    return found


def stack_words(timeline: Timeline, count: int) -> list[tuple[int, int]]:
    """The words from the stack pointer on, fewer where the stack ends: (address, value)."""
    abi = timeline.program.abi
    word, sp = WORD[abi], dict(timeline.registers())[_SP[abi]]
    data = timeline.process.memory.read_upto(sp, word * count)
    return [
        (sp + at, int.from_bytes(data[at : at + word], "little"))
        for at in range(0, len(data) - word + 1, word)
    ]


def areas(timeline: Timeline, image: ProgramImage) -> list[Area]:
    """What is mapped, in order."""
    memory = timeline.process.memory
    heap = range(memory.start_brk, max(memory.brk_now, memory.start_brk + 1))
    top = memory.arch.task_size
    start, size = image.window
    found: list[Area] = []
    for extent in memory.extents:
        page = (extent.end - extent.start) // len(extent.pages)
        for index, flags in enumerate(extent.pages):
            if not flags:
                continue
            at = extent.start + index * page
            pairs = ((READ, "r"), (WRITE, "w"), (EXEC, "x"))
            rights = "".join(letter if flags & bit else "-" for bit, letter in pairs)
            what = ""
            if start <= at < start + size:
                what = image.name
            elif start <= at < image.memory_end:
                what = f"{image.name}, zeroed at its start"
            elif at in heap:
                what = "heap"
            elif at >= top - (8 << 20):
                what = "stack"
            last = found[-1] if found else None
            if last is not None and (last.end, last.rights, last.what) == (at, rights, what):
                found[-1] = Area(last.start, at + page, rights, what)
            else:
                found.append(Area(at, at + page, rights, what))
    return found


def _path(file: OpenFile) -> str:
    inode = file.inode
    if isinstance(inode, RegularFile):
        return shown(inode.origin)
    return "(a directory)" if isinstance(inode, Directory) else "(a standard stream)"


def open_file(fd: int, file: OpenFile) -> File:
    """A descriptor, for people."""
    access = {(True, False): "read", (False, True): "write"}.get(
        (file.readable, file.writable), "read and write"
    )
    size = file.inode.size if isinstance(file.inode, RegularFile) else None
    return File(fd, _path(file), file.offset, size, access)


def open_paths(timeline: Timeline) -> dict[int, str]:
    """What each open descriptor is of."""
    return {fd: _path(file) for fd, file in sorted(timeline.process.fds.files.items())}


def shown_call(timeline: Timeline, ordinal: int, paths: dict[int, str]) -> str:
    """The program's call of that ordinal, as far as a trace knows it; empty where there is none."""
    program = timeline.program
    if not 1 <= ordinal <= program.calls:
        return ""
    word = WORD[program.abi]
    calls = timeline.record.calls.part(program.id, program.first_call + ordinal, 1, word)
    number, result = calls.values(0)[0], calls.values(4)[0]
    args = calls.arguments(0, arity(program.abi, number))
    return call_text(program.abi, number, args, result, word, paths)
