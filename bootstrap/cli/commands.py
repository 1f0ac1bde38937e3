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

_LIMIT = """
--limit NAME=N*  change a limit: memory, memory_total, file, files_total, inodes, open_files,
    processes, nesting, instructions, seconds (K, M, G are powers of 1024)
"""
_FALLBACK = """
--fallback {embedded}  where the release can be had from neither cache nor network, take what this
    program carries (x86, hex0 to M0); the report says so, and the exit status is 4 at best
"""
_SOURCE = (
    "--source SOURCE  a checkout; an archive (.tar, .tar.gz, .tar.xz, .tar.zst, .zip) or its "
    "address; or, as DIR@REV, a commit, tag or branch of a clone"
)
_VERIFY = f"""
{_SOURCE}
--release R  the release (default: the newest known); embedded is what this program carries (x86);
    stagex-stage0 is StageX's stage0, with --source a StageX checkout
--fetched DIR  with stagex-stage0: the folder with the source archives that StageX names
--arch ARCH [x86]  x86, AMD64, AArch64, riscv64 or riscv32, in any case and by usual aliases
    (default x86); several with commas between them, or all: one report for all of them
--jobs N [1]  run up to N programs of the bootstrap at once, each in a process of ours; with several
    architectures, N of them (default 1: all in order)
--entry {{{",".join(ENTRIES)}}}  the way in: kaem-optional-seed (the default, upstream's usual one),
    or hex0-seed, which trusts nothing but the hex0 seed
--output DIR  write every product below this new folder
--json FILE  write the report as JSON ('-': stdout)
--junit FILE  write the report as JUnit XML
--html FILE  write the report as one HTML page, to be passed on
--recheck  afterwards, run it again by the core alone, in an interpreter of its own, and compare
    verdict, digests and every artifact: several times the time
--quiet  no progress, and one line if all is well
--verbose  list the intermediate artifacts too
{_LIMIT}"""
_BUILDER = """
--builder-hex0 DIR  a checkout of builder-hex0, or a commit in our cache (default: the one there;
    bootstrap fetch builder-hex0 --from DIR puts it there)
"""
_MEMO = """
--fail-fast  stop at the first file that is not the known one
--changed-since REV  with --source DIR, a git checkout: say which artifacts can be touched by what
    differs from this commit, by the graph of an earlier run, and which of them changed
parts of an earlier run, believed and not run again (the exit status is 4 then):
--memo FILE  what earlier runs made, by what each program observed; made where there is none
--memo-size BYTES  that it may take (K, M, G are powers of 1024; default 256M); the oldest go first
--memo-check N|all  run so many of the programs that it has again, drawn, and compare
--memo-owner UID  take a memo that belongs to this user
:
"""
_LOG = """--log FILE  write each system call of the guest, with arguments and result (slow)
--effects FILE  write what each program of the guest opened, wrote and changed, as JSON that
    bootstrap diff holds against a trace (slow)"""
_MACHINE = f"""
on a machine that has no Linux (an opinion, no verdict: docs/machines.md):
--machine {{builder-hex0,knight,uefi}}  a PC on which builder-hex0's kernel serves the system calls
    (x86; its limits are memory, disk, seconds, interrupts); stage0's knight, on which --source is a
    checkout of stage0 (memory, instructions, seconds, tape); UEFI firmware, with a stage0-uefi tree
    (memory, files, seconds)
{_BUILDER}{_LOG}
:
"""
_ONE_OR_MORE: Mapping[str, Mapping[str, Any]] = {"jobs": {"type": _number(1)}}
_TREE_OR_TRACE = f"""
words TRACE | -- PROGRAM ARG...*  a trace (`bootstrap trace record`); or, after --, a program and
    its arguments, recorded as `bootstrap run` runs it. Without either: the sources that this
    program carries, from the hex0 seed to a hello, world
a bootstrap, recorded first:
{_SOURCE}
--release R  that release of stage0-posix
--arch ARCH [x86]  x86 (default), AMD64, AArch64, riscv64, riscv32
--entry {{{",".join(ENTRIES)}}}  the way in, as for verify
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
--live-bootstrap DIR  a checkout of live-bootstrap, with .git or without, or a commit (or digest) in
    our cache (default: the one there; bootstrap fetch live-bootstrap --from DIR puts it there)
"""
_TRACE = "trace TRACE"
_THE_SAME = "--json FILE  the same as JSON ('-': standard output)"

# -- the commands --------------------------------------------------------------------------------

VERIFY = CommandRow(
    "verify",
    "rebuild a release from its seed and compare every product with its known-good hash",
    """Rebuild a release of stage0-posix from its seed in the emulator, and compare every product
    with its known-good hash. The source is, in this order: --source, the release in the cache, the
    release from its published address. The report says which.""",
    (_VERIFY, _FALLBACK, _MEMO, _MACHINE),
    more={**_ONE_OR_MORE, "memo-owner": {"type": _number(0)}},
    example="""
        verify --release embedded          what this program carries: a second, no network
        verify --arch AMD64 --json r.json  another architecture; the report as JSON too
        verify --source ~/stage0-posix@1.9.1 --output out   a tag of a clone; keep the products
        """,
)

