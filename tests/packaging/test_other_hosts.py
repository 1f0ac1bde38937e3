"""The parts that are for macOS and Windows too, with what these systems lack taken away.

Nothing of this project was ever run there. Here Python itself is Linux's, but sys.platform and
os.name say otherwise, modules and functions that such a host has not are gone, and the Python path
is used.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import ROOT, environment

WITHOUT = {
    "win32": {
        "modules": ("fcntl", "grp", "pwd", "resource", "termios", "tty", "pty", "syslog"),
        "os": ("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "getpgid", "setsid",
               "killpg", "mkfifo", "mknod", "chown", "lchown", "fchown", "openpty", "O_CLOEXEC",
               "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "O_NOCTTY", "sched_getaffinity", "uname",
               "getxattr", "setxattr", "WIFEXITED", "wait4", "sync", "memfd_create"),
        "signal": ("SIGHUP", "SIGPIPE", "SIGKILL", "SIGCHLD", "SIGALRM", "setitimer",
                   "pthread_sigmask"),
    },
    "darwin": {
        "modules": ("spwd",),
        "os": ("sched_getaffinity", "memfd_create", "getxattr", "setxattr", "O_PATH", "O_TMPFILE"),
        "signal": ("SIGPWR", "SIGSTKFLT", "sigwaitinfo", "sigtimedwait"),
    },
}  # fmt: skip

PROGRAM = """
import os, sys, json, signal, types, importlib, subprocess, tempfile, socket, ctypes, pathlib
import platform, shutil, sqlite3, zipfile, lzma, gzip, tarfile, urllib.request, unicorn, capstone
import platformdirs, multiprocessing, logging, asyncio, uuid, random, getpass, inspect
system, without, commands = json.loads(sys.argv[1])
for name in without["modules"]:
    sys.modules[name] = None
for module, names in ((os, without["os"]), (signal, without["signal"])):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
os.supports_dir_fd = os.supports_fd = frozenset()
if system == "win32":
    os.name = "nt"
    pathlib.WindowsPath = pathlib.PosixPath
    sys.modules["msvcrt"] = types.SimpleNamespace(
        locking=lambda *_: None, LK_LOCK=1, LK_NBLCK=2, setmode=lambda *_: 0)
sys.platform = system
sys.path.insert(0, sys.argv[2])
from bootstrap.cli.main import main
for words in commands:
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code or 0
    print(f"{words[0]} {status}", file=sys.stderr)
"""
COMMANDS = (
    "--help",
    "verify --release embedded --json report.json --output out --html page.html",
    "identify {seeds}/x86/hex0-seed",
    "seeds check {seeds}/x86/hex0-seed --hex0 {seeds}/x86/hex0.hex0",
    "releases",
    "run --root {seeds}/x86 --output made -- ./hex0-seed hex0.hex0 hex0",
    "trace record -q -o t --root {seeds}/x86 -- ./hex0-seed hex0.hex0 hex0",
    "trace why t hex0:0x54",
    "trace log t --call open",
    "diff {seeds} {seeds}",
    "doctor",
)


@pytest.mark.parametrize("system", WITHOUT)
def test_commands_on_a_host_that_has_less(system: str, tmp_path: Path) -> None:
    commands = [[w.format(seeds=ROOT / "seeds") for w in line.split()] for line in COMMANDS]
    given = json.dumps([system, WITHOUT[system], commands])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, given, ROOT], cwd=tmp_path, text=True, check=False,
        capture_output=True,
        env=environment({"BOOTSTRAP_HOT_PATH": "python", "PYTHONWARNINGS": ""}),
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    said = [line for line in done.stderr.splitlines() if line.rsplit(" ", 1)[-1].isdigit()]
    names = [words[0] for words in commands]
    assert [line for line in said if line.split()[0] in names] == [f"{name} 0" for name in names], (
        done.stderr
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["result"], report["tool"]["hot_path"]) == ("verified", "python")
    seed = (ROOT / "seeds/x86/hex0-seed").read_bytes()
    assert (tmp_path / "made/hex0").read_bytes() == (tmp_path / "out/hex0").read_bytes() == seed
    assert os.path.getsize(tmp_path / "page.html") > 5000
