"""The thread that the session belongs to: does one thing after the other, and can be interrupted.

Drawing never waits for it. It tells what it found through `tell`, which has to be safe to be called
from here (Textual's post_message is).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from textual.message import Message

from bootstrap.core.errors import BootstrapError
from bootstrap.debug import linking
from bootstrap.debug.command_language import Command, Result
from bootstrap.debug.command_table import COUNTED, Interpreter, Names, names_of
from bootstrap.debug.linking import Links
from bootstrap.debug.session import Session
from bootstrap.debug.view import View, Viewer, Wish


class Interrupted(Exception):
    """Somebody asked to stop."""


class Shown(Message):
    """A new view; `result` where a command was done, `names` where they are others now."""

    def __init__(
        self, view: View, result: Result | None = None, names: Names | None = None
    ) -> None:
        super().__init__()
        self.view, self.result, self.names = view, result, names


class Linked(Message):
    """What belongs to the cursor."""

    def __init__(self, links: Links) -> None:
        super().__init__()
        self.links = links


class Failed(Message):
    """A command could not be done; `over`: nor can anything else."""

    def __init__(self, text: str, over: bool = False, error: BaseException | None = None) -> None:
        super().__init__()
        self.text, self.over, self.error = text, over, error


class Working(Message):
    """How far a long way is: program, instructions."""

    def __init__(self, row: int, executed: int) -> None:
        super().__init__()
        self.row, self.executed = row, executed


class Rested(Message):
    """There is nothing to do; `requests`: how many there had been by then."""

    def __init__(self, requests: int) -> None:
        super().__init__()
        self.requests = requests


class Worker(threading.Thread):
    """Opens the trace, and does what it is asked."""

    def __init__(
        self, name: str, save: Callable[[str, str], None], tell: Callable[[Message], object]
    ) -> None:
        super().__init__(name="session", daemon=True)
        self._trace, self._save, self._tell = name, save, tell
        self._commands: deque[Command] = deque()
        self._link: tuple[str, str, int] | None = None
        self._look: Wish | None = None
        self._count = False
        self._over = False
        self._wish = Wish()
        self._settled = True
        self._asked_to_stop = threading.Event()
        self._condition = threading.Condition()
        self._settling = False
        self._arrived = False
        self._doing = False
        self.requests = 0
        """How often something was asked for."""

    # Asked by the screen.

    def do(self, command: Command, wish: Wish) -> None:
        """A command, after those that wait; what comes again and again becomes one."""
        with self._condition:
            self._asked_to_stop.clear()
            last = self._commands[-1] if self._commands else None
            if last is not None and last.name == command.name and command.name in COUNTED:
                times = self._commands.pop().number("n") + command.number("n")
                command = Command(command.verb, {"n": times})
            self._commands.append(command)
            self._wish = wish
            self.requests += 1
            self._condition.notify()

    @property
    def idle(self) -> bool:
        """Whether all commands are done, and their views were told of."""
        with self._condition:
            return not self._commands and not self._doing

    def look(self, wish: Wish) -> None:
        """A new view of the same place."""
        with self._condition:
            self._look = self._wish = wish
            self.requests += 1
            self._condition.notify()

    def link(self, what: str, name: str, number: int) -> None:
        """What belongs to a thing; only the last one that was asked for counts."""
        with self._condition:
            self._link = what, name, number
            self.requests += 1
            self._condition.notify()

    def count(self) -> None:
        """Count the instructions of this program."""
        with self._condition:
            self._asked_to_stop.clear()
            self._count = True
            self.requests += 1
            self._condition.notify()

    def interrupt(self) -> None:
        """Stop what is being done, and forget what waits."""
        with self._condition:
            self._commands.clear()
            self._count = False
            self._asked_to_stop.set()

    def end(self) -> None:
        """Be done; waits until the session is closed."""
        with self._condition:
            self._over = True
            self._asked_to_stop.set()
            self._commands.clear()
            self._condition.notify()
        if self.ident is not None:
            self.join()

    # The thread.

    def _progress(self, row: int, executed: int) -> None:
        stopped = self._asked_to_stop.is_set() and not self._arrived
        if stopped or self._over or (self._settling and self._commands):
            raise Interrupted
        self._tell(Working(row, executed))

    def run(self) -> None:
        """The thread's life."""
        try:
            with Session.open(self._trace, self._progress) as session:
                self._serve(session)
        except BootstrapError as error:
            self._tell(Failed(str(error), over=True, error=error))
        except Interrupted:
            pass
        except Exception as error:  # told on the screen's side, never lost in a thread
            self._tell(Failed(f"{type(error).__name__}: {error}", over=True, error=error))

    def _serve(self, session: Session) -> None:
        run, viewer = Interpreter(session, self._save), Viewer(session)
        shown = viewer.view(self._wish)
        names: tuple[int, Names] = session.row, names_of(session)
        self._tell(Shown(shown, None, names[1]))
        self._settled = False
        while True:
            with self._condition:
                if not self._some():
                    self._tell(Rested(self.requests))
                    while not self._some():
                        self._condition.wait()
                if self._over:
                    return
                command = self._commands.popleft() if self._commands else None
                self._doing = command is not None
                look, self._look = self._look, None
                counts, self._count = self._count, False
                wish = self._wish
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
                    shown = viewer.view(wish)
                    self._asked_to_stop.clear()
                    self._settled = self._doing = False
                    self._tell(Shown(shown, result, fresh))
                elif counts:
                    viewer.count()
                    shown = viewer.view(wish)
                    self._settled = False
                    self._tell(Shown(shown))
                elif look is not None:
                    shown = viewer.view(wish)
                    self._settled = False
                    self._tell(Shown(shown))
                elif not self._settled:
                    self._settle(viewer, shown, wish)
                elif link is not None:
                    self._tell(Linked(linking.of(session, *link)))
            except Interrupted:
                self._asked_to_stop.clear()
                self._doing = False
                self._tell(Failed("interrupted: still where it was"))
            except BootstrapError as error:
                self._doing = False
                self._tell(Failed(str(error), error=error))
            finally:
                self._arrived = False

    def _some(self) -> bool:
        asked = self._commands or self._look or self._link or self._count or self._over
        return bool(asked) or not self._settled

    def _settle(self, viewer: Viewer, shown: View, wish: Wish) -> None:
        """The parts that take longer; a key that comes meanwhile goes first."""
        self._settled = True
        self._settling = True
        try:
            self._tell(Shown(viewer.settle(shown, wish)))
        except Interrupted:
            if self._asked_to_stop.is_set():
                raise
        finally:
            self._settling = False
