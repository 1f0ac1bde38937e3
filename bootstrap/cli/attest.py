"""`bootstrap attest`: a signed statement of what a verified run made from what."""

from __future__ import annotations

import argparse
import datetime
import functools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from bootstrap.attest.envelope import PAYLOAD_TYPE, Envelope
from bootstrap.attest.evidence import Evidence, read_report
from bootstrap.attest.handoff_run import HandoffRun, make_handoff_statement, read_handoff_run
from bootstrap.attest.hosts import UNKNOWN, Host, known_system, known_vendor, this_host
from bootstrap.attest.signatures import GPG, SSH_KEYGEN, find, sign_gpg, sign_ssh, signers_of
from bootstrap.attest.simplesigning import document, folder_of, next_file, read_reference
from bootstrap.attest.statement import (
    HASHED,
    MADE,
    READ,
    REPORTED,
    TIME,
    make_statement,
    payload,
)
from bootstrap.cli.confirm import made_now
from bootstrap.cli.output import check_places, each, for_people, write_pieces, write_text
from bootstrap.cli.verify import no_verify, verified_here
from bootstrap.confirm.table import Confirmation
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.oci.layout import LayoutImage, read_layout, read_products, require_products
from bootstrap.oci.referrers import lay
from bootstrap.report.opinion import ReleaseOpinion
from bootstrap.report.page import visible


def run(args: argparse.Namespace) -> int:
    """Do it; with --require-recheck only of what the core alone found too.

    Raises BootstrapError; returns the exit status.
    """
    _check_options(args)
    check_places(args.output, args.json, args.junit, args.html)
    if not args.run:
        no_verify(args, "json")
        return _attest(args, args.report, args.products)
    args.recheck = args.recheck or args.require_recheck
    after_verify = functools.partial(_attest, args)
    return verified_here(args, args.json, args.output, "nothing was signed", after_verify)


def _attest(args: argparse.Namespace, report: Path | str, products: Path | str | None) -> int:
    """What a report says, which was made here and now or is only read. Raises BadInput.

    With --require-recheck it has to say that the core alone found the same; a report whose recheck
    is of another run, or does not agree, is none (`evidence.read_report`), whatever is required.
    """
    handoff = None if args.run else read_handoff_run(Path(report))
    if handoff is not None:
        if args.require_recheck:
            raise BadInput("--require-recheck goes with a verify, or a report of one")
        return _handoff(args, handoff)
    evidence = read_report(Path(report))
    if args.require_recheck and evidence.decided_by != "core":
        raise BadInput(
            f"{args.report or report}: does not say that the core alone found the same, as"
            " --require-recheck asks; verify again with --recheck"
        )
    if products is not None and not _same(evidence, Path(products)):
        print("bootstrap: not what was verified; nothing was signed", file=sys.stderr)
        return ExitStatus.DIFFERS
    image = None
    if args.image is not None:
        image = read_layout(Path(args.image))
        require_products(image, evidence, args.image)
        if args.subject != "image":
            return _container(args, image)
    return _statement(args, evidence, image)


