"""A small run to judge: a seed reads a script and starts three steps, each built from the last.

seed --(reads script)--> hex0 <- seed'  : a0 from a.src
                         a0             : b0 from b.src   (by way of a temporary file)
                         b0             : c0 from c.src
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bootstrap.known import Known
from bootstrap.report import (
    Catalogue,
    Failure,
    NameAndVersion,
    Product,
    ReleaseFiles,
    Report,
    RunFacts,
    SourceInfo,
    Tool,
    Totals,
    judge,
)
from bootstrap.trace.lineage import FileVersion, ProcessRecord

SOURCES = ("seeds/seed", "script", "a.src", "b.src", "c.src")
STEPS = (
    # what it makes, its program, what it reads
    ("bin/a", "seeds/seed", ("a.src",)),
    ("bin/tmp-b", "bin/a", ("b.src",)),
    ("bin/b", "bin/a", ("bin/tmp-b",)),
    ("bin/c", "bin/b", ("c.src",)),
)
ARTIFACTS = tuple(made for made, _, _ in STEPS)
CALL = "unknown system call 999"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


GOOD_SOURCES = {path: sha(f"source {path}") for path in SOURCES}


def run(sources: Mapping[str, str], wrong_steps: tuple[str, ...] = ()) -> dict[str, str]:
    """What each artifact's content hash is, as a function of what it is made from."""
    made = dict(sources)
    for out, program, reads in STEPS:
        made[out] = sha(" ".join([out, made[program], *(made[path] for path in reads)]))
        if out in wrong_steps:
            made[out] = sha("wrong " + out)
    return made


GOOD = run(GOOD_SOURCES)


def value(path: str, from_: str, sha256: str = "", kind: Any = "answers") -> Known:
    return Known(path=path, sha256=sha256 or GOOD[path], from_=from_, kind=kind)


# Not in build order on purpose: answers files are sorted by name.
VALUES = (
    value("bin/c", "t.answers"),
    value("bin/b", "t.answers"),
    value("bin/a", "native run", kind="native-run"),
    value("bin/b", "native run", kind="native-run"),
)
FACTS = RunFacts(
    tool=Tool("bootstrap", "0.1.0", NameAndVersion("unicorn", "2.1.4"), "native"),
    source=SourceInfo("archive", "1.9.1", sha("archive"), sha("tree"), label="/home/me/x.tar.gz"),
    arch="x86",
    entry="kaem-optional-seed",
    totals=Totals(5, 1234567, 12.5),
)
EMBEDDED = replace(FACTS.source, kind="embedded", sha256=None, tree_digest="0" * 64)


@dataclass
class Scenario:
    """Change what you like, then `report()`."""

    wrong_steps: tuple[str, ...] = ()
    keep_steps: int = 5
    ended: bool = True
    sources: dict[str, str] = field(default_factory=lambda: dict(GOOD_SOURCES))
    expected: list[Known] = field(default_factory=lambda: list(VALUES))
    materials: ReleaseFiles = field(
        default_factory=lambda: ReleaseFiles(known=GOOD_SOURCES, seeds=("seeds/seed",))
    )
    facts: RunFacts = FACTS
    edit: Callable[[list[ProcessRecord]], object] = lambda records: None
    """Changes the record."""
    products_of: Callable[[dict[str, Product]], object] = lambda products: None
    """Changes what is there at the end."""

    def records(self) -> list[ProcessRecord]:
        made = run(self.sources, self.wrong_steps)

        def version(path: str, order: int) -> FileVersion:
            return FileVersion("/" + path, made[path], 100 + len(path), order)

        records = [
            ProcessRecord(
                1,
                0,
                1,
                version("seeds/seed", 1),
                ("./seeds/seed", "./script"),
                reads=[version("script", 2)],
                status=0,
                syscalls=7,
            )
        ]
        for number, (out, program, reads) in enumerate(STEPS):
            at = 10 * (number + 1)
            records.append(
                ProcessRecord(
                    number + 2,
                    1,
                    1,
                    version(program, at),
                    (f"./{program}", *reads, out),
                    started_by=0,
                    reads=[version(r, at + 1 + i) for i, r in enumerate(reads)],
                    writes=[version(out, at + 5)],
                    status=0,
                )
            )
        records = records[: self.keep_steps]
        if not self.ended:
            records[0].status = None
            records[-1].status = None
        return records

    def products(self) -> dict[str, Product]:
        found = {
            w.path.lstrip("/"): Product(w.path.lstrip("/"), w.size, w.sha256)
            for r in self.records()
            for w in r.writes
            # The temporary file is gone at the end.
            if w.path != "/bin/tmp-b"
        }
        self.products_of(found)
        return found

    def with_facts(self, **changes: Any) -> "Scenario":
        self.facts = replace(self.facts, **changes)
        return self

    def report(self) -> Report:
        records = self.records()
        self.edit(records)
        return judge(
            self.expected, self.products(), records, facts=self.facts, materials=self.materials
        )


