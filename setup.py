"""What pyproject.toml cannot say: the data folders in the wheel, the optional native library, and
manual pages and completions, which are made of the parser.

Everything else about the package is in pyproject.toml.
"""

import gzip
import io
import os
import re
import shutil
import sys
import tarfile
import time
from pathlib import Path

from setuptools import Distribution, Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).resolve().parent
LIBRARIES = {
    "bootstrap.instruments._fastpath": "bootstrap/instruments/fastpath.c",
    "bootstrap.machines._interrupts": "bootstrap/machines/interrupts.c",
}


class BuildWithData(build_py):  # type: ignore[misc, unused-ignore]
    """Carries the top-level folders seeds/ and steps/ inside the package, as bootstrap/_data/*.

    An editable install does not need the copy: bootstrap/known/data.py finds the checkout's
    own folders.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        data = Path(self.build_lib) / "bootstrap" / "_data"
        for kind in ("seeds", "steps"):
            shutil.rmtree(data / kind, ignore_errors=True)
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / kind, data / kind, ignore=skip)
        (data / "schemas").mkdir(exist_ok=True)
        for schema in ROOT.glob("docs/*.schema.json"):
            shutil.copy(schema, data / "schemas")


class InstallPages(Distribution().get_command_class("install_data")):  # type: ignore[misc]
    """Puts manual pages and completions where a system looks for them: below share/.

    They are made of the parser, which loads nothing that runs a guest: the licences of what makes
    them do not meet Unicorn's.
    """

    def run(self) -> None:
        super().run()
        for place, text in sorted(pages().items()):
            file = Path(str(self.install_dir)) / place
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            self.outfiles.append(str(file))


def pages() -> dict[str, str]:
    """Manual pages and completions by where they go, below an installation's prefix."""
    import shtab
    from argparse_manpage.manpage import Manpage

    sys.path.insert(0, str(ROOT))
    from bootstrap import __version__
    from bootstrap.cli.command_parser import ENVIRONMENT_HELP, CommandParser, add_usual
    from bootstrap.cli.commands import parser
    from bootstrap.core.errors import EXIT_STATUS_HELP

    assert "unicorn" not in sys.modules
    day = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
    about = {
        "project_name": "bootstrap-emulator", "version": __version__,
        "manual_title": "bootstrap manual", "date": time.strftime("%Y-%m-%d", day),
    }  # fmt: skip
    found: dict[str, str] = {}

    def plain(text: str) -> str:
        escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
        return ".nf\n" + "\n".join(f"\\&{line}" for line in escaped.splitlines()) + "\n.fi"

    def add(one: CommandParser, help: str) -> None:
        name = one.prog.replace(" ", "-")
        notes, one.epilog = one.epilog, None
        shown = one
        if one.commands:
            usage = f"{one.prog} [-h] [-q] [-v] [-V] COMMAND ..."
            shown = CommandParser(prog=one.prog, usage=usage, description=one.description)
            add_usual(shown)
        page = Manpage(shown, {**about, "description": help})
        page.prog = name
        if one.commands:
            rows = [f".TP\n.B {below}\n{text}" for below, text in helps(one).items()]
            page.add_section("commands", "=", "\n".join(rows).replace("-", "\\-"))
        if notes:
            page.add_section("notes", "=", page.format_text(notes))
        if one.example:
            lines = [f"bootstrap {line}" for line in one.example.splitlines()]
            page.add_section("examples", "=", plain("\n".join(lines)))
        page.add_section("environment", "=", plain(ENVIRONMENT_HELP.partition("\n")[2]))
        page.add_section("exit status", "=", plain(EXIT_STATUS_HELP.partition("\n")[2]))
        below = [f"{name}-{command}(1)" for command in one.commands]
        page.add_section("see also", "=", ", ".join(below or ["bootstrap(1)"]))
        # An apostrophe that begins a line would make it a request.
        found[f"share/man/man1/{name}.1"] = re.sub("^'", "\\\\&'", str(page), flags=re.MULTILINE)

    def helps(one: CommandParser) -> dict[str, str]:
        return {a.dest: a.help or "" for group in one.groups for a in group._choices_actions}

    def walk(one: CommandParser, help: str) -> None:
        for name, below in one.commands.items():
            walk(below, helps(one)[name])
        add(one, help)

    for shell, place in (
        ("bash", "share/bash-completion/completions/bootstrap"),
        ("zsh", "share/zsh/site-functions/_bootstrap"),
        ("fish", "share/fish/vendor_completions.d/bootstrap.fish"),
    ):
        found[place] = shtab.complete(parser(), shell)
    walk(parser(), "rebuild and verify a full-source bootstrap in an emulator")
    return found


