"""Step files and answers files: what is read, what is refused; and what the guest then sees."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bootstrap.core import release as reading
from bootstrap.core.errors import BadInput
from bootstrap.core.release import (
    EntryPoint,
    KnownValue,
    SourceFile,
    Tree,
    compare_materials,
    from_answers,
    read_release,
    shipped,
    shipped_files,
    visible_tree,
)
from tests.core.made_up import made_up, sha256

A, B = sha256(b"a"), sha256(b"b")
GOOD = f"""\
schema = 1
name = "made-up"
release = "1"
arch = "x86"
directories = ["x86/bin"]
answers_from = "x86.answers"
catalogue_from = "here"
native_from = "a run"
notes = ["a note"]
[source]
commit = "anything"
[seeds.s]
path = "seed"
size = 1
sha256 = "{A}"
[entries.usual]
commands = [["./seed", "a"], ["./x"]]
cwd = "x86"
environment = {{ LC_ALL = "C" }}
[entries.other]
commands = [["./other"]]
hidden = ["seed"]
[materials]
seed = "{A}"
"x86/a" = "{B}"
[answers]
"x86/bin/a" = "{A}"
[native]
"x86/bin/a" = "{B}"
"""


def test_a_name_may_be_as_long_as_a_file_s_can_be() -> None:
    text = GOOD.replace('["x86/bin"]', f'["{"x" * 255}"]')
    assert read_release(text.encode(), "f.toml").directories == ("x" * 255,)


def test_a_bootstrap_may_read_nothing_but_its_seed() -> None:
    text = GOOD.replace(f'"x86/a" = "{B}"\n', "", 1)
    assert read_release(text.encode(), "f.toml").materials == {"seed": A}


def test_a_step_file_is_read() -> None:
    release = read_release(GOOD.encode(), "f.toml")
    assert (release.title, release.arch, release.file) == ("made-up 1", "x86", "f.toml")
    assert release.sha256 == sha256(GOOD.encode())
    assert release.materials == {"seed": A, "x86/a": B}
    assert release.seeds == {"seed"}
    assert release.directories == ("x86/bin",)
    usual = EntryPoint("usual", (("./seed", "a"), ("./x",)), (), "x86", {"LC_ALL": "C"})
    assert release.entry("usual") == release.entry(None) == usual
    assert release.entry("other").hidden == ("seed",)
    assert release.materials_for(release.entry("other")) == {"x86/a": B}
    assert release.known == (
        KnownValue("x86/bin/a", A, "x86.answers", True),
        KnownValue("x86/bin/a", B, "a run", False),
    )
    with pytest.raises(BadInput, match=re.escape("f.toml: has no entry hex0; it has usual, other")):
        release.entry("hex0")


def test_all_that_are_shipped_can_be_read() -> None:
    """As bootstrap.known reads them: tests/known/test_steps.py compares the two."""
    releases = [release for arch in shipped_files() for release in shipped(arch)]
    assert len(releases) == 49
    assert {release.arch for release in releases} == {
        "x86",
        "AMD64",
        "AArch64",
        "riscv64",
        "riscv32",
    }
    assert shipped("armv7l") == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema = 1", "schema = 2"),
        ("schema = 1\n", ""),
        ("schema = 1\n", "schema = true\n"),
        ("schema = 1\n", "schema = 1.0\n"),
        ('name = "made-up"\n', ""),
        ('arch = "x86"', "arch = 3"),
        ('arch = "x86"', 'arch = "x\\u0000"'),
        ('arch = "x86"', 'arch = "x86"\narchs = "x86"'),
        ('directories = ["x86/bin"]', 'directories = ["../bin"]'),
        ('directories = ["x86/bin"]', 'directories = "x86/bin"'),
        ('directories = ["x86/bin"]', f'directories = ["{"x" * 256}"]'),
        ('native_from = "a run"\n', ""),
        ('path = "seed"', 'path = "/seed"'),
        ('path = "seed"', 'path = "see"'),
        ("size = 1", 'size = 1\nurl = ""'),
        (f'sha256 = "{A}"', f'sha256 = "{A.upper()}"'),
        (f'sha256 = "{A}"', f'sha256 = "{B}"'),
        (f'sha256 = "{A}"\n', ""),
        ('commands = [["./seed", "a"], ["./x"]]', "commands = []"),
        ('commands = [["./seed", "a"], ["./x"]]', "commands = [[]]"),
        ('commands = [["./seed", "a"], ["./x"]]', 'commands = ["./seed"]'),
        ('commands = [["./seed", "a"], ["./x"]]\n', ""),
        ('cwd = "x86"', 'cwd = "x86/.."'),
        ('LC_ALL = "C"', "LC_ALL = 1"),
        ('hidden = ["seed"]', 'hidden = [""]'),
        ('"x86/a" = ', '"x86//a" = '),
        (f'"x86/bin/a" = "{A}"', f'"x86/bin/a" = "{A}\\n"'),
        (f'"x86/bin/a" = "{A}"', '"x86/bin/a" = ["x"]'),
        ("[answers]", "[answer]"),
        ("[materials]", "[material]"),
        ("[answers]", "[[answers]]"),
        ("[native]", "["),
    ],
)
def test_what_is_not_as_it_must_be_is_refused_in_a_line(old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(BadInput, match=r"\Af\.toml: ") as caught:
        read_release(GOOD.replace(old, new, 1).encode(), "f.toml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"\xff", b"", b"\0", b"a = " + b"[" * 5000, b"entries = {}"])
def test_what_is_no_step_file(data: bytes) -> None:
    with pytest.raises(BadInput, match=r"\Af\.toml: "):
        read_release(data, "f.toml")


def test_no_entry_is_no_release() -> None:
    start, _, rest = GOOD.partition("[entries.usual]")
    with pytest.raises(BadInput, match="entries"):
        read_release(
            f"{start}[entries]\n[materials]{rest.partition('[materials]')[2]}".encode(), "f"
        )


# Answers files.


def test_an_answers_file_is_read() -> None:
    data = f"{A}  x86/bin/a\n{B} *x86/bin/b c\n".encode()
    release = from_answers(data, "x86.answers", "x86")
    assert release.known == (
        KnownValue("x86/bin/a", A, "x86.answers", True),
        KnownValue("x86/bin/b c", B, "x86.answers", True),
    )
    assert (release.materials, release.sha256) == (None, sha256(data))
    [entry] = release.entries
    seed = "bootstrap-seeds/POSIX/x86/kaem-optional-seed"
    assert (entry.commands, entry.cwd) == (((f"./{seed}", "./kaem.x86"),), "")
    assert release.directories == ("x86/bin", "x86/artifact")


def test_older_releases_have_their_products_in_bin() -> None:
    release = from_answers(f"{A}  bin/a\n".encode(), "aarch64.answers", "AArch64")
    [entry] = release.entries
    assert entry.commands == (("../bootstrap-seeds/POSIX/AArch64/kaem-optional-seed",),)
    assert entry.cwd == "AArch64"


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (f"{A}  a\n{A} a\n", 2),
        (f"{A}  a\n{A}  a\n", 2),
        (f"{A}  a\n\n", 2),
        (f"{A.upper()}  a\n", 1),
        (f"{A[1:]}  a\n", 1),
        (f"{A}  ../a\n", 1),
        (f"{A}  /a\n", 1),
        (f"{A}  \n", 1),
        (f"{A}  a\0b\n", 1),
        (f"SHA256 (a) = {A}\n", 1),
    ],
)  # fmt: skip
def test_a_damaged_answers_file(data: str, line: int) -> None:
    with pytest.raises(BadInput, match=f"\\Af:{line}: is not `sha256  path`"):
        from_answers(data.encode(), "f", "x86")


def test_an_answers_file_without_an_answer() -> None:
    with pytest.raises(BadInput, match="f: has no answer"):
        from_answers(b"", "f", "x86")
    with pytest.raises(BadInput, match="f:1: "):
        from_answers(b"\xff\xfe", "f", "x86")


# Tree and release together.


def test_materials_that_are_not_there() -> None:
    tree = Tree("t", {"good": SourceFile(b"a"), "bad": SourceFile(b"b")}, {"link": "good"},
                frozenset({"folder"}), ("pipe",))  # fmt: skip
    wanted = dict.fromkeys(("good", "bad", "link", "folder", "pipe", "absent"), A)
    assert compare_materials(tree, wanted) == {
        "absent": None,
        "bad": B,
        "folder": "no regular file",
        "link": "a symbolic link",
        "pipe": "no regular file",
    }


def test_the_guest_sees_the_materials_only() -> None:
    one = made_up()
    one.hidden = ["main.c"]
    release = one.release()
    tree = one.tree()
    more = {**tree.files, "stale/M0": SourceFile(b"stale", True), "README": SourceFile(b"")}
    seen = visible_tree(
        Tree("t", more, {"l": "README"}, frozenset({"stale"})), release, release.entries[0]
    )
    assert seen.files.keys() == one.materials.keys() - {"main.c"}
    assert seen.folders == {"out"}
    assert not seen.symlinks


def test_seeds_get_their_x_bit_back_and_others_keep_theirs() -> None:
    one = made_up()
    release = one.release()
    files = {**one.tree().files, "main.c": SourceFile(one.files["main.c"], True)}
    seen = visible_tree(Tree("t", files), release, release.entries[0])
    assert {path for path, file in seen.files.items() if file.executable} == {"hex0-seed", "main.c"}


@pytest.mark.parametrize("directory", ["main.c", "main.c/deep"])
def test_a_file_cannot_be_a_directory(directory: str) -> None:
    one = made_up()
    one.directories = [directory]
    with pytest.raises(BadInput, match=r"made up: main\.c must be a folder"):
        visible_tree(one.tree(), one.release(), one.release().entries[0])


def test_without_a_list_the_guest_sees_all_but_what_an_earlier_run_left() -> None:
    release = from_answers(f"{A}  x86/bin/a\n{A}  x86/bin/placeholder\n".encode(), "f", "x86")
    files = {"x86/bin/a": SourceFile(b"a", True), "x86/bin/placeholder": SourceFile(b""),
             "any": SourceFile(b"", True)}  # fmt: skip
    seen = visible_tree(Tree("t", files, {}, frozenset({"x86"})), release, release.entries[0])
    assert seen.files.keys() == {"any"}
    assert seen.folders == {"x86", "x86/bin", "x86/artifact"}


def test_step_files_are_those_of_the_package_else_of_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "bootstrap"
    monkeypatch.setattr(reading, "__file__", str(package / "core" / "release.py"))
    with pytest.raises(BadInput, match="there are no step files; install the package again"):
        shipped_files()
    for place in (tmp_path / "steps", package / "_data" / "steps"):
        place.mkdir(parents=True)
        (place / "made-up-x86.toml").write_text(GOOD)
        assert shipped_files() == {"x86": [place / "made-up-x86.toml"]}
