"""Every door through which foreign files come: a good file, and one try of a changed one."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import signal
import sqlite3
import tomllib
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any
from unittest import mock

from bootstrap import trace
from bootstrap.anatomy import dissect
from bootstrap.anatomy.text import render
from bootstrap.attest.envelope import read_envelope
from bootstrap.attest.evidence import source_digest
from bootstrap.attest.handoff_run import read_handoff_run
from bootstrap.attest.policy import read_policy
from bootstrap.attest.statement import read_statement
from bootstrap.cli import commands
from bootstrap.cli import main as command
from bootstrap.confirm.forms import to_page, to_text
from bootstrap.confirm.table import read_baseline
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.core.release import SourceFile
from bootstrap.documents import BadValue, encode
from bootstrap.instruments import default_engine
from bootstrap.known import data_dir
from bootstrap.known import schema as stepfile
from bootstrap.known import seeds as catalogue
from bootstrap.languages import hex0, kaem
from bootstrap.languages.fault import LanguageError
from bootstrap.oci.layout import read_layout
from bootstrap.report.html import to_html, to_markdown
from bootstrap.report.opinion import read_opinion
from bootstrap.sources.tree import SourceTree, read_archive, to_tar
from bootstrap.timeline import checkpoints, indexing
from bootstrap.trace import container
from bootstrap.trace.store import TABLES, trace_digest
from tests.attest.runs import handed_off
from tests.confirm.voices import counted, voice
from tests.hostile.mutation import ODD, as_json, as_toml, bent, changed, either
from tests.report.scenario import Scenario
from tests.trace import recorded

SECONDS = 60
"""No try takes a hundredth of that; what takes all of it has no end."""

POLICY = f"""\
schema = 1
name = "of the tests"
expires = 2031-01-01
revoked = ["{"AB" * 20}"]
[about]
name = "stage0-posix"
release = "1.9.1"
arch = "x86"
products = {{"x86/bin/M1" = "{"ab" * 32}"}}
[need]
persons = 1
[persons.alice]
name = "Alice"
[persons.alice.keys.laptop]
ssh = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{"A" * 43} alice@laptop"
valid_from = 2026-01-01
"""
_TRACE_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("trace", "info", "T"), ("trace", "tree", "T"), ("trace", "files", "T"),
    ("trace", "files", "--graph", "dot", "T"), ("trace", "log", "T"),
    ("trace", "why", "T", "/moved:0"), ("trace", "where", "T", "/source:1"),
    ("trace", "check", "T"), ("trace", "hot", "T"), ("trace", "coverage", "T", "/guest"),
    ("trace", "show", "T", "2@3"), ("trace", "tree", "--instructions", "T"),
    ("trace", "export", "T", "--format", "perfetto", "-o", os.devnull), ("trace", "index", "T"),
    ("diff", "T", "GOOD"), ("diff", "GOOD", "T"), ("step", "--script", "SCRIPT", "T"),
)  # fmt: skip


_INDEX_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("trace", "show", "T", "1@35"), ("trace", "show", "T", "2@3"), ("trace", "hot", "T"),
    ("trace", "tree", "--instructions", "T"), ("step", "--script", "SCRIPT", "T"),
)  # fmt: skip


class Endless(Exception):
    """A try had no end."""


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise Endless

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Doors:
    """All of them; good files are made once, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.good = folder / "good.trace"
        recorded.record(
            recorded.busy("i386"), self.good, files=recorded.busy_files("i386"), stdin=[b"abc"]
        )
        self.place = folder / "changed"
        with mock.patch.object(indexing, "SPACING", 20), trace.open(self.good) as opened:
            indexing.build(opened, default_engine(), str(folder / "good.index"))
        (folder / "script").write_text("step 3\nback\nrun\ninfo\n")
        self.report = encode(Scenario().report())
        (folder / "report").write_bytes(as_json(self.report))
        self.handoff = handed_off("1.9.1", "amd64")
        self.confirmation = encode(counted(voice("core"), voice("native", {"a/M0": None})))
        self.policy = tomllib.loads(POLICY)
        self.step = tomllib.loads((data_dir("steps") / "embedded-x86.toml").read_text())
        self.catalogue = tomllib.loads((data_dir("seeds") / catalogue.FILE).read_text())
        self.catalogue["seed"] = self.catalogue["seed"][:3]
        self.seed = (data_dir("seeds") / "x86" / "hex0-seed").read_bytes()
        files = {"a/b": SourceFile(b"text\n"), "\udcff": SourceFile(b"", True)}
        tree = SourceTree("tree", files, {"a/link": "b"}, frozenset({"a"}))
        self.tar = to_tar(tree, "top")
        self.check_good()
        self._parser = functools.cache(commands.parser)
        self.doors: Mapping[str, Callable[[random.Random], int]] = {
            "trace": self._trace, "trace's bytes": self._trace_bytes, "index": self._index,
            "report": self._report, "handoff run": self._handoff_run,
            "confirmation": self._confirmation, "opinion": self._opinion,
            "policy": self._policy, "envelope": self._envelope, "statement": self._statement,
            "step file": self._step, "catalogue": self._catalogue, "oci layout": self._oci,
            "tar": self._tar, "elf": self._elf, "sources": self._sources,
        }  # fmt: skip

    def check_good(self) -> None:
        """What is changed is good before. Raises BadInput, BadValue, LanguageError."""
        self.place.write_bytes(as_toml(self.policy))
        read_policy(self.place)
        stepfile.parse(as_toml(self.step).decode(), "step.toml")
        catalogue.parse(as_toml(self.catalogue).decode(), "catalogue.toml")
        read_statement(as_json(_STATEMENT))
        read_envelope(as_json(_ENVELOPE))
        read_archive(self.tar, "x.tar")
        read_baseline(as_json(self.confirmation), "b.json")
        self.place.write_bytes(as_json(self.handoff))
        assert read_handoff_run(self.place) is not None

    def one(self, number: int) -> tuple[str, int]:
        """The try of that number: which door, and the status it ended with.

        Raises AssertionError, and whatever should not have come out of the program.
        """
        dice = random.Random(number)
        names = list(self.doors)
        # Traces have the most tables, and the most commands.
        name = "trace" if not dice.randrange(4) else names[number % len(names)]
        with _limited():
            return name, self.doors[name](dice)

    # -- how a try ends ---------------------------------------------------------------------------

    def run(self, *argv: str) -> int:
        """Run a command here; the status."""
        words = {"T": self.place, "GOOD": self.good, "SCRIPT": self.folder / "script"}
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with (
            contextlib.redirect_stdout(out), contextlib.redirect_stderr(err),
            mock.patch.object(command, "parser", self._parser),
        ):  # fmt: skip
            status = command.main([str(words.get(word, word)) for word in argv])
        said = []
        for stream in (out, err):
            stream.flush()
            said.append(stream.buffer.getvalue().decode())
        assert status in range(5), (argv, status)
        for text in said:
            for line in text.split("\n"):
                assert line == printable(line), (argv, line)
        if status == ExitStatus.BAD_INPUT:
            assert said[1].startswith("bootstrap: ") and said[1].count("\n") == 1, (argv, said[1])
        return status

    def read(self, read: Callable[[], object]) -> int:
        """Read something; 0, or 2 where it is refused in a line."""
        try:
            read()
        except (BadInput, BadValue, LanguageError) as error:
            assert str(error)
            return 2
        return 0

    # -- doors ------------------------------------------------------------------------------------

    def _trace(self, dice: random.Random) -> int:
        self._fresh()
        with _editing(self.place) as database:
            for _ in range(dice.choice((1, 1, 2))):
                _change(database, dice, [*TABLES])
            if dice.randrange(2):
                with contextlib.suppress(ValueError, TypeError, KeyError):
                    forged = (trace_digest(database),)
                    database.execute("UPDATE meta SET value = ? WHERE name = 'digest'", forged)
        _seal(self.place)
        return self.run(*dice.choice(_TRACE_COMMANDS))

    def _trace_bytes(self, dice: random.Random) -> int:
        self._fresh()
        raw = bent(self.good.read_bytes(), dice)
        at, size = container.SEAL_AT, container.SEAL_SIZE
        self.place.write_bytes(raw[:at] + container.NOT_SEALED + raw[at + size :])
        if dice.randrange(8):
            _seal(self.place)
        return self.run(*dice.choice(_TRACE_COMMANDS))

    def _fresh(self) -> Path:
        """A good trace in place; where its index would be."""
        self.place.write_bytes(self.good.read_bytes())
        beside = self.folder / "changed.index"
        beside.unlink(missing_ok=True)
        return beside

    def _index(self, dice: random.Random) -> int:
        beside = self._fresh()
        beside.write_bytes((self.folder / "good.index").read_bytes())
        with _editing(beside) as database:
            _change(database, dice, [*checkpoints.FORMAT.tables])
        _seal(beside)
        return self.run(*dice.choice(_INDEX_COMMANDS))

    def _report(self, dice: random.Random) -> int:
        self.place.write_bytes(either(self.report, as_json, dice))
        other = str(self.folder / "report")
        return self.run(*dice.choice((
            ("diff", "T", other), ("diff", other, "T"), ("diff", "--json", "-", "T", other),
            ("attest", "--report", "T", "-o", os.devnull),
        )))  # fmt: skip

    def _handoff_run(self, dice: random.Random) -> int:
        self.place.write_bytes(either(self.handoff, as_json, dice))
        return self.run("attest", "--report", "T", "-o", os.devnull)

    def _confirmation(self, dice: random.Random) -> int:
        def read() -> None:
            found = read_baseline(either(self.confirmation, as_json, dice), "b.json")
            text = to_text(found) + to_markdown(to_page(found)) + to_html(to_page(found))
            assert all(line == printable(line) for line in text.split("\n"))

        return self.read(read)

    def _opinion(self, dice: random.Random) -> int:
        good = self.confirmation["opinions"][0]["opinion"]
        return self.read(lambda: read_opinion(either(good, as_json, dice)))

    def _policy(self, dice: random.Random) -> int:
        self.place.write_bytes(either(self.policy, as_toml, dice))
        if dice.randrange(4):
            return self.read(lambda: read_policy(self.place))
        return self.run("quorum", "--policy", "T")

    def _envelope(self, dice: random.Random) -> int:
        return self.read(lambda: read_envelope(either(_ENVELOPE, as_json, dice)))

    def _statement(self, dice: random.Random) -> int:
        return self.read(lambda: read_statement(either(_STATEMENT, as_json, dice)))

    def _step(self, dice: random.Random) -> int:
        text = either(self.step, as_toml, dice).decode("utf-8", "replace")
        return self.read(lambda: stepfile.parse(text, "step.toml"))

    def _catalogue(self, dice: random.Random) -> int:
        text = either(self.catalogue, as_toml, dice).decode("utf-8", "replace")
        return self.read(lambda: catalogue.parse(text, "catalogue.toml"))

    def _oci(self, dice: random.Random) -> int:
        folder = self.folder / "layout"
        folder.mkdir(exist_ok=True)
        (folder / "oci-layout").write_bytes(either({"imageLayoutVersion": "1.0.0"}, as_json, dice))
        row = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 3}
        index = {"schemaVersion": 2, "manifests": [{**row, "digest": f"sha256:{'0' * 64}"}]}
        (folder / "index.json").write_bytes(either(index, as_json, dice))
        return self.read(lambda: read_layout(folder))

    def _tar(self, dice: random.Random) -> int:
        return self.read(lambda: read_archive(bent(self.tar, dice), "x.tar"))

    def _elf(self, dice: random.Random) -> int:
        data = bent(self.seed, dice)
        return self.read(lambda: list(render(dissect(data, knight=False), False)))

    def _sources(self, dice: random.Random) -> int:
        data = bent(b'# hex0\n7F 45 ; x\n4C\n./x86/hex0 a "b c" > d\nif match a b; then\n', dice)
        return self.read(lambda: dice.choice((hex0.assemble, kaem.parse))(data, "source"))


