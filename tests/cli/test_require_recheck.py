"""`attest --require-recheck`, and a policy that requires one: less is refused, and so is a lie."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import inside
from tests.cli.conftest import Verified


def test_a_report_of_the_fast_path_is_refused(verified: Verified, tmp_path: Path) -> None:
    report, out = verified.folder / "r.json", tmp_path / "out.json"
    done = inside("attest", "--report", report, "--require-recheck", "-o", out)
    assert (done.status, out.exists()) == (2, False)
    said = done.one_line()
    assert f"{report}: does not say that the core alone found the same" in said
    assert "verify again with --recheck" in said
    assert inside("attest", "--report", report, "-o", out).status == 0


def test_a_report_of_a_recheck_is_not(rechecked_here: Verified, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    report = rechecked_here.folder / "r.json"
    done = inside("attest", "--report", report, "--require-recheck", "-o", out)
    assert done.status == 0, done.stderr
    assert '"decidedBy":"core"' in out.read_text().replace(" ", "")


DIFFERENCE = "result verified, the core mismatch"


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        ({"recheck": None}, "is decided by core, and its recheck is not so"),
        ({"decided_by": "core with the fast path"}, "and its recheck is not so"),
        ({"decided_by": None}, "is decided by None, and its recheck is not so"),
        ({"decided_by": "the CLI"}, "decided_by is 'the CLI'; it must be "),
        ({"recheck": {"result": "mismatch"}}, "a recheck of another run, or one that does not"),
        ({"recheck": {"result": None}}, "a recheck of another run, or one that does not agree"),
        ({"recheck": {"tree_digest": "0" * 64}}, "a recheck of another run"),
        ({"recheck": {"steps_sha256": "0" * 64}}, "a recheck of another run"),
        ({"recheck": {"differences": [DIFFERENCE]}}, "a recheck of another run"),
        ({"recheck": {"tree_digest": 7}}, "recheck.tree_digest must be "),
    ],
)
@pytest.mark.parametrize("require", [("--require-recheck",), ()], ids=["required", "not required"])
def test_a_recheck_that_lies_is_refused(
    rechecked_here: Verified,
    tmp_path: Path,
    lie: dict[str, Any],
    said: str,
    require: tuple[str, ...],
) -> None:
    """Whether one is required or not: what contradicts itself is no report."""
    document = json.loads((rechecked_here.folder / "r.json").read_text())
    for name, value in lie.items():
        document[name] = document[name] | value if isinstance(value, dict) else value
    (tmp_path / "r.json").write_text(json.dumps(document))
    out = tmp_path / "out.json"
    done = inside("attest", "--report", tmp_path / "r.json", *require, "-o", out)
    assert (done.status, out.exists()) == (2, False)
    assert said in done.one_line()


def test_a_run_here_rechecks_and_signs_nothing_where_the_core_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bootstrap.runs.recheck._run", lambda *_: "it came to no verdict: a test")
    out = tmp_path / "out.json"
    done = inside(
        "attest", "--run", "--release", "embedded", "--quiet", "--require-recheck", "-o", out
    )
    assert (done.status, out.exists()) == (1, False)
    assert "the core alone finds otherwise: it came to no verdict" in " ".join(done.stdout.split())
    assert done.stderr.splitlines()[-1] == "bootstrap: not verified; nothing was signed"


def test_a_policy_that_requires_one_counts_nothing_less(
    verified: Verified, rechecked_here: Verified, tmp_path: Path
) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    key = tmp_path / "key"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True, capture_output=True
    )
    public = " ".join(Path(f"{key}.pub").read_text().split()[:2])
    (tmp_path / "policy.toml").write_text(
        'schema = 1\n[about]\nname = "embedded"\narch = "x86"\n'
        '[need]\npersons = 1\nrecheck = "require"\n'
        f'[persons.a]\nname = "A"\n[persons.a.keys.k]\nssh = "{public}"\n'
    )
    for run, met in ((verified, 1), (rechecked_here, 0)):
        out = tmp_path / f"{met}.json"
        signed = ("--sign", "ssh", "--key", key, "-o", out)
        assert inside("attest", "--report", run.folder / "r.json", *signed).status == 0
        done = inside("quorum", "--policy", tmp_path / "policy.toml", out)
        assert done.status == met, done.stdout
        why = "it does not say that the core alone found the same, which the policy requires"
        assert (why in " ".join(done.stdout.split())) == bool(met)
