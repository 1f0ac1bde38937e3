"""Runs processes: takes turns, starts and ends them, and carries system calls to their handlers.

There is one CPU and no preemption: a forked child runs until it ends, then its parent goes on. A
program that only forks, executes and waits cannot tell that from any other order, and the order is
the same on every host.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from bootstrap import signals
from bootstrap.core import cpu as core
from bootstrap.core import elf
from bootstrap.core.abi import ANY_EXECUTE, Errno, LinuxError
from bootstrap.core.arches import ARCHES
from bootstrap.core.errors import GuestFailed, Meter
from bootstrap.core.files import Directory, OpenFile, Stream
from bootstrap.core.paths import PathBase
from bootstrap.instruments import Engine
from bootstrap.instruments.instrumented import InstrumentedCpu
from bootstrap.linux.events import ExecEvent, Fault, Observer
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.inode import LazyFile
from bootstrap.linux.limits import Limits
from bootstrap.linux.memory import AddressSpace
from bootstrap.linux.process import Exec, Exit, FdTable, Fork, OnRegisters, Process
from bootstrap.linux.row import Row
from bootstrap.linux.scripts import interpreter
from bootstrap.linux.slices import ticking
from bootstrap.linux.table import answering, table_for
from bootstrap.linux.tasks import (
    NUMBER,
    SIGSEGV,
    Ended,
    Task,
    no_image,
    placed,
    unknown_call,
)

TICK = 0.2
"""Seconds of host time between time slices, which only let observers and Ctrl-C have their turn."""


class Machine:
    """One run of a tree of processes on one file system."""

    def __init__(
        self,
        fs: OverlayFileSystem,
        engine: Engine,
        limits: Limits | None = None,
        observers: Sequence[Observer] = (),
        probing: bool = False,
    ) -> None:
        """`probing`: calls that are only PROBED fail with ENOSYS instead of stopping the run. For
        runs of which nobody says that they are what Linux would do."""
        self.fs = fs
        self.limits = limits or Limits()
        self.observers = tuple(observers)
        watched = any(observer.wants_syscalls for observer in self.observers)
        self.engine = engine.in_python() if watched else engine
        self.processes = 0
        """Processes started so far."""
        self.syscalls = 0
        """System calls of ended processes."""
        self._log = next((o.call_log for o in self.observers if o.call_log is not None), None)
        self._watched, self._noted = watched, watched or self._log is not None
        self.probes: Counter[str] | None = Counter() if probing else None
        """By name, calls that failed with ENOSYS though Linux has them."""
        self.meter = Meter(self.limits)
        self.tasks: list[Task] = []
        """Live processes; the last one runs, each other waits for the one after it."""
        self._failure: BaseException | None = None
        self._fault: Fault | None = None
        self._fault_pid: int | None = None
        self.current_pid: int | None = None
        """The process that runs, or ran when the run stopped."""
        self._interrupted = False
        self._since = 0.0
        """CPU time of the host when the present process went on."""
        self._lock = threading.Lock()

    def memory_of(self, pid: int) -> AddressSpace:
        """The memory of a live process. Raises KeyError."""
        for task in self.tasks:
            if task.process.pid == pid:
                return task.process.memory
        raise KeyError(pid)

    # Starting.

    def run(
        self,
        path: bytes,
        argv: Sequence[bytes],
        envp: Sequence[bytes] = (),
        cwd: bytes = b"/",
        streams: tuple[Stream, Stream, Stream] | None = None,
    ) -> Ended:
        """Run one program, and all that it starts, to its end.

        Raises GuestFailed (unknown system call, limit, what this kernel cannot do), LinuxError
        when the program cannot be executed at all, KeyboardInterrupt.
        """
        try:
            with ticking(TICK, self._nudge, self._interrupt):
                ended = self.start(path, argv, envp, cwd, streams)
                return ended or self._loop()
        finally:
            self.discard()

    def start(
        self,
        path: bytes,
        argv: Sequence[bytes],
        envp: Sequence[bytes] = (),
        cwd: bytes = b"/",
        streams: tuple[Stream, Stream, Stream] | None = None,
    ) -> Ended | None:
        """Make the first process; `turn` runs it. Answers how it ended if it has no image.

        Raises as `run` does.
        """
        root = self.fs.root
        at = PathBase(root, root)
        directory = self.fs.resolve(at, cwd)
        if not isinstance(directory, Directory):
            raise LinuxError(Errno.ENOTDIR)
        at = PathBase(root, directory)
        fds = FdTable(self.limits.open_files)
        for stream, flags in zip(streams or (), (0, 1, 1), strict=False):
            fds.install(OpenFile(stream, flags))
        self.processes += 1
        empty = Process(
            self.processes, 0, ARCHES[0], AddressSpace(ARCHES[0], self.limits, self.meter),
            fds, self.fs, at, 0o022, self.limits, self.observers,
        )  # fmt: skip
        self._failure = self._fault = None
        for observer in self.observers:
            observer.on_start(path, argv, envp, cwd)
        start = Exec(path, tuple(argv), tuple(envp))
        try:
            self.tasks.append(self._execute(empty, start))
        except elf.BadImage as error:
            fault = no_image(start, str(error))
            return Ended(SIGSEGV, fault, empty.pid)
        self._ready(came_back=False)
        return None

    def discard(self) -> None:
        """End all processes without a word."""
        while self.tasks:
            self._discard(self.tasks.pop())

    def hand_over(self) -> dict[int, AddressSpace]:
        """End all processes without a word, but for their memory: by pid."""
        found = {}
        while self.tasks:
            task = self.tasks.pop()
            self._close(task.cpu)
            task.process.fds.close_all()
            found[task.process.pid] = task.process.memory
        return found

    def _loop(self) -> Ended:
        self._since = time.process_time()
        while True:
            ended = self.turn_over(self.tasks[-1].cpu.run())
            if ended is not None:
                return ended

    def turn_over(self, fault: core.Fault | None) -> Ended | None:
        """The CPU of the present process has stopped, by a fault or not: do what it stopped for.

        Answers how the run ended, once it has. Raises as `run` does.
        """
        task = self.tasks[-1]
        self.current_pid = task.process.pid
        now = time.process_time()
        seconds, self._since = now - self._since, now
        if self._failure is not None:
            raise self._failure
        if self._interrupted:
            signals.check()
            raise KeyboardInterrupt
        # Before execve makes a new task of it, which goes on counting where this one is.
        self._charge(task, seconds)
        if fault is not None:
            assert isinstance(fault, Fault)
            self._note_fault(task, fault)
            return self._end(task, fault.signal)
        if task.pending is not None or task.cpu.over_limit:
            return self._control(task)
        for observer in self.observers:
            observer.on_tick()
        return None

    def _charge(self, task: Task, seconds: float) -> None:
        task.used += seconds
        limit = self.limits.seconds
        if limit and task.used > limit:
            raise GuestFailed(
                f"limit: {task.process.program} (pid {task.process.pid}) ran for more than {limit} "
                "CPU seconds (--limit seconds=N raises it, 0 lifts it)"
            )

    # System calls.

    def _trap(self, task: Task, args: Sequence[int]) -> int | None:
        """One system call: number and six arguments in, result out; None stops the CPU.

        Called from inside the engine, which no exception can cross.
        """
        process = task.process
        process.syscalls += 1
        try:
            row = task.rows.get(args[0] & NUMBER)
            if row is None or row.handler is None:
                raise unknown_call(task, args, row)
            values = row.arguments(args[1:])
            task.args, task.arity = args, len(values)
            if self._watched:
                self._enter(task, row, values)
            try:
                result = row.handler(process, *values)
            except LinuxError as error:
                result = -error.errno
            if result.__class__ is int:
                if self._noted:
                    self._leave(task, result)
                return result
            task.pending = result
        except GuestFailed as error:
            self._failure = placed(task, args, error)
        except BaseException as error:
            self._failure = error
        return None

    def _enter(self, task: Task, row: Row, values: list[int]) -> None:
        pid = task.process.pid
        task.entered = [
            (o, row, o.on_syscall_enter(pid, row, values))
            for o in self.observers
            if o.wants_syscalls
        ]

    def _leave(self, task: Task, result: int | None) -> None:
        if task.entered:
            for observer, row, text in task.entered:
                observer.on_syscall_exit(task.process.pid, row, text, result)
            task.entered = []
        if self._log is not None:
            self._log.append(task.args, task.arity, result or 0)

    def _control(self, task: Task) -> Ended | None:
        if task.cpu.over_limit:
            raise GuestFailed(
                f"limit: {task.process.program} (pid {task.process.pid}) executed "
                f"{task.cpu.executed} instructions (--limit instructions=N raises it)"
            )
        control, task.pending = task.pending, None
        if isinstance(control, Exit):
            self._leave(task, None)
            return self._end(task, control.code << 8)
        if isinstance(control, Fork):
            self._fork(task, control)
            return None
        if isinstance(control, OnRegisters):
            self._answer(task, self._on_registers(task.cpu, control))
            return None
        assert isinstance(control, Exec), control
        try:
            new = self._execute(task.process, control, task)
        except LinuxError as error:
            self._answer(task, -error.errno)
            return None
        except elf.BadImage as error:
            self._leave(task, None)
            self._note_fault(task, no_image(control, str(error), task.cpu))
            return self._end(task, SIGSEGV)
        task.process.syscalls += task.cpu.served  # the new image's CPU counts from 0
        # A program that only ever executes the next one must come to its limits too.
        new.used, new.cpu.executed = task.used, task.cpu.executed
        self.tasks[-1] = new
        self._close(task.cpu)
        self._ready(came_back=False)
        return None

    @staticmethod
    def _on_registers(cpu: InstrumentedCpu, control: OnRegisters) -> int:
        saved = cpu.save()
        try:
            result = control.change(saved)
        except LinuxError as error:
            return -error.errno
        cpu.restore(saved)
        return result

    def _ready(self, came_back: bool) -> None:
        for observer in self.observers:
            observer.on_ready(self, came_back)

    def _answer(self, task: Task, result: int) -> None:
        if self._noted:
            self._leave(task, result)
        task.cpu.set_result(result)

    # Processes.

    def new_task(self, process: Process) -> Task:
        """A process with a CPU of its own, its registers yet to be set."""
        # The CPU needs the trap function and the trap function needs the task.
        holder: list[Task] = []
        trap: Callable[[Sequence[int]], int | None] = lambda args: self._trap(holder[0], args)  # noqa: E731
        cpu = self.engine.cpu(process, trap, self.limits.instructions, self._log)
        rows = table_for(process.abi.name)
        if self.probes is not None:
            rows = answering(rows, self.probes)
        task = Task(process, cpu, rows)
        holder.append(task)
        return task

    def _fork(self, task: Task, control: Fork) -> None:
        if self.processes >= self.limits.processes:
            raise GuestFailed(
                f"limit: {self.limits.processes} processes (--limit processes=N raises it)"
            )
        if len(self.tasks) >= self.limits.nesting:
            raise GuestFailed(
                f"limit: {self.limits.nesting} processes alive at once "
                "(--limit nesting=N raises it)"
            )
        parent = task.process
        self.processes += 1
        child = Process(
            self.processes, parent.pid, parent.abi, parent.memory.fork(), parent.fds.copy(),
            parent.fs, parent.at, parent.umask, parent.limits, parent.observers,
            parent.exe_path, parent.argv,
        )  # fmt: skip
        child.run_file(parent.exe)
        new = self.new_task(child)
        task.cpu.copy_state_to(new.cpu)
        new.cpu.set_result(0)
        if control.child_stack:
            new.cpu.set_sp(control.child_stack)
        self._answer(task, child.pid)
        for observer in self.observers:
            observer.on_fork(parent.pid, child.pid)
        self.tasks.append(new)

    def _execute(self, process: Process, control: Exec, caller: Task | None = None) -> Task:
        """Make the new image and its CPU; the old image stays until this has succeeded."""
        path, argv = control.path, control.argv
        file = self._executable(process, path)
        for _ in range(5):  # binfmt_script nests at most this deep (fs/exec.c, exec_binprm)
            script = interpreter(file)
            if script is None:
                break
            name, argument = script
            argv = (name, *(() if argument is None else (argument,)), path, *argv[1:])
            path = name
            file = self._executable(process, path)
        else:
            if interpreter(file) is not None:
                raise LinuxError(Errno.ELOOP)
        loaded = elf.load(
            file, control.path, argv, control.envp, self.limits, self.meter, AddressSpace
        )
        process.memory.release()
        assert isinstance(loaded.memory, AddressSpace)
        process.memory, process.abi = loaded.memory, loaded.arch
        process.fds.close_on_exec()
        process.run_file(file)
        process.exe_path = self.fs.absolute(process.at, path)
        process.argv = argv
        task = self.new_task(process)
        task.cpu.start_at(loaded.pc, loaded.sp)
        event = ExecEvent(
            process.pid, process.ppid, process.exe_path, argv, control.envp,
            self.fs.seen_path(process.at.cwd, process.at.root), file, loaded.arch.name,
        )  # fmt: skip
        if caller is not None:
            self._leave(caller, 0)
        for observer in self.observers:
            observer.on_exec(event)
        return task

    def _executable(self, process: Process, path: bytes) -> LazyFile:
        inode = self.fs.resolve(process.at, path)
        if not isinstance(inode, LazyFile) or not inode.mode & ANY_EXECUTE:
            raise LinuxError(Errno.EACCES)
        if inode.writers:
            raise LinuxError(Errno.ETXTBSY)  # execve(2); fs/exec.c, do_open_execat
        inode.prepare()
        return inode

    def _end(self, task: Task, status: int) -> Ended | None:
        process = task.process
        self.tasks.pop()
        self.syscalls += process.syscalls + task.cpu.served
        calls = process.syscalls + task.cpu.served
        self._discard(task)
        for observer in self.observers:
            observer.on_exit(process.pid, status, calls)
        if not self.tasks:
            return Ended(status, self._fault, self._fault_pid)
        self.tasks[-1].process.zombies[process.pid] = status
        self._ready(came_back=True)
        return None

    def _discard(self, task: Task) -> None:
        self._close(task.cpu)
        task.process.fds.close_all()
        task.process.run_file(None)
        task.process.memory.release()

    def _close(self, cpu: InstrumentedCpu) -> None:
        with self._lock:
            cpu.close()

    def _note_fault(self, task: Task, fault: Fault) -> None:
        self._fault = replace(fault, program=fault.program or task.process.program)
        self._fault_pid = task.process.pid
        for observer in self.observers:
            observer.on_fault(task.process.pid, fault)

    def _nudge(self) -> None:
        """End the present time slice soon; called from another thread or a signal handler.

        A slice ends at a system call, where the guest can go on. A guest that makes none is stopped
        where it is, once it is known that it will not go on.
        """
        if self._lock.acquire(blocking=False):
            try:
                limit = self.limits.seconds
                used = self.tasks[-1].used + time.process_time() - self._since if self.tasks else 0
                if self.tasks and (self._interrupted or 0 < limit < used):
                    self.tasks[-1].cpu.interrupt()
                elif self.tasks:
                    self.tasks[-1].cpu.pause()
            finally:
                self._lock.release()

    def _interrupt(self) -> None:
        self._interrupted = True
        self._nudge()


__all__ = ["Ended", "Machine"]