class BuildPlainLibrary(build_ext):  # type: ignore[misc, unused-ignore]
    """Builds a shared library for ctypes: no Python.h, no module init, no tie to one Python.

    Extension(optional=True) makes a failure a warning: without a compiler the install succeeds
    and the Python path is used. tests/packaging holds that it is there where a compiler is.
    """

    def get_ext_filename(self, fullname: str) -> str:
        # The library uses nothing of CPython, so its name carries no interpreter tag.
        suffix = ".pyd" if sys.platform == "win32" else ".so"
        return str(Path(*fullname.split("."))) + suffix

    def get_export_symbols(self, ext: Extension) -> list[str]:
        # The default adds PyInit_<name>, which MSVC's linker would then look for in vain.
        # fastpath.c marks what it exports itself.
        return list(ext.export_symbols)


class AnyPythonWheel(bdist_wheel):  # type: ignore[misc, unused-ignore]
    """A wheel with the library in it is bound to a platform, not to a version of Python.

    With SOURCE_DATE_EPOCH it is the same bit for bit: setuptools takes the times from there, and
    the modes, which follow the umask of whoever cloned, become the usual ones here.
    """

    def write_wheelfile(self, *args: object, **words: object) -> None:
        super().write_wheelfile(*args, **words)
        for path in Path(str(self.bdist_dir)).rglob("*"):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.suffix == ".so" else 0o644)

    def get_tag(self) -> tuple[str, str, str]:
        _, _, platform = super().get_tag()
        return "py3", "none", platform


class SameSdist(sdist):  # type: ignore[misc, unused-ignore]
    """A .tar.gz that is the same bit for bit from the same files, with SOURCE_DATE_EPOCH."""

    def make_archive(self, base_name: str, format: str, *args: object, **words: object) -> str:
        if format != "gztar":
            return str(super().make_archive(base_name, format, *args, **words))
        epoch = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))

        def plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = epoch
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        folder = Path(str(words.get("base_dir") or args[-1]))
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for path in sorted(folder.rglob("*")):
                archive.add(path, recursive=False, filter=plain)
        place = f"{base_name}.tar.gz"
        Path(place).write_bytes(gzip.compress(packed.getvalue(), 9, mtime=epoch))
        return place


def extensions() -> list[Extension]:
    """The native libraries; none for a wheel that is for every platform (py3-none-any)."""
    if os.environ.get("BOOTSTRAP_PURE"):
        return []
    posix = sys.platform != "win32"
    return [
        Extension(
            name,
            [source],
            optional=True,
            # Without what names the folder that it was built in.
            extra_compile_args=["-std=c99", "-O2", "-g0", "-fvisibility=hidden"] if posix else [],
        )
        for name, source in LIBRARIES.items()
        if (ROOT / source).exists()
    ]


setup(
    # What is installed beside the package; InstallPages adds what it makes.
    data_files=[("share/doc/bootstrap-emulator", ["README.md", "CHANGELOG.md"])],
    ext_modules=extensions(),
    cmdclass={
        "build_py": BuildWithData,
        "build_ext": BuildPlainLibrary,
        "bdist_wheel": AnyPythonWheel,
        "install_data": InstallPages,
        "sdist": SameSdist,
    },
)
