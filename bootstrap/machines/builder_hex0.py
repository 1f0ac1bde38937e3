"""builder-hex0: a boot sector that compiles its own kernel, and what a release becomes on it.

The image holds stage1 (one sector), the source of stage2, which stage1 compiles to the kernel, and
then commands for the kernel's shell: `src SIZE PATH` and so many bytes for each material, `hex0
SOURCE PROGRAM` for each seed, and at last the seed with the release's script.

Facts of https://github.com/ironmeld/builder-hex0, builder-hex0-x86-stage2.hex0 (memory map, the
shell's commands, system calls by `int 80h`); images as in its build-stages.sh.
"""

import hashlib
import posixpath
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BadInput, GuestFailed
from bootstrap.core.release import EntryPoint, Release, Tree, compare_materials, read_file
from bootstrap.core.verdict import ComparedFile, compare
from bootstrap.languages import hex0
from bootstrap.machines.disk import SECTOR, Disk
from bootstrap.machines.emulation import positions
from bootstrap.machines.pc import GateWatch, Pc, PcLimits

STAGE1, STAGE2 = "builder-hex0-x86-stage1.hex0", "builder-hex0-x86-stage2.hex0"
SYSTEM_CALL = 0x80
SEEDS = {"hex0-seed": "hex0_x86.hex0", "kaem-optional-seed": "kaem-minimal.hex0"}
"""The sources of the seeds, by the seed's file name: beside the seed, or in x86/."""
_COMMANDS_AT = bytes.fromhex("c70500000001")
"""mov dword [0x01000000], SECTOR: where the shell reads its commands."""
_NAMES, _NAME_SIZE = 0x200000, 1024
_FILES, _FILE = 0x1000000, struct.Struct("<4xII4x")
"""Per file: address and length."""
_FIRST_FILE, _MOST_FILES = 4, 14336
MOST_PRINTED = 16 << 20
_PAD = 1 << 20
"""The shell reads 32 KiB at a time; an image ends with zeros, which end the commands."""


@dataclass(frozen=True)
class Stages:
    """builder-hex0 as it is given: compiled stage1, the source of stage2 and what comes of it."""

    stage1: bytes
    stage2: bytes
    kernel: bytes

    @property
    def digests(self) -> dict[str, str]:
        """SHA-256 of stage1, of stage2's source and of the kernel."""
        return {name: hashlib.sha256(getattr(self, name)).hexdigest() for name in
                ("stage1", "stage2", "kernel")}  # fmt: skip


def read_stages(folder: Path) -> Stages:
    """From a checkout of builder-hex0. Raises BadInput."""
    sources = []
    for name in (STAGE1, STAGE2):
        data = read_file(folder / name, 1 << 20)
        sources.append((data, bytes(hex0.assemble(data, name).output)))
    (_, stage1), (stage2, kernel) = sources
    if len(stage1) != SECTOR:
        raise BadInput(f"{folder / STAGE1}: compiles to {len(stage1)} bytes, not to a boot sector")
    stages = Stages(stage1, stage2, kernel)
    starts = [kernel[at + 6 : at + 10] for at in positions(kernel, _COMMANDS_AT)]
    wanted = _commands_sector(stages)
    if wanted.to_bytes(4, "little") not in starts:
        there = ", ".join(str(int.from_bytes(start, "little")) for start in starts) or "nowhere"
        raise BadInput(
            f"{folder / STAGE2}: its shell reads commands from sector {there}; after this source "
            f"they stand at sector {wanted}"
        )
    return stages


