"""Walks all states of a hex0 seed in Unicorn: three worlds in step, equal in what has a value.

A state is what stands at a read(2). A part is in it only if some path reads it before it is written
(capstone's tables, `tables`, along every path); all others differ between the three worlds, and so
do what argv, environment and stack hold, where the stack is, the numbers of the descriptors, and
what write(2) and a read(2) that is not at the end of the file return. Where the worlds then part,
what the seed does hangs on something that has no value, and there is no proof.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import NamedTuple

from bootstrap import signals
from bootstrap.core.arches import Arch
from bootstrap.core.elf import load
from bootstrap.core.errors import BootstrapError, ExitStatus, Meter
from bootstrap.instruments.walking import Event, WalkingCpu
from bootstrap.linux.inode import file_of
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.memory import VirtualMemory
from bootstrap.linux.numbers import NUMBERS
from bootstrap.prove.tables import Tables
from bootstrap.prove.values import REACH, WORLDS, Place, Value, WorldSymbols, place_text

END = -1
"""The input at the end of the file; the others are the bytes 0 to 255, and FAILS + a byte."""
INPUTS = (END, *range(256))
FAILS = 256
"""A read that fails while the buffer holds a byte."""
FAILING = range(FAILS, FAILS + 256)
_LONGEST = 5000
"""Instructions and accesses between two reads; a seed makes about a hundred."""
_FAILED = (-1, -4095, -5)
_WRITTEN = (1, -28, 0)
_ENOSYS = -38
_NOTHING = "a call that Linux does not have"
_NO_NUMBER = 1 << 16
"""No system call has such a number; those of x32 neither (arch/x86/entry/syscalls)."""
_STATUS = {"eflags": (0x8D5, 0x202), "nzcv": (0xF0000000, 0)}
"""Of the flags: which bits are the program's, and what the others are."""
_ARGUMENTS = {"read": 3, "write": 3, "open": 3, "openat": 4, "exit": 1, "exit_group": 1}
_O_CREAT = 0o100


class NotProven(BootstrapError):
    """The walk found something that no proof can be made of."""

    exit_code = ExitStatus.DIFFERS
    found: Automaton | None = None
    """What had been walked then."""


class _Grow(Exception):
    """A part turned out to be live: begin again with it."""


Notify = Callable[[str], object]
"""Hears how far the work is."""
Opens = tuple[tuple[int, int], ...]
"""What the two opens give, in each world."""
ANY: Opens = ((3, 4), (-2, -13), (0, 0x7FFFFFFF))
GOOD: Opens = ((3, 4), (-2, 77), (0, 0x7FFFFFFF))
"""The second gives 1 or more: 0 it could be only after a first that failed, with 0 closed."""
NO_OUTPUT: Opens = ((3, -2), (-2, -13), (0, -28))
OUTPUT_IS_0: Opens = ((-2, 0), (-13, 0), (-21, 0))


class Call(NamedTuple):
    """A system call as it was made, and at which address."""

    at: int
    name: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """At the read(2) at address ``at``: what has a value, and which bits of it have one."""

    at: int
    arguments: tuple[Value, ...]
    values: tuple[tuple[Place, Value, int], ...]
    """(place, value, mask of the bits that were written: others have no value)."""


@dataclass(frozen=True)
class Transition:
    """From one read to the next: what was written, and where it goes on, or how it ended."""

    written: bytes
    target: int | None
    ended: str = ""


@dataclass
class Automaton:
    """All that was found. States are numbered as they were reached; 0 is the first read."""

    states: list[State] = field(default_factory=list)
    steps: list[dict[int, Transition]] = field(default_factory=list)
    calls: set[Call] = field(default_factory=set)
    executed: dict[int, tuple[int, str]] = field(default_factory=dict)
    """Instruction address -> (size, text)."""
    data: set[int] = field(default_factory=set)
    """Addresses of bytes of the file that are read as data."""
    stored: set[int] = field(default_factory=set)
    """The same, that are written."""
    zero: frozenset[str] = frozenset()
    """Registers that have to be 0 at the start, as Linux leaves them."""
    started: str = ""
    """How it ended, if it ends before the first read."""


_Inside = tuple[list[int], list[tuple[int, bytes]]]
"""Registers, and memory by address: a state in one world."""


class _Effects(NamedTuple):
    """What a path did to what it found: first uses with the instruction's address, and writes."""

    uses: list[tuple[Place, int, int]]
    written: dict[Place, int]


class _SeedRun(NamedTuple):
    """A path in one world."""

    events: tuple[Event, ...]
    traps: list[tuple[str, list[int], bytes]]
    """Each system call's name, arguments, and what it writes."""
    ended: str
    """How, if not at a system call."""
    values: dict[Place, int]
    """At its end, of what may be read after it."""


