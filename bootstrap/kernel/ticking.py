"""Time slices and Ctrl-C, while the main thread is inside the engine.

Python runs a signal handler only between two bytecodes of the main thread, and the engine may run
guest code for hours without any. So a thread ends the slice every so often, and it is this thread
that hears of Ctrl-C first: Python's own low-level handler writes to a socket at once
(signal.set_wakeup_fd). The handler proper only takes note, because an exception raised inside one
of the engine's callbacks would be lost.
"""

import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ticking(
    seconds: float, nudge: Callable[[], None], interrupt: Callable[[], None]
) -> Iterator[None]:
    """Call `nudge` every so many seconds, from a thread, and `interrupt` on SIGINT.

    `interrupt` may be called from the thread as well as from the signal handler.
    """
    over = threading.Event()
    ours, wakeup = socket.socketpair()
    wakeup.setblocking(False)

    def tick() -> None:
        while not over.is_set():
            ready, _, _ = select.select([ours], [], [], seconds)
            if not ready:
                nudge()
            elif signal.SIGINT in ours.recv(64):
                interrupt()

    def on_sigint(_signal: int, _frame: FrameType | None) -> None:
        interrupt()

    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        previous = signal.signal(signal.SIGINT, on_sigint)
        previous_fd = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    ticker = threading.Thread(target=tick, name="tick", daemon=True)
    ticker.start()
    try:
        yield
    finally:
        if in_main:
            signal.set_wakeup_fd(previous_fd)
        over.set()
        wakeup.send(b"\0")
        ticker.join()
        ours.close()
        wakeup.close()
        if in_main:
            signal.signal(signal.SIGINT, previous)
