"""Fetching one file over https (or http, where what comes is checked by its hash anyway)."""

from __future__ import annotations

import email.message
import http.client
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import IO

import bootstrap
from bootstrap.errors import BadInput

Progress = Callable[[int, int | None], None]
"""Called with the bytes so far and the bytes in all, where the server says them."""

TIMEOUT = 20.0
_CHUNK = 1 << 16


class DownloadFailed(BadInput):
    """An address that could not be reached, or that did not give the whole file."""


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to https only: none may lead to a file or to an open connection."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if _scheme(newurl) != "https":
            raise DownloadFailed(f"{req.full_url}: redirects to {newurl!r}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def is_url(text: str) -> bool:
    """Whether ``text`` is meant as an address and not as a path: it has a scheme and ``//``."""
    scheme, colon, _ = text.partition("://")
    return bool(colon) and scheme.isalnum()


def download(
    url: str, limit: int, progress: Progress | None = None, timeout: float = TIMEOUT
) -> bytes:
    """The file at ``url``, of at most ``limit`` bytes.

    ``timeout`` is in seconds, for each wait.  Raises DownloadFailed when the address cannot be
    reached, answers with an error, ends too early or gives too much; BadInput for an address that
    is neither https nor http.
    """
    if _scheme(url) not in ("https", "http"):
        raise BadInput(f"{url}: only https and http addresses can be fetched; give a path instead")
    agent = {"User-Agent": f"bootstrap-emulator/{bootstrap.__version__}"}
    opener = urllib.request.build_opener(_OnlyHttps)
    try:
        request = urllib.request.Request(url, headers=agent)
        with opener.open(request, timeout=timeout) as answer:
            total = _length(answer.headers)
            return _read(answer, url, total, limit, progress)
    except urllib.error.HTTPError as error:
        error.close()
        raise DownloadFailed(f"{url}: the server says {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise DownloadFailed(f"{url}: cannot be reached: {_reason(error.reason)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadFailed(f"{url}: the download failed: {_reason(error)}") from None


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _read(
    answer: IO[bytes], url: str, total: int | None, limit: int, progress: Progress | None
) -> bytes:
    data = bytearray()
    while chunk := answer.read(_CHUNK):
        data += chunk
        if len(data) > limit:
            raise DownloadFailed(f"{url}: is larger than {limit} bytes, which no release is")
        if progress is not None:
            progress(len(data), total)
    # http.client does not complain about a body that ends early when it is read in pieces.
    if total is not None and len(data) < total:
        raise DownloadFailed(f"{url}: cut short: {len(data)} of {total} bytes came")
    return bytes(data)


def _length(headers: email.message.Message) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return f"no address is known for the host ({error.strerror})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
