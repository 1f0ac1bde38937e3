"""`bootstrap quorum`: who vouches for a release, counted by a policy."""

from __future__ import annotations

import argparse
import datetime
import functools
import importlib.resources
from pathlib import Path

from bootstrap.attest.envelope import Envelope, read_envelope
from bootstrap.attest.policy import read_policy
from bootstrap.attest.quorum import judge, known_of
from bootstrap.attest.render import quorum_document, quorum_text
from bootstrap.attest.signatures import open_ring
from bootstrap.attest.simplesigning import judge_checkout
from bootstrap.cli.output import show_page
from bootstrap.core.errors import BadInput, ExitStatus, printable
from bootstrap.core.release import read_file
from bootstrap.documents import MAX_DOCUMENT, BadValue


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
    envelopes = [(name, read_attestation(name)) for name in args.attestations]
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
        raise BadInput(f"{args.init}: is there already, and stays; name another file") from None
    except OSError as error:
        raise BadInput(f"{args.init}: cannot be written: {error.strerror}") from None
    name = printable(args.init)
    print(f"{name}: written; put in the keys of the persons whose word counts for you")
    return ExitStatus.DONE


def read_attestation(name: str) -> Envelope | BadValue:
    """An envelope, or why the file is none. Raises BadInput only where there is no such file."""
    try:
        return read_envelope(read_file(Path(name), MAX_DOCUMENT))
    except BadValue as error:
        return error
    except BadInput as error:
        if not Path(name).exists():
            raise
        return BadValue(str(error))
