"""Every kind of page that the project writes, ordinary and of a tree whose names would do harm."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bootstrap.diff import compare
from bootstrap.report import Report, report_set
from bootstrap.report.html import HtmlPage, HtmlTable, to_html
from bootstrap.report.report_html import report_page
from tests.report.scenario import Scenario, failed, flipped, materials

EVIL = '<script>document.title="owned"</script>" onload="x\u202e\x1b[2J\u2066&amp;'


def evil_report() -> Report:
    """Names, arguments and messages of a hostile tree, wherever a report has some."""
    report = flipped("a.src", wrong_steps=("bin/b",)).report()
    artifact = report.artifacts[0]
    assert artifact.producer is not None
    maker = replace(artifact.producer, program=EVIL, argv=(EVIL,))
    bad = [replace(one, path=EVIL + str(n), producer=maker, note=EVIL, expected_from=EVIL)
           for n, one in enumerate(report.artifacts)]  # fmt: skip
    bad.append(replace(artifact, path=EVIL))
    changed = [replace(one, path=EVIL) for one in report.source.materials.changed]
    files = replace(report.source.materials, changed=tuple(changed), missing=(EVIL,))
    source = replace(report.source, materials=files, release=EVIL, in_place_of=EVIL)
    return replace(report, claim=EVIL, reasons=(EVIL,), artifacts=tuple(bad), source=source,
                   arch=EVIL, entry=EVIL)  # fmt: skip


def pages(folder: Path) -> dict[str, str]:
    """Name -> HTML."""
    for name, text in (("a", "one\n"), ("b", "two\n")):
        (folder / name).mkdir()
        (folder / name / "<script>alert(1)<!--\u202e").write_text(text)
    with compare(str(folder / "a"), str(folder / "b"), False, lambda: None) as found:  # type: ignore[arg-type, return-value]
        text = found.text(True, colour=False, width=100, unicode=True)
    diff = HtmlPage("bootstrap diff", "DIFFERENT", "bad", found.claim, texts=[("Where", text)])
    said = {
        "verified": Scenario().report(),
        "mismatch": flipped("a.src").report(),
        "failed": failed().report(),
        "missing": materials(missing=("a.src",)).report(),
        "evil": evil_report(),
    }
    made = {name: to_html(report_page(report)) for name, report in said.items()}
    several = report_set([said["verified"], replace(said["mismatch"], arch="AMD64")], 1.0)
    wide = HtmlTable("wide", [f"column {n}" for n in range(40)], [])
    return {
        **made,
        "several": to_html(report_page(several)),
        "diff": to_html(diff),
        "wide": to_html(HtmlPage("wide", "OK", "warn", "a wide table", tables=[wide])),
    }
