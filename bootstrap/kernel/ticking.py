"""Time slices and Ctrl-C, while the main thread is inside the engine.

Python runs a signal handler only between two bytecodes of the main thread, and the engine may run
guest code for hours without any: a thread ends the slice every so often. The handler itself only
takes note, because an exception raised inside one of the engine's callbacks would be lost.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ticking(
    seconds: float, nudge: Callable[[], None], interrupt: Callable[[], None]
) -> Iterator[None]:
    """Call `nudge` every so many seconds, from a thread, and `interrupt` on SIGINT."""
    over = threading.Event()

    def tick() -> None:
        while not over.wait(seconds):
            nudge()

    def on_sigint(_signal: int, _frame: FrameType | None) -> None:
        interrupt()

    in_main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGINT, on_sigint) if in_main else None
    ticker = threading.Thread(target=tick, name="tick", daemon=True)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()
        if in_main:
            signal.signal(signal.SIGINT, previous)
