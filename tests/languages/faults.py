"""How the tests of the languages read errors."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bootstrap.languages import Kind, LanguageError


def fault(call: Callable[[], object]) -> tuple[Kind, int, int]:
    """The kind, the line and the column of the error that ``call`` raises."""
    with pytest.raises(LanguageError) as caught:
        call()
    error = caught.value
    place = f"{error.file}:{error.position.line}:{error.position.column}"
    assert str(error) == f"{place}: {error.reason}"
    return error.kind, error.position.line, error.position.column
