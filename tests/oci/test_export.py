"""`bootstrap oci export` as a user starts it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from bootstrap.oci.image import OciImage
from tests.attest.runs import Run, inside
from tests.cli.command import bootstrap


def manifest(layout: Path) -> str:
    index = json.loads((layout / "index.json").read_text())
    return str(index["manifests"][0]["digest"])


def given(run: Run | Path) -> list[str | Path]:
    """The options for a report and its products."""
    here = run if isinstance(run, Path) else run.report.parent
    return ["--report", here / "report.json", "--products", here / "products"]


def everything(layout: Path) -> dict[str, bytes]:
    return {str(p.relative_to(layout)): p.read_bytes() for p in layout.rglob("*") if p.is_file()}


def test_verify_and_export(tmp_path: Path, image: OciImage) -> None:
    out, report = tmp_path / "layout", tmp_path / "report.json"
    done = bootstrap(
        "oci", "export", "--release", "embedded", "-o", out, "--json", "-", "--report-to", report
    )
    assert done.status == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "bootstrap-oci-export/2"
    assert document["image"]["manifest"] == manifest(out) == f"sha256:{image.manifest}"
    assert json.loads(report.read_text())["result"] == "verified"
    found = json.loads((out / "findings.json").read_text())
    assert found["manifest"] == document["image"]["manifest"]
    assert found["source_digest"] == document["source_digest"]
    assert "VERIFIED" in done.stderr and "WRITTEN" in done.stderr


def test_two_exports_differ_in_nothing(verified: Run, tmp_path: Path) -> None:
    """Other umask, locale, time zone, home and hash seed; and a whole verify against a report."""
    first, second = tmp_path / "first", tmp_path / "second"
    shell = ["sh", "-c", 'umask 077; exec "$@"', "sh"]
    one = {"LC_ALL": "C", "TZ": "UTC", "HOME": "/nonexistent", "PYTHONHASHSEED": "1"}
    two = {"LC_ALL": "C.UTF-8", "TZ": "Asia/Kathmandu", "SOURCE_DATE_EPOCH": "77"}
    done = bootstrap("oci", "export", "-o", first, *given(verified), env=one, prefix=shell)
    assert done.status == 0, done.stderr
    two["BOOTSTRAP_HOT_PATH"] = "python"
    done = bootstrap("oci", "export", "--release", "embedded", "-o", second, env=two)
    assert done.status == 0, done.stderr
    assert everything(first) == everything(second)


@pytest.mark.root
def test_another_user_gets_the_same(verified: Run, image: OciImage) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv of util-linux, with which root becomes another user")
    # Below /tmp itself, since pytest's own folders are for one user only.
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        here = Path(folder)
        shutil.copy(verified.report, here / "report.json")
        shutil.copytree(verified.products, here / "products")
        for place in (here, *here.rglob("*")):
            os.chown(place, 65534, 65534)
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        probe = [sys.executable, "-c", "import bootstrap, securesystemslib"]
        if os.spawnvp(os.P_WAIT, nobody[0], [*nobody, *probe]) != 0:
            pytest.skip("the checkout cannot be read by other users here")
        done = bootstrap("oci", "export", "-o", here / "layout", *given(here), prefix=nobody)
        assert done.status == 0, done.stderr
        assert manifest(here / "layout") == f"sha256:{image.manifest}"


@pytest.mark.parametrize("what", ["changed", "missing"])
def test_a_product_that_is_not_the_verified_one(what: str, verified: Run, tmp_path: Path) -> None:
    out = tmp_path / "layout"
    shutil.copytree(verified.products, tmp_path / "products")
    shutil.copy(verified.report, tmp_path)
    if what == "changed":
        (tmp_path / "products/hello").write_bytes(b"\x7fELF something else")
    else:
        (tmp_path / "products/hello").unlink()
    document = tmp_path / "document.json"
    done = inside("oci", "export", "-o", out, *given(tmp_path), "--json", document)
    assert done.status == 1
    assert "NOT WRITTEN" in done.stdout and "hello: " in done.stdout
    assert not out.exists()
    found = json.loads(document.read_text())
    assert found["image"] is None and [row["path"] for row in found["differs"]] == ["hello"]


def test_what_is_not_verified_is_not_exported(verified: Run, tmp_path: Path) -> None:
    out = tmp_path / "layout"
    run = ["oci", "export", "-o", str(out)]
    done = inside(*run, "--release", "embedded", "--limit", "instructions=1000")
    assert done.status == 3
    assert "not verified; no image was written" in done.stderr
    report = json.loads(verified.report.read_text())
    (tmp_path / "report.json").write_text(json.dumps({**report, "result": "incomplete"}))
    done = inside(*run, *given(tmp_path))
    assert done.status == 2
    assert "its result is incomplete, not verified" in done.one_line()
    assert not out.exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--report", "r.json"], "--report and --products go together"),
        (["--report", "r", "--products", "p", "--source", "s"], "--source goes with a verify"),
        (["--report", "nothing.json", "--products", "p"], "nothing.json: cannot be read"),
        (["--arch", "all"], "one architecture"),
        (["--release", "stagex-stage0", "--source", "."], "StageX publishes no hashes"),
        (["--json", "-", "--junit", "-"], "only one output can"),
        (["--json", "no/such/folder"], "there is no folder no/such"),
        (["-o", "."], "is not empty"),
    ],
)
def test_bad_input(args: list[str], says: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = inside("oci", "export", "-o", "layout", *args, cwd=tmp_path)
    assert done.status == 2
    assert says in done.one_line()
