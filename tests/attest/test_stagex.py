"""StageX's layout: written and counted here, signed and verified by skopeo and gpg too."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrap.attest.policy import read_policy
from bootstrap.attest.signatures import open_ring, sign_gpg
from bootstrap.attest.simplesigning import (
    OLD_TYPE,
    ImageReference,
    StagexVerdicts,
    document,
    fault_of,
    folder_of,
    judge_checkout,
    next_file,
    read_reference,
)
from bootstrap.core.errors import BadInput
from tests.attest.people import People
from tests.attest.runs import Run, inside
from tests.cli.command import Done

STAGE0 = ImageReference("stagex", "bootstrap-stage0", "1.9.1")
HASH = "c" * 64
OTHER = "d" * 64
# gpg --symmetric of "hello", passphrase "x".
SEALED = bytes.fromhex(
    "8c0d040903022b410f4bb7929ff6ffd23a0124b920fc842ed204718d3004030a7f3e6f8cbd5e9bee"
    "35e1cd18b7d51e51d11c4bbac702079cb925dc91905ff4288aa4612d51221f25e77edf"
)


class Signatures:
    """A checkout of signatures, and a policy that counts them."""

    def __init__(self, root: Path, people: People) -> None:
        self.root, self.people = root, people
        self.folder = folder_of(root, STAGE0, HASH)
        (root / "stagex").mkdir(parents=True)

    def put(self, key: str, content: bytes | None = None) -> None:
        """One signature more for stage0, by that key; of another document if one is given."""
        data = document(STAGE0, HASH) if content is None else content
        self.put_file(sign_gpg(data, self.people.gpg(key), detached=False).data)

    def put_file(self, data: bytes) -> None:
        self.folder.mkdir(exist_ok=True)
        next_file(self.folder).write_bytes(data)

    def counted(
        self,
        persons: int = 2,
        images: str = "",
        keys: str = "gpg-dan=dan gpg-eve=eve",
        top: str = "",
    ) -> StagexVerdicts:
        place = self.root.parent / "policy.toml"
        tables = (self.people.key(*pair.split("=")[::-1]) for pair in keys.split())
        text = f"schema = 1\n{top}[stagex]\npersons = {persons}\n{images}\n{''.join(tables)}"
        place.write_text(text)
        now = datetime.datetime.now(datetime.UTC).date()  # not before: midnight may come meanwhile
        with open_ring(read_policy(place).keys, now) as ring:
            return judge_checkout(read_policy(place), self.root, ring)


@pytest.fixture
def signatures(tmp_path: Path, gpg: People) -> Signatures:
    return Signatures(tmp_path / "signatures", gpg)


def verdicts(found: StagexVerdicts) -> list[str]:
    return [voice.verdict for image in found.images for voice in image.voices]


def test_two_persons(signatures: Signatures) -> None:
    assert not signatures.counted().met  # no image at all
    signatures.put("gpg-dan")
    signatures.put("gpg-eve")
    found = signatures.counted()
    assert verdicts(found) == ["counts", "counts"]
    assert found.met and found.images[0].threshold.have == ("dan", "eve")
    over = signatures.counted(top="expires = 2020-01-01\n")
    assert over.why_not == ("the policy expired on 2020-01-01",)
    # Two keys of one person are one signer.
    found = signatures.counted(keys="gpg-dan=dan gpg-eve=dan gpg-mallory=carol")
    assert verdicts(found) == ["counts", "again"] and not found.met
    signatures.folder.rename(folder_of(signatures.root, STAGE0, OTHER))
    assert verdicts(signatures.counted()) == ["other-release", "other-release"]


@pytest.mark.parametrize(("key", "verdict"), [("dan", "again"), ("mallory", "unknown-key")])
def test_files_that_are_no_second_signer(key: str, verdict: str, signatures: Signatures) -> None:
    """What StageX's own check counts is files."""
    signatures.put("gpg-dan")
    signatures.put(f"gpg-{key}")
    found = signatures.counted()
    assert len(list(signatures.folder.iterdir())) == 2
    assert verdicts(found) == ["counts", verdict] and not found.met


def test_files_that_are_no_signature_do_not_count(signatures: Signatures) -> None:
    """An encrypted message is not opened; one that cannot be read ends nothing."""
    signatures.put("gpg-dan")
    detached = sign_gpg(b"x", signatures.people.gpg("gpg-eve")).data
    for data in (b"", document(STAGE0, HASH), detached, SEALED):
        signatures.put_file(data)
    (signatures.folder / "README").touch()
    (signatures.folder / "signature-6").mkdir()
    found = signatures.counted()
    assert verdicts(found) == ["counts", *["bad-signature"] * 4]
    assert not found.met and signatures.counted(1).met
    readme, folder = found.notes
    assert readme == f"stagex/bootstrap-stage0@sha256={HASH}/README: is no signature-N; not read"
    assert "signature-6: does not count" in folder


