"""The image: what is in it, read by skopeo, umoci and podman, and by our own reader."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bootstrap.attest.evidence import Evidence, VerifiedFile
from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from bootstrap.oci.image import (
    CONFIG,
    EPOCH,
    LAYER,
    MANIFEST,
    SUMS,
    OciImage,
    findings,
    make_image,
    sha256,
)
from bootstrap.oci.layer import pack
from bootstrap.oci.layout import read_layout, require_products
from bootstrap.sources.tar import Member, write_tar
from tests.oci.conftest import KEEPING, SKOPEO, said, tool, write


def with_product(evidence: Evidence, path: str, data: bytes) -> Evidence:
    """The evidence of a run that made this file too, or in place of another."""
    product = VerifiedFile(len(data), sha256(data))
    return dataclasses.replace(evidence, products={**evidence.products, path: product})


def test_skopeo_reads_the_layout(layout: Path, image: OciImage) -> None:
    found = json.loads(said(tool("skopeo", "inspect", f"oci:{layout}")))
    assert found["Digest"] == f"sha256:{image.manifest}"
    assert found["Layers"] == [f"sha256:{image.layer}"]
    assert (found["Architecture"], found["Os"], found["Created"]) == ("386", "linux", EPOCH)
    raw = json.loads(said(tool("skopeo", "inspect", "--raw", f"oci:{layout}:embedded")))
    assert raw == json.loads(image.blobs[image.manifest])


def test_the_digest_survives_a_copy(layout: Path, image: OciImage, tmp_path: Path) -> None:
    """The default layer is passed on as it is, even by a client that is not asked to."""
    for how in ((), KEEPING):
        copied = tmp_path / f"copied{len(how)}"
        said(tool("skopeo", *SKOPEO, *how, f"oci:{layout}", f"oci:{copied}"))
        assert read_layout(copied).manifest == image.manifest
        assert main(["oci", "compare", str(layout), str(copied)]) == 0
    # To a folder of single blobs: each is hashed on the way, and the manifest stays itself.
    said(tool("skopeo", *SKOPEO, *KEEPING, f"oci:{layout}", f"dir:{tmp_path}/blobs"))
    assert sha256((tmp_path / "blobs" / "manifest.json").read_bytes()) == image.manifest
    assert (tmp_path / "blobs" / image.layer).read_bytes() == image.blobs[image.layer]


def test_the_digest_survives_a_registry(
    layout: Path, image: OciImage, registry: str, tmp_path: Path
) -> None:
    there, back = f"docker://{registry}/lab/stage0:embedded", tmp_path / "back"
    said(tool("skopeo", *SKOPEO, *KEEPING, "--dest-tls-verify=false", f"oci:{layout}", there))
    inspected = json.loads(said(tool("skopeo", "inspect", "--tls-verify=false", there)))
    assert inspected["Digest"] == f"sha256:{image.manifest}"
    by_digest = f"docker://{registry}/lab/stage0@sha256:{image.manifest}"
    said(tool("skopeo", *SKOPEO, *KEEPING, "--src-tls-verify=false", by_digest, f"oci:{back}:it"))
    found = read_layout(back)
    assert (found.manifest, found.config) == (image.manifest, image.config)
    assert found.files == read_layout(layout).files


def test_a_client_that_compresses_again_is_seen_through(
    evidence: Evidence,
    contents: dict[str, bytes],
    image: OciImage,
    layout: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plain = write(tmp_path / "plain", make_image(evidence, contents, gzipped=False))
    said(tool("skopeo", *SKOPEO, f"oci:{plain}", f"oci:{tmp_path}/copied"))
    found = read_layout(tmp_path / "copied")
    assert found.manifest not in (image.manifest, read_layout(plain).manifest)
    assert (found.config, found.diff_ids) == (image.config, (image.diff_id,))
    assert main(["oci", "compare", str(layout), f"{tmp_path}/copied"]) == 0
    assert "THE SAME IMAGE, packed or described in another way" in capsys.readouterr().out


def test_another_image_is_another(
    evidence: Evidence,
    contents: dict[str, bytes],
    layout: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    odd = b"\x7fELF of another"
    changed = with_product(evidence, "hello", odd)
    other = write(tmp_path / "other", make_image(changed, {**contents, "hello": odd}))
    assert main(["oci", "compare", str(layout), str(other)]) == 1
    assert capsys.readouterr().out.endswith("ANOTHER IMAGE\n")
    amd = write(tmp_path / "amd", make_image(dataclasses.replace(evidence, arch="AMD64"), contents))
    assert main(["oci", "compare", str(layout), str(amd)]) == 1
    said_of_it = capsys.readouterr().out
    assert said_of_it.endswith("ANOTHER IMAGE: the same files, another configuration\n")


def test_umoci_unpacks_it(
    layout: Path, image: OciImage, evidence: Evidence, tmp_path: Path
) -> None:
    where = str(tmp_path / "bundle")
    done = tool("umoci", "unpack", "--rootless", "--image", f"{layout}:embedded", where)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "bundle" / "rootfs"
    files = {str(p.relative_to(root)): p for p in root.rglob("*") if p.is_file()}
    assert sorted(files) == sorted(image.files)
    for path, product in evidence.products.items():
        assert hashlib.sha256(files[path].read_bytes()).hexdigest() == product.sha256
    assert files["hello"].stat().st_mode & 0o777 == 0o755
    assert files["hello.hex2"].stat().st_mode & 0o777 == 0o644


def test_a_plain_layer_is_read_by_others(
    evidence: Evidence, contents: dict[str, bytes], image: OciImage, tmp_path: Path
) -> None:
    plain = make_image(evidence, contents, gzipped=False)
    assert plain.config == image.config and plain.manifest != image.manifest
    assert plain.layer == plain.diff_id == image.diff_id != image.layer
    write(tmp_path / "layout", plain)
    assert {
        k: v for k, v in read_layout(tmp_path / "layout").files.items() if k != SUMS
    } == contents
    where = f"oci:{tmp_path}/layout"
    assert json.loads(said(tool("skopeo", "inspect", where)))["Digest"][7:] == plain.manifest
    options = ["unpack", "--rootless", "--image", f"{tmp_path}/layout:embedded"]
    said(tool("umoci", *options, str(tmp_path / "bundle")))
    for path, data in contents.items():
        assert (tmp_path / "bundle/rootfs" / path).read_bytes() == data


@pytest.fixture
def store() -> Iterator[Path]:
    """A short path: podman refuses a runroot of more than 50 characters."""
    with tempfile.TemporaryDirectory(prefix="oci-") as folder:
        yield Path(folder)


def test_podman_loads_and_runs_it(layout: Path, image: OciImage, store: Path) -> None:
    own = ["--root", str(store / "root"), "--runroot", str(store / "run")]
    own += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
    pulled = tool("podman", *own, "pull", "--quiet", f"oci:{layout}")
    refused = ("permitted", "newuidmap")
    if pulled.returncode and any(why in pulled.stderr + pulled.stdout for why in refused):
        pytest.skip(f"podman may not keep images here: {pulled.stderr.splitlines()[-1]}")
    assert said(pulled).strip() == image.config
    if shutil.which("runc") is not None:
        own += ["--runtime", "runc"]
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"]
    done = tool("podman", *own, "run", "--rm", "--network=none", *limits, image.config)
    if done.returncode in (125, 126, 127):
        # podman's own failures; what the image's program does has other statuses.
        pytest.skip(f"podman cannot start a container here: {done.stderr.splitlines()[-1]}")
    assert said(done) == "hello from hex0, hex1, hex2 and M0\n"


def test_what_is_in_the_image(layout: Path, image: OciImage, contents: dict[str, bytes]) -> None:
    found = read_layout(layout)
    assert (found.manifest, found.tag) == (image.manifest, "embedded")
    sums = b"".join(
        f"{hashlib.sha256(contents[path]).hexdigest()}  {path}\n".encode()
        for path in sorted(contents)
    )
    assert found.files == {**contents, SUMS: sums}


def test_nothing_but_the_verified_products_is_packed(
    evidence: Evidence, contents: dict[str, bytes]
) -> None:
    with pytest.raises(BadInput, match="hello: is not the verified file"):
        make_image(evidence, {**contents, "hello": contents["hello"] + b"\0"})
    with pytest.raises(BadInput, match="extra: is not both verified and present"):
        make_image(evidence, {**contents, "extra": b""})
    with pytest.raises(BadInput, match="hello: is not both verified and present"):
        make_image(evidence, {k: v for k, v in contents.items() if k != "hello"})


def test_the_digest_follows_the_products_and_nothing_else(
    evidence: Evidence, contents: dict[str, bytes], image: OciImage
) -> None:
    same = dataclasses.replace(
        evidence,
        hot_path="python",
        tool=("bootstrap", "99"),
        engine=("unicorn", "99"),
        source={"kind": "folder", "sha256": None, "treeDigest": None},
        report_sha256="0" * 64,
        run_digest="0" * 64,
        release="1.9.1",
        entry="another",
        materials={**evidence.materials, "hex0.hex0": "0" * 64},
        artifacts={**evidence.artifacts, "more": "0" * 64},
    )
    other = make_image(same, dict(reversed(contents.items())))
    assert other.blobs == image.blobs and other.manifest == image.manifest
    assert findings(same, other) != findings(evidence, image)
    machine = make_image(dataclasses.replace(evidence, arch="AMD64"), contents)
    assert machine.manifest != image.manifest and machine.layer == image.layer


def test_an_image_with_sha256sum_checks_itself(
    evidence: Evidence, contents: dict[str, bytes]
) -> None:
    """As every release of stage0-posix has it; here a file of that name stands for it."""
    path, data = "x86/bin/sha256sum", contents["hello"]
    image = make_image(with_product(evidence, path, data), {**contents, path: data})
    assert image.command == ("/x86/bin/sha256sum", "-c", "/SHA256SUMS")
    config = json.loads(image.blobs[image.config])
    assert config["config"]["Env"] == ["PATH=/:/x86/bin"]


def with_layer(layout: Path, image: OciImage, layer: bytes) -> dict[str, Any]:
    """The index of an image that has another layer, with the blobs that it takes in the layout."""
    manifest, index = json.loads(image.blobs[image.manifest]), json.loads(image.index)
    manifest["layers"] = [blob(layout, layer, manifest["layers"][0]["mediaType"])]
    kind = index["manifests"][0]["mediaType"]
    index["manifests"] = [blob(layout, json.dumps(manifest).encode(), kind)]
    return dict(index)


def test_gzip_and_an_index_in_an_index_are_read(
    other: Path, image: OciImage, contents: dict[str, bytes]
) -> None:
    """As BuildKit writes them, and so StageX."""
    layer = gzip.compress(gzip.decompress(image.blobs[image.layer]), mtime=0)
    inner = with_layer(other, image, layer)
    outer = {**inner, "manifests": [blob(other, json.dumps(inner).encode(), inner["mediaType"])]}
    (other / "index.json").write_text(json.dumps(outer))
    found = read_layout(other)
    assert found.manifest == inner["manifests"][0]["digest"].removeprefix("sha256:")
    assert {k: v for k, v in found.files.items() if k != SUMS} == contents


def with_layers(layout: Path, image: OciImage, *layers: bytes) -> None:
    """Let it be an image of these layers, which its configuration names."""
    manifest, index = json.loads(image.blobs[image.manifest]), json.loads(image.index)
    config = json.loads(image.blobs[image.config])
    config["rootfs"]["diff_ids"] = [f"sha256:{sha256(layer)}" for layer in layers]
    manifest["config"] = blob(layout, json.dumps(config).encode(), CONFIG)
    manifest["layers"] = [blob(layout, layer, LAYER) for layer in layers]
    index["manifests"] = [blob(layout, json.dumps(manifest).encode(), MANIFEST)]
    (layout / "index.json").write_text(json.dumps(index))


def member(path: str, kind: str = "file") -> bytes:
    """A member as it stands in a tar file, without the file's end."""
    return write_tar([Member(kind, path, False, b"", "", 0)])[:-1024]


