"""Downloads from a server on the loopback interface."""

from __future__ import annotations

import socket
import urllib.request
from email.message import Message
from http.server import BaseHTTPRequestHandler

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.sources.download import _OnlyHttps, download
from bootstrap.sources.tree import DownloadFailed, is_url
from tests.sources.conftest import Server

LIMIT = 1 << 20


def test_a_file_comes_whole_and_is_counted(server: Server) -> None:
    data = bytes(range(256)) * 1000
    counts: list[tuple[int, int | None]] = []
    url = server.serve("/a", data)
    assert download(url, LIMIT, lambda done, total: counts.append((done, total))) == data
    assert counts[-1] == (len(data), len(data))


@pytest.mark.parametrize("code", [403, 404, 500])
def test_an_error_of_the_server_is_named(server: Server, code: int) -> None:
    url = server.fail("/a", code)
    with pytest.raises(DownloadFailed, match=f"{url}: the server says {code} "):
        download(url, LIMIT)


def test_a_download_cut_short_is_noticed(server: Server) -> None:
    url = server.serve("/a", b"x" * 1000, length=2000)
    with pytest.raises(DownloadFailed, match="cut short: 1000 of 2000 bytes came"):
        download(url, LIMIT)


def test_a_download_without_end_is_stopped(server: Server) -> None:
    url = server.serve("/a", b"x" * (LIMIT + 1))
    with pytest.raises(DownloadFailed, match="is larger than 1048576 bytes"):
        download(url, LIMIT)


def test_an_answer_that_is_no_http_is_named(server: Server) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\0garbage\r\n\r\n")

    server.answers["/a"] = answer
    with pytest.raises(DownloadFailed, match="/a: the download failed: "):
        download(server.url + "/a", LIMIT)


@pytest.mark.parametrize("to", ["http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://a/b", "//b/c"])
def test_a_redirect_to_anything_but_https_is_refused(server: Server, to: str) -> None:
    url = server.fail("/a", 302, to)
    with pytest.raises(DownloadFailed, match=r"is not https|is not allowed"):
        download(url, LIMIT)
    assert server.asked == ["/a"]


def test_a_redirect_to_https_is_followed() -> None:
    request = urllib.request.Request("https://a.invalid/x")
    there = _OnlyHttps().redirect_request(
        request,
        None,  # type: ignore[arg-type]
        302,
        "Found",
        Message(),  # type: ignore[arg-type]
        "https://b.invalid/y",
    )
    assert there is not None
    assert there.full_url == "https://b.invalid/y"


def test_nobody_there_is_named() -> None:
    with socket.socket() as bound:  # bound but not listening: a port that refuses
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/a"
        with pytest.raises(DownloadFailed, match="cannot be reached: Connection refused"):
            download(url, LIMIT)


def test_a_host_that_nobody_knows_is_named() -> None:
    with pytest.raises(DownloadFailed, match="cannot be reached: "):
        download("https://release.invalid/a", LIMIT)


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        with pytest.raises(DownloadFailed, match="no answer in time"):
            download(url, LIMIT, timeout=0.05)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "data:,x"])
def test_other_schemes_are_no_addresses(url: str) -> None:
    with pytest.raises(BadInput, match="only https and http"):
        download(url, LIMIT)


@pytest.mark.parametrize("url", ["http://a b/", "http://[::1/", "http://127.0.0.1:99999/"])
def test_addresses_that_make_no_sense_are_bad_input(url: str) -> None:
    with pytest.raises(BadInput):
        download(url, LIMIT)


def test_paths_and_addresses_are_told_apart() -> None:
    assert is_url("https://a/b.tar.gz")
    assert is_url("file:///a")
    for path in ("a.tar.gz", "/a//b", "./a:b", "C:/x", "a/b://c"):
        assert not is_url(path)
