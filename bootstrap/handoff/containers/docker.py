"""docker by its command line.  It takes no folder for a root file system, so it gets one in parts.

Every folder at the top of the root is bind-mounted into its place; files and symlinks at the top
go into an image made from nothing (``docker import``), and come back by ``docker export``.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path, PurePosixPath

from bootstrap.core.errors import BadInput
from bootstrap.handoff.containers.container import MOUNTED, Container
from bootstrap.handoff.containers.engines import (
    ContainerEngine,
    ask,
    common_options,
    explained,
    last_line,
)
from bootstrap.handoff.containers.safe_paths import inside, remove, require_folder

_OWN = (".dockerenv", *MOUNTED)


class Docker(ContainerEngine):
    """docker, where its root is this user: steps then run as nobody else on the host."""

    name, least = "docker", (20, 10)
    kill_words = ("rm", "--force")
    look_words = ("container", "inspect")

    def __init__(self, program: str) -> None:
        super().__init__(program)
        status, text = ask([program, "info", "--format", "{{.SecurityOptions}}"])
        if status:
            raise BadInput(explained("docker", text))
        if os.geteuid() == 0 or "rootless" not in text:
            raise BadInput(
                "docker: steps would run as the machine's root, without user ids of their own: set"
                " up rootless docker and run as its user, or take podman or bubblewrap"
            )

    def enter(self, container: Container) -> list[str]:
        self.kill(container)
        return super().enter(container)

    def command(self, container: Container, *more: str) -> list[str]:
        # After a failure it is kept, for going in.
        ask([*self.words, "rmi", self._image(container)])
        folders, packed = _parts(container.root)
        status, text = ask([*self.words, "import", "-", self._image(container)], packed)
        if status:
            raise BadInput(f"docker import: {last_line(text)}")
        return [
            *self.words,
            "run",
            *more,
            *common_options(container),
            *(f"--volume={container.root / name}:/{name}" for name in folders),
            self._image(container),
        ]

    def finish(self, container: Container) -> None:
        folders, _ = _parts(container.root)
        command = [*self.words, "export", container.name]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
            assert run.stdout is not None
            try:
                _take_back(run.stdout, container.root, frozenset(folders))
            except tarfile.TarError as error:
                raise BadInput(f"docker export {container.name}: {error}") from None
        self.kill(container)
        ask([*self.words, "rmi", self._image(container)])

    def _image(self, container: Container) -> str:
        return f"{container.name}:root"


def _parts(root: Path) -> tuple[list[str], bytes]:
    """The folders at the top, but for those that an engine fills, and the rest as a tar."""
    folders = []
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        # Without it, the top may come out closed to writing, which no capability overrides here.
        top = _owned(archive.gettarinfo(root, "./"))
        top.mode = 0o755
        archive.addfile(top)
        for name in sorted(os.listdir(root)):
            place = root / name
            if place.is_dir() and not place.is_symlink():
                if name not in MOUNTED:
                    folders.append(name)
                archive.addfile(_owned(archive.gettarinfo(place, name)))
            elif place.is_symlink():
                archive.addfile(_owned(archive.gettarinfo(place, name)))
            else:
                with place.open("rb") as stream:
                    archive.addfile(_owned(archive.gettarinfo(place, name)), stream)
    return folders, packed.getvalue()


def _owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def _take_back(stream: io.BufferedIOBase | object, root: Path, mounted: frozenset[str]) -> None:
    """Make the top of ``root`` as the export has it; what was mounted is there already."""
    found: set[str] = set()
    with tarfile.open(fileobj=stream, mode="r|") as archive:  # type: ignore[call-overload]
        for member in archive:
            parts = PurePosixPath(member.name).parts
            if not parts or parts[0] in _OWN or parts[0] in mounted:
                continue
            if ".." in parts or parts[0] == "/":
                raise BadInput(f"docker export: {member.name!r} leads out of the root")
            found.add(parts[0])
            _extract(archive, member, root, parts)
    if not found:
        return
    for name in os.listdir(root):
        if name not in found and name not in mounted and name not in _OWN:
            remove(root / name)


def _extract(
    archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, parts: tuple[str, ...]
) -> None:
    """One member, in place of what is there; no link on its way is followed.

    TarFile.extract has a filter for this from Python 3.11.4 on only.
    """
    place = root.joinpath(*parts)
    if len(parts) > 1:
        require_folder(root, "/".join(parts[:-1]))
    if not (member.isdir() and place.is_dir() and not place.is_symlink()):
        remove(place)
    if member.issym():
        place.symlink_to(member.linkname)
        return
    if member.islnk():
        first = inside(root, member.linkname)
        if first is None:
            raise BadInput(f"docker export: {member.name!r} is a link to {member.linkname!r}")
        os.link(first, place)
        return
    if member.isdir():
        place.mkdir(exist_ok=True)
    elif (data := archive.extractfile(member)) is not None:
        with place.open("xb") as stream:
            shutil.copyfileobj(data, stream)
    else:
        # A device or fifo at the top: no step has a use for it.
        return
    place.chmod(member.mode & 0o777 | (stat.S_IRWXU if member.isdir() else 0))
    os.utime(place, (member.mtime, member.mtime))
