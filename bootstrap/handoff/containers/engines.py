"""The form of an engine by its command line, as podman and docker have it; all three engines.

In each engine the container has no network, no host environment, no capabilities, cannot gain any,
and sees of the host only the usual harmless devices and a /proc of its own.  Its namespaces are
its own, and so is the user that it runs as: :mod:`.container`.

docker takes no folder for a root file system, so it gets one in parts: every folder at the top of
the root is bind-mounted into its place; files and symlinks at the top go into an image made from
nothing (``docker import``), and come back by ``docker export``.
"""

from __future__ import annotations

import io
import os
import re
import resource
import shutil
import signal
import stat
import subprocess
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from bootstrap.core.errors import BadInput
from bootstrap.handoff.containers.container import (
    HOSTNAME,
    LEFT_FOLDERS,
    MOUNTED,
    Container,
    Started,
    apply_to_this_process,
    container_ids,
    give,
    in_reach,
    leave_session_keyring,
    never_raised,
)
from bootstrap.handoff.containers.programs import PLACE, put_starter
from bootstrap.handoff.containers.safe_paths import inside, remove, require_folder
from bootstrap.host import own_command

_TIMEOUT = 60.0
_OPEN_FILES = 1024
_PROCESSES = 4096
_ATTEMPTS = 3

# Words in what an engine says -> the permission that is missing, and how to get it.
_WAYS_OUT = (
    (
        "setrlimit",
        "CAP_SYS_RESOURCE is missing here, so limits cannot be raised: lower --limit open_files",
    ),
    ('"newuidmap": executable file not found', "apt-get install uidmap"),
    (
        "newuidmap",
        "a range of user ids is missing: usermod --add-subuids 100000-165535 --add-subgids"
        " 100000-165535 USER, then podman system migrate",
    ),
    ("subuid", "a range of user ids is missing: usermod --add-subuids 100000-165535 USER"),
    (
        "uid map",
        "user namespaces are not permitted: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        " (Ubuntu)",
    ),
    (
        "new namespace",
        "user namespaces are not permitted: sysctl kernel.unprivileged_userns_clone=1 and"
        " user.max_user_namespaces=15000; in a container, that needs CAP_SYS_ADMIN",
    ),
    ("docker.sock", "the daemon does not answer: systemctl start docker, and be in its group"),
    ("docker daemon", "the daemon does not answer: systemctl start docker, and be in its group"),
    (
        "cgroups in hybrid mode",
        "this OCI runtime cannot use the host's control groups: apt-get install runc",
    ),
    ("cgroup", "control groups cannot be used: give no --limit memory and no --limit processes"),
    (
        "exec format error",
        "the kernel does not run programs of this architecture (CONFIG_IA32_EMULATION for x86)",
    ),
    (
        "unshare failed",
        "this root may not mount: run as an ordinary user; in a container, CAP_SYS_ADMIN is needed",
    ),
    ("permission denied", "not permitted: take another --engine, or try it as another user"),
    ("not permitted", "not permitted: take another --engine, or try it as another user"),
)


