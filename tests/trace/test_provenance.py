"""Who read what and who wrote what, as the kernel's events say it."""

import hashlib

import pytest

from bootstrap.core.abi import O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import OpenFile
from bootstrap.core.paths import PathBase
from bootstrap.core.process import Exec
from bootstrap.linux.events import Changed, Executed, Exited, Forked, Opened, Renamed
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.inode import LazyFile
from bootstrap.runs.reading import reads
from bootstrap.trace.lineage import FileVersion, ProcessRecord, guest_text, normal_path
from bootstrap.trace.provenance import Provenance

FILES = {
    b"bin/seed": b"seed image",
    b"bin/tool": b"tool image",
    b"src": b"source",
    b"other": b"other source",
}
FLAGS = {
    "read": O_RDONLY,
    "read or make": O_RDONLY | O_CREAT,
    "empty": O_RDONLY | O_TRUNC,
    "make empty": O_RDONLY | O_CREAT | O_TRUNC,
    "make": O_WRONLY | O_CREAT | O_TRUNC,
    "write": O_WRONLY,
    "change": O_RDWR,
    "replace": O_RDWR | O_TRUNC,
}


class Guest:
    """Does to a file system what processes do, and gives the listener the events of a machine."""

    def __init__(self, max_versions: int = 1_000) -> None:
        lower = MemoryLower({path: LowerFile(0o755, data) for path, data in FILES.items()})
        self.fs = OverlayFileSystem(lower)
        self.at = PathBase(self.fs.root, self.fs.root)
        self.seen = Provenance(max_versions)
        self.parents = {1: 0}
        self.opened: dict[bytes, OpenFile] = {}
        self.texts = {hashlib.sha256(b"").hexdigest(): ""}
        for data in FILES.values():
            self.knows(data)
        self.exec(1, b"/bin/seed", b"script")

    def knows(self, data: bytes) -> None:
        self.texts[hashlib.sha256(data).hexdigest()] = data.decode()

    def do(self, script: str) -> "Guest":
        """Steps, one after the other: a word of FLAGS with a pid, a path and perhaps what is
        written, or one of those below; `+` writes more where a path was last opened for that."""
        for step in script.split("; "):
            verb, *words = step.split()
            raw = [word.encode() for word in words]
            match verb:
                case "fork":
                    self.parents[int(words[1])] = int(words[0])
                    self.seen(Forked(0, int(words[0]), int(words[1])))
                case "exec":
                    self.exec(int(words[0]), *raw[1:])
                case "exit":
                    status = int(words[1]) if words[1:] else 0
                    self.seen(Exited(0, int(words[0]), status, 10, None))
                case "unlink":
                    gone, place = self.fs.unlink(self.at, raw[1])
                    self.seen(Changed(0, int(words[0]), "unname", gone, place))
                case "rename":
                    self.rename(int(words[0]), *raw[1:])
                case "+":
                    self.write(self.opened[raw[0]], raw[1])
                case _:
                    flags = FLAGS[verb.replace("-", " ")]
                    file = self.open(int(words[0]), raw[1], flags)
                    if file.writable:
                        self.opened[raw[1]] = file
                    for data in raw[2:]:
                        self.write(file, data)
        return self

    def write(self, file: OpenFile, data: bytes) -> None:
        file.write(data)
        assert isinstance(file.inode, LazyFile)
        self.knows(file.inode.contents())

    def exec(self, pid: int, path: bytes, *argv: bytes) -> None:
        image = self.fs.resolve(self.at, path)
        assert isinstance(image, LazyFile)
        parent = self.parents.setdefault(pid, 0)
        program = Exec(path, (path, *argv), ())
        self.seen(Executed(0, pid, parent, self.at, program, image, "i386"))

    def rename(self, pid: int, old: bytes, new: bytes) -> None:
        source, target = self.fs.parent(self.at, old), self.fs.parent(self.at, new)
        moved, replaced = self.fs.rename(source, target)
        self.seen(Renamed(0, pid, self.at, old, self.at, new))
        if replaced is not None:
            self.seen(Changed(0, pid, "unname", replaced, target))
        self.seen(Changed(0, pid, "unname", moved, source))
        self.seen(Changed(0, pid, "name", moved, target))

    def open(self, pid: int, path: bytes, flags: int) -> OpenFile:
        opened = self.fs.open(self.at, path, flags, 0o644)[0]
        self.seen(Opened(0, pid, self.at, path, opened, flags, 3))
        return opened

    def record(self, number: int = 0) -> ProcessRecord:
        return self.seen.records[number]

    def uses(self) -> list[str]:
        """Of each record what it read and wrote: `< /src=source > /out=made`."""
        return [
            " ".join(
                f"{mark} {one.path}={self.texts[one.sha256]}"
                for mark, versions in (("<", record.reads), (">", record.writes))
                for one in versions
            )
            for record in self.seen.records
        ]


