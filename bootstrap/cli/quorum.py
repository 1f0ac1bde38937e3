"""`bootstrap quorum`: who vouches for a release, counted by a policy."""

from __future__ import annotations

import argparse
import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from bootstrap.core.errors import BadInput

if TYPE_CHECKING:
    from bootstrap.attest.envelope import Envelope
    from bootstrap.documents import Fault

_MORE = (
    "Verify signed attestations (bootstrap attest) and count by a policy, a TOML file: persons "
    "with their ssh and gpg keys, and how many distinct persons, runs, engines, CPU vendors and "
    "systems it takes. Two keys of one person count once, one report is one run; expired and "
    "revoked keys do not count; all who count are about the same sources and products. A file that "
    "is no attestation is named, and does not count. Every signature is checked by ssh-keygen or "
    "gpg, which see no key but the policy's. --init writes a policy to begin with."
)
_END = (
    "Exit status: 0 the policy is met, 1 it is not, 2 usage or bad input, also a policy that "
    "nobody can meet."
)
POLICY = "policy.toml"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's options; imports nothing heavy."""
    parser = subparsers.add_parser(
        "quorum",
        help="count who vouches for a release, by a policy",
        description=_MORE,
        epilog=_END,
    )
    parser.add_argument("attestations", nargs="*", metavar="ATTESTATION", help="DSSE envelopes")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--policy", metavar="FILE", help="the policy, TOML")
    which.add_argument(
        "--init",
        metavar="FILE",
        nargs="?",
        const=POLICY,
        help=f"write a commented policy to fill in (default: {POLICY}), and do nothing else; a "
        "file that is there stays as it is",
    )
    parser.add_argument(
        "--stagex",
        metavar="DIR",
        help="a checkout of StageX's signatures: count distinct signers of each image in [stagex]",
    )
    parser.add_argument(
        "--at",
        metavar="DATE",
        type=_day,
        help="judge as of that day (2026-11-23), not of today: which keys count, UTC",
    )
    parser.add_argument("--json", metavar="FILE", help="write the outcome as JSON ('-': stdout)")
    parser.add_argument("--verbose", "-v", action="store_true", help="list the products too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Do it.  Raises BootstrapError; returns the exit status."""
    from bootstrap.attest.policy import read_policy
    from bootstrap.attest.quorum import judge, known_of
    from bootstrap.attest.render import quorum_document, quorum_text
    from bootstrap.attest.signatures import open_ring
    from bootstrap.attest.simplesigning import judge_checkout
    from bootstrap.cli.output import STDOUT, view_and_json
    from bootstrap.cli.verify import check_report_places, print_view

    if args.init is not None:
        return _init(args)
    check_report_places(args.json)
    policy = read_policy(Path(args.policy))
    if policy.stagex is None and args.stagex is not None:
        raise BadInput(f"--stagex {args.stagex}: {args.policy} has no [stagex] to judge it by")
    if policy.stagex is not None and args.stagex is None:
        raise BadInput(f"{args.policy}: has [stagex]; give --stagex, a checkout of its signatures")
    if policy.about is None and args.attestations:
        raise BadInput(f"{args.policy}: has no [about] and [need] to judge attestations by")
    envelopes = [(name, _envelope(name)) for name in args.attestations]
    day = args.at or datetime.datetime.now(datetime.UTC).date()
    at = (day, args.at is not None)
    verdicts = stagex = None
    with open_ring(policy.keys, day) as ring:
        if policy.about is not None:
            verdicts = judge(policy, envelopes, ring, known_of(policy.about))
        if args.stagex is not None:
            stagex = judge_checkout(policy, Path(args.stagex), ring)
    view_and_json(
        lambda: print_view(
            lambda **how: quorum_text(policy, at, verdicts, stagex, **how),
            args.verbose,
            args.json == STDOUT,
        ),
        args.json,
        lambda: quorum_document(policy, at, verdicts, stagex),
    )
    met = (verdicts is None or verdicts.met) and (stagex is None or stagex.met)
    return 0 if met else 1


def _init(args: argparse.Namespace) -> int:
    """Write the sample policy, where nothing is."""
    import importlib.resources

    from bootstrap.core.errors import ExitStatus, printable

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


def _envelope(name: str) -> Envelope | Fault:
    """An envelope, or why the file is none. Raises BadInput only where there is no such file."""
    from bootstrap.attest.envelope import read_envelope
    from bootstrap.core.release import read_file
    from bootstrap.documents import MAX_DOCUMENT, Fault

    try:
        return read_envelope(read_file(Path(name), MAX_DOCUMENT))
    except Fault as error:
        return error
    except BadInput as error:
        if not Path(name).exists():
            raise
        return Fault(str(error))


def _day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


_day.__name__ = "day, as in 2026-11-23"  # what argparse calls it when it is none
