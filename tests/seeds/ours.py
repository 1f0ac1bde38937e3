"""Our tools for x86, as the models build them from the sources in seeds/x86."""

from __future__ import annotations

from bootstrap.languages.source import SourceText
from bootstrap.runs.modelled import MODELS
from tests.seeds import tools


def source(name: str) -> SourceText:
    return SourceText(name, (tools.SOURCES / name).read_bytes())


def build(*sources: SourceText) -> bytes:
    """What hex2 makes of the joined sources."""
    return MODELS["hex2"]([SourceText("joined", MODELS["catm"](sources))])


HEX1 = MODELS["hex0"]([source("hex1.hex0")])
KAEM = MODELS["hex0"]([source("kaem.hex0")])
HEX2 = MODELS["hex1"]([source("hex2.hex1")])
CATM = MODELS["hex2"]([source("catm.hex2")])
M0 = build(source("elf.hex2"), source("M0.hex2"))

UPSTREAMS_HEX1 = 689
UPSTREAMS_KAEM = 632
"""The sizes of upstream's, which ours are held against."""
