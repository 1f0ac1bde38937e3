"""The thread that the session belongs to: does one thing after the other, and can be interrupted.

Drawing never waits for it. It sends what it found through `send`, which has to be safe to be called
from here (Textual's post_message is).
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from textual.message import Message

from bootstrap.core.errors import BootstrapError
from bootstrap.debug import linking
from bootstrap.debug.command_language import CommandResult, DebugCommand
from bootstrap.debug.command_table import COUNTED, Interpreter, Names, names_of
from bootstrap.debug.linking import Links
from bootstrap.debug.screen_state import ScreenReader, ScreenRequest, ScreenState
from bootstrap.debug.session import Session


class AskedToStop(Exception):
    """Somebody wants what is being done to end; unlike stops.Interrupted, where it began."""


@dataclass
class Shown(Message):
    """A new view; `result` where a command was done, `names` where they are others now.

    `commands`: how many had been asked for, up to the one that led here.
    """

    view: ScreenState
    result: CommandResult | None = None
    names: Names | None = None
    commands: int = 0


@dataclass
class Linked(Message):
    """What belongs to the cursor."""

    links: Links


@dataclass
class Failed(Message):
    """A command could not be done (`commands` as above); `over`: nor can anything else."""

    text: str
    over: bool = False
    error: BaseException | None = None
    commands: int = 0


@dataclass
class Working(Message):
    """How far a long move is: program, instructions."""

    row: int
    executed: int


@dataclass
class Rested(Message):
    """There is nothing to do; `requests`: how many there had been by then."""

    requests: int


class Worker(threading.Thread):
    """Opens the trace, and does what it is asked."""

    def __init__(
        self, name: str, save: Callable[[str, str], None], send: Callable[[Message], object]
    ) -> None:
        super().__init__(name="session", daemon=True)
        self._trace, self._save, self._send = name, save, send
        self._commands: deque[tuple[int, DebugCommand]] = deque()
        """Those that wait; with each, how many had been asked for by then."""
        self._link: tuple[str, str, int] | None = None
        self._look: ScreenRequest | None = None
        self._count = False
        self._over = False
        self._wanted = ScreenRequest()
        self._settled = True
        self._asked_to_stop = threading.Event()
        self._condition = threading.Condition()
        self._settling = False
        self._arrived = False
        self.requests = 0
        """How often something was asked for."""
        self.commands = 0
        """How often that was a command."""

    # Asked by the screen.

    @contextlib.contextmanager
    def _request(self, afresh: bool = False) -> Iterator[None]:
        """Something more is asked for; `afresh`: who wanted to stop meant what was before it."""
        with self._condition:
            if afresh:
                self._asked_to_stop.clear()
            yield
            self.requests += 1
            self._condition.notify()

    def do(self, command: DebugCommand, request: ScreenRequest) -> None:
        """A command, after those that wait; what comes again and again becomes one."""
        with self._request(afresh=True):
            _, last = self._commands[-1] if self._commands else (0, None)
            if last is not None and last.name == command.name and command.name in COUNTED:
                times = self._commands.pop()[1].number("n") + command.number("n")
                command = DebugCommand(command.verb, {"n": times})
            self.commands += 1
            self._commands.append((self.commands, command))
            self._wanted = request

    def look(self, request: ScreenRequest) -> None:
        """A new view of the same place."""
        with self._request():
            self._look = self._wanted = request

    def link(self, what: str, name: str, number: int) -> None:
        """What belongs to a thing; only the last one that was asked for counts."""
        with self._request():
            self._link = what, name, number

    def count(self) -> None:
        """Count the instructions of this program."""
        with self._request(afresh=True):
            self._count = True

    def interrupt(self) -> None:
        """Stop what is being done, and forget what waits."""
        with self._condition:
            self._commands.clear()
            self._count = False
            self._asked_to_stop.set()

    def end(self) -> None:
        """Be done; waits until the session is closed."""
        with self._request():
            self._over = True
            self._asked_to_stop.set()
            self._commands.clear()
        if self.ident is not None:
            self.join()

    # The thread.

    def _progress(self, row: int, executed: int) -> None:
        stopped = self._asked_to_stop.is_set() and not self._arrived
        if stopped or self._over or (self._settling and self._commands):
            raise AskedToStop
        self._send(Working(row, executed))

    def run(self) -> None:
        """The thread's life."""
        try:
            with Session.open(self._trace, self._progress) as session:
                self._serve(session)
        except BootstrapError as error:
            self._send(Failed(str(error), over=True, error=error))
        except AskedToStop:
            pass
        except Exception as error:  # said on the screen, never lost in a thread
            self._send(Failed(f"{type(error).__name__}: {error}", over=True, error=error))

    def _serve(self, session: Session) -> None:
        run, reader = Interpreter(session, self._save), ScreenReader(session)
        shown = reader.view(self._wanted)
        names: tuple[int, Names] = session.row, names_of(session)
        self._send(Shown(shown, None, names[1]))
        self._settled = False
        while True:
            with self._condition:
                if not self._some():
                    self._send(Rested(self.requests))
                    while not self._some():
                        self._condition.wait()
                if self._over:
                    return
                asked, command = self._commands.popleft() if self._commands else (0, None)
                look, self._look = self._look, None
                counts, self._count = self._count, False
                request = self._wanted
                link = None
                if command is None and look is None and not counts and self._settled:
                    link, self._link = self._link, None
            try:
                if command is not None:
                    result = run.do(command)
                    # It is there now: who asks to stop comes too late, and has to see where.
                    self._arrived = True
                    fresh = None
                    if names[0] != session.row or command.name == "mark":
                        names = session.row, names_of(session)
                        fresh = names[1]
                    shown = reader.view(request)
                    self._asked_to_stop.clear()
                    self._settled = False
                    self._send(Shown(shown, result, fresh, asked))
                elif counts or look is not None:
                    if counts:
                        reader.count()
                    shown = reader.view(request)
                    self._settled = False
                    self._send(Shown(shown))
                elif not self._settled:
                    self._settle(reader, shown, request)
                elif link is not None:
                    self._send(Linked(linking.of(session, *link)))
            except AskedToStop:
                self._asked_to_stop.clear()
                self._send(Failed("interrupted: still where it was", commands=asked))
            except BootstrapError as error:
                self._send(Failed(str(error), error=error, commands=asked))
            finally:
                self._arrived = False

    def _some(self) -> bool:
        asked = self._commands or self._look or self._link or self._count or self._over
        return bool(asked) or not self._settled

    def _settle(self, reader: ScreenReader, shown: ScreenState, request: ScreenRequest) -> None:
        """The parts that take longer; a key that comes meanwhile goes first."""
        self._settled = True
        self._settling = True
        try:
            self._send(Shown(reader.settle(shown, request)))
        except AskedToStop:
            if self._asked_to_stop.is_set():
                raise
        finally:
            self._settling = False
