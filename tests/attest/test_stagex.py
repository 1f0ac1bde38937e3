"""StageX's layout: written and counted here, signed and verified by skopeo and gpg too."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bootstrap.attest.policy import read_policy
from bootstrap.attest.signatures import open_ring, sign_gpg
from bootstrap.attest.simplesigning import (
    ImageReference,
    StagexVerdicts,
    document,
    folder_of,
    judge_checkout,
    next_file,
    read_reference,
)
from bootstrap.core.errors import BadInput
from tests.attest.people import People
from tests.attest.runs import Run, inside

STAGE0 = ImageReference("stagex", "bootstrap-stage0", "1.9.1")
HASH = "c" * 64
OTHER = "d" * 64


def put(root: Path, people: People, key: str, content: bytes | None = None) -> Path:
    """One signature more for stage0, by that key; of another document if one is given."""
    data = document(STAGE0, HASH) if content is None else content
    folder = folder_of(root, STAGE0, HASH)
    folder.mkdir(parents=True, exist_ok=True)
    place = next_file(folder)
    place.write_bytes(sign_gpg(data, people.gpg(key), detached=False).data)
    return place


def counted(
    root: Path, people: People, keys: dict[str, str], images: str = "", persons: int = 2
) -> StagexVerdicts:
    """``keys``: gpg key -> person."""
    place = root.parent / "policy.toml"
    place.write_text(
        f"schema = 1\n[stagex]\npersons = {persons}\n{images}\n"
        + "".join(people.key(person, key) for key, person in keys.items())
    )
    now = datetime.datetime.now(datetime.UTC).date()  # not before: midnight may come meanwhile
    with open_ring(read_policy(place).keys, now) as ring:
        return judge_checkout(read_policy(place), root, ring)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place = tmp_path / "signatures"
    (place / "stagex").mkdir(parents=True)
    return place


# gpg --symmetric of "hello", passphrase "x".
SEALED = bytes.fromhex(
    "8c0d040903022b410f4bb7929ff6ffd23a0124b920fc842ed204718d3004030a7f3e6f8cbd5e9bee"
    "35e1cd18b7d51e51d11c4bbac702079cb925dc91905ff4288aa4612d51221f25e77edf"
)
TWO = {"gpg-dan": "dan", "gpg-eve": "eve"}


def verdicts(found: StagexVerdicts) -> list[str]:
    return [voice.verdict for image in found.images for voice in image.voices]


def test_two_persons(root: Path, gpg: People) -> None:
    put(root, gpg, "gpg-dan")
    put(root, gpg, "gpg-eve")
    found = counted(root, gpg, TWO)
    assert verdicts(found) == ["counts", "counts"]
    assert found.met and found.images[0].threshold.have == ("dan", "eve")


def test_two_files_by_one_person_are_one_signer(root: Path, gpg: People) -> None:
    """What StageX's own check counts is files."""
    put(root, gpg, "gpg-dan")
    put(root, gpg, "gpg-dan")
    found = counted(root, gpg, TWO)
    assert len(list(folder_of(root, STAGE0, HASH).iterdir())) == 2
    assert verdicts(found) == ["counts", "again"] and not found.met


def test_two_keys_of_one_person_are_one_signer(root: Path, gpg: People) -> None:
    put(root, gpg, "gpg-dan")
    put(root, gpg, "gpg-eve")
    keys = {"gpg-dan": "dan", "gpg-eve": "dan", "gpg-mallory": "carol"}
    found = counted(root, gpg, keys)
    assert verdicts(found) == ["counts", "again"] and not found.met


def test_files_that_are_no_signature_do_not_count(root: Path, gpg: People) -> None:
    put(root, gpg, "gpg-dan")
    folder = folder_of(root, STAGE0, HASH)
    (folder / "signature-2").write_bytes(b"")
    (folder / "signature-3").write_bytes(document(STAGE0, HASH))
    (folder / "signature-4").write_bytes(sign_gpg(b"x", gpg.gpg("gpg-eve")).data)
    (folder / "README").touch()
    found = counted(root, gpg, TWO)
    assert verdicts(found) == ["counts", "bad-signature", "bad-signature", "bad-signature"]
    assert not found.met
    assert found.notes == (
        f"stagex/bootstrap-stage0@sha256={HASH}/README: is no signature-N; not read",
    )


