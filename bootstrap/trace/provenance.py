"""A listener that notes which program read which content and wrote which content.

The guest is single-threaded and its processes take turns only at fork(2), execve(2) and exit(2), so
the content that a program wrote is known at those three events: nobody else ran in between.
"""

import posixpath
from collections.abc import Callable
from dataclasses import dataclass, field

from bootstrap.core.abi import O_ACCMODE, O_CREAT, O_RDONLY, O_TRUNC, O_WRONLY
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import RegularFile
from bootstrap.linux.events import Changed, Event, Executed, Exited, Forked, Opened, Renamed
from bootstrap.linux.filesystem import absolute, opened_path, path_from_top, seen_path
from bootstrap.trace.lineage import FileVersion, ProcessRecord, guest_text, normal_path

MAX_VERSIONS = 500_000
"""File versions in one record, some hundred MB; a whole bootstrap has about two thousand."""


@dataclass(slots=True)
class _Output:
    """A file that a program may be writing."""

    path: str
    inode: RegularFile
    fresh: bool
    """Emptied or created by this open: an output even when not a byte is written."""


@dataclass(slots=True)
class _RunningProgram:
    """A running program; `index` is its place in the records, once it has done something."""

    record: ProcessRecord
    index: int | None = None
    outputs: list[_Output] = field(default_factory=list)
    known: set[tuple[str, str]] = field(default_factory=set)
    """Path and hash of what it has read."""


