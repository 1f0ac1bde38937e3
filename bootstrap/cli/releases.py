"""``bootstrap releases``: which releases the catalogue knows, and what is known of each."""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Sequence

from bootstrap.cli.live import style_for
from bootstrap.cli.output import STDOUT, document, write_json
from bootstrap.known import RELEASES, StepFile, architectures, find, releases
from bootstrap.sources import Cache

SCHEMA = "bootstrap-releases/1"
_WIDTH = 100
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
        style = style_for(sys.stdout, os.environ)
        width = style.width() if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH
        sys.stdout.write(to_text(known, cached, max(width, 40)))
    write_json(args.json, to_document(known, cached, str(cache.root)))
    return 0


def to_text(
    known: Sequence[tuple[str, Sequence[StepFile]]], cached: Sequence[str], width: int = _WIDTH
) -> str:
    """The list for people; ``known`` has each release with its step files."""
    lines = []
    for release, steps in known:
        sha256 = _archive_sha256(steps)
        lines += [
            f"{RELEASES} {release}" + (", in the cache" if release in cached else ""),
            f"{_INDENT}commit  {steps[0].source.commit}",
            f"{_INDENT}archive {sha256 or 'no published sha256: known by its files'}",
        ]
        for step in steps:
            counts = (
                f"{len(step.answers):3} answers, {len(step.native):3} native values, "
                f"{len(step.materials):3} materials"
            )
            lines.append(f"{_INDENT}{step.arch:8}{counts}; {_state(step)}")
        common = _common_notes(steps)
        notes = [("note", note) for note in common]
        notes += [(s.arch, note) for s in steps for note in s.notes if note not in common]
        for label, note in notes:
            lines += textwrap.wrap(
                f"{label}: {note}",
                width,
                initial_indent=_INDENT,
                subsequent_indent=2 * _INDENT,
                break_long_words=False,
                break_on_hyphens=False,
            )
        lines.append("")
    pairs = [step for _, steps in known for step in steps]
    checked = sum(step.checked is not None for step in pairs)
    lines.append(
        f"{len(known)} releases, {len(pairs)} pairs of release and architecture; "
        f"{checked} checked by a run here"
    )
    return "\n".join(lines) + "\n"


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
