"""What all tests share."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TextIO
from unittest import mock

import pytest

if TYPE_CHECKING:
    from bootstrap.sources import SourceTree

ROOT = Path(__file__).resolve().parent.parent

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts something in the background makes it deaf to Ctrl-C, and with it what it
    # starts in turn; the tests of Ctrl-C start programs that have to hear.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The checkout's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def release() -> SourceTree:
    """Upstream's release that most tests read; without it in the cache, they are skipped."""
    from tests.upstream.release import from_cache

    return from_cache()


def pytest_configure(config: pytest.Config) -> None:
    """tests/core runs without hypothesis, whose plugin is there wherever it is installed."""
    if config.pluginmanager.hasplugin("hypothesispytest"):
        from hypothesis import HealthCheck, settings

        # How long an example, or the making of it, takes says nothing about what is tested, and on
        # a busy machine it fails what is right.
        untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
        settings.register_profile("untimed", untimed)
        settings.load_profile("untimed")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that is marked `root` needs root."""
    if item.get_closest_marker("root") and getattr(os, "geteuid", lambda: 1)() != 0:
        pytest.skip("needs root: sudo make test-root")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Before the closing line: what was not tested, and for want of what."""
    reasons = Counter(
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else "?"
        for report in terminalreporter.stats.get("skipped", [])
    )
    if reasons:
        terminalreporter.section("skipped")
    for reason, count in sorted(reasons.items(), key=lambda row: (-row[1], row[0])):
        terminalreporter.write_line(f"{count:5} {reason}")


@pytest.fixture(scope="session", autouse=True)
def _every_document_has_its_schema() -> Iterator[None]:
    """Whatever JSON a command writes in this process, in any test, is what docs/ says of it."""
    try:
        import jsonschema  # noqa: F401
    except ImportError:  # tests/core runs with pytest alone
        yield
        return
    from bootstrap.cli import output
    from tests.material.schemas import require

    write = output.write_text

    def checked(dest: str, text: str, *, stdout: TextIO | None = None) -> None:
        if text.startswith('{\n  "schema": "bootstrap-'):
            require(text)
        write(dest, text, stdout=stdout)

    with mock.patch.object(output, "write_text", checked):
        yield
