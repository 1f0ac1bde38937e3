"""StageX's stage0, on a checkout of a few lines that we wrote."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from bootstrap.cli.main import main
from bootstrap.core.errors import BadInput
from bootstrap.core.release import SourceFile
from bootstrap.known import STAGEX, data_dir, find
from bootstrap.sources import resolve_stagex
from bootstrap.sources.stagex import PLACE, is_known, read_recipe
from bootstrap.sources.tree import SourceTree, to_tar

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SEED = data_dir("seeds").joinpath("x86/hex0-seed").read_bytes()
SOURCE = data_dir("seeds").joinpath("x86/hex0.hex0").read_bytes()
SEED_SHA256 = "f74dcf9cef2aee9eb7723eca755849d474fccd89662947021d1aa08429d23c13"

CONTAINERFILE = """\
FROM scratch AS sources
ARG TINY_SOURCE
ADD fetch/${TINY_SOURCE} .

FROM scratch AS seeds
ARG TINY_VERSION
COPY --from=sources /Tiny-${TINY_VERSION} /x86
ADD hex0-seed /
WORKDIR /build
RUN ["/hex0-seed", "/x86/hex0.hex0", "hex0"]

FROM scratch AS build
COPY --from=seeds /build/ /build/
WORKDIR /build
ENV PATH=/build
COPY <<-EOF script
\thello
EOF
RUN ["./hex0", "/x86/hex0.hex0", "again"]

FROM scratch AS package
COPY --from=build /build/again /bin/
"""


class StageX:
    """A checkout and a folder of sources; change what you like."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.fetched = folder / "stagex", folder / "fetched"
        self.stage0 = self.checkout / PLACE
        self.stage0.mkdir(parents=True)
        self.fetched.mkdir()
        files = {"hex0.hex0": SourceFile(SOURCE), "unused": SourceFile(b"u")}
        tree = SourceTree("tiny", files)
        self.archive = self.fetched / f"tiny-{COMMIT}.tar.gz"
        self.archive.write_bytes(gzip.compress(to_tar(tree, f"Tiny-{COMMIT}")))
        sha256 = hashlib.sha256(self.archive.read_bytes()).hexdigest()
        (self.stage0 / "hex0-seed").write_bytes(SEED)
        self.write("Containerfile", CONTAINERFILE)
        self.package = (
            f'[package]\nname = "stage0"\n[sources.tiny]\nhash = "{sha256}"\n'
            f'version = "{COMMIT}"\nfile = "tiny-{{version}}.tar.gz"\n'
            'mirrors = ["https://example.org/{version}.tar.gz",]\n'
        )
        self.write("package.toml", self.package)

    def write(self, name: str, text: str) -> None:
        (self.stage0 / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.stage0 / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))


@pytest.fixture
def stagex(tmp_path: Path) -> StageX:
    return StageX(tmp_path)


def test_the_recipe_is_read_from_the_checkout(stagex: StageX) -> None:
    for place in (stagex.checkout, stagex.stage0):
        recipe = read_recipe(str(place))
        assert list(recipe.folders) == ["x86"]
        assert recipe.folders["x86"].mirrors == (f"https://example.org/{COMMIT}.tar.gz",)
        assert recipe.files == {
            "hex0-seed": SourceFile(SEED, True),
            "build/script": SourceFile(b"hello\n"),
        }
        assert recipe.entry.commands == (
            ("/hex0-seed", "/x86/hex0.hex0", "hex0"),
            ("./hex0", "/x86/hex0.hex0", "again"),
        )
        assert (recipe.entry.cwd, dict(recipe.entry.environment)) == ("build", {"PATH": "/build"})
        assert recipe.image == {"build/again": "bin/again"}


def test_sources_are_pinned_archives_or_folders(stagex: StageX) -> None:
    resolved = resolve_stagex(str(stagex.checkout), str(stagex.fetched), "i686", None)
    assert set(resolved.tree.files) == {"hex0-seed", "build/script", "x86/hex0.hex0", "x86/unused"}
    assert "1 of 1 sources are archives" in resolved.tree.notes[0]
    assert "nothing that it makes can be judged" in resolved.tree.notes[-1]
    assert not resolved.step.known() and resolved.materials.whole
    stagex.archive.unlink()
    folder = stagex.fetched / f"Tiny-{COMMIT}"
    folder.mkdir()
    (folder / "hex0.hex0").write_bytes(SOURCE)
    resolved = resolve_stagex(str(stagex.checkout), str(stagex.fetched), "x86", "hex0-seed")
    assert resolved.tree.files["x86/hex0.hex0"].data == SOURCE
    assert "not checked against a pinned sha256" in resolved.tree.notes[1]


