"""What a half-written command could go on as."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bootstrap.debug.session import Session
from bootstrap.debug.values import SUBJECTS
from bootstrap.debug.verbs import CHOICES, VERBS
from bootstrap.debug.words import NAMES
from bootstrap.linux.numbers import NUMBERS
from bootstrap.trace.text import shown

MOST = 200


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a place in a trace."""

    registers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


def names_of(session: Session) -> Names:
    """All names that a command here may have."""
    labels: dict[str, None] = {}
    sources = session.sources()
    for lines in sources.values():
        for line in lines:
            if line.startswith(":") and len(line) > 1 and not line[1].isspace():
                labels[line[1:].split()[0]] = None
    files = dict.fromkeys(shown(row.path).lstrip("/") for row in session.images.why.opens)
    return Names(
        tuple(name for name, _ in session.registers()),
        tuple(labels),
        tuple(files),
        tuple(sources),
        tuple(session.marks),
        tuple(NUMBERS[session.program.abi]),
    )


def complete(line: str, names: Names) -> list[str]:
    """Whole lines that begin with this one, each with its last word finished; sorted."""
    head, blank, word = line.rpartition(" ")
    words = head.split()
    if not words:
        candidates: Iterable[str] = (verb.name for verb in VERBS)
        if word and not any(name.startswith(word) for name in candidates):
            candidates = NAMES
        else:
            candidates = [verb.name for verb in VERBS]
    else:
        candidates = _arguments(words, names)
    found = sorted({name for name in candidates if name.startswith(word) and name != word})
    return [f"{head}{blank}{name}" for name in found[:MOST]]


def common(lines: Sequence[str]) -> str:
    """What all of them begin with."""
    if not lines:
        return ""
    first, last = min(lines), max(lines)
    count = 0
    while count < min(len(first), len(last)) and first[count] == last[count]:
        count += 1
    return first[:count]


def _arguments(words: Sequence[str], names: Names) -> Iterable[str]:
    verb = NAMES.get(words[0])
    if verb is None:
        return ()
    addresses = ("pc", *names.registers, *names.labels)
    if len(words) == 1:
        for param in verb.params:
            if param.kind == "choice" and not param.skips:
                return dict.fromkeys(CHOICES[param.name].values())
            if param.kind == "choice":
                return (*dict.fromkeys(CHOICES[param.name].values()), *addresses)
            break
    by_verb: dict[str, Iterable[str]] = {
        "go": (*names.labels, *(f"{name}:" for name in names.files)),
        "break": (*names.labels, *(f"{name}:" for name in names.sources)),
        "jump": names.marks,
        "mark": names.marks,
        "call": (*names.calls, *(f"path={name}" for name in names.files), "fd="),
        "why": (*addresses, *(f"{name}:" for name in names.files)),
        "where": tuple(f"{name}:" for name in names.files),
        "help": tuple(one.name for one in VERBS),
        "expect": ("at", "stop", *SUBJECTS, *names.registers),
        "print": ("at", "stop", *SUBJECTS, *names.registers),
        "show": (*addresses, *names.files),
    }
    by_verb["back-call"] = by_verb["call"]
    return by_verb.get(verb.name, addresses)
