"""`python -I -m bootstrap.prove.check CERTIFICATE SEED`: 0 proven, 1 not, 2 bad input."""

import sys

from bootstrap.prove.check.proof import decide

if __name__ == "__main__":
    if len(sys.argv) != 3:
        print("usage: python -I -m bootstrap.prove.check CERTIFICATE SEED", file=sys.stderr)
        sys.exit(2)
    try:
        files = [open(name, "rb").read(1 << 22) for name in sys.argv[1:]]  # noqa: SIM115
    except OSError as error:
        print(f"{error.filename!r}: cannot be read: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    status, line = decide(*files)
    print(line, file=sys.stderr if status else sys.stdout)
    sys.exit(status)
