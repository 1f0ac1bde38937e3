"""The same operations on the file system under test and on the host's own: all must be alike."""

import errno
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.linux.guest_side import Tree
from tests.linux.guest_side import run as run_guest

TREE: Tree = {
    b"a": ("folder", b""),
    b"a/b": ("folder", b""),
    b"a/b/c": ("file", b"content"),
    b"a/f": ("file", b""),
    b"b": ("program", b"0123456789"),
    b"e": ("folder", b""),
    b"l": ("link", b"a/b"),
    b"l-file": ("link", b"/b"),
    b"l-slash": ("link", b"b/"),
    b"l-none": ("link", b"a/new"),
    b"l-none-slash": ("link", b"a/new/"),
    b"l-self": ("link", b"l-self"),
    b"l-up": ("link", b"../../a/.."),
    b"l-dot": ("link", b"a/."),
    b"a/l-root": ("link", b"/"),
    b"a/l-l": ("link", b"../l-none"),
}


class Oracle:
    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process

    def ask(self, operations: list[Any]) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        pickle.dump((TREE, operations), self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    program = [sys.executable, "-I", str(Path(__file__).with_name("host_side.py"))]
    if os.geteuid() != 0:
        program = ["unshare", "--map-root-user", *program]
    environment = {**os.environ, "TMPDIR": str(tmp_path_factory.mktemp("oracle"))}
    pipe = subprocess.PIPE
    try:
        process = subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=pipe, env=environment)
    except FileNotFoundError:
        pytest.skip("not root, and no unshare(1): the oracle needs chroot")
    with process:
        assert process.stdin is not None and process.stdout is not None
        try:
            pickle.load(process.stdout)
        except EOFError:
            process.stdin.close()
            pytest.skip("not root, and no user namespaces here: the oracle needs chroot")
        yield Oracle(process)
        process.stdin.close()


def compare(oracle: Oracle, operations: list[Any]) -> None:
    host_results, host_tree, dir_links = oracle.ask(operations)
    guest_results, guest_tree, _ = run_guest(TREE, operations, dir_links)
    for step, (host, guest) in enumerate(zip(host_results, guest_results, strict=True)):
        assert guest == host, f"step {step}: {operations[step]}: {named(guest)} != {named(host)}"
    assert guest_tree == host_tree


def named(result: Any) -> Any:
    if isinstance(result, tuple) and result[0] == "errno":
        return errno.errorcode[result[1]]
    return result


LONGEST = b"n" * 255
NAMES = [b"a", b"b", b"c", b"d", b"e", b"f", b"new", b".", b".."]
NAMES += [name for name in TREE if b"/" not in name and name.startswith(b"l")]
name = st.sampled_from([*NAMES, *NAMES[:9], *NAMES[:7], b"l-root", b"l-l", LONGEST, LONGEST + b"n"])
plain_path = st.builds(
    lambda start, names, end: start + b"/".join(names) + end,
    st.sampled_from([b"", b"", b"", b"/", b"//"]),
    st.lists(name, min_size=1, max_size=3),
    st.sampled_from([b"", b"", b"", b"", b"/", b"//", b"/."]),
)
odd_path = st.sampled_from(
    [b"", b"/", b"..", b"/..", b"./" * 2047 + b"b", b"/" * 4095, b"/" * 4096, b"./" * 2048]
)
path = st.one_of(plain_path, plain_path, plain_path, plain_path, odd_path)
known = st.sampled_from([*TREE, *TREE, *(p + b"/" for p in TREE), b"new", b"a/new", b"e/new"])
path = st.one_of(path, known)
mode = st.sampled_from([0, 0o644, 0o755, 0o777, 0o111, 0o1777, 0o2755, 0o4711, 0o100])
slot = st.integers(0, 2)
size = st.sampled_from([0, 1, 3, 10, 100, 5000, 70000])
access_flags = st.sampled_from([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR, 3])
other_flags = st.lists(
    st.sampled_from(
        [os.O_CREAT, os.O_CREAT, os.O_EXCL, os.O_TRUNC, os.O_APPEND, os.O_DIRECTORY, os.O_NOFOLLOW]
    ),
    max_size=3,
)
flags = st.builds(
    lambda access, others: access | sum(set(others)), access_flags, other_flags
).filter(lambda f: f & (os.O_CREAT | os.O_DIRECTORY) != os.O_CREAT | os.O_DIRECTORY)
"""Both together are an error only since Linux 6.4: left out."""


def op(operation: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(operation), *arguments)


by_path = [
    op("open", slot, path, flags, mode),
    op("stat", path, st.booleans()),
    op("mkdir", path, mode),
    op("mknod", path, mode),
    op("rmdir", path),
    op("unlink", path),
    op("rename", path, path),
    op("rename", known, known),
    op("link", path, path, st.booleans()),
    op("symlink", path, path),
    op("readlink", path),
    op("chmod", path, mode),
    op("truncate", path, st.one_of(size, st.just(-1))),
    op("access", path, st.integers(0, 7)),
    op("listdir", path),
    op("chdir", path),
    op("getcwd"),
]
by_file = [
    op("read", slot, size),
    op("write", slot, st.binary(max_size=20)),
    op("write", slot, st.builds(bytes, size)),
    op("seek", slot, st.integers(-20, 6000), st.sampled_from([0, 1, 2, 9])),
    op("ftruncate", slot, size),
    op("fstat", slot),
    op("close", slot),
]
thorough = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@thorough
@given(operations=st.lists(st.one_of(by_path), min_size=1, max_size=30))
def test_paths(oracle: Oracle, operations: list[Any]) -> None:
    compare(oracle, operations)


