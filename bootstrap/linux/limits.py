"""How much a guest may use. A limit ends the run and is named; it never changes what a guest sees.

So a run either is what it would be without limits, or fails with exit status 3. The defaults are
several times what the largest known bootstrap needs.
"""

from dataclasses import dataclass, fields, replace

from bootstrap.core.errors import BadInput, GuestFailed

_SUFFIX = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


@dataclass(frozen=True)
class Limits:
    """Bytes, counts and seconds; 0 means none, where a field says so."""

    memory: int = 1 << 30
    """Bytes one process may map."""
    memory_total: int = 2 << 30
    """Bytes all live processes together may map."""
    file: int = 1 << 30
    """Bytes in one file."""
    files_total: int = 2 << 30
    """Bytes in all files that guests wrote."""
    inodes: int = 100_000
    """Files and directories that guests made."""
    open_files: int = 1024
    """Open descriptors per process: EMFILE beyond, as under RLIMIT_NOFILE."""
    processes: int = 100_000
    """Processes over the whole run."""
    nesting: int = 64
    """Processes alive at once: the deepest chain of children."""
    instructions: int = 0
    """Instructions of one process, across execve; 0 is none. Exact, and slow (docs/guest.md)."""
    seconds: int = 3600
    """Host CPU seconds of one process, children not counted; 0 is none. A net for loops."""

    def with_options(self, options: list[str]) -> "Limits":
        """These limits with `NAME=VALUE` options applied; K, M and G are powers of 1024.

        Raises BadInput naming the option that is not of that form.
        """
        changes: dict[str, int] = {}
        known = [field.name for field in fields(self)]
        for option in options:
            name, sep, text = option.partition("=")
            name = name.replace("-", "_")
            factor = _SUFFIX.get(text[-1:].lower(), 1)
            digits = text[:-1] if factor > 1 else text
            if not sep or name not in known or not digits.isdecimal():
                raise BadInput(
                    f"--limit {option}: not NAME=NUMBER; the names are {', '.join(known)}"
                )
            changes[name] = int(digits) * factor
        return replace(self, **changes)


class MemoryMeter:
    """Counts the memory of all live processes together."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def add(self, size: int) -> None:
        """Count `size` more bytes (fewer, when negative). Raises GuestFailed over the limit."""
        if size > 0 and self.used + size > self.limit:
            raise GuestFailed(
                f"limit: all processes together asked for {self.used + size} bytes of memory, "
                f"over the limit of {self.limit} (--limit memory_total=BYTES raises it)"
            )
        self.used += size
