"""The header of a trace: who recorded it, how, within which limits."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

import bootstrap
from bootstrap.documents import Size, typed_json
from bootstrap.instruments import Engine
from bootstrap.linux.limits import Limits

INTERRUPTED = "interrupted while it ran"
"""The failure of a run that somebody ended."""
_CUT = re.compile(
    rf"limit: .* \(pid \d+\) (ran for more than|executed \d+ instructions)|{INTERRUPTED}", re.DOTALL
)
"""As linux/machine.py tells it."""


def header(kind: str, engine: Engine, limits: Limits, streams: Sequence[int]) -> dict[str, str]:
    """The rows of `meta` that every trace has. `streams`: the first descriptor of the one that
    each of the three standard ones is."""
    told = engine.describe()
    return {
        "kind": kind,
        "tool": f"bootstrap {bootstrap.__version__}",
        "engine": f"{told['name']} {told['version']}",
        "hot_path": told["hot_path"],
        "limits": json.dumps(asdict(limits)),
        "streams": json.dumps(list(streams)),
    }


def limits_of(meta: Mapping[str, str]) -> Limits:
    """The limits of a recorded run. Raises ValueError, KeyError."""
    told = typed_json(Mapping[str, Size], meta["limits"])  # type: ignore[type-abstract]
    if set(told) != {field.name for field in fields(Limits)}:
        raise ValueError("its limits are others than this program has")
    return Limits(**told)


def streams_of(meta: Mapping[str, str]) -> tuple[int, int, int]:
    """What `header` was given. Raises ValueError, KeyError."""
    found = typed_json(tuple[int, int, int], meta["streams"])
    if found not in ((0, 1, 1), (0, 1, 2)):
        raise ValueError("its streams are none")
    return found


def probing_in(meta: Mapping[str, str]) -> bool:
    """Whether calls that C libraries only probe failed with ENOSYS: in a program's run, but never
    in a bootstrap's. Raises KeyError."""
    return meta["kind"] == "run"


def was_cut(meta: Mapping[str, str]) -> bool:
    """Whether a limit of time or of instructions, or somebody, ended the run between two calls."""
    return _CUT.match(meta.get("failure", "")) is not None
