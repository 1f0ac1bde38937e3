"""What others copy or include: the action's steps run as they stand, every template is valid."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("ruamel.yaml", reason="no check-jsonschema: make test installs it")

SCHEMAS = {
    "action.yml": "vendor.github-actions",
    "docs/ci/gitlab-ci.yml": "vendor.gitlab-ci",
    "CITATION.cff": "vendor.citation-file-format",
}


@pytest.mark.parametrize("file", SCHEMAS)
def test_a_template_is_of_its_schema(file: str, checkout: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", SCHEMAS[file]]
    done = subprocess.run([*command, checkout / file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # And what is not would be seen.
    bad = tmp_path / Path(file).name
    text = (checkout / file).read_text("utf-8")
    for word, wrong in (
        ("using: composite", "using: 7"),
        ("script:\n", "script: {}\n#"),
        ("type: software", "type: 1"),
    ):
        text = text.replace(word, wrong)
    bad.write_text(text)
    done = subprocess.run([*command, bad], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr


def loaded(file: Path) -> Any:
    return yaml.YAML(typ="safe").load(file.read_text("utf-8"))


def test_issue_forms_have_what_forms_need(checkout: Path) -> None:
    forms = sorted((checkout / ".github/ISSUE_TEMPLATE").glob("w*.yml"))
    assert len(forms) == 2
    for form in map(loaded, forms):
        assert {"name", "description", "body"} <= set(form)
        assert all(
            part["type"] == "textarea" and part["attributes"]["label"] for part in form["body"]
        )


class Job:
    """What a runner gives the steps of the action, in a folder of its own."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.action = loaded(checkout / "action.yml")
        self.folder, self.checkout = folder, checkout
        for name in ("output", "summary"):
            (folder / name).touch()

    def step(self, name: str, **inputs: str) -> subprocess.CompletedProcess[str]:
        """Run one as a runner does: `bash --noprofile --norc -eo pipefail FILE`."""
        (step,) = (one for one in self.action["runs"]["steps"] if one["name"] == name)
        assert step["shell"] == "bash"
        given = {key: value["default"] for key, value in self.action["inputs"].items()} | inputs

        def value(text: str) -> str:
            found = re.fullmatch(r"\$\{\{ (inputs\.([\w-]+)|github\.action_path) \}\}", text)
            assert found, text
            return given[found[2]] if found[2] else str(self.checkout)

        assert "${{" not in step["run"]  # inputs are never parts of a script
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        environment = {
            **os.environ, **{key: value(text) for key, text in step["env"].items()},
            "RUNNER_TEMP": str(self.folder), "GITHUB_OUTPUT": str(self.folder / "output"),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "BOOTSTRAP_CACHE": str(self.folder / "cache"),
        }  # fmt: skip
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],
            cwd=self.folder, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def outputs(self) -> dict[str, str]:
        lines = (self.folder / "output").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines)


@pytest.fixture
def job(tmp_path: Path, checkout: Path) -> Job:
    """Installed already: its first step needs a package index, and is tried by `-m exhaustive`."""
    binary = tmp_path / "bootstrap" / "bin"
    binary.mkdir(parents=True)
    (binary / "python").symlink_to(sys.executable)
    # The checkout's, whatever is installed.
    (binary / "bootstrap").write_text(
        f'#!/bin/sh\nPYTHONPATH="{checkout}" exec "{sys.executable}" -P -m bootstrap "$@"\n'
    )
    (binary / "bootstrap").chmod(0o755)
    return Job(tmp_path, checkout)


def test_the_action_verifies(job: Job) -> None:
    done = job.step("Verify", release="embedded", **{"at-least": "2"})
    assert done.returncode == 0, done.stdout + done.stderr
    said = job.outputs()
    assert (said["result"], said["status"]) == ("verified", "0")
    assert json.loads(Path(said["report"]).read_text())["result"] == "verified"
    assert Path(said["html"]).read_text().startswith("<!DOCTYPE html>")
    summary = (job.folder / "summary").read_text()
    assert "bootstrap verify: verified" in summary and "| x86 | 10 | 10 |" in summary
    assert "Who says so" in summary and "::error" not in done.stdout
    assert "✅ bootstrap confirm: at least 2 opinions" in summary


def test_the_action_says_that_there_are_too_few_opinions(job: Job) -> None:
    done = job.step("Verify", release="embedded", **{"at-least": "99"})
    assert done.returncode == int(job.outputs()["status"]) == 1
    assert "::error title=bootstrap confirm" in done.stdout
    summary = (job.folder / "summary").read_text()
    assert "❌ bootstrap confirm: at least 99 opinions" in summary


