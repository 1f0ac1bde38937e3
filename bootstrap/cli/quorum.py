"""`bootstrap quorum`: who vouches for a release, counted by a policy."""

from __future__ import annotations

import argparse
import datetime
import functools
import importlib.resources
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bootstrap.attest.envelope import Envelope, read_envelope
from bootstrap.attest.policy import Policy, read_policy
from bootstrap.attest.quorum import judge, known_of
from bootstrap.attest.render import quorum_document, quorum_text
from bootstrap.attest.signatures import open_ring
from bootstrap.attest.simplesigning import judge_checkout
from bootstrap.cli.output import show_page
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.core.release import read_file
from bootstrap.documents import MAX_DOCUMENT, BadValue
from bootstrap.oci.layout import read_layout
from bootstrap.oci.referrers import envelopes_of


def run(args: argparse.Namespace) -> int:
    """Do it.  Raises BootstrapError; returns the exit status."""
    if args.init is not None:
        return _init(args)
    policy = read_policy(Path(args.policy))
    if policy.stagex is None and args.stagex is not None:
        raise BadInput(f"--stagex {args.stagex}: {args.policy} has no [stagex] to judge it by")
    if policy.stagex is not None and args.stagex is None:
        raise BadInput(f"{args.policy}: has [stagex]; give --stagex, a checkout of its signatures")
    if policy.about is None and args.attestations:
        raise BadInput(f"{args.policy}: has no [about] and [need] to judge attestations by")
    policy, envelopes = read_attestations(policy, args.attestations)
    day = args.at or datetime.datetime.now(datetime.UTC).date()
    at = (day, args.at is not None)
    verdicts = stagex = None
    with open_ring(policy.keys, day) as ring:
        if policy.about is not None:
            verdicts = judge(policy, envelopes, ring, known_of(policy.about))
        if args.stagex is not None:
            stagex = judge_checkout(policy, Path(args.stagex), ring)
    said = (policy, at, verdicts, stagex)
    page = functools.partial(quorum_text, *said, verbose=args.verbose)
    show_page(page, args.json, lambda: quorum_document(*said))
    met = (verdicts is None or verdicts.met) and (stagex is None or stagex.met)
    return 0 if met else 1


def _init(args: argparse.Namespace) -> int:
    """Write the sample policy, where nothing is."""
    if args.attestations or args.stagex or args.json or args.at:
        raise BadInput("--init only writes a policy; judge by it with --policy afterwards")
    sample = importlib.resources.files("bootstrap.attest").joinpath("sample-policy.toml")
    try:
        with Path(args.init).open("x", encoding="utf-8") as file:
            file.write(sample.read_text("utf-8"))
    except FileExistsError:
        raise BadInput(f"{args.init}: exists already; name another file") from None
    except OSError as error:
        raise BadInput(f"{args.init}: cannot be written: {error.strerror}") from None
    name = printable(args.init)
    print(f"{name}: written; fill in the keys of the people whose attestations count for you")
    return ExitStatus.DONE


def read_attestations(
    policy: Policy, names: Sequence[str]
) -> tuple[Policy, list[tuple[str, Envelope | BadValue]]]:
    """The envelopes in files, or why a file is none, and those beside the image of an OCI layout.

    By the policy with which to judge them: beside an image nothing counts that is about another.
    Raises BadInput: there is no such file, a layout has what its digests deny.
    """
    found: list[tuple[str, Envelope | BadValue]] = []
    for name in names:
        place = Path(name)
        if not (place / "oci-layout").is_file():
            found.append((name, _envelope(name)))
            continue
        image = read_layout(place)
        about = policy.about
        if about is not None and about.image not in (None, image.manifest):
            raise BadInput(f"{name}: is the image {image.manifest}, where {about.image} is wanted")
        policy = replace(policy, about=about and replace(about, image=image.manifest))
        found += [(of, _envelope(of, data)) for of, data in envelopes_of(place, image)]
    return policy, found


def _envelope(name: str, data: bytes | None = None) -> Envelope | BadValue:
    try:
        return read_envelope(read_file(Path(name), MAX_DOCUMENT) if data is None else data)
    except BadValue as error:
        return error
    except BadInput as error:
        if not Path(name).exists():
            raise
        return BadValue(str(error))
