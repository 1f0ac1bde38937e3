"""Every command, its options, its examples and its help: the whole command line on one page.

Nothing is loaded for it but what is written here: what a command does is a function of another
module, named by `run`, that is imported when it is called. Options are written as their
help shows them, one in a row (`command_parser.add_options` says how), what is deeper than a row
goes on with it. `-q`, `-v` and `-V` are every command's.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Mapping
from typing import Any

from bootstrap.cli.command_parser import CommandParser, CommandRow, make_parser

ENTRIES = ("kaem-optional-seed", "hex0-seed")


def _number(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"must be {least} or more")
        return int(text)

    return number


def _day(text: str) -> datetime.date:
    return datetime.date.fromisoformat(text)


_day.__name__ = "day, as in 2026-11-23"  # what argparse calls it when it is none

# -- options that several commands have ----------------------------------------------------------


def _limit(names: str) -> str:
    return f"--limit NAME=N*  change a limit: {names} (N may end in K, M or G, powers of 1024)"


_LIMIT = _limit(
    "memory, memory_total, file, files_total, inodes, open_files, processes, nesting, "
    "instructions, seconds"
)
_FALLBACK = """
--fallback {embedded}  if neither cache nor network has the release, use the sources that come with
    this program (x86, hex0 to M0); the report says so, and the exit status is 4 at best
"""
_SOURCE = (
    "--source SOURCE  a checkout; an archive (.tar, .tar.gz, .tar.xz, .tar.zst, .zip) or its "
    "address; or, as DIR@REV, a commit, tag or branch of a clone"
)
_VERIFY = f"""
{_SOURCE}
--release R  the release (default: the one that --source is nearest to, without it the newest
    known); embedded: the x86 sources that come with this program; stagex-stage0: StageX's stage0,
    with a StageX checkout as --source
--fetched DIR  with stagex-stage0: the folder with the source archives that StageX names
--arch ARCH [x86]  x86, AMD64, AArch64, riscv64 or riscv32, upper or lower case, or a usual alias
    (default x86); several, separated by commas, or all, give one report together
--jobs N  processes that work at once: the architectures share them, and the programs of each
    (default: as many as there are CPUs; 1: everything in order)
--entry {{{",".join(ENTRIES)}}}  the program that the bootstrap starts from: kaem-optional-seed
    (the default, as upstream does), or hex0-seed, which needs no other seed
--output DIR  write every product into this new folder
--json FILE  write the report as JSON ('-': standard output)
--junit FILE  write the report as JUnit XML ('-': standard output)
--html FILE  write the report as one self-contained HTML page ('-': standard output)
--recheck  run everything a second time with the core alone, in a separate interpreter, and compare
    verdict, digests and every artifact; takes several times as long
--quiet  no progress, and one line if all is well
--verbose  list the intermediate artifacts too
{_LIMIT}"""
_BUILDER = """
--builder-hex0 DIR  a checkout of builder-hex0, or the commit of one in the cache (default: the one
    in the cache; bootstrap fetch builder-hex0 --from DIR puts it there)
"""
_MEMO = """
--fail-fast  stop at the first file that differs from its known-good value
--changed-since REV  with --source DIR, a git checkout: list the artifacts that the files changed
    since this commit can affect (known from an earlier run), and which of them did change
reuse results of earlier runs without running them again (exit status 4 at best):
--memo FILE  the file that keeps the results of earlier runs; created if it does not exist
--memo-size BYTES  the most that it may take (K, M, G are powers of 1024; default 256M); the oldest
    entries are dropped first
--memo-check N|all  run N of the reused programs again, chosen at random, and compare
--memo-owner UID  accept a memo file that belongs to this user
:
"""
_LOG = """--log FILE  write each system call of the guest, with arguments and result (slow)
--effects FILE  write what each program of the guest opened, wrote and changed, as JSON that
    bootstrap diff can compare with a trace (slow)"""
_MACHINE = f"""
on a machine without Linux (this gives an opinion, not a verdict: docs/machines.md):
--machine {{builder-hex0,knight,uefi}}  builder-hex0: a PC on which builder-hex0's kernel handles
    the system calls (x86; limits: memory, disk, seconds, interrupts). knight: the machine of the
    first stage0; --source is a checkout of stage0 (limits: memory, instructions, seconds, tape).
    uefi: UEFI firmware, with a stage0-uefi tree (limits: memory, files, seconds)
{_BUILDER}{_LOG}
:
"""
_ONE_OR_MORE: Mapping[str, Mapping[str, Any]] = {"jobs": {"type": _number(1)}}
_TREE_OR_TRACE = f"""
words TRACE | -- PROGRAM ARG...*  a trace (`bootstrap trace record`); or, after --, a program and
    its arguments, recorded as `bootstrap run` runs it. With neither: the sources that come with
    this program, from the hex0 seed to a hello, world
record a bootstrap first:
{_SOURCE}
--release R  that release of stage0-posix
--arch ARCH [x86]  x86 (default), AMD64, AArch64, riscv64, riscv32
--entry {{{",".join(ENTRIES)}}}  as for verify
with -- PROGRAM:
--root DIR  the guest's / (default: .)%s
--cwd PATH  guest folder to start in (default: /)
--env NAME=VALUE*  the guest's environment
:
{_LIMIT}
--quiet  no progress while recording
"""
_GUEST = """
--root DIR [.]  the guest's / (default: .)
--cwd PATH [/]  guest folder to start in
--env NAME=VALUE*  the guest's environment
"""
_CHECKOUT = """
--live-bootstrap DIR  a checkout of live-bootstrap, with .git or without, or the commit (or digest)
    of one in the cache (default: the one in the cache; bootstrap fetch live-bootstrap --from DIR
    puts it there)
