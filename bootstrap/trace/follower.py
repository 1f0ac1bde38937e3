"""Keeps a machine that runs again beside its record: any difference ends the run by its name.

Unlike check (replay.py), which compares everything from the start, a follower begins at any kept
state, and compares what it passes: calls, programs, exits, and files when they are closed.
"""

from collections.abc import Mapping

from bootstrap.core.abi import Errno, LinuxError
from bootstrap.instruments.callbuffer import CallLog
from bootstrap.linux.events import BaseObserver, ExecEvent
from bootstrap.linux.hostfolder import LowerEntry
from bootstrap.linux.inode import Directory, Inode, RegularFile
from bootstrap.linux.openfile import OpenFile
from bootstrap.trace.calltext import plain_text
from bootstrap.trace.columns import Calls, unpacked
from bootstrap.trace.digest import MAX_INPUT
from bootstrap.trace.reader import ProgramRow, Trace
from bootstrap.trace.recorder import WORD
from bootstrap.trace.replay import Diverged, Divergence, RecordedCalls, first_difference
from bootstrap.trace.text import shown

_ERRNO = {int(errno): errno for errno in Errno}


class RecordedRun:
    """What of a trace every follower asks for; read once."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.recorded = RecordedCalls(trace)
        self.rows = {(p.run, p.pid, p.ordinal): p.id for p in trace.programs}
        self.hashes = trace.hashes()
        self.closed: dict[tuple[int, int], set[int | None]] = {}
        for row in trace.opens():
            if row.last_event is not None:
                self.closed.setdefault((row.last_event, row.file), set()).add(row.last_version)
        with trace.reading():
            self.input = {
                event: (result, content)
                for event, result, content in trace.database.execute(
                    "SELECT event, result, content FROM input"
                )
            }
            self.answers = {
                event: int(result)
                for event, result, content in trace.database.execute(
                    "SELECT event, result, content FROM output"
                )
                if result != len(unpacked(content, MAX_INPUT))
            }

    def stack(self, row: int) -> list[int]:
        """The programs that are alive while this one runs, its parents first."""
        found = [row]
        program = self.trace.program(row)
        while program.parent is not None:
            before = program
            program = self.trace.program(program.parent)
            if program.pid != before.pid:
                found.append(program.id)
        return found[::-1]


class Comparer(BaseObserver):
    """One run from a kept state on: an observer, and the watcher of its file system."""

    def __init__(self, facts: RecordedRun, stack: list[int], calls: list[int], event: int) -> None:
        """`stack`: rows of the live programs; `calls`: how many each has made; `event`: all."""
        self.facts = facts
        self.log = self.call_log = CallLog(self._take)
        self.log.handed_over = event
        self.stack = stack
        self.made = dict(zip(stack, calls, strict=True))
        if stack:
            self._use_word()

    @property
    def row(self) -> int:
        """The program that runs."""
        return self.stack[-1]

    @property
    def program(self) -> ProgramRow:
        """The program that runs."""
        return self.facts.trace.program(self.row)

    @property
    def calls(self) -> int:
        """System calls that the present program has made."""
        return self.made[self.row] + self.log.count

    def catch_up(self) -> None:
        """Compare the calls that were not compared yet. Raises Diverged."""
        self.log.hand_over()

    def _use_word(self) -> None:
        self.log.use_word(WORD[self.program.abi])

    def _diverged(self, what: str, recorded: str, now: str) -> Diverged:
        program = self.program
        place = f"{program.label} ({shown(program.path)}), event {self.log.total}, {what}"
        return Diverged(Divergence(place, recorded, now))

    def _take(self) -> None:
        log = self.log
        calls = Calls(log.word, log.columns(), tuple(log.more))
        program, made = self.program, self.made[self.row]
        first = program.first_call + made + 1
        there = self.facts.recorded.part(program.id, first, calls.count, calls.word)
        if there != calls:
            index = first_difference(there, calls)
            recorded = "no such call: the program had ended"
            if index < there.count:
                recorded = plain_text(program.abi, there, index)
            raise Diverged(
                Divergence(
                    f"{program.label} ({shown(program.path)}), system call {first + index}, "
                    f"event {log.handed_over + index + 1}",
                    recorded,
                    plain_text(program.abi, calls, index),
                )
            )
        self.made[self.row] += calls.count

    # Observer.

    def _push(self, run: int, pid: int, ordinal: int) -> None:
        row = self.facts.rows.get((run, pid, ordinal))
        if row is None:
            raise self._diverged("a program begins", "none does", f"pid {pid}, exec {ordinal}")
        self.stack.append(row)
        self.made[row] = 0
        self._use_word()

    def on_fork(self, parent_pid: int, child_pid: int) -> None:
        self.catch_up()
        self._push(self.program.run, child_pid, 0)

    def on_exec(self, event: ExecEvent) -> None:
        self.catch_up()
        before = self.program
        self.stack.pop()
        self._push(before.run, event.pid, before.ordinal + 1)
        image, _ = self.facts.hashes[self.program.image]
        if event.image.sha256() != image:
            raise self._diverged("its image", f"sha256 {image}", f"sha256 {event.image.sha256()}")
        if event.argv != self.program.argv or event.envp != self.program.environment:
            told = (self.program.argv, self.program.environment)
            raise self._diverged("its start", repr(told), repr((event.argv, event.envp)))

    def on_exit(self, pid: int, status: int, syscalls: int) -> None:
        self.catch_up()
        if self.program.status != status:
            raise self._diverged("its end", f"status {self.program.status}", f"status {status}")
        self.stack.pop()
        if self.stack:
            self._use_word()

    # Watcher: only files that are closed are compared.

    def closed(self, file: OpenFile) -> None:
        """See vfs.watcher."""
        inode = file.inode
        if not isinstance(inode, RegularFile):
            return
        known = self.facts.closed.get((self.log.total, inode.ino), set())
        told = {self.facts.hashes[v][0] for v in known if v is not None}
        if inode.sha256() not in told:
            path = shown(inode.origin.decode("utf-8", "surrogateescape"))
            raise self._diverged(
                f"{path} is closed",
                " or ".join(f"sha256 {sha256}" for sha256 in sorted(told)) or "it is not closed",
                f"sha256 {inode.sha256()}",
            )

    def listed(self, guest_path: bytes, listing: Mapping[bytes, LowerEntry]) -> None:
        """See vfs.watcher, as for all that follow."""

    def loaded(self, guest_path: bytes, content: bytes) -> None: ...
    def opened(self, file: OpenFile) -> None: ...
    def named(self, directory: Directory, name: bytes, inode: Inode) -> None: ...
    def unnamed(self, directory: Directory, name: bytes, inode: Inode) -> None: ...
    def mode_set(self, inode: Inode) -> None: ...
    def truncated(self, inode: RegularFile) -> None: ...

    # Streams.

    def read(self, count: int) -> bytes:
        """What came in at this call of the recorded run."""
        result, content = self.facts.input.get(self.log.total + 1, (0, None))
        if result < 0:
            raise LinuxError(_ERRNO[-result])
        with self.facts.trace.reading():
            data = b"" if content is None else unpacked(content, min(result, MAX_INPUT))
        return data[:count]

    def write(self, data: bytes) -> int:
        """What the recorded run's output answered."""
        answer = self.facts.answers.get(self.log.total + 1, len(data))
        if answer < 0:
            raise LinuxError(_ERRNO[-answer])
        return answer