def _check_options(args: argparse.Namespace) -> None:
    """Raise BadInput, before a run, for what cannot work after it."""
    of_image = args.subject == "image"
    container = args.image is not None and not of_image
    for wrong, says in (
        (args.stagex is not None and not container,
         "--stagex needs --image, the OCI layout of the image that is signed"),
        (container and args.reference is None,
         "--image needs --reference, what the image is called: REGISTRY/NAME:TAG"),
        (args.reference is not None and not container,
         "--reference goes with --stagex and --image"),
        (container and args.sign == "ssh", "StageX's signatures are OpenPGP: --sign gpg"),
        (container and (args.stagex is None) == (args.sign == "gpg"),
         "--image goes with --stagex DIR and --sign gpg, or with -o FILE unsigned"),
        (of_image and args.image is None, "--subject image needs --image, its OCI layout"),
        (of_image and args.output is not None,
         "--subject image goes into the layout, beside the image: no -o"),
        (of_image and args.sign == "none",
         "--subject image needs --sign ssh or gpg: a layout gets no unsigned statement"),
        (not of_image and (args.stagex is None) == (args.output is None),
         "say where to: -o FILE for an attestation, --stagex DIR for its layout"),
        (args.opinions is not None and not args.run,
         "--opinions goes with --run: only what this command makes is signed"),
        (args.form == "vsa" and (container or not args.run),
         "--form vsa goes with --run: a summary has the time of what it sums up"),
        (args.sign == "none" and args.key is not None, "--key goes with --sign ssh or --sign gpg"),
        (args.run and args.products is not None,
         "--products goes with --report; --run has the products itself"),
        (args.run and (args.cpu_vendor or args.host_os),
         "--cpu-vendor and --host-os go with --report; --run sees its machine"),
        (args.sign == "ssh" and args.key is None, "--sign ssh needs --key, the file of a key"),
        (args.sign == "ssh" and not Path(args.key or ".").is_file(),
         f"--key {args.key}: there is no such file; name an ssh key, private or public"),
        (container and (args.cpu_vendor or args.host_os),
         "a container signature says nothing of a machine: no --cpu-vendor, --host-os"),
        (args.stagex is not None and not Path(args.stagex).is_dir(),
         f"--stagex {args.stagex}: is no folder; name a checkout of StageX's signatures"),
    ):  # fmt: skip
        if wrong:
            raise BadInput(says)
    if args.sign != "none":
        find(SSH_KEYGEN if args.sign == "ssh" else GPG)
    if container:
        read_reference(args.reference)


def _same(evidence: Evidence, products: Path) -> bool:
    _, wrong = read_products(products, evidence)
    for difference in wrong:
        print(f"bootstrap: {visible(str(difference))}", file=sys.stderr)
    return not wrong


def _statement(args: argparse.Namespace, evidence: Evidence, image: LayoutImage | None) -> int:
    host = _host(args)
    hashed = args.run or args.products is not None
    opinions: tuple[ReleaseOpinion, ...] = ()
    if args.opinions is not None:
        found = made_now(args, evidence.entry)
        opinions = _on_all(found, evidence)
        named = {name.strip() for name in args.opinions.split(",")}
        silent = named - {"all", *(one.opinion for one in opinions)}
        if found.findings or silent or not opinions:
            why = found.claim
            if not found.findings:
                why = f"{', '.join(sorted(silent)) or 'none'}: does not cover every product."
            print(f"bootstrap: {visible(why)} Nothing was signed", file=sys.stderr)
            return ExitStatus.DIFFERS
    run, products = MADE if args.run else READ, HASHED if hashed else REPORTED
    digest = None if image is None else image.manifest
    now = datetime.datetime.now(datetime.UTC)
    at = now.strftime(TIME) if args.form == "vsa" else None
    _written(
        args,
        make_statement(evidence, host, run, products, opinions, digest, at),
        f"{evidence.title}: {f'the image sha256:{digest} of ' if digest else ''}"
        f"{len(evidence.products)} products, {len(evidence.materials)} sources "
        f"(digest {evidence.source_digest}), {_seen(args, host)}",
        image,
    )
    return ExitStatus.DONE


def _on_all(found: Confirmation, evidence: Evidence) -> tuple[ReleaseOpinion, ...]:
    """What was made now, of the tree that was verified, and agrees on every product."""
    if found.tree != evidence.source["treeDigest"]:
        raise BadInput(f"the tree is {found.tree} now, and was another when it was verified")
    rows = [row.opinions for row in found.artifacts if row.path in evidence.products]
    return tuple(
        voice.opinion
        for voice in found.opinions
        if voice.state == "made" and voice.opinion is not None
        and all(cells[voice.way.name] == "agree" for cells in rows)
    )  # fmt: skip


