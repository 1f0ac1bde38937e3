"""SIGINT while a machine runs: it ends the process at once, unless somebody else handles it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from bootstrap.core.arches import X86, Arch
from bootstrap.core.files import Stream
from bootstrap.core.machine import Machine
from tests.core.guest import EACH_ARCH, Program, laid_out

_RUN = """
import sys
from bootstrap.core.files import Stream
from bootstrap.core.machine import Machine
from bootstrap.core.paths import FileSystem
files = FileSystem()
files.add_file(b"/guest", sys.stdin.buffer.read(), 0o755)

def write(data):
    print("the guest is there", flush=True)
    return len(data)

output = Stream(None, write)
try:
    Machine(files).run(b"/guest", [b"guest"], streams=(output, output, output))
finally:
    print("undone")
"""


@EACH_ARCH
@pytest.mark.parametrize("calls", [False, True], ids=["computing", "calling"])
def test_it_ends_the_process_also_where_no_call_is_made(arch: Arch, calls: bool) -> None:
    guest = Program(arch)
    guest.call("write", 1, guest.text(b"x"), 1).label("again")
    if calls:
        guest.call("brk", 0)
    image = guest.jump("again").elf()
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", _RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    with process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(image)
        process.stdin.close()
        assert process.stdout.readline() == b"the guest is there\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == b""
    assert process.returncode == -signal.SIGINT


class Sender:
    """A stream's write that sends SIGINT to ourselves the third time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, data: bytes) -> int:
        self.times += 1
        if self.times == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return len(data)


def test_handlers_of_others_stay() -> None:
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    guest = Program(X86)
    text = guest.text(b"x")
    for _ in range(5):
        guest.call("write", 1, text, 1)
    output = Stream(None, Sender())
    machine = Machine(laid_out({b"/guest": guest.exit(4).elf()}))
    try:
        result = machine.run(b"/guest", [b"guest"], streams=(output, output, output))
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.status, heard) == (4 << 8, [signal.SIGINT])


def test_pythons_own_is_there_again_afterwards() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    during = []

    def write(data: bytes) -> int:
        during.append(signal.getsignal(signal.SIGINT))
        return len(data)

    guest = Program(X86)
    guest.call("write", 1, guest.text(b"x"), 1).call(999)
    output = Stream(None, write)
    try:
        with pytest.raises(Exception, match="system call 999"):
            Machine(laid_out({b"/guest": guest.elf()})).run(
                b"/guest", [b"guest"], streams=(output, output, output)
            )
        assert during == [signal.SIG_DFL]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_it_runs_without() -> None:
    results = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def work() -> None:
        machine = Machine(laid_out({b"/guest": Program(X86).exit(6).elf()}))
        results.append(machine.run(b"/guest", [b"guest"]).status)

    thread = threading.Thread(target=work)
    try:
        thread.start()
        thread.join()
    finally:
        signal.signal(signal.SIGINT, before)
    assert results == [6 << 8]
