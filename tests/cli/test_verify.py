"""`bootstrap verify` through the command line, on the sources that the installation carries."""

from __future__ import annotations

import hashlib
import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bootstrap.instruments.fastpath import find_library
from tests.cli.command import ROOT, bootstrap, inside, report_of
from tests.cli.conftest import Verified

SEED_SHA256 = "f74dcf9cef2aee9eb7723eca755849d474fccd89662947021d1aa08429d23c13"
EMBEDDED = ("verify", "--release", "embedded")


def test_every_form_of_the_report_at_once(verified: Verified) -> None:
    report = report_of((verified.folder / "r.json").read_text())
    assert (report["result"], report["arch"], report["entry"]) == ("verified", "x86", "hex0-seed")
    assert (report["decided_by"], report["recheck"]) == ("core with the fast path", None)
    assert report["source"]["kind"] == "embedded"
    assert report["totals"]["processes"] == 12
    artifacts = {a["path"]: a for a in report["artifacts"]}
    assert {"hex0", "kaem", "hex1", "hex2", "catm", "M0"} < set(artifacts)
    assert {a["status"] for a in artifacts.values()} == {"match"}
    assert artifacts["hex0"]["sha256"] == SEED_SHA256
    assert [e["kind"] for e in artifacts["M0"]["expectations"]] == ["catalogue", "model"]
    suite = ElementTree.parse(verified.folder / "r.xml").getroot()
    assert list(suite.iter("testcase")) and not list(suite.iter("failure"))
    for path, artifact in artifacts.items():
        made = (verified.folder / "new" / "out" / path).read_bytes()
        assert hashlib.sha256(made).hexdigest() == artifact["sha256"]
    # It does not claim too much.
    said = " ".join(verified.done.stdout.split())
    assert "VERIFIED with the fast path: Embedded sources only" in said
    assert "no release of stage0-posix was verified" in verified.done.stderr


@pytest.mark.parametrize("hot_path", ["native", "python", "auto"])
@pytest.mark.parametrize("alias", ["X86", "I686"])
def test_json_on_standard_output_is_json_and_nothing_else(hot_path: str, alias: str) -> None:
    if hot_path == "native" and find_library() is None:
        pytest.skip("no native hot path was built here (no C compiler at install time)")
    done = inside(*EMBEDDED, "--json", "-", "--arch", alias, env={"BOOTSTRAP_HOT_PATH": hot_path})
    report = report_of(done.stdout)
    assert (done.status, report["arch"]) == (0, "x86")
    used = report["tool"]["hot_path"]
    assert used in ("native", "python") if hot_path == "auto" else used == hot_path
    assert "VERIFIED with the fast path: Embedded sources only" in done.stderr


