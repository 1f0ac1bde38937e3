"""Counts who vouches for what, by a policy.

A person counts once, and only by a good signature of a key of the policy's that counts on the day.
All who count are about the same sources and the same products; who vouches for other products of
the same sources disagrees, and by default that alone refuses.  One report is one run, whoever
signs it; engines, vendors and systems are counted by known names.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

from bootstrap.attest.envelope import PAYLOAD_TYPE, Envelope
from bootstrap.attest.evidence import materials_of, source_digest
from bootstrap.attest.hosts import UNKNOWN
from bootstrap.attest.policy import About, Need, Policy
from bootstrap.attest.signatures import CheckedSignature, Ring, SignatureFault
from bootstrap.attest.statement import BUILDER, Vouched, read_statement
from bootstrap.core.errors import BadInput
from bootstrap.documents import BadValue
from bootstrap.known import find
from bootstrap.words import count, some

_T = TypeVar("_T")
_Products = tuple[tuple[str, str], ...]


Verdict = (
    Literal[
        "counts",
        "again",
        "no-attestation",
        "wrong-type",
        "not-understood",
        "not-allowed",
        "other-release",
        "other-entry",
        "other-image",
        "other-sources",
        "other-products",
        "not-rechecked",
        "few-opinions",
        "contradicts",
    ]
    | SignatureFault
)
_NOT_ENOUGH = ("contradicts", "not-rechecked", "few-opinions", "other-image")
CATALOGUE = "this program's catalogue"
ALL_SOURCES = "(all sources)"
NAMED = 3
"""Paths that a sentence names; of more it says how many."""


@dataclass(frozen=True)
class Attestation:
    """One signature of one file: whose it is, what it vouches for, and whether it counts.

    A file that is no attestation has one voice, with the number 0.
    """

    file: str
    number: int
    verdict: Verdict
    why: str = ""
    person: str | None = None
    label: str | None = field(default=None, metadata={"key": "key"})
    fingerprint: str = ""
    vouched: Vouched | None = field(default=None, metadata={"key": None})

    @classmethod
    def of(cls, file: str, number: int, signed: CheckedSignature) -> Attestation:
        """What the check of a signature alone says of it."""
        key = signed.key
        return cls(
            file,
            number,
            signed.fault or "counts",
            signed.why,
            key.person if key else None,
            key.label if key else None,
            signed.fingerprint,
        )

    def without(self, verdict: Verdict, why: str) -> Attestation:
        """The same, not counting."""
        return replace(self, verdict=verdict, why=why)


@dataclass(frozen=True)
class Threshold:
    """Something that the policy asks for: how many, and which were found.

    ``stated`` are those that nobody saw who signed; they are among ``have``, or the policy refuses
    them.
    """

    what: str
    need: int
    have: tuple[str, ...]
    stated: tuple[str, ...] = ()

    @property
    def met(self) -> bool:
        """Whether there are enough."""
        return len(self.have) >= self.need


@dataclass(frozen=True)
class Disagreement:
    """A product for which there are two values (None: does not have it), and who says which."""

    path: str
    ours: str | None
    theirs: str | None
    by: str


@dataclass(frozen=True)
class Verdicts:
    """The outcome.  ``agreed`` is what all who count vouch for; None when there is nothing."""

    voices: tuple[Attestation, ...]
    thresholds: tuple[Threshold, ...]
    disagreements: tuple[Disagreement, ...]
    agreed: Vouched | None
    refused: tuple[str, ...]
    """Why the policy is not met, beside the thresholds; sentences."""
    known: str = ""
    """How the agreed products compare with the catalogue; a sentence."""
    impossible: str | None = None
    """Why nobody could meet the policy on that day."""

    @property
    def missing(self) -> tuple[str, ...]:
        """What the policy asks for and is not there."""
        return tuple(
            f"{t.what}: {t.need} wanted, {len(t.have)} found" for t in self.thresholds if not t.met
        )

    @property
    def why_not(self) -> tuple[str, ...]:
        """All that keeps the policy from being met."""
        return (*filter(None, (self.impossible,)), *self.missing, *self.refused)

    @property
    def met(self) -> bool:
        """Whether the policy is met."""
        return not self.why_not


@dataclass(frozen=True)
class KnownValues:
    """What the catalogue has for the release that the policy is about, by entry where it differs.

    ``sources`` maps an entry to its source digest.
    """

    products: Mapping[str, str]
    sources: Mapping[str, str]


_Refusal = tuple[Verdict, str] | None
"""Why something does not count, as a word and a sentence; None if it does."""


def known_of(about: About) -> KnownValues | None:
    """What the catalogue has for it; None where it does not know the release."""
    try:
        step = find(about.name, about.release, about.arch)
    except BadInput:
        return None
    return KnownValues(
        {**step.catalogue, **step.answers},
        {entry: source_digest(materials_of(step, entry)) for entry in step.entries},
    )


def judge(
    policy: Policy,
    envelopes: Sequence[tuple[str, Envelope | BadValue]],
    ring: Ring,
    known: KnownValues | None,
) -> Verdicts:
    """Judge all signatures of all envelopes (file name, envelope or why it is none)."""
    assert policy.about is not None and policy.need is not None
    about, need = policy.about, policy.need
    voices = [voice for file, envelope in envelopes for voice in _read(file, envelope, ring)]
    voices = _held(voices, lambda _, said: _not_allowed(said, policy))
    voices = _held(voices, lambda _, said: _not_about(said, about))
    if need.recheck == "require":
        why = "it does not say that the core alone found the same, which the policy requires"
        voices = _held(voices, lambda _, v: None if v.rechecked else ("not-rechecked", why))
    voices = _held(voices, lambda _, said: _few_opinions(said, need.opinions))
    voices = _no_contradictions(voices)
    refused: list[str] = []
    refused += filter(None, (policy.over(ring.at),))
    sources, why = _most(voices, lambda v: v.source_digest, about.source_digest, "sources")
    refused += [why] if why else []
    others = voices
    voices = _held(voices, lambda _, said: _other_sources(said, sources, others))
    disagreements = [
        row
        for said, by in _speaking(voices, sources)
        for row in _differing(about.products, said.products, by, about.products)
    ]
    voices = _held(voices, lambda _, said: _not_pinned(said, about.products))
    products, why = _most(voices, _products, None, "products")
    refused += [why] if why else []
    disagreements += _disagreements(_speaking(voices, sources), products)
    voices = _held(voices, lambda _, said: _other_products(said, products))
    first: dict[str | None, Attestation] = {}
    voices = _held(voices, lambda voice, _: _again(voice, first.setdefault(voice.person, voice)))
    counting = [v for v in voices if v.verdict in ("counts", "again")]
    agreed = counting[0].vouched if counting else None
    words = "" if known is not None else f"nothing: {CATALOGUE} does not have {about.title}"
    if known is not None and agreed is not None:
        more, words = _with_catalogue(agreed, known)
        disagreements += more
    if disagreements and need.disagreement == "refuse":
        refused.append("not all agree on the products, and the policy refuses that")
    return Verdicts(
        voices=tuple(voices),
        thresholds=_thresholds(need, counting),
        disagreements=tuple(disagreements),
        agreed=agreed,
        refused=tuple(refused),
        known=words,
        impossible=impossible("need", need.persons, policy.able(ring.at), ring.at),
    )


def impossible(table: str, persons: int, able: Sequence[str], at: datetime.date) -> str | None:
    """Why nobody can meet a policy on a day, if nobody can."""
    if persons <= len(able):
        return None
    return (
        f"nobody can meet this policy on {at}: {table}.persons is {persons}, but the keys of only"
        f" {count(len(able), 'person')} count on that day"
    )


def _read(file: str, envelope: Envelope | BadValue, ring: Ring) -> list[Attestation]:
    """One for each signature; what is signed is read only when a signature over it is good."""
    if isinstance(envelope, BadValue):
        return [Attestation(file, 0, "no-attestation", str(envelope))]
    if envelope.payload_type != PAYLOAD_TYPE:
        why = f"its payloadType is {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}"
        numbers = range(1, len(envelope.signatures) + 1)
        return [Attestation(file, number, "wrong-type", why) for number in numbers]
    voices = []
    for number, signed in enumerate(ring.check_envelope(envelope), 1):
        voice = Attestation.of(file, number, signed)
        if signed.fault is None:
            try:
                voice = replace(voice, vouched=read_statement(envelope.payload))
            except BadValue as fault:
                voice = voice.without("not-understood", str(fault))
            day = voice.vouched and voice.vouched.day
            if day and day > ring.at:
                voice = voice.without("not-yet-valid", f"it says that it was verified on {day}")
        voices.append(voice)
    return voices


def _held(
    voices: Sequence[Attestation], rule: Callable[[Attestation, Vouched], _Refusal]
) -> list[Attestation]:
    """The same, each that counted so far held against a rule, which says why one does not."""
    result = []
    for voice in voices:
        refusal = None
        if voice.verdict == "counts" and voice.vouched is not None:
            refusal = rule(voice, voice.vouched)
        result.append(voice.without(*refusal) if refusal else voice)
    return result


def _not_allowed(said: Vouched, policy: Policy) -> _Refusal:
    """Whether something unknown decided how it was built (SLSA, verifying artifacts)."""
    if said.builder not in (BUILDER, *policy.allow.builders):
        return "not-allowed", f"its builder is {said.builder}, which the policy does not allow"
    odd = [name for name in said.parameters if name not in policy.allow.external_parameters]
    if odd:
        why = f"it has external parameters that the policy does not allow: {some(odd, NAMED)}"
        return "not-allowed", why
    return None


def _not_about(said: Vouched, about: About) -> _Refusal:
    """Whether it is about something else than the policy, and a replay."""
    if (said.name, said.release, said.arch) != (about.name, about.release, about.arch):
        return "other-release", f"it is about {said.title}, and the policy about {about.title}"
    if about.entry not in (None, said.entry):
        why = f"it entered through {said.entry}, and the policy wants {about.entry}"
        return "other-entry", why
    if about.source_digest not in (None, said.source_digest):
        why = f"its source digest is {said.source_digest}, the policy's {about.source_digest}"
        return "other-sources", why
    if about.image not in (None, said.image):
        return "other-image", f"its image is {said.image or 'none'}, and not {about.image}"
    return None


def _few_opinions(said: Vouched, need: int) -> _Refusal:
    if said.independent >= need:
        return None
    named = count(said.independent, "independent opinion")
    return "few-opinions", f"it names {named} made in its own run, and the policy wants {need}"


def _no_contradictions(voices: Sequence[Attestation]) -> list[Attestation]:
    """Who vouches for two different products of the same sources counts for neither."""
    vouched: dict[tuple[str | None, str], set[_Products]] = {}
    for voice in voices:
        if voice.verdict == "counts" and voice.vouched is not None:
            whose = (voice.person, voice.vouched.source_digest)
            vouched.setdefault(whose, set()).add(_products(voice.vouched))

    def rule(voice: Attestation, said: Vouched) -> _Refusal:
        if len(vouched[voice.person, said.source_digest]) == 1:
            return None
        why = f"{voice.person} vouches for different products of the same sources"
        return "contradicts", why

    return _held(voices, rule)


def _most(
    voices: Sequence[Attestation], of: Callable[[Vouched], _T], pinned: _T | None, what: str
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


def _other_sources(said: Vouched, chosen: str | None, voices: Sequence[Attestation]) -> _Refusal:
    if said.source_digest == chosen:
        return None
    for other in voices:
        if other.vouched is not None and other.vouched.source_digest == chosen:
            theirs = other.vouched.materials
            paths = {*said.materials, *theirs}
            rows = sorted(path for path in paths if said.materials.get(path) != theirs.get(path))
            return "other-sources", f"it is about other sources: {some(rows, NAMED)}"
    why = f"its source digest is {said.source_digest}, and others' is {chosen or 'another'}"
    return "other-sources", why


def _not_pinned(said: Vouched, pinned: Mapping[str, str]) -> _Refusal:
    """Whether it lacks a product that the policy pins."""
    rows = [path for path, sha256 in pinned.items() if said.products.get(path) != sha256]
    if not rows:
        return None
    return "other-products", f"it has not the products that the policy wants: {some(rows, NAMED)}"


def _other_products(said: Vouched, chosen: _Products | None) -> _Refusal:
    if _products(said) == chosen:
        return None
    if chosen is None:
        return "other-products", "no products have the most voices"
    rows = sorted({path for path, _ in {*_products(said)} ^ {*chosen}})
    return "other-products", f"it is about other products: {some(rows, NAMED)}"


def _again(voice: Attestation, first: Attestation) -> _Refusal:
    """Whether it is a person's second or later one."""
    if first is voice:
        return None
    return "again", f"{voice.person} counts already, by {first.label} in {first.file}"


