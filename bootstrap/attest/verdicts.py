"""What a quorum came to, as data: voices, thresholds, disagreements."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bootstrap.attest.statement import Vouched
from bootstrap.attest.verifying import Fault

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
        "other-sources",
        "other-products",
        "contradicts",
    ]
    | Fault
)
CATALOGUE = "this program's catalogue"
ALL_SOURCES = "(all sources)"


@dataclass(frozen=True)
class Voice:
    """One signature of one file: whose it is, what it vouches for, and whether it counts.

    A file that is no attestation has one voice, with the number 0.
    """

    file: str
    number: int
    verdict: Verdict
    why: str = ""
    person: str | None = None
    label: str | None = None
    fingerprint: str = ""
    vouched: Vouched | None = None


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

    at: datetime.date
    at_given: bool
    voices: tuple[Voice, ...]
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
    def met(self) -> bool:
        """Whether the policy is met."""
        return not self.missing and not self.refused and self.impossible is None


@dataclass(frozen=True)
class Known:
    """What the catalogue has for the release that the policy is about, by entry where it differs.

    ``sources`` maps an entry to its source digest.
    """

    products: Mapping[str, str]
    sources: Mapping[str, str]
