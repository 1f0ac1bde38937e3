"""The ``bootstrap.cfg`` that a hand-off runs with: a chroot, no mirrors, checksums enforced.

Names and meaning are those of live-bootstrap's ``rootfs.py`` (create_configuration_file, with
--chroot and --external-sources) and ``steps/configurator``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bootstrap.core.errors import BadInput

ARCHITECTURES = {"x86": "x86", "amd64": "AMD64", "riscv64": "riscv64"}
"""Upstream's name of an architecture -> its folder in stage0-posix."""

_VALUE = re.compile(r"[A-Za-z0-9._/-]+")


def chroot_configuration(arch: str, changes: Iterable[str] = ()) -> dict[str, str]:
    """Names and values in the order they are written; ``changes`` are NAME=VALUE.

    Raises BadInput for a name that is none of them, or a value that is no plain word.
    """
    values = {
        "ARCH": arch,
        "ARCH_DIR": ARCHITECTURES[arch],
        "FORCE_TIMESTAMPS": "False",
        "CHROOT": "True",
        "UPDATE_CHECKSUMS": "False",
        "JOBS": "2",
        "SWAP_SIZE": "0",
        "FINAL_JOBS": "2",
        "INTERNAL_CI": "False",
        "INTERACTIVE": "False",
        "QEMU": "False",
        "BARE_METAL": "False",
        "DISK": "sda1",
        "KERNEL_BOOTSTRAP": "False",
        "BUILD_KERNELS": "False",
        "CONFIGURATOR": "False",
    }
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name in ("ARCH", "ARCH_DIR") or name not in values:
            names = ", ".join(name for name in values if not name.startswith("ARCH"))
            raise BadInput(f"--set {change}: give NAME=VALUE, with NAME one of {names}")
        if not _VALUE.fullmatch(value):
            raise BadInput(f"--set {change}: {value!r} is no plain word")
        values[name] = value
    return values
