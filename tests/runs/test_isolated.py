"""Interpreters of ours import this package and what it stands on, wherever they are started.

Each name that a worker or gdb's server imports is planted in the current folder, which is the tree,
and where PYTHONPATH leads. The installations that users have are tried.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap import host
from bootstrap.core.errors import BadInput
from bootstrap.debug.gdb.wire import frame
from bootstrap.known import find
from bootstrap.linux.limits import RunLimits
from bootstrap.runs import pool
from bootstrap.runs.ahead import Ahead, Workers
from bootstrap.runs.rebuild import visible
from tests.cli.command import ROOT, bootstrap, environment
from tests.debug.gdb.clients import gdb_for
from tests.runs.tiny import ENTRY, embedded
from tests.runs.works import Quiet

TRAP = "import os\nos.write(2, b'PLANTED ' + __name__.encode() + b'\\n')\nos._exit(9)\n"
SCRIPT = "import sys\nfrom bootstrap.cli.main import main\nsys.exit(main())\n"
"""As pip writes them."""
VERIFY = ("verify", "--source", ".", "--release", "1.9.1", "--arch", "x86,AMD64", "--jobs", "2")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("trace") / "embedded.trace"
    assert bootstrap("trace", "record", "--release", "embedded", "-o", place).status == 0
    return place


@pytest.fixture(scope="module")
def names(trace: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What a worker and gdb's server import, or try to, until they end: first parts of names."""
    place = tmp_path_factory.mktemp("names") / "log"
    with open(place, "wb") as log:

        def start(function: str, *words: str) -> subprocess.Popen[bytes]:
            command = host.own_command(*function.split(":"), *words)
            return subprocess.Popen(
                [command[0], "-X", "importtime", *command[1:]], env=host.own_environment(),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip

        resolved = embedded()
        view, entry, _ = visible(resolved, ENTRY)
        run = Ahead(None, view, RunLimits(), Workers(1), entry=entry)
        task, watcher = pool.WorkTask("x86", run.task(run.ready()[0])), Quiet()
        pool.run_each(lambda: start("bootstrap.runs.ahead:worker"), [task], 1, watcher)
        assert isinstance(watcher.results[0], pool.WorkResult)
        with start("bootstrap.cli.main:main", "gdb", "--stdio", str(trace)) as server:
            assert b"QC1" in server.communicate(frame(b"qC") + frame(b"k"))[0]
    said = [line for line in place.read_text().splitlines() if line.startswith("import time:")]
    found = {line.rpartition("|")[2].strip().partition(".")[0] for line in said}
    assert {"bootstrap", "unicorn", "capstone", "ctypes", "json", "sqlite3", "threading"} <= found
    assert "sitecustomize" not in found, "site folders were searched"
    return found


@pytest.fixture
def tree(names: set[str], tmp_path: Path) -> Path:
    """A tree that no release is, every file of it empty, and the traps beside them."""
    folder = tmp_path / "tree"
    for arch in ("x86", "AMD64"):
        for path in find("stage0-posix", "1.9.1", arch).materials:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).touch()
    for name in {*names, "multiprocessing", "sitecustomize", "usercustomize"}:
        (folder / f"{name}.py").write_text(TRAP)
    return folder


def own(*words: object, cwd: Path, python_path: Path) -> subprocess.CompletedProcess[str]:
    """This program, isolated itself, so that it cannot fall into the trap of PYTHONPATH."""
    program = f"import sys\nsys.path.append({str(ROOT)!r})\n{SCRIPT}"
    return subprocess.run(
        [sys.executable, "-I", "-c", program, *map(str, words)], cwd=cwd, check=False, timeout=120,
        env=environment({"PYTHONPATH": str(python_path)}), stdin=subprocess.DEVNULL,
        capture_output=True, text=True,
    )  # fmt: skip


def test_workers_import_nothing_that_is_planted(tree: Path) -> None:
    done = own(*VERIFY, cwd=tree, python_path=tree)
    assert "PLANTED" not in done.stderr
    assert (done.returncode, "ENOEXEC" in done.stdout) == (3, True), done.stdout + done.stderr


