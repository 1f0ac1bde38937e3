"""Graphs as text, for Graphviz (dot) or Mermaid: boxes and ellipses, groups of them, and arrows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from bootstrap.core.errors import printable

Form = Literal["dot", "mermaid"]


@dataclass(frozen=True)
class Node:
    """What is called ``id`` in the text: a box, or an ellipse, with lines of text in it."""

    id: str
    lines: tuple[str, ...]
    ellipse: bool = False
    dashed: bool = False
    """In dot alone."""


@dataclass(frozen=True)
class Group:
    """A frame with a label around nodes."""

    id: str
    label: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Arrow:
    """From one node to another, by their ids."""

    from_: str
    to: str
    dashed: bool = False


def write_graph(name: str, parts: Iterable[Node | Group | Arrow], form: Form) -> str:
    """The graph, ending in a newline; its parts stand in the order given, from left to right."""
    write = _dot if form == "dot" else _mermaid
    lines = [line for part in parts for line in write(part)]
    if form == "dot":
        lines = [f"digraph {name} {{", "  rankdir=LR;", "  node [shape=box];", *lines, "}"]
    else:
        lines = ["flowchart LR", *lines]
    return "\n".join(lines) + "\n"


def _dot(part: Node | Group | Arrow) -> Iterator[str]:
    if isinstance(part, Group):
        yield f"  subgraph cluster_{part.id} {{"
        yield f"    label={_quoted(part.label)};"
        for node in part.nodes:
            yield from (f"  {line}" for line in _dot(node))
        yield "  }"
    elif isinstance(part, Node):
        shape = "shape=ellipse, " if part.ellipse else ""
        style = ", style=dashed" if part.dashed else ""
        yield f"  {part.id} [{shape}label={_quoted(*part.lines)}{style}];"
    else:
        yield f"  {part.from_} -> {part.to}{' [style=dashed]' if part.dashed else ''};"


def _quoted(*lines: str) -> str:
    plain = (printable(line.replace("\n", " ")) for line in lines)
    bare = (line.replace("\\", "\\\\").replace('"', '\\"') for line in plain)
    return '"' + "\\n".join(bare) + '"'


def _mermaid(part: Node | Group | Arrow) -> Iterator[str]:
    if isinstance(part, Group):
        yield f'  subgraph g{part.id}["{part.label}"]'
        for node in part.nodes:
            yield from (f"  {line}" for line in _mermaid(node))
        yield "  end"
    elif isinstance(part, Node):
        start, end = ('(["', '"])') if part.ellipse else ('["', '"]')
        yield f"  {part.id}{start}{'<br>'.join(map(_escaped, part.lines))}{end}"
    else:
        yield f"  {part.from_} {'-.->' if part.dashed else '-->'} {part.to}"


def _escaped(text: str) -> str:
    """Mermaid's escapes are ``#`` and a code: no name of a file is read as markup."""
    text = text.replace("\n", " ")
    return "".join(c if c.isalnum() or c in " ./_+-()" else f"#{ord(c)};" for c in text)
