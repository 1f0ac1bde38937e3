"""Symbol files: read by readelf, and used by gdb, which shows the annotated source."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from bootstrap.debug import Session
from bootstrap.debug.gdb import launch
from bootstrap.debug.gdb.symbols import (
    SCRIPT,
    Stretch,
    SymbolFiles,
    SymbolTable,
    below,
    signed,
    symbol_file,
    unsigned,
)
from tests.cli.command import bootstrap
from tests.debug.gdb.clients import NO_MORE, QUIET, gdb_for, launched, run_gdb
from tests.debug.material import SOURCE, record_loop

LINES = SOURCE.decode().split("\n")


def line_with(text: str) -> int:
    """The only line of hex0's source with that text."""
    (found,) = (n for n, line in enumerate(LINES, 1) if text in line)
    return found


def readelf(path: Path, *options: str) -> str:
    """What it prints; it warns of whatever is not as the standards have it."""
    if shutil.which("readelf") is None:
        pytest.skip("no readelf here: apt-get install binutils")
    done = subprocess.run(["readelf", "-W", *options, path], capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert not done.stderr
    assert "Warning" not in done.stdout
    return done.stdout


def rows(path: Path) -> list[tuple[str, str, int]]:
    """The line table: file without folder, line (`-` ends a stretch), address."""
    found = re.findall(r"^(\S+) +(\d+|-) +(0x[0-9a-f]+)(?= |$)",
                       readelf(path, "--debug-dump=decodedline"), re.MULTILINE)  # fmt: skip
    return [(file.rpartition("/")[2], line, int(address, 16)) for file, line, address in found]


# -- the file itself ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "plain", "with_sign"),
    [(0, b"\0", b"\0"), (2, b"\2", b"\2"), (63, b"\x3f", b"\x3f"), (127, b"\x7f", b"\xff\0"),
     (128, b"\x80\1", b"\x80\1"), (624485, b"\xe5\x8e\x26", b"\xe5\x8e\x26"),
     (-1, None, b"\x7f"), (-2, None, b"\x7e"), (-64, None, b"\x40"), (-128, None, b"\x80\x7f"),
     (-129, None, b"\xff\x7e"), (-123456, None, b"\xc0\xbb\x78")],
)  # fmt: skip
def test_leb128(value: int, plain: bytes | None, with_sign: bytes) -> None:
    assert signed(value) == with_sign
    assert plain is None or unsigned(value) == plain


MACHINES = {
    "Intel 80386": (1, 3, 0), "Advanced Micro Devices X86-64": (2, 62, 0), "AArch64": (2, 183, 0),
    "RISC-V": (2, 243, 1), "RISC-V ": (1, 243, 1),
}  # fmt: skip
FRAMES = {3: ("esp", "eip"), 62: ("rsp", "rip"), 183: ("sp", "x30"), 243: ("sp", "ra")}


@pytest.mark.parametrize("name", MACHINES)
def test_each_machine(name: str, tmp_path: Path) -> None:
    elf_class, machine, flags = MACHINES[name]
    head = bytes((0x7F, *b"ELF", elf_class, 1, 1)).ljust(16, b"\0") + struct.pack("<HH", 2, machine)
    header = head.ljust(48 if elf_class == 2 else 36, b"\0") + struct.pack("<I", flags)
    path = tmp_path / "symbols.elf"
    path.write_bytes(symbol_file(SymbolTable(
        header.ljust(64, b"\0"), 0x10054, ((0x10000, 0x10100), (0x20000, 0x20400)),
        # The second file in between, back to an earlier line, a gap, the second segment.
        (Stretch(0x10054, 0x10056, 0, 300), Stretch(0x10056, 0x10058, 1, 7),
         Stretch(0x10058, 0x1005C, 0, 20), Stretch(0x1005C, 0x10060, 0, 301),
         Stretch(0x10080, 0x100FF, 0, 5), Stretch(0x20000, 0x20400, 0, 6)),
        (("_start", 0x10054), ("data", 0x20010)), ("a/one.M1", "two.hex2"), "/far away",
    )))  # fmt: skip
    output = readelf(path, "-hSs")
    assert re.search(rf"Machine: +{name.strip()}$", output, re.MULTILINE)
    assert f"Flags:                             0x{flags:x}" in output
    assert re.search(r"\.text +NOBITS +0*10000 \w+ 000100 00  AX", output)
    assert re.search(r"\.text\.1 +NOBITS +0*20000 \w+ 000400 00  AX", output)
    assert re.findall(r": 0*(\w+) +0 NOTYPE +GLOBAL DEFAULT +(\d) (\w+)", output) == [
        ("10054", "1", "_start"), ("20010", "2", "data"),
    ]  # fmt: skip
    assert rows(path) == [
        ("one.M1", "300", 0x10054), ("one.M1", "-", 0x10056), ("one.M1", "20", 0x10058),
        ("one.M1", "301", 0x1005C), ("one.M1", "-", 0x10060), ("one.M1", "5", 0x10080),
        ("one.M1", "-", 0x100FF), ("one.M1", "6", 0x20000), ("one.M1", "-", 0x20400),
        ("two.hex2", "7", 0x10056), ("two.hex2", "-", 0x10058),
    ]  # fmt: skip
    output = readelf(path, "--debug-dump=info,Ranges,frames")
    assert re.findall(r"DW_AT_name +: (?:\(string\) )?(.+)", output) == ["a/one.M1", "two.hex2"]
    assert re.findall(r"DW_AT_comp_dir +: (?:\(string\) )?(.+)", output) == ["/far away"] * 2
    spans = re.findall(r"^ +0\w+ 0*(\w+) 0*(\w+) ?$", output, re.MULTILINE)
    assert spans == [("10054", "10056"), ("10058", "10060"), ("10080", "100ff"),
                     ("20000", "20400"), ("10056", "10058")]  # fmt: skip
    stack, back = FRAMES[machine]
    assert re.search(rf"DW_CFA_def_cfa: r\d+ \({stack}\) ofs 0", output)
    assert re.search(rf"DW_CFA_undefined: r\d+ \({back}\)", output)
    assert re.findall(r"FDE cie=\w+ pc=0*(\w+)\.\.0*(\w+)", output) == [
        ("10000", "10100"), ("20000", "20400")]  # fmt: skip


