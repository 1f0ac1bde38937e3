"""Sigstore's own test bundles, from a given folder, and one of a statement of ours, by a lab of the
tests' own (`sigstore_lab`); and what a policy makes of them. The sigstore package judges both.

The folder is `test/assets/bundle-verify` of sigstore/sigstore-conformance: bundles that its public
instances issued, of which those whose names end in `_fail` must not verify.
"""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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
from tests.cli.command import ROOT

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
def package() -> None:
    if find_spec("sigstore") is None:
        pytest.skip("sigstore is not installed: pip install sigstore")


@pytest.fixture
def bundles(package: None) -> Path:
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


def issued(folder: Path, payload: bytes) -> dict[str, Any]:
    """A bundle over a payload, and beside it its root of trust; in a process without Unicorn."""
    folder.mkdir(exist_ok=True)
    (folder / "payload").write_bytes(payload)
    words = (sys.executable, "-m", "tests.attest.sigstore_lab", str(folder), BEACON, ISSUER)
    subprocess.run(words, cwd=ROOT, check=True)
    found: dict[str, Any] = json.loads((folder / "bundle.json").read_text())
    return found


def test_a_statement_of_ours_in_a_bundle_counts(
    package: None, people: People, evidence: Evidence, tmp_path: Path
) -> None:
    payload = people.attest(evidence, "alice").payload
    lab, bundle = tmp_path / "lab", issued(tmp_path / "lab", payload)
    root = lab / "root.json"
    good = judged(tmp_path, json.dumps(bundle).encode(), root)
    assert good.met and good.voices[0].verdict == "counts", good.voices
    twice = judged(tmp_path, json.dumps(bundle).encode(), root, identity=BEACON[:-1])
    assert (twice.voices[0].verdict, twice.met) == ("unknown-key", False)
    issued(tmp_path / "other", payload)
    for what, bad, by in (
        ("another root of trust", bundle, tmp_path / "other" / "root.json"),
        ("promise", changed(bundle, "inclusionPromise", "signedEntryTimestamp"), root),
        ("time", changed(bundle, "integratedTime"), root),
        ("proof", changed(bundle, "inclusionProof", "rootHash"), root),
        ("checkpoint", changed(bundle, "inclusionProof", "checkpoint", "envelope"), root),
        ("entry", changed(bundle, "canonicalizedBody"), root),
        (
            "payload",
            {**bundle, "dsseEnvelope": {**bundle["dsseEnvelope"], "payload": "e30="}},
            root,
        ),
    ):
        (voice,) = judged(tmp_path, json.dumps(bad).encode(), by).voices
        assert voice.verdict == "bad-signature", (what, voice)


def changed(bundle: dict[str, Any], *way: str) -> dict[str, Any]:
    """With one letter or digit of the log's entry made another, 30 from its end or the last."""
    found: dict[str, Any] = json.loads(json.dumps(bundle))
    at = found["verificationMaterial"]["tlogEntries"][0]
    for name in way[:-1]:
        at = at[name]
    text = at[way[-1]]
    place = max(len(text) - 30, 0) if len(text) > 30 else len(text) - 1
    other = "1" if text[place] != "1" else "2"
    at[way[-1]] = text[:place] + other + text[place + 1 :]
    return found


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
    """What sigstore's package may say, put in its place."""
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
