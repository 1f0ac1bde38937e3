"""The sources that an installation carries: enough for phase 0 anywhere, offline."""

from __future__ import annotations

from bootstrap.core.errors import BadInput
from bootstrap.known import StepFile, data_dir
from bootstrap.sources.tree import SourceFile, SourceTree


def embedded_source(step: StepFile) -> SourceTree:
    """The sources that this installation carries, for an embedded step file.

    Each material is ``seeds/<arch>/<path>``.  Raises BadInput when one cannot be read.
    """
    folder = data_dir("seeds") / step.arch
    seeds = {seed.path for seed in step.seeds.values()}
    files = {}
    for path in step.materials:
        try:
            data = folder.joinpath(path).read_bytes()
        except OSError as error:
            raise BadInput(
                f"seeds/{step.arch}/{path}: cannot be read: {error.strerror}; install again"
            ) from None
        files[path] = SourceFile(data, path in seeds)
    return SourceTree("embedded", "the embedded sources", files)
