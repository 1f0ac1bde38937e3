"""Readers of the formats that a trace is exported to, written from the formats' descriptions.

They know nothing of our own code, and refuse what the description does not allow.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# Chrome's Trace Event Format.


@dataclass
class Bar:
    """A complete event, with those that lie in it."""

    event: dict[str, object]
    begin: int
    end: int
    depth: int
    inside: list[Bar] = field(default_factory=list)


@dataclass
class Chart:
    """What a viewer shows."""

    bars: list[Bar]
    flows: list[tuple[dict[str, object], dict[str, object]]]

    def at(self, ts: int) -> Bar:
        """The innermost slice at a time, which a flow event binds to (bp "e")."""
        return max((b for b in self.bars if b.begin <= ts < b.end), key=lambda b: b.depth)


def read_chrome(text: bytes) -> Chart:
    """Raises ValueError: no such file, slices of a track that overlap but do not nest, or a flow
    without an end, backwards in time, or outside all slices."""
    events = json.loads(text)["traceEvents"]
    bars: list[Bar] = []
    flows: dict[object, dict[str, dict[str, object]]] = {}
    for event in events:
        if event["ph"] not in ("M", "X", "s", "f") or not {"name", "pid", "tid"} <= event.keys():
            raise ValueError(f"no event of the format: {event}")
        if event["ph"] == "X":
            if event["ts"] < 0 or event["dur"] < 1:
                raise ValueError(f"takes no time: {event}")
            bars.append(Bar(event, event["ts"], event["ts"] + event["dur"], 0))
        elif event["ph"] in ("s", "f"):
            flows.setdefault(event["id"], {})[event["ph"]] = event
    open_bars: list[Bar] = []
    for bar in sorted(bars, key=lambda b: (b.begin, -b.end)):
        while open_bars and open_bars[-1].end <= bar.begin:
            open_bars.pop()
        if open_bars:
            if bar.end > open_bars[-1].end:
                raise ValueError(f"does not nest: {bar.event}")
            open_bars[-1].inside.append(bar)
        bar.depth = len(open_bars)
        open_bars.append(bar)
    chart = Chart(bars, [])
    for number, ends in flows.items():
        if ends.keys() != {"s", "f"}:
            raise ValueError(f"flow {number} has one end only")
        start, end = ends["s"], ends["f"]
        if not int(str(start["ts"])) <= int(str(end["ts"])):
            raise ValueError(f"flow {number} goes backwards")
        for one in (start, end):
            chart.at(int(str(one["ts"])))
        chart.flows.append((start, end))
    return chart


# drcov 2.


@dataclass(frozen=True)
class Module:
    """A line of the module table."""

    base: int
    end: int
    entry: int
    path: str


@dataclass(frozen=True)
class Drcov:
    """A file."""

    modules: Sequence[Module]
    blocks: Sequence[tuple[int, int, int]]
    """Module, offset from its base, size."""


def read_drcov(content: bytes) -> Drcov:
    """Raises ValueError."""
    lines = content.split(b"\n", 4)
    if lines[:2] != [b"DRCOV VERSION: 2", b"DRCOV FLAVOR: drcov"]:
        raise ValueError("no drcov file of version 2")
    table = re.fullmatch(rb"Module Table: version 2, count (\d+)", lines[2])
    if table is None or lines[3] != b"Columns: id, base, end, entry, path":
        raise ValueError("no module table of version 2")
    modules: list[Module] = []
    rest = lines[4]
    for number in range(int(table[1])):
        line, _, rest = rest.partition(b"\n")
        cells = line.decode().split(", ")
        if len(cells) != 5 or int(cells[0]) != number:
            raise ValueError(f"no line of a module: {line!r}")
        modules.append(Module(int(cells[1], 16), int(cells[2], 16), int(cells[3], 16), cells[4]))
    line, _, rest = rest.partition(b"\n")
    head = re.fullmatch(rb"BB Table: (\d+) bbs", line)
    if head is None or len(rest) != 8 * int(head[1]):
        raise ValueError("the records are not as many as the header says")
    blocks: list[tuple[int, int, int]] = []
    for start, size, number in struct.iter_unpack("<IHH", rest):
        module = modules[number] if number < len(modules) else None
        if module is None or not size or module.base + start + size > module.end:
            raise ValueError(f"a block outside its module: {start:#x}, {size}, {number}")
        blocks.append((number, start, size))
    return Drcov(modules, blocks)


# Tenet.


@dataclass(frozen=True)
class Delta:
    """A line: what an instruction changed, read and wrote."""

    registers: Mapping[str, int]
    reads: Mapping[int, int]
    """Bytes, by address."""
    writes: Mapping[int, int]


TENET_X86 = ("eax", "ebx", "ecx", "edx", "ebp", "esp", "esi", "edi", "eip")
TENET_AMD64 = (
    *("rax", "rbx", "rcx", "rdx", "rbp", "rsp", "rsi", "rdi", "rip"),
    *(f"r{number}" for number in range(8, 16)),
)


def read_tenet(text: bytes, known: Sequence[str], pc: str) -> list[Delta]:
    """Raises ValueError: an entry that the format or the architecture does not have, a line
    without the program counter, or a first line without all registers."""
    deltas: list[Delta] = []
    for line in text.decode("ascii").splitlines():
        delta = Delta({}, {}, {})
        for entry in line.split(","):
            name, value = entry.split("=")
            if name in ("mr", "mw"):
                address, content = value.split(":")
                where = delta.reads if name == "mr" else delta.writes
                assert isinstance(where, dict)
                where.update(enumerate(bytes.fromhex(content), int(address, 16)))
            elif name in known:
                assert isinstance(delta.registers, dict)
                delta.registers[name] = int(value, 16)
            else:
                raise ValueError(f"the architecture has no {name}")
        if pc not in delta.registers:
            raise ValueError(f"no program counter: {line}")
        deltas.append(delta)
    if not deltas or set(deltas[0].registers) != set(known):
        raise ValueError("the first line does not tell all registers")
    return deltas


# Graphviz, as much of it as a list of nodes and edges needs.

_STRING = r'"(?:[^"\\]|\\.)*"'
_NODE = re.compile(rf"  (\w+) \[(?:shape=ellipse, )?label=({_STRING})\];")
_EDGE = re.compile(r"  (\w+) -> (\w+)(?: \[style=dashed\])?;")


def read_dot(text: str) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Nodes with their labels, and edges. Raises ValueError."""
    lines = text.splitlines()
    head = ["digraph trace {", "  rankdir=LR;", "  node [shape=box];"]
    if lines[:3] != head or lines[-1] != "}":
        raise ValueError("no graph")
    nodes: dict[str, str] = {}
    edges: list[tuple[str, str]] = []
    for line in lines[3:-1]:
        if node := _NODE.fullmatch(line):
            nodes[node[1]] = node[2]
        elif edge := _EDGE.fullmatch(line):
            edges.append((edge[1], edge[2]))
        else:
            raise ValueError(f"no statement: {line}")
    if not {name for edge in edges for name in edge} <= nodes.keys():
        raise ValueError("an edge to nowhere")
    return nodes, edges


# strace.

_CALL = re.compile(
    r"\[pid +(\d+)\] (?:(\w+)\((.*)\) += (\?|-?\d+|0x[0-9a-f]+)"
    r"(?:<[^>]*>)?(?: E[A-Z]+ \([^()]*\))?|\+\+\+ (?:exited with \d+|killed by .*) \+\+\+)"
)


def read_strace(text: str) -> list[tuple[int, str, str]]:
    """pid, call (empty: it ended) and result of each line, as `strace -f` writes them.

    Raises ValueError.
    """
    found: list[tuple[int, str, str]] = []
    for line in text.splitlines():
        match = _CALL.fullmatch(line)
        if match is None:
            raise ValueError(f"no line of strace: {line}")
        found.append((int(match[1]), match[2] or "", match[4] or ""))
    return found