DDC = CommandRow(
    "ddc",
    "build upstream's first programs along three unrelated paths and compare them",
    """Diverse double-compiling: assemble upstream's own sources of hex1, hex2-0, catm, M0 and the C
    compiler cc_x86 along three paths, and with each path's compiler M2-Planet. The paths are:
    upstream's own tools; ours, built from the same seed on sources that we wrote apart from
    upstream's; and the language models, which are Python functions. With --knight there is a
    fourth, without any program for x86: the models, and the C compiler of the first stage0 on its
    own machine. What a tool hid in what it assembles would show as a difference. docs/ddc.md says
    what agreement proves, and what it does not.""",
    f"""
{_SOURCE} (default: the release in the cache, else its published address)
--release R  the release (default: the newest known; with --knight 1.3, the one that it can compile)
--knight STAGE0  compile M2-Planet on the knight too, by the cc_x86 of this checkout of stage0 or of
    this commit in our cache (default: the one there; bootstrap fetch stage0 --from DIR puts one
    there)
--json FILE  write the comparison as JSON ('-': stdout)
--quiet  no progress, and one line if they agree
{_LIMIT}""",
    """Exit status: 0 all paths agree, and with the known-good values; 1 they differ, or something
    was not made; 2 usage or bad input; 3 our own tools, or a ROM, could not be built; 130
    interrupted.""",
    more={"knight": {"nargs": "?", "const": ""}},
    example="ddc --source stage0-posix-1.9.1.tar.gz",
)

PROVE = CommandRow(
    "prove",
    "show what a hex0 seed does for every input, by walking all its states",
    """Walk every state that a hex0 seed can be in when it reads a byte, with every byte and the end
    of the file, and hold it against the language. A certificate of that is checked by a checker
    that shares nothing with the walk. docs/proof.md says what is proven, under which assumptions,
    and what is not.""",
    """
    seed SEED  a program, or - for standard input
    --arch A  refuse a program for another architecture
    --output CERTIFICATE  write the certificate
    --language {hex0,hex1} [hex0]  what it should be; hex1: upstream's for x86 and AMD64, with z3
    --against B  compare with this program instead of hex0
    --svg FILE  write the automaton as a picture
    --json FILE  write all findings as JSON ('-': stdout)
    --states N [300]  give up beyond N states (%(default)s)
    """,
    example="prove seeds/x86/hex0-seed --svg hex0.svg",
)

IDENTIFY = CommandRow(
    "identify",
    "say which seed, source or product of which release a file or a hash is",
    """Say of each file, folder or SHA-256 which known seed it is, or which source, product or
    archive of which release and architecture; of a folder or archive with a source tree, which
    release that is, and why it is not quite that. A file that holds hashes, as sha256sum and most
    reports print them, is taken for a list: each is searched for. Of an unknown file: the nearest
    known seed that is at hand.""",
    """
    what FILE|HASH|FOLDER+  a file, a SHA-256, a folder, or - for standard input
    --json FILE  write it as JSON ('-': standard output)
    """,
    "Exit status: 0 all are known, 1 one is not, 2 one cannot be read.",
    run="identify:run",
    example="identify hex0-seed SHA256SUMS   a file, and each hash in a list",
)

