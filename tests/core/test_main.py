"""The core's own command line: its verdicts, its exit statuses, and all that it can be given."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap.core.__main__ import main
from tests.core.made_up import EMBEDDED, EMBEDDED_STEPS, ROOT, made_up, sha256
from tests.core.running import command, core


def lay_out(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


LOOPS = {
    "computing": b"\xeb\xfe",  # jmp to itself
    "calling": b"\x6a\x2d\x58\x31\xdb\xcd\x80\xeb\xf7",  # brk(0), and again
}


@pytest.fixture(params=LOOPS)
def looping(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A tree whose seed never ends, and its step file."""
    one = made_up()
    seed, code = one.files["hex0-seed"], LOOPS[request.param]
    one.files["hex0-seed"] = seed[:0x54] + code + seed[0x54 + len(code) :]
    one.fit()
    (tmp_path / "steps.toml").write_bytes(one.steps())
    return lay_out(tmp_path / "tree", one.files), tmp_path / "steps.toml"


# Verdicts.


def test_what_we_carry_is_verified() -> None:
    done = core(EMBEDDED, "--arch", "x86")
    assert (done.returncode, done.stderr) == (0, "")
    first, digest, steps, by = done.stdout.splitlines()
    assert first.startswith("VERIFIED: All 10 answers of the embedded sources for x86 match")
    assert digest.startswith("tree digest  ") and len(digest.split()[-1]) == 64
    text = EMBEDDED_STEPS.read_bytes()
    assert steps == f"judged by    embedded-x86.toml (sha256 {sha256(text)})"
    assert by == "decided by   core"


def test_an_architecture_is_known_in_any_case(tmp_path: Path) -> None:
    assert core(EMBEDDED, "--arch", "X86").returncode == 0


def test_the_verdict_as_json() -> None:
    done = core(EMBEDDED, "--arch", "x86", "--json")
    found = json.loads(done.stdout)
    assert (found["result"], found["arch"], found["title"]) == ("verified", "x86", "embedded")
    assert found["judged_by_sha256"] == sha256(EMBEDDED_STEPS.read_bytes())
    assert len(found["artifacts"]) == 10
    hello = found["artifacts"][-1]
    assert hello["sha256"] == hello["known"][0]["sha256"]


def test_a_step_file_that_is_not_ours_is_less(tmp_path: Path) -> None:
    one = made_up()
    steps = tmp_path / "steps.toml"
    steps.write_bytes(one.steps())
    tree = lay_out(tmp_path / "tree", one.files)
    done = core(tree, "--arch", "x86", "--steps", steps)
    assert done.returncode == 4
    assert done.stdout.startswith("AS PINNED: All 10 answers")
    assert f"as pinned by {steps} (sha256 {sha256(one.steps())})" in done.stdout


def test_our_own_step_file_by_its_place_is_not_less() -> None:
    assert core(EMBEDDED, "--arch", "x86", "--steps", EMBEDDED_STEPS).returncode == 0


def test_an_answers_file_alone_is_less(tmp_path: Path) -> None:
    """A seed makes one empty file, which has an answer. What was there counts for nothing."""
    seed = (EMBEDDED / "hex0-seed").read_bytes()
    end = b"\x31\xc0\x40\x31\xdb\xcd\x80"  # exit(0)
    path = (0x08048054 + 22 + len(end)).to_bytes(4, "little")
    # open(path, O_CREAT | O_WRONLY, 0755)
    makes = bytes.fromhex("b805000000 bb") + path + bytes.fromhex("b941000000 baed010000 cd80")
    answers, tree = tmp_path / "x86.answers", tmp_path / "tree"
    makes += end + b"x86/bin/M0\0"
    for code, made, status, line in (
        (makes, b"", 4, "ANSWERS MET: All 1 answers met; the sources were compared with no list"),
        (makes, b"1", 1, "NOT VERIFIED: 0 of 1 answers"),
        (end, b"", 1, "NOT VERIFIED: 0 of 1 answers"),
    ):
        answers.write_text(f"{sha256(made)}  x86/bin/M0\n")
        files = {"kaem.x86": b"", "x86/bin/M0": b""}  # what an earlier run left, not executable
        files["bootstrap-seeds/POSIX/x86/kaem-optional-seed"] = (
            seed[:0x54] + code + seed[0x54 + len(code) :]
        )
        done = core(lay_out(tree, files), "--arch", "x86", "--answers", answers)
        assert (done.returncode, done.stdout.startswith(line)) == (status, True)