"""
_TRACE = "trace TRACE  what bootstrap trace record wrote"
_END = "--json FILE  write how it ended as JSON; not '-', for standard output is the guest's"
_JSON = "--json FILE  write the result as JSON ('-': standard output)"

# -- the commands --------------------------------------------------------------------------------

VERIFY = CommandRow(
    "verify",
    "rebuild a release from its seed and compare every product with its known-good hash",
    """Rebuild a release of stage0-posix from its seed in the emulator, and compare every product
    with its known-good hash. The sources are those of --source; without it, the release in the
    cache, or else from its published address. The report says which.""",
    (_VERIFY, _FALLBACK, _MEMO, _MACHINE),
    more={**_ONE_OR_MORE, "memo-owner": {"type": _number(0)}},
    example="""
        verify --release embedded          what comes with this program: a second, no network
        verify --arch AMD64 --json r.json  another architecture; the report as JSON too
        verify --source ~/stage0-posix@Release_1.9.1 -o out   a tag of a clone; keep the products
        """,
)

DDC = CommandRow(
    "ddc",
    "build upstream's first programs along three unrelated paths and compare them",
    """Diverse double-compiling: build upstream's hex1, hex2-0, catm, M0 and the C compiler cc_x86
    from upstream's sources along three paths, and M2-Planet with the compiler of each. The paths
    are: upstream's own tools; this project's tools, written independently and built from the same
    seed; and the language models, which are Python functions. --knight adds a fourth, which runs no
    program for x86: the models, and the C compiler of the first stage0 on its own machine. Anything
    that a tool slips into what it assembles would show as a difference. docs/ddc.md says what
    agreement proves, and what it does not.""",
    f"""
{_SOURCE} (default: the release in the cache, else its published address)
--release R  the release (default: the newest known; with --knight 1.3, the only one that works)
--knight STAGE0  compile M2-Planet on the knight too, with the cc_x86 of this checkout of stage0, or
    of a commit of it in the cache (default: the one in the cache; bootstrap fetch stage0 --from DIR
    puts one there)
{_JSON}
--quiet  no progress, and one line if they agree
{_LIMIT}""",
    """Exit status: 0 all paths agree with each other and with the known-good values; 1 they differ,
    or something was not made; 2 usage or bad input; 3 this project's own tools, or a ROM, could not
    be built; 130 interrupted.""",
    more={"knight": {"nargs": "?", "const": ""}},
    example="ddc --source stage0-posix-1.9.1.tar.gz",
)

PROVE = CommandRow(
    "prove",
    "show what a hex0 seed does for every input, by walking all its states",
    """Walk every state that a hex0 seed can be in when it reads a byte, try every byte and the end
    of the file in each, and compare with the language's definition. The walk makes a certificate,
    which a checker that shares no code with the walk then checks. docs/proof.md says what is
    proven, under which assumptions, and what is not.""",
    """
    seed SEED  a program, or - for standard input
    --arch A  refuse a program for another architecture
    --output CERTIFICATE  write the certificate
    --language {hex0,hex1} [hex0]  the language that it should assemble; hex1 needs z3, and is for
        upstream's hex1 of x86 and AMD64
    --against B  compare with this program instead of hex0
    --svg FILE  write the automaton as a picture
    --json FILE  write the result as JSON ('-': standard output)
    --states N [300]  give up beyond N states (default: 300)
    """,
    example="prove seeds/x86/hex0-seed --svg hex0.svg",
)

IDENTIFY = CommandRow(
    "identify",
    "say which seed, source or product of which release a file or a hash is",
    """Look up each file, folder or SHA-256: which known seed it is, or which source, product or
    archive of which release and architecture. For a folder or archive with a source tree: which
    release it is, or is nearest to, and how it differs. If a file holds hashes, as sha256sum and
    most reports print them, each of them is looked up. For an unknown file, the most similar known
    seed on this machine is named.""",
    """
    what FILE|HASH|FOLDER+  a file, a SHA-256, a folder, or - for standard input
    --json FILE  write the result as JSON ('-': standard output)
    """,
    "Exit status: 0 all are known, 1 one is not, 2 one cannot be read.",
    run="identify:run",
    example="""
        identify seeds/x86/hex0-seed
        identify SHA256SUMS             each hash in a list
        """,
)

SEEDS = CommandRow(
    "seeds",
    "list the known seeds; identify a file, explain its bytes, check it against its source",
    """What is known about every seed that bootstrap-seeds ever published, and what a file is, byte
    by byte.""",
    commands=(
        CommandRow(
            "list",
            "the known seeds",
            "The known seeds, a row for each path that bootstrap-seeds had one at.",
            """
            --arch ARCH  only this architecture, by any usual name, or knight
            --kind KIND  only this kind (hex0-seed, kaem-optional-seed, ...), or this family (POSIX,
                NATIVE, UEFI)
            --release R  only what this release of stage0-posix has
            --json FILE  write the result as JSON ('-': standard output)
            """,
            example="seeds list --arch AMD64 --kind hex0-seed",
        ),
        IDENTIFY,
        CommandRow(
            "show",
            "explain every byte of a file",
            """Explain a seed in file order: each header field with its meaning, each instruction,
            strings, padding, and bytes that nothing uses. Every byte is in exactly one part; where
            it can be read in several ways, all are shown.""",
            """
            file FILE  a file, or - for standard input
            --lines N [20000]  print at most N lines (default 20000; 0: all)
            --json FILE  write the result as JSON ('-': standard output)
            """,
            run="seed_anatomy:run",
            example="seeds show seeds/x86/hex0-seed",
        ),
        CommandRow(
            "check",
            "compare a seed with its hex0 source",
            """Assemble the source twice, with the language model in Python and with a hex0 seed
            that runs in the emulator, and compare both results with the file, byte by byte. If the
            file is a hex0 seed, it assembles its own source; otherwise the 181-byte x86 seed does,
            or the one that --by names.""",
            """
            file FILE  the seed, or - for standard input
            --hex0 SOURCE!  its hex0 source
            --by SEED  the hex0 seed to run on the source
            --json FILE  write the result as JSON ('-': standard output)
            """,
            """Exit status: 0 all three agree, 1 they differ, 2 bad input, 3 the seed that was run
            failed.""",
            run="seed_check:run",
            example="seeds check seeds/x86/hex0-seed --hex0 seeds/x86/hex0.hex0",
        ),
    ),
)

FETCH = CommandRow(
    "fetch",
    "put a release, or a checkout, into the cache",
    """Put a release into the cache, from its published address, a mirror, a local archive or a
    local checkout. An archive must have the published sha256, and every file must be what is known
    of the release. The other projects are copied from a local checkout and kept under its commit,
    each file with the content that git's index has; of StageX, only the files that this program
    reads.""",
    """
    name {stage0-posix,live-bootstrap,stagex,builder-hex0,stage0}  what to fetch
    --release R  the release (default: the newest); the commit that a checkout should be at
    --from SOURCE  a checkout; an archive or its address; or, as DIR@REV, a commit, tag or branch of
        a clone
    --force  replace what the cache has of the release
    --json FILE  write the result as JSON ('-': standard output)
    """,
    example="""
        fetch stage0-posix                               from its published address
        fetch stage0-posix --from stage0-posix-1.9.1.tar.gz   without a network
        """,
)

RELEASES = CommandRow(
    "releases",
    "list the releases that can be verified, and what is known about each",
    """List the known releases of stage0-posix, oldest first: commit, published sha256 of the
    archive, whether it is in the cache; and for each architecture, how many answers (hashes that
    upstream publishes), values from a native run and materials (files that the bootstrap reads) are
    known, and when a whole run here reproduced the answers.""",
    _JSON,
    example="releases --json -",
)

RUN = CommandRow(
    "run",
    "run one guest program in a folder, and leave the folder as it is",
    """Run one static Linux program (x86, AMD64, AArch64, riscv64 or riscv32) on the emulated CPU
    and kernel that verify uses. It sees the folder --root as / and nothing else of the host; what
    it writes stays in memory, and is saved only with --output. It may use a C library (glibc, musl,
    dietlibc), memory, files, folders, and fork as the bare system call. There are no threads,
    signals, sockets or clock: a system call for one stops the program. Calls that C libraries only
    probe fail with ENOSYS, and are counted at the end: docs/syscalls.md.""",
    f"""{_GUEST}