def test_gdbs_server_imports_nothing_that_is_planted(tree: Path, trace: Path) -> None:
    gdb_for("i386")
    done = own("gdb", trace, "--launch", cwd=tree, python_path=tree)
    assert "PLANTED" not in done.stderr + done.stdout
    assert (done.returncode, "0x0804804c" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_command_is_safe_in_any_environment(tree: Path) -> None:
    command = host.own_command("bootstrap.cli.main", "main", "--version")
    env = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHOME": str(tree)}
    done = subprocess.run(command, cwd=tree, env=env, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_traps_do_work(tree: Path) -> None:
    """For what is started without care; each of both ways."""
    command = [sys.executable, "-S", "-c", "import multiprocessing"]
    for cwd, more in ((tree, {"PYTHONPATH": ""}), (tree.parent, {"PYTHONPATH": str(tree)})):
        done = subprocess.run(command, cwd=cwd, env={**os.environ, **more}, capture_output=True)
        assert (done.returncode, b"PLANTED" in done.stderr) == (9, True)


def test_one_function_starts_interpreters(checkout: Path) -> None:
    """The import contract says who starts processes; here: who starts our own interpreter."""
    sources = (checkout / "bootstrap").rglob("*.py")
    found = {path.name for path in sources if "sys.executable" in path.read_text()}
    assert found == {"host.py"}


# -- installations ------------------------------------------------------------------------------


def install(folder: Path) -> None:
    """What pip would put there; its own files are copied, dependencies are linked."""
    package = folder / "bootstrap"
    shutil.copytree(ROOT / "bootstrap", package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "_data").mkdir()
    for name in ("seeds", "steps"):
        (package / "_data" / name).symlink_to(ROOT / name)
    for name in host.DEPENDENCIES:
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.submodule_search_locations is not None
        (folder / name).symlink_to(spec.submodule_search_locations[0])


def said_by(python: str, program: str, **more: str) -> str:
    return subprocess.run(
        [python, "-c", program], env={**os.environ, **more}, check=True, capture_output=True,
        text=True,
    ).stdout.strip()  # fmt: skip


@pytest.mark.parametrize("kind", ["venv", "user"])
def test_installations(kind: str, tree: Path, tmp_path: Path) -> None:
    """A venv (pipx makes one, too), pip install --user; test_workers... has what runs the tests,
    which is an editable install."""
    base: str = getattr(sys, "_base_executable", sys.executable)
    folder, env = tmp_path / "installed", environment()
    del env["PYTHONPATH"]
    if kind == "venv":
        subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
        python = str(folder / "bin/python")
        place = said_by(python, "import sysconfig; print(sysconfig.get_path('purelib'))")
    else:
        python = base
        env["PYTHONUSERBASE"] = str(folder)
        place = said_by(
            python, "import site; print(site.getusersitepackages())", PYTHONUSERBASE=str(folder)
        )
    install(Path(place))
    script = folder / "bin" / "bootstrap"
    script.parent.mkdir(exist_ok=True)
    script.write_text(SCRIPT)
    done = subprocess.run(
        [python, script, *VERIFY], cwd=tree, env=env, check=False, timeout=120,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "PLANTED" not in done.stderr
    assert (done.returncode, "ENOEXEC" in done.stdout) == (3, True), done.stdout + done.stderr


def test_a_dependency_that_only_pythonpath_has_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stranger.py").touch()
    monkeypatch.setattr(host, "DEPENDENCIES", ("stranger",))
    monkeypatch.syspath_prepend(tmp_path)
    host.own_command("bootstrap.cli.main", "main")  # as if a folder of the installation
    monkeypatch.setenv("PYTHONPATH", f"/nonexistent{os.pathsep}{tmp_path}")
    with pytest.raises(BadInput, match=r"stranger is loaded from .*PYTHONPATH"):
        host.own_command("bootstrap.cli.main", "main")
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="the current folder"):
        host.own_command("bootstrap.cli.main", "main")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert host.own_command("bootstrap.cli.main", "main")


def test_the_environment_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        monkeypatch.delenv(name)
    for name in ("PYTHONPATH", "PYTHONHOME", "LD_PRELOAD", "LIBUNICORN_PATH", "PATH"):
        monkeypatch.setenv(name, ".")
    monkeypatch.setenv("LD_LIBRARY_PATH", ":.:/opt/python/lib")
    monkeypatch.setenv("BOOTSTRAP_HOT_PATH", "python")
    expected = {"LD_LIBRARY_PATH": "/opt/python/lib", "BOOTSTRAP_HOT_PATH": "python"}
    assert host.own_environment() == expected
    monkeypatch.setenv("LD_LIBRARY_PATH", ":")
    del expected["LD_LIBRARY_PATH"]
    assert host.own_environment() == expected


def test_what_a_distribution_needs_is_found_by_the_names_of_imports() -> None:
    assert host.packages_of("no such distribution") == []
    assert host.packages_of("SecureSystemsLib") == ["securesystemslib"]
    assert {"jinja2", "markupsafe"} <= {*host.packages_of("Jinja2")}
    assert "unicorn" not in host.packages_of("jinja2")
