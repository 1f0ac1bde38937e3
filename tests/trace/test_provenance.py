"""Who read what and who wrote what, as the kernel's events tell it."""

import hashlib

import pytest

from bootstrap.core.abi import O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import OpenFile
from bootstrap.core.paths import PathBase
from bootstrap.linux.events import ExecEvent
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.inode import LazyFile
from bootstrap.trace.lineage import ProcessRecord, guest_text, normal_path
from bootstrap.trace.provenance import Provenance

FILES = {
    b"bin/seed": b"seed image",
    b"bin/tool": b"tool image",
    b"src": b"source",
    b"other": b"other source",
}


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Guest:
    """Does to a file system what processes do, and tells the observer what a kernel would."""

    def __init__(self) -> None:
        lower = MemoryLower({path: LowerFile(0o755, data) for path, data in FILES.items()})
        self.fs = OverlayFileSystem(lower)
        self.at = PathBase(self.fs.root, self.fs.root)
        self.seen = Provenance()
        self.parents = {1: 0}

    def fork(self, parent: int, child: int) -> None:
        self.parents[child] = parent
        self.seen.on_fork(parent, child)

    def exec(self, pid: int, path: bytes, *argv: bytes) -> None:
        image = self.fs.resolve(self.at, path)
        assert isinstance(image, LazyFile)
        self.seen.on_exec(
            ExecEvent(
                pid=pid,
                ppid=self.parents.setdefault(pid, 0),
                path=path,
                argv=(path, *argv),
                envp=(),
                cwd=b"/",
                image=image,
            )
        )

    def open(self, pid: int, path: bytes, flags: int = O_RDONLY) -> OpenFile:
        opened = self.fs.open(self.at, path, flags, 0o644)[0]
        self.seen.on_open(pid, path, opened.inode, flags, 3)
        return opened

    def create(self, pid: int, path: bytes) -> OpenFile:
        return self.open(pid, path, O_WRONLY | O_CREAT | O_TRUNC)

    def exit(self, pid: int, status: int = 0) -> None:
        self.seen.on_exit(pid, status, 10)

    def unlink(self, pid: int, path: bytes) -> None:
        self.fs.unlink(self.at, path)
        self.seen.on_unlink(pid, path)

    def rename(self, pid: int, old: bytes, new: bytes) -> None:
        self.fs.rename(self.fs.parent(self.at, old), self.fs.parent(self.at, new))
        self.seen.on_rename(pid, old, new)


@pytest.fixture
def guest() -> Guest:
    guest = Guest()
    guest.exec(1, b"/bin/seed", b"script")
    return guest


def reads(record: ProcessRecord) -> list[tuple[str, str]]:
    return [(r.path, r.sha256) for r in record.reads]


def writes(record: ProcessRecord) -> list[tuple[str, str]]:
    return [(w.path, w.sha256) for w in record.writes]


@pytest.mark.parametrize("flags", [O_CREAT, O_TRUNC, O_CREAT | O_TRUNC])
def test_a_file_made_or_emptied_without_the_right_to_write(guest: Guest, flags: int) -> None:
    path = b"/out" if flags & O_CREAT else b"/src"
    guest.open(1, path, O_RDONLY | flags)
    guest.exit(1)
    (record,) = guest.seen.records
    assert reads(record) == []
    assert writes(record) == [(path.decode(), sha(b""))]


def test_a_file_that_is_there_is_read_where_it_might_have_been_made(guest: Guest) -> None:
    guest.open(1, b"/src", O_RDONLY | O_CREAT)
    guest.exit(1)
    (record,) = guest.seen.records
    assert reads(record) == [("/src", sha(b"source"))]
    assert writes(record) == []


def test_one_process_that_makes_one_file_from_another(guest: Guest) -> None:
    guest.open(1, b"/src")
    guest.create(1, b"/out").write(b"made")
    guest.exit(1, 256)
    (record,) = guest.seen.records
    assert (record.pid, record.ppid, record.ordinal) == (1, 0, 1)
    assert record.exe_path == "/bin/seed"
    assert record.exe_sha256 == sha(b"seed image")
    assert record.argv == ("/bin/seed", "script")
    assert record.cwd == "/"
    assert reads(record) == [("/src", sha(b"source"))]
    assert writes(record) == [("/out", sha(b"made"))]
    assert record.writes[0].size == 4
    assert (record.status, record.syscalls, record.ended) == (256, 10, True)
    assert guest.seen.writer_of("/out", sha(b"made")) is record
    assert guest.seen.writer_of("/out", sha(b"else")) is None


def test_the_image_is_the_first_input(guest: Guest) -> None:
    guest.open(1, b"/src")
    assert [i.path for i in guest.seen.records[0].inputs] == ["/bin/seed", "/src"]


def test_a_child_that_only_execs_is_one_record(guest: Guest) -> None:
    guest.fork(1, 2)
    guest.exec(2, b"/bin/tool", b"x")
    guest.exit(2)
    guest.exit(1)
    first, second = guest.seen.records
    assert (second.pid, second.ppid, second.ordinal, second.started_by) == (2, 1, 1, 0)
    assert not first.replaced


