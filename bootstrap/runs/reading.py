"""Which files of a source tree a bootstrap reads, found out by running it in the emulator.

    python -m bootstrap.runs.reading --tree TREE --arch ARCH [--products LIST] > READS

For those who keep steps/: READS, one tree path a line, is what `bootstrap.known.record` takes
as --read-list where no native run was traced. The run enters through kaem-optional-seed, which also
reads all that the way without it does. Products of the run are left out: what counts is a file of
the tree, read with the content that it has there. LIST gets the SHA-256 of every file that the run
made, in sha256sum's format, to hold against upstream's answers before the step file exists.
"""

import argparse
import hashlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bootstrap.core.errors import BootstrapError, GuestFailed
from bootstrap.core.release import EntryPoint
from bootstrap.instruments import default_engine
from bootstrap.known.steps import arch_name
from bootstrap.runs.deciding import core_tree
from bootstrap.runs.rebuild import observe
from bootstrap.sources import open_source
from bootstrap.trace.lineage import ProcessRecord, tree_path


def run(tree: Path, command: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """What a run read of the tree, sorted, and the SHA-256 of what it made, by tree path.

    Raises BadInput (tree) and GuestFailed, also when the run ends with an error.
    """
    view = core_tree(open_source(tree))
    entry = EntryPoint("the one", (tuple(command),))
    observed, products = observe(view, entry, (), default_engine())
    if observed.failure is not None or observed.exit_status:
        why = observed.failure and observed.failure.message
        words = " ".join(command)
        raise GuestFailed(f"{words}: {why or f'wait status {observed.exit_status}'}")
    hashes = {path: file.sha256 for path, file in view.files.items()}
    made = {path: hashlib.sha256(data).hexdigest() for path, (data, _) in products.items()}
    return reads(observed.records, hashes), made


def reads(records: Sequence[ProcessRecord], hashes: Mapping[str, str]) -> list[str]:
    """The paths of `hashes` (tree path -> SHA-256) that were read or executed as they are there."""
    versions = {(tree_path(v.path), v.sha256) for record in records for v in record.inputs}
    return sorted(path for path, sha256 in versions if hashes.get(path) == sha256)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="bootstrap.runs.reading")
    parser.add_argument("--tree", required=True, help="a clean tree of the release")
    parser.add_argument("--arch", required=True)
    parser.add_argument("--products", help="where the hashes of what was made go")
    args = parser.parse_args(argv)
    try:
        arch = arch_name(args.arch)
        seed = f"./bootstrap-seeds/POSIX/{arch}/kaem-optional-seed"
        found, made = run(Path(args.tree), (seed, f"./kaem.{arch.lower()}"))
    except BootstrapError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print("\n".join(found))
    if args.products:
        lines = (f"{sha256}  {path}\n" for path, sha256 in sorted(made.items()))
        Path(args.products).write_text("".join(lines), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
