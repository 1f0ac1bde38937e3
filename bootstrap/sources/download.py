"""Fetching one file over https (or http, where what comes is checked by its hash anyway)."""

from __future__ import annotations

import contextlib
import email.message
import http.client
import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import bootstrap
from bootstrap import host
from bootstrap.core.errors import BadInput
from bootstrap.sources.addresses import DownloadFailed, Progress

TIMEOUT = 20.0
_CHUNK = 1 << 16


class _OnlyHttps(urllib.request.HTTPRedirectHandler):
    """Follows a redirect to https only: none may lead to a file or to an open connection."""

    schemes: tuple[str, ...] = ("https",)

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if _scheme(newurl) not in self.schemes:
            raise DownloadFailed(f"{req.full_url}: redirects to {newurl!r}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _HttpToo(_OnlyHttps):
    """Also from http to http: for what is pinned by its hash, nothing is lost by it."""

    schemes = ("https", "http")


def download(
    url: str, limit: int, progress: Progress | None = None, timeout: float = TIMEOUT
) -> bytes:
    """The file at ``url``, of at most ``limit`` bytes.

    ``timeout`` is in seconds, for each wait.  Raises DownloadFailed when the address cannot be
    reached, returns an error, ends too early or gives too much; BadInput for an address that
    is neither https nor http.
    """
    with _asked(url, {}, _OnlyHttps, timeout) as answer:
        total = _length(answer.headers)
        return b"".join(_chunks(answer, url, 0, total, limit, progress))


def download_to(
    url: str, part: Path, limit: int, progress: Progress | None = None, timeout: float = TIMEOUT
) -> None:
    """Put the file at ``url`` into ``part``, going on after the bytes that are there already.

    The rest is asked for by a Range (RFC 9110, 14.2); a server that gives the whole file instead
    is taken at that.  Whether the file is the right one is not examined: check its hash before
    it gets its name.  Raises as :func:`download` does, and BadInput when ``part`` cannot be
    written; what came stays in ``part``.
    """
    with _part(part) as file:
        have = file.seek(0, os.SEEK_END)
        try:
            _go_on(url, file, have, limit, progress, timeout)
        except DownloadFailed as error:
            if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not have:
                raise
            _go_on(url, file, 0, limit, progress, timeout)


@contextlib.contextmanager
def _part(part: Path) -> Iterator[IO[bytes]]:
    flags = os.O_RDWR | os.O_CREAT | host.BINARY | host.NOFOLLOW | host.CLOEXEC
    try:
        with open(part, "r+b", 0, opener=lambda name, _: os.open(name, flags, 0o644)) as file:
            yield file
            os.fsync(file.fileno())
    except OSError as error:
        raise _unwritable(part, error) from None


def _go_on(
    url: str, file: IO[bytes], have: int, limit: int, progress: Progress | None, timeout: float
) -> None:
    wanted = {"Range": f"bytes={have}-"} if have else {}
    with _asked(url, wanted, _HttpToo, timeout) as answer:
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            have = 0
        elif _start(answer.headers) != have:
            raise DownloadFailed(
                f"{url}: asked for what follows byte {have}, and gave another part"
            )
        file.seek(have)
        file.truncate()
        rest = _length(answer.headers)
        total = None if rest is None else have + rest
        for chunk in _chunks(answer, url, have, total, limit, progress):
            left = memoryview(chunk)
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError as error:
                raise _unwritable(file.name, error) from None


def _unwritable(part: object, error: OSError) -> BadInput:
    return BadInput(
        f"{part}: cannot be written: {error.strerror}; make room or take another folder"
    )


def _start(headers: email.message.Message) -> int | None:
    match = re.match(r"bytes ([0-9]+)-", headers.get("Content-Range", ""))
    return int(match[1]) if match else None


@contextlib.contextmanager
def _asked(
    url: str, headers: dict[str, str], redirects: type[_OnlyHttps], timeout: float
) -> Iterator[http.client.HTTPResponse]:
    """The server's answer; what goes wrong with it until it is let go is a DownloadFailed."""
    if _scheme(url) not in ("https", "http"):
        raise BadInput(f"{url}: only https and http addresses can be fetched; give a path instead")
    agent = {"User-Agent": f"bootstrap-emulator/{bootstrap.__version__}"}
    opener = urllib.request.build_opener(redirects)
    try:
        request = urllib.request.Request(url, headers={**agent, **headers})
        with opener.open(request, timeout=timeout) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        error.close()
        failed = DownloadFailed(f"{url}: the server says {error.code} {error.reason}")
        failed.code = error.code
        raise failed from None
    except urllib.error.URLError as error:
        raise DownloadFailed(f"{url}: cannot be reached: {_reason(error.reason)}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise DownloadFailed(f"{url}: the download failed: {_reason(error)}") from None


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _chunks(
    answer: http.client.HTTPResponse,
    url: str,
    have: int,
    total: int | None,
    limit: int,
    progress: Progress | None,
) -> Iterator[bytes]:
    # read1 gives what has come: a server that stops does not take with it what it gave.
    while chunk := answer.read1(_CHUNK):
        have += len(chunk)
        if have > limit:
            raise DownloadFailed(f"{url}: is larger than {limit} bytes, which no release is")
        yield chunk
        if progress is not None:
            progress(have, total)
    # http.client does not complain about a body that ends early when it is read in pieces.
    if total is not None and have < total:
        raise DownloadFailed(f"{url}: cut short: {have} of {total} bytes came")


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
