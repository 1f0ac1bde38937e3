"""Does what a line says: the one way in which keys, scripts and gdb's `monitor` drive a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bootstrap.core.errors import BadInput, BootstrapError
from bootstrap.debug import asking, values
from bootstrap.debug.session import Session
from bootstrap.debug.stops import Breakpoint, Stop, Watchpoint
from bootstrap.debug.values import address
from bootstrap.debug.verbs import COUNTED, GROUPS, VERBS
from bootstrap.debug.words import NAMES, Command, number_of, parse
from bootstrap.timeline import line_outputs, origins
from bootstrap.trace.coordinates import AfterInstructions


class Unmet(BootstrapError):
    """What a script expects is not so."""

    exit_code = 1


@dataclass(frozen=True, slots=True)
class Focus:
    """What an answer is about, for a screen to show: an address, or a line of a source."""

    guest_addr: int | None = None
    file: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """What a command answers."""

    lines: tuple[str, ...] = ()
    stop: Stop | None = None
    """Where a move came to its end."""
    focus: Focus | None = None
    ends: bool = False
    """The session is over."""


@dataclass
class Interpreter:
    """Commands, one by one, in one session. `save` writes a file (destination, text)."""

    session: Session
    save: Callable[[str, str], None] | None = None
    last: Stop | None = None
    """Where the last move came to its end."""
    done: list[tuple[Command, AfterInstructions]] = field(default_factory=list)
    """The commands that were done, and where each led."""
    found: list[Focus] = field(default_factory=list)
    _found_at: int = -1
    _came_from: AfterInstructions | None = None

    def run(self, line: str) -> Result:
        """One line. Raises BadInput (BadCommand for one that is no command), Unmet, and as the
        session does."""
        command = parse(line)
        return Result() if command is None else self.do(command)

    def do(self, command: Command) -> Result:
        """A command that was read. Raises as `run`."""
        if command.verb.screen:
            raise BadInput(f"{command.name}: only where there is a screen")
        before = self.session.here
        result = _DO[command.name](self, command)
        if result.stop is not None:
            self.last = result.stop
            if command.verb.group == "jump" and result.stop.place != before:
                self._came_from = before
        if command.name not in _NOT_SAVED:
            self.done.append((command, self.session.here))
        return result

    def script(self) -> str:
        """What was done so far, as a script that checks itself."""
        return "".join(f"{line}\n" for line in _script(self.session, self.done))

    # -- moves -----------------------------------------------------------------------------------

    def moved(self, stop: Stop) -> Result:
        """A move, for people."""
        return Result((str(stop), *asking.next_line(self.session)), stop)

    def repeated(self, move: Callable[[], Stop], times: int) -> Result:
        """A move so many times, or until it cannot go on."""
        stop = move()
        for _ in range(times - 1):
            if stop.reason in _NO_FURTHER:
                break
            stop = move()
        return self.moved(stop)

    def event(self, command: Command, forward: bool) -> Result:
        """The next or the previous time that something happened."""
        session, what = self.session, command.text("event")
        if what == "found":
            return self.next_found(1 if forward else -1)
        of = command.span("of")
        if what == "execution":
            return self.execution(
                session.pc if of is None else address(session, of.address), forward
            )
        if of is None:
            raise BadInput(f"{command.name} {what}: of which memory? {command.verb.usage}")
        access = session.next_access if forward else session.previous_access
        return self.moved(access(address(session, of.address), of.size, what[0]))

    def execution(self, guest_addr: int, forward: bool) -> Result:
        """To the next or last time that the instruction at an address is about to run."""
        session, name = self.session, f"{guest_addr:#x}"
        if forward:
            return self.moved(session.run_to_addresses([guest_addr], name))
        with session.moving():
            found = session.explorer.run_back_to([guest_addr])
        if found:
            return self.moved(session.stop("jump"))
        return self.moved(session.stop("nowhere", f"{name} did not run before in this program"))

    def next_found(self, way: int) -> Result:
        """The next place of the last search."""
        if not self.found:
            raise BadInput("nothing was looked for, or it was not found: find TEXT")
        self._found_at = (self._found_at + way) % len(self.found)
        focus = self.found[self._found_at]
        told = f"{self._found_at + 1} of {len(self.found)}: "
        return Result((told + asking.told_focus(self.session, focus.guest_addr, focus.file,
                                                focus.line),), focus=focus)  # fmt: skip

    def jump(self, name: str) -> Stop:
        """To a mark, or to where the last jump came from."""
        if name:
            return self.session.jump(name)
        if self._came_from is None:
            raise BadInput("no jump to go back from yet; `jump NAME` goes to a mark")
        return self.session.go(self._came_from)

    # -- breakpoints -----------------------------------------------------------------------------

    def watch(self, command: Command, kind: str) -> Result:
        """A new watchpoint, or a list of all that there is."""
        span = command.span("of")
        if span is None:
            return Result(tuple(asking.breaks(self.session)))
        base, register = span.address.base, dict(self.session.registers()).get(span.address.base)
        if register is not None and not span.sized and not span.address.plus:
            raise BadInput(f"{command.name} {base}: registers cannot be watched, only memory: "
                           f"{command.name} {register:#x}, or {command.name} {base}:4, watches "
                           "that to which it points here")  # fmt: skip
        one = self.session.watchpoints.add(address(self.session, span.address), span.size, kind)
        return Result((f"watchpoint {one.number}: {one}",))

    def delete(self, point: str, which: str) -> Result:
        """Remove what stops."""
        session = self.session
        if point == "all" or (not point and which == "all"):
            session.breakpoints.clear()
            session.watchpoints.clear()
            return Result(("no breakpoints and watchpoints any more",))
        if not which:
            raise BadInput("delete which? `show breaks` lists them; `delete all`")
        number = number_of(which)
        if point == "watch":
            gone: Breakpoint | Watchpoint = session.watchpoints.remove(
                -1 if number is None else number
            )
            return Result((f"watchpoint {gone.number} is gone: {gone}",))
        known = any(one.text == which for one in session.breakpoints)
        gone = session.breakpoints.remove(which if known or number is None else number)
        return Result((f"breakpoint {gone.number} is gone: {gone}",))

    # -- asking ----------------------------------------------------------------------------------

    def find(self, where: str, text: str) -> Result:
        """Look for a text or bytes; the first place."""
        self.found = [Focus(*one) for one in asking.find(self.session, where or "memory", text)]
        self._found_at = -1
        if not self.found:
            return Result((f"{text}: is not in the {where or 'memory'} here",))
        count = len(self.found)
        first = self.next_found(1)
        places = f"{count:,} place{'' if count == 1 else 's'}"
        shown = [
            "  " + asking.told_focus(self.session, one.guest_addr, one.file, one.line)
            for one in self.found[: asking.MOST_SHOWN]
        ]
        more = count - len(shown)
        rest = (f"  and {more:,} more",) if more else ()
        return Result((f"{places}: `next found` goes on", *shown, *rest), focus=first.focus)

    def expect(self, command: Command) -> Result:
        """Raises Unmet."""
        check = command.check()
        holds, now = values.holds(self.session, check, self.last)
        if not holds:
            raise Unmet(f"expected {check}; it is {now}")
        return Result((f"as expected: {check}",))


_USAGE = 34
_NO_FURTHER = frozenset(("nowhere", "unknown", "begin", "end"))
_NOT_SAVED = frozenset(("save", "help", "quit"))


def _mark(run: Interpreter, name: str) -> Result:
    if not name:
        return Result(tuple(asking.marks(run.session)))
    return Result((f"mark {name}: {run.session.mark(name)}",))


def _break(run: Interpreter, text: str) -> Result:
    if not text:
        return Result(tuple(asking.breaks(run.session)))
    one = run.session.breakpoints.add(text)
    return Result((f"breakpoint {one.number}: {one}",))


def _why(run: Interpreter, text: str) -> Result:
    return Result(tuple(origins.lines(asking.chain(run.session, text))))


def _where(run: Interpreter, text: str) -> Result:
    if not text:
        return Result(tuple(asking.here(run.session)))
    file, colon, number = text.rpartition(":")
    line = number_of(number) if colon else None
    if not file or line is None:
        raise BadInput(f"{text}: name a line, like hex0.hex0:212")
    return Result(tuple(line_outputs.lines(file, line, *run.session.where(file, line))))


def _save(run: Interpreter, dest: str) -> Result:
    if run.save is None:
        raise BadInput("save: not from here")
    run.save(dest, run.script())
    return Result((f"written to {dest}: {len(run.done)} commands",))


def _help(_run: Interpreter, name: str) -> Result:
    return Result(tuple(help_lines(name)))


def help_lines(name: str = "") -> Iterator[str]:
    """All commands, or one. Raises BadInput for one that there is not."""
    if name:
        verb = NAMES.get(name)
        if verb is None:
            raise BadInput(f"there is no command {name}; `help` lists them")
        yield verb.usage
        yield f"  {verb.help}"
        if verb.aliases:
            yield f"  also: {', '.join(verb.aliases)}"
        if verb.reverse:
            yield f"  the other way: {verb.reverse}"
        if verb.name in ("expect", "print"):
            yield f"  subjects: {', '.join(values.SUBJECTS)}, and every register"
        return
    for group, title in GROUPS.items():
        yield f"{title}:"
        for verb in VERBS:
            if verb.group == group:
                if len(verb.usage) > _USAGE:
                    yield f"  {verb.usage}"
                    yield f"  {'':{_USAGE}} {verb.help}"
                else:
                    yield f"  {verb.usage:{_USAGE}} {verb.help}"


def _script(session: Session, done: list[tuple[Command, AfterInstructions]]) -> Iterator[str]:
    """Each command; where a move came to is expected behind it."""
    yield "# bootstrap step TRACE --script THIS"
    yield f"expect trace = {session.trace.digest}"
    index = 0
    while index < len(done):
        command, place = done[index]
        times = command.number("n") if command.name in COUNTED else 1
        index += 1
        while command.name in COUNTED and index < len(done) and done[index][0].name == command.name:
            times += done[index][0].number("n")
            place = done[index][1]
            index += 1
        yield str(Command(command.verb, {"n": times}) if times > 1 else command)
        if command.verb.moves and not (command.name in ("next", "previous") and _found(command)):
            yield f"expect at {place}"


def _found(command: Command) -> bool:
    return command.text("event") == "found"


def _event(forward: bool) -> Callable[[Interpreter, Command], Result]:
    return lambda run, command: run.event(command, forward)


def _call(run: Interpreter, command: Command, forward: bool) -> Result:
    session = run.session
    move = session.next_call if forward else session.previous_call
    fd = command.number("fd", -1)
    return run.moved(
        move(command.text("name") or None, None if fd < 0 else fd, command.text("path") or None)
    )


def _origin(run: Interpreter, command: Command) -> Result:
    span = command.span("of")
    assert span is not None
    return run.moved(run.session.origin(address(run.session, span.address)))


_DO: dict[str, Callable[[Interpreter, Command], Result]] = {
    "step": lambda run, c: run.moved(run.session.step(c.number("n"))),
    "back": lambda run, c: run.moved(run.session.back(c.number("n"))),
    "over": lambda run, c: run.repeated(run.session.step_over, c.number("n")),
    "back-over": lambda run, c: run.repeated(run.session.back_over, c.number("n")),
    "out": lambda run, _: run.moved(run.session.out()),
    "back-out": lambda run, _: run.moved(run.session.back_out()),
    "call": lambda run, c: _call(run, c, True),
    "back-call": lambda run, c: _call(run, c, False),
    "output": lambda run, c: run.repeated(run.session.next_output, c.number("n")),
    "back-output": lambda run, c: run.repeated(run.session.previous_output, c.number("n")),
    "cont": lambda run, _: run.moved(run.session.cont()),
    "reverse": lambda run, _: run.moved(run.session.reverse_cont()),
    "next": _event(True),
    "previous": _event(False),
    "child": lambda run, _: run.moved(run.session.into_child()),
    "parent": lambda run, _: run.moved(run.session.to_parent()),
    "go": lambda run, c: run.moved(run.session.go(c.text("place"))),
    "begin": lambda run, _: run.moved(run.session.seek(run.session.row, 0)),
    "end": lambda run, _: run.moved(run.session.seek(run.session.row, run.session.total - 1)),
    "origin": _origin,
    "jump": lambda run, c: run.moved(run.jump(c.text("name"))),
    "undo": lambda run, _: run.moved(run.session.undo()),
    "mark": lambda run, c: _mark(run, c.text("name")),
    "break": lambda run, c: _break(run, c.text("place")),
    "watch": lambda run, c: run.watch(c, c.text("kind") or "w"),
    "rwatch": lambda run, c: run.watch(c, "r"),
    "awatch": lambda run, c: run.watch(c, "a"),
    "delete": lambda run, c: run.delete(c.text("point"), c.text("which")),
    "show": lambda run, c: Result(tuple(asking.show(run.session, c.text("what"), c.text("of")))),
    "print": lambda run, c: Result(
        tuple(values.told(run.session, c.text("subject"), c.text("of"), run.last))
    ),
    "why": lambda run, c: _why(run, c.text("byte")),
    "where": lambda run, c: _where(run, c.text("line")),
    "find": lambda run, c: run.find(c.text("in"), c.text("text")),
    "expect": lambda run, c: run.expect(c),
    "save": lambda run, c: _save(run, c.text("file")),
    "help": lambda run, c: _help(run, c.text("command")),
    "quit": lambda _run, _c: Result(ends=True),
}
