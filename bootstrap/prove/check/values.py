"""What is known of a value: `(symbol, number, known)`.

With no symbol, those bits of `number` that `known` has; the others may be anything. With one, it is
symbol + number: `sp`, the first stack pointer; `word N`, what stood N words above it; `in`, what
the first open gave, and `out`, the second (1 to 2**31 - 1); `-out`, 2**32 - out. Every function
gives what holds for all values that its arguments allow.
"""

Value = tuple[str, int, int]
NOTHING: Value = ("", 0, 0)
LOW = 0xFFFFFFFF


class Refused(Exception):
    """The certificate does not hold, or the checker cannot follow: never a proof."""


def const(number: int, mask: int) -> Value:
    """A number that is known whole."""
    return "", number & mask, mask


def number(value: Value, mask: int, what: str) -> int:
    """The number, where all bits of ``mask`` are known. Raises Refused."""
    if value[0] or value[2] & mask != mask:
        raise Refused(f"{what} hangs on what has no value")
    return value[1] & mask


def add(a: Value, b: Value, mask: int, sign: int = 1) -> Value:
    """a + b, or a - b with ``sign`` -1: known up to the lowest bit that is not."""
    if a[0] or b[0]:
        whole = a[0] == "sp" and not b[0] and b[2] & mask == mask == a[2]
        return ("sp", (a[1] + sign * b[1]) & mask, mask) if whole else NOTHING
    both = a[2] & b[2] & mask
    low = (both ^ both + 1) >> 1 & mask
    return "", (a[1] + sign * b[1]) & low, low


def left(a: Value, by: int, mask: int) -> Value:
    """a << by."""
    return NOTHING if a[0] else ("", a[1] << by & mask, (a[2] << by | (1 << by) - 1) & mask)


def low(a: Value, mask: int) -> Value:
    """The low part. `out` and `-out` fit into 32 bits."""
    if a[0]:
        fits = a[2] & mask == a[2] or (mask == LOW and a[0] in ("out", "-out"))
        return (a[0], a[1], mask) if fits else NOTHING
    return "", a[1] & mask, a[2] & mask


def sign_of(a: Value, mask: int) -> bool | None:
    """Whether the top bit of ``mask`` is set; None: not known."""
    if a[0]:
        return {"out": False, "-out": True if mask == LOW else None}.get(a[0])
    top = mask ^ mask >> 1
    return bool(a[1] & top) if a[2] & top else None


def widened(a: Value, mask: int, full: int, signed: bool = False) -> Value:
    """A low part with zeros, or its sign, above it."""
    sign = sign_of(a, mask) if signed else False
    if sign is None or (sign and a[0]):
        return NOTHING
    above = full & ~mask
    return (a[0], a[1], full) if a[0] else ("", a[1] | above * sign, a[2] | above)


def is_zero(a: Value, mask: int) -> bool | None:
    """None: not known."""
    if a[0]:
        return False if a[0] in ("out", "-out") else None
    return False if a[1] & mask else True if a[2] & mask == mask else None


def within(a: Value, b: Value) -> bool:
    """Whether all that ``b`` says is so of ``a``."""
    if b[0]:
        return a == b
    return not b[2] or (not a[0] and not b[2] & ~a[2] and not (a[1] ^ b[1]) & b[2])
