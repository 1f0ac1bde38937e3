"""Who made this machine's processor, and what system runs on it: what an attestation says of it.

A virtual machine says what its host lets it say.  No name of the machine, no user, no clock.
Whatever a policy counts is a name from a list here: who could choose it freely could be two.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

UNKNOWN = "unknown"
ENGINES = ("unicorn",)
"""The engines of this program, as a report has them."""
SYSTEMS = ("Linux", "Darwin", "FreeBSD", "NetBSD", "OpenBSD", "DragonFly", "Windows")
"""As uname(1) has them, and Python's platform.system()."""

_CPUINFO = Path("/proc/cpuinfo")
_OS_RELEASE = Path("/etc/os-release")

# What CPUID gives for leaf 0.  Linux, arch/x86/kernel/cpu/*.c: c_ident; and what else it is called.
_CPUID = {
    "GenuineIntel": ("Intel",),
    "AuthenticAMD": ("AMD",),
    "HygonGenuine": ("Hygon",),
    "CentaurHauls": ("Centaur", "VIA"),
    "Shanghai": ("Zhaoxin",),
    "GenuineTMx86": ("TransmetaCPU", "Transmeta"),
    "CyrixInstead": ("Cyrix",),
    "Geode by NSC": (),
    "Vortex86 SoC": (),
}
# Linux, arch/riscv/include/asm/vendorid_list.h.
_RISCV = {0x29: "Microchip", 0x31E: "Andes", 0x489: "SiFive", 0x5B7: "T-Head", 0x722: "MIPS"}
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
_VENDORS = {name: name for name in (*_CPUID, *_RISCV.values(), *_IMPLEMENTERS.values())}
_VENDORS |= {alias: name for name, aliases in _CPUID.items() for alias in aliases}


@dataclass(frozen=True)
class Host:
    """``cpu_vendor`` is one that `known_vendor` knows; ``unknown`` if unknown.

    ``said_by`` is ``observed``, ``observed-at-signing`` of a run that may have been elsewhere, or
    ``given`` when a person said it.
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


def known_vendor(name: str) -> str:
    """The one name of a processor's vendor: CPUID's (AuthenticAMD) or the maker's; or unknown."""
    return _VENDORS.get(name.strip(), UNKNOWN)


def known_system(os: str) -> str:
    """``Linux`` of ``Linux 6.1.0 (debian 12)``; unknown where that is none of `SYSTEMS`."""
    name = os.partition(" ")[0]
    return name if name in SYSTEMS else UNKNOWN


def cpu_vendor(cpuinfo: str, system: str, machine: str) -> str:
    """The vendor by the text of /proc/cpuinfo; unknown where there are several different ones."""
    found = set()
    for line in cpuinfo.splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "vendor_id":
            found.add(known_vendor(value))
        elif key in ("mvendorid", "CPU implementer"):
            found.add(_numbered(value, _RISCV if key == "mvendorid" else _IMPLEMENTERS))
    if not found and system == "Darwin" and machine == "arm64":
        found.add("Apple")
    return found.pop() if len(found) == 1 else UNKNOWN


def _numbered(value: str, names: Mapping[int, str]) -> str:
    try:
        return names.get(int(value, 16), UNKNOWN)
    except ValueError:
        return UNKNOWN


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
