"""Who made this machine's processor, and what system runs on it: what an attestation says of it.

A virtual machine says what its host lets it say.  No name of the machine, no user, no clock.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"

_CPUINFO = Path("/proc/cpuinfo")
_OS_RELEASE = Path("/etc/os-release")

# Linux, arch/arm64/include/asm/cputype.h: ARM_CPU_IMP_*.
_IMPLEMENTERS = {
    0x41: "ARM",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x51: "Qualcomm",
    0x61: "Apple",
    0x6D: "Microsoft",
    0xC0: "Ampere",
}


@dataclass(frozen=True)
class Host:
    """``cpu_vendor`` as CPUID gives it (AuthenticAMD) or a maker's name; ``unknown`` if unknown.

    ``said_by`` is ``observed``, or ``given`` when a person said it.
    """

    cpu_vendor: str
    machine: str
    os: str
    said_by: str = "observed"


def this_host(read: Callable[[Path], str] | None = None) -> Host:
    """What can be seen of the machine that this runs on."""
    text = read or _text
    vendor = cpu_vendor(text(_CPUINFO), platform.system(), platform.machine())
    return Host(vendor, platform.machine() or UNKNOWN, _system(text))


def cpu_vendor(cpuinfo: str, system: str, machine: str) -> str:
    """The vendor by the text of /proc/cpuinfo; several different ones are joined by ``+``."""
    found = []
    for line in cpuinfo.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key in ("vendor_id", "mvendorid") and value:
            found.append(value)
        elif key == "CPU implementer":
            found.append(_implementer(value))
    if not found and system == "Darwin" and machine == "arm64":
        found.append("Apple")
    return "+".join(sorted(set(found))) or UNKNOWN


def _implementer(value: str) -> str:
    try:
        number = int(value, 16)
    except ValueError:
        return UNKNOWN
    return _IMPLEMENTERS.get(number, f"ARM implementer {number:#x}")


def _system(text: Callable[[Path], str]) -> str:
    """As in ``Linux 6.1.0 (debian 12)``."""
    plain = " ".join(filter(None, (platform.system(), platform.release()))) or UNKNOWN
    rows = {
        key: value.strip().strip("\"'")
        for key, _, value in (line.partition("=") for line in text(_OS_RELEASE).splitlines())
    }
    distribution = " ".join(filter(None, (rows.get("ID", ""), rows.get("VERSION_ID", ""))))
    return f"{plain} ({distribution})" if distribution else plain


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
