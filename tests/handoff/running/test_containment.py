"""From inside each engine's container, as root and as a user: what of the host could be changed?"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.handoff.containers.container import (
    UNUSED,
    Container,
    ContainerLimits,
    container_ids,
    give,
    leave_session_keyring,
)
from bootstrap.handoff.containers.engines import ContainerEngine
from bootstrap.handoff.containers.programs import elf
from bootstrap.handoff.containers.running import choose, run_container
from bootstrap.handoff.saving import SavedRoot
from bootstrap.linux.numbers import NUMBERS
from bootstrap.sources.tree import lay_out as lay_out_tree
from tests.handoff.running.conftest import go, require
from tests.handoff.running.small import ARCH, make, stage0

USER = 12345
"""An ordinary user's id, for tests that root runs; it needs no account."""

HOST_FILES = [
    *(f"/proc/sys/kernel/{name}" for name in "core_pattern modprobe panic printk pid_max".split()),
    *(f"/proc/sys/kernel/{name}" for name in "hostname threads-max shmmax sem msgmax".split()),
    *(f"/proc/sys/kernel/{name}" for name in "randomize_va_space dmesg_restrict".split()),
    *(f"/proc/sys/vm/{name}" for name in "swappiness drop_caches overcommit_memory".split()),
    *(f"/proc/sys/fs/{name}" for name in "file-max nr_open suid_dumpable pipe-max-size".split()),
    *("/proc/sys/fs/binfmt_misc/register", "/proc/sys/net/core/somaxconn", "/proc/sysrq-trigger"),
    *("/proc/irq/default_smp_affinity", "/proc/mtrr", "/proc/acpi/wakeup", "/proc/pressure/cpu"),
    *("/proc/kcore", "/proc/scsi/scsi", "/proc/timer_list", "/proc/keys"),
    *("/sys/power/state", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs"),
    *("/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda"),
]
PROBE = """\
shopt -s globstar nullglob
opened() { { [ -e "$1" ] && ! [ "$1" -ef /dev/null ] && : >> "$1"; } 2> /dev/null; }
for name in "$@"; do if opened "$name"; then echo "open $name"; fi; done
for name in /proc/[a-z]*/**; do
    case "$name" in /proc/self* | /proc/thread-self* | /proc/net*) continue ;; esac
    if [ ! -d "$name" ] && opened "$name"; then echo "open $name"; fi
done
if opened /work; then echo "probe works"; fi
for name in null zero full random urandom tty; do
    if [ -e /dev/$name ] && chmod 666 /dev/$name 2> /dev/null; then echo "open /dev/$name"; fi
done
echo made > /made
chmod 4755 /made
while read line; do echo "status $line"; done < /proc/self/status
ls -l /proc/self/ns
"""


def as_user(uid: int, do: Callable[[], object]) -> object:
    """What ``do`` gives as that user, in a process of its own; it must be data for JSON."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if os.geteuid() != uid:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            os.environ.update(HOME=os.getcwd(), XDG_RUNTIME_DIR=os.getcwd())
            os.write(writing, json.dumps(do()).encode())
            status = 0
        except BadInput as error:
            os.write(writing, json.dumps({"error": str(error)}).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as stream:
        text = stream.read()
    assert os.waitpid(pid, 0)[1] == 0
    return json.loads(text)


@pytest.fixture(params=[pytest.param("root", marks=pytest.mark.root), "user"])
def folder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of root or of an ordinary user, with a space in its name, closed to everybody else."""
    uid = os.geteuid()
    if request.param == "user" and uid == 0:
        uid = USER
    place = Path(tempfile.mkdtemp(prefix="a container of "))
    os.chown(place, uid, uid if uid == USER else -1)
    monkeypatch.chdir(place)
    try:
        yield place
    finally:
        monkeypatch.undo()
        # podman leaves one behind for each user, which keeps the user's namespace.
        for pause in place.rglob("pause.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pause.read_text()), signal.SIGKILL)
        shutil.rmtree(place)


DEVICES = [f"/dev/{name}" for name in "null zero full random urandom tty".split()]


def owned(device: str) -> tuple[int, int, int]:
    """Whose it is, and its mode."""
    found = os.stat(device)
    return found.st_uid, found.st_gid, found.st_mode


def lay_out(root: Path) -> None:
    """bash and a little more, with the probe."""
    lay_out_tree(stage0().tree, root)
    for name in ("dev", "proc", "sys", "tmp"):
        (root / name).mkdir()
    (root / "probe.sh").write_text(PROBE)
    (root / "work").touch()


def contained(name: str, folder: Path, *argv: str) -> tuple[ContainerEngine, Container, int, bytes]:
    """A program of the root in a container of that engine: its status, and what it wrote."""
    engine = choose(name, ARCH, ContainerLimits(), folder).engine
    container_name, environment = f"bootstrap-test-{os.getpid()}", {"PATH": "/AMD64/bin"}
    container = Container(container_name, folder / "root", ARCH, argv, environment)
    said: list[bytes] = []
    status = run_container(engine, container, said.append, None, 120).status
    return engine, container, status, b"".join(said)


def probed(name: str, folder: Path) -> list[str]:
    """What the probe says in that engine's container."""
    (folder / "root").mkdir()
    lay_out(folder / "root")
    _, _, status, said = contained(name, folder, "/AMD64/bin/bash", "/probe.sh", *HOST_FILES)
    assert status == 0, said
    return said.decode().splitlines()


@pytest.mark.parametrize("name", ["podman", "bwrap"])
def test_nothing_of_the_host_can_be_written(name: str, folder: Path) -> None:
    require(name)
    uid = folder.stat().st_uid
    before = [owned(device) for device in DEVICES]
    said = as_user(uid, lambda: probed(name, folder))
    assert [owned(device) for device in DEVICES] == before
    if isinstance(said, dict):
        pytest.skip(f"{name} does not work for user {uid}: {said['error']}")
    assert isinstance(said, list)
    assert [line for line in said if line.startswith("open ")] == []
    assert "probe works" in said
    # The list is about this host: most of the names are there.
    assert len(HOST_FILES) >= 30 and sum(map(os.path.exists, HOST_FILES)) >= 20
    status = dict(line.removeprefix("status ").split(":\t") for line in said if ":\t" in line)
    assert {status[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    # Whose it is on the host: nobody's, or the user's; and it is in no namespace of ours.
    outside = (folder / "root/made").stat()
    assert outside.st_uid == (UNUSED if uid == 0 else uid) and stat.S_IMODE(outside.st_mode) != 0
    links = {words[-3]: words[-1] for words in map(str.split, said) if "->" in words}
    for kind in ("user", "pid", "net", "ipc", "uts", "mnt", "cgroup"):
        if (place := Path("/proc/self/ns", kind)).exists():
            assert links[kind] != os.readlink(place), kind


KEY = b"user\0", b"a key of the host\0"
# Ends with 1 where it finds the key, else with 0: request_key(2) is 249 on amd64.
FINDS_KEY = elf(
    "amd64",
    # lea rdi, [type]; lea rsi, [description]; xor edx, edx; xor r10d, r10d; mov eax, 249; syscall
    bytes.fromhex("488d3d23000000 488d3521000000 31d2 4531d2 b8f9000000 0f05")
    # shr rax, 63; xor eax, 1; mov edi, eax; mov eax, 60 (exit); syscall
    + bytes.fromhex("48c1e83f 83f001 89c7 b83c000000 0f05")
    + b"".join(KEY),
)


def found_keys(name: str, folder: Path) -> list[int]:
    """What FINDS_KEY says outside, in that engine's container, and entered there by hand."""
    leave_session_keyring()
    libc = ctypes.CDLL(None)
    if libc.syscall(NUMBERS["x86_64"]["add_key"], *KEY, b"secret", 6, -3) == -1:  # the session's
        raise BadInput("no keys can be kept here")
    root = folder / "root"
    for place in ("dev", "proc", "sys", "tmp"):
        (root / place).mkdir(parents=True)
    (root / "finds").write_bytes(FINDS_KEY)
    (root / "finds").chmod(0o755)
    statuses = [subprocess.run([root / "finds"], check=False).returncode]
    engine, container, status, _ = contained(name, folder, "/finds")
    statuses.append(status)
    if os.access(sys.executable, os.X_OK):  # root's own Python is closed to a user that root plays
        by_hand = [*engine.enter(container), "/finds"]
        statuses.append(subprocess.run(by_hand, check=False).returncode)
    return statuses


@pytest.mark.parametrize("name", ["podman", "bwrap"])
def test_no_key_of_the_host_is_found(name: str, folder: Path) -> None:
    require(name)
    said = as_user(folder.stat().st_uid, lambda: found_keys(name, folder))
    if isinstance(said, dict):
        pytest.skip(f"{name} or keys do not work: {said['error']}")
    assert said in ([1, 0, 0], [1, 0])


@pytest.mark.root
@pytest.mark.parametrize("folder", ["user"], indirect=True)
def test_root_goes_on_with_the_run_of_a_user(folder: Path) -> None:
    """Then the root file system is the user's no more, as docs/handoff.md says."""
    name = require("bwrap")
    small, work = make(folder), folder / "work"
    for place in (folder, *folder.rglob("*")):
        os.chown(place, USER, USER, follow_symlinks=False)

    def begun() -> object:
        return go(small, work, name, until="seed").exit_code

    assert as_user(USER, begun) == 0
    assert (work / "root/init").stat().st_uid == USER
    done = go(small, work, name, resume=True)
    assert (done.exit_code, done.before, done.result) == (0, 2, "done")
    assert (work / "root/init").stat().st_uid == UNUSED


@pytest.mark.root
def test_the_probe_can_succeed_on_a_host_file(tmp_path: Path) -> None:
    """Opened for writing, not written: what root may do, and what the container keeps from it."""
    there = [name for name in HOST_FILES[:10] if os.path.exists(name)]
    for name in there:
        os.close(os.open(name, os.O_WRONLY | os.O_APPEND))
    assert len(there) >= 8


def test_an_ordinary_user_is_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: USER)
    assert container_ids() is None


@pytest.mark.parametrize(
    ("table", "last"),
    [("0 0 4294967295\n", UNUSED), ("0 1000 1\n1 100000 65536\n", 65536), ("0 1000 1\n", None)],
)
def test_roots_of_user_namespaces(
    monkeypatch: pytest.MonkeyPatch, table: str, last: int | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: table)
    if last is None:
        with pytest.raises(BadInput, match="alone in its user namespace"):
            container_ids()
    else:
        assert container_ids() == (last, last)


@pytest.mark.root
def test_what_is_given_away_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "root/folder").mkdir(parents=True)
    (tmp_path / "root/folder/program").touch(mode=0o755)
    (tmp_path / "root/folder/program").chmod(0o4755)
    (tmp_path / "host").touch()
    (tmp_path / "root/link").symlink_to(tmp_path / "host")
    give(tmp_path / "root", (UNUSED, UNUSED))
    found = (tmp_path / "root/folder/program").stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (UNUSED, 0o4755)
    assert (tmp_path / "root/link").lstat().st_uid == UNUSED
    assert (tmp_path / "host").stat().st_uid == 0


def test_the_copy_is_no_program_of_ours(tmp_path: Path) -> None:
    """A file that sets its user's id would set ours; it comes back with its mode."""
    root = tmp_path / "root"
    root.mkdir()
    (root / "program").touch()
    ids = container_ids()
    saved = SavedRoot(root, tmp_path / "saved", (), ids)
    give(root, ids)
    (root / "program").chmod(0o4755)
    saved.save()
    assert stat.S_IMODE((tmp_path / "saved/tree/program").stat().st_mode) == 0o600
    (root / "program").unlink()
    assert saved.restore() == 1
    found = (root / "program").stat()
    assert stat.S_IMODE(found.st_mode) == 0o4755
    assert found.st_uid == (ids[0] if ids else os.geteuid())
    assert saved.new_files() == []


def test_what_a_step_closed_is_no_riddle_to_a_user(folder: Path) -> None:
    """Folders and files without any permission are kept, brought back and removed by their user."""
    uid = folder.stat().st_uid

    def do() -> object:
        root = folder / "root"
        for path in ("closed/inner", "new"):
            (root / path).mkdir(parents=True)
        (root / "closed/inner/file").write_text("kept")
        (root / "closed/inner/file").chmod(0)
        (root / "closed/inner").chmod(0)
        (root / "closed").chmod(0o500)
        saved = SavedRoot(root, folder / "saved", (), container_ids())
        saved.save()
        saved.save()
        modes = [stat.S_IMODE((root / "closed").stat().st_mode), saved.restore(), saved.new_files()]
        (root / "closed").chmod(0o700)
        shutil.rmtree(root / "new")
        (root / "closed/inner").chmod(0o700)
        (root / "closed/inner/file").unlink()
        (root / "closed/more/in").mkdir(parents=True)
        for path in ("closed/more/in", "closed/more", "closed"):
            (root / path).chmod(0)
        changed = saved.restore()
        (root / "closed").chmod(0o700)
        (root / "closed/inner").chmod(0o700)
        place = root / "closed/inner/file"
        mode = stat.S_IMODE(place.stat().st_mode)
        place.chmod(0o600)
        return [*modes, changed, mode, place.read_text(), sorted(os.listdir(root / "closed"))]

    assert as_user(uid, do) == [0o500, 0, [], 6, 0, "kept", ["inner"]]