class Walker:
    """One seed, whose opens give what ``opens`` has. `close` it."""

    def __init__(self, image: bytes, abi: Arch, most: int, notify: Notify, opens: Opens) -> None:
        """``most``: states at which it stops. Raises what the loader raises."""
        loaded = load(file_of(image), b"seed", (b"seed",), (), Meter(RunLimits()), VirtualMemory)
        assert isinstance(loaded.memory, VirtualMemory)
        self._memory = loaded.memory
        self._entry, self._most, self._opens, self._notify = loaded.pc, most, opens, notify
        self._word, self._full = abi.word, abi.word_mask
        self._clears = not abi.name.startswith("riscv")
        """Whether Linux clears registers at the start (ELF_PLAT_INIT, start_thread)."""
        stack = abi.task_size - 0x80000
        self._symbols = WorldSymbols(self._full, stack, opens)
        self._names = {number: name for name, number in NUMBERS[abi.name].items()}
        self._tables = Tables(abi.name)
        self._cpu = WalkingCpu(abi, self._memory, self._trap, _LONGEST)
        d, named = self._cpu.arch, dict(zip(self._cpu.numbers, self._cpu.names, strict=True))
        self._pc, self._sp, self._result = named[d.pc], named[d.sp], named[d.result]
        self._passed = [named[number] for number in (d.number, *d.arguments)]
        self._lost = [self._result, *(named[number] for _, number in d.saved)]
        """Registers that a call leaves with another value."""
        self._index = {name: index for index, name in enumerate(self._cpu.names)}
        self._live: dict[int, dict[Value, dict[Place, int]]] = {}
        """By address of the read, and the stack pointer there: what may be read before written."""
        self._image: dict[int, tuple[int, int]] = {}
        """Words of the file's memory that are ever stored to: as in the file, and which bits."""
        self._loaded = [(e.start, e.host[:]) for e in self._memory.extents if e.end < stack]
        self._initial: set[str] = set()
        """Registers that are read, perhaps only to be moved, as the program found them."""
        self._first: Mapping[Place, int] = {}
        """What is written before the first read."""
        self._zero: frozenset[str] = frozenset()
        """Those that have to be 0 then, as Linux leaves them."""
        self._world = 0
        self._traps: list[tuple[str, list[int], bytes]] = []
        self._final: list[int] = []
        self._effects: dict[tuple[Event, ...], _Effects] = {}
        """Of all paths since the walk began again."""
        self._found = Automaton()
        self._numbers: dict[State, int] = {}

    def close(self) -> None:
        """Let go of CPU and memory."""
        self._cpu.close()
        self._memory.release()

    # One step in one world.

    def _trap(self, args: Sequence[int]) -> int | None:
        name = self._names.get(args[0], f"number {args[0]}")
        if args[0] >= _NO_NUMBER:
            name = _NOTHING
        given = list(args[1:7])
        # The mode counts only where a file may be made.
        last = name in ("open", "openat") and not given[_ARGUMENTS[name] - 2] & _O_CREAT
        del given[_ARGUMENTS.get(name, 0) - last :]
        self._cpu.events.append(("t", "", len(given), 0))
        opened = sum(trap[0] in ("open", "openat") for trap in self._traps)
        data = b""
        if name == "write":
            data = self._memory.read_upto(given[1], min(given[2], 64))
        self._traps.append((name, given, data))
        if name == "write":
            return _WRITTEN[self._world]
        if name == _NOTHING:
            return _ENOSYS
        if name in ("open", "openat") and opened < 2:
            return self._opens[self._world][opened]
        self._final = self._cpu.get_registers()
        return None

    def _mapped(self, addr: int, size: int) -> memoryview:
        """Memory, also where the guest may not read or write.

        Not `poke`: what is executed is never stored to here, so translations stay right.
        """
        extent = self._memory.find(addr)
        assert extent is not None
        return memoryview(extent.host)[addr - extent.start : addr - extent.start + size]

    def _prepare(self, state: State, world: int) -> _Inside:
        """A state in a world: nothing that has no value is the same in all of them."""
        word, full = self._word, self._full
        known = {place: (value, has) for place, value, has in state.values}

        def number(place: Place, bits: int = full, base: int = 0) -> int:
            fill = full * world if world < 2 else zlib.crc32(repr(place).encode()) * 0x100000001
            fill = fill & full & bits | base & ~bits
            return self._symbols.inside(*known[place], world, fill) if place in known else fill

        registers = [number(name, *_STATUS.get(name, (full, 0))) for name in self._cpu.names]
        stack = [number(("sp", offset)) for offset in range(-REACH, REACH, word)]
        blocks = [
            (self._symbols.sp[world] - REACH, b"".join(n.to_bytes(word, "little") for n in stack))
        ]
        for addr, (original, mask) in self._image.items():
            blocks.append((addr, number(("", addr), mask, original).to_bytes(word, "little")))
        return registers, blocks

    def _run(self, world: int, inside: _Inside, state: State, item: int | None) -> _SeedRun:
        """A state with one input (None: from the program's entry), until the next read."""
        cpu, self._world, self._traps, self._final = self._cpu, world, [], []
        cpu.events, cpu.stack = [], self._symbols.sp[world]
        registers = list(inside[0])
        for addr, data in inside[1]:
            self._mapped(addr, len(data))[:] = data
        registers[self._index[self._pc]] = self._entry
        if item is not None:
            registers[self._index[self._pc]] = state.at + cpu.arch.trap_size
            result = 0
            if item != END:
                result = 1 if item < FAILS else _FAILED[world]
                place = self._symbols.inside(state.arguments[1], self._full, world, 0)
                self._mapped(place, 1)[0] = item % FAILS
            registers[self._index[self._result]] = result & self._full
        cpu.set_registers(registers)
        fault = cpu.run()
        ended = f"no system call after {_LONGEST} steps, at {cpu.pc:#x}"
        if fault:
            ended = f"a fault: {fault.reason} at {fault.pc:#x}"
        elif self._final:
            return _SeedRun(tuple(cpu.events), self._traps, "", self._values())
        return _SeedRun(tuple(cpu.events), self._traps, ended, {})

    def _values(self) -> dict[Place, int]:
        """What stands now in all that may be live here."""

        def number(place: Place) -> int:
            if isinstance(place, str):
                return self._final[self._index[place]]
            at = place[1] + (self._cpu.stack if place[0] else 0)
            return int.from_bytes(self._mapped(at, self._word), "little")

        _, _, trap, _ = self._cpu.events[-2]
        live = self._live.get(trap, {})
        return {place: number(place) for place in {self._sp, *chain(*live.values())}}

    # What a path reads and writes.

    def _effects_of(self, events: tuple[Event, ...]) -> _Effects:
        """Also accounts for what is executed, read and stored to. Raises NotProven, _Grow."""
        uses: list[tuple[Place, int, int]] = []
        pc, found, written = 0, self._found, dict[Place, int]()

        def use(place: Place, mask: int) -> None:
            if mask & ~written.get(place, 0):
                uses.append((place, mask & ~written.get(place, 0), pc))

        def write(place: Place, mask: int) -> None:
            written[place] = written.get(place, 0) | mask

        stores = []
        for kind, base, addr, size in events:
            if kind == "x":
                pc = addr
                try:
                    effect = self._tables.effect(bytes(self._mapped(addr, size)), addr)
                except ValueError as error:
                    raise NotProven(f"{error}, at {addr:#x}") from None
                found.executed[addr] = size, effect.text
                for name, mask in effect.reads:
                    use(name, mask & self._full)
                for name, mask in effect.writes:
                    write(name, mask & self._full)
            elif kind == "t":
                for name in self._passed[: addr + 1]:
                    use(name, self._full)
                for name in self._lost:
                    write(name, self._full)
            else:
                if base and abs(addr) > REACH - 8:
                    raise NotProven(f"it uses the stack {addr:+d} bytes from its start, at {pc:#x}")
                if not base and kind == "r":
                    found.data.update(range(addr, addr + size))
                elif not base:
                    stores.append((addr, size))
                for at, mask in _words(addr, size, self._word):
                    (use if kind == "r" else write)((base, at), mask)
        for addr, size in stores:
            self._store(addr, size)
        code = {a + n for a, (size, _) in found.executed.items() for n in range(size)}
        if changed := code & found.stored:
            raise NotProven(f"it changes its own code, at {min(changed):#x}")
        return _Effects(uses, written)

    # All states.

    def walk(self, known: Automaton | None = None) -> Automaton:
        """All states. With ``known``, what this walker found before: reads may fail as well.

        Raises NotProven.
        """
        fails = known is not None
        while True:
            try:
                return self._once(fails, known)
            except _Grow:
                known = None  # its states lack what has turned out to be live
            except NotProven as error:
                error.found = self._found
                rows = (live.values() for live in self._live.values())
                live = {place for place in chain(*chain(*rows)) if isinstance(place, str)}
                zero = (self._initial | live - self._first.keys()) - {self._sp, self._pc}
                if zero <= self._zero or not self._clears:
                    raise
                self._zero, known = frozenset(zero), None

    def _once(self, fails: bool, known: Automaton | None) -> Automaton:
        full = self._full
        values: dict[Place, Value] = {
            name: Value("", 0, full if name in self._zero else 0) for name in self._cpu.names
        }
        values[self._sp] = Value("sp", 0, full)
        for index in range(4):
            values["sp", self._word * index] = Value(f"word {index}", 0, full)
        for addr, (number, _) in self._image.items():
            values["", addr] = Value("", number, full)
        start = State(self._entry, (), tuple((place, v, full) for place, v in values.items()))
        self._effects.clear()
        found = self._found = Automaton(list(known.states) if known else [], zero=self._zero)
        self._numbers = {state: number for number, state in enumerate(found.states)}
        first = self._step(start, self._worlds(start), None)
        if first.written:
            raise NotProven("it writes before it reads")
        found.started = first.ended
        for number, state in enumerate(found.states):  # which grows as it is walked
            self._notify(f"state {number + 1} of {len(found.states)} that are known")
            steps, items = {}, (*INPUTS, *FAILING) if fails else INPUTS
            if known is not None and number < len(known.steps):
                steps, items = dict(known.steps[number]), tuple(FAILING)
            worlds = self._worlds(state)
            with signals.held:  # once for a state: each run holds them too
                for item in items if state.arguments[2].number else (END,):
                    steps[item] = self._step(state, worlds, item)
            found.steps.append(steps)
        return found

    def _worlds(self, state: State) -> list[_Inside]:
        return [self._prepare(state, world) for world in range(WORLDS)]

    def _step(self, state: State, worlds: list[_Inside], item: int | None) -> Transition:
        """One input (None: from the start) in all worlds."""
        runs = [self._run(world, row, state, item) for world, row in enumerate(worlds)]
        events, ended = runs[0].events, runs[0].ended
        effects = self._effects.get(events)
        if effects is None:
            effects = self._effects[events] = self._effects_of(events)
        if item is None:
            self._first = effects.written
        defined = self._defined(state, item)
        self._check_uses(effects, state, defined, item)
        for run in runs:
            if run.events != events or run.ended != ended:
                where = _part(events, run.events)
                raise NotProven(f"what it does hangs on something that has no value, at {where}")
        written, name, at = b"", "", 0
        arguments: tuple[Value, ...] = ()
        addresses = [event[2] for event, then in pairwise(events) if then[0] == "t"]
        made_by_call = zip(*(run.traps for run in runs), strict=True)
        for at, made in zip(addresses, made_by_call, strict=True):
            name = made[0][0]
            arguments = tuple(
                self._symbols.explain(row, self._full)
                for row in zip(*(given for _, given, _ in made), strict=True)
            )
            written += self._call(at, name, arguments, made)
        if ended:
            return Transition(written, None, ended)
        if name != "read":
            return Transition(written, None, f"exit {arguments[0].number & 0xFF}")
        values = []

        def explained(place: Place, has: int) -> Value:
            return self._symbols.explain([run.values[place] for run in runs], has)

        for place, mask in self._live_at(at, explained(self._sp, self._full)).items():
            kept = effects.written.get(place, 0)
            if item is not None:
                self._grows(state, place, mask & ~kept)
            if has := (defined.get(place, 0) | kept) & mask:
                values.append((place, explained(place, has), has))
        values.sort(key=lambda row: (isinstance(row[0], tuple), row[0]))
        return Transition(written, self._number(State(at, arguments[:3], tuple(values))))

    def _number(self, state: State) -> int:
        """Of a state, perhaps a new one. Raises NotProven if these are too many."""
        if state not in self._numbers:
            if len(self._found.states) >= self._most:
                raise NotProven(_growing(self._found, self._most))
            self._numbers[state] = len(self._found.states)
            self._found.states.append(state)
        return self._numbers[state]

    def _defined(self, state: State, item: int | None) -> dict[Place, int]:
        """Which bits have a value as the step begins: of the state, and what read(2) sets."""
        defined = {place: mask for place, _, mask in state.values}
        if item is not None:
            defined |= dict.fromkeys(self._lost, self._full)
            if item != END:
                base, number, _ = state.arguments[1]
                ((at, mask),) = _words(number, 1, self._word)
                defined[base, at] = defined.get((base, at), 0) | mask
        return defined

    def _check_uses(
        self, effects: _Effects, state: State, defined: Mapping[Place, int], item: int | None
    ) -> None:
        """Raises NotProven, or _Grow, if a path reads what has no value."""
        for place, mask, pc in effects.uses:
            if isinstance(place, tuple) and not place[0]:
                mask &= self._image.get(place[1], (0, 0))[1]  # the rest of the file never changes
            if item is None and isinstance(place, str):
                self._initial.add(place)
            elif mask & ~defined.get(place, 0):
                if item is not None:
                    self._grows(state, place, mask)
                where = f"{pc:#x} ({self._found.executed[pc][1]})"
                raise NotProven(f"it reads {place_text(place)}, which has no value, at {where}")

    def _grows(self, state: State, place: Place, mask: int) -> None:
        """Makes these bits part of the states at this read; raises _Grow if they were not."""
        sp = next(value for at, value, _ in state.values if at == self._sp)
        live = self._live_at(state.at, sp)
        if mask & ~live.get(place, 0):
            live[place] = live.get(place, 0) | mask
            raise _Grow

    def _live_at(self, at: int, sp: Value) -> dict[Place, int]:
        return self._live.setdefault(at, {}).setdefault(sp, {self._sp: self._full})

    # What is allowed, and what is reported.

    def _store(self, addr: int, size: int) -> None:
        """Bytes of the file's memory are stored to; raises _Grow if it is the first time."""
        self._found.stored.update(range(addr, addr + size))
        before = dict(self._image)
        for at, more in _words(addr, size, self._word):
            number, mask = self._image.get(at) or (self._in_file(at), 0)
            self._image[at] = number, mask | more
        if self._image != before:
            raise _Grow

    def _in_file(self, addr: int) -> int:
        for start, data in self._loaded:
            if start <= addr < start + len(data):
                return int.from_bytes(data[addr - start :][: self._word], "little")
        raise NotProven(f"it stores to {addr:#x}, which is neither of the file nor on the stack")

    def _call(
        self, at: int, name: str, values: tuple[Value, ...],
        made: Sequence[tuple[str, list[int], bytes]],
    ) -> bytes:  # fmt: skip
        """Accounts for a system call, ``made`` in each world; what it writes to the output."""
        if name == _NOTHING:
            self._found.calls.add(Call(at, name, ()))
            return b""
        if name not in _ARGUMENTS:
            raise NotProven(f"it makes the system call {name}, which no hex0 needs, at {at:#x}")
        texts = [value.text(self._full) for value in values]
        data = {data for _, _, data in made}
        if name == "write":
            texts[1] = "?" if len(data) > 1 else "a byte"
        self._found.calls.add(Call(at, name, tuple(texts)))
        if name in ("read", "write"):
            which = {self._symbols.named["in" if name == "read" else "out"]}
            if name == "write" and self._opens is NO_OUTPUT:
                which.add(self._symbols.named["-out"])
            descriptors = tuple(given[0] for _, given, _ in made)
            if descriptors not in which or values[2].known != self._full:
                raise NotProven(f"{name}({', '.join(texts)}) is no {name} of one byte, at {at:#x}")
        if name == "read":
            if values[2].number > 1:
                raise NotProven(f"it reads {values[2].number} bytes at once, at {at:#x}")
            if not values[1].base:
                self._store(values[1].number, values[2].number)
        if name == "write" and len(data) > 1:
            raise NotProven(f"it writes what has no value, at {at:#x}")
        if name in ("exit", "exit_group") and values[0].known & 0xFF != 0xFF:
            raise NotProven(f"it ends with a status that has no value, at {at:#x}")
        return made[0][2]


def _words(addr: int, size: int, word: int) -> Iterator[tuple[int, int]]:
    """The words that bytes lie in, and the bits that they are there."""
    at = addr // word * word
    while at < addr + size:
        first, last = max(addr, at) - at, min(addr + size, at + word) - at
        yield at, (1 << 8 * last) - (1 << 8 * first)
        at += word


def _part(first: Sequence[Event], second: Sequence[Event]) -> str:
    """The instruction after which two paths are not the same."""
    pc = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        pc = one[2] if one[0] == "x" else pc
    return f"{pc:#x}"


def _growing(found: Automaton, most: int) -> str:
    """Which parts take the most values, in the last place where states were found."""
    at = Counter(state.at for state in found.states).most_common(1)[0][0]
    seen: dict[Place, set[Value]] = {}
    for state in found.states:
        for place, value, _ in state.values if state.at == at else ():
            seen.setdefault(place, set()).add(value)
    rows = sorted(seen.items(), key=lambda row: -len(row[1]))[:3]
    parts = ", ".join(f"{place_text(place)} takes {len(v)} values" for place, v in rows)
    return f"its states do not close: {most} at the limit, where at {at:#x} {parts}"
