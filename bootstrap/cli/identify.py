"""``bootstrap identify``: which seed, source or product of which release a content is."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bootstrap.cli.output import document, show
from bootstrap.cli.seeds import STDIN, about, files_below, read_file, seed_facts
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.known import lookup, releases, tree_files
from bootstrap.known.lookup import Nearest, Use, known_files, ranges
from bootstrap.known.seeds import KnownSeed, load
from bootstrap.sources import SourceTree
from bootstrap.sources.identity import KnownRelease, Likeness, candidates, nearest, no_release, why
from bootstrap.sources.seeds_at_hand import at_hand, where_from
from bootstrap.sources.tree import read_archive, read_folder
from bootstrap.words import count, some

_LINES = 100
"""Files of a folder that are listed; the rest is counted."""
_FEW = 3
"""Files of another release in a tree that are listed one by one; more are one line."""
_MOST = 64 << 20
_HASH = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{64}(?![0-9A-Za-z])")
_TAG = re.compile(r"^SHA256 \((.*)\) =\s*$")
"""What ``sha256sum --tag``, and BSD's ``sha256``, print before a hash."""
_ROLES = {"product": "", "material": "the source ", "archive": ""}


@dataclass(frozen=True)
class _Answer:
    """What is to be said of one content.  ``fault`` says why it cannot be known, or be read."""

    name: str
    named: bool = True
    """Whether the user named it, and not a folder it is in."""
    fault: str = ""
    size: int | None = None
    """In bytes; None of a hash."""
    sha256: str = ""
    seed: KnownSeed | None = None
    uses: tuple[Use, ...] = ()
    nearest: Nearest | None = None
    listed_in: str = ""
    """The list of hashes that it stands in."""
    beside: str = ""
    """The tree that it is in, of whose release it is not."""

    @property
    def status(self) -> str:
        if self.seed is not None or self.uses:
            return "known"
        return "unreadable" if self.fault and self.named else "unknown"


@dataclass(frozen=True)
class _IdentifiedTree:
    """A source tree, and the release that it is more or less; None where none fits."""

    name: str
    digest: str
    release: KnownRelease | None
    alike: tuple[str, ...] = ()
    """Other releases that are the same, as far as their files are known."""
    wrong: int = 0
    """Files that a bootstrap reads and that are not as in the release."""
    why: tuple[str, ...] = ()
    unread: int = 0
    """Files that the release lists and no bootstrap reads: their content is not known."""


class _Known:
    """All that contents are compared with."""

    def __init__(self) -> None:
        self.seeds = load()
        self.files = known_files()
        self.at_hand: Mapping[str, bytes] | None = None
        """Bytes of known seeds, searched for once and only when an unknown file asks for them."""

    def answer(self, name: str, data: bytes, named: bool) -> _Answer:
        """Of a content."""
        sha256 = hashlib.sha256(data).hexdigest()
        found = self.hash(name, sha256, named)
        near = self._nearest(data) if found.status == "unknown" else None
        return _Answer(name, named, "", len(data), sha256, found.seed, found.uses, near)

    def hash(self, name: str, sha256: str, named: bool = True, listed_in: str = "") -> _Answer:
        """Of a hash alone."""
        seed, uses = self.seeds.by_sha256.get(sha256), self.files.uses(sha256)
        return _Answer(name, named, "", None, sha256, seed, uses, None, listed_in)

    def _nearest(self, data: bytes) -> Nearest | None:
        if not 0 < len(data) <= 2 * self.seeds.largest:
            return None
        if self.at_hand is None:
            self.at_hand = at_hand(self.seeds)
        return lookup.nearest(data, self.at_hand)


def run(args: argparse.Namespace) -> int:
    """Say what each is."""
    known = _Known()
    answers: list[_Answer] = []
    trees: list[_IdentifiedTree] = []
    hashless: list[str] = []
    for name in dict.fromkeys(args.what):
        _look(known, name, answers, trees, hashless)
    if hashless:
        lines = count(len(hashless), "line", "has", "have")
        rest = some(map(printable, hashless))
        print(f"note: {lines} no SHA-256, and nothing is known of: {rest}", file=sys.stderr)
    for answer in answers:
        if answer.status == "unreadable":
            print(f"bootstrap: {printable(answer.fault)}", file=sys.stderr)
    value = document(
        schema="bootstrap-identify/1",
        trees=[_tree_facts(tree) for tree in trees],
        files=[_facts(answer) for answer in answers],
        hashless=[printable(line) for line in hashless],
    )
    show(_said(answers, trees, known), args.json, value)
    found = {answer.status for answer in answers}
    if "unreadable" in found:
        return ExitStatus.BAD_INPUT
    wrong = any(tree.wrong or tree.release is None for tree in trees)
    wrong = wrong or "unknown" in found or bool(hashless) or not (answers or trees)
    return ExitStatus.DIFFERS if wrong else ExitStatus.DONE