def test_a_child_that_never_execs_is_a_record_of_the_same_program(guest: Guest) -> None:
    guest.fork(1, 2)
    guest.create(2, b"/out").write(b"by the child")
    guest.exit(2)
    guest.exit(1)
    first, second = guest.seen.records
    assert (second.pid, second.ordinal, second.exe_path) == (2, 0, "/bin/seed")
    assert second.argv == first.argv
    assert writes(second) == [("/out", sha(b"by the child"))]
    assert writes(first) == []


def test_a_process_that_execs_again_gets_a_second_record(guest: Guest) -> None:
    guest.create(1, b"/out").write(b"before")
    guest.exec(1, b"/bin/tool")
    guest.exit(1, 0)
    first, second = guest.seen.records
    assert (first.ordinal, second.ordinal) == (1, 2)
    assert (first.replaced, first.status, first.ended) == (True, None, True)
    assert writes(first) == [("/out", sha(b"before"))]
    assert (second.started_by, second.ppid, second.status) == (0, 0, 0)
    assert writes(second) == []


def test_a_pid_that_is_used_again_is_told_apart(guest: Guest) -> None:
    guest.exit(1)
    guest.exec(1, b"/bin/tool")
    guest.exit(1)
    assert [(r.pid, r.ordinal, r.started_by) for r in guest.seen.records] == [
        (1, 1, None),
        (1, 2, None),
    ]


def test_what_a_process_wrote_itself_is_not_its_input(guest: Guest) -> None:
    guest.create(1, b"/out").write(b"made")
    guest.open(1, b"/out")
    guest.fork(1, 2)
    guest.exit(2)
    guest.open(1, b"/out")
    guest.exit(1)
    assert reads(guest.seen.records[0]) == []


def test_what_its_child_wrote_is_its_input(guest: Guest) -> None:
    guest.fork(1, 2)
    guest.exec(2, b"/bin/tool")
    guest.create(2, b"/tmp").write(b"temporary")
    guest.exit(2)
    guest.open(1, b"/tmp")
    guest.exit(1)
    first, second = guest.seen.records
    assert reads(first) == [("/tmp", sha(b"temporary"))]
    assert writes(second) == [("/tmp", sha(b"temporary"))]


def test_what_the_parent_wrote_is_the_childs_input_while_it_is_still_open(guest: Guest) -> None:
    output = guest.create(1, b"/tmp")
    output.write(b"part one")
    guest.fork(1, 2)
    guest.exec(2, b"/bin/tool")
    guest.open(2, b"/tmp")
    guest.exit(2)
    output.write(b", part two")
    guest.exit(1)
    first, second = guest.seen.records
    assert reads(second) == [("/tmp", sha(b"part one"))]
    assert writes(first) == [("/tmp", sha(b"part one")), ("/tmp", sha(b"part one, part two"))]


def test_a_file_that_two_processes_write_has_two_versions(guest: Guest) -> None:
    guest.create(1, b"/out").write(b"first")
    guest.fork(1, 2)
    guest.exec(2, b"/bin/tool")
    guest.create(2, b"/out").write(b"second")
    guest.exit(2)
    guest.exit(1)
    first, second = guest.seen.records
    assert writes(first) == [("/out", sha(b"first"))]
    assert writes(second) == [("/out", sha(b"second"))]
    assert first.writes[0].order < second.writes[0].order


def test_a_child_that_writes_through_an_inherited_description_is_the_writer(guest: Guest) -> None:
    output = guest.create(1, b"/out")
    output.write(b"a")
    guest.fork(1, 2)
    output.write(b"b")
    guest.exit(2)
    guest.exit(1)
    first, second = guest.seen.records
    assert writes(first) == [("/out", sha(b"a"))]
    assert writes(second) == [("/out", sha(b"ab"))]


def test_an_inherited_description_survives_exec(guest: Guest) -> None:
    output = guest.create(1, b"/out")
    guest.fork(1, 2)
    guest.exec(2, b"/bin/tool")
    output.write(b"by the tool")
    guest.exit(2)
    guest.exit(1)
    assert writes(guest.seen.records[1]) == [("/out", sha(b"by the tool"))]


def test_the_order_of_writes_is_the_order_of_being_finished(guest: Guest) -> None:
    guest.create(1, b"/late")
    guest.fork(1, 2)
    guest.exec(2, b"/bin/tool")
    guest.create(2, b"/early").write(b"x")
    guest.exit(2)
    guest.fs.open(guest.at, b"/late", O_WRONLY, 0)[0].write(b"y")
    guest.exit(1)
    first, second = guest.seen.records
    assert second.writes[0].order < first.writes[-1].order


def test_an_empty_output_is_an_output(guest: Guest) -> None:
    guest.create(1, b"/empty")
    guest.exit(1)
    assert writes(guest.seen.records[0]) == [("/empty", sha(b""))]


def test_opening_for_writing_without_writing_makes_nothing(guest: Guest) -> None:
    guest.open(1, b"/src", O_WRONLY)
    guest.exit(1)
    assert writes(guest.seen.records[0]) == []
    assert reads(guest.seen.records[0]) == []


