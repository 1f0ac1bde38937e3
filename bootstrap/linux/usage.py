"""How much a guest may keep in files. A limit ends the run; the guest never sees ENOSPC."""

from dataclasses import dataclass

from bootstrap.core.errors import GuestFailed


@dataclass(frozen=True, slots=True)
class FsLimits:
    """Limits of one file system."""

    max_file: int = 1 << 30
    """Bytes in one file that the guest makes larger."""
    max_total: int = 2 << 30
    """Bytes of memory that all files which the guest made larger take together."""
    max_inodes: int = 100_000
    """Files, directories and links that the guest made and that still exist."""


class Usage:
    """Counts what the guest has made, against the limits."""

    __slots__ = ("inodes", "limits", "total")

    def __init__(self, limits: FsLimits) -> None:
        self.limits = limits
        self.total = 0
        self.inodes = 0

    def room_for(self, origin: bytes, needed: int, capacity: int, wanted: int) -> int:
        """Give a file of `capacity` counted bytes room for `needed`, better for `wanted`, bytes.

        Answers its new capacity, and counts it. Raises GuestFailed over a limit.
        """
        limits = self.limits
        if needed > limits.max_file:
            raise GuestFailed(
                f"limit: the guest's file {_text(origin)} would grow to {needed} bytes, "
                f"over the limit of {limits.max_file} (--limit file=BYTES raises it)"
            )
        granted = min(wanted, limits.max_file, limits.max_total - self.total + capacity)
        if granted < needed:
            raise GuestFailed(
                f"limit: with {needed} bytes in {_text(origin)}, the guest's files would need "
                f"more than {limits.max_total} bytes in all (--limit files_total=BYTES raises it)"
            )
        self.total += granted - capacity
        return granted

    def add_inode(self, origin: bytes) -> None:
        """Count one more. Raises GuestFailed over the limit."""
        if self.inodes >= self.limits.max_inodes:
            raise GuestFailed(
                f"limit: {_text(origin)} would be one more than the {self.limits.max_inodes} files "
                "and directories that a guest may make (--limit inodes=NUMBER raises it)"
            )
        self.inodes += 1


def _text(guest_path: bytes) -> str:
    return guest_path.decode("utf-8", "backslashreplace")
