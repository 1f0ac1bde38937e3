"""All commands of the debugger, as data: names, arguments, what each does, and which goes back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Param:
    """An argument. Kinds: count, number, text, name, choice, address, span, check (the rest)."""

    name: str
    kind: str
    optional: bool = True
    key: bool = False
    """Written `name=value`, anywhere."""
    size: int = 1
    """Of a span: bytes, where none are given."""
    skips: bool = False
    """A word that does not fit is the next argument's."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A command."""

    name: str
    usage: str
    help: str
    group: str
    params: tuple[Param, ...] = ()
    aliases: tuple[str, ...] = ()
    reverse: str = ""
    """The command that goes the other way."""
    moves: bool = False
    screen: bool = False
    """Only where there is a screen."""


GROUPS = {
    "go": "moving, one way and the other",
    "jump": "going to a place",
    "stop": "what to stop at",
    "look": "looking",
    "check": "checking, for scripts",
    "other": "the session",
    "screen": "the screen",
}

CHOICES: dict[str, dict[str, str]] = {
    "what": {
        name: own
        for own, names in {
            "here": ("here", "place", "program"),
            "regs": ("regs", "reg", "registers", "r"),
            "flags": ("flags",),
            "mem": ("mem", "memory", "x"),
            "stack": ("stack",),
            "maps": ("maps", "proc"),
            "files": ("files", "fds"),
            "file": ("file",),
            "calls": ("calls", "syscalls", "strace"),
            "tree": ("tree", "processes", "inferiors"),
            "source": ("source", "list", "line"),
            "generated": ("generated",),
            "disassembly": ("disassembly", "code", "disas", "disassemble"),
            "produced": ("produced", "output"),
            "marks": ("marks",),
            "breaks": ("breaks", "breakpoints", "watchpoints", "b"),
        }.items()
        for name in names
    },
    "event": {
        name: own
        for own, names in {
            "execution": ("execution", "exec", "x"),
            "read": ("read", "r"),
            "write": ("write", "w"),
            "access": ("access", "a"),
            "found": ("found", "find"),
        }.items()
        for name in names
    },
    "in": {name: name for name in ("source", "memory", "strings")},
    "kind": {"r": "r", "w": "w", "a": "a", "read": "r", "write": "w", "access": "a"},
    "point": {
        "break": "break", "breakpoint": "break", "watch": "watch", "watchpoint": "watch",
        "all": "all",
    },
    "pane": {
        name: own
        for own, names in {
            "source": ("source", "src"),
            "code": ("code", "disassembly", "asm"),
            "regs": ("regs", "registers"),
            "memory": ("memory", "mem"),
            "stack": ("stack",),
            "input": ("input",),
            "output": ("output",),
            "calls": ("calls", "strace"),
            "tree": ("tree", "processes"),
        }.items()
        for name in names
    },
}  # fmt: skip
"""What a choice can be: each word, and the one that it stands for."""

_N = Param("n", "count")
_CALL = (
    Param("name", "name"),
    Param("fd", "number", key=True),
    Param("path", "text", key=True),
)


def _go(name: str, usage: str, text: str, reverse: str, params: tuple[Param, ...] = (),
        aliases: tuple[str, ...] = ()) -> Verb:  # fmt: skip
    return Verb(name, usage, text, "go", params, aliases, reverse, moves=True)


def _jump(name: str, usage: str, text: str, params: tuple[Param, ...] = (),
          aliases: tuple[str, ...] = (), reverse: str = "") -> Verb:  # fmt: skip
    return Verb(name, usage, text, "jump", params, aliases, reverse, moves=True)