def test_a_key_nobody_lists(root: Path, gpg: People) -> None:
    put(root, gpg, "gpg-dan")
    put(root, gpg, "gpg-mallory")
    found = counted(root, gpg, TWO)
    assert verdicts(found) == ["counts", "unknown-key"] and not found.met


def changed(**critical: object) -> bytes:
    whole = json.loads(document(STAGE0, HASH))
    whole["critical"].update(critical)
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    ("content", "verdict"),
    [
        (document(STAGE0, OTHER), "other-release"),
        (document(ImageReference("stagex", "bootstrap-stage1", "1"), HASH), "other-release"),
        (document(ImageReference("mallory", "bootstrap-stage0", "1"), HASH), "other-release"),
        (changed(type="cosign container image signature"), "not-understood"),
        (changed(more=1), "not-understood"),
        (changed(image={}), "not-understood"),
        (changed(identity={"docker-reference": "x"}), "not-understood"),
        (b"{}", "not-understood"),
        (b"hello", "not-understood"),
    ],
)
def test_documents_about_something_else(
    content: bytes, verdict: str, root: Path, gpg: People
) -> None:
    put(root, gpg, "gpg-dan")
    put(root, gpg, "gpg-eve", content)
    found = counted(root, gpg, TWO)
    assert verdicts(found) == ["counts", verdict] and not found.met


def test_a_folder_renamed_to_another_digest(root: Path, gpg: People) -> None:
    put(root, gpg, "gpg-dan")
    folder_of(root, STAGE0, HASH).rename(folder_of(root, STAGE0, OTHER))
    assert verdicts(counted(root, gpg, TWO, persons=1)) == ["other-release"]


def test_an_encrypted_message_is_not_opened(root: Path, gpg: People) -> None:
    folder = folder_of(root, STAGE0, HASH)
    folder.mkdir(parents=True)
    (folder / "signature-1").write_bytes(SEALED)
    assert verdicts(counted(root, gpg, TWO, persons=1)) == ["bad-signature"]


def test_only_the_images_that_the_policy_asks_for(root: Path, gpg: People) -> None:
    put(root, gpg, "gpg-dan")
    (root / "stagex" / f"core-x@sha256={OTHER}").mkdir()
    (root / "stagex" / "README.md").touch()
    images = f'[stagex.images]\nbootstrap-stage0 = "{HASH}"'
    found = counted(root, gpg, TWO, images, persons=1)
    assert found.met and found.others == 1 and len(found.notes) == 1
    # Without images, for every folder.
    assert not counted(root, gpg, TWO, persons=1).met
    absent = counted(root, gpg, TWO, f'[stagex.images]\nbootstrap-stage1 = "{HASH}"', persons=1)
    assert not absent.met and not absent.images[0].here


def test_no_image_at_all_is_not_met(root: Path, gpg: People) -> None:
    assert not counted(root, gpg, TWO).met


def test_no_checkout(tmp_path: Path, gpg: People) -> None:
    with pytest.raises(BadInput, match="it has no folder stagex"):
        counted(tmp_path / "nothing", gpg, TWO)


def test_numbers_go_on_after_the_highest(tmp_path: Path) -> None:
    assert next_file(tmp_path / "none").name == "signature-1"
    for name in ("signature-2", "signature-10", "signature-x", "other"):
        (tmp_path / name).touch()
    assert next_file(tmp_path).name == "signature-11"


@pytest.mark.parametrize("text", ["", "a", "a:b", "a/b", "A/b:c", "a/b/c:d", "a/../b:c", "/b:c"])
def test_references_that_are_none(text: str) -> None:
    with pytest.raises(BadInput):
        read_reference(text)


