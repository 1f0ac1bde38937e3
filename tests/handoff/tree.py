"""A small tree of our own in live-bootstrap's layout, and files for it."""

from __future__ import annotations

import hashlib
from pathlib import Path

ONE = b"the first source file\n" * 50
TWO = b"the second source file\n" * 4000
GIT = b"a snapshot of a repository\n"
FILES = {"one-1.0.tar.gz": ONE, "two.tar.xz": TWO, "snap-abc.tar.gz": GIT}

MANIFEST = """\
# Not a directive.

build: tool-1.0
define: KERNEL = ( KERNEL_BOOTSTRAP == True || BUILD_KERNELS == True )
build: kernel-2.0 ( KERNEL == True )
jump: kernel ( KERNEL == True )
build: bash-0.1
improve: paths
build: tool-1.0
build: lib-3.0 ( CHROOT == True )   # not taken apart
uninstall: tool-1.0 /usr/bin/old
build: tool-1.0
""".replace("   #", " #")

HELPERS = """\
# a stand-in of our own
check_line() {
    sha256sum -c "${fname}.sum"
}
src_checksum() {
    sha256sum -c "${checksum_file}"
}
"""


def sha256(data: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def put(folder: Path, path: str, text: str) -> None:
    """Write a file, with the folders above it."""
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")


def make(folder: Path, base: str = "https://example.invalid") -> Path:
    """The tree; its addresses begin with ``base``."""
    one, two = f"{base}/one-1.0.tar.gz {sha256(ONE)}", f"{base}/dl/2 {sha256(TWO)} two.tar.xz"
    put(folder, "steps/manifest", MANIFEST)
    put(folder, "steps/helpers.sh", HELPERS)
    put(folder, "steps/improve/paths.sh", "true\n")
    put(folder, "steps/jump/kernel.sh", "true\n")
    put(folder, "steps/tool-1.0/sources", f"f {one}\n")
    check = "sha256sum -c sources.SHA256SUM\nmake\n    sha256sum -c ${pkg}.${ARCH}.checksums\n"
    put(folder, "steps/tool-1.0/pass1.kaem", check)
    for name in ("tool-1.0/pass2.sh", "tool-1.0/pass3.sh", "lib-3.0/pass1.sh"):
        put(folder, f"steps/{name}", "true\n")
    listed = f"{'1' * 64}  /usr/bin/tool\n{'2' * 64}  /usr/bin/tool2\n"
    put(folder, "steps/tool-1.0/tool-1.0.x86.checksums", listed)
    put(folder, "steps/kernel-2.0/sources", f"f {two}\n")
    put(folder, "steps/kernel-2.0/pass1.kaem", "make\n")
    put(folder, "steps/bash-0.1/pass1.kaem", "make\n")
    git = f"g https://example.invalid/r.git~abc _ {sha256(GIT)} snap-abc.tar.gz"
    put(folder, "steps/lib-3.0/sources", f"{git}\nf {two}\n")
    sums = {"lib-3.0_0": "a", "old-9.9_0": "b", "tool-1.0_0": "c", "tool-1.0_1": "d"}
    text = "".join(f"{digit * 64}  {name}.tar.bz2\n" for name, digit in sums.items())
    put(folder, "steps/SHA256SUMS.pkgs", text)
    put(folder, "seed/configurator.x86.checksums", f"{'3' * 64}  configurator\n")
    put(folder, "seed/script-generator.x86.checksums", f"{'4' * 64}  script-generator\n")
    return folder


def fill(folder: Path) -> Path:
    """A folder with every source file, right."""
    folder.mkdir(exist_ok=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    return folder