VERBS: tuple[Verb, ...] = (
    _go("step", "step [N]", "N instructions on (1)", "back", (_N,), ("s", "si", "stepi")),
    _go("back", "back [N]", "N instructions back (1)", "step", (_N,),
        ("rs", "rsi", "reverse-step", "reverse-stepi")),
    _go("over", "over [N]", "an instruction on; a call with all that it does is one",
        "back-over", (_N,), ("n", "ni", "nexti")),
    _go("back-over", "back-over [N]", "an instruction back; a whole call is one", "over", (_N,),
        ("rn", "rni", "reverse-next", "reverse-nexti")),
    _go("out", "out", "on to where the present function has returned", "back-out", (),
        ("finish", "fin", "up")),
    _go("back-out", "back-out", "back to the call of the present function", "out", (),
        ("reverse-finish",)),
    _go("call", "call [NAME] [fd=N] [path=PATH]",
        "on to just after the next system call, of that name, descriptor or file", "back-call",
        _CALL, ("syscall",)),
    _go("back-call", "back-call [NAME] [fd=N] [path=PATH]",
        "back to before the last such system call", "call", _CALL, ("reverse-call",)),
    _go("output", "output [N]", "on to just after the next write to a file", "back-output",
        (_N,), ("o",)),
    _go("back-output", "back-output [N]", "back to just after the write before", "output",
        (_N,), ("ro", "reverse-output")),
    _go("cont", "cont", "run on to a breakpoint or watchpoint, or the end", "reverse", (),
        ("c", "continue", "run")),
    _go("reverse", "reverse", "run back to a breakpoint or watchpoint, or the begin", "cont", (),
        ("rc", "reverse-continue")),
    _go("next", "next execution [ADDR] | read|write|access ADDR[:LEN] | found",
        "on to the next time that this happens; without a word it is `over`", "previous",
        (Param("event", "choice", optional=False), Param("of", "span"))),
    _go("previous", "previous execution [ADDR] | read|write|access ADDR[:LEN] | found",
        "back to the last time that it happened", "next",
        (Param("event", "choice", optional=False), Param("of", "span")), ("prev",)),
    _go("child", "child", "into the child that this process forks next, or has just forked",
        "parent", (), ("down",)),
    _go("parent", "parent", "out to the parent, before it forks this process", "child"),
    _jump("go", "go PLACE",
          "to PID@N, PID#K, eN, N%, 0xADDR, a label, FILE:LINE, or ARTIFACT:OFFSET",
          (Param("place", "text", optional=False),), ("goto", "g")),
    _jump("begin", "begin", "to the program's first instruction", (), ("start",), "end"),
    _jump("end", "end", "to the program's last instruction", (), (), "begin"),
    _jump("origin", "origin ADDR", "back to who made the byte that is there now, in any process",
          (Param("of", "span", optional=False),)),
    _jump("jump", "jump [NAME]", "to a mark; without a name to where the last jump came from",
          (Param("name", "name"),), ("j",)),
    _jump("undo", "undo", "back to where the last command came from", (), ("u",)),
    Verb("mark", "mark [NAME]", "give this place a name; without one, list the marks", "jump",
         (Param("name", "name"),), ("ma",)),
    Verb("break", "break [PLACE]", "stop at an address, a label or FILE:LINE; without one, list",
         "stop", (Param("place", "text"),), ("b", "hbreak")),
    Verb("watch", "watch [ADDR[:LEN] [r|w|a]]",
         "stop where memory is written (w), read (r), or either (a); without one, list", "stop",
         (Param("of", "span"), Param("kind", "choice"))),
    Verb("rwatch", "rwatch ADDR[:LEN]", "stop where memory is read", "stop",
         (Param("of", "span", optional=False),)),
    Verb("awatch", "awatch ADDR[:LEN]", "stop where memory is read or written", "stop",
         (Param("of", "span", optional=False),)),
    Verb("delete", "delete [break|watch] N | all", "let go of one, or of all", "stop",
         (Param("point", "choice", skips=True), Param("which", "text")), ("d",)),
    Verb("show", "show WHAT [ADDR[:LEN] | N | FILE]",
         "here, regs, flags, mem, stack, maps, files, file, calls, tree, source, generated, "
         "disassembly, produced, marks, breaks", "look",
         (Param("what", "choice", optional=False), Param("of", "text")),
         ("info", "i")),
    Verb("print", "print SUBJECT",
         "a value, by the names that `expect` knows: a register, label, source, call ...", "look",
         (Param("subject", "name", optional=False), Param("of", "text")), ("p",)),
    Verb("why", "why FILE:OFFSET | ADDR", "where a byte of a file, or of the program, comes from",
         "look", (Param("byte", "text", optional=False),)),
    Verb("where", "where [FILE:LINE]", "what a line of a source became; without one: this place",
         "look", (Param("line", "text"),)),
    Verb("find", "find [source|memory|strings] TEXT",
         "look for a text, or for bytes such as 0xcd80; `next found` goes on", "look",
         (Param("in", "choice", skips=True), Param("text", "text", optional=False))),
    Verb("expect", "expect at PLACE | SUBJECT [OF] =|!=|~ VALUE",
         "a check: where it does not hold, a script ends with status 1; ~ is `contains`", "check",
         (Param("check", "check", optional=False),)),
    Verb("save", "save FILE", "write this session as a script, for --script", "other",
         (Param("file", "text", optional=False),)),
    Verb("help", "help [COMMAND]", "the commands, or one of them", "other",
         (Param("command", "text"),), ("h", "?")),
    Verb("quit", "quit", "end", "other", (), ("q", "exit")),
    Verb("pane", "pane NAME",
         "go to source, code, regs, memory, stack, input, output, calls or tree", "screen",
         (Param("pane", "choice", optional=False),), screen=True),
    Verb("generated", "generated", "the text that the image was made of at last, and the source "
         "again that a person wrote", "screen", screen=True),
    Verb("zoom", "zoom", "the present pane alone, and all again", "screen", screen=True),
    Verb("theme", "theme", "dark, light", "screen", screen=True),
)  # fmt: skip

COUNTED = frozenset(verb.name for verb in VERBS if any(p.kind == "count" for p in verb.params))
"""Commands that take how often: of one after the other, so many make one."""
