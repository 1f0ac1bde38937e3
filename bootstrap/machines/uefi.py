"""UEFI firmware for one program at a time: PE32+ images, memory, a file system, a console.

It has the services that stage0's UEFI seeds and M2libc use; each other stops the machine with its
name. There is no clock and no network. A call goes to an address of its own, with nothing but a
`ret`: a hook there serves the call first.

Sources: UEFI Specification 2.10: 4.3 (system table), 4.4 and chapter 7 (boot services), 4.5 and 8.2
(runtime services, variables), 9.1 (loaded image), 12.3 and 12.4 (text input and output), 13.4 and
13.5 (file systems and files), appendix D (status codes). The calling convention is Microsoft's for
x64: RCX, RDX, R8, R9, then the stack above 32 bytes.
"""

import ctypes
import struct
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from unicorn import unicorn_const as uc

from bootstrap.core.errors import BadInput, GuestFailed, printable
from bootstrap.machines.emulation import PAGE, Registers, X86Machine, add_hook

SUCCESS = 0
_ERROR = 1 << 63
INVALID, UNSUPPORTED, TOO_SMALL, DEVICE_ERROR, NO_MEMORY, NOT_FOUND, DENIED = (
    _ERROR | code for code in (2, 3, 5, 7, 9, 14, 15)
)
_NOT_DELETED = 2
"""EFI_WARN_DELETE_FAILURE."""
STATUS_NAMES = {
    _ERROR | code: name
    for code, name in enumerate(
        "load error,invalid parameter,unsupported,bad buffer size,buffer too small,not ready,"
        "device error,write protected,out of resources,volume corrupted,volume full,no media,"
        "media changed,not found,access denied".split(","),
        start=1,
    )
}
"""Appendix D."""
_LOADED_IMAGE = uuid.UUID("5b1b31a1-9562-11d2-8e3f-00a0c969723b").bytes_le
_FILE_SYSTEM = uuid.UUID("964e5b22-6459-11d2-8e39-00a0c969723b").bytes_le
_FILE_INFO = uuid.UUID("09576e92-6d3f-11d2-8e39-00a0c969723b").bytes_le
_BOOT_SERVICES = (
    "RaiseTPL RestoreTPL AllocatePages FreePages GetMemoryMap AllocatePool FreePool CreateEvent "
    "SetTimer WaitForEvent SignalEvent CloseEvent CheckEvent InstallProtocolInterface "
    "ReinstallProtocolInterface UninstallProtocolInterface HandleProtocol Reserved "
    "RegisterProtocolNotify LocateHandle LocateDevicePath InstallConfigurationTable LoadImage "
    "StartImage Exit UnloadImage ExitBootServices GetNextMonotonicCount Stall SetWatchdogTimer "
    "ConnectController DisconnectController OpenProtocol CloseProtocol OpenProtocolInformation "
    "ProtocolsPerHandle LocateHandleBuffer LocateProtocol InstallMultipleProtocolInterfaces "
    "UninstallMultipleProtocolInterfaces CalculateCrc32 CopyMem SetMem CreateEventEx"
).split()
"""EFI_BOOT_SERVICES, in its order, after a header of 24 bytes."""
_RUNTIME_SERVICES = (
    "GetTime SetTime GetWakeupTime SetWakeupTime SetVirtualAddressMap ConvertPointer GetVariable "
    "GetNextVariableName SetVariable GetNextHighMonotonicCount ResetSystem UpdateCapsule "
    "QueryCapsuleCapabilities QueryVariableInfo"
).split()
"""EFI_RUNTIME_SERVICES, after such a header too."""
_FILE = "Open Close Delete Read Write GetPosition SetPosition GetInfo SetInfo Flush".split()
"""EFI_FILE_PROTOCOL, after the revision."""
_TEXT = (
    "Reset OutputString TestString QueryMode SetMode SetAttribute ClearScreen SetCursorPosition "
    "EnableCursor"
).split()
"""EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL."""
_KEYS = "Reset ReadKeyStroke WaitForKey".split()
"""EFI_SIMPLE_TEXT_INPUT_PROTOCOL."""
_CREATE, _WRITE = 1 << 63, 2
"""Open modes of a file."""
_BOOT_ACCESS = 2
"""EFI_VARIABLE_BOOTSERVICE_ACCESS, alone: a variable that is gone after a reset."""
_FIXED = 1
"""IMAGE_FILE_RELOCS_STRIPPED."""
_MOST_VARIABLES = 1 << 20
"""Bytes of all variables."""
_DIRECTORY = 0x10
"""EFI_FILE_DIRECTORY, an attribute."""
_Handler = Callable[..., int | None]
"""Serves a call: its first six arguments to its status; None, if it set where it goes on."""
_INFO = struct.Struct("<3Q48xQ")
"""EFI_FILE_INFO but for the name after it: its size, the file's, that on the disk, attributes."""
_TRAPS = 0x1000
"""Where the services are called: one address each, up to the end of the page."""
_TABLES, _HEAP = 0x2000, 0x10000
_STACK = 1 << 20
_RET = b"\xc3"
_CALLED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_void_p)
"""uc_cb_hookcode_t of unicorn.h."""
_IN_ONE_BLOCK = 8192
"""Bytes of code that the engine translates at once are fewer."""