def changed(**critical: object) -> bytes:
    whole = json.loads(document(STAGE0, HASH))
    whole["critical"].update(critical)
    return json.dumps(whole).encode()


def old(digest: str, reference: str = "stagex/bootstrap-stage0") -> bytes:
    """One document as StageX signed it until June 2025."""
    image, identity = {"docker-manifest-digest": digest}, {"docker-reference": reference}
    critical = {"identity": identity, "image": image, "type": OLD_TYPE}
    return json.dumps({"critical": critical, "optional": None}).encode()


def test_what_stagex_published(tmp_path: Path) -> None:
    """Their own signatures of stage0 (git archive 1abff211 signatures, in their repository).

    Every document is of the form that is read, and about the image of its folder. By the public key
    of one maintainer, in a copy that expired before, three are his: `expired`, and not
    `bad-signature`.
    """
    if not {"STAGEX_SIGNATURES", "STAGEX_KEYS"} <= os.environ.keys():
        pytest.skip("STAGEX_SIGNATURES and STAGEX_KEYS name no folders: nothing of theirs is read")
    theirs, keys = (Path(os.environ[name]) for name in ("STAGEX_SIGNATURES", "STAGEX_KEYS"))
    lance = "6B61ECD76088748C70590D55E90A401336C8AAA9"
    text = f'gpg = "{lance}"\nfile = "{keys / lance}.asc"'
    (tmp_path / "policy.toml").write_text(
        f"schema = 1\n[stagex]\npersons = 1\n[persons.lance.keys.personal]\n{text}\n"
    )
    files = sorted(theirs.glob("stagex/stage0@*/*"))
    found = []
    with open_ring(read_policy(tmp_path / "policy.toml").keys, datetime.date(2024, 5, 1)) as ring:
        for file in files:
            content, signed = ring.check_message(file.read_bytes())
            found.append(signed.fault)
            digest = file.parent.name.partition("=")[2]
            assert fault_of(content, "stagex", "stage0", digest) is None
            for wrong in (("stagex", "stage1", digest), ("stagex", "stage0", OTHER)):
                assert fault_of(content, *wrong) is not None
            if signed.fault == "expired":
                broken = bytearray(file.read_bytes())
                broken[-20] ^= 1
                assert ring.check_message(bytes(broken))[1].fault == "bad-signature"
    assert {*found} == {"expired", "unknown-key"} and found.count("expired") == 3


def test_the_older_form_counts(signatures: Signatures) -> None:
    signatures.put("gpg-dan", b"[" + old(HASH) + b"]")
    signatures.put("gpg-eve")
    assert signatures.counted().met


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (document(STAGE0, OTHER), "other-release"),
        (document(ImageReference("stagex", "bootstrap-stage1", "1"), HASH), "other-release"),
        (document(ImageReference("mallory", "bootstrap-stage0", "1"), HASH), "other-release"),
        (changed(type="cosign container image signature"), "not-understood"),
        (changed(type=OLD_TYPE), "not-understood"),
        (b"[" + document(STAGE0, HASH) + b"]", "not-understood"),
        (b"[" + old(HASH) + b"," + old(HASH) + b"]", "not-understood"),
        (b"[" + old(OTHER) + b"]", "other-release"),
        (b"[" + old(HASH, "mallory/bootstrap-stage0") + b"]", "other-release"),
        (b"[" + old(f"sha256:{HASH}") + b"]", "other-release"),
        (b"[" + old(HASH, str(STAGE0)) + b"]", "not-understood"),
        (changed(more=1), "not-understood"),
        (changed(image={}), "not-understood"),
        (changed(identity={"docker-reference": "x"}), "not-understood"),
        (b"{}", "not-understood"),
        (b"hello", "not-understood"),
    ],
)
def test_documents_about_something_else(
    content: bytes, verdict: str, signatures: Signatures
) -> None:
    signatures.put("gpg-dan", content)
    found = signatures.counted(1)
    assert verdicts(found) == [verdict] and not found.met


