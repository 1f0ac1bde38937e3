"""What is counted, and what is never outvoted: made-up opinions on three artifacts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bootstrap.confirm.forms import to_page, to_text
from bootstrap.confirm.table import against, read_baseline
from bootstrap.core.errors import BadInput
from bootstrap.documents import encode
from bootstrap.known import Known
from bootstrap.report.html import to_html, to_markdown
from bootstrap.report.ways import BY_NAME, WAYS
from tests.confirm.voices import FILES, KNOWN, OTHER, counted, voice


@pytest.mark.parametrize(
    ("names", "independent"),
    [
        ("core", 1),
        ("core fast-path", 1),  # one CPU code, one kernel of ours
        ("native recorded", 1),  # silicon and Linux, this project
        ("core qemu-user", 2),  # one CPU code, two kernels
        ("qemu-user native valgrind", 3),  # one kernel, three CPU codes
        ("core ddc", 2),  # another chain
        ("answers pins", 2),  # different parties
        ("core fast-path builder-hex0 qemu-user native models proof knight ddc answers pins", 10),
        (" ".join(way.name for way in WAYS), 12),
    ],
)
def test_what_is_alike_counts_once(names: str, independent: int) -> None:
    found = counted(*map(voice, names.split()))
    assert {row.independent for row in found.artifacts} == {independent}
    assert found.result == ("confirmed" if independent >= 2 else "too few")
    assert found.exit_code == (0 if independent >= 2 else 1)


@pytest.mark.parametrize("name", BY_NAME)
def test_each_opinion_that_differs_is_the_headline_however_many_agree(name: str) -> None:
    voices = [voice(way.name) for way in WAYS if way.name != name]
    found = counted(*voices, voice(name, {**FILES, "a/M0": OTHER}))
    assert (found.result, found.exit_code) == ("differs", 1)
    assert found.claim.startswith(
        f"{name} differs first at a/M0: it is {OTHER}, not {FILES['a/M0']}: a/hex2 makes it of b."
    )
    [row] = [row for row in found.artifacts if row.path == "a/M0"]
    assert row.opinions[name] == "differ" and row.differing == {name: OTHER}
    for text in (to_text(found), to_html(to_page(found)), to_markdown(to_page(found))):
        assert "DIFFERS" in text and OTHER in text


def test_what_an_opinion_says_of_its_own_run_comes_first() -> None:
    found = counted(voice("core"), voice("fast-path", {**FILES, "a/M0": OTHER}, cause="of c."))
    assert found.claim.endswith(f"not {FILES['a/M0']}: of c.")


@pytest.mark.parametrize("name", BY_NAME)
def test_what_was_to_be_made_and_is_not_there_differs(name: str) -> None:
    found = counted(voice("models"), voice("native"), voice(name, {"a/hex1": FILES["a/hex1"]}))
    cell = {row.path: row.opinions[name] for row in found.artifacts}["a/M0"]
    assert cell == ("not applicable" if BY_NAME[name].reach == "some" else "differ")


def test_a_run_that_stopped_votes_for_nothing() -> None:
    found = counted(voice("core"), voice("native", stopped="it ended with status 1"))
    assert found.claim == "native did not come to its end: it ended with status 1."
    assert {row.opinions["native"] for row in found.artifacts} == {"not run"}
    assert {row.independent for row in found.artifacts} == {1}


def test_what_is_not_the_same_twice_is_a_finding_of_its_own() -> None:
    found = counted(voice("core"), voice("native"), voice("models", unsteady=("a/hex1",)))
    assert found.claim.startswith("models is not deterministic: a/hex1 came out otherwise")
    assert {r.path: r.independent for r in found.artifacts} == {
        "a/hex1": 2, "a/M0": 3, "a/bin/M1": 3
    }  # fmt: skip


def test_where_no_value_is_known_all_have_to_say_the_same() -> None:
    good = counted(voice("fast-path"), voice("qemu-user"), known=())
    assert [row.independent for row in good.artifacts] == [2, 2, 2]
    # Not two against one: nobody knows who is right.
    bad = counted(voice("fast-path"), voice("native"), voice("qemu-user", {**FILES, "a/M0": OTHER}),
                  known=())  # fmt: skip
    assert bad.result == "differs"
    assert [row.independent for row in bad.artifacts] == [3, 0, 3]


def test_the_weakest_comes_first_and_nothing_is_never_enough() -> None:
    found = counted(voice("core"), voice("native"), voice("models", {"a/M0": FILES["a/M0"]}))
    assert (found.weakest, found.least) == ("a/hex1", 2)
    assert [row.path for row in found.weakest_first] == ["a/hex1", "a/bin/M1", "a/M0"]
    assert counted(voice("core"), voice("native"), at_least=3).result == "too few"
    assert counted().exit_code == 1
    assert counted(known=()).result == "too few"
    twice = [*KNOWN, Known(path="a/M0", sha256=OTHER, from_="b")]
    assert counted(voice("core"), voice("native"), known=twice).result == "differs"


def test_a_baseline_shows_what_was_lost() -> None:
    before = counted(voice("core"), voice("native"), voice("models"))
    data = json.dumps(encode(before)).encode()
    assert read_baseline(data, "b.json") == before
    assert against(before, before) is before
    now = against(counted(voice("core"), voice("native")), before)
    assert (now.result, now.exit_code) == ("differs", 1)
    assert "a/hex1: lost models, 3 independent before, 2 now" in now.claim
    more = against(before, counted(voice("core"), voice("native")))
    assert more.exit_code == 0
    files = {path: sha256 for path, sha256 in FILES.items() if path != "a/hex1"}
    gone = counted(voice("core", files), voice("native", files), known=KNOWN[1:])
    assert "a/hex1: is not there any more" in " ".join(against(gone, before).findings)
    with pytest.raises(BadInput, match="the baseline is of arch"):
        against(before, replace(before, arch="AMD64"))
    for bad in (b"{", b'{"schema": "bootstrap-confirm/2"}', data.replace(b'"claim"', b'"clam"')):
        with pytest.raises(BadInput, match=r"b.json: no confirmation"):
            read_baseline(bad, "b.json")
    with pytest.raises(BadInput, match="has no artifacts"):
        read_baseline(json.dumps(encode(replace(before, artifacts=()))).encode(), "b.json")


def test_foreign_text_does_nothing_and_a_narrow_page_holds_it() -> None:
    evil = "a/\x1b[2J\u202e<b>|x"
    known = [Known(path=evil, sha256=OTHER, from_="a\u202e<list>")]
    found = counted(voice("core", {evil: FILES["a/M0"]}), known=known)
    for text in (to_text(found, width=40), to_markdown(to_page(found)), to_html(to_page(found))):
        assert "\x1b" not in text and "\u202e" not in text
    assert "<b>" not in to_markdown(to_page(found)) + to_html(to_page(found))
    wide = [
        line for line in to_text(counted(voice("core")), width=40).splitlines() if len(line) > 40
    ]
    assert [line for line in wide if " " in line.strip()[8:].rstrip()] == []
    assert to_text(found, unicode=False).isascii()


def test_the_page_has_the_table_of_the_code(checkout: Path) -> None:
    page = (checkout / "docs" / "confirm.md").read_text("utf-8")
    for way in WAYS:
        row = f"| `{way.name}` | {way.cpu} | {way.kernel} | {way.chain} | "
        assert row in page, way.name
