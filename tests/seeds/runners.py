"""The ways to run the seed on a source: on the host, and emulated on either hot path."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bootstrap.instruments import Engine, default_engine
from tests.seeds import guest, host

Runner = Callable[[bytes], bytes]


def _native_hot_path() -> Engine | None:
    engine = default_engine()
    return engine if engine.describe()["hot_path"] == "native" else None


def _on(engine: Engine | None) -> Runner:
    def run(source: bytes) -> bytes:
        assert engine is not None
        return guest.run(source, engine)

    return run


_WHY_NOT = host.why_not()
_NATIVE = _native_hot_path()

EACH = pytest.mark.parametrize(
    "seed",
    [
        pytest.param(
            host.run,
            id="on the host",
            marks=pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT)),
        ),
        pytest.param(
            _on(_NATIVE),
            id="emulated, native hot path",
            marks=pytest.mark.skipif(
                _NATIVE is None, reason="the native hot path is not there, or not chosen"
            ),
        ),
        pytest.param(_on(default_engine().in_python()), id="emulated, Python hot path"),
    ],
)
"""Parametrises a test's ``seed`` with a function from source to output."""
