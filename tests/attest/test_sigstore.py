"""Sigstore's own test bundles, from a given folder, and what a policy makes of them.

The folder is `test/assets/bundle-verify` of sigstore/sigstore-conformance: bundles that its public
instances issued, of which those whose names end in `_fail` must not verify.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from bootstrap import host
from bootstrap.attest.bundles import VerifiedBundle
from bootstrap.attest.envelope import Envelope, read_envelope
from bootstrap.attest.evidence import Evidence
from bootstrap.attest.policy import read_policy
from bootstrap.attest.quorum import Verdicts, judge
from bootstrap.attest.signatures import open_ring
from bootstrap.documents import BadValue
from tests.attest.people import People
from tests.attest.runs import inside

FOLDER = "SIGSTORE_BUNDLES"
BEACON = (
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/"
    ".github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"
)
ISSUER = "https://token.actions.githubusercontent.com"
NEED = 'schema = 1\n[need]\npersons = 1\n[about]\nname = "embedded"\narch = "x86"\n'
TODAY = datetime.datetime.now(datetime.UTC).date()
OLD_LOG = {"intoto-with-custom-trust-root"}
"""A log entry of a kind that the sigstore package does not verify (any more)."""


@pytest.fixture
def bundles() -> Path:
    if find_spec("sigstore") is None:
        pytest.skip("sigstore is not installed: pip install 'bootstrap-emulator[sigstore]'")
    if FOLDER not in os.environ:
        pytest.skip(f"{FOLDER} names no folder with sigstore-conformance's bundles: none verified")
    return Path(os.environ[FOLDER])


def root_of(case: Path) -> Path:
    """The case's own, or the public instance's as the package has it."""
    own = case / "trusted_root.json"
    spec = find_spec("sigstore")
    assert spec is not None and spec.origin is not None
    (public,) = Path(spec.origin).parent.glob("_store/*sigstore.dev/trusted_root.json")
    return own if own.exists() else public


def judged(
    folder: Path, data: bytes, root: Path | None, more: str = "", day: datetime.date = TODAY, *,
    identity: str = BEACON, issuer: str = ISSUER,
) -> Verdicts:  # fmt: skip
    """By a policy with one person, who has that identity."""
    place = folder / "policy.toml"
    shutil.copy(root or os.devnull, folder / "root.json")
    key = f'sigstore = "{identity}"\nissuer = "{issuer}"\nfile = "root.json"\n{more}'
    place.write_text(f"{NEED}[persons.beacon.keys.ci]\n{key}")
    policy = read_policy(place)
    envelope: Envelope | BadValue
    try:
        envelope = read_envelope(data)
    except BadValue as fault:
        envelope = fault
    with open_ring(policy.keys, day) as ring:
        return judge(policy, [("bundle", envelope)], ring, None)


def test_what_the_public_instances_issued(bundles: Path, tmp_path: Path) -> None:
    good, bad = 0, 0
    for place in sorted(bundles.glob("*/bundle.sigstore.json")):
        case, data = place.parent, place.read_bytes()
        if b'"dsseEnvelope"' not in data:
            continue
        (voice,) = judged(tmp_path, data, root_of(case)).voices
        if case.name.endswith("_fail") or case.name in OLD_LOG:
            assert voice.verdict == "bad-signature", (case.name, voice)
            bad += 1
            continue
        good += 1
        # Verified, and whose it is known; the statement is not one of ours.
        assert (voice.verdict, voice.person) == ("not-understood", "beacon"), (case.name, voice)
        for who, by in ((BEACON[:-1], ISSUER), (BEACON, "https://accounts.google.com")):
            (voice,) = judged(tmp_path, data, root_of(case), identity=who, issuer=by).voices
            assert voice.verdict == "unknown-key" and BEACON in voice.why, voice
        for more, day, verdict in (
            ("", datetime.date(2020, 1, 1), "not-yet-valid"),
            ("revoked = 2020-01-01", TODAY, "revoked"),
            ("valid_until = 2020-01-01", TODAY, "expired"),
        ):
            (voice,) = judged(tmp_path, data, root_of(case), more, day).voices
            assert voice.verdict == verdict, voice
        document = json.loads(data)
        document["dsseEnvelope"]["payload"] = "e30="
        (voice,) = judged(tmp_path, json.dumps(document).encode(), root_of(case)).voices
        assert voice.verdict == "bad-signature", voice
        (voice,) = judged(tmp_path, data, None).voices
        assert voice.verdict == "bad-signature" and "sigstore does not verify it" in voice.why
    assert good and bad


def test_unicorn_is_not_in_that_process_and_no_network_is_asked(bundles: Path) -> None:
    case = bundles / "rekor2-dsse-happy-path"
    rows = json.dumps([[BEACON, ISSUER, str(root_of(case))]])
    found = host.packages_of("sigstore")
    assert {"sigstore", "cryptography"} <= {*found} and not {"unicorn", "z3"} & {*found}
    words = ("bootstrap.attest.bundles", "child", str(case / "bundle.sigstore.json"), rows)
    command = host.own_command(*words, imports=found)
    alone = ["unshare", "-rn"] if shutil.which("unshare") else []
    done = subprocess.run([*alone, *command, "-v"], capture_output=True, check=False)
    assert json.loads(done.stdout)["number"] == 0, done.stderr
    refused = host.own_command("unicorn", "Uc", imports=found)
    assert b"No module named 'unicorn'" in subprocess.run(refused, capture_output=True).stderr


def test_what_is_no_bundle_with_a_statement(tmp_path: Path) -> None:
    whole = {"payload": "e30=", "payloadType": "x", "signatures": [{"sig": "e30="}]}
    for part, says in (
        ({"messageSignature": {}}, "dsseEnvelope is missing"),
        ({"dsseEnvelope": {**whole, "signatures": []}}, "has no signature"),
        ({"dsseEnvelope": {**whole, "signatures": [{"sig": "e30="}] * 2}}, "several signatures"),
    ):
        text = json.dumps({"mediaType": "application/vnd.dev.sigstore.bundle+json", **part})
        (voice,) = judged(tmp_path, text.encode(), None).voices
        assert voice.verdict == "no-attestation" and says in voice.why, voice


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ({}, "counts"),
        ({"payload": b"{}"}, "bad-signature"),
        ({"payload_type": "text/plain"}, "bad-signature"),
        ({"fault": "x"}, "bad-signature"),
        ({"number": None, "signer": "mallory"}, "unknown-key"),
        ({"day": str(TODAY + datetime.timedelta(1))}, "not-yet-valid"),
    ],
)
def test_a_bundle_of_ours_counts_as_any_signature(
    found: dict[str, object], verdict: str, people: People, evidence: Evidence, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nobody here has an identity of sigstore's: what its package says is put in its place."""
    made = people.attest(evidence, "alice")
    said = {"number": 0, "day": str(TODAY), "payload": made.payload}
    said |= {"payload_type": made.payload_type, **found}
    monkeypatch.setattr(
        "bootstrap.attest.signatures.verify",
        lambda *_: VerifiedBundle(**said),  # type: ignore[arg-type]
    )
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    document = {"mediaType": kind, "dsseEnvelope": json.loads(made.to_json())}
    outcome = judged(tmp_path, json.dumps(document).encode(), None)
    assert (outcome.voices[0].verdict, outcome.met) == (verdict, verdict == "counts")


def test_without_the_package_it_is_said(
    tmp_path: Path, people: People, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "packages_of", lambda _: [])
    judged(tmp_path, b"{}", None)
    kind = "application/vnd.dev.sigstore.bundle.v0.3+json"
    made = json.loads(people.attest(evidence, "alice").to_json())
    (tmp_path / "b.json").write_text(json.dumps({"mediaType": kind, "dsseEnvelope": made}))
    done = inside("quorum", "--policy", tmp_path / "policy.toml", tmp_path / "b.json")
    assert done.status == 2 and "sigstore is not installed; pip install" in done.one_line()
    # Nor is it needed where the policy lists no such identity.
    (tmp_path / "policy.toml").write_text(NEED + people.key("alice", "alice"))
    done = inside("quorum", "--policy", tmp_path / "policy.toml", tmp_path / "b.json")
    assert done.status == 1 and "has no key of sigstore's" in " ".join(done.stdout.split())
