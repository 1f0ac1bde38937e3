"""Upstream's hex1 for x86 and AMD64, for every input: each step is proven once, with z3.

hex1 counts, and keeps a table, so its states are not finite. But where it is in its code, whether a
digit waits, and in which of two passes it is, is; so that is walked as hex0's states are, with all
256 bytes, while the counter, the waiting digit and the cells of the table are symbols. For each
step z3 says whether they, and what is written, become what `step` says, whatever they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import z3

from bootstrap.core.arches import Arch
from bootstrap.prove.symbolic import Place, SymbolicMachine, Term, part, plain, same
from bootstrap.prove.walk import Notify, NotProven

# What hex1 is, one byte of input at a time.


@dataclass(frozen=True)
class Hex1State:
    """What hex1 remembers. Numbers, or, in a proof, terms."""

    second: bool = False
    """In the second pass: then it writes."""
    mode: str = ""
    """What the next byte belongs to: a `comment`, a `label` or a `pointer`."""
    waits: bool = False
    """Whether a digit waits for its second."""
    digit: Term = 0
    """Which, in the second pass."""
    at: Term = 0
    """Bytes of output so far."""
    cells: dict[int, Term] = field(default_factory=dict)
    """What each label stands for. In a proof: those that a step changed."""
    ended: bool = False


def step(
    now: Hex1State, byte: int | None, fc_ends: bool, cell: Callable[[int], Term]
) -> tuple[Hex1State, list[tuple[Term, int]]]:
    """The next state and what is written: (number, bytes). ``byte`` None: the end of the file.

    ``fc_ends``: 0xfc counts as the end of the file, but for comments and names. ``cell``: what a
    label stands for. A comment ends with a newline or a carriage return; at the end of the file it
    does not end, and neither does the program.
    """
    if now.mode == "comment":
        return replace(now, mode="" if byte in (10, 13) else "comment"), []
    if now.mode and byte is not None:
        back = replace(now, mode="")
        if now.mode == "label":
            return (back if now.second else replace(back, cells={**now.cells, byte: now.at})), []
        back = replace(back, at=now.at + 4)
        return back, [(cell(byte) - back.at, 4)] if now.second else []
    if byte is None or (byte == 0xFC and fc_ends):
        return (replace(now, ended=True) if now.second else Hex1State(True, cells=now.cells)), []
    mode = {ord(":"): "label", ord("%"): "pointer", ord("#"): "comment", ord(";"): "comment"}
    if byte in mode:
        return replace(now, mode=mode[byte]), []
    digit = b"0123456789abcdef".find(bytes((byte,)).lower())
    if digit < 0:
        return now, []
    if not now.waits:  # which the first pass counts, and the second not before it writes
        return replace(now, waits=True, digit=digit, at=now.at if now.second else now.at + 1), []
    if not now.second:
        return replace(now, waits=False), []
    after = replace(now, waits=False, at=now.at + 1)
    return after, [(now.digit * 16 + digit, 1)]


def covered(now: Hex1State, byte: int | None) -> bool:
    """Whether the proof says anything: not of a name that is missing, or that is the byte 0."""
    return now.mode not in ("label", "pointer") or byte not in (None, 0)


# Where a program keeps it.


class Hex1Layout(NamedTuple):
    """Registers, or addresses of words."""

    at: str
    digit: str
    concrete: tuple[str, ...]
    """Registers that are numbers at each read."""
    descriptors: tuple[str | int, str | int]
    table: int
    """Of 256 cells of a word; the first is the buffer for all that is read and written."""
    fc_ends: bool


LAYOUTS = {
    "i386": Hex1Layout("edi", "esi", ("ebp",), (0x80482A9, 0x80482AD), 0x80482B1, False),
    "x86_64": Hex1Layout("r13", "r14", ("r15",), ("r9", "r10"), 0x60026E, True),
}
_Key = tuple[Any, ...]
"""Where a read is made: pc, offset of the stack pointer, concrete registers, words of the stack."""


@dataclass
class Hex1Proof:
    """How many states and steps were proven, or where it failed."""

    states: int = 0
    steps: int = 0
    refused: str = ""


def prove(
    program: bytes, arch: Arch, layout: Hex1Layout, notify: Notify = lambda _text: None
) -> Hex1Proof:
    """Each step of each state. What is not proven is no error."""
    result = Hex1Proof()
    try:
        _Hex1Walk(program, arch, layout, result).walk(notify)
    except NotProven as error:
        result.refused = str(error)
    return result


def to_text(arch: Arch, proof: Hex1Proof) -> Iterator[str]:
    """Lines."""
    yield f"  walked      {proof.states} states at read(2), {proof.steps:,} steps, each by z3 for"
    yield "              every count of bytes, digit that waits, and table of labels"
    if not proof.refused:
        yield "  peculiar    a carriage return ends a comment, as a newline does"
        yield "  peculiar    in a comment that the file's end cuts off, it reads for ever"
        if LAYOUTS[arch.name].fc_ends:
            yield "  peculiar    the byte fc, but in comments and names, counts as the file's end"
        yield "  left out    sources in which the name of a label is missing, or is the byte 0"
        yield "PROVEN for all other inputs: it is hex1"
    else:
        yield f"NOT PROVEN: {proof.refused}"


def _ahead(now: Hex1State) -> int:
    """The second pass counts the bytes of a pointer before it reads the name."""
    return 4 if now.second and now.mode == "pointer" else 0


class _Hex1Walk:
    def __init__(self, program: bytes, arch: Arch, layout: Hex1Layout, result: Hex1Proof) -> None:
        self._layout, self._word, bits = layout, arch.word, 8 * arch.word
        self._at, self._in, self._out = (z3.BitVec(n, bits) for n in ("at", "in", "out"))
        self._digit = z3.BitVec("digit", bits)
        self._cells = [z3.BitVec(f"cell {n}", bits) for n in range(256)]
        self._table: dict[Place, Term] = {
            ("", layout.table + n * self._word + at): part(cell, 8 * at, 8)
            for n, cell in enumerate(self._cells)
            for at in range(self._word)
        }
        self._fresh = SymbolicMachine(program, arch)
        """At the start; then what all others are copies of."""
        self._states: dict[_Key, Hex1State] = {}
        self._stored: set[int] = set()
        self._ended = False
        self.result = result

    def walk(self, notify: Notify) -> None:
        """Raises NotProven."""
        m, word = self._fresh, self._word
        argv = [m.load(m.stack + n * word, word) for n in (2, 3)]  # before it can store there
        opens = ((0,), self._in), ((0x241, 0o700), self._out)  # to be read, and to be written
        for file, (due, descriptor) in zip(argv, opens, strict=True):
            name, given = m.run()
            if name != "open" or not same(given[0], file) or given[1 : 1 + len(due)] != due:
                raise NotProven(f"it does not open its two arguments as hex1 does, at {m.pc:#x}")
            m.resume(descriptor)
        if self._go_on(m) or self._ended:
            raise NotProven("it writes or ends before it reads")
        if any(base and at >= 4 * word for base, at in m.stored):
            raise NotProven("it stores above its arguments, where their text may stand")
        table = self._layout.table
        if not all(same(m.load(table + cell * word, word), 0) for cell in range(1, 256)):
            raise NotProven("its table is not empty at the start")
        waiting = [self._arrive(m, Hex1State())]
        while waiting:
            key = waiting.pop()
            if key is None:
                continue
            now = self._states[key]
            registers, memory = self._held(key, now)
            self.result.states += 1
            notify(f"state {self.result.states} of {len(self._states)} that are known")
            for byte in (None, *range(256)):
                if covered(now, byte):
                    m = self._fresh.copy(key[0], registers, memory)
                    waiting.append(self._step(m, now, byte))
                    self.result.steps += 1
        if changed := self._stored & m.executed:
            raise NotProven(f"it changes its own code, at {min(changed):#x}")

    def _step(self, m: SymbolicMachine, now: Hex1State, byte: int | None) -> _Key | None:
        """One byte; the key of a state that was not known. Raises NotProven."""
        if byte is not None:
            m.memory["", self._layout.table] = byte
        m.resume(0 if byte is None else 1)
        to, due = step(now, byte, self._layout.fc_ends, self._cells.__getitem__)
        wrote = self._go_on(m)
        where = f"after byte {byte} in {now.mode or 'its code'}, pass {1 + now.second}"
        sizes = [size for _, size in due] + [0] * (to.second and not now.second)
        if sizes != [size for _, size in wrote] or not all(
            same(made, part(value, 0, 8 * size))
            for (value, size), (made, _) in zip(due, wrote, strict=False)
        ):
            raise NotProven(f"it writes something else than hex1 does, {where}")
        if to.ended or self._ended:
            if to.ended != self._ended:
                raise NotProven(f"it ends, or does not, where hex1 does otherwise, {where}")
            return None
        try:
            return self._arrive(m, to)
        except NotProven as error:
            raise NotProven(f"{error}, {where}") from None

    def _held(self, key: _Key, now: Hex1State) -> tuple[dict[str, Term], dict[Place, Term]]:
        """Registers and memory of a state: what it does not say, nothing is known of."""
        layout, m, (_, offset, concrete, stack) = self._layout, self._fresh, key
        registers = {m.sp: plain(m.stack + offset), layout.at: self._at + _ahead(now)}
        registers |= dict(zip(layout.concrete, concrete, strict=True))
        if now.second and now.waits:
            registers[layout.digit] = self._digit
        words = {("sp", offset + n * self._word): number for n, number in enumerate(stack)}
        for place, value in zip(layout.descriptors, (self._in, self._out), strict=True):
            if isinstance(place, str):
                registers[place] = value
            else:
                words["", place] = value
        return registers, self._table | {
            (base, at + n): part(value, 8 * n, 8)
            for (base, at), value in words.items()
            for n in range(self._word)
        }

    def _go_on(self, m: SymbolicMachine) -> list[tuple[Term, int]]:
        """To the next read, or the end: what was written; (0, 0) for going back to the start."""
        wrote: list[tuple[Term, int]] = []
        table = self._layout.table
        for _ in range(2):  # hex1 never makes more calls
            name, given = m.run()
            self._stored |= {at for base, at in m.stored if not base}
            where = f"{name} at {m.pc:#x} is not as hex1 needs it"
            if name == "exit" and given[0] == 0:
                self._ended = True
                return wrote
            if name not in ("read", "write", "lseek"):
                raise NotProven(where)
            if not same(given[0], self._out if name == "write" else self._in):
                raise NotProven(where)
            if name == "read" and given[1:] == (table, 1):
                self._ended = False
                return wrote
            if name == "write" and given[1] == table and given[2] in (1, 4):
                wrote.append((m.load(table, given[2]), given[2]))
            elif name == "lseek" and given[1:] == (0, 0):
                wrote.append((0, 0))
            else:
                raise NotProven(where)
            m.resume(z3.FreshConst(z3.BitVecSort(8 * self._word), "result"))
        raise NotProven(f"it writes more than hex1 does, at {m.pc:#x}")

    def _arrive(self, m: SymbolicMachine, to: Hex1State) -> _Key | None:
        """Raises NotProven unless the program holds what hex1 does."""
        layout, word = self._layout, self._word
        due = [(m.registers.get(layout.at), to.at + _ahead(to))]
        if to.second and to.waits:
            due.append((m.registers.get(layout.digit), to.digit))
        for place, value in zip(layout.descriptors, (self._in, self._out), strict=True):
            held = m.registers.get(place) if isinstance(place, str) else m.load(place, word)
            due.append((held, value))
        allowed = {n for at in layout.descriptors if isinstance(at, int) for n in range(at, at + 4)}
        changed = set(to.cells)
        for base, at in m.stored:
            if not base and 0 <= (at - layout.table) < 256 * word:
                changed.add((at - layout.table) // word)
            elif not base and at not in allowed:
                raise NotProven(f"it stores to {at:#x}")
        for cell in changed - {0}:
            held = m.load(layout.table + cell * word, word)
            due.append((held, to.cells.get(cell, self._cells[cell])))
        if not all(held is not None and same(held, value) for held, value in due):
            raise NotProven("it holds something else than hex1 does")
        _, offset = m.place(m.registers[m.sp])
        concrete = tuple(m.registers.get(name) for name in layout.concrete)
        stack = tuple(m.load(m.stack + n, word) for n in range(offset, 4 * word, word))
        if not all(isinstance(value, int) for value in concrete + stack):
            raise NotProven(f"its control hangs on what has no value, at {m.pc:#x}")
        key = m.pc, offset, concrete, stack
        now = Hex1State(to.second, to.mode, to.waits, self._digit, self._at)
        if key in self._states:
            if self._states[key] != now:
                raise NotProven(f"one place in it is two of hex1, at {m.pc:#x}")
            return None
        self._states[key] = now
        return key
