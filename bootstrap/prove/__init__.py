"""What a hex0 seed does for every input: all its states are walked, and a checker checks the walk.

docs/proof.md explains it. `walk` proposes a certificate; `check`, which shares nothing with it,
decides what is proven.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bootstrap.core.arches import Arch
    from bootstrap.prove.environments import Finding
    from bootstrap.prove.relation import Relation
    from bootstrap.prove.walk import Automaton


@dataclass(frozen=True)
class Proof:
    """What is known of a seed. Proven only where ``refused`` is empty."""

    seed: bytes
    abi: Arch
    found: Automaton | None
    relation: Relation | None
    certificate: str
    refused: str
    """Why nothing is proven; or empty."""
    findings: tuple[Finding, ...]


def prove(seed: bytes, abi: Arch, most: int) -> Proof:
    """Walk, relate, certify, check. ``most``: states at which the walk stops.

    What is not proven is a finding, not an error. Raises what the loader raises.
    """
    from bootstrap.prove.certificate import to_json
    from bootstrap.prove.check.proof import decide
    from bootstrap.prove.environments import explore
    from bootstrap.prove.relation import model_differs, relate
    from bootstrap.prove.walk import NotProven

    try:
        found, findings = explore(seed, abi, most)
    except NotProven as error:
        return Proof(seed, abi, None, None, "", str(error), ())
    if not found.states:
        return Proof(seed, abi, found, None, "", f"it reads nothing: {found.started}", ())
    relation = relate(found)
    certificate, refused = "", ""
    if relation.difference is not None:
        refused = "it is not hex0"
    elif (word := model_differs(found, relation.dialect)) is not None:
        refused = f"the model of bootstrap.languages differs, at {word!r}"
    else:
        certificate = to_json(found, relation, seed, abi)
        status, line = decide(certificate.encode(), seed)
        refused = line if status else ""
    return Proof(seed, abi, found, relation, certificate, refused, findings)
