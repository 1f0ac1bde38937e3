"""Runs the guest programs of this folder: on the host's kernel, under qemu-user, and emulated.

`python -m tests.linux.differential` runs them all, natively on x86 and under qemu-user for the
other ABIs, and records what came of it in guests/recorded.json, for hosts that cannot run them: do
that after changing a guest program.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from bootstrap.core.arches import ARCHES, Arch
from bootstrap.core.files import Directory, Inode, RegularFile, Stream, Symlink
from bootstrap.instruments import Engine
from bootstrap.linux.events import Listener
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.inode import children
from bootstrap.linux.machine import LinuxMachine
from bootstrap.linux.numbers import NUMBERS

GUESTS = Path(__file__).parent / "guests"
RECORDED = GUESTS / "recorded.json"
NATIVE = ("i386", "x86_64")
BY_QEMU = ("aarch64", "riscv64", "riscv32")
PROGRAMS = (
    "io",
    "files",
    "names",
    "stat",
    "process",
    "memory",
    "faults",
    "code",
    "code-no-stack-header",
    "random",
    "pages",
    "thread",
)
NOT_BY_QEMU = ("pages", "thread")
"""Of no use there: qemu-user's mappings are not Linux's (tests/linux/by_qemu.py); calls of x86."""
ARGV = ("/guest", "one", "two")
ENVIRONMENT = {"A": "1"}
STDIN = b"standard input text\n"

# fmt: off
_FLAGS = (
    "-nostdlib", "-static", "-no-pie", "-fno-pic", "-ffreestanding", "-std=gnu11", "-O1",
    "-fno-stack-protector", "-fno-tree-loop-distribute-patterns",
    "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-Wall", "-Werror",
    "-Wno-unused-function", "-Wno-int-to-pointer-cast", "-Wno-pointer-to-int-cast",
)
# fmt: on
_NO_GP = "-Wl,--no-relax"
"""Nothing sets up the global pointer of RISC-V."""
_NO_STACK_HEADER = "-no-stack-header"
PT_GNU_STACK = 0x6474E551
_COMPILERS = {
    "i386": ("gcc", "-m32", "-fcf-protection=none"),
    "x86_64": ("gcc", "-m64", "-fcf-protection=none"),
    "aarch64": ("aarch64-linux-gnu-gcc", "-mno-outline-atomics"),
    "riscv64": ("riscv64-linux-gnu-gcc", "-march=rv64imac_zicsr_zifencei", "-mabi=lp64", _NO_GP),
    "riscv32": ("riscv64-linux-gnu-gcc", "-march=rv32imac_zicsr_zifencei", "-mabi=ilp32", _NO_GP),
}
"""Compiler and its flags for each ABI; Debian's packages are called after the compilers."""


class Outcome(NamedTuple):
    """What came of one run."""

    status: int
    """Exit status, or 128 and a signal number more, as a shell tells it."""
    stdout: list[str]
    """Lines, latin-1."""
    tree: dict[str, str]
    """Path -> mode in octal, and for a file its size and hash, for a link its target."""


def compiler_reason(abi: str) -> str | None:
    """Why no guest program can be built here; None where one can."""
    compiler = _COMPILERS[abi][0]
    if abi in NATIVE and (platform.machine() != "x86_64" or sys.platform != "linux"):
        return f"no compiler for Linux on x86 is looked for on {sys.platform} {platform.machine()}"
    if shutil.which(compiler) is None:
        return f"no {compiler} on this host"
    return None


def build(program: str, abi: str, folder: Path) -> bytes:
    """The ELF file of guests/`program`.c for an ABI. Raises RuntimeError with gcc's words.

    "code-no-stack-header" is "code" without PT_GNU_STACK, as the programs of a bootstrap are: to
    i386 Linux that means that what can be read can be executed.
    """
    if program.endswith(_NO_STACK_HEADER):
        elf = build(program.removesuffix(_NO_STACK_HEADER), abi, folder)
        return elf.replace(PT_GNU_STACK.to_bytes(4, "little"), bytes(4))
    numbers = "".join(f"#define NR_{name} {number}\n" for name, number in NUMBERS[abi].items())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "numbers.h").write_text(numbers)
    output = folder / program
    source = GUESTS / f"{program}.c"
    command = [*_COMPILERS[abi], *_FLAGS, f"-I{folder}", "-o", str(output), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stderr}")
    return output.read_bytes()


def real_reason(elf: bytes, abi: str) -> str | None:
    """Why this host cannot run a guest program as the tests do; None where it can."""
    if abi in BY_QEMU and shutil.which(_QEMU[abi]) is None:
        return f"no {_QEMU[abi]} on this host (Debian: apt-get install qemu-user-static)"
    try:
        outcome = _run_in(elf, abi, 20)
    except (OSError, subprocess.SubprocessError) as error:
        return f"this host does not run it: {error}"
    if not outcome.stdout[0]:
        return "no binfmt_misc of its own in a user namespace (Linux 6.7 has it)"
    return None


def run_real(elf: bytes, abi: str) -> Outcome:
    """Run a guest program in a root directory of its own: on the host's kernel or by qemu-user."""
    return _run_in(elf, abi, 300)