def ask(command: list[str], data: bytes | None = None) -> tuple[int, str]:
    """Run a short command: its exit status, and what it wrote, the errors last."""
    try:
        done = subprocess.run(
            command, input=data, capture_output=True, timeout=_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        return 124, f"{command[0]} said nothing for {_TIMEOUT:.0f} s"
    except OSError as error:
        return 127, f"{command[0]}: {error.strerror}"
    return done.returncode, (done.stdout + done.stderr).decode("utf-8", "replace").strip()


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")


def explained(name: str, text: str) -> str:
    """An engine's last words, with the permission that is missing when they are known."""
    lowered = text.lower()
    ways = (f": {way}" for words, way in _WAYS_OUT if words in lowered)
    return f"{name}: {last_line(text)}{next(ways, '')}"


def common_options(container: Container) -> list[str]:
    """What podman and docker both understand."""
    limits = container.limits
    files = never_raised(resource.RLIMIT_NOFILE, limits.open_files or _OPEN_FILES)
    # Given always, and never above what is allowed: the engines would try to raise them.
    processes = never_raised(resource.RLIMIT_NPROC, _PROCESSES)
    options = [
        f"--name={container.name}",
        "--network=none",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
        "--security-opt=label=disable",
        "--ipc=private",
        "--cgroupns=private",
        f"--hostname={HOSTNAME}",
        "--workdir=/",
        f"--ulimit=nofile={files}:{files}",
        f"--ulimit=nproc={processes}:{processes}",
        "--ulimit=core=0:0",
    ]
    if limits.file is not None:
        size = never_raised(resource.RLIMIT_FSIZE, limits.file)
        options.append(f"--ulimit=fsize={size}:{size}")
    if limits.memory is not None:
        options.append(f"--memory={limits.memory}")
    if limits.processes is not None:
        options.append(f"--pids-limit={limits.processes}")
    environment = {"HOME": "/", "HOSTNAME": HOSTNAME, **container.environment}
    options += [f"--env={name}={value}" for name, value in environment.items()]
    return options


def popen(command: list[str], **more: Any) -> subprocess.Popen[bytes]:
    """Start an engine's command as :class:`.container.Started` has it.  Raises BadInput."""
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # Ctrl-C is for us: a client that also got it might leave its container there.
            start_new_session=True,
            **more,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BadInput(f"{command[0]}: cannot be started: {error}") from None


class ContainerEngine:
    """podman, docker or bubblewrap.  Each method may raise BadInput with the engine's own words.

    What stands here is how podman and docker are used: a client runs the container, whose first
    program is our starter, and others end it.  ``notes`` are what a user should know of how it is
    used here.
    """

    name: ClassVar[str]
    least: ClassVar[tuple[int, int]]
    """The oldest version that can be used."""
    leaves = True
    """Whether it puts files of its own into a root (:func:`.container.without_mount_points`)."""
    started_with: ClassVar[tuple[str, ...]] = ()
    """Options of a container that we start."""
    kill_words: ClassVar[tuple[str, ...]] = ()
    """What, before a container's name, ends it and takes it away."""
    look_words: ClassVar[tuple[str, ...]] = ()
    """What succeeds while a container of that name is there."""

    def __init__(self, program: str, *options: str) -> None:
        """Raises BadInput when it cannot be run, or is too old."""
        self.words = [program, *options]
        self.notes: tuple[str, ...] = ()
        status, text = ask([program, "--version"])
        match = re.search(r"(\d+)\.(\d+)(\.\d+)?", text)
        if status or match is None:
            raise BadInput(f"{program}: cannot be run: {last_line(text)}")
        self.version = match[0]
        if (int(match[1]), int(match[2])) < self.least:
            least = "{}.{}".format(*self.least)
            raise BadInput(f"{program} {match[0]} is too old: {least} or newer is needed")

    def __str__(self) -> str:
        """Its name, its version, and what to know of it."""
        return ", ".join((f"{self.name} {self.version}", *self.notes))

    def command(self, container: Container, *more: str) -> list[str]:
        """The command line that makes the container, without the program to start in it."""
        raise NotImplementedError

    def prepare(self, container: Container) -> list[str]:
        """The command line that starts the container, with all that may take long done for it."""
        self.kill(container)
        put_starter(container.starter, container.arch)
        mount = f"--volume={container.starter}:{PLACE}:ro"
        command = self.command(container, *self.started_with, mount)
        return [*command, PLACE, *container.argv]

    def start(self, container: Container, command: list[str]) -> Started:
        """Start it, without input and in a session of its own, its output in one pipe.

        This takes no time: Ctrl-C waits for it.
        """
        return Started(popen(command))

    def enter(self, container: Container) -> list[str]:
        """The command line for a user to go in with, without the program to start there."""
        return self.command(container, "--rm", "--interactive")

    def kill(self, container: Container) -> None:
        """End the container, whether or not it is there.

        The client that runs it may take it away at the same time, and one of the two then fails.
        """
        text = ""
        for _ in range(_ATTEMPTS):
            status, text = ask([*self.words, *self.kill_words, container.name])
            if status == 0 or ask([*self.words, *self.look_words, container.name])[0] == 1:
                return
        raise BadInput(
            f"{explained(f'the container {container.name} could not be ended', text)}; when it has"
            " ended, --resume goes on"
        )

    def finish(self, container: Container) -> None:
        """After the end: bring back into the root what the container changed, and clear away."""


class Podman(ContainerEngine):
    """podman on a folder as root file system (``--rootfs``): no image is made or fetched."""

    name, least = "podman", (4, 0)
    # A pipe as input. Without it that is the host's /dev/null, which crun gives to the container's
    # user (1.8.1 does, for descriptors 0 to 2): a step could then close it.
    started_with = ("--rm", "--interactive")
    kill_words = ("rm", "--force", "--time=0", "--ignore")
    look_words = ("container", "exists")

    def command(self, container: Container, *more: str) -> list[str]:
        ids = container_ids()
        give(_with_mount_points(container.root), ids)
        reach, root = in_reach(container.root, ids)
        return [
            *reach,
            *self.words,
            "run",
            *more,
            "--unsetenv-all",
            "--no-hosts",
            "--systemd=false",
            "--log-driver=none",
            "--pid=private",
            "--uts=private",
            # Anybody may write to it, and podman hides it from nobody.
            "--security-opt=mask=/proc/pressure",
            # 0 inside is ``ids`` outside; for a user's containers podman has its own mapping.
            *([f"--uidmap=0:{ids[0]}:1", f"--gidmap=0:{ids[1]}:1"] if ids else []),
            *common_options(container),
            # Steps ask whether /tmp is a mount; it is one of the root's own folder.
            *([f"--volume={root / 'tmp'}:/tmp"] if is_folder(container.root / "tmp") else []),
            "--rootfs",
            str(root),
        ]


def _with_mount_points(root: Path) -> Path:
    """With the folders in which podman mounts files: those it made would not be the container's.

    :func:`.container.without_mount_points` takes them away again.
    """
    for name in LEFT_FOLDERS:
        if not os.path.lexists(root / name):
            (root / name).mkdir(mode=0o755)
    return root


def is_folder(place: Path) -> bool:
    """Whether it is one itself, and no link to one."""
    return place.is_dir() and not os.path.islink(place)


# -- bubblewrap ------------------------------------------------------------------------------------

_HIDDEN = (
    *("acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi"),
    *("timer_list", "timer_stats"),
)
_READ_ONLY = ("bus", "fs", "irq", "pressure", "sys", "sysrq-trigger")


class Bubblewrap(ContainerEngine):
    """bubblewrap: a user namespace of its own, in which the user is 0, and no other can be made."""

    name, least, leaves = "bwrap", (0, 8), False

    def prepare(self, container: Container) -> list[str]:
        return self.command(container)[:-1]

    def start(self, container: Container, command: list[str]) -> Started:
        def before() -> None:
            leave_session_keyring()
            apply_to_this_process(container.limits)

        said, says = os.pipe()
        waits, go = os.pipe()
        try:
            # It writes the id of the first process inside, which waits until that is read: so the
            # descriptor is that process's, however short it lives.
            process = popen(
                [*command, "--info-fd", str(says), "--block-fd", str(waits), "--", *container.argv],
                pass_fds=(says, waits),
                preexec_fn=before,
            )
            os.close(says)
            says = -1
            try:
                first = _first_process(said)
                # Without one it failed, and says why; what waits is let go in any case.
                return Started(process, -1 if first is None else os.pidfd_open(first))
            except OSError as error:
                # What waits inside is of its group still, and would not die with it.
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
                raise BadInput(
                    f"bwrap: nobody could wait for its container's end: {error.strerror}"
                    " (pidfd_open needs Linux 5.3)"
                ) from None
        finally:
            for fd in (said, says, waits, go):
                if fd != -1:
                    os.close(fd)

    def enter(self, container: Container) -> list[str]:
        without = own_command("bootstrap.handoff.containers.container", "run_without")
        return [*without, *self.command(container)]

    def command(self, container: Container, *more: str) -> list[str]:
        ids = container_ids()
        give(container.root, ids)
        reach, root = in_reach(container.root, ids)
        if ids is not None:
            reach += ["setpriv", f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups", "--"]
        environment = {"HOME": "/", "HOSTNAME": HOSTNAME, **container.environment}
        return [
            *reach,
            *self.words,
            *("--unshare-all", "--unshare-user", "--uid", "0", "--gid", "0", "--disable-userns"),
            *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
            *("--hostname", HOSTNAME, "--clearenv"),
            *(word for item in environment.items() for word in ("--setenv", *item)),
            *("--bind", str(root), "/", "--dev", "/dev", "--tmpfs", "/dev/shm", "--proc", "/proc"),
            *_masks(),
            # Steps ask whether /sys is a mount, and read nothing in it.
            *("--tmpfs", "/sys"),
            *(["--bind", str(root / "tmp"), "/tmp"] if is_folder(container.root / "tmp") else []),
            *("--chdir", "/", "--"),
        ]

    def kill(self, container: Container) -> None:
        """It dies with the process that started it, and with it all that is inside."""


def _masks() -> list[str]:
    """Options for what of this host's /proc is not a process's own."""
    words: list[str] = []
    for place in (f"/proc/{name}" for name in _HIDDEN):
        if os.path.isdir(place):
            words += ["--tmpfs", place, "--remount-ro", place]
        elif os.path.exists(place):
            words += ["--ro-bind", "/dev/null", place]
    for place in (f"/proc/{name}" for name in _READ_ONLY):
        if os.path.exists(place):
            words += ["--ro-bind", place, place]
    return words


def _first_process(said: int) -> int | None:
    """What ``--info-fd`` says of the container's first process; None when nothing is said."""
    text = b""
    while b"}" not in text:
        data = os.read(said, 1 << 12)
        if not data:
            return None
        text += data
    match = re.search(rb'"child-pid": *([0-9]+)', text)
    return None if match is None else int(match[1])


# -- docker ---------------------------------------------------------------------------------------


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
