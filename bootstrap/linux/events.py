"""What happens in a run, beyond the core's events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bootstrap.core import cpu as core
from bootstrap.core.events import Event
from bootstrap.core.paths import PathBase
from bootstrap.core.syscalls import BoundCall
from bootstrap.linux.hostfolder import LowerEntry
from bootstrap.linux.memory import AddressSpace


@dataclass(frozen=True, slots=True)
class Fault(core.Fault):
    """The core's, with what a report says of it."""

    registers: tuple[tuple[str, int], ...] = ()
    code: bytes = b""
    """Up to 16 bytes at pc, as far as they are readable."""
    abi: str = ""
    """Arch.name, for whoever disassembles `code`."""


@dataclass(frozen=True, slots=True)
class Listed(Event):
    """A folder of the lower tree was looked into: this is all that is in it."""

    path: bytes
    listing: Mapping[bytes, LowerEntry]


@dataclass(frozen=True, slots=True)
class Read(Event):
    """A file of the lower tree was read whole."""

    path: bytes
    content: bytes


@dataclass(frozen=True, slots=True)
class Renamed(Event):
    """rename(2) has succeeded; each name that changed is an event of its own, after this one."""

    old_base: PathBase
    old: bytes
    """As the guest wrote it, as of the new path."""
    new_base: PathBase
    new: bytes


@dataclass(frozen=True, slots=True)
class CallBegan(Event):
    """A system call begins; only where a machine was asked for each call."""

    call: BoundCall
    args: Sequence[int]
    memory: AddressSpace


@dataclass(frozen=True, slots=True)
class CallEnded(CallBegan):
    """It has ended: with a result, -errno, or None when it does not return."""

    result: int | None


@dataclass(frozen=True, slots=True)
class Tick(Event):
    """About five times a second of host time; changes nothing in the guest."""
