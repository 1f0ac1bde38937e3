"""The outcome of a quorum in words, and as a document (docs/vouching.md has its keys)."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import bootstrap
from bootstrap.attest.policy import Policy
from bootstrap.attest.quorum import Attestation, Threshold, Verdicts
from bootstrap.attest.simplesigning import StagexVerdicts
from bootstrap.documents import encode
from bootstrap.report.page import Page, visible
from bootstrap.words import count, listed

SCHEMA = "bootstrap-quorum/1"


def quorum_text(
    policy: Policy,
    at: tuple[datetime.date, bool],
    verdicts: Verdicts | None,
    stagex: StagexVerdicts | None,
    *,
    verbose: bool,
    **how: Any,
) -> str:
    """Who vouches for what, who does not count and why, what is missing, who disagrees."""
    page = Page(**how)
    page.heading(f"Quorum by {visible(policy.file)}: {visible(policy.name) or 'a policy'}")
    which = "the day given by --at" if at[1] else "today, UTC"
    page.labelled("judged as", f"of {at[0]} ({which})")
    if verdicts is not None:
        _attestations(page, policy, verdicts, verbose)
    if stagex is not None:
        _images(page, policy, stagex)
    page.blank()
    if why_not := _why_not(verdicts, stagex):
        page.last_word("NOT MET", "1;31", "; ".join(why_not) + ".")
    else:
        words = "; ".join(["the policy is met", *_one_run(verdicts)])
        page.last_word("MET", "1;32", f"{visible(words)}.")
    return page.text()


def _why_not(verdicts: Verdicts | None, stagex: StagexVerdicts | None) -> list[str]:
    return [why for part in (verdicts, stagex) if part is not None for why in part.why_not]


def _attestations(page: Page, policy: Policy, verdicts: Verdicts, verbose: bool) -> None:
    assert policy.about is not None
    page.heading(f"Signatures for {policy.about.title}")
    for voice in verdicts.voices:
        number = f", signature {voice.number}" if voice.number else ""
        _voice(page, policy, voice, f"{voice.file}{number}")
    if not verdicts.voices:
        page.wrapped("none was given")
    agreed = verdicts.agreed
    if agreed is not None:
        page.heading("What they vouch for")
        page.labelled("sources", f"{len(agreed.materials)} files, digest {agreed.source_digest}")
        entry = visible(agreed.entry)
        page.labelled("products", f"{len(agreed.products)}, entered through {entry}")
        runs = next(
            len({*row.have, *row.stated}) for row in verdicts.thresholds if row.what == "runs"
        )
        page.labelled("runs", visible("; ".join([count(runs, "report"), *_one_run(verdicts)])))
        page.labelled("known", visible(verdicts.known))
        for path, sha256 in sorted(agreed.products.items()) if verbose else ():
            page.wrapped(f"{sha256} {visible(path)}", indent=4)
    if verdicts.disagreements:
        page.heading("Who disagrees")
        for one in verdicts.disagreements:
            page.wrapped(f"{page.mark('mismatch')} {visible(one.path)}")
            page.wrapped(f"{one.ours or 'not there'}", indent=6)
            page.wrapped(f"{one.theirs or 'not there'} says {visible(one.by)}", indent=6)
    page.heading("What the policy asks for")
    for row in verdicts.thresholds:
        if row.need == 0:
            continue
        mark = page.mark("match" if row.met else "missing")
        mine = [_short(name) + " (stated)" * (name in row.stated) for name in row.have]
        found = ", ".join(mine) or "none"
        refused = [_short(name) for name in row.stated if name not in row.have]
        found += f"; refused, being only stated: {', '.join(refused)}" if refused else ""
        page.wrapped(f"{mark} {row.need} {row.what} wanted: {found}", hanging=2)


def _one_run(verdicts: Verdicts | None) -> list[str]:
    """Sentences on persons who signed one and the same report: which of them ran it, if any?"""
    signers: dict[str, dict[str, None]] = {}
    for voice in verdicts.voices if verdicts is not None else ():
        if voice.verdict in ("counts", "again") and voice.vouched is not None:
            signers.setdefault(voice.vouched.run, {})[voice.person or ""] = None
    return [
        f"{listed(who)} signed one and the same report, so one run"
        for who in signers.values()
        if len(who) > 1
    ]


def _voice(page: Page, policy: Policy, voice: Attestation, what: str) -> None:
    mark = page.mark("match" if voice.verdict == "counts" else "unknown")
    if voice.verdict not in ("counts", "again", "unknown-key"):
        mark = page.mark("mismatch")
    if voice.verdict == "no-attestation":
        page.wrapped(f"{mark} {visible(what)}: no attestation: {visible(voice.why)}", hanging=2)
        return
    who = "somebody"
    if voice.person is not None:
        who = f"{policy.persons[voice.person].name} ({voice.person}, key {voice.label})"
    said = voice.vouched
    where = ""
    if said is not None:
        where = f", on {said.engine} {said.engine_version}, {said.cpu_vendor}, {said.os}"
        where += " (stated)" if said.stated else ""
    page.wrapped(
        f"{mark} {visible(what)}: {visible(who + where)}",
        hanging=2,
    )
    if voice.why:
        page.wrapped(f"{voice.verdict}: {visible(voice.why)}", indent=6)


def _short(name: str) -> str:
    """A name, or the beginning of a SHA-256."""
    return f"{name[:12]}..." if len(name) == 64 else visible(name)


def _images(page: Page, policy: Policy, stagex: StagexVerdicts) -> None:
    page.heading("StageX's signatures")
    for image in stagex.images:
        mark = page.mark("match" if image.threshold.met else "missing")
        found = ", ".join(image.threshold.have) or "none"
        page.wrapped(f"{mark} {image.name} sha256 {image.sha256}", hanging=2)
        files = f"{count(len(image.voices), 'file')}, " if image.here else "no folder, "
        page.wrapped(f"{files}{count(image.threshold.need, 'person')} wanted: {found}", indent=6)
        for voice in image.voices:
            _voice(page, policy, voice, voice.file)
    if stagex.others:
        page.wrapped(f"{stagex.others} images more, which the policy does not ask for: not read")
    for note in stagex.notes:
        page.wrapped(f"note: {visible(note)}", hanging=2)


def quorum_document(
    policy: Policy,
    at: tuple[datetime.date, bool],
    verdicts: Verdicts | None,
    stagex: StagexVerdicts | None,
) -> dict[str, Any]:
    """The same for machines; equal inputs on equal days give equal bytes."""
    why_not = _why_not(verdicts, stagex)
    return {
        "schema": SCHEMA,
        "tool": {"name": "bootstrap", "version": bootstrap.__version__},
        "policy": policy.name,
        "at": at[0].isoformat(),
        "at_given": at[1],
        "met": not why_not,
        "why_not": why_not,
        "attestations": None if verdicts is None else _verdicts(verdicts),
        "stagex": None if stagex is None else _stagex(stagex),
    }


_AGREED = ("name", "release", "arch", "entry", "source_digest")


def _verdicts(verdicts: Verdicts) -> dict[str, Any]:
    agreed = verdicts.agreed
    return {
        "met": verdicts.met,
        "impossible": verdicts.impossible,
        "signatures": [_signature(voice) for voice in verdicts.voices],
        "thresholds": _thresholds(verdicts.thresholds),
        "agreed": agreed
        and {
            **{name: getattr(agreed, name) for name in _AGREED},
            "products": dict(sorted(agreed.products.items())),
        },
        "disagreements": encode(verdicts.disagreements),
        "refused": list(verdicts.refused),
        "known": verdicts.known,
    }


def _signature(voice: Attestation) -> dict[str, Any]:
    said = voice.vouched
    return {
        **encode(voice),
        "engine": said and said.engine,
        "cpu_vendor": said and said.cpu_vendor,
        "os": said and said.os,
        "report": said and said.run,
        "stated": said and said.stated,
    }


def _thresholds(rows: Sequence[Threshold]) -> list[dict[str, Any]]:
    return [{**encode(row), "met": row.met} for row in rows]


def _stagex(stagex: StagexVerdicts) -> dict[str, Any]:
    return {
        "met": stagex.met,
        "impossible": stagex.impossible,
        "images": [
            {
                "name": image.name,
                "sha256": image.sha256,
                "here": image.here,
                "thresholds": _thresholds([image.threshold]),
                "signatures": [_signature(voice) for voice in image.voices],
            }
            for image in stagex.images
        ],
        "others": stagex.others,
        "notes": list(stagex.notes),
    }
