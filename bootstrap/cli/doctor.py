"""``bootstrap doctor``: what is there, and whether it can be used.  It starts no program."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from bootstrap.core.errors import BootstrapError

SCHEMA = "bootstrap-doctor/1"
_ROOM = 20 << 20
_PACKAGES = ("unicorn", "capstone", "platformdirs")


def run(args: argparse.Namespace) -> int:
    """Print the findings; 0 when a run could start here, 2 when something needs mending.

    Raises BadInput when the JSON cannot be written.
    """
    from bootstrap.cli.output import say, write_json

    found = examine()
    say(found.lines(), sys.stderr if args.json == "-" else sys.stdout)
    write_json(args.json, {"schema": SCHEMA, **vars(found)})
    return 2 if found.problems else 0


@dataclass(frozen=True)
class Cached:
    """A release, or a checkout with its commit, in the cache; or a folder of these.

    ``digest`` is its tree digest, None when it cannot be used: of a folder always.  ``known`` says
    whether it is held against more than its own manifest: a release or commit that is known.
    """

    release: str
    digest: str | None
    files: int
    known: bool = False


@dataclass(frozen=True)
class Native:
    """Whether this host's own kernel runs an architecture's Linux programs, and how one knows."""

    arch: str
    possible: bool
    why: str


@dataclass(frozen=True)
class OtherProgram:
    """A program of others: what it is used for, where it is, and what installs it on this system.

    Nothing needs all of them: that one is missing is no problem.
    """

    name: str
    used_for: str
    path: str | None
    install: str | None


@dataclass(frozen=True)
class HostFindings:
    """What the doctor found; ``problems`` are what has to be mended before a run can start."""

    version: str
    place: str
    python: str
    host: str
    packages: dict[str, str | None]
    engine: dict[str, str] | None
    cache: str
    cached: tuple[Cached, ...]
    known: tuple[str, ...]
    embedded: tuple[str, ...]
    native: tuple[Native, ...]
    programs: tuple[OtherProgram, ...]
    free: int | None
    """Bytes that the file system of the cache has left; None where that cannot be said."""
    problems: tuple[str, ...]

    def lines(self) -> list[str]:
        """The same, for people."""
        rows = [
            ("bootstrap", f"{self.version}, in {self.place}"),
            ("python", f"{self.python} on {self.host}"),
            ("packages", ", ".join(f"{n} {v or 'MISSING'}" for n, v in self.packages.items())),
        ]
        if self.engine is None:
            rows.append(("engine", "cannot be used (see below)"))
        else:
            rows.append(("engine", f"{self.engine['name']} {self.engine['version']}"))
            hot, reason = self.engine["hot_path"], self.engine["hot_path_reason"]
            rows.append(("fast path", f"{hot} ({reason})"))
            rows.append(("", f"looks for a request to stop {self.engine['exit_checks']}"))
            if mend := self.engine.get("mend"):
                rows.append(("", f"to build the native one: {mend}"))
        left = "" if self.free is None else f", {self.free / 1e9:,.1f} GB free"
        rows.append(("cache", f"{self.cache}{left}"))
        for item in self.cached:
            state = "cannot be used (see below)"
            if item.digest is not None:
                how = "verified" if item.known else "as it was put there"
                state = f"{how}, {item.files} files, tree digest {item.digest}"
            rows.append(("", f"{item.release}: {state}"))
        if not self.cached:
            rows.append(("", "no release yet; bootstrap fetch stage0-posix gets one"))
        rows.append(("known", self.known[0] if self.known else "no release"))
        rows += [("", release) for release in self.known[1:]]
        rows.append(("embedded", ", ".join(self.embedded) or "nothing"))
        for native in self.native:
            can = "runs natively" if native.possible else "does not run natively"
            label = "host" if native is self.native[0] else ""
            rows.append((label, f"{native.arch}: {can} ({native.why})"))
        for other in self.programs:
            label = "programs" if other is self.programs[0] else ""
            there = other.path or f"not here; {other.install or 'this system has no package of it'}"
            rows.append((label, f"{other.name}: {there} ({other.used_for})"))
        lines = [f"{name:<10} {text}" for name, text in rows]
        return lines + [f"problem: {problem}" for problem in self.problems]


def examine() -> HostFindings:
    """Look at everything; a room that fails becomes a problem, never an exception."""
    import bootstrap

    problems: list[str] = []
    return HostFindings(
        version=bootstrap.__version__,
        place=str(Path(bootstrap.__file__).resolve().parent),
        python=platform.python_version(),
        host=f"{platform.system()} {platform.machine()}",
        packages=_packages(problems),
        engine=_engine(problems),
        cache=_cache_place(),
        cached=_cached(problems),
        known=_known(problems),
        embedded=_embedded(problems),
        native=native_architectures(platform.system(), platform.machine()),
        programs=other_programs(system_family()),
        free=_free(problems),
        problems=tuple(problems),
    )


def _packages(problems: list[str]) -> dict[str, str | None]:
    from importlib import metadata

    versions: dict[str, str | None] = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
            problems.append(f"{name} is not installed: pip install {name}, or install again")
    return versions


def _engine(problems: list[str]) -> dict[str, str] | None:
    from bootstrap.instruments import default_engine

    try:
        found = default_engine().describe()
        if found["hot_path"] == "python" and "BOOTSTRAP_HOT_PATH" not in os.environ:
            install = _installs(system_family(), _COMPILER)
            again = "install this program again from its source: in a clone, make"
            found["mend"] = f"{install or 'install a C compiler'}; then {again}"
        return found
    # ImportError: no Unicorn; OSError: a library in it that this host cannot load.
    except (BootstrapError, ImportError, OSError) as error:
        problems.append(f"the engine cannot be used: {error}")
        return None


_SYSTEMS = {
    "debian": "sudo apt install", "fedora": "sudo dnf install", "arch": "sudo pacman -S",
    "alpine": "sudo apk add", "macos": "brew install",
}  # fmt: skip
_LIKE = {"ubuntu": "debian", "rhel": "fedora", "centos": "fedora"}
_COMPILER = "gcc gcc gcc gcc,musl-dev gcc"
_PROGRAMS = """
gdb        | gdb-multiarch gdb    | gdb --launch              | gdb-multiarch gdb gdb gdb gdb
podman     | podman               | handoff run               | podman podman podman podman -
docker     | docker               | handoff run               | docker.io moby-engine docker docker -
bubblewrap | bwrap                | handoff run, confirm      | bubblewrap bubblewrap bubblewrap bubblewrap -
unshare    | unshare              | handoff run, as root      | util-linux util-linux util-linux util-linux -
qemu       | qemu-i386-static qemu-i386 | confirm, make bench | qemu-user-static qemu-user-static qemu-user-static qemu-i386 -
valgrind   | valgrind             | confirm                   | valgrind valgrind valgrind valgrind -
ssh-keygen | ssh-keygen           | attest, quorum            | openssh-client openssh-clients openssh openssh-keygen openssh
gpg        | gpg                  | attest, quorum            | gnupg gnupg2 gnupg gnupg gnupg
skopeo     | skopeo               | copying an oci export     | skopeo skopeo skopeo skopeo skopeo
cosign     | cosign               | signing what oci exported | - - cosign cosign cosign
git        | git                  | getting a checkout        | git git git git git
"""  # noqa: E501
"""Name, what it is called, what uses it, its package on each of _SYSTEMS (- where it has none)."""


def system_family() -> str | None:
    """Which of the systems this is, or is made after; None: none of them."""
    if platform.system() == "Darwin":
        return "macos"
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return None
    names = [release.get("ID", ""), *release.get("ID_LIKE", "").split()]
    return next((f for name in names if (f := _LIKE.get(name, name)) in _SYSTEMS), None)


def _installs(family: str | None, packages: str) -> str | None:
    if family is None:
        return "install it as this system installs its packages"
    package = packages.split()[list(_SYSTEMS).index(family)]
    return None if package == "-" else f"{_SYSTEMS[family]} {package.replace(',', ' ')}"


def other_programs(family: str | None) -> tuple[OtherProgram, ...]:
    """Programs of others that some commands start, looked for and not started."""
    found = []
    for row in _PROGRAMS.strip().splitlines():
        name, called, use, packages = (cell.strip() for cell in row.split("|"))
        path = next(filter(None, map(shutil.which, called.split())), None)
        found.append(OtherProgram(name, use, path, _installs(family, packages)))
    return tuple(found)


def _free(problems: list[str]) -> int | None:
    """Bytes left where the cache is, or where it would be made."""
    place = Path(_cache_place())
    try:
        there = next(one for one in (place, *place.parents) if one.is_dir())
        free = shutil.disk_usage(there).free
    except (OSError, StopIteration):
        return None
    if free < _ROOM:
        problems.append(
            f"{there} has {free:,} bytes free, and a release in the cache takes {_ROOM:,}: make"
            " room, or name another folder: export BOOTSTRAP_CACHE=DIR"
        )
    return free


def _cache_place() -> str:
    from bootstrap.sources.cache import VARIABLE, cache_root

    try:
        return str(cache_root())
    except ImportError:
        return f"unknown without platformdirs; {VARIABLE} can name it"


def _cached(problems: list[str]) -> tuple[Cached, ...]:
    from bootstrap.known import RELEASES
    from bootstrap.sources.cache import Cache
    from bootstrap.sources.checkouts import NAMES, has_known_value, load_checkout

    try:
        cache = Cache()
    except ImportError:
        return ()
    found = []
    for name in (RELEASES, *NAMES):
        try:
            cache.require_usable(name)
        except BootstrapError as error:
            problems.append(str(error))
            found.append(Cached(name, None, 0))
    for release in cache.releases():
        try:
            tree = cache.load(release)
        except BootstrapError as error:
            problems.append(str(error))
            found.append(Cached(release, None, 0))
        else:
            if tree is not None:
                known = has_known_value(RELEASES, release)
                found.append(Cached(release, tree.digest, len(tree.files), known))
    for name in NAMES:
        for commit in cache.releases(name):
            try:
                tree = load_checkout(name, commit, cache)
            except BootstrapError as error:
                problems.append(str(error))
                tree = None
            digest, files = (None, 0) if tree is None else (tree.digest, len(tree.files))
            known = tree is not None and has_known_value(name, commit)
            found.append(Cached(f"{name} {commit}", digest, files, known))
    return tuple(found)


def _known(problems: list[str]) -> tuple[str, ...]:
    from bootstrap.known import RELEASES, architectures, releases

    try:
        return tuple(
            f"{RELEASES} {release} ({', '.join(architectures(RELEASES, release))})"
            for release in releases()
        )
    except BootstrapError as error:
        problems.append(str(error))
        return ()


def _embedded(problems: list[str]) -> tuple[str, ...]:
    """The embedded sources that are whole, each with how many files it has."""
    from bootstrap.known import EMBEDDED, all_steps
    from bootstrap.sources import check_materials, embedded_source

    whole = []
    try:
        for step in all_steps():
            if step.name != EMBEDDED:
                continue
            tree = embedded_source(step)
            report = check_materials(tree, step)
            if report.whole:
                whole.append(f"{step.arch} ({len(tree.files)} files, verified)")
            else:
                problems.extend(f"the embedded sources: {line}" for line in report.lines())
    except BootstrapError as error:
        problems.append(str(error))
    return tuple(whole)


_MACHINES = {
    "x86_64": ("x86", "AMD64"),
    "amd64": ("x86", "AMD64"),
    "i386": ("x86",),
    "i486": ("x86",),
    "i586": ("x86",),
    "i686": ("x86",),
    "aarch64": ("AArch64",),
    "arm64": ("AArch64",),
    "riscv64": ("riscv64",),
}
_TO_JUDGE = ("x86", "AMD64", "AArch64", "riscv64", "riscv32")

# arch/x86/entry/vdso/vdso32-setup.c: a 64-bit kernel has this file when it was built to run
# 32-bit programs. It can still be kept from it at boot (ia32_emulation=0), which nothing shows
# short of starting one.
_IA32 = Path("/proc/sys/abi/vsyscall32")


def native_architectures(system: str, machine: str, ia32: Path = _IA32) -> tuple[Native, ...]:
    """What a host could run without emulation, judged by its name only (platform.machine())."""
    runs = _MACHINES.get(machine.lower(), ())
    found = []
    for arch in _TO_JUDGE:
        if system != "Linux":
            found.append(Native(arch, False, f"{system} does not run Linux programs"))
        elif arch not in runs:
            found.append(Native(arch, False, f"the processor is {machine}"))
        elif arch == "x86" and "AMD64" in runs:
            there = ia32.exists()
            why = "the kernel runs 32-bit programs" if there else f"{ia32} is not there"
            found.append(Native(arch, there, why))
        else:
            found.append(Native(arch, True, f"the processor is {machine}"))
    return tuple(found)
