"""`bootstrap oci export`: the verified stage0 as an image that containers can be started from."""

from __future__ import annotations

import argparse
import functools
import json
from pathlib import Path
from typing import Any

from bootstrap.attest.evidence import Evidence, read_report
from bootstrap.cli.output import (
    check_output_folder,
    check_places,
    each,
    for_people,
    print_page,
    show,
    write_files,
    write_json,
)
from bootstrap.cli.verify import no_verify, verified_here
from bootstrap.core.errors import BadInput, ExitStatus
from bootstrap.oci.image import OciImage, findings, make_image
from bootstrap.oci.layout import Differs, files_of, read_layout, read_products
from bootstrap.report.page import Page, visible

SCHEMA = "bootstrap-oci-export/2"
FINDINGS_FILE = "findings.json"


def run_export(args: argparse.Namespace) -> int:
    """Do it.  Raises BootstrapError; returns the exit status."""
    if (args.report is None) != (args.products is None):
        raise BadInput("--report and --products go together: the report, and what it is about")
    check_output_folder(args.output)
    check_places(args.json, args.report_to, args.junit, args.html, folder=args.output)
    if args.report is not None:
        no_verify(args, "report_to")
        return _export(args, Path(args.report), Path(args.products))
    after_verify = functools.partial(_export, args)
    return verified_here(args, args.report_to, args.json, "no image was written", after_verify)


def _export(args: argparse.Namespace, report: Path, products: Path) -> int:
    evidence = read_report(report)
    contents, wrong = read_products(products, evidence)
    image = None if wrong else make_image(evidence, contents, args.gzip)
    if image is not None:
        found = json.dumps(findings(evidence, image), indent=2) + "\n"
        files = {FINDINGS_FILE: found.encode(), **files_of(image)}
        write_files(Path(args.output), ((path, data, 0o644) for path, data in files.items()))
    page = functools.partial(_text, evidence, image, wrong, args)
    each(
        lambda: print_page(page, for_people(args.json, args.junit, args.html, args.report_to)),
        lambda: write_json(args.json, _document(evidence, image, wrong)),
    )
    return 1 if wrong else 0


def run_compare(args: argparse.Namespace) -> int:
    """Do it.  Raises BootstrapError; returns the exit status."""
    mine, yours = (read_layout(Path(name)) for name in args.layouts)
    lines, differs = [], []
    for what, here, there in (
        ("manifest", [mine.manifest], [yours.manifest]),
        ("config", [mine.config], [yours.config]),
        ("diff_ids", mine.diff_ids, yours.diff_ids),
    ):
        words = [" ".join(f"sha256:{value}" for value in row) for row in (here, there)]
        lines.append(f"{what}: {words[0]}" + f" and {words[1]}, which differ" * (here != there))
        differs += [what] * (here != there)
    same = "config" not in differs
    if not same:
        files = ": the same files, another configuration" * ("diff_ids" not in differs)
        lines.append(f"ANOTHER IMAGE{files}")
    else:
        packed = ", packed or described in another way" * bool(differs)
        lines.append(f"THE SAME IMAGE{packed}")
    images = [
        {"manifest": one.manifest, "config": one.config, "diff_ids": one.diff_ids}
        for one in (mine, yours)
    ]
    value = {"schema": "bootstrap-oci-compare/1", "same": same, "differs": differs}
    show(lines, args.json, {**value, "images": images})
    return ExitStatus.DONE if same else ExitStatus.DIFFERS


def _text(
    evidence: Evidence,
    image: OciImage | None,
    wrong: list[Differs],
    args: argparse.Namespace,
    *,
    colour: bool,
    width: int | None,
    unicode: bool,
) -> str:
    page = Page(colour, width, unicode)
    page.heading(f"Image of {evidence.title}")
    page.labelled("source", f"sha256 {evidence.source_digest} (of {len(evidence.materials)} files)")
    page.labelled("findings", f"sha256 {evidence.findings_digest}")
    if image is None:
        for difference in wrong:
            page.wrapped(f"{page.mark('mismatch')} {visible(str(difference))}", hanging=2)
        page.blank()
        page.last_word("NOT WRITTEN", "1;31", "the products are not what was verified.")
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
