"""SIGINT while a machine runs: it stops at the next call, and no exception is lost in a hook."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from bootstrap.core.arches import X86, Arch
from bootstrap.core.files import Stream
from bootstrap.core.machine import Machine
from tests.core.guest import EACH_ARCH, Program, laid_out


def endless(arch: Arch) -> Program:
    """Writes for ever."""
    guest = Program(arch)
    return guest.label("again").call("write", 1, guest.text(b"x"), 1).jump("again")


class Sender:
    """A stream's write that sends SIGINT to ourselves the third time."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self, data: bytes) -> int:
        self.times += 1
        if self.times == 3:
            os.kill(os.getpid(), signal.SIGINT)
        assert self.times < 1000
        return len(data)


@EACH_ARCH
def test_it_ends_the_run_at_the_next_call(arch: Arch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = Sender()
    output = Stream(None, sender)
    machine = Machine(laid_out({b"/guest": endless(arch).elf()}))
    try:
        with pytest.raises(KeyboardInterrupt):
            machine.run(b"/guest", [b"guest"], streams=(output, output, output))
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert sender.times < 5
    assert machine.running == []
    # The machine can be used again.
    machine.files.add_file(b"/other", Program(arch).exit(7).elf(), 0o755)
    assert machine.run(b"/other", [b"other"]).status == 7 << 8


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
