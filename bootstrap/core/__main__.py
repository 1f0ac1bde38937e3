"""`python -I -m bootstrap.core TREE --arch A`: one verdict, by the core alone.

Claims: prints what `decide` found of the tree in the folder TREE, and exits with its status. It
judges by the step file of this installation whose materials the tree has; by a file that is given,
it says so, and is never `verified`. Whatever goes wrong is one line, with status 2, 130 or 143, and
no verdict.
Relies on: `release`, `verdict`.
Tests that would fail if it lied: tests/core/test_main.py.
"""

import signal

if __name__ == "__main__" and hasattr(signal, "sigwait"):
    # Python answers SIGINT with a traceback, and would from the first import on: so both wait for
    # `_end_by_signals`.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))

import _thread
import argparse
import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bootstrap.core import release as known
from bootstrap.core.errors import EXIT_STATUS_HELP, BadInput, BootstrapError, ExitStatus, printable
from bootstrap.core.release import MAX_BYTES, Release, Tree, read_file

if TYPE_CHECKING:  # it loads Unicorn, which may not be there
    from bootstrap.core.verdict import Findings

_HEADLINES = {"verified": "VERIFIED", "answers-only": "ANSWERS MET", "as-pinned": "AS PINNED"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; see --help")

    def print_help(self, file: object = None) -> None:
        print(self.format_help(), end="", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -I -m bootstrap.core",
        description="Rebuild the release in the folder TREE from its seed, by the core alone, and "
        "say whether it is what it should be.",
        epilog=EXIT_STATUS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tree", metavar="TREE", help="a checkout, or an unpacked archive")
    parser.add_argument("--arch", required=True, help="x86, AMD64, AArch64, riscv64 or riscv32")
    judges = parser.add_mutually_exclusive_group()
    judges.add_argument("--steps", metavar="FILE", help="judge by this step file (status 4 at best "
                        "where it is not one of this installation)")  # fmt: skip
    judges.add_argument("--answers", metavar="FILE", help="judge by this answers file alone: the "
                        "sources are compared with no list (status 4 at best)")  # fmt: skip
    parser.add_argument("--entry", help="kaem-optional-seed (the usual one) or hex0-seed")
    parser.add_argument("--seconds", type=int, default=6 * 3600, metavar="N", help="a net for "
                        "loops: the CPU time that the run may take (default 21600)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the verdict as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print a verdict; returns the exit status."""
    if not isinstance(sys.stdout, io.TextIOWrapper):  # None: print would say nothing of it
        return _fail("standard output is closed", ExitStatus.BAD_INPUT)
    sys.stdout.reconfigure(errors="backslashreplace")
    try:
        args = _parser().parse_args(argv)
        if not 0 < args.seconds < 1 << 31:
            raise BadInput(f"--seconds {args.seconds} is out of range")
        _end_by_signals(args.seconds)
        findings = _findings(args)
        lines = [json.dumps(asdict(findings), indent=2)] if args.json else _lines(findings)
        print("\n".join(lines), flush=True)
        return findings.exit_status
    except BootstrapError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        # What is still buffered goes nowhere: Python would try to write it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return ExitStatus.CLOSED_PIPE
        return _fail(f"standard output: {error.strerror}", ExitStatus.BAD_INPUT)
    except KeyboardInterrupt:  # before the thread hears of it
        return _fail("interrupted", ExitStatus.INTERRUPTED)
    except MemoryError:
        return _fail("the host has no memory left", ExitStatus.BAD_INPUT)
    except ImportError as error:
        return _fail(f"{error}: pip install unicorn", ExitStatus.BAD_INPUT)


def _fail(message: str, status: int) -> int:
    with contextlib.suppress(OSError):  # no print: to a closed stderr it writes to stdout
        os.write(2, f"bootstrap.core: {printable(message)}\n".encode())
    return int(status)


def _end_by_signals(seconds: int) -> None:
    """Let SIGINT, SIGTERM and a limit of CPU time end us at once: a line, and a status.

    Python runs a handler between two bytecodes: a guest's loop has none, and from a hook of Unicorn
    no exception comes out. So a thread waits for them. Nothing is left behind, for the core writes
    no file. (Windows has no sigwait: there the system ends us.)
    """
    if not hasattr(signal, "sigwait"):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return
    words = {
        signal.SIGINT: ("interrupted", ExitStatus.INTERRUPTED),
        signal.SIGTERM: ("ended by SIGTERM", ExitStatus.TERMINATED),
        signal.SIGPROF: (f"limit: the run took {seconds} s of CPU time (--seconds raises it); "
                         "no verdict", ExitStatus.GUEST_FAILED),
    }  # fmt: skip
    heard = {number for number in words if signal.getsignal(number) is not signal.SIG_IGN}

    def wait() -> None:
        os._exit(_fail(*words[signal.Signals(signal.sigwait(heard))]))

    signal.pthread_sigmask(signal.SIG_BLOCK, heard)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    _thread.start_new_thread(wait, ())


def _findings(args: argparse.Namespace) -> "Findings":
    from bootstrap.core.verdict import decide

    arches = {name.lower(): name for name in known.shipped_files()}
    arch = arches.get(args.arch.lower())
    if arch is None:
        raise BadInput(f"--arch {args.arch}: there are step files for {', '.join(arches.values())}")
    release = None
    if args.steps is not None:
        release = known.read_release(read_file(Path(args.steps), MAX_BYTES), args.steps)
        if release.arch != arch:
            raise BadInput(f"{args.steps}: is for {release.arch}, not for {arch}")
    if args.answers is not None:
        release = known.from_answers(read_file(Path(args.answers), MAX_BYTES), args.answers, arch)
    if not args.tree:
        raise BadInput("'' is no tree")
    tree = known.read_folder(Path(args.tree))
    tree.refuse_odd()
    return decide(tree, release or _release_of(tree, arch, args.entry), args.entry).findings


def _release_of(tree: Tree, arch: str, entry: str | None) -> Release:
    """The release whose materials the tree has; of several, the one of which most is known."""

    def missing(release: Release) -> int:
        return len(known.compare_materials(tree, release.materials_for(release.entry(entry))))

    among = [
        r for r in known.shipped(arch) if entry in (None, *(point.name for point in r.entries))
    ]
    if not among:
        raise BadInput(f"--entry {entry}: no release for {arch} has it")
    whole = [release for release in among if not missing(release)]
    if whole:
        return max(whole, key=lambda release: len(release.known))
    nearest = max(among, key=lambda r: len(r.materials or ()) - missing(r))
    number = len(nearest.materials_for(nearest.entry(entry)))
    equal = f"{number - missing(nearest)} of {number} are there and equal"
    raise BadInput(f"{tree.label}: no release that is known here has these files, so nothing was "
                   f"run; nearest is {nearest.title} for {arch}, of which {equal}")  # fmt: skip


def _lines(findings: "Findings") -> list[str]:
    lines = [
        f"{_HEADLINES.get(findings.result, 'NOT VERIFIED')}: {findings.claim}",
        f"tree digest  {findings.tree_digest}",
        f"judged by    {findings.judged_by} (sha256 {findings.judged_by_sha256})",
        "decided by   core",
    ]
    for file in findings.artifacts:
        if not file.matches:
            lines.append(f"{file.path}: got {file.sha256 or 'nothing'}")
            lines += [f"    expected {value.sha256} ({value.source})" for value in file.known]
    return [printable(line) for line in (*lines, *(f"because {why}" for why in findings.reasons))]


if __name__ == "__main__":
    sys.exit(main())
