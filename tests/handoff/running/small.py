"""A small tree of our own in live-bootstrap's layout, that runs from its seed to its last step.

Its programs are the host's bash and what belongs to it, so that there is something to run without
upstream's sources: kaem's language is near enough to that of bash for the scripts here.
"""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from bootstrap.core.release import SourceFile
from bootstrap.handoff.plan import HandoffPlan, read_plan
from bootstrap.handoff.stage0 import Stage0
from bootstrap.sources import SourceTree
from tests.handoff.tree import put, sha256

ARCH, DIR = "amd64", "AMD64"
PROGRAMS = "bash cat chmod cp mkdir rm ln sha256sum ls wc sleep env".split()
ONE = b"the only source file\n" * 100
PACKAGE = b"what lib makes of it\n"
BIG = 6 << 20
"""Bytes of the file that the last step makes: more than a limit of 4 MiB lets it."""

KAEM = """\
#!/AMD64/bin/bash
# A stand-in of our own: variables are exported, the rest is as in bash.
while [ "$1" != --file ]; do shift; done
file="$2"
case "$file" in */*) ;; *) file="./$file" ;; esac
set -ea
. "$file"
"""
SEED = """\
#!/AMD64/bin/bash
PATH=/AMD64/bin
set -ea
. ./kaem.amd64
"""
KAEM_RUN = """\
ARCH="amd64"
ARCH_DIR="AMD64"
BUILDDIR="../${ARCH_DIR}/artifact"
sha256sum -c amd64.answers
exec ./AMD64/bin/kaem --verbose --strict --file ./after.kaem
"""
MAKE = "set -ex\ncat hello.src AMD64/two.src > AMD64/bin/hello\ncp hello.src AMD64/artifact/part\n"
HELLO, TWO = b"hello\n", b"two\n"

SEED_KAEM = """\
set -ex
mkdir -p ${PREFIX} ${BINDIR} ${TMPDIR} /dev
PATH=/${ARCH_DIR}/bin
cp /${ARCH_DIR}/bin/kaem ${BINDIR}/kaem
PATH=${BINDIR}:/${ARCH_DIR}/bin
GIVEN=by-seed
cp configurator.src configurator
sha256sum -c configurator.${ARCH}.checksums
cp generator.src script-generator
chmod 755 script-generator
sha256sum -c script-generator.${ARCH}.checksums
./script-generator /steps/manifest

kaem --file /steps/0.sh
"""
AFTER = """\
set -ex
PATH=/${ARCH_DIR}/bin
cat /steps/bootstrap.cfg /steps/env seed.kaem > seed-full.kaem
kaem --file seed-full.kaem
"""
# What upstream's generator would write of the manifest below, written out by hand.
GENERATOR = """\
#!/AMD64/bin/bash
cat > /steps/0.sh << "END"
set -ex
cd /steps
END
cat /steps/bootstrap.cfg /steps/env >> /steps/0.sh
cat >> /steps/0.sh << "END"
pkg=tool-1.0
cd ${pkg}
kaem --file pass1.kaem
cd ..
pkg=bash-0.1
cd ${pkg}
kaem --file pass1.kaem
cd ..
bash /steps/1.sh
END
cat > /steps/1.sh << "END"
#!/bin/bash
set -e
cd /steps
. ./bootstrap.cfg
. ./env
. ./helpers.sh
. /steps/improve/paths.sh
build lib-3.0 pass1.sh
uninstall tool-1.0 /usr/bin/old
build last-1.0 pass1.sh
END
"""
MANIFEST = """\
build: tool-1.0
build: bash-0.1
improve: paths
build: lib-3.0
uninstall: tool-1.0 /usr/bin/old
build: last-1.0 ( CHROOT == True )
"""
ENV = "DISTFILES=/external/distfiles\nPREFIX=/usr\nBINDIR=${PREFIX}/bin\nTMPDIR=/tmp\n"
TOOL = """\
set -ex
sha256sum -c sources.SHA256SUM
[ "$GIVEN" = by-seed ]
[ "$BUILDDIR" = ../AMD64/artifact ]
[ ! -e mark ]
cat ${DISTFILES}/one-1.0.tar.gz > ${BINDIR}/tool
echo old > ${BINDIR}/old
echo this step made a mark > mark
sha256sum -c ${pkg}.${ARCH}.checksums
"""
PATHS = """\
mkdir -p /external/repo
[ "$GIVEN" = by-seed ]
[ "$PREFIX" = /usr ]
unset GIVEN
export TOLD='by "paths": $HOME `x` \\\\ and
two lines'
echo 'AFTER=1' >> /steps/env
"""
HELPERS = """\
# A stand-in of our own for what upstream's does.
build() {
    pkg=$1
    cd "/steps/${pkg}"
    checksum_file=/tmp/checksum
    . "./$2"
    cd /external/repo
    while read line; do
        case "$line" in *"${pkg}_0.tar.bz2") echo "$line" > "${checksum_file}" ;; esac
    done < /steps/SHA256SUMS.pkgs
    [ "${CHECKED:-yes}" = no ] ||
        sha256sum -c "${checksum_file}"
}
uninstall() {
    shift
    rm "$1"
}
"""
LIB = """\
[ -z "$GIVEN" ]
[ "$TOLD" = 'by "paths": $HOME `x` \\\\ and
two lines' ]
[ "$AFTER" = 1 ]
echo what lib makes of it > "/external/repo/${pkg}_0.tar.bz2"
"""
LAST = """\
[ ! -e /usr/bin/old ]
echo once more >> /steps/lines
rm /usr/bin/tool
env
cat /proc/self/status
cat /proc/net/dev
echo the last step begins
for n in 1 2 3; do
    while read line; do echo "$line$line$line$line$line"; done < /steps/big > /tmp/all
    cat /tmp/all /tmp/all /tmp/all >> "/external/repo/${pkg}_0.tar.bz2"
done
"""


