"""Write a step file from a real tree and recorded facts; a tool for those who keep steps/.

    python -m bootstrap.known.record --release 1.9.1 --arch x86 --tree TREE --facts FACTS \\
        (--reads LOG | --read-list LIST) [--archive-sha256 HEX] [--native-from TEXT] \\
        [--materials-from TEXT] [--also LIST] --output steps

FACTS holds ``stage0-posix/<release>/<arch>.answers``, ``commit.txt`` and ``submodules.txt`` there,
and ``native-run/stage0-posix-<release>-<ARCH>.sha256``.  LOG is what strace(1) wrote during a
native run of the bootstrap in a clean copy of TREE::

    strace -f --seccomp-bpf -qq -o LOG -e trace=open,openat,execve,chdir,fork,vfork,clone PROGRAM...

The materials are the files of TREE that the log shows as opened for reading or executed.  For an
architecture that no machine at hand runs natively, ``python -m bootstrap.runs.reading`` finds them
out in the emulator: --read-list takes its list, one tree path a line, and --materials-from says so
in the step file.  The result is an ordinary step file: read it, and edit it by hand where a
release needs it.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from bootstrap.core.errors import BadInput, BootstrapError
from bootstrap.core.release import MAX_BYTES, Tree, read_file, read_folder
from bootstrap.documents import decoded, path_fault
from bootstrap.known.schema import StepFile, parse
from bootstrap.known.steps import RELEASES, arch_name

_CALL = re.compile(r"(open|openat|execve|chdir)\((?:AT_FDCWD, )?\"((?:[^\"\\]|\\.)*)\"(.*)")
_FORK = re.compile(r"(?:fork|vfork|clone)\(.*= (\d+)$")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|(.))")
_RESULT = re.compile(r"= (-?\d+)(?: E\w+ \(.*\))?$")
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f"}
_ADDRESS = "https://github.com/oriansj/{n}/releases/download/Release_{r}/{n}-{r}.tar.gz"


def whole_lines(log: Iterable[str]) -> Iterator[tuple[int, str]]:
    """The calls of a strace log as (pid, text), with unfinished and resumed halves joined.

    A call comes where it ended, except that a fork comes where its first half stands: the child
    may already run before the parent's fork is seen to return.
    """
    lines = [line.rstrip("\n") for line in log]
    resumed: dict[tuple[int, int], str] = {}
    open_halves: dict[int, int] = {}
    for number, line in enumerate(lines):
        pid = int(line.split(None, 1)[0])
        if line.endswith("<unfinished ...>"):
            open_halves[pid] = number
        elif "resumed>" in line and pid in open_halves:
            resumed[open_halves.pop(pid), pid] = line.split("resumed>", 1)[1]
    for number, line in enumerate(lines):
        head, _, text = line.partition(" ")
        if "resumed>" in text:
            continue
        if text.endswith("<unfinished ...>"):
            text = text.removesuffix("<unfinished ...>") + resumed.get((number, int(head)), "")
        yield int(head), text.strip()


def files_read(log: Iterable[str]) -> frozenset[str]:
    """The tree paths that a strace log shows as opened for reading or executed, with success.

    The run is taken to start at the top of the tree.  Paths outside of it are left out.
    """
    cwd: dict[int, str] = {}
    found: set[str] = set()
    for pid, text in whole_lines(log):
        here = cwd.setdefault(pid, "")
        fork = _FORK.match(text)
        if fork:
            cwd[int(fork.group(1))] = here
            continue
        call = _CALL.match(text)
        if call is None:
            continue
        name, quoted, rest = call.groups()
        result = _RESULT.search(rest)
        if result is None or int(result.group(1)) < 0:
            continue
        path = posixpath.normpath(posixpath.join(here, _unquote(quoted)))
        if name == "chdir":
            cwd[pid] = path
        elif "O_WRONLY" not in rest and path_fault(path) is None:
            found.add(path)
    return frozenset(found)


def _unquote(text: str) -> str:
    def plain(match: re.Match[str]) -> str:
        octal, char = match.groups()
        return chr(int(octal, 8)) if octal else _NAMED.get(char, char)

    return _ESCAPE.sub(plain, text)


def read_sums(file: Path) -> dict[str, str]:
    """A file in sha256sum's format as path -> sha256, in its order.  Raises BadInput."""
    sums: dict[str, str] = {}
    for number, line in enumerate(_text(file).splitlines(), 1):
        match = re.fullmatch(r"([0-9a-f]{64})[ ][ *](.+)", line)
        if match is None or match.group(2) in sums:
            raise BadInput(f"{file}:{number}: not a line of sha256sum, or a path for a second time")
        sums[match.group(2)] = match.group(1)
    return sums


def _text(file: Path) -> str:
    return decoded(read_file(file, MAX_BYTES), str(file))


def listed_reads(file: Path, paths: Sequence[str]) -> set[str]:
    """The tree paths that `file` lists, one a line.  Raises BadInput when the tree lacks one."""
    listed = {line for line in _text(file).splitlines() if line}
    for path in sorted(listed.difference(paths)):
        raise BadInput(f"{file}: the tree has no {path!r}")
    return listed