NO_HEADER = b"A" * 512


@pytest.mark.parametrize(
    ("layers", "says"),
    [
        ((member("a") + NO_HEADER + member("b") + bytes(1024),), "no number in the tar header at"),
        ((member("a"),), "no end of the archive"),
        ((member("a") + bytes(1024) + member("b") + bytes(1024),), "more follows the end"),
        ((member("a") + member("./a") + bytes(1024),), "has 'a', which is no plain file, or there"),
        ((member("a/../b") + bytes(1024),), "'a/../b', which is no plain file"),
        ((member("a//b") + bytes(1024),), "'a//b', which is no plain file"),
        ((member("a", "link") + bytes(1024),), "'a', which is no plain file"),
        ((member("a") + member("a/", "folder") + bytes(1024),), "'a', which is no plain file, or"),
        ((member("a") + bytes(1024), member("a/b") + bytes(1024)), "'a' as a file and as a folder"),
        ((member("d/a") + bytes(1024), member("d/.wh.a") + bytes(1024)), "takes a file away"),
    ],
)
def test_layers_that_two_readers_could_read_as_two_trees(
    other: Path, image: OciImage, layers: tuple[bytes, ...], says: str
) -> None:
    with_layers(other, image, *layers)
    with pytest.raises(BadInput, match=says):
        read_layout(other)


