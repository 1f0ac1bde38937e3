"""`bootstrap verify` through the command line, on the sources that the installation carries."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bootstrap.instruments.fastpath import find_library
from tests.cli.command import ROOT, bootstrap
from tests.instruments.guest import Program

SEED_SHA256 = "f74dcf9cef2aee9eb7723eca755849d474fccd89662947021d1aa08429d23c13"


def report_of(text: str) -> dict[str, Any]:
    """A JSON report, checked against the schema."""
    data: dict[str, Any] = json.loads(text)
    schema = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(data)
    return data


def test_json_on_standard_output_is_json_and_nothing_else() -> None:
    done = bootstrap("verify", "--release", "embedded", "--json", "-")
    assert done.status == 0
    report = report_of(done.stdout)
    assert (report["result"], report["arch"], report["entry"]) == ("verified", "x86", "hex0-seed")
    assert report["source"]["kind"] == "embedded"
    assert report["totals"]["processes"] == 12
    artifacts = {a["path"]: a for a in report["artifacts"]}
    assert {"hex0", "kaem", "hex1", "hex2", "catm", "M0"} < set(artifacts)
    assert {a["status"] for a in artifacts.values()} == {"match"}
    assert artifacts["hex0"]["sha256"] == SEED_SHA256
    assert [e["kind"] for e in artifacts["M0"]["expectations"]] == ["catalogue", "model"]
    # The report for people is there too, on the other stream, and does not claim too much.
    assert "no release of stage0-posix was verified" in done.stderr


def test_every_form_of_the_report_at_once(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    done = bootstrap(
        "verify",
        "--release",
        "embedded",
        "--json",
        tmp_path / "r.json",
        "--junit",
        tmp_path / "r.xml",
        "--output",
        out,
    )
    assert done.status == 0
    assert report_of((tmp_path / "r.json").read_text())["result"] == "verified"
    suite = ElementTree.parse(tmp_path / "r.xml").getroot()
    assert len(list(suite.iter("testcase"))) >= 1
    assert not list(suite.iter("failure"))
    assert hashlib.sha256((out / "hex0").read_bytes()).hexdigest() == SEED_SHA256
    if shutil.which("sha256sum") is not None:
        subprocess.run(
            ["sha256sum", "-c", "-"],
            input=f"{SEED_SHA256}  hex0\n",
            cwd=out,
            text=True,
            check=True,
            capture_output=True,
        )
    assert "hex0" in done.stdout


def test_quiet_is_one_line() -> None:
    done = bootstrap("verify", "--release", "embedded", "--quiet")
    assert (done.status, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.parametrize("alias", ["X86", "I686"])
def test_names_of_an_architecture(alias: str) -> None:
    done = bootstrap("verify", "--release", "embedded", "--quiet", "--json", "-", "--arch", alias)
    assert report_of(done.stdout)["arch"] == "x86"


@pytest.mark.parametrize("alias", ["amd64", "X86-64"])
def test_names_of_the_other_architecture(alias: str, tmp_path: Path) -> None:
    # There is no source for it here, which is said under its own name.
    done = bootstrap(
        "verify", "--release", "embedded", "--arch", alias, env={"BOOTSTRAP_CACHE": str(tmp_path)}
    )
    assert done.status == 2
    assert "AMD64" in done.one_line()


@pytest.mark.parametrize("hot_path", ["native", "python", "auto"])
def test_the_hot_path_is_told(hot_path: str) -> None:
    if hot_path == "native" and find_library() is None:
        pytest.skip("no native hot path was built here (no C compiler at install time)")
    done = bootstrap(
        "verify", "--release", "embedded", "--json", "-", env={"BOOTSTRAP_HOT_PATH": hot_path}
    )
    used = report_of(done.stdout)["tool"]["hot_path"]
    assert used in ("native", "python") if hot_path == "auto" else used == hot_path


def test_a_limit_ends_with_status_3_and_a_report(tmp_path: Path) -> None:
    done = bootstrap(
        "verify",
        "--release",
        "embedded",
        "--limit",
        "instructions=1000",
        "--json",
        tmp_path / "r.json",
    )
    assert done.status == 3
    report = report_of((tmp_path / "r.json").read_text())
    assert report["result"] == "error"
    assert "executed 1000 instructions" in report["failure"]["message"]
    assert "Traceback" not in done.stderr


def copy_of_the_project(folder: Path) -> Path:
    """Package, steps and seeds, to be changed."""
    for name in ("bootstrap", "steps", "seeds"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_wrong_known_good_value_ends_with_status_1(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    step = project / "steps" / "embedded-x86.toml"
    text, count = re.subn(r'^hex0 = "f', 'hex0 = "0', step.read_text(), flags=re.MULTILINE)
    assert count == 1
    step.write_text(text)
    done = bootstrap(
        "verify",
        "--release",
        "embedded",
        "--json",
        "-",
        cwd=project,
        env={"PYTHONPATH": str(project)},
    )
    assert done.status == 1
    report = report_of(done.stdout)
    assert report["result"] == "mismatch"
    assert report["first_divergence"]["path"] == "hex0"
    assert report["first_divergence"]["sha256"] == SEED_SHA256


def test_a_flipped_byte_in_the_embedded_seed_is_caught(tmp_path: Path) -> None:
    project = copy_of_the_project(tmp_path / "project")
    seed = project / "seeds" / "x86" / "hex0-seed"
    data = bytearray(seed.read_bytes())
    data[-1] ^= 1
    seed.write_bytes(data)
    done = bootstrap(
        "verify",
        "--release",
        "embedded",
        "--json",
        "-",
        cwd=project,
        env={"PYTHONPATH": str(project)},
    )
    assert done.status in (1, 3)
    report = report_of(done.stdout)
    changed = report["source"]["materials"]["changed"]
    assert [(c["path"], c["seed"]) for c in changed] == [("hex0-seed", True)]


def test_exit_statuses_of_run(tmp_path: Path) -> None:
    programs = {
        0: Program("i386").exit(0),
        42: Program("x86_64").exit(42),
        128 + 11: Program("i386").raw("f4").exit(0),
        3: Program("x86_64").call(9999).exit(0),
    }
    for status, program in programs.items():
        guest = tmp_path / f"guest{status}"
        guest.write_bytes(program.elf())
        guest.chmod(0o755)
        done = bootstrap("run", "--root", tmp_path, "--", f"/{guest.name}")
        assert done.status == status
        assert "Traceback" not in done.stderr


def test_run_changes_nothing_but_the_output_folder(tmp_path: Path) -> None:
    root, out = tmp_path / "root", tmp_path / "out"
    root.mkdir()
    (root / "old").write_bytes(b"old")
    guest = Program("i386")
    for name in (b"/old", b"/new"):
        guest.call("open", guest.text(name), 0o1101, 0o640)
        guest.call("write", 3, guest.text(b"changed"), 7).call("close", 3)
    (root / "guest").write_bytes(guest.exit(0).elf())
    (root / "guest").chmod(0o755)
    before = {path.name: path.read_bytes() for path in root.iterdir()}
    done = bootstrap("run", "--root", root, "--output", out, "--", "/guest")
    assert done.status == 0
    assert {path.name: path.read_bytes() for path in root.iterdir()} == before
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        "old": b"changed",
        "new": b"changed",
    }
    assert (out / "new").stat().st_mode & 0o777 == 0o640


def test_strace_goes_to_standard_error(tmp_path: Path) -> None:
    guest = Program("x86_64")
    (tmp_path / "guest").write_bytes(guest.call("write", 1, guest.text(b"hi\n"), 3).exit(5).elf())
    (tmp_path / "guest").chmod(0o755)
    done = bootstrap("run", "--root", tmp_path, "--strace", "--", "/guest")
    assert (done.status, done.stdout) == (5, "hi\n")
    lines = [re.sub(r" +", " ", line) for line in done.stderr.splitlines()]
    assert '[pid 1] write(1, "hi\\n", 3) = 3' in lines
    assert "[pid 1] exit(5) = ?" in lines


HOSTS: tuple[dict[str, str], ...] = (
    {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC", "HOME": "/"},
    {"PYTHONHASHSEED": "4242", "LC_ALL": "de_DE.UTF-8", "TZ": "Asia/Tokyo", "LANGUAGE": "de",
     "TERM": "dumb", "COLUMNS": "31", "SOURCE_DATE_EPOCH": "1", "LD_BIND_NOW": "1"},
    {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "NO_COLOR": "1", "FORCE_COLOR": "1"},
)  # fmt: skip


def test_the_report_is_the_same_on_every_host(tmp_path: Path) -> None:
    reports = []
    for number, env in enumerate(HOSTS):
        cwd = tmp_path / f"ein Verzeichnis {number}"
        cwd.mkdir()
        umask = ("022", "077", "000")[number]
        done = bootstrap(
            "verify", "--release", "embedded", "--json", "-", env=env, cwd=cwd,
            prefix=("sh", "-c", f'umask {umask}; exec "$@"', "sh"),
        )  # fmt: skip
        assert done.status == 0
        report = report_of(done.stdout)
        assert report["totals"].pop("wall_seconds") >= 0
        reports.append(json.dumps(report))
    assert len(set(reports)) == 1


OFFLINE = (
    ("verify",),
    ("verify", "--quiet"),
    ("verify", "--release", "1.9.1"),
    ("verify", "--arch", "x86,AMD64"),
    ("oci", "export", "-o", "image"),
    ("trace", "record", "-o", "run.trace"),
    ("attest", "--run", "--sign", "none", "-o", "statement"),
    ("ddc",),
    ("step", "--release", "1.9.1", "--script", "/dev/null"),
    ("gdb", "--release", "1.9.1", "--stdio"),
)


@pytest.mark.parametrize("command", OFFLINE, ids=" ".join)
def test_what_cannot_be_had_is_an_error(command: tuple[str, ...], tmp_path: Path) -> None:
    """Neither cache nor network: nothing weaker stands in, and the ways out are named."""
    done = bootstrap(*command, cwd=tmp_path)
    assert (done.status, done.stdout) == (2, "")
    said = done.one_line()
    cause, _, rest = said.partition("; stage0-posix 1.9.1 is not in the cache (/nonexistent/cache)")
    assert "bootstrap: https://" in cause and cause.endswith(
        "cannot be reached: Connection refused"
    )
    for way in ("--from PATH", "--source PATH", "--release embedded"):
        assert way in rest
    assert not [place for place in tmp_path.rglob("*") if place.is_file()]


@pytest.mark.parametrize("command", OFFLINE[:2], ids=" ".join)
def test_an_unusable_cache_is_an_error(command: tuple[str, ...]) -> None:
    done = bootstrap(*command, env={"BOOTSTRAP_CACHE": "/dev/null"})
    assert (done.status, done.stdout) == (2, "")
    assert "/dev/null: cannot be used as the cache: Not a directory" in done.one_line()


def test_every_output_says_what_stood_in_for_the_release(tmp_path: Path) -> None:
    """Embedded only: text, --quiet, JSON, JUnit and exit status say so."""
    report, junit = tmp_path / "report.json", tmp_path / "junit.xml"
    where = ("--json", report, "--junit", junit)
    done = bootstrap("verify", "--fallback", "embedded", "--quiet", *where)
    assert done.status == 4
    assert done.stdout.startswith("Embedded only, upstream not verified: ")
    assert done.stdout.count("\n") == 1
    assert "cannot be reached" in done.stderr
    found = report_of(report.read_text())
    assert (found["result"], found["claim"]) == ("embedded-only", done.stdout.strip())
    assert found["source"]["in_place_of"] == "stage0-posix 1.9.1 for x86"
    root = ElementTree.parse(junit).getroot()
    (suite,) = root
    assert (root.get("failures"), root.get("errors"), suite.get("failures")) == ("1", "0", "1")
    (failure,) = suite.iter("failure")
    assert failure.get("type") == "embedded-only"
    assert "embedded only, upstream not verified" in (failure.get("message") or "")
    whole = bootstrap("verify", "--fallback", "embedded")
    assert whole.status == 4
    assert "VERIFIED" not in whole.stdout.split()
    assert "LESS THAN ASKED: Embedded only, upstream not verified: " in whole.stdout


def test_a_trace_of_what_stood_in_says_so(tmp_path: Path) -> None:
    made = bootstrap(
        "trace", "record", "--fallback", "embedded", "--quiet", "-o", tmp_path / "run.trace"
    )
    assert made.status == 4
    info = bootstrap("trace", "info", tmp_path / "run.trace")
    assert "embedded-only" in info.stdout


@pytest.mark.parametrize(
    ("outputs", "lost"),
    [
        (("--json", "/dev/full"), ["/dev/full"]),
        (("--junit", "/dev/full"), ["/dev/full"]),
        (("--json", "/dev/full", "--junit", "report.xml"), ["/dev/full"]),
        (("--json", "/dev/full", "--junit", "/dev/full"), ["/dev/full", "/dev/full"]),
    ],
)
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the host has no /dev/full")
def test_a_report_that_cannot_be_written_takes_nothing_with_it(
    tmp_path: Path, outputs: tuple[str, ...], lost: list[str]
) -> None:
    """The verdict first, then what was lost; the rest is written."""
    more = ("--output", "out", *outputs)
    done = bootstrap("verify", "--release", "embedded", *more, cwd=tmp_path)
    assert done.status == 2
    assert "VERIFIED with the fast path: Our own path only" in done.stdout
    said = [line for line in done.stderr.splitlines() if line.startswith("bootstrap: ")]
    assert [line.split(": ")[1] for line in said] == lost
    assert all("No space left on device" in line for line in said)
    assert (tmp_path / "out" / "hex0").is_file()
    assert ("report.xml" in outputs) == (tmp_path / "report.xml").is_file()


@pytest.mark.parametrize("option", ["--json", "--junit", "--output"])
def test_a_place_that_cannot_work_is_refused_before_the_run(tmp_path: Path, option: str) -> None:
    done = bootstrap("verify", "--release", "embedded", option, "/proc/report", cwd=tmp_path)
    assert (done.status, done.stdout) == (2, "")
    assert "/proc/report" in done.one_line()