def test_only_the_images_that_the_policy_asks_for(signatures: Signatures) -> None:
    signatures.put("gpg-dan")
    (signatures.root / "stagex" / f"core-x@sha256={OTHER}").mkdir()
    (signatures.root / "stagex" / "README.md").touch()
    found = signatures.counted(1, f'[stagex.images]\nbootstrap-stage0 = "{HASH}"')
    assert found.met and found.others == 1 and len(found.notes) == 1
    # Without images, for every folder.
    assert not signatures.counted(1).met
    absent = signatures.counted(1, f'[stagex.images]\nbootstrap-stage1 = "{HASH}"')
    assert not absent.met and not absent.images[0].here
    shutil.rmtree(signatures.root / "stagex")
    with pytest.raises(BadInput, match="it has no folder stagex"):
        signatures.counted()


def test_numbers_go_on_after_the_highest(tmp_path: Path) -> None:
    assert next_file(tmp_path / "none").name == "signature-1"
    for name in ("signature-2", "signature-10", "signature-x", "other"):
        (tmp_path / name).touch()
    assert next_file(tmp_path).name == "signature-11"


@pytest.mark.parametrize("text", ["", "a", "a:b", "a/b", "A/b:c", "a/b/c:d", "a/../b:c", "/b:c"])
def test_references_that_are_none(text: str) -> None:
    with pytest.raises(BadInput):
        read_reference(text)


def skopeo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed: no second opinion on container signatures")
    return subprocess.run(["skopeo", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def exported(verified: Run, tmp_path: Path) -> Path:
    given: list[str | Path] = ["--report", verified.report, "--products", verified.products]
    done = inside("oci", "export", "-o", tmp_path / "layout", *given)
    assert done.status == 0, done.stderr
    return tmp_path / "layout"


def digest_of(layout: Path) -> str:
    index = json.loads((layout / "index.json").read_text())
    return str(index["manifests"][0]["digest"]).removeprefix("sha256:")


def attest(run: Run, layout: Path, *more: str | Path) -> Done:
    image: list[str | Path] = ["--image", layout, "--reference", str(STAGE0)]
    return inside("attest", "--report", run.report, *image, *more)


def test_attest_stagex_and_skopeo_verifies_it(
    verified: Run, exported: Path, signatures: Signatures
) -> None:
    key = signatures.people.gpg("gpg-dan")
    signed: list[str | Path] = ["--stagex", signatures.root, "--sign", "gpg", "--key", key]
    done = attest(verified, exported, *signed)
    assert done.status == 0, done.stderr
    (folder,) = (signatures.root / "stagex").iterdir()
    assert [p.name for p in folder.iterdir()] == ["signature-1"]
    assert signatures.counted(1).met
    again = attest(verified, exported, *signed)
    assert again.status == 2 and "already; one is enough" in again.one_line()
    manifest = exported / "blobs" / "sha256" / digest_of(exported)
    verify = ("standalone-verify", manifest)
    good = skopeo(*verify, str(STAGE0), key, folder / "signature-1")
    assert good.returncode == 0, good.stderr
    assert folder.name == f"bootstrap-stage0@sha256={manifest.name}"
    assert f"sha256:{manifest.name}" in good.stdout
    assert skopeo(*verify, "stagex/other:1", key, folder / "signature-1").returncode != 0
    # What skopeo signs counts as well.
    (folder / "signature-1").unlink()
    output = ("-o", folder / "signature-1", manifest)
    made = skopeo("standalone-sign", *output, str(STAGE0), signatures.people.gpg("gpg-eve"))
    assert made.returncode == 0, made.stderr
    found = signatures.counted(1)
    assert verdicts(found) == ["counts"] and found.met


def test_an_image_that_is_not_what_was_verified(
    verified: Run, exported: Path, signatures: Signatures
) -> None:
    index = exported / "index.json"
    index.write_text(index.read_text().replace(digest_of(exported), OTHER))
    key = signatures.people.gpg("gpg-dan")
    done = attest(verified, exported, "--stagex", signatures.root, "--sign", "gpg", "--key", key)
    assert done.status == 2 and "cannot be read" in done.one_line()
    assert not any((signatures.root / "stagex").iterdir())


def test_the_document_unsigned(verified: Run, exported: Path, tmp_path: Path) -> None:
    done = attest(verified, exported, "-o", tmp_path / "document")
    assert done.status == 0, done.stderr
    assert (tmp_path / "document").read_text() == (
        '{"critical":{"identity":{"docker-reference":"stagex/bootstrap-stage0:1.9.1"},'
        f'"image":{{"docker-manifest-digest":"sha256:{digest_of(exported)}"}},'
        '"type":"atomic container signature"},"optional":{}}'
    )
