"""An anatomy as text for people: one line for each part, every byte shown once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from bootstrap.anatomy.claims import KINDS, Anatomy, Claim, Opinion, Part

_BYTES = 8
"""Bytes of a part on one line."""
_FOLD = 64
"""Padding of more bytes than this is shown by its first line only: all of it is the same."""


def render(anatomy: Anatomy, colour: bool = False) -> Iterator[str]:
    """The lines, without newlines."""
    yield f"{anatomy.format}, {anatomy.size} bytes, sha256 {anatomy.sha256}"
    for fact in anatomy.facts:
        yield f"  {fact}"
    yield ""
    yield f"{'at':>8}  {'size':>7}  {'bytes':<23}  what"
    shown: set[int] = set()
    for part in anatomy.parts:
        yield from _part(part, colour, shown)
    yield ""
    yield from _summary(anatomy)


def _part(part: Part, colour: bool, shown: set[int]) -> Iterator[str]:
    claim = part.claim
    again = id(claim) in shown
    shown.add(id(claim))
    _, word, code = KINDS[claim.kind]
    what = f"{word:<8} {_words(claim)}"
    if again or claim.start < part.start or claim.end > part.end:
        low, high = part.start - claim.start, part.end - claim.start
        what += f"  [its bytes {low} to {high - 1} of {claim.end - claim.start}]"
    if colour:
        what = f"\x1b[{code}m{what}\x1b[0m"
    first = part.data[:_BYTES].hex(" ")
    if claim.kind == "source":
        first = ""
    folded = claim.kind == "source" or (claim.kind == "padding" and part.size > _FOLD)
    if claim.kind == "padding" and folded:
        first = f"{part.data[:6].hex(' ')} ..."
    yield f"{part.start:>#8x}  {part.size:>7}  {first:<23}  {what}".rstrip()
    if not folded:
        for at in range(_BYTES, part.size, _BYTES):
            yield f"{'':>8}  {'':>7}  {part.data[at : at + _BYTES].hex(' ')}"
    for other in part.also:
        portion = f"{other.start:#x} to {other.end:#x}"
        yield f"{'':>8}  {'':>7}  {'':<23}  also     {_words(other)}  [{portion}]"


def _words(claim: Claim) -> str:
    text = claim.name
    if claim.value:
        text += f" {claim.value}" if claim.kind in ("data", "string") else f" = {claim.value}"
    if claim.kind == "source":
        text = f"{claim.name}: {claim.value}"
    return f"{text} -- {claim.meaning}" if claim.meaning else text


def _summary(anatomy: Anatomy) -> Iterator[str]:
    totals = anatomy.totals()
    for kind, size in totals.items():
        yield f"{size:>9}  {KINDS[kind][0]}"
    yield f"{sum(totals.values()):>9}  together, of {anatomy.size}: every byte once"
    if anatomy.idle():
        yield f"{anatomy.idle():>9}  of them in fields that are not read, and in nothing else"
    if anatomy.shared():
        yield f"{anatomy.shared():>9}  of them with more than one reading"
    for opinion in anatomy.opinions:
        yield f"{opinion.reader}: {verdict(opinion)}"
        for difference in opinion.differences[:20]:
            yield f"  {difference.field}: here {difference.ours}, there {difference.theirs}"
        if len(opinion.differences) > 20:
            yield f"  and {len(opinion.differences) - 20} more"
    for limit in anatomy.limits:
        yield f"not known: {limit}"


def verdict(opinion: Opinion) -> str:
    """One reader's opinion in words."""
    if opinion.verdict == "agrees":
        return f"agrees on all {opinion.fields} header fields compared"
    if opinion.verdict == "differs":
        if not opinion.differences:
            return f"agrees on {opinion.fields} header fields; {opinion.detail}"
        words = f"differs in {len(opinion.differences)} of {opinion.fields} fields compared"
        return f"{words}; {opinion.detail}" if opinion.detail else words
    return (
        f"{'refuses the file' if opinion.verdict == 'refuses' else 'not asked'}: {opinion.detail}"
    )


def document(anatomy: Anatomy) -> dict[str, object]:
    """The same as a JSON object; bytes as hexadecimal digits."""
    return {
        "format": anatomy.format,
        "size": anatomy.size,
        "sha256": anatomy.sha256,
        "facts": list(anatomy.facts),
        "parts": [_json_part(part) for part in anatomy.parts],
        "totals": dict(anatomy.totals()),
        "shared": anatomy.shared(),
        "idle": anatomy.idle(),
        "opinions": [asdict(opinion) for opinion in anatomy.opinions],
        "limits": list(anatomy.limits),
    }


def _json_part(part: Part) -> dict[str, object]:
    return {
        "offset": part.start,
        "size": part.size,
        "bytes": part.data.hex(),
        **_json_claim(part.claim),
        "also": [_json_claim(claim) for claim in part.also],
    }


def _json_claim(claim: Claim) -> dict[str, object]:
    return {
        "kind": claim.kind,
        "name": claim.name,
        "value": claim.value,
        "meaning": claim.meaning,
        "range": [claim.start, claim.end],
    }
