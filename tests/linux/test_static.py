"""Static programs of C libraries print and return emulated what they do on a real kernel."""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.core.errors import GuestFailed
from bootstrap.core.files import Stream
from bootstrap.core.release import EntryPoint, SourceFile, Tree
from bootstrap.instruments import Engine, default_engine
from bootstrap.linux.filesystem import OverlayFileSystem
from bootstrap.linux.hostfolder import LowerFile, MemoryLower
from bootstrap.linux.limits import RunLimits
from bootstrap.linux.machine import LinuxMachine
from bootstrap.runs.program import NoOutput, run_alone
from bootstrap.runs.rebuild import observe
from bootstrap.trace.store import probing_in
from tests.cli.command import bootstrap
from tests.instruments.guest import Program
from tests.instruments.runs import EACH_ABI, EACH_HOT_PATH, engine_for
from tests.linux.differential import NATIVE

SOURCE = Path(__file__).parent / "static" / "program.c"
PARTS = ("hello", "memory", "files", "folders", "jumps")
ASM_HEADERS = "/usr/include/x86_64-linux-gnu"
"""Where Debian's <asm/errno.h> is, which is the same for i386."""
COMPILERS = {
    "glibc": ("x86_64", ("gcc", "-static")),
    "glibc, 32-bit": ("i386", ("gcc", "-m32", "-static", "-idirafter", ASM_HEADERS)),
    "musl": ("x86_64", ("musl-gcc", "-static")),
    "dietlibc": ("x86_64", ("diet", "gcc")),
    "glibc of AArch64": ("aarch64", ("aarch64-linux-gnu-gcc", "-static")),
    "glibc of riscv64": ("riscv64", ("riscv64-linux-gnu-gcc", "-static")),
}
ANYTHING = '#include <errno.h>\n#include <stdio.h>\nint main(void) { return puts("") < 0; }\n'


@dataclass
class Outcome:
    """What came of one run."""

    status: int
    stdout: bytes
    stderr: bytes


def compiled(command: tuple[str, ...], source: Path, output: Path) -> str:
    """Why there is no program at `output`; empty where there is one."""
    words = [*command, "-O1", "-w", "-o", str(output), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


@pytest.fixture(scope="module", params=COMPILERS)
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built by one of the compilers; `name` is how its ABI is called."""
    abi, command = COMPILERS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this host")
    folder = tmp_path_factory.mktemp("static")
    (folder / "anything.c").write_text(ANYTHING)
    why = compiled(command, folder / "anything.c", folder / "anything")
    if why:
        pytest.skip(f"{' '.join(command)} builds no static program: {why.splitlines()[0]}")
    built = folder / abi
    why = compiled(command, SOURCE, built)
    assert not why, why
    return built


def real(program: Path, part: str, folder: Path) -> Outcome:
    """What a real kernel makes of it: the host's, or by qemu-user."""
    by = []
    if program.name not in NATIVE:
        qemu = f"qemu-{program.name}-static"
        if shutil.which(qemu) is None:
            pytest.skip(f"no {qemu} on this host (Debian: apt-get install qemu-user-static)")
        by = [str(shutil.which(qemu))]
    elif platform.machine() != "x86_64" or sys.platform != "linux":
        pytest.skip(f"programs of x86 do not run on {sys.platform} {platform.machine()}")
    done = subprocess.run(
        [*by, str(program), part], cwd=folder, env={"A": "1"}, capture_output=True, check=False
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def emulated(
    image: bytes, part: str, engine: Engine, probing: bool = True
) -> tuple[Outcome, dict[str, int]]:
    """The same in a LinuxMachine, and which calls failed with ENOSYS."""
    fs = OverlayFileSystem(MemoryLower({b"/guest": LowerFile(0o755, image)}))
    written = io.BytesIO(), io.BytesIO()
    machine = LinuxMachine(fs, engine, probing=probing)
    out, err = (Stream(write=to.write) for to in written)
    streams = Stream(read=lambda _: b""), out, err
    ended = machine.run(b"/guest", [b"/guest", part.encode()], [b"A=1"], streams=streams)
    assert ended.fault is None, ended.fault
    outcome = Outcome(ended.status >> 8, *(to.getvalue() for to in written))
    return outcome, dict(machine.probes or {})


@pytest.mark.parametrize("part", PARTS)
def test_static_programs_do_what_they_do_on_linux(program: Path, part: str, tmp_path: Path) -> None:
    expected = real(program, part, tmp_path)
    assert expected.stdout
    image, engine = program.read_bytes(), default_engine()
    told = [emulated(image, part, each) for each in (engine, engine.in_python())]
    assert [outcome for outcome, _ in told] == [expected, expected]
    assert told[0][1] == told[1][1]


PROBED = (
    "set_robust_list", "rseq", "getrandom", "prlimit64", "madvise", "mremap", "clock_gettime",
)  # fmt: skip
ONLY_32 = ("ugetrlimit", "clock_gettime64")


@EACH_HOT_PATH
@EACH_ABI
def test_what_is_only_probed_fails_and_is_counted(abi: str, hot_path: str) -> None:
    names = (*PROBED, *(ONLY_32 if abi == "i386" else ()))
    guest = Program(abi)
    for name in (*names, "getrandom"):
        guest.call_and_report(name, 0, 0, 0)
    outcome, probes = emulated(guest.exit(0).elf(), "", engine_for(hot_path))
    word, enosys = guest.word, 38
    wrong = (-enosys).to_bytes(word, "little", signed=True)
    assert outcome.stdout == wrong * (len(names) + 1)
    assert probes == {**dict.fromkeys(names, 1), "getrandom": 2}


@EACH_HOT_PATH
@EACH_ABI
@pytest.mark.parametrize("name", PROBED)
def test_a_run_that_is_judged_stops_there(abi: str, hot_path: str, name: str) -> None:
    guest = Program(abi).call(name, 0, 0, 0).exit(0)
    with pytest.raises(GuestFailed, match=rf"{name}\) is not supported.*ENOSYS"):
        emulated(guest.elf(), "", engine_for(hot_path), probing=False)


def test_what_verdicts_are_made_of_is_run_so() -> None:
    image = Program("i386").call("getrandom", 0, 0, 0).exit(0).elf()
    files = {b"/guest": LowerFile(0o755, image)}
    with pytest.raises(NoOutput, match=r"\(getrandom\) is not supported"):
        run_alone(files, b"/guest", [b"/guest"], b"/out", default_engine(), RunLimits())
    tree = Tree("guests", {"guest": SourceFile(image, True)})
    entry = EntryPoint("only", (("/guest",),))
    observed, _ = observe(tree, entry, (), default_engine())
    assert observed.failure is not None
    assert "(getrandom) is not supported" in observed.failure.message
    assert not probing_in({"kind": "verify"})


@EACH_HOT_PATH
def test_run_says_what_failed_so(hot_path: str, tmp_path: Path) -> None:
    engine_for(hot_path)
    guest = Program("i386").call("rseq").call("getrandom").call("rseq").exit(5)
    (tmp_path / "guest").write_bytes(guest.elf())
    (tmp_path / "guest").chmod(0o755)
    environment = {"BOOTSTRAP_HOT_PATH": hot_path}
    done = bootstrap("run", "--", "./guest", cwd=tmp_path, env=environment)
    assert done.status == 5
    told = "bootstrap: failed with ENOSYS, as in an older kernel: getrandom 1, rseq 2"
    assert done.one_line() == told