def _commands_sector(stages: Stages) -> int:
    return 1 + -(-len(stages.stage2) // SECTOR)


def make_image(stages: Stages, files: Mapping[str, bytes], folders: set[str], commands: list[str]
               ) -> bytes:  # fmt: skip
    """A disk image whose kernel makes the folders and files (tree paths), and runs the commands.

    Raises BadInput for a path that the shell cannot read.
    """
    for path in (*files, *folders):
        folders = folders | {p for p in _above(path) if p}
        if any(character in path for character in "\n\0") or len(path.encode()) > 1000:
            raise BadInput(f"{path!r}: builder-hex0's shell cannot read such a name")
    script = bytearray(b"src 0 /\n")
    for folder in sorted(folders):
        script += f"src 0 /{folder}\n".encode()
    for path, data in sorted(files.items()):
        script += f"src {len(data)} /{path}\n".encode() + data
    script += "".join(f"{command}\n" for command in commands).encode()
    head = (stages.stage1 + stages.stage2).ljust(SECTOR * _commands_sector(stages), b"\0")
    size = -(-(len(head) + len(script) + 1) // _PAD) * _PAD
    return (head + script).ljust(size, b"\0")


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _source_of(seed: str, tree: Tree, release: Release) -> str:
    """The hex0 source of a seed: in 1.7.0 that of hex0-seed stands beside it only. It need be no
    material, for what is made of it must be the seed. Raises BadInput."""
    folder, name = posixpath.split(seed)
    places = [f"{where}/{SEEDS.get(name)}" for where in ("x86", folder)]
    for place in places:
        file = tree.files.get(place)
        if file is not None:
            made = hashlib.sha256(hex0.assemble(file.data, place).output).hexdigest()
            if made == (release.materials or {}).get(seed):
                return place
    raise BadInput(f"{tree.label}: has no hex0 source of {seed}: neither {' nor '.join(places)}")


def release_image(stages: Stages, tree: Tree, release: Release, entry: EntryPoint) -> bytes:
    """The image that builds a release: its materials but for the seeds, which hex0 makes.

    Raises BadInput for a release that builder-hex0's shell cannot start.
    """
    files, commands = {}, []
    for path in release.materials_for(entry):
        if path not in release.seeds:
            files[path] = tree.files[path].data
    for path in sorted(release.seeds):
        source = _source_of(path, tree, release)
        files[source] = tree.files[source].data
        commands.append(f"hex0 /{source} /{path}")
    for command in entry.commands:
        if len(command) != 2 or entry.cwd:
            raise BadInput(
                f"{release.title}: builder-hex0's shell runs a program with one argument, from /; "
                f"the entry {entry.name} wants {' '.join(command)} in /{entry.cwd}"
            )
        commands.append(" ".join("/" + posixpath.normpath(word) for word in command))
    folders = {*release.directories, *(posixpath.dirname(path) for path in release.seeds)}
    return make_image(stages, files, folders, commands)


def files_of(pc: Pc) -> Iterator[tuple[str, bytes]]:
    """The guest's files (absolute path, content), oldest first: the last of a name counts.

    Raises GuestFailed where the table is not one.
    """
    ram, size = pc.ram, pc.limits.memory
    for number in range(_FIRST_FILE, _MOST_FILES):
        at = _NAMES + number * _NAME_SIZE
        name = ram[at : at + _NAME_SIZE].split(b"\0")[0]
        if not name:
            return
        address, length = _FILE.unpack_from(ram, _FILES + number * _FILE.size)
        if not name.startswith(b"/") or address + length > size:
            raise GuestFailed(f"file {number} of the kernel's table is no file: {name!r:.60}")
        yield name.decode("utf-8", "surrogateescape"), ram[address : address + length]


@dataclass(frozen=True)
class MachineOpinion:
    """What came of a release on this machine. No verdict: an opinion of its own."""

    stages: Mapping[str, str]
    image_sha256: str
    artifacts: tuple[ComparedFile, ...]
    seeds: Mapping[str, bool]
    """Whether hex0 made each seed as it is in the release."""
    materials: Mapping[str, str | None]
    """Those that are not the release's, before the run."""
    guest_ok: int
    """Lines of the guest's own `sha256sum -c` that end with OK."""
    console: str
    calls: Mapping[int, int]
    """System calls by number."""
    stopped: str

    @property
    def agrees(self) -> bool:
        """All artifacts are as known, all seeds were made, and the machine came to its end."""
        return bool(
            self.stopped == "reboot"
            and not self.materials
            and any(file.is_answer for file in self.artifacts)
            and all(file.matches for file in self.artifacts)
            and all(self.seeds.values())
        )


def build(
    stages: Stages,
    tree: Tree,
    release: Release,
    limits: PcLimits,
    console: Callable[[int], object] = lambda _byte: None,
    watch: GateWatch | None = None,
) -> MachineOpinion:
    """Build a release on this machine. Raises BadInput, GuestFailed, KeyboardInterrupt."""
    entry = release.entry(None)
    differing = compare_materials(tree, release.materials_for(entry))
    if differing:
        nothing = compare({}, release.known)
        return MachineOpinion(stages.digests, "", nothing, {}, differing, 0, "", {}, "not started")
    image = release_image(stages, tree, release, entry)
    printed = bytearray()

    def show(byte: int) -> None:
        if len(printed) == MOST_PRINTED:
            raise GuestFailed(f"limit: it printed more than {MOST_PRINTED} bytes")
        printed.append(byte)
        console(byte)

    with tempfile.NamedTemporaryFile(prefix="bootstrap-pc-") as file:
        file.write(image)
        file.flush()
        stopped, pc = boot(Path(file.name), limits, show, watch)
        try:
            found = {
                path.removeprefix("/"): hashlib.sha256(data).hexdigest()
                for path, data in files_of(pc)
            }
        finally:
            pc.close()
    materials = release.materials_for(entry)
    seeds = {path: found.get(path) == materials[path] for path in sorted(release.seeds)}
    changed = {path: found.get(path) for path, sha256 in materials.items()
               if found.get(path) != sha256 and path not in release.seeds}  # fmt: skip
    text = printed.decode("utf-8", "replace")
    good = sum(line.rstrip().endswith(": OK") for line in text.splitlines())
    return MachineOpinion(stages.digests, hashlib.sha256(image).hexdigest(),
                   compare(found, release.known), seeds, changed, good, text,
                   pc.counted(SYSTEM_CALL), stopped)  # fmt: skip


def boot(
    image: Path,
    limits: PcLimits,
    console: Callable[[int], object],
    watch: GateWatch | None = None,
) -> tuple[str, Pc]:
    """Boot an image of builder-hex0 to its end; how it stopped, and the machine, to be closed.

    Raises GuestFailed, BadInput, KeyboardInterrupt; the machine is closed then.
    """
    disk = Disk(image, limits.disk)
    pc = Pc(disk, console, limits=limits, watch=watch)
    try:
        return pc.run(), pc
    except BaseException:
        pc.close()
        raise
    finally:
        disk.close()