def flipped(*paths: str, **more: Any) -> Scenario:
    """Sources with another content."""
    return Scenario(sources={**GOOD_SOURCES, **{p: sha(f"flipped {p}") for p in paths}}, **more)


def expecting(*values: Known) -> Scenario:
    """What is expected beside all else."""
    return Scenario(expected=[*VALUES, *values])


def without(path: str) -> Scenario:
    """Nothing is expected of it."""
    return Scenario(expected=[one for one in VALUES if one.path != path])


def torn(index: int) -> Scenario:
    """One of the values is another one."""
    changed = list(VALUES)
    changed[index] = replace(changed[index], sha256=sha("flipped"))
    return Scenario(expected=changed)


def materials(**changes: Any) -> Scenario:
    """A tree that differs from the release, so that nothing of it was read."""
    return Scenario(materials=ReleaseFiles(GOOD_SOURCES, seeds=("seeds/seed",), **changes))


def unlisted(path: str, **more: Any) -> Scenario:
    """Of a release that does not have this file."""
    known = {name: sha256 for name, sha256 in GOOD_SOURCES.items() if name != path}
    return Scenario(materials=ReleaseFiles(known, seeds=("seeds/seed",)), **more)


def failed(message: str = CALL, pid: int | None = 4, **more: Any) -> Scenario:
    """The guest fails in its fourth program."""
    return Scenario(keep_steps=4, ended=False, **more).with_facts(
        failure=Failure(message, pid, ("eax 0x3e7",)), exit_status=None
    )


def instead(**more: Any) -> Scenario:
    """The embedded sources in place of a release."""
    source = replace(EMBEDDED, in_place_of="stage0-posix 1.9.1 for x86")
    return Scenario(**more).with_facts(source=source)


SCENARIOS: Mapping[str, Callable[[], Scenario]] = {
    "good": Scenario,
    "wrong step": lambda: Scenario(("bin/a",)),
    "flipped source": lambda: flipped("b.src"),
    "flipped script": lambda: flipped("script", wrong_steps=("bin/b",)),
    "flipped value": lambda: torn(2),
    "torn values": lambda: torn(3),
    "failed": failed,
    "unfinished": lambda: failed("a limit", None, wrong_steps=("bin/b",)),
    "nothing expected": lambda: Scenario(expected=[]),
    "nothing made": lambda: Scenario(keep_steps=1),
    "changed": lambda: materials(changed=("z", "b"), missing=("y", "a"), extra=("x", "c")),
    "embedded": lambda: Scenario().with_facts(source=EMBEDDED),
    "embedded only": instead,
    "embedded only, and wrong": lambda: instead(wrong_steps=("bin/a",)),
    "shipped": lambda: Scenario().with_facts(catalogue=Catalogue("t-1.9.1-x86.toml", sha("steps"))),
    "bad end": lambda: Scenario().with_facts(exit_status=256),
}
"""One of each kind, for every form that a report has."""
