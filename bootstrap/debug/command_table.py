"""All commands of the debugger: names, arguments, what each does, and which goes back.

The one path by which keys, scripts and gdb's `monitor` drive a session: Interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from bootstrap.core.errors import BadInput, BootstrapError
from bootstrap.debug import command_language, queries
from bootstrap.debug.command_language import (
    CommandResult,
    DebugCommand,
    Focus,
    Param,
    Verb,
    choices,
    number_of,
)
from bootstrap.debug.queries import address
from bootstrap.debug.session import Session
from bootstrap.debug.stops import Breakpoint, StopReason, Watchpoint
from bootstrap.linux.numbers import NUMBERS
from bootstrap.timeline import origins
from bootstrap.trace.columns import shown
from bootstrap.trace.coordinates import AfterInstructions


class Unmet(BootstrapError):
    """What a script expects is not so."""

    exit_code = 1


@dataclass
class Interpreter:
    """Commands, one by one, in one session. `save` writes a file (destination, text)."""

    session: Session
    save: Callable[[str, str], None] | None = None
    last: StopReason | None = None
    """Where the last move came to its end."""
    done: list[tuple[DebugCommand, AfterInstructions]] = field(default_factory=list)
    """The commands that were done, and where each led."""
    found: list[Focus] = field(default_factory=list)
    found_at: int = -1
    """Which of them was shown last."""
    came_from: AfterInstructions | None = None
    """Where the last jump began."""

    def run(self, line: str) -> CommandResult:
        """One line. Raises BadInput (BadCommand for one that is no command), Unmet, and as the
        session does."""
        command = parse(line)
        return CommandResult() if command is None else self.do(command)

    def do(self, command: DebugCommand) -> CommandResult:
        """A command that was read. Raises as `run`."""
        before = self.session.here
        result = command.verb.do(self, command)
        if result.stop is not None:
            self.last = result.stop
            if command.verb.group == "jump" and result.stop.place != before:
                self.came_from = before
        if command.name not in _NOT_SAVED:
            self.done.append((command, self.session.here))
        return result

    def script(self) -> str:
        """What was done so far, as a script that checks itself."""
        return "".join(f"{line}\n" for line in _script(self.session, self.done))


_NOT_SAVED = frozenset(("save", "help", "quit"))
_NO_FURTHER = frozenset(("nowhere", "unknown", "begin", "end"))
_USAGE = 34
"""Columns that `help` has for the usage of a command."""
Handler = Callable[[Interpreter, DebugCommand], CommandResult]


def _script(session: Session, done: list[tuple[DebugCommand, AfterInstructions]]) -> Iterator[str]:
    """Each command; where a move came to is expected after it."""
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
        yield str(DebugCommand(command.verb, {"n": times}) if times > 1 else command)
        goes_on = command.name in ("next", "previous") and command.text("event") == "found"
        if command.verb.moves and not goes_on:
            yield f"expect at {place}"


# -- what commands do -----------------------------------------------------------------------------


def _moved(run: Interpreter, stop: StopReason) -> CommandResult:
    return CommandResult((str(stop), *queries.next_line(run.session)), stop)


def _move(move: Callable[[Session, DebugCommand], StopReason]) -> Handler:
    return lambda run, command: _moved(run, move(run.session, command))


def _repeat(
    move: Callable[[Session], StopReason], run: Interpreter, command: DebugCommand
) -> CommandResult:
    """A move so many times, or until it cannot go on."""
    stop = move(run.session)
    for _ in range(command.number("n") - 1):
        if stop.reason in _NO_FURTHER:
            break
        stop = move(run.session)
    return _moved(run, stop)


def _show(lines: Callable[[Session, DebugCommand], Iterable[str]]) -> Handler:
    return lambda run, command: CommandResult(tuple(lines(run.session, command)))


def _event(by: int, run: Interpreter, command: DebugCommand) -> CommandResult:
    """The next (1) or the previous (-1) time that something happened."""
    session, what, of = run.session, command.text("event"), command.span("of")
    if what == "found":
        return _next_found(run, by)
    guest_addr = None if of is None else address(session, of)
    if what == "execution":
        execution = session.next_execution if by > 0 else session.previous_execution
        return _moved(run, execution(guest_addr))
    if of is None or guest_addr is None:
        raise BadInput(f"{command.name} {what}: of which memory? {command.verb.usage}")
    access = session.next_access if by > 0 else session.previous_access
    return _moved(run, access(guest_addr, of.size, what[0]))


def _next_found(run: Interpreter, by: int) -> CommandResult:
    """The next place of the last search."""
    if not run.found:
        raise BadInput("nothing was looked for, or it was not found: find TEXT")
    run.found_at = (run.found_at + by) % len(run.found)
    place = run.found[run.found_at]
    text = f"{run.found_at + 1} of {len(run.found)}: {queries.place_line(run.session, place)}"
    return CommandResult((text,), focus=place)


def _call(by: int, session: Session, command: DebugCommand) -> StopReason:
    fd = command.number("fd", -1)
    return (session.next_call if by > 0 else session.previous_call)(
        command.text("name") or None, None if fd < 0 else fd, command.text("path") or None
    )


def _origin(session: Session, command: DebugCommand) -> StopReason:
    span = command.span("of")
    assert span is not None
    return session.origin(address(session, span))


def _jump(run: Interpreter, command: DebugCommand) -> CommandResult:
    """To a mark, or to where the last jump came from."""
    if command.text("name"):
        return _moved(run, run.session.jump(command.text("name")))
    if run.came_from is None:
        raise BadInput("no jump to go back from yet; `jump NAME` goes to a mark")
    return _moved(run, run.session.go(run.came_from))


def _mark(session: Session, command: DebugCommand) -> Iterable[str]:
    name = command.text("name")
    return (f"mark {name}: {session.mark(name)}",) if name else queries.marks(session)


def _break(session: Session, command: DebugCommand) -> Iterable[str]:
    if not command.text("place"):
        return queries.breaks(session)
    one = session.breakpoints.add(command.text("place"))
    return (f"breakpoint {one.number}: {one}",)


def _watch(kind: str, session: Session, command: DebugCommand) -> Iterable[str]:
    """A new watchpoint, or a list of all that there is."""
    span = command.span("of")
    if span is None:
        return queries.breaks(session)
    base = span.base
    register = dict(session.registers()).get(base)
    if register is not None and not span.sized and not span.plus:
        raise BadInput(f"{command.name} {base}: registers cannot be watched, only memory: "
                       f"{command.name} {register:#x}, or {command.name} {base}:4, watches "
                       "that to which it points here")  # fmt: skip
    guest_addr = address(session, span)
    one = session.watchpoints.add(guest_addr, span.size, command.text("kind") or kind)
    return (f"watchpoint {one.number}: {one}",)


def _delete(session: Session, command: DebugCommand) -> Iterable[str]:
    """Remove what stops."""
    point, which = command.text("point"), command.text("which")
    if point == "all" or (not point and which == "all"):
        session.breakpoints.clear()
        session.watchpoints.clear()
        return ("no breakpoints and watchpoints any more",)
    if not which:
        raise BadInput("delete which? `show breaks` lists them; `delete all`")
    number = number_of(which)
    if point == "watch":
        gone: Breakpoint | Watchpoint = session.watchpoints.remove(-1 if number is None else number)
        return (f"watchpoint {gone.number} is gone: {gone}",)
    known = any(one.text == which for one in session.breakpoints)
    gone = session.breakpoints.remove(which if known or number is None else number)
    return (f"breakpoint {gone.number} is gone: {gone}",)


def _print(run: Interpreter, command: DebugCommand) -> CommandResult:
    subject, of = command.text("subject"), command.text("of")
    return CommandResult(tuple(queries.printed(run.session, subject, of, run.last)))


def _why(session: Session, command: DebugCommand) -> Iterable[str]:
    return origins.lines(queries.chain(session, command.text("byte")))


def _where(session: Session, command: DebugCommand) -> Iterable[str]:
    text = command.text("line")
    if not text:
        return queries.here(session)
    file, colon, number = text.rpartition(":")
    line = number_of(number) if colon else None
    if not file or line is None:
        raise BadInput(f"{text}: name a line, like hex0.hex0:212")
    return origins.output_lines(file, line, *session.where(file, line))


def _find(run: Interpreter, command: DebugCommand) -> CommandResult:
    """Look for a text or bytes; the first place."""
    where, text = command.text("in") or "memory", command.text("text")
    run.found = queries.find(run.session, where, text)
    run.found_at = -1
    if not run.found:
        return CommandResult((f"{text}: is not in the {where} here",))
    count = len(run.found)
    lines = [f"{count:,} place{'' if count == 1 else 's'}: `next found` goes on"]
    for place in run.found[: queries.MOST_SHOWN]:
        lines.append(f"  {queries.place_line(run.session, place)}")
    if count > queries.MOST_SHOWN:
        lines.append(f"  and {count - queries.MOST_SHOWN:,} more")
    return CommandResult(tuple(lines), focus=_next_found(run, 1).focus)


def _expect(run: Interpreter, command: DebugCommand) -> CommandResult:
    check = command.check()
    holds, now = queries.holds(run.session, check, run.last)
    if not holds:
        raise Unmet(f"expected {check}; it is {now}")
    return CommandResult((f"as expected: {check}",))


def _save(run: Interpreter, command: DebugCommand) -> CommandResult:
    if run.save is None:
        raise BadInput("save: not from here")
    dest = command.text("file")
    run.save(dest, run.script())
    return CommandResult((f"written to {dest}: {len(run.done)} commands",))


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
            yield f"  subjects: {', '.join(queries.SUBJECTS)}, and every register"
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


def _on_a_screen(_run: Interpreter, command: DebugCommand) -> CommandResult:
    raise BadInput(f"{command.name}: only in a terminal")


# -- the table ------------------------------------------------------------------------------------

GROUPS = {
    "go": "moving, one way and the other",
    "jump": "going to a place",
    "stop": "what to stop at",
    "look": "looking",
    "check": "checking, for scripts",
    "other": "the session",
    "screen": "the screen",
}
_N = (Param("n", "count"),)
_CALL = (
    Param("name", "name"),
    Param("fd", "number", key=True),
    Param("path", "text", key=True),
)
_EVENT = (
    Param("event", "choice", optional=False, choices=choices(
        "execution exec x", "read r", "write w", "access a", "found find")),
    Param("of", "span"),
)  # fmt: skip
_OF = (Param("of", "span", optional=False),)
_NAME = (Param("name", "name"),)
_PANES = choices("source src", "code disassembly asm", "regs registers", "memory mem", "stack",
                 "input", "output", "calls strace", "tree processes")  # fmt: skip


def _move_to(group: str) -> Callable[..., Verb]:
    """Rows of one group: what goes on has a reverse, what goes to a place may have one."""

    def row(name: str, usage: str, text: str, reverse: str, do: Handler,
            params: tuple[Param, ...] = (), aliases: str = "",
            completes: str = "addresses") -> Verb:  # fmt: skip
        return Verb(name, usage, text, group, do, params, tuple(aliases.split()), reverse,
                    True, completes)  # fmt: skip

    return row


_go, _to = _move_to("go"), _move_to("jump")
_CALLS = "calls path=files fd="
VERBS: tuple[Verb, ...] = (
    _go("step", "step [N]", "N instructions on (1)", "back",
        _move(lambda s, c: s.step(c.number("n"))), _N, "s si stepi"),
    _go("back", "back [N]", "N instructions back (1)", "step",
        _move(lambda s, c: s.back(c.number("n"))), _N, "rs rsi reverse-step reverse-stepi"),
    _go("over", "over [N]", "an instruction on; a call with all that it does is one", "back-over",
        partial(_repeat, Session.step_over), _N, "n ni nexti"),
    _go("back-over", "back-over [N]", "an instruction back; a whole call is one", "over",
        partial(_repeat, Session.back_over), _N, "rn rni reverse-next reverse-nexti"),
    _go("out", "out", "on to where the present function has returned", "back-out",
        _move(lambda s, _: s.out()), aliases="finish fin up"),
    _go("back-out", "back-out", "back to the call of the present function", "out",
        _move(lambda s, _: s.back_out()), aliases="reverse-finish"),
    _go("call", "call [NAME] [fd=N] [path=PATH]",
        "on to just after the next system call, of that name, descriptor or file", "back-call",
        _move(partial(_call, 1)), _CALL, "syscall", _CALLS),
    _go("back-call", "back-call [NAME] [fd=N] [path=PATH]",
        "back to before the last such system call", "call",
        _move(partial(_call, -1)), _CALL, "reverse-call", _CALLS),
    _go("output", "output [N]", "on to just after the next write to a file", "back-output",
        partial(_repeat, Session.next_output), _N, "o"),
    _go("back-output", "back-output [N]", "back to just after the write before", "output",
        partial(_repeat, Session.previous_output), _N, "ro reverse-output"),
    _go("cont", "cont", "run on to a breakpoint or watchpoint, or the end", "reverse",
        _move(lambda s, _: s.cont()), aliases="c continue run"),
    _go("reverse", "reverse", "run back to a breakpoint or watchpoint, or the start", "cont",
        _move(lambda s, _: s.reverse_cont()), aliases="rc reverse-continue"),
    _go("next", "next execution [ADDR] | read|write|access ADDR[:LEN] | found",
        "on to the next time that this happens; without a word it is `over`", "previous",
        partial(_event, 1), _EVENT),
    _go("previous", "previous execution [ADDR] | read|write|access ADDR[:LEN] | found",
        "back to the last time that it happened", "next", partial(_event, -1), _EVENT, "prev"),
    _go("child", "child", "into the child that this process forks next, or has just forked",
        "parent", _move(lambda s, _: s.into_child()), aliases="down"),
    _go("parent", "parent", "out to the parent, before it forks this process", "child",
        _move(lambda s, _: s.to_parent())),
    _to("go", "go PLACE",
        "to PID@N, PID#K, eN, N%, 0xADDR, a label, FILE:LINE, or ARTIFACT:OFFSET", "",
        _move(lambda s, c: s.go(c.text("place"))), (Param("place", "text", optional=False),),
        "goto g", completes="labels files:"),
    _to("begin", "begin", "to the program's first instruction", "end",
        _move(lambda s, _: s.seek(s.row, 0)), aliases="start"),
    _to("end", "end", "to the program's last instruction", "begin",
        _move(lambda s, _: s.seek(s.row, s.total - 1))),
    _to("origin", "origin ADDR", "back to who made the byte that is there now, in any process", "",
        _move(_origin), _OF),
    _to("jump", "jump [NAME]", "to a mark; without a name to where the last jump came from", "",
        _jump, _NAME, "j", completes="marks"),
    _to("undo", "undo", "back to where the last command came from", "",
        _move(lambda s, _: s.undo()), aliases="u"),
    Verb("mark", "mark [NAME]", "give this place a name; without one, list the marks", "jump",
         _show(_mark), _NAME, ("ma",), completes="marks"),
    Verb("break", "break [PLACE]", "stop at an address, a label or FILE:LINE; without one, list",
         "stop", _show(_break), (Param("place", "text"),), ("b", "hbreak"),
         completes="labels sources:"),
    Verb("watch", "watch [ADDR[:LEN] [r|w|a]]",
         "stop where memory is written (w), read (r), or either (a); without one, list", "stop",
         _show(partial(_watch, "w")),
         (Param("of", "span"),
          Param("kind", "choice", choices=choices("r read", "w write", "a access")))),
    Verb("rwatch", "rwatch ADDR[:LEN]", "stop where memory is read", "stop",
         _show(partial(_watch, "r")), _OF),
    Verb("awatch", "awatch ADDR[:LEN]", "stop where memory is read or written", "stop",
         _show(partial(_watch, "a")), _OF),
    Verb("delete", "delete [break|watch] N | all", "let go of one, or of all", "stop",
         _show(_delete),
         (Param("point", "choice", skips=True,
                choices=choices("break breakpoint", "watch watchpoint", "all")),
          Param("which", "text")), ("d",)),
    Verb("show", "show WHAT [ADDR[:LEN] | N | FILE]",
         "here, regs, flags, mem, stack, maps, files, file, calls, tree, source, generated, "
         "disassembly, produced, marks, breaks", "look",
         _show(lambda s, c: queries.show(s, c.text("what"), c.text("of"))),
         (Param("what", "choice", optional=False,
                choices=choices(*(names for names, _ in queries.SHOWN))),
          Param("of", "text")), ("info", "i"), completes="addresses files"),
    Verb("print", "print SUBJECT",
         "a value, by the names that `expect` knows: a register, label, source, call ...", "look",
         _print, (Param("subject", "name", optional=False), Param("of", "text")), ("p",),
         completes="subjects registers"),
    Verb("why", "why FILE:OFFSET | ADDR", "where a byte of a file, or of the program, comes from",
         "look", _show(_why), (Param("byte", "text", optional=False),),
         completes="addresses files:"),
    Verb("where", "where [FILE:LINE]", "what a line of a source became; without one: this place",
         "look", _show(_where), (Param("line", "text"),), completes="files:"),
    Verb("find", "find [source|memory|strings] TEXT",
         "look for a text, or for bytes such as 0xcd80; `next found` goes on", "look", _find,
         (Param("in", "choice", skips=True, choices=choices("source", "memory", "strings")),
          Param("text", "text", optional=False))),
    Verb("expect", "expect at PLACE | SUBJECT [OF] =|!=|~ VALUE",
         "a check: where it does not hold, a script ends with status 1; ~ is `contains`", "check",
         _expect, (Param("check", "check", optional=False),), completes="subjects registers"),
    Verb("save", "save FILE", "write this session as a script, for --script", "other", _save,
         (Param("file", "text", optional=False),)),
    Verb("help", "help [COMMAND]", "the commands, or one of them", "other",
         _show(lambda _, c: help_lines(c.text("command"))), (Param("command", "text"),),
         ("h", "?"), completes="commands"),
    Verb("quit", "quit", "end", "other", lambda _run, _command: CommandResult(ends=True), (),
         ("q", "exit")),
    Verb("pane", "pane NAME",
         "go to source, code, regs, memory, stack, input, output, calls or tree", "screen",
         _on_a_screen, (Param("pane", "choice", optional=False, choices=_PANES),)),
    Verb("generated", "generated", "the text that the image was made of at last, and the source "
         "again that a person wrote", "screen", _on_a_screen),
    Verb("zoom", "zoom", "the present pane alone, and all again", "screen", _on_a_screen),
    Verb("theme", "theme", "dark, light", "screen", _on_a_screen),
)  # fmt: skip
NAMES: dict[str, Verb] = {name: verb for verb in VERBS for name in (verb.name, *verb.aliases)}
"""Every word that begins a command."""
COUNTED = frozenset(verb.name for verb in VERBS if any(p.kind == "count" for p in verb.params))
"""Commands that take how often: of one after the other, so many make one."""


def parse(line: str) -> DebugCommand | None:
    """Read a line; None for one without a command. Raises BadCommand."""
    return command_language.read(line, NAMES)


# -- what a half-written command could go on as ---------------------------------------------------

MOST_COMPLETIONS = 200


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a place in a trace, by the words of Verb.completes."""

    registers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ("at", "stop", *queries.SUBJECTS)
    commands: tuple[str, ...] = tuple(verb.name for verb in VERBS)

    @property
    def addresses(self) -> tuple[str, ...]:
        """What an address can begin with."""
        return ("pc", *self.registers, *self.labels)