def _run_in(elf: bytes, abi: str, timeout: float) -> Outcome:
    # tmpfs is the same everywhere; what lies under /tmp may be any file system.
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as root, tempfile.TemporaryDirectory() as mount:
        os.chmod(root, 0o755)
        guest = Path(root, "guest")
        guest.write_bytes(elf)
        guest.chmod(0o755)

        def limits() -> None:
            os.umask(0o022)
            resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))

        def enter() -> None:
            os.chroot(root)
            os.chdir("/")
            limits()

        native = abi in NATIVE
        done = subprocess.run(
            ARGV if native else _under_qemu(abi, mount, root),
            input=STDIN,
            stdout=subprocess.PIPE,
            # qemu tells there of signals, which the outcome has anyway.
            stderr=None if native else subprocess.DEVNULL,
            preexec_fn=enter if native else limits,
            env=ENVIRONMENT if native else None,
            timeout=timeout,
            check=False,
        )
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return Outcome(status, _lines(done.stdout), native_tree(Path(root)))


_QEMU = {abi: f"qemu-{abi}-static" for abi in BY_QEMU}
_ENTER = """\
mount -t binfmt_misc binfmt_misc "$1" && printf %s "$2" >"$1/register" || exit 125
chroot=$(command -v chroot)
exec env -i A=1 "$chroot" "$3" /guest one two
"""


def _under_qemu(abi: str, mount: str, root: str) -> list[str]:
    """The command: programs that the guest executes come to qemu by a private binfmt_misc."""
    machine = _abi(abi).elf_machines[0].to_bytes(2, "little")
    magic = b"\x7fELF" + bytes([_abi(abi).elf_class, 1, 1]) + bytes(9) + b"\2\0" + machine
    mask = b"\xff" * 7 + bytes(9) + b"\xff" * 4
    texts = ("".join(f"\\x{byte:02x}" for byte in data) for data in (magic, mask))
    line = f":guest:M:0:{':'.join(texts)}:{shutil.which(_QEMU[abi])}:FP"
    unshare = ["unshare", "--user", "--map-root-user", "--mount", "--"]
    return [*unshare, "/bin/sh", "-c", _ENTER, "sh", mount, line, root]


def _abi(name: str) -> Arch:
    return next(abi for abi in ARCHES if abi.name == name)


def _lines(stdout: bytes) -> list[str]:
    return stdout.decode("latin-1").split("\n")


def _file(mode: int, content: bytes) -> str:
    return f"{mode:06o} {len(content)} {hashlib.sha256(content).hexdigest()[:16]}"


def _latin1(path: str) -> str:
    return os.fsencode(path).decode("latin-1")


def native_tree(root: Path) -> dict[str, str]:
    """What lies in a folder but for the guest program: path -> what `Outcome.tree` has."""
    tree: dict[str, str] = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = Path(folder, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                text = f"link {_latin1(os.readlink(path))}"
            elif stat.S_ISDIR(mode):
                text = f"{mode:06o}"
            else:
                text = _file(mode, path.read_bytes())
            tree[_latin1(path.relative_to(root).as_posix())] = text
    del tree["guest"]
    return dict(sorted(tree.items()))


def run_emulated(elf: bytes, engine: Engine, listener: Listener | None = None) -> Outcome:
    """Run a guest program in a LinuxMachine, on nothing but itself; a listener gets each call."""
    fs = OverlayFileSystem(MemoryLower({b"/guest": LowerFile(0o755, elf)}))
    stdout = io.BytesIO()
    read, write = io.BytesIO(STDIN).read, stdout.write
    streams = (Stream(read=read), Stream(write=write), Stream(write=write))
    listeners = [] if listener is None else [listener]
    machine = LinuxMachine(fs, engine, listeners=listeners, each_call=bool(listeners))
    argv = [arg.encode() for arg in ARGV]
    envp = [f"{name}={value}".encode() for name, value in ENVIRONMENT.items()]
    ended = machine.run(b"/guest", argv, envp, streams=streams)
    signal = ended.status & 0x7F
    status = 128 + signal if signal else ended.status >> 8
    return Outcome(status, _lines(stdout.getvalue()), emulated_tree(fs))


def emulated_tree(fs: OverlayFileSystem) -> dict[str, str]:
    """The same of a guest's file system."""
    tree: dict[str, str] = {}
    _walk(fs.root, "", tree)
    del tree["guest"]
    return dict(sorted(tree.items()))


def _walk(directory: Directory, prefix: str, tree: dict[str, str]) -> None:
    for name, inode in children(directory):
        path = prefix + name.decode("latin-1")
        tree[path] = _describe(inode)
        if isinstance(inode, Directory):
            _walk(inode, path + "/", tree)


def _describe(inode: Inode) -> str:
    if isinstance(inode, Symlink):
        return f"link {inode.target.decode('latin-1')}"
    if isinstance(inode, RegularFile):
        return _file(inode.mode, inode.contents())
    return f"{inode.mode:06o}"


def recorded() -> dict[str, dict[str, Outcome]]:
    """Program -> ABI -> what came of it, natively or by qemu-user, where it was recorded."""
    raw: dict[str, Any] = json.loads(RECORDED.read_text())
    return {
        program: {abi: Outcome(**outcome) for abi, outcome in by_abi.items()}
        for program, by_abi in raw["outcomes"].items()
    }


def _record() -> None:
    outcomes: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for program in PROGRAMS:
            outcomes[program] = {
                abi: run_real(build(program, abi, Path(folder, abi)), abi)._asdict()
                for abi in (*NATIVE, *BY_QEMU)
                if abi in NATIVE or program not in NOT_BY_QEMU
            }
    qemu = subprocess.run([_QEMU[BY_QEMU[0]], "--version"], capture_output=True, text=True)
    record = {
        "kernel": f"{platform.system()} {platform.release()}",
        "qemu": qemu.stdout.splitlines()[0],
        "outcomes": outcomes,
    }
    RECORDED.write_text(json.dumps(record, indent=0, sort_keys=True) + "\n")


if __name__ == "__main__":
    _record()
