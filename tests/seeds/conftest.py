"""Upstream's tools, to hold ours against."""

from __future__ import annotations

import pytest

from bootstrap.languages.source import SourceText
from bootstrap.runs.modelled import MODELS
from bootstrap.sources import SourceTree
from tests.seeds import ours


@pytest.fixture(scope="session")
def upstreams(release: SourceTree) -> dict[str, bytes]:
    """Upstream's tools by the names of ours, as the models build them from the release."""

    def source(path: str) -> SourceText:
        return SourceText(path, release.files[path].data)

    found = {
        "hex1": MODELS["hex0"]([source("x86/hex1_x86.hex0")]),
        "kaem": MODELS["hex0"]([source("x86/kaem-minimal.hex0")]),
        "hex2": MODELS["hex1"]([source("x86/hex2_x86.hex1")]),
        "catm": MODELS["hex2"]([source("x86/catm_x86.hex2")]),
        "M0": ours.build(source("x86/ELF-i386.hex2"), source("x86/M0_x86.hex2")),
    }
    assert len(found["hex1"]) == ours.UPSTREAMS_HEX1
    assert len(found["kaem"]) == ours.UPSTREAMS_KAEM
    return found
