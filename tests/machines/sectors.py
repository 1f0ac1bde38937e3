"""Small boot sectors of our own, in machine code, and QEMU to hold our PC against."""

import shutil
import struct
import subprocess
from pathlib import Path

QEMU = shutil.which("qemu-system-i386")
WHY_NOT = "qemu-system-i386 (Debian: qemu-system-x86) is not installed" if QEMU is None else ""
_BANNER = b"Booting from Hard Disk...\r\n"

START = bytes.fromhex("31c0 8ed8 8ec0 8ed0 bc007c fc")
"""xor ax, ax; ds, es and ss are 0; mov sp, 0x7c00; cld."""
REBOOT = bytes.fromhex("b8200e bb0700 cd10 b8200e cd10 eaf0ff00f0")
"""Two spaces, for QEMU's firmware keeps the last character to itself; jmp far f000:fff0."""
PRINT = bytes.fromhex("ac 84c0 7409 b40e bb0700 cd10 ebf2")
"""lodsb; until 0: int 10h AH=0Eh prints it."""


def sector(code: bytes) -> bytes:
    """A boot sector."""
    assert len(code) <= 510
    return code.ljust(510, b"\0") + b"\x55\xaa"


def mov_si(address: int) -> bytes:
    return b"\xbe" + struct.pack("<H", address)


def prints(text: bytes) -> bytes:
    """Prints a text, and reboots."""
    code = START + mov_si(0) + PRINT + REBOOT
    at = 0x7C00 + len(code)
    return sector(START + mov_si(at) + PRINT + REBOOT + text + b"\0")


def packet(count: int, address: int, first: int) -> bytes:
    """A disk address packet."""
    return struct.pack("<BBHHHQ", 16, 0, count, address, 0, first)


def disk() -> bytes:
    """Reads sector 1 by its number and sector 2 by cylinder, head and sector, prints what they
    begin with, writes the first over sector 3, and asks for sectors that are not there."""

    def code(packets: int, bad: int) -> bytes:
        parts = [
            START,
            mov_si(packets), b"\xb4\x42\xcd\x13",  # read sector 1 to 0x8000
            bytes.fromhex("b80102 b90300 ba8000 bb0082 cd13"),  # C 0, H 0, S 3 to 0x8200
            mov_si(packets + 16), bytes.fromhex("b80043 cd13"),  # write it to sector 3
            mov_si(0x8000), PRINT, mov_si(0x8200), PRINT,
            mov_si(packets + 32), bytes.fromhex("b442 cd13"),
            # jnc over the next two; the call prints, below
            b"\x73\x06", mov_si(bad), b"\xe8" + struct.pack("<H", len(REBOOT)),
            REBOOT, PRINT, b"\xc3",
        ]  # fmt: skip
        return b"".join(parts)

    size = len(code(0, 0))
    packets = 0x7C00 + size
    body = code(packets, packets + 48)
    data = packet(1, 0x8000, 1) + packet(1, 0x8000, 3) + packet(1, 0x8000, 1 << 40)
    image = sector(body + data + b"beyond\r\n\0")
    image += b"first\r\n\0".ljust(512, b"1") + b"second\r\n\0".ljust(512, b"2")
    return image.ljust(1 << 20, b"\0")


def modes(in32: bytes = b"", in16: bytes = b"") -> bytes:
    """To protected mode, twice through an interrupt gate of its own, back to real mode, printing
    what the handler stored. `in32` and `in16` are for protected mode's segments of such code."""
    base = 0x7C00
    gdt = bytes(8) + bytes.fromhex(
        "ffff0000009acf00 ffff00000092cf00 ffff0000009a0000 ffff000000920000"
    )

    def code(at: dict[str, int]) -> tuple[bytes, dict[str, int]]:
        parts: list[bytes] = []
        found: dict[str, int] = {}

        def put(data: bytes, name: str = "") -> None:
            if name:
                found[name] = base + sum(map(len, parts))
            parts.append(data)

        put(START + b"\xfa\x0f\x01\x16" + struct.pack("<H", at["gdtr"]))  # cli; lgdt
        put(bytes.fromhex("0f20c0 0c01 0f22c0"))  # cr0.PE = 1
        put(b"\xea" + struct.pack("<HH", at["pm"], 8))
        put(bytes.fromhex("b810000000 8ed8 8ec0 8ed0 bc00700000"), "pm")
        put(b"\xc7\x05" + struct.pack("<II", 0x680, at["handler"] | 8 << 16))
        put(b"\xc7\x05" + struct.pack("<II", 0x684, 0x8E00))  # an interrupt gate, present
        put(b"\x0f\x01\x1d" + struct.pack("<I", at["idtr"]))  # lidt
        put(bytes.fromhex("bf00900000 b050 cd30 b04d cd30"))  # edi = 0x9000; 'P', 'M'
        put(in32 + b"\xea" + struct.pack("<IH", at["pm16"], 0x18))
        put(bytes.fromhex("aa cf"), "handler")  # stosb; iret
        put(in16 + bytes.fromhex("b82000 8ed8 8ec0 8ed0 0f20c0 24fe 0f22c0"), "pm16")
        put(b"\xea" + struct.pack("<HH", at["rm"], 0))
        put(START + b"\x0f\x01\x1e" + struct.pack("<H", at["ivtr"]), "rm")
        put(bytes.fromhex("c606029000") + mov_si(0x9000) + PRINT + REBOOT)
        put(gdt, "gdt")
        put(struct.pack("<HI", len(gdt) - 1, at["gdt"]), "gdtr")
        put(struct.pack("<HI", 0x7FF, 0x500), "idtr")
        put(struct.pack("<HI", 0x3FF, 0), "ivtr")
        return b"".join(parts), found

    names = "gdtr pm handler idtr pm16 rm ivtr gdt".split()
    _, at = code(dict.fromkeys(names, base))
    return sector(code(at)[0])


def echo() -> bytes:
    """Prints each key until `q`, and says whether there is one more."""
    loop = bytes.fromhex("b400 cd16 3c71 7409 b40e bb0700 cd10 ebef")
    more = bytes.fromhex("b401 cd16 b04e 7402 b059 b40e bb0700 cd10")  # N or Y
    return sector(START + loop + more + REBOOT)


def in_qemu(folder: Path, image: bytes) -> tuple[bytes, bytes]:
    """What QEMU's PC prints on the console, and the disk after it."""
    assert QEMU is not None
    file = folder / "qemu.img"
    file.write_bytes(image.ljust(1 << 20, b"\0"))
    command = [
        QEMU, "-m", "64", "-nographic", "-no-reboot", "-net", "none", "-monitor", "none",
        "-drive", f"file={file},format=raw,if=ide",
    ]  # fmt: skip
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    assert _BANNER in done.stdout, done
    return done.stdout.split(_BANNER, 1)[1].rstrip(b" "), file.read_bytes()
