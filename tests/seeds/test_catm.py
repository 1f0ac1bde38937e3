"""Our catm for x86 joins files as its model does, natively and emulated, and notices failures."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.languages import catm
from bootstrap.languages.fault import Kind, LanguageError
from bootstrap.languages.source import LARGEST, SourceText
from tests.seeds import assembler, tools
from tests.seeds.ours import CATM

SETTINGS = settings(assembler.SETTINGS, max_examples=40)


def expected(texts: Sequence[bytes]) -> tuple[int, bytes | None]:
    """Exit status and output for inputs of these contents, as the model says."""
    try:
        return 0, catm.join([SourceText(f"in{i}", text) for i, text in enumerate(texts)]).content
    except LanguageError as error:
        return int(error.kind), None


def joined(
    run: tools.Runner, texts: Sequence[bytes], tool: bytes = CATM
) -> tuple[int, bytes | None]:
    """The same, as ``tool`` does it."""
    files = {f"in{i}": text for i, text in enumerate(texts)}
    ended = run(tool, ["out", *files], files)
    assert {name: ended.files[name] for name in files} == files
    return ended.status, ended.files.get("out")


@tools.ON_BOTH_HOT_PATHS
@pytest.mark.parametrize(
    "texts",
    [
        [b""],
        [b"", b""],
        [b"one"],
        [b"one", b"", b"two"],
        [b"", b"\x00", b"\xff\n", b""],
        [bytes(range(256)) * 16, b"\n" * 4097],
        [b"%d\n" % i for i in range(300)],
    ],
    ids=lambda texts: f"{len(texts)} inputs, {sum(map(len, texts))} bytes",
)
def test_examples(run: tools.Runner, texts: list[bytes]) -> None:
    assert joined(run, texts) == expected(texts) == (0, b"".join(texts))


@tools.EACH
@SETTINGS
@given(texts=st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_random_inputs(run: tools.Runner, texts: list[bytes]) -> None:
    assert joined(run, texts) == expected(texts)


@tools.EACH
def test_more_inputs_than_may_be_open_at_once(run: tools.Runner) -> None:
    files = {"a": b"1", "b": b"23"}
    ended = run(CATM, ["out", *["a", "b"] * 1500], files)
    assert (ended.status, ended.files) == (0, {**files, "out": b"123" * 1500})


@tools.EACH
def test_several_megabytes(run: tools.Runner) -> None:
    texts = [bytes([i]) * (2**20 + i) for i in range(5)]
    assert joined(run, texts) == expected(texts) == (0, b"".join(texts))


@tools.EACH
def test_16_mib_and_no_more(run: tools.Runner) -> None:
    full = [b"a" * (LARGEST - 5), b"b" * 5]
    assert joined(run, full) == expected(full) == (0, b"".join(full))
    for more in ([*full, b"c"], [b"a" * (LARGEST + 1)], [b"c", b"", *full, *full]):
        assert joined(run, more) == expected(more) == (Kind.TOO_LARGE, None)


@tools.EACH
@pytest.mark.parametrize("inputs", [["out"], ["out", "out"], ["a", "out"], ["out", "a", "out"]])
def test_the_output_may_be_among_the_inputs(run: tools.Runner, inputs: list[str]) -> None:
    files = {"a": b"41 ", "out": b"what there was "}
    ended = run(CATM, ["out", *inputs], files)
    assert (ended.status, ended.files["out"]) == (0, b"".join(files[name] for name in inputs))
    assert ended.files["a"] == files["a"]


@tools.EACH
def test_a_longer_old_output_is_cut(run: tools.Runner) -> None:
    assert run(CATM, ["out", "a"], {"a": b"1", "out": b"old" * 9}).files["out"] == b"1"


@pytest.mark.upstream
@tools.EACH
@SETTINGS
@given(texts=st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_random_inputs_as_upstream(
    run: tools.Runner, upstreams: dict[str, bytes], texts: list[bytes]
) -> None:
    assert joined(run, texts, upstreams["catm"]) == joined(run, texts)


@pytest.mark.upstream
@tools.EACH
def test_megabytes_as_upstream(run: tools.Runner, upstreams: dict[str, bytes]) -> None:
    texts = [b"a" * 2**20, b"b" * (2**21 + 1), b"", b"c" * (2**20 - 1)]
    assert joined(run, texts, upstreams["catm"]) == joined(run, texts)
