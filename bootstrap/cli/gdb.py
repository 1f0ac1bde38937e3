"""`bootstrap gdb`: a server for gdb in a recorded run."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from bootstrap.cli import step
from bootstrap.core.errors import BadInput, printable
from bootstrap.debug.gdb.launch import find_gdb, launch
from bootstrap.debug.gdb.server import at_port, on_descriptors
from bootstrap.debug.gdb.symbols import SymbolFiles
from bootstrap.debug.gdb.wire import address_of, is_loopback, listen
from bootstrap.debug.session import Session


def _say(text: str) -> None:
    print(f"bootstrap: {printable(text)}", file=sys.stderr, flush=True)


def run(args: argparse.Namespace) -> int:
    """Do it. Raises BootstrapError, KeyboardInterrupt."""
    if args.once and (args.stdio or args.launch):
        raise BadInput("--once goes with --listen")
    if args.symbols is not None and args.launch:
        raise BadInput("--symbols goes with --listen or --stdio: --launch makes its own folder")
    if os.name == "nt" and (args.stdio or args.launch):
        raise BadInput("on Windows gdb needs a port: --listen")
    address = address_of(args.listen)
    if args.stdio:
        in_fd, out_fd = _take_stdio()
    if args.launch:
        find_gdb()
    symbols = None if args.symbols is None else SymbolFiles(Path(args.symbols))
    with step.trace_of(args, writes=True) as name:
        if args.launch:
            # What the server will do first: its errors are better known before gdb is there.
            with _opened(args, name):
                pass
            return launch(name, args.at, root=_root(args))
        if args.stdio:
            return _serve(args, name, (in_fd, out_fd), symbols)
        return _listen(args, name, *address, symbols)


def _take_stdio() -> tuple[int, int]:
    """The protocol's descriptors; nothing else can read or write there from now on."""
    in_fd, out_fd = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    # On a terminal Ctrl-C goes to gdb and to us; gdb says so in its own words.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return in_fd, out_fd


def _root(args: argparse.Namespace) -> str | None:
    """Where the program can be run again; None: it cannot."""
    root: str | None = args.root
    _, program = step.after_dashes(args)
    return (root or ".") if program else root


@contextlib.contextmanager
def _opened(
    args: argparse.Namespace, name: str, symbols: SymbolFiles | None = None
) -> Iterator[Session]:
    """A session at a place, and gdb's script for the program there. Raises BootstrapError."""
    with Session.open(name) as session:
        root = _root(args)
        if root is not None:
            session.make_live(root)
        if args.at:
            session.go(args.at)
        if symbols is not None:
            image = session.program.image
            symbols.write_script(symbols.of(session.trace, session.images, image))
        yield session


def _serve(
    args: argparse.Namespace, name: str, descriptors: tuple[int, int], symbols: SymbolFiles | None
) -> int:
    with _opened(args, name, symbols) as session:
        return 0 if on_descriptors(session, *descriptors, _say, symbols) else 1


def _listen(
    args: argparse.Namespace, name: str, host: str, port: int, symbols: SymbolFiles | None
) -> int:
    with _opened(args, name, symbols) as session, listen(host, port) as listener:
        if not is_loopback(host):
            _say(f"warning: {host} is not this machine alone: whoever connects can read "
                 "all of the recorded run")  # fmt: skip
        shown = f"[{host}]" if ":" in host else host
        _say(f"waiting for gdb: target remote {shown}:{listener.getsockname()[1]}")
        return 0 if at_port(session, listener, _say, args.once, symbols) else 1