--output DIR  write what the guest wrote into this folder
--strace  print each system call on standard error
{_END}
{_LIMIT}
program PROGRAM  the program: a path in the guest, relative to --cwd
argument ARG  its arguments
""",
    """Exit status: that of the program; 128 plus the signal's number if a signal ended it; 2 usage
    or bad input, or a name that --output could not write; 3 an unknown system call or a limit.""",
    more={"argument": {"nargs": argparse.REMAINDER}},
    example="run --root seeds/x86 --strace -- ./hex0-seed hex0.hex0 hex0",
)

PC = CommandRow(
    "pc",
    "boot a disk image on a bare emulated PC, without an operating system",
    """Boot a disk image on an emulated PC with the few BIOS calls that boot sectors like
    builder-hex0's use, and no operating system but the image's own. What the guest prints goes to
    standard output. The image is not changed: --disk-out writes the disk as the guest left it. With
    the word 'image' in place of IMAGE, make the image that builds a release of stage0-posix for x86
    on builder-hex0 (a file called image is ./image): docs/machines.md.""",
    f"""
image IMAGE  a disk image; or 'image': make one
--console  the guest's keyboard is standard input
--disk-out FILE  write the disk as the guest left it
--gdb ADDRESS  wait for gdb's `target remote` at HOST:PORT, or at a port of this machine (default
    1234), before the first instruction of the boot sector; every instruction is slow then
    (docs/gdb.md)
{_LOG}
--quiet  do not print what the guest prints
{_END}
{_limit("memory, disk, seconds, interrupts")}
to make an image:
--output FILE  the image to be written
{_SOURCE}
--release R  the release (default: the newest known)
{_BUILDER}""",
    """Exit status: 0 the machine rebooted or halted, or gdb ended it; 2 usage or bad input; 3 it
    has no boot sector, or stopped at something that the machine does not have, an exception or a
    limit.""",
    more={"gdb": {"nargs": "?", "const": "1234"}},
    example="pc disk.img --disk-out after.img",
)

UEFI = CommandRow(
    "uefi",
    "run a UEFI program on emulated firmware",
    """Run a PE32+ program for x64 on emulated UEFI firmware, which has the services that stage0's
    UEFI seeds use: memory, loading of programs, the files of --root, the console. A call of any
    other service stops the program and names the service. What the program writes stays in memory,
    and is saved only with --output.""",
    f"""
    --root DIR [.]  the files of the volume (default: .)
    --output DIR  write what the program wrote into this folder
    {_END}
    {_limit("memory, files, seconds")}
    program PROGRAM  the program, below --root
    argument ARG*  its arguments
    """,
    """Exit status: 0 it ended with EFI_SUCCESS; 1 with an error of its own, which is printed; 2
    usage or bad input; 3 it is no program for this firmware, or used a service that this does not
    have, or a fault or a limit ended it.""",
    example="uefi --root volume --output made shell.efi",
)

KNIGHT = CommandRow(
    "knight",
    "run, disassemble or step through a ROM of stage0's own machine",
    """Run a ROM on the knight, the machine that the first stage0 was written for: it reads tape 1,
    writes tape 2, and has a terminal. Or list the ROM's instructions, or step through them:
    commands come from standard input, and ? lists them.""",
    f"""
    rom ROM  a ROM, as verify --machine knight makes them
    --tape1 FILE  what is on tape 1
    --tape2 FILE  write what is on tape 2 at the end
    --listing HEX0  the ROM's hex0 source: its lines are shown beside the instructions
    --disassemble  list the instructions
    --step  step through them
    {_END}
    {_limit("memory, instructions, seconds, tape")}
    """,
    """Exit status: 0 it halted; 2 usage or bad input; 3 it used something that the machine does not
    have, or met a limit.""",
    example="knight rom --tape1 in --tape2 out",
)

TRACE = CommandRow(
    "trace",
    "record a run, check the record, see which program read and wrote what",
    """Record a run in one file, a trace: every system call, every version of every file, what each
    program was started with. Check a trace by running it again from nothing but the file. Look at
    its processes, files and system calls. A trace is an SQLite database: docs/trace.md.""",
    commands=(
        CommandRow(
            "record",
            "run and record: a bootstrap as verify does it, or one program",
            """Run and record. Without a PROGRAM: what `bootstrap verify` does with the same
            options, with all its checks. With -- PROGRAM ARG...: that program, as `bootstrap run`
            runs it. The trace is written to FILE.partial, which is renamed to FILE when it is
            complete.""",
            (
                "with -- PROGRAM:",
                _GUEST,
                ":",
                _VERIFY,
                _FALLBACK,
                "--output FILE!  the trace to write",
                "--products-to DIR  write every product into this new folder",
                "program PROGRAM*  after --, with arguments",
            ),
            """Exit status: that of verify (0 verified, 1 mismatch, 2 usage or bad input, 3 the
            guest failed, 130 interrupted), or of run: the program's own. A run that fails is
            recorded up to the failure; one that is interrupted leaves no trace.""",
            more=_ONE_OR_MORE,
            # --output is the trace here.
            parser={"conflict_handler": "resolve"},
            example="""
                trace record -o x86.trace                        verify, and record it
                trace record -o hex0.trace --root seeds/x86 -- ./hex0-seed hex0.hex0 hex0
                """,
        ),
        CommandRow(
            "check",
            "run a trace again, and compare every call and every file",
            """Run what was recorded again, from the trace alone, without source tree or cache.
            Every system call, argument, result and file version is compared; the first difference
            is shown.""",
            f"{_TRACE}\n{_JSON}",
            example="trace check x86.trace",
        ),
        CommandRow(
            "info",
            "what was recorded, and the trace's digest",
            """What was recorded and by which version, how large it is, and the trace digest, which
            is equal for two recordings in which the same happened.""",
            f"{_TRACE}\n{_JSON}",
            example="trace info x86.trace --json -",
        ),
        CommandRow(
            "tree",
            "the programs: which started which, and what each read and wrote",
            """Every program that ran, below the one that started it: pid, arguments, number of
            system calls, how it ended; what it opened for reading (<) and for writing (>), with
            size and the first digits of the SHA-256. A file that is written through an inherited
            descriptor is shown at the program that opened it.""",
            f"""{_TRACE}
