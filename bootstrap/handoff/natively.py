"""Opinions of this host's Linux: the release's own commands in the box, natively or by qemu-user.

The box is bubblewrap's of the hand-off: namespaces of its own, no network, nothing of the host's
files. For qemu-user the box stands in a user namespace with a binfmt_misc of its own (Linux 6.7,
fs/binfmt_misc.c), in which programs of the architecture are started by QEMU, their children too;
nothing on the host changes. That it is QEMU which executes is tried, not assumed: on x86 a program
asks CPUID whose CPU it is, natively too; elsewhere the host could not execute them at all.
"""

from __future__ import annotations

import os
import platform
import shutil
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_folder
from bootstrap.handoff.containers.container import Container
from bootstrap.handoff.containers.engines import Bubblewrap, ask, explained, last_line
from bootstrap.handoff.containers.programs import NAME, elf
from bootstrap.handoff.containers.running import run_container
from bootstrap.handoff.containers.safe_paths import open_anyway, remove
from bootstrap.runs.opinions import Maker, Saying, Sight, code_of, file_digest
from bootstrap.runs.rebuild import visible
from bootstrap.signals import scratch_folder
from bootstrap.sources import Resolved
from bootstrap.sources.tree import lay_out

_TAIL = 1 << 12
_QEMU = {"x86": "i386", "AMD64": "x86_64", "AArch64": "aarch64", "riscv64": "riscv64",
         "riscv32": "riscv32"}  # fmt: skip
_ELF = {"x86": (1, 3), "AMD64": (2, 62), "AArch64": (2, 183), "riscv64": (2, 243),
        "riscv32": (1, 243)}  # fmt: skip
"""Class and machine of an ELF header (System V gABI)."""
_HERE = {"x86": ("x86_64", "i686"), "AMD64": ("x86_64",)}
"""Machines that execute it, by uname."""
_NAMES = {"x86": "x86", "AMD64": "amd64"}
"""Upstream's name of an architecture -> `programs.elf`'s."""
_REGISTER = (
    "mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc &&"
    ' printf %s "$0" >/proc/sys/fs/binfmt_misc/register && exec "$@"'
)
_ASK_WHOSE = {
    # mov eax, 0x40000000; cpuid; cmp ebx, "TCGT"; setne bl; movzx ebx, bl; mov eax, 1; int 0x80
    "x86": bytes.fromhex("b800000040 0fa2 81fb54434754 0f95c3 0fb6db b801000000 cd80"),
    # the same with edi, and exit by syscall 60
    "AMD64": bytes.fromhex("b800000040 0fa2 81fb54434754 0f95c3 0fb6fb b83c000000 0f05"),
}
"""Ends with 0 on QEMU's CPU (target/i386/cpu.c: the leaf 0x40000000 of TCG), else with 1."""


def bubblewrap() -> Bubblewrap:
    """The engine. Raises BadInput where it is not installed."""
    program = shutil.which("bwrap")
    if program is None:
        raise BadInput("bwrap: is not installed (apt-get install bubblewrap)")
    return Bubblewrap(program)


class HostBox:
    """A root, and programs that run on it in the engine's box, one after the other."""

    def __init__(self, engine: Bubblewrap, root: Path, arch: str) -> None:
        self._engine, self._root, self._arch = engine, root, arch
        self._tail = bytearray()
        root.mkdir()

    def put(self, name: str, program: bytes) -> None:
        """A program at the top of the root, in place of what a program in the box left there."""
        place = self._root / name
        remove(place)
        with place.open("xb") as stream:
            stream.write(program)
        place.chmod(0o755)

    def run(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str] = MappingProxyType({}),
        tick: Saying | None = None,
    ) -> int:
        """What a program ends with; `tick` gets the line under way. Raises BadInput."""
        self._tail.clear()

        def output(data: bytes) -> None:
            self._tail.extend(data)
            del self._tail[:-_TAIL]

        def on_tick(_seconds: float) -> None:
            if tick is not None and len(lines := self.said.split("\n")) > 1:
                tick(lines[-2].strip())

        box = Container("", self._root, self._arch, tuple(argv), environment)
        return run_container(self._engine, box, output, on_tick).status

    @property
    def said(self) -> str:
        """The end of what it wrote."""
        return self._tail.decode("utf-8", "replace")

    def asked(self, code: bytes, by: Sequence[str] = (), **environment: str) -> int:
        """What a small program says, 0 or 1, by its status. Raises BadInput for any other."""
        self.put(NAME, elf(_NAMES[self._arch], code))
        status = self.run((*by, f"/{NAME}"), environment)
        if status in (0, 1):
            return status
        if "binfmt_misc" in self.said:
            why = "a user namespace has a binfmt_misc of its own from Linux 6.7 on; this is"
            raise BadInput(f"{last_line(self.said)}: {why} {platform.release()}")
        raise BadInput(explained(self._engine.name, self.said))


def _qemu(arch: str) -> str:
    """The path of qemu-user, a static one if there is one. Raises BadInput."""
    name = f"qemu-{_QEMU[arch]}"
    found = shutil.which(f"{name}-static") or shutil.which(name)
    if found is None:
        raise BadInput(f"{name}: is not installed (apt-get install qemu-user-static)")
    return os.path.realpath(found)


def _head(arch: str) -> bytes:
    """The first 20 bytes of an executable of the architecture, as far as `_MASK` has them."""
    wide, machine = _ELF[arch]
    return b"\x7fELF" + bytes((wide, 1, 1)) + bytes(9) + struct.pack("<HH", 2, machine)


_MASK = b"\xff" * 7 + bytes(9) + b"\xff" * 4


