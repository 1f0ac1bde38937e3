"""Progress: what is said, where, and never more than there is room for. No clock but a fake one."""

import io
import re
from typing import Any, cast

import pytest

from bootstrap.cli.live import LiveLine, Style, style_for
from bootstrap.cli.progress import Plan, shown_alone
from bootstrap.core.abi import O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY
from bootstrap.core.files import OpenFile
from bootstrap.core.paths import FileSystem, PathBase
from bootstrap.core.process import Exec
from bootstrap.linux.events import Executed, Exited, Opened
from tests.core.guest import file_at

PRODUCTS = ("x86/artifact/hex0", "x86/artifact/hex1", "x86/artifact/M0", "x86/bin/M1")
PHASES = {"x86/artifact/hex0": "phase 0", "x86/artifact/hex1": "phase 1", "x86/bin/M1": "phase 9"}
NOTHING = cast(Any, None)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Run:
    """A progress and the guest that drives it."""

    def __init__(
        self,
        *,
        terminal: bool = False,
        colour: bool = False,
        unicode: bool = True,
        width: int = 100,
        weights: dict[str, float] | None = None,
        products: tuple[str, ...] = PRODUCTS,
    ) -> None:
        self.clock = Clock()
        self.files = FileSystem()
        self.stream = io.StringIO()
        self.width = width
        style = Style(terminal, colour, unicode, lambda: self.width)
        self.line = LiveLine(False, self.stream, style)
        self.progress = shown_alone(self.line, Plan(products, weights or {}, PHASES), self.clock)

    def exec(self, pid: int, path: str, *argv: str, cwd: str = "/") -> None:
        arguments = tuple(a.encode() for a in (path, *argv))
        root = self.files.root
        here = PathBase(root, self.files.add_directory(cwd.encode()))
        program = Exec(path.encode(), arguments, ())
        self.progress(Executed(0, pid, 1, here, program, NOTHING, "i386"))

    def open(self, pid: int, path: str, flags: int = O_WRONLY | O_CREAT | O_TRUNC) -> None:
        base = PathBase(self.files.root, self.files.root)
        self.progress(Opened(0, pid, base, path.encode(), self.add(path), flags, 3))

    def add(self, path: str) -> OpenFile:
        """A file, which is there now, opened."""
        file = file_at(self.files, path.encode()) or self.files.add_file(path.encode(), b"")
        return OpenFile(file, 0)

    def exit(self, pid: int) -> None:
        self.progress(Exited(0, pid, 0, 1, None))

    def make(self, path: str, pid: int = 2, seconds: float = 1.0) -> None:
        self.exec(pid, "/x86/bin/tool")
        self.open(pid, "/" + path)
        self.clock.now += seconds
        self.exit(pid)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def live(self) -> str:
        """The live line as it stands, without colour."""
        last = self.text.rsplit("\r", 1)[-1].removesuffix("\x1b[K")
        return re.sub("\x1b\\[[0-9;]*m", "", last)


def test_elsewhere_one_plain_line_per_finished_artifact() -> None:
    run = Run()
    run.progress.tick()
    for path in PRODUCTS:
        run.make(path)
        run.progress.tick()
    run.line.close()
    assert run.text.splitlines() == [
        " 25% x86/artifact/hex0 (phase 0)",
        " 50% x86/artifact/hex1 (phase 1)",
        " 75% x86/artifact/M0",
        "100% x86/bin/M1 (phase 9)",
    ]


def test_an_artifact_written_again_gets_no_second_line() -> None:
    run = Run()
    run.make(PRODUCTS[0])
    run.make(PRODUCTS[0])
    assert len(run.text.splitlines()) == 1
    assert run.progress.share() == 0.25


def test_what_is_not_a_product_or_only_read_gets_no_line() -> None:
    run = Run()
    run.make("tmp/x")
    run.exec(3, "/tool")
    run.open(3, "/x86/bin/M1", O_RDONLY)
    run.exit(3)
    assert run.text == ""
    assert run.progress.share() == 0.0


def test_an_output_is_finished_by_exec_too() -> None:
    run = Run()
    run.exec(2, "/tool")
    run.open(2, "/x86/bin/M1")
    assert run.text == ""
    run.exec(2, "/other")
    assert "x86/bin/M1" in run.text


def test_the_live_line_names_phase_artifact_program_and_share() -> None:
    run = Run(terminal=True)
    run.make(PRODUCTS[0])
    run.exec(3, "/x86/artifact/hex0")
    run.open(3, "/x86/artifact/hex1")
    run.progress.tick()
    for word in (" 25%", "phase 1", "x86/artifact/hex1", "by hex0"):
        assert word in run.live
    assert "\n" not in run.text


def test_an_output_is_known_by_its_argument_before_it_is_opened() -> None:
    run = Run(terminal=True)
    run.exec(3, "/x86/bin/tool", "-f", "./x.M1", "-o", "../x86/bin/M1", cwd="/x86")
    run.progress.tick()
    assert "x86/bin/M1" in run.live
    run = Run(terminal=True)
    run.make("x86/bin/M1")
    run.exec(3, "/x86/bin/tool", "x86/bin/M1", "x86/artifact/M0")
    run.progress.tick()
    assert "x86/artifact/M0" in run.live


