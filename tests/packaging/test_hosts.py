"""Whatever the host is like, a run says the same; several conditions at once, to save runs."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path

import pytest

from tests.cli.command import Done, bootstrap

CONDITIONS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "umask 077, 32 open files, a locale that is not there, hash seed 1": (
        ("sh", "-c", 'umask 077; ulimit -n 32; exec "$@"', "sh"),
        {"LC_ALL": "xx_YY.UTF-8", "TZ": ":/nowhere", "PYTHONHASHSEED": "1"},
    ),
    "no home, locale C, an odd time zone": (
        ("env", "-u", "HOME"),
        {"LC_ALL": "C", "LANG": "C", "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "4242"},
    ),
    "one core, German, a narrow dumb terminal": (
        ("taskset", "--cpu-list", "0"),
        {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de", "TERM": "dumb", "COLUMNS": "31",
         "SOURCE_DATE_EPOCH": "1", "LD_BIND_NOW": "1"},
    ),
    "no programs of others, colours forced": (
        (),
        {"PATH": "/nonexistent", "PYTHONUTF8": "1", "NO_COLOR": "1", "FORCE_COLOR": "1"},
    ),
    "no network": (("unshare", "--user", "--net"), {}),
}  # fmt: skip
VERIFY = ("verify", "--release", "embedded", "--json", "-", "--quiet")


def report_of(done: Done) -> dict[str, object]:
    """What the report says, but for the time that it took."""
    assert done.status == 0, done.stderr
    report = json.loads(done.stdout)
    del report["totals"]["wall_seconds"]
    assert isinstance(report, dict)
    return report


@cache
def ordinary() -> dict[str, object]:
    return report_of(bootstrap(*VERIFY))


@pytest.mark.parametrize(("prefix", "env"), CONDITIONS.values(), ids=CONDITIONS)
def test_the_report_is_the_same(
    prefix: tuple[str, ...], env: dict[str, str], tmp_path: Path
) -> None:
    if prefix and shutil.which(prefix[0]) is None:
        pytest.skip(f"no {prefix[0]} on this host")
    if prefix[:1] == ("unshare",) and bootstrap("--version", prefix=prefix).status:
        pytest.skip("this host lets nobody make a user namespace")
    here = tmp_path / "a folder with späces"
    here.mkdir()
    output = ("--output", here / "made here")
    done = bootstrap(*VERIFY, *output, prefix=prefix, env=env, cwd=here)
    assert report_of(done) == ordinary()
    assert (here / "made here" / "hex0").is_file()
