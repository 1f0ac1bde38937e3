"""Scripts, environments, layout and pins: what is read, and what is refused."""

from __future__ import annotations

import copy
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.handoff import rootfs
from bootstrap.handoff.containers.safe_paths import inside, read_inside, require_folder
from bootstrap.handoff.distfiles import Distfile
from bootstrap.handoff.manifest import Directive, ManifestStep
from bootstrap.handoff.plan import Stage0Pin
from bootstrap.handoff.stage0 import (
    of_catalogue,
    pin_words,
    pinned,
    read_products,
    with_report,
)
from bootstrap.known import RELEASES, default_release, find
from bootstrap.sources import SourceTree
from bootstrap.sources.checkouts import LIVE_BOOTSTRAP, CheckedOut, identify_checkout
from bootstrap.sources.tree import lay_out
from tests.attest.runs import forged
from tests.handoff.running.small import MANIFEST, SEED_KAEM, Small
from tests.handoff.tree import put
from tests.handoff.tree import sha256 as of_bytes

NAME = st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True).filter(
    lambda name: (
        name not in {"_", "PWD", "OLDPWD", "SHLVL", "PATH", "BASH", "UID", "EUID", "PPID"}
        and not name.startswith(("BASH", "IFS", "LC_", "LANG"))
    )
)


@given(st.dictionaries(NAME, st.text(st.characters(exclude_characters="\0\ud800")), min_size=1))
@settings(
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_bash_exports_is_read(values: dict[str, str]) -> None:
    try:
        values = {n: v.encode().decode() for n, v in values.items()}
    except UnicodeEncodeError:
        return
    done = subprocess.run(
        ["bash", "--norc", "-c", "/bin/cat /proc/self/environ"],
        env=values,
        capture_output=True,
        check=True,
    )
    assert rootfs.read_exported(done.stdout) == values


@pytest.mark.parametrize("data", [b"", b"A=1", b"A=1\0B", b"A\0", b"=1\0"])
def test_no_environment(data: bytes) -> None:
    with pytest.raises(BadInput, match="is no environment"):
        rootfs.read_exported(data)


def test_the_last_line_of_the_seed() -> None:
    text = rootfs.without_last(SEED_KAEM, "seed.kaem")
    assert text.rstrip().endswith("\n./script-generator /steps/manifest")
    assert SEED_KAEM.startswith(text.rstrip())
    with pytest.raises(BadInput, match="starts its steps in a way that is not known"):
        rootfs.without_last("kaem --file /steps/first.sh\n", "seed.kaem")


def test_a_jump_is_refused() -> None:
    step = ManifestStep(1, Directive("jump", ("fiwix",), 7), 0, 0, "kaem")
    with pytest.raises(BadInput, match=r"line 7 .* starts another kernel"):
        rootfs.lines_of(step)


ZERO = "set -ex\ncd /steps\nA=1\npkg=tool-1.0\ncd ${pkg}\nkaem --file pass1.kaem\ncd ..\n" + (
    "pkg=bash-0.1\ncd ${pkg}\nkaem --file pass1.kaem\ncd ..\nbash /steps/1.sh\n"
)
FIRST = "#!/bin/bash\nset -e\n. ./env\n"
ONE = FIRST + (
    ". /steps/improve/paths.sh\nbuild lib-3.0 pass1.sh\nuninstall tool-1.0 /usr/bin/old\n"
    "build last-1.0 pass1.sh\n"
)


LIB = "build lib-3.0 pass1.sh\n"


def test_the_scripts_are_those_of_the_plan(small: Small, tmp_path: Path) -> None:
    steps = [row.step for row in small.plan.rows]
    root = tmp_path / "root"

    def read(zero: str, one: str) -> rootfs.Heads:
        put(root, "steps/0.sh", zero)
        put(root, "steps/1.sh", one)
        return rootfs.read_scripts(root, steps)

    assert read(ZERO, ONE) == {
        0: ("set -ex", "cd /steps", "A=1"),
        1: ("#!/bin/bash", "set -e", ". ./env"),
    }
    for zero, one in (
        (ZERO, ONE.replace("lib-3.0", "lib-3.1")),
        (ZERO, ONE + "build more-1.0 pass1.sh\n"),
        (ZERO, ONE.replace(LIB, "")),
        (ZERO, ONE.replace(FIRST, "build hidden-1.0 pass1.sh\n")),
        (ZERO, LIB + ONE),
        (ZERO.replace("pass1", "pass2"), ONE),
        (ZERO.replace("bash /steps/1.sh\n", ""), ONE),
        (ZERO, ""),
    ):
        with pytest.raises(BadInput, match=r"^/steps/[01].sh(, as upstream|: has a step that)"):
            read(zero, one)


def test_no_link_leads_out_of_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root, "usr/bin/tool", "x")
    (tmp_path / "secret").write_text("the host's")
    (root / "bin").symlink_to("usr/bin")
    (root / "out").symlink_to("../secret")
    (root / "absolute").symlink_to("/usr/bin/tool")
    (root / "loop").symlink_to("loop")
    assert inside(root, "/bin/tool") == root / "usr/bin/tool"
    assert inside(root, "absolute") == root / "usr/bin/tool"
    assert inside(root, "../../usr/./bin/../bin/tool") == root / "usr/bin/tool"
    for path in ("out", "loop", "bin", "none", "usr/bin/tool/more", "../secret"):
        assert inside(root, path) is None
        with pytest.raises(BadInput, match="there is no such file"):
            read_inside(root, path)
    (root / "etc").symlink_to(tmp_path)
    for path in ("etc", "bin", "usr/bin/tool", "etc/more", "none"):
        with pytest.raises(BadInput, match="a step made something else of this folder"):
            require_folder(root, path)
    assert require_folder(root, "usr/bin") == root / "usr/bin"


