"""Reports that are not what they say: every one of them is refused."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootstrap.attest.evidence import Evidence, materials_of, read_report, source_digest
from bootstrap.core.errors import BadInput
from bootstrap.known import find
from bootstrap.sources import embedded_source
from tests.attest.runs import GONE, Run, forged, put

Report = dict[str, Any]
Change = Callable[[Report], object]
ZERO = "0" * 64


def agreeing(report: Report, **changed: object) -> Report:
    """The recheck of a run, if there had been one."""
    return {
        "result": "verified",
        "tree_digest": report["source"]["tree_digest"],
        "steps_sha256": report["catalogue"]["sha256"],
        "artifacts": len(report["artifacts"]),
        "differences": [],
        **changed,
    }


def forged_product(report: Report) -> None:
    """Consistent in itself: the value and what it is compared with are both changed."""
    values = [{"sha256": ZERO, "from": "x", "kind": "catalogue"}]
    report["artifacts"][0].update(sha256=ZERO, expected=ZERO, expectations=values)


def one_content_of_two_sizes(report: Report) -> None:
    """Neither has a known-good value."""
    row = {**report["artifacts"][0], "sha256": ZERO, "status": "unknown"}
    row |= {"expected": None, "expectations": []}
    report["artifacts"] += [{**row, "path": path, "size": n} for n, path in enumerate("ab")]


def rechecked(**changed: object) -> Change:
    return lambda r: r.update(decided_by="core", recheck=agreeing(r, **changed))


def at(place: str, value: object) -> Change:
    return lambda report: put(report, place, value)


DIFFERS = "does not equal all its known-good values"
OTHER_RECHECK = "has a recheck of another run, or one that does not agree"
SECOND = "is decided by core with the fast path, and its recheck is not so"

# Place, what stands there then, and what is said of it.
PLACES: list[tuple[str, object, str]] = [
    ("result", "mismatch", "its result is mismatch, not verified"),
    ("result", "error", "its result is error, not verified"),
    ("reasons", ["because"], "reasons is not empty"),
    ("failure", {"message": "x"}, "failure is not empty"),
    ("first_divergence", {"path": "x", "verdict": "y"}, "first_divergence is not"),
    (
        "source materials changed",
        [{"path": "x", "sha256": None}],
        "source.materials.changed is not empty",
    ),
    ("source materials missing", ["x"], "source.materials.missing is not empty"),
    ("source in_place_of", "x", "source.in_place_of is not empty"),
    ("artifacts 0 sha256", ZERO, DIFFERS),
    ("artifacts 0 status", "missing", DIFFERS),
    ("artifacts 0 expected", ZERO, DIFFERS),
    ("artifacts 0 expectations", [], DIFFERS),
    ("artifacts 0 expectations 0 kind", "x", "artifacts[0].expectations[0].kind is 'x'"),
    ("artifacts 0 note", 1, "artifacts[0].note must be a string"),
    ("artifacts 0 path", "../x", "'..'"),
    ("artifacts 0 producer", None, "does not say which process wrote hex0"),
    ("artifacts 0 producer argv", [], "artifacts[0].producer.argv is empty"),
    ("artifacts 0 size", 1, "hex0 has 1 bytes, but the file with its sha256 has 181"),
    ("artifacts -1 size", 1, "hello has 1 bytes, but the file with its sha256 has"),
    ("artifacts -1", GONE, "lacks hello, which embedded x86 has"),
    ("source materials known", 9, "counts 9 source files, but embedded x86 has 10"),
    ("entry", "x", "has no entry 'x'"),
    ("arch", "x", "unknown architecture"),
    ("schema", "bootstrap-report-set/1", "is a report of several architectures"),
    (
        "schema",
        "bootstrap-report/1",
        "is a bootstrap-report/1, which does not say what it was judged by; verify again",
    ),
    ("schema", "x", "schema is 'x'"),
    ("schema", GONE, "schema is missing"),
    ("catalogue sha256", ZERO, f"here, and had {ZERO} there; verify again"),
    ("catalogue", None, "its catalogue is null"),
    ("totals", GONE, "totals is missing"),
    ("totals processes", 1, "it contradicts itself"),
    ("totals syscalls", 9, "it contradicts itself"),
    ("source tree_digest", GONE, "tree_digest is missing"),
    ("source tree_digest", ZERO, f"its tree digest is {ZERO}, but that of embedded x86 is"),
    ("source kind", "x", "source.kind is 'x'"),
    ("source sha256", "x", "source.sha256 is no sha256"),
    ("tool", GONE, "tool is missing"),
    ("tool name", "x", "tool.name is 'x'; known: bootstrap"),
    ("tool hot_path", "x", "known: native, python"),
    (
        "tool engine name",
        "unicorn-2",
        "tool.engine.name is 'unicorn-2'; known: unicorn",
    ),
    ("decided_by", "core", "is decided by core, and its recheck is not so"),
    ("decided_by", "hearsay", "decided_by is 'hearsay'"),
    ("more", json.loads("[" * 500 + "]" * 500), "more is nested too deep"),
]
CHANGES: dict[str, tuple[Change, str]] = {
    "a forged product": (forged_product, "but the catalogue has"),
    "two sizes of one content": (
        one_content_of_two_sizes,
        "b has 1 bytes, but the file with its sha256 has 0",
    ),
    "a product too many": (
        lambda r: put(r, "artifacts +", {**r["artifacts"][0], "path": "more"}),
        "has a product more, which embedded x86 does not have",
    ),
    "a memo that was believed": (
        lambda r: r.update(
            memo={
                "name": "m",
                "user": 0,
                "version": "0",
                "code": ZERO,
                "makers": [],
                "oldest": 1,
                "believed": 9,
                "checked": 8,
                "differing": 0,
                "ran": 0,
                "dropped": 0,
                "lost": 0,
            }
        ),
        "says verified, but memo.believed less memo.checked is not empty",
    ),
    "what came out otherwise without a cause": (
        lambda r: r.update(
            since={
                "revision": "v1",
                "commit": ZERO[:40],
                "files": [],
                "others": 0,
                "before": "a run",
                "changed": [],
                "unchanged": [],
                "not_made": [],
                "unexpected": ["M0"],
                "untouched": 0,
            }
        ),
        "says verified, but since.unexpected is not empty",
    ),
    "a product twice": (lambda r: put(r, "artifacts +", r["artifacts"][0]), "is there twice"),
    "a release nobody knows": (
        lambda r: r["source"].update(kind="folder", release="0.0"),
        "stage0-posix 0.0 is not in the catalogue",
    ),
    "another release's report": (
        lambda r: r["source"].update(kind="folder", release="1.9.1"),
        "lacks x86/bin/blood-elf",
    ),
    "a recheck that decides nothing": (lambda r: r.update(recheck=agreeing(r)), SECOND),
    "a recheck of another tree": (rechecked(tree_digest=ZERO), OTHER_RECHECK),
    "a recheck by another step file": (rechecked(steps_sha256=ZERO), OTHER_RECHECK),
    "a recheck of nothing": (rechecked(artifacts=0), OTHER_RECHECK),
    "a recheck that does not agree": (rechecked(differences=["x"]), OTHER_RECHECK),
    **{f"{place}: {says}": (at(place, value), says) for place, value, says in PLACES},
}


@pytest.mark.parametrize("name", CHANGES)
def test_refused(name: str, verified: Run, tmp_path: Path) -> None:
    change, says = CHANGES[name]
    report = json.loads(verified.report.read_text())
    change(report)
    place = tmp_path / "report.json"
    place.write_text(json.dumps(report))
    with pytest.raises(BadInput) as caught:
        read_report(place)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{place}: ")


def test_a_forgery_with_everything_is_no_contradiction(tmp_path: Path) -> None:
    """That is all that can be known of a file, and why a statement says what was only read."""
    place = tmp_path / "report.json"
    step = find("stage0-posix", "1.9.1", "x86")
    report = forged(step)
    place.write_text(json.dumps(report))
    assert read_report(place).products.keys() == step.answers.keys()
    report["source"].update(kind="download", sha256=ZERO)
    place.write_text(json.dumps(report))
    with pytest.raises(BadInput, match=f"its archive has sha256 {ZERO}, but stage0-posix 1.9.1"):
        read_report(place)


def test_what_the_catalogue_does_not_have_is_not_vouched_for(
    verified: Run, evidence: Evidence, tmp_path: Path
) -> None:
    """Some later catalogue may have a value for it; this one has not."""
    report = json.loads(verified.report.read_text())
    value = [{"sha256": ZERO, "from": "a later catalogue", "kind": "native-run"}]
    row = {**report["artifacts"][0], "path": "more", "sha256": ZERO, "expected": ZERO}
    row["expectations"] = value
    report["artifacts"].append(row)
    place = tmp_path / "report.json"
    place.write_text(json.dumps(report))
    found = read_report(place)
    assert (found.products, found.artifacts) == (evidence.products, evidence.artifacts)
    assert found.findings_digest == evidence.findings_digest and found.others == {"more": ZERO}


def test_a_recheck_counts_what_is_known_and_not_all_that_was_made(
    verified: Run, tmp_path: Path
) -> None:
    """Of most releases only the answers are known: what else they make has no known-good value."""
    report = json.loads(verified.report.read_text())
    known = len(report["artifacts"])
    row = {**report["artifacts"][0], "path": "more", "sha256": ZERO}
    report["artifacts"].append(row | {"status": "unknown", "expected": None, "expectations": []})
    place = tmp_path / "report.json"
    for counted, good in ((known, True), (known + 1, False)):
        rechecked(artifacts=counted)(report)
        place.write_text(json.dumps(report))
        if good:
            assert read_report(place).decided_by == "core"
        else:
            with pytest.raises(BadInput, match=OTHER_RECHECK):
                read_report(place)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "must be a table"),
        ('{"schema": "a", "schema": "b"}', "has the key 'schema' twice"),
        ('{"schema": NaN}', "has NaN"),
        ("[" * 100_000, "not JSON"),
        ("\xff", "not UTF-8"),
    ],
)
def test_no_report_at_all(text: str, says: str, tmp_path: Path) -> None:
    place = tmp_path / "report.json"
    place.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput) as caught:
        read_report(place)
    assert says in str(caught.value)


def test_what_a_good_report_is_good_for(verified: Run, evidence: Evidence) -> None:
    assert evidence.title == "embedded x86"
    assert len(evidence.products) == len(evidence.materials) == 10
    assert evidence.seeds == ("hex0-seed",)
    assert evidence.report_sha256 == hashlib.sha256(verified.report.read_bytes()).hexdigest()
    text = json.dumps(
        json.loads(verified.report.read_text()), sort_keys=True, separators=(",", ":")
    )
    assert evidence.run_digest == hashlib.sha256(text.encode()).hexdigest()
    for path, product in evidence.products.items():
        data = (verified.products / path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (product.size, product.sha256)


def test_a_report_written_in_another_way_is_of_the_same_run(
    verified: Run, evidence: Evidence, tmp_path: Path
) -> None:
    report = json.loads(verified.report.read_text())
    place = tmp_path / "report.json"
    for written in (
        json.dumps(report),
        json.dumps(dict(reversed(report.items())), indent=1, ensure_ascii=False) + "\n",
    ):
        place.write_text(written)
        found = read_report(place)
        assert found.report_sha256 != evidence.report_sha256
        assert found.run_digest == evidence.run_digest
    report["totals"]["wall_seconds"] += 1
    place.write_text(json.dumps(report))
    assert read_report(place).run_digest != evidence.run_digest


def test_the_source_digest_is_what_sha256sum_prints(evidence: Evidence, tmp_path: Path) -> None:
    """By the host's own tools, on the embedded sources themselves."""
    tree = embedded_source(find("embedded", None, "x86"))
    for path in evidence.materials:
        (tmp_path / path).write_bytes(tree.files[path].data)
    command = "sha256sum * | LC_ALL=C sort -k 2 | sha256sum"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, check=False)
    if done.returncode != 0 or b"  -" not in done.stdout:
        pytest.skip("there is no sha256sum here")
    assert done.stdout.split()[0].decode() == evidence.source_digest


def test_what_an_entry_hides_is_no_source() -> None:
    step = find("stage0-posix", "1.9.1", "x86")
    direct, optional = (materials_of(step, e) for e in ("hex0-seed", "kaem-optional-seed"))
    assert optional.keys() - direct.keys() == {"bootstrap-seeds/POSIX/x86/kaem-optional-seed"}
    assert source_digest(direct) != source_digest(optional)
