"""Attestations beside an image: by the referrers tag schema, through skopeo and a real registry."""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootstrap.oci.image import sha256
from bootstrap.oci.layout import read_layout
from bootstrap.oci.referrers import MOST, envelopes_of, lay
from bootstrap.sources.cache import put
from tests.attest.people import People
from tests.attest.runs import Run, inside
from tests.cli.command import Done
from tests.oci.conftest import KEEPING, SKOPEO, said, tool

NEED = 'schema = 1\n[need]\npersons = {}\n[about]\nname = "embedded"\narch = "x86"\n{}\n'


class Image:
    """A layout of one's own, people who attest what is in it, and a policy."""

    def __init__(self, folder: Path, layout: Path, run: Run, people: People) -> None:
        self.place, self.run, self.people = folder / "image", run, people
        self.policy = folder / "policy.toml"
        shutil.copytree(layout, self.place)
        self.manifest = read_layout(self.place).manifest

    @property
    def tag(self) -> str:
        return f"sha256-{self.manifest}"

    def attest(self, name: str) -> Done:
        of = ("attest", "--report", self.run.report, "--subject", "image", "--image", self.place)
        return inside(*of, "--sign", "ssh", "--key", self.people.ssh(name))

    def quorum(self, *of: str | Path, persons: int = 2, about: str = "") -> Done:
        keys = "".join(self.people.key(name, name) for name in ("alice", "bob"))
        self.policy.write_text(NEED.format(persons, about) + keys)
        return inside("quorum", "--policy", self.policy, *of)

    def change(self, tag: str | None, change: Callable[[dict[str, Any]], object]) -> None:
        """Change the index with that tag (None: the layout's) and lay it in again."""
        top = json.loads((self.place / "index.json").read_text())
        if tag is None:
            change(top)
        else:
            [row] = [one for one in top["manifests"] if one["annotations"].popitem()[1] == tag]
            blobs = self.place / "blobs" / "sha256"
            index = json.loads((blobs / row["digest"][7:]).read_text())
            change(index)
            data = json.dumps(index).encode()
            (blobs / sha256(data)).write_bytes(data)
            top = json.loads((self.place / "index.json").read_text())
            top["manifests"][-1] |= {"digest": f"sha256:{sha256(data)}", "size": len(data)}
        (self.place / "index.json").write_text(json.dumps(top))


@pytest.fixture
def mine(tmp_path: Path, layout: Path, verified: Run, people: People) -> Image:
    return Image(tmp_path, layout, verified, people)


def test_two_persons_beside_an_image(mine: Image) -> None:
    for name, status in (("alice", 1), ("bob", 0), ("bob", 0)):
        done = mine.attest(name)
        assert done.status == 0 and f"the image sha256:{mine.manifest} of 10" in done.stdout, done
        assert mine.quorum(mine.place).status == status
    assert read_layout(mine.place).manifest == mine.manifest
    # One that is signed again, byte for byte, is there once.
    rows = []
    mine.change(mine.tag, lambda index: rows.extend(index["manifests"]))
    assert len(rows) == len({row["digest"] for row in rows}) == 2
    assert mine.quorum(mine.place, about=f'image = "{mine.manifest}"').status == 0
    pinned = mine.quorum(mine.place, about=f'image = "{"0" * 64}"')
    assert pinned.status == 2 and f"is the image {mine.manifest}, where" in pinned.one_line()


def test_it_survives_skopeo_and_a_registry(mine: Image, registry: str, tmp_path: Path) -> None:
    assert mine.attest("alice").status == mine.attest("bob").status == 0
    # Debian 12's skopeo writes the index again, without artifactType, and keeps what it points to.
    there, back = f"docker://{registry}/lab/stage0", tmp_path / "back"
    for tag, how in (("embedded", KEEPING), (mine.tag, ("--all",))):
        to, frm = ("--dest-tls-verify=false",), ("--src-tls-verify=false",)
        copy = ("skopeo", *SKOPEO, *how)
        said(tool(*copy, *to, f"oci:{mine.place}:{tag}", f"{there}:{tag}"))
        said(tool(*copy, *frm, f"{there}:{tag}", f"oci:{back}:{tag}"))
    done = mine.quorum(back)
    assert done.status == 0 and "2 persons wanted: alice, bob" in done.stdout, done.stdout


def test_what_is_about_the_products_says_nothing_of_an_image(
    mine: Image, tmp_path: Path, layout: Path
) -> None:
    plain = tmp_path / "alice.json"
    key = ("--sign", "ssh", "--key", mine.people.ssh("alice"))
    assert inside("attest", "--report", mine.run.report, *key, "-o", plain).status == 0
    assert mine.quorum(plain, persons=1).status == 0
    done = mine.quorum(plain, persons=1, about=f'image = "{mine.manifest}"')
    assert done.status == 1 and "other-image: its image is none" in " ".join(done.stdout.split())
    # Beside an image only what is about it counts: given as a file, too.
    assert mine.quorum(mine.place, plain, persons=1).status == 1
    # Taken from beside it and laid beside another, it is about the first.
    assert mine.attest("alice").status == 0
    assert mine.quorum(mine.place, persons=1).status == 0


