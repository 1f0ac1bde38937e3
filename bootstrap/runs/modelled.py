"""What the language models make of sources: a second opinion on what the emulated tools make.

The models (bootstrap/languages) are plain functions and know no machine; here they get the names
that step files and scripts know them by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

from bootstrap.core.errors import BadInput
from bootstrap.known import Known, StepFile
from bootstrap.languages import catm, hex0, hex1, hex2, m0
from bootstrap.languages.fault import LanguageError
from bootstrap.languages.source import SourceText
from bootstrap.sources import SourceTree


def _alone(sources: Sequence[SourceText]) -> tuple[bytes, str]:
    if len(sources) != 1:
        raise BadInput(f"this language reads one source, not {len(sources)}")
    return sources[0].text, sources[0].name


MODELS: Mapping[str, Callable[[Sequence[SourceText]], bytes]] = {
    "hex0": lambda sources: hex0.assemble(*_alone(sources)).output,
    "hex1": lambda sources: hex1.assemble(*_alone(sources)).output,
    "hex2": lambda sources: hex2.assemble(sources).output,
    "M0": lambda sources: m0.expand(sources).output,
    "catm": lambda sources: catm.join(sources).content,
}
"""Language -> what its model makes of sources. Each raises LanguageError, with the place."""


def opinions(step: StepFile, tree: SourceTree) -> list[Known]:
    """What the models say that each product in the step file's ``models`` must be.

    A source that its model refuses gives no value: there is then nothing that can be known good,
    and BadInput says so, with the place.
    """
    found = []
    for path, data in models(step, tree).items():
        how = step.models[path]
        what = f"{how.language} model on {' + '.join(how.sources)}"
        sha256 = hashlib.sha256(data).hexdigest()
        found.append(Known(path=path, sha256=sha256, from_=what, kind="model"))
    return found


def models(step: StepFile, tree: SourceTree) -> dict[str, bytes]:
    """The products that the models make, by path.  Raises BadInput, as `opinions` does."""
    files = {path: file.data for path, file in tree.files.items()}
    made = {}
    for path, how in step.models.items():
        sources = [SourceText(name, files[name]) for name in how.sources if name in files]
        if len(sources) != len(how.sources):
            continue  # a file of the tree is missing, which the report says
        try:
            files[path] = made[path] = MODELS[how.language](sources)
        except LanguageError as error:
            raise BadInput(f"the {how.language} model refuses a source: {error}") from error
    return made