--instructions  also how many instructions each executed (runs all of them again)
{_JSON}
""",
            example="trace tree x86.trace",
        ),
        CommandRow(
            "files",
            "every version of every file: which program wrote it, which read it",
            """Every version of every file that was executed, read or written, in order of first
            use: SHA-256, size, path, the program that wrote it (or that it was there before the
            run), and those that read it.""",
            f"""{_TRACE}
--graph {{dot,mermaid}}  a graph of files and programs instead, for Graphviz or Mermaid
{_JSON}
""",
            example="trace files x86.trace --graph dot",
        ),
        CommandRow(
            "log",
            "the system calls, as strace writes them",
            """The system calls in order, in strace's notation: [pid N] name(arguments) = result. A
            descriptor is followed by the path it was opened with, as with strace -y. A trace has a
            call's arguments, but of the memory that they point to only the paths of opened files
            (always in full) and of executed programs; for all else the address is shown.""",
            f"""{_TRACE}
--pid N*  only this process
--path PATH*  only calls on this file: its path in the guest, or the end of it from a /
--call NAME*  only these calls (commas between names)
{_JSON}
""",
            example="trace log x86.trace --pid 3 --call open,close",
        ),
        CommandRow(
            "why",
            "where a byte of a file comes from, through every file in between",
            """Which program wrote a byte of a file, in which system call; which instruction stored
            the byte; and which place of which source it comes from, through every file in between
            to a file of the source tree. A step from output to input is taken where a language
            model makes the whole output byte for byte. At a program without a model (a compiler)
            the path ends, and the last label before the byte is shown.""",
            f"""{_TRACE}