SEEDS = CommandRow(
    "seeds",
    "list the known seeds; identify, take apart and check a file",
    """What is known of every seed that bootstrap-seeds ever published, and what a file is, byte by
    byte.""",
    commands=(
        CommandRow(
            "list",
            "the known seeds",
            "The known seeds, one row for each place.",
            """
            --arch ARCH  only this architecture, by any usual name, or knight
            --kind KIND  only this kind (hex0-seed, kaem-optional-seed, ...), or this family (POSIX,
                NATIVE, UEFI)
            --release R  only what this release of stage0-posix has
            --json FILE  write it as JSON ('-': standard output)
            """,
            example="seeds list --arch AMD64 --kind hex0-seed",
        ),
        IDENTIFY,
        CommandRow(
            "show",
            "the anatomy of a file: what each byte of it is",
            """The anatomy of a seed, in file order: each header field with its meaning, each
            instruction, strings, padding, and what nothing uses. Every byte is in exactly one part;
            where several readings lie over one another, all are shown.""",
            """
            file FILE  a file, or - for stdin
            --lines N [20000]  print at most N lines (default 20000; 0: all)
            --json FILE  write it as JSON ('-': standard output)
            """,
            run="seed_anatomy:run",
            example="seeds show seeds/x86/hex0-seed",
        ),
        CommandRow(
            "check",
            "hold a seed against its hex0 source",
            """Assemble the source by the pure model and by a hex0 seed that runs in the emulator,
            and compare both with the file, byte by byte. A hex0 seed assembles its own source; for
            another seed the 181-byte x86 seed does, or the one that --by names.""",
            """
            file FILE  the seed, or - for stdin
            --hex0 SOURCE!  its hex0 source
            --by SEED  the hex0 seed to run on the source
            --json FILE  write it as JSON ('-': standard output)
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
    """Put a release into the cache: from its published address, a mirror, a local archive or a
    local checkout. An archive is checked against the published sha256, every tree file by file
    against what the catalogue knows of the release. Of live-bootstrap and StageX, a local checkout
    goes into the cache under its commit, each file with the content that git's index has; of StageX
    only what is read of it.""",
    """
    name {stage0-posix,live-bootstrap,stagex,builder-hex0,stage0}  what to fetch
    --release R  the release (default: the newest); the commit that a checkout should be at
    --from SOURCE  an archive or its address, a checkout, or a commit of a clone (DIR@REV)
    --force  replace what the cache has of the release
    --json FILE  write what was done as JSON ('-': standard output)
    """,
    example="""
        fetch stage0-posix                               from its published address
        fetch stage0-posix --from stage0-posix-1.9.1.tar.gz   without a network
        """,
)

RELEASES = CommandRow(
    "releases",
    "list the releases that can be verified, and what is known of each",
    """List the releases of stage0-posix that the catalogue knows, oldest first: commit, published
    sha256 of the archive, whether it is in the cache; and for each architecture how many of
    upstream's answers, values of a native run and materials (files that the bootstrap reads) are
    known, and whether a run of the whole bootstrap met them.""",
    "--json FILE  write the list as JSON ('-': stdout)",
    example="releases --json -",
)

RUN = CommandRow(
    "run",
    "run one guest program in a folder, and leave the folder as it is",
    """Run one static Linux program (x86, AMD64, AArch64, riscv64 or riscv32) under the same kernel
    as verify. It sees the folder --root as / and nothing else of the host; what it writes stays in
    memory, and is written out only to --output. It may use a C library (glibc, musl, dietlibc),
    memory, files, folders, and fork as the bare system call; there are no threads, signals, sockets
    or clock, and a call for one stops it. What libraries only probe fails with ENOSYS, and is
    counted at the end: docs/syscalls.md.""",
    f"""{_GUEST}
--output DIR  write what the guest wrote below this folder
--strace  print each system call on stderr
{_LIMIT}
program PROGRAM  guest path, relative to --cwd
argument ARG
""",
    """Exit status: that of the program; 128 and the signal's number when a signal ended it; 2 usage
    or bad input, or a name that --output could not write; 3 an unknown system call or a limit.""",
    more={"argument": {"nargs": argparse.REMAINDER}},
    example="run --root demo --strace -- ./hex0 hello.hex0 hello",
)

PC = CommandRow(
    "pc",
    "boot a disk image on a bare PC: no operating system of ours",
    """Boot a disk image on a PC that has a BIOS for what boot sectors like builder-hex0's ask for,
    and nothing else: no Linux of ours serves a call. What the guest prints goes to standard output.
    The image stays as it is: the disk with what the guest wrote goes to --disk-out. With 'image' in
    the place of IMAGE (a file of that name is ./image), make the image that builds a release of
    stage0-posix for x86 on builder-hex0: docs/machines.md.""",
    f"""
image IMAGE  a disk image; or 'image': make one
--console  the guest's keyboard is standard input
--disk-out FILE  write the disk as the guest left it
--gdb ADDRESS  wait at HOST:PORT, or a port of this machine alone (without a value 1234), for gdb's
    `target remote`, before the first instruction of the boot sector. Each instruction is slow then,
    also while nothing stops the machine (docs/gdb.md)
{_LOG}
--quiet  do not print what the guest prints
--limit NAME=N*  change a limit: memory, disk, seconds, interrupts (K, M, G are powers of 1024)
to make an image:
--output FILE  the image to be written
{_SOURCE}
--release R  the release (default: the newest known)
{_BUILDER}""",
    """Exit status: 0 the machine rebooted or halted, or gdb ended it; 2 usage or bad input; 3 it
    stopped at what it does not have, at an exception or at a limit.""",
    more={"gdb": {"nargs": "?", "const": "1234"}},
    example="pc disk.img --disk-out after.img",
)

UEFI = CommandRow(
    "uefi",
    "run a UEFI program on firmware that has what stage0's UEFI seeds use",
    """Run a PE32+ program for x64 on UEFI firmware of ours: memory, the programs that it loads, the
    files of --root, the console. A service that the seeds do not use stops it by name. What the
    program writes stays in memory, and is written out only to --output.""",
    """
    --root DIR [.]  the files of the volume (default: .)
    --output DIR  write what the program wrote below this folder
    --limit NAME=N*  change a limit: memory, files, seconds (K, M, G are powers of 1024)
    program PROGRAM  the program, below --root
    argument ARG*
    """,
    """Exit status: 0 it ended with EFI_SUCCESS; 1 with an error of its own, which is printed; 2
    usage or bad input; 3 it asked for what the firmware does not have, a fault or a limit.""",
    example="uefi --root volume --output made shell.efi",
)

KNIGHT = CommandRow(
    "knight",
    "run, disassemble or step through a ROM of stage0's own machine",
    """Run a ROM on the knight, the machine of the first stage0: tape 1 is read, tape 2 is written,
    the terminal is the terminal. Or list its instructions, or step through them: commands come from
    standard input, and ? names them.""",
    """
    rom ROM  a ROM, as verify --machine knight makes them
    --tape1 FILE  what is on tape 1
    --tape2 FILE  write what is on tape 2 at the end
    --listing HEX0  the ROM's hex0 source: its lines are shown beside the instructions
    --disassemble  list the instructions
    --step  step through them
    --limit NAME=N*  change a limit: memory, instructions, seconds, tape (K, M, G are powers of
        1024)
    """,
    """Exit status: 0 it halted; 2 usage or bad input; 3 it did what the machine does not have, or a
    limit.""",
    example="knight rom --tape1 in --tape2 out",
)

TRACE = CommandRow(
    "trace",
    "record a run, check the record, see who read and wrote what",
    """Record a run in one file: every system call, every version of every file, what each program
    was started with. Check a record by running it again, from what is in the file alone. See its
    processes, files and system calls. The file is an SQLite database: docs/trace.md.""",
    commands=(
        CommandRow(
            "record",
            "run and record: a bootstrap as verify does it, or one program",
            """Run and record. Without a PROGRAM: what `bootstrap verify` does with the same
            options, every check of it included. With -- PROGRAM ARG...: that program, as `bootstrap
            run` runs it. The trace is written as FILE.partial, and is FILE once it is whole.""",
            (
                "with -- PROGRAM:",
                _GUEST,
                ":",
                _VERIFY,
                _FALLBACK,
                "--output FILE!  the trace to write",
                "--products-to DIR  write every product below this new folder",
                "program PROGRAM*  after --, with arguments",
            ),
            """Exit status: that of verify (0 verified, 1 mismatch, 2 usage or bad input, 3 the
            guest failed, 130 interrupted), or of run: the program's own. A run that fails is
            recorded to where it failed; one that is interrupted leaves no trace.""",
            more=_ONE_OR_MORE,
            # --output is the trace here.
            parser={"conflict_handler": "resolve"},
            example="""
                trace record -o x86.trace                        verify, and record it
                trace record -o hex0.trace --root demo -- ./hex0 hello.hex0 hello   one program
                """,
        ),
        CommandRow(
            "check",
            "run a trace again, and compare every call and every file",
            """Run what was recorded again, from the trace's own content: no source tree, no cache.
            Every system call, argument, result and file version is compared; the first that differs
            is shown.""",
            f"{_TRACE}\n{_THE_SAME}",
            example="trace check x86.trace",
        ),
        CommandRow(
            "info",
            "what a trace is of, and its digest",
            """What was recorded, by what, how much of it there is, and the trace digest, which is
            equal for two recordings in which the same happened.""",
            f"{_TRACE}\n{_THE_SAME}",
            example="trace info x86.trace --json -",
        ),
        CommandRow(
            "tree",
            "the programs, who started whom, what each read and wrote",
            """Every program that ran, below the one that started it: pid, arguments, system calls,
            how it ended; what it opened for reading (<) and for writing (>), with size and the
            first digits of the SHA-256. A file that a child writes through a descriptor it
            inherited is shown at the one that opened it.""",
            f"""{_TRACE}
--instructions  say how many instructions each executed, too: runs all of them again
{_THE_SAME}
""",
            example="trace tree x86.trace",
        ),
        CommandRow(
            "files",
            "every version of every file: who wrote it, who read it",
            """Every version of every file that was executed, read or written, in order of its first
            use: SHA-256, size, path, the program that wrote it (or that it was there before), and
            those that read it.""",
            f"""{_TRACE}
--graph {{dot,mermaid}}  as a graph instead: files and programs, in Graphviz's or Mermaid's language
{_THE_SAME}
""",
            example="trace files x86.trace --graph dot",
        ),
        CommandRow(
            "log",
            "the system calls, as strace writes them",
            """The system calls in order, in strace's notation: [pid N] name(arguments) = result. A
            descriptor is followed by the path it was opened with, as by strace -y. A trace keeps
            arguments, not memory: what a call reads or stores there is shown by its address, but
            for the paths of files that were opened (the whole path, however the guest wrote it) and
            of programs that were executed.""",
            f"""{_TRACE}
--pid N*  only this process
--path PATH*  only calls on this file: its path in the guest, or the end of it from a /
--call NAME*  only these calls (commas between names)
{_THE_SAME}
""",
            example="trace log x86.trace --pid 3 --call open,close",
        ),
        CommandRow(
            "why",
            "where a byte of a file comes from, through every file in between",
            """Who wrote a byte of a file, in which system call, which instruction had stored the
            byte there, and from which place of which source: through every file in between, until a
            file of the source tree. What a program made of its input is known by the language
            models, where one of them makes the whole file byte for byte; at a program that has no
            model (a compiler) the path ends, and the answer says so, with the label that the byte
            lies after.""",
            f"""{_TRACE}
byte FILE:OFFSET  a path in the tree, and an offset: x86/bin/M1:0x200
--stores {{first,all,none}} [first]  find the instruction that stored the byte, by running the
    program again: of the file asked for (the default), of every file on the way, or not at all
--json FILE  write the answer as JSON ('-': standard output)
""",
            example="trace why x86.trace x86/bin/M1:0x200",
        ),
        CommandRow(
            "where",
            "what a line of a source became: the bytes of every file that come from it",
            """The reverse of why: the bytes of every file that come from a line of a source,
            through every program that has a language model, and the programs without one, where
            that ends. A macro's bytes come from the line that uses it, not from its DEFINE.""",
            f"""{_TRACE}
line SOURCE:LINE  such as x86/cc_x86.M1:1623
{_THE_SAME}
""",
            example="trace where x86.trace x86/cc_x86.M1:1623",
        ),
        CommandRow(
            "show",
            "a process at any instruction: registers, code, stack, memory, files",
            """Go to a place and show the process as it was there: registers, the instructions that
            ran last and those that come next, with labels and source lines where a language model
            knows them, stack, mapped memory, open files with their offsets, the system call before
            and the one after. A place is PID@N (after N instructions of the last program of that
            process), PID.EXEC@N (of a certain one: 0 as forked, 1 its first execve), PID#K (just
            after its K-th system call), PID#K+N, or eEVENT (after that system call of the run).""",
            f"""{_TRACE}
place COORD  such as 17@5000, 17#12, 17#12+3 or e4711
--memory ADDR[:LEN]  show so many bytes there too (default: 64)
{_THE_SAME}
""",
            run="trace_timeline:run_show",
            example="trace show x86.trace 3@100 --memory 0x8048000:32",
        ),
        CommandRow(
            "index",
            "make every place of a trace quick to reach",
            """Run every program of the trace again, once, and keep the machine every 50 million
            instructions in TRACE.index, from which all commands that go to a place then start, and
            `tree --instructions` has its numbers. It takes minutes for a whole architecture, and
            some hundred megabytes. The trace is not changed; the index can be deleted.""",
            f"{_TRACE}\n{_THE_SAME}",
            run="trace_timeline:run_index",
            example="trace index x86.trace",
        ),
        CommandRow(
            "hot",
            "which functions or labels the instructions went to",
            """Run every program of the trace again, count its instructions, and show the hottest
            functions, or labels, or addresses where no language model knows the image. An
            instruction counts once, one with a REP prefix too.""",
            f"""{_TRACE}
--pid N*  only this process
--top N [20]  how many to show (default: 20)
{_THE_SAME}
""",
            run="trace_timeline:run_hot",
            example="trace hot x86.trace --pid 20 --top 5",
        ),
        CommandRow(
            "coverage",
            "which bytes of a program ever ran, and what never did",
            """Run every program of the trace that ran this image again, and show which bytes of the
            file were ever executed. What never was is listed, with labels and source lines where a
            language model knows them. Data that a program only reads counts as not run.""",
            f"""{_TRACE}
binary BINARY  its path, or 8 or more digits of its SHA-256
--all  list all of what never ran, however long
{_THE_SAME}
""",
            run="trace_timeline:run_coverage",
            example="trace coverage x86.trace x86/bin/M1",
        ),
        CommandRow(
            "export",
            "for other tools: strace, drcov, perfetto, tenet, dot",
            """Write the trace, or a part of it, in another tool's format. strace: the system calls
            as text. dot: who wrote and read which file, for Graphviz. perfetto: the process tree
            with instructions as time, for ui.perfetto.dev and chrome://tracing. drcov: which basic
            blocks ran, for Lighthouse and others. tenet: registers and memory, instruction by
            instruction, of a window of one program. The last three run the programs again:
            docs/trace-export.md.""",
            f"""{_TRACE}
--format {{strace,drcov,perfetto,tenet,dot}}!  what to write
--output FILE!  where ('-': standard output)
--pid N  only this process: strace, drcov, and tenet's program
the window of --format tenet:
--from COORD  where it begins: 17@5000, 17.1@5000, 17#12, ... (default: the start of the last
    program of --pid)
--count N  instructions in it (default: to the program's end)
--most N  how many are allowed (default: 100000)
""",
            run="trace_timeline:run_export",
            example="trace export x86.trace --format perfetto -o x86.json",
        ),
    ),
)