@thorough
@given(
    beginning=op("open", slot, st.sampled_from([b"b", b"n"]), flags, mode),
    operations=st.lists(st.one_of([*by_file, *by_file, *by_path]), max_size=40),
)
def test_files(oracle: Oracle, beginning: Any, operations: list[Any]) -> None:
    compare(oracle, [beginning, *operations])


@settings(thorough, max_examples=40)
@given(operations=st.lists(st.one_of([*by_path, op("chroot", known)]), min_size=4, max_size=20))
def test_chroot(oracle: Oracle, operations: list[Any]) -> None:
    compare(oracle, operations)


O_CREAT_RW = os.O_CREAT | os.O_RDWR
CHOSEN: dict[str, list[Any]] = {
    "removed current directory": [
        ("chdir", b"e"),
        ("open", 0, b".", os.O_RDONLY | os.O_DIRECTORY, 0),
        ("rmdir", b"../e"),
        ("getcwd",),
        ("stat", b".", True),
        ("stat", b"..", True),
        ("stat", b"x", True),
        ("stat", LONGEST + b"n", True),
        ("stat", b"./.", True),
        ("listdir", b"."),
        ("mkdir", b"x", 0o755),
        ("open", 1, b"x", O_CREAT_RW, 0o644),
        ("link", b"/b", b"x", False),
        ("rename", b"/b", b"x"),
        ("rename", b"x", b"/y"),
        ("access", b".", 7),
        ("fstat", 0),
        ("rmdir", b"../e"),
        ("mkdir", b"/e", 0o700),
        ("getcwd",),
        ("chdir", b".."),
        ("getcwd",),
    ],
    "unlinked open file": [
        ("open", 0, b"b", os.O_RDWR, 0),
        ("unlink", b"b"),
        ("fstat", 0),
        ("write", 0, b"xyz"),
        ("seek", 0, 0, 0),
        ("read", 0, 100),
        ("open", 1, b"b", O_CREAT_RW | os.O_EXCL, 0o600),
        ("read", 1, 100),
        ("ftruncate", 0, 2),
        ("fstat", 0),
    ],
    "renames over what is there": [
        ("open", 0, b"b", os.O_RDWR, 0),
        ("rename", b"a/b/c", b"b"),
        ("fstat", 0),
        ("read", 0, 100),
        ("rename", b"a", b"a/b/x"),
        ("rename", b"a/b", b"a"),
        ("rename", b"b", b"a"),
        ("rename", b"a", b"b"),
        ("rename", b"e", b"a/b"),
        ("rename", b"a", b"e"),
        ("rename", b"e", b"e/."),
        ("rename", b"e/b", b"."),
        ("rename", b"b", b"n/"),
        ("rename", b"e/", b"n/"),
        ("link", b"b", b"b2", False),
        ("rename", b"b", b"b2"),
        ("stat", b"b", False),
        ("rename", b"/", b"x"),
        ("rename", b"l", b"l/"),
    ],
    "names and links at their ends": [
        ("rmdir", b"l/"),
        ("unlink", b"l/"),
        ("rmdir", b"a/.."),
        ("rmdir", b"a/."),
        ("rmdir", b"/"),
        ("unlink", b"/"),
        ("unlink", b"a/.."),
        ("mkdir", b"l-none", 0o755),
        ("mkdir", b"l-none/", 0o755),
        ("mkdir", b"n/", 0o755),
        ("symlink", b"x", b"m/"),
        ("symlink", b"", b"m"),
        ("mknod", b"m/", 0o644),
        ("link", b"b/", b"m", False),
        ("link", b"a", b"m", False),
        ("link", b"a", b"b", False),
        ("open", 0, b"l-none-slash", O_CREAT_RW, 0o644),
        ("open", 0, b"l-none", O_CREAT_RW | os.O_EXCL, 0o644),
        ("open", 0, b"l-none", O_CREAT_RW, 0o644),
        ("stat", b"a/new", True),
        ("open", 0, b"m/", O_CREAT_RW, 0o644),
        ("open", 0, b".", O_CREAT_RW, 0o644),
        ("open", 0, b".", O_CREAT_RW | os.O_EXCL, 0o644),
        ("open", 0, b"l", os.O_NOFOLLOW, 0),
        ("open", 0, b"l/", os.O_NOFOLLOW, 0),
        ("open", 0, b"l", os.O_NOFOLLOW | os.O_DIRECTORY, 0),
        ("open", 0, b"l-self", os.O_RDONLY, 0),
        ("open", 0, b"l-self", O_CREAT_RW, 0),
        ("open", 0, b"a", os.O_TRUNC, 0),
        ("open", 0, b"a", 3, 0),
        ("readlink", b"l/"),
    ],
}


@pytest.mark.parametrize("operations", CHOSEN.values(), ids=CHOSEN)
def test_chosen(oracle: Oracle, operations: list[Any]) -> None:
    compare(oracle, operations)


@pytest.mark.parametrize("links", [39, 40, 41])
def test_as_many_links_as_linux_follows(oracle: Oracle, links: int) -> None:
    chain: list[Any] = [("symlink", b"b", b"s0")]
    chain += [("symlink", b"s%d" % (i - 1), b"s%d" % i) for i in range(1, links)]
    last = b"s%d" % (links - 1)
    compare(oracle, [*chain, ("open", 0, last, os.O_RDONLY, 0), ("stat", last, True)])
    compare(oracle, [*chain, ("unlink", b"b"), ("open", 0, last, O_CREAT_RW, 0o644)])