def test_sources_that_are_missing_or_not_the_pinned_ones(stagex: StageX) -> None:
    stagex.archive.write_bytes(gzip.decompress(stagex.archive.read_bytes()))
    with pytest.raises(BadInput, match="StageX pins"):
        resolve_stagex(str(stagex.checkout), str(stagex.fetched), "x86", None)
    stagex.archive.unlink()
    with pytest.raises(BadInput, match=rf"lacks .*tiny-{COMMIT}.tar.gz \(https://example.org/"):
        resolve_stagex(str(stagex.checkout), str(stagex.fetched), "x86", None)
    with pytest.raises(BadInput, match=r"give --fetched DIR"):
        resolve_stagex(str(stagex.checkout), None, "x86", None)
    with pytest.raises(BadInput, match=r"nowhere: cannot be read"):
        resolve_stagex(str(stagex.checkout), str(stagex.fetched / "nowhere"), "x86", None)


def test_options_that_make_no_sense(stagex: StageX) -> None:
    place = str(stagex.checkout)
    with pytest.raises(BadInput, match="for x86 only"):
        resolve_stagex(place, None, "AMD64", None)
    with pytest.raises(BadInput, match="needs --source"):
        resolve_stagex(None, None, "x86", None)
    with pytest.raises(BadInput, match="no entry 'kaem-optional-seed'"):
        resolve_stagex(place, None, "x86", "kaem-optional-seed")
    with pytest.raises(BadInput, match="no checkout of StageX"):
        resolve_stagex(str(stagex.fetched), None, "x86", None)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("/Tiny-${TINY_VERSION} /x86", "/Other /x86", "neither a source nor what was built"),
        ("ADD fetch/${TINY_SOURCE} .\n", "\n", "does not add tiny-"),
        ("ADD hex0-seed /", "ADD nothing /", "cannot be read"),
        ("ADD hex0-seed /", "ADD /etc/passwd /", "no plain path"),
        ("/build/ /build/", "/build/ /other/", "neither a source nor what was built"),
        ("WORKDIR /build\nENV", "WORKDIR /else\nENV", "runs in /build, and another program in"),
        ('RUN ["/hex0-seed"', 'RUN ["/other"', "other is no file of"),
        ("/build/again /bin/", '/build/again /bin/\nRUN ["x"]', "must only copy"),
        (
            "COPY <<-EOF script",
            "ADD hex0-seed script\nCOPY <<-EOF script",
            "two contents",
        ),
    ],
)
def test_a_containerfile_that_we_cannot_follow(
    stagex: StageX, old: str, new: str, says: str
) -> None:
    stagex.edit("Containerfile", old, new)
    with pytest.raises(BadInput, match=says):
        read_recipe(str(stagex.checkout))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('version = "0', 'version = "x', "is no commit"),
        ('hash = "', 'hash = "x', "is no sha256"),
        ('file = "', 'file = "../', "no plain file name"),
        ("[sources.tiny]", "[other.tiny]", "sources is missing"),
        ("[package]", "[package", "not valid TOML"),
    ],
)
def test_a_package_file_that_is_wrong(stagex: StageX, old: str, new: str, says: str) -> None:
    stagex.edit("package.toml", old, new)
    with pytest.raises(BadInput, match=says):
        read_recipe(str(stagex.checkout))


def test_an_unknown_state_is_built_and_never_verified(
    stagex: StageX, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    options = ["--source", str(stagex.checkout), "--fetched", str(stagex.fetched)]
    options += ["--output", str(out), "--json", "-"]
    assert main(["verify", "--release", STAGEX, *options]) == 1
    said = capsys.readouterr()
    data = json.loads(said.out)
    assert (data["result"], data["failure"]) == ("incomplete", None)
    assert [(a["path"], a["status"]) for a in data["artifacts"]] == [
        ("build/hex0", "unknown"),
        ("build/again", "unknown"),
    ]
    assert {a["sha256"] for a in data["artifacts"]} == {SEED_SHA256}
    assert "nothing that it makes can be judged" in said.err
    assert (out / "bin/again").read_bytes() == (out / "build/again").read_bytes() == SEED
    assert (out / "bin/again").stat().st_mode & 0o111


def test_the_command_refuses_what_does_not_go_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", "--fetched", "x"]) == 2
    assert main(["verify", "--release", STAGEX, "--arch", "all"]) == 2
    assert main(["verify", "--release", STAGEX]) == 2
    said = capsys.readouterr().err
    assert "--fetched goes with" in said and "x86 only" in said and "needs --source" in said


def test_the_known_state_has_values_for_its_image_and_no_answers(stagex: StageX) -> None:
    step = find(STAGEX, None, "x86")
    assert not step.answers and not step.catalogue
    assert step.materials["hex0-seed"] == SEED_SHA256
    assert len(step.source.submodules) == 6
    assert {"build/hex0", "build/kaem-minimal", "build/wrap", "build/M2-Planet"} <= set(step.native)
    assert not is_known(read_recipe(str(stagex.checkout)), step)