TOOL = "fork 1 2; exec 2 /bin/tool"
"""A child that only execs is one record: the second."""


@pytest.mark.parametrize(
    ("script", "uses"),
    [
        pytest.param(script, uses, id=name)
        for name, script, *uses in (
            ("one made from another", "read 1 /src; make 1 /out made; exit 1",
             "< /src=source > /out=made"),
            ("made without the right to write", "read-or-make 1 /out; exit 1", "> /out="),
            ("emptied without the right to write", "empty 1 /src; exit 1", "> /src="),
            ("made and emptied", "make-empty 1 /out; exit 1", "> /out="),
            ("there where it might be made", "read-or-make 1 /src; exit 1", "< /src=source"),
            ("a child that only execs", f"{TOOL} x; exit 2; exit 1", "", ""),
            ("a child that never execs", "fork 1 2; make 2 /out child; exit 2; exit 1",
             "", "> /out=child"),
            ("an exec in between", "make 1 /out before; exec 1 /bin/tool; exit 1",
             "> /out=before", ""),
            ("a pid that is used again", "exit 1; exec 1 /bin/tool; exit 1", "", ""),
            ("its own work is no input",
             "make 1 /out made; read 1 /out; fork 1 2; exit 2; read 1 /out; exit 1",
             "> /out=made", ""),
            ("what its child wrote", f"{TOOL}; make 2 /tmp temporary; exit 2; read 1 /tmp; exit 1",
             "< /tmp=temporary", "> /tmp=temporary"),
            ("what the parent still writes",
             f"make 1 /tmp one; {TOOL}; read 2 /tmp; exit 2; + /tmp ,two; exit 1",
             "> /tmp=one > /tmp=one,two", "< /tmp=one"),
            ("two writers of one path", "make 1 /out 1st; fork 1 2; exec 2 /bin/tool; "
             "make 2 /out 2nd; exit 2; exit 1", "> /out=1st", "> /out=2nd"),
            ("an inherited description", "make 1 /out a; fork 1 2; + /out b; exit 2; exit 1",
             "> /out=a", "> /out=ab"),
            ("it survives exec", f"make 1 /out; {TOOL}; + /out tool; exit 2; exit 1",
             "> /out=", "> /out=tool"),
            ("an empty output", "make 1 /empty; exit 1", "> /empty="),
            ("nothing is written", "write 1 /src; exit 1", ""),
            ("changed in place", "change 1 /src S; exit 1", "< /src=source > /src=Source"),
            ("truncated", "replace 1 /src new; exit 1", "> /src=new"),
            ("read twice", "read 1 /src; read 1 /src", "< /src=source"),
            ("a directory", "read 1 /bin", ""),
            ("renamed by another",
             f"{TOOL}; make 2 /tmp made; exit 2; rename 1 /tmp /bin/final; exit 1",
             "< /tmp=made > /bin/final=made", "> /tmp=made"),
            ("renamed while it is open", "make 1 /tmp ma; rename 1 /tmp /final; + /tmp de; exit 1",
             "> /tmp=ma > /final=ma > /final=made"),
            ("renamed over another",
             "make 1 /old gone; make 1 /new stays; rename 1 /new /old; exit 1",
             "> /old=gone > /new=stays > /old=stays"),
            # The compiler driver removes its temporary files; the way back leads through them.
            ("removed by another",
             f"{TOOL}; make 2 /tmp some; exit 2; fork 1 3; exec 3 /bin/tool; read 3 /tmp; exit 3; "
             "unlink 1 /tmp; exit 1", "", "> /tmp=some", "< /tmp=some"),
            ("removed by its writer",
             "make 1 /tmp x; unlink 1 /tmp; + /tmp y; make 1 /tmp z; exit 1",
             "> /tmp=x > /tmp=z"),
        )
    ],
)  # fmt: skip
def test_reads_and_writes(script: str, uses: list[str]) -> None:
    assert Guest().do(script).uses() == uses