def test_a_signature_that_cannot_be_read_ends_nothing(root: Path, gpg: People) -> None:
    put(root, gpg, "gpg-dan")
    (folder_of(root, STAGE0, HASH) / "signature-2").mkdir()
    found = counted(root, gpg, TWO, persons=1)
    assert found.met and verdicts(found) == ["counts"]
    assert any("signature-2: does not count" in note for note in found.notes)


def skopeo(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("skopeo") is None:
        pytest.skip("skopeo is not installed: no second opinion on container signatures")
    return subprocess.run(["skopeo", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def exported(verified: Run, tmp_path: Path) -> Path:
    given: list[str | Path] = ["--report", verified.report, "--products", verified.products]
    done = inside("oci", "export", "-o", tmp_path / "layout", *given)
    assert done.status == 0, done.stderr
    return tmp_path / "layout"


def test_attest_stagex_and_skopeo_verifies_it(
    verified: Run, exported: Path, root: Path, gpg: People
) -> None:
    key = gpg.gpg("gpg-dan")
    command: list[str | Path] = ["attest", "--report", verified.report, "--image", exported]
    command += ["--reference", str(STAGE0), "--stagex", root, "--sign", "gpg", "--key", key]
    done = inside(*command)
    assert done.status == 0, done.stderr
    (folder,) = (root / "stagex").iterdir()
    digest = folder.name.removeprefix("bootstrap-stage0@sha256=")
    assert [p.name for p in folder.iterdir()] == ["signature-1"]
    assert counted(root, gpg, TWO, persons=1).met
    again = inside(*command)
    assert again.status == 2 and "already; one is enough" in again.one_line()
    manifest = str(exported / "blobs" / "sha256" / digest)
    signature = str(folder / "signature-1")
    good = skopeo("standalone-verify", manifest, str(STAGE0), key, signature)
    assert good.returncode == 0, good.stderr
    assert f"sha256:{digest}" in good.stdout
    other = skopeo("standalone-verify", manifest, "stagex/other:1", key, signature)
    assert other.returncode != 0


def test_what_skopeo_signs_counts(exported: Path, root: Path, gpg: People) -> None:
    index = json.loads((exported / "index.json").read_text())
    digest = index["manifests"][0]["digest"].removeprefix("sha256:")
    folder = folder_of(root, STAGE0, digest)
    folder.mkdir(parents=True)
    manifest = str(exported / "blobs" / "sha256" / digest)
    output = str(folder / "signature-1")
    made = skopeo("standalone-sign", "-o", output, manifest, str(STAGE0), gpg.gpg("gpg-dan"))
    assert made.returncode == 0, made.stderr
    found = counted(root, gpg, TWO, persons=1)
    assert verdicts(found) == ["counts"] and found.met


def test_an_image_that_is_not_what_was_verified(
    verified: Run, exported: Path, root: Path, gpg: People
) -> None:
    report = json.loads(verified.report.read_text())
    assert report["result"] == "verified"
    index = exported / "index.json"
    other = json.loads(index.read_text())
    other["manifests"][0]["digest"] = f"sha256:{OTHER}"
    index.write_text(json.dumps(other))
    command: list[str | Path] = ["attest", "--report", verified.report, "--image", exported]
    command += ["--reference", str(STAGE0), "--stagex", root, "--sign", "gpg"]
    done = inside(*command, "--key", gpg.gpg("gpg-dan"))
    assert done.status == 2 and "cannot be read" in done.one_line()
    assert not any((root / "stagex").iterdir())


def test_the_document_unsigned(verified: Run, exported: Path, tmp_path: Path) -> None:
    command: list[str | Path] = ["attest", "--report", verified.report, "--image", exported]
    done = inside(*command, "--reference", str(STAGE0), "-o", tmp_path / "document")
    assert done.status == 0, done.stderr
    digest = json.loads((exported / "index.json").read_text())["manifests"][0]["digest"]
    assert (tmp_path / "document").read_text() == (
        '{"critical":{"identity":{"docker-reference":"stagex/bootstrap-stage0:1.9.1"},'
        f'"image":{{"docker-manifest-digest":"{digest}"}},'
        '"type":"atomic container signature"},"optional":{}}'
    )