_ENVELOPE: dict[str, Any] = {
    "payload": "e30=",
    "payloadType": "x",
    "signatures": [{"keyid": "", "sig": "YQ=="}],
}
_STATEMENT: dict[str, Any] = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "a", "digest": {"sha256": "0" * 64}}],
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {
        "buildDefinition": {
            "buildType": "urn:x-bootstrap-emulator:verify:1",
            "externalParameters": {"name": "n", "release": None, "arch": "x86", "entry": "e"},
            "internalParameters": {
                "engine": {"name": "unicorn", "version": "1"},
                "host": {"cpuVendor": "", "os": "", "saidBy": ""},
                "sourceDigest": source_digest({"b": "1" * 64}),
                "source": {"treeDigest": "1" * 64},
                "opinions": {
                    "schema": "bootstrap-attested-opinions/1",
                    "treeDigest": "1" * 64,
                    "opinions": [
                        {"name": "core", "how": "", "inputs": {"x": "1"}, "digest": "1" * 64}
                    ],
                },
            },
            "resolvedDependencies": [{"name": "b", "digest": {"sha256": "1" * 64}}],
        },
        "runDetails": {
            "builder": {"id": "x"},
            "byproducts": [{"name": "report", "annotations": {"runDigest": "2" * 64}}],
        },
    },
}


