"""Time slices and Ctrl-C, while the main thread is inside the engine.

Python runs a signal handler only between two bytecodes of the main thread, and the engine may run
guest code for hours without any. So a thread ends the slice every so often, and it is this thread
that hears of a signal first: Python's own low-level handler writes to a socket at once
(signal.set_wakeup_fd). What the signal asks for is raised when the engine has stopped (signals.py).
"""

import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bootstrap import signals


@contextmanager
def ticking(
    seconds: float, nudge: Callable[[], None], interrupt: Callable[[], None]
) -> Iterator[None]:
    """Call `nudge` every so many seconds, and `interrupt` on a polite signal; from a thread.

    Signals are held: whoever has the engine stopped asks `signals.check`. Raises KeyboardInterrupt.
    """
    with signals.held:
        over = threading.Event()
        ours, wakeup = socket.socketpair()
        wakeup.setblocking(False)

        def tick() -> None:
            while not over.is_set():
                ready, _, _ = select.select([ours], [], [], seconds)
                if not ready:
                    nudge()
                elif not over.is_set() and set(signals.POLITE) & set(ours.recv(64)):
                    interrupt()

        in_main = threading.current_thread() is threading.main_thread()
        ticker = threading.Thread(target=tick, name="tick", daemon=True)
        if in_main:
            previous_fd = signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        ticker.start()
        try:
            signals.check()  # the thread did not hear of what came before
            yield
        finally:
            if in_main:
                signal.set_wakeup_fd(previous_fd)
            over.set()
            wakeup.send(b"\0")
            ticker.join()
            ours.close()
            wakeup.close()