byte FILE:OFFSET  a path in the tree, and an offset: x86/bin/M1:0x200
--stores {{first,all,none}} [first]  run programs again to find the instruction that stored the
    byte: for the file asked for (first, the default), for every file on the path, or for none
{_JSON}
""",
            example="trace why x86.trace x86/bin/M1:0x200",
        ),
        CommandRow(
            "where",
            "which bytes of which files come from a line of a source",
            """The reverse of why: the bytes of every file that come from a line of a source,
            through every program that has a language model; a program without one ends the path,
            and is listed. A macro's bytes count for the line that uses it, not for its DEFINE.""",
            f"""{_TRACE}
line SOURCE:LINE  such as x86/cc_x86.M1:1623
{_JSON}
""",
            example="trace where x86.trace x86/cc_x86.M1:1623",
        ),
        CommandRow(
            "show",
            "a process at any instruction: registers, code, stack, memory, files",
            """Go to a place of the run and show the process as it was there: registers, the last
            instructions and the next ones, with labels and source lines where a language model
            knows them, stack, mapped memory, open files with their offsets, the system calls before
            and after. A place is PID@N (after N instructions of the last program of that process),
            PID.EXEC@N (of a certain program of it: 0 is the fork, 1 its first execve), PID#K (just
            after its K-th system call), PID#K+N (N instructions later), or eEVENT (after that
            system call of the run).""",
            f"""{_TRACE}
place PLACE  such as 17@5000, 17#12, 17#12+3 or e4711
--memory ADDR[:LEN]  show LEN bytes at ADDR too (default: 64)
{_JSON}
""",
            example="trace show x86.trace 3@100 --memory 0x8048000:32",
        ),
        CommandRow(
            "index",
            "make every place of a trace quick to reach",
            """Run every program of the trace again, once, and save the machine's state every 50
            million instructions in TRACE.index. Commands that go to a place then start from the
            nearest of these, and `tree --instructions` is immediate. It takes minutes for a whole
            architecture, and some hundred megabytes. The trace is not changed, and the index can be
            deleted.""",
            f"{_TRACE}\n{_JSON}",
            example="trace index x86.trace",
        ),
        CommandRow(
            "hot",
            "which functions or labels executed the most instructions",
            """Run every program of the trace again, count its instructions, and show the functions
            or labels that executed the most (or addresses, where no language model knows the
            program). An instruction with a REP prefix counts once.""",
            f"""{_TRACE}
--pid N*  only this process
--top N [20]  how many to show (default: 20)
{_JSON}
""",
            example="trace hot x86.trace --pid 20 --top 5",
        ),
        CommandRow(
            "coverage",
            "which bytes of a program were ever executed, and which never were",
            """Run every process of the trace that executed this program again, and show which bytes
            of the file were ever executed. The rest is listed, with labels and source lines where a
            language model knows them. Data that a program only reads counts as not executed.""",
            f"""{_TRACE}
binary BINARY  its path, or 8 or more digits of its SHA-256
--all  list everything that was never executed, however long
{_JSON}
""",
            example="trace coverage x86.trace x86/bin/M1",
        ),
        CommandRow(
            "export",
            "write a trace in another tool's format: strace, drcov, perfetto, tenet, dot",
            """Write the trace, or a part of it, in another tool's format. strace: the system calls
            as text. dot: which program wrote and read which file, for Graphviz. perfetto: the
            process tree with instructions as time, for ui.perfetto.dev and chrome://tracing. drcov:
            which basic blocks ran, for Lighthouse and others. tenet: registers and memory,
            instruction by instruction, in a part of one program. The last three run the programs
            again: docs/trace-export.md.""",
            f"""{_TRACE}
--format {{strace,drcov,perfetto,tenet,dot}}!  the format
--output FILE!  the file to write ('-': standard output)
--pid N  only this process: strace, drcov, and tenet's program
which part, for --format tenet:
--from PLACE  where it begins: 17@5000, 17.1@5000, 17#12, ... (default: the start of the last
    program of --pid)
--count N  how many instructions (default: to the program's end)
--most N  refuse to write more instructions than this (default: 100000)
""",
            example="trace export x86.trace --format perfetto -o x86.json",
        ),
    ),
)

STEP = CommandRow(
    "step",
    "step through a run, forwards and backwards: source, code, registers, files",
    """Step through a recorded run, instruction by instruction, forwards and backwards, in a
    terminal: the source line that each instruction was assembled from, disassembly, registers,
    memory, files, system calls, processes. ? shows the keys, and : takes commands as words. A
    program or a source tree is recorded first, and then stepped through. Nothing on the host is
    changed.""",
    (
        _TREE_OR_TRACE % "",
        """
        --script FILE  run the commands in FILE ('-': standard input), print their results, and stop
            at the first that fails; needs no terminal
        --json FILE  with --script: write the results as JSON ('-': standard output)
        """,
    ),
    """Exit status: 0 done; 1 an `expect` of a script is not met; 2 usage or bad input, also in a
    line of a script; 130 interrupted. A walk through hex0: docs/step.md.""",
    parser={
        "usage": "%(prog)s [TRACE | --source SOURCE | -- PROGRAM ARG...] [--script FILE] [options]"
    },
    example="""
        step                                    hex0 and what follows, on the embedded sources
        step --root seeds/x86 -- ./hex0-seed hex0.hex0 hex0
        """,
)

GDB = CommandRow(
    "gdb",
    "debug a recorded run with gdb: breakpoints, watchpoints, also backwards",
    """Let gdb debug a recorded run, by its remote protocol: `stepi`, `continue`, `reverse-stepi`,
    `reverse-continue`, breakpoints, watchpoints, memory, registers, for x86, AMD64, AArch64,
    riscv64 and riscv32. A program or a source tree is recorded first. A recording cannot be
    changed; but if gdb writes to a program given after --, the run is recorded anew from there.
    `monitor help` in gdb lists what else there is: where a byte comes from, going to any place,
    other processes.""",
    (
        _TREE_OR_TRACE
        % "; with a TRACE of one program: the folder to run it in again when gdb writes to it",
        """
        --at PLACE []  start there, such as 5@0
        --symbols DIR  write the annotated sources and gdb's symbol files into this empty folder; in
            gdb, once connected: source DIR/symbols.gdb (--launch does it all)
        | --listen ADDR:PORT [127.0.0.1:1234]  wait there for gdb (default: 127.0.0.1:1234); port 0:
            any free one
        | --stdio  use standard input and output, for gdb's `target remote | COMMAND`
        | --launch  start the installed gdb-multiarch or gdb, connected
        --once  with --listen: end when the first client disconnects
        """,
    ),
    """In gdb: target remote 127.0.0.1:1234, or: target remote | bootstrap gdb --stdio TRACE. Exit
    status: 0 done (with --launch: gdb's own); 1 the run differs from the recorded one; 2 usage or
    bad input; 130 interrupted. A walk through hex0: docs/gdb.md.""",
    parser={
        "usage": "%(prog)s [TRACE | --source SOURCE | -- PROGRAM ARG...] "
        "[--listen ADDR:PORT | --stdio | --launch] [options]"
    },
    example="""
        gdb x86.trace --launch                  the installed gdb, connected
        gdb --launch --root seeds/x86 -- ./hex0-seed hex0.hex0 hex0
        """,
)