def test_what_nobody_can_judge_is_no_error(job: Job) -> None:
    """Releases have products without a known-good value, and are verified."""
    bootstrap = job.folder / "bootstrap" / "bin" / "bootstrap"
    bootstrap.write_text("#!/bin/sh\ncp report.json bootstrap-report.json\n")
    artifact = {"path": "x86/artifact/M0", "sha256": "1" * 64, "expected": None}
    report = {"result": "verified", "claim": "All.", "arch": "x86", "decided_by": "core"}
    for status, errors in (("unknown", 0), ("mismatch", 1), ("missing", 1)):
        said = {**report, "reasons": [], "artifacts": [{**artifact, "status": status}]}
        (job.folder / "report.json").write_text(json.dumps(said))
        assert job.step("Verify").stdout.count("::error") == errors


OWNED = "from pathlib import Path\nPath(__file__).with_name('owned').touch()\nraise SystemExit\n"


def test_the_action_runs_nothing_of_what_it_verifies(job: Job) -> None:
    """The current folder of a job is the checkout that is to be verified."""
    for name in ("json", "venv", "pip", "os", "pathlib"):
        (job.folder / f"{name}.py").write_text(OWNED)
    assert job.step("Verify", release="embedded").returncode == 0
    assert job.outputs()["result"] == "verified"
    shutil.rmtree(job.folder / "bootstrap")
    job.checkout = job.folder / "nothing-to-install"
    done = job.step("Install")
    assert done.returncode and "nothing-to-install" in done.stderr
    assert not (job.folder / "owned").exists()


def test_no_template_takes_an_older_report_for_its_own(checkout: Path) -> None:
    """A verify that ends with status 2 writes none."""
    (job,) = loaded(checkout / "docs/ci/gitlab-ci.yml").values()
    *_, removes, verifies = job["script"]
    written = re.findall(r"--(?:json|junit|html) (\S+)", verifies)
    assert removes.split() == ["rm", "-f", *written] and len(written) == 3
    action = loaded(checkout / "action.yml")["runs"]["steps"][1]["run"]
    assert action.index('rm -f "$report" "$html"') < action.index('"$bootstrap" verify')


def test_a_template_names_the_program_by_its_commit(checkout: Path) -> None:
    """Nobody has published the name on a package index: whoever does could say VERIFIED."""
    (job,) = loaded(checkout / "docs/ci/gitlab-ci.yml").values()
    assert job["variables"]["BOOTSTRAP_PACKAGE"].startswith("https://")
    assert "COMMIT" in job["variables"]["BOOTSTRAP_PACKAGE"]


def test_every_template_starts_python_without_the_current_folder(checkout: Path) -> None:
    for file in ("action.yml", "docs/ci/gitlab-ci.yml"):
        started = re.findall(r"python3?\"? -\S*", (checkout / file).read_text("utf-8"))
        assert len(started) >= 2 and all(one.endswith(" -I") for one in started), started


def test_the_action_fails_with_annotations(job: Job, checkout: Path) -> None:
    tree = job.folder / "tree"
    shutil.copytree(checkout / "seeds" / "x86", tree)
    with open(tree / "hex1.hex0", "a") as source:
        source.write("90\n")
    done = job.step("Verify", release="embedded", source=str(tree))
    said = job.outputs()
    assert done.returncode == int(said["status"]) != 0
    assert said["result"] != "verified" or not said["report"]
    assert "::error title=bootstrap verify" in done.stdout


def test_what_is_typed_into_an_input_is_no_command(job: Job) -> None:
    evil = '"; touch owned; echo $(touch owned) `touch owned`'
    for name in ("release", "arch", "source", "at-least", "opinions"):
        wanted = {"release": "embedded", "at-least": "2"} | {name: evil}
        assert job.step("Verify", **wanted).returncode == 2
        assert not (job.folder / "owned").exists()
    assert job.outputs()["result"] in ("error", "verified")


@pytest.mark.exhaustive
def test_the_action_installs_itself(tmp_path: Path, checkout: Path) -> None:
    job = Job(tmp_path, checkout)
    assert job.step("Install").returncode == 0
    assert job.step("Verify", release="embedded").returncode == 0


def test_the_wheels_that_cibuildwheel_would_build(checkout: Path) -> None:
    """Its configuration is read by itself; it needs containers to do more, and none can be had."""
    pytest.importorskip("cibuildwheel", reason="no cibuildwheel: pip install cibuildwheel")
    command = [
        sys.executable,
        "-m",
        "cibuildwheel",
        "--print-build-identifiers",
        "--platform",
        "linux",
    ]
    done = subprocess.run([*command, checkout], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 4
