"""bubblewrap by its command line: where neither podman nor docker is there.

Its /proc is masked as podman masks one (containers/common, pkg/config: masked and read-only paths).
"""

from __future__ import annotations

import os
import re
import signal

from bootstrap.core.errors import BadInput
from bootstrap.handoff.running.box import HOSTNAME, Box, Started
from bootstrap.handoff.running.engines import is_folder, popen, version_of
from bootstrap.handoff.running.keyring import leave_session_keyring
from bootstrap.handoff.running.limits import Limits, apply_to_this_process
from bootstrap.handoff.running.owner import box_ids, give, in_reach
from bootstrap.host import own_command

_HIDDEN = (
    *("acpi", "asound", "kcore", "keys", "latency_stats", "sched_debug", "scsi"),
    *("timer_list", "timer_stats"),
)
_READ_ONLY = ("bus", "fs", "irq", "pressure", "sys", "sysrq-trigger")


class Bubblewrap:
    """bubblewrap: a user namespace of its own, in which the user is 0, and no other can be made."""

    name = "bwrap"
    leaves = False

    def __init__(self, program: str) -> None:
        self.program = program
        self.version = version_of(program, (0, 8))
        self.notes: tuple[str, ...] = ()

    def prepare(self, box: Box) -> list[str]:
        return self._command(box)[:-1]

    def start(self, box: Box, command: list[str]) -> Started:
        told, tells = os.pipe()
        waits, go = os.pipe()
        try:
            # It writes the id of the first process inside, which waits until that is read: so the
            # descriptor is that process's, however short it lives.
            process = popen(
                [*command, "--info-fd", str(tells), "--block-fd", str(waits), "--", *box.argv],
                pass_fds=(tells, waits),
                preexec_fn=lambda: _before(box.limits),
            )
            os.close(tells)
            tells = -1
            try:
                first = _first_process(told)
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
            for fd in (told, tells, waits, go):
                if fd != -1:
                    os.close(fd)

    def enter(self, box: Box) -> list[str]:
        without = own_command("bootstrap.handoff.running.keyring", "run_without")
        return [*without, *self._command(box)]

    def _command(self, box: Box) -> list[str]:
        ids = box_ids()
        give(box.root, ids)
        reach, root = in_reach(box.root, ids)
        if ids is not None:
            reach += ["setpriv", f"--reuid={ids[0]}", f"--regid={ids[1]}", "--clear-groups", "--"]
        environment = {"HOME": "/", "HOSTNAME": HOSTNAME, **box.environment}
        return [
            *reach,
            self.program,
            "--unshare-all",
            "--unshare-user",
            "--uid",
            "0",
            "--gid",
            "0",
            "--disable-userns",
            "--die-with-parent",
            "--new-session",
            "--cap-drop",
            "ALL",
            "--hostname",
            HOSTNAME,
            "--clearenv",
            *(word for item in environment.items() for word in ("--setenv", *item)),
            "--bind",
            str(root),
            "/",
            "--dev",
            "/dev",
            "--tmpfs",
            "/dev/shm",
            "--proc",
            "/proc",
            *_masks(),
            # Steps ask whether /sys is a mount, and look at nothing in it.
            "--tmpfs",
            "/sys",
            *(["--bind", str(root / "tmp"), "/tmp"] if is_folder(box.root / "tmp") else []),
            "--chdir",
            "/",
            "--",
        ]

    def kill(self, box: Box) -> None:
        """It dies with the process that started it, and with it all that is inside."""

    def finish(self, box: Box) -> None:
        """The root is the folder itself."""


def _before(limits: Limits) -> None:
    leave_session_keyring()
    apply_to_this_process(limits)


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


def _first_process(told: int) -> int | None:
    """What ``--info-fd`` says of the container's first process; None when nothing is said."""
    text = b""
    while b"}" not in text:
        data = os.read(told, 1 << 12)
        if not data:
            return None
        text += data
    match = re.search(rb'"child-pid": *([0-9]+)', text)
    return None if match is None else int(match[1])