def _handoff(args: argparse.Namespace, run: HandoffRun) -> int:
    if args.image is not None or args.products is not None:
        option = "--image" if args.image is not None else "--products"
        raise BadInput(f"{option} goes with a report of bootstrap verify; {args.report} is none")
    host, checkout = _host(args), run.checkout
    commit = "no commit" if checkout.commit is None else f"commit {checkout.commit}"
    if checkout.changed is None:
        commit += ", which its files cannot be held against"
    elif checkout.changed:
        commit += f", {len(checkout.changed)} files changed"
    _written(
        args,
        make_handoff_statement(run, host),
        f"{run.title}: {len(run.products)} files of {len(run.finished)} steps, by the checkout "
        f"with the digest {checkout.digest} ({commit}), {_seen(args, host)}",
    )
    return ExitStatus.DONE


def _written(
    args: argparse.Namespace,
    statement: dict[str, Any],
    said: str,
    image: LayoutImage | None = None,
) -> None:
    """Sign it if that is asked for, and write it: beside the image, if it is of one."""
    content = payload(statement)
    by = "nobody yet"
    if args.sign == "none":
        text = content.decode("ascii") + "\n"
    else:
        signed = Envelope(content, PAYLOAD_TYPE, ()).signed_bytes()
        sign = sign_ssh if args.sign == "ssh" else sign_gpg
        signature = sign(signed, args.key)
        by = signature.keyid
        text = Envelope(content, PAYLOAD_TYPE, (signature,)).to_json()
    each(
        lambda: print(f"{said}; signed by {by}", file=for_people(args.output), flush=True),
        None if image is None else lambda: lay(Path(args.image), image, text.encode()),
        args.output and (lambda: write_text(args.output, text)),
    )


def _seen(args: argparse.Namespace, host: Host) -> str:
    """What of it this command saw itself, and what it only read."""
    if args.run:
        return printable(f"made here and now, on {host.cpu_vendor}, {host.os}")
    again = f" (products hashed again in {args.products})" if args.products is not None else ""
    where = "as given" if args.cpu_vendor is not None else "which is this machine"
    return printable(
        f"as {args.report} says{again}, not run here; stated to be of {host.cpu_vendor},"
        f" {host.os}, {where}"
    )


def _host(args: argparse.Namespace) -> Host:
    if (args.cpu_vendor is None) != (args.host_os is None):
        raise BadInput("--cpu-vendor and --host-os go together: another machine than this ran it")
    if args.cpu_vendor is not None:
        host = Host(known_vendor(args.cpu_vendor), UNKNOWN, args.host_os, "given")
        if host.cpu_vendor == UNKNOWN or known_system(host.os) == UNKNOWN:
            print(
                "note: --cpu-vendor should be as CPUID has it (GenuineIntel, AuthenticAMD...) or a"
                " known maker, --host-os begin with Linux, Darwin or the like; others count for"
                " none",
                file=sys.stderr,
            )
        return host
    return this_host() if args.run else replace(this_host(), said_by="observed-at-signing")


def _container(args: argparse.Namespace, image: LayoutImage) -> int:
    reference = read_reference(args.reference)
    content = document(reference, image.manifest)
    if args.stagex is None:
        write_pieces(args.output, (content,))
        said = f"{reference} sha256:{image.manifest}: signed by nobody yet"
        print(said, file=for_people(args.output))
        return 0
    signature = sign_gpg(content, args.key, detached=False)
    folder = folder_of(Path(args.stagex), reference, image.manifest)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{folder}: cannot be made: {error.strerror}") from None
    for before in sorted(folder.iterdir()):
        if signature.keyid in signers_of(before):
            raise BadInput(f"{before}: is a signature by {signature.keyid} already; one is enough")
    place = next_file(folder)
    write_pieces(str(place), (signature.data,))
    by = f"signed by {signature.keyid}, in {printable(str(place))}"
    print(f"{reference} sha256:{image.manifest}: {by}")
    return 0
