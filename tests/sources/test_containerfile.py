"""The few instructions that are understood, and that nothing else is passed over."""

from __future__ import annotations

import pytest

from bootstrap.core.errors import BadInput
from bootstrap.sources.containerfile import ContainerRun, Copy, read_containerfile

VALUES = {"V": "1a", "FILE": "x-1a.tar.gz"}

WHOLE = """\
# a comment
FROM scratch AS one
ARG FILE
ADD fetch/${FILE} .
ADD seed /

FROM scratch as two
ARG V
COPY --from=one /x-${V} /x
WORKDIR /w
ENV A=b
COPY <<-END note
\ta
\t\tb
  c
\tEND
WORKDIR sub
RUN ["./p", "a b"]
COPY --from=one /x/ /y/
COPY --from=one /x /y/
"""


def test_what_is_understood() -> None:
    one, two = read_containerfile(WHOLE, "C", VALUES).values()
    assert (one.name, two.name) == ("one", "two")
    assert one.copies == [
        Copy("fetch/x-1a.tar.gz", "/x-1a.tar.gz", None, 4),
        Copy("seed", "/seed", None, 5),
    ]
    assert two.copies == [
        Copy("/x-1a", "/x", "one", 9),
        Copy("/x/", "/y", "one", 19),
        Copy("/x", "/y/x", "one", 20),
    ]
    assert two.texts == {"/w/note": b"a\nb\n  c\n"}
    assert two.runs == [ContainerRun(("./p", "a b"), "/w/sub", {"A": "b"}, 18)]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("FROM debian AS b", "only FROM scratch"),
        ("FROM scratch", "only FROM scratch"),
        ("FROM scratch AS a", "two stages a"),
        ("ARG X", "no value for ARG X"),
        ("ENV A", "only ENV"),
        ("ENV A=$B", "only ENV"),
        ("ENV A='b'", "only ENV"),
        ("RUN make", "no shell"),
        ("RUN []", "no shell"),
        ("RUN [1]", "no shell"),
        ("COPY --from=b /x /y", "no stage b"),
        ("COPY --chown=1 x y", "without options"),
        ("COPY a b c", "only one source"),
        ("COPY a* b", "only one source"),
        ("COPY ${V} b", "has no ARG V"),
        ("COPY $V b", "not understood"),
        ("COPY ../a ../b", ".. is not understood"),
        ("ADD https://example.org/x /x", "an address"),
        ("COPY <<EOF\nEOF", "only COPY <<NAME"),
        ("COPY <<EOF f\nabc", "no end EOF"),
        ("COPY <<EOF f\n$HOME\nEOF", "BuildKit would replace"),
        ("USER me", "USER is not understood"),
        ("RUN \\", "goes on after its end"),
        ("RUN \\\nx", "continued line"),
        ("ADD --keep-git-dir=true x /x", "without options"),
        ("COPY --from=a --from=a /x /y", "without options"),
        ("COPY --from=a <<EOF /y\nx\nEOF", "without options"),
    ],
)
def test_what_is_not_understood_is_an_error_with_its_line(line: str, says: str) -> None:
    with pytest.raises(BadInput, match=r"^Containerfile:\d+: ") as error:
        read_containerfile(f"FROM scratch AS a\n{line}\n", "Containerfile", VALUES)
    assert says in str(error.value)


def test_a_quoted_here_document_is_taken_as_it_is() -> None:
    text = "FROM scratch AS a\nCOPY <<'E' /f\n\t$x \\\nE\n"
    assert read_containerfile(text, "C", {})["a"].texts == {"/f": b"\t$x \\\n"}


def test_nothing_before_the_first_from() -> None:
    with pytest.raises(BadInput, match=r"C:1: ENV stands before the first FROM"):
        read_containerfile("ENV A=b\n", "C", {})
