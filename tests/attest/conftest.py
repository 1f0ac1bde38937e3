"""A verified run of the embedded sources, and people with throw-away keys."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.attest.evidence import Evidence, read_report
from tests.attest.people import GPG_HOME, People, gpg_programs
from tests.attest.runs import Run, embedded_run


@pytest.fixture(scope="session")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Report and products of a run of the embedded sources."""
    return embedded_run(tmp_path_factory.mktemp("verified"))


@pytest.fixture(scope="session")
def evidence(verified: Run) -> Evidence:
    return read_report(verified.report)


@pytest.fixture(scope="session")
def people() -> Iterator[People]:
    """Keys of ssh-keygen and gpg, made here and gone afterwards."""
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    # Not below pytest's folder: the path of gpg-agent's socket must be short.
    with tempfile.TemporaryDirectory(prefix="vouch-") as folder:
        before = os.environ.get(GPG_HOME)
        home = Path(folder, "gnupg")
        home.mkdir(mode=0o700)
        os.environ[GPG_HOME] = str(home)
        try:
            yield People(Path(folder))
        finally:
            gpg_programs("gpgconf", "--kill", "all")
            if before is None:
                del os.environ[GPG_HOME]
            else:
                os.environ[GPG_HOME] = before


@pytest.fixture
def gpg(people: People) -> People:
    """The same, where gpg is installed."""
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed")
    return people
