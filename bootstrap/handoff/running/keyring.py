"""Leaves the caller's keys behind, which bubblewrap passes on to what it starts.

The session keyring (session-keyring(7)) goes from process to process, also into other namespaces:
what possesses it reads, changes and throws away the keys in it.  podman and docker give each
container another.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys

from bootstrap.linux.numbers import NUMBERS

_JOIN_SESSION_KEYRING = 1
"""KEYCTL_JOIN_SESSION_KEYRING of linux/keyctl.h; without a name, a new one."""
_ABIS = {
    ("x86_64", 8): "x86_64",
    ("x86_64", 4): "i386",
    ("i686", 4): "i386",
    ("aarch64", 8): "aarch64",
    ("riscv64", 8): "riscv64",
}
"""(machine, bytes of a pointer) -> how this process calls the kernel."""


def leave_session_keyring() -> None:
    """Go on with a new session keyring, which is empty.  Raises OSError where that is not possible.

    Without keys in the kernel (ENOSYS), or where a container's filter lets nobody use them (EPERM),
    there are none to leave.
    """
    machine, width = os.uname().machine, struct.calcsize("P")
    abi = _ABIS.get((machine, width))
    if abi is None:
        raise OSError(errno.EOPNOTSUPP, f"no keyctl is known for {machine}")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(NUMBERS[abi]["keyctl"], _JOIN_SESSION_KEYRING, None) == -1:
        cause = ctypes.get_errno()
        if cause not in (errno.ENOSYS, errno.EPERM):
            raise OSError(cause, os.strerror(cause))


def run_without() -> None:
    """Become the command line in sys.argv[1:]."""
    leave_session_keyring()
    os.execvp(sys.argv[1], sys.argv[1:])
