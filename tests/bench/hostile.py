"""What hostile guests cost the host: peak memory of the process, and seconds at two sizes.

Each is run with limits of just what it needs; the host's memory has to stay within 200 MB of them,
and twice the size may take twice the time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.single import our_environment
from tests.bench.tables import Row, megabytes, seconds, table
from tests.bench.timing import Cost, Running
from tests.instruments.guest import DATA, Cell, Program

ALLOWED = 200.0
"""Megabytes beyond the guest's limits."""
SECONDS = 120
MIB = 1 << 20
O_RDWR, O_CREAT, O_DIRECTORY, O_LARGEFILE = 2, 0o100, 0o200000, 0o100000


def count(guest: Program, number: int) -> int:
    """A cell that holds a number."""
    cell = guest.space(8)
    guest.memory[cell - DATA : cell - DATA + 4] = number.to_bytes(4, "little")
    return cell


def nested(number: int, root: Path) -> Program:
    """Folders in folders, 250 bytes a name, a file in each; and all of it is written out."""
    guest, name = Program("x86_64"), b"n" * 250
    left, at, file = count(guest, number), guest.text(name), guest.text(b"f")
    guest.label("more").call("mkdir", at, 0o755).call("chdir", at)
    guest.call("open", file, O_RDWR | O_CREAT, 0o644).call("write", 3, at, 1).call("close", 3)
    return guest.decrement(left).jump_if_not_zero("more").exit(0)


def vectors(number: int, root: Path) -> Program:
    """One writev of the same 2 MiB again and again."""
    guest = Program("x86_64")
    guest.call("open", guest.text(b"/f"), O_RDWR | O_CREAT, 0o644)
    guest.call("mmap", 0x1000_0000, 2 * MIB, 3, 0x32, -1, 0)
    return guest.call("writev", 3, guest.words(*[0x1000_0000, 2 * MIB] * number), number).exit(0)


