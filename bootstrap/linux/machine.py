"""The core's machine, with the rest of Linux's calls, CPUs that stop on request, limits of time and
of instructions, and `#!` scripts (fs/binfmt_script.c)."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bootstrap import signals
from bootstrap.core import cpu, elf, machine
from bootstrap.core.abi import Errno, LinuxError
from bootstrap.core.elf import BINPRM_BUF_SIZE, Loaded
from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import RegularFile
from bootstrap.core.machine import NUMBER, RunResult, Streams
from bootstrap.core.process import Exec, Process
from bootstrap.core.syscalls import BoundCall
from bootstrap.instruments import Engine
from bootstrap.instruments.callbuffer import CallBuffer
from bootstrap.instruments.instrumented import InstrumentedCpu
from bootstrap.linux import call_tables
from bootstrap.linux.events import CORE_EVENTS, CallBegan, CallEnded, Event, Faulted, Listener, Tick
from bootstrap.linux.filesystem import OverlayFileSystem, absolute
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.memory import VirtualMemory
from bootstrap.linux.numbers import NUMBERS
from bootstrap.linux.process import LinuxProcess, OnRegisters
from bootstrap.linux.slices import ticking

_WHOLE_NAME = re.compile(rb"#![ \t]*+[^ \t\0]*+[ \t\0]")
_LINE = re.compile(rb"([^ \t\0]*)(?:[ \t]+([^\0]*))?", re.DOTALL)


def interpreter(image: RegularFile, script: Exec) -> Exec:
    """The interpreter of a script, to be run on the script's path; its line may have one argument.

    Raises LinuxError: ENOEXEC for what is no script, and where there is no name or one that may
    have been cut (of a line without a newline the 255 bytes count that the buffer has room for);
    EACCES for an empty one.
    """
    text = image.read_at(0, BINPRM_BUF_SIZE).ljust(BINPRM_BUF_SIZE, b"\0")
    end = text.partition(b"\0")[0].find(b"\n")
    if text[:2] != b"#!" or (end < 0 and not _WHOLE_NAME.match(text)):
        raise LinuxError(Errno.ENOEXEC)
    line = text[2 : BINPRM_BUF_SIZE - 1 if end < 0 else end].strip(b" \t")
    found = _LINE.match(line)
    if not line or found is None:
        raise LinuxError(Errno.ENOEXEC)
    name, argument = found[1], found[2]
    if not name:
        raise LinuxError(Errno.EACCES)  # a NUL: to open_exec the empty name is the current folder
    words = (name,) if argument is None else (name, argument)
    return Exec(name, (*words, script.path, *script.argv[1:]), script.envp)


INTERPRETERS = 5
"""How deep one file may ask for another to run it (fs/exec.c, exec_binprm)."""
TICK = 0.2
"""Seconds of host time between time slices, which only let listeners and Ctrl-C have their turn."""


@dataclass(slots=True)
class LinuxTask(machine.RunningProcess):
    """The core's, with what is counted of it."""

    process: LinuxProcess
    cpu: InstrumentedCpu = field(init=False)
    registers: Sequence[int] = ()
    """Number and arguments of the present system call, where somebody wants to know of it."""
    args: Sequence[int] = ()
    """The arguments as its handler gets them, likewise."""
    used: float = 0.0
    """Host CPU seconds that the process took so far, for the limit only."""