@contextlib.contextmanager
def _editing(place: Path) -> Iterator[sqlite3.Connection]:
    """A sealed file as a database; what a table refuses is left as it is."""
    database = sqlite3.connect(place, isolation_level=None)
    with contextlib.closing(database), contextlib.suppress(sqlite3.Error):
        database.execute("UPDATE seal SET sha256 = ?", (container.NOT_SEALED.decode(),))
        yield database


def _seal(place: Path) -> None:
    """Seal what can be."""
    fd = os.open(place, os.O_RDWR)
    with contextlib.suppress(OSError):
        container.seal(fd)
    os.close(fd)


def _change(database: sqlite3.Connection, dice: random.Random, tables: list[str]) -> None:
    """Change one cell, or one row. Raises sqlite3.Error where the table refuses it."""
    table = dice.choice(tables)
    rows = [row for (row,) in database.execute(f"SELECT rowid FROM {table}")]
    if not rows or not dice.randrange(20):
        database.execute(f"DELETE FROM {table} WHERE rowid = ?", (dice.choice(rows or [0]),))
        return
    row = dice.choice(rows)
    columns = [column[0] for column in database.execute(f"SELECT * FROM {table}").description]
    column = dice.choice(columns)
    (cell,) = database.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()
    value = _other(cell, dice)
    with contextlib.suppress(OverflowError, UnicodeEncodeError, sqlite3.ProgrammingError):
        database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, row))


def _other(cell: Any, dice: random.Random) -> Any:
    if isinstance(cell, bytes) and dice.randrange(4):
        with contextlib.suppress(zlib.error):
            plain = zlib.decompress(cell)
            if plain.startswith(b"{"):
                return zlib.compress(as_json(changed(json.loads(plain), dice)))
            return zlib.compress(bent(plain, dice))
    if isinstance(cell, str) and cell[:1] in ("[", "{") and dice.randrange(4):
        return as_json(changed(json.loads(cell), dice)).decode()
    if isinstance(cell, int) and dice.randrange(2):
        return cell + dice.choice((-2, -1, 1, 2, 100, 1 << 32))
    if isinstance(cell, str) and dice.randrange(2):
        return bent(cell.encode(), dice).decode("utf-8", "replace")
    value = dice.choice(ODD)
    return value if isinstance(value, int | float | str | None) else b"\xff\0"
