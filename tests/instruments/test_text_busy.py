"""A program that runs is not written to, and a file that is written does not run: ETXTBSY.

Open(2), truncate(2), execve(2); each program's words are those of the host's kernel, where it can.
"""

from __future__ import annotations

import functools
import io

from bootstrap.core.abi import Errno
from bootstrap.core.files import Stream
from bootstrap.core.process import Exec
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.machine import LinuxMachine
from bootstrap.linux.snapshot import Sharing, restore, take
from tests.instruments import runs
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, emulate, native

O_WRONLY, O_RDWR, O_CREAT, O_TRUNC = 1, 2, 0o100, 0o1000
BUSY = -Errno.ETXTBSY


@functools.cache
def gives_text_busy(abi: str) -> bool:
    """Whether the host's kernel can be asked: Linux 6.11 let running programs be written to."""
    if runs.why_not_native(abi) is not None:
        return False
    guest = Program(abi)
    probe = guest.call_and_report("open", guest.text(b"guest"), O_WRONLY, 0).exit(0)
    return native(probe).words(guest.word) == [BUSY]


def check(
    guest: Program, hot_path: str, expected: list[int], files: dict[bytes, bytes] | None = None
) -> None:
    """What the program and its children write: 0 stands for any success."""
    outcome = emulate(guest, hot_path, files=files)
    assert [min(word, 0) for word in outcome.words(guest.word)] == expected
    if gives_text_busy(guest.abi):
        words = native(guest, files=files).words(guest.word)
        assert [min(word, 0) for word in words] == expected


def tries(guest: Program, name: bytes) -> Program:
    """All ways to write to a file that this kernel has."""
    path = guest.text(name)
    for flags in (O_WRONLY, O_RDWR, O_TRUNC, O_RDWR | O_CREAT, O_WRONLY | O_TRUNC, 0, 3):
        guest.call_and_report("open", path, flags, 0)
    guest.call_and_report("creat", path, 0o755)
    return guest.call_and_report("truncate", path, 1)


TRIED = [BUSY] * 5 + [0, 0] + [BUSY] * 2


@EACH_HOT_PATH
@EACH_ABI
def test_the_running_program(abi: str, hot_path: str) -> None:
    guest = tries(Program(abi), b"guest")
    moved, other = guest.text(b"moved"), guest.text(b"other")
    guest.call_and_report("rename", guest.text(b"guest"), moved)
    tries(guest, b"moved")
    guest.call_and_report("link", moved, other).call_and_report("chmod", moved, 0o600)
    guest.call_and_report("unlink", moved)
    tries(guest, b"other").call_and_report("unlink", other).exit(0)
    check(guest, hot_path, [*TRIED, 0, *TRIED, 0, 0, 0, *TRIED, 0])


@EACH_HOT_PATH
@EACH_ABI
def test_a_parent_and_an_interpreter_that_run(abi: str, hot_path: str) -> None:
    """The script of a running interpreter may be written; what ran before may be, too."""
    second = tries(tries(Program(abi), b"guest"), b"second")
    tries(second, b"third").exit(0)
    guest = Program(abi)
    script, none, status = guest.text(b"./script"), guest.words(0), guest.space(8)
    guest.call("fork").jump_if_zero("child").call("wait4", -1, status, 0, 0)
    # The child is gone, and so is its image.
    tries(guest, b"second").exit(0)
    guest.label("child").call("fork").jump_if_zero("grandchild")
    guest.call("wait4", -1, status, 0, 0).exit(0)
    guest.label("grandchild").call_and_report("execve", script, none, none).exit(1)
    free = [0] * 9
    files = {b"/script": b"#!./second\n", b"/second": second.elf(), b"/third": b""}
    check(guest, hot_path, [*TRIED, *TRIED, *free, *free], files)


@EACH_HOT_PATH
@EACH_ABI
def test_a_file_that_is_open_for_writing(abi: str, hot_path: str) -> None:
    """Execve of it, and of a script and an interpreter, as long as one descriptor is left."""
    guest = Program(abi)
    none, status = guest.words(0), guest.space(8)
    names = [guest.text(name) for name in (b"./script", b"./second")]

    def execute(label: str) -> None:
        for name in names:
            at = f"{label} {name}"
            guest.call("fork").jump_if_zero(at).call("wait4", -1, status, 0, 0).jmp(f"{at} over")
            guest.label(at).call_and_report("execve", name, none, none).exit(1)
            guest.label(f"{at} over")

    fd = 3
    for name in names:
        guest.call_and_report("open", name, O_RDWR, 0).call_and_report("dup", fd)
        execute(f"open {name}")
        guest.call_and_report("close", fd)
        execute(f"once {name}")
        guest.call_and_report("close", fd + 1)
        execute(f"closed {name}")
        guest.call_and_report("open", name, 0, 0)
        execute(f"to read {name}")
        guest.call_and_report("close", fd)
    guest.exit(0)
    second = Program(abi)
    second.call_and_report("getuid").exit(0)
    files = {b"/script": b"#!./second\n", b"/second": second.elf()}
    ran = [0, 0]
    expected = [0, 0, BUSY, 0, 0, BUSY, 0, 0, *ran, 0, *ran, 0]
    expected += [0, 0, BUSY, BUSY, 0, BUSY, BUSY, 0, *ran, 0, *ran, 0]
    check(guest, hot_path, expected, files)


def test_a_restored_machine_still_knows_what_runs() -> None:
    guest = Program("i386")
    guest.call("fork").jump_if_zero("child").call("wait4", -1, 0, 0, 0).exit(0)
    guest.label("child").call_and_report("open", guest.text(b"guest"), O_RDWR, 0).exit(0)
    written = io.BytesIO()

    def machine() -> LinuxMachine:
        lower = MemoryLower({b"/guest": LowerFile(0o755, guest.elf())})
        return LinuxMachine(OverlayFileSystem(lower), runs.engine_for("python"))

    streams = (Stream(), Stream(None, written.write), Stream(None, written.write))
    first = machine()
    first.start(Exec(b"/guest", (b"guest",), ()), b"/", streams)
    assert first.turn(first.tasks[-1].cpu.run()) is None  # now the child is there
    state = take(first, streams, Sharing())
    first.discard()
    second = machine()
    restore(second, state, streams)
    while second.turn(second.tasks[-1].cpu.run()) is None:
        pass
    assert int.from_bytes(written.getvalue(), "little", signed=True) == BUSY
