"""What is known of a value: all, `(symbol, number)`, which stands for symbol + number; or nothing.

Symbols: none; `sp`, the first stack pointer; `word N`, what stood N words above it; `in`, what the
first open gave, and `out`, the second (1 to 2**31 - 1); `-out`, 2**32 - out.
"""

Value = tuple[str, int] | None
LOW = 0xFFFFFFFF


class Refused(Exception):
    """The certificate does not hold, or the checker cannot follow: never a proof."""


def const(number: int, mask: int) -> Value:
    """A number."""
    return "", number & mask


def number(value: Value, what: str) -> int:
    """The number that it is. Raises Refused."""
    if value is None or value[0]:
        raise Refused(f"{what} hangs on what has no value")
    return value[1]


def add(a: Value, b: Value, mask: int, sign: int = 1) -> Value:
    """a + b, or a - b with ``sign`` -1."""
    if a is None or b is None or b[0] or a[0] not in ("", "sp"):
        return None
    return a[0], (a[1] + sign * b[1]) & mask


def left(a: Value, by: int, mask: int) -> Value:
    """a << by."""
    return None if a is None or a[0] else ("", a[1] << by & mask)


def low(a: Value, mask: int, full: int) -> Value:
    """The low part of a register, whose bits are ``full``. `out` and `-out` fit into 32 bits."""
    if a is None or not a[0]:
        return a and ("", a[1] & mask)
    return a if mask == full or (mask == LOW and a[0] in ("out", "-out")) else None


def sign_of(a: Value, mask: int) -> bool | None:
    """Whether the top bit of ``mask`` is set; None: not known."""
    if a is None or a[0]:
        return {"out": False, "-out": True if mask == LOW else None}.get(a[0] if a else "")
    return a[1] > mask >> 1


def widened(a: Value, mask: int, full: int) -> Value:
    """A low part, with its sign above it."""
    sign = sign_of(a, mask)
    if a is None or sign is None or (sign and a[0]):
        return None
    return a[0], a[1] | (full - mask if sign else 0)


def is_zero(a: Value) -> bool | None:
    """None: not known."""
    return None if a is None or a[0] not in ("", "out", "-out") else a == ("", 0)
