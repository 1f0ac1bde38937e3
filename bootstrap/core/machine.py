"""Runs processes: takes turns, starts and ends them, and carries system calls to their handlers.

Claims: a run is a function of its files, program, arguments, environment and input. There is one
CPU and no preemption: a forked child runs until it ends, then its parent goes on. A program that
only forks, executes and waits cannot tell that from any other order, and the order is the same on
every host. Whatever the core cannot do, and every limit, ends the run with GuestFailed, which names
the process and the call.
Relies on: all modules before it.
Tests that would fail if it lied: tests/core/test_processes.py, test_exec.py, test_whole.py.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from bootstrap.core import elf
from bootstrap.core.abi import ANY_EXECUTE, SIGSEGV, Errno, LinuxError
from bootstrap.core.arches import ARCHES
from bootstrap.core.cpu import Cpu, Fault, OnTrap
from bootstrap.core.elf import BadImage, Loaded
from bootstrap.core.errors import GuestFailed, Limits, Meter, printable
from bootstrap.core.files import Directory, OpenFile, RegularFile, Stream
from bootstrap.core.memory import AddressSpace
from bootstrap.core.paths import FileSystem, PathBase
from bootstrap.core.process import Control, Exec, Exit, FdTable, Fork, Process
from bootstrap.core.syscalls import CALLS, BoundCall, Tables, close_each

NUMBER = 0xFFFFFFFF
"""x86-64 takes the call's number from eax (arch/x86/entry/common.c, do_syscall_64)."""
Streams = tuple[Stream, Stream, Stream]


@dataclass(slots=True)
class RunningProcess:
    """A process and the CPU that runs its present image."""

    process: Process
    calls: Mapping[int, BoundCall]
    cpu: Cpu = field(init=False)
    pending: Control | None = None
    """What the present system call wants from the machine."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run's first process ended."""

    status: int
    """Wait status: exit code * 256, or a signal number (wait(2))."""
    fault: Fault | None
    """The last fault of any process, if there was one."""
    fault_pid: int | None = None
    fault_program: str = ""