class LinuxMachine(machine.Machine):
    """One run of a tree of processes on one file system."""

    files: OverlayFileSystem
    limits: RunLimits
    new_process = LinuxProcess

    def __init__(
        self,
        files: OverlayFileSystem,
        engine: Engine,
        limits: RunLimits | None = None,
        listeners: Sequence[Listener] = (),
        probing: bool = False,
        each_call: bool = False,
    ) -> None:
        """`probing`: calls that are only probed fail with ENOSYS instead of stopping the run. For
        runs of which nobody says that they are what Linux would do. `each_call`: every system call
        is two events, which turns the fast path off."""
        self.probes: Counter[str] | None = Counter() if probing else None
        """By name, calls that failed with ENOSYS though Linux has them."""
        super().__init__(files, limits or RunLimits())
        probes = self.probes
        self.calls = call_tables.CALLS if probes is None else call_tables.probing(probes)
        self.listeners = tuple(listeners)
        self.current_pid: int | None = None
        """The process that runs, or ran when the run stopped."""
        self.log: CallBuffer | None = None
        """Gets every system call once it has ended, on either path."""
        self._engine = engine.in_python() if each_call else engine
        self._each_call = each_call
        self._interrupted = False
        self._since = 0.0
        """CPU time of the host when the present process went on."""
        self._lock = threading.Lock()
        files.volume.emit = self._emit_now

    @property
    def tasks(self) -> list[LinuxTask]:
        """What runs, as what it is here."""
        return [task for task in self.running if isinstance(task, LinuxTask)]

    def _emit_now(self, kind: type, **fields: object) -> None:
        self.emit(self.running[-1].process.pid if self.running else self.processes, kind, **fields)

    @property
    def time(self) -> int:
        """System calls that the run has ended so far."""
        return self.ended_calls + sum(task.process.calls + task.cpu.served for task in self.tasks)

    def emit(self, pid: int, event: str | Callable[..., Event], **details: object) -> None:
        """Make an event and give it to all listeners, if there are any."""
        if self.listeners:
            kind = CORE_EVENTS[event] if isinstance(event, str) else event
            made = kind(self.time, pid, **details)
            for listener in self.listeners:
                listener(made)

    def hand_over(self) -> dict[int, VirtualMemory]:
        """End all processes but for their memory, which is returned by pid."""
        found = {}
        for task in self.tasks:
            process, memory = task.process, task.process.memory
            process.memory = VirtualMemory(process.arch, self.meter)
            self._close(task)
            self._release(process)
            found[process.pid] = memory
        self.running.clear()
        return found

    # Turns.

    def run(
        self,
        path: bytes,
        argv: Sequence[bytes],
        envp: Sequence[bytes] = (),
        cwd: bytes = b"/",
        streams: Streams | None = None,
    ) -> RunResult:
        """See the core's. Raises KeyboardInterrupt too."""
        self._since = time.process_time()
        with ticking(TICK, self._nudge, self._interrupt):
            return super().run(path, argv, envp, cwd, streams)

    def turn(self, fault: cpu.Fault | None) -> RunResult | None:
        """See the core's. Raises KeyboardInterrupt too."""
        task = self.tasks[-1]
        now = time.process_time()
        seconds, self._since = now - self._since, now
        self.current_pid = task.process.pid
        if self._failure is None:
            if self._interrupted:
                signals.check()
                raise KeyboardInterrupt
            # Before execve makes a new task of it, which goes on counting where this one is.
            self._charge(task, seconds)
            control = task.pending
            if fault is None and isinstance(control, OnRegisters):
                task.pending = None
                self._ended(task, self._on_registers(task.cpu, control))
            elif fault is None and control is None:
                self.emit(task.process.pid, Tick)
        return super().turn(fault)

    def _charge(self, task: LinuxTask, seconds: float) -> None:
        task.used += seconds
        name, pid, limit = task.process.name, task.process.pid, self.limits.seconds
        if limit and task.used > limit:
            raise GuestFailed(
                f"limit: {name} (pid {pid}) ran for more than {limit} CPU seconds "
                "(--limit seconds=N raises it, 0 lifts it)"
            )
        if task.cpu.over_limit:
            raise GuestFailed(
                f"limit: {name} (pid {pid}) executed {task.cpu.executed} instructions "
                "(--limit instructions=N raises it)"
            )

    @staticmethod
    def _on_registers(cpu: InstrumentedCpu, control: OnRegisters) -> int:
        saved = cpu.save()
        try:
            result = control.change(saved)
        except LinuxError as error:
            return -error.errno
        cpu.restore(saved)
        return result

    def _nudge(self) -> None:
        """End the present time slice soon; called from another thread or a signal handler.

        A slice ends at a system call, where the guest can go on. A guest that makes none is stopped
        where it is, once it is known that it will not go on.
        """
        if self._lock.acquire(blocking=False):
            try:
                limit, tasks = self.limits.seconds, self.tasks
                used = tasks[-1].used + time.process_time() - self._since if tasks else 0
                if tasks and (self._interrupted or 0 < limit < used):
                    tasks[-1].cpu.interrupt()
                elif tasks:
                    tasks[-1].cpu.pause()
            finally:
                self._lock.release()

    def _interrupt(self) -> None:
        self._interrupted = True
        self._nudge()

    # System calls.

    def _noted_trap(self, task: LinuxTask, registers: Sequence[int]) -> int | None:
        """`_trap`, where somebody wants to know of each call."""
        try:
            task.registers = registers
            call = task.calls.get(registers[0] & NUMBER)
            if self._each_call and call is not None:
                task.args = call.arguments(registers)
                self._emit_call(task, CallBegan, call)
            result = self._trap(task, registers)
            if result is not None:
                self._note(task, result)
            return result
        except BaseException as error:
            self._failure = error
            return None

    def _note(self, task: LinuxTask, result: int | None) -> None:
        call = task.calls[task.registers[0] & NUMBER]
        if self._each_call:
            self._emit_call(task, CallEnded, call, result=result)
        if self.log is not None:
            self.log.append(task.registers, call.end - 1, result or 0)

    def _emit_call(self, task: LinuxTask, kind: type, call: BoundCall, **fields: object) -> None:
        process = task.process
        process.emit(kind, call=call, args=task.args, memory=process.memory, **fields)

    def _ended(self, task: machine.RunningProcess, result: int | None) -> None:
        super()._ended(task, result)
        assert isinstance(task, LinuxTask)
        if task.registers:
            self._note(task, result)

    def _unsupported(self, process: Process, registers: Sequence[int]) -> str:
        number, arch = registers[0] & NUMBER, process.arch.name
        values = ", ".join(f"{value:#x}" for value in registers[1:])
        call = call_tables.KNOWN[arch].get(number)
        why = "" if call is None else f": {call.row.note}"
        if call is not None and call.row.support == "probed":
            why += " (`bootstrap run` lets it fail with ENOSYS; a run that is judged does not)"
        names = {value: name for name, value in NUMBERS[arch].items()}
        name = names.get(number, "unknown")
        return f"system call {number} ({name}) is not supported{why}; arguments ({values})"

    # Processes.

    def new_cpu(self, process: Process, on_trap: cpu.OnTrap) -> InstrumentedCpu:
        """The CPU of a new image."""
        assert isinstance(process, LinuxProcess)
        return self._engine.cpu(process, on_trap, self.limits.instructions, self.log)

    def add_process(self, process: Process) -> LinuxTask:
        """A process with a CPU of its own, its registers yet to be set."""
        assert isinstance(process, LinuxProcess)
        task = LinuxTask(process, self.calls[process.arch.name])
        noted = self._each_call or self.log is not None
        task.cpu = self.new_cpu(process, partial(self._noted_trap if noted else self._trap, task))
        return task

    def _execute(self, process: Process, control: Exec) -> LinuxTask:
        task = super()._execute(process, control)
        assert isinstance(task, LinuxTask)
        process.exe_path = absolute(process.base, process.program.path)
        for caller in self.tasks[-1:]:
            # A program that only ever executes the next one must come to its limits too.
            task.used, task.cpu.executed = caller.used, caller.cpu.executed
        return task

    def _image(self, process: Process, control: Exec) -> tuple[Exec, RegularFile, Loaded]:
        wanted = control
        for _ in range(INTERPRETERS + 1):
            file = self._executable(process, wanted.path)
            path, argv, envp = control.path, wanted.argv, wanted.envp
            try:
                loaded = elf.load(file, path, argv, envp, self.meter, VirtualMemory)
            except LinuxError as error:
                if error.errno != Errno.ENOEXEC:
                    raise
                wanted = interpreter(file, wanted)
            else:
                return wanted, file, loaded
        raise LinuxError(Errno.ELOOP)

    def _executable(self, process: Process, path: bytes) -> LazyFile:
        inode = super()._executable(process, path)
        assert isinstance(inode, LazyFile)
        inode.prepare()
        return inode

    def _end(
        self, task: machine.RunningProcess, status: int, fault: cpu.Fault | None = None
    ) -> RunResult | None:
        assert isinstance(task, LinuxTask)
        if fault is not None and not isinstance(fault, Faulted):  # a program that cannot be made
            fault = Faulted(fault.signal, fault.reason, fault.pc, None, task.cpu.registers())
        return super()._end(task, status, fault)

    def _close(self, task: machine.RunningProcess) -> None:
        assert isinstance(task, LinuxTask)
        with self._lock:
            task.process.calls += task.cpu.served
            task.cpu.close()
