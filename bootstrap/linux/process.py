"""What this room's handlers get and return beyond the core's."""

from collections.abc import Callable
from dataclasses import dataclass

from bootstrap.core import process as core
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.memory import VirtualMemory


class LinuxProcess(core.Process):
    """The core's, of a machine that has these files and this memory."""

    __slots__ = ()

    memory: VirtualMemory
    files: OverlayFileSystem


@dataclass(frozen=True, slots=True)
class OnRegisters(core.Control):
    """Something that is done where the CPU stands still."""

    change: Callable[[dict[str, bytes]], int]
    """Receives all registers as the CPU's `save` names them, and may set some; returns the call's
    result, or raises LinuxError."""
