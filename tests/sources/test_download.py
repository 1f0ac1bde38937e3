"""Downloads from a server on the loopback interface."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Callable
from email.message import Message
from http.server import BaseHTTPRequestHandler

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.sources.addresses import DownloadFailed, is_url
from bootstrap.sources.download import _OnlyHttps, download
from tests.sources.conftest import Server

LIMIT = 1 << 20


def garbage(server: Server) -> str:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\0garbage\r\n\r\n")

    server.answers["/a"] = answer
    return server.url + "/a"


def redirect(to: str) -> Callable[[Server], str]:
    return lambda server: server.fail("/a", 302, to)


NO_REDIRECT = r"is not https|is not allowed"


def test_a_file_comes_whole_and_is_counted(server: Server) -> None:
    data = bytes(range(256)) * 1000
    counts: list[tuple[int, int | None]] = []
    url = server.serve("/a", data)
    assert download(url, LIMIT, lambda done, total: counts.append((done, total))) == data
    assert counts[-1] == (len(data), len(data))


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        *((lambda server, code=code: server.fail("/a", code), f"/a: the server says {code} ")
          for code in (403, 404, 500)),
        (lambda server: server.serve("/a", b"x" * 1000, length=2000),
         "cut short: 1000 of 2000 bytes came"),
        (lambda server: server.serve("/a", b"x" * (LIMIT + 1)), "is larger than 1048576 bytes"),
        (garbage, "/a: the download failed: "),
        (redirect("http://127.0.0.1:1/x"), NO_REDIRECT),
        (redirect("file:///etc/passwd"), NO_REDIRECT),
        (redirect("ftp://a/b"), NO_REDIRECT),
        (redirect("//b/c"), NO_REDIRECT),
    ],
)  # fmt: skip
def test_what_a_server_does_wrong_is_named(
    server: Server, answer: Callable[[Server], str], says: str
) -> None:
    url = answer(server)
    with pytest.raises(DownloadFailed, match=says):
        download(url, LIMIT)
    assert server.asked == ["/a"]


def test_a_redirect_to_https_is_followed() -> None:
    request = urllib.request.Request("https://a.invalid/x")
    there = _OnlyHttps().redirect_request(
        request, None, 302, "Found", Message(), "https://b.invalid/y"  # type: ignore[arg-type]
    )  # fmt: skip
    assert there is not None
    assert there.full_url == "https://b.invalid/y"


def test_nobody_there_is_named() -> None:
    with socket.socket() as bound:  # bound but not listening: a port that refuses
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/a"
        with pytest.raises(DownloadFailed, match="cannot be reached: "):
            download(url, LIMIT)
    with pytest.raises(DownloadFailed, match="cannot be reached: "):
        download("https://release.invalid/a", LIMIT)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        with pytest.raises(DownloadFailed, match="no answer in time"):
            download(url, LIMIT, timeout=0.05)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        *((url, "only https and http") for url in ("file:///etc/passwd", "ftp://a/b", "data:,x")),
        *((url, ".") for url in ("http://a b/", "http://[::1/", "http://127.0.0.1:99999/")),
    ],
)
def test_addresses_that_make_no_sense_are_bad_input(url: str, says: str) -> None:
    with pytest.raises(BadInput, match=says):
        download(url, LIMIT)


def test_paths_and_addresses_are_not_mistaken_for_each_other() -> None:
    assert is_url("https://a/b.tar.gz")
    assert is_url("file:///a")
    assert not any(map(is_url, ("a.tar.gz", "/a//b", "./a:b", "C:/x", "a/b://c")))