def _look(
    known: _Known,
    name: str,
    answers: list[_Answer],
    trees: list[_IdentifiedTree],
    hashless: list[str],
) -> None:
    """One argument. `hashless` are lines in lists."""
    if name != STDIN and not os.path.lexists(name) and re.fullmatch(_HASH, name):
        answers.append(known.hash(name, name.lower()))
        return
    try:
        if name != STDIN and os.path.isdir(name):
            try:
                tree = read_folder(Path(name))
            except BadInput:
                tree = None
            if tree is None or not _look_at_tree(known, name, tree, answers, trees):
                answers.extend(_file(known, path, False) for path in files_below(name))
            return
        data = read_file(name, _MOST, "no known file is larger")
    except BadInput as error:
        answers.append(_Answer(name, fault=str(error)))
        return
    if known.hash(name, hashlib.sha256(data).hexdigest()).status == "unknown":
        listed, others = _list_of(data)
        if listed:
            answers.extend(known.hash(word, sha256, True, name) for word, sha256 in listed)
            place = "standard input" if name == STDIN else name
            hashless.extend(f"{place}: {line}" for line in others)
            return
        try:
            tree = read_archive(data, printable(name))
        except BadInput:
            tree = None
        if tree is not None and _look_at_tree(known, name, tree, answers, trees):
            return
    answers.append(known.answer(name, data, True))


def _file(known: _Known, name: str, named: bool) -> _Answer:
    try:
        return known.answer(name, read_file(name, _MOST, "no known file is larger"), named)
    except BadInput as error:
        return _Answer(name, named, str(error))


def _list_of(data: bytes) -> tuple[list[tuple[str, str]], list[str]]:
    """(name, SHA-256) of each hash in a list of hashes, and its lines without one; nothing when it
    is no such list."""
    try:
        lines = [line.strip() for line in data.decode().splitlines()]
    except UnicodeDecodeError:
        return [], []
    lines = [line for line in lines if line and not line.startswith("#")]
    others = [line for line in lines if not _HASH.search(line)]
    if 2 * len(others) > len(lines):
        return [], []
    found = []
    for line in lines:
        rest = _TAG.sub(r"\1", _HASH.sub("", line)).strip(" *:")
        found += [(rest or sha256, sha256.lower()) for sha256 in _HASH.findall(line)]
    return found, others


def _look_at_tree(
    known: _Known, name: str, tree: SourceTree, answers: list[_Answer], trees: list[_IdentifiedTree]
) -> bool:
    """Whether the tree is some release. Then what that does not account for gets an answer."""
    among = candidates()
    side, found = Likeness(tree, among), nearest([tree], among)
    if found is None:
        # A folder of products, say, is not blamed for being no tree.
        if side.present or not tree.files:
            trees.append(_IdentifiedTree(name, tree.digest, None, why=(no_release(side),)))
        return False
    wrong = side.differing(found)
    same = [one.name for one in among if one.name != found.name and not side.differing(one)]
    unread = (tree_files(found.steps[0]) or frozenset()) - found.known.keys()
    trees.append(
        _IdentifiedTree(
            name,
            tree.digest,
            found,
            () if wrong else tuple(same),
            len(wrong),
            why(tree, found, among),
            len(unread & tree.files.keys()),
        )
    )
    for path in sorted(tree.files.keys() - found.known.keys() - unread):
        answer = known.answer(f"{name}/{path}", tree.files[path].data, False)
        answers.append(replace(answer, beside=name))
    listed = tree_files(found.steps[0]) or frozenset()
    for path in sorted({*tree.symlinks, *tree.special} - found.known.keys() - listed):
        what = "a symbolic link" if path in tree.symlinks else "neither a file nor a link"
        fault = f"{printable(f'{name}/{path}')}: is {what}"
        answers.append(_Answer(f"{name}/{path}", False, fault, beside=name))
    return True


def _said(
    answers: Sequence[_Answer], trees: Sequence[_IdentifiedTree], known: _Known
) -> Iterator[str]:
    for tree in trees:
        if tree.release is None:
            yield f"{printable(tree.name)}: {tree.why[0]}"
            continue
        total = len(tree.release.known)
        same = f"{total - tree.wrong} of {total}"
        yield f"{printable(tree.name)}: {tree.release.title}"
        yield f"  tree digest {tree.digest}"
        yield f"  {same} files that its bootstraps read are as in the release"
        if tree.alike:
            yield f"  the same files are those of {', '.join(tree.alike)}"
        yield from (f"  {reason}" for reason in tree.why)
        more = f"  {tree.unread} more files are the release's by name"
        yield f"{more}; no bootstrap reads them, so their content is not known"
    others = _others(answers)
    for (name, whose), rows in others.items():
        them = f"{printable(rows[0].name)} and others"
        yield f"{printable(name)}: {len(rows)} more files are sources of {whose}: {them}"
    together = {answer.name for rows in others.values() for answer in rows}
    folded: dict[str, int] = {}
    for answer in answers:
        if answer.status == "unreadable" or answer.name in together:
            continue
        kind = "seed" if answer.seed is not None else answer.status
        folded[kind] = folded.get(kind, 0) + (not answer.named)
        if kind == "seed" or folded[kind] <= _LINES:
            yield from _lines(answer, known)
    for kind in ("known", "unknown"):
        if folded.get(kind, 0) > _LINES:
            yield f"and {folded[kind] - _LINES} more {kind} files"
    if len(answers) > 1 or not (answers or trees):
        counts = [sum(a.status == word for a in answers) for word in ("known", "unknown")]
        yield f"{len(answers)} files: {counts[0]} known, {counts[1]} unknown"
        yield from _together(answers)
    missing = len(known.seeds.seeds) - len(known.at_hand) if known.at_hand is not None else 0
    if missing:
        known_seeds = f"{missing} of {len(known.seeds.seeds)} known seeds"
        yield f"not compared with {known_seeds}, whose bytes are not here"
        yield f"  to get more: {where_from()}"


