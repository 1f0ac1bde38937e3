"""Counts who vouches for what, by a policy.

A person counts once, and only by a good signature of a key of the policy's that counts on the day.
All who count are about the same sources and the same products; who vouches for other products of
the same sources disagrees, and by default that alone refuses.  One report is one run, whoever
signs it; engines, vendors and systems are counted by known names.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from bootstrap.attest.envelope import PAYLOAD_TYPE, Envelope
from bootstrap.attest.evidence import materials_of, source_digest
from bootstrap.attest.hosts import UNKNOWN
from bootstrap.attest.policy import About, Policy
from bootstrap.attest.statement import BUILDER, Vouched, read_statement
from bootstrap.attest.verdicts import (
    ALL_SOURCES,
    CATALOGUE,
    Disagreement,
    Known,
    Threshold,
    Verdicts,
    Voice,
)
from bootstrap.attest.verifying import Ring
from bootstrap.core.errors import BadInput
from bootstrap.documents import Fault
from bootstrap.known import find
from bootstrap.report.words import count

_T = TypeVar("_T")
_Products = tuple[tuple[str, str], ...]


def known_of(about: About) -> Known | None:
    """What the catalogue has for it; None where it does not know the release."""
    try:
        step = find(about.name, about.release, about.arch)
    except BadInput:
        return None
    return Known(
        {**step.catalogue, **step.answers},
        {entry: source_digest(materials_of(step, entry)) for entry in step.entries},
    )


def judge(
    policy: Policy,
    envelopes: Sequence[tuple[str, Envelope | Fault]],
    ring: Ring,
    at: datetime.date,
    at_given: bool,
    known: Known | None,
) -> Verdicts:
    """Judge all signatures of all envelopes (file name, envelope or why it is none)."""
    assert policy.about is not None and policy.need is not None
    about, need = policy.about, policy.need
    voices = [
        _about_it(_allowed(voice, policy), about)
        for file, envelope in envelopes
        for voice in _heard(file, envelope, ring)
    ]
    voices = _no_contradictions(voices)
    refused = []
    chosen_source, why = _most(voices, lambda v: v.source_digest, about.source_digest, "sources")
    refused += [why] if why else []
    voices = [_same_sources(voice, chosen_source, voices) for voice in voices]
    disagreements = _with_policy(voices, about.products)
    held = [_as_pinned(voice, about.products) for voice in voices]
    products, why = _most(held, _products, None, "products")
    refused += [why] if why else []
    disagreements += _disagreements(held, products)
    voices = held
    voices = _once([_same_products(voice, products) for voice in voices])
    counting = [v for v in voices if v.verdict in ("counts", "again")]
    agreed = counting[0].vouched if counting else None
    words = "" if known is not None else f"nothing: {CATALOGUE} does not have {about.title}"
    if known is not None and agreed is not None:
        more, words = _with_catalogue(agreed, known)
        disagreements += more
    if disagreements and need.disagreement == "refuse":
        refused.append("not all agree on the products, and the policy refuses that")
    able = policy.able(at)
    return Verdicts(
        at=at,
        at_given=at_given,
        voices=tuple(voices),
        thresholds=_thresholds(policy, counting),
        disagreements=tuple(disagreements),
        agreed=agreed,
        refused=tuple(refused),
        known=words,
        impossible=impossible("need", need.persons, able, at),
    )


def impossible(table: str, persons: int, able: Sequence[str], at: datetime.date) -> str | None:
    """Why nobody can meet a policy on a day, if nobody can."""
    if persons <= len(able):
        return None
    return (
        f"nobody can meet this policy on {at}: {table}.persons is {persons}, but the keys of only"
        f" {count(len(able), 'person')} count on that day"
    )


def _heard(file: str, envelope: Envelope | Fault, ring: Ring) -> list[Voice]:
    """A voice for each signature; what is signed is read only when a signature over it is good."""
    if isinstance(envelope, Fault):
        return [Voice(file, 0, "no-attestation", str(envelope))]
    voices = []
    if envelope.payload_type != PAYLOAD_TYPE:
        why = f"its payloadType is {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}"
        return [
            Voice(file, number, "wrong-type", why)
            for number, _ in enumerate(envelope.signatures, 1)
        ]
    data = envelope.signed_bytes()
    for number, signature in enumerate(envelope.signatures, 1):
        signed = ring.check(data, signature.data)
        key = signed.key
        voice = Voice(
            file,
            number,
            signed.fault or "counts",
            signed.why,
            key.person if key else None,
            key.label if key else None,
            signed.fingerprint,
        )
        if signed.fault is None:
            try:
                voice = replace(voice, vouched=read_statement(envelope.payload))
            except Fault as error:
                voice = replace(voice, verdict="not-understood", why=str(error))
        voices.append(voice)
    return voices


def _allowed(voice: Voice, policy: Policy) -> Voice:
    """Whether nothing decided how it was built that we do not know (SLSA, verifying artifacts)."""
    said = voice.vouched
    if said is None:
        return voice
    if said.builder not in (BUILDER, *policy.allow.builders):
        why = f"its builder is {said.builder}, which the policy does not allow"
        return replace(voice, verdict="not-allowed", why=why)
    odd = [name for name in said.parameters if name not in policy.allow.external_parameters]
    if odd:
        why = f"it has external parameters that the policy does not allow: {_named(odd)}"
        return replace(voice, verdict="not-allowed", why=why)
    return voice


def _about_it(voice: Voice, about: About) -> Voice:
    """Whether it is about what the policy is about, and not a replay for something else."""
    said = voice.vouched
    if voice.verdict != "counts" or said is None:
        return voice
    if (said.name, said.release, said.arch) != (about.name, about.release, about.arch):
        why = f"it is about {said.title}, and the policy about {about.title}"
        return replace(voice, verdict="other-release", why=why)
    if about.entry not in (None, said.entry):
        why = f"it entered through {said.entry}, and the policy wants {about.entry}"
        return replace(voice, verdict="other-entry", why=why)
    if about.source_digest not in (None, said.source_digest):
        why = f"its source digest is {said.source_digest}, the policy's {about.source_digest}"
        return replace(voice, verdict="other-sources", why=why)
    return voice


def _no_contradictions(voices: list[Voice]) -> list[Voice]:
    """Who vouches for two different products of the same sources counts for neither."""
    said: dict[tuple[str | None, str], set[_Products]] = {}
    for voice in voices:
        if voice.verdict == "counts" and voice.vouched is not None:
            whose = (voice.person, voice.vouched.source_digest)
            said.setdefault(whose, set()).add(_products(voice.vouched))
    result = []
    for voice in voices:
        about = voice.vouched.source_digest if voice.vouched is not None else ""
        if voice.verdict == "counts" and len(said[voice.person, about]) > 1:
            why = f"{voice.person} vouches for different products of the same sources"
            voice = replace(voice, verdict="contradicts", why=why)
        result.append(voice)
    return result


def _most(
    voices: Sequence[Voice], of: Callable[[Vouched], _T], pinned: _T | None, what: str
) -> tuple[_T | None, str]:
    """What most persons say, or what the policy has pinned; and why there is none, if so."""
    if pinned is not None:
        return pinned, ""
    persons: dict[_T, set[str | None]] = {}
    for voice in voices:
        if voice.verdict == "counts" and voice.vouched is not None:
            persons.setdefault(of(voice.vouched), set()).add(voice.person)
    ranked = sorted(persons, key=lambda value: len(persons[value]), reverse=True)
    if len(ranked) > 1 and len(persons[ranked[0]]) == len(persons[ranked[1]]):
        return None, f"as many vouch for some {what} as for others; pin them in [about]"
    return (ranked[0] if ranked else None), ""


def _products(vouched: Vouched) -> _Products:
    return tuple(sorted(vouched.products.items()))


def _same_sources(voice: Voice, chosen: str | None, voices: Sequence[Voice]) -> Voice:
    said = voice.vouched
    if voice.verdict != "counts" or said is None or said.source_digest == chosen:
        return voice
    why = f"its source digest is {said.source_digest}, and others' is {chosen or 'another'}"
    for other in voices:
        if other.vouched is not None and other.vouched.source_digest == chosen:
            rows = sorted(
                path
                for path in {*said.materials, *other.vouched.materials}
                if said.materials.get(path) != other.vouched.materials.get(path)
            )
            why = f"it is about other sources: {_named(rows)}"
            break
    return replace(voice, verdict="other-sources", why=why)


def _same_products(voice: Voice, chosen: _Products | None) -> Voice:
    said = voice.vouched
    if voice.verdict != "counts" or said is None or _products(said) == chosen:
        return voice
    if chosen is None:
        return replace(voice, verdict="other-products", why="no products have the most voices")
    rows = sorted(path for path, _ in {*_products(said)} ^ {*chosen})
    why = f"it is about other products: {_named(list(dict.fromkeys(rows)))}"
    return replace(voice, verdict="other-products", why=why)


def _with_policy(voices: Sequence[Voice], pinned: Mapping[str, str]) -> list[Disagreement]:
    return [
        Disagreement(path, sha256, voice.vouched.products.get(path), _by(voice))
        for voice in voices
        if voice.verdict in ("counts", "contradicts") and voice.vouched is not None
        for path, sha256 in pinned.items()
        if voice.vouched.products.get(path) != sha256
    ]


def _as_pinned(voice: Voice, pinned: Mapping[str, str]) -> Voice:
    """The same, not counting when it has not the products that the policy pins."""
    said = voice.vouched
    if voice.verdict != "counts" or said is None:
        return voice
    rows = [path for path, sha256 in pinned.items() if said.products.get(path) != sha256]
    if not rows:
        return voice
    why = f"it has not the products that the policy wants: {_named(rows)}"
    return replace(voice, verdict="other-products", why=why)


def _by(voice: Voice) -> str:
    return f"{voice.person} ({voice.file})"


def _disagreements(voices: Sequence[Voice], chosen: _Products | None) -> list[Disagreement]:
    """Every product for which somebody has another value; of the same sources only."""
    speaking = [
        (voice, voice.vouched)
        for voice in voices
        if voice.verdict in ("counts", "contradicts") and voice.vouched is not None
    ]
    if not speaking:
        return []
    ours = dict(chosen if chosen is not None else _products(speaking[0][1]))
    found = []
    for voice, said in speaking:
        for path in sorted({*ours, *said.products}):
            mine, theirs = ours.get(path), said.products.get(path)
            if mine != theirs:
                found.append(Disagreement(path, mine, theirs, _by(voice)))
    return found


def _once(voices: Sequence[Voice]) -> list[Voice]:
    """The same with each person's second and later voices marked: they count no more."""
    first: dict[str | None, Voice] = {}
    result = []
    for voice in voices:
        if voice.verdict == "counts":
            before = first.setdefault(voice.person, voice)
            if before is not voice:
                why = f"{voice.person} counts already, by {before.label} in {before.file}"
                voice = replace(voice, verdict="again", why=why)
        result.append(voice)
    return result


