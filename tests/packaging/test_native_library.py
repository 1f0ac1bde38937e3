"""The optional build step fails in silence, so its result is asserted here."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest

from bootstrap.instruments import fastpath


def compiler() -> str | None:
    """The C compiler that setuptools would use, if it is there."""
    command = (sysconfig.get_config_var("CC") or "cc").split()[0]
    return shutil.which(command)


@pytest.mark.skipif(compiler() is None, reason="there is no C compiler on this machine")
def test_where_a_compiler_is_the_native_library_is() -> None:
    library = fastpath.find_library()
    assert library is not None, "run make again: the install found no compiler, or it failed"


@pytest.mark.skipif(compiler() is None, reason="there is no C compiler on this machine")
def test_the_native_library_is_used_when_nothing_else_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("BOOTSTRAP_HOT_PATH", raising=False)
    found, reason = fastpath.load()
    assert found is not None, reason


@pytest.mark.skipif(compiler() is None, reason="there is no C compiler on this machine")
def test_the_native_library_is_not_older_than_its_source(checkout: Path) -> None:
    library = fastpath.find_library()
    assert library is not None
    source = checkout / "bootstrap" / "instruments" / "fastpath.c"
    assert library.stat().st_mtime >= source.stat().st_mtime, (
        "run make again: fastpath.c has changed"
    )
