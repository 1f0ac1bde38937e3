"""StageX's stages from a checkout of our own: what each is made of, and which checks are off."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrap.core.errors import BadInput
from bootstrap.handoff.plan_text import stagex_document, stagex_graph, stagex_text
from bootstrap.handoff.stagex import read_stagex
from bootstrap.sources.containerfile import images, read_outline
from tests.attest.runs import inside
from tests.handoff.tree import put

PLACE = "packages/bootstrap"
FILE = f"{PLACE}/stage1/Containerfile"
PINS = f"{PLACE}/stage1/package.toml"

STAGE0 = """\
FROM scratch AS build
ADD hex0-seed /
RUN ["/hex0-seed", "a", "b"]
FROM scratch AS package
COPY --from=build /b /bin/
"""
STAGE1 = """\
# A comment.
FROM scratch AS base
COPY --from=stagex/bootstrap-stage0 /bin /usr/bin

FROM base AS build
ENV UPDATE_CHECKSUMS=True
ENV A=1 B="two words"
COPY --from=fetch . /external/distfiles/
RUN --network=none \\
    one \\
    two
COPY --chmod=644 <<-EOF /etc/x
	FROM nothing AS trap
EOF
RUN <<-'EOF'
	set -e
	UPDATE
EOF
FROM scratch AS package
COPY --from=build / /
"""
PACKAGE = """\
[package]
name = "x"

