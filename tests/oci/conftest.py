"""A verified run of the embedded sources, and its image."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrap.attest.evidence import Evidence
from bootstrap.oci.image import OciImage, make_image
from bootstrap.oci.layout import files_of, read_products
from tests.attest.conftest import evidence, verified
from tests.attest.runs import Run

__all__ = ["evidence", "verified"]


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
