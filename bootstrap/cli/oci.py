"""`bootstrap oci export`: the verified stage0 as an image that containers can be started from."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bootstrap.core.errors import BadInput
from bootstrap.signals import scratch_folder

if TYPE_CHECKING:
    from bootstrap.attest.evidence import Evidence
    from bootstrap.oci.image import OciImage
    from bootstrap.oci.layout import Differs

SCHEMA = "bootstrap-oci-export/2"
FINDINGS_FILE = "findings.json"

_EXPORT_MORE = (
    "Verify a release, as bootstrap verify does and with its options, and write the verified "
    "products as an OCI image layout: from scratch, one layer, nothing in it but the products, so "
    "that two people who verify the same release get the same manifest digest, by whatever version "
    "of this program. What was found goes beside it, into findings.json. Or take "
    "the report and the products of an earlier verify (--report, --products): every product is "
    "hashed again, and the report is held against the catalogue. Nothing is written unless all "
    "is verified."
)
_EXPORT_END = (
    "Try it: skopeo inspect oci:DIR, podman run --rm --network=none oci:DIR. Exit status: 0 "
    "written, 1 something differs (nothing is written), 2 usage or bad input, 3 the guest failed, "
    "130 interrupted."
)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its own commands; imports nothing heavy."""
    from bootstrap.cli.verify import add_options

    parser = subparsers.add_parser(
        "oci",
        help="write the verified stage0 as a container image",
        description="The verified stage0 as a container image. docs/oci.md says more.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    export = commands.add_parser(
        "export",
        help="write the verified products as an OCI image layout",
        description=_EXPORT_MORE,
        epilog=_EXPORT_END,
        # --output and --json mean the image here.
        conflict_handler="resolve",
    )
    add_options(export)
    export.add_argument(
        "-o", "--output", metavar="DIR", required=True, help="the layout: a new or an empty folder"
    )
    export.add_argument(
        "--json", metavar="FILE", help="write what was exported as JSON ('-': standard output)"
    )
    export.add_argument(
        "--report-to", metavar="FILE", help="write the report of the verify too, as JSON"
    )
    export.add_argument(
        "--report", metavar="FILE", help="do not verify, take this report (verify --json FILE)"
    )
    export.add_argument(
        "--products", metavar="DIR", help="and these products (verify --output DIR)"
    )
    export.add_argument(
        "--gzip",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether the layer is a gzip file (the default: clients pass it on as it is, where "
        "they compress a plain one), of the same bytes everywhere, so not made smaller",
    )
    export.set_defaults(run=run_export)
    compare = commands.add_parser(
        "compare",
        help="say whether two layouts hold the same image",
        description="Say whether two OCI image layouts hold the same image. A client that "
        "compresses layers again changes the manifest; what stays is the configuration and the "
        "layers' diff_ids, and by these the images are compared. Every digest is checked.",
        epilog="Exit status: 0 the same image, 1 another, 2 usage or bad input.",
    )
    compare.add_argument("layouts", nargs=2, metavar="LAYOUT", help="the folder of a layout")
    compare.set_defaults(run=run_compare)


_VERIFY_ONLY = ("source", "release", "fetched", "entry", "junit", "limit", "verbose", "recheck")


def no_verify(args: argparse.Namespace, *more: str) -> None:
    """Raise BadInput for an option that decides nothing when a report is taken as it is."""
    for name in (*_VERIFY_ONLY, *more):
        if getattr(args, name):
            raise BadInput(f"--{name.replace('_', '-')} goes with a verify, not with --report")
    if (args.arch, args.jobs) != ("x86", 1):
        raise BadInput("--arch and --jobs go with a verify, not with --report, which has its own")


def run_export(args: argparse.Namespace) -> int:
    """Do it.  Raises BootstrapError; returns the exit status."""
    from bootstrap.cli.verify import check_output_folder, check_report_places

    if (args.report is None) != (args.products is None):
        raise BadInput("--report and --products go together: the report, and what it is about")
    check_output_folder(args.output)
    check_report_places(args.json, args.report_to, args.junit, folder=args.output)
    if args.report is not None:
        no_verify(args, "report_to")
        return _export(args, Path(args.report), Path(args.products))
    with verified_here(args, args.report_to, args.json, "no image was written") as run:
        status, report, products = run
        return status or _export(args, report, products)


@contextlib.contextmanager
def verified_here(
    args: argparse.Namespace, report_to: str | None, other: str | None, undone: str
) -> Iterator[tuple[int, Path, Path]]:
    """`bootstrap verify` itself: its exit status, and its report and products in a scratch folder.

    The report is copied to ``report_to``; ``other`` is where the command's own output goes. Where
    it is not verified, ``undone`` is said.  Raises BootstrapError.
    """
    from bootstrap.cli import several, verify
    from bootstrap.cli.output import STDOUT, write_text
    from bootstrap.known import STAGEX

    if several.is_several(args.arch):
        raise BadInput(f"--arch {args.arch}: this is for one architecture; name one")
    if args.release == STAGEX:
        raise BadInput(
            f"{STAGEX} has no known-good value of its own that could be met, so nothing of it can"
            " be called verified"
        )
    if [args.junit, report_to, other].count(STDOUT) > 1:
        raise BadInput("only one output can have standard output")
    with scratch_folder("bootstrap-verify-") as folder:
        report, products = folder / "report.json", folder / "products"
        given = argparse.Namespace(**{**vars(args), "json": str(report), "output": str(products)})
        out = sys.stderr if STDOUT in (report_to, other) else sys.stdout
        with contextlib.redirect_stdout(out):
            status = verify.run(given)
        if report_to is not None and report.exists():
            write_text(report_to, report.read_text("utf-8"))
        if status != 0:
            print(f"bootstrap: not verified; {undone}", file=sys.stderr)
        yield status, report, products


def _export(args: argparse.Namespace, report: Path, products: Path) -> int:
    from bootstrap.attest.evidence import read_report
    from bootstrap.cli.output import STDOUT, view_and_json, write_files
    from bootstrap.cli.verify import print_view
    from bootstrap.oci.image import findings, make_image
    from bootstrap.oci.layout import files_of, read_products

    evidence = read_report(report)
    contents, wrong = read_products(products, evidence)
    image = None if wrong else make_image(evidence, contents, args.gzip)
    if image is not None:
        found = json.dumps(findings(evidence, image), indent=2) + "\n"
        files = {FINDINGS_FILE: found.encode(), **files_of(image)}
        write_files(Path(args.output), ((path, data, 0o644) for path, data in files.items()))
    to_stderr = STDOUT in (args.json, args.junit, args.report_to)
    view_and_json(
        lambda: print_view(
            lambda **how: _text(evidence, image, wrong, args, **how), False, to_stderr
        ),
        args.json,
        lambda: _document(evidence, image, wrong),
    )
    return 1 if wrong else 0


def run_compare(args: argparse.Namespace) -> int:
    """Do it.  Raises BootstrapError; returns the exit status."""
    from bootstrap.core.errors import ExitStatus
    from bootstrap.oci.layout import read_layout

    mine, yours = (read_layout(Path(name)) for name in args.layouts)
    for what, here, there in (
        ("manifest", [mine.manifest], [yours.manifest]),
        ("config", [mine.config], [yours.config]),
        ("diff_ids", mine.diff_ids, yours.diff_ids),
    ):
        words = [" ".join(f"sha256:{value}" for value in row) for row in (here, there)]
        print(f"{what}: {words[0]}" + ("" if here == there else f" and {words[1]}, which differ"))
    if mine.config != yours.config:
        same = mine.diff_ids == yours.diff_ids
        print("ANOTHER IMAGE" + (": the same files, another configuration" if same else ""))
        return ExitStatus.DIFFERS
    packed = "" if mine.manifest == yours.manifest else ", packed or described in another way"
    print(f"THE SAME IMAGE{packed}")
    return ExitStatus.DONE


def _text(
    evidence: Evidence,
    image: OciImage | None,
    wrong: list[Differs],
    args: argparse.Namespace,
    *,
    colour: bool,
    width: int | None,
    unicode: bool,
    verbose: bool,
) -> str:
    from bootstrap.report.page import Page, visible

    page = Page(colour, width, unicode)
    page.heading(f"Image of {evidence.title}")
    page.labelled("source", f"sha256 {evidence.source_digest} (of {len(evidence.materials)} files)")
    page.labelled("findings", f"sha256 {evidence.findings_digest}")
    if image is None:
        for difference in wrong:
            page.wrapped(f"{page.mark('mismatch')} {visible(str(difference))}", hanging=2)
        page.blank()
        page.last_word("NOT WRITTEN", "1;31", "what is at hand is not what was verified.")
        return page.text()
    kind = "a gzip file" if args.gzip else "not compressed"
    page.labelled("layer", f"sha256 {image.layer}, {len(image.files)} files, {kind}")
    page.labelled("diff_id", f"sha256 {image.diff_id}")
    page.labelled("config", f"sha256 {image.config}")
    page.labelled("platform", f"linux/{image.architecture}")
    page.labelled("runs", " ".join(image.command) or "nothing by itself")
    page.labelled("manifest", f"sha256:{image.manifest}")
    page.blank()
    page.last_word(
        "WRITTEN",
        "1;32",
        f"{len(evidence.products)} verified products in the OCI layout {visible(args.output)}.",
    )
    return page.text()


def _document(evidence: Evidence, image: OciImage | None, wrong: list[Differs]) -> dict[str, Any]:
    written: dict[str, Any] | None = None
    if image is not None:
        written = {
            "manifest": f"sha256:{image.manifest}",
            "config": f"sha256:{image.config}",
            "layer": f"sha256:{image.layer}",
            "diff_id": f"sha256:{image.diff_id}",
            "architecture": image.architecture,
            "reference": image.reference,
            "files": list(image.files),
            "command": list(image.command),
        }
    return {
        "schema": SCHEMA,
        "name": evidence.name,
        "release": evidence.release,
        "arch": evidence.arch,
        "entry": evidence.entry,
        "source_digest": evidence.source_digest,
        "findings_digest": evidence.findings_digest,
        "image": written,
        "differs": [
            {"path": row.path, "expected": row.expected, "sha256": row.found} for row in wrong
        ],
    }
