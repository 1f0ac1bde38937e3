"""Progress of several runs: what each sends, and how it is shown. No clock but a fake one."""

from __future__ import annotations

import io
import re

from bootstrap.cli.live import LiveLine, Style
from bootstrap.cli.progress import Note, Plan, RunProgress, ShownProgress
from bootstrap.core.abi import O_CREAT, O_WRONLY
from bootstrap.core.files import OpenFile
from bootstrap.core.paths import FileSystem, PathBase
from bootstrap.linux.events import Exited, Opened


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def combined(
    *names: str,
    terminal: bool = True,
    width: int = 100,
    unicode: bool = True,
    quiet: bool = False,
    stream: io.StringIO | None = None,
) -> tuple[ShownProgress, io.StringIO, Clock]:
    clock, out = Clock(), stream or io.StringIO()
    line = LiveLine(quiet, out, Style(terminal, False, unicode, lambda: width))
    return ShownProgress(line, names, clock), out, clock


def last_line(stream: io.StringIO) -> str:
    return re.split(r"\r|\x1b\[K", stream.getvalue())[-2]


def test_a_worker_sends_when_something_is_new() -> None:
    sent: list[Note] = []
    plan = Plan(("x86/a", "x86/b"), {}, {"x86/a": "phase 0"})
    progress = RunProgress(plan, sent.append, Clock())
    progress.tick()
    progress.tick()
    assert sent == [Note(0.0, "")]
    files = FileSystem()
    base = PathBase(files.root, files.root)
    opened = OpenFile(files.add_file(b"/x86/a", b""), O_WRONLY)
    progress(Opened(0, 2, base, b"/x86/a", opened, O_WRONLY | O_CREAT, 3))
    progress.tick()
    assert sent[1:] == [Note(0.0, "x86/a", "phase 0")]
    progress(Exited(0, 2, 0, 7, None))
    assert sent[2:] == [Note(0.5, lines=(" 50% x86/a (phase 0)",))]
    progress(Exited(0, 2, 0, 7, None))
    assert len(sent) == 3


def test_lines_with_the_architecture_where_there_is_no_terminal() -> None:
    progress, out, _ = combined("x86", "riscv64", terminal=False)
    progress.begin("x86")
    progress.note("x86", Note(0.1, "x86/b", lines=(" 10% x86/a", " 11% x86/c")))
    progress.note("x86", Note(0.2, "x86/b"))
    progress.end("x86", "verified")
    progress._line.close()
    assert out.getvalue().splitlines() == [
        "x86       10% x86/a",
        "x86       11% x86/c",
        "x86      verified",
    ]


def test_one_live_line_for_all_on_a_terminal() -> None:
    progress, out, clock = combined("x86", "AMD64", "riscv64")
    progress.begin("x86")
    progress.begin("AMD64")
    clock.now = 30.0
    progress.note("x86", Note(0.5, "x86/bin/M1", lines=(" 50% x86/bin/hex2",)))
    progress.note("AMD64", Note(0.25, "AMD64/bin/kaem"))
    assert "\n" not in out.getvalue()
    assert last_line(out) == " 25%  ━━━━────────────  x86 50% M1  AMD64 25% kaem  1:30 left"
    progress.end("x86", "verified")
    assert "x86 verified  AMD64 25% kaem" in last_line(out)
    progress._line.close()
    assert out.getvalue().endswith("\r\x1b[K")
    before = out.getvalue()
    progress.note("AMD64", Note(0.5, ""))
    assert out.getvalue() == before


def test_never_wider_than_the_terminal_and_never_falling() -> None:
    for width in range(11, 90):
        progress, out, clock = combined("x86", "AMD64", width=width, unicode=width % 2 == 0)
        for name in ("x86", "AMD64"):
            progress.begin(name)
            clock.now += 10
            progress.note(name, Note(0.5, f"{name}/bin/\x1b[2Jé"))
        for line in re.split(r"\r|\x1b\[K", out.getvalue()):
            assert len(line) < width or width <= 10
            assert "\x1b" not in line
    shares = [progress.share()]
    progress.note("x86", Note(0.1, ""))
    progress.end("x86", "error")
    shares.append(progress.share())
    assert shares == sorted(shares)


def test_quiet_and_a_stream_that_breaks() -> None:
    progress, out, _ = combined("x86", quiet=True)
    progress.begin("x86")
    progress.end("x86", "verified")
    assert out.getvalue() == ""
    closed = io.StringIO()
    closed.close()
    progress, _, _ = combined("x86", stream=closed)
    progress.begin("x86")
    progress._line.close()