@dataclass(frozen=True)
class Small:
    """The checkout, a folder with its one source file, its plan, and the stage0 to begin with."""

    checkout: Path
    distfiles: Path
    stage0: Stage0

    @property
    def plan(self) -> HandoffPlan:
        return read_plan(self.checkout, ARCH)


def make(folder: Path) -> Small:
    """All of it.  Skips where the host has no bash for this architecture."""
    checkout, distfiles = folder / "lb", folder / "distfiles"
    distfiles.mkdir(parents=True)
    (distfiles / "one-1.0.tar.gz").write_bytes(ONE)
    steps = {
        "manifest": MANIFEST,
        "env": ENV,
        "helpers.sh": HELPERS,
        "improve/paths.sh": PATHS,
        "big": ("0123456789abcdef" * 8 + "\n") * 1024,
        "tool-1.0/pass1.kaem": TOOL,
        "tool-1.0/sources": f"f https://example.invalid/one-1.0.tar.gz {sha256(ONE)}\n",
        "tool-1.0/sources.SHA256SUM": f"{sha256(ONE)}  /external/distfiles/one-1.0.tar.gz\n",
        "tool-1.0/tool-1.0.amd64.checksums": f"{sha256(ONE)}  /usr/bin/tool\n",
        "bash-0.1/pass1.kaem": "set -ex\ncp /AMD64/bin/bash ${BINDIR}/bash\n",
        "lib-3.0/pass1.sh": LIB,
        "last-1.0/pass1.sh": LAST,
        "SHA256SUMS.pkgs": f"{sha256(PACKAGE)}  lib-3.0_0.tar.bz2\n"
        f"{sha256(_last_package())}  last-1.0_0.tar.bz2\n",
    }
    for path, text in steps.items():
        put(checkout, f"steps/{path}", text)
    seed = {
        "seed.kaem": SEED_KAEM,
        "after.kaem": AFTER,
        "configurator.src": "configured\n",
        "generator.src": GENERATOR,
        "configurator.amd64.checksums": f"{sha256(b'configured' + NL)}  configurator\n",
        "script-generator.amd64.checksums": f"{sha256(GENERATOR.encode())}  script-generator\n",
    }
    for path, text in seed.items():
        put(checkout, f"seed/{path}", text)
    return Small(checkout, distfiles, stage0())


NL = b"\n"


def _last_package() -> bytes:
    line = b"0123456789abcdef" * 8 * 5 + b"\n"
    return line * 1024 * 9


def stage0() -> Stage0:
    """Its tree, and what its products are."""
    answers = f"{sha256(HELLO + TWO)}  AMD64/bin/hello\n"
    texts = {
        "bootstrap-seeds/POSIX/AMD64/kaem-optional-seed": SEED,
        "AMD64/bin/kaem": KAEM,
        "AMD64/kaem.run": KAEM_RUN,
        "AMD64/make.kaem": MAKE,
        "AMD64/artifact/placeholder": "",
        "AMD64/two.src": TWO.decode(),
        "hello.src": HELLO.decode(),
        "amd64.answers": answers,
        "after.kaem": "echo Replace me\n",
        "kaem.amd64": "kaem --verbose --strict --file AMD64/make.kaem\n"
        "kaem --verbose --strict --file AMD64/kaem.run\n",
    }
    files = {path: SourceFile(text.encode(), path.endswith("kaem")) for path, text in texts.items()}
    files |= _programs()
    tree = SourceTree("our own", files, {}, frozenset({"AMD64/artifact"}))
    known = (
        ("AMD64/bin/hello", sha256(HELLO + TWO), "amd64.answers"),
        ("AMD64/artifact/part", sha256(HELLO), "emulation"),
    )
    return Stage0(
        "our own stage0",
        tree,
        ("bootstrap-seeds/POSIX/AMD64/kaem-optional-seed",),
        known,
        frozenset({"AMD64/bin/hello"}),
        "values of our own",
    )


@functools.cache
def _programs() -> dict[str, SourceFile]:
    """The host's programs, and the libraries that they want, at their places."""
    files: dict[str, SourceFile] = {}
    libraries: set[str] = set()
    if shutil.which("ldd") is None:
        pytest.skip("no ldd here to find the libraries of bash: apt-get install libc-bin")
    for name in PROGRAMS:
        place = shutil.which(name)
        if place is None:
            pytest.skip(f"no {name} here: apt-get install bash coreutils")
        files[f"{DIR}/bin/{name}"] = SourceFile(Path(place).read_bytes(), True)
        done = subprocess.run(["ldd", place], capture_output=True, text=True, check=False)
        libraries |= set(re.findall(r"(/\S+) \(0x", done.stdout))
    for library in libraries:
        files[library.lstrip("/")] = SourceFile(Path(library).read_bytes(), True)
    return files
