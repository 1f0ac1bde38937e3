"""What pyproject.toml cannot say: the data folders in the wheel, and the optional native library.

Everything else about the package is in pyproject.toml.
"""

import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

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
        for kind in ("seeds", "steps"):
            target = Path(self.build_lib) / "bootstrap" / "_data" / kind
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(ROOT / kind, target, ignore=shutil.ignore_patterns("__pycache__"))


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
    """A wheel with the library in it is bound to a platform, not to a version of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, platform = super().get_tag()
        return "py3", "none", platform


def extensions() -> list[Extension]:
    posix = sys.platform != "win32"
    return [
        Extension(
            name,
            [source],
            optional=True,
            extra_compile_args=["-std=c99", "-O2", "-fvisibility=hidden"] if posix else [],
        )
        for name, source in LIBRARIES.items()
        if (ROOT / source).exists()
    ]


setup(
    ext_modules=extensions(),
    cmdclass={
        "build_py": BuildWithData,
        "build_ext": BuildPlainLibrary,
        "bdist_wheel": AnyPythonWheel,
    },
)
