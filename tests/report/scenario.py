"""A small run to judge: a seed reads a script and starts three steps, each built from the last.

seed --(reads script)--> hex0 <- seed'  : a0 from a.src
                         a0             : b0 from b.src   (by way of a temporary file)
                         b0             : c0 from c.src
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bootstrap.report import (
    Expected,
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
ARTIFACTS = ("bin/a", "bin/tmp-b", "bin/b", "bin/c")


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


GOOD_SOURCES = {path: sha(f"source {path}") for path in SOURCES}


def run(sources: Mapping[str, str], wrong_steps: tuple[str, ...] = ()) -> dict[str, str]:
    """What each artifact's content hash is, as a function of what it is made from."""
    made = dict(sources)
    for out, inputs in (
        ("bin/a", ("seeds/seed", "a.src")),
        ("bin/tmp-b", ("bin/a", "b.src")),
        ("bin/b", ("bin/a", "bin/tmp-b")),
        ("bin/c", ("bin/b", "c.src")),
    ):
        made[out] = sha(" ".join([out, *(made[i] for i in inputs)]))
        if out in wrong_steps:
            made[out] = sha("wrong " + out)
    return made


GOOD = run(GOOD_SOURCES)


@dataclass
class Scenario:
    """Change what you like, then `report()`."""

    sources: dict[str, str] = field(default_factory=lambda: dict(GOOD_SOURCES))
    wrong_steps: tuple[str, ...] = ()
    expected: list[Expected] = field(
        default_factory=lambda: [
            # Not in build order on purpose: answers files are sorted by name.
            Expected(path="bin/c", sha256=GOOD["bin/c"], from_="t.answers"),
            Expected(path="bin/b", sha256=GOOD["bin/b"], from_="t.answers"),
            Expected(path="bin/a", sha256=GOOD["bin/a"], from_="native run", kind="native-run"),
            Expected(path="bin/b", sha256=GOOD["bin/b"], from_="native run", kind="native-run"),
        ]
    )
    materials: ReleaseFiles = field(
        default_factory=lambda: ReleaseFiles(known=GOOD_SOURCES, seeds=("seeds/seed",))
    )
    facts: RunFacts = field(
        default_factory=lambda: RunFacts(
            tool=Tool("bootstrap", "0.1.0", NameAndVersion("unicorn", "2.1.4"), "native"),
            source=SourceInfo(
                "archive", "1.9.1", sha("archive"), sha("tree"), label="/home/me/x.tar.gz"
            ),
            arch="x86",
            entry="kaem-optional-seed",
            totals=Totals(5, 1234567, 12.5),
        )
    )
    keep_steps: int = 5
    ended: bool = True

    def made(self) -> dict[str, str]:
        return run(self.sources, self.wrong_steps)

    def records(self) -> list[ProcessRecord]:
        made = self.made()

        def version(path: str, order: int) -> FileVersion:
            return FileVersion("/" + path, made[path], 100 + len(path), order)

        driver = ProcessRecord(
            1,
            0,
            1,
            version("seeds/seed", 1),
            ("./seeds/seed", "./script"),
            reads=[version("script", 2)],
            status=0,
            syscalls=7,
        )
        records = [driver]
        steps = (
            ("bin/a", "seeds/seed", ("a.src",)),
            ("bin/tmp-b", "bin/a", ("b.src",)),
            ("bin/b", "bin/a", ("bin/tmp-b",)),
            ("bin/c", "bin/b", ("c.src",)),
        )
        for number, (out, program, reads) in enumerate(steps):
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
        return {
            w.path.lstrip("/"): Product(w.path.lstrip("/"), w.size, w.sha256)
            for r in self.records()
            for w in r.writes
            # The temporary file is gone at the end.
            if w.path != "/bin/tmp-b"
        }

    def with_facts(self, **changes: object) -> "Scenario":
        self.facts = replace(self.facts, **changes)  # type: ignore[arg-type]
        return self

    def report(self) -> Report:
        return judge(
            self.expected,
            self.products(),
            self.records(),
            facts=self.facts,
            materials=self.materials,
        )
