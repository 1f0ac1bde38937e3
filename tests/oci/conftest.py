"""A verified run of the embedded sources, and its image."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bootstrap.attest.evidence import Evidence
from bootstrap.oci.image import OciImage, make_image
from bootstrap.oci.layout import files_of, read_products
from tests.attest.conftest import evidence, people, verified
from tests.attest.runs import Run

__all__ = ["evidence", "people", "verified"]
LONGEST = 120


def tool(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of the tools for images, or a skip in words."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed: the layout is not read by it")
    return subprocess.run(
        [name, *arguments], capture_output=True, text=True, check=False, timeout=LONGEST
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


SKOPEO = ("--insecure-policy", "copy", "--quiet")
KEEPING = ("--preserve-digests",)


@pytest.fixture(scope="session")
def contents(verified: Run, evidence: Evidence) -> dict[str, bytes]:
    """The products by tree path."""
    products, wrong = read_products(verified.products, evidence)
    assert not wrong
    return products


@pytest.fixture(scope="session")
def image(evidence: Evidence, contents: dict[str, bytes]) -> OciImage:
    return make_image(evidence, contents)


@pytest.fixture(scope="session")
def layout(image: OciImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's layout on disk."""
    return write(tmp_path_factory.mktemp("layout"), image)


def write(folder: Path, image: OciImage) -> Path:
    """Lay an image out."""
    for path, data in files_of(image).items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Debian's docker-registry on a port of loopback that the kernel chooses: its address."""
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed: no image is pushed to a real registry")
    settings = {
        "version": 0.1,
        "log": {"level": "info", "formatter": "json"},
        "storage": {"filesystem": {"rootdirectory": f"{tmp_path}/registry"}},
        "http": {"addr": "127.0.0.1:0"},
    }
    (tmp_path / "registry.yml").write_text(json.dumps(settings))  # JSON is YAML
    command = ["docker-registry", "serve", f"{tmp_path}/registry.yml"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr is not None
        # Without it skopeo looks where only a session's user may (containers-auth.json(5)); for
        # the registry, which begins without it, it would be a setting.
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
        (tmp_path / "auth.json").write_text("{}")
        try:
            yield next(
                match[1]
                for line in serving.stderr
                if (match := re.search(r"listening on ([0-9.]+:[0-9]+)", line))
            )
        finally:
            serving.kill()