DIFF = CommandRow(
    "diff",
    "find where two traces, reports or source trees first differ, and what followed",
    """\
Compare two runs or two source trees: where they first differ, and what followed from that.
Use it when a checksum is not what it should be.

A and B are two of the same kind, recognized by their content:
  traces         of `bootstrap trace record`: the first process, file, system call and
                 instruction that differ, with the source line; then every file that programs
                 left and that differs because of it
  JSON reports   of `bootstrap verify --json`: the artifacts that differ, in build order
  source trees   folders or archives: the files that differ, those that the bootstrap reads
                 first
or a trace and what `--effects FILE` wrote on a machine without Linux: process by process, the
calls that have an effect; differences that are by design are listed apart.

Two traces are compared without running anything, in seconds for a whole architecture. Only to
find the first instruction that differs, two programs are run again, from the traces alone;
--no-replay leaves that out.
""",
    """
    a A  a trace, a report, a folder, an archive or its address, or DIR@REV
    b B  another of the same kind
    --all  print lists in full, however long
    --no-replay  of traces: run nothing again, so no first instruction that differs is found
    --json FILE  write the result as JSON ('-': standard output)
    --html FILE  write the result as one self-contained HTML page ('-': standard output)
    """,
    """\
exit status: 0 equal, 1 different, 2 usage or bad input, 130 interrupted
""",
    parser={"formatter_class": argparse.RawDescriptionHelpFormatter},
    example="""
        diff good.trace bad.trace
        diff mine.json theirs.json
        diff stage0-posix-1.9.1.tar.gz ~/stage0-posix@main
        """,
)

HANDOFF = CommandRow(
    "handoff",
    "go on to live-bootstrap: show its plan, get the sources it needs, and run it",
    """What comes after stage0: show what live-bootstrap would do on its way to GCC, get or check
    the source files that it needs, and run it in a container. docs/handoff.md says more.""",
    commands=(
        CommandRow(
            "plan",
            "show what live-bootstrap would do, step by step, and what it checks",
            """Read a checkout of live-bootstrap and show what it would do in a chroot without
            network, without running any of it: every line of its manifest, the steps in order with
            their pass numbers, the source files of each, what upstream checks and by which line of
            which file, what it does not check, and which stage0-posix it pins. For a checkout of
            StageX: its stages, what each is built from, and which checks are off in it.""",
            (
                f"\n| {_CHECKOUT.strip()}",
                """
                | --stagex DIR  show the plan of a checkout of StageX instead (without DIR: of the
                    one in the cache)
                --distfiles DIR  a folder with source files: hash them all
                --arch {x86,amd64,riscv64} [x86]  (default: x86)
                --set NAME=VALUE*  change live-bootstrap's configuration, as in FINAL_JOBS=4
                --json FILE  write the result as JSON ('-': standard output)
                --graph {dot,mermaid}  a graph instead, for Graphviz or Mermaid
                --verbose  each step's files and checks too
                """,
            ),
            """The two marks before a step are for its inputs and its outputs: checked (✓), partly
            (~), not at all (?). Exit status: 0 the plan was read, and with --distfiles every file
            that its steps need is there; 1 a file is missing or wrong; 2 usage or bad input.""",
            more={"stagex": {"nargs": "?", "const": ""}},
            example="handoff plan --live-bootstrap ~/live-bootstrap",
        ),
        CommandRow(
            "sources",
            "get the source files that a checkout of live-bootstrap lists, or check a folder",
            """Hash every source file in a folder, and download those that are missing, from the
            mirrors given and the addresses that the checkout lists: several at once, continuing
            where an earlier run stopped. A download gets its final name only if it has the sha256
            that the checkout lists; a file that is there with another sha256 is reported, and left
            as it is.""",
            (
                _CHECKOUT,
                """
                --distfiles DIR!  the folder of source files
                --audit, --offline  only check; never use the network
                --mirror URL-OR-DIR*  a folder, or an address (https, http, file), that has the
                    files under their names: tried before the listed addresses
                --jobs N [4]  files to download at once (default: 4)
                --needed  only files that the steps of `handoff plan` need, not all of the manifest
                --replace  download wrong files again too
                --json FILE  write the result as JSON ('-': standard output)
                """,
            ),
            """Exit status: 0 every file is there with its sha256; 1 some are missing or wrong; 2
            usage or bad input, or a folder that cannot be written; 130 interrupted, 143 ended by
            SIGTERM: what was downloaded is kept, and the next run continues from there.""",
            example="handoff sources --live-bootstrap ~/live-bootstrap --distfiles files",
        ),
        CommandRow(
            "run",
            "run live-bootstrap's steps in a container, checked and resumable",
            """Make live-bootstrap's root file system from a checkout, its source files and stage0,
            and run its steps, each in a container without network, host environment or
            capabilities. The products of each step are hashed here, whether or not upstream's
            scripts check them, and kept: a run that was stopped or that failed continues after the
            last finished step. If a source file is missing, the run goes as far as it can, and
            names the file.""",
            (
                _CHECKOUT,
                """
                --distfiles DIR!  the folder of source files; bootstrap handoff sources fills it
                --work DIR!  a folder for the root file system, a copy of it, logs and the results
                    of finished steps
                --engine {auto,podman,docker,bwrap} [auto]  the container engine; auto takes the
                    first of these that works, and says why
                --from {seed,stage0} [seed]  seed: rebuild stage0 natively in the container, and
                    compare; stage0: start with the products of an emulated run
                --until STEP  stop after this step: stage0, seed, a number of handoff plan, or a
                    title such as 'tcc-0.9.26 pass 1'
                --resume  continue the run in --work
                --arch {x86,amd64,riscv64} [x86]  upstream supports x86 (the default); the others
                    do not get as far
                --stage0 DIR  the stage0-posix that the checkout pins (default: the checkout's own,
                    else the one in the cache)
                --stage0-release R  the release of stage0-posix, if nothing in the checkout pins one
                | --emulate  rebuild stage0 in the emulator too, and compare every product
                | --report FILE  compare with an emulated run: the report that bootstrap verify
                    --json wrote
                --products DIR  with --from stage0: the products, as bootstrap verify --output wrote
                    them (default: emulate now)
                --set NAME=VALUE*  change live-bootstrap's configuration, as in JOBS=4
                """,
                _limit("memory, processes, open_files, file (bytes), seconds (of one step)"),
                """
                --json FILE  write the result as JSON ('-': standard output)
                --quiet  no progress
                --verbose  list every finished step
                """,
            ),
            """Exit status: 0 all steps asked for are finished; 1 a product differs from its known
            value; 2 usage or bad input, or a source file is missing; 3 a step failed; 130
            interrupted; 143 ended by SIGTERM.""",
            example="handoff run --distfiles files --work work --until stage0",
        ),
    ),
)

