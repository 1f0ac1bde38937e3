"""``bootstrap fetch``: put a release, or a checkout, into the cache."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.cli.live import LiveLine

if TYPE_CHECKING:
    from bootstrap.sources import Fetched
    from bootstrap.sources.tree import Progress

SCHEMA = 1


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options; imports nothing heavy."""
    parser = subparsers.add_parser(
        "fetch",
        help="put a release, or a checkout, into the cache",
        description="Put a release into the cache: from its published address, a mirror, a local"
        " archive or a local checkout. An archive is checked against the published sha256, every"
        " tree file by file against what the catalogue knows of the release. Of live-bootstrap and"
        " StageX, a local checkout goes into the cache under its commit, each file with the content"
        " that git's index has; of StageX only what is read of it.",
    )
    parser.add_argument(
        "name", choices=["stage0-posix", "live-bootstrap", "stagex"], help="what to fetch"
    )
    parser.add_argument(
        "--release",
        metavar="R",
        help="the release (default: the newest); the commit that a checkout should be at",
    )
    parser.add_argument(
        "--from", dest="from_", metavar="PATH-OR-URL", help="an archive, a checkout or an address"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace what the cache has of the release"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write what was done as JSON ('-': standard output)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it; 0 when the release is in the cache.  Raises BootstrapError otherwise."""
    from bootstrap.cli.output import document, say, write_json
    from bootstrap.cli.verify import check_report_places
    from bootstrap.known import default_release
    from bootstrap.sources import Cache, fetch, fetch_checkout

    check_report_places(args.json)
    cache = Cache()
    if args.name == "stage0-posix":
        release = default_release(args.name) if args.release is None else args.release
        with LiveLine() as line:
            fetched = fetch(release, cache, args.from_, args.force, _shown(line), args.name)
    else:
        fetched = fetch_checkout(args.name, args.from_, cache, args.release, args.force)
        release = fetched.tree.release or ""
    folder = cache.folder(release, args.name)
    out = sys.stderr if args.json == "-" else sys.stdout
    say(_lines(fetched, args.name, release, folder), out)
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
    if fetched.seen is not None:
        # A checkout is held against a known value only where its commit is known.
        sure = ", verified" if name == "stage0-posix" else ""
        same = f"{fetched.seen} is {name} {release}{sure}"
        return [same, f"it is in the cache already, so nothing new was put into {folder}"]
    if not fetched.fresh:
        return [f"{name} {release} is in the cache already, verified: {folder}"]
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
