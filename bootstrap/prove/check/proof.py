"""The proof: every state of a certificate, with every byte and the end of the file, once more."""

import hashlib
import json
import re
from typing import Any

from bootstrap.prove.check.instructions import X86, AArch64, RiscV
from bootstrap.prove.check.language import START, Class, step
from bootstrap.prove.check.seed import Refused, SeedImage, SeedMachine, Value

FORMAT = "bootstrap-hex0-proof/1"
_CORES: dict[str, Any] = {
    "x86": X86, "AMD64": X86, "riscv32": RiscV, "riscv64": RiscV, "AArch64": AArch64,
}  # fmt: skip
_NUMBER = "0x[0-9a-f]{1,16}"
_VALUE = re.compile(rf"(sp|in|out|-out|word [0-3])([+-]\d{{1,4}})?|({_NUMBER})")
_MEMORY = re.compile(rf"\[(?:(sp)([+-]\d{{1,4}})?|({_NUMBER}))\]")
_WRONG = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
MAX_FILE = (1 << 22) - 1


def decide(text: bytes, seed: bytes) -> tuple[int, str]:
    """Exit status, and what it means in one line: 0 proven, 1 not proven, 2 no certificate."""
    digest = hashlib.sha256(seed).hexdigest()
    try:
        if max(len(text), len(seed)) > MAX_FILE:
            raise ValueError("larger than a certificate is")
        return 0, _check(text, seed, digest)
    except Refused as error:
        return 1, f"NOT proven: {error}"
    except _WRONG as error:
        return 2, f"no certificate of this kind: {type(error).__name__}: {str(error)[:80]!r}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _value(text: str, mask: int) -> Value:
    if not (found := _VALUE.fullmatch(text)):
        raise ValueError(f"no value: {text}")
    return found[1] or "", int(found[3] or found[2] or "0", 16 if found[3] else 10) & mask


class _Proof:
    def __init__(self, proof: Any, seed: bytes) -> None:
        self.arch, self.rows = proof["arch"], proof["states"]
        self.dialect = bool(proof["language"]["G"]), bool(proof["language"]["CR"])
        self.image, self.core = SeedImage(seed, self.arch), _CORES[self.arch]
        self.classes: list[Class] = [(row["comment"], row["held"]) for row in self.rows]
        self.states = list(map(self._state, self.rows))

    def _state(self, row: Any) -> SeedMachine:
        """A state of the certificate: what it does not list has no value."""
        m = SeedMachine(self.image)
        m.pc, m.buffer = int(row["at"], 16), _value(row["buffer"], m.mask)
        for name, text in row["values"].items():
            value = _value(text, m.mask)
            if place := _MEMORY.fullmatch(name):
                base, at = place[1] or "", int(place[2] or 0) if place[1] else int(place[3], 16)
                m.put((base, at), value, m.word)
            else:
                m.registers[name] = value
        return m

    def _run(self, m: SeedMachine) -> None:
        core = self.core(m)
        for _ in range(2000):
            core.step()
            if m.ended:
                return
        raise Refused("2000 instructions without a read")

    def _arrive(self, m: SeedMachine, target: int, now: Class) -> None:
        """Raises Refused unless ``m`` is an instance of the state ``target``, of the class."""
        wide = self.states[target]
        holds = (m.ended, m.pc, m.buffer) == ("read", wide.pc, wide.buffer)
        holds = holds and self.classes[target] == now
        for name, value in wide.registers.items():
            holds = holds and m.registers.get(name) == value
        for place, byte in wide.memory.items():
            holds = holds and m.memory.get(place) == byte
        if not holds:
            raise Refused(f"what is reached at {m.pc:#x} is no state {target} of the certificate")

    def start(self, zero: list[str]) -> None:
        """From the first instruction to the first read."""
        m = SeedMachine(self.image)
        m.registers |= dict.fromkeys(zero, ("", 0)) | {m.arch.sp: ("sp", 0)}
        for n in range(4):
            m.put(("sp", n * m.word), (f"word {n}", 0), m.word)
        self._run(m)
        self._arrive(m, 0, START)
        if m.opened != [(("word 2", 0), 0, 0), (("word 3", 0), 0x241, 0o700)]:
            raise Refused("it does not open argv[1] to be read and argv[2] to be written")

    def go(self, number: int, byte: int | None, target: int) -> None:
        """One transition; byte None: the end of the file. Raises Refused."""
        m = self.states[number].copy()
        m.go_on(("", 0 if byte is None else 1))
        now, due = self.classes[number], b""
        if byte is not None:
            m.store(m.buffer, ("", byte), 1)
            now, due = step(now, byte, *self.dialect)
        self._run(m)
        if m.written != due or m.opened:
            raise Refused(
                f"state {number}, byte {byte}: it writes '{m.written.hex()}', not '{due.hex()}'"
            )
        if byte is not None:
            self._arrive(m, target, now)
        elif m.ended != "exit 0":
            raise Refused(f"state {number}: it does not end well at the end of the file")


def _check(text: bytes, seed: bytes, digest: str) -> str:
    found = json.loads(text, object_pairs_hook=_once)
    if found["format"] != FORMAT or found["arch"] not in _CORES:
        raise ValueError("another format or architecture")
    if found["sha256"] != digest:
        raise Refused("the certificate is of another seed")
    proof = _Proof(found, seed)
    proof.start(found["zero"])
    for number, row in enumerate(proof.rows):
        targets = {b: to for first, last, to in row["next"] for b in range(first, last + 1)}
        for byte in range(256):
            proof.go(number, byte, targets[byte])
        proof.go(number, None, 0)
    proof.image.settle()
    words = ("G is a digit of value 16", "a carriage return ends a comment")
    also = [text for text, on in zip(words, proof.dialect, strict=True) if on]
    zero = ", ".join(found["zero"])
    return (
        f"proven for all inputs: the {len(seed)} bytes {digest} are hex0 for {proof.arch}"
        f"{', where ' if also else ''}{' and '.join(also)}: {len(proof.rows)} states, "
        f"{257 * len(proof.rows)} transitions recomputed{', with ' * bool(zero)}{zero}"
        f"{' 0 at the start' * bool(zero)}"
    )
