"""Every key once, each with its reverse; the command line; what is said when it cannot be done."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from textual import events
from textual.message import Message

from bootstrap.core.errors import BadInput
from bootstrap.debug.tui.app import StepApp
from bootstrap.debug.tui.keys import KEYS, SAME
from tests.debug.tui.screen import LONGEST, Screen, on_screen

SMALL = (80, 24)
"""Of a screen, for who looks at nothing that has no room there: drawing is what takes the time."""


def test_keys_ask_for_their_commands(embedded_trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def walk(screen: Screen) -> None:
        await screen.type("go 50%")
        view, asked = screen.app.view, list[str]()
        assert view is not None
        monkeypatch.setattr(screen.app, "do", asked.append)
        for name, key in [*KEYS.items(), *((other, KEYS[own]) for other, own in SAME.items())]:
            if isinstance(key.does, str) and not key.does.endswith(" "):
                await screen.press(name)
                byte = screen.app.cursor.byte(view)
                assert asked == [key.does.format(here=f"{view.pc:#x}", byte=f"{byte:#x}")], name
                asked.clear()
        monkeypatch.undo()
        await screen.press("]")
        assert screen.here == "1@102928"
        await screen.press("[")
        assert screen.here == "1@100910"

    on_screen(embedded_trace, walk, SMALL)


def test_marks_breakpoints_watchpoints_and_finding(embedded_trace: Path) -> None:
    async def walk(screen: Screen) -> None:
        await screen.press("1", "0", "s", "m", "k")
        assert screen.here == "1@10" and screen.status == "mark k: 1@10"
        await screen.press("home", "'", "k")
        assert screen.here == "1@10"
        await screen.press("'", "'")
        assert screen.here == "1@0"
        await screen.press("b")
        assert screen.status == "breakpoint 1: 0x804804c"
        await screen.press("b")
        assert screen.status == "breakpoint 1 is gone: 0x804804c"
        await screen.press("v")
        assert screen.status.startswith("watchpoint 1: 0xffff")
        await screen.press("v")
        assert screen.status.startswith("watchpoint 1 is gone")
        await screen.press("slash", *"new_byte", "enter")
        assert screen.app.cursor.focus == "source" and "places" in screen.status
        first = screen.app.cursor.source
        await screen.press(".")
        assert screen.app.cursor.source != first
        await screen.press(",")
        assert screen.app.cursor.source == first
        await screen.type("find memory ELF")
        assert screen.app.cursor.memory == 0x8048001
        assert any("|45" in row for row in screen.pane("memory"))

    on_screen(embedded_trace, walk)


def test_panes_cursors_and_what_belongs_together(embedded_trace: Path) -> None:
    async def walk(screen: Screen) -> None:
        await screen.press("K", "tab")
        assert screen.app.cursor.focus == "code"
        await screen.press("down", "j", "up", "k", "pagedown", "pageup")
        await screen.press("shift+tab", "down")
        assert screen.app.cursor.source == 140
        links = "\n".join(screen.pane("links"))
        assert "data    -> hex0.hex0:140 became 1 byte of hex0 from 0x4d" in links
        assert "control => written by pid 1 in its system call" in links
        assert any(row.startswith(" =") for row in screen.pane("code"))
        await screen.press("enter")
        await screen.type("expect written = hex0+0x4d")
        assert screen.status.startswith("as expected")
        await screen.type("pane output")
        await screen.press("left", "h", "l", "right", "left")
        assert "|5b" not in screen.pane("output")[-1] or screen.app.cursor.output >= 0
        links = "\n".join(screen.pane("links"))
        assert "comes from hex0.hex0:" in links
        assert any("=" in row[:2] for row in screen.pane("source"))
        await screen.type("pane input")
        await screen.press("up", "right")
        assert "hex0.hex0 + " in "\n".join(screen.pane("links"))
        await screen.press("p")
        assert screen.output()
        await screen.press("escape")
        await screen.type("pane tree")
        await screen.press("down", "enter")
        assert screen.here == "2@0"
        await screen.type("pane calls")
        await screen.press("up", "enter", "escape", "escape")
        await screen.type("pane memory")
        await screen.press("left", "right", "up", "down", "enter")
        assert screen.app.cursor.focus == "memory"

    on_screen(embedded_trace, walk)


def test_the_screen_itself(embedded_trace: Path) -> None:
    async def walk(screen: Screen) -> None:
        await screen.press("question_mark")
        assert any("one instruction back" in line for line in screen.output())
        await screen.press("j", "k", "pagedown", "escape")
        assert not screen.output()
        await screen.press("z")
        assert not screen.app.query_one("#code").display
        await screen.press("z")
        assert screen.app.query_one("#code").display
        dark = screen.app.theme
        await screen.press("t")
        assert screen.app.theme != dark
        await screen.type("go 12@0")
        assert screen.pane("source")[0].startswith(">> source hello.M1:43 --")
        await screen.press("G")
        assert screen.pane("source")[0].startswith(">> source hello-whole.hex2:73 (generated) --")
        await screen.press("G")
        assert screen.pane("source")[0].startswith(">> source hello.M1:43 --")
        await screen.type("go 1@0")
        await screen.press("i")
        assert "1@0: pid 1" in screen.output()[0]
        await screen.press("escape", "ctrl+c")
        assert screen.status == "nothing is working; q quits"
        await screen.press("f12")
        assert screen.status == "! f12 is no key; ? shows them"
        await screen.press("m", "escape", "m", "f12")
        assert screen.status.startswith("! m wants a letter")
        await screen.press("q")

    assert on_screen(embedded_trace, walk).return_value == 0


def test_the_command_line(embedded_trace: Path) -> None:
    saved: dict[str, str] = {}

    async def walk(screen: Screen) -> None:
        await screen.press("colon", *"und", "tab")
        assert screen.app.typed.line.value == "undo "
        await screen.press("escape", "colon", *"b", "tab")
        assert "back-output" in "".join(screen.pane("links"))
        await screen.press("escape")
        await screen.type("step 3")
        assert screen.here == "1@3"
        await screen.type("stpe")
        assert (
            screen.status == "! column 1: there is no command stpe; did you mean step? "
            "(`help` lists them)"
        )
        await screen.press("colon", "up", "up", "down", "up", "enter")
        assert screen.here == "1@6"
        await screen.press("colon", "ctrl+c", "g")
        assert screen.app.typed.line.value == "go "
        await screen.press(*"50%", "enter")
        assert screen.here == "1@100910"
        await screen.type("go nowhere")
        assert screen.status.startswith("! nowhere: is no place")
        await screen.type("save here.step")
        await screen.type("help step")
        assert screen.output()[0] == "step [N]"
        await screen.press("enter")
        await screen.type("zoom")
        await screen.type("theme")
        await screen.type("quit")

    on_screen(embedded_trace, walk, save=saved.__setitem__)
    assert saved["here.step"].splitlines()[2:] == [
        "step 6", "expect at 1@6", "go 50%", "expect at 1@100910",
    ]  # fmt: skip


def test_who_stops_it_sees_so(embedded_trace: Path) -> None:
    async def walk(screen: Screen) -> None:
        screen.app.still.clear()  # as while something works
        screen.app.typed.add(events.Key("escape", None))
        assert screen.status == "stopping ..."
        await screen.still()
        assert screen.status == ""

    on_screen(embedded_trace, walk, SMALL)


def test_the_time_line_is_dragged(embedded_trace: Path) -> None:
    async def walk(screen: Screen) -> None:
        await screen.pilot.mouse_down("#time", offset=(14, 0))
        await screen.pilot.hover("#time", offset=(70, 0))
        assert "to " in screen.pane("time")[0]
        await screen.pilot.mouse_up("#time", offset=(70, 0))
        await screen.still()
        assert screen.here not in ("1@0", "1@201820")
        await screen.pilot.click("#calls", offset=(5, 2))
        await screen.still()
        assert screen.app.cursor.focus == "calls"

    on_screen(embedded_trace, walk)


def typed(embedded_trace: Path, *keys: str, saved: dict[str, str] | None = None) -> StepApp:
    """All at once, before the screen has drawn anything; then until there is nothing to do."""
    app = StepApp(str(embedded_trace), ({} if saved is None else saved).__setitem__)
    start = app.worker.start
    app.worker.start = lambda: None  # type: ignore[method-assign]  # as if opening took long

    async def live() -> None:
        async with app.run_test(size=SMALL) as pilot:
            for key in keys:
                letter = _NAMES.get(key, key if len(key) == 1 else None)
                app.post_message(events.Key(key, letter))
            await pilot.pause()
            assert app.view is None and len(app.typed.waiting) == len(keys)
            start()
            while not (app._exit or (app.still.is_set() and not app.typed.waiting)):
                await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(live(), LONGEST))
    return app


_NAMES = {"colon": ":", "space": " ", "enter": "\r", "ctrl+j": "\n"}


@pytest.mark.parametrize(
    ("keys", "there"),
    [
        ("s" * 90, "1@90"),
        (["g", *"hex0:0x20", "enter"], "1@65399"),
        (["colon", *"go", "space", *"1@7", "ctrl+j", *"ss"], "1@9"),
        ("yyyS", "1@25"),
        # Each goes by what is there when those before it are done.
        (["9", "9", "s", *"xxx"], ""),
        ("oWw", "1@48008"),
        (["s", "m", "k", *"40s", "'", "k"], "1@1"),
        ("50y", ""),
    ],
)
def test_keys_that_are_typed_ahead_are_all_done_in_order(
    embedded_trace: Path, keys: list[str] | str, there: str
) -> None:
    async def walk(screen: Screen) -> None:
        for key in keys:
            await screen.press(key)

    slowly = on_screen(embedded_trace, walk, SMALL).view
    at_once = typed(embedded_trace, *keys).view
    assert slowly is not None and at_once is not None
    assert at_once.here == slowly.here
    assert not there or at_once.here == there


def test_a_key_does_not_go_by_a_view_that_is_on_its_way_out(embedded_trace: Path) -> None:
    """The session has done a step, but its view has not come yet: the old place is shown."""
    by_hand = ""

    async def walk(screen: Screen) -> None:
        app = screen.app
        held: list[Message] = []
        send = app.worker._send
        app.worker._send = held.append
        app.on_key(events.Key("s", "s"))
        while not held:
            await asyncio.sleep(0.01)
        app.on_key(events.Key("x", "x"))
        app.on_key(events.Key("q", "q"))
        assert len(app.typed.waiting) == 2
        app.typed.waiting.pop()
        app.worker._send = send
        for message in held:
            send(message)
        await screen.still()
        assert screen.here == by_hand

    async def slowly(screen: Screen) -> None:
        nonlocal by_hand
        await screen.press("s")
        await screen.press("x")
        by_hand = screen.here

    on_screen(embedded_trace, slowly)
    on_screen(embedded_trace, walk)


def test_the_end_waits_for_what_was_typed_before(embedded_trace: Path) -> None:
    saved: dict[str, str] = {}
    line = ("colon", *"save", "space", "f", "enter")
    app = typed(embedded_trace, *"ssy", *line, "q", saved=saved)
    assert app.return_value == 0
    assert saved["f"].splitlines()[2:] == ["step 2", "expect at 1@2", "call", "expect at 1@8"]


def test_what_is_not_done_is_said(embedded_trace: Path) -> None:
    async def walk(screen: Screen) -> None:
        await screen.press(*"1001y")
        assert screen.status == "! 1001 times: y at most 1000 times"
        await screen.press(*"1234567890s")
        assert screen.status == "! 1234567890: a number of at most 9 digits"
        screen.app.post_message(events.Paste("step 5"))
        await screen.still()
        assert screen.status.startswith("! what is pasted goes into the command line")
        await screen.press("colon")
        screen.app.post_message(events.Paste("step 5"))
        await screen.press("enter")
        assert screen.here == "1@5"
        # While something works: Esc forgets what waits for it, and says so.
        screen.app.worker.commands += 1
        screen.app.still.clear()
        for key in "xxv":
            screen.app.on_key(events.Key(key, key))
        assert "3 waiting" in screen.pane("status")[0]
        screen.app.on_key(events.Key("escape", None))
        assert "3 keys that waited are forgotten" in screen.status
        screen.app.look()
        await screen.still()
        assert screen.here == "1@5"

    on_screen(embedded_trace, walk, SMALL)


def test_every_forward_key_has_its_reverse() -> None:
    for key in KEYS.values():
        if key.reverse:
            assert key.reverse in KEYS


@pytest.mark.parametrize("content", [b"", b"no trace"])
def test_what_is_no_trace_ends_it_with_its_error(tmp_path: Path, content: bytes) -> None:
    bad = tmp_path / "bad.trace"
    bad.write_bytes(content)
    app = StepApp(str(bad), lambda _dest, _text: None)
    asyncio.run(app.run_async(headless=True, size=(80, 24)))
    assert isinstance(app.failure, BadInput) and "is no trace" in str(app.failure)
