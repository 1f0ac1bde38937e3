"""A catalogue and a server of the tests' own: no test here knows the real release or network."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bootstrap.known import lookup, steps
from tests.sources import sample

Answer = Callable[[BaseHTTPRequestHandler], None]


def _forget() -> None:
    steps.all_steps.cache_clear()
    steps._tree_files.cache_clear()
    lookup.known_files.cache_clear()


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder ``steps/`` of a catalogue that knows the sample release and embedded sources.

    A test may write into it before it asks the catalogue anything.
    """
    data = tmp_path / "data"
    folder = data / "steps"
    folder.mkdir(parents=True)
    (folder / "stage0-posix-1.0-x86.toml").write_text(sample.step_text())
    (folder / "embedded-x86.toml").write_text(sample.EMBEDDED)
    (folder / "sample.files").write_text("".join(f"{path}\n" for path in sorted(sample.FILES)))
    seeds = data / "seeds" / "x86"
    seeds.mkdir(parents=True)
    (seeds / "hex0-seed").write_bytes(sample.FILES[sample.SEED])
    (seeds / "hex0.hex0").write_bytes(b"7f")
    monkeypatch.setattr("bootstrap.known.steps.data_dir", lambda kind: data / kind)
    monkeypatch.setattr("bootstrap.sources.resolving.data_dir", lambda kind: data / kind)
    _forget()
    yield folder
    _forget()


class Server:
    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                server.answers[self.path](self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def serve(self, path: str, data: bytes, length: int | None = None) -> str:
        """Answer ``path`` with ``data``, claiming ``length`` bytes; gives the address."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", str(len(data) if length is None else length))
            handler.end_headers()
            handler.wfile.write(data)

        self.answers[path] = answer
        return self.url + path

    def fail(self, path: str, code: int, location: str | None = None) -> str:
        """Answer ``path`` with a status that is no success."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(code)
            if location is not None:
                handler.send_header("Location", location)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        self.answers[path] = answer
        return self.url + path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An http server on the loopback interface."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()
