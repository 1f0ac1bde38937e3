"""Whatever the host is like, a run says the same: these cost a second each, so they stay."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import pytest

from tests.cli.command import Done, bootstrap

SHELL = ("sh", "-c")
CONDITIONS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "umask 077": ((*SHELL, 'umask 077; exec "$@"', "sh"), {}),
    "locale C": ((), {"LC_ALL": "C", "LANG": "C"}),
    "a locale that is not there": ((), {"LC_ALL": "xx_YY.UTF-8"}),
    "an odd time zone": ((), {"TZ": "Asia/Kathmandu"}),
    "no time zone of any kind": ((), {"TZ": ":/nowhere"}),
    "32 open files": ((*SHELL, 'ulimit -n 32; exec "$@"', "sh"), {}),
    "no programs of others": ((), {"PATH": "/nonexistent"}),
    "no home": (("env", "-u", "HOME"), {}),
    "hash seed 1": ((), {"PYTHONHASHSEED": "1"}),
    "one core": (("taskset", "--cpu-list", "0"), {}),
    "no network": (("unshare", "--user", "--net"), {}),
}


def report_of(done: Done) -> dict[str, object]:
    """What the report says, but for the time that it took."""
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout)
    del report["totals"]["wall_seconds"]
    assert isinstance(report, dict)
    return report


VERIFY = ("verify", "--release", "embedded", "--json", "-", "--quiet")


@cache
def ordinary() -> dict[str, object]:
    return report_of(bootstrap(*VERIFY))


@pytest.mark.parametrize(("prefix", "env"), CONDITIONS.values(), ids=CONDITIONS)
def test_the_report_is_the_same(
    prefix: tuple[str, ...], env: dict[str, str], tmp_path: Path
) -> None:
    if prefix and shutil.which(prefix[0]) is None:
        pytest.skip(f"no {prefix[0]} on this host")
    if prefix[:1] == ("unshare",) and not _may_unshare(prefix):
        pytest.skip("this host lets nobody make a user namespace")
    assert report_of(bootstrap(*VERIFY, prefix=prefix, env=env, cwd=tmp_path)) == ordinary()


def _may_unshare(prefix: tuple[str, ...]) -> bool:
    return bootstrap("--version", prefix=prefix).status == 0


def test_a_folder_with_a_space(tmp_path: Path) -> None:
    here = tmp_path / "a folder with spaces"
    here.mkdir()
    done = bootstrap(*VERIFY, "--output", here / "made here", cwd=here)
    assert report_of(done) == ordinary()
    assert (here / "made here").is_dir()