def test_quiet_is_one_line() -> None:
    done = inside(*EMBEDDED, "--quiet")
    assert (done.status, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


@pytest.mark.parametrize("alias", ["amd64", "X86-64"])
def test_an_architecture_without_a_source_is_said_under_its_own_name(alias: str) -> None:
    done = inside(*EMBEDDED, "--arch", alias)
    assert (done.status, "AMD64" in done.one_line()) == (2, True)


def test_a_limit_ends_with_status_3_and_a_report() -> None:
    done = inside(*EMBEDDED, "--limit", "instructions=1000", "--json", "-")
    report = report_of(done.stdout)
    assert (done.status, report["result"]) == (3, "error")
    assert "executed 1000 instructions" in report["failure"]["message"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Package, steps and seeds, to be changed."""
    for name in ("bootstrap", "steps", "seeds"):
        skip = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, tmp_path / "project" / name, ignore=skip)
    return tmp_path / "project"


def test_a_wrong_known_good_value_and_a_flipped_byte_in_the_seed_are_caught(project: Path) -> None:
    step = project / "steps" / "embedded-x86.toml"
    good = step.read_text()
    text, count = re.subn(r'^hex0 = "f', 'hex0 = "0', good, flags=re.MULTILINE)
    assert count == 1
    step.write_text(text)
    env = {"PYTHONPATH": str(project)}
    done = bootstrap(*EMBEDDED, "--json", "-", cwd=project, env=env)
    report = report_of(done.stdout)
    assert (done.status, report["result"]) == (1, "mismatch")
    first = report["first_divergence"]
    assert (first["path"], first["sha256"]) == ("hex0", SEED_SHA256)
    step.write_text(good)
    seed = project / "seeds" / "x86" / "hex0-seed"
    data = bytearray(seed.read_bytes())
    data[-1] ^= 1
    seed.write_bytes(data)
    done = bootstrap(*EMBEDDED, "--json", "-", cwd=project, env=env)
    assert done.status in (1, 3)
    changed = report_of(done.stdout)["source"]["materials"]["changed"]
    assert [(c["path"], c["seed"]) for c in changed] == [("hex0-seed", True)]


OFFLINE = (
    "verify",
    "verify --quiet",
    "verify --release 1.9.1",
    "verify --arch x86,AMD64",
    "verify --arch amd64 --fallback embedded",
    "oci export -o image",
    "trace record -o run.trace",
    "attest --run --sign none -o statement",
    "ddc",
    "step --release 1.9.1 --script /dev/null",
    "gdb --release 1.9.1",
    "fetch stage0-posix",
)


@pytest.mark.parametrize("command", OFFLINE)
def test_what_cannot_be_had_is_an_error(command: str, tmp_path: Path) -> None:
    """Neither cache nor network: nothing weaker stands in, and the ways out are named."""
    cache = str(tmp_path / "cache")
    done = inside(*command.split(), cwd=tmp_path, env={"BOOTSTRAP_CACHE": cache})
    assert (done.status, done.stdout) == (2, "")
    said = done.one_line()
    assert said.startswith("bootstrap: https://github.com/oriansj/stage0-posix")
    assert "cannot be reached: " in said
    assert "bootstrap fetch stage0-posix --release 1.9.1 --from PATH" in said
    if "fetch" not in command and "--fallback" not in command:
        assert f"; stage0-posix 1.9.1 is not in the cache ({cache})" in said
        assert "--source PATH" in said and "--release embedded" in said
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("command", OFFLINE[:2])
def test_an_unusable_cache_is_an_error(command: str) -> None:
    done = inside(*command.split(), env={"BOOTSTRAP_CACHE": "/dev/null"})
    assert (done.status, done.stdout) == (2, "")
    assert "/dev/null: cannot be used as the cache: Not a directory" in done.one_line()


def test_every_output_says_what_stood_in_for_the_release(tmp_path: Path) -> None:
    """Embedded only: text, --quiet, JSON, JUnit, a trace and the exit status say so."""
    junit, trace = tmp_path / "junit.xml", tmp_path / "run.trace"
    fallback = ("--fallback", "embedded")
    done = inside("verify", *fallback, "--json", "-", "--junit", junit)
    assert (done.status, "cannot be reached" in done.stderr) == (4, True)
    assert "VERIFIED" not in done.stderr.split()
    assert "LESS THAN ASKED: Embedded only, upstream not verified: " in done.stderr
    found = report_of(done.stdout)
    assert found["result"] == "embedded-only"
    assert found["source"]["in_place_of"] == "stage0-posix 1.9.1 for x86"
    root = ElementTree.parse(junit).getroot()
    (suite,) = root
    assert (root.get("failures"), root.get("errors"), suite.get("failures")) == ("1", "0", "1")
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "embedded-only"
    assert "embedded only, upstream not verified" in (failure.get("message") or "")
    quiet = inside("trace", "record", *fallback, "--quiet", "-o", trace)
    assert (quiet.status, quiet.stdout) == (4, f"{found['claim']}\n")
    assert found["claim"].startswith("Embedded only, upstream not verified: ")
    assert "cannot be reached" in quiet.stderr
    assert "embedded-only" in inside("trace", "info", trace).stdout


@pytest.mark.parametrize(
    ("outputs", "lost"),
    [
        ("--json /dev/full", 1),
        ("--junit /dev/full", 1),
        ("--json /dev/full --junit report.xml", 1),
        ("--json /dev/full --junit /dev/full", 2),
    ],
)
def test_a_report_that_cannot_be_written_takes_nothing_with_it(
    tmp_path: Path, outputs: str, lost: int
) -> None:
    """The verdict first, then what was lost; the rest is written."""
    if not Path("/dev/full").is_char_device():
        pytest.skip("this host has no /dev/full")
    done = inside(*EMBEDDED, "--output", "out", *outputs.split(), cwd=tmp_path)
    assert done.status == 2
    assert "VERIFIED with the fast path: Embedded sources only" in done.stdout
    said = [line for line in done.stderr.splitlines() if line.startswith("bootstrap: ")]
    assert [line.split(": ")[1] for line in said] == ["/dev/full"] * lost
    assert all("No space left on device" in line for line in said)
    assert (tmp_path / "out" / "hex0").is_file()
    assert ("report.xml" in outputs) == (tmp_path / "report.xml").is_file()


def test_all_architectures_of_the_embedded_sources() -> None:
    done = inside(*EMBEDDED, "--arch", "all", "--quiet")
    assert done.status == 0 and done.stdout.startswith("Embedded sources only: 10 artifacts")