def _registration(arch: str, qemu: str) -> str:
    """A line for binfmt_misc: executables with this head; F opens QEMU now, outside of the box."""
    escaped = ("".join(f"\\x{byte:02x}" for byte in data) for data in (_head(arch), _MASK))
    return f":bootstrap:M::{':'.join(escaped)}:{qemu}:FP"


def missed_by_qemu(arch: str, root: Path, paths: Iterable[str]) -> str | None:
    """A program that binfmt_misc would not have given to QEMU, if there is one."""
    for path in paths:
        with open_anyway(root / path) as stream:
            head = stream.read(len(_MASK))
        masked = bytes(byte & mask for byte, mask in zip(head, _MASK, strict=False))
        if head.startswith(b"\x7fELF") and masked != _head(arch):
            return f"{path} is a program that QEMU would not have executed"
    return None


def _by_qemu(arch: str) -> Bubblewrap:
    engine = bubblewrap()
    if (qemu := _qemu(arch)).count(":"):
        raise BadInput(f"{qemu}: binfmt_misc takes no path with a colon")
    # Before bwrap, and after what root gives its id away with (`Bubblewrap.command`).
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", _REGISTER]
    engine.words = [*prefix, _registration(arch, qemu), *engine.words]
    return engine


def _executes(engine: Bubblewrap, arch: str, by_qemu: bool) -> None:
    """That programs in the box are executed by QEMU, or are not. Raises BadInput."""
    here = platform.machine() in _HERE.get(arch, ())
    if not here and by_qemu and platform.machine() in ("x86_64", "i686"):
        return  # no silicon of this host could
    if not here:
        raise BadInput(f"this machine is {platform.machine()}: whether it would be QEMU or the "
                       f"processor that executes {arch} is not known here" if by_qemu else
                       f"this machine is {platform.machine()}, and cannot run {arch}")  # fmt: skip
    with scratch_folder("bootstrap-confirm-") as place:
        status = HostBox(engine, place / "root", arch).asked(_ASK_WHOSE[arch])
    if (status == 0) != by_qemu:
        whose = "QEMU's" if status == 0 else "no CPU of QEMU's"
        raise BadInput(f"the CPU in the box is {whose}: this would be another opinion")


def in_box(
    engine: Bubblewrap, resolved: Resolved, entry_name: str, how: str, tick: Saying, by_qemu: bool
) -> Sight:
    """The entry's commands, one box each, on one root that has the release's files alone."""
    view, entry, _ = visible(resolved, entry_name)
    if entry.cwd:
        raise BadInput(f"the entry {entry_name} starts in /{entry.cwd}, and the box in /")
    arch, stopped = resolved.step.arch, None
    with scratch_folder("bootstrap-confirm-") as place:
        root = place / "root"
        box = HostBox(engine, root, arch)
        lay_out(view, root)
        for command in entry.commands:
            if status := box.run(command, entry.environment, tick):
                said = last_line(box.said)
                stopped = f"{command[0]} ended with status {status}: {said}"
                break
        found = {path: file.sha256 for path, file in read_folder(root).files.items()}
        if by_qemu and stopped is None:
            stopped = missed_by_qemu(arch, root, found)
    given = {path: file.sha256 for path, file in view.files.items()}
    changed = [path for path, sha256 in given.items() if found.get(path) != sha256]
    if changed and stopped is None:
        stopped = f"the run changed {changed[0]}, a file of the release"
    answers = resolved.step.answers
    made = {path: sha for path, sha in found.items() if path not in given or path in answers}
    missing = dict.fromkeys(k.path for k in resolved.step.known() if k.path not in made)
    return Sight({**made, **missing}, how, stopped)


def _native(resolved: Resolved, entry: str, tick: Saying) -> Sight:
    engine = bubblewrap()
    _executes(engine, resolved.step.arch, by_qemu=False)
    return in_box(engine, resolved, entry, f"natively in the box of {engine}", tick, False)


def _qemu_user(resolved: Resolved, entry: str, tick: Saying) -> Sight:
    arch = resolved.step.arch
    engine = _by_qemu(arch)
    _executes(engine, arch, by_qemu=True)
    how = f"{Path(_qemu(arch)).name} by a binfmt_misc of its own, in the box of {engine}"
    return in_box(engine, resolved, entry, how, tick, True)


def host_inputs(
    also: Callable[[str], Mapping[str, str]],
) -> Callable[[Resolved], Mapping[str, str]]:
    """What all depend on that run in the box, and what else by architecture."""

    def inputs(resolved: Resolved) -> dict[str, str]:
        engine = bubblewrap()
        system = {"linux": f"{platform.release()} {platform.version()}",
                  f"bwrap {engine.version}": file_digest(Path(engine.words[0]))}  # fmt: skip
        code = code_of("handoff/natively.py", "handoff/containers", "runs/rebuild.py", "sources")
        return {**system, **also(resolved.step.arch), **code}

    return inputs


def version_of(program: str) -> str:
    """The first line that a program says of itself. Raises BadInput."""
    status, text = ask([program, "--version"])
    if status or not text:
        raise BadInput(f"{program} --version: ended with status {status}: {last_line(text)}")
    return text.splitlines()[0]


def _qemu_inputs(arch: str) -> dict[str, str]:
    program = Path(_qemu(arch))
    return {f"{program.name} {version_of(str(program))}": file_digest(program)}


def _cpu_inputs(_arch: str) -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {"cpu": next(iter(named), platform.machine())}


MAKERS: Mapping[str, Maker] = {
    "qemu-user": Maker(_qemu_user, host_inputs(_qemu_inputs)),
    "native": Maker(_native, host_inputs(_cpu_inputs)),
}