def test_what_was_laid_beside_another_image_does_not_count(
    mine: Image, tmp_path: Path, verified: Run
) -> None:
    """The same products, packed in another way: another image."""
    made = ("--report", verified.report, "--products", verified.products)
    other = tmp_path / "other"
    assert inside("oci", "export", *made, "--no-gzip", "-o", other).status == 0
    assert mine.attest("alice").status == 0
    blobs = mine.place / "blobs" / "sha256"
    shutil.copytree(blobs, other / "blobs" / "sha256", dirs_exist_ok=True)
    top = json.loads((other / "index.json").read_text())
    listing = json.loads((mine.place / "index.json").read_text())["manifests"][-1]
    listing["annotations"] = {
        key: f"sha256-{read_layout(other).manifest}" for key in listing["annotations"]
    }
    top["manifests"].append(listing)
    (other / "index.json").write_text(json.dumps(top))
    done = mine.quorum(other, persons=1)
    assert done.status == 2 and "is of another image" in done.one_line()
    # With a subject that is forged, the statement still says what was signed.
    [row] = json.loads((blobs / listing["digest"][7:]).read_text())["manifests"]
    manifest = json.loads((blobs / row["digest"][7:]).read_text())
    manifest["subject"]["digest"] = f"sha256:{read_layout(other).manifest}"
    blobs, data = other / "blobs" / "sha256", json.dumps(manifest).encode()
    (blobs / sha256(data)).write_bytes(data)
    row |= {"digest": f"sha256:{sha256(data)}", "size": len(data)}
    listed = json.dumps({"manifests": [row]}).encode()
    (blobs / sha256(listed)).write_bytes(listed)
    listing |= {"digest": f"sha256:{sha256(listed)}", "size": len(listed)}
    (other / "index.json").write_text(json.dumps(top))
    done = mine.quorum(other, persons=1)
    assert done.status == 1 and "other-image: its image is " in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("tag", "change", "says"),
    [
        (
            "",
            lambda index: index["manifests"].extend(index["manifests"] * MOST),
            f"more than {MOST}",
        ),
        ("", lambda index: index["manifests"][0].update(size=1), "has "),
        ("", lambda index: index.pop("manifests"), "manifests is missing"),
        (None, lambda top: top["manifests"].append(top["manifests"][-1]), "twice"),
    ],
)
def test_referrers_that_cannot_be_read(
    tag: str | None, change: Callable[[dict[str, Any]], object], says: str, mine: Image
) -> None:
    assert mine.attest("alice").status == 0
    mine.change(mine.tag if tag == "" else None, change)
    done = mine.quorum(mine.place, persons=1)
    assert done.status == 2 and str(mine.place) in done.one_line(), done
    assert says in done.one_line()


def test_two_at_once_are_both_there(mine: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    image = read_layout(mine.place)
    together = threading.Barrier(2)

    def slowly(file: Path, data: bytes) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            together.wait(0.2)  # both have read what is there, if nobody waits
        put(file.with_name(f"{file.name}.{threading.get_ident()}"), data)
        file.with_name(f"{file.name}.{threading.get_ident()}").replace(file)

    monkeypatch.setattr("bootstrap.oci.referrers.put", slowly)
    both = [threading.Thread(target=lay, args=(mine.place, image, data)) for data in (b"1", b"2")]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert {data for _, data in envelopes_of(mine.place, image)} == {b"1", b"2"}


@pytest.mark.parametrize(("times", "says"), [(MOST + 1, "more than 256"), (MOST, "may be read")])
def test_one_envelope_that_is_named_any_number_of_times(
    times: int, says: str, mine: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mine.attest("alice").status == 0

    def repeat(index: dict[str, Any]) -> None:
        blobs, [row] = mine.place / "blobs" / "sha256", index["manifests"]
        manifest = json.loads((blobs / row["digest"][7:]).read_text())
        manifest["layers"] *= times
        data = json.dumps(manifest).encode()
        (blobs / sha256(data)).write_bytes(data)
        row.update(digest=f"sha256:{sha256(data)}", size=len(data))

    mine.change(mine.tag, repeat)
    if times == MOST:
        monkeypatch.setattr("bootstrap.oci.referrers.MAX_DOCUMENT", 1 << 16)
    done = mine.quorum(mine.place, persons=1)
    assert done.status == 2 and says in done.one_line(), done


def test_an_image_of_something_else_is_not_signed_for(mine: Image, layout: Path) -> None:
    config = mine.place / "blobs" / "sha256" / read_layout(layout).config
    config.write_bytes(config.read_bytes() + b" ")
    done = mine.attest("alice")
    assert done.status == 2 and "blob" in done.one_line()
    assert len(json.loads((mine.place / "index.json").read_text())["manifests"]) == 1