STEP = CommandRow(
    "step",
    "step through a run, forwards and backwards: source, code, registers, files",
    """Step through a recorded run, instruction by instruction, forwards and backwards, in a
    terminal: the source line that each instruction was assembled from, disassembly, registers,
    memory, files, system calls, processes. ? shows the keys, : takes the same as words. A program
    or a source tree is recorded first, once, and then stepped through. Nothing of the host is
    changed.""",
    (
        _TREE_OR_TRACE % "",
        """
        --script FILE  do the commands of a file ('-': standard input), print what comes of them,
            and stop at the first that fails; no terminal is needed
        --json FILE  with --script: the results as JSON ('-': standard output)
        """,
    ),
    """Exit status: 0 done; 1 something that a script expects is not so; 2 usage or bad input, also
    a line of a script; 130 interrupted. A walk through hex0: docs/step.md.""",
    parser={
        "usage": "%(prog)s [TRACE | --source SOURCE | -- PROGRAM ARG...] [--script FILE] [options]"
    },
    example="""
        step                                    hex0 and what follows, as carried along
        step --root demo -- ./hex0 hello.hex0 hello
        """,
)

GDB = CommandRow(
    "gdb",
    "let gdb travel in a recorded run: breakpoints, watchpoints, also backwards",
    """Serve gdb's remote protocol in a recorded run: `stepi`, `continue`, `reverse-stepi`,
    `reverse-continue`, breakpoints, watchpoints, memory, registers, for x86, AMD64, AArch64,
    riscv64 and riscv32. A program or a source tree is recorded first. A recording cannot be
    changed; a program after -- can be written to and is recorded anew from there on. `monitor help`
    in gdb lists what else there is: where a byte comes from, going to any place, other
    processes.""",
    (
        _TREE_OR_TRACE
        % "; with a TRACE of one program: where to run it again when something is written",
        """
        --at PLACE []  start there: 5@0, say
        --symbols DIR  write the annotated sources and gdb's symbol files into that empty folder; in
            gdb, when connected: source DIR/symbols.gdb (--launch does it all)
        | --listen ADDR:PORT [127.0.0.1:1234]  wait there for gdb (default: 127.0.0.1:1234); port 0:
            any free one
        | --stdio  speak on standard input and output, for gdb's `target remote | COMMAND`
        | --launch  start the installed gdb-multiarch or gdb, connected
        --once  with --listen: end when the first client has gone
        """,
    ),
    """In gdb: target remote 127.0.0.1:1234, or: target remote | bootstrap gdb --stdio TRACE. Exit
    status: 0 done (with --launch: gdb's own); 1 the run is not the recorded one; 2 usage or bad
    input; 130 interrupted. A walk through hex0: docs/gdb.md.""",
    parser={
        "usage": "%(prog)s [TRACE | --source SOURCE | -- PROGRAM ARG...] "
        "[--listen ADDR:PORT | --stdio | --launch] [options]"
    },
    example="""
        gdb x86.trace --launch                  the installed gdb, connected
        gdb --launch --root demo -- ./hex0 hello.hex0 hello
        """,
)