def test_a_file_changed_in_place_is_both_input_and_output(guest: Guest) -> None:
    guest.open(1, b"/src", O_RDWR).write(b"S")
    guest.exit(1)
    (record,) = guest.seen.records
    assert reads(record) == [("/src", sha(b"source"))]
    assert writes(record) == [("/src", sha(b"Source"))]


def test_a_truncated_file_is_no_input(guest: Guest) -> None:
    guest.open(1, b"/src", O_RDWR | O_TRUNC).write(b"new")
    guest.exit(1)
    (record,) = guest.seen.records
    assert reads(record) == []
    assert writes(record) == [("/src", sha(b"new"))]


def test_a_file_read_twice_is_one_input(guest: Guest) -> None:
    guest.open(1, b"/src")
    guest.open(1, b"/src")
    assert len(guest.seen.records[0].reads) == 1


def test_directories_are_no_inputs(guest: Guest) -> None:
    guest.open(1, b"/bin")
    assert reads(guest.seen.records[0]) == []


def test_a_renamed_file_is_made_by_who_renamed_it_from_the_old_one(guest: Guest) -> None:
    guest.fork(1, 2)
    guest.exec(2, b"/bin/tool")
    guest.create(2, b"/tmp").write(b"made")
    guest.exit(2)
    guest.rename(1, b"/tmp", b"/bin/final")
    guest.exit(1)
    first, second = guest.seen.records
    assert writes(second) == [("/tmp", sha(b"made"))]
    assert reads(first) == [("/tmp", sha(b"made"))]
    assert writes(first) == [("/bin/final", sha(b"made"))]


def test_renaming_ones_own_open_file_moves_the_output(guest: Guest) -> None:
    output = guest.create(1, b"/tmp")
    output.write(b"ma")
    guest.rename(1, b"/tmp", b"/final")
    output.write(b"de")
    guest.exit(1)
    (record,) = guest.seen.records
    assert reads(record) == []
    assert writes(record)[-1] == ("/final", sha(b"made"))


def test_a_rename_over_a_file_replaces_what_is_known_of_it(guest: Guest) -> None:
    guest.create(1, b"/old").write(b"to be replaced")
    guest.create(1, b"/new").write(b"stays")
    guest.rename(1, b"/new", b"/old")
    guest.exit(1)
    (record,) = guest.seen.records
    assert writes(record)[-1] == ("/old", sha(b"stays"))
    assert ("/old", sha(b"to be replaced")) in writes(record)


def test_a_removed_file_was_still_written_and_read(guest: Guest) -> None:
    """The compiler driver removes its temporary files; the way back leads through them."""
    guest.fork(1, 2)
    guest.exec(2, b"/bin/tool")
    guest.create(2, b"/tmp").write(b"temporary")
    guest.exit(2)
    guest.fork(1, 3)
    guest.exec(3, b"/bin/tool")
    guest.open(3, b"/tmp")
    guest.exit(3)
    guest.unlink(1, b"/tmp")
    guest.exit(1)
    _, writer, reader = guest.seen.records
    assert writes(writer) == reads(reader) == [("/tmp", sha(b"temporary"))]


def test_a_file_written_and_removed_by_one_process_is_one_write(guest: Guest) -> None:
    output = guest.create(1, b"/tmp")
    output.write(b"x")
    guest.unlink(1, b"/tmp")
    output.write(b"y")
    output.close()
    guest.create(1, b"/tmp").write(b"z")
    guest.exit(1)
    assert writes(guest.seen.records[0]) == [("/tmp", sha(b"x")), ("/tmp", sha(b"z"))]


def test_a_pid_that_is_forked_again_is_told_apart(guest: Guest) -> None:
    for _ in range(2):
        guest.fork(1, 2)
        guest.create(2, b"/out")
        guest.exit(2)
    names = [(r.pid, r.ordinal) for r in guest.seen.records]
    assert len(set(names)) == len(names) == 3


def test_a_guest_that_makes_files_without_end_is_stopped() -> None:
    guest = Guest()
    guest.seen = Provenance(max_versions=100)
    guest.exec(1, b"/bin/seed")
    with pytest.raises(GuestFailed, match="more than 100 times; the last was /loop"):
        for number in range(200):
            guest.create(1, b"/loop").write(b"%d" % number)
            guest.unlink(1, b"/loop")
    guest.seen.finish()
    assert len(guest.seen.records[0].writes) < 110


def test_a_run_that_stops_in_the_middle_keeps_what_was_written(guest: Guest) -> None:
    guest.fork(1, 2)
    guest.exec(2, b"/bin/tool")
    guest.create(2, b"/out").write(b"half")
    guest.seen.finish()
    guest.seen.finish()
    record = guest.seen.records[1]
    assert (record.status, record.ended) == (None, False)
    assert writes(record) == [("/out", sha(b"half"))]


def test_paths_and_arguments_that_are_not_utf_8() -> None:
    assert guest_text(b"a\xffb") == "a\\xffb"
    assert guest_text("ä".encode()) == "ä"
    assert normal_path(b"//x86/./bin/../M1") == "/x86/M1"
    assert normal_path(b"x") == "/x"
