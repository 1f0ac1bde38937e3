"""Where the data folders are: inside an installed package, or beside it in a checkout."""

from __future__ import annotations

import importlib.resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import bootstrap
from bootstrap.core.errors import BadInput


def data_dir(kind: Literal["steps", "seeds"]) -> Traversable:
    """The folder ``steps`` or ``seeds``.

    An installed wheel carries them as ``bootstrap/_data/<kind>``; in a checkout they stand beside
    the package.  Raises BadInput when neither is there.
    """
    installed = importlib.resources.files("bootstrap") / "_data" / kind
    if installed.is_dir():
        return installed
    checkout = Path(bootstrap.__file__).resolve().parent.parent / kind
    if checkout.is_dir():
        return checkout
    raise BadInput(
        f"the folder {kind}/ is neither in the installed package ({installed}) nor in a checkout"
        f" ({checkout}); install the package again"
    )


def read_data(place: Traversable) -> bytes:
    """A file of such a folder.  Raises BadInput."""
    try:
        return place.read_bytes()
    except OSError as error:
        raise BadInput(f"{place}: cannot be read: {error.strerror}") from None