def test_a_source_file_that_a_step_made_a_link_is_brought_again(tmp_path: Path) -> None:
    """For us it leads to the right file of the host; in the container, to what the step put."""
    distfiles, root = tmp_path / "distfiles", tmp_path / "root"
    put(distfiles, "a.tar", "right")
    (root / rootfs.DISTFILES).mkdir(parents=True)
    place = root / rootfs.DISTFILES / "a.tar"
    place.symlink_to(distfiles / "a.tar")
    file = Distfile("a.tar", of_bytes(b"right"), ())
    rows = rootfs.bring_distfiles(root, distfiles, [file])
    assert rows["a.tar"].state == "present"
    assert place.read_bytes() == b"right" and not place.is_symlink()


def test_the_digest_of_a_checkout_sees_all_that_is_laid_out(small: Small) -> None:
    env = small.checkout / "steps/env"

    def digest() -> str:
        return identify_checkout(LIVE_BOOTSTRAP, CheckedOut(small.checkout)).digest

    seen = {digest()}
    (small.checkout / "README").write_text("not laid out")
    (small.checkout / "steps/bootstrap.cfg").write_text("UPDATE_CHECKSUMS=True\n")
    (small.checkout / "seed/stage0-posix").mkdir()
    assert digest() in seen
    for change in (
        lambda: env.write_text("B=2\n"),
        lambda: env.chmod(0o755),
        lambda: (small.checkout / "steps/link").symlink_to("env"),
        lambda: put(small.checkout, "seed/new.kaem", "true\n"),
    ):
        change()
        assert digest() not in seen
        seen.add(digest())


def test_the_layout(small: Small, tmp_path: Path) -> None:
    put(small.checkout, "steps/bootstrap.cfg", "UPDATE_CHECKSUMS=True\nMIRRORS=x\n")
    root = tmp_path / "root"
    rootfs.lay_out(root, small.checkout, small.plan, small.stage0)
    text = (root / "steps/bootstrap.cfg").read_text()
    assert text.startswith("ARCH=amd64\nARCH_DIR=AMD64\n") and "CHROOT=True\n" in text
    assert "UPDATE_CHECKSUMS=False\n" in text and "MIRROR" not in text
    assert (root / "steps/manifest").read_text() == MANIFEST
    assert (root / "init").stat().st_mode & 0o777 == 0o755
    # Until stage0 is through, what comes after it is stage0's own.
    assert (root / "after.kaem").read_text() == "echo Replace me\n"
    rootfs.put_hook(root, rootfs.read_same(small.checkout, small.plan))
    assert "seed-full.kaem" in (root / "after.kaem").read_text()
    rootfs.require_enforced(root, small.plan.variables)
    with pytest.raises(BadInput, match="checks nothing that it builds"):
        rootfs.require_enforced(root, {"UPDATE_CHECKSUMS": "True"})