def _speaking(voices: Sequence[Attestation], sources: str | None) -> list[tuple[Vouched, str]]:
    """What those say of these sources whose keys count, and whose it is.

    Too little for a vote in favour (`_NOT_ENOUGH`) is still a word against.
    """
    return [
        (voice.vouched, f"{voice.person} ({voice.file})")
        for voice in voices
        if voice.vouched is not None
        and (voice.verdict == "counts" or voice.verdict in _NOT_ENOUGH)
        and sources in (None, voice.vouched.source_digest)
    ]


def _differing(
    ours: Mapping[str, str], theirs: Mapping[str, str], by: str, paths: Iterable[str] | None = None
) -> list[Disagreement]:
    """Every product (of ``paths``, if they are given) for which there are two values."""
    return [
        Disagreement(path, ours.get(path), theirs.get(path), by)
        for path in (sorted({*ours, *theirs}) if paths is None else paths)
        if ours.get(path) != theirs.get(path)
    ]


def _disagreements(
    speaking: Sequence[tuple[Vouched, str]], chosen: _Products | None
) -> list[Disagreement]:
    """Every product for which somebody has another value; of the same sources only."""
    if not speaking:
        return []
    ours = dict(chosen) if chosen is not None else speaking[0][0].products
    return [row for said, by in speaking for row in _differing(ours, said.products, by)]


def _with_catalogue(agreed: Vouched, known: KnownValues) -> tuple[list[Disagreement], str]:
    """Where the catalogue has other values than those vouched for, and a sentence."""
    found = _differing(agreed.products, known.products, CATALOGUE)
    what = "products" if found else "sources"
    sources = known.sources.get(agreed.entry)
    if sources != agreed.source_digest:
        found.append(Disagreement(ALL_SOURCES, agreed.source_digest, sources, CATALOGUE))
    if found:
        named = some([row.path for row in found], NAMED)
        return found, f"not the same {what} as {CATALOGUE} has for {agreed.title}: {named}"
    return [], f"{CATALOGUE} has the same {len(known.products)} products and the same sources"


def _thresholds(need: Need, counting: Sequence[Attestation]) -> tuple[Threshold, ...]:
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
