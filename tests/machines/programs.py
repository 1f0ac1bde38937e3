"""Small UEFI programs of our own, in machine code."""

import struct

from bootstrap.machines import uefi

TEXT = 0x1000
_SUB, _ADD_RET = bytes.fromhex("4883ec28"), bytes.fromhex("4883c428 c3")
_BOOT = bytes.fromhex("488b4260")
"""mov rax, [rdx+0x60]: the boot services."""
RUNTIME, KEYS = bytes.fromhex("488b4258"), bytes.fromhex("488b4230")
"""The runtime services; the protocol of the keyboard."""


def pe(code: bytes, machine: int = 0x8664, magic: int = 0x20B, size: int = 0x3000) -> bytes:
    """A PE32+ file with one section, aligned to a byte as stage0's seeds are."""
    start = 0x170
    header = bytearray(start)
    header[:2] = b"MZ"
    struct.pack_into("<I", header, 0x3C, 0x40)
    struct.pack_into("<4sHHIIIHH", header, 0x40, b"PE\0\0", machine, 1, 0, 0, 0, 0xF0, 0)
    struct.pack_into("<HHIIIII", header, 0x58, magic, 0, 0, 0, 0, TEXT, 0)
    struct.pack_into("<QII", header, 0x70, 0, 1, 1)
    struct.pack_into("<II", header, 0x90, size, start)
    struct.pack_into("<H", header, 0x9C, 10)
    struct.pack_into("<IIII", header, 0x150, len(code), TEXT, len(code), start)
    return bytes(header) + code


def _linked(code: bytes, **data: bytes) -> bytes:
    """`code`, in which each name of four letters becomes the distance to its data, at the end."""
    whole = code
    for name, value in data.items():
        at = code.index(name.encode())
        whole = whole[:at] + struct.pack("<i", len(whole) - at - 4) + whole[at + 4 :] + value
    return whole


def _text(text: str) -> bytes:
    return (text + "\0").encode("utf-16-le")


def prints(text: str, status: int = 0) -> bytes:
    """Prints a text on the console, and ends with a status."""
    body = bytes.fromhex("488b4a40 488d15") + b"TEXT" + bytes.fromhex("ff5108")
    body += b"\x48\xb8" + struct.pack("<Q", status) + _ADD_RET
    return pe(_linked(_SUB + body, TEXT=_text(text)))


def writes(name: str, data: bytes) -> bytes:
    """Writes a new file."""
    code = bytes.fromhex("53 4883ec50 4889d3 488b4360 488d15") + b"IMAG"
    code += bytes.fromhex("4c8d442440 ff9098000000")  # HandleProtocol: the loaded image
    code += bytes.fromhex("488b442440 488b4818 488b4360 488d15") + b"DISK"
    code += bytes.fromhex("4c8d442440 ff9098000000")  # HandleProtocol: its device's file system
    code += bytes.fromhex("488b4c2440 488d542440 ff5108")  # OpenVolume
    code += bytes.fromhex("488b4c2440 488d542448 4c8d05") + b"NAME"
    code += bytes.fromhex("49b90300000000000080 48c744242000000000 ff5108")  # Open: create
    code += bytes.fromhex("488b4c2448 48c7442440") + struct.pack("<I", len(data))
    code += bytes.fromhex("488d542440 4c8d05") + b"DATA" + bytes.fromhex("ff5128")  # Write
    code += bytes.fromhex("4883c450 5b 31c0 c3")
    image, disk = uefi._LOADED_IMAGE, uefi._FILE_SYSTEM
    return pe(_linked(code, IMAG=image, DISK=disk, NAME=_text(name), DATA=data))


def calls(offset: int, rcx: int = 0, table: bytes = _BOOT) -> bytes:
    """Calls the service at an offset with three arguments of no use, and ends with its status."""
    body = table + b"\x48\xb9" + struct.pack("<Q", rcx) + bytes.fromhex("31d2 4d31c0 ff90")
    return pe(_SUB + body + struct.pack("<I", offset) + _ADD_RET)


def exits(status: int) -> bytes:
    """Ends by the boot service Exit."""
    body = _BOOT + b"\xba" + struct.pack("<I", status) + bytes.fromhex("ff90d8000000") + b"\xf4"
    return pe(_SUB + body)


def forever() -> bytes:
    """Never ends."""
    return pe(b"\xeb\xfe")


def jumps(to: int) -> bytes:
    """Goes to an address."""
    return pe(b"\x48\xb8" + struct.pack("<Q", to) + b"\xff\xe0")
