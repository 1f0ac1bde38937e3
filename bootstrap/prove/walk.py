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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from bootstrap import signals
from bootstrap.core.arches import Arch
from bootstrap.core.elf import load
from bootstrap.core.errors import BootstrapError, ExitStatus, Meter
from bootstrap.instruments.walking import Event, WalkingCpu
from bootstrap.linux.inode import file_of
from bootstrap.linux.limits import Limits
from bootstrap.linux.memory import AddressSpace
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


class _Grow(Exception):
    """A part turned out to be live: begin again with it."""


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

    def value_of(self, place: Place) -> Value:
        """Of a place that has one."""
        return next(value for at, value, _ in self.values if at == place)


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
    words: list[bytes] = field(default_factory=list)
    """A shortest input that leads to each state."""
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


class _Effects(NamedTuple):
    """What a path did to what it found: first uses with the instruction's address, and writes."""

    uses: tuple[tuple[Place, int, int], ...]
    written: Mapping[Place, int]
    executed: tuple[tuple[int, int], ...]
    loads: tuple[tuple[int, int], ...]
    stores: tuple[tuple[int, int], ...]


_Normal = tuple[tuple[str, str, int, int], ...]


class _After(NamedTuple):
    """One world at the end of a path."""

    registers: list[int]
    stack: bytes
    image: dict[int, int]


class _Path(NamedTuple):
    calls: list[tuple[int, str, list[list[int]], list[bytes]]]
    """(address, name, arguments by world, data by world)."""
    effects: _Effects
    after: list[_After]
    ended: str
    parted: str
    """Where the worlds parted, if they did."""