OCI = CommandRow(
    "oci",
    "write the verified stage0 as a container image",
    "The verified stage0 as a container image. docs/oci.md says more.",
    commands=(
        CommandRow(
            "export",
            "write the verified products as an OCI image layout",
            """Verify a release, as bootstrap verify does and with its options, and write the
            verified products as an OCI image layout: from scratch, with one layer that has only the
            products. So everyone who verifies the same release gets the same manifest digest, with
            any version of this program. Details of the run go into findings.json beside it. Or use
            the report and the products of an earlier verify (--report, --products): every product
            is hashed again, and the report is compared with what is known of the release. Nothing
            is written unless everything is verified.""",
            (
                _VERIFY,
                """
                --output DIR!  the layout: a new or an empty folder
                --json FILE  write the result as JSON ('-': standard output)
                --report-to FILE  write the report of the verify too, as JSON
                --report FILE  do not verify, use this report (verify --json FILE)
                --products DIR  and these products (verify --output DIR)
                --gzip  put the layer into a gzip file (the default), stored and not compressed so
                    that its bytes are the same everywhere; clients pass it on unchanged, while they
                    would compress a plain one
                """,
            ),
            """Try it: skopeo inspect oci:DIR, podman run --rm --network=none oci:DIR. Exit status:
            0 written, 1 something differs (nothing is written), 2 usage or bad input, 3 the guest
            failed, 130 interrupted.""",
            more={
                **_ONE_OR_MORE,
                "gzip": {"action": argparse.BooleanOptionalAction, "default": True},
            },
            # --output and --json mean the image here.
            parser={"conflict_handler": "resolve"},
            example="oci export -o image --release 1.9.1",
        ),
        CommandRow(
            "compare",
            "check whether two layouts hold the same image",
            """Check whether two OCI image layouts hold the same image. A client that compresses
            layers again changes the manifest, but not the configuration and the layers' diff_ids;
            these are compared. Every digest is checked.""",
            f"layouts LAYOUT  the folder of a layout\n{_JSON}",
            "Exit status: 0 the same image, 1 a different one, 2 usage or bad input.",
            more={"layouts": {"nargs": 2}},
            example="oci compare mine yours",
        ),
    ),
)

ATTEST = CommandRow(
    "attest",
    "sign a statement of what a verified run made",
    """Sign a statement that a release was verified: an in-toto statement with SLSA provenance
    (products, seed and sources with their hashes, tool, engine, CPU vendor and system) in a DSSE
    envelope. With --run, the release is verified first, with the options of bootstrap verify, and
    the statement says so. With --report, the statement says that it rests on a report; with
    --products too, that the products were hashed again. Use --report on the machine that made the
    report, or describe that machine with --cpu-vendor and --host-os. With --stagex: the container
    signature of an image (bootstrap oci export) in the layout of StageX's signatures.""",
    (
        _VERIFY,
        """
        |! --run  verify now (--json: the report)
        |! --report FILE  what bootstrap verify --json FILE wrote, or bootstrap handoff run --json
            FILE
        --products DIR  hash these products again (verify --output DIR)
        --opinions NAME,...  with --run: make these opinions of bootstrap confirm too, and sign only
            if each agrees on every product; the statement names them and their inputs
        --require-recheck  sign only what the core alone verified too: --run implies --recheck, and
            a report must have one
        --sign {ssh,gpg,none} [none]  how to sign; none (the default): write the statement unsigned
        --key KEY  ssh: the file of a private key, of one on a card, or of a public key whose
            private half the agent has; gpg: a fingerprint or user id (default: gpg's own choice)
        --output FILE  where to write the attestation ('-': standard output)
        --cpu-vendor NAME  the maker of the CPU of the machine that made the report
        --host-os NAME  the operating system of that machine
        --form {provenance,vsa} [provenance]  the statement's predicate: SLSA provenance (default),
            or, with --run, an SLSA verification summary that includes it
        --subject {products,image} [products]  what it is about: the products (default), or the
            image of --image; then it is stored beside the image in the layout (as an OCI referrer,
            found by its tag)
        --image DIR  the image's OCI layout (bootstrap oci export)
        --stagex DIR  put a container signature of the image into this checkout of StageX's
            signatures
        --reference REGISTRY/NAME:TAG  with --stagex: the image's name, as in
            stagex/bootstrap-stage0:1.9.1
        """,
    ),
    """A report is refused if it is not verified, contradicts itself, or differs from what is known
    of the release. Exit status: 0 written, 1 something differs (nothing is signed), 2 usage or bad
    input, 3 the guest failed.""",
    more=_ONE_OR_MORE,
    # --output is the attestation's here.
    parser={"conflict_handler": "resolve"},
    example="attest --run --sign ssh --key ~/.ssh/id_ed25519 -o me.json",
)

