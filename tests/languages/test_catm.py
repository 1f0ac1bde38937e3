"""The catm model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrap.languages import Kind, Position, SourceText
from bootstrap.languages.catm import join
from tests.languages.faults import fault

SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


def test_nothing_at_all() -> None:
    assert join([]).content == b""
    assert join([SourceText("a", b"")]).content == b""


@SETTINGS
@given(st.lists(st.lists(st.sampled_from(b"a\n")).map(bytes), min_size=1, max_size=4))
def test_every_byte_is_found_again(texts: list[bytes]) -> None:
    sources = [SourceText(str(number), text) for number, text in enumerate(texts)]
    joined = join(sources)
    assert joined.content == b"".join(texts)
    places = [
        (source.name, Position(number, column))
        for source in sources
        for number, line in enumerate(source.text.splitlines(keepends=True), start=1)
        for column in range(1, len(line) + 1)
    ]
    assert [joined.place(offset) for offset in range(len(joined.content))] == places


@pytest.mark.parametrize("sizes", [(2**24 + 1,), (2**24, 1), (1, 2**24)])
def test_more_than_16_mib_are_too_large(sizes: tuple[int, ...]) -> None:
    sources = [SourceText("x", b"x" * size) for size in sizes]
    assert fault(lambda: join(sources))[0] is Kind.TOO_LARGE


def test_16_mib_are_not() -> None:
    assert len(join([SourceText("x", b"x" * 2**23)] * 2).content) == 2**24
