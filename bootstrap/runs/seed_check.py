"""Holds a seed against its source: the file, the pure model, and a seed that runs in the emulator.

Three opinions of what the source assembles to.  The model (bootstrap/languages/hex0.py) runs no
machine code; the emulated run uses nothing of the model.  A hex0 seed assembles its own source;
for another seed (kaem-optional-seed, one for firmware) a hex0 seed assembles it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bootstrap.core.arches import ARCHES, Arch
from bootstrap.instruments import Engine
from bootstrap.languages import hex0
from bootstrap.languages.assembly import Oddity, Origin
from bootstrap.linux.hostfolder import LowerFile
from bootstrap.linux.limits import RunLimits
from bootstrap.runs.program import NoOutput, run_alone

LIMITS = RunLimits(memory=64 << 20, memory_total=64 << 20, file=16 << 20, files_total=16 << 20,
                processes=16, seconds=120)  # fmt: skip
"""What a run may use: a seed assembles a source of 30 KB in a second."""


@dataclass(frozen=True)
class Difference:
    """The first byte at which two contents part.  None stands for the end of a content."""

    offset: int
    file: int | None
    """The byte of the file under test."""
    found: int | None
    line: int | None
    """Where the source writes the byte, if it writes one there."""
    columns: tuple[int, int] | None
    comment: str | None


@dataclass(frozen=True)
class Run:
    """What an emulated seed made of the source: its output, or why there is none."""

    assembler: str
    """Which program was run, in words."""
    output: bytes | None
    failure: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeedResult:
    """Three opinions; ``same`` when all three are one content."""

    model: bytes
    run: Run
    model_differs: Difference | None
    run_differs: Difference | None
    oddities: tuple[Oddity, ...]

    @property
    def same(self) -> bool:
        return self.model_differs is None and self.run.output is not None and (
            self.run_differs is None)  # fmt: skip


def abi_of(program: bytes) -> Arch | None:
    """The ABI a little-endian ELF program is for (by e_machine and its class), or None."""
    if program[:4] != b"\x7fELF" or len(program) < 20 or program[5] != 1:
        return None
    machine = int.from_bytes(program[18:20], "little")
    for abi in ARCHES:
        if machine == abi.elf_machines[0] and abi.elf_class == program[4]:
            return abi
    return None


def check(
    seed: bytes, source: bytes, source_name: str, assembler: bytes, words: str, engine: Engine
) -> SeedResult:
    """Compare ``seed`` with what ``source`` assembles to.

    ``assembler`` is the hex0 seed to run (``seed`` itself, where it is one), ``words`` its name.
    A guest that fails is a finding, not an error.
    """
    assembly = hex0.assemble(source, source_name)
    run = _run(assembler, source, words, engine)
    return SeedResult(
        assembly.output,
        run,
        _difference(seed, assembly.output, assembly.map),
        None if run.output is None else _difference(seed, run.output, assembly.map),
        assembly.oddities,
    )


def _difference(seed: bytes, other: bytes, origins: Sequence[Origin]) -> Difference | None:
    if seed == other:
        return None
    shorter = min(len(seed), len(other))
    at = next((i for i in range(shorter) if seed[i] != other[i]), shorter)
    file, found = (data[at] if at < len(data) else None for data in (seed, other))
    if at >= len(origins):
        return Difference(at, file, found, None, None, None)
    origin = origins[at]
    return Difference(at, file, found, origin.line, origin.columns, origin.comment)


def _run(program: bytes, source: bytes, words: str, engine: Engine) -> Run:
    files = {b"/seed": LowerFile(0o755, program), b"/source.hex0": LowerFile(0o644, source)}
    argv = [b"seed", b"source.hex0", b"out"]
    try:
        output = run_alone(files, b"/seed", argv, b"/out", engine, LIMITS)
    except NoOutput as error:
        return Run(words, None, error.lines)
    if output is None:
        return Run(words, None, ("it ended without writing its output",))
    return Run(words, output)