def test_layers_that_ask_for_any_amount_of_memory(
    other: Path, image: OciImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One small blob, named any number of times; and names that are thousands of folders each."""
    monkeypatch.setattr("bootstrap.oci.layout.MAX_BLOB", 7000)
    monkeypatch.setattr("bootstrap.oci.layout.MAX_FILES", 100)
    small = member("a") + bytes(1024)
    with_layers(other, image, *[small] * 4)
    assert read_layout(other).files == {"a": b""}
    for layers, says in (
        ([small] * 5, "more than the 856 bytes that may be read"),
        ([member("d/" * 200 + "a") + small], "a path that is too long, or more files"),
        ([member("d" * 4096) + bytes(1024)], "a path that is too long, or more files"),
    ):
        with_layers(other, image, *layers)
        with pytest.raises(BadInput, match=says):
            read_layout(other)


def test_a_later_layer_has_the_last_word(other: Path, image: OciImage) -> None:
    packed = [pack({"d/a": (data, False), name: (b"", False)})
              for data, name in ((b"first", "b"), (b"last", "c"))]  # fmt: skip
    with_layers(other, image, *packed)
    assert read_layout(other).files == {"d/a": b"last", "b": b"", "c": b""}


def test_a_layer_that_is_not_the_configurations_is_seen(other: Path, image: OciImage) -> None:
    """Every blob has its digest, and still the image is not the one that its config is of."""
    layer = gzip.compress(pack({"hello": (b"another", True)}), mtime=0)
    (other / "index.json").write_text(json.dumps(with_layer(other, image, layer)))
    with pytest.raises(BadInput, match="not those of its configuration's diff_ids"):
        read_layout(other)


@pytest.fixture
def other(layout: Path, tmp_path: Path) -> Path:
    """A copy of the layout, to be changed."""
    return shutil.copytree(layout, tmp_path / "layout")


def blob(layout: Path, data: bytes, kind: str) -> dict[str, Any]:
    (layout / "blobs" / "sha256" / sha256(data)).write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{sha256(data)}", "size": len(data)}


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
def test_a_changed_blob_is_seen(other: Path, image: OciImage, which: str) -> None:
    place = other / "blobs" / "sha256" / getattr(image, which)
    place.write_bytes(place.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(BadInput, match=f"blob {place.name} has .* and sha256"):
        read_layout(other)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("oci-layout", '{"imageLayoutVersion":"2.0.0"}', "must be 1.0.0"),
        ("index.json", "{", "not JSON"),
        ("index.json", '{"manifests":[]}', "has 0 images"),
        ("index.json", '{"manifests":[{"mediaType":"a","digest":"md5:0","size":1}]}', "sha256:HEX"),
    ],
)
def test_layouts_that_are_none(other: Path, name: str, text: str, says: str) -> None:
    (other / name).write_text(text)
    with pytest.raises(BadInput, match=says):
        read_layout(other)


def test_only_the_verified_products_are_signed_for(layout: Path, evidence: Evidence) -> None:
    found = read_layout(layout)
    require_products(found, evidence, "L")
    more = dataclasses.replace(found, files={**found.files, "etc/evil": b"x"})
    with pytest.raises(BadInput, match="L: etc/evil in the image is no verified product"):
        require_products(more, evidence, "L")
    own = dataclasses.replace(found, files={**found.files, SUMS: b"x"})
    with pytest.raises(BadInput, match="L: SHA256SUMS in the image is no verified product"):
        require_products(own, evidence, "L")
    less = dataclasses.replace(found, files={k: v for k, v in found.files.items() if k != "hello"})
    with pytest.raises(BadInput, match="L: hello of embedded x86 is not in the image"):
        require_products(less, evidence, "L")
