"""The example of docs/trace-travel.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.trace import recorded


def test_the_example(
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = (checkout / "docs" / "trace-travel.md").read_text("utf-8")
    found = re.search(r"```python\n(.*?)```\n\n```\n(.*?)```", page, re.DOTALL)
    assert found is not None
    recorded.record_embedded(tmp_path / "embedded.trace", "native")
    monkeypatch.chdir(tmp_path)
    capsys.readouterr()
    exec(compile(found[1], "trace-travel.md", "exec"), {})
    assert capsys.readouterr().out == found[2]
