"""`bootstrap ddc` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from bootstrap.sources import Cache, SourceTree
from bootstrap.sources.tree import lay_out
from tests.cli.command import bootstrap
from tests.upstream.release import RELEASE


@pytest.mark.upstream
def test_the_release_agrees(release: SourceTree, checkout: Path) -> None:
    done = bootstrap("ddc", "--quiet", "--json", "-", env={"BOOTSTRAP_CACHE": str(Cache().root)})
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout)
    schema = json.loads((checkout / "docs" / "ddc.schema.json").read_text("utf-8"))
    jsonschema.validate(report, schema)
    assert [path["name"] for path in report["paths"]] == ["upstream", "ours", "models"]
    assert (report["result"], report["reasons"], report["remarks"]) == ("agree", [], [])
    assert {a["status"] for a in report["artifacts"]} == {"agree"}
    assert done.stderr.splitlines() == [report["claim"]]


@pytest.mark.upstream
def test_a_changed_source_is_no_agreement(release: SourceTree, tmp_path: Path) -> None:
    """All paths agree on what the changed source gives, and that it is not the known-good value."""
    lay_out(release, tmp_path)
    catm = tmp_path / "x86" / "catm_x86.hex2"
    catm.write_bytes(catm.read_bytes().replace(b"6A 2D ", b"6A 2E ", 1))
    done = bootstrap("ddc", "--source", tmp_path, "--release", RELEASE, "--quiet")
    assert done.status == 1, done.stderr
    said = " ".join(done.stdout.split())
    assert "x86/artifact/catm: the paths agree, but not with native run" in said
    assert "x86/catm_x86.hex2" in said