def test_a_product_that_differs_is_named_with_both_hashes(tmp_path: Path) -> None:
    one = made_up()
    right, wrong = one.answers["hex1"], sha256(b"")
    one.answers["hex1"] = wrong
    steps = tmp_path / "steps.toml"
    steps.write_bytes(one.steps())
    done = core(lay_out(tmp_path / "tree", one.files), "--arch", "x86", "--steps", steps)
    assert done.returncode == 1
    assert done.stdout.startswith("NOT VERIFIED: 9 of 10 answers of made-up 1 for x86 match")
    assert f"hex1: got {right}\n    expected {wrong} (made-up.answers)\n" in done.stdout


def test_a_guest_that_fails_is_told_with_the_reason(tmp_path: Path) -> None:
    one = made_up()
    one.commands.append(["./nowhere"])
    steps = tmp_path / "steps.toml"
    steps.write_bytes(one.steps())
    done = core(lay_out(tmp_path / "tree", one.files), "--arch", "x86", "--steps", steps)
    assert (done.returncode, done.stderr) == (3, "")
    assert "because the guest failed: ./nowhere cannot be executed: ENOENT" in done.stdout


# Nothing but a line.


def refused(*args: str | Path) -> str:
    done = core(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("bootstrap.core: ")
    return done.stderr


def test_a_tree_that_is_no_release_names_the_nearest(tmp_path: Path) -> None:
    tree = shutil.copytree(EMBEDDED, tmp_path / "tree")
    (tree / "M0.hex2").write_bytes(b"")
    (tree / "hello.M1").unlink()
    said = refused(tree, "--arch", "x86")
    assert (
        "nothing was run; nearest is embedded for x86, of which 8 of 10 are there and equal" in said
    )


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "TREE, --arch"),
        ((str(EMBEDDED),), "--arch"),
        (("--arch", "x86"), "TREE"),
        ((str(EMBEDDED), "--arch", "mips"), "there are step files for"),
        ((str(EMBEDDED), "--arch", "x86", "--wrong"), "unrecognized arguments: --wrong"),
        ((str(EMBEDDED), "--arch", "x86", "--entry", "none"), "no release for x86 has it"),
        ((str(EMBEDDED), "--arch", "x86", "--seconds", "x"), "--seconds"),
        ((str(EMBEDDED), "--arch", "x86", "--seconds", "0"), "0 is out of range"),
        ((str(EMBEDDED), "--arch", "x86", "--seconds", "9" * 30), "is out of range"),
        (("", "--arch", "x86"), "'' is no tree"),
        ((str(EMBEDDED), "--arch", ""), "there are step files for"),
        ((str(EMBEDDED), "--arch", "x86", "--entry", ""), "no release for x86 has it"),
        ((str(EMBEDDED), "--arch", "AMD64"), "nearest is"),
        ((str(EMBEDDED), "--arch", "AMD64", "--steps", str(EMBEDDED_STEPS)), "is for x86, not"),
        ((str(EMBEDDED), "--arch", "x86", "--steps", "nowhere"), "nowhere: cannot be read"),
        ((str(EMBEDDED), "--arch", "x86", "--steps", str(ROOT)), "cannot be read: Is a directory"),
        ((str(EMBEDDED), "--arch", "x86", "--steps", str(ROOT / "README.md")), "is no TOML"),
        ((str(EMBEDDED), "--arch", "x86", "--answers", str(ROOT / "README.md")), "md:1: is not"),
        ((str(EMBEDDED), "--arch", "x86", "--answers", "/dev/null"), "is not a regular file"),
        ((str(EMBEDDED), "--arch", "x86", "--answers", "a", "--steps", "b"), "not allowed with"),
        ((str(EMBEDDED / "hex0-seed"), "--arch", "x86"), "cannot be read: Not a directory"),
        (("/nowhere", "--arch", "x86"), "/nowhere: cannot be read: No such file"),
        (("\udcff\n", "--arch", "x86"), "\\xff\\n: cannot be read: No such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_a_line(args: tuple[str, ...], says: str) -> None:
    assert says in refused(*args)


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside"])
def test_a_link_out_of_the_tree(tmp_path: Path, target: str) -> None:
    tree = shutil.copytree(EMBEDDED, tmp_path / "tree")
    (tree / "link").symlink_to(target)
    assert "link is a link out of the tree" in refused(tree, "--arch", "x86")


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    tree = shutil.copytree(EMBEDDED, tmp_path / "tree")
    (tree / os.fsdecode(b"\xff\n")).write_bytes(b"")
    assert r"\xff\n is a name that is not UTF-8" in refused(tree, "--arch", "x86")


def test_a_special_file(tmp_path: Path) -> None:
    tree = shutil.copytree(EMBEDDED, tmp_path / "tree")
    os.mkfifo(tree / "pipe")
    assert "pipe is neither file, link nor folder" in refused(tree, "--arch", "x86")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_an_unreadable_folder(tmp_path: Path) -> None:
    tree = shutil.copytree(EMBEDDED, tmp_path / "tree")
    (tree / "closed").mkdir(mode=0)
    assert "closed: cannot be read: Permission denied" in refused(tree, "--arch", "x86")
    (tree / "closed").chmod(0o700)


def test_without_unicorn_it_is_a_line(monkeypatch: pytest.MonkeyPatch,
                                      capfd: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    for name in [name for name in sys.modules if name.startswith("bootstrap.core.verdict")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "bootstrap.core.machine", None)
    monkeypatch.setattr(signal, "pthread_sigmask", lambda how, which: set())
    monkeypatch.setattr("_thread.start_new_thread", lambda function, args: 0)
    monkeypatch.setattr(signal, "setitimer", lambda which, seconds: None)
    assert main([str(EMBEDDED), "--arch", "x86"]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1) and "pip install unicorn" in err


# Ends.


@pytest.mark.parametrize(
    ("number", "status", "says"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "ended by SIGTERM")],
)
def test_a_signal_ends_a_run_at_once(
    looping: tuple[Path, Path], number: signal.Signals, status: int, says: str
) -> None:
    """Also one whose guest makes no system call."""
    tree, steps = looping
    with subprocess.Popen(
        command(tree, "--arch", "x86", "--steps", steps),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_hear,
    ) as child:  # fmt: skip
        try:
            # Once it has read the tree it is in the guest, or nearly.
            while (Path("/proc") / str(child.pid) / "comm").exists() and child.poll() is None:
                if "libunicorn" in (Path("/proc") / str(child.pid) / "maps").read_text():
                    break
            child.send_signal(number)
            out, err = child.communicate(timeout=60)
        finally:
            child.kill()
    assert (child.returncode, out, err) == (status, "", f"bootstrap.core: {says}\n")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_all_is_loaded(number: signal.Signals, status: int) -> None:
    """A line even where it comes while the standard library is being imported."""
    code = (
        f"import os, runpy, sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "class Sender:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == 'argparse': os.kill(os.getpid(), {int(number)})\n"
        "sys.meta_path.insert(0, Sender())\n"
        f"sys.argv = ['core', {str(EMBEDDED)!r}, '--arch', 'x86']\n"
        "runpy.run_module('bootstrap.core', run_name='__main__', alter_sys=True)"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True,
                          preexec_fn=_hear, check=False)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (status, "", 1)


def _hear() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_loop_ends_by_the_limit(looping: tuple[Path, Path]) -> None:
    tree, steps = looping
    done = core(tree, "--arch", "x86", "--steps", steps, "--seconds", "2")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("bootstrap.core: limit: the run took 2 s of CPU time")


def test_a_reader_that_goes_away() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command(EMBEDDED, "--arch", "x86"), stdout=write, stderr=subprocess.PIPE,
                          text=True, check=False)  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("args", [("--help",), (str(EMBEDDED), "--arch", "x86")])
@pytest.mark.parametrize(
    ("redirection", "says"),
    [
        (">&-", "standard output is closed"),
        (">/dev/full", "standard output: No space left on device"),
        (">&- 2>&-", ""),
        (">/dev/full 2>/dev/full", ""),
    ],
)
def test_a_verdict_that_cannot_be_delivered(
    args: tuple[str, ...], redirection: str, says: str
) -> None:
    """It is none: a caller that looks at the status alone must not take it for one."""
    done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", *command(*args)],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (f"bootstrap.core: {says}\n" if says else "")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_a_message_that_cannot_be_written_is_not_put_where_the_verdict_goes(
    redirection: str,
) -> None:
    done = subprocess.run(["sh", "-c", f'exec "$@" {redirection}', "sh", *command("/nowhere")],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_help_loads_nothing_of_ours_but_the_core() -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from bootstrap.core.__main__ import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "import json; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert "exit status:" in done.stdout
    ours = {name for name in json.loads(done.stderr) if name.startswith("bootstrap")}
    assert ours == {"bootstrap", "bootstrap.core", "bootstrap.core.__main__",
                    "bootstrap.core.errors", "bootstrap.core.release"}  # fmt: skip
    assert "unicorn" not in json.loads(done.stderr)
