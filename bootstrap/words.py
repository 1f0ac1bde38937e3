"""Small wording helpers for whatever is said to people: numbers, and lists of names."""

from collections.abc import Iterable

SHOWN = 5


def count(number: int, noun: str, one: str = "", many: str = "") -> str:
    """`1 artifact`, `2 artifacts`, `3 processes`; with a verb: `1 file is`, `2 files are`."""
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    verb = one if number == 1 else many
    return f"{number} {noun}{ending} {verb}".rstrip()


def some(names: Iterable[str], shown: int = SHOWN) -> str:
    """The first few names, and how many more there are."""
    everything = list(names)
    first = ", ".join(everything[:shown])
    more = len(everything) - shown
    return f"{first} and {more} more" if more > 0 else first


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def wait_status(status: int) -> str:
    """A wait status (wait(2)) in words."""
    if status & 0x7F:
        return f"was ended by signal {status & 0x7F}"
    return f"ended with exit status {status >> 8}"
