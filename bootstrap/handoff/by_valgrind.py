"""An opinion of valgrind's CPU: the first commands, in the box, one by one.

valgrind translates each block of a program by VEX, which is neither QEMU's code nor the processor's
own, and passes system calls on to this host's Linux. Its heap (brk) ends after 8 MiB, and the
programs ask for more and do not look at the answer; so each gets memory behind it, by a segment
more in its file. kaem would start its children without that, so the commands are taken from its
script.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path

from bootstrap.core.errors import BadInput
from bootstrap.core.release import read_file, read_folder
from bootstrap.handoff.containers.engines import last_line
from bootstrap.handoff.containers.safe_paths import inside
from bootstrap.handoff.natively import HostBox, bubblewrap, host_inputs, version_of
from bootstrap.runs.build_plan import ENTRY, BuildStep, plan
from bootstrap.runs.opinions import Maker, Saying, Sight, code_of, file_digest
from bootstrap.runs.rebuild import visible
from bootstrap.signals import scratch_folder
from bootstrap.sources import Resolved
from bootstrap.sources.tree import lay_out

_NAMES = {"x86": "none-x86-linux", "AMD64": "none-amd64-linux"}
"""valgrind's tool that looks for nothing: a static program."""
_FOLDERS = ("../libexec/valgrind", "../lib/valgrind", "../lib/x86_64-linux-gnu/valgrind")
_TOOL, _PROGRAM = "valgrind", "program"
"""Where both are in the box."""
_WORDS = (f"/{_TOOL}", "--tool=none", "-q", "--vgdb=no", "--trace-children=yes")
"""A child does not run beside valgrind: where it is not given `_ENVIRONMENT`, not at all."""
_ENVIRONMENT = {"VALGRIND_LAUNCHER": f"/{_TOOL}", "TMPDIR": "/dev/shm"}
_PAGE, _MEMORY, _LARGEST = 1 << 12, 1 << 28, 1 << 26
_ADDRESS = 0x10000

_ON_VALGRIND = {
    # xor edx, edx; five times push edx; push 0x1001; mov eax, esp; the request: rol edi by 3, 13,
    # 29 and 19, xchg ebx, ebx; mov ebx, edx; mov eax, 1; int 0x80
    "x86": bytes.fromhex("31d2 5252525252 6801100000 89e0 c1c703 c1c70d c1c71d c1c713 87db"
                         "89d3 b801000000 cd80"),
    # the same with rdi by 3, 13, 61 and 51, xchg rbx, rbx; mov edi, edx; exit by syscall 60
    "AMD64": bytes.fromhex("31d2 5252525252 6801100000 4889e0 48c1c703 48c1c70d 48c1c73d 48c1c733"
                           "4887db 89d7 b83c000000 0f05"),
}  # fmt: skip
"""Ends with RUNNING_ON_VALGRIND (valgrind.h): 1 under it, 0 where the request is what it does."""

_MAP = {
    # mov eax, 45 (brk); xor ebx, ebx; int 0x80; lea ebx, [eax + 0x1000]; mov ecx, _MEMORY;
    # mov edx, 7; mov esi, 0x32 (private, fixed, anonymous); or edi, -1; xor ebp, ebp;
    # mov eax, 192 (mmap2); int 0x80; all registers 0, as the kernel has them; push the entry; ret
    "x86": "b82d000000 31db cd80 8d9800100000 b900000010 ba07000000 be32000000 83cfff 31ed"
           "b8c0000000 cd80 31c0 31db 31c9 31d2 31f6 31ff 31ed 68",
    # mov eax, 12 (brk); xor edi, edi; syscall; lea rdi, [rax + 0x1000]; mov esi, _MEMORY;
    # mov edx, 7; mov r10d, 0x32; or r8, -1; xor r9d, r9d; mov eax, 9 (mmap); syscall; the rest
    "AMD64": "b80c000000 31ff 0f05 488db800100000 be00000010 ba07000000 41ba32000000 4983c8ff"
             "4531c9 b809000000 0f05 31c0 31c9 31d2 31f6 31ff 4531c0 4531c9 4531d2 4531db 68",
}  # fmt: skip
"""Maps memory from the second page of the heap on, of which valgrind has the first."""