def test_a_record() -> None:
    guest = Guest().do("read 1 /src; make 1 /out made; exit 1 256")
    record = guest.record()
    assert (record.pid, record.ppid, record.ordinal, record.cwd) == (1, 0, 1, "/")
    assert (record.exe_path, record.argv) == ("/bin/seed", ("/bin/seed", "script"))
    assert record.exe.sha256 == hashlib.sha256(b"seed image").hexdigest()
    assert [one.path for one in record.inputs] == ["/bin/seed", "/src"]
    assert (record.status, record.syscalls, record.ended) == (256, 10, True)
    (written,) = record.writes
    assert written.size == 4
    assert guest.seen.writer_of("/out", written.sha256) is record
    assert guest.seen.writer_of("/out", record.exe.sha256) is None


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (f"{TOOL}; exit 2; exit 1", [(1, 0, 1, None, False), (2, 1, 1, 0, False)]),
        ("fork 1 2; make 2 /out x; exit 2", [(1, 0, 1, None, False), (2, 1, 0, 0, False)]),
        ("exec 1 /bin/tool; exit 1", [(1, 0, 1, None, True), (1, 0, 2, 0, False)]),
        ("exit 1; exec 1 /bin/tool", [(1, 0, 1, None, False), (1, 0, 2, None, False)]),
        ("fork 1 2; make 2 /o; exit 2; fork 1 2; make 2 /o; exit 2",
         [(1, 0, 1, None, False), (2, 1, 0, 0, False), (2, 1, 1, 0, False)]),
    ],
)  # fmt: skip
def test_whose_record_it_is(
    script: str, expected: list[tuple[int, int, int, int | None, bool]]
) -> None:
    """pid, parent, which program of the pid, the record that started it, whether it was replaced;
    a pid that comes again is told apart."""
    assert [
        (r.pid, r.ppid, r.ordinal, r.started_by, r.replaced)
        for r in Guest().do(script).seen.records
    ] == expected


def test_the_order_of_writes_is_the_order_of_being_finished() -> None:
    guest = Guest().do(f"make 1 /late; {TOOL}; make 2 /early x; exit 2")
    guest.fs.open(guest.at, b"/late", O_WRONLY, 0)[0].write(b"y")
    guest.do("exit 1")
    assert guest.record(1).writes[0].order < guest.record(0).writes[-1].order
    guest = Guest().do(f"make 1 /out 1st; {TOOL}; make 2 /out 2nd; exit 2; exit 1")
    assert guest.record(0).writes[0].order < guest.record(1).writes[0].order


def test_a_guest_that_makes_files_without_end_is_stopped() -> None:
    guest = Guest(max_versions=100)
    with pytest.raises(GuestFailed, match="more than 100 times; the last was /loop"):
        for number in range(200):
            guest.do(f"make 1 /loop {number}; unlink 1 /loop")
    guest.seen.finish()
    assert len(guest.record().writes) < 110


def test_a_run_that_stops_in_the_middle_keeps_what_was_written() -> None:
    guest = Guest().do(f"{TOOL}; make 2 /out half")
    guest.seen.finish()
    guest.seen.finish()
    assert (guest.record(1).status, guest.record(1).ended) == (None, False)
    assert guest.uses()[1] == "> /out=half"


def test_paths_and_arguments_that_are_not_utf_8() -> None:
    assert guest_text(b"a\xffb") == "a\\xffb"
    assert guest_text("ä".encode()) == "ä"
    assert normal_path(b"//x86/./bin/../M1") == "/x86/M1"
    assert normal_path(b"x") == "/x"


def test_reads_are_files_of_the_tree_as_they_are_there() -> None:
    seed = FileVersion("/seed", "a" * 64, 1)
    record = ProcessRecord(1, 0, 1, seed, ("seed",))
    record.reads += [
        FileVersion("/x86/source", "b" * 64, 2),
        FileVersion("/x86/bin/made", "c" * 64, 3),
        FileVersion("/x86/replaced", "d" * 64, 4),
        FileVersion("/x86/source", "b" * 64, 2),
    ]
    tree = {
        "seed": "a" * 64,
        "x86/source": "b" * 64,
        "x86/replaced": "e" * 64,
        "README": "f" * 64,
    }
    assert reads([record], tree) == ["seed", "x86/source"]