def test_the_time_left_comes_from_the_pace() -> None:
    run = Run(terminal=True)
    run.progress.tick()
    assert "left" not in run.live
    run.make(PRODUCTS[0], seconds=60)
    run.progress.tick()
    assert run.live.endswith("3:00 left")


def test_no_time_is_guessed_from_next_to_nothing() -> None:
    run = Run(terminal=True, weights={PRODUCTS[0]: 0.01, PRODUCTS[1]: 0.99})
    run.make(PRODUCTS[0], seconds=60)
    assert "left" not in run.live


def test_weights_set_the_share() -> None:
    run = Run(weights={PRODUCTS[0]: 1.0, PRODUCTS[3]: 9.0})
    run.make(PRODUCTS[0])
    assert run.progress.share() == pytest.approx(0.1)
    run.make(PRODUCTS[1])
    assert run.progress.share() == pytest.approx(0.1)
    run.make(PRODUCTS[3])
    assert run.progress.share() == pytest.approx(1.0)


def test_weights_for_nothing_known_are_no_weights() -> None:
    run = Run(weights={"elsewhere": 3.0, PRODUCTS[0]: -1.0})
    run.make(PRODUCTS[0])
    assert run.progress.share() == 0.25


def test_the_share_creeps_on_while_an_artifact_is_made_but_not_to_its_end() -> None:
    run = Run()
    run.make(PRODUCTS[0], seconds=10)
    run.exec(3, "/tool")
    run.open(3, "/" + PRODUCTS[1])
    run.clock.now += 5
    assert run.progress.share() == pytest.approx(0.375)
    run.clock.now += 1000
    assert run.progress.share() < 0.5


def test_the_share_never_falls() -> None:
    run = Run()
    run.make(PRODUCTS[0], seconds=10)
    run.exec(3, "/tool")
    run.open(3, "/" + PRODUCTS[1])
    run.clock.now += 9
    before = run.progress.share()
    run.open(3, "/" + PRODUCTS[2])
    assert run.progress.share() >= before


def test_without_products_there_is_no_share_and_no_crash() -> None:
    run = Run(terminal=True, products=())
    run.make("x86/bin/M1", seconds=60)
    run.progress.tick()
    assert run.live.startswith("  0%")
    assert "left" not in run.live


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [1, 11, 20, 30, 45, 60, 80, 200])
def test_the_live_line_never_wraps(width: int, unicode: bool) -> None:
    run = Run(terminal=True, width=width, unicode=unicode, colour=True)
    run.make(PRODUCTS[0], seconds=3600)
    run.exec(3, "/x86/artifact/a-tool-with-a-long-name")
    run.open(3, "/x86/artifact/hex1")
    run.progress.tick()
    assert len(run.live) <= max(width - 1, 10)
    assert run.live.startswith(" 25%")
    assert unicode or run.text.isascii()
    if width >= 30:
        assert "hex1" in run.live


def test_colour_only_when_asked_for() -> None:
    for colour in (True, False):
        run = Run(terminal=True, colour=colour)
        run.progress.tick()
        assert ("\x1b[1m" in run.text) == colour


def test_a_stream_that_is_closed_does_not_end_the_run() -> None:
    run = Run(terminal=True)
    run.stream.close()
    run.progress.tick()
    run.make(PRODUCTS[0])
    run.line.close()


def test_hostile_names_cannot_drive_the_terminal() -> None:
    name = "x86/bin/\x1b[2J\u202e"
    run = Run(products=(name,))
    run.make(name)
    assert "\x1b" not in run.text
    assert "\u202e" not in run.text
    run = Run(terminal=True)
    run.exec(2, "/x86/\x1b]0;owned\x07")
    run.progress.tick()
    assert "\x07" not in run.text


class Stream(io.StringIO):
    def __init__(self, terminal: bool, encoding: str) -> None:
        super().__init__()
        self._terminal = terminal
        self._encoding = encoding

    def isatty(self) -> bool:
        return self._terminal

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


@pytest.mark.parametrize(
    ("terminal", "environ", "live", "colour"),
    [
        (True, {"TERM": "xterm"}, True, True),
        (True, {}, True, True),
        (True, {"TERM": "dumb"}, False, False),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        (True, {"TERM": "xterm", "NO_COLOR": ""}, True, True),
        (False, {"TERM": "xterm"}, False, False),
        (False, {"CLICOLOR_FORCE": "1"}, False, True),
        (False, {"CLICOLOR_FORCE": "0"}, False, False),
        (False, {"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False, False),
    ],
)
def test_the_style_follows_stream_and_environment(
    terminal: bool, environ: dict[str, str], live: bool, colour: bool
) -> None:
    style = style_for(Stream(terminal, "utf-8"), environ)
    assert (style.terminal, style.colour, style.unicode) == (live, colour, True)
    assert style.width() == 80
    for columns, width in (("132", 132), ("0", 80), ("wide", 80), ("-5", 80)):
        assert style_for(Stream(terminal, "utf-8"), environ | {"COLUMNS": columns}).width() == width
    assert not style_for(Stream(terminal, "ascii"), environ).unicode