def _others(answers: Sequence[_Answer]) -> dict[tuple[str, str], list[_Answer]]:
    """Files in a tree that are sources of one other release: said together where they are many."""
    found: dict[tuple[str, str], list[_Answer]] = {}
    for answer in answers:
        if answer.beside and answer.seed is None and answer.uses:
            use = answer.uses[0]
            if use.role == "material":
                found.setdefault((answer.beside, use.whose), []).append(answer)
    return {key: same for key, same in found.items() if len(same) > _FEW}


def _together(answers: Sequence[_Answer]) -> Iterator[str]:
    """The releases that have most of the contents: together they say more than each."""
    counts: dict[tuple[str, str], int] = {}
    for answer in answers:
        for place in {(use.name, release) for use in answer.uses for release in use.releases}:
            counts[place] = counts.get(place, 0) + 1
    most = max(counts.values(), default=0)
    for name in dict.fromkeys(name for name, _ in counts):
        best = [release for of, release in counts if of == name and counts[of, release] == most]
        if best and most > 1:
            yield f"{most} of {len(answers)} are of {name} {ranges(best, releases(name))}"


def _lines(answer: _Answer, known: _Known) -> Iterator[str]:
    path = "standard input" if answer.name == STDIN else printable(answer.name)
    if answer.seed is not None:
        yield f"{path}: {answer.seed.name}"
        yield from (f"  {line}" for line in about(known.seeds, answer.seed))
    elif answer.uses:
        texts = [f"{_ROLES[use.role]}{use.text}" for use in answer.uses]
        yield f"{path}: {texts[0]}"
        yield from (f"  and {text}" for text in texts[1:])
    elif answer.fault:
        yield f"{answer.fault}: no known file"
    else:
        yield from _unknown(answer, known, path)


def _unknown(answer: _Answer, known: _Known, path: str) -> Iterator[str]:
    if answer.size is None:
        digest = "" if answer.name.lower() == answer.sha256 else f", sha256 {answer.sha256}"
        yield f"{path}: unknown{digest}: no seed, source, product or archive of any release has it"
        return
    yield f"{path}: unknown, {answer.size} bytes, sha256 {answer.sha256}"
    near = answer.nearest
    if near is None:
        if answer.named:
            same = [seed for seed in known.seeds.seeds if seed.size == answer.size]
            names = ", ".join(f"{seed.name} {seed.sha256[:12]}" for seed in same)
            yield f"  known seeds of this size: {names or 'none'}"
            yield "  no similar known seed"
        return
    seed = known.seeds.by_sha256[near.sha256]
    yield f"  nearest: {seed.name}, {seed.size} bytes, sha256 {seed.sha256[:12]}...,"
    yield f"  from which {near.distance} byte{'s differ' if near.distance > 1 else ' differs'}"
    for change in near.changes[:8]:
        there, here = _hex(change.known), _hex(change.here)
        yield f"    at byte {change.offset:#x}: there {there}, here {here}"
    if len(near.changes) > 8:
        yield f"    and at {len(near.changes) - 8} more places"


def _hex(data: bytes) -> str:
    if not data:
        return "nothing"
    more = f" ... ({len(data)} bytes)" if len(data) > 16 else ""
    return data[:16].hex(" ") + more


def _tree_facts(tree: _IdentifiedTree) -> dict[str, object]:
    return {
        "tree": printable(tree.name),
        "tree_digest": tree.digest,
        "release": tree.release and tree.release.name,
        "alike": list(tree.alike),
        "files": tree.release and len(tree.release.known),
        "differing": tree.wrong,
        "why": list(tree.why),
        "unread": tree.unread,
    }


def _facts(answer: _Answer) -> dict[str, object]:
    facts: dict[str, object] = {"file": printable(answer.name), "status": answer.status}
    if answer.listed_in:
        facts["listed_in"] = printable(answer.listed_in)
    if answer.fault:
        facts["fault"] = answer.fault
    else:
        facts.update(size=answer.size, sha256=answer.sha256)
        facts["uses"] = answer.uses
    if answer.seed is not None:
        facts["seed"] = {**seed_facts(answer.seed), "places": answer.seed.places}
    if answer.nearest is not None:
        facts["nearest"] = answer.nearest
    return facts