@dataclass(frozen=True, slots=True)
class UefiLimits:
    """Most that a guest may use; 0 seconds is none."""

    memory: int = 256 << 20
    """Bytes of RAM."""
    files: int = 256 << 20
    """Bytes of all files together."""
    seconds: int = 3600
    """Host CPU seconds."""


@dataclass
class _UefiFile:
    """An open file or folder, whose protocol stands at an address of its own."""

    path: str
    is_folder: bool
    writable: bool
    offset: int = 0


@dataclass
class _LoadedImage:
    """A loaded program: its entry and, while it runs, its caller's stack."""

    base: int
    entry: int
    caller_rsp: int | None = None


@dataclass
class UefiVolume:
    """The files that a guest sees, by path (`/`-separated, from the root), and its folders."""

    files: dict[str, bytearray]
    folders: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, files: Mapping[str, bytes], folders: frozenset[str]) -> "UefiVolume":
        return cls({path: bytearray(data) for path, data in files.items()}, set(folders) | {""})

    def find(self, path: str) -> str | None:
        """The name as it is there: names differ by more than their case (UEFI 13.3, FAT)."""
        wanted = path.casefold()
        if path in self.files or path in self.folders:
            return path
        there = (name for name in (*self.files, *self.folders) if name.casefold() == wanted)
        return next(there, None)


def _nothing(*_: int) -> int:
    """A service that has nothing to do here."""
    return SUCCESS


class _NotThere(Exception):
    """A pointer to memory that is not there."""


