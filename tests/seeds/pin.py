"""Writes steps/embedded-x86.toml again from the sources in seeds/x86, by the models.

    python -m tests.seeds.pin

For whoever changes a source: look at the difference before it is committed. That the emulated tools
make the same is what `bootstrap verify` then checks.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from bootstrap.languages.source import SourceText
from bootstrap.runs.modelled import MODELS
from tests.seeds.tools import SOURCES

STEP = Path(__file__).resolve().parents[2] / "steps" / "embedded-x86.toml"
MATERIALS = (
    "hex0-seed",
    "hex0.hex0",
    "kaem.hex0",
    "tools.kaem",
    "hex1.hex0",
    "hex2.hex1",
    "catm.hex2",
    "elf.hex2",
    "M0.hex2",
    "hello.M1",
)
PRODUCTS = (
    ("hex0", "hex0", ("hex0.hex0",)),
    ("kaem", "hex0", ("kaem.hex0",)),
    ("hex1", "hex0", ("hex1.hex0",)),
    ("hex2", "hex1", ("hex2.hex1",)),
    ("catm", "hex2", ("catm.hex2",)),
    ("M0-whole.hex2", "catm", ("elf.hex2", "M0.hex2")),
    ("M0", "hex2", ("M0-whole.hex2",)),
    ("hello.hex2", "M0", ("hello.M1",)),
    ("hello-whole.hex2", "catm", ("elf.hex2", "hello.hex2")),
    ("hello", "hex2", ("hello-whole.hex2",)),
)
"""Product, language, sources; in build order."""

HEAD = """\
# The embedded path, which an installation carries, in seeds/x86/: the x86 hex0 seed, and sources of
# our own from which it builds hex0, kaem, hex1, hex2, catm and M0, and a program that shows that
# they work. Each product is compared with the value below, and with what the language model makes.
# `python -m tests.seeds.pin` writes this file again when a source has changed.

schema = 1
name = "embedded"
arch = "x86"
catalogue_from = "embedded catalogue"

[seeds.hex0-seed]
path = "hex0-seed"
size = 181
sha256 = "f74dcf9cef2aee9eb7723eca755849d474fccd89662947021d1aa08429d23c13"

[entries.hex0-seed]
commands = [
    ["./hex0-seed", "hex0.hex0", "hex0"],
    ["./hex0", "kaem.hex0", "kaem"],
    ["./kaem", "tools.kaem"],
]
"""


def step_file() -> str:
    """The text of the step file."""
    files = {name: (SOURCES / name).read_bytes() for name in MATERIALS}
    for path, language, sources in PRODUCTS:
        files[path] = MODELS[language]([SourceText(name, files[name]) for name in sources])

    def values(names: list[str]) -> list[str]:
        return [f'{_key(n)} = "{hashlib.sha256(files[n]).hexdigest()}"' for n in names]

    models = [
        f'{_key(path)} = {{language = "{language}", sources = {json.dumps(sources)}}}'
        for path, language, sources in PRODUCTS
    ]
    parts = [HEAD, "[catalogue]", *values([path for path, _, _ in PRODUCTS])]
    parts += ["", "[models]", *models, "", "[materials]", *values(list(MATERIALS))]
    return "\n".join(parts) + "\n"


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name


if __name__ == "__main__":
    STEP.write_text(step_file())
