"""The polite signals (SIGINT, SIGTERM, SIGHUP): each ends what runs by an exception, none is lost.

Python runs a signal handler only between two bytecodes of the main thread, and the exception that
it raises there comes out of whatever that thread is in. Out of a callback of the engine (ctypes)
it cannot come: it would be lost, and the guest would go on with what the callback left undone. So
the handler raises at once but while signals are `held`; then it takes note, and the exception is
raised where the holding ends.
"""

import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

POLITE = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
_MAIN = threading.main_thread().ident


class Terminated(KeyboardInterrupt):
    """A polite signal other than SIGINT asked us to end.

    A KeyboardInterrupt, so that whatever is undone on Ctrl-C is undone on these too.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


@dataclass(slots=True)
class _State:
    """Of the main thread, where all handlers run."""

    polite: bool = False
    """Whether our handler is there for longer than one holding."""
    holding: int = 0
    lent: bool = False
    """Whether our handler stands in for Python's own, for this holding only."""
    noted: int | None = None
    raised: int | None = None


_state = _State()


def check() -> None:
    """Raise what a noted signal asks for: KeyboardInterrupt, of which Terminated is one kind."""
    if hasattr(signal, "pthread_sigmask"):
        # Runs the handlers of what has arrived (Modules/signalmodule.c, PyErr_CheckSignals):
        # another thread may have heard of it before this one has come to a handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, ())
    if _state.noted is not None:
        _raise(_state.noted)


def _raise(number: int) -> NoReturn:
    _state.noted, _state.raised = None, number
    raise _exception(number)


def _exception(number: int) -> KeyboardInterrupt:
    return KeyboardInterrupt() if number == signal.SIGINT else Terminated(number)


def _handle(number: int, _frame: FrameType | None) -> None:
    if not _state.holding:
        _raise(number)
    _state.noted = number


@contextmanager
def polite() -> Iterator[None]:
    """Let the polite signals end the block. Raises KeyboardInterrupt, Terminated.

    A signal that somebody ignores, or hears himself, stays his. An exception that was lost on its
    way out (in a finaliser, say) is raised at the next check, or at the end of the block.
    """
    before = {
        number: handler
        for number in POLITE
        if (handler := signal.getsignal(number)) in (signal.SIG_DFL, signal.default_int_handler)
    }
    if threading.get_ident() != _MAIN or not before:
        yield
        return
    _state.polite, _state.raised = True, None
    hook = sys.unraisablehook

    def lost(what: "sys.UnraisableHookArgs") -> None:
        if issubclass(what.exc_type, KeyboardInterrupt) and _state.raised is not None:
            _state.noted = _state.raised
        else:
            hook(what)

    sys.unraisablehook = lost
    for number in before:
        signal.signal(number, _handle)
    try:
        yield
    except KeyboardInterrupt:
        _state.raised = None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
        _state.polite, _state.noted = False, None
        if _state.raised is not None:
            raise _exception(_state.raised)


class Held:
    """A block that no signal ends in the middle: it is raised at the end of the block.

    For the engine, and for a clean-up that has to be whole; never around what may wait for ever.
    A class, not a generator: the engine is entered often.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        if threading.get_ident() == _MAIN:
            _state.holding += 1
            if not _state.polite and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, _handle)
                _state.lent = True

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == _MAIN:
            _state.holding -= 1
            if not _state.holding:
                if _state.lent:
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    _state.lent = False
                check()


held = Held()


@contextmanager
def let_in() -> Iterator[None]:
    """Within a holding: a host's call that may wait for ever, and that a signal ends at once.

    Raises KeyboardInterrupt.
    """
    if threading.get_ident() != _MAIN:
        yield
        return
    holding, _state.holding = _state.holding, 0
    try:
        check()
        yield
    finally:
        _state.holding = holding


@contextmanager
def scratch_folder(prefix: str = "bootstrap-", inside: Path | None = None) -> Iterator[Path]:
    """A new folder for the block only: all of it is gone afterwards, whatever signal ends that."""
    folder = None
    try:
        with held:
            folder = tempfile.TemporaryDirectory(prefix=prefix, dir=inside)
        yield Path(folder.name)
    finally:
        if folder is not None:
            with held:
                folder.cleanup()