DIFF = CommandRow(
    "diff",
    "where two traces, two reports or two source trees part first, and what followed",
    """\
Compare two runs or two sources, and say where they part first and what followed from it.
This is what to run when a checksum is not what it should be.

A and B are of one kind, which is known by their content (but for the last):
  two traces         of `bootstrap trace record`: the first process, file, system call and
                     instruction that differ, with the source line; then every content that
                     programs left and that differs because of it
  two JSON reports   of `bootstrap verify --json`: the artifacts that differ, in build order
  two source trees   folders or archives: the files that differ, those first that the
                     bootstrap reads
  a trace and FILE   of `--effects FILE` on a machine without Linux: process by process, the
                     calls that have an effect; what differs by design is listed

Two traces are compared as they stand in the files, which takes seconds for a whole
architecture. Only for the instruction are the two programs in question run again, from the
traces alone; --no-replay leaves that out.
""",
    """
    a A
    b B
    --all  show lists whole, however long
    --no-replay  of traces: run nothing again; leaves out the first instruction that differs
    --json FILE  write the comparison as JSON too ('-': standard output)
    --html FILE  write the comparison as one HTML page
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
    "plan the way on to live-bootstrap, get the sources it needs, and run it",
    """The way on from stage0 to a C compiler: read what live-bootstrap would do, get, or check, the
    source files that it needs, and run it in a container. docs/handoff.md says more.""",
    commands=(
        CommandRow(
            "plan",
            "what a checkout of live-bootstrap would do, step by step, and what it checks",
            """Read a checkout of live-bootstrap and say what it would do in a chroot without
            network, without running any of it: every line of its manifest, the steps in order with
            their pass numbers, the source files of each, what upstream checks and by which line of
            which file, what it does not check, and which stage0-posix it pins. Of a checkout of
            StageX: its stages, what each is built from, and which checks are off in it.""",
            (
                f"\n| {_CHECKOUT.strip()}",
                """
                | --stagex DIR  in its place a checkout of StageX, with its own stages (without DIR:
                    the one in our cache)
                --distfiles DIR  a folder with source files: hash them all
                --arch {x86,amd64,riscv64} [x86]
                --set NAME=VALUE*  change the configuration, as in FINAL_JOBS=4; may be repeated
                --json FILE  write the plan as JSON ('-': stdout)
                --graph {dot,mermaid}  print the plan as a graph in place of text
                --verbose  each step's files and checks too
                """,
            ),
            """The two marks before a step stand for what goes in and what comes out: checked (✓),
            partly (~), not at all (?). Exit status: 0 the plan was read, and with --distfiles every
            file that its steps need is there; 1 a file is missing or wrong; 2 usage or bad
            input.""",
            more={"stagex": {"nargs": "?", "const": ""}},
            example="handoff plan --live-bootstrap ~/live-bootstrap",
        ),
        CommandRow(
            "sources",
            "get the source files that a checkout of live-bootstrap lists, or check a folder",
            """Hash every source file in a folder, and get those that are missing from the mirrors
            given and the addresses that the checkout lists: several at once, going on where an
            earlier run stopped. A file gets its name only when it has the sha256 that the checkout
            lists; a file with its name and another sha256 is named, and left as it is.""",
            (
                _CHECKOUT,
                """
                --distfiles DIR!  the folder of source files
                --audit, --offline  only look; never use the network
                --mirror URL-OR-DIR*  a folder, or an address (https, http, file), that has the
                    files under their names: asked before the listed addresses; may be repeated
                --jobs N [4]  files at once (4)
                --needed  only files that the steps of `handoff plan` need, not all of the manifest
                --replace  get wrong files again too
                --json FILE  write the result as JSON ('-': stdout)
                """,
            ),
            """Exit status: 0 every file is there with its sha256; 1 some are missing or wrong; 2
            usage or bad input, a folder that cannot be written; 130 interrupted, 143 ended by
            SIGTERM: what came is kept, and the next run goes on from there.""",
            example="handoff sources --live-bootstrap ~/live-bootstrap --distfiles files",
        ),
        CommandRow(
            "run",
            "run live-bootstrap's steps in a container, checked and resumable",
            """Lay out live-bootstrap's root file system from a checkout, its source files and
            stage0, and run its steps, each in a container without network, host environment or
            capabilities. What each step made is hashed here, whatever upstream's scripts said, and
            kept: a run that was stopped, or that failed, goes on after the last finished step.
            Source files may be missing: the run goes as far as it can, and names the file.""",
            (
                _CHECKOUT,
                """
                --distfiles DIR!  the folder of source files; bootstrap handoff sources fills it
                --work DIR!  a folder for the root file system, a copy of it, logs and what is
                    finished
                --engine {auto,podman,docker,bwrap} [auto]  what runs the container; auto takes the
                    first of these that works, and says why
                --from {seed,stage0} [seed]  seed: rebuild stage0 natively in the container, and
                    compare; stage0: start with the binaries that emulation made
                --until STEP  stop after this one: stage0, seed, a number of handoff plan, or a
                    title as 'tcc-0.9.26 pass 1'
                --resume  go on with the run in --work
                --arch {x86,amd64,riscv64} [x86]  x86 is the one that upstream supports; the others
                    get less far
                --stage0 DIR  the stage0-posix that the checkout pins (default: its own, else our
                    cache)
                --stage0-release R  the release of stage0-posix, where nothing in the checkout pins
                    one
                | --emulate  rebuild stage0 in the emulator too, now, and compare every product
                | --report FILE  compare with what emulation gave, as bootstrap verify --json wrote
                    it
                --products DIR  with --from stage0: the products, as bootstrap verify --output wrote
                    them (default: emulate now)
                --set NAME=VALUE*  change the configuration, as in JOBS=4; may be repeated
                --limit NAME=N*  memory, processes, open_files, file (bytes), seconds (of one step);
                    K, M, G are powers of 1024; may be repeated
                --json FILE  write the result as JSON ('-': stdout)
                --quiet  no progress
                --verbose  list every finished step
                """,
            ),
            """Exit status: 0 all steps asked for are finished; 1 a product is not what it should
            be; 2 usage or bad input, or a source file is missing; 3 a step failed; 130 interrupted;
            143 ended by SIGTERM.""",
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
            verified products as an OCI image layout: from scratch, one layer, nothing in it but the
            products, so that two people who verify the same release get the same manifest digest,
            by whatever version of this program. What was found goes beside it, into findings.json.
            Or take the report and the products of an earlier verify (--report, --products): every
            product is hashed again, and the report is held against the catalogue. Nothing is
            written unless all is verified.""",
            (
                _VERIFY,
                """
                --output DIR!  the layout: a new or an empty folder
                --json FILE  write what was exported as JSON ('-': standard output)
                --report-to FILE  write the report of the verify too, as JSON
                --report FILE  do not verify, take this report (verify --json FILE)
                --products DIR  and these products (verify --output DIR)
                --gzip  whether the layer is a gzip file (the default: clients pass it on as it is,
                    where they compress a plain one), of the same bytes everywhere, so not made
                    smaller
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
            "say whether two layouts hold the same image",
            """Say whether two OCI image layouts hold the same image. A client that compresses
            layers again changes the manifest; what stays is the configuration and the layers'
            diff_ids, and by these the images are compared. Every digest is checked.""",
            f"layouts LAYOUT  the folder of a layout\n{_THE_SAME}",
            "Exit status: 0 the same image, 1 another, 2 usage or bad input.",
            more={"layouts": {"nargs": 2}},
            example="oci compare mine yours",
        ),
    ),
)

ATTEST = CommandRow(
    "attest",
    "sign a statement of what a verified run made",
    """Say, and sign, that a release came out as it should: an in-toto statement with SLSA
    provenance (products, seed and sources with their hashes, tool, engine, CPU vendor and system)
    in a DSSE envelope. With --run this command verifies the release first, with the options of
    bootstrap verify, and the statement says so; with --report it says that a report says so, and
    with --products that the products were hashed again. Read a report on the machine that ran it,
    or say with --cpu-vendor and --host-os what that was. With --stagex: the container signature of
    an image (bootstrap oci export) in the layout of StageX's signatures.""",
    (
        _VERIFY,
        """
        |! --run  verify here and now (--json: the report)
        |! --report FILE  what bootstrap verify --json FILE wrote, or bootstrap handoff run --json
            FILE
        --products DIR  hash these products again (verify --output DIR)
        --opinions NAME,...  with --run: make these opinions of bootstrap confirm too, now, and sign
            only if each agrees on every product; the statement names them and their inputs
        --require-recheck  sign only what the core alone found too: --run rechecks, a report must
            say so
        --sign {ssh,gpg,none} [none]  with what to sign; none (the default): only the statement, for
            somebody to sign
        --key KEY  ssh: a key's file, private, on a card, or public with the private half in the
            agent; gpg: a fingerprint or user id (default: gpg's own choice)
        --output FILE  where to write the attestation ('-': stdout)
        --cpu-vendor NAME  who made the CPU of the machine that ran it
        --host-os NAME  and its system
        --form {provenance,vsa} [provenance]  the statement's predicate: SLSA provenance (default),
            or, with --run, a verification summary that has it
        --subject {products,image} [products]  what it is about: the products (default), or the
            image of --image, beside which it is laid in the layout (OCI referrers, by tag)
        --image DIR  the image's OCI layout (bootstrap oci export)
        --stagex DIR  put a container signature of the image into this signatures checkout
        --reference REGISTRY/NAME:TAG  with --stagex: what the image is called, as in
            stagex/bootstrap-stage0:1.9.1
        """,
    ),
    """A report that is not verified, contradicts itself, or is not what the catalogue knows is
    refused. Exit status: 0 written, 1 something differs (nothing is signed), 2 usage or bad input,
    3 the guest failed.""",
    more=_ONE_OR_MORE,
    # --output is the attestation's here.
    parser={"conflict_handler": "resolve"},
    example="attest --run --sign ssh --key ~/.ssh/id_ed25519 -o me.json",
)

QUORUM = CommandRow(
    "quorum",
    "count who vouches for a release, by a policy",
    """Verify signed attestations (bootstrap attest) and count by a policy, a TOML file: persons
    with their ssh and gpg keys, and how many distinct persons, runs, engines, CPU vendors and
    systems it takes. Two keys of one person count once, one report is one run; expired and revoked
    keys do not count; all who count are about the same sources and products. A file that is no
    attestation is named, and does not count. Every signature is checked by ssh-keygen or gpg, which
    see no key but the policy's. --init writes a policy to begin with.""",
    """
    attestations ATTESTATION*  DSSE envelopes, or an OCI layout: those beside its image
    |! --policy FILE  the policy, TOML
    |! --init FILE  write a commented policy to fill in (default: policy.toml), and do nothing else;
        a file that is there stays as it is
    --stagex DIR  a checkout of StageX's signatures: count distinct signers of each image in
        [stagex]
    --at DATE  judge as of that day (2026-11-23), not of today: which keys count, UTC
    --json FILE  write the outcome as JSON ('-': stdout)
    --verbose  list the products too
    """,
    """Exit status: 0 the policy is met, 1 it is not, 2 usage or bad input, also a policy that
    nobody can meet.""",
    more={"init": {"nargs": "?", "const": "policy.toml"}, "at": {"type": _day}},
    example="""
        quorum --init policy.toml
        quorum --policy policy.toml me.json you.json
        """,
)

CONFIRM = CommandRow(
    "confirm",
    "who says so? count the independent opinions on every artifact of a release",
    """For every artifact of a release: which opinions agree on it, and how many of them are
    independent of one another. Opinions are made by --run, each in a process of its own, and kept
    in the cache with all that they depend on; what upstream and others published is read. Two are
    independent if they differ in CPU code, kernel or chain of tools, or are published by different
    parties. A differing opinion is never outvoted. docs/confirm.md has the table.""",
    f"""
    --release R  the release (default: the newest known); embedded is what this program carries
    --arch ARCH [x86]  x86 (default), AMD64, AArch64, riscv64 or riscv32
    {_SOURCE} (default: as for verify)
    --entry {{{",".join(ENTRIES)}}}  the way in, as for verify
    --run NAME,...  make those that are not kept, or `all`: core, fast-path, builder-hex0,
        qemu-user, native, models, proof, knight, ddc
    --fresh  with --run: make them again, and say where something else came out
    --jobs N  so many at once (default: as many as there are processors)
    --at-least N [2]  independent opinions that every artifact must have (default 2)
    --baseline FILE  an earlier --json: exit 1 if an artifact lost an opinion since. Only what is
        made in this run counts then
    --policy FILE  a policy of quorum, by which attestations count as one more opinion
    --attestation FILE*  an attestation (bootstrap attest); may be repeated
    --json FILE  write it as JSON ('-': stdout)
    --html FILE  write it as one HTML page ('-': stdout)
    --markdown FILE  write it as Markdown ('-': stdout); $GITHUB_STEP_SUMMARY gets the same
    --quiet  no progress, and one line if all is confirmed
    """,
    """Exit status: 0 every artifact has as many independent opinions as asked for, and none
    differs; 1 otherwise; 2 usage or bad input; 130 interrupted: what was made is kept.""",
    more={"jobs": {"type": _number(1)}, "at-least": {"type": _number(1)}},
    example="""
        confirm --run core,models --at-least 2
        confirm --json now.json --html now.html
        """,
)

DOCTOR = CommandRow(
    "doctor",
    "say what is installed, cached and possible here",
    """Say what is there: engine and hot path, versions, the cache and the releases in it, the
    embedded sources, and what this host could run natively.""",
    "--json FILE  write the same as JSON ('-': standard output)",
    example="doctor",
)

HELP = CommandRow(
    "help",
    "show the help of a command",
    "Show the help of a command: bootstrap help trace show is bootstrap trace show --help.",
    "command COMMAND*  the command, and a command of it",
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
verify --arch all --jobs 2      every architecture, two at a time, one report
verify --source ~/stage0-posix  a checkout of yours
fetch stage0-posix --from ~/stage0-posix-1.9.1.tar.gz
ddc                             three unrelated paths to one compiler
prove seeds/x86/hex0-seed       what the seed does, for every input
run --strace -- ./hex0 in.hex0 out
verify --machine builder-hex0 --builder-hex0 ~/builder-hex0
trace record -o x86.trace       verify, and record all that happens
step                            step through hex0, forwards and backwards
gdb --launch -- ./hex0 in.hex0 out
diff good.trace bad.trace       where two runs part first, and what followed
identify FILE                   whose is it: a seed, source or product of a release
doctor                          what is there, and what is missing
"""


def parser() -> CommandParser:
    """The parser of all commands; `function` of what it parses names what runs the command."""
    return make_parser(
        COMMANDS,
        "Rebuild and verify a full-source bootstrap in an emulator: from a seed of a few hundred "
        "bytes, through every program built from it, each compared with its known-good hash.",
        _EXAMPLES,
    )
