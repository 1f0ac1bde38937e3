"""Distfiles: the audit of a folder, and fetching from a server on the loopback interface."""

from __future__ import annotations

import json
import os
import resource
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from bootstrap import host
from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from bootstrap.handoff import fetching
from bootstrap.handoff.distfiles import Distfile, audit, look
from bootstrap.handoff.fetching import LOCK, FetchProgress, fetch, mirror_at, places
from bootstrap.handoff.plan import read_distfiles
from tests.attest.runs import inside
from tests.handoff import tree
from tests.sources.conftest import Server


class Wire:
    """Serves the small tree's files with Range, and writes down which was asked for."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.ranges: list[str] = []
        self.give("/one-1.0.tar.gz", tree.ONE)
        self.give("/dl/2", tree.TWO)
        self.give("/mirror/snap-abc.tar.gz", tree.GIT)

    def give(
        self, path: str, data: bytes, stop: int | None = None, shift: int = 0, ranges: bool = True
    ) -> None:
        """``stop``: end the connection there; ``shift``: give another range than was asked for."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            asked = handler.headers.get("Range", "")
            self.ranges.append(asked)
            start = int(asked[6:-1]) if asked and ranges else 0
            if start and start >= len(data):
                handler.send_response(416)
                handler.send_header("Content-Length", "0")
                handler.end_headers()
                return
            handler.send_response(206 if start else 200)
            if start:
                last = len(data) - 1
                handler.send_header("Content-Range", f"bytes {start + shift}-{last}/{len(data)}")
            handler.send_header("Content-Length", str(len(data) - start))
            handler.end_headers()
            handler.wfile.write(data[start:stop])

        self.server.answers[path] = answer


@pytest.fixture
def wire(server: Server) -> Wire:
    return Wire(server)


@pytest.fixture
def files(tmp_path: Path, wire: Wire) -> dict[str, Distfile]:
    checkout = tree.make(tmp_path / "lb", wire.server.url)
    return {file.name: file for file in read_distfiles(checkout)}


class Getter:
    """Fetches one of the files into a folder, where a part of it may be."""

    def __init__(self, folder: Path, wire: Wire, files: dict[str, Distfile]) -> None:
        self.folder, self.wire, self.files = folder, wire, files
        self.part = folder / ".two.tar.xz.part"

    def get(self, name: str, *mirrors: str) -> str:
        """Why not, or an empty text."""
        (outcome,) = fetch([self.files[name]], self.folder, mirrors)
        assert (outcome.url is None) == bool(outcome.detail)
        assert (self.folder / name).exists() == (outcome.url is not None)
        return outcome.detail

    def two(self, *mirrors: str) -> str:
        return self.get("two.tar.xz", *mirrors)

    def require_two(self, *mirrors: str, ranges: list[str] | None = None) -> None:
        """It comes, right; ``ranges`` is what the server is asked for."""
        self.wire.ranges.clear()
        assert self.two(*mirrors) == ""
        assert (self.folder / "two.tar.xz").read_bytes() == tree.TWO and not self.part.exists()
        assert ranges is None or self.wire.ranges == ranges


@pytest.fixture
def getter(tmp_path: Path, wire: Wire, files: dict[str, Distfile]) -> Getter:
    (tmp_path / "d").mkdir()
    return Getter(tmp_path / "d", wire, files)


def test_all_come_and_are_right(tmp_path: Path, wire: Wire, files: dict[str, Distfile]) -> None:
    folder = tmp_path / "d"
    flights: list[int] = []

    def tell(flight: FetchProgress) -> None:
        flights.append(len(flight.done))

    outcomes = fetch(list(files.values()), folder, [f"{wire.server.url}/mirror"], 3, tell)
    assert {o.file.name: (folder / o.file.name).read_bytes() for o in outcomes} == tree.FILES
    assert flights[-1] == 3 and flights == sorted(flights)
    assert {p.name for p in folder.iterdir()} == {*tree.FILES, LOCK}


def test_mirrors_are_asked_first(files: dict[str, Distfile]) -> None:
    file = files["two.tar.xz"]
    own = ("http://m/x/two.tar.xz", "http://n/two.tar.xz")
    assert places(file, [mirror_at("http://m/x/"), "http://n"]) == (*own, *file.urls)


@pytest.mark.parametrize(
    ("part", "ranges"),
    [
        (tree.TWO[:1000], ["bytes=1000-"]),
        (b"x" * 99, ["bytes=99-", ""]),  # of something else: the whole is asked for
        (tree.TWO + b"more", [f"bytes={len(tree.TWO) + 4}-", ""]),
        (tree.TWO, []),
    ],
    ids=["begun", "other", "longer", "whole"],
)
def test_a_part_is_gone_on_with(getter: Getter, part: bytes, ranges: list[str]) -> None:
    getter.part.write_bytes(part)
    getter.require_two(ranges=ranges)


