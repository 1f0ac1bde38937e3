"""The plan as a graph, for Graphviz (dot) or Mermaid: steps in order, and what each is made of."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal

from bootstrap.core.errors import printable
from bootstrap.handoff.plan import Plan, Row

Form = Literal["dot", "mermaid"]
FORMS: tuple[Form, ...] = ("dot", "mermaid")
_STATES = {"checked": "checked", "partly": "partly checked", "unchecked": "not checked"}


def plan_graph(plan: Plan, form: Form) -> str:
    """Steps as boxes in order, grouped by script; source files as ellipses that lead into them."""
    of = f"{plan.checkout.text}; digest {plan.checkout.digest}"
    mark, text = ("//", _dot(plan)) if form == "dot" else ("%%", _mermaid(plan))
    return f"{mark} {printable(of)}\n{text}"


def _label(row: Row) -> tuple[str, str]:
    return f"{row.step.number} {row.step.title}", _STATES[row.checked.products.state]


def _scripts(rows: Iterable[Row]) -> dict[int, list[Row]]:
    groups: dict[int, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.step.script, []).append(row)
    return groups


def _files(plan: Plan) -> list[str]:
    return [file.name for file in plan.distfiles if file.name in plan.needed]


def _dot(plan: Plan) -> str:
    lines = ["digraph handoff {", "  rankdir=LR;", "  node [shape=box];"]
    for script, rows in _scripts(plan.rows).items():
        lines.append(f"  subgraph cluster_{script} {{")
        lines.append(f'    label="/steps/{script}.sh";')
        for row in rows:
            title, state = _label(row)
            style = "" if state == "checked" else ", style=dashed"
            text = f"{quoted(title)}\\n{state}"
            lines.append(f'    s{row.step.number} [label="{text}"{style}];')
        lines.append("  }")
    lines += [f"  s{a.step.number} -> s{b.step.number};" for a, b in pairwise(plan.rows)]
    numbers = {name: number for number, name in enumerate(_files(plan), 1)}
    for name, number in numbers.items():
        lines.append(f'  f{number} [shape=ellipse, label="{quoted(name)}"];')
    for row in plan.rows:
        lines += [f"  f{numbers[name]} -> s{row.step.number};" for name in row.files]
    return "\n".join([*lines, "}"]) + "\n"


def _mermaid(plan: Plan) -> str:
    lines = ["flowchart LR"]
    for script, rows in _scripts(plan.rows).items():
        lines.append(f'  subgraph g{script}["/steps/{script}.sh"]')
        for row in rows:
            title, state = _label(row)
            lines.append(f'    s{row.step.number}["{entity(title)}<br>{state}"]')
        lines.append("  end")
    lines += [f"  s{a.step.number} --> s{b.step.number}" for a, b in pairwise(plan.rows)]
    numbers = {name: number for number, name in enumerate(_files(plan), 1)}
    lines += [f'  f{number}(["{entity(name)}"])' for name, number in numbers.items()]
    for row in plan.rows:
        lines += [f"  f{numbers[name]} --> s{row.step.number}" for name in row.files]
    return "\n".join(lines) + "\n"


def quoted(text: str) -> str:
    """A text for between the quotes of a dot label."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def entity(text: str) -> str:
    """Mermaid's escapes are ``#`` and a code; names of files are kept from being read as markup."""
    return "".join(c if c.isalnum() or c in " ./_+-()" else f"#{ord(c)};" for c in text)