def names_of(session: Session) -> Names:
    """All names that a command here may have."""
    labels: dict[str, None] = {}
    sources = session.sources()
    for lines in sources.values():
        for line in lines:
            if line.startswith(":") and len(line) > 1 and not line[1].isspace():
                labels[line[1:].split()[0]] = None
    files = dict.fromkeys(shown(row.path).lstrip("/") for row in session.images.why.opens)
    return Names(
        tuple(name for name, _ in session.registers()),
        tuple(labels),
        tuple(files),
        tuple(sources),
        tuple(session.marks),
        tuple(NUMBERS[session.program.abi]),
    )


def complete(line: str, names: Names) -> list[str]:
    """Whole lines that begin with this one, each with its last word finished; sorted."""
    head, blank, word = line.rpartition(" ")
    words = head.split()
    if words:
        candidates = _arguments(words, names)
    elif word and not any(name.startswith(word) for name in names.commands):
        candidates = NAMES
    else:
        candidates = names.commands
    found = sorted({name for name in candidates if name.startswith(word) and name != word})
    return [f"{head}{blank}{name}" for name in found[:MOST_COMPLETIONS]]


def _arguments(words: Sequence[str], names: Names) -> Iterable[str]:
    verb = NAMES.get(words[0])
    if verb is None:
        return ()
    first = verb.params[0] if verb.params and len(words) == 1 else None
    if first is not None and first.kind == "choice":
        own = tuple(dict.fromkeys(first.choices.values()))
        return (*own, *names.addresses) if first.skips else own
    found: list[str] = []
    for kind in verb.completes.split():
        before, sign, what = kind.rpartition("=")
        if sign and not what:
            found.append(kind)
        else:
            after = what[len(what.rstrip(":")) :]
            found += (f"{before}{sign}{name}{after}" for name in getattr(names, what.rstrip(":")))
    return found
