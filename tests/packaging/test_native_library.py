"""The optional build step fails in silence, so its result is asserted here."""

from __future__ import annotations

import ctypes
import shutil
import sysconfig
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.instruments import fastpath
from bootstrap.instruments.structures import NativeInode

COMPILER = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
"""The one that setuptools would use, if it is there."""


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler on this machine")
def test_where_a_compiler_is_the_native_library_is_new_and_used(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = fastpath.find_library()
    assert library is not None, "run make again: the install found no compiler, or it failed"
    source = checkout / "bootstrap" / "instruments" / "fastpath.c"
    assert library.stat().st_mtime >= source.stat().st_mtime, (
        "run make again: fastpath.c has changed"
    )
    # Where nothing else is asked for.
    monkeypatch.delenv("BOOTSTRAP_HOT_PATH", raising=False)
    found, reason = fastpath.load()
    assert found is not None, reason


class Swapped(ctypes.Structure):
    _fields_ = (*NativeInode._fields_[:1], *NativeInode._fields_[:0:-1])


class Shorter(ctypes.Structure):
    _fields_ = NativeInode._fields_[:-1]


class Longer(ctypes.Structure):
    _fields_ = (*NativeInode._fields_, ("more", ctypes.c_uint64))


@pytest.mark.skipif(COMPILER is None, reason="there is no C compiler on this machine")
@pytest.mark.parametrize("other", [Swapped, Shorter, Longer])
def test_a_library_with_other_fields_is_refused(
    other: type[ctypes.Structure], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = fastpath.find_library()
    assert library is not None
    monkeypatch.setattr(fastpath, "STRUCTURES", {other: "hot_inode"})
    with pytest.raises(BadInput, match="built from another version"):
        fastpath.FastPath(library)
