"""The keys of the screen, as data: what each does, as a command, and which key goes back.

`{here}` is the instruction at the cursor (else pc), `{byte}` the byte of memory at the cursor (else
what was accessed last).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """A key. `does`: a command; with a trailing blank, what the command line begins with; with a
    leading `!`, an action of the screen alone."""

    key: str
    does: str
    help: str
    reverse: str = ""


GROUPS: tuple[tuple[str, tuple[Key, ...]], ...] = (
    ("forwards, and with the capital letter backwards", (
        Key("s", "step", "step: one instruction", "S"),
        Key("S", "back", "one instruction back", "s"),
        Key("n", "over", "over: a call is one step", "N"),
        Key("N", "back-over", "back over", "n"),
        Key("f", "out", "finish: out of the function", "F"),
        Key("F", "back-out", "back to its call", "f"),
        Key("y", "call", "to behind the next system call", "Y"),
        Key("Y", "back-call", "to before the last system call", "y"),
        Key("o", "output", "to the next output byte", "O"),
        Key("O", "back-output", "to the output byte before", "o"),
        Key("c", "cont", "continue to a breakpoint, watchpoint, or the end", "C"),
        Key("C", "reverse", "the same backwards, or to the begin", "c"),
        Key("x", "next execution {here}", "to the next execution of this instruction", "X"),
        Key("X", "previous execution {here}", "to the one before", "x"),
        Key("r", "next read {byte}", "to the next read of this byte", "R"),
        Key("R", "previous read {byte}", "to the last read of it", "r"),
        Key("w", "next write {byte}", "to the next write of this byte", "W"),
        Key("W", "previous write {byte}", "to the last write of it, in any process", "w"),
        Key("d", "child", "down into the child", "D"),
        Key("D", "parent", "out to the parent", "d"),
        Key(".", "next found", "the next place that was found", ","),
        Key(",", "previous found", "the one before", "."),
        Key("]", "!later", "one per cent of the program on", "["),
        Key("[", "!earlier", "one per cent back", "]"),
    )),
    ("places", (
        Key("g", "go ", "go to PID@N, PID#K, eN, 50%, 0xADDR, a label, FILE:LINE, FILE:OFFSET"),
        Key("home", "begin", "to the program's begin", "end"),
        Key("end", "end", "to its end", "home"),
        Key("a", "origin {byte}", "to who made the byte that is there now"),
        Key("enter", "!follow", "go to what the cursor is on: when it was written, read, run"),
        Key("m", "!mark", "m and a letter: mark this place", "'"),
        Key("'", "!jump", "' and a letter: to the mark; '' back from the last jump", "m"),
        Key("u", "undo", "undo the last move"),
        Key("b", "!break", "breakpoint at the cursor, on or off"),
        Key("v", "!watch", "watchpoint at the byte at the cursor, on or off"),
        Key("/", "!find", "find a text: in the source, or in memory from the memory pane"),
    )),
    ("the screen", (
        Key("tab", "!next_pane", "the next pane", "shift+tab"),
        Key("shift+tab", "!previous_pane", "the pane before", "tab"),
        Key("up", "!up", "the cursor up (also k)", "down"),
        Key("down", "!down", "down (j)", "up"),
        Key("left", "!left", "left (h)", "right"),
        Key("right", "!right", "right (l)", "left"),
        Key("pageup", "!page_up", "a page up", "pagedown"),
        Key("pagedown", "!page_down", "a page down", "pageup"),
        Key("G", "generated", "the generated source, and the one that a person wrote again"),
        Key("z", "zoom", "this pane alone, and all again"),
        Key("t", "theme", "dark, light"),
        Key("p", "!why", "why: the whole way of the byte at the cursor"),
        Key("K", "!count", "count how often each instruction ran (long programs)"),
        Key("i", "show here", "information about this place"),
        Key(":", "!prompt", "the command line; Tab completes, up and down go through history"),
        Key("?", "!help", "this"),
        Key("escape", "!escape", "stop what is working; cursor back to the present place"),
        Key("ctrl+c", "!interrupt", "stop what is working"),
        Key("q", "quit", "quit"),
    )),
)  # fmt: skip
SAME = {"k": "up", "j": "down", "h": "left", "l": "right", "space": "s", "backspace": "S",
        "question_mark": "?", "colon": ":", "slash": "/", "full_stop": ".", "comma": ",",
        "left_square_bracket": "[", "right_square_bracket": "]", "apostrophe": "'",
        "quit": "q", "ctrl+j": "enter"}  # fmt: skip
"""Other keys for the same."""

KEYS = {key.key: key for _, keys in GROUPS for key in keys}


def help_lines() -> Iterator[str]:
    """All of them, for people."""
    for title, keys in GROUPS:
        yield title
        for key in keys:
            yield f"  {key.key:10} {key.help}"
        yield ""
    yield "10s: a number before a key does it so many times."
    yield "> comes next, * changed or written, ~ read, @ breakpoint, | cursor, = belongs to it."