def with_heap(program: bytes, arch: str) -> bytes:
    """The ELF file with a segment more, which maps memory and goes on to the program's entry.

    The program itself is as it was. Raises BadInput for what is no program of the architecture.
    """
    wide = arch == "AMD64"
    head = struct.Struct("<16sHHI3QI6H" if wide else "<16sHHI3II6H")
    segment = struct.Struct("<II6Q" if wide else "<8I")
    try:
        fields = list(head.unpack_from(program))
        entry, at, number = fields[4], fields[5], fields[10]
        rows = [list(segment.unpack_from(program, at + n * segment.size)) for n in range(number)]
    except struct.error:
        raise BadInput("is cut off") from None
    if not program.startswith(b"\x7fELF") or program[4] != 1 + wide or entry >= 1 << 31:
        raise BadInput(f"is no program for {arch}")
    for row in rows:
        row[1 + wide] += _PAGE  # where it is in the file
    start = head.size + segment.size * (number + 1)
    code = bytes.fromhex(_MAP[arch]) + entry.to_bytes(4, "little") + b"\xc3"
    end, place = start + len(code), (0, _ADDRESS, _ADDRESS)
    if end > _PAGE:
        raise BadInput(f"has {number} segments")
    own = (1, 5, *place, end, end, _PAGE) if wide else (1, *place, end, end, 5, _PAGE)
    # Entry, segments, no sections; how many segments, no sections.
    fields[4:7], fields[10:] = (_ADDRESS + start, head.size, 0), (number + 1, 0, 0, 0)
    heads = b"".join(segment.pack(*row) for row in (own, *rows))
    front: bytes = head.pack(*fields) + heads + code
    return front.ljust(_PAGE, b"\0") + program


def _tool(arch: str) -> Path:
    found = shutil.which("valgrind")
    if found is None:
        raise BadInput("valgrind: is not installed (apt-get install valgrind)")
    folder = os.path.dirname(os.path.realpath(found))
    for place in (Path(folder, name, _NAMES[arch]) for name in _FOLDERS):
        if place.is_file():
            return place.resolve()
    raise BadInput(f"{found}: there is no {_NAMES[arch]} beside it, so it runs no {arch} program")


def _fault(box: HostBox, root: Path, step: BuildStep, arch: str, tool: bytes) -> str | None:
    """Run a command; why it did not come to a good end. Raises BadInput where the box does not."""
    found = inside(root, step.program)
    if found is None:
        return "is not there"
    box.put(_TOOL, tool)  # whatever the commands before did to it
    try:
        box.put(_PROGRAM, with_heap(read_file(found, _LARGEST), arch))
    except BadInput as fault:
        return str(fault)
    status = box.run((*_WORDS, f"/{_PROGRAM}", *step.argv[1:]), _ENVIRONMENT)
    return f"ended with status {status}: {last_line(box.said)}" if status else None


def _by_valgrind(resolved: Resolved, _entry: str, tick: Saying) -> Sight:
    arch = resolved.step.arch
    steps = plan(resolved.tree, resolved.step)
    view, _, _ = visible(resolved, ENTRY)
    stopped = None
    with scratch_folder("bootstrap-confirm-") as place:
        root = place / "root"
        box = HostBox(bubblewrap(), root, arch)
        tool = read_file(_tool(arch), _LARGEST)
        box.put(_TOOL, tool)
        if box.asked(_ON_VALGRIND[arch], _WORDS, **_ENVIRONMENT) == 0:
            raise BadInput("valgrind's tool does not execute a program: it is not valgrind's CPU")
        lay_out(view, root)
        for step in steps:
            tick(f"valgrind: {step.output}")
            if why := _fault(box, root, step, arch, tool):
                stopped = f"{step.where}: {step.argv[0]} {why}"
                break
        made = read_folder(root).files
    files = {one.output: made[one.output].sha256 if one.output in made else None for one in steps}
    return Sight(files, f"{len(steps)} commands, each by valgrind's tool none in a box", stopped)


def _inputs(arch: str) -> dict[str, str]:
    tool = _tool(arch)
    code = code_of("handoff/by_valgrind.py", "runs/build_plan.py")
    return {f"{version_of('valgrind')} {tool.name}": file_digest(tool), **code}


MAKERS: Mapping[str, Maker] = {"valgrind": Maker(_by_valgrind, host_inputs(_inputs))}
