"""The real program in a real terminal (tmux): start, step, quit, the terminal left as it was."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LONGEST = 120
"""Seconds after which what does not come fails the test."""

pytestmark = pytest.mark.skipif(
    shutil.which("tmux") is None, reason="tmux is not installed: no real terminal to test in"
)


class Terminal:
    """A terminal of tmux's own server, which nobody else uses."""

    def __init__(self, folder: Path, columns: int, rows: int) -> None:
        self._tmux = ["tmux", "-f", os.devnull, "-S", str(folder / "socket")]
        self.environment = {
            "HOME": str(folder), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT),
            "LANG": "C.UTF-8", "TERM": "xterm-256color", "PYTHONWARNINGS": "error",
            "SHELL": "/bin/sh",  # the one that tmux starts it by: that of the user may be nologin
        }  # fmt: skip
        self.run("new-session", "-d", "-x", str(columns), "-y", str(rows), "sh")

    def run(self, *words: str) -> str:
        """One command of tmux."""
        done = subprocess.run(
            [*self._tmux, *words], env=self.environment, capture_output=True, text=True, check=True
        )
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Press keys."""
        self.run("send-keys", *keys)

    def line(self, text: str) -> None:
        """Type a line."""
        self.run("send-keys", "-l", text)
        self.keys("Enter")

    def text(self) -> str:
        """What is on the screen."""
        return self.run("capture-pane", "-p")

    def until(self, wanted: str) -> str:
        """Wait until it stands on the screen."""
        end = time.monotonic() + LONGEST
        for _ in itertools.count():
            text = self.text()
            if wanted in text:
                return text
            assert time.monotonic() < end, f"{wanted} never came:\n{text}"
        raise AssertionError

    def modes(self) -> str:
        """Alternate screen, cursor, mouse, bracketed paste and the like, as tmux knows them."""
        return self.run(
            "display-message", "-p",
            "#{alternate_on} #{cursor_flag} #{mouse_any_flag} #{keypad_flag} #{keypad_cursor_flag}",
        )  # fmt: skip


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    found = Terminal(tmp_path, 80, 24)
    yield found
    found.run("kill-server")


def start(terminal: Terminal, embedded_trace: Path, folder: Path, before: str = "") -> None:
    program = f"{shlex.quote(sys.executable)} -m bootstrap step {shlex.quote(str(embedded_trace))}"
    terminal.line(f"cd {shlex.quote(str(folder))}; stty -a > before; clear; echo R''EADY")
    terminal.until("READY")
    terminal.line(f"{before}{program}; echo st''atus=$?; stty -a > after; echo do''ne")


def test_start_step_quit_and_the_terminal_is_as_it_was(
    terminal: Terminal, embedded_trace: Path, tmp_path: Path
) -> None:
    modes = terminal.modes()
    start(terminal, embedded_trace, tmp_path)
    first = terminal.until("hex0.hex0:139")
    assert "1@0  pid 1" in first
    assert terminal.modes() != modes
    terminal.keys("s")
    terminal.until("1@1  pid 1")
    terminal.keys("S")
    terminal.until("1@0  pid 1")
    terminal.line(":go hex0:0x54")
    terminal.until("1@104165  pid 1")
    terminal.keys("q")
    last = terminal.until("done")
    assert "status=0" in last and "Traceback" not in last
    assert terminal.modes() == modes
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()


def test_without_colours_all_is_still_there(
    terminal: Terminal, embedded_trace: Path, tmp_path: Path
) -> None:
    start(terminal, embedded_trace, tmp_path, "NO_COLOR=1 ")
    terminal.until("hex0.hex0:139")
    terminal.keys("o")
    text = terminal.until("1@48011  pid 1")
    coloured = terminal.run("capture-pane", "-p", "-e")
    assert "*7f" in terminal.until("*7f") and ">|  251" in text
    # Greys are no colours: red, green and blue are equal wherever they are set.
    for code in coloured.split("\x1b[")[1:]:
        cells = code.partition("m")[0].split(";")
        for index, cell in enumerate(cells):
            if cell in ("38", "48") and cells[index + 1 : index + 2] == ["2"]:
                assert len(set(cells[index + 2 : index + 5])) == 1, code
    terminal.keys("q")
    terminal.until("status=0")


def test_it_grows_and_shrinks_with_the_terminal(
    terminal: Terminal, embedded_trace: Path, tmp_path: Path
) -> None:
    start(terminal, embedded_trace, tmp_path)
    assert "system calls" not in terminal.until("hex0.hex0:139")
    terminal.run("resize-window", "-x", "160", "-y", "50")
    terminal.until("system calls 0 of 14,089")
    terminal.run("resize-window", "-x", "30", "-y", "8")
    terminal.until("at least 40 columns")
    terminal.run("resize-window", "-x", "80", "-y", "24")
    terminal.until("hex0.hex0:139")
    terminal.keys("q")
    terminal.until("status=0")
