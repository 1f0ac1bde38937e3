"""A sample of the mutation run, and that docs/mutants.md is about the mutants that survive it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.instruments import default_engine
from tests.mutants.cases import TOOLS, cases, program
from tests.mutants.running import MODES, answers, mutant, survives
from tests.mutants.survivors import SURVIVORS, offsets
from tests.seeds import tools

EVERY = 41
"""Shares no factor with the eight bits of a byte and the four bytes of a field."""

_ROW = re.compile(r"\| (hex1|hex2|M0) +\| `([^`]+)` +\|(?: `(..) → (..)` +\|)?")
_TOTAL = re.compile(r"\| (hex1|hex2|M0) +\| +(\d+) \| +(\d+) \| +(\d+) \|")


def page(checkout: Path) -> str:
    return (checkout / "docs" / "mutants.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("tool", TOOLS)
def test_every_41st_mutant_survives_or_not_as_listed(tool: str) -> None:
    engine = default_engine()
    whole = program(tool)
    for offset in range(0, len(whole), EVERY):
        listed = offset in SURVIVORS[tool]
        # What survives is asked everything, but the large cases: they are for the whole run.
        lives = survives(tool, offset, engine, large=not listed)
        assert lives == listed, (
            f"the mutant of {tool} at {offset:#x} {'survives' if lives else 'is caught'} and "
            f"{'is' if listed else 'is not'} listed in survivors.py: "
            "run python -m tests.mutants and look what changed"
        )


@pytest.mark.parametrize("tool", TOOLS)
def test_the_tools_answer_as_they_must(tool: str) -> None:
    for case in cases(tool):
        assert answers(program(tool), MODES[tool], case, default_engine()), case


@tools.ON_THE_HOST
@pytest.mark.parametrize("tool", TOOLS)
def test_survivors_run_on_the_host_as_well(tool: str) -> None:
    """That a field of the ELF header does not count is Linux's word, not only our loader's. The
    group that is called so is where the two differ."""
    case = cases(tool)[0]
    assert case.source is not None
    for offset, group in SURVIVORS[tool].items():
        changed = mutant(program(tool), offset)
        ended = tools.on_the_host(changed, case.arguments, {"in": case.source})
        alike = (ended.status, ended.files.get("out")) == (case.status, case.output)
        assert alike == (group != "Only Linux shows it"), f"{tool} {offset:#x}: {ended.status}"


def test_the_page_explains_every_survivor_in_its_group(checkout: Path) -> None:
    explained: dict[str, dict[int, str]] = {tool: {} for tool in TOOLS}
    group = ""
    for line in page(checkout).splitlines():
        if line.startswith("## "):
            group = line[3:]
        elif row := _ROW.match(line):
            tool, written, before, after = row.groups()
            for offset in offsets(written):
                assert offset not in explained[tool], line
                explained[tool][offset] = group
                if before is not None:
                    whole = program(tool)
                    assert whole[offset] == int(before, 16), line
                    assert mutant(whole, offset)[offset] == int(after, 16), line
    assert explained == SURVIVORS


def test_the_page_counts_right(checkout: Path) -> None:
    counted = {tool: numbers for tool, *numbers in _TOTAL.findall(page(checkout))}
    assert counted == {
        tool: [str(n) for n in (len(program(tool)), len(program(tool)) - len(known), len(known))]
        for tool, known in SURVIVORS.items()
    }
