"""Draws panes as rows of cells, from a view: pure functions, no terminal.

A row is a list of (text, style); a style is a name that the screen gives a look (app.tcss). What a
style says stands in the text too: `>` what comes next, `*` changed or written, `~` read, `@` a
breakpoint, `|` the cursor, `=` what belongs to the cursor.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import groupby

from bootstrap.debug.linking import Links
from bootstrap.debug.screen_state import FileView, ScreenState
from bootstrap.debug.tui.cursor import Cursor, is_text, per_row
from bootstrap.debug.views import CodeLine

Row = list[tuple[str, str]]
"""(text, style)."""
_FLAGS = {
    "CF": "carry", "PF": "parity even", "AF": "adjust", "ZF": "zero", "SF": "negative",
    "TF": "trap", "IF": "interrupts on", "DF": "backwards", "OF": "overflow",
    "N": "negative", "Z": "zero", "C": "carry", "V": "overflow",
}  # fmt: skip

_FLAG_REGISTERS = ("eflags", "nzcv")
_FIRST = ("eip", "rip", "pc", "esp", "rsp", "sp", *_FLAG_REGISTERS)


def scroll(count: int, height: int, at: int) -> int:
    """The first of `count` rows to show in `height`, so that `at` is well inside."""
    return max(0, min(at - height // 2, count - height))


# Source.


def source(view: ScreenState, cursor: Cursor, width: int, height: int) -> list[Row]:
    """The source around the cursor."""
    found = view.source
    if found is None:
        return _wrapped(f"no source line is known: {view.unknown}", "unknown", width, height)
    linked = cursor.links.line_in(found.file)
    at = cursor.source or (linked if linked is not None and cursor.by_hand else found.line)
    first = scroll(len(found.lines), height, at - 1)
    rows: list[Row] = []
    for number in range(first + 1, min(first + height, len(found.lines)) + 1):
        text = found.lines[number - 1].expandtabs(8)
        here, mine = number == found.line, number == at and cursor.focus == "source"
        belongs = linked == number and not mine
        mark = (">" if here else " ") + ("|" if mine else "=" if belongs else " ")
        style = "here" if here else "cursor" if mine else "linked" if belongs else ""
        row: Row = [(mark, style or "dim"), (f"{number:5} ", "dim")]
        code, comment = _comment(text)
        row += [(code, style), (comment, style or "comment")]
        rows.append(row)
    return rows


def _comment(text: str) -> tuple[str, str]:
    code = re.split("[#;]", text, maxsplit=1)[0]
    return code, text[len(code) :]


def _wrapped(text: str, style: str, width: int, height: int) -> list[Row]:
    lines = textwrap.wrap(text, max(1, width - 2), break_long_words=False, break_on_hyphens=False)
    return [[(" " + line, style)] for line in lines[:height]]


# Code.

LANES = 3
"""Arrows that may run beside one another."""


def arrows(lines: Sequence[tuple[int, int | None]], pc: int) -> list[str]:
    """For each line (address, where it leads), LANES + 1 cells.

    What leads out of the lines is `^` (to lower addresses) or `v`. The jump at pc comes first;
    then the short ones; what finds no free lane has only its own sign.
    """
    index = {addr: i for i, (addr, _) in enumerate(lines)}
    cells = [[" "] * (LANES + 1) for _ in lines]
    jumps = []
    for i, (addr, target) in enumerate(lines):
        if target is None:
            continue
        if target in index:
            jumps.append((addr != pc, abs(index[target] - i), i, index[target]))
        elif lines:
            cells[i][LANES] = "^" if target < lines[0][0] else "v"
    taken: list[list[tuple[int, int]]] = [[] for _ in range(LANES)]
    for _, _, source, target in sorted(jumps):
        low, high = min(source, target), max(source, target)
        lane = next(
            (n for n in range(LANES - 1, -1, -1)
             if all(high < a or b < low for a, b in taken[n])), None,
        )  # fmt: skip
        if lane is None:
            cells[source][LANES] = "^" if target < source else "v"
            continue
        taken[lane].append((low, high))
        for row in range(low, high + 1):
            if cells[row][lane] == " ":
                cells[row][lane] = ":"
        for column in range(lane + 1, LANES):
            for row in (source, target):
                if cells[row][column] == " ":
                    cells[row][column] = "-"
        cells[source][lane] = cells[target][lane] = "+"
        cells[target][LANES] = ">"
        if cells[source][LANES] == " ":
            cells[source][LANES] = "-"
    return ["".join(row) for row in cells]


def code(view: ScreenState, cursor: Cursor, width: int, height: int) -> list[Row]:
    """Instructions around pc or the cursor: labels, arrows of jumps, what ran at all."""
    at = cursor.code if cursor.code and cursor.focus == "code" else view.pc
    if cursor.by_hand and cursor.links.guest_addr is not None:
        at = cursor.links.guest_addr
    lines = view.code
    index = next((i for i, line in enumerate(lines) if line.guest_addr >= at), 0)
    rows: list[tuple[CodeLine | None, Row]] = []
    gutters = arrows([(line.guest_addr, line.target) for line in lines], view.pc)
    wide = width >= 80
    for number, line in enumerate(lines):
        if line.label and "+" not in line.label:
            rows.append((None, [("   ", ""), (f"{line.label}:", "label")]))
        rows.append((line, _instruction(view, cursor, line, gutters[number], wide)))
    middle = next((i for i, (line, _) in enumerate(rows) if line is lines[index]), 0) if rows else 0
    first = scroll(len(rows), height, middle)
    shown = [row for _, row in rows[first : first + height]]
    return shown or [[(f" {view.pc:#x}: nothing can be read there", "unknown")]]


def _instruction(view: ScreenState, cursor: Cursor, line: CodeLine, gutter: str, wide: bool) -> Row:
    addr = line.guest_addr
    mine = addr == cursor.code and cursor.focus == "code"
    links = cursor.links
    belongs = links.guest_addr is not None and links.guest_addr <= addr < (
        links.guest_addr + links.size
    )
    mark = ">" if line.here else " "
    mark += "|" if mine else "=" if belongs and cursor.focus != "code" else " "
    mark += "@" if addr in view.breaks else _ran(view, addr)
    style = "here" if line.here else "cursor" if mine else "linked" if belongs else ""
    times = None if view.ran is None else view.ran.get(addr, 0)
    row: Row = [(mark, style or ("break" if addr in view.breaks else "dim")), (gutter, "control")]
    row.append((f"{addr:8x} ", style or "dim"))
    if wide:
        row.append((f"{line.code.hex(' ')[:17]:18}", style or "dim"))
    row.append((f"{line.text:28} ", style or ("" if times != 0 else "never")))
    if line.target_label:
        row.append((f"{line.target_label} ", "label"))
    if line.place:
        note = line.comment or _comment(line.source)[1].lstrip("#; ")
        # Comments of ours begin with the address and the instruction, which stand here already.
        note = re.split(r"\s{2,}", note)[-1] if note[:1].isdigit() else note
        row.append((f"{line.place.rpartition(':')[2]:>4}: {note}", "comment"))
    return row


def _ran(view: ScreenState, addr: int) -> str:
    """`.` never ran in this program, `+` did; blank: not counted."""
    if view.ran is None:
        return " "
    return "+" if view.ran.get(addr) else "."


# Registers.


def regs(view: ScreenState, _cursor: Cursor, width: int, height: int) -> list[Row]:
    """In columns; `*` what the last move changed; the flags in words.

    Where there is no room for all: pc, stack pointer, flags and what changed come first.
    """
    flags = [f"{flag} {_FLAGS.get(flag, '')}".strip() for flag in view.flags.split()
             if flag in _FLAGS]  # fmt: skip
    last: list[Row] = []
    if any(name in _FLAG_REGISTERS for name, _ in view.registers):
        last = _wrapped("flags: " + (", ".join(flags) or "none set"), "label", width, height)
    digits = 2 * view.word
    columns = max(1, (width + 2) // (digits + 10))  # the last one's blanks may be cut
    registers = list(view.registers)
    needed = -(-len(registers) // columns)
    last = last[: max(0, height - needed)] if height >= needed else last[:1]
    if needed > height:
        room = max(columns, (height - len(last) - 1) * columns)
        first = [r for r in registers if r[0] in _FIRST or r[0] in view.changed]
        first.sort(key=lambda r: r[0] not in _FIRST)
        chosen = dict((first + [r for r in registers if r not in first])[:room])
        left = len(registers) - len(chosen)
        last.append([(f" and {left} more: z gives this pane all the room", "dim")])
        registers = [r for r in registers if r[0] in chosen]
    rows: list[Row] = []
    for begin in range(0, len(registers), columns):
        row: Row = []
        for name, value in registers[begin : begin + columns]:
            changed = name in view.changed
            row.append(
                (f"{'*' if changed else ' '}{name:>6} {value:0{digits}x}  ",
                 "changed" if changed else "")
            )  # fmt: skip
        rows.append(row)
    return [*rows, *last][:height]


# Bytes.


def dump(
    name: str, data: bytes, at: int, each: int, cursor: int | None,
    read: tuple[int, int] | None, wrote: tuple[int, int] | None, linked: int | None,
    focused: bool = True,
) -> Row:  # fmt: skip
    row: Row = [(f" {name} ", "dim")]
    text: Row = []
    for index, byte in enumerate(data):
        addr = at + index
        mark, style = " ", ""
        if linked == addr:
            mark, style = "=", "linked"
        if inside(read, addr):
            mark, style = "~", "read"
        if inside(wrote, addr):
            mark, style = "*", "written"
        if cursor == addr and (focused or mark == " "):
            mark, style = "|", "cursor"
        row.append((f"{mark}{byte:02x}", style))
        text.append((chr(byte) if 0x20 <= byte < 0x7F else ".", style or "dim"))
    row.append(("   " * (each - len(data)) + " ", ""))
    return row + text


def inside(span: tuple[int, int] | None, addr: int) -> bool:
    return span is not None and span[0] <= addr < span[0] + span[1]


def file(view: ScreenState, cursor: Cursor, width: int, height: int, which: str) -> list[Row]:
    """A file as the guest sees it: text as lines, all else as bytes."""
    found = view.input if which == "input" else view.output
    if found is None:
        what = "read" if which == "input" else "written"
        return [[(f" no file is open to be {what} here", "unknown")]]
    mine = (cursor.input if which == "input" else cursor.output) if cursor.focus == which else None
    mine = None if mine is None or mine < 0 else mine
    linked = _linked(found, cursor, which)
    if is_text(found.content):
        return _text_file(found, mine, linked, width, height)
    each = per_row(width)
    centre = mine if mine is not None else found.written[0] if found.written else found.offset
    total = -(-len(found.content) // each)
    first = scroll(total, height, (centre - found.first) // each)
    rows: list[Row] = []
    for index in range(first, min(first + height, total)):
        begin = index * each
        rows.append(
            dump(f"{found.first + begin:06x}", found.content[begin : begin + each],
                  found.first + begin, each, mine, None, found.written, linked)
        )  # fmt: skip
    return rows or [[(" empty so far", "dim")]]


def _linked(found: FileView, cursor: Cursor, which: str) -> int | None:
    name, links = found.path.lstrip("/"), cursor.links
    if cursor.focus != which and links.file is not None and links.file[0] == name:
        return links.file[1]
    here = next((one for one in links.sources if one[0] == name), None)
    if cursor.focus != which and here is not None:
        return offset_at(found, here[1], max(1, here[2]))
    return None


def offset_at(found: FileView, line: int, column: int) -> int | None:
    """Where a line and a column are in a file that is shown from its start."""
    if found.first:
        return None
    lines = found.content.split(b"\n")
    if not 0 < line <= len(lines):
        return None
    return sum(len(one) + 1 for one in lines[: line - 1]) + column - 1


def _text_file(
    found: FileView, mine: int | None, linked: int | None, width: int, height: int
) -> list[Row]:
    lines = found.content.split(b"\n")
    starts = [found.first]
    for line in lines[:-1]:
        starts.append(starts[-1] + len(line) + 1)
    centre = mine if mine is not None else found.written[0] if found.written else found.offset
    at = max((i for i, start in enumerate(starts) if start <= centre), default=0)
    first = scroll(len(lines), height, at)
    rows: list[Row] = []
    for index in range(first, min(first + height, len(lines))):
        start, raw = starts[index], lines[index]
        end = start + len(raw)
        here = start <= found.offset <= end
        mark = (">" if here else " ") + ("|" if mine is not None and start <= mine <= end else " ")
        row: Row = [(mark, "here" if here else "dim"), (f"{index + 1:5} ", "dim")]
        spots = {found.offset: ("here", "^"), linked: ("linked", "="), mine: ("cursor", "|")}
        for offset in range(start, end + 1):
            text = raw[offset - start : offset - start + 1].decode("latin-1") or " "
            text = text if text.isprintable() else "."
            style, sign = spots.get(offset, ("", ""))
            if inside(found.written, offset):
                style, sign = "written", "*"
            # Where nothing but a style would show it, a sign stands before the byte.
            row.append(
                (sign + text if sign else text, style or ("dim" if offset < found.offset else ""))
            )
        rows.append(_joined(row))
    return rows


def _joined(row: Row) -> Row:
    """Neighbours of one style together."""
    groups = groupby(row, lambda cell: cell[1])
    return [("".join(text for text, _ in cells), style) for style, cells in groups]


# Memory, stack.


def memory(view: ScreenState, cursor: Cursor, width: int, height: int) -> list[Row]:
    """Bytes, with what was just read (~) and written (*)."""
    each = per_row(width)
    if not view.memory:
        return [[(f" {view.memory_at:#x}: nothing can be read there", "unknown")]]
    rows: list[Row] = []
    at = view.memory_at
    data = view.memory[: each * height]
    mine, focused = cursor.memory or None, cursor.focus == "memory"
    for begin in range(0, len(data), each):
        rows.append(
            dump(f"{at + begin:08x}", data[begin : begin + each], at + begin, each, mine,
                  view.read, view.wrote, None, focused)
        )  # fmt: skip
    return rows


def stack(view: ScreenState, _cursor: Cursor, width: int, height: int) -> list[Row]:
    """Words from the stack pointer on."""
    digits = 2 * view.word
    rows: list[Row] = []
    for addr, value, label in view.stack[:height]:
        touched = [(view.read, "~", "read"), (view.wrote, "*", "written")]
        mark, style = (">", "") if addr == view.sp else (" ", "")
        mark += " "
        for span, sign, name in touched:
            if span is not None and span[0] < addr + view.word and addr < span[0] + span[1]:
                mark, style = mark[0] + sign, name
        rows.append(
            [(mark, style or "dim"), (f"{addr:0{digits}x} ", "dim"), (f"{value:0{digits}x}", style),
             (f"  {label}" if label else "", "label")]
        )  # fmt: skip
    return rows


# Calls, processes.


def calls(view: ScreenState, cursor: Cursor, width: int, height: int) -> list[Row]:
    """System calls so far, and the next."""
    rows: list[Row] = [
        [(" " * 2, ""), (f"{number:7,} ", "dim"), (text, "")] for number, text in view.calls
    ]
    if rows:
        rows[-1][0] = ("* ", "changed") if view.produced is not None else ("  ", "")
    following = view.next_call or "none follows"
    rows.append([("> ", "here"), (f"{view.calls_made + 1:7,} ", "dim"), (following, "here")])
    back = cursor.calls if cursor.focus == "calls" else 0
    end = max(min(height, len(rows)), len(rows) - back)
    if back and end <= len(rows):
        rows[end - 1][0] = ("| ", "cursor")
    return rows[max(0, end - height) : end]


def tree(view: ScreenState, cursor: Cursor, width: int, height: int) -> list[Row]:
    """All programs of the run, below those that started them."""
    at = cursor.tree if cursor.focus == "tree" and cursor.tree else view.row
    index = next((i for i, one in enumerate(view.tree) if one.row == at), 0)
    first = scroll(len(view.tree), height, index)
    rows: list[Row] = []
    for one in view.tree[first : first + height]:
        here, mine = one.row == view.row, one.row == at and cursor.focus == "tree"
        mark = (">" if here else " ") + ("|" if mine else " ")
        style = "here" if here else "cursor" if mine else ""
        end = "" if one.end == "exit 0" else f"  [{one.end}]"
        rows.append(
            [(mark, style), (f"{'  ' * one.depth}{one.pid} ", "label"), (one.text, style),
             (end, "dim")]
        )  # fmt: skip
    return rows


def pane(name: str, view: ScreenState, cursor: Cursor, width: int, height: int) -> list[Row]:
    """One pane, by its name."""
    if name in ("input", "output"):
        return file(view, cursor, width, height, name)
    drawers = {"source": source, "code": code, "regs": regs, "memory": memory, "stack": stack,
               "calls": calls, "tree": tree}  # fmt: skip
    return drawers[name](view, cursor, width, height)


def title(name: str, view: ScreenState, cursor: Cursor, plain: str) -> str:
    """What stands above a pane."""
    if name == "source" and view.source is not None:
        made = " (generated)" if cursor.generated else ""
        return f"{plain} {view.source.file}:{cursor.source or view.source.line}{made}"
    if name == "code":
        counted = "+ ran, . never" if view.ran is not None else "K counts what ran"
        return f"{plain} {view.program.split()[0].lstrip('./')}  ({counted})"
    if name == "memory":
        return f"{plain} {view.memory_at:#x}  (~ read, * written)"
    if name in ("input", "output"):
        found = view.input if name == "input" else view.output
        if found is None:
            return plain
        at = "1 byte" if found.size == 1 else f"{found.size:,} bytes"
        if name == "input":
            at = f"at {found.offset:,} of {found.size:,}"
        new = "" if found.written is None else ", * written last"
        return f"{plain} {found.fd} {found.path}  ({at}{new})"
    if name == "calls":
        return f"{plain} {view.calls_made:,} of {view.calls_total:,}"
    return plain


def head(view: ScreenState, width: int) -> Row:
    """The first row of the screen."""
    failed = "  RUN FAILED: " + view.failure if view.failure else ""
    return [(f" {view.here}", "here"), (f"  pid {view.pid}  {view.program}{failed}"[:width], "")]


def links(found: Links, width: int, height: int) -> list[Row]:
    """What belongs to the cursor: data with ->, control with =>, what nobody knows with ??."""
    signs = {"data": " data    -> ", "control": " control => ", "unknown": " unknown ?? "}
    return [
        [(signs[kind], kind), (text[: width - 12], "unknown" if kind == "unknown" else "")]
        for kind, text in found.lines[:height]
    ]


# Time.


def bar_place(width: int) -> tuple[int, int]:
    """Where the bar of the time line is: first column, columns."""
    return 14, max(4, width - (46 if width > 110 else 34))


def time_rows(view: ScreenState, width: int, height: int, pulled: float | None) -> list[Row]:
    """The bar, with marks on it; below it, where there is room, the other scales."""
    left, room = bar_place(width)
    total = view.total
    if total is not None:
        share = view.executed / max(1, total - 1)
        end = f"{total - 1:,}" + (" instructions" if width > 110 else "")
    else:
        share = view.calls_made / max(1, view.calls_total)
        end = "the calls"
    share = share if pulled is None else pulled
    at = round(share * (room - 1))
    bar = ["="] * at + ["-"] * (room - at)
    if total is not None:
        for name, executed in view.marked:
            bar[round(executed / max(1, total - 1) * (room - 1))] = name[0]
    bar[at] = "O"
    now = f"{view.executed:,}" if pulled is None else f"to {share:.1%}"
    rows: list[Row] = [
        [(f"{now:>{left - 2}} ", "here"), ("[", "dim"), ("".join(bar[:at]), "control"),
         (bar[at], "here"), ("".join(bar[at + 1 :]), "dim"), ("] ", "dim"),
         (f"{share:6.1%} of {end}", "")]
    ]  # fmt: skip
    rows.append(
        [(f"{'':{left}}call {view.calls_made:,} of {view.calls_total:,}; event {view.event:,} of "
          f"{view.events:,} of the run; drag, or [ and ], or g 50%", "dim")]
    )  # fmt: skip
    return rows[:height]