def render(args: argparse.Namespace, arch: str, tree: Tree, reads: set[str]) -> str:
    """The text of the step file."""
    facts = Path(args.facts)
    records = facts / RELEASES / args.release
    short = arch.lower()
    seeds = f"bootstrap-seeds/POSIX/{arch}"
    native = facts / "native-run" / f"{RELEASES}-{args.release}-{arch}.sha256"
    submodules = dict(line.split() for line in _text(records / "submodules.txt").splitlines())
    answers = read_sums(records / f"{short}.answers")
    materials = {path: tree.files[path].sha256 for path in sorted(tree.files) if path in reads}
    out = [
        f"# {RELEASES} {args.release} on {arch}: what the bootstrap reads, and what it must give.",
        "# Recorded by python -m bootstrap.known.record; docs/sources.md tells how.",
        "",
        "schema = 1",
        _pair("name", RELEASES),
        _pair("release", args.release),
        _pair("arch", arch),
        _pair("tree_files", f"{RELEASES}-{args.release}.files"),
        "directories = " + _list([f"{arch}/artifact", f"{arch}/bin"]),
        _pair("answers_from", f"{short}.answers"),
        *([_pair("native_from", args.native_from)] if native.exists() else []),
        *([_pair("materials_from", args.materials_from)] if args.materials_from else []),
        "",
        "[source]",
        _pair("commit", _text(records / "commit.txt").strip()),
        "urls = " + _list([_ADDRESS.format(n=RELEASES, r=args.release)]),
    ]
    if args.archive_sha256:
        out.append(_pair("sha256", args.archive_sha256))
    out += _table("source.submodules", submodules)
    for name in ("hex0-seed", "kaem-optional-seed"):
        seed = tree.files[f"{seeds}/{name}"]
        out += ["", f"[seeds.{name}]", _pair("path", f"{seeds}/{name}")]
        out += [f"size = {len(seed.data)}", _pair("sha256", seed.sha256)]
    first = [[f"./{seeds}/kaem-optional-seed", f"./kaem.{short}"]]
    out += ["", "[entries.kaem-optional-seed]", _commands(first)]
    # The way of kaem.<arch> without kaem-optional-seed: each command as kaem.<arch>, the seed's
    # script or the mini script give it, begun by the hex0 seed alone.
    bare = [
        [f"./{seeds}/hex0-seed", f"./{arch}/hex0_{arch}.hex0", f"./{arch}/artifact/hex0"],
        [f"./{arch}/artifact/hex0", f"./{arch}/kaem-minimal.hex0", f"./{arch}/artifact/kaem-0"],
        [f"./{arch}/artifact/kaem-0", f"./{arch}/mescc-tools-mini-kaem.kaem"],
        [f"./{arch}/bin/kaem", "--verbose", "--strict", "--file", f"./{arch}/kaem.run"],
    ]
    out += ["", "[entries.hex0-seed]", _commands(bare)]
    out += ["hidden = " + _list([f"{seeds}/kaem-optional-seed"])]
    out += _table("answers", answers)
    if native.exists():
        out += _table("native", read_sums(native))
    out += _table("materials", materials)
    return "\n".join(out) + "\n"


def _quote(text: str) -> str:
    if re.search(r'[\x00-\x1f"\\\x7f]', text):
        raise BadInput(f"a step file cannot hold {text!r}")
    return f'"{text}"'


def _pair(key: str, value: str) -> str:
    return f"{key} = {_quote(value)}"


def _list(values: Iterable[str]) -> str:
    return "[" + ", ".join(_quote(value) for value in values) + "]"


def _commands(rows: Iterable[Sequence[str]]) -> str:
    return "commands = [\n" + "".join(f"    {_list(row)},\n" for row in rows) + "]"


def _table(name: str, values: Mapping[str, str]) -> list[str]:
    def key(text: str) -> str:
        return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _quote(text)

    return ["", f"[{name}]", *(f"{key(k)} = {_quote(v)}" for k, v in values.items())]


def record(args: argparse.Namespace) -> StepFile:
    """Write the step file and the list of the tree's paths.  Raises BadInput before writing."""
    arch = arch_name(args.arch)
    tree = read_folder(Path(args.tree))
    paths = sorted({*tree.files, *tree.symlinks})
    reads: set[str] = set()
    for log in args.reads:
        reads |= files_read(_text(Path(log)).splitlines())
    for listed in args.read_list:
        reads |= listed_reads(Path(listed), paths)
    if not reads:
        raise BadInput("no materials: give --reads or --read-list")
    also = _text(Path(args.also)).splitlines() if args.also else []
    text = render(args, arch, tree, reads)
    output = Path(args.output)
    step = parse(text, f"{RELEASES}-{args.release}-{arch}.toml")
    (output / step.file).write_text(text, encoding="utf-8")
    listing = "".join(f"{path}\n" for path in sorted({*paths, *also}))
    (output / f"{RELEASES}-{args.release}.files").write_text(listing, encoding="utf-8")
    return step


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; prints what was recorded and gives the exit status."""
    parser = argparse.ArgumentParser(prog="bootstrap.known.record")
    parser.add_argument("--release", required=True)
    parser.add_argument("--arch", required=True)
    parser.add_argument("--tree", required=True, help="a clean tree of the release")
    parser.add_argument("--facts", required=True, help="folder of recorded facts")
    parser.add_argument("--reads", action="append", default=[], help="strace log of a run")
    parser.add_argument("--read-list", action="append", default=[], help="list of files read")
    parser.add_argument("--materials-from", default="", help="how they were found, if not so")
    parser.add_argument("--also", help="list of further paths that upstream's tree has")
    parser.add_argument("--archive-sha256", help="published sha256 of the release archive")
    parser.add_argument("--native-from", default="native run")
    parser.add_argument("--output", required=True, help="the folder steps/")
    try:
        step = record(parser.parse_args(argv))
    except BootstrapError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    counts = f"{len(step.materials)} materials, {len(step.answers)} answers, {len(step.native)}"
    print(f"{step.file}: {counts} native values")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
