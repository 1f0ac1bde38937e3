"""Places in a trace as people write them, and where in the trace each is.

    PID@N         N instructions into the last program of that process
    PID.EXEC@N    the same for a certain program of it: 0 as forked, 1 its first execve, ...
    PID#K         just after the process's K-th system call, counted across execve; 0: at its start
    PID#K+N       N instructions after that
    eEVENT        just after that system call of the whole run; eEVENT+N too

A trace of several runs (each has a pid 1) wants the run before it: `2:1@0`. Numbers may have commas
between thousands, as they are shown everywhere.
"""

import re
from dataclasses import dataclass

from bootstrap.core.errors import BadInput
from bootstrap.trace.store import ProgramRow, Trace

_NUMBER = r"(\d{1,3}(?:,\d{3})+|\d{1,19})"
_FORM = re.compile(
    rf"(?:(?:{_NUMBER}:)?{_NUMBER}(?:\.{_NUMBER})?@{_NUMBER}"
    rf"|(?:{_NUMBER}:)?{_NUMBER}#{_NUMBER}(?:\+{_NUMBER})?"
    rf"|e{_NUMBER}(?:\+{_NUMBER})?)",
    re.ASCII,
)
FORMS = "17@5000 (instructions), 17.1@5000, 17#12 (system calls), 17#12+3 or e4711 (events)"


@dataclass(frozen=True, slots=True)
class AfterInstructions:
    """So many instructions into a program of a process; without `ordinal`, into its last."""

    pid: int
    executed: int
    ordinal: int | None = None
    run: int | None = None

    def __str__(self) -> str:
        run = "" if self.run is None else f"{self.run}:"
        ordinal = "" if self.ordinal is None else f".{self.ordinal}"
        return f"{run}{self.pid}{ordinal}@{self.executed}"


@dataclass(frozen=True, slots=True)
class AfterCall:
    """Just after a process's system call of that ordinal, or some instructions later."""

    pid: int
    call: int
    executed: int = 0
    run: int | None = None

    def __str__(self) -> str:
        run = "" if self.run is None else f"{self.run}:"
        return f"{run}{self.pid}#{self.call}{_plus(self.executed)}"


@dataclass(frozen=True, slots=True)
class AfterEvent:
    """Just after a system call of the whole run, or some instructions later."""

    event: int
    executed: int = 0

    def __str__(self) -> str:
        return f"e{self.event}{_plus(self.executed)}"


Coordinate = AfterInstructions | AfterCall | AfterEvent


def _plus(count: int) -> str:
    return f"+{count}" if count else ""


def parse(text: str) -> Coordinate:
    """Read a coordinate. Raises BadInput."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise BadInput(f"{text}: is no place in a trace; one looks like {FORMS}")
    cells = [None if cell is None else int(cell.replace(",", "")) for cell in match.groups()]
    run, pid, ordinal, executed = cells[:4]
    if pid is not None and executed is not None:
        return AfterInstructions(pid, executed, ordinal, run)
    run, pid, call, executed = cells[4:8]
    if pid is not None and call is not None:
        return AfterCall(pid, call, executed or 0, run)
    event, executed = cells[8:]
    return AfterEvent(event or 0, executed or 0)


def programs_of(trace: Trace, pid: int, run: int | None = None) -> list[ProgramRow]:
    """The programs of a process, in order.

    Raises BadInput where there is no such process, or one in each of several runs.
    """
    found = have_pid(trace, pid, run)
    runs = sorted({p.run for p in found})
    if len(runs) > 1:
        raise BadInput(
            f"{trace.name}: {len(runs)} runs have a pid {pid}: say which, as in {runs[0]}:{pid}@0"
        )
    return found


def have_pid(trace: Trace, pid: int, run: int | None = None) -> list[ProgramRow]:
    """The programs of the processes of that number, of any run. Raises BadInput: there is none."""
    found = [p for p in trace.programs if p.pid == pid and run in (None, p.run)]
    if not found:
        where = "" if run is None else f" in run {run}"
        pids = sorted({p.pid for p in trace.programs if run in (None, p.run)})
        there = (
            f"there are {pids[0]} to {pids[-1]}" if pids else "`bootstrap trace info` lists runs"
        )
        raise BadInput(f"{trace.name}: has no pid {pid}{where}; {there}")
    return found


def program_at(trace: Trace, place: AfterInstructions) -> ProgramRow:
    found = programs_of(trace, place.pid, place.run)
    if place.ordinal is None:
        return found[-1]
    for program in found:
        if program.ordinal == place.ordinal:
            return program
    have = ", ".join(f"{place.pid}.{program.ordinal}" for program in found)
    raise BadInput(f"{trace.name}: pid {place.pid} has no program {place.ordinal}; it has {have}")


def after_call(trace: Trace, place: AfterCall | AfterEvent) -> tuple[ProgramRow, int]:
    """The program in which that call is, and its ordinal there. Raises BadInput."""
    if isinstance(place, AfterEvent):
        place = _event(trace, place.event)
    found = programs_of(trace, place.pid, place.run)
    total = found[-1].first_call + found[-1].calls
    if place.call > total:
        raise BadInput(
            f"{trace.name}: pid {place.pid} makes {total:,} system calls; there is no call "
            f"{place.call:,} of it"
        )
    for program in found:
        end = program.first_call + program.calls
        # The execve that succeeds is the last call of the old program; after it is the new one.
        if place.call < end or (place.call == end and not program.replaced):
            return program, place.call - program.first_call
    raise BadInput(f"{trace.name}: pid {place.pid} has no program after its call {place.call:,}")


def _event(trace: Trace, event: int) -> AfterCall:
    if not 1 <= event <= trace.events:
        raise BadInput(
            f"{trace.name}: has no event {event:,}; they are 1 to {trace.events:,}, one for each "
            "system call of all processes"
        )
    for chunk in trace.chunks():
        if chunk.first_event <= event < chunk.first_event + chunk.count:
            program = trace.program(chunk.process)
            return AfterCall(
                program.pid, chunk.first_call + event - chunk.first_event, 0, program.run
            )
    raise BadInput(f"{trace.name}: no process made the system call of event {event:,}")


def just_after(trace: Trace, program: ProgramRow, call: int, executed: int = 0) -> AfterCall:
    """The coordinate of a place after a process's system call of that ordinal."""
    several = len({p.run for p in trace.programs if p.pid == program.pid}) > 1
    return AfterCall(program.pid, call, executed, program.run if several else None)


def at(trace: Trace, program: ProgramRow, executed: int) -> AfterInstructions:
    """The shortest coordinate of a place."""
    mine = [p for p in trace.programs if p.pid == program.pid]
    last = max(p.id for p in mine if p.run == program.run)
    return AfterInstructions(
        program.pid,
        executed,
        None if last == program.id else program.ordinal,
        None if len({p.run for p in mine}) == 1 else program.run,
    )