OURS = default_release(RELEASES)


NO_PIN = Stage0Pin(None, None, None, None, None, OURS)
A_COMMIT = replace(NO_PIN, commit="ab" * 20)
OUR_COMMIT = replace(A_COMMIT, release_of_commit=OURS)


@pytest.mark.parametrize(
    ("pin", "named", "says"),
    [
        (A_COMMIT, None, "which the catalogue does not know"),
        (NO_PIN, None, "nothing says which stage0-posix it pins"),
        (NO_PIN, OURS, f"is to be run with stage0-posix {OURS}, and .* is empty: give --stage0"),
        (OUR_COMMIT, "1.3", rf"--stage0-release 1\.3: .* pins {OURS}"),
        (replace(NO_PIN, release_of_files=OURS), "1.3", rf"release 1\.3: .* pins {OURS}"),
        (
            OUR_COMMIT,
            None,
            "give --stage0 DIR, or fill it .git submodule update .*"
            rf"bootstrap fetch stage0-posix --release {OURS}",
        ),
    ],
)
def test_stage0_that_is_not_to_be_had(
    pin: Stage0Pin,
    named: str | None,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("BOOTSTRAP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(BadInput, match=says):
        pinned(pin, "AMD64", None, tmp_path, named)
    assert "named by --stage0-release: nothing" in pin_words(NO_PIN)


@pytest.mark.upstream
def test_a_tree_that_is_not_the_pinned_one(tmp_path: Path, release: SourceTree) -> None:
    lay_out(release, tmp_path)
    pin = replace(A_COMMIT, release_of_commit=release.release)
    good = of_catalogue(pinned(pin, "AMD64", str(tmp_path), tmp_path))
    assert len(good.answers) == 19 and "bootstrap verify met them" in good.opinion
    with pytest.raises(BadInput, match="--products"):
        read_products(tmp_path, good)
    changed = tmp_path / "AMD64/hex0_AMD64.hex0"
    changed.write_bytes(changed.read_bytes() + b"\n")
    with pytest.raises(BadInput, match=r"is not stage0-posix .*: 1 of "):
        pinned(pin, "AMD64", str(tmp_path), tmp_path)


@pytest.mark.upstream
def test_a_report_about_something_else(tmp_path: Path, release: SourceTree) -> None:
    pin = replace(A_COMMIT, release_of_commit=release.release)
    stage0 = of_catalogue(pinned(pin, "AMD64", None, tmp_path))
    step = find(RELEASES, release.release or "", "AMD64")
    report = tmp_path / "report.json"
    good = forged(step)
    report.write_text(json.dumps(good))
    sha256 = step.answers["AMD64/bin/M1"]
    found = with_report(stage0, report, step)
    by = f"emulation, as report.json says (sha256 {of_bytes(report.read_bytes())})"
    assert ("AMD64/bin/M1", sha256, by) in found.known and found.emulated == "report"
    other = copy.deepcopy(good)
    other["artifacts"][0]["sha256"] = "ab" * 32
    for bad, says in (
        (forged(find(RELEASES, release.release or "", "x86")), f"is about {step.name} .* x86"),
        ({**good, "result": "mismatch"}, "its result is mismatch"),
        (other, "does not equal all its known-good values"),
        ({**good, "totals": {"processes": 0, "syscalls": 0}}, "it contradicts itself"),
        ([], "is no report|no report of bootstrap verify"),
    ):
        report.write_text(json.dumps(bad))
        with pytest.raises(BadInput, match=says):
            with_report(stage0, report, step)