def sparse(number: int, root: Path) -> Program:
    """A byte out of the middle of a host file of so many MiB."""
    with (root / "sparse").open("wb") as file:
        file.truncate(number * MIB)
    guest = Program("x86_64")
    guest.call("open", guest.text(b"/sparse"), O_LARGEFILE).call("lseek", 3, number * MIB // 2, 0)
    return guest.call("read", 3, guest.space(1), 1).exit(0)


def growing(number: int, root: Path) -> Program:
    """A file that grows by 64 KiB at a time, and is written out."""
    guest = Program("x86_64")
    left, buffer = count(guest, number), guest.data(bytes(range(256)) * 256)
    guest.call("open", guest.text(b"/f"), O_RDWR | O_CREAT, 0o644)
    guest.label("more").call("write", 3, buffer, 1 << 16)
    return guest.decrement(left).jump_if_not_zero("more").exit(0)


def mappings(number: int, root: Path) -> Program:
    """Two pages are mapped and one is given back: a gap after each."""
    guest = Program("x86_64")
    left, cell = count(guest, number), guest.space(8)
    guest.label("more").call("mmap", 0, 8192, 3, 0x22, -1, 0).store(cell)
    guest.call("munmap", Cell(cell), 4096)
    return guest.decrement(left).jump_if_not_zero("more").exit(0)


def unlinked(number: int, root: Path) -> Program:
    """Files that stay open without a name."""
    guest = Program("x86_64")
    left, name = count(guest, number), guest.text(b"/f")
    guest.label("more").call("open", name, O_RDWR | O_CREAT, 0o644).call("unlink", name)
    return guest.decrement(left).jump_if_not_zero("more").exit(0)


def listed(number: int, root: Path) -> Program:
    """A folder of the host with so many files."""
    (root / "many").mkdir()
    for index in range(number):
        (root / "many" / f"file-{index:06}").touch()
    guest = Program("x86_64")
    buffer = guest.space(1 << 15)
    guest.call("open", guest.text(b"/many"), O_DIRECTORY)
    guest.label("more").call("getdents64", 3, buffer, 1 << 15)
    return guest.jump_if_not_zero("more").exit(0)


def forks(number: int, root: Path) -> Program:
    """Each child forks the next."""
    guest = Program("x86_64")
    left = count(guest, number)
    guest.label("more").call("fork").jump_if_not_zero("parent")
    guest.decrement(left).jump_if_not_zero("more")
    return guest.label("parent").exit(0)


def arguments(number: int, root: Path) -> Program:
    """So many programs one after the other, each with a list of arguments near the limit."""
    (root / "true").write_bytes(Program("x86_64").exit(0).elf())
    (root / "true").chmod(0o755)
    guest = Program("x86_64")
    left, path = count(guest, number), guest.text(b"/true")
    words = guest.words(*[guest.text(b"aa")] * 180_000, 0)
    guest.label("more").call("fork").jump_if_zero("child")
    guest.decrement(left).jump_if_not_zero("more").exit(0)
    return guest.label("child").call("execve", path, words, 0).exit(1)


@dataclass(frozen=True)
class Case:
    """A hostile guest, the size of it, and the limits it gets."""

    what: str
    build: Callable[[int, Path], Program]
    size: int
    limits: Sequence[str] = ()
    allowed: int = 0
    """Megabytes that the limits let it have."""
    status: int = 0


CASES = (
    Case("{} nested folders, written out", nested, 3000, (), 9),
    Case("writev of {} times 2 MiB", vectors, 1024, ("file=256M",), 11, 3),
    Case("a byte of a sparse file of {} MiB", sparse, 3072, (), 9),
    Case("{} writes of 64 KiB to one file, written out", growing, 4800, ("file=320M",), 345),
    Case("{} mappings with gaps", mappings, 2000, (), 20),
    Case("{} open files without a name", unlinked, 10_000, ("open_files=20000",), 9),
    Case("{} names listed", listed, 100_000, (), 9),
    Case("{} forks in each other", forks, 63, (), 63 * 9),
    Case("{} argument lists of 180,000", arguments, 10, (), 24),
)  # fmt: skip


def measure(say: Callable[[str], None], hot_path: str) -> tuple[str, list[Row]]:
    """All of them on one hot path: the table and the rows of the verdict. Raises Failed."""
    lines: list[Sequence[str]] = []
    rows = []
    for case in CASES:
        half, whole = cost(case, case.size // 2, hot_path), cost(case, case.size, hot_path)
        what = case.what.format(f"{case.size:,}")
        say(f"{what}: {megabytes(whole.peak)}, {seconds(whole.cpu)}")
        lines.append(
            [
                what,
                f"{case.allowed} MB",
                megabytes(whole.peak),
                seconds(half.cpu),
                seconds(whole.cpu),
            ]
        )
        beyond = whole.peak / 1e6 - case.allowed
        row = Row(what, megabytes(whole.peak), "its limits", beyond, " MB", ALLOWED, strict=True)
        rows.append(row)
    head = ["hostile guest", "its limits", "peak", "CPU, half of it", "CPU"]
    return table(head, lines), rows


def cost(case: Case, size: int, hot_path: str) -> Cost:
    """One run of `bootstrap run`. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        root = Path(folder) / "root"
        root.mkdir()
        guest = root / "guest"
        guest.write_bytes(case.build(size, root).elf())
        guest.chmod(0o755)
        command = [sys.executable, "-m", "bootstrap", "run", "--root", str(root)]
        command += ["--output", str(Path(folder) / "out")]
        command += [word for limit in case.limits for word in ("--limit", limit)]
        environment = our_environment(hot_path)
        log = Path(folder) / "log"
        try:
            with Running([*command, "--", "/guest"], log, cwd=root, env=environment) as running:
                return running.cost((case.status << 8,))
        finally:
            # It may be deeper than Python removes folders, which is by recursion.
            subprocess.run(["rm", "-rf", str(Path(folder) / "out")], check=True)