def test_servers_that_do_not_do_as_they_are_asked(getter: Getter) -> None:
    """A connection that ends is gone on with the next time; another range is refused."""
    getter.wire.give("/dl/2", tree.TWO, stop=5000)
    assert f"cut short: 5000 of {len(tree.TWO)} bytes came" in getter.two()
    assert getter.part.read_bytes() == tree.TWO[:5000]
    getter.wire.give("/dl/2", tree.TWO, shift=1)
    assert "asked for what follows byte 5000, and gave another part" in getter.two()
    getter.part.write_bytes(tree.TWO[:5000])
    getter.wire.give("/dl/2", tree.TWO)
    getter.require_two(ranges=["bytes=5000-"])
    (getter.folder / "two.tar.xz").unlink()
    getter.part.write_bytes(b"x" * 99)
    getter.wire.give("/dl/2", tree.TWO, ranges=False)
    getter.require_two()


def test_a_wrong_file_never_gets_its_name(getter: Getter, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = bytearray(tree.TWO)
    wrong[7] ^= 1
    getter.wire.give("/dl/2", bytes(wrong))
    gave = f"gave the sha256 {tree.sha256(bytes(wrong))}, not {tree.sha256(tree.TWO)}"
    assert gave in getter.two()
    assert not getter.part.exists()
    assert "no address is listed; give --mirror" in getter.get("snap-abc.tar.gz")
    monkeypatch.setattr(fetching, "MAX_FILE", 100)
    assert "is larger than 100 bytes" in getter.two()


def test_the_next_address_is_asked(getter: Getter) -> None:
    server = getter.wire.server
    getter.wire.give("/m/two.tar.xz", b"an error page with status 200")
    server.fail("/n/two.tar.xz", 404)
    getter.require_two(f"{server.url}/m", f"{server.url}/n")
    assert server.asked == ["/m/two.tar.xz", "/n/two.tar.xz", "/dl/2"]


def test_a_redirect_from_http_to_http(getter: Getter) -> None:
    server = getter.wire.server
    getter.wire.give("/moved", tree.TWO)
    server.fail("/dl/2", 302, server.url + "/moved")
    getter.require_two()
    server.fail("/one-1.0.tar.gz", 302, "file:///etc/passwd")
    assert "'file:///etc/passwd' is not allowed" in getter.get("one-1.0.tar.gz")


def test_folders_that_cannot_be_fetched_into(tmp_path: Path, files: dict[str, Distfile]) -> None:
    """Two runs exclude each other."""
    fd = os.open(tmp_path / LOCK, os.O_RDWR | os.O_CREAT)
    try:
        assert host.try_lock(fd)
        with pytest.raises(BadInput, match="another run is fetching into it"):
            fetch(list(files.values()), tmp_path)
    finally:
        os.close(fd)
    (tmp_path / "f").write_text("")
    with pytest.raises(BadInput, match="f: cannot be written: "):
        fetch(list(files.values()), tmp_path / "f")


def test_what_came_until_ctrl_c_is_kept(getter: Getter) -> None:
    ended = threading.Event()

    def stall(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(tree.TWO)))
        handler.end_headers()
        handler.wfile.write(tree.TWO[:1000])
        handler.wfile.flush()
        ended.wait(60)

    def tell(flight: FetchProgress) -> None:
        if flight.coming.get("two.tar.xz") == (1000, len(tree.TWO)):
            ended.set()
            raise KeyboardInterrupt

    getter.wire.server.answers["/dl/2"] = stall
    with pytest.raises(KeyboardInterrupt):
        fetch([getter.files["two.tar.xz"]], getter.folder, notify=tell)
    assert getter.part.read_bytes() == tree.TWO[:1000]
    getter.wire.give("/dl/2", tree.TWO)
    getter.require_two(ranges=["bytes=1000-"])