class Walker:
    """One seed, whose opens give what ``opens`` has. `close` it."""

    def __init__(self, image: bytes, abi: Arch, opens: Opens, most: int) -> None:
        """``most``: states at which it stops. Raises what the loader raises."""
        limits = Limits()
        loaded = load(file_of(image), b"seed", (b"seed",), (), limits, Meter(limits), AddressSpace)
        assert isinstance(loaded.memory, AddressSpace)
        self.memory = loaded.memory
        self.abi, self.entry, self._most = abi, loaded.pc, most
        self._stack = abi.task_size - 0x80000
        self.symbols = WorldSymbols(abi.word_mask, self._stack, opens)
        self._opens = opens
        self._names = {number: name for name, number in NUMBERS[abi.name].items()}
        self._tables = Tables(abi.name)
        self.cpu = WalkingCpu(abi, self.memory, self._trap, _LONGEST)
        named = dict(zip(self.cpu.names, self.cpu.numbers, strict=True))
        by_number = {number: name for name, number in named.items()}
        d = self.cpu.abi
        self._pc, self._sp = by_number[d.pc], by_number[d.sp]
        self._result = by_number[d.result]
        self._number = by_number[d.number]
        self._arguments = [by_number[number] for number in d.arguments]
        self._clobbered = [by_number[number] for _, number in d.saved]
        self._index = {name: index for index, name in enumerate(self.cpu.names)}
        self._live: dict[tuple[int, Value], dict[Place, int]] = {}
        """By address of the read and the stack pointer there: what may be read before written."""
        self._image: dict[int, tuple[int, int]] = {}
        """Words of the file's memory that are ever stored to: as in the file, and which bits."""
        self._loaded = [(e.start, e.host[:]) for e in self.memory.extents if e.end < self._stack]
        self.initial: set[str] = set()
        """Registers that are read, perhaps only to be moved, as the program found them."""
        self._first: Mapping[Place, int] = {}
        """What is written before the first read."""
        self.zero: frozenset[str] = frozenset()
        """Those that have to be 0 then, as Linux leaves them (ELF_PLAT_INIT, start_thread)."""
        self._world = 0
        self._traps: list[tuple[str, list[int], bytes]] = []
        self._final: list[int] = []
        self._normal: list[dict[tuple[Event, ...], _Normal]] = [{} for _ in range(WORLDS)]
        self._interned: dict[_Normal, _Normal] = {}
        self._effects: dict[_Normal, _Effects] = {}
        self._accounted: set[int] = set()
        self._texts: dict[int, str] = {}
        self._set: dict[int, list[tuple[list[int], list[tuple[int, bytes]]]]] = {}

    # One step in one world.

    def _trap(self, args: Sequence[int]) -> int | None:
        name = self._names.get(args[0], f"number {args[0]}")
        if args[0] >= _NO_NUMBER:
            name = _NOTHING
        given = list(args[1:7])
        data = b""
        # The mode counts only where a file may be made.
        last = name in ("open", "openat") and not given[_ARGUMENTS[name] - 2] & _O_CREAT
        del given[_ARGUMENTS.get(name, 0) - last :]
        self.cpu.events.append(("t", len(given), 0))
        if name == "write":
            data = self.memory.read_upto(given[1], min(given[2], 64))
        opened = sum(trap[0] in ("open", "openat") for trap in self._traps)
        self._traps.append((name, given, data))
        if name == "write":
            return _WRITTEN[self._world]
        if name == _NOTHING:
            return _ENOSYS
        if name in ("open", "openat") and opened < 2:
            return self._opens[self._world][opened]
        self._final = self.cpu.get_registers()
        return None

    def _bytes(self, addr: int, size: int) -> bytes:
        """Of mapped memory, also where the guest may not read."""
        extent = self.memory.find(addr)
        assert extent is not None
        return extent.host[addr - extent.start : addr - extent.start + size]

    def _put(self, addr: int, data: bytes) -> None:
        """Not `poke`: what is executed is never stored to here, so translations stay right."""
        extent = self.memory.find(addr)
        assert extent is not None
        extent.host[addr - extent.start : addr - extent.start + len(data)] = data

    def _word(self, addr: int) -> int:
        return int.from_bytes(self._bytes(addr, self.abi.word), "little")

    def _fill(self, place: Place, world: int) -> int:
        """What stands where nothing has a value."""
        full = self.abi.word_mask
        if world < 2:
            return full * world
        return zlib.crc32(repr(place).encode()) * 0x100000001 & full

    def _prepare(self, state: State) -> list[tuple[list[int], list[tuple[int, bytes]]]]:
        """Registers and memory of each world."""
        word, full, symbols = self.abi.word, self.abi.word_mask, self.symbols
        known = {place: (value, has) for place, value, has in state.values}

        def number(place: Place, world: int, bits: int, base: int) -> int:
            fill = self._fill(place, world) & bits | base & ~bits
            return symbols.inside(*known[place], world, fill) if place in known else fill

        rows = []
        for world in range(WORLDS):
            registers = [
                number(name, world, *_STATUS.get(name, (full, 0))) for name in self.cpu.names
            ]
            stack = b"".join(
                number(("sp", offset), world, full, 0).to_bytes(word, "little")
                for offset in range(-REACH, REACH, word)
            )
            blocks = [(symbols.sp[world] - REACH, stack)]
            for addr, (original, mask) in self._image.items():
                there = number(("", addr), world, mask, original)
                blocks.append((addr, there.to_bytes(word, "little")))
            rows.append((registers, blocks))
        return rows

    def _go(self, number: int, state: State, item: int | None) -> _Path:
        """The path from a state with one input (None: from the program's entry)."""
        full = self.abi.word_mask
        if number not in self._set:
            self._set[number] = self._prepare(state)
        calls: list[tuple[int, str, list[list[int]], list[bytes]]] = []
        after: list[_After] = []
        normal: _Normal = ()
        ended = parted = ""
        for world, (registers, blocks) in enumerate(self._set[number]):
            self._world, self._traps, self._final = world, [], []
            self.cpu.events.clear()
            for addr, data in blocks:
                self._put(addr, data)
            values = list(registers)
            if item is None:
                values[self._index[self._pc]] = self.entry
            else:
                values[self._index[self._pc]] = state.at + self.cpu.abi.trap_size
                result = 0
                if item != END:
                    result = 1 if item < FAILS else _FAILED[world]
                    place = self.symbols.inside(state.arguments[1], full, world, 0)
                    self._put(place, bytes((item % FAILS,)))
                values[self._index[self._result]] = result & full
            self.cpu.set_registers(values)
            stop = self.cpu.run()
            this = self._normalised(world)
            over = (
                f"a fault: {stop.fault.reason} at {stop.fault.pc:#x}" if stop.fault
                else "" if self._final
                else f"no system call after {_LONGEST} steps, at {self.cpu.pc:#x}"
            )  # fmt: skip
            if world == 0:
                normal, ended = this, over
                addrs = [e[2] for e, after in pairwise(this) if after[0] == "t"]
                calls = [(a, t[0], [], []) for a, t in zip(addrs, self._traps, strict=True)]
            elif this is not normal or over != ended:
                parted = _part(normal, this)
                break
            for call, trap in zip(calls, self._traps, strict=True):
                call[2].append(trap[1])
                call[3].append(trap[2])
            stack = self._bytes(self.symbols.sp[world] - REACH, 2 * REACH)
            after.append(
                _After(self._final, stack, {addr: self._word(addr) for addr in self._image})
            )
        return _Path(calls, self._effects_of(normal), after, ended, parted)

    def _normalised(self, world: int) -> _Normal:
        """Events with stack addresses as offsets; one object for all that are equal."""
        events = tuple(self.cpu.events)
        found = self._normal[world].get(events)
        if found is None:
            sp = self.symbols.sp[world]
            found = tuple(
                (kind, "sp", addr - sp, size)
                if kind in "rw" and abs(addr - sp) < 0x8000
                else (kind, "", addr, size)
                for kind, addr, size in events
            )
            # One object for what is the same in each world.
            found = self._normal[world][events] = self._interned.setdefault(found, found)
        return found

    # What a path reads and writes.

    def _effects_of(self, normal: _Normal) -> _Effects:
        found = self._effects.get(normal)
        if found is None:
            found = self._effects[normal] = self._look(normal)
        return found

    def _look(self, normal: _Normal) -> _Effects:
        uses: list[tuple[Place, int, int]] = []
        written: dict[Place, int] = {}
        executed: list[tuple[int, int]] = []
        loads: list[tuple[int, int]] = []
        stores: list[tuple[int, int]] = []
        full, word, pc = self.abi.word_mask, self.abi.word, 0

        def use(place: Place, mask: int) -> None:
            if mask & ~written.get(place, 0):
                uses.append((place, mask & ~written.get(place, 0), pc))

        def write(place: Place, mask: int) -> None:
            written[place] = written.get(place, 0) | mask

        for kind, base, addr, size in normal:
            if kind == "x":
                pc = addr
                executed.append((addr, size))
                try:
                    effect = self._tables.effect(self._bytes(addr, size), addr)
                except ValueError as error:
                    raise NotProven(f"{error}, at {addr:#x}") from None
                self._texts[addr] = effect.text
                for name, mask in effect.reads:
                    use(name, mask & full)
                for name, mask in effect.writes:
                    write(name, mask & full)
            elif kind == "t":
                for name in (self._number, *self._arguments[:addr]):
                    use(name, full)
                for name in (self._result, *self._clobbered):
                    write(name, full)
            else:
                if base and abs(addr) > REACH - 8:
                    raise NotProven(f"it uses the stack {addr:+d} bytes from its start, at {pc:#x}")
                if not base:
                    (loads if kind == "r" else stores).append((addr, size))
                for at, mask in _words(addr, size, word):
                    (use if kind == "r" else write)((base, at), mask)
        return _Effects(tuple(uses), written, tuple(executed), tuple(loads), tuple(stores))

    # All states.

    def walk(self, known: Automaton | None = None) -> Automaton:
        """All states. With ``known``, what this walker found before: reads may fail as well.

        Raises NotProven.
        """
        fails = known is not None
        while True:
            self._set.clear()
            try:
                return self._once(fails, known)
            except _Grow:
                known = None  # its states lack what has turned out to be live
            except NotProven:
                live = {p for places in self._live.values() for p in places if isinstance(p, str)}
                found = self.initial | live - self._first.keys()
                if found <= self.zero | {self._sp, self._pc}:
                    raise
                self.zero, known = frozenset(found - {self._sp, self._pc}), None

    def close(self) -> None:
        """Let go of CPU and memory."""
        self.cpu.close()
        self.memory.release()

    def _once(self, fails: bool, known: Automaton | None) -> Automaton:
        word, full = self.abi.word, self.abi.word_mask
        values: list[tuple[Place, Value, int]] = [
            (name, Value("", 0, full if name in self.zero else 0), full) for name in self.cpu.names
        ]
        values[self._index[self._sp]] = (self._sp, Value("sp", 0, full), full)
        for index in range(4):
            values.append((("sp", word * index), Value(f"word {index}", 0, full), full))
        for addr, (number, _) in self._image.items():
            values.append((("", addr), Value("", number, full), full))
        found = Automaton(zero=self.zero)
        self._accounted = set()
        numbers: dict[State, int] = {}
        start = State(self.entry, (), tuple(values))
        if known is not None:
            found.states, found.words = list(known.states), list(known.words)
            numbers |= {state: number for number, state in enumerate(known.states)}
        found.started = self._step(found, -1, start, None, numbers, b"").ended
        for number, state in enumerate(found.states):  # which grows as it is walked
            old = known is not None and number < len(known.steps)
            steps = dict(known.steps[number]) if known is not None and old else {}
            items = FAILING if old else (*INPUTS, *FAILING) if fails else INPUTS
            with signals.held:  # once for a state: each run holds them too
                for item in items if state.arguments[2].number else (END,):
                    to = found.words[number] + (b"" if item == END else bytes((item % FAILS,)))
                    steps[item] = self._step(found, number, state, item, numbers, to)
            found.steps.append(steps)
        return found

    def _step(
        self, found: Automaton, number: int, state: State, item: int | None,
        numbers: dict[State, int], to: bytes,
    ) -> Transition:  # fmt: skip
        full = self.abi.word_mask
        path = self._go(number, state, item)
        effects = path.effects
        if item is None:
            self._first = effects.written
        if id(effects) not in self._accounted:
            self._account(found, effects)
            self._accounted.add(id(effects))
        defined = {place: mask for place, _, mask in state.values}
        if item is not None:
            defined |= dict.fromkeys((self._result, *self._clobbered), full)
            if item != END:
                base, number, _ = state.arguments[1]
                ((at, mask),) = _words(number, 1, self.abi.word)
                defined[base, at] = defined.get((base, at), 0) | mask
        for place, mask, pc in effects.uses:
            if isinstance(place, tuple) and not place[0]:
                mask &= self._image.get(place[1], (0, 0))[1]  # the rest of the file never changes
            if item is None and isinstance(place, str):
                self.initial.add(place)
            elif mask & ~defined.get(place, 0):
                if item is not None:
                    self._grows(state, place, mask)
                where = f"{pc:#x} ({self._texts[pc]})"
                raise NotProven(f"it reads {place_text(place)}, which has no value, at {where}")
        if path.parted:
            raise NotProven(f"what it does hangs on something that has no value, at {path.parted}")
        written = b"".join(self._call(found, *call) for call in path.calls)
        if path.ended:
            return Transition(written, None, path.ended)
        at, name, given, _ = path.calls[-1]
        arguments = self._explained(given)
        if name != "read":
            return Transition(written, None, f"exit {arguments[0].number & 0xFF}")
        live = self._live_at(at, self.symbols.explain(self._all_seen(path, self._sp), full))
        for place, mask in live.items():
            if item is not None:
                self._grows(state, place, mask & ~effects.written.get(place, 0))
        target = State(at, arguments[:3], self._after(path, live, defined))
        if target not in numbers:
            if len(found.states) >= self._most:
                raise NotProven(_growing(found, self._most))
            numbers[target] = len(found.states)
            found.states.append(target)
            found.words.append(to)
        return Transition(written, numbers[target])

    def _grows(self, state: State, place: Place, mask: int) -> None:
        """Makes these bits part of the states at this read; raises _Grow if they were not."""
        live = self._live_at(state.at, state.value_of(self._sp))
        if mask & ~live.get(place, 0):
            live[place] = live.get(place, 0) | mask
            raise _Grow

    def _live_at(self, at: int, sp: Value) -> dict[Place, int]:
        return self._live.setdefault((at, sp), {self._sp: self.abi.word_mask})

    def _after(
        self, path: _Path, live: Mapping[Place, int], defined: Mapping[Place, int]
    ) -> tuple[tuple[Place, Value, int], ...]:
        """What has a value at the end of a path, of what is live there."""
        rows: list[tuple[Place, Value, int]] = []
        for place, mask in live.items():
            has = (defined.get(place, 0) | path.effects.written.get(place, 0)) & mask
            if has:
                rows.append((place, self.symbols.explain(self._all_seen(path, place), has), has))
        return tuple(sorted(rows, key=lambda row: (isinstance(row[0], tuple), row[0])))

    def _all_seen(self, path: _Path, place: Place) -> list[int]:
        """In each world."""
        return [self._seen(after, place) for after in path.after]

    def _seen(self, after: _After, place: Place) -> int:
        if isinstance(place, str):
            return after.registers[self._index[place]]
        base, offset = place
        if not base:
            return after.image[offset]
        return int.from_bytes(after.stack[REACH + offset :][: self.abi.word], "little")

    def _explained(self, given: list[list[int]]) -> tuple[Value, ...]:
        """The arguments of a call, given by world."""
        full = self.abi.word_mask
        return tuple(self.symbols.explain(row, full) for row in zip(*given, strict=True))

    # What is allowed, and what is reported.

    def _account(self, found: Automaton, effects: _Effects) -> None:
        for addr, size in effects.executed:
            found.executed[addr] = (size, self._texts[addr])
        for addr, size in effects.loads:
            found.data.update(range(addr, addr + size))
        for addr, size in effects.stores:
            self._store(found, addr, size)
        code = {a + n for a, (size, _) in found.executed.items() for n in range(size)}
        if changed := code & found.stored:
            raise NotProven(f"it changes its own code, at {min(changed):#x}")

    def _store(self, found: Automaton, addr: int, size: int) -> None:
        """Bytes of the file's memory are stored to; raises _Grow if it is the first time."""
        found.stored.update(range(addr, addr + size))
        before = dict(self._image)
        for at, more in _words(addr, size, self.abi.word):
            number, mask = self._image.get(at) or (self._in_file(at), 0)
            self._image[at] = number, mask | more
        if self._image != before:
            raise _Grow

    def _in_file(self, addr: int) -> int:
        for start, data in self._loaded:
            if start <= addr < start + len(data):
                return int.from_bytes(data[addr - start :][: self.abi.word], "little")
        raise NotProven(f"it stores to {addr:#x}, which is neither of the file nor on the stack")

    def _call(
        self, found: Automaton, at: int, name: str, given: list[list[int]], data: list[bytes]
    ) -> bytes:
        """Accounts for a system call; what it writes to the output."""
        if name == _NOTHING:
            found.calls.add(Call(at, name, ()))
            return b""
        if name not in _ARGUMENTS:
            raise NotProven(f"it makes the system call {name}, which no hex0 needs, at {at:#x}")
        rows, values = list(zip(*given, strict=True)), self._explained(given)
        texts = tuple(value.text(self.abi.word_mask) for value in values)
        if name == "write":
            texts = (texts[0], "?" if len(set(data)) > 1 else "a byte", texts[2])
        found.calls.add(Call(at, name, texts))
        if name in ("read", "write"):
            which = {self.symbols.named["in" if name == "read" else "out"]}
            if name == "write" and self._opens is NO_OUTPUT:
                which.add(self.symbols.named["-out"])
            if rows[0] not in which or values[2].known != self.abi.word_mask:
                raise NotProven(f"{name}({', '.join(texts)}) is no {name} of one byte, at {at:#x}")
            if name == "read" and values[2].number > 1:
                raise NotProven(f"it reads {values[2].number} bytes at once, at {at:#x}")
            if name == "read" and not values[1].base:
                self._store(found, values[1].number, values[2].number)
        if name == "write":
            if len(set(data)) > 1:
                raise NotProven(f"it writes what has no value, at {at:#x}")
            return data[0]
        if name in ("exit", "exit_group") and values[0].known & 0xFF != 0xFF:
            raise NotProven(f"it ends with a status that has no value, at {at:#x}")
        return b""


def _words(addr: int, size: int, word: int) -> Iterator[tuple[int, int]]:
    """The words that bytes lie in, and the bits that they are there."""
    at = addr // word * word
    while at < addr + size:
        first, last = max(addr, at) - at, min(addr + size, at + word) - at
        yield at, (1 << 8 * last) - (1 << 8 * first)
        at += word


def _part(first: _Normal, second: _Normal) -> str:
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
