"""One sentence that says what was verified, and what was not."""

from collections.abc import Sequence

from bootstrap.report.model import Materials, Result, RunFacts
from bootstrap.report.report import Artifact
from bootstrap.report.words import count

_HOW = "(to verify it: bootstrap fetch stage0-posix --from PATH, then bootstrap verify)"
_EMBEDDED_TAIL = f"upstream's tree was not verified {_HOW}"


def claim(
    result: Result,
    artifacts: Sequence[Artifact],
    facts: RunFacts,
    materials: Materials,
    reasons: Sequence[str],
) -> str:
    """The claim of a report; it never says more than was compared."""
    answers = [a for a in artifacts if a.is_answer]
    others = [a for a in artifacts if a.expectations and not a.is_answer]
    embedded = facts.source.kind == "embedded"
    what = f"{facts.title} for {facts.arch}"
    if embedded:
        what = f"the embedded path for {facts.arch}"
    if result not in ("verified", "embedded-only"):
        good = sum(a.status == "match" for a in answers)
        why = f"; {reasons[0]}" if reasons else ""
        tail = f"; {_EMBEDDED_TAIL}" if embedded else ""
        if others and not answers:
            good = sum(a.status == "match" for a in others)
            return (
                f"Not verified: {why.removeprefix('; ')}; {good} of "
                f"{count(len(others), 'artifact')} of {what} "
                f"{'equals' if good == 1 else 'equal'} what a native run made."
            )
        return (
            f"Not verified: {good} of {count(len(answers), 'answer')} of {what} "
            f"{'matches' if good == 1 else 'match'}{why}{tail}."
        )
    if embedded:
        modelled = sum(any(e.kind == "model" for e in a.expectations) for a in answers)
        also = " and the language models" if modelled == len(answers) else ""
        only, tail = "Our own path only", _EMBEDDED_TAIL
        if result == "embedded-only":
            only = "Embedded only, upstream not verified"
            tail = f"{facts.source.in_place_of} could not be had {_HOW}"
        return (
            f"{only}: {count(len(answers), 'artifact')} for {facts.arch} "
            f"{'matches its' if len(answers) == 1 else 'match their'} known-good "
            f"{'value' if len(answers) == 1 else 'values'}{also}, built from the seed on the "
            f"embedded sources; {tail}."
        )
    number = "The 1 answer" if len(answers) == 1 else f"All {len(answers)} answers"
    also = f" and {count(len(others), 'intermediate artifact')}" if others else ""
    return (
        f"{number} of {what}{also} match their known-good values, built through the entry "
        f"{facts.entry} in a tree whose {count(len(materials.known), 'source file')} "
        f"{'is that' if len(materials.known) == 1 else 'are those'} of the release."
    )
