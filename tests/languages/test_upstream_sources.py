"""The models on upstream's own sources, where the cache has them: known-good hashes come out."""

from __future__ import annotations

import hashlib

import pytest

from bootstrap.known import find
from bootstrap.languages import SourceText, catm, hex0, hex1, hex2, hex2_linker, kaem, m0, m1
from bootstrap.languages.assembly import Architecture
from bootstrap.sources import SourceTree
from tests.upstream.release import RELEASE

pytestmark = pytest.mark.upstream

MADE_BY_UPSTREAM = {
    # What upstream's M1 and hex2 of the release, built for x86, make of each cc_*.M1: the hex2
    # text, and the program. For x86 and AMD64 the program is also in steps/.
    Architecture.X86: (
        "ba5e53248e1cd4327f33b107ab3e793711d8e5f6b376770f70ec40c9fac4bd5a",
        "0677dd1540b7edc88e8bc67391517c052d03b99a26eb01aabcf7ac70f3846fad",
    ),
    Architecture.AMD64: (
        "b62c435fe52dfd07b6fd0b13089a98ab8143468050bbaa18f31c527c2c99d8d2",
        "b817c888e89685d1ef8984e07a72c0e44dc4f994a3a1db9a01888de6d0e530c3",
    ),
    Architecture.AARCH64: (
        "416522fad416941171e67723d9d0b65bf4f5b01b0cd3adcfd71c32b2a6cb752a",
        "d14b75a71b463862fdd5ea92d7327b71aba6ad589baf2f2bee0c384335c4a727",
    ),
    Architecture.RISCV32: (
        "0e80d5be3ccb8ff87f361944d57fe49545db4176a10ec92666c5a32fce2b4807",
        "578a996334def9d010dd4ce6a62997992b8b4cf1f598582a90ac82ac790f6dc3",
    ),
    Architecture.RISCV64: (
        "25a7cfbbd9ab4afacc2f1437107f730b5ae80d65690aee354382355c8a442f68",
        "fe337e9c2d9b6e6a550561491b7d2640d088975e107ee9b522641428e1362685",
    ),
}
FOLDERS = {Architecture.AARCH64: "AArch64", Architecture.AMD64: "AMD64"}


@pytest.fixture(scope="module")
def tree(release: SourceTree) -> SourceTree:
    return release


def source(tree: SourceTree, path: str) -> SourceText:
    return SourceText(path, tree.files[path].data)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def known(path: str) -> str:
    step = find("stage0-posix", RELEASE, "x86")
    (value,) = [value.sha256 for value in step.known() if value.path == f"x86/artifact/{path}"]
    return value


def test_hex0_makes_hex1_and_kaem(tree: SourceTree) -> None:
    for path, made in (("x86/hex1_x86.hex0", "hex1"), ("x86/kaem-minimal.hex0", "kaem-0")):
        assert sha256(hex0.assemble(tree.files[path].data, path).output) == known(made)


def test_hex1_makes_hex2(tree: SourceTree) -> None:
    path = "x86/hex2_x86.hex1"
    assert sha256(hex1.assemble(tree.files[path].data, path).output) == known("hex2-0")


def test_hex2_makes_catm_and_m0(tree: SourceTree) -> None:
    made = hex2.assemble([source(tree, "x86/catm_x86.hex2")])
    assert sha256(made.output) == known("catm")
    sources = [source(tree, f"x86/{name}.hex2") for name in ("ELF-i386", "M0_x86")]
    joined = catm.join(sources).content
    assert sha256(joined) == known("M0.hex2")
    one = hex2.assemble([SourceText("M0.hex2", joined)])
    two = hex2.assemble(sources)
    assert one.output == two.output
    assert sha256(one.output) == known("M0")


def test_m0_and_hex2_make_the_c_compiler(tree: SourceTree) -> None:
    expansion = m0.expand([source(tree, "x86/cc_x86.M1")])
    assert sha256(expansion.output) == known("cc_x86-0.hex2")
    header = source(tree, "x86/ELF-i386.hex2")
    assembly = hex2.assemble([header, expansion.source("cc_x86-0.hex2")])
    assert sha256(assembly.output) == known("cc_x86")


@pytest.mark.parametrize("architecture", Architecture)
def test_m1_and_the_linker_on_all_architectures(
    tree: SourceTree, architecture: Architecture
) -> None:
    name = architecture.value
    folder = FOLDERS.get(architecture, name)
    sources = [source(tree, f"{folder}/cc_{name}.M1")]
    if architecture.in_words:
        sources.insert(0, source(tree, f"{folder}/{name}_defs.M1"))
    expansion = m1.expand(sources, architecture)
    header = f"{folder}/ELF-{'i386' if name == 'x86' else name}.hex2"
    base_address = hex2.BASE_ADDRESS if architecture is Architecture.X86 else 0x600000
    assembly = hex2_linker.assemble(
        [source(tree, header), expansion.source("cc.hex2")], architecture, base_address
    )
    assert (sha256(expansion.output), sha256(assembly.output)) == MADE_BY_UPSTREAM[architecture]
    assert assembly.oddities == ()


def test_kaem_reads_the_script_of_the_first_phases(tree: SourceTree) -> None:
    path = "x86/mescc-tools-mini-kaem.kaem"
    commands = kaem.parse(tree.files[path].data, path)
    assert commands[0].arguments == (
        b"./x86/artifact/hex0",
        b"./x86/hex1_x86.hex0",
        b"./x86/artifact/hex1",
    )
    assert len(commands) == 42
    assert all(command.arguments[0].startswith(b"./x86/") for command in commands)
