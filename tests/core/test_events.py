"""What the machine and the handlers say to who listens, and what a CPU sees of the calls."""

from __future__ import annotations

from collections.abc import Sequence

from bootstrap.core.abi import O_CLOEXEC, O_CREAT, O_TRUNC, O_WRONLY
from bootstrap.core.arches import Arch
from bootstrap.core.cpu import Cpu, Fault, OnTrap
from bootstrap.core.files import RegularFile
from bootstrap.core.machine import Machine
from bootstrap.core.process import Exec, Process
from tests.core.guest import ON_X86, Program, run


class Listening(Machine):
    """Each event as a line: its name, process and time, and what is short of its details."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.lines: list[str] = []
        self.details: list[dict[str, object]] = []

    def emit(self, pid: int, event: str, **details: object) -> None:
        time = self.ended_calls + sum(task.process.calls for task in self.running)
        short = [
            f"{name}={value!r}"
            for name, value in details.items()
            if isinstance(value, int | bytes | str) and value != b""
        ]
        self.lines.append(" ".join([event, f"{pid}@{time}", *short]))
        self.details.append(details)

    def of(self, name: str) -> list[object]:
        return [details[name] for details in self.details if details.get(name) is not None]


def story(arch: Arch) -> Program:
    """Opens, makes, empties and removes files, forks, and executes another program that faults."""
    guest = Program(arch)
    name = guest.text(b"new")
    guest.at("open", guest.text(b"old"), O_WRONLY | O_TRUNC, 0)
    guest.at("open", name, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600).at("chmod", name, 0o755)
    guest.fork().jump("child", "zero").wait().call("close", 3).at("unlink", name).exit(5)
    guest.label("child").call("execve", guest.text(b"./other"), guest.words(name, 0), 0).exit(1)
    return guest


@ON_X86
def test_everything_in_order(arch: Arch) -> None:
    other = Program(arch).raw("f4").exit(0)
    files = {b"/old": b"content", b"/other": other.elf()}
    machine = run(story(arch), files, new_machine=Listening).machine
    assert isinstance(machine, Listening)
    implied = arch.implied_open_flags
    assert machine.lines == [
        "RunStarted 1@0 cwd=b'/'",
        f"Executed 1@0 ppid=0 arch={arch.name!r}",
        "Resumed 1@0 came_back=False",
        "Changed 1@0 what='truncate'",
        f"Opened 1@0 path=b'old' flags={O_WRONLY | O_TRUNC | implied} fd=3",
        "Changed 1@1 what='name'",
        f"Opened 1@1 path=b'new' flags={O_WRONLY | O_CREAT | O_CLOEXEC | implied} fd=4",
        "Changed 1@2 what='mode'",
        "Forked 1@4 child=2",
        f"Executed 2@5 ppid=1 arch={arch.name!r}",
        "Resumed 2@5 came_back=False",
        "Exited 2@5 status=11 calls=1",
        "Resumed 1@5 came_back=True",
        "Closed 1@6",
        "Changed 1@7 what='unname'",
        "Closed 1@9",
        "Closed 1@9",
        "Closed 1@9",
        "Closed 1@9",
        "Exited 1@9 status=1280 calls=8",
    ]
    assert machine.ended_calls == 9
    programs = [program for program in machine.of("program") if isinstance(program, Exec)]
    assert [program.path for program in programs] == [b"/guest", b"/guest", b"./other"]
    assert programs[2].argv == (b"new",)
    images = [image for image in machine.of("image") if isinstance(image, RegularFile)]
    assert [image.origin for image in images] == [b"/guest", b"/other"]
    assert [i.origin for i in machine.of("inode") if isinstance(i, RegularFile)][:1] == [b"/old"]
    root = machine.files.root
    assert [place[:2] for place in machine.of("place") if isinstance(place, tuple)] == [
        (root, b"new"), (root, b"new"),
    ]  # fmt: skip
    assert [fault.signal for fault in machine.of("fault") if isinstance(fault, Fault)] == [11]


@ON_X86
def test_a_cpu_sees_each_call_and_its_result(arch: Arch) -> None:
    """The way of strace and of recorders: no event for thirty million calls."""
    calls: list[tuple[int, int, int | None]] = []

    class Watched(Cpu):
        asked: tuple[int, int] | None = None

        def set_result(self, result: int) -> None:
            if self.asked is not None:
                calls.append((*self.asked, result))
                self.asked = None
            super().set_result(result)

    class Watching(Machine):
        def new_cpu(self, process: Process, on_trap: OnTrap) -> Cpu:
            def trap(registers: Sequence[int]) -> int | None:
                cpu.asked = (process.pid, registers[0])
                return on_trap(registers)

            cpu = Watched(process.arch, process.memory, trap)
            return cpu

    guest = Program(arch)
    guest.call("brk", 0).fork().jump("child", "zero").wait().call("close", 9)
    guest.call("execve", guest.text(b"/none"), 0, 0).label("child").exit(0)
    ran = run(guest, new_machine=Watching)
    results = [result for pid, _, result in calls if pid == 1]
    assert results == [0x801000, 2, 2, -9, -2]
    assert ran.machine.ended_calls == 7  # two exits have no result
    assert run(guest).machine.ended_calls == 7
