"""Our catm for x86 joins files as its model does, natively and emulated, and notices failures."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bootstrap.abi.errno import Errno
from bootstrap.languages import catm, hex2
from bootstrap.languages.fault import Kind, LanguageError
from bootstrap.languages.source import LARGEST, Source
from bootstrap.sources import Cache
from tests.seeds import calls, tools

RELEASE = "1.9.1"
SOURCE = (tools.SOURCES / "catm.hex2").read_bytes()
CATM = hex2.assemble([Source("catm.hex2", SOURCE)]).output

SETTINGS = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)


def expected(texts: Sequence[bytes]) -> tuple[int, bytes | None]:
    """Exit status and output for inputs of these contents, as the model says."""
    try:
        return 0, catm.join([Source(f"in{i}", text) for i, text in enumerate(texts)]).output
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


def test_the_source_says_its_size() -> None:
    found = re.search(rb", (\d+) bytes", SOURCE)
    assert found is not None
    assert int(found[1]) == len(CATM) <= 366


@tools.EACH
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


@tools.EACH
@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ([], 1),
        (["out"], 1),
        (["out", "missing"], 2),
        (["out", "a", "missing", "a"], 2),
        (["out", "a", "."], 2),
        (["out", "", "a"], 2),
        (["out", "a/a"], 2),
        ([".", "a"], 3),
        (["missing/out", "a"], 3),
        (["", "a"], 3),
        (["missing/out", "missing"], 2),  # the inputs come first
    ],
    ids=str,
)
def test_what_is_not_there(run: tools.Runner, arguments: list[str], status: int) -> None:
    for files in ({"a": b"1"}, {"a": b"1", "out": b"old"}):
        ended = run(CATM, arguments, files)
        assert (ended.status, ended.files) == (status, files)


@tools.EACH
def test_a_full_disk(run: tools.Runner) -> None:
    # Where there is no such device, as in the emulator, the output cannot be created.
    assert run(CATM, ["/dev/full", "a"], {"a": b"1"}).status == 3


def test_short_reads_and_writes_are_gone_on_with() -> None:
    files = {"a": b"0123456789" * 3, "b": b"9876543210"}
    for call in ("read", "write"):
        ended = calls.with_failing(call, [1, 3, 7], CATM, ["out", "a", "b"], files)
        assert (ended.status, ended.files["out"]) == (0, files["a"] + files["b"])


@pytest.mark.parametrize(
    ("call", "results", "status"),
    [
        ("read", [Errno.EIO], 2),
        ("read", [9, Errno.EIO], 2),
        ("write", [Errno.ENOSPC], 3),
        ("write", [9, Errno.ENOSPC], 3),
        ("write", [9, 0], 3),
    ],
    ids=str,
)
def test_reads_and_writes_that_fail(call: str, results: list[int | Errno], status: int) -> None:
    ended = calls.with_failing(call, results, CATM, ["out", "a"], {"a": b"0123456789" * 3})
    assert ended.status == status
    assert ("out" in ended.files) == (status == 3)


def test_only_the_owner_may_read_and_write_the_output() -> None:
    assert calls.mode_of("out", CATM, ["out", "a"], {"a": b"1"}) == 0o600


@pytest.fixture(scope="module")
def upstreams_catm() -> bytes:
    tree = Cache().load(RELEASE)
    if tree is None:
        pytest.skip(f"release {RELEASE} is not in the cache: bootstrap fetch stage0-posix")
    path = "x86/catm_x86.hex2"
    return hex2.assemble([Source(path, tree.files[path].data)]).output


@pytest.mark.upstream
@tools.EACH
@SETTINGS
@given(texts=st.lists(st.binary(max_size=40), min_size=1, max_size=8))
def test_random_inputs_as_upstream(
    run: tools.Runner, upstreams_catm: bytes, texts: list[bytes]
) -> None:
    assert joined(run, texts, upstreams_catm) == joined(run, texts)


@pytest.mark.upstream
@tools.EACH
def test_megabytes_as_upstream(run: tools.Runner, upstreams_catm: bytes) -> None:
    texts = [b"a" * 2**20, b"b" * (2**21 + 1), b"", b"c" * (2**20 - 1)]
    assert joined(run, texts, upstreams_catm) == joined(run, texts)
