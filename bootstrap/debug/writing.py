"""Writing into a live program: its memory and registers, at the place where the session is."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from bootstrap import trace as traces
from bootstrap.core.errors import BadInput
from bootstrap.debug import opening
from bootstrap.debug.here import Progress
from bootstrap.debug.live import NOT_LIVE, Live, When, same_until
from bootstrap.debug.moves import Moves
from bootstrap.instruments import Engine
from bootstrap.linux.memory import READ
from bootstrap.timeline.edits import Edit, Edits
from bootstrap.trace.reader import Trace


class Writing(Moves):
    """What Session has of it; see there."""

    def __init__(self, trace: Trace, engine: Engine, progress: Progress) -> None:
        self._live: Live | None = None
        self._written: Edit | None = None
        """What was written here, and has no consequences yet."""
        super().__init__(trace, engine, progress)
        self._closing = contextlib.ExitStack()
        self._closing.callback(lambda: self._trace.close())
        self._closing.callback(lambda: self._explorer.close())
        self._edits = Edits()
        self._arrivals: dict[When, Mapping[str, bytes]] = {}
        self.versions = 0
        """How often the run became another one."""
        self.settling = False
        """Whether it is run again just now."""

    def make_live(self, root: str) -> None:
        """The recorded program can be run again in the folder that it was run in, so something can
        be written into it. Raises BadInput for what is not a recording of one program."""
        self._live = Live(self._trace, root)

    @property
    def live(self) -> bool:
        """Whether something can be written."""
        return self._live is not None

    def check_live(self) -> None:
        """Raises BadInput for a recording."""
        if self._live is None:
            raise BadInput(NOT_LIVE)

    def write(self, guest_addr: int, data: bytes) -> None:
        """Write into memory, whatever its protection; see `settle`. Raises BadInput."""
        edit = self._edit()
        if self.at.process.memory.reachable(guest_addr, len(data), READ) != len(data):
            raise BadInput(f"there is no memory for {len(data):,} bytes at {guest_addr:#x}")
        self._put(edit.with_memory(guest_addr, data))

    def set_register(self, name: str, value: int | bytes) -> None:
        """Set one, by its name in `registers`; see `settle`. Raises BadInput."""
        edit = self._edit()
        known = self.at.live.tasks[-1].cpu.save()
        if name not in known:
            raise BadInput(f"there is no register {name}: {', '.join(known)}")
        raw = value if isinstance(value, bytes) else value.to_bytes(16, "little")
        self._put(edit.with_register(name, raw.rstrip(b"\0")))

    def _edit(self) -> Edit:
        self.check_live()
        if self._written is not None:
            return self._written
        new = Edit(self.row, self.executed, self.at.event)
        self._arrivals = {when: saved for when, saved in self._arrivals.items() if when <= new.when}
        self._arrivals.setdefault(new.when, self.at.live.tasks[-1].cpu.save())
        return self._edits.at(new.row, new.executed) or new

    def _put(self, edit: Edit) -> None:
        edit.do(self.at.live.tasks[-1])
        self._written = edit

    def settle(self) -> None:
        """What was written has its consequences: the program is run again, with it, and recorded.

        Moves do that first. What was written later in the run than the present place is gone then,
        and so are the moves that could be undone. Raises what `progress` raises; then the run is
        recorded as far as it came. Raises BadInput where the program is not what it was.
        """
        if self._written is None:
            return
        assert self._live is not None
        edit, self._written = self._written, None
        edits = Edits([*self._edits.until(edit.when).all, edit])
        with contextlib.ExitStack() as stack:
            name = stack.enter_context(opening.temporary())
            self.settling = True
            try:
                ended = self._live.again(
                    name, self._trace, edits, self._arrivals, self._engine, self._tell
                )
            except BaseException:
                self.at.seek_from(edit.row, edit.executed)  # without what was written
                raise
            finally:
                self.settling = False
            trace = traces.open(name)
            if not same_until(self._trace, trace, edit):
                trace.close()
                self.at.seek_from(edit.row, edit.executed)
                raise BadInput(self._live.otherwise)
            self._explorer.close()
            self._trace.close()
            self._closing.push(stack.pop_all())
        self._look_at(trace)
        self._closing.callback(lambda: self._trace.close())
        self._closing.callback(lambda: self._explorer.close())
        self._edits, self.versions = edits, self.versions + 1
        self._forget()
        self.at.seek(edit.row, edit.executed)
        if ended is not None:
            raise ended
