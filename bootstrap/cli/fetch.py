"""``bootstrap fetch``: put a release, or a checkout, into the cache."""

from __future__ import annotations

import argparse
from pathlib import Path

from bootstrap.cli.live import LiveLine
from bootstrap.cli.output import document, for_people, say, write_json
from bootstrap.known import default_release
from bootstrap.sources import Cache, Fetched, fetch, fetch_checkout
from bootstrap.sources.addresses import Progress
from bootstrap.sources.checkouts import has_known_value

SCHEMA = "bootstrap-fetch/1"


def run(args: argparse.Namespace) -> int:
    """Do it; 0 when the release is in the cache.  Raises BootstrapError otherwise."""
    cache = Cache()
    if args.name == "stage0-posix":
        release = default_release(args.name) if args.release is None else args.release
        with LiveLine() as line:
            fetched = fetch(release, cache, args.from_, args.force, _shown(line), args.name)
    else:
        fetched = fetch_checkout(args.name, args.from_, cache, args.release, args.force)
        release = fetched.tree.release or ""
    folder = cache.folder(release, args.name)
    say(_lines(fetched, args.name, release, folder), for_people(args.json))
    tree = fetched.tree
    write_json(
        args.json,
        document(
            schema=SCHEMA,
            name=args.name,
            release=release,
            status="fetched" if fetched.fresh else "present",
            source={
                "kind": tree.kind,
                "label": tree.label,
                "archive_sha256": tree.archive_sha256,
                "tree_digest": tree.digest,
                "files": len(tree.files),
            },
            cache=str(folder),
        ),
    )
    return 0


def _lines(fetched: Fetched, name: str, release: str, folder: Path) -> list[str]:
    tree = fetched.tree
    sure = ", verified" if has_known_value(name, release) else ""
    if fetched.seen is not None:
        same = f"{fetched.seen} is {name} {release}{sure}"
        return [same, f"it is in the cache already, so nothing new was put into {folder}"]
    if not fetched.fresh:
        return [f"{name} {release} is in the cache already{sure}: {folder}"]
    lines = [f"{name} {release} from {tree.label}"]
    if tree.archive_sha256 is not None:
        lines.append(f"archive sha256 {tree.archive_sha256}")
    lines.append(f"tree digest    {tree.digest} ({len(tree.files)} files)")
    if tree.notes:
        return [*lines, *tree.notes, f"put into {folder}"]
    lines.append(f"verified and put into {folder}")
    return lines


def _shown(line: LiveLine) -> Progress:
    """What counts bytes, on a terminal only."""

    def show(done: int, total: int | None) -> None:
        text = f"{done / 1e6:.1f}" + (f" of {total / 1e6:.1f}" if total else "") + " MB"
        line.show(text)
        if done == total and line.live:
            line.line(text)

    return show