def test_what_cannot_be_written_ends_the_run(getter: Getter) -> None:
    """A limit stands for a full disk: the host takes the first 1,000 bytes and no more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(BadInput, match="File too large; make room"):
            getter.two()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_audit(tmp_path: Path, files: dict[str, Distfile]) -> None:
    folder = tree.fill(tmp_path / "d")
    (folder / "other").write_text("")
    (folder / ".hidden").write_text("")
    found = audit(files.values(), folder)
    assert found.whole and found.others == ("other",)
    data = bytearray(tree.ONE)
    data[3] ^= 0x10
    (folder / "one-1.0.tar.gz").write_bytes(data)
    (folder / "two.tar.xz").unlink()
    (folder / "snap-abc.tar.gz").write_bytes(b"")
    found = audit(files.values(), folder)
    assert not found.whole
    assert [(row.state, row.detail) for row in found.rows] == [
        ("wrong", f"has the sha256 {tree.sha256(bytes(data))}"),
        ("missing", ""),
        ("wrong", "is empty"),
    ]
    place = folder / "two.tar.xz"
    place.mkdir()
    assert look(files[place.name], folder).detail == "is a folder"
    place.rmdir()
    os.mkfifo(place)
    assert look(files[place.name], folder).detail == "is no regular file"


class Command:
    """`bootstrap handoff sources` on the small checkout, with a folder of its own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder / "d", capsys
        self.args = ["handoff", "sources", "--live-bootstrap", str(folder / "lb")]

    def run(self, *more: str | Path) -> tuple[int, str, str]:
        """Its status, and what it wrote."""
        status = main([*self.args, "--distfiles", str(self.folder), *map(str, more)])
        return status, *self.capsys.readouterr()


@pytest.fixture
def command(
    tmp_path: Path, files: dict[str, Distfile], capsys: pytest.CaptureFixture[str]
) -> Command:
    return Command(tmp_path, capsys)


def test_the_command_fetches_and_tells(command: Command, wire: Wire) -> None:
    status, out, err = command.run()
    assert status == 1
    assert "INCOMPLETE: 1 file missing or wrong" in out and "give --mirror URL-OR-DIR" in out
    assert sorted(line.split(" ", 3)[3] for line in err.splitlines()) == [
        "one-1.0.tar.gz came",
        "snap-abc.tar.gz not to be had",
        "two.tar.xz came",
    ]
    status, out, _ = command.run("--mirror", f"{wire.server.url}/mirror")
    assert status == 0 and "WHOLE: every file is there" in out
    wire.server.asked.clear()
    assert command.run()[0] == 0 and wire.server.asked == []
    # A wrong file is left unless it is to be replaced.
    place = command.folder / "two.tar.xz"
    place.write_text("mine")
    assert command.run()[0] == 1 and place.read_text() == "mine"
    assert command.run("--replace")[0] == 0 and place.read_bytes() == tree.TWO


def test_a_mirror_is_a_folder_or_an_address(command: Command, wire: Wire, tmp_path: Path) -> None:
    """The same files, whichever way it is named; what is wrong in it is said, and not taken."""
    mirror = tree.fill(tmp_path / "a mirror")
    for number, text in enumerate((str(mirror), mirror.as_uri(), f"file://localhost{mirror}")):
        command.folder = tmp_path / f"{number}"
        assert command.run("--mirror", text)[0] == 0
        assert {p.name for p in command.folder.iterdir()} == {LOCK, *tree.FILES}
    assert wire.server.asked == []
    (mirror / "snap-abc.tar.gz").write_text("other")
    (mirror / "two.tar.xz").unlink()
    command.folder = tmp_path / "d"
    status, out, _ = command.run("--mirror", mirror)
    wrong = f"{mirror}/snap-abc.tar.gz: has the sha256 {tree.sha256(b'other')}"
    assert status == 1 and wrong in " ".join(out.split())
    assert (command.folder / "two.tar.xz").read_bytes() == tree.TWO
    assert not (command.folder / "snap-abc.tar.gz").exists()


def test_an_audit_never_asks_anybody(command: Command, wire: Wire) -> None:
    command.folder.mkdir()
    for option in ("--audit", "--offline"):
        status, out, _ = command.run("--json", "-", option)
        document = json.loads(out)
        assert status == 1 and document["whole"] is False
        assert [row["state"] for row in document["distfiles"]] == ["missing"] * 3
    assert wire.server.asked == [] and list(command.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (["--jobs", "0"], "--jobs 0: give a number from 1"),
        (["--mirror", "m"], "--mirror m: there is no such folder"),
        (["--mirror", "file:///nowhere"], "--mirror file:///nowhere: there is no such folder"),
        (["--mirror", "file://there/x"], "begins with https://, http:// or file:///"),
        (["--mirror", "ftp://x/y"], "--mirror ftp://x/y: give a folder, or an address that"),
        (["--audit"], "cannot be read as a folder"),
    ],
)
def test_bad_input(small: Path, tmp_path: Path, args: list[str], fault: str) -> None:
    base = ["handoff", "sources", "--live-bootstrap", str(small), "--distfiles"]
    done = inside(*base, str(tmp_path / "none"), *args)
    assert done.status == 2 and fault in done.one_line()