class Machine:
    """One run of a tree of processes on one file system.

    What stands outside the core may be a subclass, with more calls, other CPUs, and listeners for
    what `emit` says; a verdict comes of this very class.
    """

    calls: Tables = CALLS
    new_process: type[Process] = Process

    def __init__(self, files: FileSystem, limits: Limits | None = None) -> None:
        self.files = files
        self.limits = limits or Limits()
        self.meter = Meter(self.limits)
        """Of memory. Files are counted by their Volume's, for they outlive a machine."""
        self.processes = 0
        """Processes started so far."""
        self.ended_calls = 0
        """System calls of ended processes."""
        self.running: list[RunningProcess] = []
        """Live processes; the last one runs, each other waits for the one after it."""
        self._failure: BaseException | None = None
        self._fault: tuple[Fault, int, str] | None = None

    def emit(self, pid: int, event: str, **details: object) -> None:
        """Something was done (Closed: is done next). Nobody listens here, and no verdict needs it.

        System calls are not among it, for there are thirty million: a CPU sees each of them.
        """

    def new_cpu(self, process: Process, on_trap: OnTrap) -> Cpu:
        """The CPU of a new image."""
        return Cpu(process.arch, process.memory, on_trap)

    # Starting.

    def run(
        self,
        path: bytes,
        argv: Sequence[bytes],
        envp: Sequence[bytes] = (),
        cwd: bytes = b"/",
        streams: Streams | None = None,
    ) -> RunResult:
        """Run one program, and all that it starts, to its end.

        Raises GuestFailed (unknown system call, limit, what the core cannot do), LinuxError when
        the program cannot be executed at all. No signal handler may raise meanwhile: most of it is
        called from inside Unicorn, where an exception is lost.
        """
        try:
            result = self.start(Exec(path, tuple(argv), tuple(envp)), cwd, streams)
            while result is None:
                result = self.turn(self.running[-1].cpu.run())
            return result
        finally:
            self.discard()

    def start(self, program: Exec, cwd: bytes, streams: Streams | None) -> RunResult | None:
        """Make the first process; `turn` runs it. Returns how it ended if it has no image.

        Raises as `run` does.
        """
        root = self.files.root
        directory = self.files.resolve(PathBase(root, root), cwd)
        if not isinstance(directory, Directory):
            raise LinuxError(Errno.ENOTDIR)
        fds = FdTable(self.limits.open_files)
        for fd, stream in enumerate(streams or ()):
            fds.put(fd, OpenFile(stream, min(fd, 1)))  # O_RDONLY, O_WRONLY, O_WRONLY
        self.processes += 1
        self._failure = self._fault = None
        empty = AddressSpace(ARCHES[0], self.meter)  # until `_execute`: nothing runs on it
        process = self.new_process(self.processes, 0, ARCHES[0], empty, fds, self.files,
                          PathBase(root, directory), 0o022,
                          partial(self.emit, self.processes))  # fmt: skip
        process.emit("RunStarted", program=program, cwd=cwd)
        try:
            self.running.append(self._execute(process, program))
        except BadImage as error:
            fault = Fault(SIGSEGV, f"{printable(program.path)}: {error}", 0)
            return RunResult(SIGSEGV, fault, process.pid, printable(program.path))
        self._executed(process)
        return None

    def discard(self) -> None:
        """End all processes, without a word but that their files are closed."""
        while self.running:
            task = self.running.pop()
            self._close(task)
            self._release(task.process)

    # Turns.

    def turn(self, fault: Fault | None) -> RunResult | None:
        """The CPU of the present process has stopped, by a fault or not: do what it stopped for.

        Returns how the run ended, once it has. Raises as `run` does.
        """
        task = self.running[-1]
        if self._failure is not None:
            raise self._failure
        if fault is not None:
            return self._end(task, fault.signal, fault)
        control, task.pending = task.pending, None
        if isinstance(control, Exit):
            self._ended(task, None)
            return self._end(task, control.code << 8)
        if isinstance(control, Fork):
            self._fork(task, control)
        elif isinstance(control, Exec):
            return self._replace(task, control)
        return None

    def _trap(self, task: RunningProcess, registers: Sequence[int]) -> int | None:
        """One system call: number and six arguments in, result out; None stops the CPU.

        Called from inside Unicorn, which no exception can cross.
        """
        process = task.process
        try:
            call = task.calls.get(registers[0] & NUMBER)
            if call is None:
                raise GuestFailed(self._unsupported(process, registers))
            try:
                result = call.handler(process, *call.arguments(registers))
            except LinuxError as error:
                result = -error.errno
            if isinstance(result, int):
                process.calls += 1
                return result
            task.pending = result
        except BaseException as error:
            self._failure = error  # at once: the words for its place may fail for want of memory
            if isinstance(error, GuestFailed):
                self._failure = self._placed(task, registers, error)
        return None

    def _unsupported(self, process: Process, registers: Sequence[int]) -> str:
        """What to say of a call that is not in the table."""
        values = ", ".join(f"{value:#x}" for value in registers[1:])
        return f"system call {registers[0] & NUMBER} is not supported; arguments ({values})"

    def _ended(self, task: RunningProcess, result: int | None) -> None:
        """A call that stopped the CPU has ended, with this result unless it does not return."""
        task.process.calls += 1
        if result is not None:
            task.cpu.set_result(result)

    def _placed(
        self, task: RunningProcess, registers: Sequence[int], error: GuestFailed
    ) -> GuestFailed:
        """The same error with program, pid and place."""
        call = task.calls.get(registers[0] & NUMBER)
        where = f", in {call.row.name}" if call is not None else ""
        return GuestFailed(
            f"{error} [{task.process.name}, pid {task.process.pid}, "
            f"system call {task.process.calls + 1}{where}, pc {task.cpu.pc:#x}]"
        )

    # Processes.

    def add_process(self, process: Process) -> RunningProcess:
        """A process with a CPU of its own, its registers yet to be set."""
        task = RunningProcess(process, self.calls[process.arch.name])
        task.cpu = self.new_cpu(process, partial(self._trap, task))
        return task

    def _fork(self, task: RunningProcess, control: Fork) -> None:
        limits, parent = self.limits, task.process
        if self.processes >= limits.processes:
            raise GuestFailed(
                f"limit: {limits.processes} processes (--limit processes=N raises it)"
            )
        if len(self.running) >= limits.nesting:
            raise GuestFailed(
                f"limit: {limits.nesting} processes alive at once (--limit nesting=N raises it)"
            )
        self.processes += 1
        child = self.new_process(self.processes, parent.pid, parent.arch, parent.memory.fork(),
                        parent.fds.copy(), parent.files, parent.base, parent.umask,
                        partial(self.emit, self.processes), parent.exe_path,
                        parent.program)  # fmt: skip
        child.run_file(parent.exe)
        new = self.add_process(child)
        task.cpu.copy_state_to(new.cpu)
        new.cpu.set_result(0)
        if control.child_stack:
            new.cpu.set_sp(control.child_stack)
        self._ended(task, child.pid)
        parent.emit("Forked", child=child.pid)
        self.running.append(new)

    def _replace(self, task: RunningProcess, control: Exec) -> RunResult | None:
        """execve(2) of a running process."""
        try:
            new = self._execute(task.process, control)
        except LinuxError as error:
            self._ended(task, -error.errno)
            return None
        except BadImage as error:
            self._ended(task, None)
            reason = f"{printable(control.path)}: {error}"
            return self._end(task, SIGSEGV, Fault(SIGSEGV, reason, task.cpu.pc))
        self._ended(task, 0)
        self.running[-1] = new
        self._close(task)
        self._executed(task.process)
        return None

    def _execute(self, process: Process, control: Exec) -> RunningProcess:
        """Make the new image and its CPU; the old image stays until this has succeeded."""
        wanted, file, loaded = self._image(process, control)
        process.memory.release()
        process.memory, process.arch = loaded.memory, loaded.memory.arch
        close_each(process, process.fds.cloexec)
        process.run_file(file)
        directory = self.files.path_of(process.base.cwd)
        process.exe_path = posixpath.normpath(posixpath.join(directory, wanted.path))
        process.program = wanted
        task = self.add_process(process)
        task.cpu.start_at(loaded.pc, loaded.sp)
        return task

    def _executed(self, process: Process) -> None:
        process.emit("Executed", ppid=process.ppid, base=process.base, image=process.exe,
                     program=process.program, arch=process.arch.name)  # fmt: skip
        process.emit("Resumed", came_back=False)

    def _executable(self, process: Process, path: bytes) -> RegularFile:
        inode = self.files.resolve(process.base, path)
        if not isinstance(inode, RegularFile) or not inode.mode & ANY_EXECUTE:
            raise LinuxError(Errno.EACCES)
        if inode.writers:
            raise LinuxError(Errno.ETXTBSY)  # execve(2); fs/exec.c, do_open_execat
        return inode

    def _image(self, process: Process, control: Exec) -> tuple[Exec, RegularFile, Loaded]:
        """What runs, its file and its image. In the core that is the program itself: a script,
        which names another to run it, is none (ENOEXEC)."""
        file = self._executable(process, control.path)
        path, argv, envp = control.path, control.argv, control.envp
        return control, file, elf.load(file, path, argv, envp, self.meter)

    def _end(
        self, task: RunningProcess, status: int, fault: Fault | None = None
    ) -> RunResult | None:
        process = task.process
        if fault is not None:
            self._fault = (fault, process.pid, process.name)
        self.running.pop()
        self._close(task)
        self.ended_calls += process.calls
        self._release(process)
        process.emit("Exited", status=status, calls=process.calls, fault=fault)
        if not self.running:
            return RunResult(status, *(self._fault or (None, None, "")))
        parent = self.running[-1].process
        parent.zombies[process.pid] = status
        parent.emit("Resumed", came_back=True)
        return None

    @staticmethod
    def _release(process: Process) -> None:
        close_each(process, process.fds.files)
        process.run_file(None)
        process.memory.release()

    def _close(self, task: RunningProcess) -> None:
        """The CPU is not needed any more."""
        task.cpu.close()
