"""The embedded step file and the sources in seeds/ are of one piece."""

from __future__ import annotations

import hashlib
import re

from bootstrap.known import data_dir, find
from bootstrap.known.schema import MODELLED
from bootstrap.runs.modelled import MODELS
from bootstrap.sources import check_materials, embedded_source

SEED = "f74dcf9cef2aee9eb7723eca755849d474fccd89662947021d1aa08429d23c13"


def test_the_embedded_sources_are_those_that_the_step_file_names() -> None:
    step = find("embedded", None, "x86")
    tree = embedded_source(step)
    report = check_materials(tree, step, step.entry("hex0-seed"))
    # After an edit of a source: python -m tests.seeds.pin
    assert report.lines() == []
    assert tree.files["hex0-seed"].executable


def test_the_seed_is_the_published_one_and_its_own_product() -> None:
    step = find("embedded", None, "x86")
    assert (step.seeds["hex0-seed"].sha256, step.seeds["hex0-seed"].size) == (SEED, 181)
    assert step.expected()[0].path == "hex0"
    assert step.expected()[0].sha256 == SEED
    assert find("stage0-posix", "1.9.1", "x86").seeds["hex0-seed"].sha256 == SEED


def test_the_annotated_source_says_the_bytes_of_the_seed() -> None:
    text = data_dir("seeds").joinpath("x86", "hex0.hex0").read_text(encoding="utf-8")
    digits = "".join(re.findall(r"[0-9A-Fa-f]", re.sub(r"[#;].*", "", text)))
    assert hashlib.sha256(bytes.fromhex(digits)).hexdigest() == SEED


def test_every_language_that_a_step_file_may_name_has_a_model() -> None:
    assert tuple(MODELS) == MODELLED
