"""The live line: never more than the terminal has room for, and never what ends a command."""

from __future__ import annotations

import io

import pytest

from bootstrap.cli.live import LiveLine, Style

CLEAR = "\r\x1b[K"


def line_on(
    stream: io.StringIO, *, terminal: bool = True, width: int = 20, quiet: bool = False
) -> LiveLine:
    return LiveLine(quiet, stream, Style(terminal, True, False, lambda: width))


def test_a_line_is_written_over_and_cleared() -> None:
    stream = io.StringIO()
    with line_on(stream) as line:
        line.show("one")
        line.show("one")
        line.show("two")
        line.line("stays")
        line.show("three")
    line.show("after")
    line.line("after")
    assert stream.getvalue() == f"\rone\x1b[K\rtwo\x1b[K{CLEAR}stays\n\rthree\x1b[K{CLEAR}"


def test_elsewhere_only_what_stays_is_written() -> None:
    stream = io.StringIO()
    with line_on(stream, terminal=False) as line:
        line.show("one")
        line.line("stays")
    assert stream.getvalue() == "stays\n"


@pytest.mark.parametrize(("width", "shown"), [(20, "a long text"), (11, "short"), (1, "short")])
def test_the_first_that_fits(width: int, shown: str) -> None:
    stream = io.StringIO()
    line_on(stream, width=width).show("a long text", "short")
    assert stream.getvalue() == f"\r{shown}\x1b[K"


def test_the_last_is_cut_and_bold_only_at_its_head() -> None:
    stream = io.StringIO()
    line_on(stream, width=15).show("50% of a very long text", bold=3)
    assert stream.getvalue() == "\r\x1b[1m50%\x1b[0m of a very \x1b[K"


def test_foreign_text_does_nothing_and_is_in_the_streams_encoding() -> None:
    stream = io.StringIO()
    line_on(stream, width=80).show("\x1b[2J\u202e\n\xe9")
    assert stream.getvalue() == "\r\\x1b[2J\\u202e\\n\\xe9\x1b[K"


def test_quiet_writes_nothing() -> None:
    stream = io.StringIO()
    with line_on(stream, quiet=True) as line:
        line.show("one")
        line.line("stays")
    assert stream.getvalue() == ""


def test_a_stream_that_breaks_silences_it() -> None:
    class Full(io.StringIO):
        calls = 0

        def write(self, text: str) -> int:
            self.calls += 1
            raise OSError(28, "No space left on device")

    stream = Full()
    with line_on(stream) as line:
        line.show("one")
        line.line("stays")
    assert stream.calls == 1


def test_a_line_that_ctrl_c_came_into_is_cleared() -> None:
    class Interrupted(io.StringIO):
        def write(self, text: str) -> int:
            count = super().write(text)
            if text != CLEAR:
                raise KeyboardInterrupt
            return count

    stream = Interrupted()
    with pytest.raises(KeyboardInterrupt), line_on(stream) as line:
        line.show("one")
    assert stream.getvalue() == f"\rone\x1b[K{CLEAR}"