class Provenance:
    """Builds one `ProcessRecord` per program, in order of start.

    Call `finish` when the run is over, however it ended: it notes what programs that never came to
    their end had written. A forked child that only execs is not a program of its own.
    A guest that makes more than `max_versions` file versions ends with GuestFailed.
    """

    def __init__(self, max_versions: int = MAX_VERSIONS) -> None:
        self.records: list[ProcessRecord] = []
        self._running: dict[int, _RunningProgram] = {}
        self._ordinals: dict[int, int] = {}
        self._clock = 0
        self._max_versions = max_versions
        # By inode number, which the file system gives out once and never again.
        self._credited: dict[int, int] = {}
        self._last_writer: dict[int, ProcessRecord] = {}
        self._at_path: dict[str, RegularFile] = {}
        self._heard: dict[type[Event], Callable[..., None]] = {
            Forked: self._forked,
            Executed: self._executed,
            Opened: self._opened,
            Changed: self._changed,
            Renamed: self._renamed,
            Exited: self._exited,
        }

    def __call__(self, event: Event) -> None:
        """See Listener."""
        hear = self._heard.get(type(event))
        if hear is not None:
            hear(event)

    def writer_of(self, path: str, sha256: str) -> ProcessRecord | None:
        """The last program that wrote this content to the absolute guest path, if any did."""
        for record in reversed(self.records):
            if any(w.path == path and w.sha256 == sha256 for w in record.writes):
                return record
        return None

    def finish(self) -> None:
        """Credit what still running programs have written so far; their status stays None."""
        self._max_versions = 0
        for program in list(self._running.values()):
            self._credit(program)

    # -- events ---------------------------------------------------------------------------------

    def _forked(self, event: Forked) -> None:
        """The child starts as the same program, with the same files open."""
        parent, child_pid = self._running[event.pid], event.child
        self._credit(parent)
        self._enter(parent)
        ordinal = self._ordinals.get(child_pid, -1) + 1
        self._ordinals[child_pid] = ordinal
        record = ProcessRecord(
            pid=child_pid,
            ppid=event.pid,
            ordinal=ordinal,
            exe=parent.record.exe,
            argv=parent.record.argv,
            cwd=parent.record.cwd,
            started_by=parent.index,
        )
        outputs = [_Output(o.path, o.inode, fresh=False) for o in parent.outputs]
        self._running[child_pid] = _RunningProgram(record, outputs=outputs)

    def _executed(self, event: Executed) -> None:
        """A new program begins; the image is its first input."""
        pid, base = event.pid, event.base
        started_by: int | None = None
        outputs: list[_Output] = []
        before = self._running.pop(pid, None)
        if before is not None:
            self._credit(before)
            started_by = before.record.started_by
            outputs = [_Output(o.path, o.inode, fresh=False) for o in before.outputs]
            if before.index is not None:
                before.record.replaced = True
                started_by = before.index
        self._ordinals[pid] = self._ordinals.get(pid, 0) + 1
        record = ProcessRecord(
            pid=pid,
            ppid=event.ppid,
            ordinal=self._ordinals[pid],
            exe=self._version(normal_path(absolute(base, event.program.path)), event.image),
            argv=tuple(guest_text(a) for a in event.program.argv),
            cwd=normal_path(seen_path(base.cwd, base.root)),
            started_by=started_by,
        )
        program = _RunningProgram(record, outputs=outputs)
        self._running[pid] = program
        self._enter(program)

    def _opened(self, event: Opened) -> None:
        """An input (content as it is now), an output (content as it will be), or both."""
        inode, flags = event.file.inode, event.flags
        if not isinstance(inode, RegularFile):
            return
        program = self._running[event.pid]
        self._enter(program)
        name = normal_path(opened_path(event.base, event.path, inode))
        self._at_path[name] = inode
        access = flags & O_ACCMODE
        # Creating or emptying needs no right to write: O_RDONLY | O_CREAT does it too.
        created = flags & O_CREAT and inode.guest_made and inode.ino not in self._credited
        emptied = bool(flags & O_TRUNC or (created and inode.size == 0))
        if access != O_WRONLY and not emptied and not self._is_own(program, inode):
            version = self._version(name, inode)
            if access == O_RDONLY or version.size:
                self._add_read(program, version)
        if access != O_RDONLY or emptied:
            self._credited.setdefault(inode.ino, inode.version)
            fresh = emptied or inode.size == 0
            fresh = fresh or any(o.fresh for o in program.outputs if o.inode is inode)
            program.outputs = [o for o in program.outputs if o.inode is not inode]
            program.outputs.append(_Output(name, inode, fresh))

    def _changed(self, event: Changed) -> None:
        """What was written under a name stays written; a file without a name is let go."""
        inode, place = event.inode, event.place
        if event.what != "unname" or place is None or not isinstance(inode, RegularFile):
            return
        name = normal_path(posixpath.join(seen_path(place.directory), place.name))
        if self._at_path.get(name) is inode:
            del self._at_path[name]
            if inode.links == 0:
                self._credit(self._running[event.pid])
                self._forget(inode)

    def _renamed(self, event: Renamed) -> None:
        """The new name is an output of the program that gave it, made from the old one."""
        program = self._running[event.pid]
        self._enter(program)
        self._credit(program)
        old_name = normal_path(path_from_top(event.old_base, event.old))
        new_name = normal_path(path_from_top(event.new_base, event.new))
        replaced = self._at_path.get(new_name)
        if replaced is not None and replaced.links == 0:
            self._forget(replaced)
        for name in sorted(self._at_path):
            if name != old_name and not name.startswith(old_name + "/"):
                continue
            inode = self._at_path.pop(name)
            moved = posixpath.normpath(new_name + name[len(old_name) :])
            self._at_path[moved] = inode
            if not self._is_own(program, inode):
                self._add_read(program, self._version(name, inode))
            self._add_write(program.record, moved, inode)
            for other in self._running.values():
                for output in other.outputs:
                    if output.inode is inode:
                        output.path = moved

    def _exited(self, event: Exited) -> None:
        """The program's outputs have their last content."""
        program = self._running.pop(event.pid)
        self._enter(program)
        self._credit(program)
        program.record.status = event.status
        program.record.syscalls = event.calls

    # -- bookkeeping ----------------------------------------------------------------------------

    def _enter(self, program: _RunningProgram) -> None:
        if program.index is None:
            program.index = len(self.records)
            self.records.append(program.record)

    def _version(self, path: str, inode: RegularFile) -> FileVersion:
        self._clock += 1
        if self._clock == self._max_versions:
            raise GuestFailed(
                f"the guest opened files more than {self._max_versions:,} times; the last was "
                f"{path}. The record of a run holds no more"
            )
        return FileVersion(path, inode.sha256(), inode.size, self._clock)

    def _is_own(self, program: _RunningProgram, inode: RegularFile) -> bool:
        """Whether the content of the file is this program's own work."""
        if self._last_writer.get(inode.ino) is program.record:
            return True
        return any(
            o.inode is inode and (o.fresh or self._credited.get(inode.ino) != inode.version)
            for o in program.outputs
        )

    def _credit(self, program: _RunningProgram) -> None:
        """Note the content of every output that changed since it was last credited to anyone."""
        for output in program.outputs:
            inode = output.inode
            changed = self._credited.get(inode.ino) != inode.version
            if changed or output.fresh:
                self._enter(program)
                self._add_write(program.record, output.path, inode)
                output.fresh = False

    def _add_write(self, record: ProcessRecord, path: str, inode: RegularFile) -> None:
        self._credited[inode.ino] = inode.version
        self._last_writer[inode.ino] = record
        record.writes.append(self._version(path, inode))

    @staticmethod
    def _add_read(program: _RunningProgram, version: FileVersion) -> None:
        key = (version.path, version.sha256)
        if key not in program.known:
            program.known.add(key)
            program.record.reads.append(version)

    def _forget(self, inode: RegularFile) -> None:
        """The file has lost its last name: nobody can open it any more."""
        for program in self._running.values():
            program.outputs = [o for o in program.outputs if o.inode is not inode]
        self._credited.pop(inode.ino, None)
        self._last_writer.pop(inode.ino, None)
