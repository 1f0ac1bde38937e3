"""``bootstrap releases``: which releases the catalogue knows, and what is known of each."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence
from typing import Any

from bootstrap.cli.output import STDOUT, document, print_page, write_json
from bootstrap.known import RELEASES, StepFile, architectures, find, releases
from bootstrap.report.page import Page
from bootstrap.sources import Cache

SCHEMA = "bootstrap-releases/1"
_INDENT = "    "


def run(args: argparse.Namespace) -> int:
    """Do it; always 0.  Raises BadInput when a step file is not right or FILE cannot be written."""
    cache = Cache()
    cached = cache.releases(RELEASES)
    known = [
        (release, [find(RELEASES, release, arch) for arch in architectures(RELEASES, release)])
        for release in releases(RELEASES)
    ]
    if args.json != STDOUT:
        print_page(functools.partial(to_text, known, cached), sys.stdout)
    write_json(args.json, to_document(known, cached, str(cache.root)))
    return 0


def to_text(
    known: Sequence[tuple[str, Sequence[StepFile]]], cached: Sequence[str], **how: Any
) -> str:
    """The list for people; ``known`` has each release with its step files, ``how`` is a Page's."""
    page = Page(**how)
    for release, steps in known:
        sha256 = _archive_sha256(steps)
        page.line(f"{RELEASES} {release}" + (", in the cache" if release in cached else ""))
        page.line(f"{_INDENT}commit  {steps[0].source.commit}")
        page.line(f"{_INDENT}archive {sha256 or 'no published sha256: known by its files'}")
        for step in steps:
            counts = (
                f"{len(step.answers):3} answers, {len(step.native):3} native values, "
                f"{len(step.materials):3} materials"
            )
            page.line(f"{_INDENT}{step.arch:8}{counts}; {_state(step)}")
        common = _common_notes(steps)
        notes = [("note", note) for note in common]
        notes += [(s.arch, note) for s in steps for note in s.notes if note not in common]
        for label, note in notes:
            page.wrapped(f"{label}: {note}", 4, 4)
        page.blank()
    pairs = [step for _, steps in known for step in steps]
    checked = sum(step.checked is not None for step in pairs)
    page.line(
        f"{len(known)} releases, {len(pairs)} pairs of release and architecture; "
        f"{checked} checked by a run here"
    )
    return page.text()


def to_document(
    known: Sequence[tuple[str, Sequence[StepFile]]], cached: Sequence[str], cache: str
) -> dict[str, object]:
    """The list as JSON data: docs/releases.md."""
    return document(
        schema=SCHEMA,
        cache=cache,
        releases=[
            {
                "name": steps[0].name,
                "release": release,
                "commit": steps[0].source.commit,
                "urls": list(steps[0].source.urls),
                "archive_sha256": _archive_sha256(steps),
                "cached": release in cached,
                "notes": list(_common_notes(steps)),
                "architectures": [_architecture(step, _common_notes(steps)) for step in steps],
            }
            for release, steps in known
        ],
    )


def _architecture(step: StepFile, common: Sequence[str]) -> dict[str, object]:
    checked = step.checked
    return {
        "arch": step.arch,
        "entries": list(step.entries),
        "answers": len(step.answers),
        "answers_from": step.answers_from,
        "native": len(step.native),
        "native_answers": _native_answers(step),
        "native_from": step.native_from or None,
        "materials": len(step.materials),
        "materials_from": step.materials_from or None,
        "checked": checked and {"date": checked.date.isoformat(), "answers": checked.answers},
        "notes": [note for note in step.notes if note not in common],
    }


def _state(step: StepFile) -> str:
    """What is known of the pair as a whole: a run of ours, a native run, or nothing yet."""
    if step.checked is not None:
        return f"checked {step.checked}"
    if _native_answers(step) == len(step.answers):
        return "met natively, not run here yet"
    return "not run yet"


def _native_answers(step: StepFile) -> int:
    """How many answers a native run gave; a file of the tree is what it is."""
    if not step.native:
        return 0
    found = {**step.materials, **step.native}
    return sum(found.get(path) == sha256 for path, sha256 in step.answers.items())


def _archive_sha256(steps: Sequence[StepFile]) -> str | None:
    return next((step.source.sha256 for step in steps if step.source.sha256), None)


def _common_notes(steps: Sequence[StepFile]) -> tuple[str, ...]:
    """The notes that every architecture of the release has."""
    return tuple(note for note in steps[0].notes if all(note in step.notes for step in steps))
