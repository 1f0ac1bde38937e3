"""Runs an engine to its end: what its hooks cannot raise, a limit of time, Ctrl-C."""

import ctypes
import time
from collections.abc import Callable

from unicorn import Uc, UcError
from unicorn.unicorn_py3.unicorn import uclib

from bootstrap import signals
from bootstrap.core.errors import GuestFailed
from bootstrap.linux.slices import ticking

_TICK = 0.1


def add_hook(
    engine: Uc, kind: int, callback: object, data: object = None, at: tuple[int, int] = (1, 0)
) -> None:
    """uc_hook_add for these addresses (first above last: all), past the Python binding. The caller
    keeps `callback` alive."""
    hook, where = ctypes.c_size_t(), map(ctypes.c_uint64, at)
    status = uclib.uc_hook_add(engine._uch, ctypes.byref(hook), kind, callback, data, *where)
    if status:
        raise RuntimeError(f"Unicorn refused a hook: error {status}")


class Emulation:
    """One engine. Hooks give what they would raise to `fail`, and the first of it is raised by
    `run`; `who` is what messages call the machine."""

    def __init__(self, engine: Uc, who: str) -> None:
        self.engine = engine
        self._who = who
        self._error: BaseException | None = None
        self._place: str | None = None

    def fail(self, error: BaseException, place: str | None = None) -> None:
        """End the run with this error, unless there was one before; `place`, if the engine goes on
        to the end of its block."""
        if self._error is None:
            self._error, self._place = error, place
        self.engine.emu_stop()

    def run(
        self,
        begin: int,
        until: int,
        seconds: int,
        place: Callable[[], str],
        where: Callable[[], str] = lambda: "",
    ) -> None:
        """Until a hook stops it, or for so many seconds of CPU; 0 is no limit.

        `place` goes with each failure of the guest, `where` with a fault of its own. Raises
        GuestFailed, KeyboardInterrupt, and what was given to `fail`.
        """
        began = time.process_time()

        def tick() -> None:
            if seconds and time.process_time() - began > seconds:
                more = "(--limit seconds=NUMBER raises it)"
                self.fail(GuestFailed(f"limit: {self._who} ran for {seconds} seconds {more}"))

        with ticking(_TICK, tick, self.engine.emu_stop):
            try:
                self.engine.emu_start(begin, until)
            except UcError as error:
                stopped = GuestFailed(f"the machine stopped: {error}{where()}")
                self._error = self._error or stopped
        signals.check()
        if isinstance(self._error, GuestFailed):
            raise GuestFailed(f"{self._error} [{self._place or place()}]")
        if self._error is not None:
            raise self._error