# -- what it is made of ---------------------------------------------------------------------------


def test_lines_are_those_of_the_map(hex0: Session, tmp_path: Path) -> None:
    path = SymbolFiles(tmp_path / "new").of(hex0.trace, hex0.images, hex0.program.image)
    assert isinstance(path, Path)
    assert (path.parent / "sources" / "hex0.hex0").read_bytes() == SOURCE
    lines: list[tuple[str, str, int]] = []
    for offset in range(len(hex0.image.content)):
        place = hex0.image.place(offset)
        assert place is not None
        if not lines or lines[-1][1] != str(place.line):
            lines.append(("hex0.hex0", str(place.line), 0x8048000 + offset))
    assert rows(path) == [*lines, ("hex0.hex0", "-", 0x8048000 + len(hex0.image.content))]


def test_the_listing_is_followed_through_what_was_joined(embedded: Session, tmp_path: Path) -> None:
    files = SymbolFiles(tmp_path)
    hello = next(p.image for p in embedded.trace.programs if p.path == "/hello" or
                 p.path == b"/hello")  # fmt: skip
    path = files.of(embedded.trace, embedded.images, hello)
    assert isinstance(path, Path)
    assert path == files.of(embedded.trace, embedded.images, hello)
    image = embedded.images.image(hello)
    assert image.sources == ("/hello-whole.hex2", "/hello")
    sources = sorted(p.name for p in (path.parent / "sources").iterdir())
    assert sources == ["elf.hex2", "hello.M1"]
    for file, line, guest_addr in rows(path):
        if line == "-":
            continue
        # `why` goes the same way, byte by byte.
        links = embedded.images.why.why("/hello", image.offset(guest_addr) or 0)
        known = [link for link in links if link.place is not None][-1].place
        assert known is not None
        assert (known.file, known.line) == (f"/{file}", int(line))
    names = re.findall(r"GLOBAL DEFAULT +1 (\w+)", readelf(path, "-s"))
    assert "_start" in names


def test_of_what_is_not_known_nothing_is_said(tmp_path: Path) -> None:
    with Session.open(str(record_loop(tmp_path, "riscv64"))) as session:
        files = SymbolFiles(tmp_path / "new")
        output = files.of(session.trace, session.images, session.program.image)
        files.write_script(output)
    assert output == "loop: it was there before the run, and no program made the same bytes"
    assert [p.name for p in (tmp_path / "new").iterdir()] == [SCRIPT]
    assert "symbol-file /" not in (tmp_path / "new" / SCRIPT).read_text()


def test_what_is_written_into_a_program_does_not_take_its_source(
    hex0_trace: Path, tmp_path: Path
) -> None:
    with Session.open(str(hex0_trace)) as session:
        session.make_live(str(hex0_trace.parent / "root"))
        files = SymbolFiles(tmp_path / "new")
        before = files.of(session.trace, session.images, session.program.image)
        session.go("0x80480b1")
        session.write(dict(session.registers())["ecx"], b"A")
        session.settle()
        # What it makes now is not itself any more, so the run does not say what it was made of.
        assert session.unknown
        assert files.of(session.trace, session.images, session.program.image) == before
        assert isinstance(before, Path)


def test_a_name_does_not_lead_out_of_the_folder() -> None:
    assert below("/../../etc/./x\ny") == "etc/x_y"
    assert below("/..") == "_"


