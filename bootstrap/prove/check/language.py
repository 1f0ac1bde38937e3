"""hex0, one byte of input at a time. Its classes: (in a comment?, the digit that waits, or None).

Two things differ between seeds, and a certificate names them: whether `G` and `g` count as a digit
of value 16, and whether a carriage return ends a comment, as a newline does.
"""

Class = tuple[bool, int | None]
START: Class = (False, None)


def step(now: Class, byte: int, with_g: bool, cr_ends: bool) -> tuple[Class, bytes]:
    """The next class, and what is written."""
    comment, held = now
    if comment:
        return (not (byte == 0x0A or (byte == 0x0D and cr_ends)), held), b""
    if byte in b"#;":
        return (True, held), b""
    digit = b"0123456789abcdefg".find(bytes((byte,)).lower())
    if digit < 0 or (digit == 16 and not with_g):
        return now, b""
    if held is None:
        return (False, digit % 16), b""  # 16 x 16 is 0 in a byte, so a first 16 is as good as 0
    return START, bytes(((held * 16 + digit) % 256,))
