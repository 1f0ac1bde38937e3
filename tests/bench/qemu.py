"""qemu-user, and how the programs of a bootstrap come to run under it: binfmt_misc.

qemu-user runs one program; those that it starts are the kernel's business. For a whole bootstrap
the kernel has to hand every stage0 program to qemu, which is what binfmt_misc is for
(Documentation/admin-guide/binfmt-misc.rst). It asks its own handlers before it tries to run a file
itself, so this works even for programs that the host could run.

Linux 6.7 and later have a binfmt_misc of its own for each user namespace. There the registration is
seen by the measured processes only, needs no root, and is gone with the last of them. On an older
Linux it is the whole machine's, for root only; it is then taken back however the run ends, and its
magic fits no other programs than those of stage0.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.timing import Failed

_NAMES = {
    "x86": "qemu-i386",
    "AMD64": "qemu-x86_64",
    "AArch64": "qemu-aarch64",
    "riscv64": "qemu-riscv64",
    "riscv32": "qemu-riscv32",
}
_SECONDS = 20

# ELF header of what stage0 makes: class, little-endian, version 1, ELFOSABI_GNU, ET_EXEC, machine,
# version 1, entry point just after the headers at 0x08048000 or 0x600000. No linker in use gives
# this: not to qemu itself, which must not match where the host is AMD64.
_IDENT = b"\x7fELF%c\x01\x01\x03" + bytes(8)
_MAGIC = {
    "x86": _IDENT % 1 + b"\x02\0\x03\0\x01\0\0\0" + b"\x00\x80\x04\x08",
    "AMD64": _IDENT % 2 + b"\x02\0\x3e\0\x01\0\0\0" + b"\x00\x00\x60\0\0\0\0\0",
    "AArch64": _IDENT % 2 + b"\x02\0\xb7\0\x01\0\0\0" + b"\x00\x00\x60\0\0\0\0\0",
    "riscv64": _IDENT % 2 + b"\x02\0\xf3\0\x01\0\0\0" + b"\x00\x00\x60\0\0\0\0\0",
    "riscv32": _IDENT % 1 + b"\x02\0\xf3\0\x01\0\0\0" + b"\x00\x00\x60\0",
}
# The last byte of the entry point differs: more or fewer headers.
_FREE = 24

_ENTER = """\
mount -t binfmt_misc binfmt_misc "$1" && printf %s "$2" >"$1/register" || exit 125
shift 2
exec env -i "$@"
"""
_REGISTER = 'mount -t binfmt_misc binfmt_misc "$1" && printf %s "$2" >"$1/register"'
_REMOVE = 'mount -t binfmt_misc binfmt_misc "$1" && printf %s -1 >"$1/$2"'


@dataclass(frozen=True)
class Qemu:
    """A qemu-user on this machine."""

    arch: str
    name: str
    program: str
    version: str


def find(arch: str) -> Qemu:
    """The qemu-user for an architecture, the static one if there are both (it starts faster).

    Raises Failed, saying how to get one.
    """
    name = _NAMES[arch]
    for candidate in (f"{name}-static", name):
        program = shutil.which(candidate)
        if program is not None:
            return Qemu(arch, name, program, _version([program, "--version"]))
    raise Failed(f"{name} is not installed (Debian: apt-get install qemu-user-static)")


def _version(command: Sequence[str], env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        timeout=_SECONDS,
        check=False,
    )
    text = done.stdout.decode("utf-8", "replace").strip()
    return text.splitlines()[0] if text else f"nothing, status {done.returncode}"


def registration(name: str, qemu: Qemu) -> str:
    """The line for binfmt_misc's `register`: type M (magic), flag F (open the interpreter now)."""
    magic = _MAGIC[qemu.arch]
    mask = bytearray(b"\xff" * len(magic))
    mask[_FREE] = 0
    return f":{name}:M:0:{_escaped(magic)}:{_escaped(mask)}:{qemu.program}:F"


def _escaped(data: bytes | bytearray) -> str:
    return "".join(f"\\x{byte:02x}" for byte in data)


@contextmanager
def binfmt(qemu: Qemu, seed: Path) -> Iterator[list[str]]:
    """What to put before a command so that every stage0 program in it runs under qemu.

    `seed` is a stage0 program to try it with. Raises Failed when neither way works.
    """
    name = f"bootstrap-bench-{os.getpid()}-{qemu.arch}"
    line = registration(name, qemu)
    with tempfile.TemporaryDirectory(prefix="bench-binfmt-") as mount:
        prefix = _private(line, mount)
        heard = _probe(prefix, seed)
        if heard == qemu.version:
            yield prefix
            return
        if os.geteuid() != 0:
            raise Failed(f"no private binfmt_misc (Linux 6.7 has it), and not root: {heard}")
        shell = ["unshare", "--mount", "--", "sh", "-c"]
        try:
            done = subprocess.run(
                [*shell, _REGISTER, "sh", mount, line], capture_output=True, check=False
            )
            if done.returncode:
                why = done.stderr.decode("utf-8", "replace").strip()
                raise Failed(f"binfmt_misc cannot be set up: {why}")
            prefix = [_which("env"), "-i"]
            heard = _probe(prefix, seed)
            if heard != qemu.version:
                raise Failed(f"binfmt_misc does not start qemu: {heard}")
            yield prefix
        finally:
            subprocess.run([*shell, _REMOVE, "sh", mount, name], capture_output=True, check=False)


def _private(line: str, mount: str) -> list[str]:
    unshare = [_which("unshare"), "--user", "--map-root-user", "--mount", "--"]
    return [*unshare, "/bin/sh", "-c", _ENTER, "sh", mount, line]


def _probe(prefix: Sequence[str], seed: Path) -> str:
    """Run `seed`, asking qemu for its version instead: its answer proves that it was there."""
    return _version([*prefix, "QEMU_VERSION=1", str(seed)])


def _which(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        raise Failed(f"binfmt_misc cannot be set up: there is no {program}")
    return found