def test_a_folder_with_something_in_it_is_refused(
    hex0_trace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(BadInput, match="is not empty; name a folder that is"):
        SymbolFiles(tmp_path)
    with pytest.raises(BadInput, match="name a folder to write into"):
        SymbolFiles(tmp_path / "mine")
    done = bootstrap("gdb", hex0_trace, "--stdio", "--symbols", tmp_path)
    assert (done.status, "is not empty" in done.one_line()) == (2, True)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    assert main(["gdb", str(hex0_trace), "--launch", "--symbols", str(tmp_path / "new")]) == 2
    assert "makes its own folder" in capsys.readouterr().err


# -- gdb ------------------------------------------------------------------------------------------


def on_a_host(trace: Path, place: str, tmp_path: Path, commands: list[str], begin: str = "") -> str:
    """What gdb prints that is started in a folder with other files in it."""
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "hex0.hex0").write_text("a file of the host\n" * len(LINES))
    output = launched(tmp_path, trace, place, [*QUIET, *commands], begin, folder)
    assert "Error" not in output
    assert "a file of the host" not in output
    return output


def shown(line: int) -> str:
    """As gdb shows it."""
    return f"\n{line}\t{LINES[line - 1]}\n"


def test_the_source_is_shown_at_each_stop(hex0_trace: Path, tmp_path: Path) -> None:
    begin, write, jump = (line_with(f"# {at} ") for at in ("0804804c", "080480b1", "080480b3"))
    bit = line_with("# 08048069 ")
    mine = tmp_path / "mine.gdb"
    mine.write_text("set $stops = 0\ndefine hook-stop\nset $stops = $stops + 1\nend\n")
    output = on_a_host(
        hex0_trace, "", tmp_path,
        ["info source", f"list {begin},{begin + 1}", "info line *0x80480b1",
         f"break hex0.hex0:{write}", "continue", "info breakpoints", "step", "next",
         "reverse-step", "echo back\\n", "reverse-step", "backtrace", "delete", "reverse-continue",
         "bgo out:0x20", "frame", "info symbol $pc", 'printf "stops %d\\n", $stops'],
        f"source {mine}",
    )  # fmt: skip
    assert re.search(r"^Located in /\S+/sources/hex0\.hex0$", output, re.MULTILINE)
    assert "Source language is asm." in output
    assert shown(begin) + shown(begin + 1)[1:] in output
    assert (
        f'Line {write} of "hex0.hex0" starts at address 0x80480b1 and ends at 0x80480b3.' in output
    )
    assert f"Breakpoint 1 at 0x80480b1: file hex0.hex0, line {write}." in output
    assert f"Breakpoint 1, ?? () at hex0.hex0:{write}{shown(write)}" in output
    assert (
        shown(jump) + shown(bit)[1:] + shown(jump)[1:] + "back\n\nBreakpoint 1, ?? () at " in output
    )
    assert re.findall(r"^#\d.*", output, re.MULTILINE)[1:] == [
        f"#0  ?? () at hex0.hex0:{write}", f"#0  ?? () at hex0.hex0:{jump}",
    ]  # fmt: skip
    end = output.partition(NO_MORE)[2]
    assert f"?? () at hex0.hex0:{begin}{shown(begin)}" in end
    assert "No symbol matches $pc." in end
    assert re.search(r"^stops [6-9]$", end, re.MULTILINE), "a hook of the user's own stays"


def test_the_program_is_followed_across_an_exec_and_back(
    embedded_trace: Path, tmp_path: Path
) -> None:
    if run_gdb(gdb_for("i386"), tmp_path, ["python print(6 * 7)"]).strip() != "42":
        pytest.skip("this gdb has no Python")
    output = on_a_host(
        embedded_trace, "3@0", tmp_path,
        ["catch exec", "set follow-fork-mode child", "continue", "step", "reverse-continue",
         "stepi", "bgo 9@0", "monitor symbols 9", "monitor symbols 77"],
    )  # fmt: skip
    stops = re.findall(r"^.*\(\) at (\w+\.hex0):(\d+)\n\d+\t(.*)$", output, re.MULTILINE)
    assert [file for file, _, _ in stops] == ["kaem.hex0", "hex0.hex0", "kaem.hex0"]
    begin = line_with("# 0804804c ")
    assert stops[1][1:] == (str(begin), LINES[begin - 1])
    assert "test eax, eax" in stops[2][2]
    assert re.search(r"^/\S+/M0-[0-9a-f]{12}/symbols\.elf$", output, re.MULTILINE)
    assert "symbols 77: gdb knows of" in output


def test_without_python_the_first_program_has_its_source(hex0: Session, tmp_path: Path) -> None:
    files = SymbolFiles(tmp_path / "new")
    files.write_script(files.of(hex0.trace, hex0.images, hex0.program.image))
    before, python, _ = (tmp_path / "new" / SCRIPT).read_text().partition("python\n")
    assert python
    found = launch.arguments("gdb", "x.trace", "", tmp_path)
    assert found[-2:] == ["-x", str(tmp_path / "programs" / SCRIPT)]
    commands = [before.splitlines()[0], f"list {line_with('# 0804804c ')},+0", "info line 139"]
    output = run_gdb(gdb_for("i386"), tmp_path, commands)
    assert shown(line_with("# 0804804c "))[1:] in output
