"""Drives the screen as somebody at a terminal would, and reads what stands there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from textual.pilot import Pilot

from bootstrap.debug.tui.app import StepApp
from bootstrap.debug.tui.widgets import Cells, TextDialog

LONGEST = 120
"""Seconds after which a key that has no effect fails the test, rather than hangs it."""


class Screen:
    """A running screen."""

    def __init__(self, app: StepApp, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    async def still(self) -> None:
        """Until there is nothing more to do."""
        await self.pilot.pause()
        await asyncio.wait_for(self.app.still.wait(), LONGEST)
        await self.pilot.pause()

    async def press(self, *keys: str) -> None:
        """Keys, one after the other, each done."""
        for key in keys:
            await self.pilot.press(key)
            await self.still()

    async def do(self, keys: Sequence[str]) -> None:
        """Keys, and lines of the command line, which `:` begins."""
        for key in keys:
            await (self.type(key[1:]) if key.startswith(":") else self.press(key))

    async def type(self, line: str) -> None:
        """A line of the command line."""
        await self.press("colon")
        self.app.typed.line.type_in(line)
        await self.press("enter")

    @property
    def here(self) -> str:
        """The place."""
        assert self.app.view is not None
        return self.app.view.here

    def pane(self, name: str) -> list[str]:
        """The rows of a part of the screen, as text."""
        part = self.app.query_one(f"#{name}", Cells)
        width = part.size.width
        rows = part.rows()[: part.size.height]
        return ["".join(text for text, _ in row)[:width].rstrip() for row in rows]

    @property
    def status(self) -> str:
        """The last row, without the hints."""
        return self.app.message[0]

    def output(self) -> list[str]:
        """The box that is open, if one is."""
        top = self.app.screen
        return top.lines if isinstance(top, TextDialog) else []

    def text(self) -> str:
        """All of the screen."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)


def on_screen(
    trace: Path,
    does: Callable[[Screen], Awaitable[None]],
    size: tuple[int, int] = (160, 50),
    save: Callable[[str, str], None] = lambda _dest, _text: None,
) -> StepApp:
    """Start, do, and quit."""
    app = StepApp(str(trace), save)

    async def live() -> None:
        async with app.run_test(size=size) as pilot:
            screen = Screen(app, pilot)
            await screen.still()
            await does(screen)

    asyncio.run(live())
    return app
