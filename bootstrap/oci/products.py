"""The verified products as files in a folder, each hashed again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from bootstrap.attest.evidence import Evidence
from bootstrap.core.errors import BadInput
from bootstrap.known.lookup import known_files
from bootstrap.oci.layout import MAX_BLOB
from bootstrap.sources.tree import read_file


@dataclass(frozen=True)
class Differs:
    """A product that is not the verified one; ``found`` is None where there is no such file."""

    path: str
    expected: str
    found: str | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.path}: is not there"
        known = known_files().text(self.found)
        found = f"{self.found} ({known})" if known else self.found
        return f"{self.path}: has sha256 {found}, not {self.expected}, which was verified"


def read_products(folder: Path, evidence: Evidence) -> tuple[dict[str, bytes], list[Differs]]:
    """The products below ``folder`` by tree path, and what is wrong with them.

    Other files there do not matter.  Raises BadInput when a file cannot be read, or has another
    size than the report says.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: is no folder; name the one that verify --output wrote")
    products: dict[str, bytes] = {}
    wrong: list[Differs] = []
    for path, product in evidence.products.items():
        place = folder.joinpath(*path.split("/"))
        if not place.exists():
            wrong.append(Differs(path, product.sha256, None))
            continue
        data = read_file(place, MAX_BLOB)
        digest = hashlib.sha256(data).hexdigest()
        if digest == product.sha256 and len(data) != product.size:
            raise BadInput(
                f"{place}: has {len(data)} bytes, where the report says {product.size}, with the"
                " sha256 of these"
            )
        if digest == product.sha256:
            products[path] = data
        else:
            wrong.append(Differs(path, product.sha256, digest))
    return products, wrong