class Uefi(X86Machine):
    """Runs one program, and those that it loads, on a volume. `console` gets what is printed."""

    def __init__(
        self,
        volume: UefiVolume,
        console: Callable[[str], object],
        limits: UefiLimits = UefiLimits(),
    ) -> None:
        super().__init__(uc.UC_MODE_64, "it", "rip", limits.memory, _TRAPS)
        self.volume = volume
        self.limits = limits
        self._console = console
        self._status: int | None = None
        self._size = sum(len(path) + len(data) for path, data in volume.files.items())
        """Of the files, with their names."""
        self._files: dict[int, _UefiFile] = {}
        self._images: dict[int, _LoadedImage] = {}
        """By handle, which is also the address of the loaded-image protocol."""
        self._running: list[int] = []
        self._pools: dict[int, int] = {}
        self._free: dict[int, list[int]] = {}
        self._variables: dict[tuple[bytes, bytes], bytes] = {}
        """By vendor and name."""
        self._next = _HEAP
        self._traps: list[tuple[str, _Handler | None]] = []
        self._arguments = Registers(self.uc, "rsp", "rcx", "rdx", "r8", "r9")
        self._result = Registers(self.uc, "rax")
        add_hook(self.uc, uc.UC_HOOK_TLB_FILL, self._filled)
        self._stop_between_blocks()
        self._write(_TRAPS, _RET * (_TABLES - _TRAPS))
        self._make_tables()
        self._called = _CALLED(lambda _uc, at, _size, _: self._serve(at))
        add_hook(self.uc, uc.UC_HOOK_CODE, self._called, at=(_TRAPS, _TABLES - 1))

    # Tables.

    def _make_tables(self) -> None:
        """System table, boot services and the protocols, one after the other."""
        boot, runtime, out, keys = (_TABLES + 0x200 * number for number in range(4))
        self._system, self._device, self._fs = keys + 0x200, keys + 0x400, keys + 0x600
        self._file_table = keys + 0x800
        self._table(boot + 24, _BOOT_SERVICES, {
            "AllocatePages": self._allocate_pages, "FreePages": self._free_pages,
            "AllocatePool": self._allocate_pool, "FreePool": self._free_pool,
            "HandleProtocol": self._handle_protocol, "OpenProtocol": self._handle_protocol,
            "CloseProtocol": _nothing, "LoadImage": self._load_image,
            "StartImage": self._start_image, "Exit": self._exit,
            "GetNextMonotonicCount": self._monotonic_count, "SetWatchdogTimer": _nothing,
        })  # fmt: skip
        self._table(out, _TEXT, {"OutputString": self._output_string})
        self._table(keys, _KEYS, {})
        self._table(runtime + 24, _RUNTIME_SERVICES, {
            "GetVariable": self._get_variable, "SetVariable": self._set_variable,
            "GetNextVariableName": self._next_variable,
        })  # fmt: skip
        self._put(self._system + 24, 0, 0, keys, keys, out, out, out, out, runtime, boot)
        self._put(self._fs, 1 << 16)
        self._table(self._fs + 8, ["OpenVolume"], {"OpenVolume": self._open_volume})
        self._put(self._file_table, 1 << 16)
        self._table(self._file_table + 8, _FILE, {
            "Open": self._of_file(self._open), "Close": self._close, "Delete": self._delete,
            "Read": self._of_file(self._read), "Write": self._of_file(self._write_file),
            "GetPosition": self._of_file(self._get_position),
            "SetPosition": self._of_file(self._set_position),
            "GetInfo": self._of_file(self._get_info),
            "SetInfo": self._of_file(self._set_info), "Flush": _nothing,
        })  # fmt: skip
        self._return = self._trap("return from an image", self._exit_by_return)

    def _table(self, at: int, names: Sequence[str], served: Mapping[str, _Handler]) -> None:
        self._put(at, *(self._trap(name, served.get(name)) for name in names))

    def _trap(self, name: str, handler: _Handler | None) -> int:
        self._traps.append((name, handler))
        return _TRAPS + len(self._traps) - 1

    # Memory.

    def _write(self, at: int, data: bytes) -> None:
        if not self.holds(at, len(data)):
            raise _NotThere
        self.store(at, data)

    def _put(self, at: int, *quads: int) -> None:
        self._write(at, struct.pack(f"<{len(quads)}Q", *quads))

    def _read_memory(self, at: int, size: int) -> bytes:
        if not self.holds(at, size):
            raise _NotThere
        return self.read(at, size)

    def _quad(self, at: int) -> int:
        return int.from_bytes(self._read_memory(at, 8), "little")

    def _units(self, at: int) -> bytes:
        """UTF-16, to its NUL; at most 64 KiB."""
        data = bytearray()
        while len(data) < 0x10000:
            unit = self._read_memory(at + len(data), 2)
            if unit == b"\0\0":
                return bytes(data)
            data += unit
        raise GuestFailed(f"a string at {at:#x} has no end")

    def _text(self, at: int) -> str:
        return self._units(at).decode("utf-16-le", "replace")

    def _allocate(self, size: int) -> int | None:
        """So many bytes of zeros, on pages of their own if they are as long."""
        size = max(-(-size // 64) * 64, 64)
        if free := self._free.get(size):
            at = free.pop()
        else:
            at = -(-self._next // PAGE) * PAGE if size >= PAGE else self._next
            if at + size > _TRAPS + self.limits.memory - _STACK:
                return None
            self._next = at + size
        self._pools[at] = size
        self._write(at, bytes(size))
        return at

    def _allocate_pool(self, _kind: int, size: int, result: int, *_: int) -> int:
        return self._give(self._allocate(size), result)

    def _allocate_pages(self, how: int, _kind: int, pages: int, result: int, *_: int) -> int:
        if how:
            raise GuestFailed("AllocatePages: at or below an address: this firmware cannot do that")
        return self._give(self._allocate(pages * PAGE), result)

    def _free_pages(self, at: int, pages: int, *_: int) -> int:
        if self._pools.get(at, pages * PAGE) != pages * PAGE:
            raise GuestFailed("FreePages: of a part: this firmware cannot do that")
        return self._free_pool(at)

    def _give(self, at: int | None, result: int) -> int:
        if at is None:
            return NO_MEMORY
        self._put(result, at)
        return SUCCESS

    def _free_pool(self, at: int, *_: int) -> int:
        size = self._pools.pop(at, None)
        if size is None:
            return INVALID
        self._free.setdefault(size, []).append(at)
        return SUCCESS

    def _monotonic_count(self, result: int, *_: int) -> int:
        """kaem-optional-seed calls it with a null pointer: it means SetWatchdogTimer, two on."""
        if not result:
            return INVALID
        raise GuestFailed("GetNextMonotonicCount: this firmware has no counter")

    # Images.

    def load(self, program: bytes, name: str, options: str) -> int:
        """Load a PE32+ program for x64; its handle. Raises GuestFailed where that cannot be."""
        try:
            base, entry = self._place(program)
        except BadInput as error:
            raise GuestFailed(f"the firmware does not load {printable(name)}: {error}") from None
        text = (options + "\0").encode("utf-16-le") if options else b""
        at = self._allocate(len(text))
        if at is None:
            raise GuestFailed("limit: no memory for the arguments")
        self._write(at, text)
        return self._new_image(base, entry, self._device, at, len(text))

    def _place(self, program: bytes) -> tuple[int, int]:
        """Base and entry of a program in memory. Raises BadInput for what cannot be loaded."""
        import pefile

        try:
            pe = pefile.PE(data=program, fast_load=True)
            header, file = pe.OPTIONAL_HEADER, pe.FILE_HEADER
            if file.Machine != 0x8664 or header.Magic != 0x20B:
                raise BadInput(f"is a PE file for machine {file.Machine:#x}, not PE32+ for x64")
            if file.Characteristics & _FIXED or any(d.Size for d in header.DATA_DIRECTORY[5:6]):
                raise BadInput("is not for any address, and this firmware does no relocations")
            if header.SizeOfImage > self.limits.memory:
                raise BadInput(f"wants {header.SizeOfImage} bytes of memory")
            base = self._allocate(header.SizeOfImage + PAGE)
            if base is None:
                raise BadInput("there is no memory for it")
            for section in pe.sections:
                # As the firmware does it, not as Windows, which rounds the offset (get_data).
                start, size = section.PointerToRawData, section.SizeOfRawData
                data = program[start : start + min(size, section.Misc_VirtualSize or size)]
                if section.VirtualAddress + len(data) > header.SizeOfImage:
                    raise BadInput("a section ends beyond the image")
                self._write(base + section.VirtualAddress, data)
            return base, base + header.AddressOfEntryPoint
        except (pefile.PEFormatError, AttributeError, ValueError, struct.error) as error:
            raise BadInput(f"is no PE program: {error}") from None

    def _new_image(self, base: int, entry: int, device: int, options: int, size: int) -> int:
        """A handle."""
        parent = self._running[-1] if self._running else 0
        at = self._allocate(96)
        if at is None:
            raise GuestFailed("limit: no memory for one more program")
        self._put(at, 0x1000, parent, self._system, device, 0, 0, size, options, base, 0, 0, 0)
        self._images[at] = _LoadedImage(base, entry)
        return at

    def _load_image(
        self, _policy: int, _parent: int, _path: int, source: int, size: int, result: int, *_: int
    ) -> int:
        if not source:
            raise GuestFailed("LoadImage: by a device path: this firmware loads from memory only")
        try:
            base, entry = self._place(self._read_memory(source, size))
        except BadInput:
            return _ERROR | 1
        return self._give(self._new_image(base, entry, self._device, 0, 0), result)

    def _start_image(self, handle: int, _exit_size: int, *_: int) -> int | None:
        """Call its entry, by the `ret` after this; what it returns to is `_return`."""
        image = self._images.get(handle)
        if image is None or image.caller_rsp is not None:
            return INVALID
        rsp = self.register("rsp")
        self._enter(handle, rsp, (rsp & ~15) - 0x30)
        return None

    def _enter(self, handle: int, caller_rsp: int, rsp: int) -> None:
        image = self._images[handle]
        image.caller_rsp = caller_rsp
        self._running.append(handle)
        self._put(rsp, image.entry, self._return)
        self.set_register("rsp", rsp)
        self.set_register("rcx", handle)
        self.set_register("rdx", self._system)

    def _exit_by_return(self, *_: int) -> None:
        if self._running:
            self._exit(0, self.register("rax"))

    def _exit(self, _handle: int, status: int, *_: int) -> None:
        """The running image ends and gives back its memory; its caller gets the status."""
        handle = self._running.pop()
        image = self._images.pop(handle)
        assert image.caller_rsp is not None
        self._free_pool(handle)
        self._free_pool(image.base)
        self.set_register("rax", status)
        self.set_register("rsp", image.caller_rsp)
        if not self._running:
            self._status = status
            self.uc.emu_stop()

    # Running.

    def run(self, handle: int) -> int:
        """Start a loaded image; its status. Raises GuestFailed, KeyboardInterrupt."""
        top = _TRAPS + self.limits.memory - 0x1000
        self._put(top, self._return)
        self._enter(handle, top, top - 0x30)
        entry = self._images[handle].entry
        self._look(entry, _IN_ONE_BLOCK)
        self.set_register("rsp", top - 0x28)
        self._emulate(entry, self.limits.seconds)
        if self._status is None:
            raise GuestFailed(f"the machine stopped [{self.place()}]")
        return self._status

    def place(self) -> str:
        """Registers in a line, for messages."""
        names = "rip rax rcx rdx rsp rbp".split()
        return " ".join(f"{name}={self.register(name):x}" for name in names)

    def _serve(self, at: int) -> None:
        """The hook. What is raised in it is raised again by `run`."""
        try:
            number = at - _TRAPS
            name, handler = self._traps[number] if number < len(self._traps) else (hex(at), None)
            if handler is None:
                raise GuestFailed(f"{name}: this firmware does not have that service")
            rsp, *arguments = self._arguments.read()
            try:
                more = struct.unpack("<QQ", self._read_memory(rsp + 0x28, 16))
                result = handler(*arguments, *more)
            except _NotThere:
                raise GuestFailed(f"{name}: a pointer to memory that is not there") from None
            if result is not None:
                self._result.write(result)
        except BaseException as error:  # no exception can cross Unicorn
            self.fail(error)

    # Variables.

    def _get_variable(
        self, name: int, vendor: int, attributes: int, size_at: int, buffer: int, *_: int
    ) -> int:
        if not (name and vendor and size_at):
            return INVALID
        data = self._variables.get((self._read_memory(vendor, 16), self._units(name)))
        if data is None:
            return NOT_FOUND
        fits = len(data) <= self._quad(size_at)
        self._put(size_at, len(data))
        if not fits:
            return TOO_SMALL
        if not buffer:
            return INVALID
        if attributes:
            self._write(attributes, struct.pack("<I", _BOOT_ACCESS))
        self._write(buffer, data)
        return SUCCESS

    def _set_variable(
        self, name: int, vendor: int, attributes: int, size: int, buffer: int, *_: int
    ) -> int:
        """No data, or no access to it, is to delete it."""
        if not (name and vendor and self._units(name)):
            return INVALID
        key, access = (self._read_memory(vendor, 16), self._units(name)), attributes & 0xFFFFFFFF
        if access not in (0, _BOOT_ACCESS):
            raise GuestFailed(f"SetVariable: with attributes {access:#x}: this firmware has none")
        if not size or not access:
            return NOT_FOUND if self._variables.pop(key, None) is None else SUCCESS
        if not buffer:
            return INVALID
        self._variables[key] = self._read_memory(buffer, size)
        if sum(len(key[1]) + len(data) for key, data in self._variables.items()) > _MOST_VARIABLES:
            raise GuestFailed(f"limit: the variables have more than {_MOST_VARIABLES} bytes")
        return SUCCESS

    def _next_variable(self, size_at: int, name: int, vendor: int, *_: int) -> int:
        """In any order: the first after none, with an empty name."""
        if not (size_at and name and vendor):
            return INVALID
        known, before = [*self._variables], self._units(name)
        if before and (self._read_memory(vendor, 16), before) not in self._variables:
            return INVALID
        number = known.index((self._read_memory(vendor, 16), before)) + 1 if before else 0
        if number == len(known):
            return NOT_FOUND
        of, text = known[number]
        fits = len(text) + 2 <= self._quad(size_at)
        self._put(size_at, len(text) + 2)
        if not fits:
            return TOO_SMALL
        self._write(vendor, of)
        self._write(name, text + b"\0\0")
        return SUCCESS

    # Protocols and the console.

    def _handle_protocol(self, handle: int, guid: int, result: int, *_: int) -> int:
        wanted = self._read_memory(guid, 16)
        if wanted == _LOADED_IMAGE and handle in self._images:
            return self._give(handle, result)
        if wanted == _FILE_SYSTEM and handle == self._device:
            return self._give(self._fs, result)
        if wanted in (_LOADED_IMAGE, _FILE_SYSTEM):
            return UNSUPPORTED
        name = uuid.UUID(bytes_le=wanted)
        raise GuestFailed(f"the protocol {name}: this firmware does not have it")

    def _output_string(self, _self: int, text: int, *_: int) -> int:
        self._console(self._text(text))
        return SUCCESS

    # Files.

    def _open_volume(self, _self: int, result: int, *_: int) -> int:
        return self._new_file(_UefiFile("", True, False), result)

    def _new_file(self, file: _UefiFile, result: int) -> int:
        at = self._allocate(8 * (len(_FILE) + 1))
        if at is None:
            return NO_MEMORY
        self._write(at, self._read_memory(self._file_table, 8 * (len(_FILE) + 1)))
        self._files[at] = file
        return self._give(at, result)

    def _of_file(self, serve: Callable[..., int]) -> _Handler:
        """A service that gets the file in place of its address; not one that was deleted."""

        def handler(at: int, *arguments: int) -> int:
            file = self._files.get(at)
            if file is None or not (file.is_folder or file.path in self.volume.files):
                return INVALID
            return serve(file, *arguments)

        return handler

    def _open(
        self, folder: _UefiFile, result: int, name: int, mode: int, attributes: int, *_: int
    ) -> int:
        text = self._text(name).replace("\\", "/")
        parts = [] if text.startswith("/") or not folder.path else folder.path.split("/")
        for part in text.split("/"):
            if part == "..":
                if not parts:
                    return NOT_FOUND
                parts.pop()
            elif part not in ("", "."):
                parts.append(part)
        path = "/".join(parts)
        there = self.volume.find(path)
        if there is None:
            if not mode & _CREATE:
                return NOT_FOUND
            above = self.volume.find("/".join(parts[:-1]))
            if above is None or above not in self.volume.folders:
                return NOT_FOUND
            there = f"{above}/{parts[-1]}".lstrip("/")
            self._grow(len(there), there)
            if attributes & _DIRECTORY:
                self.volume.folders.add(there)
            else:
                self.volume.files[there] = bytearray()
                self.volume.changed.add(there)
        is_folder = there in self.volume.folders
        return self._new_file(_UefiFile(there, is_folder, bool(mode & _WRITE)), result)

    def _close(self, handle: int, *_: int) -> int:
        if self._files.pop(handle, None) is None:
            return INVALID
        return self._free_pool(handle)

    def _delete(self, handle: int, *_: int) -> int:
        """It closes the file whatever comes of it."""
        file = self._files.pop(handle, None)
        if file is None:
            return INVALID
        self._free_pool(handle)
        if file.is_folder or not file.writable:
            return _NOT_DELETED
        if (content := self.volume.files.pop(file.path, None)) is not None:
            self._size -= len(file.path) + len(content)
        self.volume.changed.discard(file.path)
        return SUCCESS

    def _read(self, file: _UefiFile, size_at: int, buffer: int, *_: int) -> int:
        if file.is_folder:
            raise GuestFailed("Read of a folder: this firmware lists none")
        content = self.volume.files[file.path]
        if file.offset > len(content):
            return DEVICE_ERROR
        data = content[file.offset : file.offset + self._quad(size_at)]
        self._write(buffer, bytes(data))
        self._put(size_at, len(data))
        file.offset += len(data)
        return SUCCESS

    def _write_file(self, file: _UefiFile, size_at: int, buffer: int, *_: int) -> int:
        if file.is_folder:
            return UNSUPPORTED
        if not file.writable:
            return DENIED
        size = self._quad(size_at)
        end = file.offset + size
        content = self._changing(file, max(end, len(self.volume.files[file.path])))
        data = self._read_memory(buffer, size)
        content.extend(bytes(max(file.offset - len(content), 0)))
        content[file.offset : end] = data
        file.offset = end
        return SUCCESS

    def _changing(self, file: _UefiFile, size: int) -> bytearray:
        """The content of a file that is to have so many bytes. Raises GuestFailed over a limit."""
        content = self.volume.files[file.path]
        self._grow(size - len(content), file.path)
        self.volume.changed.add(file.path)
        return content

    def _grow(self, size: int, path: str) -> None:
        if self._size + size > self.limits.files:
            raise GuestFailed(
                f"limit: with {printable(path):.200} the files and their names have more than "
                f"{self.limits.files} bytes (--limit files=BYTES raises it)"
            )
        self._size += size

    def _get_position(self, file: _UefiFile, result: int, *_: int) -> int:
        return self._give(file.offset, result)

    def _set_position(self, file: _UefiFile, offset: int, *_: int) -> int:
        if file.is_folder:
            return UNSUPPORTED
        end = len(self.volume.files[file.path])
        file.offset = end if offset == (1 << 64) - 1 else offset
        return SUCCESS

    def _get_info(self, file: _UefiFile, guid: int, size_at: int, buffer: int, *_: int) -> int:
        """EFI_FILE_INFO: there is no clock, so the times are 0."""
        if self._read_memory(guid, 16) != _FILE_INFO:
            return UNSUPPORTED
        info = self._info(file)
        fits = len(info) <= self._quad(size_at)
        self._put(size_at, len(info))
        if not fits:
            return TOO_SMALL
        self._write(buffer, info)
        return SUCCESS

    def _info(self, file: _UefiFile) -> bytes:
        """EFI_FILE_INFO: sizes, times, attributes, name."""
        name = (file.path.rpartition("/")[2] + "\0").encode("utf-16-le")
        size = 0 if file.is_folder else len(self.volume.files[file.path])
        attributes = _DIRECTORY if file.is_folder else 0
        return _INFO.pack(_INFO.size + len(name), size, size, attributes) + name

    def _set_info(self, file: _UefiFile, guid: int, size: int, buffer: int, *_: int) -> int:
        """Of EFI_FILE_INFO a new size. Raises GuestFailed for another name, time or attribute."""
        if self._read_memory(guid, 16) != _FILE_INFO or file.is_folder or size < _INFO.size:
            return UNSUPPORTED
        if not file.writable:
            return DENIED
        fields, name = _INFO.size, file.path.rpartition("/")[2]
        info, before = self._read_memory(buffer, fields), self._info(file)
        wanted = _INFO.unpack(info)[1]
        if info[24:] != before[24:fields] or self._text(buffer + fields) != name:
            raise GuestFailed("SetInfo: of more than a size: this firmware cannot do that")
        content = self._changing(file, wanted)
        del content[wanted:]
        content.extend(bytes(wanted - len(content)))
        return SUCCESS