QUORUM = CommandRow(
    "quorum",
    "count who vouches for a release, by a policy",
    """Check signed attestations (bootstrap attest) and count them by a policy, a TOML file: people
    with their ssh and gpg keys, and how many different people, runs, engines, CPU vendors and
    systems are needed. Two keys of one person count once, and so do two attestations of one report;
    expired and revoked keys do not count; and all that count must be about the same sources and
    products. A file that is not an attestation is named, and does not count. Every signature is
    checked by ssh-keygen or gpg, with the policy's keys only. --init writes a policy to start
    from.""",
    """
    attestations ATTESTATION*  files that bootstrap attest wrote (DSSE envelopes), or an OCI layout:
        the attestations beside its image
    |! --policy FILE  the policy, TOML
    |! --init FILE  write a commented policy to fill in (default: policy.toml), and do nothing else;
        an existing file is not changed
    --stagex DIR  a checkout of StageX's signatures: count the different signers of each image in
        the policy's [stagex]
    --at DATE  judge by the keys that were valid on that day (2026-11-23, UTC), not today
    --json FILE  write the result as JSON ('-': standard output)
    --verbose  list the products too
    """,
    """Exit status: 0 the policy is met, 1 it is not, 2 usage or bad input, or a policy that cannot
    be met.""",
    more={"init": {"nargs": "?", "const": "policy.toml"}, "at": {"type": _day}},
    example="""
        quorum --init policy.toml
        quorum --policy policy.toml me.json you.json
        """,
)

CONFIRM = CommandRow(
    "confirm",
    "count the independent opinions on every artifact of a release",
    """For every artifact of a release: which opinions agree on it, and how many of these are
    independent of one another. An opinion is the result of another way to the same hashes. --run
    makes them, each in its own process, and they are kept in the cache with everything that they
    depend on; what upstream and others publish is read. Two are independent if they differ in CPU
    code, kernel or chain of tools, or are published by different parties. An opinion that differs
    is never outvoted. docs/confirm.md has the table.""",
    f"""
    --release R  the release (default: the newest known); embedded: the x86 sources that come with
        this program
    --arch ARCH [x86]  x86 (default), AMD64, AArch64, riscv64 or riscv32
    {_SOURCE} (default: as for verify)
    --entry {{{",".join(ENTRIES)}}}  as for verify
    --run NAME,...  make these opinions, or `all`, unless the cache has them: core, fast-path,
        builder-hex0, qemu-user, native, valgrind, models, proof, knight, ddc
    --fresh  with --run: make them again, and report where the result differs from the cache
    --jobs N  how many to make at once (default: the number of processors)
    --at-least N [2]  independent opinions that every artifact must have (default 2)
    --baseline FILE  an earlier --json: exit 1 if an artifact has lost an opinion since; only
        opinions made in this run count then
    --policy FILE  a policy of quorum, by which attestations count as one more opinion
    --attestation FILE*  an attestation (bootstrap attest)
    --json FILE  write the result as JSON ('-': standard output)
    --html FILE  write the result as one self-contained HTML page ('-': standard output)
    --markdown FILE  write the result as Markdown ('-': standard output), also to
        $GITHUB_STEP_SUMMARY
    --quiet  no progress, and one line if everything is confirmed
    """,
    """Exit status: 0 every artifact has as many independent opinions as asked for, and none
    differs; 1 otherwise; 2 usage or bad input; 130 interrupted: opinions that were made are
    kept.""",
    more={"jobs": {"type": _number(1)}, "at-least": {"type": _number(1)}},
    example="""
        confirm --run core,models --at-least 2
        confirm --json now.json --html now.html
        """,
)

DOCTOR = CommandRow(
    "doctor",
    "list what is installed, cached and possible on this machine",
    """List versions, the engine and the fast path, the cache and the releases in it, the embedded
    sources, which architectures this host runs natively, and which programs that some commands need
    are installed, with the command that installs each.""",
    _JSON,
    example="doctor",
)

HELP = CommandRow(
    "help",
    "show the help of a command",
    "Show the help of a command: `bootstrap help trace show` is `bootstrap trace show --help`.",
    "command COMMAND*  the command",
    example="help verify",
    run="main:run_help",
)

COMMANDS = (
    VERIFY, DDC, PROVE, SEEDS, IDENTIFY, FETCH, RELEASES, RUN, PC, UEFI, KNIGHT, TRACE, STEP, GDB,
    DIFF, HANDOFF, OCI, CONFIRM, ATTEST, QUORUM, DOCTOR, HELP,
)  # fmt: skip

_EXAMPLES = """\
verify                          rebuild stage0 for x86 and check every product
verify --arch amd64 --json -    the same for AMD64, report as JSON
verify --arch all --jobs 2      every architecture, on two CPUs, one report
verify --source ~/stage0-posix  your own checkout
fetch stage0-posix --from ~/stage0-posix-1.9.1.tar.gz
ddc                             three unrelated paths to one compiler
prove seeds/x86/hex0-seed       what the seed does, for every input
run --root seeds/x86 -- ./hex0-seed hex0.hex0 hex0
verify --machine builder-hex0 --builder-hex0 ~/builder-hex0
trace record -o x86.trace       verify, and record everything that happens
step x86.trace                  step through it, forwards and backwards
gdb --launch x86.trace          the same with gdb
diff good.trace bad.trace       where two runs first differ, and what followed
identify FILE                   which seed, source or product of a release it is
doctor                          what is installed, and what is missing
"""


def parser() -> CommandParser:
    """The parser of all commands; `function` of what it parses names what runs the command."""
    return make_parser(
        COMMANDS,
        "Rebuild and verify a full-source bootstrap in an emulator: from a seed of a few hundred "
        "bytes, through every program built from it, each compared with its known-good hash.",
        _EXAMPLES,
    )
