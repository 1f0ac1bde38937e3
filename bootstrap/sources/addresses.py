"""What is said of an address and of a download, without a module of the network."""

from __future__ import annotations

from collections.abc import Callable

from bootstrap.core.errors import BadInput

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and the bytes in all, where the server says them."""


class DownloadFailed(BadInput):
    """An address that could not be reached, or that did not give the whole file.

    ``code`` is the server's status where it gave one that says no.
    """

    code: int | None = None


def is_url(text: str) -> bool:
    """Whether ``text`` is meant as an address and not as a path: it has a scheme and ``//``."""
    scheme, colon, _ = text.partition("://")
    return bool(colon) and scheme.isalnum()
