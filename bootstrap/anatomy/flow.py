"""Follows control flow from an entry: which bytes run as instructions, as far as is known.

Only what stands in the instructions is followed: jumps, branches and calls with a fixed target.
A jump through a register or memory is not, and neither is code that writes code.  A system call
that is known to be exit(2) ends a path; every other is taken to return.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import capstone

from bootstrap.anatomy.machines import InstructionFacts, InstructionSet, PathState, understand

MAX_STATES = 30_000
"""Instructions decoded before giving up; the largest known seed needs under 10,000."""
_PER_INSTRUCTION = 4


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where a range of the file is seen by the program: guest_addr = address + offset - start."""

    start: int
    size: int
    address: int


@dataclass(frozen=True)
class FlowImage:
    """The file as the program sees it."""

    mappings: tuple[Mapping, ...]
    absolute: bool = True
    """Whether numbers in instructions can be addresses in the file."""

    def offset(self, address: int) -> int | None:
        """The file offset seen at ``address``, or None."""
        for item in self.mappings:
            if item.address <= address < item.address + item.size:
                return address - item.address + item.start
        return None

    def address(self, offset: int) -> int | None:
        """The address of a file offset, or None where it is not mapped."""
        for item in self.mappings:
            if item.start <= offset < item.start + item.size:
                return offset - item.start + item.address
        return None


@dataclass(frozen=True, slots=True)
class DecodedInstruction:
    """One instruction at a file offset."""

    offset: int
    size: int
    text: str
    target: int | None = None
    """The file offset it goes to, where that is in the file."""
    note: str = ""


@dataclass
class ControlFlow:
    """What following the flow found."""

    instructions: dict[int, DecodedInstruction] = field(default_factory=dict)
    """By file offset.  They may overlap each other."""
    references: dict[int, tuple[int, int]] = field(default_factory=dict)
    """File offset of data -> (offset of the instruction that names it, size read or 0)."""
    unfollowed: list[tuple[int, str]] = field(default_factory=list)
    """Places (file offset, why) where the flow could not be followed."""
    complete: bool = True


def follow(data: bytes, image: FlowImage, machine: InstructionSet, entry: int) -> ControlFlow:
    """Follow the flow from the file offset ``entry``."""
    flow = ControlFlow()
    decoder = _decoder(machine)
    work: list[tuple[int, PathState]] = [(entry, PathState())]
    seen: dict[int, set[PathState]] = {}
    steps = 0
    while work:
        offset, state = work.pop()
        states = seen.setdefault(offset, set())
        if state in states or len(states) >= _PER_INSTRUCTION:
            continue
        states.add(state)
        steps += 1
        if steps > MAX_STATES:
            flow.complete = False
            return flow
        decoded = _decode(decoder, data, image, offset, machine)
        if decoded is None:
            flow.unfollowed.append((offset, "the bytes there are no instruction"))
            continue
        facts = understand(machine, decoded, state)
        _record(flow, image, offset, decoded, facts)
        for address, after in facts.next:
            target = image.offset(address)
            if target is None:
                flow.unfollowed.append((offset, f"it goes to {address:#x}, outside of the file"))
            else:
                work.append((target, after))
        if facts.indirect:
            flow.unfollowed.append((offset, "it goes where a register or memory says"))
    flow.unfollowed = sorted(set(flow.unfollowed))
    return flow


def sweep(
    data: bytes, image: FlowImage, machine: InstructionSet, start: int, end: int
) -> list[tuple[int, int, DecodedInstruction | None]]:
    """Decode from ``start`` to ``end`` one after another: (start, end, instruction or None).

    None stands for bytes that are no instruction.  The pieces cover the range exactly.
    """
    decoder = capstone.Cs(machine.arch, machine.mode)
    pieces: list[tuple[int, int, DecodedInstruction | None]] = []
    at = start
    while at < end:
        # Without details, and as far as it gets: many times faster than one by one.
        for _, size, mnemonic, operands in decoder.disasm_lite(
            data[at:end], image.address(at) or 0
        ):
            pieces.append(
                (at, at + size, DecodedInstruction(at, size, f"{mnemonic} {operands}".strip()))
            )
            at += size
        if at < end:
            size = min(machine.step, end - at)
            pieces.append((at, at + size, None))
            at += size
    return pieces


def _decoder(machine: InstructionSet) -> capstone.Cs:
    decoder = capstone.Cs(machine.arch, machine.mode)
    decoder.detail = True
    return decoder


def _decode(
    decoder: capstone.Cs,
    data: bytes,
    image: FlowImage,
    offset: int,
    machine: InstructionSet,
) -> capstone.CsInsn | None:
    address = image.address(offset)
    if address is None:
        return None
    window = data[offset : offset + machine.longest]
    decoded: Sequence[capstone.CsInsn] = list(decoder.disasm(window, address, 1))
    return decoded[0] if decoded else None


def _record(
    flow: ControlFlow,
    image: FlowImage,
    offset: int,
    decoded: capstone.CsInsn,
    facts: InstructionFacts,
) -> None:
    target = image.offset(facts.target) if facts.target is not None else None
    known = flow.instructions.get(offset)
    note = facts.note or (known.note if known else "")
    flow.instructions[offset] = DecodedInstruction(offset, decoded.size, facts.text, target, note)
    for address, size, certain in facts.reads:
        place = image.offset(address) if certain or image.absolute else None
        if place is not None:
            flow.references.setdefault(place, (offset, size))