[sources.one]
hash = "{}"
version = "1.2"
file = "one-{{version}}.tar.gz"
mirrors = ["https://h/{{file}}"]
""".format("1" * 64)
KEYS = f'[keys]\n[keys.ann.work]\nid = "{"AB" * 20}"\nalgorithm = "ED25519"\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name, text in (("stage0", STAGE0), ("stage1", STAGE1)):
        put(tmp_path, f"{PLACE}/{name}/Containerfile", text)
        put(tmp_path, f"{PLACE}/{name}/package.toml", PACKAGE)
    put(tmp_path, "digests/bootstrap.txt", f"{'a' * 64} bootstrap-stage0\n")
    put(tmp_path, "MAINTAINERS", KEYS)
    return tmp_path


def test_stages_images_sources_and_digests(checkout: Path) -> None:
    zero, one = read_stagex(checkout).stages
    assert (zero.name, one.name) == ("stage0", "stage1")
    assert zero.digest == "a" * 64 and zero.digest_where == "digests/bootstrap.txt:1"
    assert one.digest is None
    place = f"{PLACE}/stage1/Containerfile"
    assert one.images == {"stagex/bootstrap-stage0": f"{place}:3", "fetch": f"{place}:8"}
    (source,) = one.sources
    assert (source.file, source.mirrors) == ("one-1.2.tar.gz", ("https://h/one-1.2.tar.gz",))
    assert source.where == f"{PLACE}/stage1/package.toml:5"


def test_what_is_off_is_reported_with_its_line(checkout: Path) -> None:
    plan = read_stagex(checkout)
    place = f"{PLACE}/stage1/Containerfile"
    updates, network, image = plan.stages[1].findings
    assert updates.where == f"{place}:6" and updates.text.startswith("UPDATE_CHECKSUMS=True")
    assert network.where == f"{place}:15" and "in 1 of 2 RUN" in network.text
    assert image.where == f"{place}:3" and "without a digest" in image.text


def test_what_is_on_is_not_reported(checkout: Path) -> None:
    text = STAGE1.replace("CHECKSUMS=True", "CHECKSUMS=False").replace(
        "RUN <<", "RUN --network=none <<"
    )
    text = text.replace("stagex/bootstrap-stage0", f"stagex/bootstrap-stage0@sha256:{'a' * 64}")
    put(checkout, f"{PLACE}/stage1/Containerfile", text)
    assert read_stagex(checkout).stages[1].findings == ()


def test_keys(checkout: Path) -> None:
    (key,) = read_stagex(checkout).keys
    assert (key.person, key.name, key.fingerprint) == ("ann", "work", "AB" * 20)
    assert key.where == "MAINTAINERS:3"


def test_a_checkout_that_is_not_whole_is_reported(checkout: Path) -> None:
    (checkout / "MAINTAINERS").unlink()
    (checkout / "digests/bootstrap.txt").unlink()
    notes = " ".join(read_stagex(checkout).notes)
    for part in ("no MAINTAINERS", "no digests/bootstrap.txt", "stage2", "stage3"):
        assert part in notes


@pytest.mark.parametrize(
    ("path", "content", "fault"),
    [
        (FILE, "FROM a AS b\nSUDO x\n", ":2: unknown instruction 'SUDO'"),
        (FILE, "RUN x\n", ":1: RUN stands before the first FROM"),
        (FILE, "FROM a AS b\nRUN <<EOF\nx\n", ":2: .*no end EOF"),
        (FILE, "FROM a AS b\nRUN x \\", ":2: the last line goes on"),
        (FILE, "FROM a AS b\nENV A\n", ":2: ENV needs NAME=VALUE"),
        (FILE, "FROM a AS b\nENV A='\n", ":2: ENV is not understood"),
        (FILE, "FROM a AS a\n", ":1: a cycle: stage a is made of itself"),
        (FILE, "FROM b AS a\nFROM a AS b\n", ":1: stage b stands only below"),
        (FILE, "# x\n", "has no FROM"),
        (PINS, "[sources.a]\nfile='x'\nhash='1'\n", ":3: .*no sha256"),
        (PINS, "[", "not valid TOML"),
        ("digests/bootstrap.txt", "x\n", "bootstrap.txt:1: no SHA256 NAME"),
        ("MAINTAINERS", "[keys.a.b]\nid = 'short'\n", "MAINTAINERS:2: .*no OpenPGP fingerprint"),
    ],
)  # fmt: skip
def test_faults(checkout: Path, path: str, content: str, fault: str) -> None:
    put(checkout, path, content)
    with pytest.raises(BadInput, match=fault) as caught:
        read_stagex(checkout)
    assert str(caught.value).startswith(f"{checkout / path}")


def test_a_cycle_of_images(checkout: Path) -> None:
    put(checkout, f"{PLACE}/stage0/Containerfile", "FROM stagex/bootstrap-stage1 AS x\n")
    with pytest.raises(BadInput, match=r"Containerfile:\d+: a cycle of images: stage\d <- "):
        read_stagex(checkout)


def test_text_document_and_graph(checkout: Path) -> None:
    plan = read_stagex(checkout)
    said = stagex_text(plan, colour=False, width=None, unicode=True, verbose=True)
    assert f"({PLACE}/stage1/Containerfile:6)" in said and "AB" * 20 in said
    document = json.loads(json.dumps(stagex_document(plan)))
    assert document["stages"][1]["stages"][1]["environment"]["B"] == "two words"
    assert document["stages"][1]["stages"][1]["runs"][0]["text"] == "one two"
    assert "s0 -> s1" in stagex_graph(plan, "dot")
    assert "s0 --> s1" in stagex_graph(plan, "mermaid")


def test_the_command(checkout: Path, tmp_path: Path) -> None:
    done = inside("handoff", "plan", "--stagex", str(checkout))
    assert done.status == 0 and "UPDATE_CHECKSUMS=True" in done.stdout
    done = inside("handoff", "plan", "--stagex", str(checkout), "--distfiles", "d")
    assert done.status == 2 and "--distfiles" in done.one_line()
    (tmp_path / "empty").mkdir()
    done = inside("handoff", "plan", "--stagex", str(tmp_path / "empty"))
    assert done.status == 2 and "no checkout of StageX" in done.one_line()


@given(st.text(alphabet="FROM RUN COPY ENV<>-='\"\\\nabEO", max_size=120) | st.text(max_size=80))
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        images(read_outline(f"FROM a AS b\n{text}", "f"))
    except BadInput as error:
        assert str(error).startswith("f:") and len(str(error).splitlines()) == 1


@pytest.mark.upstream
def test_the_real_stagex(stagex: Path) -> None:
    plan = read_stagex(stagex)
    assert [stage.name for stage in plan.stages] == ["stage0", "stage1", "stage2", "stage3"]
    assert plan.stage0_known and len(plan.keys) == 8
    place1 = f"{PLACE}/stage1/Containerfile"
    found = {finding.where: finding.text for finding in plan.stages[1].findings}
    assert found[f"{place1}:20"].startswith("UPDATE_CHECKSUMS=True")
    assert "in 129 of 129 RUN" in found[f"{place1}:53"]
    assert len(plan.stages[1].sources) == 245
    assert all(stage.digest for stage in plan.stages)