def _with_catalogue(agreed: Vouched, known: Known) -> tuple[list[Disagreement], str]:
    """Where the catalogue has other values than those vouched for, and a sentence."""
    found = [
        Disagreement(path, agreed.products.get(path), known.products.get(path), CATALOGUE)
        for path in sorted({*known.products, *agreed.products})
        if agreed.products.get(path) != known.products.get(path)
    ]
    what = "products" if found else "sources"
    sources = known.sources.get(agreed.entry)
    if sources != agreed.source_digest:
        found.append(Disagreement(ALL_SOURCES, agreed.source_digest, sources, CATALOGUE))
    if found:
        named = _named([row.path for row in found])
        return found, f"not the same {what} as {CATALOGUE} has for {agreed.title}: {named}"
    return [], f"{CATALOGUE} has the same {len(known.products)} products and the same sources"


def _thresholds(policy: Policy, counting: Sequence[Voice]) -> tuple[Threshold, ...]:
    need = policy.need
    assert need is not None
    said = [voice.vouched for voice in counting if voice.vouched is not None]

    def row(what: str, wanted: int, of: Callable[[Vouched], str]) -> Threshold:
        seen = {of(vouched) for vouched in said if not vouched.stated} - {UNKNOWN}
        stated = {of(vouched) for vouched in said if vouched.stated} - {UNKNOWN} - seen
        have = seen if need.stated == "refuse" else seen | stated
        return Threshold(what, wanted, tuple(sorted(have)), tuple(sorted(stated)))

    persons = sorted({voice.person for voice in counting if voice.person is not None})
    return (
        Threshold("persons", need.persons, tuple(persons)),
        row("runs", need.runs, lambda vouched: vouched.run),
        row("engines", need.engines, lambda vouched: vouched.engine),
        row("cpu vendors", need.cpu_vendors, lambda vouched: vouched.cpu_vendor),
        row("systems", need.systems, lambda vouched: vouched.os),
    )


def _named(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more
